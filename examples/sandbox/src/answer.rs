//! What the services and the portal answer: JSON, bytes, a file, or an error as ArcGIS writes it.

use serde_json::{Value, json};
use std::path::PathBuf;

/// An ArcGIS answer: JSON, or bytes with their media type.
pub(crate) enum Answer {
    Json(Value),
    Bytes(&'static str, Vec<u8>),
    /// Bytes that are kept as gzip, with their media type: sent so to who accepts it, else opened.
    Gzip(&'static str, Vec<u8>),
    File(PathBuf),
    /// A page for a browser, with its HTTP status.
    Page(u16, String),
    /// Leads a browser on (302).
    Redirect(String),
    NotFound,
}

/// An error as ArcGIS writes it.
#[derive(Debug, Clone)]
pub(crate) struct RestError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) details: Vec<String>,
}

impl RestError {
    pub(crate) fn new(code: i64, message: &str) -> Self {
        Self { code, message: message.to_owned(), details: Vec::new() }
    }

    pub(crate) fn with_detail(code: i64, message: &str, detail: &str) -> Self {
        Self { details: vec![detail.to_owned()], ..Self::new(code, message) }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "details": self.details}})
    }
}

/// An answer, or the error in its place.
pub(crate) type Rest<T> = Result<T, RestError>;
