//! One export: layer after layer its object ids, its pages side by side, its attachments; then the geodatabase, whose rows are counted.

use super::attachment_list::AttachmentLists;
use super::attachments::{Attachments, Fetched};
use super::early::Early;
use super::file::made;
use super::id_file::{self, IdWriter};
use super::id_list::{self, LIMITS};
use super::id_source::IdSource as _;
use super::layer_query::{LayerQuery, Wanted};
use super::made_of::{digest, digest_of_ids, made_of};
use super::order::origins_first;
use super::page;
use super::parameters::FeatureQueryParameters;
use super::plan::for_wire;
use super::related::{self, Origin};
use super::service::QueriedService;
use super::stated::is_refusal;
use super::stored::Page;
use super::units;
use super::verify::verified;
use super::written::ReadyLayer;
use crate::feature_service::expected::{RowSelection, expected_attachments, selection};
use crate::feature_service::layer_option::GenerateLayerOption;
use crate::feature_service::service_layer::read_layer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_engine::{ExportContext, FinishedFile, UnitState};
use offmap_formats::geodatabase::{ServiceSchema, schema_of_service};
use offmap_model::{Allowance, AreaOfInterest, Artifact, ExportTask, Failure, FailureKind, FailureOwner, Progress};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most pages or files that are fetched side by side.
const MOST_AT_A_TIME: usize = 16;
/// Notes the moment that a layer is asked about.
const MOMENT: &str = "historicMoment";

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
        let options = self.in_order(&area);
        let mut early = Early::begin(self.ctx, self.task.units.len(), options.len()).await?;
        for option in options {
            match Box::pin(self.layer(option, &area, (&ready, early.as_ref()))).await {
                Ok(layer) => {
                    early.iter().for_each(|early| early.ready(&layer));
                    ready.push(layer);
                }
                Err(failure) if failure.owner == FailureOwner::Source && !failure.is_cancelled() => {
                    // It has rows of it.
                    if let Some(early) = early.take() {
                        early.abandon().await;
                    }
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
        let (file, mut outcome) = made(self.ctx, &self.service.service, &ready, early).await?;
        self.one_done();
        let words = std::mem::take(&mut outcome.written.words);
        let mut artifact = Artifact { files: vec![file.artifact("geodatabase")], warnings: words, ..Artifact::default() };
        for layer in &self.task.layers {
            artifact.layers.push(verified(layer, self.service, &ready, (&failed, &outcome)));
        }
        Ok(artifact)
    }

    /// The layers of the task; tables that hang on others come behind them.
    fn in_order(&self, area: &AreaOfInterest) -> Vec<&GenerateLayerOption> {
        let planned: HashSet<u32> = self.task.layers.iter().filter_map(|l| l.service_layer_id).collect();
        let options = self.parameters.layer_options.iter().filter(|o| planned.contains(&o.layer_id));
        let is_related =
            |o: &&GenerateLayerOption| matches!(selection(&self.service.service, o, area), RowSelection::Related);
        let (related, mut all): (Vec<_>, Vec<_>) = options.partition(is_related);
        let hangs_on = |o: &&GenerateLayerOption| {
            let relationships = self.service.service.layers.get(&o.layer_id).map(|l| l.relationships.as_slice());
            let origins = relationships.unwrap_or_default().iter().filter(|r| r.is_destination());
            origins.filter_map(|r| u32::try_from(r.related_table_id).ok()).collect()
        };
        all.extend(origins_first(related, |o| o.layer_id, hangs_on));
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
        (ready, early): (&[ReadyLayer], Option<&Early>),
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
        let wanted = Wanted { where_clause, area, is_listed };
        let query = LayerQuery::new(self.client, service, (id, layer), &schema, &reference, &wanted)?;
        if layer.has_moments {
            self.ask_at_a_moment(&query, id).await?;
        }
        let unit = units::ids(id);
        let name = units::file_name(&unit);
        if is_listed {
            // The rows that it hangs on may be others than before.
            let of = digest(ready.iter().flat_map(|layer| [layer.id.to_string(), layer.digest.clone()]));
            made_of(self.ctx, &unit, &name, &of).await?;
        }
        let listed = |path| self.list(path, &selected, &query, (id, ready));
        let list = self.ctx.file_unit(&unit, &name, listed).await?;
        self.one_done();
        let counted = list.path.clone();
        let count = self.ctx.blocking(move || id_file::count(&counted)).await?;
        let moment = query.stated.moment();
        let has_attachments = units::planned_attachments(&self.task.units, id) > 0;
        early.iter().for_each(|early| early.layer(&schema, has_attachments));
        let files = self.pages(&query, (id, layer.page), (&list.path, count), early).await?;
        if query.stated.moment() != moment {
            self.note_moment(&query, id).await?;
        }
        let of_rows = digest(std::iter::once(&list).chain(&files).map(|file| &file.sha256));
        let pages: Vec<PathBuf> = files.into_iter().map(|file| file.path).collect();
        let heads = pages.clone();
        let gone = move || heads.iter().try_fold(0_u64, |sum, path| Ok(sum + Page::head(path)?.gone));
        let gone = self.ctx.blocking(gone).await?;
        let attachments = Box::pin(self.attachments(&query, (option, area_of_all), (&pages, &of_rows), early)).await?;
        let of_attachments = attachments.as_ref().map(|fetched| fetched.digest.clone()).unwrap_or_default();
        let digest = digest([of_rows, of_attachments]);
        // What is asked about one moment is of one state, whenever it comes.
        let is_edited = list.was_there && query.stated.moment().is_none() && self.is_edited(id).await?;
        Ok(ReadyLayer { id, schema, left_out, pages, attachments, listed: count, gone, is_edited, digest })
    }

    /// Whether a layer says that it was edited since the plan was made; one that does not answer does not say so.
    async fn is_edited(&self, id: u32) -> Result<bool, Failure> {
        let service = &self.service.service;
        let call = ServiceCall::get(&format!("{}/{id}", service.root))?.with_secrets(&service.secrets);
        let call = call.answer(AnswerKind::Description);
        let answer = self.ctx.or_cancelled(async { Ok(self.client.json(&call).await) }).await?;
        let now = answer.ok().and_then(|answer| read_layer(&answer, &Value::Null).ok()?.edit_date);
        let planned = service.layers.get(&id).and_then(|layer| layer.edit_date);
        Ok(now.is_some() && now != planned)
    }

    /// The attachments of a layer, where they come.
    async fn attachments(
        &self,
        query: &LayerQuery<'_>,
        (option, area): (&GenerateLayerOption, &AreaOfInterest),
        (pages, of_rows): (&[PathBuf], &str),
        early: Option<&Early>,
    ) -> Result<Option<Fetched>, Failure> {
        let Self { client, ctx, parameters, .. } = *self;
        let (layer, service, at_a_time) = (option.layer_id, &self.service.service, self.at_a_time());
        let planned = units::planned_attachments(&self.task.units, layer);
        if planned == 0 {
            return Ok(None);
        }
        let most_bytes = parameters.max_attachment_bytes;
        let (may_lack, missing) = (self.may_lack(layer), Mutex::default());
        let may = !may_lack.is_empty();
        let each = &|file: &Path, highest| early.iter().for_each(|early| early.attachments(file, highest));
        let lists = AttachmentLists { client, service, layer, query, ctx, at_a_time, may_lack: may };
        let all = Attachments { lists, most_bytes, may_lack, missing, each };
        let mut fetched = all.fetch((pages, of_rows), planned).await?;
        let counted = self.task.layers.iter().filter(|l| l.service_layer_id == Some(layer)).find_map(|l| l.attachments);
        if counted.is_some_and(|counted| counted > fetched.listed.saturating_add(fetched.repeated)) {
            let rows = self.task.layers.iter().find(|l| l.service_layer_id == Some(layer)).and_then(|l| l.expected);
            let again = Box::pin(expected_attachments(client, service, (option, area), true, rows, None));
            fetched.counted_again = ctx.or_cancelled(async { Ok(again.await) }).await?;
        }
        Ok(Some(fetched))
    }

    /// What may be missing of the attachments of a layer of the service, by the budgets of the map's layers that are of it.
    fn may_lack(&self, layer: u32) -> Vec<Allowance> {
        let own = self.task.layers.iter().filter(|l| l.service_layer_id == Some(layer));
        own.filter_map(|l| self.ctx.error_budget(&l.id).missing_attachments).collect()
    }

    /// Asks about one moment, so that all pages are of one state; about now where the service refuses it, or its clock and ours do not
    /// agree on what is there now.
    async fn ask_at_a_moment(&self, query: &LayerQuery<'_>, id: u32) -> Result<(), Failure> {
        let unit = units::ids(id);
        if let Some(noted) = self.ctx.ledger().noted(&unit, MOMENT).await? {
            query.stated.ask_at(noted.parse().ok());
            return Ok(());
        }
        let moment = self.ctx.clock().now_ms();
        let same = async {
            let now = query.count(None).await?;
            query.stated.ask_at(Some(moment));
            match query.count(None).await {
                Ok(then) => Ok(then == now),
                Err(failure) if is_refusal(&failure) => Ok(false),
                Err(failure) => Err(failure),
            }
        };
        if !self.ctx.or_cancelled(same).await? {
            query.stated.ask_at(None);
        }
        self.note_moment(query, id).await
    }

    async fn note_moment(&self, query: &LayerQuery<'_>, id: u32) -> Result<(), Failure> {
        let text = query.stated.moment().map(|moment| moment.to_string()).unwrap_or_default();
        self.ctx.ledger().note(&units::ids(id), MOMENT, &text).await
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
            RowSelection::Rows(_) => match id_list::list(query, LIMITS, &mut writer).await {
                // What it counted at a moment, it may not list.
                Err(failure) if query.stated.moment().is_some() && is_refusal(&failure) => {
                    query.stated.ask_at(None);
                    self.note_moment(query, id).await?;
                    writer = IdWriter::create(&path).await?;
                    id_list::list(query, LIMITS, &mut writer).await?;
                }
                listed => listed?,
            },
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
        early: Option<&Early>,
    ) -> Result<Vec<FinishedFile>, Failure> {
        let planned = units::planned_pages(&self.task.units, id);
        let one = |index: usize| async move {
            let unit = units::page(id, index);
            let name = units::file_name(&unit);
            let (from, to) = units::part(count, index, planned, page);
            let list = list.clone();
            let ids = self.ctx.blocking(move || id_file::slice(&list, from, to)).await?;
            made_of(self.ctx, &unit, &name, &digest_of_ids(&ids)).await?;
            let fetched = |path: PathBuf| page::fetch(query, from, ids, path);
            let file = self.ctx.file_unit(&unit, &name, fetched).await?;
            self.one_done();
            Ok::<_, Failure>(file)
        };
        let told = |file: FinishedFile| {
            early.iter().for_each(|early| early.page(&file.path));
            file
        };
        stream::iter((0..planned).map(one)).buffered(self.at_a_time()).map_ok(told).try_collect().await
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
}
