//! Values of JSON where something else is expected: services write null, text and lists in all places, which is passed over.

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

/// The rest of a list.
pub(super) fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The rest of an object.
pub(super) fn skip_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A method of a visitor that takes true and false as the default of its value.
macro_rules! other_flag {
    () => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

/// The same of numbers and text.
macro_rules! other_scalars {
    () => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

/// The same of null.
macro_rules! other_null {
    () => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

/// The same of an object.
macro_rules! other_object {
    () => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
            $crate::feature_query::json_other::skip_object(object).map(|()| Self::Value::default())
        }
    };
}

/// The same of a list.
macro_rules! other_list {
    () => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            $crate::feature_query::json_other::skip_list(list).map(|()| Self::Value::default())
        }
    };
}

pub(super) use {other_flag, other_list, other_null, other_object, other_scalars};
