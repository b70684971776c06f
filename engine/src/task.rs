//! `OfflineMapTask`: asks what can go offline, plans it, and makes the job.

use crate::engine::Engine;
use crate::exporter::PlanContext;
use crate::handle::GenerateOfflineMapJob;
use crate::job::JobHost;
use crate::order::Order;
use crate::plan::{PlanInputs, offers, plan};
use crate::resources::take_out_repeated;
use offmap_arcgis::Session;
use offmap_model::settings::{AuthoredDownload, AuthoredSync};
use offmap_model::{
    AreaOfInterest, AttachmentSyncDirection, Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    OfflineMapCapabilities, OfflineMapItemInfo, OfflineMapPlan, OfflineMapSource, OfflineSettings,
    ReturnLayerAttachmentOption,
};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Takes one web map offline.
///
/// Unlike the SDK's class it also takes a map that came as a file, without portal item.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
/// use offmap_engine::{Engine, OfflineMapTask};
/// use offmap_model::{AreaOfInterest, OfflineMapSource};
///
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.start()?;
/// let map = scripted_map([("roads", Script::of(Act::Succeed))]);
/// let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
/// let parameters = task.default_parameters(AreaOfInterest::from_numbers("7,46,8,47")?)?;
/// let plan = task.plan(&parameters, &Default::default()).await?;
/// assert_eq!(plan.tasks[0].exporter, "scripted");
/// assert!(!task.capabilities(&parameters).await?.has_errors());
/// engine.shutdown().await?;
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct OfflineMapTask {
    engine: Engine,
    source: Arc<OfflineMapSource>,
    session: Option<Session>,
}

impl OfflineMapTask {
    /// Makes a task for a map that was read. What its items repeat of its secrets is taken out here, once for all jobs.
    #[must_use]
    pub fn new(engine: &Engine, source: OfflineMapSource) -> Self {
        let mut source = Arc::new(source);
        take_out_repeated(&engine.resources().secrets_of(&source), &mut source);
        Self { engine: engine.clone(), source, session: None }
    }

