//! One export: layer after layer its object ids, its pages side by side, its attachments; then the geodatabase, whose rows are counted.

use super::attachments::{Attachments, Fetched};
use super::id_file::{self, IdWriter};
use super::id_list;
use super::layer_query::{LayerQuery, Wanted};
use super::page;
use super::parameters::FeatureQueryParameters;
use super::plan::for_wire;
use super::related::{self, Origin};
use super::service::QueriedService;
use super::stored::Page;
use super::units;
use super::verify::verified;
use super::write::{ReadyLayer, relationships, write};
use crate::feature_service::expected::{RowSelection, expected_attachments, selection};
use crate::feature_service::layer_option::GenerateLayerOption;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::ArcGisClient;
use offmap_engine::{ExportContext, FinishedFile, UnitState};
use offmap_formats::geodatabase::{self, ServiceSchema, schema_of_service};
use offmap_model::{AreaOfInterest, Artifact, ExportTask, Failure, FailureKind, FailureOwner, Progress};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most pages or files that are fetched side by side.
const MOST_AT_A_TIME: usize = 16;
/// The file in the work directory.
pub(super) const FILE: &str = "features.geodatabase";
/// Notes the moment that a layer is asked about.
const MOMENT: &str = "historicMoment";
/// Notes what the geodatabase cannot hold.
const WORDS: &str = "leftOut";

/// One export.
#[derive(Clone, Copy)]
pub(super) struct Export<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) task: &'a ExportTask,
    pub(super) service: &'a QueriedService,
    pub(super) parameters: &'a FeatureQueryParameters,
    pub(super) ctx: &'a ExportContext,
    /// Units that are done.
    pub(super) done: &'a AtomicU64,
}

