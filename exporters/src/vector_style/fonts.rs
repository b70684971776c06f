//! The fonts of a style: which are fetched, under which urls, and font by font where a server does not know their stack.
//!
//! Names come from a style that anybody may have written; they become folders and parts of urls.

use super::fetcher::{Fetcher, Trouble, remove_folder, write_now};
use futures_util::StreamExt as _;
use offmap_disk::{DiskReserve, run_blocking};
use offmap_formats::glyphs;
use offmap_formats::style::{GLYPH_RANGES, Missing, glyph_range, shown};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Font stacks of a style that are fetched, and fonts that are asked for one by one; each takes 256 requests.
const MOST_STACKS: usize = 32;
const MOST_FONTS: usize = 32;
/// Most bytes of all fonts of a style.
const MOST_BYTES: u64 = 1 << 30;
/// Longest name of a font, in characters.
const LONGEST_NAME: usize = 200;
/// Longest name of a stack, in bytes: it is the name of a folder, and file systems end at 255.
const LONGEST_STACK: usize = 240;
/// Glyph ranges that are asked for at a time; the client's limit per host holds as well.
const RANGES_AT_A_TIME: usize = 8;
/// Missing fonts of one stack that are named.
const MOST_NAMED: usize = 5;
/// What a folder's name may not have in it on some system or other.
const NOT_IN_NAMES: &str = "/\\:*?\"<>|";
/// What would be read as something else in a path or a query of a url.
const IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Why a font is missing of which the server has no range.
const NOT_THERE: &str = "the server has none of its ranges";

/// Whether the names can be a folder and a part of a url.
fn is_stack(names: &[String]) -> bool {
    let is_name = |name: &String| {
        !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && !name.contains(|c: char| c.is_control() || NOT_IN_NAMES.contains(c))
    };
    let stack = names.join(",");
    names.iter().all(is_name)
        && stack.len() <= LONGEST_STACK
        && !stack.starts_with(['.', ' '])
        && !stack.ends_with(['.', ' '])
}

/// The url of a range of glyphs: of a template with `{fontstack}` and `{range}`.
fn glyphs_url(template: &str, stack: &str, range: &str) -> String {
    template.replace("{range}", range).replace("{fontstack}", &utf8_percent_encode(stack, IN_URL).to_string())
}

/// What became of the fonts of a style.
#[derive(Debug, Default)]
pub(super) struct FetchedFonts {
    pub(super) bytes: u64,
    /// Why a font stack is not there, by what is missing.
    pub(super) reasons: HashMap<Missing, String>,
    /// Words about stacks that were joined without some of their fonts.
    pub(super) partly: Vec<String>,
}

/// Fetches fonts below `fonts/` of a folder.
pub(super) struct Fonts<'a> {
    fetcher: &'a Fetcher<'a>,
    template: &'a str,
    folder: PathBuf,
    /// Where fonts lie that are only parts of stacks.
    parts: PathBuf,
    /// Single fonts that were asked for, and where they are; `None` for one that the server does not have.
    known: HashMap<String, Option<PathBuf>>,
    asked_singly: usize,
    fetched: FetchedFonts,
}

impl<'a> Fonts<'a> {
    pub(super) fn new(fetcher: &'a Fetcher<'a>, template: &'a str, folder: &Path) -> Self {
        Self {
            fetcher,
            template,
            folder: folder.join("fonts"),
            parts: folder.with_extension("parts"),
            known: HashMap::new(),
            asked_singly: 0,
            fetched: FetchedFonts::default(),
        }
    }

