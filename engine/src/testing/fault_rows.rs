//! Faults of any service.

use super::fault_names as named;
use super::faults::{FaultAction as A, FaultEnds, FaultRow, FaultStep, JobFault, StepKind};
use StepKind::{Description, File, PlainFile, State, Submit};
use offmap_model::{FailureKind, FailureOwner};
use serde_json::json;
use std::time::Duration;

const ALL: &[StepKind] = &[Description, Submit, State, File, PlainFile];
const ANSWERS: &[StepKind] = &[Description, Submit, State];
const FILES: &[StepKind] = &[File, PlainFile];

fn own(kinds: &[FailureKind]) -> FaultEnds {
    FaultEnds::fails(kinds.iter().map(|kind| (FailureOwner::Source, *kind)))
}

fn of_the_network(kind: FailureKind) -> FaultEnds {
    FaultEnds::fails([(FailureOwner::Network, kind)])
}

fn unauthorized() -> FaultEnds {
    FaultEnds::fails([(FailureOwner::Credentials, FailureKind::Unauthorized)])
}

fn error(code: i64, message: &str) -> A {
    A::Body(json!({"error": {"code": code, "message": message, "details": []}}))
}

fn status(code: u16, retry_after: Option<u64>) -> A {
    A::Status(code, "Service busy".to_owned(), retry_after)
}

/// Faults of any service, by the names of [`fault_names`](super::fault_names). `elsewhere` is a url on a host that knows nobody and has
/// nothing ([`FaultyFile::elsewhere`](super::FaultyFile::elsewhere)). Requests that stay silent for a few seconds must count as timed out,
/// else the cells take long; a virtual clock lets nobody wait between two tries.
///
/// Source: feature service reference §6.1 for the shapes of errors.
#[must_use]
pub fn fault_rows(elsewhere: &str) -> Vec<FaultRow> {
    [busy(), errors(), bodies(), jobs(), elsewhere_rows(elsewhere)].into_iter().flatten().collect()
}

/// A service that is overloaded or down.
fn busy() -> Vec<FaultRow> {
    vec![
        FaultRow::passing(named::THROTTLED_ONCE, ALL, 1, status(429, Some(3))),
        FaultRow::passing(named::THROTTLED_TWICE, ALL, 2, status(429, None)),
        FaultRow::passing(
            named::THROTTLED_IN_WORDS_ONCE,
            ALL,
            1,
            error(400, "Too many requests. Please try again after 5 sec."),
        ),
        FaultRow::always(named::THROTTLED, ALL, status(429, Some(1)), own(&[FailureKind::Throttled])),
        FaultRow::passing(named::UNAVAILABLE_ONCE, ALL, 1, status(503, Some(2))),
        FaultRow::always(named::UNAVAILABLE, ALL, status(503, None), own(&[FailureKind::Unavailable])),
        FaultRow::passing(named::STATUS_500_ONCE, ALL, 1, status(500, None)),
    ]
}

