//! Other users who edit the data while a map is taken offline.

use std::collections::VecDeque;

/// Edits of one layer, made just before requests. A row that a colleague adds has to be withheld from the start
/// ([`crate::Sandbox::withhold`]); as on a real service, give new rows higher object ids than the old ones.
#[derive(Debug, Clone, Default)]
pub struct Colleague {
    /// Service, such as `Fieldwork`.
    pub service: String,
    /// Layer or table.
    pub layer: u32,
    /// Part of the path of the requests before which one edit is made, in lower case; empty for every request.
    pub before: String,
    /// Matching requests that pass first.
    pub skip: u32,
    /// How many rows are deleted and added at a time; 0 for all at once.
    pub at_a_time: usize,
    /// Object ids of rows to delete, in order.
    pub deletes: VecDeque<i64>,
    /// Object ids of rows to add, in order.
    pub adds: VecDeque<i64>,
}

impl Colleague {
    /// Takes what is due before a request for a path.
    pub(crate) fn due(&mut self, path: &str) -> Option<(Vec<i64>, Vec<i64>)> {
        if !path.contains(&self.before) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let some = |rows: &mut VecDeque<i64>| {
            let count = if self.at_a_time == 0 { rows.len() } else { self.at_a_time.min(rows.len()) };
            rows.drain(..count).collect::<Vec<_>>()
        };
        let edits = (some(&mut self.deletes), some(&mut self.adds));
        (!edits.0.is_empty() || !edits.1.is_empty()).then_some(edits)
    }
}
