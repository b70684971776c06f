//! The place on this machine that a portal leads the browser to after a sign-in.
//!
//! Source: RFC 8252 §7.3, §8.3.

use super::sign_in_request::{AuthorizationCode, Redirected, SignInRequest};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use offmap_model::{Failure, FailureStage};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longest head of a request that is read, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// How long one connection may take.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Connections at a time; browsers open some that they do not use.
const MOST_CONNECTIONS: usize = 16;

/// Listens on loopback for the answer of a portal to one sign-in. It answers nothing but that; whatever else is asked, by whomever, is
/// turned away and does not end the wait.
#[derive(Debug)]
pub struct LoopbackRedirect {
    listener: TcpListener,
    uri: String,
}

/// What a request was.
enum Asked {
    Answer(Redirected),
    Other,
}

impl LoopbackRedirect {
    /// Listens on a port of `127.0.0.1`; 0 for any free one. Portals accept loopback uris as they are registered with the application,
    /// some with every port, some with the registered one only.
    ///
    /// # Errors
    /// If the port is in use.
    pub async fn bind(port: u16) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            let what = format!("cannot listen on port {port} of 127.0.0.1 for the answer of the portal; give another port");
            Failure::io(FailureStage::Read, what, &e)
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let uri = format!("http://127.0.0.1:{}/", listener.local_addr().map_err(failed)?.port());
        Ok(Self { listener, uri })
    }

    /// The redirect uri to begin the sign-in with.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Waits for the answer of the portal, for as long as it is polled.
    ///
    /// # Errors
    /// If the person or the portal refused.
    ///
    /// # Cancel safety
    /// When the future is dropped, nobody listens any more.
    pub async fn code(self, request: &SignInRequest) -> Result<AuthorizationCode, Failure> {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if open.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, _)) => open.push(answer(stream, request)),
                    Err(error) => {
                        tracing::debug!(%error, "a connection of the browser could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(asked) = open.next() => match asked {
                    Asked::Answer(Redirected::Code(code)) => return Ok(code),
                    Asked::Answer(Redirected::Refused(failure)) => return Err(failure),
                    Asked::Answer(Redirected::Foreign) => {
                        tracing::warn!("an answer that is not for this sign-in was turned away");
                    }
                    Asked::Other => {}
                },
            }
        }
    }
}

/// Reads one request and answers it.
async fn answer(mut stream: TcpStream, request: &SignInRequest) -> Asked {
    let work = async {
        let Some(query) = read_query(&mut stream).await else {
            send(&mut stream, "404 Not Found", "There is nothing here.").await;
            return Asked::Other;
        };
        let redirected = request.redirected(&query);
        let (status, words) = match &redirected {
            Redirected::Code(_) => {
                ("200 OK", "You are back from the sign-in. This window may be closed; the program goes on.")
            }
            Redirected::Refused(_) => ("200 OK", "Nobody was signed in. This window may be closed; the program says why."),
            Redirected::Foreign => ("400 Bad Request", "This is not the answer to the sign-in that the program waits for."),
        };
        send(&mut stream, status, words).await;
        Asked::Answer(redirected)
    };
    tokio::time::timeout(CONNECTION_TIME, work).await.unwrap_or(Asked::Other)
}

/// The query of a GET of `/`; `None` for all else.
async fn read_query(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(part.get(..read)?);
        if head.len() > LONGEST_HEAD {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let query = target.strip_prefix("/?")?;
    (method == "GET").then(|| query.to_owned())
}

async fn send(stream: &mut TcpStream, status: &str, words: &str) {
    let page =
        format!("<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>offmap</title><p>{words}</p></html>\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        page.len()
    );
    // A browser that went away needs no answer.
    let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
    let _ = stream.shutdown().await;
}
