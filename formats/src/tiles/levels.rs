//! Which levels of a tiling scheme a range of scales selects. Pure.
//!
//! Source: tile reference §9.

use super::tile_info::Lod;

/// Two scale families (39.37 inches per metre, 0.0254 m per inch) differ by 2e-6; compare with this relative tolerance.
const SCALE_TOLERANCE: f64 = 1e-5;

/// Levels of a range of scales: the finest level at or above `min_scale` to the coarsest level at or below `max_scale`; zero
/// means no limit. Levels are taken from coarse to fine.
#[must_use]
pub fn levels_in_range(lods: &[Lod], min_scale: f64, max_scale: f64) -> Vec<Lod> {
    let mut lods = lods.to_vec();
    lods.sort_by(|a, b| b.scale.total_cmp(&a.scale));
    let first = if min_scale > 0.0 {
        lods.iter().rposition(|l| l.scale >= min_scale * (1.0 - SCALE_TOLERANCE)).unwrap_or(0)
    } else {
        0
    };
    let last = if max_scale > 0.0 {
        lods.iter().position(|l| l.scale <= max_scale * (1.0 + SCALE_TOLERANCE)).unwrap_or(lods.len().saturating_sub(1))
    } else {
        lods.len().saturating_sub(1)
    };
    lods.get(first..=last).map(<[Lod]>::to_vec).unwrap_or_default()
}

/// The range of scales that is asked for, cut to the widest range in which any of the map's layers is drawn; zero means no
/// limit. A layer is a pair of its far and near limit.
///
/// The SDK's rule for raster tiles: the tiled layer's own range in the map narrows the download (tile reference §9). That the near
/// limit of a vector tiled layer does the same is offmap's choice.
#[must_use]
pub fn cut_to_layers(min_scale: f64, max_scale: f64, layers: &[(f64, f64)]) -> (f64, f64) {
    let far = layers.iter().map(|l| if l.0 > 0.0 { l.0 } else { f64::INFINITY }).fold(0.0, f64::max);
    let near = layers.iter().map(|l| l.1.max(0.0)).fold(f64::INFINITY, f64::min);
    let min = if min_scale > 0.0 { min_scale.min(far) } else { far };
    let max = max_scale.max(if near.is_finite() { near } else { 0.0 });
    (if min.is_finite() { min } else { 0.0 }, max)
}

/// Levels as `exportTiles` wants them: `0-3,5`.
#[must_use]
pub fn levels_text(levels: &[u32]) -> String {
    let mut levels = levels.to_vec();
    levels.sort_unstable();
    levels.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for level in levels {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == level => *end = level,
            _ => runs.push((level, level)),
        }
    }
    let text = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    text.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lods(scales: &[f64]) -> Vec<Lod> {
        let lod = |(i, s): (usize, &f64)| Lod { level: u32::try_from(i).unwrap_or(0), resolution: s / 3779.5, scale: *s };
        scales.iter().enumerate().map(lod).collect()
    }

    fn ids(min: f64, max: f64) -> Vec<u32> {
        let all = lods(&[2_000_000.0, 1_000_000.0, 500_000.0, 250_000.0]);
        levels_in_range(&all, min, max).iter().map(|l| l.level).collect()
    }

    #[test]
    fn levels_follow_the_documented_table() {
        assert_eq!(ids(0.0, 0.0), [0, 1, 2, 3]);
        assert_eq!(ids(750_000.0, 250_000.0), [1, 2, 3]);
        assert_eq!(ids(0.0, 750_000.0), [0, 1, 2]);
        assert_eq!(ids(1_000_000.0, 0.0), [1, 2, 3]);
        // An exact hit in the other scale family adds nothing.
        assert_eq!(ids(1_000_002.0, 0.0), [1, 2, 3]);
        assert_eq!(ids(0.0, 499_999.0), [0, 1, 2]);
    }

    #[test]
    fn the_range_of_the_map_s_layer_narrows_what_is_asked() {
        let layer = [(1_000_000.0, 10_000.0)];
        assert_eq!(cut_to_layers(900_000.0, 5_000.0, &layer), (900_000.0, 10_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &layer), (1_000_000.0, 10_000.0));
        assert_eq!(cut_to_layers(900_000.0, 5_000.0, &[(0.0, 0.0)]), (900_000.0, 5_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &[(1_000_000.0, 10_000.0), (0.0, 5_000.0)]), (0.0, 5_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &[]), (0.0, 0.0));
    }

    #[test]
    fn levels_are_written_as_runs() {
        assert_eq!(levels_text(&[3, 0, 1, 2, 5]), "0-3,5");
        assert_eq!(levels_text(&[7]), "7");
        assert_eq!(levels_text(&[]), "");
    }
}
