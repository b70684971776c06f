//! Where the tiles of a service are: a url for each place.

use offmap_formats::TileId;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What would be read as something else than a part of a path or the value of a query. A percent sign stays: some maps have values that
/// are encoded already.
const IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'&')
    .add(b'+')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Bytes by which a url is longer than its template, at most as a rule.
const ROOM: usize = 24;

/// The row of a tile counted from the south, where level n has 2ⁿ rows.
pub(super) const ROW_FROM_SOUTH: &str = "{-y}";

/// A url with `{level}`, `{row}` or `{-y}`, and `{col}`, and `{subDomain}` where several hosts have the same tiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TileTemplate {
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sub_domains: Vec<String>,
    /// What stands in a url for a level whose scheme says so (`levelValue`), such as `EPSG:900913:5`; else it is the level's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) level_values: BTreeMap<u32, String>,
}

impl TileTemplate {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// How many hosts may be asked at a time.
    pub(super) fn hosts(&self) -> usize {
        self.sub_domains.len().max(1)
    }

    /// A url at each of its hosts.
    pub(super) fn each_host(&self) -> Vec<String> {
        let first = TileId { level: 0, row: 0, column: 0 };
        (0..self.hosts() as u64).map(|column| self.url_of(TileId { column, ..first })).collect()
    }

    /// Which of its hosts is asked for a tile.
    pub(super) fn host_of(&self, place: TileId) -> usize {
        usize::try_from(place.row.wrapping_add(place.column) % self.hosts() as u64).unwrap_or(0)
    }

    /// The url of a tile. Neighbours are asked of different hosts, and a tile always of the same one.
    pub(super) fn url_of(&self, place: TileId) -> String {
        let rows = 1_u64.checked_shl(place.level).unwrap_or(u64::MAX);
        let from_south = rows.saturating_sub(place.row.saturating_add(1));
        let turn = self.host_of(place);
        let mut parts = self.url.split('{');
        let mut url = String::with_capacity(self.url.len() + ROOM);
        url.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let written = match (part.split_once('}'), self.level_values.get(&place.level), self.sub_domains.get(turn)) {
                (Some(("level", rest)), Some(value), _) => write!(url, "{}{rest}", utf8_percent_encode(value, IN_URL)),
                (Some(("level", rest)), None, _) => write!(url, "{}{rest}", place.level),
                (Some(("row", rest)), ..) => write!(url, "{}{rest}", place.row),
                (Some(("-y", rest)), ..) => write!(url, "{from_south}{rest}"),
                (Some(("col", rest)), ..) => write!(url, "{}{rest}", place.column),
                (Some(("subDomain", rest)), _, Some(host)) => write!(url, "{host}{rest}"),
                _ => write!(url, "{{{part}"),
            };
            // Writing to a text does not fail.
            written.unwrap_or_default();
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_url_and_neighbours_are_on_several_hosts() {
        let of = |url: &str, hosts: &[&str], row, column| {
            let sub_domains = hosts.iter().map(|h| (*h).to_owned()).collect();
            TileTemplate { sub_domains, ..TileTemplate::new(url) }.url_of(TileId { level: 5, row, column })
        };
        assert_eq!(of("https://h/tile/{level}/{row}/{col}.pbf", &[], 7, 9), "https://h/tile/5/7/9.pbf");
        assert_eq!(of("https://h/{level}/{col}/{-y}", &[], 7, 9), "https://h/5/9/24");
        let several = |row, column| of("https://{subDomain}.h/{level}/{col}/{row}", &["a", "b", "c"], row, column);
        assert_eq!([several(0, 0), several(0, 1)], ["https://a.h/5/0/0", "https://b.h/5/1/0"]);
        assert_eq!(several(4, 1), several(4, 1));
        let url = "https://h/wmts?TILEMATRIX={level}&TILEROW={row}&TILECOL={col}";
        let level_values = BTreeMap::from([(5, "EPSG:900913:5".to_owned()), (6, "a&b/{row}".to_owned())]);
        let template = TileTemplate { level_values, ..TileTemplate::new(url) };
        let at = |level| template.url_of(TileId { level, row: 7, column: 9 });
        assert_eq!(at(5), "https://h/wmts?TILEMATRIX=EPSG:900913:5&TILEROW=7&TILECOL=9");
        assert_eq!(at(6), "https://h/wmts?TILEMATRIX=a%26b%2F%7Brow%7D&TILEROW=7&TILECOL=9", "it stays one value");
        assert_eq!(of("https://{subDomain}.h/{x}/{level}{", &[], 7, 9), "https://{subDomain}.h/{x}/5{", "others stay");
        assert_eq!(at(7), "https://h/wmts?TILEMATRIX=7&TILEROW=7&TILECOL=9");
    }
}
