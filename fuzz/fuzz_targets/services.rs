//! Descriptions of services and layers out of any JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = serde_json::from_slice(bytes) {
        offmap::exporters::read_any_service(&answer);
    }
});
