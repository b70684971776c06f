//! The one way to stdout and stderr: what people read is escaped here and has no secret in it, JSON goes as it is. Colours only on a
//! terminal, and never against `NO_COLOR`.

use crate::known_secrets::scrubbed;
use console::{Alignment, Style, Term, measure_text_width, pad_str};
use indicatif::{HumanBytes, MultiProgress};
use offmap::printable;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Writes a line for people to stdout; with a tone before `=>` its first word has a colour on a terminal.
macro_rules! out {
    ($tone:expr => $($words:tt)*) => { $crate::terminal::stdout_line($tone, &format!($($words)*)) };
    ($($words:tt)*) => { $crate::terminal::stdout_line($crate::terminal::Tone::Plain, &format!($($words)*)) };
}

/// The same to stderr.
macro_rules! note {
    ($tone:expr => $($words:tt)*) => { $crate::terminal::stderr_line($tone, &format!($($words)*)) };
    ($($words:tt)*) => { $crate::terminal::stderr_line($crate::terminal::Tone::Plain, &format!($($words)*)) };
}

pub(crate) use {note, out};

/// What the first word of a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// Done as it should be.
    Good,
    /// Something is missing, or worth knowing.
    Lacking,
    /// Failed or damaged.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().green(),
            Self::Lacking => Style::new().yellow(),
            Self::Bad => Style::new().red(),
        }
    }
}

/// Whether a stream is a terminal that shows colours, and nobody wants none: <https://no-color.org>.
fn has_colours(term: &Term) -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !none && term.features().is_attended() && term.features().colors_supported()
}

/// The bars that are on the terminal.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// From now on lines stand above these bars; with none, where the cursor is.
pub(crate) fn set_bars(bars: Option<MultiProgress>) {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = bars;
}

/// Writes something while no bar is drawn.
fn above_bars<T>(write: impl FnOnce() -> T) -> T {
    let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bars {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// Writes a line for people to stdout.
pub(crate) fn stdout_line(tone: Tone, words: &str) {
    above_bars(|| line(&mut io::stdout().lock(), tone, has_colours(&Term::stdout()), words));
}

/// Writes a line for people to stderr.
pub(crate) fn stderr_line(tone: Tone, words: &str) {
    above_bars(|| line(&mut io::stderr().lock(), tone, has_colours(&Term::stderr()), words));
}

/// One line: titles, file names and words of services may hold what a terminal obeys, so all of it is escaped.
fn line(to: &mut impl Write, tone: Tone, colours: bool, words: &str) {
    let words = scrubbed(words);
    let words = printable(&words).to_string();
    let words = match words.split_once(' ').filter(|_| colours && tone != Tone::Plain) {
        Some((first, rest)) => format!("{} {rest}", tone.style().force_styling(true).apply_to(first)),
        None => words,
    };
    // A reader that went away is no reason to stop the work.
    let _ = writeln!(to, "{words}").and_then(|()| to.flush());
}

/// Columns of the terminal that stdout is; `None` where it is none.
pub(crate) fn columns() -> Option<usize> {
    columns_of(Term::stdout())
}

fn columns_of(term: Term) -> Option<usize> {
    Some(term).filter(Term::is_term).and_then(|term| term.size_checked()).map(|(_, columns)| usize::from(columns))
}

/// A text behind columns that stand before it: on a terminal its lines are broken at words and begin below its start.
pub(crate) fn behind(before: &str, text: &str) -> Vec<String> {
    let (before, text) = (printable(before).to_string(), printable(text).to_string());
    broken(&before, &text, columns().unwrap_or(usize::MAX))
}

/// Writes a text behind columns that stand before it to stdout; only its first line has the tone.
pub(crate) fn out_behind(tone: Tone, before: &str, text: &str) {
    let tones = std::iter::once(tone).chain(std::iter::repeat(Tone::Plain));
    behind(before, text).iter().zip(tones).for_each(|(line, tone)| stdout_line(tone, line));
}

/// The same to stderr.
pub(crate) fn note_behind(tone: Tone, before: &str, text: &str) {
    let text = printable(&scrubbed(text)).to_string();
    let lines = broken(before, &text, columns_of(Term::stderr()).unwrap_or(usize::MAX));
    let tones = std::iter::once(tone).chain(std::iter::repeat(Tone::Plain));
    lines.iter().zip(tones).for_each(|(line, tone)| stderr_line(tone, line));
}

fn broken(before: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = measure_text_width(before);
    // Where hardly any room is left, the terminal breaks the line as it likes.
    if columns < indent + 20 {
        return vec![format!("{before}{text}")];
    }
    let mut lines = vec![before.to_owned()];
    let mut used = indent;
    for word in text.split(' ') {
        let width = measure_text_width(word);
        if used > indent && used + 1 + width > columns {
            lines.push(" ".repeat(indent));
            used = indent;
        }
        let Some(line) = lines.last_mut() else { break };
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += width;
    }
    lines
}

/// A text in so many columns: cut, or filled with spaces.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    pad_str(&printable(text).to_string(), width, Alignment::Left, Some("…")).into_owned()
}

/// The columns that titles take: as many as the longest needs, and not more than `most`.
pub(crate) fn title_columns<'a>(titles: impl Iterator<Item = &'a str>, most: usize) -> usize {
    titles.map(|title| measure_text_width(&printable(title).to_string())).max().unwrap_or_default().min(most)
}

