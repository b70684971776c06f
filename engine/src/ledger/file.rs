//! Opens the file of a ledger as what it may be: made by somebody else.
//!
//! 1. The file and what SQLite keeps beside it are regular files of a bounded size, with one name.
//! 2. SQLite runs nothing that the file brings: no views, no triggers, no functions from its schema, no writes to its internals; what
//!    is read is bounded in size and in time.
//! 3. The schema is word for word what this program writes, else nothing is read.

use offmap_disk::{atomic_file, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// SQL that brings a ledger from version `n` to `n + 1`; its version is SQLite's `user_version`.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE job(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE task(id TEXT PRIMARY KEY, exporter TEXT NOT NULL, service_url TEXT NOT NULL, definition TEXT NOT NULL,
        state TEXT NOT NULL, outcome TEXT) WITHOUT ROWID;
    CREATE TABLE unit(task TEXT NOT NULL REFERENCES task(id), id TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, bytes INTEGER, sha256 TEXT, failure TEXT,
        updated INTEGER NOT NULL, PRIMARY KEY(task, id)) WITHOUT ROWID;
    CREATE TABLE note(task TEXT NOT NULL, unit TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY(task, unit, key)) WITHOUT ROWID;
"];

/// Largest ledger file, and largest file beside it, in bytes.
pub(crate) const LARGEST_FILE: u64 = 1 << 30;
/// Largest value in a ledger, in bytes.
pub(crate) const LARGEST_VALUE: usize = 128 << 20;
/// How long opening a ledger, or one read of it, may take.
pub(crate) const LONGEST_READ: Duration = Duration::from_secs(10);
/// Steps of SQLite's machine between two checks of the clock.
const STEPS: i32 = 10_000;
/// Longest SQL of a schema, in bytes.
const LONGEST_SQL: i32 = 64 << 10;

/// When a query has to end. Shared with SQLite's progress handler.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    start: Instant,
    /// Milliseconds after `start`; 0 for none.
    end: Arc<AtomicU64>,
}

impl Deadline {
    fn new() -> Self {
        Self { start: Instant::now(), end: Arc::default() }
    }

    /// Limits what runs next.
    pub(crate) fn set(&self, limit: Duration) {
        let end = (self.start.elapsed() + limit).as_millis();
        self.end.store(u64::try_from(end).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.end.store(0, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        let end = self.end.load(Ordering::Acquire);
        end > 0 && self.start.elapsed().as_millis() >= u128::from(end)
    }
}

/// What a file is: a ledger, or the engine's store of jobs.
#[derive(Debug)]
pub(crate) struct FileKind {
    /// For messages.
    pub(crate) name: &'static str,
    /// What helps where the file cannot be trusted.
    pub(crate) way_out: &'static str,
    /// SQL that brings a file from version `n` to `n + 1`; its version is SQLite's `user_version`.
    pub(crate) migrations: &'static [&'static str],
    /// Largest file, and largest file beside it, in bytes.
    pub(crate) largest: u64,
    /// The bytes of a file of which nothing is known yet, where so many are made that they are made once.
    pub(crate) blank: Option<&'static OnceLock<Result<Vec<u8>, String>>>,
    /// Whether each commit is on the disk before it is answered, so that a power cut costs nothing that was said; else a kill costs
    /// nothing.
    pub(crate) is_synced: bool,
}

/// The ledger of a job.
pub(super) static LEDGER: FileKind = FileKind {
    name: "the job's ledger",
    way_out: "remove the unfinished job with `offmap clean` and begin again",
    migrations: &MIGRATIONS,
    largest: LARGEST_FILE,
    blank: Some(&BLANK),
    is_synced: false,
};

impl FileKind {
    /// A file that cannot be trusted: nobody's disk.
    pub(crate) fn refused(&self, what: impl std::fmt::Display) -> Failure {
        let message = format!("{} cannot be used: {what}; {}", self.name, self.way_out);
        Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Run, message)
    }

    /// A fault of this program.
    pub(crate) fn broken(&self, error: impl std::fmt::Display) -> Failure {
        Failure::internal(format!("{} cannot be used: {error}", self.name))
    }

    /// Judges an error of SQLite: the disk's, or the file's own.
    pub(crate) fn judged(&self, error: &rusqlite::Error) -> Failure {
        let storage = |kind| {
            let message = format!("{} cannot be used: {error}", self.name);
            Failure::new(FailureOwner::Storage, kind, FailureStage::Run, message)
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => storage(FailureKind::StorageFull),
            Some(ErrorCode::OperationInterrupted) => {
                self.refused(format!("a query had not ended after {} seconds", LONGEST_READ.as_secs()))
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                self.refused(error)
            }
            Some(ErrorCode::ConstraintViolation | ErrorCode::ParameterOutOfRange | ErrorCode::ApiMisuse) => {
                Failure::internal(format!("{} does not take what is written: {error}", self.name))
            }
            Some(_) => storage(FailureKind::Io),
            // Values of other types than this program writes.
            None => self.refused(error),
        }
    }
}

