//! What values a field really has: services do not keep to the types that they state.
//!
//! A text column with numbers in it, numbers as text, a column of whole numbers with a fraction somewhere, texts longer than their column:
//! each value is kept, and the column becomes one that holds all of them.

use offmap_formats::features::{Field, FieldType, read_date};
use offmap_formats::geodatabase::holds_date;

/// The value of a field.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Scalar {
    #[prost(sint64, tag = "1")]
    Integer(i64),
    #[prost(double, tag = "2")]
    Real(f64),
    #[prost(string, tag = "3")]
    Text(String),
    /// Milliseconds since 1970.
    #[prost(sint64, tag = "4")]
    Date(i64),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredValue {
    #[prost(oneof = "Scalar", tags = "1, 2, 3, 4")]
    pub(super) scalar: Option<Scalar>,
}

/// What was seen of a field.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct FieldFit {
    /// Characters of the longest text.
    #[prost(uint32, tag = "1")]
    pub(super) longest: u32,
    #[prost(bool, tag = "2")]
    pub(super) has_null: bool,
    /// A number beyond 16 bits, and one beyond 32.
    #[prost(bool, tag = "3")]
    pub(super) over_16: bool,
    #[prost(bool, tag = "4")]
    pub(super) over_32: bool,
    /// A number that is not whole, or beyond 64 bits.
    #[prost(bool, tag = "5")]
    pub(super) has_real: bool,
    /// A text that the stated type cannot hold.
    #[prost(bool, tag = "6")]
    pub(super) has_other_text: bool,
    /// A date that no column of dates holds.
    #[prost(bool, tag = "7")]
    pub(super) has_odd_date: bool,
}

/// A value as an answer has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

fn is_number(field: FieldType) -> bool {
    is_whole(field) || matches!(field, FieldType::Single | FieldType::Double)
}

fn is_whole(field: FieldType) -> bool {
    matches!(field, FieldType::SmallInteger | FieldType::Integer | FieldType::BigInteger)
}

fn is_date(field: FieldType) -> bool {
    matches!(field, FieldType::Date | FieldType::DateOnly)
}

/// Characters of the longest text of a time of day, or of a moment with an offset, as they are declared.
const LONGEST_TIME: usize = 255;

fn is_time(field: FieldType) -> bool {
    matches!(field, FieldType::TimeOnly | FieldType::TimestampOffset)
}

/// A whole number, where a real one is one.
fn whole(n: f64) -> Option<i64> {
    // All whole numbers below are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (n.fract() == 0.0 && n.abs() <= EXACT).then_some(n as i64)
}

fn number(n: f64) -> Option<Scalar> {
    match whole(n) {
        Some(n) => Some(Scalar::Integer(n)),
        None => n.is_finite().then_some(Scalar::Real(n)),
    }
}

impl FieldFit {
    /// The value of a field of a stated type, as it is kept.
    pub(super) fn value(&mut self, raw: Raw<'_>, field: FieldType) -> Option<Scalar> {
        let scalar = scalar(raw, field);
        match &scalar {
            None => self.has_null = true,
            Some(Scalar::Integer(n)) if is_number(field) => {
                self.over_16 |= i16::try_from(*n).is_err();
                self.over_32 |= i32::try_from(*n).is_err();
            }
            Some(Scalar::Real(_)) => self.has_real = true,
            Some(Scalar::Text(text)) => {
                let characters = text.chars().count();
                self.longest = self.longest.max(u32::try_from(characters).unwrap_or(u32::MAX));
                let is_guid = || uuid::Uuid::try_parse(text.trim()).is_ok();
                let is_guid_field = matches!(field, FieldType::Guid | FieldType::GlobalId);
                let is_other = is_number(field) || is_date(field) || (is_guid_field && !is_guid());
                self.has_other_text |= is_other || (is_time(field) && characters > LONGEST_TIME);
            }
            Some(Scalar::Date(ms)) => self.has_odd_date |= !holds_date(*ms),
            Some(_) => {}
        }
        scalar
    }

    /// What both have seen.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            longest: self.longest.max(other.longest),
            has_null: self.has_null || other.has_null,
            over_16: self.over_16 || other.over_16,
            over_32: self.over_32 || other.over_32,
            has_real: self.has_real || other.has_real,
            has_other_text: self.has_other_text || other.has_other_text,
            has_odd_date: self.has_odd_date || other.has_odd_date,
        }
    }

    /// The field as it holds all of its values; where that is another type than the stated one, in words, too.
    pub(super) fn settle(self, stated: &Field) -> (Field, Option<String>) {
        let field_type = match stated.field_type {
            _ if self.has_other_text => FieldType::Text,
            field if is_whole(field) && self.has_real => FieldType::Double,
            FieldType::SmallInteger | FieldType::Integer if self.over_32 => FieldType::BigInteger,
            FieldType::SmallInteger if self.over_16 => FieldType::Integer,
            field => field,
        };
        let length = stated.length.filter(|_| field_type == FieldType::Text).map(|length| length.max(self.longest));
        let is_nullable = stated.is_nullable || self.has_null || self.has_odd_date;
        let is_other = field_type != stated.field_type;
        let words = is_other
            .then(|| format!("field `{}` holds values that its type does not, and becomes another one", stated.name));
        // Codes of another type than the column's mean nothing in it.
        let domain = stated.domain.clone().filter(|_| !is_other);
        (Field { field_type, length, is_nullable, domain, ..stated.clone() }, words)
    }
}

