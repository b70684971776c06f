//! A vector tile style that lives on a portal item, with the sprites and fonts that go with it.
//!
//! Source: tile reference §3; mobile map package reference A.3 (`itemPath`).

use super::fetcher::Fetcher;
use super::fonts::Fonts;
use super::sprites;
use crate::tile_service::TiledService;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall, parse_http, resolve};
use offmap_disk::run_blocking;
use offmap_formats::style;
use offmap_formats::style::{LONGEST_TEMPLATE, MOST_NAMED, Missing, shown};
use offmap_model::failure::without_secrets;
use offmap_model::{
    Failure, FailureKind, FailureOwner, FailureStage, LayerNote, LayerNoteKind, LayerSecrets, ServiceUrl, service_key,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The style's file in its folder.
const STYLE_FILE: &str = "styles/root.json";

/// A style that is not part of the service's package, and the layers that are drawn by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerStyle {
    pub(crate) layers: Vec<String>,
    pub(crate) style: Style,
}

/// A style and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Style {
    #[serde(rename = "address")]
    url: String,
    /// A text in the plan, where its values would take many times the memory.
    #[serde(with = "as_text")]
    json: Value,
}

mod as_text {
    use offmap_arcgis::AnswerKind;
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
    pub(crate) async fn fetch(client: &ArcGisClient, url: &str, secrets: &LayerSecrets) -> Result<Self, Failure> {
        let call = ServiceCall::get(url)?.with_secrets(secrets).in_stage(FailureStage::Plan);
        let call = call.answer(AnswerKind::Description);
        let mut json = client.json(&call).await?;
        client.secrets().scrub_json(&mut json);
        if !json.get("layers").is_some_and(Value::is_array) || !json.get("sources").is_some_and(Value::is_object) {
            return Err(invalid("the style has no `layers` or no `sources`".to_owned()).with_url(url));
        }
        Ok(Self { url: url.to_owned(), json })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Addresses of the services that the style draws from.
    pub(crate) fn service_roots(&self) -> Result<Vec<String>, Failure> {
        let mut roots = BTreeSet::new();
        for (name, source) in self.json.get("sources").and_then(Value::as_object).into_iter().flatten() {
            if source.get("type").and_then(Value::as_str).is_some_and(|t| t != "vector") {
                roots.insert(format!("{name} (not vector)"));
                continue;
            }
            let url = source.get("url").and_then(Value::as_str);
            let url =
                url.ok_or_else(|| invalid(format!("source `{name}` of the style has no `url`")).with_url(&self.url))?;
            let resolved = resolve(&self.base(), url)?;
            let service = ServiceUrl::parse(resolved.as_str());
            roots.insert(service.map_or_else(|| resolved.to_string(), |s| s.root().to_owned()));
        }
        Ok(roots.into_iter().collect())
    }

    /// What a package of one service cannot draw of its style: sources that are not the service's, each in words.
    pub(crate) fn foreign_sources(&self, root: &str) -> Vec<LayerNote> {
        let base = self.base();
        let sources = self.json.get("sources").and_then(Value::as_object);
        let mut foreign = sources.into_iter().flatten().filter(|(_, source)| !is_source_of(source, &base, root));
        let words = |(name, source): (&String, &Value)| {
            let url = source.get("url").and_then(Value::as_str).and_then(|url| resolve(&base, url).ok());
            let at = url.map(|url| format!(" at {}", without_secrets(url.as_str()))).unwrap_or_default();
            format!("the source {}{at} of its style, which is no part of the service: its layers are not drawn", shown(name))
        };
        let mut all: Vec<String> = foreign.by_ref().take(MOST_NAMED).map(words).collect();
        match foreign.count() {
            0 => {}
            more => all.push(format!("{more} more sources of its style, which are no part of the service")),
        }
        all.into_iter().map(|words| LayerNote::new(LayerNoteKind::Missing, words)).collect()
    }

    /// Writes the style, its sprites and its fonts below `folder`, as `styles/`, `sprites/` and `fonts/`. The style that is written names
    /// nothing but what lies there, and its service by a whole url.
    pub(crate) async fn download(
        &self,
        client: &ArcGisClient,
        service: &TiledService,
        secrets: &LayerSecrets,
        folder: &Path,
    ) -> Result<Downloaded, Failure> {
        let mut style = self.json.clone();
        let base = self.base();
        let needs = style::needs(&style);
        let fetcher = Fetcher::new(client, secrets, [&base, &service.root]);
        let mut downloaded = Downloaded::default();
        // 1. Sprites. One that is missing is not named any more: readers give up all of them where one is not there.
        let sprites = sprites::fetch(&fetcher, &needs, &base, folder).await?;
        downloaded.bytes += sprites.bytes;
        downloaded.warnings = sprites.warnings;
        let mut missing = sprites.missing;
        match sprites.sprite {
            Some(sprite) => put(&mut style, "sprite", sprite),
            None => drop(style.as_object_mut().and_then(|style| style.remove("sprite"))),
        }
        // 2. Fonts.
        let mut reasons = HashMap::new();
        if let Some(template) = &needs.glyphs {
            match template_of(&base, template) {
                Ok(template) => {
                    let fonts = Fonts::new(&fetcher, &template, folder).fetch(&needs.fonts).await?;
                    downloaded.bytes += fonts.bytes;
                    downloaded.notes =
                        fonts.partly.into_iter().map(|words| LayerNote::new(LayerNoteKind::Missing, words)).collect();
                    reasons = fonts.reasons;
                    put(&mut style, "glyphs", json!("../fonts/{fontstack}/{range}.pbf"));
                }
                Err(words) => {
                    reasons.extend(needs.fonts.iter().map(|names| (Missing::Font(names.join(",")), words.clone())))
                }
            }
        }
        // 3. The style.
        self.name_sources(&mut style, &base)?;
        let text = serde_json::to_vec(&style).map_err(|e| Failure::internal(e.to_string()))?;
        downloaded.bytes += text.len() as u64;
        fetcher.write(&folder.join(STYLE_FILE), text).await?;
        // What is not there is told by the rule that verifies the package.
        let root = folder.to_owned();
        let files = run_blocking(move || Ok(files_of(&root))).await?;
        for what in style::missing(&style, STYLE_FILE, &files) {
            let reason = reasons.remove(&what).unwrap_or_default();
            missing.push((what, reason));
        }
        downloaded.notes.extend(missing.iter().map(|(what, reason)| note(what, reason)));
        Ok(downloaded)
    }

    /// The url that relative references count from. The url of a service's style is known with and without its file name.
    fn base(&self) -> String {
        match parse_http(&self.url) {
            Ok(mut url) if url.path().ends_with("/styles") => {
                url.set_path(&format!("{}/", url.path()));
                url.into()
            }
            _ => self.url.clone(),
        }
    }

    /// Names the sources by whole urls: what is relative counts from where the style was.
    fn name_sources(&self, style: &mut Value, base: &str) -> Result<(), Failure> {
        let sources = style.get_mut("sources").and_then(Value::as_object_mut);
        for url in sources.into_iter().flat_map(|sources| sources.values_mut()).filter_map(|source| source.get_mut("url")) {
            if let Some(relative) = url.as_str() {
                *url = json!(resolve(base, relative)?.as_str());
            }
        }
        Ok(())
    }
}

/// Whether a source of a style at `base` is the vector tiles of the service at `root`, by its `url` or its `tiles`.
pub(crate) fn is_source_of(source: &Value, base: &str, root: &str) -> bool {
    if source.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "vector") {
        return false;
    }
    let root = service_key(root);
    let key = |text: &str| resolve(base, text).ok().map(|url| service_key(url.as_str()));
    if let Some(url) = source.get("url").and_then(Value::as_str) {
        return key(url) == Some(root);
    }
    let tiles = source.get("tiles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_below = |tile: &Value| {
        let key = tile.as_str().and_then(key);
        key.is_some_and(|key| key.strip_prefix(&root).is_some_and(|rest| rest.starts_with('/')))
    };
    !tiles.is_empty() && tiles.iter().all(is_below)
}

