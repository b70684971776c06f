//! Level, row and column of a tile, in a path.

/// Those of `{level}/{row}/{column}`, where a level has such a tile.
pub(crate) fn tile_path(parts: &[&str]) -> Option<(u32, u64, u64)> {
    let [level, row, column] = parts else { return None };
    let column = column.split('.').next()?;
    let (level, row, column) = (level.parse().ok()?, row.parse().ok()?, column.parse().ok()?);
    let side = 1_u64.checked_shl(level)?;
    (row < side && column < side).then_some((level, row, column))
}
