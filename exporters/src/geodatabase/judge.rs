//! Whether a layer of a map can come down as part of a replica, by what its service says.

use super::sync_data;
use crate::feature_service::found::found;
use crate::feature_service::service::FeatureService;
use offmap_model::{Capability, CapabilityReason, MapLayer};

/// Judges a layer; the first thing that is in its way is named.
pub(super) fn judge(layer: &MapLayer, service: &FeatureService) -> Capability {
    let title = &layer.title;
    let refused = |reason, words: String| Capability::refused(reason, words);
    let found = match found(layer, service) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    if !service.sync_enabled {
        let what = if service.is_view { "the view" } else { "the service" };
        let words = format!(
            "\"{title}\": sync is not enabled on {what} {} (its capabilities are `{}`); its owner can switch it on",
            service.root, service.capabilities
        );
        return refused(CapabilityReason::SyncNotEnabled, words);
    }
    if !found.can_sync {
        let words = format!("\"{title}\": the service can sync, this layer cannot (Sync is missing in its capabilities)");
        return refused(CapabilityReason::SyncNotEnabled, words);
    }
    if found.global_id_field.is_none() {
        let words = format!("\"{title}\" has no global ids, which sync needs; its owner can add them");
        return refused(CapabilityReason::GlobalIdMissing, words);
    }
    if let Some((reason, words)) = &found.problem {
        return refused(*reason, format!("\"{title}\": {words}"));
    }
    if let Some(words) = sync_data::not_offered(layer, found, &service.sync) {
        return refused(CapabilityReason::SyncDataOptionsNotOffered, format!("\"{title}\": {words}"));
    }
    Capability::Supported
}
