//! Faults on request.

use offmap_engine::testing::FaultAction;

/// A fault: which requests, and what.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Part of the path, in any letter case; behind a `?` the name of a parameter that the request must have, in lower case.
    pub path: String,
    /// Whether the path must end there, but for one further part such as a job's id or a file's name.
    pub exact: bool,
    /// Matching requests that go well before.
    pub skip: u32,
    /// Requests that go wrong; `None` for all.
    pub times: Option<u32>,
    /// What goes wrong.
    pub action: FaultAction,
}

impl Fault {
    /// Every request whose path has `path` in it goes wrong.
    #[must_use]
    pub fn always(path: &str, action: FaultAction) -> Self {
        Self { path: path.to_ascii_lowercase(), exact: false, skip: 0, times: None, action }
    }

    /// Every request whose path ends with `path`, or continues below it only with an id or a file name, goes wrong: the step
    /// itself, not the steps behind it.
    #[must_use]
    pub fn always_at(path: &str, action: FaultAction) -> Self {
        Self { exact: true, ..Self::always(path, action) }
    }

    /// Only the first so many go wrong.
    #[must_use]
    pub fn times(path: &str, times: u32, action: FaultAction) -> Self {
        Self { times: Some(times), ..Self::always(path, action) }
    }

    /// The fault's turn for a path, if it is. `has` tells whether the request has a parameter.
    pub(crate) fn strike(&mut self, path: &str, has: impl Fn(&str) -> bool) -> Option<FaultAction> {
        let path = path.to_ascii_lowercase();
        let (part, parameter) = self.path.split_once('?').unwrap_or((&self.path, ""));
        if !parameter.is_empty() && !has(parameter) {
            return None;
        }
        let at = path.find(part).filter(|_| self.times != Some(0))?;
        let rest = path.get(at + part.len()..).unwrap_or_default();
        // Ids and file names have a digit or a dot in them, steps have not.
        let is_further_step = rest.trim_start_matches('/').chars().any(|c| c == '/')
            || (rest.starts_with('/') && !rest.contains(|c: char| c.is_ascii_digit() || c == '.'));
        let is_layer = part.ends_with("server") && rest.starts_with('/');
        if self.exact && (is_further_step || is_layer) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        Some(self.action.clone())
    }
}
