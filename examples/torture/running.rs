//! A child as its parent sees it.

use offmap_sandbox::Sandbox;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

/// A child, and the steps that it prints.
pub(crate) struct Running {
    child: Child,
    steps: Receiver<String>,
    reader: JoinHandle<()>,
}

impl Running {
    pub(crate) fn spawn(sandbox: &Sandbox, kind: usize, out: &Path, first: bool) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--portal", &sandbox.portal_url(), "--kind", &kind.to_string(), "--out"]).arg(out);
        if first {
            command.arg("--first");
        }
        Self::of(command)
    }

    /// The same with the map of a file, of which nothing can be exported.
    pub(crate) fn spawn_closed(map: &Path, out: &Path) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--map").arg(map).arg("--out").arg(out);
        Self::of(command)
    }

    fn of(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let (sender, steps) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The parent may not listen any more.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, steps, reader })
    }

    /// Waits until a step begins or the child ends; answers the last step.
    pub(crate) fn wait_for(&self, step: &str) -> String {
        let mut last = String::new();
        while let Ok(next) = self.steps.recv() {
            last = next;
            if last == step {
                break;
            }
        }
        last
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool, Box<dyn Error>> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Kills it if it still runs; answers the step in which it was.
    pub(crate) fn kill(mut self, mut last: String) -> Result<Option<String>, Box<dyn Error>> {
        if self.child.try_wait()?.is_some() {
            self.end()?;
            return Ok(None);
        }
        self.child.kill()?;
        self.child.wait()?;
        self.reader.join().map_err(|_| "a reader panicked")?;
        last = self.steps.try_iter().last().unwrap_or(last);
        Ok(Some(if last.is_empty() { "starting".to_owned() } else { last }))
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        let status = self.child.wait()?;
        self.reader.join().map_err(|_| "a reader panicked")?;
        if status.success() { Ok(()) } else { Err(format!("the job ended with {status}").into()) }
    }
}
