//! Ranges of glyphs of two fonts, joined.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says where the second font begins.
    let Some((at, rest)) = bytes.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
    offmap::exporters::join_any_glyphs(&[first.to_vec(), second.to_vec()]);
});
