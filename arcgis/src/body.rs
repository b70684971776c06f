//! Error bodies in all the shapes that ArcGIS servers were seen to send, most of them with HTTP 200.
//!
//! Source: `feature-service-rest` reference §6.1; tile reference §11.

use crate::answer_kind::AnswerKind;
use offmap_model::failure::{LONGEST_ATTRIBUTION, LONGEST_SERVER_MESSAGE, shortened};
use offmap_model::json::NotJson;
use offmap_model::number::{JsonNumber, NotANumber};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, number};
use serde_json::Value;
use std::time::Duration;

/// How long to leave a service alone that answers "too many requests" and no time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The message of a service that answers by https only.
const SSL_REQUIRED: &str = "SSL required";

/// Messages of one answer that are read.
const MOST_MESSAGES: usize = 10;

/// An error as a service reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceError {
    /// ArcGIS code or HTTP status; 0 where there is none.
    pub code: i64,
    /// Its message, cut to [`LONGEST_SERVER_MESSAGE`].
    pub message: String,
}

fn is_about_https(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["ssl required", "https required", "requires ssl", "requires https"].iter().any(|text| message.contains(text))
}

fn number(value: Option<&Value>) -> i64 {
    value.and_then(number::read).unwrap_or(0)
}

fn push(messages: &mut Vec<String>, value: Option<&Value>) {
    match value {
        _ if messages.len() >= MOST_MESSAGES => {}
        Some(Value::String(text)) if !text.trim().is_empty() => messages.push(cut(text.trim())),
        Some(Value::Array(list)) => list.iter().for_each(|v| push(messages, Some(v))),
        Some(Value::Object(map)) => push(messages, map.get("description").or_else(|| map.get("message"))),
        _ => {}
    }
}

/// A text of a service as it goes into messages; cut before it is copied.
pub fn cut(text: &str) -> String {
    cut_to(text, LONGEST_SERVER_MESSAGE)
}

/// The same for an attribution, which is a legal text and may be long.
pub fn cut_attribution(text: &str) -> String {
    cut_to(text, LONGEST_ATTRIBUTION)
}

fn cut_to(text: &str, most: usize) -> String {
    let start = text.floor_char_boundary(most + 4);
    shortened(text.get(..start).unwrap_or_default(), most)
}

/// An `error` member: an object, or (OAuth) a word with a description beside it.
#[must_use]
pub fn error_of(value: &Value) -> Option<ServiceError> {
    let error = value.get("error").filter(|e| !e.is_null())?;
    // A job that failed has a state beside its error; that is for the job's reader.
    if ["status", "jobStatus"].iter().any(|key| value.get(key).is_some_and(Value::is_string)) {
        return None;
    }
    Some(read_error(error, value))
}

/// Reads an `error` member, wherever it stands.
#[must_use]
pub fn read_error(error: &Value, around: &Value) -> ServiceError {
    let mut messages = Vec::new();
    push(&mut messages, error.get("message"));
    push(&mut messages, error.get("details"));
    push(&mut messages, error.get("error_description"));
    if error.is_string() {
        push(&mut messages, Some(error));
        push(&mut messages, around.get("error_description"));
    }
    messages.dedup();
    let code = number(error.get("code").or_else(|| around.get("code")));
    // Subcode 4 says why.
    if code == 403 && number(error.get("subcode")) == 4 && !messages.iter().any(|m| is_about_https(m)) {
        messages.push(SSL_REQUIRED.to_owned());
    }
    ServiceError { code, message: shortened(messages.join("; "), LONGEST_SERVER_MESSAGE) }
}

