//! Columns of a file: their types, and the rows of one group in them.

use crate::features::{Field, FieldType, LayerSchema, Value};
use offmap_model::Failure;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::{SerializedColumnWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// Corners of the box of a shape.
pub(super) const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Values of a column in the rows of a group; rows without one are in its levels alone.
#[derive(Debug)]
pub(super) enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

/// A column of a group.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    values: Values,
    levels: Vec<i16>,
    is_optional: bool,
}

fn physical(values: &Values) -> Physical {
    match values {
        Values::Int32(_) => Physical::INT32,
        Values::Int64(_) => Physical::INT64,
        Values::Float(_) => Physical::FLOAT,
        Values::Double(_) => Physical::DOUBLE,
        Values::Bytes(_) => Physical::BYTE_ARRAY,
    }
}

/// How a field is stored.
fn stored(field: FieldType) -> (Values, Option<LogicalType>) {
    match field {
        FieldType::SmallInteger => (Values::Int32(Vec::new()), Some(LogicalType::integer(16, true))),
        FieldType::Integer => (Values::Int32(Vec::new()), None),
        FieldType::BigInteger => (Values::Int64(Vec::new()), None),
        FieldType::Single => (Values::Float(Vec::new()), None),
        FieldType::Double => (Values::Double(Vec::new()), None),
        FieldType::Date => (Values::Int64(Vec::new()), Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        FieldType::DateOnly => (Values::Int32(Vec::new()), Some(LogicalType::Date)),
        FieldType::Blob => (Values::Bytes(Vec::new()), None),
        FieldType::Text
        | FieldType::TimeOnly
        | FieldType::TimestampOffset
        | FieldType::Guid
        | FieldType::GlobalId
        | FieldType::Xml => (Values::Bytes(Vec::new()), Some(LogicalType::String)),
    }
}

impl Column {
    fn new(name: &str, values: Values, is_optional: bool) -> Self {
        Self { name: name.to_owned(), values, levels: Vec::new(), is_optional }
    }

    /// Adds a value; false where the column cannot hold it.
    pub(super) fn push(&mut self, value: &Value, field: &Field) -> bool {
        let is_there = *value != Value::Null;
        let is_held = match (&mut self.values, value) {
            (_, Value::Null) => self.is_optional,
            (Values::Int32(all), Value::Integer(n)) if field.field_type != FieldType::DateOnly => {
                let fits =
                    i32::try_from(*n).ok().filter(|n| field.field_type == FieldType::Integer || i16::try_from(*n).is_ok());
                fits.map(|n| all.push(n)).is_some()
            }
            (Values::Int32(all), Value::Date(ms)) => i32::try_from(ms.div_euclid(DAY)).map(|n| all.push(n)).is_ok(),
            (Values::Int64(all), Value::Integer(n) | Value::Date(n)) => {
                all.push(*n);
                true
            }
            // Numbers of single precision, and whole ones, as far as a float has digits.
            (Values::Float(all), Value::Real(n)) => {
                all.push(*n as f32);
                true
            }
            (Values::Float(all), Value::Integer(n)) => {
                all.push(*n as f32);
                true
            }
            (Values::Double(all), Value::Real(n)) => {
                all.push(*n);
                true
            }
            (Values::Double(all), Value::Integer(n)) => {
                all.push(*n as f64);
                true
            }
            (Values::Bytes(all), Value::Text(text)) if field.field_type != FieldType::Blob => {
                all.push(ByteArray::from(text.as_str()));
                true
            }
            (Values::Bytes(all), Value::Blob(bytes)) if field.field_type == FieldType::Blob => {
                all.push(ByteArray::from(bytes.clone()));
                true
            }
            _ => false,
        };
        if is_held {
            self.levels.push(i16::from(is_there));
        }
        is_held
    }

    /// The rows that it has.
    fn rows(&self) -> usize {
        self.levels.len()
    }

    /// Forgets what is behind the first rows.
    fn cut(&mut self, rows: usize) {
        let gone = self.levels.iter().skip(rows).filter(|level| **level != 0).count();
        self.levels.truncate(rows);
        match &mut self.values {
            Values::Int32(all) => all.truncate(all.len().saturating_sub(gone)),
            Values::Int64(all) => all.truncate(all.len().saturating_sub(gone)),
            Values::Float(all) => all.truncate(all.len().saturating_sub(gone)),
            Values::Double(all) => all.truncate(all.len().saturating_sub(gone)),
            Values::Bytes(all) => all.truncate(all.len().saturating_sub(gone)),
        }
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = self.is_optional.then_some(self.levels.as_slice());
        match &self.values {
            Values::Int32(all) => writer.typed::<Int32Type>().write_batch(all, levels, None),
            Values::Int64(all) => writer.typed::<Int64Type>().write_batch(all, levels, None),
            Values::Float(all) => writer.typed::<FloatType>().write_batch(all, levels, None),
            Values::Double(all) => writer.typed::<DoubleType>().write_batch(all, levels, None),
            Values::Bytes(all) => writer.typed::<ByteArrayType>().write_batch(all, levels, None),
        }
        .map(|_| ())
    }
}

/// The columns of a layer with the rows of one group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Option<Column>,
    pub(super) fields: Vec<Column>,
    /// Shapes, and the corners of their boxes.
    pub(super) shape: Option<(Column, [Column; 4])>,
    pub(super) rows: usize,
    /// About how many bytes they have.
    pub(super) bytes: usize,
    schema: TypePtr,
    box_name: String,
}

