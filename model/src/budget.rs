//! How much of a layer may be missing. offmap's own: the SDK knows whole layers only.

use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::{Deserialize, Serialize};

/// Missing features, tiles and attachments that are named one by one.
pub const MOST_EXAMPLES: usize = 100;

/// How many of a layer's features, tiles or attachments may be missing.
///
/// As JSON: `{"count": 10}` or `{"share": 0.01}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "AllowanceKeys")]
pub enum Allowance {
    /// So many.
    Count(u64),
    /// This share of what was planned, from 0 to 1.
    Share(f64),
}

/// An allowance as it is read: a plain object, so that the message can name what is wrong with it.
#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an allowance such as {\"count\": 10} or {\"share\": 0.01}"
)]
struct AllowanceKeys {
    #[serde(default, deserialize_with = "count")]
    count: Option<u64>,
    share: Option<f64>,
}

crate::number_fields! { count: Option<u64> = "count" }

impl TryFrom<AllowanceKeys> for Allowance {
    type Error = &'static str;

    fn try_from(keys: AllowanceKeys) -> Result<Self, Self::Error> {
        match (keys.count, keys.share) {
            (Some(count), None) => Ok(Self::Count(count)),
            (None, Some(share)) => Ok(Self::Share(share)),
            _ => Err("an allowance has either `count` or `share`"),
        }
    }
}

impl Allowance {
    /// Whether so many of so many may be missing.
    #[must_use]
    pub fn allows(&self, missing: u64, planned: u64) -> bool {
        match self {
            Self::Count(count) => missing <= *count,
            Self::Share(share) => missing as f64 <= share * planned as f64,
        }
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{} %", share * 100.0),
        }
    }
}

/// What of a layer may be missing without the layer being a failure. What is missing all the same stands in the layer's outcome
/// and in the package's manifest.
///
/// | | not given (default) | given |
/// | --- | --- | --- |
/// | features | none may be missing of those that were counted | more missing than that fail the layer; that all are missing is a failure in any case |
/// | tiles | every level that was planned must have tiles; tiles that a cache never held are not missed | more missing than that fail the layer; a tile that the service never held is missing, too, since nobody can tell the two apart |
/// | attachments | none may be missing | more missing than that fail the layer |
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorBudget {
    /// Features or rows of a layer or table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_features: Option<Allowance>,
    /// Tiles of a tiled layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_tiles: Option<Allowance>,
    /// Attachments of a feature layer or table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_attachments: Option<Allowance>,
}

impl ErrorBudget {
    /// Checks the numbers.
    ///
    /// # Errors
    /// If a share is not between 0 and 1.
    pub(crate) fn check(&self, layer: &str) -> Result<(), Failure> {
        let named = [
            ("missingFeatures", self.missing_features),
            ("missingTiles", self.missing_tiles),
            ("missingAttachments", self.missing_attachments),
        ];
        for (name, allowance) in named {
            if let Some(Allowance::Share(share)) = allowance
                && !(0.0..=1.0).contains(&share)
            {
                return Err(Failure::invalid_parameter(format!(
                    "errorBudgets.{layer}.{name}.share is {share}; it is a share between 0 and 1, such as 0.01"
                )));
            }
        }
        Ok(())
    }

