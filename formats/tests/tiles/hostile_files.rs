//! MBTiles and packages of people who mean no good, or of programs that do it differently.

use crate::support::{data, open, pyramid, read, try_read, write};
use offmap_formats::convert;
use offmap_formats::mbtiles::MbtilesReader;
use offmap_formats::{TileFormat, TileId, TileReader as _};
use offmap_model::FailureKind;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

const FLAT: &str = "CREATE TABLE metadata(name, value); INSERT INTO metadata VALUES('format', 'png');
    CREATE TABLE tiles(zoom_level, tile_column, tile_row, tile_data);";

fn mbtiles(dir: &Path, sql: &str) -> PathBuf {
    let path = dir.join("x.mbtiles");
    let _ = std::fs::remove_file(&path);
    Connection::open(&path).expect("opens").execute_batch(sql).expect("makes");
    path
}

fn refused(sql: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    try_read(&mbtiles(dir.path(), sql)).expect_err(sql).message
}

#[test]
fn tables_of_all_layouts_are_read_and_a_view_of_another_kind_is_never_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let png = "x'89504e47aa'";
    let shared = |map: &str, images: &str, id: &str, kind: &str| {
        format!(
            "CREATE TABLE metadata(name, value); INSERT INTO metadata VALUES('format', 'png'), ('bounds', '1,2,3,4');
             CREATE TABLE {map}(zoom_level, tile_column, tile_row, {id} {kind}, other);
             CREATE TABLE {images}({id} {kind} PRIMARY KEY, tile_data);
             INSERT INTO {images} VALUES('7', {png}); INSERT INTO {map} VALUES(1, 0, 0, '7', 1), (1, 1, 1, '7', 2);
             CREATE VIEW tiles AS SELECT * FROM {map} JOIN {images} USING({id});"
        )
    };
    let layouts = [
        format!("{FLAT} INSERT INTO tiles VALUES(1, 0, 0, {png}), (1, 1, 1, {png})"),
        format!("{FLAT} INSERT INTO tiles VALUES(1, 1, 1, {png}), (1, 0, 0, {png}), (1, 0, 0, x'00')"),
        shared("map", "images", "tile_id", "TEXT"),
        shared("map", "images", "tile_id", "INTEGER"),
        shared("tiles_shallow", "tiles_data", "tile_data_id", "INTEGER"),
    ];
    for sql in layouts {
        let path = mbtiles(dir.path(), &sql);
        let tiles = read(&path);
        let place = |row, column| TileId { level: 1, row, column };
        assert_eq!(
            tiles.keys().copied().collect::<Vec<_>>(),
            [place(0, 1), place(1, 0)],
            "rows count from the bottom: {sql}"
        );
        assert!(tiles.values().all(|bytes| bytes == b"\x89PNG\xaa"));
        assert_eq!(open(&path).info().format, TileFormat::Png);
    }
    let endless = "CREATE TABLE metadata(name, value); CREATE TABLE a(i); INSERT INTO a VALUES(1), (2), (3);
        CREATE VIEW tiles AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS zoom_level,
        i AS tile_column, i AS tile_row, x'89504e47' AS tile_data FROM n;";
    assert!(refused(endless).contains("no tables of tiles"));
    let computed = "CREATE TABLE tiles(zoom_level, tile_column, tile_row, tile_data AS (zeroblob(100000000)));";
    assert!(refused(computed).contains("computed column"));
}

#[test]
fn what_is_no_tile_is_refused_by_name() {
    for (values, words) in [
        ("32, 0, 0, x'89504e47'", "zoom 32"),
        ("-1, 0, 0, x'89504e47'", "zoom -1"),
        ("1, 2, 0, x'89504e47'", "no tile 1/2/0"),
        ("1, 0, 2, x'89504e47'", "no tile 1/0/2"),
        ("1, 0, -1, x'89504e47'", "no tile 1/0/-1"),
        ("1, 9223372036854775807, 0, x'89504e47'", "no tile 1/9223372036854775807/0"),
        ("1, 'a', 0, x'89504e47'", "damaged"),
        ("'one', 0, 0, x'89504e47'", "damaged"),
        ("1, NULL, 0, x'89504e47'", "damaged"),
        ("1, 0, 0, NULL", "0 bytes"),
        ("1, 0, 0, 7", "expected 1 to"),
        ("1, 0, 0, x''", "0 bytes"),
        ("1, 0, 0, zeroblob(16777216)", "has 16777216 bytes, expected 1 to 16777215"),
        ("1, 0, 0, zeroblob(200000000)", "expected 1 to"),
    ] {
        let found = refused(&format!("{FLAT} INSERT INTO tiles VALUES({values})"));
        assert!(found.contains(words), "{values}: {found}");
    }
    assert!(refused(FLAT).contains("it has no tile"));
    assert!(refused("CREATE TABLE other(a)").contains("no tables of tiles"));
    let unknown =
        "CREATE TABLE tiles(zoom_level, tile_column, tile_row, tile_data); INSERT INTO tiles VALUES(0, 0, 0, 'text');";
    assert!(refused(unknown).contains("say the format nothing"));
}

