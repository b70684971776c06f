//! The plan: what will be done, before anything is spent.

use crate::capability::{CapabilityReason, LayerCapability, OfflineMapCapabilities};
use crate::failure::Failure;
use crate::parameters::GenerateOfflineMapParameters;
use crate::parameters_key::OfflineMapParametersKey;
use crate::web_map::LayerType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The smallest thing that can succeed or fail by itself and need not be fetched twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// Stable id, unique in its task.
    pub id: String,
    /// Kind of work: `serverJob`, `resultFile`, `resource`, `tileBlock`, `page`, …
    pub kind: String,
    /// For people.
    pub title: String,
}

impl Unit {
    /// Makes a unit.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), kind: kind.into(), title: title.into() }
    }
}

/// A number of bytes that is only known as a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByteRange {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

/// Where a range of bytes comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum BytesSource {
    /// Typical sizes of a tile or row, times their number.
    #[default]
    TypicalSizes,
    /// The service's own estimate.
    ServiceEstimate,
    /// Samples that were fetched.
    Samples,
}

/// What a count counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CountUnit {
    /// Features or rows.
    #[default]
    Features,
    /// Tiles.
    Tiles,
    /// Something else, counted one by one.
    Items,
}

/// One level of a tiled layer and how many tiles the area needs there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedLevel {
    /// The service's level id.
    pub level_id: u32,
    /// Scale denominator.
    pub scale: f64,
    /// Tiles that meet the area; an upper bound where the service prunes empty tiles.
    pub tiles: u64,
}

/// A limit of the service that the task touches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLimit {
    /// The service's name for it, such as `maxExportTilesCount`.
    pub name: String,
    /// Its value.
    pub limit: u64,
    /// What the task needs, as far as known.
    pub needed: u64,
}

/// One layer or table of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLayer {
    /// Id in the map; also the subject of its status messages.
    pub id: String,
    /// Title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// Kind of layer.
    pub layer_type: LayerType,
    /// Url of the layer.
    pub url: Option<String>,
    /// Id in the service.
    pub service_layer_id: Option<u32>,
    /// How many features, tiles or items are to come; `None` where the service does not say beforehand.
    pub expected: Option<u64>,
    /// Whether `expected` is exact; else it is an upper bound.
    pub exact: bool,
    /// How many attachments are to come, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<u64>,
}

/// A utility network of the map that comes along with a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskNetwork {
    /// Its place in the map's `utilityNetworks`.
    pub index: usize,
    /// The key of its own entry in overrides.
    pub key: OfflineMapParametersKey,
    /// That entry.
    pub parameters: Map<String, Value>,
    /// Its id in the service, where it comes along.
    pub service_layer_id: Option<u32>,
}

/// What one exporter will do with one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportTask {
    /// Stable id in the plan.
    pub id: String,
    /// The exporter's name.
    pub exporter: String,
    /// The key of its parameters.
    pub key: OfflineMapParametersKey,
    /// For people.
    pub title: String,
    /// The layers and tables that it serves.
    pub layers: Vec<TaskLayer>,
    /// The units of its work.
    pub units: Vec<Unit>,
    /// What is counted.
    pub count_unit: CountUnit,
    /// Levels of a tiled service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<PlannedLevel>,
    /// Bytes to come, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteRange>,
    /// Where that comes from.
    #[serde(default)]
    pub bytes_from: BytesSource,
    /// Requests that it needs at least; polls of a service's job and repeats are not counted.
    #[serde(default)]
    pub requests: u64,
    /// Limits that it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<ServiceLimit>,
    /// The exporter's parameters after overrides.
    pub parameters: Value,
    /// What the service said of itself, as far as the exporter needs it.
    pub service: Value,
    /// The service's attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// When the service's data were last edited, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_date: Option<i64>,
    /// Whether its exporter downloads directly, past what the service offers for taking its data offline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct_download: bool,
    /// Whether its exporter lets the service draw tiles on demand, where it has none of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn: bool,
    /// Whether its layers are carried over from the package that the job completes: nothing is asked or fetched for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
    /// Utility networks of the map that lie on the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<TaskNetwork>,
}

