//! GDAL's `ogr2ogr` as a third side: the driver ESRIJSON, page by page, into a GeoPackage.

use crate::Outcome;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Makes the file. Blocks.
pub(crate) fn run(url: &str, to: &Path, count: u64) -> Outcome<Value> {
    let from =
        format!("{url}/query?where=1%3D1&outFields=*&orderByFields=OBJECTID&resultOffset=0&resultRecordCount=2000&f=json");
    let began = Instant::now();
    let mut command = Command::new("ogr2ogr");
    command.args(["-f", "GPKG", "-nln", "rows", "-oo", "FEATURE_SERVER_PAGING=YES"]).arg(to).arg(format!("ESRIJSON:{from}"));
    let output = command.env("no_proxy", "127.0.0.1").output().map_err(|e| format!("cannot run ogr2ogr (GDAL): {e}"))?;
    if !output.status.success() {
        return Err(format!("ogr2ogr ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let ms = began.elapsed().as_millis();
    let sql = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let got: i64 = sql.query_row("SELECT count(*) FROM rows", [], |row| row.get(0))?;
    match u64::try_from(got)? == count {
        true => Ok(json!({"ms": ms})),
        false => Err(format!("ogr2ogr took {got} of {count} rows; GDAL 3.5 or later asks for all pages").into()),
    }
}
