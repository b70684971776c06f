//! The client of who signs in, and of what is asked with a sign-in alone.

use crate::inputs::read_text;
use crate::known_secrets::know_client;
use crate::stop::Stop;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use std::path::Path;

/// A client with these credentials; what it learns is taken out of the log.
pub(crate) fn client(ca_cert: Option<&Path>, credentials: Credentials) -> Result<ArcGisClient, Stop> {
    let mut options = ClientOptions::default();
    if let Some(path) = ca_cert {
        options.ca_certificates.push(read_text(path, "the CA certificate")?.into_bytes());
    }
    let client = ArcGisClient::new(options, credentials)?;
    know_client(&client);
    Ok(client)
}
