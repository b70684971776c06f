//! What is done with a ledger's file in one transaction: each command by itself, so that one that fails takes none of the others with it.

use super::file::{Deadline, FileKind, LONGEST_READ};
use offmap_model::Failure;
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) type Answer = Result<(), Failure>;

/// What is to be done with the file.
pub(crate) type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

pub(super) struct Command {
    pub(super) work: Work,
    /// Whether it only reads: then its time is limited.
    pub(super) reads: bool,
    pub(super) done: oneshot::Sender<Answer>,
}

/// An opened file.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) deadline: Deadline,
    /// What says that nobody else may open the file. The last field: it is let go when the file is closed.
    pub(super) _lock: Option<Arc<File>>,
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    // One that could not be rolled back would take in what has nothing to do with it.
    if !connection.is_autocommit() {
        run(connection, "ROLLBACK")?;
    }
    run(connection, "BEGIN")
}

/// Ends a transaction without its changes, unless SQLite did so by itself.
fn give_up(connection: &Connection) {
    if !connection.is_autocommit() {
        // The next transaction tries again where this fails.
        let _ = run(connection, "ROLLBACK");
    }
}

/// Does one command; of one that fails nothing stays. `Err` with true where the whole transaction went with it.
fn one(connection: &Connection, command: Work, reads: bool, is_shared: bool) -> Result<(), (rusqlite::Error, bool)> {
    let in_company = is_shared && !reads;
    if in_company {
        run(connection, "SAVEPOINT command").map_err(|e| (e, connection.is_autocommit()))?;
    }
    let error = match command(connection) {
        // Without a transaction there is no savepoint either, which is the error then.
        Ok(()) if !in_company && !connection.is_autocommit() => return Ok(()),
        Ok(()) => match run(connection, "RELEASE command") {
            Ok(()) => return Ok(()),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // A full disk, say, makes SQLite roll back the whole transaction; then there is no savepoint any more.
    let undo = || run(connection, "ROLLBACK TO command").and_then(|()| run(connection, "RELEASE command"));
    let is_undone = is_shared && !connection.is_autocommit() && (reads || undo().is_ok());
    if !is_undone {
        give_up(connection);
    }
    Err((error, !is_undone))
}

/// Does a batch in one transaction, then answers everybody.
pub(super) fn commit(kind: &FileKind, opened: &Opened, batch: Vec<Command>) {
    let Opened { connection, deadline, .. } = opened;
    let is_shared = batch.len() > 1;
    let mut answers = Vec::with_capacity(batch.len());
    let mut begun = begin(connection).map_err(|e| kind.judged(&e));
    for command in batch {
        if let Err(failure) = &begun {
            answers.push((command.done, Err(failure.clone())));
            continue;
        }
        if command.reads {
            deadline.set(LONGEST_READ);
        }
        let result = one(connection, command.work, command.reads, is_shared);
        deadline.clear();
        let result = result.map_err(|(error, is_lost)| (kind.judged(&error), is_lost));
        if let Err((failure, true)) = &result {
            // What was done before is not in the file either; what follows begins anew.
            answer(&mut answers, &Err(failure.clone()));
            begun = begin(connection).map_err(|e| kind.judged(&e));
        }
        answers.push((command.done, result.map_err(|(failure, _)| failure)));
    }
    if begun.is_ok() {
        begun = run(connection, "COMMIT").map_err(|e| {
            give_up(connection);
            kind.judged(&e)
        });
    }
    answer(&mut answers, &begun);
}

/// Answers each with its own failure, else with what became of the transaction.
fn answer(answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>, committed: &Answer) {
    for (done, result) in answers.drain(..) {
        // Nobody waits any more if the job was dropped.
        let _ = done.send(result.and_then(|()| committed.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::file::{LEDGER, open};

    fn opened(dir: &tempfile::TempDir) -> Opened {
        let (connection, deadline) = open(&dir.path().join("ledger.sqlite")).expect("opens");
        Opened { connection, deadline, _lock: None }
    }

    /// Inserts keys one after the other.
    fn put(keys: &'static [&'static str], sql: &'static str) -> Work {
        Box::new(move |c| keys.iter().try_for_each(|key| c.execute(sql, [key]).map(drop)))
    }

    const PLAIN: &str = "INSERT INTO job(key, value) VALUES(?1, '')";
    const ALL_OR_NOTHING: &str = "INSERT OR ROLLBACK INTO job(key, value) VALUES(?1, '')";

    /// Does commands in one batch; answers which of them succeeded.
    fn outcomes(opened: &Opened, works: Vec<Work>) -> Vec<bool> {
        outcomes_of(opened, works.into_iter().map(|work| (work, false)).collect())
    }

    /// The same for commands of which some only read.
    fn outcomes_of(opened: &Opened, works: Vec<(Work, bool)>) -> Vec<bool> {
        let (batch, answers): (Vec<_>, Vec<_>) = works
            .into_iter()
            .map(|(work, reads)| {
                let (done, answer) = oneshot::channel();
                (Command { work, reads, done }, answer)
            })
            .unzip();
        commit(&LEDGER, opened, batch);
        answers.into_iter().map(|mut answer| answer.try_recv().expect("everybody is answered").is_ok()).collect()
    }

    fn keys(opened: &Opened) -> Vec<String> {
        let mut all = opened.connection.prepare("SELECT key FROM job ORDER BY key").expect("SQL");
        all.query_map([], |r| r.get(0)).expect("reads").collect::<Result<_, _>>().expect("text")
    }

    #[test]
    fn a_command_that_fails_leaves_nothing_and_its_neighbours_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = opened(&dir);
        let works = vec![put(&["a"], PLAIN), put(&["b", "a"], PLAIN), put(&["c"], PLAIN)];
        assert_eq!(outcomes(&opened, works), [true, false, true]);
        assert_eq!(keys(&opened), ["a", "c"], "the first half of the command that failed is not there");
        assert_eq!(outcomes(&opened, vec![put(&["d", "a"], PLAIN)]), [false]);
        assert_eq!(keys(&opened), ["a", "c"], "nor is that of a command that is alone");
        assert!(opened.connection.is_autocommit(), "no transaction stays open");
    }

    #[test]
    fn what_sqlite_rolled_back_by_itself_is_said_to_nobody_to_be_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = opened(&dir);
        let works = vec![put(&["a"], PLAIN), put(&["b", "a"], ALL_OR_NOTHING), put(&["c"], PLAIN), put(&["d"], PLAIN)];
        assert_eq!(outcomes(&opened, works), [false, false, true, true]);
        assert_eq!(keys(&opened), ["c", "d"]);
        assert_eq!(outcomes(&opened, vec![put(&["c"], ALL_OR_NOTHING)]), [false]);
        assert_eq!(outcomes(&opened, vec![put(&["e"], PLAIN)]), [true], "the file is as usable as before");
    }

    #[test]
    fn what_only_reads_and_fails_takes_no_neighbour_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = opened(&dir);
        let read: Work = Box::new(|c| c.query_row("SELECT value FROM job WHERE key = 'none'", [], |_| Ok(())));
        assert_eq!(
            outcomes_of(&opened, vec![(put(&["a"], PLAIN), false), (read, true), (put(&["b"], PLAIN), false)]),
            [true, false, true]
        );
        assert_eq!(keys(&opened), ["a", "b"]);
    }

    #[test]
    fn a_roll_back_that_its_command_hides_is_told_to_all_of_its_transaction() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = opened(&dir);
        for reads in [false, true] {
            let hides: Work = Box::new(|c| c.execute_batch("ROLLBACK"));
            let works = vec![(put(&["a"], PLAIN), false), (hides, reads), (put(&["b"], PLAIN), false)];
            assert_eq!(outcomes_of(&opened, works), [false, false, true]);
            assert_eq!(keys(&opened), ["b"]);
            assert_eq!(outcomes(&opened, vec![Box::new(|c| c.execute("DELETE FROM job", []).map(drop))]), [true]);
        }
    }

    #[test]
    fn a_transaction_that_was_left_open_takes_in_nothing_that_follows() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = opened(&dir);
        opened.connection.execute_batch("BEGIN; INSERT INTO job(key, value) VALUES('left', '')").expect("SQL");
        assert_eq!(outcomes(&opened, vec![put(&["a"], PLAIN)]), [true]);
        assert_eq!(keys(&opened), ["a"]);
    }
}
