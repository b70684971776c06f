//! JSON as servers write it: a byte order mark, bare `NaN`, whole numbers as floats or text. And what is no JSON at all.

use crate::support::{Bench, area, run_to_end};
use offmap::arcgis::{Credentials, ServiceCall};
use offmap::model::json::strict;
use offmap::testing::FaultAction;
use offmap::{
    ExportTask, GenerateOfflineMapParameters, OfflineMapPlan, OfflineMapSource, OfflineMapTask, WebMap, verify_deep,
};
use offmap_sandbox::{FIELD_MAP, Fault, HOSTED_MAP, SandboxOptions};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;

const BARE_NAN: &[u8] = include_bytes!("../cases/service-bare-nan.json");
const WITH_MARK: &[u8] = include_bytes!("../cases/service-with-bom.json");
const FLOATS: &str = include_str!("../cases/service-whole-numbers-as-floats.json");
const HARBOUR: &str = "/arcgis/rest/services/harbour/mapserver";

/// The plan of a map with one layer of a service whose description is these bytes.
async fn plan_of(bench: &Bench, layer: Value, path: &str, description: &[u8]) -> OfflineMapPlan {
    bench.sandbox.heal();
    bench.sandbox.fault(Fault::always_at(path, FaultAction::Replace(description.to_vec())));
    let map =
        WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}})).expect("a map");
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    task.plan(&GenerateOfflineMapParameters::new(area()), &Default::default()).await.expect("a plan")
}

async fn tiled_plan(bench: &Bench, description: &[u8]) -> OfflineMapPlan {
    let url = format!("{}/arcgis/rest/services/Harbour/MapServer", bench.sandbox.url());
    let layer = json!({"id": "tiles", "layerType": "ArcGISTiledMapServiceLayer", "url": url});
    plan_of(bench, layer, HARBOUR, description).await
}

fn only_task(plan: &OfflineMapPlan) -> &ExportTask {
    assert!(plan.skipped.is_empty(), "{:?}", plan.skipped);
    plan.tasks.first().expect("a task")
}

fn only_reason(plan: &OfflineMapPlan) -> String {
    assert!(plan.tasks.is_empty(), "{:?}", plan.tasks);
    plan.skipped.first().and_then(|s| s.failure.as_ref()).expect("a failure").to_string()
}

#[tokio::test]
async fn a_service_that_writes_bare_nan_is_read_without_an_extent_and_called_by_its_title() {
    let bench = Bench::new().await;
    let plan = tiled_plan(&bench, BARE_NAN).await;
    let task = only_task(&plan);
    assert_eq!(task.title, "Harbour plan");
    let levels: Vec<_> = task.levels.iter().map(|l| (l.level_id, l.tiles)).collect();
    // All of the area: no extent cuts it.
    assert_eq!(levels, [(0, 1), (1, 1)]);
    assert_eq!(task.service["fullExtent"], Value::Null);
}

