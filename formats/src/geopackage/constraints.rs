//! Aliases and domains: the schema extension.
//!
//! Source: OGC 12-128r19, F.9. A coded domain is an `enum`, each of whose values is a row; a range is one row. Subtypes are written as
//! an `enum` of the field that holds their code.

use super::ddl::{SCHEMA, SCHEMA_EXTENSION};
use super::related::add_extension;
use crate::features::{DomainCode, DomainRule, Field, LayerSchema};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Constraints that were written.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    /// Their names, by those of their domains.
    by_domain: BTreeMap<String, String>,
    names: HashSet<String>,
    /// How many underscores the next name gets that would be one of these.
    underscores: HashMap<String, usize>,
}

/// The domain of a field, or the subtypes whose code it holds: name and rule.
fn domain_of(layer: &LayerSchema, field: &Field) -> Option<(String, DomainRule)> {
    if let Some(domain) = &field.domain {
        return Some((domain.name.clone(), domain.rule.clone()));
    }
    let subtypes = layer.subtypes.as_ref().filter(|s| s.field.eq_ignore_ascii_case(&field.name))?;
    let codes = subtypes.subtypes.iter().map(|s| (DomainCode::Integer(s.code), s.name.clone()));
    Some((format!("{}_subtypes", layer.name), DomainRule::Coded(codes.collect())))
}

/// Names the constraints of a layer that an earlier process wrote, as it did.
pub(super) fn name_constraints(layer: &LayerSchema, constraints: &mut Constraints) {
    for (domain, _) in layer.fields.iter().filter_map(|f| domain_of(layer, f)) {
        name_of(&domain, constraints);
    }
}

/// The name of a domain's constraint, and whether it is new. Names are in lower case, where two domains may be one.
fn name_of(domain: &str, constraints: &mut Constraints) -> (String, bool) {
    if let Some(known) = constraints.by_domain.get(domain) {
        return (known.clone(), false);
    }
    let lower = domain.to_lowercase();
    let more = constraints.underscores.get(&lower).copied().unwrap_or(0);
    let mut name = format!("{lower}{}", "_".repeat(more));
    while !constraints.names.insert(name.clone()) {
        name.push('_');
    }
    constraints.underscores.insert(lower.clone(), name.len() - lower.len() + 1);
    constraints.by_domain.insert(domain.to_owned(), name.clone());
    (name, true)
}

/// Writes what is said of a layer's fields.
pub(super) fn add_field_descriptions(
    connection: &Connection,
    layer: &LayerSchema,
    constraints: &mut Constraints,
) -> rusqlite::Result<()> {
    let is_described = |f: &Field| f.alias.is_some() || domain_of(layer, f).is_some();
    if !layer.fields.iter().any(is_described) {
        return Ok(());
    }
    connection.execute_batch(SCHEMA)?;
    for table in ["gpkg_data_columns", "gpkg_data_column_constraints"] {
        add_extension(connection, (Some(table), None), SCHEMA_EXTENSION, "read-write")?;
    }
    let mut add = connection.prepare(
        "INSERT INTO gpkg_data_columns(table_name, column_name, name, title, constraint_name) VALUES(?1, ?2, ?3, ?4, ?5)",
    )?;
    // Two fields may have one alias, but not one name here.
    let mut names = BTreeSet::new();
    for field in layer.fields.iter().filter(|f| is_described(f)) {
        let constraint = match domain_of(layer, field) {
            Some((domain, rule)) => {
                let (name, is_new) = name_of(&domain, constraints);
                if is_new {
                    add_rule(connection, &name, &rule)?;
                }
                Some(name)
            }
            None => None,
        };
        let name = field.alias.as_ref().filter(|alias| names.insert((*alias).clone()));
        add.execute(params![layer.name, field.name, name, field.alias, constraint])?;
    }
    Ok(())
}

fn add_rule(connection: &Connection, name: &str, rule: &DomainRule) -> rusqlite::Result<()> {
    match rule {
        DomainRule::Coded(codes) => {
            // A code that comes twice keeps its first meaning.
            let sql =
                "INSERT OR IGNORE INTO gpkg_data_column_constraints(constraint_name, constraint_type, value, description)
                 VALUES(?1, 'enum', ?2, ?3)";
            let mut add = connection.prepare(sql)?;
            for (code, meaning) in codes {
                add.execute(params![name, code.to_string(), meaning])?;
            }
        }
        DomainRule::Range { min, max } => {
            let sql =
                "INSERT INTO gpkg_data_column_constraints(constraint_name, constraint_type, min, min_is_inclusive, max,
                 max_is_inclusive) VALUES(?1, 'range', ?2, 1, ?3, 1)";
            connection.execute(sql, params![name, min, max])?;
        }
    }
    Ok(())
}
