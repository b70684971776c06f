//! An exporter and a reader for files on a web server, written with what `offmap::exporter` has, under conformance suite and fault matrix.

use crate::support::{area, quick_client};
use offmap::arcgis::ArcGisClient;
use offmap::testing::{
    FaultAction, FaultEnds, FaultMatrix, FaultReport, FaultRow, FaultStep, FaultyFile, FaultyService, StepKind,
    VirtualClock, exporter_conformance, fault_names, fault_rows, without_credentials,
};
use offmap::{
    ClientOptions, Containers, Credentials, Engine, GenerateOfflineMapParameters, OfflineMapSource, OfflineMapTask,
    SubjectKind, WebMap, packager, verify_deep,
};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use words::{WordExporter, WordReader};

/// The author's file: all of offmap comes by one line.
mod words {
    use offmap::exporter::*;
    use std::path::Path;

    const LARGEST: usize = 1 << 20;

    /// Exports layers of the type `Words`: files of one word a line, of which the last is `end`.
    #[derive(Debug, Clone)]
    pub(super) struct WordExporter(pub(super) ArcGisClient);

    fn count(bytes: &[u8]) -> Result<u64, Failure> {
        let wrong = |what: &str| {
            Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, format!("the file {what}"))
        };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
        let words: Vec<&str> = text.lines().collect();
        match words.iter().find(|word| word.contains(|c: char| !c.is_ascii_lowercase())) {
            Some(word) => Err(wrong(&format!("has {word:?} in it, expected a word"))),
            None if words.last() != Some(&"end") => Err(wrong("ends before its `end`")),
            None => Ok(words.len() as u64),
        }
    }

    fn count_in(path: &Path) -> Result<u64, Failure> {
        count(&std::fs::read(path).map_err(|e| Failure::io(FailureStage::Check, "cannot read the file", &e))?)
    }

    #[async_trait]
    impl Exporter for WordExporter {
        type Parameters = NoParameters;
        type Service = u64;

        fn name(&self) -> &'static str {
            "words"
        }

        fn parameters_type(&self) -> &'static str {
            "wordParameters"
        }

        fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
            layer.url.clone().filter(|_| layer.layer_type == LayerType::Other("Words".to_owned()))
        }

        async fn describe(&self, request: &ServiceRequest, ctx: &PlanContext) -> Result<ServiceDescription<u64>, Failure> {
            let url = &request.service_url;
            let call = ServiceCall::get(url)?.with_secrets(&request.secrets()).in_stage(FailureStage::Plan);
            let nothing = || {
                let words = format!("there is no file at {url}");
                Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Plan, words)
            };
            let bytes = ctx.client(&self.0).bytes(&call, LARGEST).await?.ok_or_else(nothing)?;
            Ok(ServiceDescription::new("Words", count(&bytes)?, request.all_supported()))
        }

        fn default_parameters(&self, _: &ServiceRequest, _: &ServiceDescription<u64>) -> Result<NoParameters, Failure> {
            Ok(NoParameters {})
        }

        async fn plan(
            &self,
            request: &ServiceRequest,
            found: &ServiceDescription<u64>,
            _: &NoParameters,
            _: &PlanContext,
        ) -> Result<TaskPlan, Failure> {
            let file = Unit::new("file", "resultFile", "the words");
            Ok(TaskPlan::exactly(request, vec![file], found.service, CountUnit::Features))
        }

        async fn export(
            &self,
            task: &ExportTask,
            _: &u64,
            _: &NoParameters,
            ctx: &ExportContext,
        ) -> Result<Artifact, Failure> {
            let from = RemoteFile { url: &task.key.service_url, limit: LARGEST as u64 };
            let (file, got) = ctx.download_unit(&self.0, "file", from, "words.txt", count_in).await?;
            Ok(Artifact::one_file(task, file.artifact("words"), got))
        }
    }

    /// Reads them again; what the file says of itself may be `more` than it has.
    #[derive(Debug)]
    pub(super) struct WordReader {
        pub(super) more: u64,
    }

    impl ContainerReader for WordReader {
        fn extensions(&self) -> &'static [&'static str] {
            &["words"]
        }

        fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
            let cancel: &CancellationToken = reading.cancel;
            reading.go_on(u64::from(!cancel.is_cancelled()))?;
            let (mut damages, mut counted) = (Damages::default(), Counted::Nothing);
            match count_in(path) {
                Ok(words) => counted = Counted::Items(words + self.more),
                Err(failure) => damages.add(failure.message),
            }
            Ok(Contents { counted, damages, ..Contents::default() })
        }

        fn read_resources(&self, _: &ResourceFiles<'_>) -> Result<Resources, Failure> {
            Ok(Resources::default())
        }
    }
}

