//! What a feature service says of itself, as far as a replica needs it.
//!
//! Source: `feature-service-rest` reference §2.

use super::answer::{allows_editing, by_default, flag, has_word, text};
use super::network_facts;
use super::service_layer::{ListedLayer, Relationship, ServiceLayer, read_layer};
use offmap_arcgis::body::{cut, cut_attribution, expect_description, not_a_number, number_in};
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_model::{Envelope, Failure, FailureOwner, FailureStage, LayerSecrets, SpatialReference, number};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Most layers of a service that are remembered by name.
const MOST_LISTED: usize = 1000;
/// `syncCapabilities`, in either spelling, with the documented meaning of absence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncCapabilities {
    pub(crate) is_async: bool,
    pub(crate) per_layer: bool,
    #[serde(default = "by_default")]
    pub(crate) per_replica: bool,
    pub(crate) none: bool,
    pub(crate) attachments_direction: bool,
    pub(crate) data_options: Option<u32>,
}

/// A feature service with the layers that a map uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureService {
    pub(crate) root: String,
    pub(crate) title: String,
    pub(crate) capabilities: String,
    pub(crate) sync_enabled: bool,
    pub(crate) editable: bool,
    /// `createReplica` fails on such a service unless the client says that it knows unknown time references.
    pub(crate) unknown_time_zone: bool,
    /// Whether it is a view on another service.
    pub(crate) is_view: bool,
    pub(crate) sync: SyncCapabilities,
    pub(crate) extent: Option<Envelope>,
    pub(crate) attribution: Option<String>,
    pub(crate) spatial_reference: Option<SpatialReference>,
    pub(crate) layers: BTreeMap<u32, ServiceLayer>,
    /// Release of the server; 0 where it does not say.
    #[serde(default)]
    pub(crate) version: f64,
    /// The layer of its utility network, where it has one.
    #[serde(default)]
    pub(crate) network_layer: Option<u32>,
    /// Layers that could not be described, with the reason; not kept in the plan, which does not have them.
    #[serde(skip)]
    pub(crate) broken: BTreeMap<u32, Failure>,
    /// What the service lists, for people; not kept in the plan.
    #[serde(skip)]
    pub(crate) listed: Vec<ListedLayer>,
    /// Parameters of the map's layers that go with every request; supplied anew whenever this is read back.
    #[serde(skip)]
    pub(crate) secrets: LayerSecrets,
}

/// The layers and tables that a service lists.
fn entries(answer: &Value) -> impl Iterator<Item = &Value> {
    ["layers", "tables"].into_iter().filter_map(|key| answer.get(key)?.as_array()).flatten()
}

