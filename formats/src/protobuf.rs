//! The wire of protocol buffers.
//!
//! Source: Protocol Buffers, "Encoding".

/// A field of a protocol buffer.
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 bits.
    Fixed,
}

/// Reads a protocol buffer field by field; `None` if it is none, or `take` says no.
pub(crate) fn fields<'a>(mut bytes: &'a [u8], mut take: impl FnMut(u64, Field<'a>) -> bool) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(split(&mut bytes, length)?)
            }
            1 | 5 => {
                split(&mut bytes, if key & 7 == 1 { 8 } else { 4 })?;
                Field::Fixed
            }
            _ => return None,
        };
        if !take(key >> 3, field) {
            return None;
        }
    }
    Some(())
}

fn split<'a>(bytes: &mut &'a [u8], at: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(at)?;
    *bytes = rest;
    Some(head)
}

pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *split(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
