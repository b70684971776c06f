//! Whether the destination may be written.

use super::endings::{Written, ending};
use super::request::Request;
use offmap_disk::folder::open_regular;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::Read as _;
use std::path::Path;

/// Begins every SQLite file (file format, 1.3).
pub(super) const SQLITE: &[u8] = b"SQLite format 3\0";
/// Bytes of a file that tell what it is: a SQLite file says at 68 whose it is.
pub(super) const HEAD: u64 = 72;

/// The first bytes of a file.
pub(super) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    open_regular(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether the head of a file is that of a GeoPackage (1.1.1, also of the versions before 1.2).
pub(super) fn is_geopackage(head: &[u8]) -> bool {
    head.starts_with(SQLITE) && matches!(head.get(68..72), Some(b"GPKG" | b"GP10" | b"GP11"))
}

fn refused(what: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, what)
}

/// Refuses a destination that is there already, or cannot be made.
pub(super) fn check(request: &Request, written: Written) -> Result<(), Failure> {
    let to = &request.to;
    let shown = to.display();
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(refused(format!("{} is not a directory; make it first", parent.display())));
    }
    // A link that points nowhere is there as well.
    let Ok(there) = std::fs::symlink_metadata(to) else { return Ok(()) };
    let same = |a: &Path, b: &Path| std::fs::canonicalize(a).ok().zip(std::fs::canonicalize(b).ok());
    if same(&request.from, to).is_some_and(|(from, to)| from == to) {
        return Err(refused(format!("{shown} is the source itself; name another file")));
    }
    if !request.overwrite {
        return Err(refused(format!("{shown} exists already; name a file that does not, or overwrite it")));
    }
    if !there.is_file() {
        return Err(refused(format!("{shown} is no file, and is not overwritten")));
    }
    let head = head(to).map_err(|e| Failure::io(FailureStage::Plan, format!("cannot read {shown}"), &e))?;
    let ending = ending(to);
    let is_alike = match written {
        Written::GeoPackage => is_geopackage(&head),
        Written::Geodatabase => head.starts_with(SQLITE) && head.get(68..72) == Some(b"Esri"),
        #[cfg(feature = "geoparquet")]
        Written::GeoParquet => head.starts_with(b"PAR1"),
        Written::GeoJson => matches!(head.first(), Some(0x1e | b'{')),
        Written::Tiles => match ending.as_str() {
            "pmtiles" => head.starts_with(b"PMTiles"),
            "mbtiles" => head.starts_with(SQLITE) && !is_geopackage(&head),
            _ => head.starts_with(b"PK"),
        },
    };
    match is_alike {
        true => Ok(()),
        false => {
            Err(refused(format!("{shown} is no .{ending} by its first bytes, and is not overwritten; remove it first")))
        }
    }
}
