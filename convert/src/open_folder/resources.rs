//! Style, sprites and fonts of a vector tiled layer.

use super::data_file::DataFiles;
use super::staging::Staging;
use offmap_formats::style::{self, FONT_STACK, RANGE, SPRITE_SHEETS};
use offmap_formats::tile_reader::TileReader;
use offmap_model::{Failure, json};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Bytes of a file of a style, and memory that the style may need.
const LARGEST: u64 = 64 << 20;
const STYLE_MEMORY: u64 = 256 << 20;
/// How the path of a style ends.
const STYLE: &str = "styles/root.json";
/// Where glyphs are in the folder.
const FONTS: &str = "fonts";

/// Takes a file: its path, and its bytes.
type Take<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), Failure>;

/// Where the files lie.
pub(super) enum From<'a> {
    /// In the tile package.
    TilePackage(Box<dyn TileReader>),
    /// In a folder of the mobile map package.
    Folder { files: &'a DataFiles<'a>, folder: String },
}

/// What became of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Resources {
    /// The style; null where there is none.
    pub(super) style: Value,
    /// The sprite sheet in the folder, without ending.
    pub(super) sprite: Option<String>,
    /// The template of glyphs in the folder.
    pub(super) glyphs: Option<String>,
    /// What the style needs and is not there.
    pub(super) missing: Vec<String>,
}

impl From<'_> {
    /// Hands on the files that are wanted.
    fn each(&mut self, wants: &dyn Fn(&str) -> bool, take: Take<'_>) -> Result<(), Failure> {
        match self {
            Self::TilePackage(reader) => {
                reader.for_each_resource(&mut |name, bytes| if wants(name) { take(name, bytes) } else { Ok(()) })
            }
            Self::Folder { files, folder } => {
                let prefix = format!("{folder}/");
                for name in files.sizes()?.into_keys() {
                    let Some(short) = name.strip_prefix(&prefix).filter(|short| wants(short)) else { continue };
                    files.go_on()?;
                    take(short, &files.bytes_of(&name, LARGEST)?)?;
                }
                Ok(())
            }
        }
    }
}

/// Reads the style: the one that lies highest, and its path.
fn read_style(from: &mut From<'_>, names: &BTreeSet<String>) -> Result<Option<(String, Value)>, Failure> {
    let is_style = |name: &&String| name.as_str() == STYLE || name.ends_with(&format!("/{STYLE}"));
    let Some(at) = names.iter().filter(is_style).min_by_key(|name| name.len()) else { return Ok(None) };
    let mut text = Vec::new();
    from.each(&|name| name == at, &mut |_, bytes| {
        text = bytes.to_vec();
        Ok(())
    })?;
    let read = json::read::<Value>(&text, STYLE_MEMORY);
    read.map(|style| Some((at.clone(), style)))
        .map_err(|why| Failure::not_supported(format!("its style cannot be read: {why}")))
}

/// Writes what a layer of the name `name` needs. Fonts are shared by all layers: of one font the first is kept, `fonts` knows which.
pub(super) fn write(
    staging: &Staging,
    name: &str,
    mut from: From<'_>,
    fonts: &mut HashSet<String>,
) -> Result<Resources, Failure> {
    let names = std::cell::RefCell::new(BTreeSet::new());
    from.each(
        &|name| {
            names.borrow_mut().insert(name.to_owned());
            false
        },
        &mut |_, _| Ok(()),
    )?;
    let names = names.into_inner();
    let Some((at, style)) = read_style(&mut from, &names)? else { return Ok(Resources::default()) };
    let needs = style::needs(&style);
    let missing = style::missing(&style, &at, &names).iter().map(ToString::to_string).collect();
    let sprite = needs.sprites.first().and_then(|sprite| style::relative(&at, &sprite.url));
    let sheet = |file: &str| sprite.as_ref().and_then(|base| file.strip_prefix(base.as_str())).map(str::to_owned);
    let glyphs = needs.glyphs.as_ref().and_then(|template| style::relative(&at, template));
    let glyphs = glyphs.and_then(|template| template.strip_suffix(&format!("{FONT_STACK}/{RANGE}.pbf")).map(str::to_owned));
    // A font and a range of it.
    let glyph = |file: &str| {
        let (font, range) = file.strip_prefix(glyphs.as_ref()?.as_str())?.split_once('/')?;
        (range.ends_with(".pbf") && !range.contains('/')).then(|| format!("{FONTS}/{font}/{range}"))
    };
    let endings = SPRITE_SHEETS.as_flattened();
    let place = |file: &str| match sheet(file) {
        Some(ending) if endings.contains(&ending.as_str()) => Some(format!("sprites/{name}{ending}")),
        _ => glyph(file),
    };
    let (mut has_sprite, mut has_glyphs) = (false, false);
    from.each(&|file| place(file).is_some(), &mut |file, bytes| {
        let Some(to) = place(file) else { return Ok(()) };
        let is_font = to.starts_with(FONTS);
        (has_sprite, has_glyphs) = (has_sprite || !is_font, has_glyphs || is_font);
        if is_font && !fonts.insert(to.clone()) { Ok(()) } else { staging.write_piece(&to, bytes) }
    })?;
    Ok(Resources {
        style,
        sprite: has_sprite.then(|| format!("sprites/{name}")),
        glyphs: has_glyphs.then(|| format!("{FONTS}/{FONT_STACK}/{RANGE}.pbf")),
        missing,
    })
}
