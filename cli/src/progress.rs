//! Progress on the terminal.

use crate::arguments::ProgressStyle;
use crate::terminal::{Tone, fitted, json_line, note, set_bars, size};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle as BarStyle};
use offmap::{ExportState, ProgressUnit, StatusMessage, StatusStream, Subject, SubjectKind, printable};
use std::collections::HashMap;
use std::fmt::Write;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Reads a job's events to their end and shows them.
pub(crate) async fn show(mut status: StatusStream, style: ProgressStyle) {
    let style = match style {
        ProgressStyle::Auto if std::io::stderr().is_terminal() => ProgressStyle::Bar,
        ProgressStyle::Auto => ProgressStyle::Plain,
        other => other,
    };
    let mut bars = Bars::default();
    if style == ProgressStyle::Bar {
        set_bars(Some(bars.all.clone()));
    }
    while let Some(message) = status.next().await {
        match style {
            ProgressStyle::Json => json_line(&message),
            ProgressStyle::Bar => bars.show(&message),
            ProgressStyle::Plain | ProgressStyle::Auto => plain(&message),
            ProgressStyle::Off => {}
        }
    }
    bars.clear();
}

pub(crate) fn state_word(state: ExportState) -> &'static str {
    match state {
        ExportState::NotStarted => "waiting",
        ExportState::Started => "started",
        ExportState::Paused => "paused",
        ExportState::Succeeded => "done",
        ExportState::Failed => "failed",
        ExportState::Cancelled => "cancelled",
        ExportState::Skipped => "skipped",
    }
}

pub(crate) fn state_tone(state: ExportState) -> Tone {
    match state {
        ExportState::NotStarted | ExportState::Started | ExportState::Paused => Tone::Plain,
        ExportState::Succeeded => Tone::Good,
        ExportState::Failed => Tone::Bad,
        ExportState::Cancelled | ExportState::Skipped => Tone::Lacking,
    }
}

fn plain(message: &StatusMessage) {
    let is_news = message.message.is_some() || message.failure.is_some() || message.state.is_terminal();
    let begins = message.state == ExportState::Started && message.progress.is_none();
    if !is_news && !begins {
        return;
    }
    let words = message.message.clone().or_else(|| message.failure.as_ref().map(ToString::to_string)).unwrap_or_default();
    let line = format!("{:<10} {} {words}", state_word(message.state), message.subject.title);
    note!(state_tone(message.state) => "{}", line.trim_end());
}

/// How a bar looks: what it counts, whether the end is known, and the columns of the terminal.
type Look = (ProgressUnit, bool, usize);

struct Bar {
    bar: ProgressBar,
    look: Option<Look>,
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: HashMap<Subject, Bar>,
}

/// Columns of the terminal that the bars are drawn on.
fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// Columns of titles and of what is said beside a bar: the bar takes what is left, a third of the line or more.
fn widths(columns: usize) -> (usize, usize) {
    let title = (columns * 3 / 10).clamp(10, 40);
    let words = if columns < 100 { 0 } else { columns / 5 };
    (title, words)
}

/// How much is there, with its unit, once.
fn amount(unit: ProgressUnit, count: u64) -> String {
    match unit {
        ProgressUnit::Percent => String::new(),
        ProgressUnit::Bytes => size(count),
        ProgressUnit::Features => format!("{count} rows"),
        ProgressUnit::Tiles => format!("{count} tiles"),
        ProgressUnit::Files => format!("{count} files"),
        _ => count.to_string(),
    }
}

/// A bar fills the line where the end is known; where it is not, how much is there is told. What the job says beside it has room on
/// wide terminals, or where there is no bar.
fn bar_style((unit, precise, columns): Look) -> BarStyle {
    let (title, words) = widths(columns);
    let precise = precise || unit == ProgressUnit::Percent;
    let template = match (precise, words) {
        (false, _) => format!("{{prefix:{title}!}} {{spinner}} {{wide_msg}} {{amount:>13}}"),
        (true, 0) => format!("{{prefix:{title}!}} {{wide_bar}} {{percent:>3}} % {{amount:>13}}"),
        (true, words) => format!("{{prefix:{title}!}} {{wide_bar}} {{percent:>3}} % {{amount:>13}}  {{msg:{words}!}}"),
    };
    let style = BarStyle::with_template(&template).unwrap_or_else(|_| BarStyle::default_bar());
    style
        .with_key("amount", move |state: &ProgressState, to: &mut dyn Write| {
            let _ = to.write_str(&amount(unit, state.pos()));
        })
        .progress_chars("=> ")
}

impl Bars {
    fn show(&mut self, message: &StatusMessage) {
        if message.subject.kind == SubjectKind::Job && message.progress.is_none() {
            return;
        }
        let all = &self.all;
        let Bar { bar, look } = self.bars.entry(message.subject.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            let (title, _) = widths(columns());
            let waiting = BarStyle::with_template(&format!("{{prefix:{title}!}} {{spinner}} {{wide_msg}}"));
            bar.set_style(waiting.unwrap_or_else(|_| BarStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            Bar { bar, look: None }
        });
        bar.set_prefix(fitted(&message.subject.title, widths(columns()).0));
        if let Some(progress) = message.progress {
            let new = Some((progress.unit, progress.precise, columns()));
            if *look != new {
                new.map(bar_style).into_iter().for_each(|style| bar.set_style(style));
                *look = new;
            }
            bar.set_length(progress.required);
            bar.set_position(progress.completed);
        }
        if message.state.is_terminal() {
            let words = match &message.failure {
                Some(failure) => format!("{} {}", state_word(message.state), printable(&failure.to_string())),
                None => state_word(message.state).to_owned(),
            };
            match message.state {
                ExportState::Succeeded => bar.finish_with_message(words),
                _ => bar.abandon_with_message(words),
            }
        } else {
            bar.set_message(message.message.as_deref().map(|words| printable(words).to_string()).unwrap_or_default());
        }
    }

    /// Removes the bars: what follows says how each layer ended.
    fn clear(self) {
        set_bars(None);
        for Bar { bar, .. } in self.bars.values().filter(|b| !b.bar.is_finished()) {
            bar.abandon();
        }
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of a terminal of so many columns.
    fn drawn(columns: u16, unit: ProgressUnit, precise: bool) -> String {
        let term = indicatif::InMemoryTerm::new(5, columns);
        let target = indicatif::ProgressDrawTarget::term_like(Box::new(term.clone()));
        let bar = ProgressBar::with_draw_target(Some(10 << 20), target);
        bar.set_style(bar_style((unit, precise, usize::from(columns))));
        bar.set_prefix("A layer with a long title that no narrow terminal has the room for");
        bar.set_position(5 << 20);
        bar.abandon();
        term.contents()
    }

    #[test]
    fn a_line_fills_the_terminal_and_shows_one_size_once() {
        for columns in [60, 80, 200] {
            let line = drawn(columns, ProgressUnit::Bytes, true);
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(line.matches("MiB").count(), 1, "{line}");
            let bar = line.matches(['=', '>']).count() * 2;
            assert!(bar >= usize::from(columns) / 4, "{columns}: {line}");
            let (_, words) = widths(usize::from(columns));
            let taken = line.trim_end().chars().count() + words + if words == 0 { 0 } else { 2 };
            assert_eq!(taken, usize::from(columns), "{line}");
            let open = drawn(columns, ProgressUnit::Tiles, false);
            assert_eq!(open.trim_end().chars().count(), usize::from(columns), "{open}");
            assert!(!open.contains('%'), "{open}");
        }
    }
}
