//! A web server with one file, of which it serves ranges; or lies about them, where it is told to.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What an archive server does in place of serving a range.
#[derive(Debug, Clone)]
pub enum ArchiveFault {
    /// Answers with the whole file, as a server without ranges does.
    NoRanges,
    /// Answers with the range, and the file is another one from then on: its bytes and its `ETag`.
    ChangeAfter(Vec<u8>, String),
    /// Says how many bytes the range has, and sends half of them before it closes the connection.
    Drop,
    /// Sends half of the bytes as if they were all, under the `Content-Range` of all.
    Short,
    /// Answers with this status.
    Status(u16),
    /// Answers with the bytes behind those that were asked for.
    OtherRange,
    /// Says that the file has another length.
    OtherTotal,
    /// Says that the bytes are gzip.
    Gzip,
    /// Answers with several parts.
    Multipart,
    /// Redirects to this url.
    Redirect(String),
    /// Answers with other bytes of the right length.
    Garbage,
    /// Never answers.
    Hang,
}

/// A request as it came, and how many bytes it was answered with.
#[derive(Debug, Clone, Default)]
pub struct ArchiveRequest {
    /// Path and query.
    pub target: String,
    /// Its headers, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// First byte that was asked for, and how many were sent.
    pub range: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: Bytes,
    etag: Option<String>,
    modified: Option<String>,
    /// Requests that go well before, how many then do not, and what happens.
    faults: Vec<(usize, usize, ArchiveFault)>,
    requests: Vec<ArchiveRequest>,
}

/// See the module.
#[derive(Debug)]
pub struct ArchiveServer {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    work: JoinHandle<()>,
}

impl Drop for ArchiveServer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ArchiveServer {
    /// Starts one on a free port of the loopback address.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(bytes: impl Into<Bytes>) -> std::io::Result<Self> {
        let shared = Shared { bytes: bytes.into(), etag: Some("\"one\"".to_owned()), ..Shared::default() };
        let shared = Arc::new(Mutex::new(shared));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let work = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, shared, work })
    }

    /// The url of its file, which it has under any path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/tiles/archive.pmtiles", self.port)
    }

    /// What it says of the state of its file: `ETag` and `Last-Modified`.
    pub fn says(&self, etag: Option<&str>, modified: Option<&str>) {
        let mut shared = locked(&self.shared);
        (shared.etag, shared.modified) = (etag.map(str::to_owned), modified.map(str::to_owned));
    }

    /// After so many requests that go well from now on, so many do not.
    pub fn fault(&self, skip: usize, times: usize, fault: ArchiveFault) {
        locked(&self.shared).faults.push((skip, times, fault));
    }

    /// Its requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ArchiveRequest> {
        locked(&self.shared).requests.clone()
    }

    /// Bytes that were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        locked(&self.shared).requests.iter().filter_map(|request| request.range).map(|(_, sent)| sent).sum()
    }

    /// Forgets requests and faults.
    pub fn forget(&self) {
        let mut shared = locked(&self.shared);
        shared.requests.clear();
        shared.faults.clear();
    }
}

impl Shared {
    /// The fault of the request at hand.
    fn strike(&mut self) -> Option<ArchiveFault> {
        let (skip, times, fault) = self.faults.iter_mut().find(|(_, times, _)| *times > 0)?;
        if *skip > 0 {
            *skip -= 1;
            return None;
        }
        *times -= 1;
        Some(fault.clone())
    }

    /// Whether the conditions of a request hold.
    fn holds(&self, headers: &HeaderMap) -> bool {
        let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let matches = said(header::IF_MATCH).is_none_or(|tag| self.etag.as_ref() == Some(&tag));
        matches && said(header::IF_UNMODIFIED_SINCE).is_none_or(|date| self.modified.as_ref() == Some(&date))
    }
}

/// First and last byte of a `Range`.
fn range_of(headers: &HeaderMap) -> Option<(usize, usize)> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, request: axum::extract::Request) -> Response<Body> {
    let answered = respond(&mut locked(&shared), &request);
    match answered {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

fn respond(shared: &mut Shared, request: &axum::extract::Request) -> Option<Response<Body>> {
    let headers = request.headers();
    let shown = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap_or_default().to_owned())
    };
    let logged =
        ArchiveRequest { target: request.uri().to_string(), headers: headers.iter().map(shown).collect(), range: None };
    shared.requests.push(logged);
    let mut builder = Response::builder();
    for (name, value) in [(header::ETAG, &shared.etag), (header::LAST_MODIFIED, &shared.modified)] {
        if let Some(value) = value {
            builder = builder.header(name, value);
        }
    }
    if !shared.holds(headers) {
        return Some(status_only(StatusCode::PRECONDITION_FAILED));
    }
    let fault = shared.strike();
    let all = shared.bytes.clone();
    let ranged = range_of(headers).filter(|_| !matches!(fault, Some(ArchiveFault::NoRanges)));
    let Some((mut first, last)) = ranged else {
        return builder.body(Body::from(all)).ok();
    };
    if first >= all.len() {
        return Some(status_only(StatusCode::RANGE_NOT_SATISFIABLE));
    }
    let mut last = last.min(all.len() - 1);
    let mut total = all.len();
    let mut body = None;
    match fault {
        Some(ArchiveFault::Status(status)) => {
            return Some(status_only(StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT)));
        }
        Some(ArchiveFault::Redirect(to)) => {
            return Response::builder().status(302).header(header::LOCATION, to).body(Body::empty()).ok();
        }
        Some(ArchiveFault::ChangeAfter(bytes, etag)) => (shared.bytes, shared.etag) = (bytes.into(), Some(etag)),
        Some(ArchiveFault::OtherRange) => (first, last) = (first + 1, (last + 1).min(all.len() - 1)),
        Some(ArchiveFault::OtherTotal) => total += 1,
        Some(ArchiveFault::Gzip) => builder = builder.header(header::CONTENT_ENCODING, "gzip"),
        Some(ArchiveFault::Multipart) => {
            builder = builder.header(header::CONTENT_TYPE, "multipart/byteranges; boundary=x");
        }
        Some(ArchiveFault::Garbage) => body = Some(Body::from(vec![0x5a; last + 1 - first])),
        Some(ArchiveFault::Short) => body = Some(Body::from(all.slice(first..first + (last + 1 - first) / 2))),
        Some(ArchiveFault::Drop) => {
            builder = builder.header(header::CONTENT_LENGTH, last + 1 - first);
            body = Some(broken_off(all.slice(first..first + (last + 1 - first) / 2)));
        }
        Some(ArchiveFault::Hang) => return None,
        Some(ArchiveFault::NoRanges) | None => {}
    }
    if let Some(request) = shared.requests.last_mut() {
        request.range = Some((first as u64, (last + 1).saturating_sub(first) as u64));
    }
    let range = format!("bytes {first}-{last}/{total}");
    let builder = builder.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    builder.body(body.unwrap_or_else(|| Body::from(all.slice(first..=last)))).ok()
}

/// A body that ends with its connection.
fn broken_off(half: Bytes) -> Body {
    let broken = Err(Error::from(ErrorKind::ConnectionReset));
    Body::from_stream(stream::iter([Ok(half), broken]))
}

fn status_only(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap_or_default()
}