/// A ledger that cannot be trusted: fetching anew is the way out.
pub(crate) fn refused(what: impl std::fmt::Display) -> Failure {
    LEDGER.refused(what)
}

/// Judges an error of SQLite in a ledger.
pub(crate) fn judged(error: &rusqlite::Error) -> Failure {
    LEDGER.judged(error)
}

/// Opens or makes a ledger.
pub(crate) fn open(path: &Path) -> Result<(Connection, Deadline), Failure> {
    open_kind(&LEDGER, path)
}

/// Opens or makes a file of a kind.
pub(crate) fn open_kind(kind: &FileKind, path: &Path) -> Result<(Connection, Deadline), Failure> {
    let path = plain(kind, path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    make_new(kind, &path)?;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(|e| kind.judged(&e))?;
    let deadline = Deadline::new();
    deadline.set(LONGEST_READ);
    prepare(kind, &mut connection, &deadline).map_err(|e| kind.judged(&e))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| kind.judged(&e))?;
    let known = i64::try_from(kind.migrations.len()).unwrap_or(i64::MAX);
    if !(0..=known).contains(&version) {
        return Err(kind.refused(format!(
            "{} is of version {version}, this program knows versions up to {known}; a newer offmap may read it",
            path.display()
        )));
    }
    let version = usize::try_from(version).unwrap_or_default();
    check_schema(kind, &connection, version, &path)?;
    migrate(kind, &mut connection, version).map_err(|e| kind.judged(&e))?;
    deadline.clear();
    Ok((connection, deadline))
}

/// The bytes of a ledger of which nothing is known yet: every job begins with one.
static BLANK: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
/// Where SQLite's file format says how a file is written and read: 1 with a rollback journal, 2 with a write-ahead log.
const FORMAT_VERSIONS: std::ops::Range<usize> = 18..20;
const WRITE_AHEAD_LOG: u8 = 2;

fn blank(kind: &FileKind) -> Result<Vec<u8>, String> {
    let made = Connection::open_in_memory().and_then(|mut model| {
        migrate(kind, &mut model, 0)?;
        Ok(model.serialize("main")?.to_vec())
    });
    let mut bytes = made.map_err(|e| e.to_string())?;
    bytes.get_mut(FORMAT_VERSIONS).into_iter().for_each(|versions| versions.fill(WRITE_AHEAD_LOG));
    Ok(bytes)
}

/// Makes a file where there is none: complete under its name, or not there.
fn make_new(kind: &FileKind, path: &Path) -> Result<(), Failure> {
    let Some(made) = kind.blank.filter(|_| std::fs::symlink_metadata(path).is_err()) else { return Ok(()) };
    // SQLite makes the file where it cannot be made beforehand.
    let Ok(blank) = made.get_or_init(|| blank(kind)) else { return Ok(()) };
    let failed = |e: &std::io::Error| safe_path::judged(&format!("{} cannot be made", kind.name), e);
    atomic_file::write(path, failed, |file| file.write_all(blank).map_err(|e| failed(&e)))
}

/// Makes a file of a kind that is in memory only.
pub(crate) fn open_memory(kind: &FileKind) -> Result<(Connection, Deadline), Failure> {
    let mut connection = Connection::open_in_memory().map_err(|e| kind.judged(&e))?;
    let deadline = Deadline::new();
    prepare(kind, &mut connection, &deadline).map_err(|e| kind.judged(&e))?;
    migrate(kind, &mut connection, 0).map_err(|e| kind.judged(&e))?;
    Ok((connection, deadline))
}

/// The path with its directory resolved, so that only the file's own name is left to check; what is there must be regular files.
fn plain(kind: &FileKind, path: &Path) -> Result<PathBuf, Failure> {
    let what = format!("{} cannot be used", kind.name);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::internal(format!("{} is no path of a file", path.display())));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = parent.canonicalize().map_err(|e| safe_path::judged(&what, &e))?;
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut beside = name.to_owned();
        beside.push(ending);
        let beside = parent.join(beside);
        let metadata = match std::fs::symlink_metadata(&beside) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            looked => looked.map_err(|e| safe_path::judged(&what, &e))?,
        };
        if !metadata.is_file() || safe_path::links(&metadata) > 1 {
            return Err(kind.refused(format!("{} is not a regular file with one name", beside.display())));
        }
        if metadata.len() > kind.largest {
            let bytes = metadata.len();
            return Err(kind.refused(format!("{} has {bytes} bytes, expected at most {}", beside.display(), kind.largest)));
        }
    }
    Ok(parent.join(name))
}

