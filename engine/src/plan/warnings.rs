//! Warnings of a plan, cut in length and number.

use offmap_model::failure::{LONGEST_SERVER_MESSAGE, shortened};

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
