//! The one place where a SQLite file that somebody else made is opened: nothing in it runs, and reading it ends.
//!
//! Views, triggers and virtual tables are not used, computed columns are refused, the schema is not trusted, nothing is written,
//! and every statement ends when the job is cancelled or the time for the file is over.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// First bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Time for a file of any size, and for each 10 MiB of it.
const BASE_TIME: Duration = Duration::from_secs(60);
const TIME_PER_PIECE: Duration = Duration::from_secs(1);
const PIECE: u64 = 10 << 20;
/// Steps of SQLite's virtual machine between two looks at cancel and time.
const STEPS: i32 = 10_000;
/// Limits of SQLite: bytes of a value, bytes of a statement, columns, attached files, triggers that start triggers.
const LIMITS: [(Limit, i32); 5] = [
    (Limit::SQLITE_LIMIT_LENGTH, 256 << 20),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (Limit::SQLITE_LIMIT_COLUMN, 2_000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
];

/// An opened file.
pub(crate) struct ForeignSqlite {
    pub(crate) connection: Connection,
    path: PathBuf,
    cancel: CancellationToken,
    until: Until,
    limit: Duration,
}

/// What time it is; tests have a clock of their own.
pub(crate) type Now = Arc<dyn Fn() -> Instant + Send + Sync>;

/// When the time for a file is over; SQLite looks at it as well.
#[derive(Clone)]
struct Until {
    at: Arc<Mutex<Instant>>,
    now: Now,
}

impl Until {
    fn is_over(&self) -> bool {
        (self.now)() >= *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, from_now: Duration) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = (self.now)() + from_now;
    }
}

