//! Features of a query, as PBF and as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| offmap::exporters::read_any_features(bytes));
