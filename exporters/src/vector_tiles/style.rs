//! A vector tile style that lives on a portal item, with the sprites and fonts that go with it.
//!
//! Source: tile reference §3; mobile map package reference A.3 (`itemPath`).

use super::fonts::{font_stacks, glyphs_url};
use super::forms::check_resource;
use crate::client::{AnswerKind, ArcGisClient, ServiceCall, parse_http, resolve};
use crate::tile_service::TiledService;
use futures_util::{StreamExt as _, TryStreamExt as _};
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets, ServiceUrl, run_blocking};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Largest sprite sheet or its index that is taken, in bytes.
const LARGEST_SPRITE: usize = 16 << 20;
/// Largest glyph range that is taken, in bytes.
const LARGEST_GLYPHS: usize = 4 << 20;
/// Most bytes of all sprites and fonts of a style.
const MOST_RESOURCES: u64 = 1 << 30;
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
    pub(super) async fn fetch(client: &ArcGisClient, address: &str, secrets: &LayerSecrets) -> Result<Self, Failure> {
        let call = ServiceCall::get(address)?.with_secrets(secrets).in_stage(FailureStage::Plan);
        let call = call.answer(AnswerKind::Description);
        let mut json = client.json(&call).await?;
        client.secrets().scrub_json(&mut json);
        if !json.get("layers").is_some_and(Value::is_array) || !json.get("sources").is_some_and(Value::is_object) {
            return Err(invalid("the style has no `layers` or no `sources`".to_owned()).at(address));
        }
        Ok(Self { address: address.to_owned(), json })
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

    /// Writes the style, its sprites and its fonts below `folder`, as `styles/`, `sprites/` and `fonts/`; answers the bytes, and words
    /// about fonts that were left out. What lies below the service's own root is in the `.vtpk` already and is not fetched.
    pub(super) async fn bring_home(
        &self,
        client: &ArcGisClient,
        service: &TiledService,
        secrets: &LayerSecrets,
        folder: &Path,
        title: &str,
    ) -> Result<(u64, Vec<String>), Failure> {
        let mut style = self.json.clone();
        let mut warnings = Vec::new();
        let mut bytes = 0;
        let in_package =
            |address: &str| address.to_ascii_lowercase().starts_with(&format!("{}/", service.root.to_ascii_lowercase()));
        if let Some(sprite) = self.text("sprite") {
            let base = resolve(&self.address, sprite)?;
            if !in_package(base.as_str()) {
                for ending in [".json", ".png", "@2x.json", "@2x.png"] {
                    let mut file = base.clone();
                    file.set_path(&format!("{}{ending}", base.path()));
                    bytes += self
                        .fetch_to(client, secrets, file.as_str(), &folder.join(format!("sprites/sprite{ending}")))
                        .await?;
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
                self.check_template(&resolved)?;
                let stacks = font_stacks(&self.json, title);
                for stack in stacks.wanted {
                    bytes += self.fetch_fonts(client, secrets, &resolved, &stack, folder).await?;
                    if bytes > MOST_RESOURCES {
                        let message = format!("sprites and fonts of the style are larger than {MOST_RESOURCES} bytes");
                        let limit = FailureKind::LimitExceeded;
                        return Err(Failure::new(FailureOwner::Source, limit, FailureStage::Download, message).at(&resolved));
                    }
                }
                warnings = stacks.warnings;
                if let Some(json) = style.as_object_mut() {
                    json.insert("glyphs".to_owned(), json!("../fonts/{fontstack}/{range}.pbf"));
                }
            }
        }
        let text = serde_json::to_vec(&style).map_err(|e| Failure::internal(e.to_string()))?;
        bytes += text.len() as u64;
        write(client, &folder.join("styles/root.json"), text).await?;
        Ok((bytes, warnings))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty())
    }

    /// Checks that a name fills a part of the path, not of the host: which one is asked is the template's word.
    fn check_template(&self, template: &str) -> Result<(), Failure> {
        let url = parse_http(template)?;
        let in_host = url.host_str().is_some_and(|host| host.contains(['{', '}'])) || !url.username().is_empty();
        if in_host || !["{fontstack}", "{range}"].iter().all(|part| template.contains(part)) {
            let words = "the style's `glyphs` is no url with {fontstack} and {range} in its path".to_owned();
            return Err(invalid(words).at(&self.address));
        }
        Ok(())
    }

    async fn fetch_fonts(
        &self,
        client: &ArcGisClient,
        secrets: &LayerSecrets,
        template: &str,
        stack: &str,
        folder: &Path,
    ) -> Result<u64, Failure> {
        let ranges = (0..GLYPH_RANGES).map(|range| {
            let range = format!("{}-{}", range * GLYPH_RANGE, range * GLYPH_RANGE + GLYPH_RANGE - 1);
            let address = glyphs_url(template, stack, &range);
            let to = folder.join(format!("fonts/{stack}/{range}.pbf"));
            async move { self.fetch_to(client, secrets, &address, &to).await }
        });
        let fetched = futures_util::stream::iter(ranges).buffer_unordered(FONTS_AT_A_TIME);
        fetched.try_fold(0, |sum, bytes| async move { Ok(sum + bytes) }).await
    }

    /// Fetches a resource; one that is not there (404) is left out, as services do with empty glyph ranges.
    async fn fetch_to(
        &self,
        client: &ArcGisClient,
        secrets: &LayerSecrets,
        address: &str,
        to: &Path,
    ) -> Result<u64, Failure> {
        let call = ServiceCall::get(address)?.with_secrets(secrets).in_stage(FailureStage::Download);
        let is_glyphs = to.extension().is_some_and(|ending| ending == "pbf");
        match client.bytes(&call, if is_glyphs { LARGEST_GLYPHS } else { LARGEST_SPRITE }).await? {
            Some(bytes) => {
                check_resource(to, &bytes)
                    .map_err(|words| invalid(format!("{words} came as part of a style")).at(address))?;
                let size = bytes.len() as u64;
                write(client, to, bytes).await?;
                Ok(size)
            }
            None => Ok(0),
        }
    }
}

