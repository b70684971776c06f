//! The geodatabase while its pages and attachments still come, in the order of their ids. While nothing comes, no thread waits for it.
//!
//! What the columns hold is known when all pages are there. Here they are made for what the first page holds, and for what the service
//! says; where a later page holds something else, or a layer fails, what was written is thrown away, and the file is written anew when all
//! is there (`file`). So this decides when the file is written, never what is in it.

use super::layer_writer::LayerWriter;
use super::made_of::with_ending;
use super::units::FILE;
use super::write::{settled, settled_fields};
use super::written::{ReadyLayer, Written};
use offmap_disk::{atomic_file, run_blocking};
use offmap_engine::ExportContext;
use offmap_formats::features::{FeatureSink as _, LayerSchema, Relationship};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_model::{Failure, FailureStage};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ends the name of the file until it is complete.
const EARLY: &str = ".early";
/// Steps of a layer beside its units.
const STEPS_OF_A_LAYER: usize = 2;
/// Steps that are done in one go, where so many wait.
const AT_ONCE: usize = 64;

/// What comes next.
enum Step {
    /// A layer as its service describes it, and whether its attachments come.
    Layer(Box<LayerSchema>, bool),
    /// Its next page.
    Page(PathBuf),
    /// Its next file of attachments, and the highest id of them all.
    Attachments(PathBuf, i64),
    /// All of it is there.
    Ready(Box<ReadyLayer>),
    /// All layers are there.
    End(Vec<Relationship>),
}

/// A file that is being written. Dropped, it ends with the step at hand.
pub(super) struct Early {
    steps: mpsc::Sender<Step>,
    work: JoinHandle<Result<Option<Written>, Failure>>,
    file: PathBuf,
}

/// Removes what is left of a file that did not become one. Blocks.
fn remove(file: &Path) {
    for rest in [file.to_owned(), atomic_file::beside(file)] {
        // What cannot be removed goes with its directory.
        let _ = std::fs::remove_file(rest);
    }
}

impl Early {
    /// Begins, unless an earlier run made the file: so many units of so many layers will come.
    pub(super) async fn begin(ctx: &ExportContext, units: usize, layers: usize) -> Result<Option<Self>, Failure> {
        let (made, cancel) = (ctx.work_dir().join(FILE), ctx.cancel_token().clone());
        let file = with_ending(&made, EARLY);
        let left = file.clone();
        let is_made = run_blocking(move || {
            remove(&left);
            Ok(made.exists())
        });
        if is_made.await? {
            return Ok(None);
        }
        // Room for all of them: who tells of a page never waits.
        let (steps, next) = mpsc::channel(units + layers * STEPS_OF_A_LAYER + 1);
        let writing = Box::new(Writing::new(file.clone(), cancel));
        let left = file.clone();
        let work = tokio::spawn(async move {
            let written = run(writing, next).await;
            if !matches!(written, Ok(Some(_))) {
                run_blocking(move || Ok(remove(&left))).await?;
            }
            written
        });
        Ok(Some(Self { steps, work, file }))
    }

    fn tell(&self, step: Step) {
        // A writer that ended says why when it is asked for the file.
        let _ = self.steps.try_send(step);
    }

    /// A layer begins.
    pub(super) fn layer(&self, schema: &LayerSchema, has_attachments: bool) {
        self.tell(Step::Layer(Box::new(schema.clone()), has_attachments));
    }

    /// Its next page is there.
    pub(super) fn page(&self, path: &Path) {
        self.tell(Step::Page(path.to_owned()));
    }

    /// Its next file of attachments is there; the highest id of them all is known.
    pub(super) fn attachments(&self, path: &Path, highest: i64) {
        self.tell(Step::Attachments(path.to_owned(), highest));
    }

    /// All of it is there.
    pub(super) fn ready(&self, layer: &ReadyLayer) {
        self.tell(Step::Ready(Box::new(layer.clone())));
    }

    /// Completes the file and gives it its name; `None` where it is to be written anew.
    pub(super) async fn finish(self, relationships: Vec<Relationship>, to: PathBuf) -> Result<Option<Written>, Failure> {
        self.tell(Step::End(relationships));
        let Self { work, file, steps } = self;
        drop(steps);
        match work.await {
            Ok(Ok(Some(written))) => {
                let put = move || {
                    let failed = |e| Failure::io(FailureStage::Package, format!("cannot keep {}", to.display()), &e);
                    atomic_file::put(&file, &to).map_err(failed)
                };
                run_blocking(put).await.map(|()| Some(written))
            }
            Ok(Err(failure)) if failure.is_cancelled() => Err(failure),
            Ok(Err(failure)) => {
                tracing::info!(%failure, "the rows are written anew");
                Ok(None)
            }
            Ok(Ok(None)) | Err(_) => Ok(None),
        }
    }
}

/// Writes the file; `None` where it cannot be what was begun, or nobody wants it any more.
async fn run(mut writing: Box<Writing>, mut steps: mpsc::Receiver<Step>) -> Result<Option<Written>, Failure> {
    loop {
        let mut some = Vec::new();
        if steps.recv_many(&mut some, AT_ONCE).await == 0 {
            return Ok(None);
        }
        let done = run_blocking(move || writing.all(some)).await?;
        match done {
            Done::Some(rest) => writing = rest,
            Done::All(written) => return Ok(Some(written)),
            Done::Nothing => return Ok(None),
        }
    }
}

