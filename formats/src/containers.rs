//! What opens the data files of a package and says what is in them: one reader for each file format.
//!
//! The engine reads every file that an export brought before its layers are called done, a packager reads every file of a package
//! before it is put in place, and whoever verifies a package later reads them again. All three judge by this module, so that what
//! one of them calls complete the others call complete.

use offmap_model::{Failure, FailureOwner, LayerNote, LayerNoteKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Damages of one file that are named one by one; the rest is counted.
pub const MOST_DAMAGES: usize = 100;
/// Damages that are named in one message.
const NAMED_IN_MESSAGE: usize = 3;

/// What is wrong with something: the first ones in words, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damages {
    named: Vec<String>,
    more: u64,
}

impl Damages {
    /// Adds one.
    pub fn add(&mut self, what: impl Into<String>) {
        self.add_all([what.into()], 0);
    }

    /// Adds some, and how many more there are that nobody named.
    pub fn add_all(&mut self, named: impl IntoIterator<Item = String>, more: u64) {
        for what in named {
            match self.named.len() < MOST_DAMAGES {
                true => self.named.push(what),
                false => self.more += 1,
            }
        }
        self.more = self.more.saturating_add(more);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.more == 0
    }

    /// Those that are named.
    #[must_use]
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// How many there are beside those that are named.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more
    }

    /// The first ones in one line.
    #[must_use]
    pub fn words(&self) -> String {
        let first: Vec<&str> = self.named.iter().take(NAMED_IN_MESSAGE).map(String::as_str).collect();
        let rest = self.more + (self.named.len() - first.len()) as u64;
        let rest = if rest == 0 { String::new() } else { format!("; and {rest} more") };
        format!("{}{rest}", first.join("; "))
    }
}

/// Rows of a layer or table in a geodatabase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows.
    pub rows: u64,
    /// Its attachments, where it has a table for them.
    pub attachments: Option<u64>,
    /// What is wrong with them.
    pub damages: Damages,
}

/// What is counted in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// Nothing that layers could be compared with.
    #[default]
    Nothing,
    /// Rows by `GDB_ServiceItems.ItemId`.
    Rows(BTreeMap<i64, RowCounts>),
    /// Tiles.
    Tiles(u64),
    /// Features, rows or whatever the layer of a format of its own counts: what its exporter calls `got`.
    Items(u64),
}

/// What is in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// What is counted.
    pub counted: Counted,
    /// What is wrong with the file, whatever layer it is of.
    pub damages: Damages,
    /// Names of what its layers need beside their data and it has not, such as fonts of a style that lies in it. A layer that has
    /// a folder of resources of its own does not need it.
    pub missing: Vec<String>,
}

/// What is said of a layer whose data are in a file.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedLayer<'a> {
    /// Its title.
    pub title: &'a str,
    /// `GDB_ServiceItems.ItemId` in a geodatabase.
    pub item_id: Option<i64>,
    /// How many features, tiles or items it has.
    pub got: u64,
    /// How many attachments it has, where it has some.
    pub attachments: Option<u64>,
}

impl Contents {
    /// What of a layer is not as `whose` (such as "the manifest") says; damages of the whole file are not in it.
    #[must_use]
    pub fn differences(&self, layer: &ExpectedLayer<'_>, whose: &str) -> Damages {
        let mut found = Damages::default();
        let title = layer.title;
        match &self.counted {
            Counted::Nothing => {}
            Counted::Tiles(tiles) if *tiles == layer.got => {}
            Counted::Tiles(tiles) => found.add(format!("it has {tiles} tiles, {whose} says {}", layer.got)),
            Counted::Items(items) if *items == layer.got => {}
            Counted::Items(items) => found.add(format!("it has {items} items, {whose} says {}", layer.got)),
            Counted::Rows(items) => {
                let Some(item) = layer.item_id.and_then(|id| items.get(&id)) else {
                    found.add(format!("it has no table for layer \"{title}\""));
                    return found;
                };
                if item.rows != layer.got {
                    found.add(format!("layer \"{title}\" has {} rows, {whose} says {}", item.rows, layer.got));
                }
                if item.attachments != layer.attachments {
                    let (there, said) = (item.attachments.unwrap_or(0), layer.attachments.unwrap_or(0));
                    found.add(format!("layer \"{title}\" has {there} attachments, {whose} says {said}"));
                }
                let named = item.damages.named.iter().map(|what| format!("layer \"{title}\": {what}"));
                found.add_all(named, item.damages.more);
            }
        }
        found
    }
}

/// Reads a file by its path in a folder, of at most so many bytes.
pub type ReadFile<'a> = &'a dyn Fn(&str, u64) -> Result<Vec<u8>, Failure>;

/// The files of a folder of resources that goes with a file, such as style, sprites and fonts.
pub struct ResourceFiles<'a> {
    /// Their paths in the folder, with forward slashes.
    pub names: BTreeSet<String>,
    /// Reads one of them.
    pub read: ReadFile<'a>,
}

