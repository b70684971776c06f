//! Reads and writes the store.

use super::record::{COLUMNS, JobRecord, names_of_states};
use super::schema::STORE;
use crate::ledger::{Worker, open_kind, open_memory};
use offmap_model::{Failure, GenerateOfflineMapResult, JobError, JobFilter, StatusMessage};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Events that are read at a time.
const EVENTS: u32 = 256;

/// How a job ended, as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Result(GenerateOfflineMapResult),
    Error(JobError),
}

/// What is written of a job in one step.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) record: JobRecord,
    /// How it ended, as JSON.
    pub(crate) outcome: Option<Arc<str>>,
    pub(crate) events: Vec<StatusMessage>,
}

/// A handle to the store; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct JobStore {
    worker: Worker,
}

/// What an engine finds when it starts.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The jobs that have not ended, in the order of submission.
    pub(crate) living: Vec<JobRecord>,
    /// The number of the last job that ever was.
    pub(crate) last: i64,
}

fn living(connection: &Connection) -> rusqlite::Result<Found> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE state IN ({}) ORDER BY seq", names_of_states(false));
    let living = connection.prepare(&sql)?.query_map([], JobRecord::read)?.collect::<rusqlite::Result<_>>()?;
    // Also of jobs that were removed.
    let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'job'";
    let last = connection.query_row(last, [], |r| r.get(0))?;
    Ok(Found { living, last })
}

fn add_events(connection: &Connection, job: i64, events: &[StatusMessage]) -> rusqlite::Result<()> {
    // One that is written once more is the same; another one with its number is none that may be lost.
    const SQL: &str = "INSERT INTO event(job, seq, body) VALUES(?1, ?2, ?3)
        ON CONFLICT(job, seq) DO UPDATE SET body = excluded.body WHERE body = excluded.body";
    let mut insert = connection.prepare_cached(SQL)?;
    for event in events {
        let body = serde_json::to_string(event).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        if insert.execute(params![job, i64::try_from(event.seq).unwrap_or(i64::MAX), body])? == 0 {
            let words = format!("the job {job} has another message of the number {}", event.seq);
            return Err(rusqlite::Error::ToSqlConversionFailure(words.into()));
        }
    }
    Ok(())
}

impl JobStore {
    /// Opens or makes the store at a path, or one in memory, and reads what lives in it. Blocks.
    pub(crate) fn open(path: Option<&Path>, runtime: Handle) -> Result<(Self, Found), Failure> {
        let (connection, deadline) = path.map_or_else(|| open_memory(&STORE), |path| open_kind(&STORE, path))?;
        let found = living(&connection).map_err(|e| STORE.judged(&e))?;
        Ok((Self { worker: Worker::of(&STORE, connection, deadline, runtime) }, found))
    }

    /// Adds an order.
    pub(crate) async fn insert(
        &self,
        record: JobRecord,
        document: String,
        events: Vec<StatusMessage>,
    ) -> Result<(), Failure> {
        let work = move |c: &Connection| {
            record.insert(c, &document)?;
            add_events(c, record.seq, &events)
        };
        self.worker.run(Box::new(work)).await
    }