    /// The task for somebody who signed in: its plans and jobs ask the services with this session in place of the one that the
    /// exporters' client has. Nothing of it is stored. offmap's own.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use offmap_arcgis::{Credentials, Session};
    /// # use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
    /// # use offmap_engine::{Engine, OfflineMapTask};
    /// # use offmap_model::OfflineMapSource;
    /// # let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.start()?;
    /// # let source = OfflineMapSource::from_web_map(scripted_map([("roads", Script::of(Act::Succeed))]));
    ///
    /// let session = Session::new(Credentials::token("the user's token").for_url("https://gis.city.example")?);
    /// let task = OfflineMapTask::new(&engine, source).with_session(session);
    /// # drop(task);
    /// # engine.shutdown().await?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "testing"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn with_session(self, session: Session) -> Self {
        Self { session: Some(session), ..self }
    }

    /// The map and its surroundings.
    #[must_use]
    pub fn source(&self) -> &OfflineMapSource {
        &self.source
    }

    /// The parameters that follow from the SDK's defaults, the author's offline settings and the portal item.
    ///
    /// # Errors
    /// If the area cannot be used.
    #[doc(alias = "createDefaultGenerateOfflineMapParameters")]
    pub fn default_parameters(&self, area: impl Into<AreaOfInterest>) -> Result<GenerateOfflineMapParameters, Failure> {
        let mut parameters = GenerateOfflineMapParameters::new(area);
        parameters.area_of_interest.check()?;
        if let Some(item) = &self.source.item {
            parameters.item_info = Some(OfflineMapItemInfo::from_item(item, self.source.thumbnail.clone()));
        }
        if let Some(settings) = self.source.web_map.offline_settings() {
            apply(&settings, &mut parameters);
        }
        Ok(parameters)
    }

    /// An order of the map with these parameters, for [`Engine::submit`]. The session of the task does not go with it: the engine's
    /// provider is asked for credentials. offmap's own.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
    /// # use offmap_engine::{Engine, OfflineMapTask};
    /// # use offmap_model::{AreaOfInterest, OfflineMapSource};
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.data_dir(dir.path()).start()?;
    /// # let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(scripted_map([("roads", Script::of(Act::Succeed))])));
    /// let parameters = task.default_parameters(AreaOfInterest::from_numbers("7,46,8,47")?)?;
    /// let job = engine.submit(task.order(parameters).tenant("forestry").priority(10)).await?;
    /// assert!(job.result().await?.is_complete());
    /// # engine.shutdown().await?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "testing"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn order(&self, parameters: GenerateOfflineMapParameters) -> Order {
        Order::new((*self.source).clone(), parameters)
    }

    /// What can go offline, and why not: every layer and table of the map, also those that stay online or are left out. Of those that
    /// cannot while `directDownload` is `never` and `drawTiles` is not said, whether an exporter could download them directly or draw them.
    ///
    /// # Errors
    /// If the parameters cannot be used. A service that does not answer is a layer's reason, not an error.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    #[doc(alias = "getOfflineMapCapabilities")]
    pub async fn capabilities(&self, parameters: &GenerateOfflineMapParameters) -> Result<OfflineMapCapabilities, Failure> {
        self.capabilities_with_overrides(parameters, &GenerateOfflineMapParameterOverrides::default()).await
    }

    /// The same under overrides: a removed entry leaves its layers out, `onlineLayers` and `onlineTables` keep theirs online.
    /// offmap's own.
    ///
    /// # Errors
    /// As [`Self::capabilities`], and if the overrides cannot be used.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn capabilities_with_overrides(
        &self,
        parameters: &GenerateOfflineMapParameters,
        overrides: &GenerateOfflineMapParameterOverrides,
    ) -> Result<OfflineMapCapabilities, Failure> {
        let mut advice = parameters.clone();
        // Checking is advice: every layer's reason is wanted, not the first.
        advice.continue_on_errors = true;
        advice.layer_importance.clear();
        let ctx = self.plan_context();
        let inputs = self.inputs(&advice, overrides);
        let planned = plan(inputs, None, &ctx).await?;
        let mut capabilities = planned.capabilities();
        let offers = offers(inputs, &planned, &ctx).await?;
        for capability in capabilities.layer_capabilities.iter_mut().chain(&mut capabilities.table_capabilities) {
            capability.direct_download = offers.direct.get(&capability.id).map(|exporter| (*exporter).to_owned());
            capability.draw_tiles = offers.drawn.get(&capability.id).map(|exporter| (*exporter).to_owned());
        }
        Ok(capabilities)
    }

    /// What would be done, before anything is spent. offmap's own; the SDK has no such step.
    ///
    /// # Errors
    /// If the parameters or overrides cannot be used, or `continue_on_errors` is false and a layer cannot go offline.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn plan(
        &self,
        parameters: &GenerateOfflineMapParameters,
        overrides: &GenerateOfflineMapParameterOverrides,
    ) -> Result<OfflineMapPlan, Failure> {
        plan(self.inputs(parameters, overrides), None, &self.plan_context()).await
    }

    fn plan_context(&self) -> PlanContext {
        let resources = self.engine.resources();
        let secrets = resources.secrets_of(&self.source);
        PlanContext::new(CancellationToken::new(), Arc::clone(&resources.clock), secrets, self.session.clone())
    }

    fn inputs<'a>(
        &'a self,
        parameters: &'a GenerateOfflineMapParameters,
        overrides: &'a GenerateOfflineMapParameterOverrides,
    ) -> PlanInputs<'a> {
        PlanInputs { registry: &self.engine.resources().registry, source: &self.source, parameters, overrides }
    }

    /// A dormant job that will write the package to `destination`, a directory that is absent or empty.
    #[doc(alias = "generateOfflineMap")]
    #[must_use]
    pub fn generate_offline_map(
        &self,
        parameters: GenerateOfflineMapParameters,
        overrides: GenerateOfflineMapParameterOverrides,
        destination: impl Into<PathBuf>,
    ) -> GenerateOfflineMapJob {
        let host = JobHost::new(Arc::clone(self.engine.resources()), self.session.clone());
        GenerateOfflineMapJob::new(&self.engine, host, Arc::clone(&self.source), parameters, overrides, destination.into())
    }
}

/// The author's settings as parameters (reference: `OfflineSettings`; the combination of attachment settings is inferred).
fn apply(settings: &OfflineSettings, parameters: &mut GenerateOfflineMapParameters) {
    let editable = settings.editable_layers.clone().unwrap_or_default();
    let read_only = settings.readonly_layers.clone().unwrap_or_default();
    parameters.return_schema_only_for_editable_layers = editable.download == AuthoredDownload::None;
    parameters.attachment_sync_direction = match editable.sync {
        AuthoredSync::SyncFeaturesAndAttachments => AttachmentSyncDirection::Bidirectional,
        AuthoredSync::SyncFeaturesUploadAttachments | AuthoredSync::UploadFeaturesAndAttachments => {
            AttachmentSyncDirection::Upload
        }
    };
    let wants = (editable.download == AuthoredDownload::FeaturesAndAttachments, read_only.download_attachments);
    parameters.return_layer_attachment_option = match wants {
        (true, true) => ReturnLayerAttachmentOption::AllLayers,
        (true, false) => ReturnLayerAttachmentOption::EditableLayers,
        (false, true) => ReturnLayerAttachmentOption::ReadOnlyLayers,
        (false, false) => ReturnLayerAttachmentOption::None,
    };
    if parameters.return_layer_attachment_option == ReturnLayerAttachmentOption::None
        && parameters.attachment_sync_direction == AttachmentSyncDirection::Bidirectional
    {
        // `none` with `bidirectional` is an invalid pair; what is collected in the field can still go up.
        parameters.attachment_sync_direction = AttachmentSyncDirection::Upload;
    }
    if let Some(name) = settings.offline_basemap.as_ref().and_then(|b| b.reference_basemap_name.clone()) {
        // The directory stays empty, so nothing changes until the caller sets it.
        parameters.reference_basemap_filename = name;
    }
}
