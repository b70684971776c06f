//! A host that nobody may ask: it counts who does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server on loopback that answers every request with the same bytes.
pub(crate) struct Stranger {
    pub(crate) port: u16,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stranger {
    /// Answers with HTTP 200, a content type and a body.
    pub(crate) async fn start(kind: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        Self::answering([head.as_bytes(), body].concat(), None).await
    }

    /// Answers with a head, and then with the same piece for ever.
    pub(crate) async fn without_end(head: &str, piece: Vec<u8>) -> Self {
        Self::answering(head.as_bytes().to_vec(), Some(piece)).await
    }

    async fn answering(answer: Vec<u8>, piece: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let (answer, piece) = (Arc::new(answer), Arc::new(piece));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A connection counts, whether a request comes on it or not.
                counter.fetch_add(1, Ordering::SeqCst);
                let (answer, piece) = (Arc::clone(&answer), Arc::clone(&piece));
                tokio::spawn(async move {
                    let mut head = [0; 8192];
                    let _ = stream.read(&mut head).await;
                    let mut sent = stream.write_all(&answer).await;
                    while let (Ok(()), Some(piece)) = (&sent, &*piece) {
                        sent = stream.write_all(piece).await;
                    }
                });
            }
        });
        Self { port, asked, task }
    }

    /// Connections so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}/{path}", self.port)
    }
}
