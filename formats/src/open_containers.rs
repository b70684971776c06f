//! Open formats as containers of layers: tiles and features that are read down to the last one.

use crate::containers::{ContainerReader, Contents, Counted, Damages, Reading, of_the_layer};
use crate::convert::open_reader;
use crate::features::FeatureReader as _;
use crate::geopackage::GeoPackage;
use crate::sinks::TileId;
use crate::tile_reader::TileVisitor;
use crate::tile_set::{TileCompression, TileFormat, TileSetInfo};
use offmap_model::Failure;
use std::path::Path;

/// Bytes of an attachment that are read at a time.
const BUFFER: usize = 64 << 10;

/// Reads MBTiles and PMTiles: every tile, which must begin like one of its file's format.
#[derive(Debug, Clone, Copy)]
pub struct OpenTilesReader;

/// Reads GeoPackages: every row of every layer and table, every shape, every attachment.
#[derive(Debug, Clone, Copy)]
pub struct GeoPackageReader;

/// Counts tiles and looks at each.
struct Check<'a> {
    info: TileSetInfo,
    reading: &'a Reading<'a>,
    tiles: u64,
    damages: Damages,
}

impl TileVisitor for Check<'_> {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        Ok(true)
    }

    fn takes_runs(&self) -> bool {
        true
    }

    fn visit_run(&mut self, first: TileId, tiles: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.visit(&[first], bytes)?;
        self.tiles += tiles - 1;
        Ok(())
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        self.reading.go_on(bytes.len() as u64)?;
        self.tiles += places.len() as u64;
        if !is_tile(bytes, &self.info) {
            let named = places.iter().map(|place| format!("tile {}/{}/{} is no tile", place.level, place.column, place.row));
            self.damages.add_all(named, 0);
        }
        Ok(())
    }
}

/// Whether bytes begin like a tile of a set.
fn is_tile(bytes: &[u8], info: &TileSetInfo) -> bool {
    match (info.format, info.compression) {
        (TileFormat::Mvt, TileCompression::Gzip) => bytes.starts_with(b"\x1f\x8b"),
        // A layer, or nothing.
        (TileFormat::Mvt, TileCompression::None) => matches!(bytes.first(), None | Some(0x1a)),
        (TileFormat::Mvt, TileCompression::Each) => {
            matches!(bytes.first(), None | Some(0x1a)) || bytes.starts_with(b"\x1f\x8b")
        }
        (TileFormat::Mvt, _) => true,
        (TileFormat::Mixed, _) => TileFormat::of_image(bytes).is_some(),
        (format, TileCompression::None | TileCompression::Each) => TileFormat::of_image(bytes) == Some(format),
        _ => true,
    }
}

impl ContainerReader for OpenTilesReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["mbtiles", "pmtiles"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        let mut reader = open_reader(path, reading.cancel)?;
        let info = reader.info().clone();
        let mut check = Check { info, reading, tiles: 0, damages: Damages::default() };
        // What is damaged in the middle ends the reading, and is said with what was found before.
        if let Err(failure) = of_the_layer(reader.for_each_tile(&mut check))? {
            check.damages.add(failure.message);
        }
        Ok(Contents { counted: Counted::Tiles(check.tiles), damages: check.damages, ..Contents::default() })
    }
}

