//! Kills offmap again and again while it fetches tiles, and resumes it: how many requests a kill costs.

use crate::server::Server;
use crate::{Outcome, data};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A service whose tiles take a few milliseconds.
const SERVICE: &str = "NearTiles/MapServer";

fn begin(url: &str, to: &Path) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("ours").arg(url).arg(to).arg("--resume");
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}

/// Kills so often, evenly over the tiles, then lets the job end.
pub(crate) async fn run(kills: u64, levels: u32, server: &Server, directory: &Path) -> Outcome<Value> {
    let tiles = data::tiles_to(levels);
    let url = format!("{}/arcgis/rest/services/{SERVICE}", server.url);
    let to = directory.join("killed.tpkx");
    let (before, mut killed) = (server.tiles_asked(), 0);
    for number in 1..=kills {
        let mut child = begin(&url, &to)?;
        // Requests that are made twice do not bring the next kill nearer.
        let from = server.tiles_asked();
        while server.tiles_asked() - from < tiles / (kills + 1) && child.try_wait()?.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if child.try_wait()?.is_some() {
            return Err(format!("the job ended before kill {number}").into());
        }
        child.kill()?;
        child.wait()?;
        killed += 1;
    }
    let ended = begin(&url, &to)?.wait()?;
    if !ended.success() {
        return Err(format!("the job ended with {ended}").into());
    }
    let asked = server.tiles_asked() - before;
    let twice = asked.saturating_sub(tiles);
    let share = |of: f64| 100.0 * of / tiles as f64;
    Ok(json!({"row": "kills", "kills": killed, "count": tiles, "asked": asked, "twice": twice,
        "percentTwice": share(twice as f64), "percentTwicePerKill": share(twice as f64 / (killed as f64).max(1.0))}))
}
