//! Ids that are the same for the same map.

/// FNV-1a of 64 bits.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A UUID in its usual form, made of a text.
pub(crate) fn uuid(text: &str) -> String {
    let (high, low) = (fnv(text.as_bytes()), fnv(format!("{text}\u{0}").as_bytes()));
    let hex = format!("{high:016x}{low:016x}");
    // Version 8 and the usual variant: made by a rule of one's own.
    format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