/// What is said of a folder of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// What is wrong with it.
    pub damages: Damages,
    /// Names of what it should have and has not. A layer without them is there and not complete.
    pub missing: Vec<String>,
}

/// What is missing though no note of the layer names it.
pub fn untold<'a>(missing: &'a [String], notes: &'a [LayerNote]) -> impl Iterator<Item = &'a str> {
    let told = notes.iter().filter(|n| n.kind == LayerNoteKind::Missing);
    let is_told = move |name: &str| told.clone().any(|n| n.message.contains(name));
    missing.iter().map(String::as_str).filter(move |name| !is_told(name))
}

/// Notes of what is missing though no note of the layer names it.
pub fn notes_of_missing(missing: &[String], notes: &[LayerNote]) -> Vec<LayerNote> {
    let note = |name: &str| LayerNote::new(LayerNoteKind::Missing, format!("{name} of its style"));
    untold(missing, notes).map(note).collect()
}

/// Judges the data of a layer by what was read of them: all that is wrong, else the names of what is missing.
pub fn judge<'a>(
    contents: &'a Contents,
    resources: Option<&'a Resources>,
    layer: &ExpectedLayer<'_>,
    whose: &str,
) -> Result<&'a [String], Damages> {
    let mut damages = contents.damages.clone();
    let found = contents.differences(layer, whose);
    damages.add_all(found.named, found.more);
    if let Some(resources) = resources {
        damages.add_all(resources.damages.named.iter().cloned(), resources.damages.more);
    }
    match damages.is_empty() {
        true => Ok(resources.map_or(&contents.missing, |r| &r.missing)),
        false => Err(damages),
    }
}

/// A failure of what was read is a layer's; one of the disk, or a cancel, is that of whoever reads.
pub fn of_the_layer<T>(read: Result<T, Failure>) -> Result<Result<T, Failure>, Failure> {
    match read {
        Err(failure) if failure.is_cancelled() || failure.owner == FailureOwner::Storage => Err(failure),
        read => Ok(read),
    }
}

/// What a reader is lent while it reads.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Fires when nobody wants to know any more.
    pub cancel: &'a CancellationToken,
    /// Takes bytes that were read since the last call.
    pub report: &'a dyn Fn(u64),
}

impl Reading<'_> {
    /// Whether to go on; says how many bytes were read since the last call.
    ///
    /// # Errors
    /// If it was cancelled.
    pub fn go_on(&self, bytes: u64) -> Result<(), Failure> {
        (self.report)(bytes);
        if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
    }
}

/// Reads files of some formats, all of each. Register one for a format of your own with `EngineBuilder::container_reader`.
pub trait ContainerReader: Debug + Send + Sync + 'static {
    /// Extensions of its formats in a package, without dot.
    fn extensions(&self) -> &'static [&'static str];

    /// Reads a file. One damage does not hide the next. Blocks until it is done or cancelled.
    ///
    /// # Errors
    /// If it is so damaged that nothing can be said of the rest, or cannot be read.
    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure>;

    /// Looks through the folder of resources of a layer whose data are in such a file.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_resources(&self, _files: &ResourceFiles<'_>) -> Result<Resources, Failure> {
        Ok(Resources::default())
    }
}

/// The readers of a program, by format.
#[derive(Debug, Clone, Default)]
pub struct Containers {
    all: Vec<Arc<dyn ContainerReader>>,
}

impl Containers {
    /// Adds a reader; the last one added is asked first.
    #[must_use]
    pub fn with(mut self, reader: impl ContainerReader) -> Self {
        self.all.insert(0, Arc::new(reader));
        self
    }

    /// The reader of a format, by its extension in a package.
    #[must_use]
    pub fn reader(&self, extension: &str) -> Option<&dyn ContainerReader> {
        let knows = |r: &&Arc<dyn ContainerReader>| r.extensions().iter().any(|e| e.eq_ignore_ascii_case(extension));
        self.all.iter().find(knows).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damages_are_named_up_to_a_number_and_counted_beyond() {
        let mut damages = Damages::default();
        assert!(damages.is_empty());
        (0..250).for_each(|i| damages.add(format!("tile {i}")));
        damages.add_all(["one".to_owned()], 7);
        assert_eq!((damages.named().len(), damages.more()), (MOST_DAMAGES, 158));
        assert_eq!(damages.words(), "tile 0; tile 1; tile 2; and 255 more");
    }

    #[test]
    fn what_is_missing_is_told_by_a_note_that_names_it() {
        let missing = ["fonts/A".to_owned(), "fonts/B".to_owned()];
        let told = |kind| [LayerNote::new(kind, "the server does not know fonts/A")];
        assert_eq!(untold(&missing, &told(LayerNoteKind::Missing)).collect::<Vec<_>>(), ["fonts/B"]);
        assert_eq!(untold(&missing, &told(LayerNoteKind::NotCounted)).count(), 2);
    }
}
