//! Capabilities of a Web Map Tile Service out of any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| offmap::arcgis::lone_service::read_any_capabilities(bytes));
