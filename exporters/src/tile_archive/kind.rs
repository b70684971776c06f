//! What of an archive decides what becomes of its tiles: a plan is made for it.

use offmap_formats::{TileCompression, TileSetInfo};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kind {
    format: String,
    compression: String,
    zooms: (u32, u32),
}

impl Kind {
    /// That of an archive, or in words why its tiles cannot be taken.
    pub(super) fn of(info: &TileSetInfo, title: &str) -> Result<Self, String> {
        if !info.compression.can_be_opened() {
            return Err(format!(
                "the tiles of \"{title}\" are compressed as {:?}, expected gzip or none; take an archive whose tiles are",
                info.compression
            ));
        }
        // Both are known by the first bytes of each tile.
        let compression = match info.compression {
            TileCompression::Each => TileCompression::None,
            other => other,
        };
        Ok(Self {
            format: format!("{:?}", info.format),
            compression: format!("{compression:?}"),
            zooms: info.levels.unwrap_or_default(),
        })
    }

    /// What another one has otherwise, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let Self { format, compression, zooms: (first, last) } = self;
        if *format != other.format {
            return Some(format!("its tiles are {}, expected {format}", other.format));
        }
        if *compression != other.compression {
            return Some(format!("its tiles are compressed as {}, expected {compression}", other.compression));
        }
        let (now_first, now_last) = other.zooms;
        let differ = self.zooms != other.zooms;
        differ.then(|| format!("it has zooms {now_first} to {now_last}, expected {first} to {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::TileFormat;
    use offmap_formats::tiles::web_mercator_scheme;

    #[test]
    fn what_decides_is_compared_and_what_cannot_be_opened_is_refused() {
        let info = |format, compression, levels| {
            let mut info = TileSetInfo::new(web_mercator_scheme(256, 9), format);
            (info.compression, info.levels) = (compression, Some(levels));
            Kind::of(&info, "Relief")
        };
        let planned = info(TileFormat::Png, TileCompression::None, (0, 9)).expect("is read");
        for (format, compression, levels, words) in [
            (TileFormat::Mvt, TileCompression::None, (0, 9), "Mvt"),
            (TileFormat::Png, TileCompression::Gzip, (0, 9), "Gzip"),
            (TileFormat::Png, TileCompression::None, (0, 8), "zooms 0 to 8, expected 0 to 9"),
        ] {
            let now = info(format, compression, levels).expect("is read");
            assert!(planned.difference(&now).expect("differs").contains(words));
            assert_eq!(now.difference(&now), None);
        }
        assert_eq!(
            info(TileFormat::Png, TileCompression::Each, (0, 9)),
            Ok(planned),
            "of a plan made when it was not told apart"
        );
        let refused = info(TileFormat::Png, TileCompression::Zstd, (0, 9)).expect_err("is refused");
        assert!(refused.contains("Relief") && refused.contains("Zstd"));
    }
}
