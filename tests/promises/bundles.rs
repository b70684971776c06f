//! Names of Compact Cache bundles: row and column in hexadecimal, of which `c` is a digit.

use offmap::formats::compact_cache::bundle_origin;
use proptest::prelude::*;

/// The name as the tile reference §12 wants it.
fn name(row: u64, column: u64) -> String {
    format!("R{row:04x}C{column:04x}.bundle")
}

#[test]
fn the_names_of_the_cases_have_the_rows_and_columns_of_their_table() {
    let mut read = 0;
    for line in include_str!("../cases/bundle-names.tsv").lines().filter(|l| !l.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, row, column] = columns.as_slice() else { panic!("`{line}` has not three columns") };
        let number = |text: &str| text.parse::<u64>().expect("a number");
        assert_eq!(bundle_origin(name), Some((number(row), number(column))), "{name}");
        assert_eq!(bundle_origin(&format!("v101/Layers/_alllayers/L17/{name}x")), Some((number(row), number(column))));
        read += 1;
    }
    assert_eq!(read, 6);
}

#[test]
fn every_row_and_column_that_32_bits_can_tell_comes_back_out_of_its_name() {
    // Every single bit, and every hexadecimal digit at every place.
    let bits = (7..32).map(|bit| 1_u64 << bit);
    let digits = (2..8).flat_map(|place| (0..16).map(move |digit| digit << (4 * place)));
    let numbers: Vec<u64> = bits.chain(digits).chain([0, 0xcc00, 0xcccc_cc80, 0xcccc_cc00, 0xffff_ff80]).collect();
    for row in &numbers {
        for column in &numbers {
            assert_eq!(bundle_origin(&name(*row, *column)), Some((*row, *column)), "{}", name(*row, *column));
        }
    }
}

#[test]
fn other_letter_cases_are_read_where_they_can_be_read_in_one_way_only() {
    for (text, expected) in [
        // All upper case: a number has four digits, or more without leading zeros, and ends in 00 or 80.
        ("R0C80C0C00.bundle", Some((0x0c80, 0x0c00))),
        ("RAC00CF780.bundle", Some((0xac00, 0xf780))),
        ("R1AC00C1F780.bundle", Some((0x1_ac00, 0x1_f780))),
        ("R00C0C0000.bundle", None),
        // All lower case.
        ("r0080c1f00.bundle", Some((0x80, 0x1f00))),
        ("rac00cf780.bundle", Some((0xac00, 0xf780))),
        ("rcc00cc80.bundle", None),
        // Two ways: cc00|cc00 with nothing between them, or a number of another length.
        ("RCC00CCC00.bundle", Some((0xcc00, 0xcc00))),
        ("RCC00C0C00C0C00.bundle", None),
        ("R0080CAC00.bundle", Some((0x80, 0xac00))),
        ("R+080C0080.bundle", None),
        ("R0080C.bundle", None),
        ("RC0080.bundle", None),
        ("R0080C0080C0080.bundle", None),
        ("Rffffffff1C0000.bundle", None),
        ("R0000Cffffffff1.bundle", None),
        ("0080C0080.bundle", None),
        ("R0é80C0080.bundle", None),
    ] {
        assert_eq!(bundle_origin(text), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bundle_s_name_is_read_as_it_was_written(row in 0_u64..1 << 25, column in 0_u64..1 << 25) {
        let (row, column) = (row * 128, column * 128);
        prop_assert_eq!(bundle_origin(&name(row, column)), Some((row, column)));
        // Upper-case digits: the same, or nothing; never another place.
        let upper = name(row, column).to_uppercase();
        if let Some(read) = bundle_origin(&upper) {
            prop_assert_eq!(read, (row, column), "{}", upper);
        }
        let lower = name(row, column).to_lowercase();
        if let Some(read) = bundle_origin(&lower) {
            prop_assert_eq!(read, (row, column), "{}", lower);
        }
    }
}
