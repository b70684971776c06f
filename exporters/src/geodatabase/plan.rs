//! What a replica will hold: counted by the service before anything is spent.

use super::parameters::GenerateGeodatabaseParameters;
use super::units::{FILE_UNIT, JOB_UNIT};
use crate::feature_service::counts::RowFilter;
use crate::feature_service::expected::{expected_attachments, expected_rows, uncounted};
use crate::feature_service::row_filter::by_service_layer;
use crate::feature_service::service::FeatureService;
use offmap_arcgis::ArcGisClient;
use offmap_disk::run_blocking;
use offmap_engine::{LayerPlan, TaskPlan};
use offmap_model::{AreaOfInterest, ByteRange, CountUnit, Failure, FailureOwner, MapLayer, Unit};

/// Bytes of a row, from a bare point to a rich polygon; an estimate for plans, attachments not counted.
const BYTES_PER_ROW: (u64, u64) = (200, 20_000);
/// Bytes of an empty geodatabase.
const EMPTY_BYTES: u64 = 200_000;

/// The area as it goes over the wire; made off the async threads.
pub(super) async fn for_wire(parameters: &GenerateGeodatabaseParameters) -> Result<AreaOfInterest, Failure> {
    let area = parameters.extent.clone();
    run_blocking(move || Ok(area.for_wire())).await
}

/// A replica that is being planned.
pub(super) struct Planning<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) service: &'a FeatureService,
    pub(super) parameters: &'a GenerateGeodatabaseParameters,
}

impl Planning<'_> {
    /// The layers that will come with their rows, those that cannot come, and the bytes.
    pub(super) async fn count(&self, map_layers: &[MapLayer]) -> Result<TaskPlan, Failure> {
        let Self { client, service, parameters } = *self;
        let (mut layers, mut failed, mut rows) = (Vec::new(), Vec::new(), 0_u64);
        let (_, of_service) = by_service_layer(map_layers);
        let area = for_wire(parameters).await?;
        for option in &parameters.layer_options {
            let twins = of_service.get(&option.layer_id).into_iter().flatten();
            let expected = match expected_rows(client, service, option, &area).await {
                Ok(expected) => expected,
                // What one layer answers costs only that layer.
                Err(failure) if failure.owner == FailureOwner::Source => {
                    failed.extend(twins.map(|l| (l.id.clone(), uncounted(&l.title, option, failure.clone()))));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let attachments =
                expected_attachments(client, service, (option, &area), parameters.return_attachments, expected, None).await;
            rows = rows.saturating_add(expected.unwrap_or(0));
            layers.extend(twins.map(|layer| LayerPlan {
                id: layer.id.clone(),
                service_layer_id: Some(option.layer_id),
                expected,
                exact: expected.is_some(),
                attachments,
            }));
        }
        Ok(TaskPlan {
            is_empty: rows == 0 && self.has_no_rows().await,
            units: vec![
                Unit::new(JOB_UNIT, "serverJob", "the service's replica job"),
                Unit::new(FILE_UNIT, "resultFile", "the geodatabase"),
            ],
            layers,
            failed,
            count_unit: CountUnit::Features,
            // Submit, one poll, fetch.
            requests: 3,
            bytes: Some(ByteRange {
                min: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.0)),
                max: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.1)),
            }),
            ..TaskPlan::default()
        })
    }

    /// Whether the layers have no rows anywhere, as those of a service that was just published. The first that has some ends the
    /// asking; a service that cannot count them is not called empty.
    async fn has_no_rows(&self) -> bool {
        for option in &self.parameters.layer_options {
            let all = RowFilter { layer: option.layer_id, where_clause: "", area: None, up_to: None };
            if !matches!(self.service.count(self.client, &all).await, Ok(0)) {
                return false;
            }
        }
        true
    }
}
