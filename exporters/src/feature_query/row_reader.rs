//! Rows out of an answer, whatever form it has, as they are kept.

use super::fit::{FieldFit, Raw, StoredValue};
use super::stored::{StoredRow, StoredShape};
use offmap_formats::features::Field;
use offmap_formats::geometry::GeometryKind;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, SpatialReference};
use prost::Message as _;

/// What the shapes of a layer are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shapes {
    pub(super) kind: GeometryKind,
    pub(super) has_z: bool,
    pub(super) has_m: bool,
    /// The one that was asked for.
    pub(super) spatial_reference: SpatialReference,
}

/// What is known of the rows of a layer before they come.
#[derive(Debug, Clone)]
pub(super) struct RowReader {
    /// The layer's url, for messages.
    pub(super) url: String,
    pub(super) object_id_field: String,
    pub(super) fields: Vec<Field>,
    pub(super) shapes: Option<Shapes>,
}

/// The rows of one answer.
#[derive(Debug)]
pub(super) struct ReadRows {
    /// Object ids, and the rows as they are kept.
    pub(super) rows: Vec<(i64, Vec<u8>)>,
    /// Bytes of all of them.
    pub(super) bytes: usize,
    pub(super) fits: Vec<FieldFit>,
    /// Whether the service says that there are more: its word alone, which may be wrong either way.
    pub(super) has_more: bool,
}

/// The value of a place in a row; the error is what is wrong with it.
pub(super) type Wrong = String;

impl RowReader {
    pub(super) fn invalid(&self, what: impl std::fmt::Display) -> Failure {
        let message = format!("the features of {} cannot be read: {what}", self.url);
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Run, message).with_url(&self.url)
    }

    pub(super) fn begin(&self, rows: usize) -> ReadRows {
        let fits = vec![FieldFit::default(); self.fields.len()];
        ReadRows { rows: Vec::with_capacity(rows), bytes: 0, fits, has_more: false }
    }

    /// Whether shapes come in the spatial reference that was asked for; one that is not said is believed to be it.
    pub(super) fn check_reference(&self, found: Option<&SpatialReference>) -> Result<(), Failure> {
        let Some(asked) = self.shapes.as_ref().map(|shapes| &shapes.spatial_reference) else { return Ok(()) };
        match found.filter(|found| found.id().is_some() && asked.id().is_some() && !found.same_as(asked)) {
            Some(found) => {
                let (found, asked) = (found.name(), asked.name());
                Err(self.invalid(format!("their shapes are in {found}, and were asked for in {asked}")))
            }
            None => Ok(()),
        }
    }
}

impl ReadRows {
    /// Keeps a row of values as an answer has them.
    pub(super) fn add<'a>(
        &mut self,
        object_id: i64,
        fields: &[Field],
        raw: impl Iterator<Item = Raw<'a>>,
        shape: Option<StoredShape>,
    ) {
        let value = |((field, fit), raw): ((&Field, &mut FieldFit), Raw<'a>)| StoredValue {
            scalar: fit.value(raw, field.field_type),
        };
        let values = fields.iter().zip(&mut self.fits).zip(raw).map(value).collect();
        self.keep(object_id, values, shape);
    }

    /// Keeps a row whose values were read.
    pub(super) fn keep(&mut self, object_id: i64, values: Vec<StoredValue>, shape: Option<StoredShape>) {
        let row = StoredRow { object_id, values, shape };
        let row = row.encode_length_delimited_to_vec();
        self.bytes += row.len();
        self.rows.push((object_id, row));
    }
}
