//! Names to exporters; the only place where an exporter's own types become JSON.

use crate::context::ExportContext;
use crate::exporter::{Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use crate::ways::{Way, Ways};
use async_trait::async_trait;
use offmap_model::{Artifact, ExportTask, Failure, MapLayer, OfflineMapSource};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;

/// An exporter whose parameters and services are JSON.
#[async_trait]
pub(crate) trait ErasedExporter: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn parameters_type(&self) -> &'static str;
    fn downloads_directly(&self) -> bool;
    fn draws_tiles(&self) -> bool;
    fn outlasts_edits(&self) -> bool;
    fn utility_network_parameters(&self) -> &'static [&'static str];
    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String>;
    async fn describe(&self, request: &ServiceRequest, ctx: &PlanContext) -> Result<ServiceDescription, Failure>;
    fn default_parameters(&self, request: &ServiceRequest, found: &ServiceDescription) -> Result<Value, Failure>;
    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription,
        parameters: &Value,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure>;
    async fn export(&self, task: &ExportTask, ctx: &ExportContext) -> Result<Artifact, Failure>;
    async fn rollback(&self, task: &ExportTask, ctx: &ExportContext);
}

#[derive(Debug)]
struct Erased<E>(E);

impl<E: Exporter> Erased<E> {
    fn parameters(&self, json: &Value, service: &str) -> Result<E::Parameters, Failure> {
        E::Parameters::deserialize(json).map_err(|e| {
            Failure::invalid_parameter(format!("{} for {service} cannot be used: {e}", self.0.parameters_type()))
        })
    }

    fn service(json: &Value) -> Result<E::Service, Failure> {
        E::Service::deserialize(json).map_err(|e| Failure::internal(format!("the plan's service cannot be read: {e}")))
    }

    fn described(found: &ServiceDescription) -> Result<ServiceDescription<E::Service>, Failure> {
        Ok(found.with_service(Self::service(&found.service)?))
    }

    fn json(&self, what: &str, value: &impl Serialize) -> Result<Value, Failure> {
        serde_json::to_value(value)
            .map_err(|e| Failure::internal(format!("{what} of exporter {} is not JSON: {e}", self.0.name())))
    }
}

#[async_trait]
impl<E: Exporter> ErasedExporter for Erased<E> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn parameters_type(&self) -> &'static str {
        self.0.parameters_type()
    }

    fn downloads_directly(&self) -> bool {
        self.0.downloads_directly()
    }

    fn draws_tiles(&self) -> bool {
        self.0.draws_tiles()
    }

    fn outlasts_edits(&self) -> bool {
        self.0.outlasts_edits()
    }

    fn utility_network_parameters(&self) -> &'static [&'static str] {
        self.0.utility_network_parameters()
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        self.0.supports(layer, source)
    }

    async fn describe(&self, request: &ServiceRequest, ctx: &PlanContext) -> Result<ServiceDescription, Failure> {
        let found = self.0.describe(request, ctx).await?;
        Ok(found.with_service(self.json("the service", &found.service)?))
    }

    fn default_parameters(&self, request: &ServiceRequest, found: &ServiceDescription) -> Result<Value, Failure> {
        let parameters = self.0.default_parameters(request, &Self::described(found)?)?;
        self.json("a parameter", &parameters)
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription,
        parameters: &Value,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let parameters = self.parameters(parameters, &request.service_url)?;
        self.0.plan(request, &Self::described(found)?, &parameters, ctx).await
    }

    async fn export(&self, task: &ExportTask, ctx: &ExportContext) -> Result<Artifact, Failure> {
        let parameters = self.parameters(&task.parameters, &task.key.service_url)?;
        self.0.export(task, &Self::service(&task.service)?, &parameters, ctx).await
    }

    async fn rollback(&self, task: &ExportTask, ctx: &ExportContext) {
        match Self::service(&task.service) {
            Ok(service) => self.0.rollback(task, &service, ctx).await,
            Err(failure) => {
                tracing::warn!(%failure, task = %task.id, "what the task left on its service cannot be cleaned up");
            }
        }
    }
}

