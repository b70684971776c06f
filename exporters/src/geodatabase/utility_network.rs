//! Utility networks: what of one comes down with the replica of its service.
//!
//! Source: API reference B.5 and the guide "take a utility network offline" that it names.

use super::parameters::{GenerateGeodatabaseParameters, SyncModel, UtilityNetworkSyncMode as Mode};
use super::sync_data::{NETWORK_SYSTEM, NETWORK_TOPOLOGY};
use crate::feature_service::service::FeatureService;
use crate::feature_service::service_layer::ServiceLayer;
use offmap_engine::{NetworkPlan, ServiceRequest};
use offmap_model::{Failure, GenerateOfflineMapUpdateMode, OnlineOnlyServicesOption, ServiceUrl, UtilityNetwork};
use std::collections::HashSet;

/// From this release on the author's offline capability decides.
const AUTHOR_DECIDES_SINCE: f64 = 11.1;
/// From this release on a network that can be traced is registered, as one geodatabase.
const TRACED_GEODATABASE_SINCE: f64 = 11.3;
/// Networks of one service that are warned of one by one.
const MOST_WARNINGS: usize = 20;
/// Releases are decimal numbers; compare with this tolerance.
const SAME: f64 = 1e-6;

fn offers(service: &FeatureService, bits: u32) -> bool {
    service.sync.data_options.unwrap_or(0) & bits == bits
}

/// A data layer of the network that the map has and that cannot be taken: without it the network cannot be, either.
fn lacking<'a>(request: &ServiceRequest, service: &'a FeatureService) -> Option<&'a str> {
    let taken: HashSet<u32> = request.layers.iter().filter_map(crate::feature_service::row_filter::layer_id).collect();
    let data = service.layers.iter().find(|(id, layer)| layer.in_network && !taken.contains(id));
    data.map(|(_, layer)| layer.name.as_str())
}

/// What comes down where the caller says nothing: the system tables, or from 11.1 on what the author chose.
pub(super) fn default_mode(request: &ServiceRequest, service: &FeatureService, authored: Option<u32>) -> Mode {
    if request.networks.is_empty() || lacking(request, service).is_some() {
        return Mode::None;
    }
    let wanted = match authored {
        Some(bits) if service.version >= AUTHOR_DECIDES_SINCE - SAME => {
            if bits & NETWORK_TOPOLOGY != 0 {
                Mode::SyncSystemAndTopologyTables
            } else if bits & NETWORK_SYSTEM != 0 {
                Mode::SyncSystemTables
            } else {
                Mode::None
            }
        }
        _ => Mode::SyncSystemTables,
    };
    // The most that the service offers of it.
    match wanted {
        Mode::SyncSystemAndTopologyTables
            if offers(service, NETWORK_SYSTEM | NETWORK_TOPOLOGY)
                && (traced_model(service) != SyncModel::None || service.sync.none) =>
        {
            wanted
        }
        Mode::None => Mode::None,
        _ if offers(service, NETWORK_SYSTEM) => Mode::SyncSystemTables,
        _ => Mode::None,
    }
}

/// How the replica is registered.
pub(super) fn sync_model(service: &FeatureService, mode: Mode, with_updates: bool) -> SyncModel {
    match (mode, with_updates) {
        (_, false) => SyncModel::None,
        (Mode::SyncSystemAndTopologyTables, true) => traced_model(service),
        (_, true) => SyncModel::Layer,
    }
}

fn traced_model(service: &FeatureService) -> SyncModel {
    match service.version >= TRACED_GEODATABASE_SINCE - SAME {
        true => SyncModel::Geodatabase,
        false => SyncModel::None,
    }
}