/// What was made of a style.
#[derive(Debug, Default)]
pub(crate) struct Downloaded {
    pub(crate) bytes: u64,
    /// What is missing of it.
    pub(crate) notes: Vec<LayerNote>,
    pub(crate) warnings: Vec<String>,
}

/// Tells what a style needs and does not have.
pub(crate) fn note(what: &Missing, reason: &str) -> LayerNote {
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    LayerNote::new(LayerNoteKind::Missing, format!("{what} of its style{reason}"))
}

fn put(style: &mut Value, key: &str, value: Value) {
    if let Some(style) = style.as_object_mut() {
        style.insert(key.to_owned(), value);
    }
}

/// The whole template of the urls of glyphs. A name fills a part of its path or query, never of the host: which one is asked is the
/// template's word.
fn template_of(base: &str, template: &str) -> Result<String, String> {
    let is_odd = || {
        let found = shown(&without_secrets(template));
        format!("the style's `glyphs` is {found}, expected a url with {{fontstack}} and {{range}} in its path")
    };
    // The braces of the template are not part of a url; they go through resolving as they are.
    let resolved = resolve(base, template).map_err(|_| is_odd())?.to_string();
    let resolved = ["%7B", "%7b"].iter().fold(resolved, |text, brace| text.replace(brace, "{"));
    let resolved = ["%7D", "%7d"].iter().fold(resolved, |text, brace| text.replace(brace, "}"));
    let url = parse_http(&resolved).map_err(|_| is_odd())?;
    if resolved.len() > LONGEST_TEMPLATE {
        return Err(format!("the style's `glyphs` has {} bytes, expected at most {LONGEST_TEMPLATE}", resolved.len()));
    }
    let in_host = url.host_str().is_some_and(|host| host.contains(['{', '}'])) || !url.username().is_empty();
    match !in_host && ["{fontstack}", "{range}"].iter().all(|part| resolved.contains(part)) {
        true => Ok(resolved),
        false => Err(is_odd()),
    }
}

