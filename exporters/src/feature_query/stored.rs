//! Rows of a page as they are kept until the geodatabase is written: one message for each, with its length before it, behind a head that
//! says what the page holds.
//!
//! Protocol buffers, as the answers of services are; numbers of fields never change their meaning.

use super::fit::{FieldFit, Scalar, StoredValue};
use super::left_out::LeftOut;
use offmap_disk::safe_path;
use offmap_formats::features::{Feature, FieldType, Value, date_text};
use offmap_formats::geodatabase::holds_date;
use offmap_formats::geometry::GeometryKind;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use prost::Message;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;
/// Bytes of the number that says how long a message is.
const LONGEST_NUMBER: u32 = 5;

/// A shape: its points, and the index behind the last one of each part.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredShape {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) ends: Vec<u32>,
    /// x, y of all points.
    #[prost(double, repeated, tag = "2")]
    pub(super) xy: Vec<f64>,
    #[prost(double, repeated, tag = "3")]
    pub(super) z: Vec<f64>,
    #[prost(double, repeated, tag = "4")]
    pub(super) m: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredRow {
    #[prost(sint64, tag = "1")]
    pub(super) object_id: i64,
    #[prost(message, repeated, tag = "2")]
    pub(super) values: Vec<StoredValue>,
    #[prost(message, optional, tag = "3")]
    pub(super) shape: Option<StoredShape>,
}

/// What a page holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PageHead {
    #[prost(uint64, tag = "1")]
    pub(super) rows: u64,
    /// Rows that were deleted, or left the filter, since their ids were listed.
    #[prost(uint64, tag = "2")]
    pub(super) gone: u64,
    /// What was seen of each field.
    #[prost(message, repeated, tag = "3")]
    pub(super) fits: Vec<FieldFit>,
}

impl StoredShape {
    pub(super) fn add(&mut self, [x, y]: [f64; 2], z: Option<f64>, m: Option<f64>) {
        self.xy.extend([x, y]);
        self.z.extend(z);
        self.m.extend(m);
    }

    /// Ends a part; one without points is none.
    pub(super) fn close_part(&mut self) {
        let end = u32::try_from(self.xy.len() / 2).unwrap_or(u32::MAX);
        if self.ends.last().copied().unwrap_or(0) < end {
            self.ends.push(end);
        }
    }
}

fn cannot_read(path: &Path, e: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Package, format!("cannot read {}", path.display()), e)
}

fn damaged(path: &Path) -> Failure {
    let message = format!("{} is no page of rows", path.display());
    Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Package, message)
}

/// A page whose rows are read and decoded one at a time.
pub(super) struct Page {
    path: PathBuf,
    reader: BufReader<File>,
    left: u64,
    row: Vec<u8>,
}

impl Page {
    /// Opens a page. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |e| cannot_read(path, &e);
        let file = safe_path::open_file(path).map_err(failed)?;
        let left = file.metadata().map_err(failed)?.len();
        let reader = BufReader::with_capacity(BUFFER, file);
        let mut page = Self { path: path.to_owned(), reader, left, row: Vec::new() };
        match page.next_message()? {
            true => Ok(page),
            false => Err(damaged(path)),
        }
    }

    /// What a page holds, without its rows. Blocks.
    pub(super) fn head(path: &Path) -> Result<PageHead, Failure> {
        let page = Self::open(path)?;
        PageHead::decode(page.row.as_slice()).map_err(|_| damaged(path))
    }

    /// The next row. Blocks.
    pub(super) fn next_row(&mut self) -> Result<Option<StoredRow>, Failure> {
        match self.next_message()? {
            true => StoredRow::decode(self.row.as_slice()).map(Some).map_err(|_| damaged(&self.path)),
            false => Ok(None),
        }
    }

    /// Reads the next message; false at the end.
    fn next_message(&mut self) -> Result<bool, Failure> {
        if self.left == 0 {
            return Ok(false);
        }
        let (mut length, mut byte) = (0_u64, [0x80]);
        for place in 0..LONGEST_NUMBER {
            self.reader.read_exact(&mut byte).map_err(|e| cannot_read(&self.path, &e))?;
            self.left = self.left.saturating_sub(1);
            length |= u64::from(byte[0] & 0x7f) << (7 * place);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let is_there = byte[0] & 0x80 == 0 && length <= self.left;
        let length = usize::try_from(length).ok().filter(|_| is_there).ok_or_else(|| damaged(&self.path))?;
        self.row.resize(length, 0);
        self.reader.read_exact(&mut self.row).map_err(|e| cannot_read(&self.path, &e))?;
        self.left -= length as u64;
        Ok(true)
    }
}

