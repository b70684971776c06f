//! The geodatabase while its pages still come: on a thread of its own, page after page in the order of their ids.
//!
//! What the columns hold is known when all pages are there. Here they are made for what the first page holds, and for what the service
//! says; where a later page holds something else, or a layer fails, what was written is thrown away, and the file is written anew when all
//! is there (`file`). So this decides when the file is written, never what is in it.

use super::made_of::with_ending;
use super::units::FILE;
use super::write::{ReadyLayer, Written, put_rest, put_rows, settled, settled_fields};
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
/// Steps of a layer beside its pages.
const STEPS_OF_A_LAYER: usize = 2;

/// What comes next.
enum Step {
    /// A layer as its service describes it, and whether its attachments come.
    Layer(Box<LayerSchema>, bool),
    /// Its next page.
    Page(PathBuf),
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
    /// Begins, unless an earlier run made the file: so many pages of so many layers will come.
    pub(super) async fn begin(ctx: &ExportContext, pages: usize, layers: usize) -> Result<Option<Self>, Failure> {
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
        let (steps, next) = mpsc::channel(pages + layers * STEPS_OF_A_LAYER + 1);
        let to = file.clone();
        let work = tokio::task::spawn_blocking(move || {
            let written = run(&to, next, &cancel);
            if !matches!(written, Ok(Some(_))) {
                remove(&to);
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

/// Writes the file. Blocks; `None` where it cannot be what was begun.
fn run(to: &Path, mut steps: mpsc::Receiver<Step>, cancel: &CancellationToken) -> Result<Option<Written>, Failure> {
    let mut sink: Option<GeodatabaseSink> = None;
    let mut written = Written::default();
    while let Some(step) = steps.blocking_recv() {
        match step {
            Step::Layer(schema, has_attachments) => {
                if sink.is_none() {
                    sink = Some(GeodatabaseSink::create(to, &GeodatabaseOptions::default())?);
                }
                let Some(sink) = &mut sink else { return Ok(None) };
                if !layer(sink, (*schema, has_attachments), &mut steps, &mut written, cancel)? {
                    return Ok(None);
                }
            }
            Step::End(relationships) => {
                let Some(mut sink) = sink.take() else { return Ok(None) };
                written.words.extend(sink.put_relationships(&relationships)?);
                sink.finish_file()?;
                return Ok(Some(written));
            }
            Step::Page(_) | Step::Ready(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Writes a layer; false where its columns would have to be others, or it did not come.
fn layer(
    sink: &mut GeodatabaseSink,
    (described, has_attachments): (LayerSchema, bool),
    steps: &mut mpsc::Receiver<Step>,
    written: &mut Written,
    cancel: &CancellationToken,
) -> Result<bool, Failure> {
    let Some(Step::Page(first)) = steps.blocking_recv() else { return Ok(false) };
    let (fields, _) = settled_fields(&described, std::slice::from_ref(&first))?;
    let begun = LayerSchema { fields, has_attachments, ..described };
    sink.begin_layer(&begun)?;
    let mut ready = None;
    let mut pages = std::iter::once(first).chain(std::iter::from_fn(|| match steps.blocking_recv()? {
        Step::Page(path) => Some(path),
        Step::Ready(layer) => {
            ready = Some(layer);
            None
        }
        Step::Layer(..) | Step::End(_) => None,
    }));
    let rows = put_rows(sink, &mut pages, &begun, cancel)?;
    drop(pages);
    let Some(ready) = ready else { return Ok(false) };
    let schema = settled(&ready, &mut written.words)?;
    if schema != begun {
        tracing::info!(layer = ready.id, "a later page holds other values than the first one: the rows are written anew");
        return Ok(false);
    }
    put_rest(sink, &ready, &schema, rows, (written, cancel))?;
    Ok(true)
}
