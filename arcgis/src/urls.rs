//! Urls out of maps, options and answers: how they are read, resolved and compared.

use offmap_model::failure::{check_no_user, without_secrets};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt::Write as _;
use url::Url;

/// Reads a url out of a map, option or answer.
///
/// # Errors
/// If it is not an `http` or `https` url, or has a user name in it.
pub fn parse_http(url: &str) -> Result<Url, Failure> {
    check_no_user(url)?;
    match Url::parse(url.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Failure::invalid_parameter(format!("`{}` is not an http or https url", without_secrets(url.trim())))),
    }
}

/// Host and port of a url in lower case; without the port where it is the scheme's default.
pub(crate) fn host_of(url: &Url) -> String {
    let mut host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    if let Some(port) = url.port() {
        // Writing to a text does not fail.
        let _ = write!(host, ":{port}");
    }
    host
}

/// Scheme, host and port.
pub(crate) fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether both are one origin, or the second is the first by `https`, both on the default ports.
pub(crate) fn is_same_place(from: &Url, to: &Url) -> bool {
    let is_upgraded = from.scheme() == "http" && to.scheme() == "https";
    let by_default = from.port().is_none() && to.port().is_none() && from.host() == to.host();
    from.origin() == to.origin() || (is_upgraded && by_default)
}

/// Resolves a url out of an answer against the url that was asked. An `http` url on the host that was asked by `https` is upgraded
/// to `https`.
///
/// # Errors
/// If it is not an `http` or `https` url, or has a user name in it.
pub fn resolve(asked: &str, answered: &str) -> Result<Url, Failure> {
    let base = parse_http(asked)?;
    let mut url = base.join(answered.trim()).ok().filter(|u| matches!(u.scheme(), "http" | "https")).ok_or_else(|| {
        let message = format!("the service answers with the url `{}`, which is not http", without_secrets(answered));
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Run, message)
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        let message = format!("the service answers with a url at {} that has a user name and password in it", host_of(&url));
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Run, message));
    }
    if base.scheme() == "https" && url.scheme() == "http" && base.host_str() == url.host_str() {
        by_https(&mut url);
    }
    Ok(url)
}

/// The same url by `https`.
pub(crate) fn by_https(url: &mut Url) {
    // Both are special schemes, so the change cannot fail.
    let _ = url.set_scheme("https");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_out_of_answers_are_resolved_and_upgraded_to_https() {
        let asked = "https://h/arcgis/rest/services/S/MapServer/exportTiles/jobs/j1?f=json";
        let text = |answered| resolve(asked, answered).map(|u| u.to_string());
        assert_eq!(text("http://h/a.tpkx").as_deref(), Ok("https://h/a.tpkx"));
        assert_eq!(text("http://other/a").as_deref(), Ok("http://other/a"));
        let relative = "https://h/arcgis/rest/services/S/MapServer/exportTiles/jobs/results/out_service_url";
        assert_eq!(text("results/out_service_url").as_deref(), Ok(relative));
        assert!(text("file:///etc/passwd").is_err());
    }
}
