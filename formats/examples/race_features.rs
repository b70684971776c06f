//! Measures how fast a mobile geodatabase becomes a GeoPackage, beside `ogr2ogr` where that is installed.
//!
//! `race_features [POINTS] [VERTICES]` makes both inputs itself: a layer of points with 13 columns (by default 138,398 of them, the shape
//! of a well-known list of towns), and 250 polygons with so many vertices (by default 8,100,000). One line of JSON is printed:
//! milliseconds, rows, the most memory of this process in MiB, and the other program's time for the same points as GeoJSON.
//!
//! What is measured is the whole way: opening, reading, decoding, writing, indexing, syncing, renaming.

use offmap_formats::features::{CopyOptions, FeatureReader, FeatureSink, copy_features};
use offmap_formats::geodatabase::{Geodatabase, GridAxis, PrecisionGrid, ShapeBlobWriter};
use offmap_formats::geojson_seq::GeoJsonSequenceSink;
use offmap_formats::geometry::{Geometry, GeometryKind};
use offmap_formats::geopackage::{GeoPackageOptions, GeoPackageSink};
use rusqlite::Connection;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const POINTS: u32 = 138_398;
const VERTICES: u32 = 8_100_000;
const POLYGONS: u32 = 250;

const SYSTEM_TABLES: &str = "
CREATE TABLE GDB_Items(ObjectID integer primary key, Name text, Type text, Definition text);
CREATE TABLE st_geometry_columns(f_table_name text, f_geometry_column text, geometry_type int32, srid int32);
CREATE TABLE towns(OBJECTID integer primary key not null, geonameid int32, name text(80), asciiname text(80), feature_class text(1), feature_code text(8),
  country text(2), admin1 text(10), admin2 text(20), population int32, elevation int16, dem int16, timezone text(40), modified realdate, Shape geometryblob);
CREATE TABLE countries(OBJECTID integer primary key not null, name text(80), Shape geometryblob);
INSERT INTO st_geometry_columns VALUES('towns', 'Shape', 1, 4326), ('countries', 'Shape', 6, 4326);
";

/// The same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 31 bits are left.
        (self.0 >> 33) as u32 % below
    }

    fn degrees(&mut self, reach: u32) -> f64 {
        f64::from(self.next(reach * 2_000_000)) / 1e6 - f64::from(reach)
    }
}

fn grid() -> PrecisionGrid {
    let axis = GridAxis::new(-400.0, 1e9);
    PrecisionGrid { x: axis, y: axis, z: axis, m: axis }
}

fn definition(table: &str) -> String {
    format!(
        "<DEFeatureClassInfo><Name>main.{table}</Name><OIDFieldName>OBJECTID</OIDFieldName><SpatialReference><XOrigin>-400</XOrigin>\
         <YOrigin>-400</YOrigin><XYScale>1000000000</XYScale><WKID>4326</WKID></SpatialReference></DEFeatureClassInfo>"
    )
}

/// Makes a geodatabase with one of the two layers.
fn make(path: &Path, table: &str, rows: impl FnOnce(&Connection) -> Outcome<()>) -> Outcome<()> {
    let sql = Connection::open(path)?;
    sql.execute_batch(SYSTEM_TABLES)?;
    let item =
        "INSERT INTO GDB_Items(Name, Type, Definition) VALUES('main.' || ?1, '{70737809-852C-4A03-9E22-2CECEA5B9BFA}', ?2)";
    sql.execute(item, [table, &definition(table)])?;
    sql.execute_batch("BEGIN")?;
    rows(&sql)?;
    sql.execute_batch("COMMIT")?;
    Ok(())
}

fn towns(sql: &Connection, count: u32) -> Outcome<()> {
    let mut insert = sql.prepare("INSERT INTO towns VALUES(?1,?2,?3,?4,'P',?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)")?;
    let (mut numbers, mut shape, mut blob) = (Numbers(1), Geometry::default(), Vec::new());
    let (mut writer, grid) = (ShapeBlobWriter::default(), grid());
    for id in 1..=count {
        shape.begin(GeometryKind::Point, false, false);
        shape.add_point([numbers.degrees(180), numbers.degrees(85)], 0.0, 0.0);
        shape.close_part();
        writer.write(&shape, 4326, &grid, &mut blob)?;
        let country = numbers.next(676);
        let letters: String = [country / 26, country % 26].iter().map(|n| char::from(b'A' + *n as u8)).collect();
        let name = format!("Städtchen {}", numbers.next(10_000_000));
        let elevation = (numbers.next(4) > 0).then(|| numbers.next(4_000));
        insert.execute(rusqlite::params![
            id,
            numbers.next(12_000_000),
            name,
            name.replace('ä', "a"),
            ["PPL", "PPLA2", "PPLX"][numbers.next(3) as usize],
            letters,
            format!("{:02}", numbers.next(99)),
            (numbers.next(2) > 0).then(|| numbers.next(99_999).to_string()),
            numbers.next(2_000_000),
            elevation,
            numbers.next(4_000),
            "Europe/Zurich",
            2_453_736.5 + f64::from(numbers.next(6_000)),
            blob,
        ])?;
    }
    Ok(())
}

