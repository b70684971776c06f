//! What the service of some vector tiled layers, and the styles that draw them, say of themselves.

use super::describe::{Described, Way, describe, is_own_style, no_twin, twin_of};
use crate::tile_service::TiledService;
use crate::vector_style::{LayerStyle, Style};
use offmap_arcgis::ArcGisClient;
use offmap_engine::{ServiceDescription, ServiceRequest};
use offmap_model::{
    Capability, CapabilityReason, EsriVectorTilesDownloadOption, Failure, LayerSecrets, MapLayer, ServiceUrl,
};
use std::collections::{BTreeMap, HashMap};

fn multiple_sources(title: &str, sources: usize) -> Capability {
    let message = format!("the style of \"{title}\" has {sources} sources; only one can go offline as a package");
    Capability::refused(CapabilityReason::MultipleSources, message)
}

/// A description that is being read.
pub(crate) struct Description<'a> {
    client: &'a ArcGisClient,
    request: &'a ServiceRequest,
    secrets: LayerSecrets,
    way: Way,
    /// Whether the request is for a service; else it is for a style, which names its service.
    by_service: bool,
    /// The root of the service, once it is known.
    root: Option<String>,
    /// Layers that cannot be exported.
    refused: HashMap<&'a str, Capability>,
    described: Described,
}

impl<'a> Description<'a> {
    pub(crate) fn new(client: &'a ArcGisClient, request: &'a ServiceRequest, way: Way) -> Self {
        let by_service = ServiceUrl::parse(&request.service_url).is_some_and(|s| s.kind() == "vectortileserver");
        Self {
            client,
            request,
            secrets: request.secrets(),
            way,
            by_service,
            root: by_service.then(|| request.service_url.clone()),
            refused: HashMap::new(),
            described: Described::default(),
        }
    }

    /// The styles that draw the layers, each once with its layers; the service's own style is in its package.
    fn styles(&self) -> BTreeMap<String, Vec<&'a MapLayer>> {
        let mut styles: BTreeMap<String, Vec<&MapLayer>> = BTreeMap::new();
        for layer in &self.request.layers {
            let style = match &self.root {
                Some(root) => layer.style_url.clone().filter(|style| !is_own_style(style, root)),
                None => Some(self.request.service_url.clone()),
            };
            if let Some(style) = style {
                styles.entry(style).or_default().push(layer);
            }
        }
        styles
    }

    /// Reads the styles. A style that is not usable costs the layers that it draws.
    pub(crate) async fn read_styles(&mut self) -> Result<(), Failure> {
        for (url, layers) in self.styles() {
            let fetched = Style::fetch(self.client, &url, &self.secrets).await;
            let (style, roots) = match fetched.and_then(|style| style.service_roots().map(|roots| (style, roots))) {
                Ok(read) => read,
                Err(failure) if failure.is_cancelled() || !self.by_service => return Err(failure),
                // The service's other layers are drawn by other styles.
                Err(failure) => {
                    let capability = Capability::NotSupported(CapabilityReason::ServiceNotUsable, Box::new(failure));
                    self.refused.extend(layers.iter().map(|l| (l.id.as_str(), capability.clone())));
                    continue;
                }
            };
            match roots.as_slice() {
                [one] => {
                    let root = self.root.get_or_insert_with(|| one.clone());
                    if !is_own_style(&url, root) {
                        let layers = layers.iter().map(|l| l.id.clone()).collect();
                        self.described.styles.push(LayerStyle { layers, style });
                    }
                }
                roots => {
                    let refused = layers.iter().map(|l| (l.id.as_str(), multiple_sources(&l.title, roots.len())));
                    self.refused.extend(refused);
                }
            }
        }
        Ok(())
    }

    /// Describes the twin with fewer fonts, where the caller knows one.
    async fn read_twin(&mut self, root: &str) -> Result<(), Failure> {
        let Some(twin) = twin_of(root, &self.request.source) else {
            self.described.no_twin = no_twin(root);
            return Ok(());
        };
        match describe(self.client, (twin, self.way), &self.request.source, &self.secrets).await.map(|a| a.service) {
            Ok(Ok(service)) => self.described.reduced = Some(service),
            Ok(Err((_, message))) => self.described.no_twin = Some(format!("{message}; the original one is taken")),
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => self.described.no_twin = Some(format!("{failure}; the original one is taken")),
        }
        Ok(())
    }

    /// Describes the service and its twin, if a layer is left that needs them. Answers the title and the attribution.
    pub(crate) async fn read_service(&mut self) -> Result<(String, Option<String>), Failure> {
        let layers = &self.request.layers;
        let title = layers.first().map(|l| l.title.clone()).unwrap_or_default();
        let Some(root) = self.root.clone().filter(|_| self.refused.len() < layers.len()) else { return Ok((title, None)) };
        if self.way == Way::Export {
            self.read_twin(&root).await?;
        }
        let wanted = self.request.parameters.esri_vector_tiles_download_option;
        let has_twin = wanted == EsriVectorTilesDownloadOption::UseReducedFontsService && self.described.reduced.is_some();
        let answer = match describe(self.client, (&root, self.way), &self.request.source, &self.secrets).await {
            Ok(answer) => answer,
            Err(failure) if failure.is_cancelled() || !has_twin => return Err(failure),
            Err(_) => return Ok((title, None)),
        };
        match answer.service {
            Ok(service) => self.described.service = Some(service),
            Err(_) if has_twin => {}
            Err((reason, message)) => {
                let capability = Capability::refused(reason, message);
                self.refused.extend(layers.iter().map(|l| (l.id.as_str(), capability.clone())));
            }
        }
        Ok((if self.by_service { answer.title } else { title }, answer.attribution))
    }

    pub(crate) fn into_description(self, title: String, attribution: Option<String>) -> ServiceDescription<Described> {
        let Self { request, refused, mut described, .. } = self;
        // The style of the host that exports is in its package as well.
        if let Some(service) = &described.service {
            described.styles.retain(|s| !is_own_style(s.style.url(), &service.root));
        }
        let capability = |l: &MapLayer| (l.id.clone(), refused.get(l.id.as_str()).cloned().unwrap_or(Capability::Supported));
        let extent = described.service.as_ref().or(described.reduced.as_ref()).and_then(TiledService::extent_in);
        let capabilities = request.layers.iter().map(capability).collect();
        ServiceDescription::new(title, described, capabilities).with_extent(extent).with_attribution(attribution)
    }
}
