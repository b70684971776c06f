//! A WMS of the OGC in two versions.
//!
//! Written after WMS 1.3.0 (§6.7.2, §7.2, §7.3, annex A and E) and WMS 1.1.1.

use crate::answer::{Answer, Rest};
use crate::pattern::{Corner, Pattern, drawn};
use crate::request::Call;
use offmap_model::Envelope;

/// Longest sides of a picture, and the layers that there are.
const LARGEST: u32 = 1400;
const LAYERS: [&str; 2] = ["land", "roads"];

/// Answers a call.
pub(super) fn wms(call: &Call) -> Rest<Answer> {
    let is_new = !call.text("version").is_some_and(|version| version.starts_with("1.1"));
    let answered = match call.text("request").unwrap_or_default().to_ascii_lowercase().as_str() {
        "getcapabilities" => Ok(Answer::Bytes("text/xml", capabilities(is_new).into_bytes())),
        "getmap" => map(call, is_new),
        _ => Err(("OperationNotSupported", "expected GetCapabilities or GetMap".to_owned())),
    };
    // A failure is HTTP 200 with a report.
    Ok(answered.unwrap_or_else(|(code, words)| {
        let report = format!(
            "<?xml version=\"1.0\"?><ServiceExceptionReport version=\"{}\"><ServiceException code=\"{code}\">{words}</ServiceException>\
             </ServiceExceptionReport>",
            if is_new { "1.3.0" } else { "1.1.1" }
        );
        Answer::Bytes(if is_new { "text/xml" } else { "application/vnd.ogc.se_xml" }, report.into_bytes())
    }))
}

fn capabilities(is_new: bool) -> String {
    let (root, version, crs) =
        if is_new { ("WMS_Capabilities", "1.3.0", "CRS") } else { ("WMT_MS_Capabilities", "1.1.1", "SRS") };
    let offered = ["EPSG:3857", "EPSG:4326"].map(|name| format!("<{crs}>{name}</{crs}>")).join("");
    let limits =
        if is_new { format!("<MaxWidth>{LARGEST}</MaxWidth><MaxHeight>{LARGEST}</MaxHeight>") } else { String::new() };
    let layers = LAYERS.map(|name| format!("<Layer><Name>{name}</Name><Title>{name}</Title></Layer>")).join("");
    let extent = if is_new {
        "<EX_GeographicBoundingBox><westBoundLongitude>-180</westBoundLongitude><eastBoundLongitude>180</eastBoundLongitude>\
         <southBoundLatitude>-85</southBoundLatitude><northBoundLatitude>85</northBoundLatitude></EX_GeographicBoundingBox>"
    } else {
        "<LatLonBoundingBox minx='-180' miny='-85' maxx='180' maxy='85'/>"
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root} version=\"{version}\"><Service><Name>WMS</Name><Title>Sandbox WMS</Title>{limits}\
         </Service><Capability><Request><GetMap><Format>image/png</Format><Format>image/jpeg</Format></GetMap></Request>\
         <Layer><Title>All</Title>{offered}{extent}<Attribution><Title>Drawn by the sandbox</Title></Attribution>{layers}</Layer>\
         </Capability></{root}>"
    )
}

type Refused = (&'static str, String);

fn map(call: &Call, is_new: bool) -> Result<Answer, Refused> {
    let wanted = |name: &str| {
        let missing = || ("MissingParameterValue", format!("{name} is missing"));
        call.parameters.get(&name.to_ascii_lowercase()).cloned().ok_or_else(missing)
    };
    wanted("STYLES")?;
    let layers = wanted("LAYERS")?;
    if let Some(unknown) = layers.split(',').find(|name| !LAYERS.contains(name)) {
        return Err(("LayerNotDefined", format!("there is no layer {unknown}")));
    }
    if wanted("FORMAT")? != "image/png" {
        return Err(("InvalidFormat", "expected image/png".to_owned()));
    }
    let (crs, wrong) = if is_new { (wanted("CRS")?, "InvalidCRS") } else { (wanted("SRS")?, "InvalidSRS") };
    let (corner, is_north_first) = match crs.as_str() {
        "EPSG:3857" => (Corner::WEB_MERCATOR, false),
        "EPSG:4326" => (Corner::DEGREES, is_new),
        other => return Err((wrong, format!("there is no {other}"))),
    };
    let side = |name: &str| {
        let side = wanted(name)?.parse::<u32>().ok().filter(|side| (1..=LARGEST).contains(side));
        side.ok_or_else(|| ("InvalidParameterValue", format!("{name} is not 1 to {LARGEST}")))
    };
    let size = (side("WIDTH")?, side("HEIGHT")?);
    let numbers: Vec<f64> = wanted("BBOX")?.split(',').filter_map(|n| n.parse().ok()).collect();
    let [a, b, c, d] = numbers[..] else { return Err(("InvalidParameterValue", "BBOX has not four numbers".to_owned())) };
    let [xmin, ymin, xmax, ymax] = if is_north_first { [b, a, d, c] } else { [a, b, c, d] };
    if xmin >= xmax || ymin >= ymax {
        return Err(("InvalidParameterValue", "BBOX is empty".to_owned()));
    }
    let envelope = Envelope { xmin, ymin, xmax, ymax, spatial_reference: None };
    let transparent = call.flag("transparent", false);
    Ok(Answer::Bytes("image/png", drawn(Pattern::Wms, &envelope, corner, size, transparent)))
}
