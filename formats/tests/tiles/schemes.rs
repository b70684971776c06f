//! Tiling schemes: which are mapped, and which are refused.

use crate::support::{convert, open, pyramid, read, try_convert, write};
use offmap_formats::convert::TileSelection;
use offmap_formats::tiles::{Lod, Origin, TileInfo, web_mercator_scheme};
use offmap_formats::{TileFormat, TileId, TileSetInfo};
use offmap_model::SpatialReference;

fn png(level: u32, row: u64, column: u64) -> (TileId, Vec<u8>) {
    (TileId { level, row, column }, format!("\u{89}PNG{level}/{row}/{column}").chars().map(|c| c as u8).collect())
}

#[test]
fn a_package_whose_levels_begin_at_another_zoom_is_mapped_by_its_resolutions() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut scheme = web_mercator_scheme(256, 10);
    scheme.lods.drain(..2);
    (0..).zip(&mut scheme.lods).for_each(|(level, lod)| lod.level = level);
    let info = TileSetInfo::new(scheme, TileFormat::Png);
    let tiles = [png(0, 3, 1), png(1, 7, 2), png(1, 6, 3)];
    let from = dir.path().join("a.tpkx");
    write(&from, &info, &tiles);
    for name in ["b.pmtiles", "b.mbtiles"] {
        let to = dir.path().join(name);
        convert(&from, &to);
        let expected: Vec<TileId> = read(&from).into_keys().map(|t| TileId { level: t.level + 2, ..t }).collect();
        assert_eq!(read(&to).into_keys().collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(open(&to).info().levels, Some((2, 3)));
    }
}

#[test]
fn tiles_of_512_pixels_keep_their_zoom_and_their_size() {
    let dir = tempfile::tempdir().expect("a directory");
    let info = TileSetInfo::new(web_mercator_scheme(512, 10), TileFormat::Png);
    let tiles = [png(0, 0, 0), png(1, 1, 0), png(1, 1, 1)];
    let mut before = dir.path().join("a.tpkx");
    write(&before, &info, &tiles);
    for name in ["b.pmtiles", "b.mbtiles", "b.tpkx"] {
        let to = dir.path().join(name);
        convert(&before, &to);
        assert_eq!(open(&to).info().scheme.cols, 512, "{name}");
        assert!(read(&to).into_iter().eq(tiles.iter().cloned()), "{name}");
        before = to;
    }
}

#[test]
fn another_scheme_stays_in_packages_and_is_refused_by_what_knows_the_web_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let lods = [(3, 500.0), (4, 200.0), (5, 100.0)].map(|(level, resolution)| Lod {
        level,
        resolution,
        scale: resolution * 3779.5,
    });
    let scheme = TileInfo {
        rows: 256,
        cols: 256,
        origin: Origin { x: -5_120_900.0, y: 9_998_100.0 },
        spatial_reference: SpatialReference::from_wkid(25832),
        lods: lods.to_vec(),
        format: Some("PNG32".to_owned()),
    };
    let info = TileSetInfo::new(scheme.clone(), TileFormat::Png);
    let tiles = [png(3, 40, 41), png(4, 100, 130), png(5, 200, 260), png(5, 300, 260)];
    let from = dir.path().join("a.tpkx");
    write(&from, &info, &tiles);
    let copy = dir.path().join("b.tpkx");
    convert(&from, &copy);
    assert!(read(&copy) == read(&from) && read(&copy).len() == 4);
    assert_eq!(open(&copy).info().scheme, scheme);
    for name in ["b.pmtiles", "b.mbtiles"] {
        let failure = try_convert(&from, &dir.path().join(name), &TileSelection::default()).expect_err("refused");
        assert!(failure.message.contains("expected Web Mercator"), "{failure}");
        assert!(!dir.path().join(name).exists() && !dir.path().join(format!("{name}.new")).exists());
    }
}

#[test]
fn formats_that_a_file_cannot_name_are_refused_when_the_first_tile_of_them_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (info, _) = pyramid(0);
    let mixed = TileSetInfo { format: TileFormat::Mixed, ..info.clone() };
    let tiles = [png(0, 0, 0), (TileId { level: 1, row: 0, column: 0 }, b"\xff\xd8\xff jpeg".to_vec())];
    for name in ["a.pmtiles", "a.tpkx"] {
        write(&dir.path().join(name), &mixed, &tiles);
        assert_eq!(open(&dir.path().join(name)).info().format, TileFormat::Mixed, "{name}");
    }
    let mut sink = crate::support::sink(&dir.path().join("a.mbtiles"), &mixed);
    sink.put(&[tiles[0].0], &tiles[0].1).expect("one format");
    let failure = sink.put(&[tiles[1].0], &tiles[1].1).expect_err("a second format");
    assert!(failure.message.contains("one format of all tiles"), "{failure}");
    write(&dir.path().join("b.mbtiles"), &mixed, &tiles[..1]);
    assert_eq!(open(&dir.path().join("b.mbtiles")).info().format, TileFormat::Png, "mixed was said, PNG came");
    let mut sink = crate::support::sink(&dir.path().join("b.tpkx"), &info);
    assert!(sink.put(&[tiles[0].0], b"RIFF\0\0\0\0WEBP").expect_err("no WebP").message.contains("WebP"));
    for bytes in [vec![], vec![0x89; 1 << 24]] {
        assert!(sink.put(&[tiles[0].0], &bytes).expect_err("too small or large").message.contains("expected 1 to"));
    }
    let missing = |name: &str, info: &TileSetInfo| offmap_formats::convert::open_sink(&dir.path().join(name), info).err();
    assert!(missing("a.vtpk", &info).expect("raster").message.contains("write a .tpkx"));
    assert!(missing("a.tpk", &info).expect("old").message.contains("not written"));
    assert!(missing("a.gpkg", &info).expect("unknown").message.contains("ending"));
}

#[test]
fn vector_tiles_that_are_not_compressed_become_gzip() {
    let dir = tempfile::tempdir().expect("a directory");
    let info = TileSetInfo::new(web_mercator_scheme(512, 22), TileFormat::Mvt);
    let tiles = [(TileId { level: 0, row: 0, column: 0 }, b"\x1a\x05plain".to_vec())];
    let mut found = Vec::new();
    for name in ["a.pmtiles", "a.mbtiles", "a.vtpk"] {
        write(&dir.path().join(name), &info, &tiles);
        found.extend(read(&dir.path().join(name)).into_values());
    }
    assert!(found.iter().all(|bytes| bytes.starts_with(b"\x1f\x8b") && *bytes == found[0]), "the same in each");
}