/// A layer or table that will not go offline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedLayer {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// Kind of layer.
    pub layer_type: LayerType,
    /// Whether it stays in the offline map with its online url.
    pub remains_online: bool,
    /// Why.
    pub reason: CapabilityReason,
    /// The failure that the result will hold; `None` where it was left out on purpose.
    pub failure: Option<Failure>,
}

/// A layer that goes offline without any work: its data are in the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedLayer {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
}

/// What will be done for a map and an area: pure data, which a caller may print, keep and compare before anything is spent.
///
/// ```
/// use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters, OfflineMapPlan};
///
/// /// One line for each service, and why what is left out is left out.
/// fn summary(plan: &OfflineMapPlan) -> Vec<String> {
///     let tasks = plan.tasks.iter().map(|t| format!("{} by {}: {} layers", t.key.service_url, t.exporter, t.layers.len()));
///     let skipped = plan.skipped.iter().map(|s| format!("{} is skipped: {:?}", s.title, s.reason));
///     tasks.chain(skipped).collect()
/// }
///
/// # fn main() -> Result<(), offmap_model::Failure> {
/// # let parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8")?);
/// # let plan = OfflineMapPlan { parameters, tasks: vec![], embedded: vec![], skipped: vec![], left_out_networks: vec![], warnings: vec![] };
/// assert!(summary(&plan).is_empty());
/// assert_eq!((plan.bytes().min, plan.capabilities().has_errors()), (0, false));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMapPlan {
    /// The parameters after checks.
    pub parameters: GenerateOfflineMapParameters,
    /// One task per service and exporter.
    pub tasks: Vec<ExportTask>,
    /// Layers with their data in the map.
    pub embedded: Vec<EmbeddedLayer>,
    /// What will not go offline, and why.
    pub skipped: Vec<SkippedLayer>,
    /// Places in the map's `utilityNetworks` of those whose entry was removed from the overrides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out_networks: Vec<usize>,
    /// Things worth knowing that stop nothing.
    pub warnings: Vec<String>,
}

impl OfflineMapPlan {
    /// Bytes to come: the sum over the tasks that know theirs.
    #[must_use]
    pub fn bytes(&self) -> ByteRange {
        self.tasks.iter().filter_map(|t| t.bytes).fold(ByteRange { min: 0, max: 0 }, |sum, b| ByteRange {
            min: sum.min.saturating_add(b.min),
            max: sum.max.saturating_add(b.max),
        })
    }

    /// The same as an answer to "what can go offline?".
    #[must_use]
    pub fn capabilities(&self) -> OfflineMapCapabilities {
        let mut all = OfflineMapCapabilities::default();
        let mut push = |capability: LayerCapability| {
            let list = if capability.is_table { &mut all.table_capabilities } else { &mut all.layer_capabilities };
            list.push(capability);
        };
        let supported =
            |id: &str, title: &str, is_table: bool, layer_type: String, exporter: Option<String>| LayerCapability {
                id: id.to_owned(),
                title: title.to_owned(),
                is_table,
                layer_type,
                supports_offline: true,
                remains_online: false,
                exporter,
                reason: None,
                failure: None,
                direct_download: None,
                draw_tiles: None,
            };
        for task in &self.tasks {
            for l in &task.layers {
                push(supported(&l.id, &l.title, l.is_table, l.layer_type.to_string(), Some(task.exporter.clone())));
            }
        }
        for l in &self.embedded {
            push(supported(&l.id, &l.title, false, "feature collection".to_owned(), None));
        }
        for l in &self.skipped {
            push(LayerCapability {
                supports_offline: false,
                remains_online: l.remains_online,
                reason: Some(l.reason),
                failure: l.failure.clone(),
                ..supported(&l.id, &l.title, l.is_table, l.layer_type.to_string(), None)
            });
        }
        all
    }
}
