//! What a host program sees of its jobs: metrics with few labels, and spans without secrets.

use crate::support::{Bench, run_to_end};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use offmap::arcgis::Credentials;
use offmap::metrics::{
    EXPORT_SECONDS, JOB_SECONDS, JOBS, JOBS_ENDED, PACKAGE_BYTES, PACKAGE_SECONDS, QUEUE_DEPTH, RECEIVED_BYTES,
    REQUEST_SECONDS, REQUESTS, RETRIES, THROTTLED, THROTTLED_SECONDS,
};
use offmap::{OfflineMapTask, WebMap};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, SandboxOptions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The table of names and labels that users read.
const TABLE: &str = include_str!("../../src/metrics.rs");
/// All names.
const ALL: [&str; 13] = [
    QUEUE_DEPTH,
    JOBS,
    JOBS_ENDED,
    JOB_SECONDS,
    EXPORT_SECONDS,
    PACKAGE_SECONDS,
    PACKAGE_BYTES,
    REQUESTS,
    REQUEST_SECONDS,
    RETRIES,
    THROTTLED,
    THROTTLED_SECONDS,
    RECEIVED_BYTES,
];

/// A name with its labels, and a number: of a histogram how many values it has.
type Seen = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn seen(snapshotter: &Snapshotter) -> Seen {
    let all = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let key = key.key();
        let labels = key.labels().map(|l| (l.key().to_owned(), l.value().to_owned())).collect();
        let number = match value {
            DebugValue::Counter(n) => n as f64,
            DebugValue::Gauge(n) => n.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        ((key.name().to_owned(), labels), number)
    });
    all.collect()
}

/// The sum over all labels that have this one.
fn sum(seen: &Seen, name: &str, label: Option<(&str, &str)>) -> f64 {
    let has =
        |labels: &BTreeMap<String, String>| label.is_none_or(|(key, value)| labels.get(key).is_some_and(|v| v == value));
    seen.iter().filter(|((n, labels), _)| n == name && has(labels)).map(|(_, number)| number).sum()
}

#[tokio::test]
async fn a_recorder_sees_jobs_exports_requests_bytes_retries_and_throttling() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::times("featureserver/jobs", 1, FaultAction::Status(429, String::new(), Some(1))));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let result = run_to_end(&job).await.0.expect("a package");
    let cancelled = bench.job(FIELD_MAP, |_| {}).await;
    cancelled.cancel();
    run_to_end(&cancelled).await.0.expect_err("cancelled");
    bench.engine.shutdown().await.expect("ends");
    let seen = seen(&snapshotter);
    for (name, label, expected) in [
        (JOBS_ENDED, Some(("outcome", "succeeded")), 1.0),
        (JOBS_ENDED, Some(("outcome", "cancelled")), 1.0),
        (JOB_SECONDS, None, 2.0),
        (JOBS, None, 0.0),
        (QUEUE_DEPTH, None, 0.0),
        (PACKAGE_SECONDS, Some(("outcome", "succeeded")), 1.0),
        (PACKAGE_BYTES, None, result.bytes as f64),
        (THROTTLED, Some(("host", "localhost")), 1.0),
        (THROTTLED_SECONDS, None, 1.0),
    ] {
        assert_eq!(sum(&seen, name, label), expected, "{name} {label:?}: {seen:?}");
    }
    let sent = bench.sandbox.requests().len() as f64;
    assert_eq!(sum(&seen, REQUESTS, None), sent, "{seen:?}");
    assert_eq!(sum(&seen, REQUEST_SECONDS, None), sent);
    assert!(sum(&seen, RETRIES, None) >= 1.0 && sum(&seen, RECEIVED_BYTES, None) > 1000.0, "{seen:?}");
    assert!(sum(&seen, EXPORT_SECONDS, Some(("exporter", "geodatabase"))) >= 1.0, "{seen:?}");
    // What is recorded is documented, and what is documented is recorded.
    let recorded: BTreeSet<&str> = seen.keys().map(|(name, _)| name.as_str()).collect();
    assert_eq!(recorded, ALL.into_iter().collect());
    for (name, labels) in seen.keys() {
        let line = TABLE.lines().find(|line| line.contains(&format!("| `{name}` |")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(labels.keys().all(|label| line.contains(&format!("`{label}`"))), "{name} {labels:?}: {line}");
    }
}

/// Every span with its parent and all its fields, and every event.
#[derive(Debug, Default)]
struct Captured {
    /// By id: name, fields, id of the parent.
    spans: HashMap<u64, (String, String, Option<u64>)>,
    events: Vec<String>,
}

struct Capture(Arc<Mutex<Captured>>);

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("a text");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{field}={value} ").expect("a text");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut words = String::new();
        attributes.record(&mut Words(&mut words));
        let parent = ctx.span(id).and_then(|span| span.parent()).map(|parent| parent.id().into_u64());
        let mut captured = self.0.lock().expect("no panic");
        captured.spans.insert(id.into_u64(), (attributes.metadata().name().to_owned(), words, parent));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some((_, words, _)) = self.0.lock().expect("no panic").spans.get_mut(&id.into_u64()) {
            values.record(&mut Words(words));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = String::new();
        event.record(&mut Words(&mut words));
        self.0.lock().expect("no panic").events.push(words);
    }
}

