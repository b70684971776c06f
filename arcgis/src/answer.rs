//! How large each kind of answer may be, in bytes (decompressed) and in values: the one table of these limits.
//!
//! | kind | for | bytes | values |
//! | --- | --- | --- | --- |
//! | [`AnswerKind::Small`] | tokens, counts, information on a server | 256 KiB | 10,000 |
//! | [`AnswerKind::Medium`] | jobs, submissions, listings, items; whatever says no other | 1 MiB | 50,000 |
//! | [`AnswerKind::Description`] | services, layers, styles, the portal itself, ids of rows | 8 MiB | 200,000 |
//! | [`AnswerKind::List`] | long lists, read member by member; the values are those of a member | 16 MiB | 10,000 |
//! | [`AnswerKind::WebMap`] | the web map, with the features that it holds | 16 MiB | 500,000 |
//!
//! A value is a number, a text, a list; an object counts for more: see [`JsonBudget`]. Bytes are counted as they come, values while
//! they are read, so that neither is spent before it is refused.

use crate::client::{ArcGisClient, Refused, ServiceCall, host_of};
use crate::{body, page};
use offmap_model::json::{JsonBudget, Unread};
use offmap_model::{Failure, FailureKind, FailureOwner, WebMap};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// What is asked for, by the size that an honest answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
            Self::WebMap => WebMap::BUDGET,
        }
    }
}

/// Largest body of an answer that is an error by its HTTP status, in bytes.
pub(super) const LARGEST_ERROR: usize = 64 << 10;
/// Bytes a second that an answer or small file brings on the whole, once two request time-outs have passed.
const LEAST_PACE: f64 = 4096.0;

/// How long an answer or small file of so many bytes may take.
pub(super) fn time_for(request_timeout: Duration, bytes: usize) -> Duration {
    request_timeout.saturating_mul(2).saturating_add(Duration::from_secs_f64(bytes as f64 / LEAST_PACE))
}

/// The failure for an answer that is more than its kind may be.
pub(super) fn too_much(call: &ServiceCall, found: &str) -> Failure {
    let message = format!("the answer of {} is too large to be read: {found}", host_of(&call.url));
    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message).with_url(call.url.as_str())
}

/// The failure for an answer that was not read; `from` is where it came from.
pub(super) fn unread(call: &ServiceCall, from: &Url, bytes: &[u8], unread: &Unread) -> Failure {
    match unread {
        Unread::NotJson(place) => page::judge(call, from, bytes)
            .unwrap_or_else(|| body::not_json(bytes, place, call.stage).with_url(call.url.as_str())),
        too_large => too_much(call, &too_large.to_string()),
    }
}

impl ServiceCall {
    /// Says what is asked for, so that more than an honest answer is refused.
    #[must_use]
    pub fn answer(mut self, kind: AnswerKind) -> Self {
        self.kind = kind;
        self
    }
}

impl ArcGisClient {
    /// Asks for a list and keeps of it what `keep` makes of its members: the list as a whole is never in memory as values.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`].
    pub async fn list<T: Send>(
        &self,
        call: &ServiceCall,
        keep: impl Fn(Value) -> Option<T> + Send + Sync,
    ) -> Result<Vec<T>, Failure> {
        let call = call.clone().answer(AnswerKind::List).with("f", "json");
        let keep = &keep;
        self.with_retries(call, |client, call, token| async move {
            let response = client.send(&call, token.as_ref()).await?;
            let retry_after = super::governor::retry_after(response.headers());
            let response = client.expect_success(&call, response).await?;
            let from = response.url().clone();
            let bytes = client.read_all(&call, response, call.kind.budget().bytes).await?;
            let mut kept = Vec::new();
            let rest = call.kind.budget().each(&bytes, |member| kept.extend(keep(member)));
            let rest = rest.map_err(|e| unread(&call, &from, &bytes, &e))?;
            match rest.and_then(|value| body::error_of(&value).or_else(|| body::flat_error(&value))) {
                Some(error) => Err(Refused::answered(error, &call, retry_after)),
                None => Ok(kept),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_of_eighty_bytes_a_second_ends_soon_and_an_honest_slow_answer_does_not() {
        let timeout = Duration::from_secs(60);
        let ends = |pace: f64| {
            (1..10_000).map(f64::from).find(|t| Duration::from_secs_f64(*t) > time_for(timeout, (t * pace) as usize))
        };
        assert!(ends(80.0).is_some_and(|seconds| seconds < 130.0), "{:?}", ends(80.0));
        assert_eq!(ends(5_000.0), None);
        assert!(time_for(Duration::MAX, 0) == Duration::MAX);
    }

    #[test]
    fn the_largest_answers_are_those_of_the_web_map() {
        use AnswerKind as K;
        let all = [K::Small, K::Medium, K::Description, K::List, K::WebMap];
        assert!(all.iter().all(|k| k.budget().bytes <= K::WebMap.budget().bytes));
        assert!(all.iter().all(|k| k.budget().values <= K::WebMap.budget().values));
        assert_eq!(AnswerKind::default(), K::Medium);
    }
}
