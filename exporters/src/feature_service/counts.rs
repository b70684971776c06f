//! What the service itself counts: rows, and their attachments.
//!
//! Source: `feature-service-rest` reference §2 and §5.

use super::answer::flag;
use super::service::FeatureService;
use offmap_arcgis::body::number_in;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, number};
use serde_json::Value;

/// Ids of rows in one question for attachments.
const IDS_AT_A_TIME: usize = 500;
/// Pages of attachments of so many rows.
const MOST_PAGES: usize = 1000;

/// Rows of a layer: those that meet a where clause (empty for all) and, where given, an area as it goes over the wire, up to an
/// object id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowFilter<'a> {
    pub(crate) layer: u32,
    pub(crate) where_clause: &'a str,
    pub(crate) area: Option<&'a AreaOfInterest>,
    pub(crate) up_to: Option<i64>,
}

impl FeatureService {
    /// The service's own count of the rows that meet a where clause and, where given, an area.
    pub(crate) async fn count(&self, client: &ArcGisClient, rows: &RowFilter<'_>) -> Result<u64, Failure> {
        let call = self.query(rows)?.with("returnCountOnly", true).with("returnGeometry", false);
        self.counted(client, rows.layer, &call).await
    }

    fn query(&self, rows: &RowFilter<'_>) -> Result<ServiceCall, Failure> {
        let RowFilter { layer, where_clause, area, up_to } = *rows;
        let filter = if where_clause.is_empty() { "1=1" } else { where_clause };
        let filter = match (up_to, self.layers.get(&layer)) {
            (Some(highest), Some(described)) => format!("({filter}) AND {} <= {highest}", described.object_id_field),
            _ => filter.to_owned(),
        };
        let call = ServiceCall::post(&format!("{}/{layer}/query", self.root))?
            .with_secrets(&self.secrets)
            .with("where", filter)
            .in_stage(FailureStage::Plan);
        Ok(area.iter().fold(call, |call, area| call.with_area(area)))
    }

    /// The highest object id of a layer, 0 for one without rows; `None` where the service cannot tell it in one row.
    pub(crate) async fn highest_id(&self, client: &ArcGisClient, layer: u32) -> Option<i64> {
        let described = self.layers.get(&layer).filter(|l| l.orders_rows)?;
        let field = &described.object_id_field;
        let all = RowFilter { layer, where_clause: "", area: None, up_to: None };
        let call = self.query(&all).ok()?;
        let call = call
            .with("outFields", field)
            .with("orderByFields", format!("{field} DESC"))
            .with("resultRecordCount", 1)
            .with("returnGeometry", false)
            .in_stage(FailureStage::Submit)
            .answer(AnswerKind::Small);
        let answer = match client.json(&call).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(%failure, layer, "the highest object id is not known");
                return None;
            }
        };
        let rows = answer.get("features")?.as_array()?;
        match rows.as_slice() {
            [] => Some(0),
            [one] => number::read(one.get("attributes")?.get(field)?),
            // It does not order or limit rows as it says.
            _ => None,
        }
    }

    async fn counted(&self, client: &ArcGisClient, layer: u32, call: &ServiceCall) -> Result<u64, Failure> {
        let answer = client.json(&call.clone().answer(AnswerKind::Small)).await?;
        let url = format!("{}/{layer}", self.root);
        number_in(&answer, "count", &url)?.ok_or_else(|| self.not_counted(layer, "count"))
    }

    fn not_counted(&self, layer: u32, key: &str) -> Failure {
        let message = format!("the count of layer {layer} has no `{key}`");
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message);
        failure.with_url(&format!("{}/{layer}", self.root))
    }

    /// The service's own count of the attachments of the rows that meet a filter: the rows' ids first, then their attachments.
    pub(crate) async fn count_attachments(&self, client: &ArcGisClient, rows: &RowFilter<'_>) -> Result<u64, Failure> {
        let layer = rows.layer;
        let call = self.query(rows)?.with("returnIdsOnly", true).with("returnGeometry", false);
        let call = call.answer(AnswerKind::Description);
        let answer = client.json(&call).await?;
        // `null` are the ids of no rows; an answer without them counts nothing, which is not the same as zero.
        if answer.get("objectIds").is_none() {
            return Err(self.not_counted(layer, "objectIds"));
        }
        let ids: Vec<i64> = number_in(&answer, "objectIds", &format!("{}/{layer}", self.root))?.unwrap_or_default();
        let mut total = 0_u64;
        for some in ids.chunks(IDS_AT_A_TIME) {
            let list: Vec<String> = some.iter().map(ToString::to_string).collect();
            total = self.attachments_of(client, layer, &list.join(",")).await?.saturating_add(total);
        }
        Ok(total)
    }

    /// Attachments of some rows, page by page where the service does not count them.
    async fn attachments_of(&self, client: &ArcGisClient, layer: u32, ids: &str) -> Result<u64, Failure> {
        let counts_only = self.layers.get(&layer).is_none_or(|l| l.counts_attachments_only);
        let mut total = 0_u64;
        for _ in 0..MOST_PAGES {
            let mut call = ServiceCall::post(&format!("{}/{layer}/queryAttachments", self.root))?
                .with_secrets(&self.secrets)
                .with("objectIds", ids)
                .in_stage(FailureStage::Plan)
                .answer(AnswerKind::Description);
            if counts_only {
                call = call.with("returnCountOnly", true);
            }
            if total > 0 {
                call = call.with("resultOffset", total);
            }
            let answer = client.json(&call).await?;
            // Servers answer with one count, with a count for each group, or with the groups themselves.
            let count_in = |value: &Value| number_in::<u64>(value, "count", &format!("{}/{layer}", self.root));
            if let Some(count) = count_in(&answer)? {
                return Ok(count);
            }
            let Some(groups) = answer.get("attachmentGroups").and_then(Value::as_array) else {
                return Err(self.not_counted(layer, "attachmentGroups"));
            };
            let mut here = 0_u64;
            for group in groups {
                let listed = group.get("attachmentInfos").and_then(Value::as_array).map_or(0, |l| l.len() as u64);
                here = here.saturating_add(count_in(group)?.unwrap_or(listed));
            }
            total = total.saturating_add(here);
            if here == 0 || !flag(&answer, &["exceededTransferLimit"]).unwrap_or(false) {
                return Ok(total);
            }
        }
        let message = format!("layer {layer} lists the attachments of {IDS_AT_A_TIME} rows on more than {MOST_PAGES} pages");
        Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message))
    }
}