/// Each a great ring with bays, and islands beside it of which some are lakes in it.
fn countries(sql: &Connection, vertices: u32) -> Outcome<()> {
    let mut insert = sql.prepare("INSERT INTO countries VALUES(?1, ?2, ?3)")?;
    let (mut numbers, mut shape, mut blob) = (Numbers(2), Geometry::default(), Vec::new());
    let (mut writer, grid) = (ShapeBlobWriter::default(), grid());
    for id in 1..=POLYGONS {
        // As uneven as countries are: the last has some thirty times the vertices of the first.
        let share = u64::from(vertices) * u64::from(id) * 2 / u64::from(POLYGONS * (POLYGONS + 1));
        let islands = share / 400;
        let great = u32::try_from(share - islands * 200)?.max(8);
        let [x, y] = [numbers.degrees(150), numbers.degrees(60)];
        shape.begin(GeometryKind::Polygon, false, false);
        ring(&mut shape, &mut numbers, [x, y], 10.0, great);
        for _ in 0..islands {
            let at = [x + numbers.degrees(14), y + numbers.degrees(14)];
            ring(&mut shape, &mut numbers, at, 0.02, 199);
        }
        writer.write(&shape, 4326, &grid, &mut blob)?;
        insert.execute(rusqlite::params![id, format!("Country {id}"), blob])?;
    }
    Ok(())
}

fn ring(shape: &mut Geometry, numbers: &mut Numbers, [x, y]: [f64; 2], reach: f64, corners: u32) {
    for corner in 0..corners {
        let angle = f64::from(corner) / f64::from(corners) * std::f64::consts::TAU;
        let reach = reach * (0.9 + f64::from(numbers.next(1_000)) / 10_000.0);
        shape.add_point([x + angle.cos() * reach, y + angle.sin() * reach], 0.0, 0.0);
    }
    shape.close_part();
}

fn ms(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// Reading and decoding alone.
fn read(from: &Path) -> Outcome<(u128, u64)> {
    let start = Instant::now();
    let mut points = 0;
    let reader = Geodatabase::open(from, &CancellationToken::new())?;
    reader.read_features(0, None, &mut |f| {
        points += f.geometry().map_or(0, |g| g.xy().len() as u64);
        Ok(())
    })?;
    Ok((ms(start), points))
}

fn convert(from: &Path, to: &Path) -> Outcome<(u128, u64)> {
    let start = Instant::now();
    let reader = Geodatabase::open(from, &CancellationToken::new())?;
    let mut sink = GeoPackageSink::create(to, &GeoPackageOptions::default())?;
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    Ok((ms(start), copied.layers.iter().map(|l| l.features).sum()))
}

/// From here on the most memory is counted anew, where the system can.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process had since then, in MiB; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The other program's milliseconds for the same points, or why there are none.
fn other(from: &Path, dir: &Path) -> Outcome<Result<u128, String>> {
    let json = dir.join("towns.geojsonl");
    let reader = Geodatabase::open(from, &CancellationToken::new())?;
    let mut sink = GeoJsonSequenceSink::create(&json)?;
    copy_features(&reader, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    // The sequence as one collection, which is what this program reads most often.
    let text = std::fs::read_to_string(&json)?;
    // One feature a line, with a record separator before it or without, as the ending of the name asks for.
    let features: Vec<&str> = text.lines().map(|line| line.trim_start_matches('\u{1e}')).filter(|t| !t.is_empty()).collect();
    let collection = dir.join("towns.geojson");
    std::fs::write(&collection, format!("{{\"type\":\"FeatureCollection\",\"features\":[{}]}}", features.join(",\n")))?;
    let start = Instant::now();
    let ran = Command::new("ogr2ogr").arg("-f").arg("GPKG").arg(dir.join("other.gpkg")).arg(&collection).output();
    Ok(match ran {
        Ok(out) if out.status.success() => Ok(ms(start)),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
        Err(e) => Err(format!("ogr2ogr cannot be started: {e}")),
    })
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let points = words.next().map_or(Ok(POINTS), |w| w.parse())?;
    let vertices = words.next().map_or(Ok(VERTICES), |w| w.parse())?;
    let dir = tempfile::tempdir()?;
    let (towns_file, countries_file) = (dir.path().join("towns.geodatabase"), dir.path().join("countries.geodatabase"));
    make(&towns_file, "towns", |sql| towns(sql, points))?;
    forget_peak();
    let (town_ms, town_rows) = convert(&towns_file, &dir.path().join("towns.gpkg"))?;
    let town_peak = peak_mib();
    let other = other(&towns_file, dir.path())?;
    make(&countries_file, "countries", |sql| countries(sql, vertices))?;
    let (read_ms, read_vertices) = read(&countries_file)?;
    forget_peak();
    let (country_ms, country_rows) = convert(&countries_file, &dir.path().join("countries.gpkg"))?;
    let (other_ms, note) = match other {
        Ok(ms) => (Some(ms), None),
        Err(why) => (None, Some(why)),
    };
    let line = serde_json::json!({
        "points": { "rows": town_rows, "columns": 13, "ms": town_ms, "peakMib": town_peak, "ogr2ogrMs": other_ms, "ogr2ogr": note,
            "timesAsFast": other_ms.map(|o| o as f64 / town_ms.max(1) as f64) },
        "polygons": { "rows": country_rows, "vertices": read_vertices, "readMs": read_ms, "ms": country_ms,
            "timesReading": country_ms as f64 / read_ms.max(1) as f64, "peakMib": peak_mib() },
    });
    println!("{line}");
    Ok(())
}
