//! The value of a field.

/// The value of a field in one row. Texts and blobs keep their memory when the next row is read into the same place.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// None.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number; never NaN or infinite, which JSON and SQLite cannot hold.
    Real(f64),
    /// A text; also a GUID, as its file spells it.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// A moment in milliseconds since 1970-01-01 UTC; for a [date only](super::FieldType::DateOnly) the midnight it begins with.
    Date(i64),
}

impl Value {
    /// Makes it a text.
    pub fn set_text(&mut self, text: &str) {
        match self {
            Self::Text(kept) => {
                kept.clear();
                kept.push_str(text);
            }
            other => *other = Self::Text(text.to_owned()),
        }
    }

    /// Makes it a blob.
    pub fn set_blob(&mut self, bytes: &[u8]) {
        match self {
            Self::Blob(kept) => {
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            other => *other = Self::Blob(bytes.to_vec()),
        }
    }

    /// Makes it what another one is; memory is kept where it can be.
    pub(super) fn copy_from(&mut self, other: &Self) {
        match other {
            Self::Text(text) => self.set_text(text),
            Self::Blob(bytes) => self.set_blob(bytes),
            other => *self = other.clone(),
        }
    }

    /// Makes it a number, or nothing where that is NaN or infinite.
    pub fn set_real(&mut self, number: f64) {
        *self = if number.is_finite() { Self::Real(number) } else { Self::Null };
    }
}
