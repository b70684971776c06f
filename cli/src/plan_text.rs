//! A plan for people.

use crate::terminal::{Tone, columns, fitted, out, size, title_columns};
use console::truncate_str;
use offmap::{BytesSource, CountUnit, ExportTask, OfflineMapPlan, printable};

/// Prints a plan. On a terminal a reason takes one short line; elsewhere it is there in full.
pub(crate) fn tell(plan: &OfflineMapPlan) {
    let is_terminal = columns().is_some();
    let short = |reason: &str, title: &str| if is_terminal { short(reason, title) } else { reason.to_owned() };
    plan.tasks.iter().for_each(tell_task);
    for skipped in &plan.skipped {
        let why = skipped.failure.as_ref().map_or_else(|| "left out".to_owned(), |f| short(&f.to_string(), &skipped.title));
        out!(Tone::Lacking => "{}", cut(format!("without \"{}\": {why}", skipped.title)));
    }
    for warning in &plan.warnings {
        out!(Tone::Lacking => "{}", cut(format!("note: {}", short(warning, ""))));
    }
    if is_terminal && plan.skipped.iter().any(|skipped| skipped.failure.is_some()) {
        out!("`offmap check` with the same map and area says why in full");
    }
    let bytes = plan.bytes();
    out!("in all {} to {}, estimated", size(bytes.min), size(bytes.max));
}

fn tell_task(task: &ExportTask) {
    out!("{} \"{}\"", task.exporter, task.title);
    out!("    {}", task.key.service_url);
    let title = title_columns(task.layers.iter().map(|l| l.title.as_str()), 34);
    for layer in &task.layers {
        let unit = match task.count_unit {
            CountUnit::Features => "rows",
            CountUnit::Tiles => "tiles",
            CountUnit::Items => "items",
        };
        let count = match (layer.expected, layer.exact) {
            (Some(n), true) => format!("{n} {unit}"),
            (Some(n), false) => format!("up to {n} {unit}"),
            (None, _) => "related rows".to_owned(),
        };
        let photos = layer.attachments.filter(|n| *n > 0).map_or_else(String::new, |n| format!(", {n} attachments"));
        out!("    {}  {count}{photos}", fitted(&layer.title, title));
    }
    for level in &task.levels {
        out!("    level {:<3} 1:{:<12.0} {:>9} tiles", level.level_id, level.scale, level.tiles);
    }
    for limit in &task.limits {
        let (tone, exceeded) = if limit.needed > limit.limit { (Tone::Bad, " (exceeded)") } else { (Tone::Plain, "") };
        out!(tone => "    {} {} of {}{exceeded}", limit.name, limit.needed, limit.limit);
    }
    if let Some(bytes) = task.bytes {
        let from = match task.bytes_from {
            BytesSource::ServiceEstimate => "by the service's estimate",
            BytesSource::Samples => "by samples",
            _ => "by typical sizes",
        };
        out!("    {} to {} {from}, {}+ requests", size(bytes.min), size(bytes.max), task.requests);
    }
}

/// A line that fits on the terminal, where there is one.
fn cut(line: String) -> String {
    let line = printable(&line).to_string();
    columns().map_or_else(|| line.clone(), |columns| truncate_str(&line, columns, "…").into_owned())
}

/// A reason in one short line: without the layer's title, which stands before it, with the last two steps of a url's path, and
/// without the ways out that follow.
fn short(reason: &str, title: &str) -> String {
    let quoted = format!("\"{title}\"");
    let reason = reason.strip_prefix("layer ").unwrap_or(reason);
    let reason = match reason.strip_prefix(&quoted) {
        Some(rest) => rest.trim_start_matches([':', ' ']),
        None => reason,
    };
    let what = reason.split("; ").next().unwrap_or(reason);
    let words: Vec<String> = what.split(' ').map(short_url).collect();
    words.join(" ")
}

/// `Fieldwork/FeatureServer` for a url; any other word as it is.
fn short_url(word: &str) -> String {
    let Some((before, rest)) = word.find("http://").or_else(|| word.find("https://")).map(|at| word.split_at(at)) else {
        return word.to_owned();
    };
    let path = rest.split_once("://").map_or(rest, |(_, path)| path);
    let mut steps: Vec<&str> = path.rsplitn(3, '/').collect();
    if steps.len() < 3 {
        return word.to_owned();
    }
    steps.truncate(2);
    steps.reverse();
    format!("{before}{}", steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_says_what_is_wrong() {
        let long = "\"Online only\": sync is not enabled on the service http://h:7/a/rest/services/OnlineOnly/FeatureServer (its \
                    capabilities are `Query`); its owner can switch it on";
        let expected = "sync is not enabled on the service OnlineOnly/FeatureServer (its capabilities are `Query`)";
        assert_eq!(short(long, "Online only"), expected);
        assert_eq!(short("layer \"A WMS\" (WMS) cannot go offline: no tiles", "A WMS"), "(WMS) cannot go offline: no tiles");
        assert_eq!(short("https://h is down", ""), "https://h is down");
    }
}