impl Export<'_> {
    /// Fetches every layer, writes the file, and verifies it. A layer that fails costs only itself.
    pub(super) async fn run(&self) -> Result<Artifact, Failure> {
        let area = for_wire(self.parameters).await?;
        let (mut ready, mut failed): (Vec<ReadyLayer>, Vec<(u32, Failure)>) = (Vec::new(), Vec::new());
        for option in self.in_order(&area) {
            match Box::pin(self.layer(option, &area, &ready)).await {
                Ok(layer) => ready.push(layer),
                Err(failure) if failure.owner == FailureOwner::Source && !failure.is_cancelled() => {
                    failed.push((option.layer_id, failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        if ready.is_empty() && !failed.is_empty() {
            // The others may have failed of it.
            return Err(failed.swap_remove(0).1);
        }
        for (layer, _) in &failed {
            self.leave(*layer).await?;
        }
        let (file, words) = self.file(ready.clone()).await?;
        let (path, cancel) = (file.path.clone(), self.ctx.cancel_token().clone());
        let found = self.ctx.blocking(move || geodatabase::describe(&path, &cancel)).await?;
        let mut artifact = Artifact { files: vec![file.artifact("geodatabase")], warnings: words, ..Artifact::default() };
        for layer in &self.task.layers {
            artifact.layers.push(verified(layer, self.service, &ready, &failed, &found));
        }
        Ok(artifact)
    }

    /// The layers of the task; tables that hang on others come behind them.
    fn in_order(&self, area: &AreaOfInterest) -> Vec<&GenerateLayerOption> {
        let planned = |id: u32| self.task.layers.iter().any(|l| l.service_layer_id == Some(id));
        let options = self.parameters.layer_options.iter().filter(|o| planned(o.layer_id));
        let is_related =
            |o: &&GenerateLayerOption| matches!(selection(&self.service.service, o, area), RowSelection::Related);
        let (mut waiting, mut all): (Vec<_>, Vec<_>) = options.partition(is_related);
        while !waiting.is_empty() {
            let hangs_on = |o: &GenerateLayerOption, other: u32| {
                let layer = self.service.service.layers.get(&o.layer_id);
                layer.is_some_and(|l| {
                    l.relationships.iter().any(|r| r.is_destination() && r.related_table_id == i64::from(other))
                })
            };
            let is_free = |o: &&GenerateLayerOption| {
                !waiting.iter().any(|other| other.layer_id != o.layer_id && hangs_on(o, other.layer_id))
            };
            // In a circle any of them is the first.
            let next = waiting.iter().position(is_free).unwrap_or(0);
            all.push(waiting.remove(next));
        }
        all
    }

    fn schema(&self, id: u32, title: &str) -> Result<ServiceSchema, Failure> {
        let Some(layer) = self.service.layers.get(&id) else {
            return Err(Failure::internal(format!("layer {id} is in the task and not in the plan's service")));
        };
        let described = schema_of_service(&layer.description, &layer.object_id_field, self.parameters.reference());
        let mut found =
            described.map_err(|kind| Failure::not_supported(format!("\"{title}\" has shapes of the type `{kind}`")))?;
        found.schema.title = std::mem::take(&mut found.schema.name);
        // Names of tables differ, whatever the layers are called.
        let same = |other: &crate::feature_service::service_layer::ServiceLayer| {
            other.name.eq_ignore_ascii_case(&found.schema.title)
        };
        let is_taken = self.service.service.layers.values().filter(|l| same(l)).count() > 1;
        found.schema.name = if is_taken { format!("{} {id}", found.schema.title) } else { found.schema.title.clone() };
        found.schema.item_id = Some(i64::from(id));
        Ok(found)
    }

    async fn layer(
        &self,
        option: &GenerateLayerOption,
        area: &AreaOfInterest,
        ready: &[ReadyLayer],
    ) -> Result<ReadyLayer, Failure> {
        let (id, service) = (option.layer_id, &self.service.service);
        let title = self.task.layers.iter().find(|l| l.service_layer_id == Some(id)).map_or("", |l| l.title.as_str());
        let ServiceSchema { schema, left_out } = self.schema(id, title)?;
        let Some(layer) = self.service.layers.get(&id) else { return Err(Failure::internal("a layer is not described")) };
        let (area_of_all, selected) = (area, selection(service, option, area));
        let (where_clause, area) = match &selected {
            RowSelection::Rows(rows) => (rows.where_clause, rows.area),
            RowSelection::Related | RowSelection::Nothing => ("", None),
        };
        let is_listed = matches!(selected, RowSelection::Related);
        let reference = self.parameters.reference();
        let new = |moment| {
            let wanted = Wanted { where_clause, area, moment, is_listed };
            LayerQuery::new(self.client, service, (id, layer), &schema, &reference, &wanted)
        };
        let mut query = new(None)?;
        if layer.has_moments
            && let Some(moment) = self.moment(&query, id, &new).await?
        {
            query = new(Some(moment))?;
        }
        let unit = units::ids(id);
        let listed = |path| self.list(path, &selected, &query, (id, ready));
        let list = self.ctx.file_unit(&unit, &units::file_name(&unit), listed).await?.path;
        self.one_done();
        let counted = list.clone();
        let count = self.ctx.blocking(move || id_file::count(&counted)).await?;
        let pages = self.pages(&query, (id, layer.page), (&list, count)).await?;
        let heads = pages.clone();
        let gone = move || heads.iter().try_fold(0_u64, |sum, path| Ok(sum + Page::head(path)?.gone));
        let gone = self.ctx.blocking(gone).await?;
        let attachments = Box::pin(self.attachments(&query, option, area_of_all, &pages)).await?;
        Ok(ReadyLayer { id, schema, left_out, pages, attachments, listed: count, gone })
    }

    /// The attachments of a layer, where they come.
    async fn attachments(
        &self,
        query: &LayerQuery<'_>,
        option: &GenerateLayerOption,
        area: &AreaOfInterest,
        pages: &[PathBuf],
    ) -> Result<Option<Fetched>, Failure> {
        let Self { client, ctx, parameters, .. } = *self;
        let (layer, service, at_a_time) = (option.layer_id, &self.service.service, self.at_a_time());
        let planned = units::planned_attachments(&self.task.units, layer);
        if planned == 0 {
            return Ok(None);
        }
        let most_bytes = parameters.max_attachment_bytes;
        let all = Attachments { client, service, layer, query, ctx, most_bytes, at_a_time };
        let mut fetched = all.fetch(pages, planned).await?;
        let counted = self.task.layers.iter().filter(|l| l.service_layer_id == Some(layer)).find_map(|l| l.attachments);
        if counted.is_some_and(|counted| counted > fetched.listed) {
            let rows = self.task.layers.iter().find(|l| l.service_layer_id == Some(layer)).and_then(|l| l.expected);
            let again = Box::pin(expected_attachments(client, service, (option, area), true, rows, None));
            fetched.counted_again = ctx.or_cancelled(async { Ok(again.await) }).await?;
        }
        Ok(Some(fetched))
    }

    /// The moment that a layer is asked about, so that all its pages are of one state; `None` where its clock and ours do not agree on
    /// what is there now.
    async fn moment<'q>(
        &self,
        now: &LayerQuery<'_>,
        id: u32,
        at: &(impl Fn(Option<i64>) -> Result<LayerQuery<'q>, Failure> + Sync),
    ) -> Result<Option<i64>, Failure> {
        let unit = units::ids(id);
        if let Some(noted) = self.ctx.ledger().noted(&unit, MOMENT).await? {
            return Ok(noted.parse().ok());
        }
        let moment = self.ctx.clock().now_ms();
        let same = async { Ok::<_, Failure>(now.count(None).await? == at(Some(moment))?.count(None).await?) };
        let moment = self.ctx.or_cancelled(same).await?.then_some(moment);
        let text = moment.map(|moment| moment.to_string()).unwrap_or_default();
        self.ctx.ledger().note(&unit, MOMENT, &text).await?;
        Ok(moment)
    }

    /// Lists the object ids of a layer into a file.
    async fn list(
        &self,
        path: PathBuf,
        selected: &RowSelection<'_>,
        query: &LayerQuery<'_>,
        (id, ready): (u32, &[ReadyLayer]),
    ) -> Result<(), Failure> {
        let mut writer = IdWriter::create(&path).await?;
        match selected {
            RowSelection::Nothing => {}
            RowSelection::Rows(_) => id_list::list(query, &mut writer).await?,
            RowSelection::Related => {
                if let Some(origin) = self.origin_that_failed(id, ready) {
                    let message = format!(
                        "the rows of \"{}\" are those that hang on layer {origin}, which did not come; fetch that one first",
                        query.title
                    );
                    return Err(query.failure(FailureKind::Incomplete, message));
                }
                let origin = |layer: &ReadyLayer| Origin {
                    id: layer.id,
                    object_id_field: layer.schema.object_id_field.clone().unwrap_or_default(),
                    fields: layer.schema.fields.clone(),
                    pages: layer.pages.clone(),
                };
                let origins: Vec<Origin> = ready.iter().map(origin).collect();
                writer.add(related::ids(query, &self.service.service, (id, &origins), self.ctx).await?).await?;
            }
        }
        writer.finish().await
    }

    /// A layer that a table hangs on, and whose rows were to come and did not.
    fn origin_that_failed(&self, table: u32, ready: &[ReadyLayer]) -> Option<u32> {
        let described = self.service.service.layers.get(&table)?;
        let origins = described.relationships.iter().filter(|r| r.is_destination());
        let wanted = |id: u32| id != table && self.parameters.layer_options.iter().any(|o| o.layer_id == id);
        origins
            .filter_map(|r| u32::try_from(r.related_table_id).ok())
            .find(|id| wanted(*id) && !ready.iter().any(|layer| layer.id == *id))
    }

    /// Fetches the pages of a layer, some side by side.
    async fn pages(
        &self,
        query: &LayerQuery<'_>,
        (id, page): (u32, u64),
        (list, count): (&PathBuf, u64),
    ) -> Result<Vec<PathBuf>, Failure> {
        let planned = units::planned_pages(&self.task.units, id);
        let one = |index: usize| async move {
            let unit = units::page(id, index);
            let (from, to) = units::part(count, index, planned, page);
            let fetched = |path: PathBuf| async move {
                let list = list.clone();
                let ids = self.ctx.blocking(move || id_file::slice(&list, from, to)).await?;
                let page = page::fetch(query, from, ids).await?;
                self.ctx.blocking(move || super::attachments::write(&path, &page)).await
            };
            let file = self.ctx.file_unit(&unit, &units::file_name(&unit), fetched).await?;
            self.one_done();
            Ok::<_, Failure>(file.path)
        };
        stream::iter((0..planned).map(one)).buffered(self.at_a_time()).try_collect().await
    }

    fn at_a_time(&self) -> usize {
        self.client.options().requests_per_host.clamp(1, MOST_AT_A_TIME)
    }

    fn one_done(&self) {
        let (done, all) = (self.done.fetch_add(1, Ordering::AcqRel) + 1, self.task.units.len() as u64);
        self.ctx.report(Progress::percent(done.saturating_mul(100) / all.max(1)));
    }

    /// Leaves the units of a layer that failed: they have no files, so that a further run does them again.
    async fn leave(&self, layer: u32) -> Result<(), Failure> {
        let own = format!("{layer}/");
        let units = self.ctx.units().await?.into_iter();
        for unit in units.filter(|unit| unit.id.starts_with(&own) && unit.state != UnitState::Finished) {
            self.ctx.finish_unit(&unit.id, 0, None).await?;
        }
        Ok(())
    }

    /// Writes the geodatabase; what it cannot hold is returned in words.
    async fn file(&self, ready: Vec<ReadyLayer>) -> Result<(FinishedFile, Vec<String>), Failure> {
        let (ctx, relationships) = (self.ctx, relationships(&self.service.service, &ready));
        let written = |path: PathBuf| async move {
            let cancel = ctx.cancel_token().clone();
            let words = ctx.blocking(move || write(&path, &ready, &relationships, &cancel)).await?;
            let text = serde_json::to_string(&words).map_err(|e| Failure::internal(e.to_string()))?;
            ctx.ledger().note(units::FILE_UNIT, WORDS, &text).await
        };
        let file = ctx.file_unit(units::FILE_UNIT, FILE, written).await?;
        self.one_done();
        let words = ctx.ledger().noted(units::FILE_UNIT, WORDS).await?;
        Ok((file, words.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()))
    }
}