#[test]
fn a_cancel_ends_the_reading() {
    let dir = tempfile::tempdir().expect("a directory");
    let (info, tiles) = pyramid(2);
    let path = dir.path().join("a.mbtiles");
    write(&path, &info, &tiles);
    let cancel = CancellationToken::new();
    let mut reader = MbtilesReader::open(&path, &cancel).expect("opens");
    cancel.cancel();
    let sink = convert::open_sink(&dir.path().join("b.pmtiles"), reader.info()).expect("opens");
    let reading = offmap_formats::containers::Reading { cancel: &cancel, report: &|_| {} };
    let failure = convert::tiles(&mut reader, sink, &Default::default(), &reading).expect_err("cancelled");
    assert!(failure.is_cancelled());
    assert!(!dir.path().join("b.pmtiles").exists());
}

#[test]
fn files_of_no_known_format_and_links_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x");
    for bytes in [b"".as_slice(), b"PK", b"PMTiles", b"PMTiles\x02", b"SQLite format 3", b"GIF89a", &[0; 200]] {
        std::fs::write(&path, bytes).expect("writes");
        let failure = try_read(&path).expect_err("refused");
        assert!(matches!(failure.kind, FailureKind::Corrupt | FailureKind::NotSupported), "{failure}");
    }
    std::fs::write(&path, b"SQLite format 3\0").expect("writes");
    assert!(try_read(&path).is_err());
    assert!(try_read(&dir.path().join("nothing")).is_err());
    std::fs::create_dir(dir.path().join("empty")).expect("makes");
    assert!(try_read(&dir.path().join("empty")).expect_err("empty").message.contains("no tile cache"));
    #[cfg(unix)]
    {
        // A cache whose bundle is a link to somewhere else.
        let cache = dir.path().join("cache");
        let mut zip = zip::ZipArchive::new(std::fs::File::open(data("states_filled.tpk")).expect("opens")).expect("a zip");
        zip.extract(&cache).expect("extracts");
        let bundle = cache.join("v101/Layers/_alllayers/L00/R0000C0000.bundle");
        std::fs::rename(&bundle, dir.path().join("elsewhere")).expect("renames");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &bundle).expect("links");
        let found = try_read(&cache).expect("reads the rest");
        assert!(found.keys().all(|place| place.level > 0), "what is behind a link is not in the cache");
    }
}

fn package(dir: &Path, entries: &[(&str, &[u8])]) -> PathBuf {
    use std::io::Write as _;
    let path = dir.join("x.tpkx");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("creates"));
    for (name, bytes) in entries {
        zip.start_file(*name, offmap_formats::archive::stored(bytes.len() as u64)).expect("starts");
        zip.write_all(bytes).expect("writes");
    }
    zip.finish().expect("finishes");
    path
}

#[test]
fn a_package_whose_bundles_or_description_are_not_what_they_must_be_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = serde_json::json!({"tileInfo": {"rows": 256, "cols": 256, "origin": {"x": 0, "y": 0},
        "spatialReference": {"wkid": 3857}, "lods": [{"level": 0, "resolution": 1, "scale": 1}]}})
    .to_string();
    let bundle = offmap_formats::compact_cache::v2_head(&[]);
    let refused = |entries: &[(&str, &[u8])]| try_read(&package(dir.path(), entries)).expect_err("refused").message;
    let good: (&str, &[u8]) = ("root.json", root.as_bytes());
    assert!(try_read(&package(dir.path(), &[good, ("tile/L00/R0000C0000.bundle", &bundle)])).expect("empty").is_empty());
    assert!(
        refused(&[good, ("tile/L00/R0001C0000.bundle", &bundle)]).contains("position in its name"),
        "no multiple of 128"
    );
    assert!(refused(&[good, ("tile/Lxx/R0000C0000.bundle", &bundle)]).contains("position in its name"));
    let twice = refused(&[good, ("tile/L00/R0000C0000.bundle", &bundle), ("more/L00/R0000C0000.bundle", &bundle)]);
    assert!(twice.contains("there twice"));
    assert!(refused(&[good, ("tile/L00/R0000C0000.bundle", b"short")]).contains("R0000C0000.bundle"));
    assert!(refused(&[("root.json", b"{}")]).contains("no `tileInfo`"));
    assert!(refused(&[("root.json", b"[1")]).contains("root.json"));
    assert!(refused(&[("v/conf.xml", b"<a/>")]).contains("TileRows"));
    let lods = vec![serde_json::json!({"level": 0, "resolution": 1, "scale": 1}); 201];
    let many = root.replace(&serde_json::json!([lods[0]]).to_string(), &serde_json::json!(lods).to_string());
    assert!(refused(&[("root.json", many.as_bytes())]).contains("201 levels"));
}

#[test]
fn any_change_of_a_byte_of_a_database_is_read_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = std::fs::read(mbtiles(dir.path(), &format!("{FLAT} INSERT INTO tiles VALUES(0, 0, 0, x'89504e47')")))
        .expect("reads");
    let path = dir.path().join("y.mbtiles");
    for at in (0..good.len()).filter(|at| good[*at] != 0) {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&path, &bytes).expect("writes");
        let _ = try_read(&path);
    }
}
