//! States, errors and results of replica and export jobs out of any JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = serde_json::from_slice(bytes) {
        offmap::exporters::read_any_job_answer(&answer);
    }
});
