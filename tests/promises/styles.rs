//! Fonts and sprites of styles: all that a style needs is fetched, and what is missing is named, by `take` and `verify --deep` alike.

use crate::matrix::map_of;
use crate::support::{Bench, area, files_below, run_to_end};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, HostPolicy};
use offmap::packager::{MobileMapPackage, Verification};
use offmap::testing::VirtualClock;
use offmap::{
    Engine, ExportHost, GenerateOfflineMapResult, LayerNoteKind, OfflineMapSource, OfflineMapTask, WebMap, verify_deep,
};
use offmap_sandbox::{Fault, FaultAction, SandboxFont, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEFAULT: &str = "Open Sans Regular,Arial Unicode MS Regular";

fn fonts_case() -> Value {
    serde_json::from_str(include_str!("../cases/style-fonts-in-expressions.json")).expect("JSON")
}

fn sprites_case() -> Value {
    serde_json::from_str(include_str!("../cases/style-sprite-list.json")).expect("JSON")
}

/// Every font of the case, as a server of single fonts has them.
fn single_fonts() -> Vec<SandboxFont> {
    let plain = ["Alpha Regular", "Alpha Bold", "Gamma Regular", "Delta Italic", "Epsilon", "Zeta"];
    let mut fonts: Vec<SandboxFont> = plain.map(|name| SandboxFont::new(name, 32..=126)).into();
    fonts.push(SandboxFont::new("Beta Regular", 65..=90));
    fonts.push(SandboxFont::new("Beta Fallback", 60..=300));
    fonts.push(SandboxFont::new("Open Sans Regular", 32..=126));
    fonts.push(SandboxFont::new("Arial Unicode MS Regular", 32..=600));
    fonts
}

async fn bench(style: Value, fonts: Vec<SandboxFont>) -> Bench {
    let options = SandboxOptions { style: Some(style), fonts, ..SandboxOptions::default() };
    Bench::with(options, |_| Credentials::none()).await
}

async fn take_with(engine: &Engine, source: OfflineMapSource, out: &Path) -> GenerateOfflineMapResult {
    let task = OfflineMapTask::new(engine, source);
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 100_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), out);
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    result
}

/// Takes the map of one layer: `style` is drawn by the style of an item, `vector` by that of its service.
async fn take(bench: &Bench, layer: &str) -> GenerateOfflineMapResult {
    let source = OfflineMapSource::from_web_map(map_of(&bench.sandbox, layer));
    take_with(&bench.engine, source, &bench.destination()).await
}

/// What the result, the manifest and a deep look say is missing; all three say the same.
fn missing(result: &GenerateOfflineMapResult) -> Vec<String> {
    let [layer] = result.layers.as_slice() else { panic!("{:?}", result.layers) };
    let missing = layer.contents.notes.iter().filter(|n| n.kind == LayerNoteKind::Missing);
    let missing: Vec<String> = missing.map(|n| n.message.clone()).collect();
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let manifest = package.manifest().expect("a manifest").expect("a good one").clone();
    assert_eq!(manifest.layers[0].contents.notes, layer.contents.notes);
    let found = looked_at(result);
    assert!(found.ok, "{:?}", found.problems);
    assert_eq!(found.missing.len(), missing.len(), "each is told once: {:?}", found.missing);
    for words in &missing {
        assert!(found.missing.iter().any(|lacking| lacking.contains(words)), "{words}: {:?}", found.missing);
    }
    missing
}

fn looked_at(result: &GenerateOfflineMapResult) -> Verification {
    verify_deep(&result.package).expect("verifies")
}

/// The folder of the layer's own style.
fn style_folder(result: &GenerateOfflineMapResult) -> Option<PathBuf> {
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let folder = package.maps()[0].layers[0].data.as_ref().expect("data").resources.clone();
    folder.map(|folder| result.package.join(folder))
}

fn style_of(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("styles/root.json")).expect("reads")).expect("JSON")
}

