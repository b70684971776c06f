//! The client that an exporter is built with.

use offmap_arcgis::ArcGisClient;
use offmap_engine::{ExportContext, PlanContext};

/// Asks nothing by itself: only what it gives for a context can, so that no request goes out without the session of its job.
#[derive(Debug, Clone)]
pub(crate) struct JobClient(ArcGisClient);

impl JobClient {
    pub(crate) fn new(client: ArcGisClient) -> Self {
        Self(client)
    }

    pub(crate) fn for_plan(&self, ctx: &PlanContext) -> ArcGisClient {
        ctx.client(&self.0)
    }

    pub(crate) fn for_task(&self, ctx: &ExportContext) -> ArcGisClient {
        ctx.client(&self.0)
    }
}
