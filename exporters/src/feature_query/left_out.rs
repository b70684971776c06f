//! Values and shapes that came and that the geodatabase cannot hold: their rows are written without them, and the layer says so.

use offmap_formats::features::Field;
use std::collections::BTreeMap;

/// Fields that have a sentence of their own.
const MOST_NAMED: usize = 20;

/// What was left out of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    count: u64,
    /// The object id of the first row, and why.
    row: i64,
    why: String,
}

/// What was left out of the rows of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    fields: BTreeMap<usize, Left>,
    shapes: Option<Left>,
}

impl Left {
    fn new(row: i64, why: &str) -> Self {
        Self { count: 1, row, why: why.to_owned() }
    }
}

impl LeftOut {
    /// The value of a field, by its place in the layer's fields.
    pub(super) fn value(&mut self, field: usize, row: i64, why: &str) {
        self.fields.entry(field).and_modify(|left| left.count += 1).or_insert_with(|| Left::new(row, why));
    }

    pub(super) fn shape(&mut self, row: i64, why: &str) {
        match &mut self.shapes {
            Some(left) => left.count += 1,
            none => *none = Some(Left::new(row, why)),
        }
    }

    /// Its values, and the shapes of another part.
    pub(super) fn with_shapes_of(self, other: Self) -> Self {
        Self { fields: self.fields, shapes: other.shapes }
    }

    /// A sentence for the shapes and for each field, bounded.
    pub(super) fn notes(&self, fields: &[Field]) -> Vec<String> {
        let shapes = self.shapes.iter().map(|Left { count, row, why }| {
            format!("{count} shapes that the geodatabase cannot hold: their rows are there without them (the first, row {row}: {why})")
        });
        let named = self.fields.iter().take(MOST_NAMED).map(|(field, Left { count, row, why })| {
            let name = fields.get(*field).map_or("", |field| field.name.as_str());
            format!(
                "{count} values of field `{name}` that the geodatabase cannot hold: their rows are there without them (the first, row \
                 {row}: {why})"
            )
        });
        let more = self.fields.len().saturating_sub(MOST_NAMED);
        let rest = (more > 0).then(|| format!("values of {more} further fields that the geodatabase cannot hold"));
        shapes.chain(named).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::features::FieldType;

    #[test]
    fn what_is_left_out_is_counted_by_its_place_and_named_by_its_first_row() {
        let field = |n: usize| Field {
            name: format!("F{n}"),
            alias: None,
            field_type: FieldType::Date,
            length: None,
            is_nullable: true,
            domain: None,
        };
        let fields: Vec<Field> = (0..30).map(field).collect();
        let mut left = LeftOut::default();
        assert!(left.notes(&fields).is_empty());
        left.shape(7, "it is far");
        left.shape(8, "it is farther");
        (0..30).for_each(|n| left.value(n, 3, "it is old"));
        let notes = left.notes(&fields);
        assert_eq!(notes.len(), 22);
        assert!(notes[0].starts_with("2 shapes") && notes[0].contains("row 7: it is far"), "{}", notes[0]);
        assert!(notes[1].starts_with("1 values of field `F0`") && notes[1].contains("row 3: it is old"), "{}", notes[1]);
        assert!(notes[21].contains("10 further fields"));
    }
}
