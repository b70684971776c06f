//! The bare loop: requests in flight, what comes into one SQLite table. No checks, no retries, no plan: what fails is lost.

use crate::{Outcome, data, peak_rss_mib};
use futures_util::{StreamExt as _, stream};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use tokio::sync::mpsc;

/// Rows of a page.
const PAGE: u64 = 2_000;

/// What goes into the table.
type Item = (i64, i64, i64, Vec<u8>);

/// Writes whatever comes, in one transaction; answers how many.
fn write(to: &Path, mut items: mpsc::Receiver<Vec<Item>>) -> rusqlite::Result<u64> {
    let sql = Connection::open(to)?;
    sql.execute_batch("CREATE TABLE item(a, b, c, data); BEGIN")?;
    let mut count = 0;
    {
        let mut insert = sql.prepare("INSERT INTO item VALUES(?1, ?2, ?3, ?4)")?;
        while let Some(all) = items.blocking_recv() {
            for (a, b, c, data) in all {
                insert.execute(params![a, b, c, data])?;
                count += 1;
            }
        }
    }
    sql.execute_batch("COMMIT")?;
    Ok(count)
}

/// The urls of a kind, each with what it is.
fn urls(kind: &str, url: &str, count: u64) -> Vec<(String, [i64; 3])> {
    let place = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    match kind {
        "tiles" => {
            let level = (0..).find(|l| data::tiles_to(*l) >= count).unwrap_or(0);
            let all = data::all_tiles(level);
            all.map(|(l, r, c)| (format!("{url}/tile/{l}/{r}/{c}"), [i64::from(l), place(r), place(c)])).collect()
        }
        "points" => {
            let query = "where=1%3D1&outFields=*&outSR=4326&f=json&orderByFields=OBJECTID";
            let page = |n| format!("{url}/query?{query}&resultOffset={n}&resultRecordCount={PAGE}");
            (0..count.div_ceil(PAGE)).map(|n| (page(n * PAGE), [0; 3])).collect()
        }
        _ => (1..=count).map(|id| (format!("{url}/{id}/attachments/{id}"), [place(id), 0, 0])).collect(),
    }
}

async fn get(client: reqwest::Client, url: String, [a, b, c]: [i64; 3], is_page: bool) -> Option<Vec<Item>> {
    let answer = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let bytes = answer.bytes().await.ok()?;
    if !is_page {
        return Some(vec![(a, b, c, bytes.to_vec())]);
    }
    let page: Value = serde_json::from_slice(&bytes).ok()?;
    let rows = page["features"].as_array()?.iter().map(|f| {
        let id = f["attributes"]["OBJECTID"].as_i64().unwrap_or_default();
        (id, 0, 0, f["attributes"].to_string().into_bytes())
    });
    Some(rows.collect())
}

pub(crate) async fn run(kind: &str, url: &str, to: &Path, count: u64, in_flight: usize) -> Outcome<()> {
    let all = urls(kind, url, count);
    let began = Instant::now();
    // All urls are http; the client is not made without one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let (send, receive) = mpsc::channel(256);
    let place = to.to_owned();
    let writer = tokio::task::spawn_blocking(move || write(&place, receive));
    let is_page = kind == "points";
    let mut answers =
        stream::iter(all).map(|(url, at)| tokio::spawn(get(client.clone(), url, at, is_page))).buffer_unordered(in_flight);
    while let Some(answer) = answers.next().await {
        if let Some(items) = answer? {
            send.send(items).await?;
        }
    }
    drop(send);
    let got = writer.await??;
    println!("{}", json!({"ms": began.elapsed().as_millis(), "got": got, "peakRssMib": peak_rss_mib()}));
    Ok(())
}
