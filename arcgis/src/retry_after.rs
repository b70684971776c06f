//! How long a host asks to be left alone.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// A host that asks for more asks for this: no job lasts as long, and dates beyond cannot all be written.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3), which is judged by `now_ms`, in milliseconds since 1970.
pub(crate) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number {
        // A number that is too large for the type is long, too.
        return Some(pause(text.parse().unwrap_or(u64::MAX)));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let date = httpdate::parse_http_date(text).ok()?;
    Some(pause(date.duration_since(now).unwrap_or_default().as_secs()))
}

/// A pause that a host asks for.
pub(crate) fn pause(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a header"));
            retry_after(&headers, 1_700_000_000_000)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(read(&httpdate::fmt_http_date(now + Duration::from_secs(90))), Some(Duration::from_secs(90)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("90000"), Some(Duration::from_hours(25)), "whatever its length");
        for endless in ["99999999999", "99999999999999999999999999"] {
            assert_eq!(read(endless), Some(LONGEST));
        }
    }
}