/// Why a job failed: its `error`, else its first error message, else a `message` or `statusMessage` of its own, which may hold an
/// error as JSON text; `None` where it gives no reason.
#[must_use]
pub fn job_message(state: &Value) -> Option<String> {
    let from_error = state.get("error").filter(|e| !e.is_null()).map(|e| read_error(e, state).message);
    let from_text = || {
        let text = ["statusMessage", "message"].iter().find_map(|key| state.get(key)?.as_str())?.trim();
        let inner = AnswerKind::Small.budget().read(text.as_bytes()).ok().filter(Value::is_object);
        let message = inner.map(|inner| read_error(inner.get("error").unwrap_or(&inner), &inner).message);
        Some(message.filter(|m| !m.is_empty()).unwrap_or_else(|| cut(text))).filter(|m| !m.is_empty())
    };
    let from_messages = || {
        let bad = |m: &&Value| m.get("type").and_then(Value::as_str) == Some("esriJobMessageTypeError");
        state.get("messages")?.as_array()?.iter().find(bad)?.get("description")?.as_str().map(cut)
    };
    from_error.filter(|w| !w.is_empty()).or_else(from_messages).or_else(from_text)
}

/// Errors without an `error` member: `{"code":500,"message":…,"status":"failure"}`, `{"status":"failed","statusMessage":…}`,
/// `{"status":"error","messages":[…]}`.
#[must_use]
pub fn flat_error(value: &Value) -> Option<ServiceError> {
    if let Some(error) = value.get("error").filter(|e| !e.is_null()) {
        return Some(read_error(error, value));
    }
    let status = value.get("status").and_then(Value::as_str)?.to_ascii_lowercase();
    if !matches!(status.as_str(), "failure" | "failed" | "error") {
        return None;
    }
    if let Some(inner) = value.get("statusMessage").and_then(Value::as_str)
        && let Ok(parsed) = AnswerKind::Small.budget().read(inner.as_bytes())
    {
        return Some(error_of(&parsed).unwrap_or_else(|| read_error(&parsed, &parsed)));
    }
    let mut messages = Vec::new();
    for key in ["message", "messages", "statusMessage", "details"] {
        push(&mut messages, value.get(key));
    }
    Some(ServiceError { code: number(value.get("code")), message: shortened(messages.join("; "), LONGEST_SERVER_MESSAGE) })
}

/// An error where a job's state was asked for. What has a state is the state of the job, and a job that failed is never taken for
/// one that the server has forgotten: it would be submitted again. Only `failure` with a code and without anything that a job says
/// of itself is the request's.
#[must_use]
pub fn flat_error_of_request(value: &Value) -> Option<ServiceError> {
    const OF_JOBS: [&str; 7] =
        ["jobStatus", "jobId", "replicaName", "replicaID", "submissionTime", "lastUpdatedTime", "resultUrl"];
    let state = ["status", "jobStatus"].iter().find_map(|key| value.get(key)?.as_str()).filter(|word| !word.is_empty());
    match state {
        None => value.get("error").filter(|e| !e.is_null()).map(|error| read_error(error, value)),
        Some(word) if word.eq_ignore_ascii_case("failure") => {
            let is_job = OF_JOBS.iter().any(|key| value.get(*key).is_some());
            flat_error(value).filter(|error| error.code != 0 && !is_job)
        }
        Some(_) => None,
    }
}

/// An error body where a file was expected.
#[must_use]
pub fn error_in_bytes(bytes: &[u8]) -> Option<ServiceError> {
    if !bytes.trim_ascii_start().starts_with(b"{") || bytes.len() > 64 << 10 {
        return None;
    }
    let value = AnswerKind::Small.budget().read(bytes).ok()?;
    error_of(&value).or_else(|| flat_error(&value))
}

/// The failure for an answer that is not JSON: a page of a login or proxy, or nothing. Of its content no more is quoted than the
/// bytes that are wrong in something that begins like JSON: it may be the answer of another host, to which a redirect led.
#[must_use]
pub fn not_json(bytes: &[u8], place: &NotJson, stage: FailureStage) -> Failure {
    let start = bytes.trim_ascii_start();
    let message = if start.is_empty() {
        "the answer is empty, expected JSON".to_owned()
    } else if start.starts_with(b"<") {
        "the answer is an HTML page, expected JSON; a login page or a proxy stands before the service".to_owned()
    } else {
        let all = bytes.len();
        format!("the answer has {all} bytes that are not JSON ({place}); another program than the service may have answered")
    };
    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, stage, message)
}

