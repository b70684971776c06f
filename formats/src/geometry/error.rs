//! Why bytes are no shape.

use super::kind::GeometryKind;
use std::fmt;

/// What the bytes end before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// The fixed part at the beginning.
    Head,
    /// The envelope.
    Envelope,
    /// The list of parts.
    Parts,
    /// The coordinates.
    Coordinates,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Envelope => "envelope",
            Self::Parts => "list of parts",
            Self::Coordinates => "coordinates",
        })
    }
}

/// Why bytes are no shape: what was found and what was expected.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GeometryError {
    /// The first bytes are not those of the format.
    Magic {
        /// The first byte.
        found: u8,
        /// The format that was expected.
        expected: &'static str,
    },
    /// The bytes end too early.
    Short {
        /// Before what.
        before: Shortage,
        /// How many there are.
        bytes: usize,
    },
    /// More points, rings or parts than the bytes can hold.
    Count {
        /// How many are stated.
        stated: u64,
        /// How many the bytes can hold at most.
        most: u64,
    },
    /// A kind of shape that offmap does not read, such as one with curves.
    Unsupported {
        /// Its name, or its number.
        kind: String,
    },
    /// A shape of another kind than its layer has.
    Kind {
        /// Found.
        found: GeometryKind,
        /// Of the layer.
        expected: GeometryKind,
    },
    /// A number that is longer or larger than the format allows.
    Number,
    /// A coordinate that is no finite number.
    NotFinite,
    /// The length that is stated for the coordinates is not the one they have.
    Length {
        /// Stated.
        stated: u64,
        /// There.
        found: u64,
    },
    /// Something else is wrong with the head.
    Head(&'static str),
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found, expected } => write!(f, "its first byte is 0x{found:02X}, expected {expected}"),
            Self::Short { before, bytes } => write!(f, "its {bytes} bytes end before the {before} does"),
            Self::Count { stated, most } => {
                write!(f, "it states {stated} points or parts, its bytes can hold {most} at most")
            }
            Self::Unsupported { kind } => write!(f, "it is {kind}, expected points, lines or polygons without curves"),
            Self::Kind { found, expected } => write!(f, "it is a {found}, its layer has shapes of kind {expected}"),
            Self::Number => f.write_str("a number in it is longer or larger than the format allows"),
            Self::NotFinite => f.write_str("a coordinate of it is no finite number"),
            Self::Length { stated, found } => {
                write!(f, "it states {stated} bytes of coordinates, expected {found}, which are there")
            }
            Self::Head(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for GeometryError {}