/// Everything that has to hold before the first word of the file is read.
fn prepare(kind: &FileKind, connection: &mut Connection, deadline: &Deadline) -> rusqlite::Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    let largest = i32::try_from(LARGEST_VALUE).unwrap_or(i32::MAX);
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, largest),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_SQL),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ] {
        connection.set_limit(limit, value)?;
    }
    let watched = deadline.clone();
    connection.progress_handler(STEPS, Some(move || watched.is_over()))?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    // The directory is locked while somebody uses the file, so no transaction has to ask for locks of its own.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if kind.is_synced { "FULL" } else { "NORMAL" })?;
    connection.pragma_update(None, "foreign_keys", true)
}

type Entry = (String, String, String, Option<String>);

/// All that a schema has, in order.
fn schema(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name LIMIT 100")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect()
}

/// A schema, or why it cannot be made.
type Made = Arc<Result<Vec<Entry>, String>>;

/// The schemas of all versions of all kinds, each made at its first use: every job opens a ledger.
static SCHEMAS: Mutex<Option<HashMap<(&'static str, usize), Made>>> = Mutex::new(None);

/// The schema that the migrations up to a version make.
fn schema_of(kind: &FileKind, version: usize) -> Made {
    let mut made = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = made.get_or_insert_default().entry((kind.name, version));
    Arc::clone(known.or_insert_with(|| {
        let made = Connection::open_in_memory().and_then(|mut model| {
            for sql in kind.migrations.iter().take(version) {
                let transaction = model.transaction()?;
                transaction.execute_batch(sql)?;
                transaction.commit()?;
            }
            schema(&model)
        });
        Arc::new(made.map_err(|e| e.to_string()))
    }))
}

/// The schema must be what the migrations up to the version make: real tables, the same columns, nothing else.
fn check_schema(kind: &FileKind, connection: &Connection, version: usize, path: &Path) -> Result<(), Failure> {
    let made = schema_of(kind, version);
    let failed = |e: &String| Failure::internal(format!("{}: the schema cannot be made: {e}", kind.name));
    let expected = made.as_ref().as_ref().map_err(failed)?;
    let found = schema(connection).map_err(|e| kind.judged(&e))?;
    let strange = found.iter().find(|entry| !expected.contains(entry));
    let missing = expected.iter().find(|entry| !found.contains(entry));
    let name = |entry: &Entry| entry.0.chars().chain(" `".chars()).chain(entry.1.chars().take(60)).collect::<String>();
    match (strange, missing) {
        (None, None) => Ok(()),
        (Some(entry), _) => Err(kind.refused(format!("{} has the {}`, which no job writes", path.display(), name(entry)))),
        (None, Some(entry)) => Err(kind.refused(format!("{} lacks the {}`", path.display(), name(entry)))),
    }
}

fn migrate(kind: &FileKind, connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for (next, sql) in (1_u32..).zip(kind.migrations).skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_end_ends_in_time_and_is_nobodys_full_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let (connection, deadline) = open(&dir.path().join("ledger.sqlite")).expect("opens");
        deadline.set(Duration::from_millis(50));
        let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
        let error = connection.query_row(endless, [], |row| row.get::<_, i64>(0)).expect_err("it has no end");
        let failure = judged(&error);
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Caller, FailureKind::Corrupt), "{failure}");
        deadline.clear();
        assert!(
            connection.query_row("SELECT count(*) FROM job", [], |row| row.get::<_, i64>(0)).is_ok(),
            "it is not broken"
        );
    }

    #[test]
    fn a_schema_that_is_not_word_for_word_ours_is_refused_before_anything_is_read() {
        let strange = [
            "CREATE VIEW v AS SELECT 1",
            "CREATE TRIGGER t AFTER INSERT ON job BEGIN SELECT 1; END",
            "CREATE INDEX i ON task(exporter)",
            "CREATE TABLE more(x)",
            "ALTER TABLE job ADD COLUMN also GENERATED ALWAYS AS (length(value)) VIRTUAL",
            "DROP TABLE note",
            "CREATE VIRTUAL TABLE s USING fts5(x)",
        ];
        for sql in strange {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("ledger.sqlite");
            drop(open(&path).expect("makes"));
            Connection::open(&path).and_then(|c| c.execute_batch(sql)).expect(sql);
            let failure = open(&path).expect_err(sql);
            assert_eq!((failure.owner, failure.kind), (FailureOwner::Caller, FailureKind::Corrupt), "{sql}: {failure}");
            assert!(failure.message.contains("offmap clean"), "{failure}");
        }
    }

    #[test]
    fn an_oversized_ledger_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.sqlite");
        drop(open(&path).expect("makes"));
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
        file.set_len(LARGEST_FILE + 1).expect("a hole costs nothing");
        let failure = open(&path).expect_err("too large");
        assert!(failure.message.contains("ledger.sqlite") && failure.kind == FailureKind::Corrupt, "{failure}");
    }
}