#[tokio::test]
async fn whole_numbers_as_floats_or_text_are_read() {
    let bench = Bench::new().await;
    let plan = tiled_plan(&bench, FLOATS.as_bytes()).await;
    let task = only_task(&plan);
    assert_eq!(task.title, "Harbour", "it has no title of its own");
    assert_eq!(task.levels.iter().map(|l| l.level_id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(task.limits.iter().map(|l| l.limit).collect::<Vec<_>>(), [100_000]);
    let info = &task.service["tileInfo"];
    assert_eq!(
        (&info["rows"], &info["cols"], &info["spatialReference"]["latestWkid"]),
        (&json!(256), &json!(256), &json!(3857))
    );
}

#[tokio::test]
async fn a_number_that_is_not_whole_is_refused_by_name() {
    let bench = Bench::new().await;
    for (from, to, words) in [
        ("\"rows\": 256.0", "\"rows\": 256.5", "`rows` is 256.5, expected a whole number from 0 to 4294967295"),
        ("\"cols\": \"256\"", "\"cols\": \"many\"", "`cols` is \"many\", expected a whole number"),
        ("\"level\": 1.0", "\"level\": 1.5", "`level` is 1.5, expected a whole number"),
        ("\"maxLOD\": 1.0", "\"maxLOD\": -1", "`maxLOD` is -1, expected a whole number"),
        ("\"maxExportTilesCount\": 100000.0", "\"maxExportTilesCount\": 0.5", "`maxExportTilesCount` is 0.5"),
        ("\"wkid\": 102100.0", "\"wkid\": 102100.5", "`wkid` is 102100.5"),
    ] {
        assert!(FLOATS.contains(from), "{from}");
        let plan = tiled_plan(&bench, FLOATS.replace(from, to).as_bytes()).await;
        let reason = only_reason(&plan);
        assert!(reason.contains(words) && reason.contains("Harbour/MapServer"), "{reason}");
    }
    // The count of a layer, too: that layer alone is not planned.
    bench.sandbox.heal();
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/2/query", FaultAction::Body(json!({"count": 7.5}))));
    let plan = bench.task(FIELD_MAP).await;
    let plan = plan.plan(&GenerateOfflineMapParameters::new(area()), &Default::default()).await.expect("a plan");
    let reasons: Vec<_> = plan.skipped.iter().map(|s| (s.id.as_str(), format!("{:?}", s.failure))).collect();
    assert!(matches!(reasons.as_slice(), [("countries", why)] if why.contains("`count` is 7.5, expected")), "{reasons:?}");
}

#[tokio::test]
async fn a_description_with_a_byte_order_mark_is_read() {
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", bench.sandbox.url());
    let layer = json!({"id": "hydrants", "layerType": "ArcGISFeatureLayer", "url": url});
    let plan = plan_of(&bench, layer, "/arcgis/rest/services/fieldwork/featureserver", WITH_MARK).await;
    let layer = only_task(&plan).layers.first().expect("a layer");
    assert!(layer.exact && layer.expected.is_some_and(|rows| rows > 0), "{layer:?}");
}

#[tokio::test]
async fn a_map_is_taken_from_servers_that_write_a_mark_before_every_answer_and_floats_for_whole_numbers() {
    for item in [FIELD_MAP, HOSTED_MAP] {
        let options = SandboxOptions { sloppy: true, ..SandboxOptions::default() };
        let sloppy = Bench::with(options, |_| Credentials::none()).await;
        let (result, _) = run_to_end(&sloppy.job(item, |_| {}).await).await;
        let result = result.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let plain = Bench::new().await.take(item).await;
        let counts = |r: &offmap::GenerateOfflineMapResult| -> Vec<_> {
            r.layers.iter().map(|l| (l.id.clone(), l.contents.planned, l.contents.got, l.contents.attachments)).collect()
        };
        assert_eq!(counts(&result), counts(&plain));
        let found = verify_deep(&result.package).expect("verifies");
        assert!(found.ok && found.complete == Some(true), "{found:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_refused_with_line_column_and_the_bytes() {
    let bench = Bench::new().await;
    for (description, words) in [
        (&b"{\"currentVersion\": 11.2,\n \"name\": \"a\x1b[2Jb\"}"[..], "line 2, column 12 has `\\x1b[2Jb\\\"}`"),
        (b"{\"name\": \"\xff\xfe\"}", "line 1, column 11 has `\\xff\\xfe\\\"}`"),
        (b"\xef\xbb\xbf{\"a\": NaN, \"b\": no}", "line 1, column 18 has `o}`"),
        (b"{\"currentVersion\": 11.2, \"tileInfo\"", "it ends at line 1, column 36"),
        // What never was JSON is not quoted.
        (b"internal words", "line 1, column 1 has `i`"),
    ] {
        let reason = only_reason(&tiled_plan(&bench, description).await);
        assert!(reason.contains(words), "{}: {reason}", description.escape_ascii());
        assert!(!reason.contains(char::is_control) && !reason.contains("internal"), "{reason}");
    }
}

#[tokio::test]
async fn a_refusal_of_words_that_are_numbers_changes_no_text() {
    let bench = Bench::new().await;
    let description =
        FLOATS.replace("\"currentVersion\"", "\"documentInfo\": {\"Title\": \"NaN, -Infinity: [NaN]\"}, \"currentVersion\"");
    let plan = tiled_plan(&bench, description.as_bytes()).await;
    assert_eq!(only_task(&plan).title, "NaN, -Infinity: [NaN]");
    let url = format!("{}/arcgis/rest/services/Harbour/MapServer", bench.sandbox.url());
    let answer = bench.client.json(&ServiceCall::get(&url).expect("a call")).await.expect("answers");
    assert_eq!(answer["documentInfo"]["Title"], "NaN, -Infinity: [NaN]");
}

/// Any JSON, rich in strings that hold the words.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            proptest::sample::select(vec!["NaN", "Infinity", "-Infinity", "\"", "\\", ",", ":", "[", " "]),
            0..6
        )
        .prop_map(|parts| parts.concat()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Bytes that are nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let parts = vec![
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "N",
        "I",
        "null",
        "1",
        "\"",
        "\\",
        "\\\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "a",
        "\u{feff}",
        "é",
    ];
    let part = prop_oneof![
        9 => proptest::sample::select(parts).prop_map(|part| part.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn valid_json_is_read_as_it_is(json in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.expect("JSON");
        prop_assert!(matches!(strict(&text), Cow::Borrowed(same) if same == text.as_slice()));
        let marked = [b"\xef\xbb\xbf".as_slice(), &text].concat();
        prop_assert_eq!(strict(&marked), text.as_slice());
    }

    #[test]
    fn whatever_is_read_strictly_is_left_alone_and_the_rest_stays_bounded(text in nearly_json()) {
        let read = strict(&text);
        if serde_json::from_slice::<Value>(&text).is_ok() {
            prop_assert!(matches!(read, Cow::Borrowed(_)));
        }
        prop_assert!(read.len() <= text.len() + text.len() / 4 + 1);
        // What is made strict stays as it is.
        if !read.starts_with(b"\xef\xbb\xbf") {
            prop_assert_eq!(strict(&read), read.as_ref());
        }
        let budget = offmap::model::json::JsonBudget { bytes: 1 << 20, values: 1000 };
        if let Err(unread) = budget.read(&text) {
            prop_assert!(!unread.to_string().contains(char::is_control));
        }
    }
}
