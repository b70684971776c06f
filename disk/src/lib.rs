//! Files of a directory that others may write to as well: names and links are checked before anything is opened, a file is replaced
//! whole or not at all, sizes and hashes, free space.
//!
//! Everything here blocks, but [`run_blocking`], which runs such work off the async threads.

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
mod walk;

pub use blocking::run_blocking;
pub use disk_space::DiskReserve;
pub use hash::{hash_file, hash_file_until, hash_result, hash_result_until, hex};
pub use safe_path::{link_or_copy, link_or_copy_until};
