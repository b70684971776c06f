//! A portal to try the service with, and what a client of the service does.

use offmap::packager::verify;
use offmap_sandbox::{FIELD_MAP, PASSWORD, Sandbox, SandboxOptions, USER, VISITOR, VISITOR_PASSWORD};
use serde_json::{Value, json};
use std::{error::Error, net::SocketAddr, path::PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A sandbox whose portal has two users, and the service's directory.
pub(crate) struct Stage {
    sandbox: Sandbox,
    dir: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn begin() -> Result<Self, Box<dyn Error>> {
        let sandbox = Sandbox::start(SandboxOptions { secured: true, ..SandboxOptions::default() }).await?;
        let dir = tempfile::tempdir()?;
        let tenants = json!({"a": {"tenant": "forestry", "user": USER, "password": PASSWORD},
            "b": {"tenant": "water", "user": VISITOR, "password": VISITOR_PASSWORD}});
        std::fs::write(dir.path().join("tenants.json"), tenants.to_string())?;
        Ok(Self { sandbox, dir })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn tenants(&self) -> PathBuf {
        self.dir.path().join("tenants.json")
    }

    pub(crate) fn portal(&self) -> String {
        self.sandbox.portal_url()
    }
}

/// Sends a request, and reads status and body of the answer to its end.
async fn ask(at: SocketAddr, what: &str, head: &str, body: &str) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let mut stream = tokio::net::TcpStream::connect(at).await?;
    let head = format!("{what} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{head}\r\n", body.len());
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no answer")?;
    let body = answer.split_off(end + 4);
    let status = String::from_utf8(answer)?.lines().next().unwrap_or_default().to_owned();
    Ok((status, body))
}

/// Orders a map, follows it, fetches its package and verifies that.
pub(crate) async fn order_one(at: SocketAddr) -> Result<(), Box<dyn Error>> {
    let (forestry, water) = ("x-api-key: a", "x-api-key: b");
    let order = json!({"item": FIELD_MAP, "area": "2,43,20,52", "maxScale": 5_000_000, "labels": {"team": "north"}});
    let (status, job) = ask(at, "POST /jobs", forestry, &order.to_string()).await?;
    let job: Value = serde_json::from_slice(&job)?;
    let id = job["id"].as_str().ok_or("no job")?;
    println!("{status}: the job {id} is {}", job["state"]);
    let (_, events) = ask(at, &format!("GET /jobs/{id}/events"), forestry, "").await?;
    let events = String::from_utf8(events)?;
    let ids: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let last = ids.last().ok_or("no events")?;
    println!("{} events, the last is number {last}", ids.len());
    let (status, _) = ask(at, &format!("GET /jobs/{id}"), water, "").await?;
    println!("to the other tenant: {status}");
    let (status, failure) = ask(at, "POST /jobs", forestry, r#"{"item": "x", "area": "9,9"}"#).await?;
    println!("a bad order: {status} {}", String::from_utf8_lossy(&failure));
    let (_, package) = ask(at, &format!("GET /jobs/{id}/package"), forestry, "").await?;
    let file = tempfile::Builder::new().suffix(".mmpk").tempfile()?;
    std::fs::write(&file, &package)?;
    let found = verify(file.path())?;
    let is_complete = found.complete == Some(true);
    println!("package of {} bytes, whole: {}, complete: {is_complete}", package.len(), found.ok);
    if found.ok && is_complete { Ok(()) } else { Err("the package is not right".into()) }
}
