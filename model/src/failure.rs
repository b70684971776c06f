//! One value for everything that goes wrong, and whose it is.

use crate::text::printable;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose failure it is: who has to act so that it goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureOwner {
    /// The caller: a parameter, a path, an area.
    Caller,
    /// The service or portal that the data comes from.
    Source,
    /// The network between.
    Network,
    /// A limit that the service sets and states.
    Limit,
    /// A missing, wrong or expired credential.
    Credentials,
    /// The local disk.
    Storage,
    /// offmap itself or an exporter that was added to it.
    Engine,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// A parameter, override or area that cannot be used.
    InvalidParameter,
    /// The destination exists and is not empty, or cannot be made.
    DestinationNotUsable,
    /// The layer or service cannot go offline.
    NotSupported,
    /// The url answers that the thing is not there.
    NotFound,
    /// No permission, or a token that is missing, wrong or expired.
    Unauthorized,
    /// The host cannot be reached, or says that it is busy.
    Unavailable,
    /// The host asked to come back later more often than is reasonable.
    Throttled,
    /// A time limit passed.
    TimedOut,
    /// A limit of the service is exceeded.
    LimitExceeded,
    /// The service answered with an error, or its job failed.
    ServiceError,
    /// The answer is not what the service's contract says.
    InvalidAnswer,
    /// A file that was downloaded is damaged.
    Corrupt,
    /// Less was fetched than was planned.
    Incomplete,
    /// The disk is full.
    StorageFull,
    /// Reading or writing a local file failed.
    Io,
    /// The job was cancelled.
    Cancelled,
    /// An exporter or packager panicked, or ended without a result.
    Panicked,
    /// A broken promise inside the engine.
    Internal,
}

/// Where in the work it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FailureStage {
    /// Reading the portal item and web map.
    Read,
    /// Describing services and making the plan.
    Plan,
    /// Starting a job on the service.
    Submit,
    /// Waiting for a job on the service.
    Wait,
    /// Downloading a file.
    Download,
    /// Checking what was fetched.
    Check,
    /// Writing the package.
    Package,
    /// Running, anywhere else.
    Run,
}

/// A failure, as the status stream shows it, the result holds it, the ledger and manifest keep it and the command line
/// prints it.
///
/// ```
/// use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
///
/// let failure = Failure::new(
///     FailureOwner::Network,
///     FailureKind::Unavailable,
///     FailureStage::Download,
///     "the host example.com cannot be reached",
/// )
/// .with_url("https://example.com/a/FeatureServer?token=secret")
/// .for_layer("sites")
/// .retryable();
/// assert!(failure.may_succeed_later());
/// assert_eq!(failure.url.as_deref(), Some("https://example.com/a/FeatureServer"));
/// ```
///
/// No token is ever in it: [`Failure::with_url`] keeps scheme, host and path of a url and drops the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Whose failure it is.
    pub owner: FailureOwner,
    /// What happened.
    pub kind: FailureKind,
    /// Where in the work.
    pub stage: FailureStage,
    /// One sentence: the thing, what was found, what was expected, the way out.
    pub message: String,
    /// Id of the layer or table in the map, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Id of the unit of work, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The url that was asked, without query and credentials.
    #[serde(rename = "address", default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP status of the answer or, where its body is an error of ArcGIS with a code of its own, that code (such as 498 in an answer
    /// with HTTP 200). `None` where nothing was answered, or nothing like a code was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// What the service said, as it said it.
    #[serde(rename = "serviceWords", default, skip_serializing_if = "Option::is_none")]
    pub server_message: Option<String>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// When it was first seen, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub since: i64,
}

/// Longest text of a service that is kept in failures, messages and titles, in bytes.
pub const LONGEST_SERVER_MESSAGE: usize = 1024;
/// Longest attribution and terms of use that are kept of a service or item, in bytes.
pub const LONGEST_ATTRIBUTION: usize = 16 << 10;
/// Longest message of a failure, in bytes.
pub const LONGEST_MESSAGE: usize = 4096;

/// Cuts a text to at most so many bytes, between two characters; what is cut ends with `…`.
#[must_use]
pub fn shortened(text: impl Into<String>, most: usize) -> String {
    const MORE: char = '…';
    let mut text: String = text.into();
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(MORE.len_utf8())));
        // A long text is not kept alive by its short beginning.
        text.shrink_to_fit();
        text.push(MORE);
    }
    text
}

impl Failure {
    /// Makes a failure of the present moment. The message is cut to [`LONGEST_MESSAGE`].
    #[must_use]
    pub fn new(owner: FailureOwner, kind: FailureKind, stage: FailureStage, message: impl Into<String>) -> Self {
        Self {
            owner,
            kind,
            stage,
            message: shortened(message, LONGEST_MESSAGE),
            layer: None,
            unit: None,
            url: None,
            status: None,
            server_message: None,
            attempts: 1,
            retryable: false,
            since: crate::clock::system_now_ms(),
        }
    }