    /// Fetches stacks; those that the server does not know are joined from their fonts. What is not there is told with its reason.
    pub(super) async fn fetch(mut self, stacks: &[Vec<String>]) -> Result<FetchedFonts, Failure> {
        remove_folder(&self.parts).await;
        let mut stopped: Option<String> = None;
        let mut asked = 0;
        // Single fonts first: stacks are joined from them.
        let (single, joined): (Vec<_>, Vec<_>) = stacks.iter().partition(|names| names.len() == 1);
        for names in single.into_iter().chain(joined) {
            let stack = names.join(",");
            let reason = if let Some(reason) = &stopped {
                Some(reason.clone())
            } else if !is_stack(names) {
                Some("its name cannot be a file".to_owned())
            } else if asked == MOST_STACKS {
                Some(format!("{} fonts are named, {MOST_STACKS} are fetched", stacks.len()))
            } else {
                asked += 1;
                match self.stack(names, &stack).await {
                    Ok(reason) => reason,
                    Err(Trouble::Failed(failure)) => return Err(failure),
                    Err(Trouble::Refused(reason)) => {
                        // Half a font is none.
                        remove_folder(&self.folder.join(&stack)).await;
                        stopped = Some(reason.clone());
                        Some(reason)
                    }
                }
            };
            if let Some(reason) = reason {
                self.fetched.reasons.insert(Missing::Font(stack), reason);
            }
        }
        remove_folder(&self.parts).await;
        Ok(self.fetched)
    }

    /// Fetches one stack; answers why it is not there.
    async fn stack(&mut self, names: &[String], stack: &str) -> Result<Option<String>, Trouble> {
        let to = self.folder.join(stack);
        // One range tells most servers that know the stack from those that do not.
        let mut found = self.ranges(stack, &to, 0..1).await?;
        if found == 0
            && names.len() > 1
            && let Some(end) = self.join(names, stack, &to).await?
        {
            return Ok(end);
        }
        found += self.ranges(stack, &to, 1..GLYPH_RANGES).await?;
        if names.len() == 1 {
            self.known.insert(stack.to_owned(), (found > 0).then_some(to));
        }
        Ok((found == 0).then(|| NOT_THERE.to_owned()))
    }

    /// Joins a stack from its fonts; `None` if the server has none of them either, else why there is no stack.
    async fn join(&mut self, names: &[String], stack: &str, to: &Path) -> Result<Option<Option<String>>, Trouble> {
        let (mut parts, mut lacking) = (Vec::new(), Vec::new());
        for name in names {
            match self.single(name).await? {
                Ok(part) => parts.push(part),
                Err(reason) => lacking.push((name, reason)),
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let (reserve, named, to) = (self.fetcher.reserve(), stack.to_owned(), to.to_owned());
        let joined = run_blocking(move || join_ranges(&named, &parts, &to, reserve)).await?;
        let Some(bytes) = joined else { return Ok(Some(Some("its fonts cannot be joined".to_owned()))) };
        self.fetched.bytes += bytes;
        if let Some((_, reason)) = lacking.first() {
            let mut names: Vec<String> = lacking.iter().take(MOST_NAMED).map(|(name, _)| shown(name)).collect();
            let more = lacking.len() - names.len();
            names.extend((more > 0).then(|| format!("{more} more")));
            self.fetched.partly.push(format!(
                "of the font stack {} of its style, {} ({reason})",
                shown(stack),
                names.join(", ")
            ));
        }
        Ok(Some(None))
    }

    /// A single font: where it is, or why it is not there.
    async fn single(&mut self, name: &str) -> Result<Result<PathBuf, String>, Trouble> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone().ok_or_else(|| NOT_THERE.to_owned()));
        }
        if !is_stack(&[name.to_owned()]) {
            return Ok(Err("its name cannot be a file".to_owned()));
        }
        if self.asked_singly == MOST_FONTS {
            return Ok(Err(format!("at most {MOST_FONTS} fonts are asked for one by one")));
        }
        self.asked_singly += 1;
        let to = self.parts.join(name);
        let found = self.ranges(name, &to, 0..GLYPH_RANGES).await?;
        let there = (found > 0).then_some(to);
        self.known.insert(name.to_owned(), there.clone());
        Ok(there.ok_or_else(|| NOT_THERE.to_owned()))
    }

    /// Fetches ranges of a stack into a folder; answers how many there are. A range without glyphs is often not there.
    async fn ranges(&mut self, stack: &str, to: &Path, ranges: Range<u32>) -> Result<u32, Trouble> {
        let (fetcher, template) = (self.fetcher, self.template);
        let all = ranges.map(|range| {
            let range = glyph_range(range);
            let url = glyphs_url(template, stack, &range);
            let to = to.join(format!("{range}.pbf"));
            async move { fetcher.read(&url, &to).await.map(|bytes| bytes.map(|bytes| (to, bytes))) }
        });
        let mut all = futures_util::stream::iter(all).buffer_unordered(RANGES_AT_A_TIME);
        let (mut found, mut bytes) = (0, 0);
        // One is written at a time: where one fails, none is being written into a folder that is removed then.
        while let Some(range) = all.next().await {
            let Some((to, range)) = range? else { continue };
            found += 1;
            bytes += range.len() as u64;
            fetcher.write(&to, range).await?;
        }
        self.fetched.bytes += bytes;
        if self.fetched.bytes > MOST_BYTES {
            let message = format!("the fonts of the style are larger than {MOST_BYTES} bytes");
            let (owner, limit) = (FailureOwner::Source, FailureKind::LimitExceeded);
            return Err(Failure::new(owner, limit, FailureStage::Download, message).with_url(template).into());
        }
        Ok(found)
    }
}