/// Paths of all files below a folder, with forward slashes. Blocks.
fn files_of(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut todo = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = todo.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => todo.push((entry.path(), format!("{name}/"))),
                false => drop(files.insert(name)),
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(json: Value) -> Style {
        let url = "https://p/sharing/rest/content/items/ab/resources/styles/root.json".to_owned();
        Style { url, json }
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
    fn sources_of_other_services_are_named() {
        let root = "https://h/arcgis/rest/services/B/VectorTileServer";
        let url = format!("{root}/resources/styles/root.json");
        let of = |sources: Value| Style { url: url.clone(), json: json!({"sources": sources}) }.foreign_sources(root);
        for own in [
            json!({"type": "vector", "url": "../../"}),
            json!({"url": "http://H/ArcGIS/rest/services/B/VectorTileServer?f=json"}),
            json!({"type": "vector", "tiles": ["../../tile/{z}/{y}/{x}.pbf"]}),
        ] {
            assert_eq!(of(json!({"esri": own})), Vec::new(), "{own}");
        }
        let notes = of(json!({"esri": {"type": "vector", "url": "../../"},
            "hills": {"type": "raster", "url": "https://h/hills"},
            "other": {"type": "vector", "url": "https://h/arcgis/rest/services/C/VectorTileServer?token=secret"},
            "tiles": {"type": "vector", "tiles": ["https://h/x/{z}/{y}/{x}.pbf"]}, "z": {"type": "vector"}}));
        let words: Vec<&str> = notes.iter().map(|note| note.message.as_str()).collect();
        assert!(notes.len() == 4 && notes.iter().all(|n| n.kind == LayerNoteKind::Missing), "{words:?}");
        for (words, name) in words.iter().zip(["hills", "other", "tiles", "z"]) {
            assert!(words.contains(name) && words.contains("not drawn") && !words.contains("secret"), "{words}");
        }
        let many: serde_json::Map<String, Value> = (0..50).map(|i| (format!("s{i}"), json!({"type": "geojson"}))).collect();
        assert!(of(Value::Object(many)).len() <= MOST_NAMED + 1);
    }

    #[test]
    fn a_style_is_known_with_and_without_its_file_name() {
        for path in ["styles/root.json", "styles/", "styles", "styles?f=json"] {
            let url = format!("https://h/rest/services/B/VectorTileServer/resources/{path}");
            let s = Style { url, json: json!({"sources": {"esri": {"type": "vector", "url": "../../"}}}) };
            assert_eq!(s.service_roots(), Ok(vec!["https://h/rest/services/B/VectorTileServer".to_owned()]), "{s:?}");
        }
    }

    #[test]
    fn a_font_s_name_is_never_a_part_of_the_host() {
        let base = "https://p/sharing/rest/content/items/ab/resources/styles/root.json";
        for bad in [
            "https://{fontstack}.h/{range}.pbf",
            "https://{fontstack}@h/{range}",
            "https://h/{range}.pbf",
            "https://h/{fontstack}",
            "ftp://h/{fontstack}/{range}",
            "mapbox://fonts/x/{fontstack}/{range}.pbf",
            "../fonts/0-255.pbf",
            "\u{1b}",
        ] {
            let words = template_of(base, bad).expect_err(bad);
            assert!(words.contains("{fontstack} and {range}") && !words.contains(char::is_control), "{words:?}");
        }
        // A name would fill it a hundred thousand times.
        let words =
            template_of(base, &format!("https://h/{}{{range}}", "{fontstack}".repeat(100_000))).expect_err("too long");
        assert!(words.contains("expected at most 4096") && words.len() < 200, "{words}");
        let of = |template: &str| template_of(base, template).expect("a template");
        let query = "https://h/fonts/{fontstack}/{range}.pbf?x=1";
        assert_eq!(of(query), query);
        assert_eq!(of("https://h/%7bfontstack%7d/%7Brange%7D"), "https://h/{fontstack}/{range}");
        let own = "https://p/sharing/rest/content/items/ab/resources/fonts/{fontstack}/{range}.pbf";
        assert_eq!(of("../fonts/{fontstack}/{range}.pbf"), own);
    }

    #[test]
    fn a_style_is_a_text_in_the_plan_and_an_object_in_older_ones() {
        let s = style(json!({"layers": [{"id": "a"}], "sources": {}}));
        let kept = serde_json::to_value(&s).expect("writes");
        assert!(kept["json"].is_string());
        assert_eq!(serde_json::from_value::<Style>(kept).expect("reads"), s);
        let older = json!({"address": s.url, "json": s.json});
        assert_eq!(serde_json::from_value::<Style>(older).expect("reads"), s);
    }
}
