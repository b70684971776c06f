//! How much of an organisation's request units is used. Source: feature service reference §6.3.

use reqwest::header::HeaderMap;

/// `x-esri-org-request-units-per-min: usage=97;max=28800` as a share.
pub(super) fn used_share(headers: &HeaderMap) -> Option<f64> {
    let text = headers.get("x-esri-org-request-units-per-min")?.to_str().ok()?;
    let number = |name: &str| {
        let part = text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
        part.trim().parse::<f64>().ok()
    };
    number("max").filter(|max| *max > 0.0).and_then(|max| Some(number("usage")? / max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        headers
    }

    #[test]
    fn request_units_are_read_as_a_share() {
        let name = "x-esri-org-request-units-per-min";
        assert_eq!(used_share(&with(name, "usage=97;max=28800")), Some(97.0 / 28800.0));
        assert_eq!(used_share(&with(name, "max=100; usage=90")), Some(0.9));
        assert_eq!(used_share(&with(name, "usage=97")), None);
    }
}
