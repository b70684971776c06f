//! Progress of `offmap convert` on the terminal.

use crate::progress_style::ProgressStyle;
use crate::terminal::{fitted, json_line, note};
use indicatif::{HumanBytes, ProgressBar, ProgressState, ProgressStyle as BarStyle};
use offmap_convert::files::FileProgress;
use offmap_convert::open_folder::FolderProgress;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines for programs.
const EVERY: Duration = Duration::from_millis(200);
/// Columns of the name before a bar.
const TITLE: usize = 24;

/// Shows how far a file is.
pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    /// When the last line for programs was written.
    lines: Option<Mutex<Option<Instant>>>,
    /// The file of a folder that the bar is about.
    part: Mutex<String>,
}

fn bar_of(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(style("{spinner} {amount:>16}", false));
    bar.set_prefix(fitted(name, TITLE));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn style(rest: &str, is_bytes: bool) -> BarStyle {
    let style = BarStyle::with_template(&format!("{{prefix}} {rest}")).unwrap_or_else(|_| BarStyle::default_bar());
    let amount = move |state: &ProgressState, to: &mut dyn Write| {
        let _ = match is_bytes {
            true => write!(to, "{}", HumanBytes(state.pos())),
            false => write!(to, "{} rows", state.pos()),
        };
    };
    style.with_key("amount", amount).progress_chars("=> ")
}

impl Shown {
    pub(crate) fn new(progress: Option<ProgressStyle>, name: &str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = match progress.unwrap_or(ProgressStyle::Auto) {
            ProgressStyle::Bar => true,
            ProgressStyle::Auto => is_terminal,
            ProgressStyle::Plain | ProgressStyle::Json | ProgressStyle::Off => false,
        };
        let lines = (progress == Some(ProgressStyle::Json)).then(|| Mutex::new(None));
        Self { bar: bar.then(|| bar_of(name)), lines, part: Mutex::default() }
    }

    /// Shows it; called often.
    pub(crate) fn see(&self, progress: FileProgress) {
        if let Some(bar) = &self.bar {
            draw(bar, progress);
        }
        self.line(&progress);
    }

    /// Shows how far a folder is; called often.
    pub(crate) fn see_folder(&self, progress: FolderProgress<'_>) {
        if let Some(bar) = &self.bar {
            let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
            if *part != progress.part {
                progress.part.clone_into(&mut part);
                let name = progress.part.rsplit('/').next().unwrap_or_default();
                bar.set_prefix(fitted(&format!("{}/{} {name}", progress.number, progress.of), TITLE));
                bar.set_style(style("{spinner} {amount:>16}", false));
                bar.set_position(0);
            }
            draw(bar, progress.done);
        }
        self.line(&progress);
    }

    /// A line for programs, not too often.
    fn line(&self, progress: &impl Serialize) {
        let Some(last) = &self.lines else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= EVERY) {
            *last = Some(Instant::now());
            json_line(&json!({ "progress": progress }));
        }
    }

    /// Removes the bar: what follows says how it ended.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, progress: FileProgress) {
    let (done, of, is_bytes) = match progress {
        FileProgress::Bytes { done, of } => (done, of, true),
        FileProgress::Rows { done } => (done, None, false),
        _ => return,
    };
    // The style is made anew with the first amount only.
    if done > 0 && bar.position() == 0 {
        match of {
            Some(_) => bar.set_style(style("{wide_bar} {percent:>3} % {amount:>13}", is_bytes)),
            None => bar.set_style(style("{spinner} {amount:>16}", is_bytes)),
        }
        if let Some(of) = of {
            bar.set_length(of);
        }
    }
    bar.set_position(done);
}

/// What is left of something that was cancelled.
pub(crate) fn tell_cancelled(to: &Path, is_kept: bool) {
    let shown = to.display();
    if is_kept {
        note!("offmap: what was done is kept beside {shown}; the same command goes on with it");
    }
    match to.exists() {
        true => note!("offmap: cancelled; {shown} stays as it was"),
        false => note!("offmap: cancelled; nothing is left at {shown}"),
    }
}
