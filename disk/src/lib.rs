//! Files of a directory that others may write to as well.
//!
//! | what | where |
//! | --- | --- |
//! | a file or folder that has its name when it is complete, and not before | [`atomic_file`] |
//! | names and paths out of ledgers and packages, checked before they are used | [`safe_path`], [`path`] |
//! | everything below a directory, links not followed | [`folder`], [`safe_path::check_tree`] |
//! | sizes and hashes | [`hash_file`], [`hash_result`] |
//! | many files by more than one thread | [`side_by_side()`] |
//! | space that is kept free | [`DiskReserve`] |
//!
//! Links, pipes, sockets and devices are refused by name, never followed and never waited for: one walk and one way to open serve all of
//! these modules.
//!
//! What it is not: no format is known here, and no job. Everything blocks but [`run_blocking`], which runs such work off the async
//! threads, and [`Steps`], which waits for it.

pub mod atomic_file;
mod blocking;
pub mod copying;
pub mod disk_space;
pub mod folder;
pub mod hash;
mod kinds;
mod open;
pub mod path;
pub mod safe_path;
mod side_by_side;
mod walk;

pub use blocking::{Step, Steps, run_blocking};
pub use disk_space::DiskReserve;
pub use hash::{hash_file, hash_file_until, hash_result, hash_result_until, hex, sha256_of};
pub use safe_path::{link_or_copy, link_or_copy_until};
pub use side_by_side::{side_by_side, threads_for};
