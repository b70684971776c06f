//! From one format to the next.

use crate::support::{convert, data, names, open, pyramid, read, read_in_order, sample, try_convert, write};
use offmap_formats::convert::TileSelection;
use offmap_formats::tile_package::{check_tiles, missing_resources};
use offmap_formats::tiles::tile_id;
use offmap_formats::{TileFormat, TileId, tile_package};
use offmap_model::AreaOfInterest;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Converts through all formats; every tile is what it was.
fn around(first: &Path, package: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let expected = read(first);
    assert!(!expected.is_empty());
    let mut before = first.to_owned();
    for name in ["a.pmtiles", "b.mbtiles", package, "d.mbtiles", "e.pmtiles", &format!("f-{package}")] {
        let to = dir.path().join(name);
        let done = convert(&before, &to);
        assert_eq!(done.tiles, expected.len() as u64, "{name}");
        assert_eq!(done.bytes, std::fs::metadata(&to).expect("there").len(), "{name}");
        let found = read(&to);
        let levels = open(&to).info().levels;
        assert_eq!(levels, found.keys().next().map(|t| t.level).zip(found.keys().next_back().map(|t| t.level)), "{name}");
        assert!(found == expected, "{name}");
        before = to;
    }
    assert_eq!(names(dir.path()).len(), 6, "nothing else is left: {:?}", names(dir.path()));
    assert_eq!(check_tiles(&dir.path().join(package), &CancellationToken::new()).expect("a package"), expected.len() as u64);
    // Under the same name, since that is in what a file says of itself.
    std::fs::create_dir(dir.path().join("again")).expect("makes");
    for (from, name) in [("a.pmtiles", "b.mbtiles"), ("b.mbtiles", package)] {
        let again = dir.path().join("again").join(name);
        convert(&dir.path().join(from), &again);
        let same = std::fs::read(&again).expect("reads") == std::fs::read(dir.path().join(name)).expect("reads");
        assert!(same, "the same tiles become the same {name}");
    }
}

#[test]
fn every_tile_of_an_old_package_is_the_same_in_every_format() {
    around(&data("states_filled.tpk"), "c.tpkx");
}

#[test]
fn every_vector_tile_is_the_same_in_every_format_and_the_package_has_what_readers_want() {
    around(&data("test_fixture_1.pmtiles"), "c.vtpk");
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.vtpk");
    convert(&data("test_fixture_1.pmtiles"), &to);
    let package = tile_package::open(&to).expect("opens");
    assert_eq!(package.promised.as_ref(), Some(&package.stored));
    assert_eq!(missing_resources(&to).expect("reads"), []);
    let layers = open(&data("test_fixture_1.pmtiles")).info().vector.get("vector_layers").cloned();
    assert_eq!(open(&to).info().vector.get("vector_layers").cloned(), layers);
    let again = dir.path().join("y.vtpk");
    convert(&to, &again);
    let mut resources = Vec::new();
    open(&again)
        .for_each_resource(&mut |name, bytes| {
            resources.push((name.to_owned(), bytes.to_vec()));
            Ok(())
        })
        .expect("reads");
    let sprites = ["sprites/sprite.json", "sprites/sprite.png", "sprites/sprite@2x.json", "sprites/sprite@2x.png"];
    assert_eq!(
        resources.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        [&sprites[..], &["styles/root.json"]].concat()
    );
}

#[test]
fn samples_of_other_programs_are_the_same_in_every_format() {
    for (name, package) in [("open/stamen_toner_z3.pmtiles", "c.tpkx"), ("open/manypoints_test.mbtiles", "c.vtpk")] {
        sample(name).into_iter().for_each(|path| around(&path, package));
    }
    if let Some(cache) = sample("esri-sample-cache-v2") {
        around(&cache, "c.tpkx");
        let tiles = read(&cache);
        assert_eq!(tiles.len(), 21);
        for (TileId { level, row, column }, bytes) in tiles {
            let path = cache.join(format!("source-tiles/L{level:02}/{row}/{column}.jpg"));
            assert!(std::fs::read(path).expect("the source tile") == bytes);
        }
    }
}

#[test]
fn an_old_package_is_read_stored_deflated_and_as_a_directory_whatever_its_root_is_called() {
    let expected = read(&data("states_filled.tpk"));
    assert_eq!(open(&data("states_filled.tpk")).info().format, TileFormat::Png);
    let dir = tempfile::tempdir().expect("a directory");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(data("states_filled.tpk")).expect("opens")).expect("a zip");
    zip.extract(dir.path().join("all")).expect("extracts");
    assert!(read(&dir.path().join("all")) == expected, "the whole package");
    assert!(read(&dir.path().join("all/v101/Layers")) == expected, "the cache alone");
    let odd = dir.path().join("odd/Some map (2)");
    std::fs::create_dir_all(odd.parent().expect("a parent")).expect("makes");
    std::fs::rename(dir.path().join("all/v101/Layers"), &odd).expect("renames");
    std::fs::rename(odd.join("conf.xml"), odd.join("Conf.xml")).expect("renames");
    std::fs::write(dir.path().join("odd/.DS_Store"), "litter").expect("writes");
    assert!(read(&dir.path().join("odd")) == expected);
    if let Some(stored) = sample("packages/states_filled.tpk") {
        assert!(read(&stored) == expected);
    }
}

