//! Attachments and relationships as the related tables extension has them.
//!
//! Source: OGC 18-000, clause 7 (relations and mapping tables), 8 (media). Rows are related by their numbers in tables of pairs. A table of
//! media whose pairs begin at a layer are the layer's attachments; of other pairs the keys are looked for by which they are made: pairs
//! that agree with a field of the destination, as offmap and other programs write them from relationship classes.

use crate::features::{Cardinality, FieldType, LayerSchema, Relationship};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;
use std::collections::BTreeMap;

/// Relations that are read.
const MOST_RELATIONS: usize = 10_000;
/// Pairs by which keys are looked for, and fields of a layer that are looked at.
const LOOKED_AT: usize = 200;
const MOST_KEYS: usize = 64;

/// A row of `gpkgext_relations`, with tables as they are called in the file.
#[derive(Debug, Clone)]
struct Relation {
    base: String,
    base_key: String,
    related: String,
    related_key: String,
    kind: String,
    mapping: String,
}

/// The table of a layer's attachments, and the one that maps them.
#[derive(Debug, Clone)]
pub(super) struct MediaTable {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) mapping: String,
    /// Whether other layers have files in it as well.
    pub(super) is_shared: bool,
}

/// What is read of the extension.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// By the layer's table.
    pub(super) media: BTreeMap<String, MediaTable>,
    pub(super) relationships: Vec<Relationship>,
}

fn all(file: &ForeignSqlite, tables: &BTreeMap<String, String>) -> Result<Vec<Relation>, Failure> {
    let Some(name) = tables.get("gpkgext_relations") else { return Ok(Vec::new()) };
    // Refuses computed columns.
    let columns = file.columns(name)?;
    let wanted = [
        "base_table_name",
        "base_primary_column",
        "related_table_name",
        "related_primary_column",
        "relation_name",
        "mapping_table_name",
    ];
    if !wanted.iter().all(|column| columns.iter().any(|c| c == column)) {
        return Ok(Vec::new());
    }
    let failed = |e| file.failure(e);
    let sql = format!("SELECT {} FROM {} ORDER BY rowid LIMIT {MOST_RELATIONS}", wanted.join(", "), quoted(name));
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut relations = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |at| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default).map_err(failed);
        let table = |at| Ok::<_, Failure>(tables.get(&text(at)?.to_lowercase()).cloned());
        // What names a table that is not there relates nothing.
        let (Some(base), Some(related), Some(mapping)) = (table(0)?, table(2)?, table(5)?) else { continue };
        let columns = file.columns(&mapping)?;
        if !["base_id", "related_id"].iter().all(|column| columns.iter().any(|c| c == column)) {
            continue;
        }
        let (base_key, related_key, kind) = (text(1)?, text(3)?, text(4)?);
        relations.push(Relation { base, base_key, related, related_key, kind, mapping });
    }
    Ok(relations)
}

/// Reads the relations between layers.
pub(super) fn read(
    file: &ForeignSqlite,
    tables: &BTreeMap<String, String>,
    layers: &[LayerSchema],
) -> Result<Relations, Failure> {
    let mut read = Relations::default();
    for relation in all(file, tables)? {
        file.go_on()?;
        let layer = |name: &str| layers.iter().find(|l| l.name == name);
        let Some(base) = layer(&relation.base) else { continue };
        let is_keyed =
            |l: &LayerSchema, key: &str| l.object_id_field.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(key));
        if !is_keyed(base, &relation.base_key) {
            continue;
        }
        if relation.kind.eq_ignore_ascii_case("media") {
            let columns = file.columns(&relation.related)?;
            let has = |name: &str| columns.iter().any(|c| c == name);
            if has("data") && has("content_type") && !read.media.contains_key(&base.name) {
                let key = relation.related_key.clone();
                if columns.iter().any(|c| c.eq_ignore_ascii_case(&key)) {
                    let media = MediaTable { table: relation.related, key, mapping: relation.mapping, is_shared: false };
                    read.media.insert(base.name.clone(), media);
                }
            }
        } else if let Some(related) = layer(&relation.related).filter(|l| is_keyed(l, &relation.related_key)) {
            read.relationships.push(relationship(file, &relation, base, related)?);
        }
    }
    let all: Vec<String> = read.media.values().map(|m| m.table.clone()).collect();
    for media in read.media.values_mut() {
        media.is_shared = all.iter().filter(|table| **table == media.table).count() > 1;
    }
    Ok(read)
}

/// Fields that may be keys: those of texts first, the row's own number last, as that agrees with others by chance.
fn keys(layer: &LayerSchema) -> Vec<&str> {
    let rank = |field_type: FieldType| match field_type {
        FieldType::Guid | FieldType::GlobalId => 0,
        FieldType::Text => 1,
        _ => 2,
    };
    let mut fields: Vec<_> = layer.fields.iter().filter(|f| f.field_type != FieldType::Blob).collect();
    fields.sort_by_key(|f| rank(f.field_type));
    let names = fields.into_iter().map(|f| f.name.as_str()).take(MOST_KEYS);
    names.chain(layer.object_id_field.as_deref()).collect()
}

/// The relationship of the two fields that make the pairs, all of them and no other; many to many by the numbers of the rows where no
/// two fields do.
fn relationship(
    file: &ForeignSqlite,
    relation: &Relation,
    base: &LayerSchema,
    related: &LayerSchema,
) -> Result<Relationship, Failure> {
    let failed = |e| file.failure(e);
    let one = |sql: &str| file.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let name = relation.mapping.strip_prefix(&format!("{}__", base.name)).unwrap_or(&relation.mapping);
    let mut found = Relationship {
        name: name.to_owned(),
        origin: base.name.clone(),
        origin_key: relation.base_key.clone(),
        destination: related.name.clone(),
        destination_key: relation.related_key.clone(),
        cardinality: Cardinality::ManyToMany,
        is_composite: false,
    };
    let (mapping, o, d) = (quoted(&relation.mapping), quoted(&base.name), quoted(&related.name));
    let (o_key, d_key) = (quoted(&relation.base_key), quoted(&relation.related_key));
    let pairs = one(&format!("SELECT count(*) FROM {mapping}"))?;
    for (origin_key, destination_key) in keys(base).into_iter().flat_map(|o| keys(related).into_iter().map(move |d| (o, d)))
    {
        file.go_on()?;
        let (a, b) = (format!("o.{}", quoted(origin_key)), format!("d.{}", quoted(destination_key)));
        let is_same = format!("{a} = {b} AND typeof({a}) = typeof({b})");
        let some = format!(
            "SELECT count(*) > 0 AND coalesce(min({is_same}), 0) FROM (SELECT base_id, related_id FROM {mapping} LIMIT {LOOKED_AT}) p
             JOIN {o} o ON o.{o_key} = p.base_id JOIN {d} d ON d.{d_key} = p.related_id"
        );
        if one(&some)? == 0 || one(&format!("SELECT count(*) FROM {o} o JOIN {d} d ON {is_same}"))? != pairs {
            continue;
        }
        (found.origin_key, found.destination_key) = (origin_key.to_owned(), destination_key.to_owned());
        found.cardinality = Cardinality::OneToMany;
        break;
    }
    Ok(found)
}
