//! The sprites of a style: each is fetched under its id, whole or not at all.

use super::fetcher::{Fetcher, Trouble};
use offmap_arcgis::resolve;
use offmap_formats::style::{MOST_NAMED, Missing, Needs, SPRITE_SHEETS, Sprite, shown};
use offmap_model::Failure;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;

/// Sprites of a style that are fetched.
const MOST_SPRITES: usize = 16;
/// Longest id that is the name of a file, in characters.
const LONGEST_NAME: usize = 64;

/// What became of the sprites of a style.
#[derive(Debug, Default)]
pub(super) struct FetchedSprites {
    pub(super) bytes: u64,
    /// What the style names from now on.
    pub(super) sprite: Option<Value>,
    /// Sprites that are not there, and why.
    pub(super) missing: Vec<(Missing, String)>,
    /// Words about sprites that are there in one density only.
    pub(super) warnings: Vec<String>,
}

/// Fetches the sprites of a style at `base` below `sprites/` of a folder.
pub(super) async fn fetch(
    fetcher: &Fetcher<'_>,
    needs: &Needs,
    base: &str,
    folder: &Path,
) -> Result<FetchedSprites, Failure> {
    let mut fetched = FetchedSprites::default();
    let (mut ids, mut names, mut listed) = (HashSet::new(), HashSet::new(), Vec::new());
    for (index, sprite) in needs.sprites.iter().enumerate() {
        let why = if !ids.insert(&sprite.id) {
            Some("another sprite of the style has this id, and that one is taken".to_owned())
        } else if index >= MOST_SPRITES {
            Some(format!("the style names {} sprites, {MOST_SPRITES} are fetched", needs.sprites.len()))
        } else {
            let name = if needs.sprites_are_listed { file_name(sprite, index, &mut names) } else { "sprite".to_owned() };
            let end = one(fetcher, sprite, base, &folder.join("sprites").join(&name), &mut fetched).await?;
            if end.is_none() {
                let url = format!("../sprites/{name}");
                fetched.sprite = Some(json!(url));
                listed.push(json!({"id": sprite.id, "url": url}));
            }
            end
        };
        fetched.missing.extend(why.map(|why| (Missing::Sprite(sprite.id.clone()), why)));
    }
    // The first ones are named, with their reasons; of very many the rest is counted, with the reason of the last one.
    let more = fetched.missing.len().saturating_sub(MOST_NAMED);
    if more > 0
        && let Some((_, why)) = fetched.missing.pop()
    {
        fetched.missing.truncate(MOST_NAMED);
        fetched.missing.push((Missing::MoreSprites(more), why));
    }
    if needs.sprites_are_listed {
        fetched.sprite = (!listed.is_empty()).then(|| json!(listed));
    }
    Ok(fetched)
}

/// A name for the files of a sprite: its id where that is one on every system, and nobody else's.
fn file_name(sprite: &Sprite, index: usize, taken: &mut HashSet<String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_name = (1..=LONGEST_NAME).contains(&sprite.id.len()) && sprite.id.chars().all(plain);
    let numbered = (index + 1..).map(|n| format!("sprite-{n}"));
    let names = is_name.then(|| sprite.id.clone()).into_iter().chain(numbered);
    // Some file systems know no letter case.
    names.into_iter().find(|name| taken.insert(name.to_ascii_lowercase())).unwrap_or_default()
}

/// Fetches the sheets of one sprite; answers why there is none.
async fn one(
    fetcher: &Fetcher<'_>,
    sprite: &Sprite,
    base: &str,
    to: &Path,
    fetched: &mut FetchedSprites,
) -> Result<Option<String>, Failure> {
    let url = match resolve(base, &sprite.url) {
        Ok(url) if !sprite.url.is_empty() => url,
        Ok(_) => return Ok(Some("the style does not say where it is".to_owned())),
        Err(failure) => return Ok(Some(failure.message)),
    };
    let mut why = [None, None];
    for (sheet, why) in SPRITE_SHEETS.iter().zip(&mut why) {
        let mut there = Vec::new();
        for ending in sheet {
            let mut file = url.clone();
            file.set_path(&format!("{}{ending}", url.path()));
            let mut name = to.as_os_str().to_owned();
            name.push(ending);
            let path = Path::new(&name);
            match fetcher.fetch(file.as_str(), path).await {
                Ok(Some(bytes)) => there.push((path.to_owned(), bytes)),
                Ok(None) => *why = Some(format!("the server has no {}", shown(&last_part(&file)))),
                Err(Trouble::Refused(words)) => *why = Some(words),
                Err(Trouble::Failed(failure)) => return Err(failure),
            }
            if why.is_some() {
                break;
            }
        }
        match why {
            None => fetched.bytes += there.iter().map(|(_, bytes)| bytes).sum::<u64>(),
            // An index without its picture is of no use.
            Some(_) => there.iter().for_each(|(path, _)| drop(std::fs::remove_file(path))),
        }
    }
    let [plain, dense] = why;
    let (screens, words) = match (plain, dense) {
        (None, None) => return Ok(None),
        (Some(words), Some(_)) => return Ok(Some(words)),
        (Some(words), None) => ("plain", words),
        (None, Some(words)) => ("dense", words),
    };
    fetched.warnings.push(format!("the sprite {} is not there for {screens} screens: {words}", shown(&sprite.id)));
    Ok(None)
}

fn last_part(url: &url::Url) -> String {
    url.path().rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sprite_s_files_are_called_by_its_id_where_that_is_a_name() {
        let mut taken = HashSet::new();
        let ids = ["default", "extra", "Extra", "../x", "", "a@2x", "a b", "sprite-9", "x\u{1b}"];
        let names: Vec<String> = (0..)
            .zip(ids)
            .map(|(index, id)| {
                let sprite = Sprite { id: id.to_owned(), url: "u".to_owned() };
                file_name(&sprite, index, &mut taken)
            })
            .collect();
        let expected =
            ["default", "extra", "sprite-3", "sprite-4", "sprite-5", "sprite-6", "sprite-7", "sprite-9", "sprite-10"];
        assert_eq!(names, expected);
    }
}