/// The exporters of an engine, ranked: for each layer the first one that supports it describes the service. Where the service says that
/// this exporter cannot export the layer, the next one that supports it describes the service, and so on; where none can, the layer's
/// reason is that of the first.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::ExporterRegistry;
/// use offmap_engine::testing::ScriptedExporter;
///
/// let mut registry = ExporterRegistry::default();
/// registry.register(ScriptedExporter)?;
/// assert_eq!(registry.names(), ["scripted"]);
/// assert!(registry.register(ScriptedExporter).is_err(), "names are unique");
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Default)]
pub struct ExporterRegistry {
    all: Vec<Arc<dyn ErasedExporter>>,
}

impl ExporterRegistry {
    /// Adds an exporter. The last one added has the first rank, so that a host's own exporter can take over a layer kind; the others
    /// stay its fallbacks.
    ///
    /// # Errors
    /// If the name or parameter type is taken already.
    pub fn register<E: Exporter>(&mut self, exporter: E) -> Result<(), Failure> {
        let taken =
            self.all.iter().any(|e| e.name() == exporter.name() || e.parameters_type() == exporter.parameters_type());
        if taken {
            return Err(Failure::invalid_parameter(format!(
                "there is an exporter `{}` or one with parameters `{}` already; registered are {:?}",
                exporter.name(),
                exporter.parameters_type(),
                self.names()
            )));
        }
        self.all.insert(0, Arc::new(Erased(exporter)));
        Ok(())
    }

    /// Names of all exporters, first asked first.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.all.iter().map(|e| e.name()).collect()
    }

    /// The parameter types of all exporters: the outer keys of overrides.
    pub fn parameters_types(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|e| e.parameters_type())
    }

    /// Whether the exporter with these parameters downloads directly.
    pub(crate) fn is_direct(&self, parameters_type: &str) -> bool {
        self.all.iter().any(|e| e.parameters_type() == parameters_type && e.downloads_directly())
    }

    /// Whether the exporter with these parameters draws tiles.
    pub(crate) fn is_drawing(&self, parameters_type: &str) -> bool {
        self.all.iter().any(|e| e.parameters_type() == parameters_type && e.draws_tiles())
    }

    /// The exporters that support a layer, best first, each with the url of the service. Those that download directly stand behind the
    /// others, before them or not in the list at all; those that draw stand at its end or not in it.
    pub(crate) fn supporting<'a>(
        &'a self,
        ways: Ways,
        layer: &'a MapLayer,
        source: &'a OfflineMapSource,
    ) -> impl Iterator<Item = (Arc<dyn ErasedExporter>, String)> + 'a {
        let way_of = |e: &Arc<dyn ErasedExporter>| Way::of(e.downloads_directly(), e.draws_tiles());
        let of_way = move |way: Way| self.all.iter().filter(move |e| way_of(e) == way);
        let ranked = ways.ranked().flat_map(of_way);
        ranked.filter_map(move |e| e.supports(layer, source).map(|url| (Arc::clone(e), url)))
    }

    /// Those that support a layer and stand behind an exporter in its list.
    pub(crate) fn after<'a>(
        &'a self,
        exporter: &'a str,
        ways: Ways,
        layer: &'a MapLayer,
        source: &'a OfflineMapSource,
    ) -> impl Iterator<Item = (Arc<dyn ErasedExporter>, String)> + 'a {
        self.supporting(ways, layer, source).skip_while(move |(e, _)| e.name() != exporter).skip(1)
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<Arc<dyn ErasedExporter>, Failure> {
        self.all.iter().find(|e| e.name() == name).cloned().ok_or_else(|| {
            Failure::invalid_parameter(format!("there is no exporter `{name}`; registered are {:?}", self.names()))
        })
    }
}
