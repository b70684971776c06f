//! Hosts as people name them.

use offmap_model::Failure;
use url::{Host, Url};

/// Reads a host as an option names it: `host` or `host:port`, in lower case; an IPv6 address stands in brackets.
///
/// # Errors
/// If it is empty, a pattern, a url, or anything else that is no host.
pub fn parse_host(text: &str) -> Result<String, Failure> {
    let named = text.trim();
    let refused = || {
        Failure::invalid_parameter(format!("`{named}` is not a host; write it as gis.example.com or gis.example.com:6443"))
    };
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:[]".contains(c);
    if named.is_empty() || !named.chars().all(is_plain) {
        return Err(refused());
    }
    // The port is cut off by hand: the parser of urls drops one that is its scheme's default.
    let (host, port) = match named.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.ends_with(':') && !port.contains(']') => {
            (host, Some(port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(refused)?))
        }
        _ => (named, None),
    };
    let is_literal = host.starts_with('[') && host.ends_with(']');
    let odd_label = |label: &str| label.starts_with('-') || label.ends_with('-');
    if (host.contains([':', '[', ']']) && !is_literal) || host.split('.').any(odd_label) {
        return Err(refused());
    }
    let url = Url::parse(&format!("http://{host}/")).map_err(|_| refused())?;
    match url.host() {
        Some(Host::Domain(name)) if name.trim_end_matches('.').split('.').any(str::is_empty) => return Err(refused()),
        Some(_) if url.port().is_none() => {}
        _ => return Err(refused()),
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    Ok(port.map_or(host.clone(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_and_what_is_none_is_refused() {
        for (text, read) in [
            ("GIS.City.example", "gis.city.example"),
            ("gis.city.example:6443", "gis.city.example:6443"),
            ("gis.city.example:443", "gis.city.example:443"),
            ("gis.city.example.", "gis.city.example"),
            ("localhost", "localhost"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:7070", "[::1]:7070"),
            ("[::1]", "[::1]"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(read), "{text}");
        }
        for text in [
            "",
            " ",
            "*",
            "*.city.example",
            ".",
            "..",
            "a..b",
            ".city",
            "https://gis.city.example",
            "gis.city.example/arcgis",
            "user@host",
            "host:",
            "host:0",
            "host:99999",
            "host:x",
            "a b",
            "host?x",
            "host#x",
            "a\\b",
            "a\u{0}b",
            "localhost:80:80",
            "-",
            "a.-b.c",
            "::1",
            "1.2.3.4.5",
        ] {
            assert!(parse_host(text).is_err(), "{text:?} is refused");
        }
    }
}