    /// Whether the missing tiles of a layer keep within the budget; without one they do.
    ///
    /// # Errors
    /// That they do not.
    pub fn judge_tiles(&self, title: &str, missing: &Missing) -> Result<(), Failure> {
        match self.missing_tiles {
            Some(allowance) if !allowance.allows(missing.count, missing.of) => {
                Err(missing.too_many(title, "tiles", &format!("its error budget allows {allowance}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the missing features of a layer keep within the budget; without one none may be missing.
    ///
    /// # Errors
    /// That they do not.
    pub fn judge_features(&self, title: &str, missing: &Missing) -> Result<(), Failure> {
        judge(self.missing_features, title, "features", missing)
    }

    /// Whether the missing attachments of a layer keep within the budget; without one none may be missing.
    ///
    /// # Errors
    /// That they do not.
    pub fn judge_attachments(&self, title: &str, missing: &Missing) -> Result<(), Failure> {
        judge(self.missing_attachments, title, "attachments", missing)
    }
}

/// Whether what is missing keeps within an allowance; without one none may be missing.
fn judge(allowance: Option<Allowance>, title: &str, what: &str, missing: &Missing) -> Result<(), Failure> {
    if allowance.unwrap_or(Allowance::Count(0)).allows(missing.count, missing.of) {
        return Ok(());
    }
    let budget = match allowance {
        Some(allowance) => format!("its error budget allows {allowance}"),
        None => "it has no error budget".to_owned(),
    };
    Err(missing.too_many(title, what, &budget))
}

/// What is missing of a layer.
///
/// ```
/// use offmap_model::{Allowance, ErrorBudget, Missing};
///
/// let missing = Missing::between(400, 397).expect("three are missing");
/// assert_eq!(missing.words("tiles"), "3 of 400 tiles are missing");
/// let budget = ErrorBudget { missing_tiles: Some(Allowance::Share(0.01)), ..ErrorBudget::default() };
/// assert!(budget.judge_tiles("Imagery", &missing).is_ok());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// Some of them, at most [`MOST_EXAMPLES`]: tiles as `level/row/column`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Missing {
    /// So many of so many, none of them by name; `None` where none is missing.
    #[must_use]
    pub fn between(planned: u64, got: u64) -> Option<Self> {
        let count = planned.checked_sub(got).filter(|n| *n > 0)?;
        Some(Self { count, of: planned, examples: Vec::new() })
    }

    /// In words: `3 of 400 tiles are missing (the first: 7/33/12)`.
    #[must_use]
    pub fn words(&self, what: &str) -> String {
        let first = self.examples.first().map(|e| format!(" (the first: {e})")).unwrap_or_default();
        format!("{} of {} {what} are missing{first}", self.count, self.of)
    }

    fn too_many(&self, title: &str, what: &str, budget: &str) -> Failure {
        let message = format!("layer \"{title}\": {}; {budget}", self.words(what));
        Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_are_counts_or_shares() {
        assert!(Allowance::Count(3).allows(3, 10) && !Allowance::Count(3).allows(4, 1_000_000));
        assert!(Allowance::Share(0.5).allows(5, 10) && !Allowance::Share(0.5).allows(6, 10));
        let budget: ErrorBudget = serde_json::from_str(r#"{"missingTiles":{"share":0.25}}"#).expect("reads");
        assert_eq!(budget.missing_tiles, Some(Allowance::Share(0.25)));
        let back = serde_json::to_string(&budget).expect("writes");
        assert_eq!(back, r#"{"missingTiles":{"share":0.25}}"#);
        for (text, words) in [
            (r#"{"missingRows":{"count":1}}"#, "unknown field `missingRows`"),
            (r#"{"missingTiles":3}"#, "an allowance such as {\"count\": 10}"),
            (r#"{"missingTiles":{"part":3}}"#, "unknown field `part`"),
            (r#"{"missingTiles":{"count":3,"share":0.1}}"#, "either `count` or `share`"),
            (r#"{"missingTiles":{}}"#, "either `count` or `share`"),
            (r#"{"missingTiles":{"count":-3}}"#, "-3"),
        ] {
            let refused = serde_json::from_str::<ErrorBudget>(text).expect_err("refused").to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        let outside = ErrorBudget { missing_tiles: Some(Allowance::Share(1.5)), ..ErrorBudget::default() };
        assert!(
            outside.check("world").expect_err("refused").message.contains("errorBudgets.world.missingTiles.share is 1.5")
        );
    }

    #[test]
    fn without_a_budget_no_attachment_and_any_tile_may_be_missing() {
        let missing = Missing { count: 2, of: 9, examples: vec!["3/1/2".to_owned()] };
        let none = ErrorBudget::default();
        assert!(none.judge_tiles("World", &missing).is_ok());
        let words = none.judge_attachments("Photos", &missing).expect_err("too many").message;
        assert_eq!(words, "layer \"Photos\": 2 of 9 attachments are missing (the first: 3/1/2); it has no error budget");
        let words = none.judge_features("Sites", &missing).expect_err("too many").message;
        assert_eq!(words, "layer \"Sites\": 2 of 9 features are missing (the first: 3/1/2); it has no error budget");
        let few = ErrorBudget { missing_features: Some(Allowance::Count(2)), ..none };
        assert!(few.judge_features("Sites", &missing).is_ok());
        let strict = ErrorBudget { missing_tiles: Some(Allowance::Share(0.2)), ..none };
        assert!(strict.judge_tiles("World", &missing).expect_err("too many").message.contains("allows 20 %"));
    }
}