impl Captured {
    /// Names of a span and all spans around it, outermost first.
    fn path(&self, id: u64) -> Vec<&str> {
        let mut path = Vec::new();
        let mut at = Some(id);
        while let Some((name, _, parent)) = at.and_then(|id| self.spans.get(&id)) {
            path.insert(0, name.as_str());
            at = *parent;
        }
        path
    }
}

/// The same map whose layers all have a secret of their author.
fn with_key(map: &WebMap, name: &str, key: &str) -> WebMap {
    let mut json = Value::Object(map.json().clone());
    for list in ["/operationalLayers", "/tables", "/baseMap/baseMapLayers"] {
        for layer in json.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            layer["customParameters"] = json!({name: key});
        }
    }
    WebMap::from_value(json).expect("a map")
}

#[tokio::test]
async fn spans_lead_from_a_request_to_its_task_and_job_and_hold_no_secret() {
    const KEY: &str = "layer-key+/0123456789";
    let captured: Arc<Mutex<Captured>> = Arc::default();
    // A second one: while there is one only, another test's thread would be asked in its place what is of interest.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(Capture(Arc::clone(&captured))));
    let api_key = Some(("apiKey".to_owned(), KEY.to_owned()));
    let options = SandboxOptions { secured: true, echo: true, api_key, ..SandboxOptions::default() };
    let bench =
        Bench::with(options, |sandbox| Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url")).await;
    let token = bench.sandbox.token();
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    source.web_map = with_key(&source.web_map, "apiKey", KEY);
    let words = format!("no export with {token} and {KEY}");
    bench
        .sandbox
        .fault(Fault::always("createreplica", FaultAction::Body(json!({"error": {"code": 400, "message": words}}))));
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let _ = run_to_end(&job).await;
    let captured = captured.lock().expect("no panic");
    // Other tests of this process have spans of their own: only those of this thread are here.
    let of = |name: &str| captured.spans.iter().filter(|(_, (n, ..))| n == name).map(|(id, s)| (*id, s)).collect::<Vec<_>>();
    assert!(of("job").iter().any(|(_, (_, words, _))| words.contains(job.id())), "{captured:?}");
    let tasks = of("task");
    assert!(!tasks.is_empty() && tasks.iter().all(|(id, _)| captured.path(*id) == ["job", "task"]), "{captured:?}");
    assert!(tasks.iter().all(|(_, (_, w, _))| w.contains("task=") && w.contains("exporter=") && w.contains("layers=")));
    let requests = of("request");
    assert!(requests.iter().all(|(_, (_, w, _))| w.contains("host=localhost") && w.contains("path=/")), "{requests:?}");
    assert!(requests.iter().any(|(id, _)| captured.path(*id) == ["job", "task", "request"]), "{captured:?}");
    assert!(requests.iter().any(|(id, _)| captured.path(*id) == ["job", "request"]), "while it is planned");
    let all = captured.spans.values().map(|(_, words, _)| words).chain(&captured.events);
    for words in all {
        for secret in [token.as_str(), KEY, "layer-key%2B", "apiKey"] {
            assert!(!words.contains(secret), "`{secret}` is in `{words}`");
        }
    }
    assert!(requests.iter().all(|(_, (_, words, _))| !words.contains(['?', '&'])), "no query: {requests:?}");
}
