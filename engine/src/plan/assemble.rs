//! Makes the task of a plan out of what an exporter planned for a service.

use super::group::skipped;
use super::networks;
use crate::exporter::{LayerPlan, ServiceDescription, ServiceRequest, TaskPlan};
use crate::registry::ErasedExporter;
use offmap_model::failure::{LONGEST_ATTRIBUTION, LONGEST_SERVER_MESSAGE, shortened};
use offmap_model::{CapabilityReason, ExportTask, Failure, OfflineMapParametersKey, SkippedLayer, TaskLayer};
use serde_json::Value;
use std::collections::HashMap;

/// The task, and the layers of the request that are not in it.
pub(super) fn assemble(
    index: usize,
    key: &OfflineMapParametersKey,
    exporter: &dyn ErasedExporter,
    request: &ServiceRequest,
    found: ServiceDescription,
    parameters: Value,
    task: TaskPlan,
) -> (ExportTask, Vec<SkippedLayer>) {
    let mut layers = Vec::new();
    let mut left = Vec::new();
    let planned: HashMap<&str, &LayerPlan> = task.layers.iter().rev().map(|p| (p.id.as_str(), p)).collect();
    let failed: HashMap<&str, &Failure> = task.failed.iter().rev().map(|(id, f)| (id.as_str(), f)).collect();
    for layer in &request.layers {
        match planned.get(layer.id.as_str()) {
            Some(p) => layers.push(TaskLayer {
                id: layer.id.clone(),
                title: layer.title.clone(),
                is_table: layer.is_table(),
                layer_type: layer.layer_type.clone(),
                url: layer.url.clone(),
                service_layer_id: p.service_layer_id,
                expected: p.expected,
                exact: p.exact,
                attachments: p.attachments,
            }),
            None => left.push(match failed.get(layer.id.as_str()) {
                Some(failure) => skipped(layer, CapabilityReason::ServiceNotUsable, Some((*failure).clone()), false),
                None => skipped(layer, CapabilityReason::LeftOut, None, false),
            }),
        }
    }
    let networks = networks::of_plan(&task, &request.networks, key, exporter.utility_network_parameters(), &parameters);
    let task = ExportTask {
        networks,
        id: format!("{index:03}-{}", exporter.name()),
        exporter: exporter.name().to_owned(),
        key: key.clone(),
        title: shortened(found.title, LONGEST_SERVER_MESSAGE),
        layers,
        units: task.units,
        count_unit: task.count_unit,
        levels: task.levels,
        bytes: task.bytes,
        bytes_from: task.bytes_from,
        requests: task.requests,
        limits: task.limits,
        parameters,
        service: found.service,
        attribution: found.attribution.map(|words| shortened(words, LONGEST_ATTRIBUTION)),
        edit_date: found.edit_date,
        direct_download: exporter.downloads_directly(),
        drawn: exporter.draws_tiles(),
        carried: false,
    };
    (task, left)
}