    /// Sends the change of a job: what is sent later is written later. The answer comes when it is written.
    pub(crate) fn begin_write(&self, write: Write) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
        let work = move |c: &Connection| {
            write.record.update(c, write.outcome.as_deref())?;
            add_events(c, write.record.seq, &write.events)
        };
        self.worker.begin_run(Box::new(work))
    }

    /// Adds events of a job.
    pub(crate) async fn add_events(&self, job: i64, events: Vec<StatusMessage>) -> Result<(), Failure> {
        self.worker.run(Box::new(move |c| add_events(c, job, &events))).await
    }

    /// The record of a job.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<JobRecord>, Failure> {
        let (sql, id) = (format!("SELECT {COLUMNS} FROM job WHERE id = ?1"), id.to_owned());
        self.worker.read(move |c| c.prepare_cached(&sql)?.query_row([id], JobRecord::read).optional()).await
    }

    /// The document that a job is made of.
    pub(crate) async fn document(&self, seq: i64) -> Result<String, Failure> {
        self.worker.read(move |c| c.query_row("SELECT document FROM job WHERE seq = ?1", [seq], |r| r.get(0))).await
    }

    /// How a job ended, where it did.
    pub(crate) async fn outcome(&self, seq: i64) -> Result<Option<Result<GenerateOfflineMapResult, JobError>>, Failure> {
        let read =
            move |c: &Connection| c.query_row("SELECT outcome FROM job WHERE seq = ?1", [seq], |r| r.get(0)).optional();
        let text: Option<Option<String>> = self.worker.read(read).await?;
        let Some(text) = text.flatten() else { return Ok(None) };
        match serde_json::from_str(&text).map_err(|e| STORE.refused(e))? {
            Outcome::Result(result) => Ok(Some(Ok(result))),
            Outcome::Error(error) => Ok(Some(Err(error))),
        }
    }

    /// Jobs before a number, the latest first.
    pub(crate) async fn list(&self, filter: JobFilter, before: i64, most: u32) -> Result<Vec<JobRecord>, Failure> {
        let read = move |c: &Connection| {
            let mut sql = format!("SELECT {COLUMNS} FROM job WHERE seq < ?1");
            let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(before)];
            let mut value = |value: String| {
                values.push(Box::new(value));
                values.len()
            };
            if let Some(tenant) = filter.tenant {
                sql.push_str(&format!(" AND tenant = ?{}", value(tenant)));
            }
            if !filter.states.is_empty() {
                let names: Vec<String> = filter.states.iter().map(|s| format!("'{}'", s.name())).collect();
                sql.push_str(&format!(" AND state IN ({})", names.join(", ")));
            }
            for (key, label) in filter.labels {
                let (key, label) = (value(key), value(label));
                sql.push_str(&format!(
                    " AND EXISTS(SELECT 1 FROM json_each(labels) l WHERE l.key = ?{key} AND l.value = ?{label})"
                ));
            }
            sql.push_str(&format!(" ORDER BY seq DESC LIMIT {most}"));
            c.prepare(&sql)?.query_map(rusqlite::params_from_iter(values), JobRecord::read)?.collect()
        };
        self.worker.read(read).await
    }

    /// Kept messages of a job after a number, a part of them.
    pub(crate) async fn events(&self, seq: i64, after: u64) -> Result<Vec<StatusMessage>, Failure> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        // A bound limit would make SQLite prepare the statement anew each time.
        let sql = format!("SELECT body FROM event WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT {EVENTS}");
        let read = move |c: &Connection| -> rusqlite::Result<Vec<String>> {
            c.prepare_cached(&sql)?.query_map(params![seq, after], |r| r.get(0))?.collect()
        };
        let texts = self.worker.read(read).await?;
        texts.iter().map(|t| serde_json::from_str(t).map_err(|e| STORE.refused(e))).collect()
    }

    /// The ended jobs behind a number that a retention lets go, a part of them: those that ended before a time, and the oldest of more than
    /// so many.
    pub(crate) async fn outlived(
        &self,
        before: Option<i64>,
        most: Option<u64>,
        after: i64,
    ) -> Result<Vec<JobRecord>, Failure> {
        let most = most.map_or(i64::MAX, |m| i64::try_from(m).unwrap_or(i64::MAX));
        let before = before.unwrap_or(i64::MIN);
        // Both are ranges of the index of those that ended.
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE seq > ?3 AND seq IN (SELECT seq FROM job WHERE ended IS NOT NULL AND ended <= ?1
                UNION SELECT seq FROM (SELECT seq FROM job WHERE ended IS NOT NULL ORDER BY ended DESC, seq DESC LIMIT -1 OFFSET ?2))
                ORDER BY seq LIMIT 1000"
        );
        let read = move |c: &Connection| -> rusqlite::Result<Vec<JobRecord>> {
            c.prepare(&sql)?.query_map(params![before, most, after], JobRecord::read)?.collect()
        };
        self.worker.read(read).await
    }

    /// How many jobs have ended.
    pub(crate) async fn count_ended(&self) -> Result<u64, Failure> {
        let sql = "SELECT count(*) FROM job WHERE ended IS NOT NULL";
        let count: i64 = self.worker.read(move |c| c.prepare_cached(sql)?.query_row([], |r| r.get(0))).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// When the first of the ended jobs ended.
    pub(crate) async fn first_ended(&self) -> Result<Option<i64>, Failure> {
        let sql = format!("SELECT min(ended) FROM job WHERE ended IS NOT NULL AND state IN ({})", names_of_states(true));
        self.worker.read(move |c| c.prepare_cached(&sql)?.query_row([], |r| r.get(0))).await
    }

    /// Writes something, and answers what came of it.
    async fn written<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, is_answered) = oneshot::channel();
        let work = move |c: &Connection| {
            // Nobody waits any more if the caller was dropped.
            let _ = answer.send(work(c)?);
            Ok(())
        };
        self.worker.run(Box::new(work)).await?;
        is_answered.await.map_err(|e| STORE.broken(e))
    }

    /// Forgets an ended job with its messages, if it is as it was read; answers whether it was.
    pub(crate) async fn remove(&self, record: &JobRecord) -> Result<bool, Failure> {
        let sql = format!(
            "DELETE FROM job WHERE seq = ?1 AND updated = ?2 AND is_owned = ?3 AND state IN ({})",
            names_of_states(true)
        );
        let (seq, updated, is_owned) = (record.seq, record.updated, record.order.is_owned);
        self.written(move |c| Ok(c.prepare_cached(&sql)?.execute(params![seq, updated, is_owned])? > 0)).await
    }

    /// Notes that the package of a job is its host's.
    pub(crate) async fn hand_over(&self, seq: i64) -> Result<(), Failure> {
        self.written(move |c| c.execute("UPDATE job SET is_owned = 0 WHERE seq = ?1", [seq]).map(drop)).await
    }

    /// Notes that an ended job keeps no work any more.
    pub(crate) async fn forget_work(&self, seq: i64, now: i64) -> Result<(), Failure> {
        let sql =
            format!("UPDATE job SET is_kept = 0, updated = ?2 WHERE seq = ?1 AND state IN ({})", names_of_states(true));
        self.written(move |c| c.execute(&sql, [seq, now]).map(drop)).await
    }

    /// Closes the file, when all is written that was sent before.
    pub(crate) async fn close_file(&self) {
        self.worker.close_file().await;
    }

    /// Lets nobody else at the file until a sender is dropped.
    #[cfg(test)]
    pub(crate) fn stop_until_dropped(&self) -> std::sync::mpsc::Sender<()> {
        let (sender, dropped) = std::sync::mpsc::channel::<()>();
        let work = move |_: &Connection| {
            let _ = dropped.recv();
            Ok(())
        };
        drop(self.worker.begin_run(Box::new(work)));
        sender
    }

    /// Does anything with the file, so that tests can make it fail.
    #[cfg(test)]
    pub(crate) async fn execute(&self, sql: &'static str) -> Result<(), Failure> {
        self.written(move |c| c.execute_batch(sql)).await
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::store::record::{OrderFacts, Wishes};
    use offmap_model::{JobState, RetryPolicy};

    pub(crate) fn ended(seq: i64) -> JobRecord {
        let order = OrderFacts {
            id: format!("job {seq}"),
            tenant: "t".into(),
            title: "a".to_owned(),
            labels: Default::default(),
            unique_key: None,
            destination: "/x".into(),
            is_owned: true,
            completes: false,
            retry: RetryPolicy::default(),
            time_limit: None,
            not_before: Some(7),
            wishes: Wishes { overwrites: true, spent_before: 9, ..Wishes::default() },
            submitted: 1,
        };
        JobRecord {
            seq,
            order: Arc::new(order),
            priority: 0,
            state: JobState::Failed,
            waits_for: None,
            due: None,
            started: None,
            ended: Some(seq),
            updated: 3,
            run: 2,
            attempts: 1,
            spent: 0,
            is_kept: true,
            bytes: None,
            failure: None,
            log: 0,
            stop: None,
            crashes: 0,
        }
    }

    #[tokio::test]
    async fn the_number_of_a_job_is_not_given_again_after_the_last_one_was_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("jobs.sqlite");
        let (store, found) = JobStore::open(Some(&path), Handle::current()).expect("opens");
        assert_eq!(found.last, 0);
        store.insert(ended(3), "{}".to_owned(), Vec::new()).await.expect("is taken");
        assert!(store.remove(&ended(3)).await.expect("goes"));
        store.close_file().await;
        store.record("x").await.expect_err("is closed");
        let (_, found) = JobStore::open(Some(&path), Handle::current()).expect("the file is free");
        assert_eq!(found.last, 3);
    }

    #[tokio::test]
    async fn a_state_is_not_written_without_the_messages_of_it() {
        let (store, _) = JobStore::open(None, Handle::current()).expect("opens");
        let living = JobRecord { state: JobState::Running, ended: None, ..ended(1) };
        store.insert(living, "{}".to_owned(), Vec::new()).await.expect("is taken");
        store.execute("ALTER TABLE event RENAME TO away").await.expect("renames");
        let subject = offmap_model::Subject::new(offmap_model::SubjectKind::Job, "job 1", "a");
        let log = crate::event_log::EventLog::after(
            0,
            subject.clone(),
            Arc::new(offmap_model::SystemClock),
            offmap_model::SecretRegistry::default(),
        );
        log.ended(&subject, None);
        let events = log.kept_after(0, 9);
        assert_eq!(events.len(), 1);
        let write = || Write { record: ended(1), outcome: Some("{}".into()), events: events.clone() };
        store.begin_write(write()).expect("is sent").await.expect_err("there is no place for the message");
        let state = || async { store.record("job 1").await.expect("reads").expect("is there").state };
        assert_eq!(state().await, JobState::Running);
        store.execute("ALTER TABLE away RENAME TO event").await.expect("renames");
        store.begin_write(write()).expect("is sent").await.expect("is written");
        assert_eq!((state().await, store.events(1, 0).await.expect("reads")), (JobState::Failed, events.clone()));
    }

    #[tokio::test]
    async fn a_message_is_written_once_more_and_never_dropped_for_another_one_of_its_number() {
        let (store, _) = JobStore::open(None, Handle::current()).expect("opens");
        store.insert(ended(1), "{}".to_owned(), Vec::new()).await.expect("is taken");
        let subject = offmap_model::Subject::new(offmap_model::SubjectKind::Job, "job 1", "a");
        let message = |words: &str| {
            let clock = Arc::new(crate::testing::VirtualClock::default());
            let log = crate::event_log::EventLog::after(0, subject.clone(), clock, Default::default());
            log.state(&subject, offmap_model::ExportState::NotStarted, Some(words.to_owned()), None);
            log.kept_after(0, 9)
        };
        store.add_events(1, message("a")).await.expect("is written");
        store.add_events(1, message("a")).await.expect("it is the same");
        let failure = store.add_events(1, message("b")).await.expect_err("another one");
        assert!(failure.message.contains("another message of the number 1"), "{failure}");
        assert_eq!(store.events(1, 0).await.expect("reads"), message("a"));
    }

    #[tokio::test]
    async fn a_job_that_changed_since_it_was_read_is_not_removed() {
        let (store, _) = JobStore::open(None, Handle::current()).expect("opens");
        store.insert(ended(1), "{}".to_owned(), Vec::new()).await.expect("is taken");
        let read = store.record("job 1").await.expect("reads").expect("is there");
        assert_eq!((read.run_id().as_str(), read.order.not_before), ("job 1.2", Some(7)));
        assert_eq!(read.order.wishes, ended(1).order.wishes);
        for (sql, back) in [
            ("UPDATE job SET state = 'queued'", "UPDATE job SET state = 'failed'"),
            ("UPDATE job SET is_owned = 0", "UPDATE job SET is_owned = 1"),
            ("UPDATE job SET updated = 4", "UPDATE job SET updated = 3"),
        ] {
            store.execute(sql).await.expect(sql);
            assert!(!store.remove(&read).await.expect("reads"), "{sql}");
            store.execute(back).await.expect(back);
        }
        assert!(store.remove(&read).await.expect("goes"));
        assert!(store.record("job 1").await.expect("reads").is_none());
    }
}