pub(crate) fn corrupt(path: &Path, words: impl std::fmt::Display) -> Failure {
    let message = format!("the {} is damaged: {words}", shown(path));
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// What a file is called in messages: a geodatabase is a replica, whoever made it.
fn shown(path: &Path) -> String {
    let is_replica = path.extension().is_none_or(|e| e.eq_ignore_ascii_case("geodatabase"));
    format!("{} {}", if is_replica { "replica" } else { "file" }, path.file_name().unwrap_or_default().display())
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn time_for(bytes: u64) -> Duration {
    let pieces = u32::try_from(bytes / PIECE).unwrap_or(u32::MAX);
    BASE_TIME.saturating_add(TIME_PER_PIECE.saturating_mul(pieces))
}

impl ForeignSqlite {
    /// Opens the file. Blocks; whatever is done with it ends with an error once `cancel` is cancelled.
    pub(crate) fn open(path: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        Self::open_timed(path, cancel, Arc::new(Instant::now))
    }

    /// The same by a clock.
    pub(crate) fn open_timed(path: &Path, cancel: &CancellationToken, now: Now) -> Result<Self, Failure> {
        let cannot_open = |e| Failure::io(FailureStage::Check, format!("cannot open {}", path.display()), &e);
        let metadata = std::fs::symlink_metadata(path).map_err(cannot_open)?;
        if !metadata.is_file() {
            return Err(corrupt(path, "it is a link or something else, expected a regular file"));
        }
        let mut head = [0; 16];
        let mut file = offmap_disk::folder::open_regular(path).map_err(cannot_open)?;
        if file.read_exact(&mut head).is_err() || head != *MAGIC {
            return Err(corrupt(path, "its first bytes are not the expected `SQLite format 3`"));
        }
        let limit = time_for(metadata.len());
        let until = Until { at: Arc::new(Mutex::new(now() + limit)), now };
        // The directory is named by the caller; the file itself is not looked for behind a link.
        let absolute = std::path::absolute(path).map_err(cannot_open)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(corrupt(path, "its path cannot be a file url"));
        };
        let real = parent.canonicalize().map_err(cannot_open)?.join(name);
        // Immutable, since a file straight from a server may have the WAL flag set without its WAL beside it.
        let mut url = url::Url::from_file_path(real).map_err(|()| corrupt(path, "its path cannot be a file url"))?;
        url.set_query(Some("immutable=1"));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(url.as_str(), flags).map_err(|e| corrupt(path, e))?;
        let mut opened = Self { connection, path: path.to_owned(), cancel: cancel.clone(), until, limit };
        opened.harden().map_err(|e| opened.failure(e))?;
        Ok(opened)
    }

    /// Before anything of the file is read.
    fn harden(&mut self) -> rusqlite::Result<()> {
        let cancel = self.cancel.clone();
        let until = self.until.clone();
        self.connection.progress_handler(STEPS, Some(move || cancel.is_cancelled() || until.is_over()))?;
        for (limit, value) in LIMITS {
            self.connection.set_limit(limit, value)?;
        }
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        ] {
            self.connection.set_db_config(config, on)?;
        }
        // Nothing of a file goes to a directory for temporary files, and no check of a column's is evaluated.
        self.connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
             PRAGMA mmap_size = 0; PRAGMA ignore_check_constraints = ON;",
        )?;
        self.connection.create_collation("ICUFOLDCASE", |a: &str, b: &str| a.to_lowercase().cmp(&b.to_lowercase()))
    }

    /// What an error of SQLite means here.
    pub(crate) fn failure(&self, error: rusqlite::Error) -> Failure {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return self.go_on().err().unwrap_or_else(|| corrupt(&self.path, "reading it was interrupted"));
        }
        corrupt(&self.path, error.to_string().escape_debug())
    }

    pub(crate) fn corrupt(&self, words: impl std::fmt::Display) -> Failure {
        corrupt(&self.path, words)
    }

    /// Whether there is time left and nobody cancelled.
    pub(crate) fn go_on(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if !self.until.is_over() {
            return Ok(());
        }
        let message = format!(
            "checking the {} took longer than {} seconds, which is the limit for its size",
            shown(&self.path),
            self.limit.as_secs()
        );
        Err(Failure::new(FailureOwner::Source, FailureKind::TimedOut, FailureStage::Check, message))
    }

    /// Its time begins anew: reading begins, whatever was done since it was opened.
    pub(crate) fn begin_reading(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        self.until.set(self.limit);
        Ok(())
    }

    /// Hands on what was read of it. How long those take to whom it is handed on is not the time of the file, which begins anew
    /// behind it: what is limited is the reading from one row to the next.
    pub(crate) fn hand_on<T>(&self, take: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.go_on()?;
        let taken = take()?;
        self.begin_reading()?;
        Ok(taken)
    }

    /// Refuses a row that does not lie behind the one before it. In a file that lies, pages of a table can be reached by many ways, so
    /// that reading it would not end; its rows come again then.
    pub(crate) fn check_order(&self, last: &mut Option<i64>, row: i64) -> Result<(), Failure> {
        match last.replace(row) {
            Some(before) if before >= row => Err(self.corrupt(format!("row {row} of a table comes behind row {before}"))),
            _ => Ok(()),
        }
    }

    /// The ordinary tables, by their names in lower case. A view or virtual table is none, whatever the schema calls it.
    pub(crate) fn tables(&self) -> Result<BTreeMap<String, String>, Failure> {
        let failed = |e| self.failure(e);
        let sql =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND substr(sql, 1, 13) = 'CREATE TABLE '";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut tables = BTreeMap::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let name: String = row.get(0).map_err(failed)?;
            tables.insert(name.to_lowercase(), name);
        }
        Ok(tables)
    }

    /// Whether there is a table or view of a name in lower case, of whatever kind.
    pub(crate) fn has_object(&self, name: &str) -> Result<bool, Failure> {
        let sql = "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE lower(name) = ?1 AND type IN ('table', 'view'))";
        self.connection.query_row(sql, [name], |row| row.get(0)).map_err(|e| self.failure(e))
    }

    /// The declared type of a column, without regard to the case of its name; `None` where there is no such column.
    pub(crate) fn column_type(&self, table: &str, column: &str) -> Result<Option<String>, Failure> {
        let sql = "SELECT type FROM pragma_table_xinfo(?1) WHERE lower(name) = lower(?2)";
        self.connection.query_row(sql, [table, column], |row| row.get(0)).optional().map_err(|e| self.failure(e))
    }

    /// The names of a table's columns in lower case; a table with computed ones is refused, since reading them runs what the
    /// author of the file wrote.
    pub(crate) fn columns(&self, table: &str) -> Result<Vec<String>, Failure> {
        let failed = |e| self.failure(e);
        let mut statement =
            self.connection.prepare_cached("SELECT name, hidden FROM pragma_table_xinfo(?1)").map_err(failed)?;
        let mut rows = statement.query([table]).map_err(failed)?;
        let mut columns = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let (name, hidden): (String, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            if hidden != 0 {
                let (table, name) = (table.escape_debug(), name.escape_debug());
                return Err(self.corrupt(format!("table `{table}` has the computed column `{name}`, which no replica has")));
            }
            columns.push(name.to_lowercase());
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless(path: &Path) {
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch("CREATE TABLE a(i); INSERT INTO a VALUES(1),(2),(3),(4),(5),(6),(7),(8),(9),(10)")
            .expect("a table");
    }

    /// Ten to the power of twelve rows.
    const LONG: &str = "SELECT count(*) FROM a,a b,a c,a d,a e,a f,a g,a h,a i,a j,a k,a l WHERE a.i + l.i > 0";

    #[test]
    fn a_statement_ends_when_its_job_is_cancelled_and_when_its_time_is_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        endless(&path);
        let cancel = CancellationToken::new();
        let opened = ForeignSqlite::open(&path, &cancel).expect("opens");
        let running = std::thread::spawn(move || {
            opened.connection.query_row(LONG, [], |r| r.get::<_, i64>(0)).map_err(|e| opened.failure(e))
        });
        cancel.cancel();
        assert!(running.join().expect("no panic").expect_err("cancelled").is_cancelled());
        let opened = ForeignSqlite::open(&path, &CancellationToken::new()).expect("opens");
        opened.until.set(Duration::ZERO);
        let ended = opened.connection.query_row(LONG, [], |r| r.get::<_, i64>(0)).map_err(|e| opened.failure(e));
        let failure = ended.expect_err("too long");
        assert!(opened.hand_on(|| Ok(())).is_err(), "what is over is over");
        opened.begin_reading().expect("is not cancelled");
        opened.hand_on(|| Ok(())).expect("there is time");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::TimedOut));
        assert_eq!((time_for(0).as_secs(), time_for(1 << 30).as_secs()), (60, 162));
    }

    #[test]
    fn nothing_of_a_foreign_file_can_write_attach_or_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        endless(&path);
        let other = Connection::open(&path).expect("opens");
        other.execute_batch("CREATE VIEW v AS SELECT i FROM a; CREATE TABLE c(i, CHECK(abs(i) > 0))").expect("changes");
        drop(other);
        let opened = ForeignSqlite::open(&path, &CancellationToken::new()).expect("opens");
        assert_eq!(opened.tables().expect("tables").into_keys().collect::<Vec<_>>(), ["a", "c"]);
        for sql in [
            "SELECT * FROM v",
            "INSERT INTO a VALUES(1)",
            "CREATE TEMP TABLE t AS SELECT 1",
            "ATTACH ':memory:' AS other",
            "UPDATE sqlite_master SET type = 'x'",
        ] {
            assert!(opened.connection.execute_batch(sql).is_err(), "{sql}");
        }
        let link = dir.path().join("link.geodatabase");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, &link).expect("links");
            let refused = ForeignSqlite::open(&link, &CancellationToken::new()).err().expect("refused");
            assert!(refused.message.contains("a regular file"), "{refused}");
        }
        let _ = link;
    }
}
