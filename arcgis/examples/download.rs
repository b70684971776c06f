//! Fetches a file as the exporters do: resumed where it broke off, tried again while trouble may pass, hashed while it arrives.
//!
//! `cargo run --release -p offmap-arcgis --example download -- URL FILE`

use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials, Download};
use offmap_model::{Failure, LayerSecrets};
use std::path::Path;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err(Failure::invalid_parameter("give a url and the name of a file"));
    };
    let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
    let download =
        Download { url: &url, to: Path::new(&file), presigned: false, limit: u64::MAX, secrets: &LayerSecrets::default() };
    let fetched = client.download(download, |_, _| {}).await?;
    println!("{}  {file} ({} bytes)", fetched.sha256, fetched.bytes);
    Ok(())
}
