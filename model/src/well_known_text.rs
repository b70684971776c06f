//! Numbers of spatial references that are given by well-known text alone, as old services and packages do.
//!
//! Read are the authority code of the text's outermost element (`AUTHORITY` in OGC 01-009, called WKT1; `ID` in ISO 19162, called
//! WKT2), and without one the names that Esri and EPSG give to the spatial references in common use. Another text has no number: its
//! parameters are not compared, as a datum that is guessed wrong is some hundred metres off.

/// Deepest spatial reference within a compound or bound one that is read.
const DEEPEST: usize = 4;

/// The number of a spatial reference's well-known text: EPSG's, or Esri's own.
pub(crate) fn number_of(text: &str) -> Option<u32> {
    number_within(text, 0)
}

fn number_within(text: &str, depth: usize) -> Option<u32> {
    let (keyword, body) = element(text)?;
    let parts = parts(body);
    let nested = |keywords: &[&str]| {
        parts.iter().find(|p| element(p).is_some_and(|(k, _)| keywords.contains(&k.to_ascii_uppercase().as_str())))
    };
    match keyword.to_ascii_uppercase().as_str() {
        // The horizontal part of a compound spatial reference comes first.
        "COMPD_CS" | "COMPOUNDCRS" if depth < DEEPEST => number_within(parts.get(1)?, depth + 1),
        "BOUNDCRS" if depth < DEEPEST => {
            let (_, source) = element(nested(&["SOURCECRS"])?)?;
            number_within(source, depth + 1)
        }
        "PROJCS" | "PROJCRS" | "PROJECTEDCRS" | "GEOGCS" | "GEOGCRS" | "GEODCRS" | "GEODETICCRS" | "GEOGRAPHICCRS" => {
            let code = nested(&["AUTHORITY", "ID"]).and_then(|part| authority_code(part));
            code.or_else(|| number_of_name(&unquoted(parts.first()?)))
        }
        _ => None,
    }
}

/// Keyword and content of `KEYWORD[…]`; round brackets are allowed, too.
fn element(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let open = text.find(['[', '('])?;
    let (keyword, rest) = text.split_at(open);
    Some((keyword.trim(), rest.get(1..rest.len().checked_sub(1)?)?))
}

/// The parts of an element's content, which commas part outside of quotes and brackets.
fn parts(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut depth, mut quoted) = (0, 0_usize, false);
    for (at, character) in body.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '[' | '(' if !quoted => depth += 1,
            ']' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(body.get(from..at).unwrap_or_default().trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(body.get(from..).unwrap_or_default().trim());
    parts
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

/// The code of `AUTHORITY["EPSG","25832"]` or `ID["EPSG",25832]`.
fn authority_code(part: &str) -> Option<u32> {
    let (_, body) = element(part)?;
    let parts = parts(body);
    let authority = unquoted(parts.first()?).to_ascii_uppercase();
    matches!(authority.as_str(), "EPSG" | "ESRI").then(|| unquoted(parts.get(1)?).parse().ok())?
}

/// The number of a name in common use, in Esri's or EPSG's spelling.
fn number_of_name(name: &str) -> Option<u32> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    let number = match plain.as_str() {
        "GCSWGS1984" | "WGS1984" | "WGS84" => 4326,
        "WGS1984WEBMERCATORAUXILIARYSPHERE"
        | "WGS1984WEBMERCATOR"
        | "WGS84PSEUDOMERCATOR"
        | "WGS84WEBMERCATOR"
        | "POPULARVISUALISATIONCRSMERCATOR"
        | "GOOGLEMAPSGLOBALMERCATOR" => 3857,
        "GCSETRS1989" | "ETRS1989" | "ETRS89" => 4258,
        "GCSNORTHAMERICAN1983" | "NAD1983" | "NAD83" => 4269,
        "GCSGDA1994" | "GDA1994" | "GDA94" => 4283,
        "GCSGDA2020" | "GDA2020" => 7844,
        "GCSNZGD2000" | "NZGD2000" => 4167,
        "GCSRGF1993" | "RGF93" | "RGF93V1" => 4171,
        "NZGD2000NEWZEALANDTRANSVERSEMERCATOR" | "NZGD2000NEWZEALANDTRANSVERSEMERCATOR2000" => 2193,
        "RGF1993LAMBERT93" | "RGF93LAMBERT93" | "RGF93V1LAMBERT93" => 2154,
        "CH1903LV95" => 2056,
        "ETRS1989LAEA" | "ETRS89LAEAEUROPE" | "ETRS89EXTENDEDLAEAEUROPE" => 3035,
        _ => return zone(&plain),
    };
    Some(number)
}