/// Joins all ranges of some fonts to files of a folder, the first font first; answers the bytes, `None` if they cannot be joined. Blocks.
fn join_ranges(stack: &str, fonts: &[PathBuf], to: &Path, reserve: DiskReserve) -> Result<Option<u64>, Failure> {
    let mut sum = 0;
    for range in (0..GLYPH_RANGES).map(glyph_range) {
        let mut there = Vec::new();
        for path in fonts.iter().map(|folder| folder.join(format!("{range}.pbf"))) {
            match std::fs::read(&path) {
                Ok(bytes) => there.push(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::io(FailureStage::Download, format!("cannot read {}", path.display()), &e)),
            }
        }
        if there.is_empty() {
            continue;
        }
        let Some(joined) = glyphs::join(stack, &range, &there) else { return Ok(None) };
        sum += joined.len() as u64;
        write_now(reserve, &to.join(format!("{range}.pbf")), &joined)?;
    }
    Ok(Some(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_font_whose_name_cannot_be_a_file_is_not_fetched() {
        let (long, wide) = ("x".repeat(5000), "ü".repeat(130));
        let bad = ["a\0b", &long, &wide, "a/b", "a\\b", "../x", "..", ".", "", "a\u{1b}[2J", "a\n", "C:x", "a?", "x.", "x "];
        for name in bad {
            assert!(!is_stack(&[name.to_owned()]), "{name:?}");
            assert!(!is_stack(&["Good Regular".to_owned(), name.to_owned()]), "{name:?}");
        }
        for name in ["Ubuntu Bold", "ＭＳ ゴシック", "Font #1 (100%)", "A&B+C"] {
            assert!(is_stack(&[name.to_owned()]), "{name:?}");
        }
    }

    #[test]
    fn a_font_s_name_stays_one_part_of_the_path_or_query() {
        let of =
            |template: &str, stack: &str| url::Url::parse(&glyphs_url(template, stack, "0-255")).expect("a url").to_string();
        let path = |stack: &str| of("https://h/fonts/{fontstack}/{range}.pbf", stack);
        assert_eq!(path("Arial Regular,Noto"), "https://h/fonts/Arial%20Regular,Noto/0-255.pbf");
        assert_eq!(path("%2e%2e"), "https://h/fonts/%252e%252e/0-255.pbf");
        assert_eq!(path("a#b{range}"), "https://h/fonts/a%23b%7Brange%7D/0-255.pbf");
        let query = of("https://h/glyphs?font={fontstack}&range={range}", "A&range=1 B");
        assert_eq!(query, "https://h/glyphs?font=A%26range=1%20B&range=0-255");
    }
}
