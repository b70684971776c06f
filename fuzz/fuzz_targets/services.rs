//! Descriptions of services and layers out of any JSON, and the capabilities of a WMS out of any XML.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Read as an answer is read: with a byte order mark, and bare words for numbers.
    let budget = offmap::model::json::JsonBudget { bytes: 1 << 20, values: 50_000 };
    if let Ok(answer) = budget.read(bytes) {
        offmap::exporters::read_any_service(&answer);
    }
    offmap::exporters::read_any_capabilities(bytes);
});