impl FeatureService {
    /// With the secrets of its layers, which no plan holds.
    pub(crate) fn with_secrets(self, secrets: &LayerSecrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// Asks the service, and each of the layers that it lists among `wanted`.
    pub(crate) async fn fetch(
        client: &ArcGisClient,
        root: &str,
        wanted: &[u32],
        secrets: &LayerSecrets,
    ) -> Result<Self, Failure> {
        Self::fetch_with(client, root, wanted, secrets, |_, _| {}).await
    }

    /// The same; `read` sees the description of each layer.
    pub(crate) async fn fetch_with(
        client: &ArcGisClient,
        root: &str,
        wanted: &[u32],
        secrets: &LayerSecrets,
        mut read: impl FnMut(u32, &Value) + Send,
    ) -> Result<Self, Failure> {
        let get = |url: &str| {
            let call = ServiceCall::get(url)?.with_secrets(secrets).in_stage(FailureStage::Plan);
            Ok::<_, Failure>(call.answer(AnswerKind::Description))
        };
        let answer = client.json(&get(root)?).await?;
        let mut service = Self::read(root, &answer, secrets)?;
        let listed: HashSet<u32> = entries(&answer).filter_map(|l| number::read(l.get("id")?)).collect();
        let in_map: HashSet<u32> = wanted.iter().copied().collect();
        for id in wanted.iter().copied().filter(|id| listed.contains(id)) {
            let url = format!("{root}/{id}");
            let call = get(&url)?;
            let described = async {
                let layer = client.json(&call).await?;
                expect_description(&layer, &url, "a layer", &["fields", "type", "name", "geometryType"])?;
                read(id, &layer);
                let mut layer = read_layer(&layer, &answer).map_err(|wrong| not_a_number(&wrong, &url))?;
                // The plan keeps what it needs: those to the map's own layers, and whether there are others above it.
                let of_map = |r: &Relationship| u32::try_from(r.related_table_id).is_ok_and(|id| in_map.contains(&id));
                layer.origin_outside = layer.relationships.iter().any(|r| r.is_destination() && !of_map(r));
                layer.relationships.retain(of_map);
                Ok::<_, Failure>(layer)
            };
            // A layer that is broken costs only itself; a host that does not answer is asked no more.
            match described.await {
                Ok(layer) => drop(service.layers.insert(id, layer)),
                Err(failure) if failure.owner == FailureOwner::Network || failure.is_cancelled() => return Err(failure),
                Err(failure) => drop(service.broken.insert(id, failure)),
            }
        }
        Ok(service)
    }

    /// Reads what the service says of itself; its layers are not in it yet.
    pub(crate) fn read(root: &str, answer: &Value, secrets: &LayerSecrets) -> Result<Self, Failure> {
        let capabilities = cut(text(answer, "capabilities").unwrap_or_default());
        expect_description(answer, root, "a feature service", &["layers", "tables", "capabilities"])?;
        let sync = answer.get("syncCapabilities").cloned().unwrap_or(Value::Null);
        let extent = answer.get("fullExtent").or_else(|| answer.get("initialExtent")).cloned();
        Ok(Self {
            root: root.to_owned(),
            title: root.rsplit('/').nth(1).unwrap_or(root).to_owned(),
            // The flag decides, not the presence of `syncCapabilities`.
            sync_enabled: flag(answer, &["syncEnabled"]).unwrap_or(false) && has_word(&capabilities, "sync"),
            editable: allows_editing(&capabilities),
            is_view: flag(answer, &["isView"]).unwrap_or(false),
            unknown_time_zone: flag(answer, &["datesInUnknownTimezone"]).unwrap_or(false),
            capabilities,
            sync: SyncCapabilities {
                is_async: flag(&sync, &["supportsAsync", "supportsASync"]).unwrap_or(false),
                per_layer: flag(&sync, &["supportsPerLayerSync"]).unwrap_or(false),
                per_replica: flag(&sync, &["supportsPerReplicaSync"]).unwrap_or_else(by_default),
                none: flag(&sync, &["supportsSyncModelNone"]).unwrap_or(false),
                attachments_direction: flag(&sync, &["supportsAttachmentsSyncDirection"]).unwrap_or(false),
                data_options: number_in(&sync, "supportedSyncDataOptions", root)?,
            },
            extent: extent.and_then(|e| serde_json::from_value(e).ok()),
            attribution: text(answer, "copyrightText").map(cut_attribution),
            spatial_reference: answer.get("spatialReference").cloned().and_then(|v| serde_json::from_value(v).ok()),
            layers: BTreeMap::new(),
            version: network_facts::version(answer),
            network_layer: network_facts::layer_of(answer).map_err(|wrong| not_a_number(&wrong, root))?,
            broken: BTreeMap::new(),
            listed: entries(answer).take(MOST_LISTED).map(ListedLayer::read).collect(),
            secrets: secrets.clone(),
        })
    }

    /// Where the data lie, with a spatial reference; `None` for the empty or unreadable extents of services without data.
    pub(crate) fn extent_in(&self) -> Option<Envelope> {
        let mut extent = self.extent.clone()?;
        extent.spatial_reference = extent.spatial_reference.or_else(|| self.spatial_reference.clone());
        let has_area = extent.xmax > extent.xmin && extent.ymax > extent.ymin;
        (has_area && extent.spatial_reference.is_some()).then_some(extent)
    }
}
