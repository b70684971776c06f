//! The file of the store. A line of `job` is one order, with its state; `event` has the kept messages of each. The number of a job is
//! never given twice, also not after the last one was removed: readers of messages know a job by it.

use crate::ledger::FileKind;

/// Largest store, in bytes.
const LARGEST: u64 = 64 << 30;

const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE job(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, title TEXT NOT NULL,
        labels TEXT NOT NULL, unique_key TEXT, destination TEXT NOT NULL, is_owned INTEGER NOT NULL, completes INTEGER NOT NULL,
        retry TEXT NOT NULL, time_limit INTEGER, submitted INTEGER NOT NULL, priority INTEGER NOT NULL, state TEXT NOT NULL,
        waits_for TEXT, due INTEGER, started INTEGER, ended INTEGER, updated INTEGER NOT NULL, attempts INTEGER NOT NULL,
        spent INTEGER NOT NULL, is_kept INTEGER NOT NULL, bytes INTEGER, failure TEXT, not_before INTEGER,
        wishes TEXT NOT NULL, run INTEGER NOT NULL, outcome TEXT, document TEXT NOT NULL);
    CREATE INDEX job_state ON job(state, seq);
    CREATE INDEX job_ended ON job(ended) WHERE ended IS NOT NULL;
    CREATE INDEX job_tenant ON job(tenant, seq);
    CREATE TABLE event(job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE, seq INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY(job, seq)) WITHOUT ROWID;
",
    // Before, the number of a log was guessed from the last message.
    "
    ALTER TABLE job ADD COLUMN log INTEGER NOT NULL DEFAULT 0;
    UPDATE job SET log = coalesce((SELECT max(event.seq) >> 32 FROM event WHERE event.job = job.seq), 0);
",
    // Before, what a job was told was forgotten with its process, and nobody counted how often that ended while it ran.
    "
    ALTER TABLE job ADD COLUMN stop TEXT;
    ALTER TABLE job ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
",
];

/// The store of an engine. What was said to the host survives a power cut.
pub(super) static STORE: FileKind = FileKind {
    name: "the engine's store of jobs",
    way_out: "move it away to begin with an empty one, or give the engine another data directory",
    migrations: &MIGRATIONS,
    largest: LARGEST,
    blank: None,
    is_synced: true,
};
