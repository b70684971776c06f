//! Pictures of packages and portal items.

use crate::failure::Failure;
use base64::Engine as _;
use serde::{Deserialize, Serialize};

/// A picture for a package: the bytes of a PNG, JPEG or GIF, which show its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    bytes: Vec<u8>,
}

/// Largest thumbnail that is accepted, in bytes.
pub const MAX_THUMBNAIL_BYTES: usize = 1 << 20;

impl Thumbnail {
    /// Reads the bytes of a PNG, JPEG or GIF of at most [`MAX_THUMBNAIL_BYTES`].
    ///
    /// # Errors
    /// If they are larger or something else.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Failure> {
        if bytes.len() > MAX_THUMBNAIL_BYTES {
            return Err(Failure::invalid_parameter(format!(
                "the thumbnail has {} bytes, at most {MAX_THUMBNAIL_BYTES} are accepted; make the picture smaller",
                bytes.len()
            )));
        }
        match kind_of(&bytes) {
            Some(_) => Ok(Self { bytes }),
            None => Err(Failure::invalid_parameter("the thumbnail is neither a PNG nor a JPEG nor a GIF")),
        }
    }

    /// The picture's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `image/png`, `image/jpeg` or `image/gif`.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        kind_of(&self.bytes).unwrap_or(PNG).0
    }

    /// What a file of it is called: `png`, `jpg` or `gif`.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        kind_of(&self.bytes).unwrap_or(PNG).1
    }

    /// The picture as a `data:` url.
    #[must_use]
    pub fn data_uri(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.bytes);
        format!("data:{};base64,{text}", self.media_type())
    }

    /// Reads a `data:` url.
    ///
    /// # Errors
    /// If it is not one, or not of a usable picture.
    pub fn from_data_uri(text: &str) -> Result<Self, Failure> {
        let encoded = text.strip_prefix("data:").and_then(|t| t.split_once(";base64,")).map(|(_, encoded)| encoded);
        let Some(encoded) = encoded else {
            return Err(Failure::invalid_parameter("the thumbnail is not a `data:image/png;base64,…` url"));
        };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|e| Failure::invalid_parameter(format!("the thumbnail is not base64: {e}")))?;
        Self::new(bytes)
    }
}

/// Media type and file extension of a PNG.
const PNG: (&str, &str) = ("image/png", "png");

/// Media type and file extension of a picture, by the bytes that it begins with.
fn kind_of(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |with: &[u8]| bytes.starts_with(with);
    if begins(b"\x89PNG\r\n\x1a\n") {
        Some(PNG)
    } else if begins(b"\xff\xd8\xff") {
        Some(("image/jpeg", "jpg"))
    } else if begins(b"GIF87a") || begins(b"GIF89a") {
        Some(("image/gif", "gif"))
    } else {
        None
    }
}

impl Serialize for Thumbnail {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.data_uri())
    }
}

impl<'de> Deserialize<'de> for Thumbnail {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_data_uri(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
