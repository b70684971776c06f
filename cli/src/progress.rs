//! Progress on the terminal.

use crate::arguments::ProgressStyle;
use crate::terminal::{json_line, note};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle as BarStyle};
use offmap::{ExportState, ProgressUnit, StatusMessage, StatusStream, Subject, SubjectKind, printable};
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Reads a job's story to its end and shows it.
pub(crate) async fn show(mut status: StatusStream, style: ProgressStyle) {
    let style = match style {
        ProgressStyle::Auto if std::io::stderr().is_terminal() => ProgressStyle::Bar,
        ProgressStyle::Auto => ProgressStyle::Plain,
        other => other,
    };
    let mut bars = Bars::default();
    while let Some(message) = status.next().await {
        match style {
            ProgressStyle::Json => json_line(&message),
            ProgressStyle::Bar => bars.show(&message),
            ProgressStyle::Plain | ProgressStyle::Auto => plain(&message),
            ProgressStyle::Off => {}
        }
    }
    bars.finish();
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

fn plain(message: &StatusMessage) {
    let is_news = message.message.is_some() || message.failure.is_some() || message.state.is_terminal();
    let begins = message.state == ExportState::Started && message.progress.is_none();
    if !is_news && !begins {
        return;
    }
    let words = message.message.clone().or_else(|| message.failure.as_ref().map(ToString::to_string)).unwrap_or_default();
    note!("{:<10} {} {words}", state_word(message.state), message.subject.title);
}

/// A bar, and what it counts by now.
struct Bar {
    bar: ProgressBar,
    counts: Option<(ProgressUnit, bool)>,
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: HashMap<Subject, Bar>,
}

/// A bar needs to know how much there is; without that, it is told how much is there.
fn bar_style(unit: ProgressUnit, precise: bool) -> BarStyle {
    let template = match (unit, precise) {
        (ProgressUnit::Bytes, true) => "{msg:28!} [{bar:24}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4} left",
        (ProgressUnit::Bytes, false) => "{msg:28!} {spinner} {bytes:>10} so far {bytes_per_sec:>12}",
        (ProgressUnit::Percent, _) => "{msg:28!} [{bar:24}] {pos:>3} %",
        (_, true) => "{msg:28!} [{bar:24}] {pos:>10}/{len:10}",
        (_, false) => "{msg:28!} {spinner} {pos:>10} so far",
    };
    BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()).progress_chars("=> ")
}

impl Bars {
    fn show(&mut self, message: &StatusMessage) {
        if message.subject.kind == SubjectKind::Job && message.progress.is_none() {
            return;
        }
        let all = &self.all;
        let Bar { bar, counts } = self.bars.entry(message.subject.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(BarStyle::with_template("{msg:28!} {spinner}").unwrap_or_else(|_| BarStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            Bar { bar, counts: None }
        });
        let title = printable(&message.subject.title);
        if let Some(words) = &message.message {
            bar.set_message(format!("{title}: {}", printable(words)));
        } else {
            bar.set_message(title.to_string());
        }
        if let Some(progress) = message.progress {
            let counted = Some((progress.unit, progress.precise));
            if *counts != counted {
                bar.set_style(bar_style(progress.unit, progress.precise));
                *counts = counted;
            }
            bar.set_length(progress.required);
            bar.set_position(progress.completed);
        }
        if message.state.is_terminal() {
            let words = match &message.failure {
                Some(failure) => format!("{title}: {} {}", state_word(message.state), printable(&failure.to_string())),
                None => format!("{title}: {}", state_word(message.state)),
            };
            match message.state {
                ExportState::Succeeded => bar.finish_with_message(words),
                // How far it came stays to be seen.
                _ => bar.abandon_with_message(words),
            }
        }
    }

    fn finish(self) {
        for Bar { bar, .. } in self.bars.values().filter(|b| !b.bar.is_finished()) {
            bar.abandon();
        }
    }
}