/// Errors of ArcGIS, with HTTP 200 or without.
fn errors() -> Vec<FaultRow> {
    vec![
        FaultRow::passing(named::ERROR_500_ONCE, ALL, 1, error(500, "Error performing query operation")),
        FaultRow::always(named::ERROR_500, ALL, error(500, "Unable to create replica."), own(&[FailureKind::ServiceError])),
        FaultRow::always(named::ERROR_400, ALL, error(400, "Invalid URL"), own(&[FailureKind::ServiceError])),
        FaultRow::always(named::ERROR_403, ALL, error(403, "You do not have permissions"), unauthorized()),
        FaultRow::always(
            named::ERROR_WITHOUT_CODE,
            ANSWERS,
            A::Body(json!({"error": {"message": "No."}})),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::passing(
            named::FLAT_ERROR_ONCE,
            ANSWERS,
            1,
            A::Body(json!({"code": 503, "message": "Service unavailable", "status": "failure"})),
        ),
        FaultRow::always(
            named::FLAT_ERROR,
            ANSWERS,
            A::Body(json!({"code": 400, "message": "Unable to complete", "status": "failure"})),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::passing(named::INVALID_TOKEN_ONCE, ALL, 1, error(498, "Invalid token.")),
        FaultRow::always(named::TOKEN_REQUIRED, ALL, error(499, "Token Required"), unauthorized()),
    ]
}

/// Answers that are broken, late, or of another kind.
fn bodies() -> Vec<FaultRow> {
    vec![
        FaultRow::always(named::HTML, ALL, A::Html, own(&[FailureKind::InvalidAnswer, FailureKind::Corrupt])),
        FaultRow::passing(named::RESET_ONCE, ALL, 1, A::Reset),
        FaultRow::always(named::RESET, ALL, A::Reset, of_the_network(FailureKind::Unavailable)),
        FaultRow::passing(named::TRUNCATED_ONCE, ALL, 1, A::Truncate(5)),
        FaultRow::always(named::TRUNCATED, ALL, A::Truncate(5), of_the_network(FailureKind::Unavailable)),
        FaultRow::always(named::CUT_SHORT, &[File], A::Cut(5000), own(&[FailureKind::Corrupt, FailureKind::Incomplete])),
        // The reader of the file may be the first that finds it.
        FaultRow::always(
            named::CUT_SHORT,
            &[PlainFile],
            A::Cut(5000),
            own(&[FailureKind::Corrupt, FailureKind::Incomplete, FailureKind::InvalidAnswer]),
        ),
        FaultRow {
            ends: FaultEnds::complete(),
            ..FaultRow::always(named::SLOW, FILES, A::Drip(200_000, Duration::from_millis(2)), FaultEnds::complete())
        },
        FaultRow::always(
            named::HANG,
            &[Submit, State],
            A::Delay(Duration::from_secs(900)),
            of_the_network(FailureKind::TimedOut),
        ),
        FaultRow::always(named::JSON_FOR_FILE, FILES, A::Body(json!({"status": "ok"})), own(&[FailureKind::InvalidAnswer])),
        FaultRow::always(
            named::EMPTY_OBJECT,
            ANSWERS,
            A::Body(json!({})),
            own(&[FailureKind::InvalidAnswer, FailureKind::TimedOut]),
        ),
        FaultRow::always(
            named::LIST,
            ANSWERS,
            A::Body(json!([1, 2])),
            own(&[FailureKind::InvalidAnswer, FailureKind::TimedOut]),
        ),
        FaultRow::always(
            named::OVERSIZED_JSON,
            &[Description],
            A::Replace(format!("\"{}\"", "x".repeat(65 << 20)).into_bytes()),
            own(&[FailureKind::InvalidAnswer]),
        ),
    ]
}

/// Jobs and results that go wrong.
fn jobs() -> Vec<FaultRow> {
    vec![
        FaultRow::always(named::GONE, FILES, A::Status(404, "gone".to_owned(), None), own(&[FailureKind::NotFound])),
        FaultRow::passing(named::GONE_ONCE, FILES, 1, A::Status(404, "gone".to_owned(), None)),
        FaultRow::always(named::JOB_STUCK, &[Submit], A::Job(JobFault::Stuck), own(&[FailureKind::TimedOut])),
        FaultRow::always(
            named::JOB_FAILED,
            &[Submit],
            A::Job(JobFault::Failed("no licence".to_owned())),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::always(
            named::JOB_COMPLETED_WITH_ERRORS,
            &[Submit],
            A::Job(JobFault::CompletedWithErrors),
            own(&[FailureKind::ServiceError]),
        ),
    ]
}

/// Answers that lead to another host.
fn elsewhere_rows(elsewhere: &str) -> Vec<FaultRow> {
    let result = json!({
        "status": "Completed", "resultUrl": elsewhere, "transportType": "esriTransportTypeUrl", "jobStatus": "esriJobSucceeded",
        "output": {"outputUrl": [elsewhere]}, "results": {"out_service_url": {"paramUrl": elsewhere}},
    });
    // A form is refused before it goes there; what goes without its token is refused there, or finds nothing.
    let refused =
        [(FailureOwner::Source, FailureKind::InvalidAnswer), (FailureOwner::Credentials, FailureKind::Unauthorized)];
    let nothing = (FailureOwner::Source, FailureKind::NotFound);
    let redirects = |status: u16| {
        let to = |kinds: &[StepKind], ends| {
            let action = A::RedirectWith(status, elsewhere.to_owned());
            FaultRow::always(&named::redirect_elsewhere(status), kinds, action, ends)
        };
        let found_nothing = FaultEnds::fails(refused.into_iter().chain([nothing]));
        [to(&[Submit, State, File], FaultEnds::fails(refused)), to(&[Description, PlainFile], found_nothing)]
    };
    let result = FaultRow::always(named::RESULT_ELSEWHERE, &[State], A::Body(result), unauthorized());
    std::iter::once(result).chain([301, 302, 303, 307, 308].into_iter().flat_map(redirects)).collect()
}

/// What comes of cells where nobody signs in, for [`FaultyService::other_ends`](super::FaultyService::other_ends): there is no token that
/// could be renewed, so that one refusal is the end.
#[must_use]
pub fn without_credentials(_step: &FaultStep, row: &FaultRow) -> Option<FaultEnds> {
    (row.name == named::INVALID_TOKEN_ONCE).then(unauthorized)
}
