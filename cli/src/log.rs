//! The log on stderr, and what `OFFMAP_LOG` says of it.

use crate::terminal::Log;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What is logged without `OFFMAP_LOG`.
const USUAL: &str = "error";

/// Begins to log; answers what is wrong with `OFFMAP_LOG`, in whose place the usual filter stands then.
pub(crate) fn begin() -> Option<String> {
    let (filter, wrong) = match std::env::var("OFFMAP_LOG") {
        Ok(text) if !text.trim().is_empty() => match parse(&text) {
            Ok(filter) => (filter, None),
            Err(wrong) => (EnvFilter::new(USUAL), Some(wrong)),
        },
        Ok(_) | Err(std::env::VarError::NotPresent) => (EnvFilter::new(USUAL), None),
        Err(std::env::VarError::NotUnicode(_)) => (EnvFilter::new(USUAL), Some("it is not UTF-8".to_owned())),
    };
    // No colours: what is logged often goes to a file, and titles and answers in it are escaped.
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Log).init();
    let expected = "expected error, warn, info, debug, trace or off, or by crate, such as warn,offmap_arcgis=debug";
    wrong.map(|wrong| format!("OFFMAP_LOG is not usable: {wrong}; {expected}; only errors are logged"))
}

fn parse(text: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    // A word alone that is no level would be taken for a crate, so that a slip of the pen would log nothing.
    let unknown = text.split(',').map(str::trim).find(|part| {
        !part.is_empty() && !part.contains(['=', '[', ':', '{']) && !is_level(part) && !part.starts_with("offmap")
    });
    match unknown {
        Some(part) => Err(format!("{part:?} is no level")),
        None => {
            let parts: Vec<&str> = text.split(',').map(str::trim).collect();
            EnvFilter::try_new(parts.join(",")).map_err(|e| e.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_crates_and_nothing_else() {
        for good in ["debug", "OFF", "warn,offmap_arcgis=debug", "offmap", "error, hyper=trace", "offmap_engine[job]=debug"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["debgu", "offmap=loud", "warn,verbose"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
