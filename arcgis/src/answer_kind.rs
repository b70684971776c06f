//! How large each kind of answer may be, in bytes (decompressed) and in values: the one table of these limits.
//!
//! | kind | for | bytes | values |
//! | --- | --- | --- | --- |
//! | [`AnswerKind::Small`] | tokens, counts, information on a server | 256 KiB | 10,000 |
//! | [`AnswerKind::Medium`] | jobs, submissions, listings, items; whatever names no other | 1 MiB | 50,000 |
//! | [`AnswerKind::Description`] | services, layers, styles, the portal itself, ids of rows | 8 MiB | 200,000 |
//! | [`AnswerKind::List`] | long lists, read member by member; the values are those of a member | 16 MiB | 10,000 |
//! | [`AnswerKind::Features`] | a page of features with their geometries; the values are those of a page that is read as a tree | 64 MiB | 500,000 |
//! | [`AnswerKind::WebMap`] | the web map, with the features that it holds | 16 MiB | 500,000 |
//!
//! A value is a number, a text, a list; an object counts for more: see [`JsonBudget`]. Bytes are counted as they come, values while
//! they are read, so that neither is spent before it is refused.

use offmap_model::WebMap;
use offmap_model::json::JsonBudget;

/// What is asked for, by the size that an honest answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AnswerKind {
    /// A token, a count, information on a server.
    Small,
    /// A job, a submission, a listing, an item.
    #[default]
    Medium,
    /// The description of a service, layer, style or portal, or ids of rows.
    Description,
    /// A long list, read member by member.
    List,
    /// A page of features.
    Features,
    /// A web map.
    WebMap,
}

impl AnswerKind {
    /// What may be read of it.
    #[must_use]
    pub fn budget(self) -> JsonBudget {
        match self {
            Self::Small => JsonBudget { bytes: 256 << 10, values: 10_000 },
            Self::Medium => JsonBudget { bytes: 1 << 20, values: 50_000 },
            Self::Description => JsonBudget { bytes: 8 << 20, values: 200_000 },
            Self::List => JsonBudget { bytes: 16 << 20, values: 10_000 },
            // One polygon may have millions of vertices.
            Self::Features => JsonBudget { bytes: 64 << 20, values: 500_000 },
            Self::WebMap => WebMap::BUDGET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_makes_more_values_than_a_web_map_and_only_features_are_longer() {
        use AnswerKind as K;
        let all = [K::Small, K::Medium, K::Description, K::List, K::Features, K::WebMap];
        assert!(all.iter().filter(|k| **k != K::Features).all(|k| k.budget().bytes <= K::WebMap.budget().bytes));
        assert!(all.iter().all(|k| k.budget().values <= K::WebMap.budget().values));
        assert_eq!(AnswerKind::default(), K::Medium);
    }
}
