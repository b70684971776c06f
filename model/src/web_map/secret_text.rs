//! Urls in texts without the secrets that they hold: tokens, keys, signatures, user names and passwords.

use crate::layer_secrets::is_secret_name;

/// A text without the secrets of the urls in it, each of which is told; `None` where there are none.
pub(super) fn clean_text(text: &str, taken: &mut dyn FnMut(&str)) -> Option<String> {
    if !text.contains("://") && !text.starts_with('/') {
        return None;
    }
    let without_user = without_user(text, taken);
    let kept = without_secret_parameters(&without_user, &mut |_, value| taken(value));
    (kept != text).then_some(kept)
}

/// A url without the secrets in it: tokens, keys, signatures, user name and password. What else is in its query stays.
///
/// ```
/// use offmap_model::url_without_secrets;
///
/// assert_eq!(url_without_secrets("https://me:x@h/wms?map=/a.map&token=abc"), "https://h/wms?map=/a.map");
/// ```
#[must_use]
pub fn url_without_secrets(url: &str) -> String {
    clean_text(url, &mut |_| {}).unwrap_or_else(|| url.to_owned())
}

/// Where a url or one of its parts ends in a text, such as the description of a popup.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '\\')
}

/// A text without user names and passwords in the urls of it.
fn without_user(text: &str, taken: &mut dyn FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let authority = tail.find(|c: char| ends_url(c) || matches!(c, '/' | '?' | '#')).unwrap_or(tail.len());
        let from = tail.get(..authority).and_then(|a| a.rfind('@')).map_or(0, |at| at + 1);
        if let Some(user) = tail.get(..from.saturating_sub(1)).filter(|u| !u.is_empty()) {
            user.split_once(':').map_or(user, |(_, password)| password).split_whitespace().for_each(&mut *taken);
        }
        rest = tail.get(from..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A text without the parameters of its urls that are secrets; their names and values are told.
pub(super) fn without_secret_parameters(text: &str, taken: &mut dyn FnMut(&str, &str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['?', '&']) {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let between = match tail.get(1..).unwrap_or_default() {
            after if tail.starts_with('&') && after.starts_with("amp;") => "&amp;",
            _ => tail.get(..1).unwrap_or_default(),
        };
        let mut after = tail.get(between.len()..).unwrap_or_default();
        rest = loop {
            let end = after.find(|c: char| ends_url(c) || matches!(c, '&' | '#')).unwrap_or(after.len());
            let (pair, behind) = after.split_at(end);
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            let Some((name, value)) = decoded.filter(|(name, _)| pair.contains('=') && is_secret_name(name)) else {
                out.push_str(between);
                break after;
            };
            taken(&name, &value);
            // The next pair stands behind the question mark in place of this one.
            match behind.strip_prefix("&amp;").or_else(|| behind.strip_prefix('&')).filter(|_| between == "?") {
                Some(next) => after = next,
                None => break behind,
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_go_and_the_rest_of_the_urls_stays() {
        for (text, kept, gone) in [
            ("https://h/a?token=abc&f=json", "https://h/a?f=json", "abc"),
            ("https://h/a?token=abc&token=def", "https://h/a", "def"),
            ("https://h/a?x=1&apiKey=abc#top", "https://h/a?x=1#top", "abc"),
            ("https://h/a?x=1&amp;api-key=abc&amp;y=2", "https://h/a?x=1&amp;y=2", "abc"),
            ("see <a href='https://h/a?Token=abc'>here?</a> & there", "see <a href='https://h/a'>here?</a> & there", "abc"),
            ("https://user:pw@h/{level}?x={x}", "https://h/{level}?x={x}", "pw"),
            ("/sharing/rest/x?access_token=abc", "/sharing/rest/x", "abc"),
        ] {
            let mut taken: Vec<String> = Vec::new();
            assert_eq!(clean_text(text, &mut |secret| taken.push(secret.to_owned())).as_deref(), Some(kept));
            assert!(taken.iter().any(|t| t == gone), "{taken:?}");
        }
        for text in ["https://h/a?keyboard=3", "A = 'x?' AND token=3", "https://h/a?x&y", "https://h/@1,2,3z"] {
            assert_eq!(clean_text(text, &mut |_| {}), None, "{text}");
        }
    }

    #[test]
    fn a_text_of_many_secrets_is_read_in_one_go() {
        let text = format!("https://h/a?{}", "token=a&".repeat(200_000));
        assert_eq!(clean_text(&text, &mut |_| {}).as_deref(), Some("https://h/a?"));
    }
}
