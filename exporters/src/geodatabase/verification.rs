//! Whether a replica holds what it should, by the service's own counts.
//!
//! A replica is one state of data that others may edit while it is made: what is counted before and after brackets it. The rows
//! that were there before the submission and are there still must be in it; each row that was added since has a higher object
//! id, so they are counted by `OBJECTID <= highest id before`. More rows than were counted are never a loss.

use super::parameters::GenerateGeodatabaseParameters;
use crate::feature_service::counts::RowFilter;
use crate::feature_service::expected::{MOST_ROWS_ASKED, RowSelection, expected_attachments, selection};
use crate::feature_service::layer_option::GenerateLayerOption;
use crate::feature_service::service::FeatureService;
use crate::feature_service::service_layer::{Relationship, ServiceLayer};
use futures_util::StreamExt as _;
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::geodatabase;
use offmap_formats::geodatabase::ReplicaLayer;
use offmap_model::{
    AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact, LayerContents, LayerNote,
    LayerNoteKind, Missing, TaskLayer,
};
use std::path::Path;

/// Keys in one `IN (…)` of a count.
const KEYS_AT_A_TIME: usize = 1000;
/// Counts of related rows that run side by side, under the limits of the host.
const COUNTS_AT_A_TIME: usize = 4;
/// Related rows of more keys than this are not counted: it would take longer than the export.
const MOST_KEYS_ASKED: usize = 1_000_000;

/// A layer's replica and what is known of it.
pub(super) struct Verification<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) service: &'a FeatureService,
    pub(super) parameters: &'a GenerateGeodatabaseParameters,
    /// The replica's area as it goes over the wire.
    pub(super) area: &'a AreaOfInterest,
    pub(super) ctx: &'a ExportContext,
    pub(super) path: &'a Path,
    pub(super) found: &'a [ReplicaLayer],
}

/// Least and most rows that a replica may hold.
struct Bracket {
    least: u64,
    most: u64,
}

fn incomplete(layer: &TaskLayer, message: String) -> Failure {
    Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message).for_layer(&layer.id)
}

