//! What a try that failed leaves.

use crate::body::ServiceError;
use crate::urls::host_of;
use offmap_model::{Failure, FailureStage};
use std::time::Duration;
use url::Url;

/// What a failed try leaves: the failure, how long the host asked to wait, and the code that the service answered with.
pub(crate) struct Refused {
    pub(crate) failure: Box<Failure>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) code: Option<i64>,
    /// Whether it is the token that is invalid, expired or missing.
    pub(crate) is_about_token: bool,
    /// Whether no answer came at all: the host cannot be reached, is silent or must not be asked.
    pub(crate) unreachable: bool,
    /// Whether the service answers by https only.
    pub(crate) wants_https: bool,
}

impl Refused {
    /// Whether the service's own words are such.
    pub(crate) fn says(&self, is_such: impl Fn(&str) -> bool) -> bool {
        self.failure.server_message.as_deref().is_some_and(is_such)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        *refused.failure
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            retry_after: None,
            code: None,
            is_about_token: false,
            unreachable: false,
            wants_https: false,
        }
    }
}

impl Refused {
    /// No answer came at all.
    pub(crate) fn unreachable(failure: Failure) -> Self {
        Self { unreachable: true, ..Self::from(failure) }
    }

    /// Judges an error that the service at `url` answered with.
    pub(crate) fn answered(error: ServiceError, stage: FailureStage, url: &Url, retry_after: Option<Duration>) -> Self {
        // What is asked for in a message counts like what is asked for in a header.
        let in_message = error.retry_after();
        let code = Some(if in_message.is_some() { 429 } else { error.code });
        let retry_after = retry_after.or(in_message);
        let (is_about_token, wants_https) = (error.is_about_token(), error.wants_https());
        let wants_token = is_about_token && error.code == 499;
        let mut failure = Box::new(error.into_failure(stage).with_url(url.as_str()));
        if wants_token {
            failure.message = token_wanted(&host_of(url));
        }
        Self { failure, retry_after, code, is_about_token, unreachable: false, wants_https }
    }
}

/// The message for a server that wants a token and got none that it supports.
fn token_wanted(host: &str) -> String {
    format!(
        "{host} wants a token; give one for it by `--token-for {host}=VAR` (VAR is the environment variable that holds it), or, if it \
         belongs to a portal, sign in there (`--portal` with `--user`, `--client-id` or `--token-env`)"
    )
}