/// Fills a feature with a row; what its columns cannot hold is left out of it. `fields` are the types that the fields have in the file.
pub(super) fn fill(
    row: StoredRow,
    fields: &[FieldType],
    kind: Option<(GeometryKind, bool, bool)>,
    feature: &mut Feature,
    left_out: &mut LeftOut,
) {
    (feature.row_id, feature.object_id) = (row.object_id, Some(row.object_id));
    feature.values.resize(fields.len(), Value::Null);
    for (place, ((to, stored), field)) in feature.values.iter_mut().zip(row.values).zip(fields).enumerate() {
        *to = value(stored.scalar, *field).unwrap_or_else(|why| {
            left_out.value(place, row.object_id, why);
            Value::Null
        });
    }
    match (row.shape, kind) {
        (Some(stored), Some((kind, has_z, has_m))) => {
            let shape = feature.new_geometry(kind, has_z, has_m);
            let mut ends = stored.ends.iter().map(|end| *end as usize);
            let mut end = ends.next();
            for (n, xy) in stored.xy.chunks_exact(2).enumerate() {
                let of = |values: &[f64]| values.get(n).copied().unwrap_or(f64::NAN);
                shape.add_point([xy[0], xy[1]], of(&stored.z), of(&stored.m));
                if end == Some(n + 1) {
                    shape.close_part();
                    end = ends.next();
                }
            }
        }
        _ => feature.drop_geometry(),
    }
}

/// The value of a column; the error is why it cannot hold it.
fn value(scalar: Option<Scalar>, field: FieldType) -> Result<Value, &'static str> {
    Ok(match (scalar, field) {
        (None, _) => Value::Null,
        (Some(Scalar::Integer(n)), FieldType::Single | FieldType::Double) => Value::Real(n as f64),
        (Some(Scalar::Integer(n)), FieldType::Text) => Value::Text(n.to_string()),
        (Some(Scalar::Integer(n)), _) => Value::Integer(n),
        (Some(Scalar::Real(n)), FieldType::Text) => Value::Text(n.to_string()),
        (Some(Scalar::Real(n)), _) => Value::Real(n),
        (Some(Scalar::Text(text)), _) => Value::Text(text),
        (Some(Scalar::Date(ms)), FieldType::Text) => {
            let mut text = String::new();
            // A year of other than four digits has no date as text; its milliseconds tell it as well.
            Value::Text(if date_text(ms, false, &mut text) { text } else { ms.to_string() })
        }
        (Some(Scalar::Date(ms)), _) if !holds_date(ms) => return Err("it is a date before the year -4712"),
        (Some(Scalar::Date(ms)), _) => Value::Date(ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::features::{Field, FieldType as T};

    #[test]
    fn a_date_that_no_column_holds_is_left_out_and_a_text_tells_every_date() {
        let (old, late) = (-400_000_000_000_000, 300_000_000_000_000);
        let dates = || [old, late, -1].map(|ms| StoredValue { scalar: Some(Scalar::Date(ms)) });
        let row = || StoredRow { object_id: 7, values: dates().to_vec(), shape: None };
        let (mut feature, mut left_out) = (Feature::default(), LeftOut::default());
        fill(row(), &[T::Date, T::Date, T::Date], None, &mut feature, &mut left_out);
        assert_eq!(feature.values, [Value::Null, Value::Date(late), Value::Date(-1)]);
        let field =
            Field { name: "SEEN".into(), alias: None, field_type: T::Date, length: None, is_nullable: true, domain: None };
        let notes = left_out.notes(&[field]);
        assert!(
            notes.len() == 1 && notes[0].contains("`SEEN`") && notes[0].contains("row 7: it is a date before"),
            "{notes:?}"
        );
        let mut none = LeftOut::default();
        fill(row(), &[T::Text, T::Text, T::Text], None, &mut feature, &mut none);
        let texts = [&old.to_string(), &late.to_string(), "1969-12-31T23:59:59.999Z"].map(|t| Value::Text(t.to_owned()));
        assert_eq!((feature.values.as_slice(), none), (&texts[..], LeftOut::default()));
    }
}
