//! How far a GeoPackage that is being written has come: a table in the file itself, which goes when the file is complete.

use crate::features::Resume;
use rusqlite::{Connection, OptionalExtension as _, params};

const TABLE: &str = "CREATE TABLE offmap_progress (layer TEXT PRIMARY KEY NOT NULL, definition TEXT NOT NULL, after INTEGER, rows INTEGER NOT NULL, attachment_after INTEGER, attachments INTEGER NOT NULL, min_x REAL, min_y REAL, max_x REAL, max_y REAL) WITHOUT ROWID";

/// What is written of a layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) features: Resume,
    pub(crate) attachments: Resume,
    /// `[xmin, ymin, xmax, ymax]`.
    pub(crate) extent: Option<[f64; 4]>,
}

impl Progress {
    pub(crate) fn widen(&mut self, [a, b, c, d]: [f64; 4]) {
        let wider = |[e, f, g, h]: [f64; 4]| [e.min(a), f.min(b), g.max(c), h.max(d)];
        self.extent = Some(self.extent.map_or([a, b, c, d], wider));
    }
}

pub(crate) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLE)
}

/// Whether a file is one that is being written.
pub(crate) fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE name = 'offmap_progress')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// What is written of a layer, and the definition of its table.
pub(crate) fn read(connection: &Connection, layer: &str) -> rusqlite::Result<Option<(String, Progress)>> {
    let sql = "SELECT definition, after, rows, attachment_after, attachments, min_x, min_y, max_x, max_y
         FROM offmap_progress WHERE layer = ?1";
    let found = connection.query_row(sql, [layer], |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
        let extent: Option<f64> = row.get(5)?;
        let extent = match extent {
            Some(xmin) => Some([xmin, row.get(6)?, row.get(7)?, row.get(8)?]),
            None => None,
        };
        let features = Resume { after: row.get(1)?, rows: count(2)? };
        let attachments = Resume { after: row.get(3)?, rows: count(4)? };
        Ok((row.get(0)?, Progress { features, attachments, extent }))
    });
    found.optional()
}

pub(crate) fn write(connection: &Connection, layer: &str, definition: &str, progress: &Progress) -> rusqlite::Result<()> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let [xmin, ymin, xmax, ymax] = progress.extent.map_or([None; 4], |extent| extent.map(Some));
    let sql = "INSERT OR REPLACE INTO offmap_progress VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(sql)?.execute(params![
        layer,
        definition,
        progress.features.after,
        count(progress.features.rows),
        progress.attachments.after,
        count(progress.attachments.rows),
        xmin,
        ymin,
        xmax,
        ymax
    ])?;
    Ok(())
}

pub(crate) fn drop(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DROP TABLE offmap_progress")
}
