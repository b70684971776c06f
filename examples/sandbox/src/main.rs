//! The sandbox as a program: serves until Ctrl-C.

use clap::Parser;
use offmap_sandbox::{CLIENT_ID, CLIENT_SECRET, FIELD_MAP, HOSTED_MAP, MIXED_MAP, PASSWORD, Sandbox, SandboxOptions};
use offmap_sandbox::{USER, VISITOR, VISITOR_PASSWORD};
use std::path::PathBuf;
use std::time::Duration;

/// An embedded ArcGIS server on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port; 0 for any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Speak https.
    #[arg(long)]
    tls: bool,
    /// Write the CA's certificate (PEM) to this file.
    #[arg(long, requires = "tls")]
    ca_out: Option<PathBuf>,
    /// Want a token for items and services.
    #[arg(long)]
    secured: bool,
    /// Seconds that a token lives.
    #[arg(long, default_value_t = 3600)]
    token_life: u64,
    /// Seconds that a refresh token lives.
    #[arg(long, default_value_t = 14 * 24 * 3600)]
    refresh_life: u64,
    /// Polls of a job until it is done.
    #[arg(long, default_value_t = 3)]
    polls: u32,
    /// Requests of a hundred that fail in random ways.
    #[arg(long, default_value_t = 0)]
    unreliable: u32,
    /// Requests that a second allows; more are answered with 429.
    #[arg(long)]
    requests_per_second: Option<u32>,
    /// Tiles of the deepest level that no tile package holds.
    #[arg(long, default_value_t = 0)]
    lost_tiles: u64,
    /// Attachments that no replica holds.
    #[arg(long, default_value_t = 0)]
    lost_attachments: usize,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let sandbox = Sandbox::start(SandboxOptions {
        port: arguments.port,
        tls: arguments.tls,
        secured: arguments.secured,
        polls: arguments.polls,
        token_life: Duration::from_secs(arguments.token_life),
        refresh_life: Duration::from_secs(arguments.refresh_life),
        unreliable: Some((arguments.unreliable, 1)).filter(|(percent, _)| *percent > 0),
        requests_per_second: arguments.requests_per_second,
        lost_tiles: arguments.lost_tiles,
        lost_attachments: arguments.lost_attachments,
        ..SandboxOptions::default()
    })
    .await?;
    if let (Some(path), Some(pem)) = (&arguments.ca_out, sandbox.ca_certificate()) {
        std::fs::write(path, pem)?;
    }
    println!("portal    {}", sandbox.portal_url());
    println!("services  {}/arcgis/rest/services and {}/hosted/rest/services", sandbox.url(), sandbox.url());
    println!(
        "web maps  {FIELD_MAP} (ArcGIS Server dialect), {HOSTED_MAP} (ArcGIS Online dialect), {MIXED_MAP} (not all can go offline)"
    );
    println!("user      {USER} / {PASSWORD}, application {CLIENT_ID} / {CLIENT_SECRET}");
    println!("visitor   {VISITOR} / {VISITOR_PASSWORD}, with whom Fieldwork is not shared");
    if arguments.secured {
        println!("token     {}", sandbox.token());
    }
    tokio::signal::ctrl_c().await?;
    sandbox.stop();
    Ok(())
}
