//! The texts that were taken out of a map, within limits.

use crate::layer_secrets::{MOST_SECRETS, is_telling};
use crate::secret_search::{SearchRoom, sought_of};
use std::collections::BTreeMap;

/// Texts that nobody may read: of each, whether it is looked for in other texts.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Values {
    all: BTreeMap<String, bool>,
    room: SearchRoom,
    /// How many there was no room for.
    left_out: usize,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.all.len())
    }
}

impl Values {
    /// Keeps the value of a parameter. Answers `false` where it ought to be looked for and there is no room for it.
    pub(super) fn has_kept(&mut self, name: &str, value: &str) -> bool {
        let Some(sought) = sought_of(value) else { return true };
        self.keep(sought, is_telling(name, sought))
    }

    /// Keeps a text that is a secret, whatever it looks like.
    pub(super) fn keep_secret(&mut self, text: &str) {
        if let Some(sought) = sought_of(text)
            && !self.keep(sought, true)
        {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// The same of a parameter that is sent nowhere.
    pub(super) fn keep_unsent(&mut self, name: &str, value: &str) {
        if !self.has_kept(name, value) {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn keep(&mut self, text: &str, is_sought: bool) -> bool {
        let known = self.all.get(text).copied();
        if known == Some(true) || known.is_some() && !is_sought {
            return true;
        }
        if is_sought && !self.room.has_taken(text) {
            return false;
        }
        // Ordinary words are looked for nowhere; that there are some is all that anybody asks.
        if is_sought || self.all.len() < MOST_SECRETS {
            self.all.insert(text.to_owned(), is_sought);
        }
        true
    }

    /// All of them, as far as they are kept.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Those that are looked for in other texts.
    pub(super) fn sought(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter(|(_, sought)| **sought).map(|(text, _)| text.as_str())
    }

    /// What there was no room for, in words.
    pub(super) fn left_out(&self) -> Option<String> {
        (self.left_out > 0).then(|| {
            format!(
                "{} secrets in texts of the map are taken out where they stand and, since there are too many, not looked for \
                 elsewhere: take them out of the map",
                self.left_out
            )
        })
    }
}