/// A number of an answer; `None` where it has none.
///
/// # Errors
/// If it is another one than expected: the member, what was found and what was expected.
pub fn number_in<T: JsonNumber>(answer: &Value, key: &str, url: &str) -> Result<Option<T>, Failure> {
    number::member(answer, key).map_err(|wrong| not_a_number(&wrong, url))
}

/// The failure for a number that is none.
pub fn not_a_number(wrong: &NotANumber, url: &str) -> Failure {
    let message = format!("the answer of {url} cannot be understood: {wrong}");
    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message).with_url(url)
}

/// Whether a failure is of the credentials: a token that is old, wrong or missing, or no permission.
#[must_use]
pub fn is_unauthorized(failure: &Failure) -> bool {
    failure.owner == FailureOwner::Credentials && failure.kind == FailureKind::Unauthorized
}

/// Checks that an answer is a description at all: an object with at least one of these keys.
///
/// # Errors
/// That it is none. Else what is not in it would be blamed on the layer.
pub fn expect_description(answer: &Value, url: &str, what: &str, keys: &[&str]) -> Result<(), Failure> {
    if keys.iter().any(|key| answer.get(*key).is_some_and(|v| !v.is_null())) {
        return Ok(());
    }
    let message = format!("{url} does not answer like {what}: none of {} is in its answer", keys.join(", "));
    Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message).with_url(url))
}

/// The two numbers that services put in brackets when an export is too large: asked and allowed.
#[must_use]
pub fn tile_limit(message: &str) -> Option<(u64, u64)> {
    if !message.contains("number of tiles") && !message.contains("tile count") && !message.contains("tiles count") {
        return None;
    }
    let mut numbers = message.split('(').skip(1).filter_map(|rest| rest.split_once(')')?.0.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

impl ServiceError {
    /// An HTTP status without a body that says more.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        Self { code: i64::from(status), message: String::new() }
    }

    /// Lets the HTTP status stand in where the body has no code.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        if self.code == 0 {
            self.code = i64::from(status);
        }
        self
    }

    /// Whether it is the token that is wrong: invalid, expired or missing. Where permission is missing (403; 401 without a word of
    /// the token) the token is good, and another one of the same user is refused as well.
    ///
    /// Source: feature service reference §6.1.
    #[must_use]
    pub fn is_about_token(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        let is_old = || ["invalid", "expired", "required", "not valid"].iter().any(|word| message.contains(word));
        match self.code {
            498 => true,
            499 => !message.contains("permission"),
            401 => message.contains("token") && is_old(),
            _ => false,
        }
    }

    /// Whether the service answers by https only: code 403 with subcode 4, or such a message.
    ///
    /// Source: feature service reference §6.1.
    #[must_use]
    pub fn wants_https(&self) -> bool {
        is_about_https(&self.message)
    }

    /// How long the service asks to be left alone in its message, as ArcGIS Online does past its limits: "Too many requests.
    /// Please try again after 60 sec". A bare "try again" comes with any error and asks for nothing.
    ///
    /// Source: feature service reference §6.3.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let message = self.message.to_ascii_lowercase();
        let seconds = message.split_once("try again").and_then(|(_, rest)| {
            let digits = rest.get(rest.find(|c: char| c.is_ascii_digit())?..)?;
            let (number, unit) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit())?);
            unit.trim_start().starts_with("sec").then(|| number.parse().ok())?
        });
        match seconds {
            Some(seconds) => Some(crate::retry_after::pause(seconds)),
            None => message.contains("too many requests").then_some(DEFAULT_RETRY_AFTER),
        }
    }

    /// Decides whose fault it is, and whether the same request may succeed later.
    #[must_use]
    pub fn into_failure(self, stage: FailureStage) -> Failure {
        use FailureKind as K;
        use FailureOwner as O;
        let new = |owner, kind, message: String| {
            let failure = Failure::new(owner, kind, stage, message).with_status(self.code);
            if self.message.is_empty() { failure } else { failure.with_server_message(self.message.clone()) }
        };
        let code = self.code;
        if let Some((asked, allowed)) = tile_limit(&self.message) {
            let way = "drop the deepest level or make the area smaller";
            let message = format!("the service exports at most {allowed} tiles at once, this needs {asked}; {way}");
            return new(O::Limit, K::LimitExceeded, message);
        }
        match code {
            _ if self.retry_after().is_some() => {
                new(O::Source, K::Throttled, "the service asks to come back later".to_owned()).retryable()
            }
            _ if self.wants_https() => {
                let way = "put its url with https, and the port of its https, into the map";
                new(O::Source, K::NotSupported, format!("the service answers by https only ({SSL_REQUIRED}); {way}"))
            }
            498 => new(O::Credentials, K::Unauthorized, "the token is invalid or has expired".to_owned()),
            499 if !self.is_about_token() => new(O::Credentials, K::Unauthorized, "no permission (code 499)".to_owned()),
            499 => new(O::Credentials, K::Unauthorized, "the service wants a token; give credentials".to_owned()),
            401 if self.is_about_token() => {
                new(O::Credentials, K::Unauthorized, "the token is invalid, has expired or is missing (code 401)".to_owned())
            }
            401 | 403 => new(O::Credentials, K::Unauthorized, format!("no permission (code {code})")),
            404 | 410 => new(O::Source, K::NotFound, "there is nothing at the url (404)".to_owned()),
            400 if self.message.contains("does not exist or is inaccessible") => {
                new(O::Source, K::NotFound, "the item does not exist or is not shared with this user".to_owned())
            }
            // generateToken and the OAuth token service say 400 to a wrong user, password or client.
            400 if self.message.contains("Unable to generate token") || self.message.contains("client_id") => {
                new(O::Credentials, K::Unauthorized, "user, password or client id is wrong".to_owned())
            }
            429 => new(O::Source, K::Throttled, "the service asks to come back later (429)".to_owned()).retryable(),
            502..=504 => new(O::Source, K::Unavailable, format!("the service is not available (code {code})")).retryable(),
            500 => new(O::Source, K::ServiceError, "the service failed (code 500)".to_owned()).retryable(),
            0 => new(O::Source, K::ServiceError, "the service answers with an error".to_owned()),
            _ => new(O::Source, K::ServiceError, format!("the service answers with error {code}")),
        }
    }
}

