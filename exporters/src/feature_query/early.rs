//! The geodatabase while its pages and attachments still come, in the order of their ids. While nothing comes, no thread waits for it.
//!
//! What the columns hold is known when all pages are there. Here they are made for what the first page holds, and for what the service
//! says; where a later page holds something else, or a layer fails, what was written is thrown away, and the file is written anew when all
//! is there (`file`). So this decides when the file is written, never what is in it.

use super::layer_writer::{LayerWriter, go_on};
use super::made_of::with_ending;
use super::units::FILE;
use super::write::{settled, settled_fields};
use super::written::{ReadyLayer, Written};
use offmap_disk::{Steps, atomic_file, run_blocking};
use offmap_engine::ExportContext;
use offmap_formats::features::{FeatureSink as _, LayerSchema, Relationship};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_model::{Failure, FailureStage};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

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

/// A file that is being written. Dropped, it ends with the page or attachment at hand; [`Early::abandon`] waits for that.
pub(super) struct Early {
    steps: mpsc::Sender<Step>,
    work: JoinHandle<Result<Option<Written>, Failure>>,
    file: PathBuf,
    stop: DropGuard,
}

/// Numbers the files of this process: one that is not wanted any more may still be written while the next one begins.
static FILES: AtomicU64 = AtomicU64::new(0);

/// Removes files that did not become one: all whose names begin like this one's. Blocks.
fn remove(begin: &Path) {
    let (Some(folder), Some(begin)) = (begin.parent(), begin.file_name()) else { return };
    let begins = |name: &OsStr| name.as_encoded_bytes().starts_with(begin.as_encoded_bytes());
    for rest in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| begins(&entry.file_name())) {
        // What cannot be removed goes with its directory.
        let _ = std::fs::remove_file(rest.path());
    }
}