/// Font stacks of a folder that hold any glyphs.
fn stacks(folder: &Path) -> Vec<String> {
    let Ok(list) = std::fs::read_dir(folder.join("fonts")) else { return Vec::new() };
    let mut names: Vec<String> = list.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// References of all styles in a package that lead nowhere.
fn dangling(package: &Path) -> Vec<String> {
    let mut dangling = Vec::new();
    for file in files_below(package).into_iter().filter(|f| f.ends_with("styles/root.json")) {
        let folder = file.parent().expect("a folder");
        let style: Value = serde_json::from_slice(&std::fs::read(&file).expect("reads")).expect("JSON");
        let sprites = match &style["sprite"] {
            Value::Array(list) => list.iter().map(|sprite| sprite["url"].clone()).collect(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for sprite in sprites {
            let sprite = sprite.as_str().expect("a url").to_owned();
            let has = |endings: [&str; 2]| endings.iter().all(|e| folder.join(format!("{sprite}{e}")).is_file());
            if sprite.contains("://") || !(has([".json", ".png"]) || has(["@2x.json", "@2x.png"])) {
                dangling.push(sprite);
            }
        }
        let glyphs = style["glyphs"].as_str().unwrap_or("../fonts/").to_owned();
        if !glyphs.starts_with("../fonts/") {
            dangling.push(glyphs);
        }
        for source in style["sources"].as_object().expect("sources").values() {
            let url = source["url"].as_str().expect("a url").to_owned();
            if !url.starts_with("http") && !folder.join(&url).join("root.json").is_file() {
                dangling.push(url);
            }
        }
    }
    dangling
}

/// The glyphs of a range by code point; the sandbox's are as wide as their font's name is long.
fn widths(file: &Path) -> BTreeMap<u64, u64> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = varint(&mut bytes);
            let (inner, rest) = bytes.split_at(if key & 7 == 2 { value as usize } else { 0 });
            bytes = rest;
            all.push((key >> 3, value, inner));
        }
        all
    }
    let bytes = std::fs::read(file).expect("a range");
    let stacks = fields(&bytes);
    let glyphs = stacks.iter().flat_map(|(_, _, stack)| fields(stack)).filter(|(number, ..)| *number == 3);
    glyphs
        .map(|(_, _, glyph)| {
            let numbers = fields(glyph);
            let of = |wanted: u64| numbers.iter().find(|(number, ..)| *number == wanted).expect("a number").1;
            (of(1), of(3))
        })
        .collect()
}

#[tokio::test]
async fn every_font_of_a_style_is_fetched_and_stacks_are_joined_from_single_fonts() {
    let bench = bench(fonts_case(), single_fonts()).await;
    let result = take(&bench, "style").await;
    assert_eq!(missing(&result), Vec::<String>::new());
    let folder = style_folder(&result).expect("a style");
    let expected = [
        "Alpha Bold",
        "Alpha Regular",
        "Beta Regular,Beta Fallback",
        "Delta Italic",
        "Epsilon",
        "Gamma Regular",
        DEFAULT,
        "Zeta",
    ];
    assert_eq!(stacks(&folder), expected);
    assert_eq!(dangling(&result.package), Vec::<String>::new());
    // Of each code point the glyph of the first font that has it.
    let joined = widths(&folder.join("fonts/Beta Regular,Beta Fallback/0-255.pbf"));
    assert_eq!(joined.keys().copied().collect::<Vec<_>>(), (60..=255).collect::<Vec<u64>>());
    let (first, second) = ("Beta Regular".len() as u64, "Beta Fallback".len() as u64);
    assert_eq!((joined[&65], joined[&90], joined[&64], joined[&91]), (first, first, second, second));
    let next = widths(&folder.join("fonts/Beta Regular,Beta Fallback/256-511.pbf"));
    assert_eq!(next.into_iter().collect::<Vec<_>>(), (256..=300).map(|c| (c, second)).collect::<Vec<_>>());
    let asked: Vec<String> =
        bench.sandbox.requests().into_iter().map(|r| r.path).filter(|p| p.contains("/fonts/")).collect();
    for operator in ["step", "case", "literal"] {
        assert!(!asked.iter().any(|path| path.contains(&format!("/fonts/{operator}"))), "{operator} is no font");
    }
    let unknown = asked.iter().filter(|path| path.contains("Beta") && path.contains("Regular,")).count();
    assert!(unknown < 10, "a stack that is not known is not asked for 256 times: {unknown}");
}

