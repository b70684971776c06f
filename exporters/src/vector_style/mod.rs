//! Styles of vector tiles, with the sprites and fonts that go with them: those of portal items, and those of services whose tiles are
//! downloaded one by one.

mod fetcher;
mod fonts;
mod forms;
mod sprites;
mod style;
mod style_unit;

pub(crate) use style::{LayerStyle, Style, is_source_of, note};
pub(crate) use style_unit::{STYLE_UNIT, StyleUnits, numbered};
