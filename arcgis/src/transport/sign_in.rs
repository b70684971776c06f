//! Ways to sign in that stand before a service, and what can be done about each.

use super::connection;
use crate::call::ServiceCall;
use crate::urls::host_of;
use offmap_model::{Failure, FailureKind, FailureOwner};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Texts of gateways whose client has to show a certificate (nginx; IIS 403.7).
const CERTIFICATE_WANTED: [&[u8]; 2] = [b"required SSL certificate", b"Error 403.7"];

/// The failure of an answer by something that wants another way to sign in than a token; `None` where none is asked for.
/// `page` is what came with it, which is no error of ArcGIS.
pub(super) fn wanted(
    call: &ServiceCall,
    status: StatusCode,
    headers: &HeaderMap,
    page: &[u8],
    proxy: Option<&str>,
) -> Option<Failure> {
    let host = host_of(&call.url);
    let message = match status.as_u16() {
        407 => return Some(connection::proxy_wants_password(call, proxy)),
        400 | 403 | 495 | 496 if CERTIFICATE_WANTED.iter().any(|text| page.windows(text.len()).any(|w| w == *text)) => {
            connection::wants_certificate(&host)
        }
        401 => {
            let schemes = schemes(headers);
            if schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Bearer")) {
                return None;
            }
            format!(
                "{host} wants a sign-in by {} (401), which offmap does not know; name a url of the service that supports tokens, such as \
                 the server's own beside its web adaptor, and give a token for it by `--token-for HOST=VAR`",
                schemes.join(", ")
            )
        }
        _ => return None,
    };
    let failure = Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, call.stage, message);
    Some(failure.with_url(call.url.as_str()))
}

/// The names of known ways to sign in that an answer offers.
fn schemes(headers: &HeaderMap) -> Vec<&'static str> {
    const KNOWN: [&str; 6] = ["Negotiate", "Kerberos", "NTLM", "Digest", "Basic", "Bearer"];
    let offered = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|value| value.to_str().ok());
    let offers: Vec<&str> =
        offered.flat_map(|value| value.split(',')).filter_map(|part| part.split_whitespace().next()).collect();
    KNOWN.into_iter().filter(|known| offers.iter().any(|offer| offer.eq_ignore_ascii_case(known))).collect()
}