const WORDS: &str = "alpha\nbeta\ngamma\ndelta\nepsilon\nend\n";

/// A map of one layer, and an engine that takes it.
struct Taken {
    server: FaultyFile,
    client: ArcGisClient,
    engine: Engine,
    source: OfflineMapSource,
}

impl Taken {
    async fn new(reader: Option<WordReader>) -> Self {
        let server = FaultyFile::serve("greek.txt", WORDS).await.expect("a port");
        let client = quick_client(Credentials::none());
        let builder = offmap::with_defaults(&client).expect("exporters").clock(VirtualClock::default());
        let builder = builder.exporter(WordExporter(client.clone())).expect("a name of its own");
        let engine = match reader {
            Some(reader) => builder.container_reader(reader),
            None => builder,
        };
        let layer = json!({"id": "greek", "title": "Greek", "layerType": "Words", "url": server.url()});
        let map = WebMap::from_value(json!({"operationalLayers": [layer]})).expect("a map");
        Self { server, client, engine: engine.start().expect("starts"), source: OfflineMapSource::from_web_map(map) }
    }

    fn task(&self) -> OfflineMapTask {
        OfflineMapTask::new(&self.engine, self.source.clone())
    }
}

fn containers() -> Containers {
    offmap::exporters::containers().with(WordReader { more: 0 })
}

fn parameters() -> GenerateOfflineMapParameters {
    GenerateOfflineMapParameters::new(area())
}

