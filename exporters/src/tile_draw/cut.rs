//! Cuts pictures into tiles.

use super::frame::Frame;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{
    DynamicImage, ExtendedColorType, GenericImageView as _, ImageEncoder as _, ImageFormat, ImageReader, Limits, RgbaImage,
};
use offmap_formats::{TileFormat, TileId};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::Cursor;

/// Bytes that a decoder may use for each pixel of a picture: it may have 16 bits a channel, and is decoded twice at most.
const BYTES_OF_PIXEL: u64 = 16;

/// A tile as PNG; `None` where nothing is drawn on it.
pub(super) type CutTile = (TileId, Option<Vec<u8>>);

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let format = match TileFormat::of_image(bytes) {
        Some(TileFormat::Png) => ImageFormat::Png,
        Some(TileFormat::Jpeg) => ImageFormat::Jpeg,
        Some(other) => return Err(format!("a picture as {other:?}, expected PNG or JPEG")),
        None => return Err(format!("{} bytes that are no picture", bytes.len())),
    };
    Ok(ImageReader::with_format(Cursor::new(bytes), format))
}

/// Whether bytes are the picture that was asked for, as far as its head and its end say; else what they are.
pub(super) fn check(bytes: &[u8], (width, height): (u32, u32)) -> Result<(), String> {
    TileFormat::Mixed.check_tile(bytes)?;
    let found = reader(bytes)?.into_dimensions().map_err(|e| format!("a picture that cannot be read ({e})"))?;
    match found == (width, height) {
        true => Ok(()),
        false => Err(format!("a picture of {} × {} pixels, expected {width} × {height}", found.0, found.1)),
    }
}

/// Cuts a picture. Takes the time of a core.
///
/// # Errors
/// If it cannot be decoded.
pub(super) fn cut(bytes: &[u8], frame: &Frame) -> Result<Vec<CutTile>, Failure> {
    let wrong = |words: String| {
        let message = format!("the picture of {} tiles cannot be used: {words}", frame.tiles.len());
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Download, message).retryable()
    };
    let mut reader = reader(bytes).map_err(wrong)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(frame.width);
    limits.max_image_height = Some(frame.height);
    limits.max_alloc = Some(u64::from(frame.width) * u64::from(frame.height) * BYTES_OF_PIXEL);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| wrong(e.to_string()))?;
    if picture.dimensions() != (frame.width, frame.height) {
        return Err(wrong(format!("it has {:?} pixels", picture.dimensions())));
    }
    let picture = picture.into_rgba8();
    frame.tiles.iter().map(|tile| Ok((*tile, encoded(&picture, frame, *tile).map_err(wrong)?))).collect()
}

/// One tile of a picture: without its alpha where all of it is opaque.
fn encoded(picture: &RgbaImage, frame: &Frame, tile: TileId) -> Result<Option<Vec<u8>>, String> {
    let ((x, y), (width, height)) = (frame.place_of(tile), frame.tile);
    let part = picture.view(x, y, width, height).to_image();
    if part.pixels().all(|pixel| pixel.0[3] == 0) {
        return Ok(None);
    }
    let is_opaque = part.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let mut png = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
    let written = match is_opaque {
        true => {
            let part = DynamicImage::ImageRgba8(part).into_rgb8();
            encoder.write_image(&part, width, height, ExtendedColorType::Rgb8)
        }
        false => encoder.write_image(&part, width, height, ExtendedColorType::Rgba8),
    };
    written.map_err(|e| e.to_string())?;
    Ok(Some(png))
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameSize;
    use super::*;
    use image::{Rgba, codecs::jpeg::JpegEncoder};
    use offmap_formats::tiles::web_mercator_scheme;

    fn frame() -> Frame {
        let info = web_mercator_scheme(256, 5);
        let tiles = (8..10).flat_map(|row| (12..15).map(move |column| TileId { level: 5, row, column }));
        let size = FrameSize::of(&info, (None, None)).expect("fits");
        size.frames((&info, &info.lods[5]), tiles).next().expect("one")
    }

    fn png(picture: &RgbaImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).expect("writes");
        bytes.into_inner()
    }

    #[test]
    fn every_pixel_of_every_tile_is_the_one_of_the_picture_at_its_place() {
        let frame = frame();
        let colour = |x: u32, y: u32| Rgba([(x % 251) as u8, (y % 241) as u8, (x / 251 * 16 + y / 241) as u8, 255]);
        let mut picture = RgbaImage::from_fn(frame.width, frame.height, colour);
        // The tile at the upper left has nothing on it, the one beside it a transparent pixel.
        for (x, y) in (0..256).flat_map(|x| (0..256).map(move |y| (x + 64, y + 64))) {
            picture.put_pixel(x, y, Rgba([9, 9, 9, 0]));
        }
        picture.put_pixel(64 + 256 + 7, 64 + 9, Rgba([1, 2, 3, 40]));
        let tiles = cut(&png(&picture), &frame).expect("cuts");
        assert_eq!(tiles.len(), 6);
        assert_eq!(tiles[0], (TileId { level: 5, row: 8, column: 12 }, None));
        for (tile, bytes) in &tiles[1..] {
            let read = image::load_from_memory(bytes.as_ref().expect("something is on it")).expect("a PNG");
            let is_first = (tile.row, tile.column) == (8, 13);
            assert_eq!(read.color().has_alpha(), is_first, "{tile:?}");
            let read = read.into_rgba8();
            let (left, top) = (64 + (tile.column as u32 - 12) * 256, 64 + (tile.row as u32 - 8) * 256);
            for (x, y, pixel) in read.enumerate_pixels() {
                assert_eq!(pixel, picture.get_pixel(left + x, top + y), "{tile:?} {x} {y}");
            }
        }
    }

    #[test]
    fn what_is_not_the_picture_that_was_asked_for_is_told() {
        let frame = frame();
        let asked = (frame.width, frame.height);
        let picture = RgbaImage::new(frame.width, frame.height);
        let whole = png(&picture);
        assert_eq!(check(&whole, asked), Ok(()));
        let smaller = png(&RgbaImage::new(256, 256));
        assert!(check(&smaller, asked).is_err_and(|e| e.contains("256 × 256 pixels, expected 896 × 640")));
        assert!(check(&whole[..whole.len() / 2], asked).is_err_and(|e| e.contains("breaks off")));
        assert!(check(b"{\"error\": {}}", asked).is_err_and(|e| e.contains("no image")));
        assert!(check(b"RIFF\0\0\0\0WEBPVP8 ", asked).is_err_and(|e| e.contains("WebP")));
        // Its middle is of use to nobody.
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle - 40..middle + 40].fill(0xa5);
        assert!(cut(&damaged, &frame).is_err_and(|f| f.kind == FailureKind::InvalidAnswer));
        assert!(cut(&smaller, &frame).is_err());
        let mut jpeg = Vec::new();
        let rgb = DynamicImage::ImageRgba8(RgbaImage::from_pixel(frame.width, frame.height, Rgba([200, 10, 10, 255])));
        JpegEncoder::new(&mut jpeg).encode_image(&rgb.into_rgb8()).expect("writes");
        assert_eq!(check(&jpeg, asked), Ok(()));
        let tiles = cut(&jpeg, &frame).expect("cuts");
        assert!(
            tiles.iter().all(|(_, bytes)| bytes.as_ref().is_some_and(|b| TileFormat::of_image(b) == Some(TileFormat::Png)))
        );
    }
}