#[tokio::test]
async fn fonts_that_no_server_has_are_named_in_the_result_the_manifest_and_a_deep_look() {
    let gone = ["Zeta", "Beta Fallback", "Open Sans Regular", "Arial Unicode MS Regular"];
    let fonts = single_fonts().into_iter().filter(|f| !gone.contains(&f.name.as_str())).collect();
    let bench = bench(fonts_case(), fonts).await;
    let result = take(&bench, "style").await;
    let words = missing(&result);
    assert_eq!(words.len(), 3, "{words:?}");
    for name in ["the font `Zeta`", &format!("the font `{DEFAULT}`"), "`Beta Fallback`"] {
        assert!(
            words.iter().any(|w| w.contains(name) && w.contains("the server has none of its ranges")),
            "{name}: {words:?}"
        );
    }
    let folder = style_folder(&result).expect("a style");
    assert!(stacks(&folder).contains(&"Beta Regular,Beta Fallback".to_owned()), "what there is of a stack is joined");
    // A font that came and is not there any more is a damage, whatever the manifest says of files.
    let gone = folder.join("fonts/Epsilon");
    std::fs::remove_dir_all(&gone).expect("removes");
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let mut manifest = package.manifest().expect("a manifest").expect("a good one").clone();
    manifest.files.retain(|f| !f.path.contains("fonts/Epsilon/"));
    std::fs::write(result.package.join("offmap/manifest.json"), manifest.to_bytes().expect("writes")).expect("writes");
    let found = looked_at(&result);
    assert!(!found.ok && found.problems.iter().any(|p| p.what.contains("the font `Epsilon`")), "{:?}", found.problems);
}

#[tokio::test]
async fn what_the_style_in_a_vector_tile_package_lacks_is_named_as_well() {
    let style = |fonts: Value| {
        let mut style = fonts_case();
        style["layers"] = json!([{"id": "a", "type": "symbol", "layout": {"text-field": "{n}", "text-font": fonts}}]);
        style
    };
    for (style, fonts, named) in [
        (style(json!(["step", ["zoom"], ["literal", ["Epsilon"]], 9, ["literal", ["Zeta"]]])), single_fonts(), &[][..]),
        (fonts_case(), single_fonts(), &["the font `Beta Regular,Beta Fallback`", DEFAULT]),
        (style(json!(["Zeta"])), Vec::new(), &["the font `Zeta`"]),
        (style(json!(["get", "font"])), Vec::new(), &["takes from the data"]),
    ] {
        let bench = bench(style, fonts).await;
        let result = take(&bench, "vector").await;
        assert_eq!(style_folder(&result), None);
        let words = missing(&result);
        assert_eq!(words.len(), named.len(), "{words:?}");
        for name in named {
            assert!(words.iter().any(|w| w.contains(name)), "{name}: {words:?}");
        }
    }
}

#[tokio::test]
async fn each_sprite_of_a_list_is_fetched_under_its_id_and_the_style_names_the_local_ones() {
    let mut style = sprites_case();
    let bench = bench(style.clone(), Vec::new()).await;
    // The same services on another host.
    style["sprite"][1]["url"] = json!(format!(
        "{}/arcgis/rest/services/Streets/VectorTileServer/resources/sprites/sprite",
        bench.sandbox.federated_url()
    ));
    style["sources"]["esri"]["url"] =
        json!(format!("{}/hosted/rest/services/Streets/VectorTileServer", bench.sandbox.url()));
    bench.sandbox.fault(Fault::always("styles/root.json", FaultAction::Body(style)));
    let result = take(&bench, "style").await;
    assert_eq!(missing(&result), Vec::<String>::new());
    let folder = style_folder(&result).expect("a style");
    let names = json!([{"id": "default", "url": "../sprites/default"}, {"id": "extra", "url": "../sprites/extra"}]);
    assert_eq!(style_of(&folder)["sprite"], names);
    for name in ["default", "extra"] {
        for ending in [".json", ".png", "@2x.json", "@2x.png"] {
            assert!(folder.join(format!("sprites/{name}{ending}")).is_file(), "{name}{ending}");
        }
    }
    assert_eq!(dangling(&result.package), Vec::<String>::new());
}