async fn write(client: &ArcGisClient, to: &Path, bytes: Vec<u8>) -> Result<(), Failure> {
    let (reserve, to) = (client.options().disk_reserve, to.to_owned());
    run_blocking(move || {
        let failed = |e| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), &e);
        let folder = to.parent().unwrap_or(&to);
        std::fs::create_dir_all(folder).map_err(failed)?;
        reserve.check(folder, bytes.len() as u64)?;
        std::fs::write(&to, bytes).map_err(failed)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(json: Value) -> Style {
        let address = "https://p/sharing/rest/content/items/ab/resources/styles/root.json".to_owned();
        Style { address, json }
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
    fn a_font_s_name_is_never_a_part_of_the_host() {
        let s = style(json!({}));
        for bad in [
            "https://{fontstack}.h/{range}.pbf",
            "https://{fontstack}@h/{range}",
            "https://h/{range}.pbf",
            "https://h/{fontstack}",
            "ftp://h/{fontstack}/{range}",
        ] {
            assert!(s.check_template(bad).is_err(), "{bad}");
        }
        assert_eq!(s.check_template("https://h/fonts/{fontstack}/{range}.pbf?x=1"), Ok(()));
    }

    #[test]
    fn a_style_is_a_text_in_the_plan_and_an_object_in_older_ones() {
        let s = style(json!({"layers": [{"id": "a"}], "sources": {}}));
        let kept = serde_json::to_value(&s).expect("writes");
        assert!(kept["json"].is_string());
        assert_eq!(serde_json::from_value::<Style>(kept).expect("reads"), s);
        let older = json!({"address": s.address, "json": s.json});
        assert_eq!(serde_json::from_value::<Style>(older).expect("reads"), s);
    }
}
