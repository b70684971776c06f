//! What happened on the server and to the files of jobs.

use crate::kept::Kept;
use offmap_sandbox::{LoggedRequest, Sandbox};
use std::collections::BTreeMap;

/// Numbers of one job, or of all.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) kills: u32,
    pub(crate) kills_in: BTreeMap<String, u32>,
    pub(crate) resumed_files: u64,
    pub(crate) fetched_twice: u64,
    pub(crate) finished_again: u64,
    pub(crate) fetched: u64,
    pub(crate) submissions: u64,
    pub(crate) services: u64,
}

impl Count {
    /// Adds the numbers of a further job.
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        for (step, kills) in other.kills_in {
            *self.kills_in.entry(step).or_default() += kills;
        }
        self.resumed_files += other.resumed_files;
        self.fetched_twice += other.fetched_twice;
        self.finished_again += other.finished_again;
        self.fetched += other.fetched;
        self.submissions += other.submissions;
        self.services += other.services;
    }
}

/// Reads the requests of one job as they come.
pub(crate) struct Watch<'a> {
    sandbox: &'a Sandbox,
    at: usize,
    pub(crate) before: Kept,
    known: Vec<(&'static str, String)>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, at: sandbox.requests().len(), before: Kept::default(), known: Vec::new() }
    }

    /// Counts the requests since the last time.
    pub(crate) fn count(&mut self, count: &mut Count) {
        let requests: Vec<LoggedRequest> = self.sandbox.requests().into_iter().skip(self.at).collect();
        self.at += requests.len();
        let asked_before = self.known.clone();
        for request in requests {
            if request.path.ends_with("createReplica") || request.path.ends_with("exportTiles") {
                count.submissions += 1;
            }
            let endings = [(".geodatabase", "geodatabase"), (".tpkx", "tile-cache"), (".vtpk", "vector-tiles")];
            let Some((_, exporter)) = endings.iter().find(|(ending, _)| request.path.ends_with(ending)) else { continue };
            let was_asked = asked_before.iter().any(|(_, path)| *path == request.path);
            let asked = asked_before.iter().filter(|(kind, _)| kind == exporter).count();
            if was_asked && self.before.has_all(exporter, asked) {
                count.finished_again += 1;
            }
            let start =
                request.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
            match start {
                Some(start) => {
                    count.resumed_files += 1;
                    // A range begins where the part file ended, else bytes that were here come again.
                    let nearest = self.before.parts_of(exporter).filter(|kept| *kept >= start).min().unwrap_or(start);
                    count.fetched_twice += nearest - start;
                }
                None if was_asked => count.fetched_twice += self.before.parts_of(exporter).max().unwrap_or(0),
                None => {}
            }
            if !self.known.iter().any(|(_, path)| *path == request.path) {
                self.known.push((exporter, request.path));
            }
        }
    }
}
