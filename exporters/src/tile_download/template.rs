//! Where the tiles of a service are: a url for each place.

use offmap_formats::TileId;
use serde::{Deserialize, Serialize};

/// A url with `{level}`, `{row}` and `{col}`, and `{subDomain}` where several hosts have the same tiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TileTemplate {
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sub_domains: Vec<String>,
}

impl TileTemplate {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), sub_domains: Vec::new() }
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

    /// The url of a tile. Neighbours are asked of different hosts, and a tile always of the same one.
    pub(super) fn url_of(&self, place: TileId) -> String {
        let url = self.url.replace("{level}", &place.level.to_string());
        let url = url.replace("{row}", &place.row.to_string()).replace("{col}", &place.column.to_string());
        let turn = usize::try_from(place.row.wrapping_add(place.column) % self.hosts() as u64).unwrap_or(0);
        match self.sub_domains.get(turn) {
            Some(host) => url.replace("{subDomain}", host),
            None => url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_url_and_neighbours_are_on_several_hosts() {
        let of = |url: &str, hosts: &[&str], row, column| {
            let sub_domains = hosts.iter().map(|h| (*h).to_owned()).collect();
            TileTemplate { url: url.to_owned(), sub_domains }.url_of(TileId { level: 5, row, column })
        };
        assert_eq!(of("https://h/tile/{level}/{row}/{col}.pbf", &[], 7, 9), "https://h/tile/5/7/9.pbf");
        let several = |row, column| of("https://{subDomain}.h/{level}/{col}/{row}", &["a", "b", "c"], row, column);
        assert_eq!([several(0, 0), several(0, 1)], ["https://a.h/5/0/0", "https://b.h/5/1/0"]);
        assert_eq!(several(4, 1), several(4, 1));
    }
}
