//! The object ids of rows that are related to rows of other layers that came.
//!
//! The keys of the rows that came are looked for in the key field of the table, a thousand at a time; where a relationship has no keys (many
//! to many), the service is asked for the related rows of some rows.
//!
//! Source: feature service reference §2.3 and §5.3.

use super::fit::Scalar;
use super::id_list;
use super::id_source::IdSource as _;
use super::layer_query::LayerQuery;
use super::related_rows::{self, RelatedSource};
use super::stored::Page;
use crate::feature_service::service::FeatureService;
use crate::feature_service::service_layer::Relationship;
use async_trait::async_trait;
use offmap_arcgis::{AnswerKind, ServiceCall};
use offmap_engine::ExportContext;
use offmap_formats::features::{Field, FieldType};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Keys in one clause.
const KEYS_AT_A_TIME: usize = 1000;
/// Rows in one question for related rows.
const ROWS_AT_A_TIME: usize = 100;
/// Keys of one layer, and related rows of one table: 8 bytes each and what a set needs are in memory.
const MOST: usize = 4_000_000;

/// A layer whose rows came.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) id: u32,
    pub(super) object_id_field: String,
    pub(super) fields: Vec<Field>,
    pub(super) pages: Vec<PathBuf>,
}

/// How the rows of a table are found.
enum Way {
    /// The key field of the origin, and that of the table.
    Keys(String, String),
    /// The relationship's id.
    ByService(i64),
}

fn too_many(query: &LayerQuery<'_>, what: &str) -> Failure {
    let message =
        format!("\"{}\" has more than {MOST} {what}; take a smaller area, or give the table a filter", query.title);
    Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Run, message)
}

/// The relationships by which a table hangs on layers whose rows came.
fn ways<'a>(service: &FeatureService, table: u32, origins: &'a [Origin]) -> Vec<(&'a Origin, Way)> {
    let Some(described) = service.layers.get(&table) else { return Vec::new() };
    let mut all = Vec::new();
    for own in described.relationships.iter().filter(|r| r.is_destination()) {
        let Some(origin) = origins.iter().find(|o| i64::from(o.id) == own.related_table_id) else { continue };
        let pair = |other: &&Relationship| other.id == own.id && !other.is_destination();
        let other = service.layers.get(&origin.id).and_then(|layer| layer.relationships.iter().find(pair));
        let way = match other {
            Some(other) if !own.is_many_to_many() && !own.key_field.is_empty() && !other.key_field.is_empty() => {
                Way::Keys(other.key_field.clone(), own.key_field.clone())
            }
            _ => Way::ByService(own.id),
        };
        all.push((origin, way));
    }
    all
}

/// The ids of all rows of a table that are related to rows that came, in ascending order.
pub(super) async fn ids(
    query: &LayerQuery<'_>,
    service: &FeatureService,
    (table, origins): (u32, &[Origin]),
    ctx: &ExportContext,
) -> Result<Vec<i64>, Failure> {
    let mut ids = BTreeSet::new();
    for (origin, way) in ways(service, table, origins) {
        match way {
            Way::Keys(primary, foreign) => {
                let is_guid = query.reader.fields.iter().any(|f| f.name.eq_ignore_ascii_case(&foreign) && is_guid(f));
                for clause in clauses(ctx, origin, &primary, &foreign, is_guid, query).await? {
                    let counted = query.count(Some(&clause)).await?;
                    let found = id_list::complete(query, Some(&clause), counted).await?;
                    ids.extend(found);
                    if ids.len() > MOST {
                        return Err(too_many(query, "related rows"));
                    }
                }
            }
            Way::ByService(id) => by_service(query, service, (origin, id), ctx, &mut ids).await?,
        }
    }
    Ok(ids.into_iter().collect())
}

fn is_guid(field: &Field) -> bool {
    matches!(field.field_type, FieldType::Guid | FieldType::GlobalId)
}

