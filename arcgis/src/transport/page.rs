//! A page, or nothing, in place of an answer: of a proxy, a firewall or a login that stands before the service.
//!
//! Such pages come and go like a 503, so they are one: the request is tried again before the page is believed. Of its content only the
//! title is quoted, or its first words where it has none, and only where it came from the host that was asked: what other hosts answer
//! to whom a redirect led is nobody's to read.

use crate::call::ServiceCall;
use crate::urls::{host_of, is_same_place};
use offmap_model::failure::{shortened, without_secrets};
use offmap_model::{Failure, FailureKind, FailureOwner};
use url::Url;

/// Longest part of a page that is quoted, in bytes.
const LONGEST_TITLE: usize = 80;
/// Bytes of a page that are searched.
const SEARCHED: usize = 16 << 10;

/// The failure for such an answer, which may pass; `None` where it is something else.
pub(crate) fn judge(call: &ServiceCall, from: &Url, bytes: &[u8]) -> Option<Failure> {
    let start = bytes.trim_ascii_start();
    // Some pages begin with a byte order mark.
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if !start.is_empty() && !start.starts_with(b"<") {
        return None;
    }
    let (asked, answered) = (host_of(&call.url), host_of(from));
    let (owner, message) = if start.is_empty() {
        (FailureOwner::Source, format!("the answer of {answered} is empty, expected JSON or a file"))
    } else if is_same_place(&call.url, from) {
        let text = String::from_utf8_lossy(start.get(..SEARCHED).unwrap_or(start));
        let title = title_of(&text).map_or_else(String::new, |title| format!(" (\"{title}\")"));
        (
            FailureOwner::Source,
            format!(
                "the answer of {answered} is an HTML page{title}, expected JSON or a file; a login page or a proxy stands before the \
                 service: open {} in a browser to see it, then give credentials or ask who runs it to let offmap through",
                without_secrets(call.url.as_str())
            ),
        )
    } else {
        (
            FailureOwner::Network,
            format!(
                "{asked} redirects to {answered}, which answers with an HTML page, expected JSON or a file; a login page or a proxy \
                 stands before the service: sign in there, give credentials, or put the service's own url into the map"
            ),
        )
    };
    Some(Failure::new(owner, FailureKind::InvalidAnswer, call.stage, message).with_url(call.url.as_str()).retryable())
}

/// The title of a page, else its first words.
fn title_of(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let title = || {
        let tag = lower.find("<title")?;
        let from = tag + lower.get(tag..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find("</title")?;
        plain(page.get(from..to)?)
    };
    title().or_else(|| plain(page))
}

/// Words without tags, control characters and runs of space.
fn plain(markup: &str) -> Option<String> {
    let mut text = String::new();
    let mut in_tag = false;
    for c in markup.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            c if in_tag || (c.is_control() && !c.is_whitespace()) => {}
            c => text.push(if c == '"' { '\'' } else { c }),
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(shortened(words.join(" "), LONGEST_TITLE)).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_quoted_by_its_title_or_its_first_words() {
        for (page, words) in [
            ("<!DOCTYPE html><title>Sign in</title><p>more", Some("Sign in")),
            ("<html><TITLE lang=\"de\">\n Web \u{1b}[2J Gate\u{7}way </TITLE>", Some("Web [2J Gateway")),
            ("<html><body><h1>502 Bad \"Gateway\"</h1></body>", Some("502 Bad 'Gateway'")),
            ("<html><title></title><body>Down for <b>maintenance</b>", Some("Down for maintenance")),
            ("<html></html>", None),
        ] {
            assert_eq!(title_of(page).as_deref(), words, "{page}");
        }
        assert!(title_of(&format!("<p>{}", "x".repeat(5000))).is_some_and(|words| words.len() <= LONGEST_TITLE));
    }

    #[test]
    fn a_page_may_pass_and_that_of_another_host_is_not_quoted() {
        let call = ServiceCall::get("https://h/arcgis/rest/services?token=abc").expect("a url");
        let judged = |from: &str, bytes: &[u8]| judge(&call, &Url::parse(from).expect("a url"), bytes);
        let own = judged("https://h/arcgis/rest/services", b"\xef\xbb\xbf\n<title>Sign in</title>").expect("a page");
        assert!(own.retryable && own.message.contains("HTML page (\"Sign in\")") && !own.message.contains("abc"), "{own}");
        assert_eq!((own.owner, own.kind), (FailureOwner::Source, FailureKind::InvalidAnswer));
        let other = judged("https://login.example/x", b"<title>Secret words</title>").expect("a page");
        assert!(other.message.contains("login.example") && !other.message.contains("Secret"), "{other}");
        assert_eq!((other.owner, other.retryable), (FailureOwner::Network, true));
        // What listens at another port may be anybody's.
        for other in ["https://h:9200/x", "http://h/x"] {
            let other = judged(other, b"<title>Secret words</title>").expect("a page");
            assert!(!other.message.contains("Secret"), "{other}");
        }
        assert!(judged("https://h/", b" \n").is_some_and(|f| f.message.contains("empty") && f.retryable));
        assert!(judged("https://h/", b"{\"a\": 1").is_none() && judged("https://h/", b"AKIA words").is_none());
    }
}
