//! What will come, page by page: counted by the service before anything is asked for.

use super::parameters::FeatureQueryParameters;
use super::service::QueriedService;
use super::units;
use crate::feature_service::counts::RowFilter;
use crate::feature_service::expected::uncounted;
use crate::feature_service::expected::{RowSelection, expected_attachments, expected_rows, selection};
use crate::feature_service::layer_option::GenerateLayerOption;
use crate::feature_service::row_filter::by_service_layer;
use offmap_arcgis::ArcGisClient;
use offmap_disk::run_blocking;
use offmap_engine::{LayerPlan, TaskPlan};
use offmap_model::{AreaOfInterest, ByteRange, CountUnit, Failure, FailureOwner, MapLayer, Unit};

/// Bytes of a row, from a bare point to a rich polygon; an estimate for plans, attachments not counted.
const BYTES_PER_ROW: (u64, u64) = (200, 20_000);
/// Bytes of an empty geodatabase.
const EMPTY_BYTES: u64 = 200_000;
/// Units of attachments that nobody counted.
const UNCOUNTED_ATTACHMENTS: u64 = 1000;

/// The area as it goes over the wire; made off the async threads.
pub(super) async fn for_wire(parameters: &FeatureQueryParameters) -> Result<AreaOfInterest, Failure> {
    let area = parameters.extent.clone();
    run_blocking(move || Ok(area.for_wire())).await
}

/// A layer that was counted.
struct Counted {
    /// `None` for rows that are related to others.
    rows: Option<u64>,
    attachments: Option<u64>,
    units: Vec<Unit>,
}

/// An export that is being planned.
pub(super) struct Planning<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) service: &'a QueriedService,
    pub(super) parameters: &'a FeatureQueryParameters,
}

impl Planning<'_> {
    /// The layers that will come with their rows and units, those that cannot come, and the bytes.
    pub(super) async fn count(&self, map_layers: &[MapLayer]) -> Result<TaskPlan, Failure> {
        let (_, of_service) = by_service_layer(map_layers);
        let area = for_wire(self.parameters).await?;
        let mut plan = TaskPlan { count_unit: CountUnit::Features, ..TaskPlan::default() };
        let mut rows = 0_u64;
        for option in &self.parameters.layer_options {
            let twins = of_service.get(&option.layer_id).into_iter().flatten();
            let title = twins.clone().next().map_or("a layer", |layer| layer.title.as_str());
            match self.layer(option, &area, title).await {
                Ok(counted) => {
                    rows = rows.saturating_add(counted.rows.unwrap_or(0));
                    plan.requests = plan.requests.saturating_add(counted.units.len() as u64 + 1);
                    plan.units.extend(counted.units);
                    plan.layers.extend(twins.map(|layer| LayerPlan {
                        id: layer.id.clone(),
                        service_layer_id: Some(option.layer_id),
                        expected: counted.rows,
                        exact: counted.rows.is_some(),
                        attachments: counted.attachments,
                    }));
                }
                // What one layer answers costs only that layer.
                Err(failure) if failure.owner == FailureOwner::Source => {
                    let failed = twins.map(|l| (l.id.clone(), uncounted(&l.title, option, failure.clone())));
                    plan.failed.extend(failed);
                }
                Err(failure) => return Err(failure),
            }
        }
        plan.units.push(Unit::new(units::FILE_UNIT, "resultFile", "the geodatabase"));
        plan.is_empty = rows == 0 && self.has_no_rows().await;
        plan.bytes = Some(ByteRange {
            min: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.0)),
            max: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.1)),
        });
        Ok(plan)
    }

    async fn layer(&self, option: &GenerateLayerOption, area: &AreaOfInterest, title: &str) -> Result<Counted, Failure> {
        let Self { client, service: QueriedService { service, layers, .. }, parameters } = *self;
        let id = option.layer_id;
        let rows = expected_rows(client, service, option, area).await?;
        // Of rows that are related to others it is known that they are no more than all.
        let most = match rows {
            Some(rows) => rows,
            None => service.count(client, &RowFilter { layer: id, where_clause: "", area: None, up_to: None }).await?,
        };
        let page = layers.get(&id).map_or(1, |layer| layer.page);
        let with_attachments = parameters.return_attachments && service.layers.get(&id).is_some_and(|l| l.has_attachments);
        let returned = parameters.return_attachments;
        let attachments = expected_attachments(client, service, (option, area), returned, rows, None).await;
        let attachment_units = match attachments {
            Some(count) => units::attachment_units_of(count),
            None => units::attachment_units_of(most.min(UNCOUNTED_ATTACHMENTS)),
        };
        let units = units::of_layer(id, title, units::pages_of(most, page), with_attachments.then_some(attachment_units));
        Ok(Counted { rows, attachments, units })
    }

    /// Whether the layers have no rows anywhere, as those of a service that was just published.
    async fn has_no_rows(&self) -> bool {
        let area = self.parameters.extent.clone();
        for option in &self.parameters.layer_options {
            let every = GenerateLayerOption {
                query_option: crate::feature_service::layer_option::GenerateLayerQueryOption::All,
                ..option.clone()
            };
            let RowSelection::Rows(all) = selection(&self.service.service, &every, &area) else { return false };
            if !matches!(self.service.service.count(self.client, &all).await, Ok(0)) {
                return false;
            }
        }
        true
    }
}
