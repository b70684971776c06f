//! Attributes out of JSON, read as they come.

use super::fit::{FieldFit, Raw, Scalar, StoredValue};
use super::json_other::{skip_list, skip_object};
use offmap_formats::features::Field;
use offmap_model::number;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The attributes of one feature.
#[derive(Debug)]
pub(super) struct JsonAttributes {
    pub(super) values: Vec<StoredValue>,
    /// What its id field has.
    pub(super) id: Value,
}

impl JsonAttributes {
    /// The object id, in whatever form it comes.
    pub(super) fn object_id(&self) -> Option<i64> {
        number::read(&self.id)
    }
}

/// How well the name of an attribute is that of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Likeness {
    #[default]
    None,
    /// But for its letter case; the first such one counts.
    AnyCase,
    Exact,
}

impl Likeness {
    fn of(field: &str, name: &str) -> Self {
        match (field == name, field.eq_ignore_ascii_case(name)) {
            (true, _) => Self::Exact,
            (false, true) => Self::AnyCase,
            (false, false) => Self::None,
        }
    }

    /// Whether a further attribute is it, rather than the one that was.
    fn gives_way_to(self, other: Self) -> bool {
        other > self || (other == Self::Exact)
    }
}

/// Reads the attributes of one feature; none where there is something else than an object.
pub(super) struct AttributesSeed<'a> {
    pub(super) fields: &'a [Field],
    pub(super) object_id_field: &'a str,
    pub(super) fits: &'a mut [FieldFit],
}

impl<'de> DeserializeSeed<'de> for AttributesSeed<'_> {
    type Value = Option<JsonAttributes>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AttributesSeed<'_> {
    type Value = Option<JsonAttributes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes")
    }

    super::json_other::other_flag!();
    super::json_other::other_null!();
    super::json_other::other_scalars!();
    super::json_other::other_list!();

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Self { fields, object_id_field, fits } = self;
        let mut values: Vec<StoredValue> = vec![StoredValue::default(); fields.len()];
        let mut found = vec![Likeness::None; fields.len()];
        let (mut id, mut id_found) = (Value::Null, Likeness::None);
        let mut expected = 0;
        while let Some(name) = members.next_key_seed(NameSeed { fields, object_id_field, expected })? {
            expected = name.field.map_or(expected, |(place, _)| place + 1);
            let is_id = name.id != Likeness::None && id_found.gives_way_to(name.id);
            let field = name.field.filter(|(place, likeness)| found[*place].gives_way_to(*likeness));
            if is_id {
                (id, id_found) = (members.next_value_seed(ScalarSeed)?, name.id);
                if let Some((place, likeness)) = field {
                    found[place] = likeness;
                    values[place].scalar = fits[place].value(raw(&id), fields[place].field_type);
                }
                continue;
            }
            match field {
                Some((place, likeness)) => {
                    found[place] = likeness;
                    let seed = FieldSeed { fit: &mut fits[place], field: &fields[place] };
                    values[place].scalar = members.next_value_seed(seed)?;
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        for ((fit, field), _) in fits.iter_mut().zip(fields).zip(&found).filter(|(_, found)| **found == Likeness::None) {
            fit.value(Raw::Null, field.field_type);
        }
        Ok(Some(JsonAttributes { values, id }))
    }
}

fn raw(value: &Value) -> Raw<'_> {
    match value {
        Value::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Raw::Null, Raw::Real), Raw::Integer),
        Value::String(text) => Raw::Text(text),
        Value::Bool(flag) => Raw::Integer(i64::from(*flag)),
        _ => Raw::Null,
    }
}

/// What an attribute is by its name.
struct Name {
    field: Option<(usize, Likeness)>,
    id: Likeness,
}

/// Tells attributes by their names; they mostly come in the order of the fields.
struct NameSeed<'a> {
    fields: &'a [Field],
    object_id_field: &'a str,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let id = Likeness::of(self.object_id_field, name);
        if self.fields.get(self.expected).is_some_and(|field| field.name == name) {
            return Ok(Name { field: Some((self.expected, Likeness::Exact)), id });
        }
        let all = self.fields.iter().enumerate().map(|(place, field)| (place, Likeness::of(&field.name, name)));
        // The first of the best.
        let field = all.filter(|(_, likeness)| *likeness != Likeness::None).reduce(|a, b| if b.1 > a.1 { b } else { a });
        Ok(Name { field, id })
    }
}

/// The value of a field, as it is kept.
struct FieldSeed<'a> {
    fit: &'a mut FieldFit,
    field: &'a Field,
}

impl FieldSeed<'_> {
    fn value<E>(self, raw: Raw<'_>) -> Result<Option<Scalar>, E> {
        Ok(self.fit.value(raw, self.field.field_type))
    }
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Scalar>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Scalar>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = Option<Scalar>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Option<Scalar>, E> {
        self.value(Raw::Integer(i64::from(flag)))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Option<Scalar>, E> {
        self.value(Raw::Integer(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Option<Scalar>, E> {
        self.value(i64::try_from(n).map_or(Raw::Real(n as f64), Raw::Integer))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Option<Scalar>, E> {
        self.value(Raw::Real(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Scalar>, E> {
        self.value(Raw::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Option<Scalar>, E> {
        self.value(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Option<Scalar>, A::Error> {
        skip_list(list)?;
        self.value(Raw::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<Scalar>, A::Error> {
        skip_object(object)?;
        self.value(Raw::Null)
    }
}

/// A number, text, true or false; null for anything else.
struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object id")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    super::json_other::other_list!();
    super::json_other::other_object!();
}
