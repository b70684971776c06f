//! The command line of `offmap convert`.

use crate::help;
use crate::progress_style::ProgressStyle;
use crate::stop::Stop;
use clap::{Args, ValueEnum};
use offmap::AreaOfInterest;
use offmap_convert::files::Request;
use offmap_convert::open_folder::{FolderRequest, TileForm};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What follows the options of `offmap convert --help`.
pub(crate) const AFTER: &str = "\
Formats, by the content of IN and the ending of OUT:
  tiles     .tpkx .vtpk .tpk .mbtiles .pmtiles, or a cache in a directory
            → .tpkx .vtpk .mbtiles .pmtiles
  features  .geodatabase .gpkg → .gpkg .geodatabase .geojsons .geojsonl
            one layer → .parquet

Examples:
  offmap convert imagery.tpkx imagery.pmtiles
  offmap convert imagery.pmtiles alps.mbtiles --levels 0-10 \\
    --area 5.9,45.8,10.5,47.8
  offmap convert trails.geodatabase trails.gpkg --layer Trails
  offmap convert alps.mmpk alps-open --to open

OUT is absent or complete. What a killed run left beside it (OUT.new…) is used by the same command, if IN is as it was.

Exit codes:
  0    complete
  1    failed
  2    wrong usage
  3    written, and something of IN is left out, which is named
  130  cancelled by Ctrl-C";

/// What a package becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// A folder that opens in QGIS, QField and MapLibre.
    Open,
}

/// In which form tiles lie in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tiles {
    /// PMTiles for MapLibre and MBTiles for QGIS.
    Both,
    /// PMTiles; the project of QGIS is without tiles.
    Pmtiles,
    /// MBTiles; the style is one for MapLibre Native.
    Mbtiles,
}

impl Tiles {
    pub(crate) fn form(self) -> TileForm {
        match self {
            Self::Both => TileForm::Both,
            Self::Pmtiles => TileForm::Pmtiles,
            Self::Mbtiles => TileForm::Mbtiles,
        }
    }
}

/// `offmap convert`.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// File of tiles or features, or a directory that is laid out like a tile package; with --to open a mobile map package.
    #[arg(value_name = "IN")]
    pub(crate) from: PathBuf,
    /// File to write; with --to open a directory that is absent or empty.
    #[arg(value_name = "OUT")]
    pub(crate) to: PathBuf,
    /// Make a folder of a mobile map package that opens without ArcGIS.
    #[arg(long = "to", value_name = "WHAT", conflicts_with_all = ["layer", "area", "levels"])]
    pub(crate) kind: Option<To>,
    /// Tiles in the folder, with --to open [default: both].
    #[arg(long, value_name = "FORM", requires = "kind")]
    pub(crate) tiles: Option<Tiles>,
    /// Layer or table to convert, by name or title; may be given several times. Of features; all of them without it.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) layer: Vec<String>,
    /// Tiles that meet this area, or features whose extent does: xmin,ymin,xmax,ymax in degrees, or with a `,wkid` behind.
    #[arg(short, long, value_name = "AREA", allow_hyphen_values = true)]
    pub(crate) area: Option<String>,
    /// Levels of tiles by their ids in IN, from the coarsest to the finest.
    #[arg(long, value_name = "A-B")]
    pub(crate) levels: Option<String>,
    /// Replace OUT, which stays until the new one is complete. What is not of its format is refused, and so is a folder that was
    /// changed since it was made.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Keep what was done beside OUT when it fails or is cancelled; the same command goes on with it.
    #[arg(short, long, help_heading = help::RUN)]
    pub(crate) keep: bool,
    /// How progress is shown [default: auto].
    #[arg(long, value_name = "HOW", help_heading = help::RUN)]
    pub(crate) progress: Option<ProgressStyle>,
    /// Answer as JSON.
    #[arg(short, long, help_heading = help::RUN)]
    pub(crate) json: bool,
}

/// `A-B`, or one level.
pub(crate) fn levels(text: &str) -> Result<RangeInclusive<u32>, Stop> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let level = |word: &str| word.trim().parse::<u32>().ok();
    match level(first).zip(level(last)) {
        Some((first, last)) if first <= last => Ok(first..=last),
        Some(_) => Err(Stop::usage(format!("levels `{text}`: the first is above the last"))),
        None => Err(Stop::usage(format!("levels `{text}`: write first-last, for instance 0-10"))),
    }
}

impl Convert {
    /// The folder that is asked for.
    pub(crate) fn folder(&self) -> FolderRequest {
        let mut request = FolderRequest::new(&self.from, &self.to);
        request.tiles = self.tiles.map(Tiles::form).unwrap_or_default();
        (request.overwrite, request.keep) = (self.overwrite, self.keep);
        request
    }

    /// What is asked for.
    pub(crate) fn request(&self) -> Result<Request, Stop> {
        let mut request = Request::new(&self.from, &self.to);
        request.layers.clone_from(&self.layer);
        if let Some(text) = &self.area {
            request.area = AreaOfInterest::from_numbers(text)?.envelope();
        }
        request.levels = self.levels.as_deref().map(levels).transpose()?;
        (request.overwrite, request.keep) = (self.overwrite, self.keep);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_one_or_a_range_that_rises() {
        assert_eq!(levels("3").ok(), Some(3..=3));
        assert_eq!(levels("0-10").ok(), Some(0..=10));
        for wrong in ["", "-", "3-", "5-2", "a-b", "1-2-3", "-1"] {
            assert!(levels(wrong).is_err(), "{wrong}");
        }
    }
}