#[tokio::test]
async fn a_sprite_that_is_missing_is_named_and_costs_neither_the_others_nor_the_layer() {
    // On a host that may not be asked.
    let bench = bench(sprites_case(), Vec::new()).await;
    let host = |url: &str| url.split("://").nth(1).expect("a host").to_owned();
    let (own, storage) = (host(bench.sandbox.url()), host(bench.sandbox.storage_url()));
    let hosts = HostPolicy::allow_hosts([own, storage]).expect("hosts");
    let options = ClientOptions { hosts, ..ClientOptions::default() };
    let client =
        ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default())).expect("a client");
    let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
    let source = OfflineMapSource::from_web_map(map_of(&bench.sandbox, "style"));
    let result = take_with(&engine, source, &bench.destination()).await;
    let words = missing(&result);
    let [only] = words.as_slice() else { panic!("{words:?}") };
    assert!(only.contains("the sprite `extra`") && only.contains("--allow-host host.example"), "{only}");
    let folder = style_folder(&result).expect("a style");
    assert_eq!(style_of(&folder)["sprite"], json!([{"id": "default", "url": "../sprites/default"}]));
    assert_eq!(dangling(&result.package), Vec::<String>::new());
}

#[tokio::test]
async fn half_a_sprite_is_none_and_one_density_is_told() {
    for (gone, named) in [
        (&["sprites/sprite.png", "sprites/sprite@2x.json"][..], true),
        (&["sprites/sprite.json", "sprites/sprite@2x.png"], true),
        (&["sprites/sprite@2x.json"], false),
        (&["sprites/sprite@2x.png"], false),
        (&["sprites/sprite.json"], false),
    ] {
        let bench = Bench::new().await;
        for path in gone {
            bench.sandbox.fault(Fault::always(path, FaultAction::Status(404, "none".to_owned(), None)));
        }
        let result = take(&bench, "style").await;
        let (words, folder) = (missing(&result), style_folder(&result).expect("a style"));
        assert_eq!(words.len(), usize::from(named), "{gone:?}: {words:?}");
        assert_eq!(style_of(&folder)["sprite"].is_null(), named, "{gone:?}");
        assert!(words.iter().all(|w| w.contains("the sprite `default`")), "{gone:?}: {words:?}");
        let told = result.warnings.iter().any(|w| w.contains("the sprite `default` is not there for"));
        assert_eq!(told, !named, "{gone:?}: {:?}", result.warnings);
        let files = files_below(&folder.join("styles/..")).into_iter().filter(|f| f.to_string_lossy().contains("sprites"));
        assert_eq!(files.count(), if named { 0 } else { 2 }, "{gone:?}");
        assert_eq!(dangling(&result.package), Vec::<String>::new(), "{gone:?}");
    }
}