/// Refuses what a service with a utility network does not take.
pub(super) fn check(parameters: &GenerateGeodatabaseParameters, service: &FeatureService) -> Result<(), Failure> {
    let mode = parameters.utility_network_sync_mode;
    let (word, needed, name) = match mode {
        Mode::None => return Ok(()),
        Mode::SyncSystemTables => ("syncSystemTables", NETWORK_SYSTEM, "system tables"),
        Mode::SyncSystemAndTopologyTables => {
            ("syncSystemAndTopologyTables", NETWORK_SYSTEM | NETWORK_TOPOLOGY, "system tables and topology")
        }
    };
    if !offers(service, needed) {
        return Err(Failure::invalid_parameter(format!(
            "utilityNetworkSyncMode is `{word}`, but the replicas of {} hold no {name} of a utility network \
             (supportedSyncDataOptions is {}, without {needed}); take `none`",
            service.root,
            service.sync.data_options.unwrap_or(0)
        )));
    }
    let named: HashSet<u32> = parameters.layer_options.iter().map(|o| o.layer_id).collect();
    let left_out = |(id, layer): &(&u32, &ServiceLayer)| layer.in_network && !named.contains(*id);
    if let Some((id, layer)) = service.layers.iter().find(left_out) {
        return Err(Failure::invalid_parameter(format!(
            "layerOptions leaves out layer {id} \"{}\" of {}, which is data of its utility network; name it (queryOption `none` \
             brings its schema only), or set utilityNetworkSyncMode to `none`",
            layer.name, service.root
        )));
    }
    if let Some(id) = service.network_layer.filter(|id| named.contains(id)) {
        return Err(Failure::invalid_parameter(format!(
            "layerOptions names layer {id} of {}, which is the utility network itself; it comes by utilityNetworkSyncMode",
            service.root
        )));
    }
    let fitting = traced_model(service);
    if mode == Mode::SyncSystemAndTopologyTables && parameters.sync_model != fitting {
        // Without updates nothing is registered, whatever the release.
        if parameters.sync_model == SyncModel::None {
            return Ok(());
        }
        let fitting = if fitting == SyncModel::None { "none" } else { "geodatabase" };
        return Err(Failure::invalid_parameter(format!(
            "a utility network that can be traced goes with syncModel `{fitting}` on {} (release {})",
            service.root, service.version
        )));
    }
    Ok(())
}

/// Which of the map's networks come along, and by which layer of the service.
pub(super) fn planned(
    request: &ServiceRequest,
    service: &FeatureService,
    parameters: &GenerateGeodatabaseParameters,
) -> Vec<NetworkPlan> {
    let comes = parameters.utility_network_sync_mode != Mode::None;
    let plan = |network: &UtilityNetwork| {
        let named = network.url.as_deref().and_then(ServiceUrl::parse).and_then(|url| url.layer_id());
        NetworkPlan { index: network.index, service_layer_id: named.or(service.network_layer).filter(|_| comes) }
    };
    request.networks.iter().map(plan).collect()
}

/// What the caller should know of networks that will not come.
pub(super) fn warnings(
    request: &ServiceRequest,
    service: &FeatureService,
    parameters: &GenerateGeodatabaseParameters,
) -> Vec<String> {
    let with_updates = request.parameters.update_mode == GenerateOfflineMapUpdateMode::SyncWithFeatureServices;
    match (parameters.utility_network_sync_mode, parameters.sync_model) {
        (Mode::None, _) => {}
        (Mode::SyncSystemAndTopologyTables, SyncModel::None) if with_updates => {
            return vec![format!(
                "{} is not registered for updates: with a utility network that can be traced its release ({}) wants syncModel `none`",
                service.root, service.version
            )];
        }
        _ => return Vec::new(),
    }
    let end = match request.parameters.online_only_services_option {
        OnlineOnlyServicesOption::Include => "it stays with its online url",
        _ => "it is left out of the map",
    };
    let why = if let Some(name) = lacking(request, service) {
        format!("cannot be had offline: its data layer \"{name}\" cannot be taken")
    } else if offers(service, NETWORK_SYSTEM) {
        "does not come along (utilityNetworkSyncMode is `none`)".to_owned()
    } else {
        format!(
            "cannot be had offline: the replicas of {} hold no system tables of one (supportedSyncDataOptions is {}, without \
             {NETWORK_SYSTEM})",
            service.root,
            service.sync.data_options.unwrap_or(0)
        )
    };
    // A service has one network; a map that names it more often is not told so more than a few times.
    request
        .networks
        .iter()
        .take(MOST_WARNINGS)
        .map(|n| format!("the utility network \"{}\" {why}; {end}", n.title))
        .collect()
}