/// A number of bytes for people, such as `1.02 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A text as it is.
pub(crate) fn raw(text: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.flush());
}

/// One JSON object a line on stdout.
pub(crate) fn json_line(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// JSON on several lines on stdout.
pub(crate) fn json(value: &Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{value:#}").and_then(|()| out.flush());
}

/// Stderr for the log: an event is written at once and ends with a line end; every other control character in it is escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let words = String::from_utf8_lossy(event);
        let words = scrubbed(words.strip_suffix('\n').unwrap_or(&words));
        above_bars(|| writeln!(io::stderr().lock(), "{}", printable(&words)))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(tone: Tone, colours: bool, words: &str) -> String {
        let mut to = Vec::new();
        line(&mut to, tone, colours, words);
        String::from_utf8(to).expect("UTF-8")
    }

    #[test]
    fn the_first_word_has_a_colour_where_colours_are_shown_and_titles_have_none() {
        assert_eq!(written(Tone::Bad, true, "failed  a layer"), "\u{1b}[31mfailed\u{1b}[0m  a layer\n");
        assert_eq!(written(Tone::Bad, false, "failed  a layer"), "failed  a layer\n");
        assert_eq!(written(Tone::Plain, true, "failed  a layer"), "failed  a layer\n");
        assert!(!written(Tone::Plain, true, "a \u{1b}[31mtitle").contains('\u{1b}'));
    }

    #[test]
    fn a_line_stands_above_the_bars_which_are_drawn_again_below_it() {
        let term = indicatif::InMemoryTerm::new(5, 40);
        let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::term_like(Box::new(term.clone())));
        let bar = all.add(indicatif::ProgressBar::new(10));
        bar.tick();
        assert!(!term.contents().is_empty(), "a bar is drawn");
        set_bars(Some(all));
        assert_eq!(above_bars(|| term.contents()), "", "none while a line is written");
        set_bars(None);
        assert!(!term.contents().is_empty(), "it is drawn again");
    }

    #[test]
    fn long_texts_are_broken_at_words_below_their_start() {
        let lines = broken("no  Streets  ", "sync is not enabled on the service", 36);
        assert_eq!(lines, ["no  Streets  sync is not enabled on", "             the service"]);
        assert_eq!(broken("no  Streets  ", "one two", usize::MAX), ["no  Streets  one two"]);
        let long = broken("no ", "https://h/a/very/long/url/that/fits/nowhere x", 30);
        assert_eq!(long, ["no https://h/a/very/long/url/that/fits/nowhere", "   x"]);
    }
}
