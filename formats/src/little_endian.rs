//! Whole numbers as file formats store them: the lowest byte first.

/// The number of `size` bytes at `at`; bytes that are not there count as zero.
pub(crate) fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes.get(at..at + size).unwrap_or_default().iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b))
}
