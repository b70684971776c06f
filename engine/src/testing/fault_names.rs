//! Names of the faults of [`fault_rows`](super::fault_rows()), for [`FaultyService::other_ends`](super::FaultyService::other_ends):
//! `row.name == fault_names::INVALID_TOKEN_ONCE`.

/// One 429 that says when to come back.
pub const THROTTLED_ONCE: &str = "429 once with Retry-After";
/// Two 429 that do not.
pub const THROTTLED_TWICE: &str = "429 twice without";
/// One 400 whose message says to come back later.
pub const THROTTLED_IN_WORDS_ONCE: &str = "429 in words once";
/// 429, for ever.
pub const THROTTLED: &str = "429 always";
/// One 503 that says when to come back.
pub const UNAVAILABLE_ONCE: &str = "503 once";
/// 503, for ever.
pub const UNAVAILABLE: &str = "503 always";
/// One 500.
pub const STATUS_500_ONCE: &str = "500 once";
/// One error of code 500 in an answer with HTTP 200.
pub const ERROR_500_ONCE: &str = "500 in 200 once";
/// The same for ever.
pub const ERROR_500: &str = "500 in 200";
/// An error of code 400 in answers with HTTP 200.
pub const ERROR_400: &str = "400 in 200";
/// An error of code 403 in answers with HTTP 200.
pub const ERROR_403: &str = "403 in 200";
/// An error with a message and no code.
pub const ERROR_WITHOUT_CODE: &str = "error without code";
/// One error of code 503 that stands at the top of the answer.
pub const FLAT_ERROR_ONCE: &str = "flat error that passes";
/// An error of code 400 that stands at the top of the answers.
pub const FLAT_ERROR: &str = "flat error";
/// One 498: the token is not good any more. Heals where the token can be renewed; see
/// [`without_credentials`](super::without_credentials()).
pub const INVALID_TOKEN_ONCE: &str = "498 once";
/// 499, for ever: a token is wanted.
pub const TOKEN_REQUIRED: &str = "499 always";
/// A page in place of an answer.
pub const HTML: &str = "HTML with 200";
/// One connection that breaks after the head.
pub const RESET_ONCE: &str = "connection reset once";
/// The same for ever.
pub const RESET: &str = "connection reset";
/// One body that ends before all that was announced is there.
pub const TRUNCATED_ONCE: &str = "truncated body once";
/// The same for ever.
pub const TRUNCATED: &str = "truncated body";
/// A file that is too short and announced as that.
pub const CUT_SHORT: &str = "file cut short";
/// A file that comes piece by piece.
pub const SLOW: &str = "slow transfer";
/// No answer for a quarter of an hour.
pub const HANG: &str = "hang";
/// JSON that is no error, in place of a file.
pub const JSON_FOR_FILE: &str = "JSON where a file was expected";
/// `{}`.
pub const EMPTY_OBJECT: &str = "an empty object";
/// `[1, 2]`.
pub const LIST: &str = "a list";
/// 65 MiB of JSON.
pub const OVERSIZED_JSON: &str = "oversized JSON";
/// 404 for a file that was named or there before.
pub const GONE: &str = "result gone";
/// The same once.
pub const GONE_ONCE: &str = "result gone once";
/// A job that runs for ever.
pub const JOB_STUCK: &str = "job stuck";
/// A job that fails.
pub const JOB_FAILED: &str = "job failed";
/// A job that ends as completed with errors.
pub const JOB_COMPLETED_WITH_ERRORS: &str = "job completed with errors";
/// The answer names a result on another host.
pub const RESULT_ELSEWHERE: &str = "result on another host";

/// A redirect of this status (301, 302, 303, 307, 308) to another host.
#[must_use]
pub fn redirect_elsewhere(status: u16) -> String {
    format!("{status} to another host")
}
