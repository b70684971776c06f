//! Kills jobs again and again and resumes them, until their packages are there; then compares each package with that of a job that
//! was not disturbed.
//!
//! A child process takes a map from a sandbox in this process offline. At seeded random moments it is killed (`SIGKILL`), then another
//! child resumes the job. The kinds of jobs take turns: maps of services in both dialects, one across the dateline whose tile packages
//! are joined, one that is zipped, and one that completes a package without one of its layers. Half of the kills of the kinds with a
//! short step of their own are aimed at it. Counted are kills by the step in which they happened, bytes that were fetched twice, and
//! jobs and replicas on the server.
//!
//! ```text
//! cargo run --release --example torture -- --kills 200 --seed 1
//! ```
//!
//! With `--closed` the map is one of five layers that no service exports: they come piece by piece, one of them drawn, and requests for
//! pieces are counted in place of bytes.

mod child;
mod closed;
mod content;
mod count;
mod job;
mod kept;
mod kinds;
mod running;
mod seeded;
mod torture;

use clap::Parser;
use kinds::KINDS;
use std::error::Error;
use std::path::PathBuf;

#[derive(Debug, Parser)]
struct Arguments {
    /// Kills in all; jobs run until there were so many.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Seed of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Jobs of a map of which nothing can be exported, in place of all others.
    #[arg(long)]
    closed: bool,
    /// For the child: the map, as a file.
    #[arg(long, hide = true)]
    map: Option<PathBuf>,
    /// For the child: the sandbox's portal.
    #[arg(long, hide = true)]
    portal: Option<String>,
    /// For the child: the kind of its job, by number.
    #[arg(long, hide = true, default_value_t = 0)]
    kind: usize,
    /// For the child: the destination.
    #[arg(long, hide = true)]
    out: Option<PathBuf>,
    /// For the child: makes the package that will be completed.
    #[arg(long, hide = true)]
    first: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let (Some(portal), Some(out)) = (&arguments.portal, &arguments.out) {
        let kind = KINDS.get(arguments.kind).ok_or("no such kind")?;
        return tokio::runtime::Runtime::new()?.block_on(child::child(portal, kind, out, arguments.first));
    }
    if let (Some(map), Some(out)) = (&arguments.map, &arguments.out) {
        return tokio::runtime::Runtime::new()?.block_on(child::closed_child(map, out));
    }
    if arguments.closed {
        let result = closed::torture(arguments.kills, arguments.seed)?;
        println!("{result:#}");
        // What was under way at a kill was fetched by nobody, and has to be asked for again.
        let good = result["percentFetchedTwice"].as_f64().is_some_and(|p| p < 1.0)
            && result["leftBeside"].as_array().is_some_and(Vec::is_empty);
        return if good { Ok(()) } else { Err("a promise is broken".into()) };
    }
    let result = torture::torture(arguments.kills, arguments.seed)?;
    println!("{result:#}");
    let good = result["percentFetchedTwice"].as_f64().is_some_and(|p| p < 1.0)
        && result["finishedFilesFetchedAgain"] == 0
        && result["replicasPerJob"].as_f64() == Some(2.0)
        && result["leftBeside"].as_array().is_some_and(Vec::is_empty);
    if good { Ok(()) } else { Err("a promise is broken".into()) }
}
