//! Shapes out of any bytes: those of geodatabases, of GeoPackages, and well-known binary; what is a shape is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::formats::geodatabase::{PrecisionGrid, ShapeBlobWriter, read_shape, read_shape_head};
use offmap::formats::geometry::{Geometry, RingGroups, wkb};
use offmap::formats::geopackage::binary;

fuzz_target!(|bytes: &[u8]| {
    let (grid, mut shape, mut groups) = (PrecisionGrid::web_mercator(), Geometry::default(), RingGroups::default());
    let (mut blob, mut out) = (bytes.to_vec(), Vec::new());
    // Whatever else is changed, it begins as a shape does.
    if let Some(first) = blob.first_mut() {
        *first = 0x64;
    }
    let _ = read_shape_head(&blob);
    let mut write_again = |shape: &Geometry| {
        let _ = ShapeBlobWriter::default().write(shape, 3857, &grid, &mut out);
        let mut again = Geometry::default();
        binary::write(shape, 3857, &mut groups, &mut out);
        binary::read(&out, &mut again).expect("what was written is a shape");
    };
    if read_shape(&blob, &grid, &mut shape).is_ok() {
        write_again(&shape);
    }
    if wkb::read(bytes, &mut shape).is_ok() {
        write_again(&shape);
    }
    if binary::read(bytes, &mut shape).is_ok() {
        write_again(&shape);
    }
});
