//! A vector tile style that lives on a portal item, with the sprites and fonts that go with it.
//!
//! Source: tile reference §3; mobile map package reference A.3 (`itemPath`).

use crate::client::{AnswerKind, ArcGisClient, ServiceCall, resolve};
use crate::tile_service::TiledService;
use futures_util::{StreamExt as _, TryStreamExt as _};
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage, ServiceUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Largest sprite sheet or glyph range that is taken, in bytes.
const LARGEST_RESOURCE: usize = 16 << 20;
/// Glyph ranges that are asked for at a time; the client's limit per host holds as well.
const FONTS_AT_A_TIME: usize = 8;
/// Code points of a glyph range.
const GLYPH_RANGE: u32 = 256;
/// Glyph ranges of a font stack: `0-255` to `65280-65535`.
const GLYPH_RANGES: u32 = 256;

/// A style and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Style {
    address: String,
    /// A text in the plan, where its values would take many times the memory.
    #[serde(with = "as_text")]
    json: Value,
    #[serde(default)]
    custom_parameters: Map<String, Value>,
}

mod as_text {
    use crate::client::AnswerKind;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(json: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(json)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => AnswerKind::Description.budget().read(text.as_bytes()).map_err(D::Error::custom),
            json => Ok(json),
        }
    }
}

fn invalid(words: String) -> Failure {
    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, words)
}

impl Style {
    pub(super) async fn fetch(client: &ArcGisClient, address: &str, custom: &Map<String, Value>) -> Result<Self, Failure> {
        let call = ServiceCall::get(address)?.with_all(custom).in_stage(FailureStage::Plan);
        let call = call.answer(AnswerKind::Description);
        let json = client.json(&call).await?;
        if !json.get("layers").is_some_and(Value::is_array) || !json.get("sources").is_some_and(Value::is_object) {
            return Err(invalid("the style has no `layers` or no `sources`".to_owned()).at(address));
        }
        Ok(Self { address: address.to_owned(), json, custom_parameters: custom.clone() })
    }

    /// Addresses of the services that the style draws from.
    pub(super) fn service_roots(&self) -> Result<Vec<String>, Failure> {
        let mut roots = BTreeSet::new();
        for (name, source) in self.json.get("sources").and_then(Value::as_object).into_iter().flatten() {
            if source.get("type").and_then(Value::as_str).is_some_and(|t| t != "vector") {
                roots.insert(format!("{name} (not vector)"));
                continue;
            }
            let url = source.get("url").and_then(Value::as_str);
            let url = url.ok_or_else(|| invalid(format!("source `{name}` of the style has no `url`")).at(&self.address))?;
            let resolved = resolve(&self.address, url)?;
            let service = ServiceUrl::parse(resolved.as_str());
            roots.insert(service.map_or_else(|| resolved.to_string(), |s| s.root().to_owned()));
        }
        Ok(roots.into_iter().collect())
    }

