//! Locks of state that a panic of another request must not close.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The guard, also of a poisoned mutex.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
