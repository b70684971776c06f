//! Names and ids of what is written: names that a geodatabase allows, ids that the same input makes the same.

use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};

/// Characters of the longest name.
const LONGEST: usize = 64;
/// Beginnings of names that the format keeps.
const KEPT: [&str; 5] = ["gdb_", "st_", "sqlite_", "offmap_", "sde_"];
/// The end of names of attachment tables.
pub(super) const ATTACHMENTS: &str = "__ATTACH";

/// Names that are taken, whatever their letter case.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The number that the next name gets which would be one of these; all before it are taken.
    numbers: HashMap<String, u64>,
}

impl Names {
    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_lowercase());
    }

    /// A name of letters, digits and underscores that is not taken.
    pub(super) fn free(&mut self, name: &str) -> String {
        let mut plain: String =
            name.chars().take(LONGEST).map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let lower = plain.to_lowercase();
        if !plain.starts_with(char::is_alphabetic) || KEPT.iter().any(|kept| lower.starts_with(kept)) {
            plain.insert_str(0, "T_");
        }
        if lower.ends_with(&ATTACHMENTS.to_lowercase()) {
            plain.push_str("_table");
        }
        if !self.taken.contains(&plain.to_lowercase()) {
            return plain;
        }
        let number = self.numbers.entry(plain.to_lowercase()).or_insert(1);
        loop {
            let free = format!("{plain}_{number}");
            if !self.taken.contains(&free.to_lowercase()) {
                return free;
            }
            *number += 1;
        }
    }
}

/// A GUID of its own for what these words name.
pub(super) fn guid(words: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for word in words {
        hasher.update((word.len() as u64).to_le_bytes());
        hasher.update(word);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    // RFC 9562: version 8, for ids of one's own making.
    format!("{:X}", uuid::Builder::from_custom_bytes(bytes).into_uuid().braced())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_allowed_and_stay_different() {
        let mut names = Names::default();
        ["Roads", "my_layer"].iter().for_each(|name| names.take(name));
        let mut named = |name: &str| names.free(name);
        assert_eq!(named("Homesites inspections"), "Homesites_inspections");
        assert_eq!((named("roads").as_str(), named("my-layer").as_str()), ("roads_1", "my_layer_1"));
        assert_eq!(
            (named("2024").as_str(), named("").as_str(), named("GDB_Items").as_str()),
            ("T_2024", "T_", "T_GDB_Items")
        );
        assert_eq!((named("Straße").as_str(), named("a__attach").as_str()), ("Straße", "a__attach_table"));
        assert_eq!(named(&"x".repeat(100)).len(), LONGEST);
    }

    #[test]
    fn very_many_equal_names_take_no_long_time() {
        let mut names = Names::default();
        for n in 0..50_000 {
            let name = names.free(if n % 2 == 0 { "name" } else { "NAME" });
            assert!(n == 0 || name.ends_with(&format!("_{n}")), "{name}");
            names.take(&name);
        }
    }

    #[test]
    fn guids_are_the_same_for_the_same_words_alone() {
        assert_eq!(guid(&["a", "b"]), guid(&["a", "b"]));
        assert_ne!(guid(&["a", "b"]), guid(&["ab", ""]));
        let one = guid(&["a"]);
        assert!(one.len() == 38 && uuid::Uuid::try_parse(&one).is_ok() && one == one.to_uppercase(), "{one}");
    }
}
