//! Names of bundles.

use super::record::PACKET_SIZE;

/// Row and column of a bundle's first tile, out of its name `R<rrrr>C<cccc>`.
///
/// The digits are lower-case hexadecimal, of which `c` is one: only the upper-case `C` parts row and column (tile reference §12).
/// A name whose digits are upper case, or that is all lower case, is read if one way alone gives two numbers as they are
/// written: four digits, or more without a leading zero, and a multiple of 128.
#[must_use]
pub fn bundle_origin(name: &str) -> Option<(u64, u64)> {
    let digits = name.rsplit('/').next()?.split('.').next()?.strip_prefix(['R', 'r'])?;
    let mut upper = digits.match_indices('C');
    if let (Some((at, _)), None) = (upper.next(), upper.next()) {
        return Some((hexadecimal(digits.get(..at)?)?, hexadecimal(digits.get(at + 1..)?)?));
    }
    let parting = if digits.contains('C') { 'C' } else { 'c' };
    let written = |text: &str| {
        let number = hexadecimal(text)?;
        let is_padded = text.len() == 4 || (text.len() > 4 && !text.starts_with('0'));
        (is_padded && number % PACKET_SIZE == 0).then_some(number)
    };
    let mut ways = digits
        .match_indices(parting)
        .filter_map(|(at, _)| Some((written(digits.get(..at)?)?, written(digits.get(at + 1..)?)?)));
    ways.next().filter(|_| ways.next().is_none())
}

/// A number in hexadecimal digits alone. No level has more rows than 32 bits count: a longer number is hostile, and rows are
/// added to it.
fn hexadecimal(text: &str) -> Option<u64> {
    // The parser of the standard library accepts a sign, too.
    let only_digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    only_digits.then(|| u32::from_str_radix(text, 16).ok().map(u64::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_names_are_hexadecimal() {
        assert_eq!(bundle_origin("tile/L05/R0080C1f00.bundle"), Some((128, 0x1f00)));
        assert_eq!(bundle_origin("R0000C0000.bundlx"), Some((0, 0)));
        assert_eq!(bundle_origin("x.bundle"), None);
        assert_eq!(bundle_origin("RffffffffffffffffC0000.bundle"), None);
    }
}