impl Early {
    /// Begins, unless an earlier run made the file: so many units of so many layers will come.
    pub(super) async fn begin(ctx: &ExportContext, units: usize, layers: usize) -> Result<Option<Self>, Failure> {
        let (made, cancel) = (ctx.work_dir().join(FILE), ctx.cancel_token().clone());
        let before = with_ending(&made, EARLY);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = with_ending(&before, &format!("{number}-"));
        let is_made = run_blocking(move || {
            remove(&before);
            Ok(made.exists())
        });
        if is_made.await? {
            return Ok(None);
        }
        let cancel = cancel.child_token();
        let stop = cancel.clone().drop_guard();
        // Room for all of them: who tells of a page never waits.
        let (steps, next) = mpsc::channel(units + layers * STEPS_OF_A_LAYER + 1);
        let writing = Box::new(Writing::new(file.clone(), cancel));
        let left = file.clone();
        let written_or_removed = async move {
            let written = run(writing, next).await;
            if !matches!(written, Ok(Some(_))) {
                let removed = move || {
                    remove(&left);
                    Ok(())
                };
                run_blocking(removed).await?;
            }
            written
        };
        let work = tokio::spawn(Steps::here().of(written_or_removed));
        Ok(Some(Self { steps, work, file, stop }))
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

    /// Writes no further, and waits until nothing of it is left.
    pub(super) async fn abandon(self) {
        let Self { steps, work, stop, .. } = self;
        drop((steps, stop));
        // What it would say concerns nobody.
        let _ = work.await;
    }

    /// Completes the file and gives it its name; `None` where it is to be written anew.
    pub(super) async fn finish(self, relationships: Vec<Relationship>, to: PathBuf) -> Result<Option<Written>, Failure> {
        self.tell(Step::End(relationships));
        // The stop is kept until all is written.
        let Self { work, file, steps, stop: _stop } = self;
        drop(steps);
        let written = match work.await {
            Ok(Ok(Some(written))) => {
                let failed = |e| Failure::io(FailureStage::Package, format!("cannot keep {}", file.display()), &e);
                let from = file.clone();
                let put = run_blocking(move || Ok(atomic_file::put(&from, &to))).await?;
                put.map(|()| Some(written)).map_err(failed)
            }
            Ok(ended) => ended,
            Err(_) => Ok(None),
        };
        match written {
            Err(failure) if !failure.is_cancelled() => {
                tracing::info!(%failure, "the rows are written anew");
                Ok(None)
            }
            other => other,
        }
    }
}

/// Writes the file; `None` where it cannot be what was begun, or nobody wants it any more.
async fn run(mut writing: Box<Writing>, mut steps: mpsc::Receiver<Step>) -> Result<Option<Written>, Failure> {
    loop {
        let mut some = Vec::new();
        if steps.recv_many(&mut some, AT_ONCE).await == 0 {
            // What closes a file blocks.
            let close = move || {
                drop(writing);
                Ok(None)
            };
            return run_blocking(close).await;
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
            go_on(&self.cancel)?;
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
    use super::super::attachment_file::UnitFile;
    use super::super::attachment_list::Listed;
    use super::super::attachments::Fetched;
    use super::super::fit::{FieldFit, Raw, StoredValue};
    use super::super::stored::{PageHead, StoredRow};
    use super::super::write::write;
    use super::*;
    use offmap_formats::features::{Field, FieldType};
    use prost::Message as _;
    use std::time::Duration;

    fn writing(dir: &Path) -> Box<Writing> {
        Box::new(Writing::new(dir.join("early"), CancellationToken::new()))
    }

    fn layer() -> Step {
        Step::Layer(Box::new(LayerSchema::new("Trees", None)), false)
    }

    #[test]
    fn while_nothing_comes_no_thread_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
        runtime.expect("a runtime").block_on(async {
            let (steps, next) = mpsc::channel(8);
            let work = tokio::spawn(run(writing(dir.path()), next));
            steps.send(layer()).await.expect("is taken");
            let deadline = Duration::from_secs(60);
            let begun = async {
                while std::fs::read_dir(dir.path()).expect("reads").next().is_none() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(deadline, begun).await.expect("begins its file");
            let other = tokio::time::timeout(deadline, run_blocking(|| Ok(7)));
            assert_eq!(other.await.expect("the only thread is free"), Ok(7));
            drop(steps);
            assert!(matches!(work.await, Ok(Ok(None))), "nobody wants the file");
        });
    }

    #[tokio::test]
    async fn what_does_not_follow_is_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let page = || Step::Page(page(dir.path(), "page", &[(1, "one")]));
        let attachments = || Step::Attachments(dir.path().join("attachments"), 9);
        let ready = || Step::Ready(Box::new(ready(7, Vec::new(), None)));
        let end = || Step::End(Vec::new());
        for all in [
            vec![page()],
            vec![attachments()],
            vec![layer(), attachments()],
            vec![layer(), layer()],
            vec![layer(), page(), layer()],
            vec![layer(), ready()],
            vec![ready()],
            vec![end()],
        ] {
            let (steps, next) = mpsc::channel(8);
            for step in all {
                steps.send(step).await.expect("is taken");
            }
            drop(steps);
            assert!(matches!(run(writing(dir.path()), next).await, Ok(None)));
        }
    }

    fn field() -> Field {
        let (name, alias, length, domain) = ("NAME".to_owned(), None, Some(255), None);
        Field { name, alias, field_type: FieldType::Text, length, is_nullable: true, domain }
    }

    /// A page of rows with one text each.
    fn page(dir: &Path, name: &str, rows: &[(i64, &str)]) -> PathBuf {
        let mut fit = FieldFit::default();
        let mut values: Vec<StoredRow> = Vec::new();
        for (object_id, text) in rows {
            let scalar = fit.value(Raw::Text(text), FieldType::Text);
            values.push(StoredRow { object_id: *object_id, values: vec![StoredValue { scalar }], shape: None });
        }
        let mut bytes = PageHead { rows: rows.len() as u64, gone: 0, fits: vec![fit] }.encode_length_delimited_to_vec();
        values.iter().for_each(|row| bytes.extend(row.encode_length_delimited_to_vec()));
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    }

    fn ready(id: u32, pages: Vec<PathBuf>, attachments: Option<Fetched>) -> ReadyLayer {
        let mut schema = LayerSchema::new(format!("Layer {id}"), None);
        (schema.fields, schema.item_id) = (vec![field()], Some(i64::from(id)));
        let (left_out, digest) = (Vec::new(), id.to_string());
        ReadyLayer { id, schema, left_out, pages, attachments, listed: 0, gone: 0, is_edited: false, digest }
    }

    /// Two files of attachments, of which the second lacks some and has no name yet; two have one id.
    fn attachments(dir: &Path) -> Fetched {
        let listed = |id: i64, object_id: i64| Listed { id, object_id, name: format!("{id}.jpg"), ..Listed::default() };
        let (first, second) = (dir.join("first"), dir.join("second"));
        let mut file = UnitFile::open(&first).expect("begins");
        file.add(&listed(1, 1), &[1; 9_000]).expect("adds");
        file.add(&listed(1, 2), b"two").expect("adds");
        file.finish(&first).expect("finishes");
        let mut file = UnitFile::open(&second).expect("begins");
        file.add(&listed(3, 3), b"three").expect("adds");
        file.add_gone(&listed(4, 3)).expect("adds");
        Fetched { files: vec![first, atomic_file::beside(&second)], highest: 4, ..Fetched::default() }
    }

    /// The steps by which layers come, a few at a time.
    async fn come(dir: &Path, layers: &[ReadyLayer]) -> Result<Option<Written>, Failure> {
        let (steps, next) = mpsc::channel(1);
        let work = tokio::spawn(run(writing(dir), next));
        let mut all = Vec::new();
        for layer in layers {
            all.push(Step::Layer(Box::new(layer.schema.clone()), layer.attachments.is_some()));
            all.extend(layer.pages.iter().cloned().map(Step::Page));
            let files = layer.attachments.iter().flat_map(|a| a.files.iter().map(|file| (file.clone(), a.highest)));
            all.extend(files.map(|(file, highest)| Step::Attachments(file, highest)));
            all.push(Step::Ready(Box::new(layer.clone())));
        }
        all.push(Step::End(Vec::new()));
        for step in all {
            // Who sees early that it cannot be takes no more.
            let _ = steps.send(step).await;
        }
        work.await.expect("no panic")
    }

    #[tokio::test]
    async fn the_file_is_the_one_that_is_written_when_all_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let pages = vec![page(dir.path(), "a", &[(1, "one"), (2, "two")]), page(dir.path(), "b", &[(3, "six")])];
        let one = page(dir.path(), "c", &[(1, "other")]);
        let layers = [ready(0, pages, Some(attachments(dir.path()))), ready(4, vec![one], None)];
        let early = come(dir.path(), &layers).await.expect("writes").expect("all of it");
        let late = dir.path().join("late");
        let written = write(&late, &layers, &[], &CancellationToken::new()).expect("is written");
        let told = |written: &Written| serde_json::to_value(written).expect("JSON");
        assert_eq!(told(&early), told(&written));
        let counts = written.counts.values().map(|c| (c.rows, c.attachments)).collect::<Vec<_>>();
        assert_eq!(counts, [(3, Some(3)), (1, None)]);
        assert!(written.words.iter().any(|words| words.contains("1 attachments have ids")), "{:?}", written.words);
        let bytes = |path: &Path| std::fs::read(path).expect("reads");
        assert!(bytes(&dir.path().join("early")) == bytes(&late), "byte by byte");
    }

    #[tokio::test]
    async fn a_later_page_whose_values_need_other_columns_leaves_the_file_to_be_written_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let pages = vec![page(dir.path(), "a", &[(1, "one")]), page(dir.path(), "b", &[(2, &"long ".repeat(200))])];
        let layers = [ready(0, pages, None)];
        let early = come(dir.path(), &layers).await;
        assert!(early.is_err_and(|failure| !failure.is_cancelled()), "the column has 255 characters");
        write(&dir.path().join("late"), &layers, &[], &CancellationToken::new()).expect("is written");
    }
}