/// A value as an SQL literal. GUIDs are written as every service takes them: in upper case with braces.
fn literal(scalar: &Scalar, is_guid: bool) -> Option<String> {
    match scalar {
        Scalar::Integer(n) | Scalar::Date(n) => Some(n.to_string()),
        Scalar::Real(n) => Some(n.to_string()),
        // What is no GUID equals none, and some databases refuse a whole clause for it.
        Scalar::Text(text) if is_guid => {
            uuid::Uuid::try_parse(text.trim()).ok().map(|guid| format!("'{:X}'", guid.braced()))
        }
        Scalar::Text(text) => Some(format!("'{}'", text.replace('\'', "''"))),
    }
}

/// The clauses that select what has a key of the rows that came.
async fn clauses(
    ctx: &ExportContext,
    origin: &Origin,
    primary: &str,
    foreign: &str,
    is_guid: bool,
    query: &LayerQuery<'_>,
) -> Result<Vec<String>, Failure> {
    let (origin, primary, cancel) = (origin.clone(), primary.to_owned(), ctx.cancel_token().clone());
    let read = move || {
        let place = origin.fields.iter().position(|f| f.name.eq_ignore_ascii_case(&primary));
        let is_object_id = origin.object_id_field.eq_ignore_ascii_case(&primary);
        let mut keys = BTreeSet::new();
        for path in &origin.pages {
            if cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            let mut page = Page::open(path)?;
            while let Some(row) = page.next_row()? {
                let value = place.and_then(|at| row.values.get(at)?.scalar.clone());
                let value = value.or_else(|| is_object_id.then_some(Scalar::Integer(row.object_id)));
                keys.extend(value.and_then(|value| literal(&value, is_guid)));
            }
            if keys.len() > MOST {
                break;
            }
        }
        Ok(keys)
    };
    let keys = ctx.blocking(read).await?;
    if keys.len() > MOST {
        return Err(too_many(query, "keys"));
    }
    let keys: Vec<String> = keys.into_iter().collect();
    Ok(keys.chunks(KEYS_AT_A_TIME).map(|some| format!("{foreign} IN ({})", some.join(","))).collect())
}

/// Asks the service for the rows that are related to those that came.
async fn by_service(
    query: &LayerQuery<'_>,
    service: &FeatureService,
    (origin, relationship): (&Origin, i64),
    ctx: &ExportContext,
    ids: &mut BTreeSet<i64>,
) -> Result<(), Failure> {
    let url = format!("{}/{}/queryRelatedRecords", service.root, origin.id);
    let table = Related { query, url, secrets: &service.secrets, origin: origin.id, relationship };
    let counts = AtomicBool::new(true);
    for path in origin.pages.clone() {
        let read = move || {
            let (mut page, mut own) = (Page::open(&path)?, Vec::new());
            while let Some(row) = page.next_row()? {
                own.push(row.object_id);
            }
            Ok(own)
        };
        for some in ctx.blocking(read).await?.chunks(ROWS_AT_A_TIME) {
            ids.extend(related_rows::of(&table, some, &counts).await?);
            if ids.len() > MOST {
                return Err(too_many(query, "related rows"));
            }
        }
    }
    Ok(())
}

/// A relationship that its service is asked about.
struct Related<'a> {
    query: &'a LayerQuery<'a>,
    url: String,
    secrets: &'a LayerSecrets,
    origin: u32,
    relationship: i64,
}

#[async_trait]
impl RelatedSource for Related<'_> {
    fn object_id_field(&self) -> &str {
        &self.query.layer.object_id_field
    }

    fn failure(&self, kind: FailureKind, message: &str) -> Failure {
        let message = format!("the related rows of \"{}\" to rows of layer {}: {message}", self.query.title, self.origin);
        self.query.failure(kind, message)
    }

    async fn ask(&self, rows: &[i64], more: &[(&'static str, u64)]) -> Result<Value, Failure> {
        let listed = rows.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let call = ServiceCall::post(&self.url)?
            .with_secrets(self.secrets)
            .with("objectIds", listed)
            .with("relationshipId", self.relationship)
            .with("outFields", self.object_id_field())
            .with("returnGeometry", false)
            .answer(AnswerKind::Features);
        let call = more.iter().fold(call, |call, (name, value)| match *name {
            related_rows::COUNT_ONLY => call.with(name, true),
            _ => call.with(name, value),
        });
        self.query.client.json(&call).await
    }
}
