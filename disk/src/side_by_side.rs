//! Work on many files by more than one thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Most threads for the files of one package: more do not make a disk faster.
const MOST_THREADS: usize = 4;
/// So many files, or bytes of several, are worth a thread of their own: fewer are done in the time that it takes to start one.
const MANY_FILES: usize = 64;
const MANY_BYTES: u64 = 16 << 20;

/// How many threads are worth it for so many files with so many bytes.
#[must_use]
pub fn threads_for(files: usize, bytes: u64) -> usize {
    if files < 2 || (files < MANY_FILES && bytes < MANY_BYTES) {
        return 1;
    }
    thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS).min(files)
}

/// Does something with each item, by so many threads; answers what came of them, in their order. Blocks.
///
/// # Errors
/// The first failure by the order of the items that were begun; after one no other is begun.
///
/// # Panics
/// If the work panics.
pub fn side_by_side<I: Sync, T: Send, E: Send>(
    items: &[I],
    threads: usize,
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let (next, is_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = &|| {
        let mut done = Vec::new();
        while !is_failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            is_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((at, result));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn all_are_done_once_in_order_and_by_several_threads() {
        let items: Vec<usize> = (0..1_000).collect();
        let both = Barrier::new(2);
        let work = |n: &usize| {
            // Two threads must be at work at the same time to pass.
            if *n < 2 {
                both.wait();
            }
            Ok::<_, ()>(n * 2)
        };
        assert_eq!(side_by_side(&items, 2, work), Ok(items.iter().map(|n| n * 2).collect()));
        assert_eq!(side_by_side(&items, 1, |n| Ok::<_, ()>(*n)), Ok(items));
        assert_eq!(side_by_side(&[], 3, |n: &usize| Ok::<_, ()>(*n)), Ok(Vec::new()));
    }

    #[test]
    fn after_a_failure_no_other_is_begun_and_the_first_is_answered() {
        let items: Vec<usize> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let work = |n: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n >= 10 { Err(*n) } else { Ok(()) }
        };
        let failed = side_by_side(&items, 4, work).expect_err("fails");
        assert!((10..14).contains(&failed), "{failed}");
        assert!(begun.into_inner() <= 14);
    }

    #[test]
    fn a_thread_is_started_for_many_files_or_bytes_only() {
        assert_eq!([(0, 0), (1, u64::MAX), (10, 1 << 20), (63, 0)].map(|(files, bytes)| threads_for(files, bytes)), [1; 4]);
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS);
        assert_eq!([(64, 0), (2, MANY_BYTES)].map(|(files, bytes)| threads_for(files, bytes)), [cores, cores.min(2)]);
    }
}