/// What some steps led to.
enum Done {
    /// More will come.
    Some(Box<Writing>),
    /// The file is complete.
    All(Written),
    /// It cannot be what was begun.
    Nothing,
}

/// What is written so far.
struct Writing {
    to: PathBuf,
    cancel: CancellationToken,
    sink: Option<GeodatabaseSink>,
    /// A layer of which nothing came yet.
    described: Option<LayerSchema>,
    layer: Option<LayerWriter>,
    written: Written,
}

impl Writing {
    fn new(to: PathBuf, cancel: CancellationToken) -> Self {
        Self { to, cancel, sink: None, described: None, layer: None, written: Written::default() }
    }

    /// Does some steps in their order. Blocks.
    fn all(mut self: Box<Self>, steps: Vec<Step>) -> Result<Done, Failure> {
        // Pages that lie behind each other are read in one go.
        let mut pages = Vec::new();
        for step in steps {
            if let Step::Page(page) = step {
                pages.push(page);
                continue;
            }
            if !self.pages(std::mem::take(&mut pages))? {
                return Ok(Done::Nothing);
            }
            if let Step::End(relationships) = step {
                let Some(mut sink) = self.sink else { return Ok(Done::Nothing) };
                self.written.words.extend(sink.put_relationships(&relationships)?);
                sink.finish_file()?;
                return Ok(Done::All(self.written));
            }
            if !self.step(step)? {
                return Ok(Done::Nothing);
            }
        }
        Ok(if self.pages(pages)? { Done::Some(self) } else { Done::Nothing })
    }

    /// Writes pages, of whose layer the first one says what its columns hold; false where none is begun.
    fn pages(&mut self, pages: Vec<PathBuf>) -> Result<bool, Failure> {
        let (Some(first), Some(sink)) = (pages.first(), &mut self.sink) else { return Ok(pages.is_empty()) };
        if let Some(described) = self.described.take() {
            let (fields, _) = settled_fields(&described, std::slice::from_ref(first))?;
            self.layer = Some(LayerWriter::begin(sink, LayerSchema { fields, ..described })?);
        }
        let Some(layer) = &mut self.layer else { return Ok(false) };
        layer.put_pages(sink, &pages, &self.cancel).map(|()| true)
    }

    /// Does another step than pages and the last one; false where a layer would have to be another one, or did not come.
    fn step(&mut self, step: Step) -> Result<bool, Failure> {
        if self.sink.is_none() {
            self.sink = Some(GeodatabaseSink::create(&self.to, &GeodatabaseOptions::default())?);
        }
        let Some(sink) = &mut self.sink else { return Ok(false) };
        match step {
            Step::Layer(schema, has_attachments) => {
                let is_next = self.layer.is_none() && self.described.is_none();
                self.described = Some(LayerSchema { has_attachments, ..*schema });
                Ok(is_next)
            }
            Step::Attachments(path, highest) => {
                let Some(layer) = &mut self.layer else { return Ok(false) };
                layer.put_attachments(sink, (&path, highest), &self.cancel).map(|()| true)
            }
            Step::Ready(ready) => {
                let Some(layer) = self.layer.take() else { return Ok(false) };
                if !layer.is_of(&settled(&ready, &mut self.written.words)?) {
                    tracing::info!(
                        layer = ready.id,
                        "a later page holds other values than the first one: the rows are written anew"
                    );
                    return Ok(false);
                }
                layer.end(sink, &ready, &mut self.written).map(|()| true)
            }
            Step::Page(_) | Step::End(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn while_nothing_comes_no_thread_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
        runtime.expect("a runtime").block_on(async {
            let (steps, next) = mpsc::channel(8);
            let writing = Writing::new(dir.path().join("a.geodatabase"), CancellationToken::new());
            let work = tokio::spawn(run(Box::new(writing), next));
            let schema = LayerSchema::new("Trees", None);
            steps.send(Step::Layer(Box::new(schema), false)).await.expect("is taken");
            let other = tokio::time::timeout(Duration::from_secs(60), run_blocking(|| Ok(7)));
            assert_eq!(other.await.expect("the only thread is free"), Ok(7));
            drop(steps);
            assert!(matches!(work.await, Ok(Ok(None))), "nobody wants the file");
        });
    }

    #[tokio::test]
    async fn what_does_not_follow_is_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let page = || Step::Page(dir.path().join("page"));
        let attachments = || Step::Attachments(dir.path().join("attachments"), 9);
        let layer = || Step::Layer(Box::new(LayerSchema::new("Trees", None)), false);
        for all in [
            vec![page()],
            vec![attachments()],
            vec![layer(), attachments()],
            vec![layer(), layer()],
            vec![Step::End(Vec::new())],
        ] {
            let (steps, next) = mpsc::channel(8);
            for step in all {
                steps.send(step).await.expect("is taken");
            }
            let writing = Writing::new(dir.path().join("a.geodatabase"), CancellationToken::new());
            assert!(matches!(run(Box::new(writing), next).await, Ok(None)));
        }
    }
}
