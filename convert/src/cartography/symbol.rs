//! Symbols, as far as MapLibre and QGIS both can draw them. Lengths are points of 1/72 inch, angles turn clockwise.

use super::color::Rgba;

/// CSS pixels of a point.
pub const PIXELS_PER_POINT: f64 = 96.0 / 72.0;

/// How a feature is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Symbol {
    /// A shape at a point.
    Marker(Marker),
    /// A picture at a point.
    Picture(Picture),
    /// A line.
    Line(Stroke),
    /// An area.
    Fill(Fill),
    /// Nothing is drawn.
    Nothing,
}

impl Symbol {
    /// The colour that a reader of the map would name.
    pub fn main_color(&self) -> Rgba {
        match self {
            Self::Marker(marker) => marker.color,
            Self::Line(stroke) => stroke.color,
            Self::Fill(fill) => match (&fill.style, &fill.outline) {
                (FillStyle::Hollow, Some(outline)) => outline.color,
                _ => fill.color,
            },
            Self::Picture(_) | Self::Nothing => Rgba::GREY,
        }
    }
}

/// A shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A plus sign, drawn by its outline only.
    Cross,
    /// A cross of diagonals, drawn by its outline only.
    X,
    /// A triangle with the point up.
    Triangle,
}

impl Shape {
    /// Whether the shape has no area: its outline alone is drawn.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Cross | Self::X)
    }
}

/// A shape at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker {
    /// The shape.
    pub shape: Shape,
    /// Width and height.
    pub size: f64,
    /// The inner colour.
    pub color: Rgba,
    /// The line around it, centred on its edge.
    pub outline: Option<Stroke>,
    /// Where it stands.
    pub placement: Placement,
}

/// How a marker stands at its point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// Degrees clockwise.
    pub angle: f64,
    /// To the right.
    pub right: f64,
    /// Upwards.
    pub up: f64,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `image/png`, `image/svg+xml`, …
    pub media_type: String,
    /// The bytes of its file.
    pub data: Vec<u8>,
    /// Width on the map.
    pub width: f64,
    /// Height on the map.
    pub height: f64,
    /// Where it stands.
    pub placement: Placement,
}

/// The style of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// Its colour.
    pub color: Rgba,
    /// Its width.
    pub width: f64,
    /// Dashes and gaps in widths of the line; empty is a solid line.
    pub dashes: Vec<f64>,
}

/// An area.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// The colour of the area or of its hatches.
    pub color: Rgba,
    /// What fills it.
    pub style: FillStyle,
    /// The line around it.
    pub outline: Option<Stroke>,
}

/// What fills an area.
#[derive(Clone, Debug, PartialEq)]
pub enum FillStyle {
    /// One colour.
    Solid,
    /// Nothing.
    Hollow,
    /// Parallel or crossed lines.
    Hatch(Hatch),
    /// A picture, repeated.
    Picture(Picture),
}

/// Directions of hatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hatch {
    /// Lines from left to right.
    Horizontal,
    /// Lines from top to bottom.
    Vertical,
    /// Lines that rise to the right: `////`.
    BackwardDiagonal,
    /// Lines that fall to the right: `\\\\`.
    ForwardDiagonal,
    /// Horizontal and vertical lines.
    Cross,
    /// Both diagonals.
    DiagonalCross,
}

/// The style of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSymbol {
    /// Its colour.
    pub color: Rgba,
    /// The height of its font.
    pub size: f64,
    /// The name of its font.
    pub family: String,
    /// Whether it is bold.
    pub bold: bool,
    /// Whether it is italic.
    pub italic: bool,
    /// The colour and width of its halo.
    pub halo: Option<(Rgba, f64)>,
    /// To the right and upwards.
    pub offset: (f64, f64),
}