/// Reads an answer as an error, for fuzzing.
pub fn read_any_answer(answer: &Value) {
    for error in [error_of(answer), flat_error(answer)].into_iter().flatten() {
        let _ = error.into_failure(FailureStage::Run);
    }
    let _ = job_message(answer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_recorded_shape_of_an_error_is_read() {
        let cases = [
            (
                json!({"error": {"code": 400, "message": "Unable to complete operation.", "details": []}}),
                400,
                "Unable to complete",
            ),
            (
                json!({"error": {"code": 499, "message": "Token Required", "messageCode": "GWM_0003", "details": null}}),
                499,
                "Token",
            ),
            (json!({"error": {"message": "m", "details": "one text"}}), 0, "m; one text"),
            (json!({"error": {"code": "498", "message": "m", "details": [null, "", "d"]}}), 498, "m; d"),
            (json!({"code": 500, "message": "boom", "status": "failure"}), 500, "boom"),
            (json!({"status": "failed", "statusMessage": "{\"error\":{\"code\":500,\"message\":\"in\"}}"}), 500, "in"),
            (json!({"status": "error", "messages": ["a", "b"]}), 0, "a; b"),
            (
                json!({"error": "invalid_request", "error_description": "Invalid client_id"}),
                0,
                "invalid_request; Invalid client_id",
            ),
        ];
        for (value, code, message) in cases {
            let error = error_of(&value).or_else(|| flat_error(&value)).expect("an error");
            assert_eq!(error.code, code, "{value}");
            assert!(error.message.contains(message), "{value}: {}", error.message);
        }
        assert_eq!(flat_error(&json!({"status": "success", "message": "success"})), None);
        assert_eq!(error_of(&json!({"status": "Failed", "error": {"code": 500}})), None);
    }

    #[test]
    fn only_a_token_that_is_invalid_expired_or_missing_is_the_token_s_fault() {
        let denied = "You do not have permissions to access this resource or perform this operation.";
        for (code, message, is_about_token) in [
            (498, "Invalid token.", true),
            (498, "", true),
            (499, "Token Required", true),
            (499, denied, false),
            (401, "Unauthorized access: token has expired", true),
            (401, "Invalid Token", true),
            (401, "", false),
            (401, denied, false),
            (403, "", false),
            (403, denied, false),
            (403, "Invalid token", false),
            (400, "Unable to generate token.; Invalid username or password.", false),
            (400, "Invalid token", false),
            (0, "Invalid token", false),
        ] {
            let error = ServiceError { code, message: message.to_owned() };
            assert_eq!(error.is_about_token(), is_about_token, "{error:?}");
        }
    }

    #[test]
    fn a_job_that_failed_says_why_in_every_shape() {
        for (state, message) in [
            (json!({"status": "Failed", "error": {"code": 400, "message": "m", "details": ["d"]}}), Some("m; d")),
            (
                json!({"status": "failed", "message": "{\"error\":{\"code\":500,\"message\":\"Export failed\"}}"}),
                Some("Export failed"),
            ),
            (json!({"status": "failed", "statusMessage": "plain words"}), Some("plain words")),
            (
                json!({"jobStatus": "esriJobFailed", "messages": [{"type": "esriJobMessageTypeError", "description": "e"}]}),
                Some("e"),
            ),
            (json!({"status": "failed", "message": "{}"}), Some("{}")),
            (json!({"status": "failed"}), None),
        ] {
            assert_eq!(job_message(&state).as_deref(), message, "{state}");
        }
    }

    #[test]
    fn messages_of_an_answer_are_cut_and_counted() {
        let long = "ä".repeat(1 << 20);
        let list: Vec<&str> = vec![&long; 40];
        for value in [
            json!({"error": {"code": 400, "message": long, "details": list}}),
            json!({"status": "error", "messages": list}),
            json!({"error": long, "error_description": long}),
            json!({"status": "failed", "statusMessage": long}),
        ] {
            let error = error_of(&value).or_else(|| flat_error(&value)).expect("an error");
            assert!(
                error.message.len() <= LONGEST_SERVER_MESSAGE && error.message.ends_with('…'),
                "{} bytes",
                error.message.len()
            );
            assert!(error.into_failure(FailureStage::Run).to_string().len() < 2 * LONGEST_SERVER_MESSAGE);
        }
        let job = json!({"messages": [{"type": "esriJobMessageTypeError", "description": long}]});
        assert!(job_message(&job).is_some_and(|w| w.len() <= LONGEST_SERVER_MESSAGE));
    }

    #[test]
    fn a_flat_error_of_a_request_is_told_from_a_job_that_failed() {
        let of_request = json!({"code": 503, "message": "busy", "status": "failure"});
        assert_eq!(flat_error_of_request(&of_request).map(|e| e.code), Some(503));
        for job in [
            json!({"status": "Failed", "replicaName": "r", "code": 500, "message": "no licence"}),
            json!({"status": "failed", "message": "no code"}),
            json!({"jobId": "j", "status": "failed", "code": 500}),
            json!({"status": "Completed", "code": 200}),
            json!({"status": "failed", "code": 400, "message": "no such thing"}),
            json!({"status": "Failed", "error": {"code": 400, "message": "Layer 0 failed."}}),
        ] {
            assert_eq!(flat_error_of_request(&job), None, "{job}");
        }
        let forgotten = json!({"error": {"code": 400, "message": "Job not found."}, "submissionTime": 1});
        assert_eq!(flat_error_of_request(&forgotten).map(|e| e.code), Some(400));
    }

    #[test]
    fn a_service_that_wants_https_says_so_by_subcode_or_message() {
        for (answer, wants) in [
            (json!({"error": {"code": 403, "subcode": 4, "message": "Forbidden", "details": []}}), true),
            (json!({"error": {"code": 403, "subcode": "4", "message": "SSL Required"}}), true),
            (json!({"error": {"code": 400, "message": "HTTPS required"}}), true),
            (json!({"error": {"code": 403, "subcode": 3, "message": "Forbidden"}}), false),
            (json!({"error": {"code": 403, "message": "You do not have permissions"}}), false),
        ] {
            let error = error_of(&answer).expect("an error");
            assert_eq!(error.wants_https(), wants, "{answer}");
            let failure = error.into_failure(FailureStage::Plan);
            assert_eq!(failure.owner == FailureOwner::Source, wants, "{failure}");
            assert_eq!(failure.to_string().contains("https only (SSL required)"), wants, "{failure}");
        }
    }

    #[test]
    fn a_service_that_asks_to_be_left_alone_in_its_message_is() {
        let retry_after =
            |message: &str| ServiceError { code: 400, message: message.to_owned() }.retry_after().map(|d| d.as_secs());
        assert_eq!(retry_after("Unable to perform query. Too many requests."), Some(60));
        assert_eq!(retry_after("Too many requests. Please try again after 7 sec."), Some(7));
        assert_eq!(retry_after("Request limit reached, try again in 30 seconds"), Some(30));
        assert_eq!(retry_after("An error occurred. Please try again."), None);
        assert_eq!(retry_after("Try again with fewer than 100 features"), None);
        assert_eq!(retry_after("try again 99999999999999999999999 sec"), None);
        let failure = ServiceError { code: 400, message: "Too many requests.".into() }.into_failure(FailureStage::Run);
        assert_eq!((failure.kind, failure.retryable), (FailureKind::Throttled, true));
    }

    #[test]
    fn the_two_numbers_of_a_tile_limit_are_read() {
        let server = "ERROR 001564: Requested tile count(1225884) exceeds the maximum allowed number of tiles(150000) to be exported for service World_Street_Map:MapServer.";
        let online = "Unable to export the cache, estimated tile count(18091) is greater than the max export tiles count(10000) that is set for the service.";
        assert_eq!(tile_limit(server), Some((1_225_884, 150_000)));
        assert_eq!(tile_limit(online), Some((18_091, 10_000)));
        let failure = ServiceError { code: 500, message: online.to_owned() }.into_failure(FailureStage::Submit);
        assert_eq!((failure.owner, failure.retryable), (FailureOwner::Limit, false));
    }

    #[test]
    fn a_failure_keeps_the_code_of_its_answer_and_none_where_there_was_none() {
        let status = |code: i64| ServiceError { code, message: String::new() }.into_failure(FailureStage::Run).status;
        assert_eq!([404, 498, -2_147_467_259, 0].map(status), [Some(404), Some(498), Some(-2_147_467_259), None]);
        assert_eq!(status(i64::MAX), None);
    }

    #[test]
    fn a_page_where_json_was_expected_is_named() {
        let not_json = |bytes: &[u8], stage: FailureStage| {
            let error = serde_json::from_slice::<Value>(bytes).expect_err("no JSON");
            super::not_json(bytes, &NotJson::new(bytes, &error), stage)
        };
        let failure = not_json(b"\n<!DOCTYPE html><title>Sign in</title>", FailureStage::Read);
        assert!(failure.message.contains("HTML page"), "{failure}");
        assert!(not_json(b" ", FailureStage::Read).message.contains("empty"));
        let failure = not_json(b"AKIA-internal-words", FailureStage::Read);
        assert!(failure.message.contains("19 bytes that are not JSON") && !failure.message.contains("AKIA"), "{failure}");
        assert!(failure.message.contains("line 1, column 1 has `A`"), "{failure}");
        let failure = not_json(b"{\"layers\": [],\n \"name\": \"a\x1bb\"}", FailureStage::Read);
        assert!(failure.message.contains("line 2, column 12 has `\\x1bb\\\"}`"), "{failure}");
    }
}