fn scalar(raw: Raw<'_>, field: FieldType) -> Option<Scalar> {
    match raw {
        Raw::Null => None,
        Raw::Integer(n) if is_date(field) => Some(Scalar::Date(n)),
        Raw::Real(n) if is_date(field) => n.is_finite().then_some(Scalar::Date(n as i64)),
        Raw::Text(text) if is_date(field) => {
            let moment = read_date(text.trim()).or_else(|| text.trim().parse().ok());
            Some(moment.map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Date))
        }
        Raw::Text(text) if is_number(field) => {
            let trimmed = text.trim();
            let integer = || trimmed.parse().ok().map(Scalar::Integer);
            let real = || trimmed.parse().ok().and_then(number);
            Some(integer().or_else(real).unwrap_or_else(|| Scalar::Text(text.to_owned())))
        }
        Raw::Integer(n) if is_number(field) => Some(Scalar::Integer(n)),
        Raw::Real(n) if is_number(field) => number(n),
        Raw::Integer(n) => Some(Scalar::Text(n.to_string())),
        Raw::Real(n) => n.is_finite().then(|| Scalar::Text(n.to_string())),
        Raw::Text(text) => Some(Scalar::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(field_type: FieldType, length: Option<u32>) -> Field {
        Field { name: "F".to_owned(), alias: None, field_type, length, is_nullable: false, domain: None }
    }

    fn settled(field_type: FieldType, length: Option<u32>, values: &[Raw<'_>]) -> (Vec<Option<Scalar>>, Field) {
        let mut fit = FieldFit::default();
        let kept = values.iter().map(|raw| fit.value(*raw, field_type)).collect();
        (kept, fit.settle(&field(field_type, length)).0)
    }

    #[test]
    fn every_value_is_kept_and_the_column_becomes_one_that_holds_all() {
        use FieldType as T;
        use Raw::{Integer, Null, Real, Text};
        let cases: [(T, &[Raw<'_>], T); 12] = [
            (T::Text, &[Text("a"), Integer(7), Real(0.5)], T::Text),
            (T::Integer, &[Text("12"), Text("1e3"), Integer(-3)], T::Integer),
            (T::Integer, &[Integer(5_000_000_000)], T::BigInteger),
            (T::SmallInteger, &[Integer(40_000)], T::Integer),
            (T::Integer, &[Integer(1), Real(0.25)], T::Double),
            (T::Integer, &[Real(4.0), Null], T::Integer),
            (T::Double, &[Text("n/a"), Real(1.5)], T::Text),
            (T::Date, &[Integer(-1), Real(2.0), Text("2024-02-29"), Text("86400000")], T::Date),
            (T::Date, &[Text("yesterday"), Integer(0)], T::Text),
            (T::DateOnly, &[Text("1970-01-02")], T::DateOnly),
            (T::Guid, &[Text("{0FF0A900-0000-4000-8000-000000000001}"), Null], T::Guid),
            (T::GlobalId, &[Text("7"), Null], T::Text),
        ];
        for (stated, values, expected) in cases {
            let (kept, field) = settled(stated, None, values);
            assert_eq!(field.field_type, expected, "{values:?}");
            assert_eq!(kept.iter().filter(|k| k.is_none()).count(), values.iter().filter(|v| **v == Null).count());
            assert_eq!(field.is_nullable, values.contains(&Null));
        }
        assert_eq!(settled(FieldType::Text, Some(3), &[Text("äöüä")]).1.length, Some(4));
        assert_eq!(settled(FieldType::DateOnly, None, &[Text("1970-01-02")]).0, [Some(Scalar::Date(86_400_000))]);
        assert_eq!(settled(FieldType::Integer, None, &[Real(f64::NAN)]).0, [None]);
        // Kept as it is, and written as no date where its column stays one of dates.
        let (kept, field) = settled(FieldType::Date, None, &[Integer(-400_000_000_000_000)]);
        assert_eq!((kept, field.is_nullable), (vec![Some(Scalar::Date(-400_000_000_000_000))], true));
        let long = "0".repeat(300);
        assert_eq!(settled(FieldType::TimeOnly, None, &[Text(&long), Text("12:00")]).1.field_type, FieldType::Text);
    }
}
