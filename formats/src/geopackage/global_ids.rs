//! The column that names a layer's rows, which a GeoPackage has no word for.

use crate::features::{Field, FieldType};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;

/// A character of a GUID in base 16, as SQLite's `GLOB` has it.
const DIGIT: &str = "[0-9A-Fa-f]";

/// A GUID in braces, as `GLOB` has it.
fn guid_pattern() -> String {
    format!("{{{}}}", [8, 4, 4, 4, 12].map(|digits| DIGIT.repeat(digits)).join("-"))
}

/// Says of the field `GlobalID` that it names the row, where it does: 38 characters, never null, each row's a GUID of its own. A layer
/// that ArcGIS's files are made of keeps its global ids so, and gets no second ones beside them.
pub(super) fn recognise(file: &ForeignSqlite, table: &str, fields: &mut [Field]) -> Result<(), Failure> {
    let is_one = |f: &Field| {
        let has_its_type = f.field_type == FieldType::Text && f.length == Some(38) && !f.is_nullable;
        has_its_type && f.name.eq_ignore_ascii_case("GlobalID")
    };
    let Some(field) = fields.iter_mut().find(|f| is_one(f)) else { return Ok(()) };
    let column = quoted(&field.name);
    let sql = format!(
        "SELECT count(*) = count(DISTINCT upper({column})) AND total(NOT {column} GLOB ?1) = 0 FROM {}",
        quoted(table)
    );
    file.begin_reading()?;
    if file.connection.query_row(&sql, [guid_pattern()], |row| row.get(0)).map_err(|e| file.failure(e))? {
        field.field_type = FieldType::GlobalId;
    }
    Ok(())
}
