//! Warnings of a plan, cut in length and number.

use offmap_model::failure::{LONGEST_SERVER_MESSAGE, shortened};
use offmap_model::{ExportTask, MapLayer};
use std::collections::BTreeSet;

/// Warnings that a plan keeps.
const MOST_WARNINGS: usize = 100;
/// The words around the number of warnings that were dropped.
const AND_MORE: (&str, &str) = ("and ", " more warnings");

/// Cuts warnings, and their number.
pub(crate) fn shorten(warnings: &mut Vec<String>) {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        // The last line counts those that were dropped before, too.
        let read = |w: &String| w.strip_prefix(AND_MORE.0)?.strip_suffix(AND_MORE.1)?.parse::<usize>().ok();
        let before: usize = warnings.iter().filter_map(read).sum();
        warnings.retain(|w| read(w).is_none());
        let dropped = warnings.len().saturating_sub(MOST_WARNINGS - 1);
        warnings.truncate(MOST_WARNINGS - 1);
        warnings.push(format!("{}{}{}", AND_MORE.0, before + dropped, AND_MORE.1));
    }
    for warning in warnings.iter_mut() {
        *warning = shortened(std::mem::take(warning), LONGEST_SERVER_MESSAGE);
    }
}

/// Titles and names that a warning has room for, and characters of each.
const MOST_NAMED: usize = 3;
const LONGEST_NAME: usize = 100;

/// Says which layers of a task have other parameters than its first one: one request stands for all of them, and goes with the
/// parameters of all.
pub(super) fn unlike_parameters(task: &ExportTask, layers: &[MapLayer]) -> Option<String> {
    // Those of the task are in the same order.
    let mut planned = task.layers.iter().peekable();
    let mut layers = layers.iter().filter(|layer| planned.next_if(|planned| planned.id == layer.id).is_some());
    let first = layers.next()?;
    let own = first.secrets.deciding();
    let others: Vec<&MapLayer> = layers.filter(|layer| layer.secrets.deciding() != own).collect();
    if others.is_empty() {
        return None;
    }
    let mut differing = BTreeSet::new();
    for layer in others.iter().take(MOST_NAMED) {
        let theirs = layer.secrets.deciding();
        let differ = own.iter().filter(|p| !theirs.contains(p)).chain(theirs.iter().filter(|p| !own.contains(p)));
        differing.extend(differ.map(|(name, _)| shortened(name.as_str(), LONGEST_NAME)));
    }
    let title = |layer: &MapLayer| format!("\"{}\"", shortened(layer.title.as_str(), LONGEST_NAME));
    Some(format!(
        "{} and {} are layers of one service with other parameters ({}): it is asked once for all of them, with the parameters of all, of \
         two values with one; take a layer for which that is wrong with a map of its own",
        first_names(MOST_NAMED, others.into_iter().map(title)),
        title(first),
        first_names(MOST_NAMED, differing.into_iter())
    ))
}

/// The first few names of many, for a message.
pub(super) fn first_names(most: usize, mut all: impl Iterator<Item = impl Into<String>>) -> String {
    let first: Vec<String> = all.by_ref().take(most).map(Into::into).collect();
    match all.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_in_length_and_number_and_those_left_out_are_counted() {
        let mut all: Vec<String> = (0..250).map(|i| format!("warning {i} {}", "x".repeat(5_000))).collect();
        shorten(&mut all);
        assert_eq!((all.len(), all.last().map(String::as_str)), (MOST_WARNINGS, Some("and 151 more warnings")));
        assert!(all.iter().all(|w| w.len() <= LONGEST_SERVER_MESSAGE));
        all.extend(["one".to_owned(), "two".to_owned()]);
        shorten(&mut all);
        assert_eq!((all.len(), all.last().map(String::as_str)), (MOST_WARNINGS, Some("and 153 more warnings")));
        let mut few = vec!["one".to_owned()];
        shorten(&mut few);
        assert_eq!(few, ["one"]);
    }
}
