//! Files that come in two halves: they are joined only if both are surely of the same file.

use offmap::Failure;
use offmap::LayerSecrets;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download};
use offmap::testing::VirtualClock;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers with these texts, one after another, and breaks the connection behind each.
struct Scripted {
    url: String,
    /// `Range` of every request.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Scripted {
    async fn start(answers: &[String]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/file.bin", listener.local_addr().expect("an address"));
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (answers.to_vec(), Arc::clone(&ranges));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                while !request.ends_with(b"\r\n\r\n") {
                    let size = stream.read(&mut buffer).await.expect("reads");
                    request.extend_from_slice(&buffer[..size]);
                }
                let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let range = text.lines().find_map(|l| l.strip_prefix("range: ")).map(str::to_owned);
                seen.lock().expect("not poisoned").push(range);
                stream.write_all(answer.as_bytes()).await.expect("writes");
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().expect("not poisoned").clone()
    }
}

fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n{headers}\r\n{body}")
}

/// The first five bytes of ten.
fn half(headers: &[&str]) -> String {
    answer("200 OK", &[headers, &["Content-Length: 10"]].concat(), "01234")
}

fn rest(headers: &[&str], body: &str) -> String {
    let length = format!("Content-Length: {}", body.len());
    answer("206 Partial Content", &[headers, &[length.as_str()]].concat(), body)
}

async fn fetch(url: &str, to: &Path, attempts: usize) -> Result<String, Failure> {
    let options = ClientOptions { attempts, ..ClientOptions::default() };
    let client =
        ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default())).expect("a client");
    let download = Download { url, to, presigned: false, limit: 1 << 20, secrets: &LayerSecrets::default() };
    let fetched = client.download(download, |_, _| {}).await?;
    let on_disk = offmap_disk::hash_file(to).expect("hashes");
    assert_eq!((fetched.bytes, fetched.sha256), on_disk, "the hash that was computed while the bytes arrived");
    Ok(std::fs::read_to_string(to).expect("reads"))
}

const OTHER: &str = "ABCDEFGHIJ";
const THEN: &str = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT";

/// The file in one go, as it is by now.
fn whole() -> String {
    answer("200 OK", &["ETag: \"new\"", "Content-Length: 10"], OTHER)
}

#[tokio::test]
async fn the_rest_of_a_file_is_joined_only_if_validator_and_length_are_those_of_the_first_half() {
    let (tag, range) = ("ETag: \"a\"", "Content-Range: bytes 5-9/10");
    let (weak, later) = ("ETag: W/\"a\"", "Last-Modified: Wed, 21 Oct 2015 07:28:01 GMT");
    let joined: [(&[&str], &[&str]); 4] = [
        (&[tag], &[tag, range]),
        (&[tag, THEN], &[tag, range]),
        (&[THEN], &[THEN, range]),
        (&[weak, THEN], &[weak, THEN, range]),
    ];
    let restarted: [(&[&str], &[&str], &str); 17] = [
        (&[tag], &["ETag: \"b\"", range], "56789"),
        (&[tag], &[range], "56789"),
        (&[tag], &[weak, range], "56789"),
        (&[tag, THEN], &[THEN, range], "56789"),
        (&[THEN], &[range], "56789"),
        (&[THEN], &[later, range], "56789"),
        (&[THEN], &[THEN, tag, range], "56789"),
        (&[weak, THEN], &["ETag: W/\"b\"", THEN, range], "56789"),
        (&[tag], &[tag], "56789"),
        (&[tag], &[tag, "Content-Range: bytes 5-9/11"], "56789"),
        (&[tag], &[tag, "Content-Range: bytes 5-9/*"], "56789"),
        (&[tag], &[tag, "Content-Range: bytes 5-9"], "56789"),
        (&[tag], &[tag, "Content-Range: bytes 5-nine/10"], "56789"),
        (&[tag], &[tag, "Content-Range: bytes 4-8/10"], "45678"),
        (&[tag], &[tag, "Content-Range: bytes 0-9/10"], "0123456789"),
        (&[tag], &[tag, "Content-Range: bytes 5-10/10"], "56789X"),
        (&[tag], &[tag, range], "5678"),
    ];
    let cells = joined.iter().map(|(first, second)| (*first, *second, "56789", true));
    let cells = cells.chain(restarted.iter().map(|(first, second, body)| (*first, *second, *body, false)));
    // In one process, and in two of which the first gave up.
    for (first, second, body, joins) in cells {
        for processes in [1, 2] {
            let cell = format!("{first:?} {second:?} {body} in {processes}");
            let dir = offmap_sandbox::tempdir().expect("a directory");
            let to = dir.path().join("file.bin");
            let server = Scripted::start(&[half(first), rest(second, body), whole()]).await;
            if processes == 2 {
                fetch(&server.url, &to, 1).await.expect_err("broke off");
            }
            let text = fetch(&server.url, &to, if processes == 2 { 1 } else { 4 }).await;
            let text = text.unwrap_or_else(|failure| panic!("{cell}: {failure}"));
            let asked = Some("bytes=5-".to_owned());
            if joins {
                assert_eq!((text.as_str(), server.ranges()), ("0123456789", vec![None, asked]), "{cell}");
            } else {
                assert_eq!((text.as_str(), server.ranges()), (OTHER, vec![None, asked, None]), "{cell}");
            }
            let left: Vec<_> =
                std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
            assert_eq!(left, ["file.bin"], "{cell}");
        }
    }
}

#[tokio::test]
async fn a_half_that_nothing_proves_is_not_gone_on_with() {
    let chunked = answer("200 OK", &["ETag: \"a\"", "Transfer-Encoding: chunked"], "5\r\n01234\r\n");
    let weak = half(&["ETag: W/\"a\""]);
    for first in [half(&[]), weak.clone(), chunked] {
        for processes in [1, 2] {
            let dir = offmap_sandbox::tempdir().expect("a directory");
            let to = dir.path().join("file.bin");
            let server = Scripted::start(&[first.clone(), whole()]).await;
            if processes == 2 {
                fetch(&server.url, &to, 1).await.expect_err("broke off");
            }
            let text = fetch(&server.url, &to, 4).await.unwrap_or_else(|failure| panic!("{first}: {failure}"));
            assert_eq!((text.as_str(), server.ranges()), (OTHER, vec![None, None]), "{first}");
        }
    }
    // A note of an earlier state does not stay beside the bytes of a later one.
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file.bin");
    let server = Scripted::start(&[half(&["ETag: \"a\""]), weak, whole()]).await;
    for _ in 0..2 {
        fetch(&server.url, &to, 1).await.expect_err("broke off");
    }
    assert_eq!(fetch(&server.url, &to, 1).await.expect("the file"), OTHER);
    assert_eq!(server.ranges(), [None, Some("bytes=5-".to_owned()), None]);
}

#[tokio::test]
async fn a_server_that_sends_parts_nobody_asked_for_has_no_file() {
    let part = rest(&["ETag: \"a\"", "Content-Range: bytes 0-4/10"], "01234");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file.bin");
    let server = Scripted::start(&[part.clone(), part]).await;
    let failure = fetch(&server.url, &to, 1).await.expect_err("no file");
    assert!(failure.message.contains("a part of the file where the whole was asked for"), "{failure}");
    assert!(!to.exists());
}