impl ContainerReader for GeoPackageReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["gpkg"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        let file = GeoPackage::open(path, reading.cancel)?;
        let (mut items, mut damages) = (0, Damages::default());
        let mut buffer = vec![0; BUFFER];
        for (place, layer) in file.layers().iter().enumerate() {
            let rows = file.read_features(place, None, &mut |_| {
                items += 1;
                reading.go_on(0)
            });
            let files = file.read_attachments(place, None, &mut |attachment, bytes| {
                let mut found = 0_u64;
                loop {
                    let count = bytes.read(&mut buffer).map_err(|e| Failure::internal(e.to_string()))?;
                    found += count as u64;
                    reading.go_on(count as u64)?;
                    if count == 0 {
                        break;
                    }
                }
                if found != attachment.size {
                    let (id, size) = (attachment.id, attachment.size);
                    damages
                        .add(format!("layer \"{}\": attachment {id} has {found} bytes, its table says {size}", layer.title));
                }
                Ok(())
            });
            // One damaged layer does not hide the next.
            for read in [rows, files] {
                if let Err(failure) = of_the_layer(read)? {
                    damages.add(failure.message);
                }
            }
        }
        reading.go_on(std::fs::metadata(path).map_or(0, |m| m.len()))?;
        Ok(Contents { counted: Counted::Items(items), damages, ..Contents::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{CopyOptions, FeatureSink as _, copy_features};
    use crate::geodatabase::Geodatabase;
    use crate::geodatabase::feature_tests::made;
    use crate::geopackage::{GeoPackageOptions, GeoPackageSink};
    use crate::readers::containers;
    use crate::tiles::web_mercator_scheme;
    use rusqlite::Connection;
    use tokio_util::sync::CancellationToken;

    fn read(path: &Path) -> Result<Contents, Failure> {
        let all = containers();
        let ending = path.extension().and_then(|e| e.to_str()).expect("an ending");
        let reader = all.reader(ending).expect("is known");
        reader.read(path, &Reading { cancel: &CancellationToken::new(), report: &|_| {} })
    }

    #[test]
    fn a_vector_tile_is_compressed_as_its_set_says() {
        let (plain, packed) = (b"\x1a\x05layer".as_slice(), b"\x1f\x8b\x08".as_slice());
        for (compression, tiles) in [
            (TileCompression::None, [true, false, true, false]),
            (TileCompression::Gzip, [false, true, false, false]),
            (TileCompression::Each, [true, true, true, false]),
        ] {
            let mut info = TileSetInfo::new(web_mercator_scheme(512, 4), TileFormat::Mvt);
            info.compression = compression;
            assert_eq!([plain, packed, b"", b"<html>"].map(|bytes| is_tile(bytes, &info)), tiles, "{compression:?}");
        }
    }

    #[test]
    fn every_tile_of_an_open_file_is_read_and_the_bad_ones_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["x.mbtiles", "x.pmtiles"] {
            let path = dir.path().join(name);
            let info = TileSetInfo::new(web_mercator_scheme(256, 4), TileFormat::Png);
            let mut sink = crate::convert::open_sink(&path, &info).expect("begins");
            sink.put(&[TileId { level: 0, row: 0, column: 0 }], b"\x89PNG and more").expect("puts");
            let places = [TileId { level: 1, row: 0, column: 0 }, TileId { level: 1, row: 1, column: 0 }];
            sink.put(&places, b"\x89PNG or less").expect("puts");
            sink.finish().expect("completes");
            let good = read(&path).expect("reads");
            assert_eq!((good.counted, good.damages.is_empty()), (Counted::Tiles(3), true));
            let mut bytes = std::fs::read(&path).expect("reads");
            let at = bytes.windows(8).position(|w| w == b"PNG or l").expect("is there");
            bytes[at..at + 3].copy_from_slice(b"GIF");
            std::fs::write(&path, bytes).expect("writes");
            let bad = read(&path).expect("reads");
            assert_eq!((bad.counted, bad.damages.named().len()), (Counted::Tiles(3), 2), "{name}");
            assert!(bad.damages.words().contains("tile 1/0/1 is no tile"), "{}", bad.damages.words());
        }
    }

    #[test]
    fn every_row_of_a_geopackage_is_read_and_one_bad_layer_does_not_hide_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, path) = (dir.path().join("x.geodatabase"), dir.path().join("x.gpkg"));
        made(&from);
        let reader = Geodatabase::open(&from, &CancellationToken::new()).expect("opens");
        let mut sink = GeoPackageSink::create(&path, &GeoPackageOptions::default()).expect("begins");
        copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
        sink.finish_file().expect("completes");
        let good = read(&path).expect("reads");
        assert_eq!((good.counted, good.damages.words()), (Counted::Items(6), String::new()));
        let sql = Connection::open(&path).expect("opens");
        // The triggers of the index call functions that only other programs have.
        let drop_all = "SELECT coalesce(group_concat('DROP TRIGGER ' || name || ';', ' '), '') FROM sqlite_master WHERE type = 'trigger'";
        let triggers: String = sql.query_row(drop_all, [], |r| r.get(0)).expect("are there");
        sql.execute_batch(&triggers).expect("drops");
        let change = "UPDATE Sites SET Shape = x'47500001E6100000010100' WHERE OBJECTID = 8";
        assert_eq!(sql.execute(change, []), Ok(1));
        drop(sql);
        let bad = read(&path).expect("reads");
        assert_eq!((bad.counted, bad.damages.named().len()), (Counted::Items(4), 1), "{}", bad.damages.words());
        assert!(bad.damages.words().contains("layer `Sites`"), "{}", bad.damages.words());
    }
}
