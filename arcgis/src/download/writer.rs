//! Writes a file while it arrives: beside the reading from the network, in large blocks, with the hash of all that was written.

use super::part::{Part, PartFile};
use bytes::Bytes;
use offmap_disk::{DiskReserve, Step};
use offmap_model::{Failure, FailureStage};
use sha2::Digest as _;
use std::fs::File;
use std::io::Write as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes after which what was written is forced to the disk, so that a power cut costs no more.
const SYNC_EVERY: u64 = 16 << 20;
/// Bytes that are written at a time, if so many have come.
const BLOCK: usize = 1 << 20;
/// Pieces of the network that may wait to be written.
const WAITING: usize = 16;

/// A writer at work on a thread of its own.
///
/// # Cancel safety
/// Dropping it ends the writing with the block at hand.
pub(super) struct Writer {
    pieces: mpsc::Sender<Bytes>,
    written: watch::Receiver<u64>,
    work: Step<(Part, Result<(), Failure>)>,
    _stop: DropGuard,
}

impl Writer {
    /// Begins to write behind a part.
    pub(super) fn start(file: PartFile, part: Part, reserve: DiskReserve) -> Self {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let (here, written) = watch::channel(part.bytes);
        let stop = CancellationToken::new();
        let own = stop.clone();
        let work = Step::begin(move || {
            let mut part = part;
            let ended = write(&file, &mut part, reserve, Lines { waiting, here, stop: own });
            (part, ended)
        });
        Self { pieces, written, work, _stop: stop.drop_guard() }
    }

    /// Hands on what came; false once the writer has failed.
    pub(super) async fn write(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until more is on the disk, and answers how many bytes are there; ends never once the writer has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next one answers.
    pub(super) async fn written(&mut self) -> u64 {
        match self.written.changed().await {
            Ok(()) => *self.written.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until all is written; answers what is on the disk in any case.
    pub(super) async fn finish(self) -> (Part, Result<(), Failure>) {
        drop(self.pieces);
        let died = || (Part::default(), Err(Failure::internal("the writer of a download died")));
        self.work.result().await.unwrap_or_else(|_| died())
    }
}

/// What connects the thread of a writer with the task that reads.
struct Lines {
    waiting: mpsc::Receiver<Bytes>,
    here: watch::Sender<u64>,
    stop: CancellationToken,
}

fn write(file: &PartFile, part: &mut Part, reserve: DiskReserve, lines: Lines) -> Result<(), Failure> {
    let Lines { mut waiting, here, stop } = lines;
    let mut to = file.open(part.bytes, &stop)?;
    let mut synced = part.bytes;
    let mut block = Vec::with_capacity(BLOCK);
    while let Some(piece) = waiting.blocking_recv() {
        if stop.is_cancelled() {
            return Err(Failure::cancelled());
        }
        block.clear();
        block.extend_from_slice(&piece);
        // As much as has come: a slow transfer is written as it comes.
        while block.len() < BLOCK
            && let Ok(piece) = waiting.try_recv()
        {
            block.extend_from_slice(&piece);
        }
        write_block(&mut to, part, &block)?;
        here.send_replace(part.bytes);
        if part.bytes - synced >= SYNC_EVERY {
            to.sync_data().map_err(|e| disk(&e))?;
            // Who dropped the download may be removing its directory by now.
            if stop.is_cancelled() {
                return Err(Failure::cancelled());
            }
            synced = part.bytes;
            file.note(&part.state, synced)?;
            reserve.check(file.path().parent().unwrap_or(file.path()), SYNC_EVERY)?;
        }
    }
    Ok(())
}

fn write_block(to: &mut File, part: &mut Part, block: &[u8]) -> Result<(), Failure> {
    to.write_all(block).map_err(|e| disk(&e))?;
    part.hasher.update(block);
    part.bytes += block.len() as u64;
    Ok(())
}

fn disk(error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Download, "cannot write the downloaded file", error)
}
