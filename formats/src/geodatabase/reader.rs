//! Mobile geodatabases as containers of layers.

use super::replica::describe;
use crate::containers::{ContainerReader, Contents, Counted, Reading, RowCounts};
use offmap_model::Failure;
use std::path::Path;

/// Reads mobile geodatabases: every table, the rows and attachments of each layer.
#[derive(Debug, Clone, Copy)]
pub struct GeodatabaseReader;

impl ContainerReader for GeodatabaseReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["geodatabase"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        let layers = describe(path, reading.cancel)?.into_iter();
        let counts = layers.map(|l| (l.item_id, RowCounts { rows: l.rows, attachments: l.attachments, damages: l.damages }));
        let contents = Contents { counted: Counted::Rows(counts.collect()), ..Contents::default() };
        reading.go_on(std::fs::metadata(path).map_or(0, |m| m.len()))?;
        Ok(contents)
    }
}
