//! Zip archives: those of others are checked when they are opened, our own are audited byte by byte.
//!
//! | what | where |
//! | --- | --- |
//! | open an archive, its structure checked | [`open`], [`open_file`] |
//! | the file that an archive is written to | [`ArchiveFile`] |
//! | compare each byte of the structure of an archive of ours | [`audit`] |

mod audit;
mod central_directory;
mod file;
mod open;

pub use audit::{ArchiveDamage, DIRECTORY, audit};
pub use file::{ArchiveFile, stored};
pub use open::{Archive, MAX_RATIO, Source, open, open_file};
