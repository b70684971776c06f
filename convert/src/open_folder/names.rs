//! Names of tables and files: plain, and each once.

use std::collections::{HashMap, HashSet};

/// Characters of the longest name.
const LONGEST: usize = 60;
/// What tables beside a layer's own are called behind its name.
const BESIDE: [&str; 3] = ["", "__ATTACH", "__ATTACHREL"];
/// Names that a GeoPackage keeps for itself begin so.
const RESERVED: [&str; 6] = ["gpkg", "rtree_", "sqlite_", "offmap_", "layer_styles", "ogr_"];

/// The names that are taken, in lower case.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// How often a name was wished: very many may be alike.
    wished: HashMap<String, u64>,
}

/// Letters, digits, `_` and `-`; everything else becomes `_`.
fn plain(wished: &str, keeps: impl Fn(char) -> bool, otherwise: &str) -> String {
    let plain: String =
        wished.chars().take(LONGEST).map(|c| if keeps(c) || matches!(c, '_' | '-') { c } else { '_' }).collect();
    let plain = plain.trim_matches(['_', '-']);
    if plain.is_empty() { otherwise.to_owned() } else { plain.to_owned() }
}

impl Names {
    /// The first of `name`, `name_2`, `name_3` … that is free with all that goes beside it.
    fn free(&mut self, name: &str, beside: &[&str]) -> String {
        let mut count = self.wished.get(name).copied().unwrap_or(1);
        loop {
            let candidate = if count == 1 { name.to_owned() } else { format!("{name}_{count}") };
            let all: Vec<String> = beside.iter().map(|more| format!("{candidate}{more}").to_lowercase()).collect();
            count += 1;
            if all.iter().all(|name| !self.taken.contains(name)) {
                self.taken.extend(all);
                self.wished.insert(name.to_owned(), count);
                return candidate;
            }
        }
    }

    /// A name for a table of a GeoPackage.
    pub(super) fn table(&mut self, wished: &str) -> String {
        let mut name = plain(wished, char::is_alphanumeric, "layer");
        let lower = name.to_lowercase();
        if RESERVED.iter().any(|reserved| lower.starts_with(reserved)) || lower.starts_with(|c: char| c.is_numeric()) {
            name.insert_str(0, "t_");
        }
        self.free(&name, &BESIDE)
    }

    /// A name for the relationship of a table: the name of its mapping table is this behind the table's.
    pub(super) fn relationship(&mut self, table: &str, wished: &str) -> String {
        let name = self.free(&format!("{table}__{}", plain(wished, char::is_alphanumeric, "relation")), &[""]);
        name.strip_prefix(table).and_then(|name| name.strip_prefix("__")).unwrap_or(&name).to_owned()
    }

    /// A name for a file, without ending: readers on every system and every web server know it.
    pub(super) fn file(&mut self, wished: &str) -> String {
        self.free(&plain(wished, |c| c.is_ascii_alphanumeric(), "layer"), &[""])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_each_is_there_once() {
        let mut names = Names::default();
        let given =
            ["Peaks", "peaks", "../../etc/passwd", "a|b=\"c\"", "gpkg_contents", "Zürich West", "12", "", "peaks__ATTACH"];
        let tables: Vec<String> = given.iter().map(|name| names.table(name)).collect();
        let expected = [
            "Peaks",
            "peaks_2",
            "etc_passwd",
            "a_b__c",
            "t_gpkg_contents",
            "Zürich_West",
            "t_12",
            "layer",
            "peaks__ATTACH_2",
        ];
        assert_eq!(tables, expected);
        assert_eq!(names.relationship("Peaks", "ATTACH"), "ATTACH_3");
        assert_eq!(names.relationship("Peaks", "of peaks"), "of_peaks");
        let mut files = Names::default();
        assert_eq!(
            ["Zürich West", "Z rich West", ".hidden", "/"].map(|name| files.file(name)),
            ["Z_rich_West", "Z_rich_West_2", "hidden", "layer"]
        );
        assert_eq!(names.table(&"x".repeat(500)).len(), LONGEST);
    }
}