    /// A parameter that the caller has to change; nothing was spent yet.
    #[must_use]
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(FailureOwner::Caller, FailureKind::InvalidParameter, FailureStage::Plan, message)
    }

    /// A layer that cannot go offline.
    #[must_use]
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Plan, message)
    }

    /// The job was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(FailureOwner::Caller, FailureKind::Cancelled, FailureStage::Run, "the job was cancelled")
    }

    /// A broken promise inside the engine.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FailureOwner::Engine, FailureKind::Internal, FailureStage::Run, message)
    }

    /// Judges an I/O error of the local disk; `what` says which file and what for.
    #[must_use]
    pub fn io(stage: FailureStage, what: impl fmt::Display, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureKind::StorageFull,
            _ => FailureKind::Io,
        };
        Self::new(FailureOwner::Storage, kind, stage, format!("{what}: {error}"))
    }

    /// Names the layer.
    #[must_use]
    pub fn for_layer(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// Names the unit of work.
    #[must_use]
    pub fn for_unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Says where in the work.
    #[must_use]
    pub fn in_stage(mut self, stage: FailureStage) -> Self {
        self.stage = stage;
        self
    }

    /// Names the url; query, fragment and user information are dropped, and it is cut to [`LONGEST_SERVER_MESSAGE`].
    #[must_use]
    pub fn with_url(mut self, url: &str) -> Self {
        self.url = Some(shortened(without_secrets(url), LONGEST_SERVER_MESSAGE));
        self
    }

    /// Keeps the HTTP status or ArcGIS code of the answer; 0 stands for none.
    #[must_use]
    pub fn with_status(mut self, status: i64) -> Self {
        self.status = i32::try_from(status).ok().filter(|status| *status != 0);
        self
    }

    /// Keeps the service's own message, cut to [`LONGEST_SERVER_MESSAGE`].
    #[must_use]
    pub fn with_server_message(mut self, message: impl Into<String>) -> Self {
        self.server_message = Some(shortened(message, LONGEST_SERVER_MESSAGE));
        self
    }

    /// Says how often it was tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Says that the same request may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether the same job may do better another time: when the network, the service or the disk is well again, or with other
    /// credentials. False where the map, the parameters or the service itself would have to be another one.
    #[must_use]
    pub fn may_succeed_later(&self) -> bool {
        use FailureKind as K;
        match self.kind {
            K::Unauthorized
            | K::Unavailable
            | K::Throttled
            | K::TimedOut
            | K::ServiceError
            | K::InvalidAnswer
            | K::Corrupt
            | K::Incomplete
            | K::StorageFull
            | K::Io => true,
            // A result file may be gone by chance; a layer that is not there stays away.
            K::NotFound => self.stage != FailureStage::Plan,
            K::InvalidParameter
            | K::DestinationNotUsable
            | K::NotSupported
            | K::LimitExceeded
            | K::Cancelled
            | K::Panicked
            | K::Internal => false,
        }
    }

    /// Whether this is the end of a cancelled job rather than a fault.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.kind == FailureKind::Cancelled
    }
}

/// Cuts a url to scheme, host, port and path.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            // Both only fail for urls that cannot have user information at all.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Err(_) => {
            let bare = text.split(['?', '#']).next().unwrap_or_default();
            match bare.rsplit_once('@') {
                // Whatever it is, what stands before `@` may be a password.
                Some((user, rest)) => {
                    format!("{}{rest}", user.split_once("://").map_or("", |(scheme, _)| scheme_of(scheme)))
                }
                None => bare.to_owned(),
            }
        }
    }
}

fn scheme_of(text: &str) -> &str {
    match text {
        "http" => "http://",
        "https" => "https://",
        _ => "",
    }
}

/// Checks that a url has no user name and password in it, before it is read any further.
///
/// # Errors
/// If it has; the message has the url without them.
pub fn check_no_user(text: &str) -> Result<(), Failure> {
    let has_user = match url::Url::parse(text.trim()) {
        Ok(url) => !url.username().is_empty() || url.password().is_some(),
        Err(_) => {
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
        }
    };
    if has_user {
        return Err(Failure::invalid_parameter(format!(
            "`{}` was given with a user name and password in it, expected a url without: give credentials by their own options",
            without_secrets(text.trim())
        )));
    }
    Ok(())
}

/// For people: control characters out of answers and files are escaped ([`printable`]). The fields hold them as they came.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.message))?;
        let is_new = |text: &&str| !text.is_empty() && !self.message.contains(*text);
        if let Some(message) = self.server_message.as_deref().filter(is_new) {
            write!(f, " (the service says: {})", printable(message))?;
        }
        if let Some(url) = self.url.as_deref().filter(is_new) {
            write!(f, " [{}]", printable(url))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_is_shown_commands_no_terminal() {
        let failure = Failure::internal("a\u{1b}[2J").with_url("https://h/\u{9b}").with_server_message("b\u{7}\nc");
        let shown = failure.to_string();
        assert!(!shown.contains(char::is_control) && shown.contains("b\\u{7}\\nc"), "{shown}");
        assert_eq!(failure.server_message.as_deref(), Some("b\u{7}\nc"), "JSON keeps it");
    }

    #[test]
    fn words_of_a_service_are_cut_between_characters() {
        assert_eq!(shortened("as it is", 8), "as it is");
        assert_eq!(shortened("ääääää", 9), "äää…");
        assert_eq!(shortened("x".repeat(20 << 20), LONGEST_SERVER_MESSAGE).len(), LONGEST_SERVER_MESSAGE);
        let failure =
            Failure::internal("m".repeat(1 << 20)).with_server_message("w".repeat(1 << 20)).with_url(&"a".repeat(1 << 20));
        let most = LONGEST_MESSAGE + 2 * LONGEST_SERVER_MESSAGE + 100;
        assert!(failure.to_string().len() <= most && failure.message.ends_with('…'));
    }

    #[test]
    fn a_url_in_a_failure_has_no_token() {
        let failure = Failure::internal("x").with_url("https://user:pw@host:6443/a/FeatureServer?f=json&token=secret#t");
        assert_eq!(failure.url.as_deref(), Some("https://host:6443/a/FeatureServer"));
        assert_eq!(without_secrets("not a url?token=secret"), "not a url");
        assert_eq!(without_secrets("http://user:pw@host:99999/x?y"), "http://host:99999/x");
        let failure = check_no_user("http://user:secret@host:99999/x").expect_err("refused");
        assert!(!failure.message.contains("secret"), "{failure}");
        check_no_user("https://host/@7.4,46.9,12z").expect("a path may have it");
    }
}