impl Verification<'_> {
    /// Verifies one layer. `highest` is the highest object id of the layer before the submission, where the service told it.
    pub(super) async fn layer(&self, layer: &TaskLayer, highest: Option<i64>) -> Result<LayerArtifact, Failure> {
        let id = layer.service_layer_id;
        let got = self.found.iter().find(|l| id.map(i64::from) == Some(l.item_id));
        let option = self.parameters.layer_options.iter().find(|o| Some(o.layer_id) == id);
        let mut verified = LayerArtifact {
            id: layer.id.clone(),
            file: Some(0),
            item_id: got.map(|g| g.item_id),
            contents: LayerContents {
                planned: layer.expected,
                got: got.map_or(0, |g| g.rows),
                attachments: got.and_then(|g| g.attachments),
                ..LayerContents::default()
            },
            ..LayerArtifact::default()
        };
        let (Some(got), Some(option)) = (got, option) else {
            let message = format!("the replica has no table for layer \"{}\" (id {id:?})", layer.title);
            verified.failure = Some(incomplete(layer, message));
            return Ok(verified);
        };
        match layer.expected {
            Some(before) if before == got.rows => {}
            Some(before) => self.changed_rows(layer, option, before, highest, &mut verified).await?,
            None => self.related_rows(layer, option, highest, &mut verified).await?,
        }
        if !got.damages.is_empty() {
            let message = format!("the attachments of layer \"{}\" are damaged: {}", layer.title, got.damages.words());
            let corrupt = Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message);
            verified.failure.get_or_insert(corrupt.for_layer(&layer.id));
            return Ok(verified);
        }
        self.attachments(layer, option, got, highest, &mut verified).await;
        Ok(verified)
    }

    /// The replica does not hold what was counted before: whether others edited, or rows are missing.
    async fn changed_rows(
        &self,
        layer: &TaskLayer,
        option: &GenerateLayerOption,
        before: u64,
        highest: Option<i64>,
        verified: &mut LayerArtifact,
    ) -> Result<(), Failure> {
        let got = verified.contents.got;
        let RowSelection::Rows(rows) = selection(self.service, option, self.area) else {
            if got > before {
                verified.contents.planned = Some(got);
                let message = format!("no rows were asked for, {got} came");
                verified.contents.notes.push(LayerNote::new(LayerNoteKind::DataChanged, message));
            }
            return Ok(());
        };
        let counted = async {
            let after = self.service.count(self.client, &rows).await?;
            let least = match highest {
                Some(_) => self.service.count(self.client, &RowFilter { up_to: highest, ..rows }).await?,
                None => after,
            };
            Ok::<_, Failure>((after, least.min(before).min(after)))
        };
        let (after, least) = match counted.await {
            Ok(counted) => counted,
            Err(failure) if got >= before => {
                let message = format!("{before} rows were counted before, {got} came; the count after failed: {failure}");
                verified.contents.notes.push(LayerNote::new(LayerNoteKind::NotCounted, message));
                verified.contents.planned = Some(got);
                return Ok(());
            }
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => {
                verified.failure = Some(failure.for_layer(&layer.id));
                return Ok(());
            }
        };
        if got < least {
            verified.contents.planned = Some(least.max(before.min(after)));
            if self.is_left_to_budget(layer, least, &mut verified.contents) {
                return Ok(());
            }
            let message = format!(
                "layer \"{}\": the service counts {before} rows before and {after} after the export for the same filter, at \
                 least {least} of them were there all the time; {got} came",
                layer.title
            );
            verified.failure = Some(incomplete(layer, message));
            return Ok(());
        }
        // What came is one state of the data; more cannot be asked of it.
        verified.contents.planned = Some(got);
        if got != after || before != after {
            let message = format!("{before} rows were counted before the export and {after} after it; {got} came");
            verified.contents.notes.push(LayerNote::new(LayerNoteKind::DataChanged, message));
        }
        Ok(())
    }

    /// Whether the layer has a budget for rows that are missing: whether these are too many is the engine's to judge then.
    fn is_left_to_budget(&self, layer: &TaskLayer, least: u64, contents: &mut LayerContents) -> bool {
        let has_budget = contents.got > 0 && self.ctx.error_budget(&layer.id).missing_features.is_some();
        if has_budget {
            contents.missing_features = Missing::between(least, contents.got);
        }
        has_budget
    }

    /// Verifies rows that came because they are related to rows of other layers.
    async fn related_rows(
        &self,
        layer: &TaskLayer,
        option: &GenerateLayerOption,
        highest: Option<i64>,
        verified: &mut LayerArtifact,
    ) -> Result<(), Failure> {
        let got = verified.contents.got;
        let bracket = match self.related_bracket(option, highest).await {
            Ok(bracket) => bracket,
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => Err(failure.to_string()),
        };
        match bracket {
            Ok(Bracket { least, .. }) if got < least => {
                verified.contents.planned = Some(least);
                let message = format!(
                    "layer \"{}\": the service counts at least {least} rows that are related to the rows that came, {got} came",
                    layer.title
                );
                verified.failure = Some(incomplete(layer, message));
            }
            Ok(Bracket { least, most }) => {
                verified.contents.planned = Some(got);
                if got > most {
                    let message = format!("{least} to {most} related rows were counted after the export, {got} came");
                    verified.contents.notes.push(LayerNote::new(LayerNoteKind::DataChanged, message));
                }
            }
            Err(reason) => {
                verified.contents.planned = Some(got);
                verified.contents.notes.push(LayerNote::new(LayerNoteKind::NotCounted, format!("related rows: {reason}")));
            }
        }
        Ok(())
    }

    /// How many rows may be related to the rows that came; else why that is not counted.
    async fn related_bracket(
        &self,
        option: &GenerateLayerOption,
        highest: Option<i64>,
    ) -> Result<Result<Bracket, String>, Failure> {
        let all = RowFilter { layer: option.layer_id, where_clause: "", area: None, up_to: None };
        let origins = match self.origins(option.layer_id) {
            Ok(origins) => origins,
            // A table without rows has none that are related.
            Err(reason) => {
                let is_empty = self.service.count(self.client, &all).await? == 0;
                return Ok(if is_empty { Ok(Bracket { least: 0, most: 0 }) } else { Err(reason) });
            }
        };
        let mut bracket = Bracket { least: 0, most: 0 };
        for origin in &origins {
            match self.count_related(option, origin, highest).await? {
                // A row may be related to several origins, so it is counted up to once for each.
                Some((least, most)) => {
                    bracket.least = bracket.least.max(least);
                    bracket.most = bracket.most.saturating_add(most);
                }
                None => return Ok(Err(format!("their origin has more than {MOST_KEYS_ASKED} keys"))),
            }
        }
        Ok(Ok(bracket))
    }

    /// The origins of a table whose rows are in the replica; else why their rows cannot be followed by a key.
    fn origins(&self, layer: u32) -> Result<Vec<Origin>, String> {
        let Some(table) = self.service.layers.get(&layer) else { return Err("the table is not described".to_owned()) };
        let mut origins = Vec::new();
        for own in table.relationships.iter().filter(|r| r.is_destination()) {
            let Some(file) = self.found.iter().find(|l| l.item_id == own.related_table_id) else { continue };
            let origin = u32::try_from(own.related_table_id).ok().and_then(|id| self.service.layers.get(&id));
            let pair = |other: &&Relationship| other.id == own.id && !other.is_destination();
            let key = origin.and_then(|o: &ServiceLayer| o.relationships.iter().find(pair));
            match key {
                _ if own.is_many_to_many() => {
                    return Err("they are related by a table of their own (many to many)".to_owned());
                }
                Some(key) if !key.key_field.is_empty() && !own.key_field.is_empty() => origins.push(Origin {
                    table: file.table.clone(),
                    primary: key.key_field.clone(),
                    foreign: own.key_field.clone(),
                }),
                _ => return Err("the service does not name the keys".to_owned()),
            }
        }
        Ok(origins)
    }

    /// Counts the rows that are related to an origin: those that were there before the submission, and all; `None` for too many
    /// keys.
    async fn count_related(
        &self,
        option: &GenerateLayerOption,
        origin: &Origin,
        highest: Option<i64>,
    ) -> Result<Option<(u64, u64)>, Failure> {
        let (file, table, primary) = (self.path.to_owned(), origin.table.clone(), origin.primary.clone());
        let cancel = self.ctx.cancel_token().clone();
        // A few pieces at a time: a layer's keys are never all in memory.
        let (sender, pieces) = tokio::sync::mpsc::channel::<String>(COUNTS_AT_A_TIME);
        let reading = self.ctx.blocking(move || {
            let mut left = MOST_KEYS_ASKED / KEYS_AT_A_TIME;
            let mut too_many = false;
            // Nobody listens any more once the counting failed.
            let hand_on = |keys| {
                too_many = left == 0;
                left = left.saturating_sub(1);
                !too_many && sender.blocking_send(keys).is_ok()
            };
            geodatabase::key_literals(&file, &table, &primary, KEYS_AT_A_TIME, &cancel, hand_on)?;
            Ok(too_many)
        });
        let one = |keys: String| async move {
            let related = format!("{} IN ({keys})", origin.foreign);
            let filter = RowFilter { layer: option.layer_id, where_clause: &related, area: None, up_to: None };
            let all = self.service.count(self.client, &filter).await?;
            let least = match highest.filter(|_| all > 0) {
                Some(_) => self.service.count(self.client, &RowFilter { up_to: highest, ..filter }).await?.min(all),
                None => all,
            };
            Ok::<_, Failure>((least, all))
        };
        let counting = async {
            let mut pieces = pieces;
            let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
            let mut counts = std::pin::pin!(pieces.map(one).buffer_unordered(COUNTS_AT_A_TIME));
            let mut sum = (0_u64, 0_u64);
            while let Some(count) = counts.next().await {
                let (least, all) = count?;
                sum = (sum.0.saturating_add(least), sum.1.saturating_add(all));
            }
            Ok(sum)
        };
        let (too_many, sum) = futures_util::future::join(reading, counting).await;
        if too_many? {
            return Ok(None);
        }
        sum.map(Some)
    }

    /// Compares attachments with the service's count; a difference is counted once more. What cannot be counted is told.
    async fn attachments(
        &self,
        layer: &TaskLayer,
        option: &GenerateLayerOption,
        got: &ReplicaLayer,
        highest: Option<i64>,
        verified: &mut LayerArtifact,
    ) {
        let came = got.attachments.unwrap_or(0);
        let has_some = self.service.layers.get(&option.layer_id).is_some_and(|l| l.has_attachments);
        if !self.parameters.return_attachments || !has_some || layer.attachments == Some(came) {
            return;
        }
        let not_counted = |reason: &str| LayerNote::new(LayerNoteKind::NotCounted, format!("attachments: {reason}"));
        if layer.attachments.is_none() {
            verified.contents.notes.push(not_counted(match layer.expected {
                None => "their rows are related ones",
                Some(rows) if rows > MOST_ROWS_ASKED => "there are too many rows to ask for",
                Some(_) => "the service did not count them",
            }));
            return;
        }
        let rows = layer.expected;
        match expected_attachments(
            self.client,
            self.service,
            (option, self.area),
            self.parameters.return_attachments,
            rows,
            highest,
        )
        .await
        {
            None => verified.contents.notes.push(not_counted("the service did not count them again")),
            Some(again) if came > again => {
                let message = format!("{again} attachments were counted after the export, {came} came");
                verified.contents.notes.push(LayerNote::new(LayerNoteKind::DataChanged, message));
            }
            Some(again) => verified.contents.missing_attachments = Missing::between(again, came),
        }
    }
}

/// Where the keys of related rows are.
struct Origin {
    /// The origin's table in the replica.
    table: String,
    /// Its key.
    primary: String,
    /// The key in the related table.
    foreign: String,
}