/// The number of a zone of a transverse Mercator family.
fn zone(plain: &str) -> Option<u32> {
    let numbered = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| plain.strip_prefix(prefix));
    let within = |text: &str, first: u32, last: u32| text.parse().ok().filter(|n| (first..=last).contains(n));
    if let Some(zone) = numbered(&["WGS1984UTMZONE", "WGS84UTMZONE"]) {
        let north = zone.strip_suffix('N').and_then(|n| within(n, 1, 60)).map(|n| 32_600 + n);
        return north.or_else(|| zone.strip_suffix('S').and_then(|n| within(n, 1, 60)).map(|n| 32_700 + n));
    }
    if let Some(zone) = numbered(&["ETRS1989UTMZONE", "ETRS89UTMZONE"]) {
        return zone.strip_suffix('N').and_then(|n| within(n, 28, 38)).map(|n| 25_800 + n);
    }
    if let Some(zone) = numbered(&["NAD1983UTMZONE", "NAD83UTMZONE"]) {
        return zone.strip_suffix('N').and_then(|n| within(n, 1, 23)).map(|n| 26_900 + n);
    }
    if let Some(zone) = numbered(&["GDA1994MGAZONE", "GDA94MGAZONE"]) {
        return within(zone, 48, 58).map(|n| 28_300 + n);
    }
    let zone = numbered(&["GDA2020MGAZONE"])?;
    within(zone, 46, 59).map(|n| 7_800 + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_by_text_has_the_number_of_its_authority_or_name() {
        let esri = r#"PROJCS["ETRS_1989_UTM_Zone_32N",GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],UNIT["Meter",1.0]]"#;
        let with_authority = esri.replace("UNIT[\"Meter\",1.0]]", "UNIT[\"Meter\",1.0],AUTHORITY[\"EPSG\",25833]]");
        let wkt2 = r#"PROJCRS["Any, name",BASEGEOGCRS["WGS 84",DATUM["World",ELLIPSOID["WGS 84",6378137,298.257223563]],ID["EPSG",4326]],CONVERSION["UTM zone 32N",METHOD["Transverse Mercator",ID["EPSG",9807]]],CS[Cartesian,2],ID["EPSG",32632]]"#;
        for (text, number) in [
            (esri, Some(25832)),
            (&with_authority, Some(25833)),
            (wkt2, Some(32632)),
            (&format!(r#"COMPD_CS["Any + height",{esri},VERT_CS["DHHN92 height",AUTHORITY["EPSG","5783"]]]"#), Some(25832)),
            (&format!(r#"BOUNDCRS[SOURCECRS[{wkt2}],TARGETCRS[GEOGCRS["WGS 84",ID["EPSG",4326]]]]"#), Some(32632)),
            (r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137,298.257223563]]]"#, Some(4326)),
            (r#"PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",GEOGCS["GCS_WGS_1984"]]"#, Some(3857)),
            (r#"PROJCS["WGS_1984_Web_Mercator",AUTHORITY["ESRI","102113"]]"#, Some(102_113)),
            (r#"PROJCS("WGS 84 / UTM zone 18S",GEOGCS("WGS 84"))"#, Some(32718)),
            (r#"PROJCS["GDA_1994_MGA_Zone_55",GEOGCS["GCS_GDA_1994"]]"#, Some(28355)),
            (r#"PROJCS["NAD_1983_UTM_Zone_99N"]"#, None),
            (r#"PROJCS["Our town's own grid",GEOGCS["GCS_WGS_1984",AUTHORITY["EPSG","4326"]]]"#, None),
            (r#"LOCAL_CS["WGS_1984"]"#, None),
            ("PROJCS[", None),
            ("PROJCS", None),
            ("[]", None),
            ("", None),
            ("COMPD_CS[\"a\",\u{e9}]", None),
        ] {
            assert_eq!(number_of(text), number, "{text}");
        }
        let deep = "COMPD_CS[\"a\",".repeat(100_000);
        assert_eq!(number_of(&deep), None);
    }
}
