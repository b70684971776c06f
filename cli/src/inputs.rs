//! What the command line names: small files, and where a map is.

use crate::stop::Stop;
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::{Failure, OfflineMapSource, WebMap, run_blocking};
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

/// What names stdin in place of a file.
const STDIN: &str = "-";

/// Whether a text is a url rather than a file or an id.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Reads the map that `--web-map` names: a file, a url or stdin.
pub(crate) async fn read_map(client: &ArcGisClient, named: &str, limits: &ReadLimits) -> Result<OfflineMapSource, Failure> {
    if named != STDIN {
        return portal::read(client, place_of(named), limits).await;
    }
    run_blocking(|| {
        let (mut text, most) = (Vec::new(), WebMap::BUDGET.bytes as u64);
        let read = std::io::stdin().lock().take(most + 1).read_to_end(&mut text);
        let named = |message: String| Failure::invalid_parameter(format!("the web map from stdin: {message}"));
        read.map_err(|e| named(format!("cannot be read: {e}")))?;
        match text.len() as u64 > most {
            true => Err(named(format!("it is larger than {most} bytes, which no web map is"))),
            false => Ok(OfflineMapSource::from_web_map(WebMap::from_bytes(&text).map_err(|f| named(f.message))?)),
        }
    })
    .await
}

/// Where a map is that `--web-map` names.
pub(crate) fn place_of(named: &str) -> MapPlace<'_> {
    match is_url(named) {
        true => MapPlace::Url(named),
        false => MapPlace::File(Path::new(named)),
    }
}
