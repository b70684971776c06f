//! What the command line names: small files, and where a map is.

use crate::stop::Stop;
use offmap::arcgis::portal::MapPlace;
use std::io::Read as _;
use std::path::Path;

/// Largest file of parameters, overrides, areas or certificates, in bytes.
const LARGEST_INPUT: u64 = 64 << 20;

/// Reads a small file, pipe or device; one without an end is refused when it has passed the limit.
pub(crate) fn read_text(path: &Path, what: &str) -> Result<String, Stop> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_INPUT + 1).read_to_string(&mut text));
    match read {
        _ if text.len() as u64 > LARGEST_INPUT => {
            Err(Stop::usage(format!("{what} {} is larger than {LARGEST_INPUT} bytes", path.display())))
        }
        // Some editors write a byte order mark.
        Ok(_) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(e) => Err(Stop::usage(format!("cannot read {what} {}: {e}", path.display()))),
    }
}

/// Where a map is that `--web-map` names.
pub(crate) fn place_of(named: &str) -> MapPlace<'_> {
    match named.starts_with("http://") || named.starts_with("https://") {
        true => MapPlace::Url(named),
        false => MapPlace::File(Path::new(named)),
    }
}
