//! Tiles from one file into another.

use super::request::{Converted, FileProgress, Request};
use super::source::bytes;
use offmap_formats::containers::Reading;
use offmap_formats::convert::{self, TileSelection};
use offmap_formats::tile_reader::{TileReader, TileVisitor};
use offmap_formats::tile_set::TileSetInfo;
use offmap_model::{AreaOfInterest, Failure};
use std::cell::Cell;
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// A reader whose resources go nowhere, and are counted.
struct WithoutResources {
    reader: Box<dyn TileReader>,
    dropped: u64,
}

impl TileReader for WithoutResources {
    fn info(&self) -> &TileSetInfo {
        self.reader.info()
    }

    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        self.reader.for_each_tile(visitor)
    }

    fn for_each_resource(&mut self, _: &mut dyn FnMut(&str, &[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let dropped = &mut self.dropped;
        self.reader.for_each_resource(&mut |_, _| {
            *dropped += 1;
            Ok(())
        })
    }
}

/// The tiles that are asked for.
pub(super) fn selection(request: &Request, info: &TileSetInfo) -> Result<TileSelection, Failure> {
    let levels = match &request.levels {
        None => None,
        Some(wanted) => {
            let known = info.scheme.lods.iter().map(|lod| lod.level);
            let levels: BTreeSet<u32> = known.filter(|level| wanted.contains(level)).collect();
            let (first, last) = info.levels.unwrap_or_default();
            if levels.range(first..=last.max(first)).next().is_none() {
                let (from, to) = (wanted.start(), wanted.end());
                return Err(Failure::invalid_parameter(format!(
                    "{} has tiles of levels {first} to {last}, and none of {from} to {to}",
                    request.from.display()
                )));
            }
            Some(levels)
        }
    };
    Ok(TileSelection { levels, area: request.area.clone().map(AreaOfInterest::from) })
}

/// Converts tiles.
pub(super) fn convert(
    mut reader: Box<dyn TileReader>,
    request: &Request,
    selection: &TileSelection,
    progress: &dyn Fn(FileProgress),
    cancel: &CancellationToken,
) -> Result<Converted, Failure> {
    let described = selection.describe(reader.info());
    let described = convert::with_vector_layers(described, reader.as_mut(), selection, cancel)?;
    let sink = convert::open_sink(&request.to, &described)?;
    let resumed = sink.resumed().tiles;
    let is_whole = request.levels.is_none() && request.area.is_none() && resumed == 0;
    let of = is_whole.then(|| bytes(&request.from));
    let done = Cell::new(0_u64);
    let report = |bytes| {
        done.set(done.get().saturating_add(bytes));
        progress(FileProgress::Bytes { done: of.map_or(done.get(), |of| of.min(done.get())), of });
    };
    let reading = Reading { cancel, report: &report };
    let holds_resources = request.to.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("vtpk"));
    let mut left_out = Vec::new();
    let finished = if holds_resources {
        convert::tiles(reader.as_mut(), sink, selection, &reading)?
    } else {
        let mut reader = WithoutResources { reader, dropped: 0 };
        let finished = convert::tiles(&mut reader, sink, selection, &reading)?;
        if reader.dropped > 0 {
            let files = reader.dropped;
            left_out.push(format!("style, sprites and fonts ({files} files), which only a .vtpk holds"));
        }
        finished
    };
    Ok(Converted {
        file: request.to.clone(),
        bytes: finished.bytes,
        tiles: Some(finished.tiles),
        layers: Vec::new(),
        resumed,
        left_out,
        notes: Vec::new(),
    })
}
