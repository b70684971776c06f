//! How much memory the features of an answer in PBF need, told from its bytes before anything is made of them.
//!
//! Two bytes are an empty feature, which needs a hundred in memory. The numbers of the fields are those of `pbf`.

use super::pbf::{PbfFeature, PbfField, PbfValue};

/// Bytes of memory that the features of one answer may need. Its own bytes are bounded by the kind of the answer.
const MOST: u64 = 64 << 20;

/// Why an answer is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no message, or has groups, which this one never has.
    NoMessage,
    TooMuch,
}

impl Unread {
    pub(super) fn words(self) -> String {
        match self {
            Self::NoMessage => "they are no FeatureCollectionPBuffer".to_owned(),
            Self::TooMuch => format!("they would need more than {} MiB of memory, expected at most that", MOST >> 20),
        }
    }
}

/// What is counted of a message: which of its fields are looked into, and what a field needs.
struct Part {
    field: u64,
    bytes: u64,
    inner: &'static [Part],
}

const fn part(field: u64, bytes: usize, inner: &'static [Part]) -> Part {
    Part { field, bytes: bytes as u64, inner }
}

/// Each number of a list whose field is this, packed or not.
const NUMBERS: u64 = 1 << 32;

const GEOMETRY: &[Part] = &[part(2 | NUMBERS, size_of::<u32>(), &[]), part(3 | NUMBERS, size_of::<i64>(), &[])];
const FEATURE: &[Part] = &[part(1, size_of::<PbfValue>(), &[]), part(2, 0, GEOMETRY)];
const RESULT: &[Part] = &[part(13, size_of::<PbfField>(), &[]), part(15, size_of::<PbfFeature>(), FEATURE)];
const COLLECTION: &[Part] = &[part(2, 0, &[part(1, 0, RESULT)])];

/// Checks an answer.
pub(super) fn check(bytes: &[u8]) -> Result<(), Unread> {
    count(bytes, COLLECTION, &mut (bytes.len() as u64))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn taken<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn count(mut bytes: &[u8], parts: &[Part], sum: &mut u64) -> Result<(), Unread> {
    while !bytes.is_empty() {
        let (field, content) = next(&mut bytes).ok_or(Unread::NoMessage)?;
        let Some(part) = parts.iter().find(|part| part.field & !NUMBERS == field) else { continue };
        let times = match content {
            // As many as have no bit for more.
            Some(packed) if part.field & NUMBERS != 0 => packed.iter().filter(|byte| **byte & 0x80 == 0).count() as u64,
            _ => 1,
        };
        *sum = sum.saturating_add(part.bytes.saturating_mul(times));
        if *sum > MOST {
            return Err(Unread::TooMuch);
        }
        if let Some(content) = content.filter(|_| !part.inner.is_empty()) {
            count(content, part.inner, sum)?;
        }
    }
    Ok(())
}

/// The next field: its number, and its content where it has a length.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => varint(bytes).map(|_| None),
        1 => taken(bytes, 8).map(|_| None),
        2 => {
            let length = varint(bytes)?;
            taken(bytes, length).map(Some)
        }
        5 => taken(bytes, 4).map(|_| None),
        _ => None,
    };
    content.map(|content| (key >> 3, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).expect("seven bits"));
        bytes.extend(content);
        bytes
    }

    fn answer(result: &[u8]) -> Vec<u8> {
        message(2, &message(1, result))
    }

    #[test]
    fn many_small_things_are_too_much_before_they_are_made() {
        let many = |one: &[u8], times: usize| answer(&one.repeat(times));
        let feature = |content: &[u8]| message(15, content);
        assert_eq!(check(&many(&feature(&[]), 1000)), Ok(()));
        assert_eq!(check(&many(&feature(&[]), 8 << 20)), Err(Unread::TooMuch), "16 MiB of features");
        assert_eq!(check(&answer(&feature(&message(1, &[]).repeat(4 << 20)))), Err(Unread::TooMuch), "8 MiB of values");
        let coordinates = |bytes: Vec<u8>| answer(&feature(&message(2, &bytes)));
        assert_eq!(check(&coordinates(message(3, &vec![0; 9 << 20]))), Err(Unread::TooMuch), "packed");
        assert_eq!(check(&coordinates([3 << 3, 0].repeat(9 << 20))), Err(Unread::TooMuch), "one by one");
        assert_eq!(check(&coordinates(message(3, &[0x80, 0x80, 0].repeat(1 << 20)))), Ok(()), "long numbers");
        assert_eq!(check(&many(&message(13, &[]), 8 << 20)), Err(Unread::TooMuch), "fields");
        assert_eq!(check(include_bytes!("../../../fuzz/seeds/feature_answers/borders.pbf")), Ok(()));
    }

    #[test]
    fn what_is_no_message_is_not_counted() {
        for bytes in [&b"\x12\x7fshort"[..], b"\x12", b"\x13\x00\x14", &[0xff; 11]] {
            assert_eq!(check(bytes), Err(Unread::NoMessage), "{bytes:?}");
        }
        assert_eq!(check(b""), Ok(()));
        assert!(Unread::TooMuch.words().contains("64 MiB"));
    }
}
