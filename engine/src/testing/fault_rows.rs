//! Faults of any service.

use super::faults::{FaultAction as A, FaultEnds, FaultRow, JobFault, StepKind};
use StepKind::{File, State, Submit, Words};
use offmap_model::{FailureKind, FailureOwner};
use serde_json::json;
use std::time::Duration;

const ALL: &[StepKind] = &[Words, Submit, State, File];
const ANSWERS: &[StepKind] = &[Words, Submit, State];

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

/// Faults of any service. `elsewhere` is a url on a host that knows nobody and has nothing. Requests that stay silent for a few
/// seconds must count as timed out, else the cells take long.
///
/// Source: feature service reference §6.1 for the shapes of errors.
#[must_use]
pub fn fault_rows(elsewhere: &str) -> Vec<FaultRow> {
    [busy(), errors(), bodies(), jobs(), elsewhere_rows(elsewhere)].into_iter().flatten().collect()
}

/// A service that is overloaded or down.
fn busy() -> Vec<FaultRow> {
    vec![
        FaultRow::passing("429 once with Retry-After", ALL, 1, status(429, Some(3))),
        FaultRow::passing("429 twice without", ALL, 2, status(429, None)),
        FaultRow::passing("429 in words once", ALL, 1, error(400, "Too many requests. Please try again after 5 sec.")),
        FaultRow::always("429 always", ALL, status(429, Some(1)), own(&[FailureKind::Throttled])),
        FaultRow::passing("503 once", ALL, 1, status(503, Some(2))),
        FaultRow::always("503 always", ALL, status(503, None), own(&[FailureKind::Unavailable])),
        FaultRow::passing("500 once", ALL, 1, status(500, None)),
    ]
}

/// Errors of ArcGIS, with HTTP 200 or without.
fn errors() -> Vec<FaultRow> {
    vec![
        FaultRow::passing("500 in 200 once", ALL, 1, error(500, "Error performing query operation")),
        FaultRow::always("500 in 200", ALL, error(500, "Unable to create replica."), own(&[FailureKind::ServiceError])),
        FaultRow::always("400 in 200", ALL, error(400, "Invalid URL"), own(&[FailureKind::ServiceError])),
        FaultRow::always("403 in 200", ALL, error(403, "You do not have permissions"), unauthorized()),
        FaultRow::always(
            "error without code",
            ANSWERS,
            A::Body(json!({"error": {"message": "No."}})),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::passing(
            "flat error that passes",
            ANSWERS,
            1,
            A::Body(json!({"code": 503, "message": "Service unavailable", "status": "failure"})),
        ),
        FaultRow::always(
            "flat error",
            ANSWERS,
            A::Body(json!({"code": 400, "message": "Unable to complete", "status": "failure"})),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::passing("498 once", ALL, 1, error(498, "Invalid token.")),
        FaultRow::always("499 always", ALL, error(499, "Token Required"), unauthorized()),
    ]
}

/// Answers that are broken, late, or of another kind.
fn bodies() -> Vec<FaultRow> {
    vec![
        FaultRow::always("HTML with 200", ALL, A::Html, own(&[FailureKind::InvalidAnswer, FailureKind::Corrupt])),
        FaultRow::passing("connection reset once", ALL, 1, A::Reset),
        FaultRow::always("connection reset", ALL, A::Reset, of_the_network(FailureKind::Unavailable)),
        FaultRow::passing("truncated body once", ALL, 1, A::Truncate(5)),
        FaultRow::always("truncated body", ALL, A::Truncate(5), of_the_network(FailureKind::Unavailable)),
        FaultRow::always("file cut short", &[File], A::Cut(5000), own(&[FailureKind::Corrupt, FailureKind::Incomplete])),
        FaultRow {
            ends: FaultEnds::complete(),
            ..FaultRow::always("slow transfer", &[File], A::Drip(200_000, Duration::from_millis(2)), FaultEnds::complete())
        },
        FaultRow::always(
            "hang",
            &[Submit, State],
            A::Delay(Duration::from_secs(900)),
            of_the_network(FailureKind::TimedOut),
        ),
        FaultRow::always(
            "JSON where a file was expected",
            &[File],
            A::Body(json!({"status": "ok"})),
            own(&[FailureKind::InvalidAnswer]),
        ),
        FaultRow::always(
            "an empty object",
            ANSWERS,
            A::Body(json!({})),
            own(&[FailureKind::InvalidAnswer, FailureKind::TimedOut]),
        ),
        FaultRow::always(
            "a list",
            ANSWERS,
            A::Body(json!([1, 2])),
            own(&[FailureKind::InvalidAnswer, FailureKind::TimedOut]),
        ),
        FaultRow::always(
            "oversized JSON",
            &[Words],
            A::Replace(format!("\"{}\"", "x".repeat(65 << 20)).into_bytes()),
            own(&[FailureKind::InvalidAnswer]),
        ),
    ]
}

/// Jobs and results that go wrong.
fn jobs() -> Vec<FaultRow> {
    vec![
        FaultRow::always("result gone", &[File], A::Status(404, "gone".to_owned(), None), own(&[FailureKind::NotFound])),
        FaultRow::passing("result gone once", &[File], 1, A::Status(404, "gone".to_owned(), None)),
        FaultRow::always("job stuck", &[Submit], A::Job(JobFault::Stuck), own(&[FailureKind::TimedOut])),
        FaultRow::always(
            "job failed",
            &[Submit],
            A::Job(JobFault::Failed("no licence".to_owned())),
            own(&[FailureKind::ServiceError]),
        ),
        FaultRow::always(
            "job completed with errors",
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
    // A form is refused before it goes there; what goes without its token is refused there.
    let ends = || {
        FaultEnds::fails([
            (FailureOwner::Source, FailureKind::InvalidAnswer),
            (FailureOwner::Credentials, FailureKind::Unauthorized),
        ])
    };
    let redirect = |status: u16| {
        let action = A::RedirectWith(status, elsewhere.to_owned());
        FaultRow::always(&format!("{status} to another host"), ALL, action, ends())
    };
    let result = FaultRow::always("result on another host", &[State], A::Body(result), unauthorized());
    std::iter::once(result).chain([301, 302, 303, 307, 308].map(redirect)).collect()
}