fn primitive(column: &Column, logical: Option<LogicalType>) -> Result<TypePtr> {
    let repetition = if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let built = Type::primitive_type_builder(&column.name, physical(&column.values));
    Ok(Arc::new(built.with_repetition(repetition).with_logical_type(logical).build()?))
}

impl Group {
    /// The empty group of a layer.
    pub(super) fn of(layer: &LayerSchema) -> Result<Self> {
        let mut types = Vec::new();
        let key = layer.object_id_field.as_ref().map(|name| Column::new(name, Values::Int64(Vec::new()), false));
        if let Some(key) = &key {
            types.push(primitive(key, None)?);
        }
        let mut fields = Vec::new();
        for field in &layer.fields {
            let (values, logical) = stored(field.field_type);
            let column = Column::new(&field.name, values, true);
            types.push(primitive(&column, logical)?);
            fields.push(column);
        }
        let taken: Vec<String> = types.iter().map(|t| t.name().to_lowercase()).collect();
        let mut box_name = "bbox".to_owned();
        let own = layer.geometry.as_ref().map(|g| g.name.to_lowercase());
        while taken.contains(&box_name) || own.as_ref() == Some(&box_name) {
            box_name.push('_');
        }
        let mut shape = None;
        if let Some(geometry) = &layer.geometry {
            let column = Column::new(&geometry.name, Values::Bytes(Vec::new()), true);
            types.push(primitive(&column, None)?);
            let corners = CORNERS.map(|name| Column::new(name, Values::Double(Vec::new()), true));
            let corner =
                |name| Type::primitive_type_builder(name, Physical::DOUBLE).with_repetition(Repetition::REQUIRED).build();
            let members = CORNERS.iter().map(|name| corner(name).map(Arc::new)).collect::<Result<Vec<_>>>()?;
            let built = Type::group_type_builder(&box_name).with_repetition(Repetition::OPTIONAL).with_fields(members);
            types.push(Arc::new(built.build()?));
            shape = Some((column, corners));
        }
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(types).build()?);
        Ok(Self { key, fields, shape, rows: 0, bytes: 0, schema, box_name })
    }

    pub(super) fn schema(&self) -> TypePtr {
        Arc::clone(&self.schema)
    }

    /// The name of the column of boxes.
    pub(super) fn box_name(&self) -> &str {
        &self.box_name
    }

    fn columns_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        let shape = self.shape.as_mut().map(|(shape, corners)| std::iter::once(shape).chain(corners));
        self.key.iter_mut().chain(&mut self.fields).chain(shape.into_iter().flatten())
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        let shape = self.shape.as_ref().map(|(shape, corners)| std::iter::once(shape).chain(corners));
        self.key.iter().chain(&self.fields).chain(shape.into_iter().flatten())
    }

    /// Adds the id of a row.
    pub(super) fn push_key(&mut self, id: i64) {
        if let Some(Column { values: Values::Int64(all), levels, .. }) = &mut self.key {
            all.push(id);
            levels.push(1);
        }
    }

    /// Adds a shape with its box, or none.
    pub(super) fn push_shape(&mut self, shape: Option<(&[u8], Option<[f64; 4]>)>) {
        let Some((column, corners)) = &mut self.shape else { return };
        if let (Values::Bytes(all), Some((bytes, _))) = (&mut column.values, shape) {
            all.push(ByteArray::from(bytes.to_vec()));
        }
        column.levels.push(i16::from(shape.is_some()));
        let found = shape.and_then(|(_, found)| found);
        for (at, column) in corners.iter_mut().enumerate() {
            if let (Values::Double(all), Some(found)) = (&mut column.values, found) {
                all.push(found[at]);
            }
            column.levels.push(i16::from(found.is_some()));
        }
    }

    /// Forgets a row that was begun and is not complete.
    pub(super) fn forget_unfinished(&mut self) {
        let rows = self.rows;
        self.columns_mut().filter(|column| column.rows() > rows).for_each(|column| column.cut(rows));
    }

    /// Writes all columns into a group of a file.
    pub(super) fn write<W: Write + Send>(&self, rows: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        for column in self.columns() {
            let Some(mut writer) = rows.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        Ok(())
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        self.columns_mut().for_each(|column| column.cut(0));
        (self.rows, self.bytes) = (0, 0);
    }
}

/// What the library says, of the program itself.
pub(super) fn internal(e: &parquet::errors::ParquetError) -> Failure {
    Failure::internal(format!("the columns of a GeoParquet file cannot be made: {e}"))
}
