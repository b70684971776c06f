//! Errors as services of the OGC report them, most of them with HTTP 200.
//!
//! Source: WMS 1.3.0, §7.3.3.11 and annex E (`ServiceExceptionReport`); WMS 1.1.1, annex A.3; OWS Common 1.1.0, §8 (`ExceptionReport`).

use crate::body::{ServiceError, cut};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Longest report that is read, in bytes.
const LONGEST: usize = 64 << 10;
/// Codes of a request that is wrong and stays so.
const OF_REQUEST: &[&str] = &[
    "InvalidFormat",
    "InvalidCRS",
    "InvalidSRS",
    "LayerNotDefined",
    "StyleNotDefined",
    "LayerNotQueryable",
    "InvalidPoint",
    "MissingDimensionValue",
    "InvalidDimensionValue",
    "OperationNotSupported",
    "MissingParameterValue",
    "InvalidParameterValue",
    "VersionNegotiationFailed",
];

/// Whether the words of a report say that there is no such tile, which is no error (WMTS 1.0.0, §7.2.4).
pub(crate) fn is_out_of_range(words: &str) -> bool {
    words.starts_with("TileOutOfRange")
}

/// The error of a report; `None` for anything else. A report without a code says nothing of whose fault it is: it counts as a fault of the
/// service that may pass (500), one whose code is of the request as a bad request (400).
pub(crate) fn read(bytes: &[u8]) -> Option<ServiceError> {
    let start = bytes.trim_ascii_start();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    if !start.starts_with(b"<") || bytes.len() > LONGEST {
        return None;
    }
    let text = String::from_utf8_lossy(start);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = false;
    let (mut is_report, mut code, mut words) = (false, None, String::new());
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) | Event::Empty(start) => {
                let name = start.local_name().into_inner().to_owned();
                match (is_report, name.as_str()) {
                    (false, "ServiceExceptionReport" | "ExceptionReport") => is_report = true,
                    (false, _) => return None,
                    (true, _) => code = code.or_else(|| code_of(&start)),
                }
            }
            Event::Text(part) if is_report => words.push_str(&part),
            Event::CData(part) if is_report => words.push_str(&part),
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_report {
        return None;
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_of_request = code.as_deref().is_some_and(|code| OF_REQUEST.contains(&code));
    let message = [code.unwrap_or_default(), words.join(" ")];
    let message: Vec<&str> = message.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    Some(ServiceError { code: if is_of_request { 400 } else { 500 }, message: cut(&message.join(": ")) })
}

fn code_of(start: &BytesStart<'_>) -> Option<String> {
    let of = |name: &str| start.try_get_attribute(name).ok().flatten().map(|a| a.value.trim().to_owned());
    of("code").or_else(|| of("exceptionCode")).filter(|code| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_an_error_and_other_documents_are_none() {
        let wms = b"<?xml version='1.0'?>\n<ServiceExceptionReport version=\"1.3.0\" xmlns=\"http://www.opengis.net/ogc\">\n\
            <ServiceException code=\"LayerNotDefined\">\n no layer <![CDATA[<roads>]]> </ServiceException></ServiceExceptionReport>";
        let error = read(wms).expect("an error");
        assert_eq!((error.code, error.message.as_str()), (400, "LayerNotDefined: no layer <roads>"));
        let ows =
            b"\xef\xbb\xbf<ows:ExceptionReport><ows:Exception exceptionCode=\"NoApplicableCode\"><ows:ExceptionText>out of \
            memory</ows:ExceptionText></ows:Exception></ows:ExceptionReport>";
        let error = read(ows).expect("an error");
        assert_eq!((error.code, error.message.as_str()), (500, "NoApplicableCode: out of memory"));
        let bare = read(b"<ServiceExceptionReport><ServiceException>busy</ServiceException>").expect("breaks off");
        assert_eq!((bare.code, bare.message.as_str()), (500, "busy"));
        let none =
            read(b"<ExceptionReport><Exception exceptionCode=\"TileOutOfRange\" locator=\"TILECOL\"/></ExceptionReport>");
        assert!(none.is_some_and(|error| is_out_of_range(&error.message)) && !is_out_of_range(&bare.message));
        for other in [&b"<html><body>ServiceExceptionReport</body></html>"[..], b"<WMS_Capabilities/>", b"{}", b"", b"<"] {
            assert_eq!(read(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