#[tokio::test]
async fn a_style_of_the_service_itself_comes_with_its_package_or_whole() {
    let bench = Bench::new().await;
    let (here, there) = (bench.sandbox.url().to_owned(), bench.sandbox.federated_url());
    let service = |host: &str| format!("{host}/arcgis/rest/services/Streets/VectorTileServer");
    let style = |host: &str, name: &str| format!("{}/resources/styles{name}", service(host));
    let twin = |source: &str, export: &str| vec![ExportHost { source: source.to_owned(), export: export.to_owned() }];
    let cases = [
        (None, style(&here, "/root.json"), Vec::new(), false),
        (None, style(&here, "/"), Vec::new(), false),
        (None, style(&here, ""), Vec::new(), false),
        (Some(service(&here)), style(&here, "/root.json?f=json"), Vec::new(), false),
        // Another style of the service is not in its package.
        (Some(service(&here)), style(&here, "/dark.json"), Vec::new(), true),
        (None, style(&here, "/dark.json"), Vec::new(), true),
        // The map names the host that streams, or the one that exports.
        (Some(service(&there)), style(&here, "/root.json"), twin(&there, &here), false),
        (Some(service(&there)), style(&there, "/root.json"), twin(&there, &here), false),
        (Some(service(&there)), style(&here, "/dark.json"), twin(&there, &here), true),
        (Some(service(&here)), style(&there, "/root.json"), Vec::new(), true),
    ];
    for (index, (url, style, export_hosts, has_folder)) in cases.into_iter().enumerate() {
        let mut layer = json!({"id": "it", "layerType": "VectorTileLayer", "styleUrl": style});
        if let Some(url) = &url {
            layer["url"] = json!(url);
        }
        let map = WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}}));
        let mut source = OfflineMapSource::from_web_map(map.expect("a map"));
        source.export_hosts = export_hosts;
        let result = take_with(&bench.engine, source, &bench.dir.path().join(index.to_string())).await;
        assert_eq!(missing(&result), Vec::<String>::new(), "{layer}");
        assert_eq!(style_folder(&result).is_some(), has_folder, "{layer}");
        assert_eq!(dangling(&result.package), Vec::<String>::new(), "{layer}");
        if let Some(folder) = style_folder(&result) {
            assert_eq!(stacks(&folder), ["Sandbox Regular"], "{layer}");
            assert!(style_of(&folder)["sources"]["esri"]["url"].as_str().expect("a url").starts_with("http"), "{layer}");
        }
    }
}

#[tokio::test]
async fn glyphs_at_an_odd_url_or_a_host_that_may_not_be_asked_cost_the_labels_and_are_told() {
    for (glyphs, reason) in [
        ("mapbox://fonts/x/{fontstack}/{range}.pbf", "the style's `glyphs` is `mapbox://fonts"),
        ("https://{fontstack}.h/{range}.pbf", "expected a url with {fontstack} and {range}"),
        ("../fonts/{range}.pbf", "expected a url with {fontstack} and {range}"),
        ("http://169.254.169.254/{fontstack}/{range}.pbf", "169.254.169.254 is not asked"),
    ] {
        let mut style = fonts_case();
        style["glyphs"] = json!(glyphs);
        let bench = bench(style, single_fonts()).await;
        let result = take(&bench, "style").await;
        let words = missing(&result);
        assert_eq!(words.len(), 8, "{glyphs}: {words:?}");
        assert!(words.iter().all(|w| w.contains(reason)), "{glyphs}: {words:?}");
        let asked = bench.sandbox.requests().into_iter().filter(|r| r.path.contains("/fonts/")).count();
        assert_eq!(asked, 0, "{glyphs}");
    }
}

#[tokio::test]
async fn a_stack_of_very_many_fonts_is_not_asked_for_without_end() {
    let names: Vec<String> = (0..60).map(|i| format!("f{i:02}")).collect();
    let mut style = fonts_case();
    style["layers"] = json!([{"id": "a", "type": "symbol", "layout": {"text-field": "{n}", "text-font": names}}]);
    let bench = bench(style, vec![SandboxFont::new("f00", 65..=90)]).await;
    let result = take(&bench, "style").await;
    let words = missing(&result);
    let [only] = words.as_slice() else { panic!("{words:?}") };
    assert!(only.contains("`f01`") && only.contains("54 more"), "{only}");
    let asked = bench.sandbox.requests().into_iter().filter(|r| r.path.contains("/fonts/")).count();
    assert!(asked <= 1 + 32 * 256, "{asked}");
}

#[tokio::test]
async fn a_package_without_a_manifest_is_looked_at_by_the_same_rule() {
    let fonts = single_fonts().into_iter().filter(|f| f.name != "Zeta").collect();
    let bench = bench(fonts_case(), fonts).await;
    let result = take(&bench, "style").await;
    std::fs::remove_file(result.package.join("offmap/manifest.json")).expect("removes");
    let found = looked_at(&result);
    assert!(found.ok && !found.by_manifest, "{:?}", found.problems);
    assert_eq!(found.missing.len(), 1, "{:?}", found.missing);
    assert!(found.missing[0].contains("the font `Zeta`"), "{:?}", found.missing);
}