async fn played(taken: &Taken, service: &dyn FaultyService, rows: &[FaultRow]) -> FaultReport {
    let containers = containers();
    let verified = |package: &Path| match packager::verify_deep(package, &containers) {
        Ok(found) if found.ok && found.not_read.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let (task, longest) = (taken.task(), Duration::from_secs(60));
    let matrix = FaultMatrix { task: &task, parameters: parameters(), service, rows, verify: &verified, longest };
    matrix.run().await.expect("a directory")
}

#[tokio::test]
async fn an_exporter_of_plain_files_ends_rightly_under_every_fault() {
    let taken = Taken::new(Some(WordReader { more: 0 })).await;
    let exporter = WordExporter(taken.client.clone());
    assert_eq!(exporter_conformance(exporter, taken.source.clone(), parameters()).await, Ok(()));
    let report = played(&taken, &taken.server, &fault_rows(taken.server.elsewhere())).await;
    println!("{} cells", report.cells);
    assert!(report.wrong.is_empty() && report.leaked_tokens == 0, "{report:#?}");
    assert!(report.cells >= 55, "{} cells", report.cells);
}

#[tokio::test]
async fn the_faults_of_a_plain_file_strike_after_the_plan_or_before_as_their_steps_say() {
    let taken = Taken::new(Some(WordReader { more: 0 })).await;
    // A file that is cut short whenever it is asked for is planned as it is, and cannot be; cut after the plan it is found.
    let kinds = [StepKind::Description, StepKind::PlainFile];
    let row = |ends| FaultRow::always("another file", &kinds, FaultAction::Replace(b"alpha\nend\n".to_vec()), ends);
    let report = played(&taken, &taken.server, &[row(FaultEnds::complete())]).await;
    assert_eq!((report.cells, report.wrong.len()), (2, 1), "{report:#?}");
    assert!(report.wrong[0].starts_with("another file at greek.txt while it is exported:"), "{report:#?}");
    assert!(report.wrong[0].contains("Incomplete"), "{report:#?}");
}

#[tokio::test]
async fn a_refused_token_is_the_end_where_nobody_signs_in_and_tokens_elsewhere_are_counted() {
    let step = FaultStep::new("a file", StepKind::PlainFile);
    let rows = fault_rows("http://elsewhere.invalid/");
    let row = rows.iter().find(|row| row.name == fault_names::INVALID_TOKEN_ONCE).expect("the row");
    let server = FaultyFile::serve("greek.txt", WORDS).await.expect("a port");
    assert_eq!(server.other_ends(&step, row), without_credentials(&step, row));
    let healed = server.with_credentials();
    assert!(healed.other_ends(&step, row).is_none() && row.ends == FaultEnds::complete());
    // Somebody who is careless.
    let careless = Credentials::token("secret-of-the-user").for_url(healed.elsewhere()).expect("a url");
    let client = ArcGisClient::new(ClientOptions::default(), careless).expect("a client");
    let call = offmap::arcgis::ServiceCall::get(healed.elsewhere()).expect("a url");
    assert_eq!(client.bytes(&call, 100).await.expect("an answer"), None);
    assert_eq!(healed.leaked_tokens(), 1);
}

#[tokio::test]
async fn a_format_of_its_own_is_counted_and_named_where_nobody_reads_it() {
    let taken = Taken::new(Some(WordReader { more: 0 })).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = taken.task().generate_offline_map(parameters(), Default::default(), dir.path().join("p"));
    let package = job.start().result().await.expect("a package").package;
    let found = packager::verify_deep(&package, &containers()).expect("verifies");
    assert!(found.ok && found.not_read.is_empty(), "{found:?}");
    let found = verify_deep(&package).expect("verifies");
    assert!(found.ok && found.not_read.len() == 1, "{found:?}");
    assert!(found.not_read[0].contains("\"Greek\": no reader of .words"), "{found:?}");
    assert_eq!(serde_json::to_value(&found).expect("JSON")["notRead"][0], found.not_read[0]);
    assert!(packager::verify(&package).expect("verifies").not_read.is_empty(), "nobody wanted it to be read");
    let other = offmap::exporters::containers().with(WordReader { more: 1 });
    let found = packager::verify_deep(&package, &other).expect("verifies");
    assert!(found.problems.iter().any(|p| p.what == "it has 7 items, the manifest says 6"), "{found:?}");
    // The same judgement when it is exported.
    let taken = Taken::new(Some(WordReader { more: 1 })).await;
    let job = taken.task().generate_offline_map(parameters(), Default::default(), dir.path().join("q"));
    let error = job.start().result().await.expect_err("nothing came");
    assert!(error.to_string().contains("7 items"), "{error}");
}

#[tokio::test]
async fn the_package_of_a_queued_job_has_the_title_of_its_map() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let client = quick_client(Credentials::none());
    let builder = offmap::with_defaults(&client).expect("exporters").clock(Arc::new(VirtualClock::default()));
    let builder = builder.exporter(WordExporter(client.clone())).expect("a name of its own").data_dir(dir.path());
    let taken = Taken { engine: builder.start().expect("starts"), ..Taken::new(None).await };
    let mut source = taken.source.clone();
    source.item = Some(offmap::PortalItem { title: "Letters".to_owned(), ..offmap::PortalItem::default() });
    let task = OfflineMapTask::new(&taken.engine, source);
    let job = taken.engine.submit(task.order(parameters())).await.expect("taken");
    let mut events = job.events(0).await.expect("events");
    let mut titles = Vec::new();
    while let Some(message) = events.next().await.expect("reads") {
        if message.subject.kind == SubjectKind::Package {
            titles.push(message.subject.title);
        }
    }
    assert!(!titles.is_empty() && titles.iter().all(|title| title == "Letters"), "{titles:?}");
}