#[test]
fn a_large_pyramid_is_the_same_in_every_format_and_equal_tiles_are_stored_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (info, tiles) = pyramid(8);
    let contents: std::collections::HashSet<&[u8]> = tiles.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut from = None;
    for name in ["a.pmtiles", "a.mbtiles", "a.tpkx"] {
        let to = dir.path().join(name);
        let done = write(&to, &info, &tiles);
        assert_eq!(done.tiles, tiles.len() as u64);
        if name != "a.tpkx" {
            assert_eq!(done.contents, contents.len() as u64, "{name}");
        }
        let (found, order) = read_in_order(&to);
        assert!(order.iter().eq(tiles.iter().map(|(place, _)| place)), "{name} is read along the curve");
        assert!(tiles.iter().all(|(place, bytes)| found.get(place) == Some(bytes)), "{name}");
        let copy = dir.path().join("copy.pmtiles");
        convert(&to, &copy);
        let bytes = std::fs::read(&copy).expect("reads");
        let before = from.replace(bytes.len());
        assert!(before.is_none_or(|before| before.abs_diff(bytes.len()) < 200), "but for what the files say of themselves");
        std::fs::remove_file(copy).expect("removes");
    }
    assert_eq!(check_tiles(&dir.path().join("a.tpkx"), &CancellationToken::new()).expect("a package"), tiles.len() as u64);
}

#[test]
fn a_selection_copies_its_levels_and_its_area_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (info, tiles) = pyramid(6);
    let from = dir.path().join("a.mbtiles");
    write(&from, &info, &tiles);
    let area = AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8").expect("an area");
    let wanted = info.scheme.cover(&area, None, &info.scheme.lods[2..=5]).expect("covers").expect("few rows");
    let expected: Vec<TileId> = wanted
        .iter()
        .flat_map(|(level, rows)| rows.each().map(|(row, column)| TileId { level: *level, row, column }))
        .collect();
    let selection = TileSelection { levels: Some((2..=5).collect()), area: Some(area) };
    for name in ["b.pmtiles", "b.tpkx"] {
        let to = dir.path().join(name);
        try_convert(&from, &to, &selection).expect("converts");
        let mut found: Vec<TileId> = read(&to).into_keys().collect();
        found.sort();
        assert_eq!(found, expected, "{name}");
        assert_eq!(open(&to).info().levels, Some((2, 5)));
        let bounds = open(&to).info().bounds.clone().expect("bounds");
        let around = AreaOfInterest::Envelope(bounds).wgs84_extent().expect("degrees");
        assert!((around[0][0] - 5.9).abs() < 1e-4 && (around[1][1] - 47.8).abs() < 1e-4, "{around:?}");
    }
    let nothing = TileSelection { levels: Some([9].into()), area: None };
    let failure = try_convert(&from, &dir.path().join("c.pmtiles"), &nothing).expect_err("nothing is selected");
    assert!(failure.message.contains("no tile"), "{failure}");
    assert!(!dir.path().join("c.pmtiles").exists());
}

#[test]
fn tiles_that_come_out_of_order_are_refused_by_name_where_the_format_cannot_take_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let (info, tiles) = pyramid(3);
    let mut sink = crate::support::sink(&dir.path().join("a.pmtiles"), &info);
    sink.put(&[tiles[7].0], &tiles[7].1).expect("puts");
    assert!(sink.put(&[tiles[7].0], &tiles[7].1).is_err(), "again");
    assert!(sink.put(&[tiles[6].0], &tiles[6].1).expect_err("before").message.contains("behind a later one"));
    let mut sink = crate::support::sink(&dir.path().join("a.tpkx"), &info);
    sink.put(&[tiles[7].0], &tiles[7].1).expect("puts");
    sink.put(&[tiles[6].0], &tiles[6].1).expect("any order within a bundle");
    assert!(sink.put(&[tiles[7].0], b"\x89PNG other").is_err(), "again");
    sink.put(&[tiles[40].0], &tiles[40].1).expect("another level");
    assert!(sink.put(&[tiles[5].0], &tiles[5].1).expect_err("another bundle").message.contains("behind its bundle"));
    let to = dir.path().join("a.mbtiles");
    let mut sink = crate::support::sink(&to, &info);
    tiles.iter().rev().for_each(|(place, bytes)| sink.put(&[*place], bytes).expect("any order"));
    sink.finish().expect("finishes");
    let in_order: Vec<u64> = read_in_order(&to)
        .1
        .iter()
        .map(|t| tile_id(u8::try_from(t.level).expect("a zoom"), t.column, t.row).expect("a tile"))
        .collect();
    assert_eq!(in_order, (0..tiles.len() as u64).collect::<Vec<_>>());
}
