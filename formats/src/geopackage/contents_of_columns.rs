//! Columns that hold more than they are declared to: SQLite keeps longer texts and larger whole numbers than a declaration says, and
//! other programs write them (GeoPackage 1.4, table 1, states the limits of types; nothing of a file enforces them).

use crate::features::{Field, FieldType};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;

/// SQL of what a column holds at most: characters of its texts, or the class of its whole numbers; `None` for a type without a limit.
fn most(field: &Field) -> Option<String> {
    let column = quoted(&field.name);
    let within = |min: i64, max: i64| format!("{column} BETWEEN {min} AND {max}");
    match (field.field_type, field.length) {
        (FieldType::Text, Some(_)) => Some(format!("max(CASE WHEN typeof({column}) = 'text' THEN length({column}) END)")),
        (FieldType::SmallInteger | FieldType::Integer, _) => Some(format!(
            "max(CASE WHEN typeof({column}) <> 'integer' THEN 0 WHEN {} THEN 16 WHEN {} THEN 32 ELSE 64 END)",
            within(i16::MIN.into(), i16::MAX.into()),
            within(i32::MIN.into(), i32::MAX.into())
        )),
        _ => None,
    }
}

/// Makes the fields of a table what their columns hold: one that holds more than it is declared to is a text of any length, or a whole
/// number of more bits. Reads the table once.
pub(super) fn widen(file: &ForeignSqlite, table: &str, fields: &mut [Field]) -> Result<(), Failure> {
    let limited: Vec<(usize, String)> = fields.iter().enumerate().filter_map(|(at, f)| Some((at, most(f)?))).collect();
    if limited.is_empty() {
        return Ok(());
    }
    let asked: Vec<&str> = limited.iter().map(|(_, sql)| sql.as_str()).collect();
    let sql = format!("SELECT {} FROM {}", asked.join(", "), quoted(table));
    let read = |row: &rusqlite::Row<'_>| (0..limited.len()).map(|at| row.get(at)).collect::<Result<Vec<Option<i64>>, _>>();
    file.begin_reading()?;
    let found = file.connection.query_row(&sql, [], read).map_err(|e| file.failure(e))?;
    for ((at, _), most) in limited.iter().zip(found) {
        let (Some(field), Some(most)) = (fields.get_mut(*at), most) else { continue };
        match field.field_type {
            FieldType::Text if field.length.is_some_and(|length| most > i64::from(length)) => field.length = None,
            FieldType::SmallInteger | FieldType::Integer if most == 64 => field.field_type = FieldType::BigInteger,
            FieldType::SmallInteger if most == 32 => field.field_type = FieldType::Integer,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::features::{CopyOptions, Feature, FeatureSink as _, Field, FieldType, LayerSchema, copy_features};
    use crate::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
    use crate::geopackage::{GeoPackage, GeoPackageOptions, GeoPackageSink};
    use rusqlite::Connection;
    use tokio_util::sync::CancellationToken;

    fn field(name: &str, field_type: FieldType, length: Option<u32>) -> Field {
        Field { name: name.to_owned(), alias: None, field_type, length, is_nullable: true, domain: None }
    }

    #[test]
    fn columns_that_hold_more_than_they_are_declared_to_are_converted_with_all_they_hold() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("x.gpkg"), dir.path().join("x.geodatabase"));
        let mut layer = LayerSchema::new("notes", None);
        layer.fields = vec![
            field("words", FieldType::Text, Some(5)),
            field("short", FieldType::Text, Some(5)),
            field("few", FieldType::SmallInteger, None),
            field("more", FieldType::SmallInteger, None),
            field("most", FieldType::Integer, None),
        ];
        let mut sink = GeoPackageSink::create(&from, &GeoPackageOptions::default()).expect("begins");
        sink.begin_layer(&layer).expect("begins");
        let mut feature = Feature::with_fields(layer.fields.len());
        feature.row_id = 1;
        sink.put_feature(&feature).expect("puts");
        sink.finish_file().expect("completes");
        // As another program writes it: nothing in the file minds.
        let sql = Connection::open(&from).expect("opens");
        let values = "words = 'seven letters and more', short = 'ÄÖÜéè', few = -32768, more = 40000, most = 5000000000";
        assert_eq!(sql.execute(&format!("UPDATE notes SET {values}"), []), Ok(1));
        drop(sql);

        let file = GeoPackage::open(&from, &CancellationToken::new()).expect("opens");
        let mut sink = GeodatabaseSink::create(&to, &GeodatabaseOptions::default()).expect("begins");
        copy_features(&file, &mut sink, &CopyOptions::default()).expect("copies");
        sink.finish_file().expect("completes");
        let sql = Connection::open(&to).expect("opens");
        let row: (String, String, i64, i64, i64) = sql
            .query_row("SELECT words, short, few, more, most FROM notes", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
            })
            .expect("a row");
        let expected = ("seven letters and more".to_owned(), "ÄÖÜéè".to_owned(), -32_768, 40_000, 5_000_000_000);
        assert_eq!(row, expected);
        let types: Vec<String> = sql
            .prepare(
                "SELECT type FROM pragma_table_info('notes') WHERE name IN ('short', 'few', 'more', 'most') ORDER BY cid",
            )
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .expect("columns");
        assert!(types[0].starts_with("text(5)"), "what keeps to its declaration is as it was: {types:?}");
        assert_eq!(
            types[1..].iter().map(|t| t.split(' ').next().unwrap_or_default()).collect::<Vec<_>>(),
            ["int16", "int32", "int64"]
        );
    }
}