    /// Writes the style, its sprites and its fonts below `folder`, as `styles/`, `sprites/` and `fonts/`; answers the bytes.
    /// What lies below the service's own root is in the `.vtpk` already and is not fetched.
    pub(super) async fn bring_home(
        &self,
        client: &ArcGisClient,
        service: &TiledService,
        folder: &Path,
    ) -> Result<u64, Failure> {
        let mut style = self.json.clone();
        let mut bytes = 0;
        let in_package =
            |address: &str| address.to_ascii_lowercase().starts_with(&format!("{}/", service.root.to_ascii_lowercase()));
        if let Some(sprite) = self.text("sprite") {
            let base = resolve(&self.address, sprite)?;
            if !in_package(base.as_str()) {
                for ending in [".json", ".png", "@2x.json", "@2x.png"] {
                    let mut file = base.clone();
                    file.set_path(&format!("{}{ending}", base.path()));
                    bytes += self.fetch_to(client, file.as_str(), &folder.join(format!("sprites/sprite{ending}"))).await?;
                }
                if let Some(json) = style.as_object_mut() {
                    json.insert("sprite".to_owned(), json!("../sprites/sprite"));
                }
            }
        }
        if let Some(template) = self.text("glyphs") {
            // The braces of the template are not part of an address; they go through resolving as they are.
            let resolved = resolve(&self.address, template)?.to_string().replace("%7B", "{").replace("%7D", "}");
            if !in_package(&resolved) {
                for stack in self.font_stacks() {
                    bytes += self.fetch_fonts(client, &resolved, &stack, folder).await?;
                }
                if let Some(json) = style.as_object_mut() {
                    json.insert("glyphs".to_owned(), json!("../fonts/{fontstack}/{range}.pbf"));
                }
            }
        }
        let text = serde_json::to_vec(&style).map_err(|e| Failure::internal(e.to_string()))?;
        bytes += text.len() as u64;
        write(&folder.join("styles/root.json"), &text).await?;
        Ok(bytes)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty())
    }

    /// Font stacks that the style's layers name, as they stand in addresses.
    fn font_stacks(&self) -> BTreeSet<String> {
        let mut stacks = BTreeSet::new();
        for layer in self.json.get("layers").and_then(Value::as_array).into_iter().flatten() {
            let Some(font) = layer.pointer("/layout/text-font") else { continue };
            let mut push = |list: &Value| {
                let names: Option<Vec<&str>> = list.as_array().map(|l| l.iter().filter_map(Value::as_str).collect());
                if let Some(names) = names.filter(|n| !n.is_empty()) {
                    stacks.insert(names.join(","));
                }
            };
            push(font);
            for stop in font.get("stops").and_then(Value::as_array).into_iter().flatten() {
                push(stop.get(1).unwrap_or(&Value::Null));
            }
        }
        stacks
    }

    async fn fetch_fonts(&self, client: &ArcGisClient, template: &str, stack: &str, folder: &Path) -> Result<u64, Failure> {
        if stack.contains(['/', '\\']) || stack.starts_with('.') {
            return Err(invalid(format!("the style names a font `{stack}`, which is not a name")).at(&self.address));
        }
        let ranges = (0..GLYPH_RANGES).map(|range| {
            let range = format!("{}-{}", range * GLYPH_RANGE, range * GLYPH_RANGE + GLYPH_RANGE - 1);
            let address = template.replace("{fontstack}", stack).replace("{range}", &range);
            let to = folder.join(format!("fonts/{stack}/{range}.pbf"));
            async move { self.fetch_to(client, &address, &to).await }
        });
        let fetched = futures_util::stream::iter(ranges).buffer_unordered(FONTS_AT_A_TIME);
        fetched.try_fold(0, |sum, bytes| async move { Ok(sum + bytes) }).await
    }

    /// Fetches a resource; one that is not there (404) is left out, as services do with empty glyph ranges.
    async fn fetch_to(&self, client: &ArcGisClient, address: &str, to: &Path) -> Result<u64, Failure> {
        let call = ServiceCall::get(address)?.with_all(&self.custom_parameters).in_stage(FailureStage::Download);
        match client.bytes(&call, LARGEST_RESOURCE).await? {
            Some(bytes) => {
                check_resource(to, &bytes)
                    .map_err(|words| invalid(format!("{words} came as part of a style")).at(address))?;
                write(to, &bytes).await?;
                Ok(bytes.len() as u64)
            }
            None => Ok(0),
        }
    }
}

async fn write(to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), &e);
    if let Some(parent) = to.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
    }
    tokio::fs::write(to, bytes).await.map_err(failed)
}

/// Whether bytes are a JSON object, without its values being made.
fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Whether a resource is what its name says: a page of a proxy must not end up in a package.
fn check_resource(name: &Path, bytes: &[u8]) -> Result<(), &'static str> {
    match name.extension().and_then(|e| e.to_str()) {
        Some("json") if !is_object(bytes) => Err("something else than a JSON object"),
        Some("png") if !bytes.starts_with(b"\x89PNG") => Err("something else than a PNG"),
        // A glyph range is a protocol buffer whose one field, the stack, has number 1; an empty range may be empty.
        Some("pbf") if !(bytes.is_empty() || bytes.starts_with(b"\x0a")) => Err("something else than glyphs"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(json: Value) -> Style {
        let address = "https://p/sharing/rest/content/items/ab/resources/styles/root.json".to_owned();
        Style { address, json, custom_parameters: Map::new() }
    }

    #[test]
    fn the_service_of_an_item_s_style_is_found() {
        let s =
            style(json!({"sources": {"esri": {"type": "vector", "url": "https://h/rest/services/B/VectorTileServer/"}}}));
        assert_eq!(s.service_roots(), Ok(vec!["https://h/rest/services/B/VectorTileServer".to_owned()]));
        let two = style(json!({"sources": {"a": {"type": "vector", "url": "https://h/a/VectorTileServer"},
            "b": {"type": "vector", "url": "https://h/b/VectorTileServer"}}}));
        assert_eq!(two.service_roots().map(|r| r.len()), Ok(2));
    }

    #[test]
    fn a_style_is_a_text_in_the_plan_and_an_object_in_older_ones() {
        let s = style(json!({"layers": [{"id": "a"}], "sources": {}}));
        let kept = serde_json::to_value(&s).expect("writes");
        assert!(kept["json"].is_string());
        assert_eq!(serde_json::from_value::<Style>(kept).expect("reads"), s);
        let older = json!({"address": s.address, "json": s.json});
        assert_eq!(serde_json::from_value::<Style>(older).expect("reads"), s);
        assert!(is_object(b" {\"a\": []}") && !is_object(b"[]") && !is_object(b"{") && !is_object(b"<"));
    }

    #[test]
    fn font_stacks_are_read_from_lists_and_stops() {
        let s = style(json!({"layers": [{"layout": {"text-font": ["Arial Regular", "Noto"]}},
            {"layout": {"text-font": {"stops": [[1, ["B"]], [4, ["C"]]]}}}, {"layout": {}}]}));
        assert_eq!(s.font_stacks().into_iter().collect::<Vec<_>>(), ["Arial Regular,Noto", "B", "C"]);
    }
}
