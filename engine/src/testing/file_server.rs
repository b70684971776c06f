//! A web server of one file on loopback, down to the bytes of its answers: one that breaks off cannot be had of a server that is right.

use super::faults::FaultAction;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Largest head of a request that is read, in bytes.
const LARGEST_HEAD: usize = 64 << 10;
/// Validator of the file, which never changes.
const ETAG: &str = "\"1\"";
/// Zeros that are sent at a time.
const ZEROS: [u8; 1 << 14] = [0; 1 << 14];

/// What a host answers.
pub(super) trait Host: Send + Sync + 'static {
    /// The file that was asked for, and what goes wrong with it.
    fn answer(&self, request: &Request) -> (Option<Arc<[u8]>>, Option<FaultAction>);
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request {
    head: String,
}

impl Request {
    /// The path with its query.
    pub(super) fn asked_path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Whether anything of it looks like a sign-in.
    pub(super) fn has_token(&self) -> bool {
        let head = self.head.to_ascii_lowercase();
        head.contains("token=") || head.contains("authorization:") || head.contains("apikey=")
    }

    fn head_field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The byte from which the rest is wanted of the file that is here.
    fn rest_from(&self, size: usize) -> Option<usize> {
        let from = self.head_field("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        (from < size && self.head_field("if-range").is_none_or(|validator| validator == ETAG)).then_some(from)
    }
}

/// Serves on a port of its own; answers the url without a path. The server ends with the handle.
pub(super) async fn listen(host: Arc<dyn Host>) -> io::Result<(String, AbortHandle)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        // They end with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let host = Arc::clone(&host);
            // Who asks may be gone before the answer.
            connections.spawn(async move { converse(stream, &*host).await.unwrap_or_default() });
        }
    });
    Ok((url, serving.abort_handle()))
}

/// One request and its answer.
async fn converse(mut stream: TcpStream, host: &dyn Host) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LARGEST_HEAD {
        // Byte by byte: what follows the head is not read.
        head.push(stream.read_u8().await?);
    }
    let request = Request { head: String::from_utf8_lossy(&head).into_owned() };
    let (file, action) = host.answer(&request);
    let Some(file) = file else { return status(&mut stream, 404, "", b"not found").await };
    match action {
        None | Some(FaultAction::Job(_)) => whole(&mut stream, &request, &file).await,
        Some(action) => play(&mut stream, &request, &file, action).await,
    }
}

/// Sends the file, or the rest of it.
async fn whole(stream: &mut TcpStream, request: &Request, file: &[u8]) -> io::Result<()> {
    let kind = format!("content-type: application/octet-stream\r\naccept-ranges: bytes\r\netag: {ETAG}\r\n");
    match request.rest_from(file.len()) {
        Some(from) => {
            let range = format!("{kind}content-range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
            status(stream, 206, &range, &file[from..]).await
        }
        None => status(stream, 200, &kind, file).await,
    }
}

/// Sends a whole answer.
async fn status(stream: &mut TcpStream, code: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    head(stream, code, headers, body.len() as u64).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// Sends a head that announces so many bytes.
async fn head(stream: &mut TcpStream, code: u16, headers: &str, length: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 {code} -\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

async fn play(stream: &mut TcpStream, request: &Request, file: &[u8], action: FaultAction) -> io::Result<()> {
    const FILE: &str = "content-type: application/octet-stream\r\n";
    match action {
        FaultAction::Delay(time) => {
            tokio::time::sleep(time).await;
            whole(stream, request, file).await
        }
        FaultAction::Status(code, body, retry_after) => {
            let after = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
            status(stream, code, &format!("content-type: text/plain\r\n{after}"), body.as_bytes()).await
        }
        FaultAction::Body(json) => {
            status(stream, 200, "content-type: application/json\r\n", json.to_string().as_bytes()).await
        }
        FaultAction::Html => {
            status(stream, 200, "content-type: text/html\r\n", b"<!DOCTYPE html><title>Sign in</title>").await
        }
        FaultAction::Reset => head(stream, 200, FILE, file.len() as u64).await,
        FaultAction::Truncate(bytes) => {
            head(stream, 200, FILE, file.len() as u64).await?;
            stream.write_all(&file[..bytes.min(file.len().saturating_sub(1))]).await
        }
        // At least half of it is missing, however small it is.
        FaultAction::Cut(bytes) => status(stream, 200, FILE, &file[..bytes.min(file.len() / 2)]).await,
        FaultAction::Replace(bytes) => status(stream, 200, FILE, &bytes).await,
        FaultAction::Gzip(bytes) => status(stream, 200, &format!("{FILE}content-encoding: gzip\r\n"), &bytes).await,
        FaultAction::Grow(more) => grown(stream, FILE, file, more).await,
        FaultAction::Drip(bytes, pause) => dripping(stream, FILE, file, (bytes, pause)).await,
        FaultAction::Redirect(to) => status(stream, 302, &format!("location: {to}\r\n"), b"").await,
        FaultAction::RedirectWith(code, to) => status(stream, code, &format!("location: {to}\r\n"), b"").await,
        // A file that lies there is made by no job.
        FaultAction::Job(_) => whole(stream, request, file).await,
    }
}

async fn grown(stream: &mut TcpStream, kind: &str, file: &[u8], more: u64) -> io::Result<()> {
    head(stream, 200, kind, file.len() as u64 + more).await?;
    stream.write_all(file).await?;
    let mut left = more;
    while left > 0 {
        let piece = left.min(ZEROS.len() as u64) as usize;
        stream.write_all(&ZEROS[..piece]).await?;
        left -= piece as u64;
    }
    stream.shutdown().await
}

async fn dripping(stream: &mut TcpStream, kind: &str, file: &[u8], (bytes, pause): (usize, Duration)) -> io::Result<()> {
    head(stream, 200, kind, file.len() as u64).await?;
    for piece in file.chunks(bytes.max(1)) {
        tokio::time::sleep(pause).await;
        stream.write_all(piece).await?;
    }
    stream.shutdown().await
}
