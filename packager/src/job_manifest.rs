//! The manifest of a package that is being made: the job's plan and outcomes beside the files that were staged.

use crate::documents::Documents;
use crate::layout::MAP_FOLDER;
use crate::manifest::{FORMAT, Manifest, ManifestFile, ManifestLayer, VERSION};
use offmap_engine::PackRequest;
use offmap_model::failure::without_secrets;
use offmap_model::{LayerOutcome, LayerType};
use std::collections::HashMap;

/// The manifest of a package with these files.
pub(crate) fn manifest(request: &PackRequest, documents: &Documents<'_>, files: Vec<ManifestFile>) -> Manifest {
    let info = documents.item_info();
    let given = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let online: HashMap<&str, &LayerType> =
        request.source.web_map.layers().iter().map(|l| (l.id.as_str(), &l.layer_type)).collect();
    let layers = request.layers.iter().map(|l| layer(documents, online.get(l.id.as_str()).copied(), l));
    let layers: Vec<ManifestLayer> = layers.collect();
    let of_exporters = request.artifacts.iter().flat_map(|a| &a.artifact.warnings);
    Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        digest: String::new(),
        generator: format!("offmap {}", env!("CARGO_PKG_VERSION")),
        job: request.job.clone(),
        created: request.created,
        complete: Manifest::is_complete(&layers),
        portal_url: request.source.portal_url.clone(),
        item_id: request.source.item.as_ref().map(|i| i.id.clone()),
        access_information: given(&info.access_information),
        terms_of_use: given(&info.terms_of_use),
        area_of_interest: request.plan.parameters.area_of_interest.clone(),
        min_scale: request.plan.parameters.min_scale,
        max_scale: request.plan.parameters.max_scale,
        files,
        layers,
        warnings: request.plan.warnings.iter().chain(of_exporters).cloned().collect(),
    }
}

fn layer(documents: &Documents<'_>, layer_type: Option<&LayerType>, outcome: &LayerOutcome) -> ManifestLayer {
    let id = outcome.id.as_str();
    let (task, own) = documents.planned.get(id).map_or((None, None), |(task, own)| (Some(*task), Some(*own)));
    let url = own.and_then(|x| x.url.clone()).or_else(|| task.map(|t| t.key.service_url.clone()));
    ManifestLayer {
        id: id.to_owned(),
        title: outcome.title.clone(),
        is_table: outcome.is_table,
        layer_type: layer_type.map(LayerType::to_string),
        state: outcome.state,
        contents: outcome.contents.clone(),
        attachments_planned: own.and_then(|x| x.attachments),
        count_unit: outcome.count_unit,
        file: documents.data.get(id).map(|d| format!("{MAP_FOLDER}/{}", d.file)),
        url: url.map(|url| without_secrets(&url)),
        exporter: task.map(|t| t.exporter.clone()),
        direct_download: task.is_some_and(|t| t.direct_download),
        drawn: task.is_some_and(|t| t.drawn),
        edit_date: task.and_then(|t| t.edit_date),
        attribution: documents.attribution(id),
        terms_of_use: documents.terms_of_use(id),
        failure: outcome.failure.clone(),
    }
}
