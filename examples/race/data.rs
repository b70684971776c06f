//! What the server has: made out of numbers, always the same.

use serde_json::{Value, json};

/// Bytes of a tile, as raster tiles of land have them.
const TILE: usize = 6_000;
/// Bytes of an attachment.
pub(crate) const ATTACHMENT: usize = 300_000;

/// Tiles of all levels to one.
pub(crate) fn tiles_to(level: u32) -> u64 {
    (0..=level).map(|l| 1_u64 << (2 * l)).sum()
}

/// The tiles of all levels to one: level, row, column.
pub(crate) fn all_tiles(level: u32) -> impl Iterator<Item = (u32, u64, u64)> {
    (0..=level).flat_map(|l| (0..1_u64 << l).flat_map(move |row| (0..1_u64 << l).map(move |column| (l, row, column))))
}

/// Numbers that do not repeat (splitmix64), between the first and the last bytes of a JPEG.
fn picture(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for piece in bytes.chunks_mut(8) {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 31)).to_le_bytes();
        piece.copy_from_slice(n.get(..piece.len()).unwrap_or_default());
    }
    if let Some(head) = bytes.get_mut(..3) {
        head.copy_from_slice(b"\xff\xd8\xff");
    }
    if let Some(tail) = bytes.last_chunk_mut() {
        *tail = *b"\xff\xd9";
    }
    bytes
}

/// A tile.
pub(crate) fn tile(level: u32, row: u64, column: u64) -> Vec<u8> {
    picture(TILE, (u64::from(level) << 48) ^ (row << 24) ^ column)
}

/// An attachment.
pub(crate) fn attachment(id: u64) -> Vec<u8> {
    picture(ATTACHMENT, id)
}

/// Fields of the points beside their ids, with types and lengths.
pub(crate) const FIELDS: [(&str, &str, u32); 12] = [
    ("GlobalID", "GlobalID", 38),
    ("NAME", "String", 80),
    ("ASCII_NAME", "String", 80),
    ("CLASS", "String", 4),
    ("CODE", "String", 10),
    ("COUNTRY", "String", 2),
    ("ADMIN", "String", 20),
    ("POPULATION", "Integer", 0),
    ("ELEVATION", "SmallInteger", 0),
    ("HEIGHT", "Double", 0),
    ("TIMEZONE", "String", 40),
    ("MODIFIED", "Date", 0),
];

/// How a layer describes its fields.
pub(crate) fn fields() -> Value {
    let id = json!({"name": "OBJECTID", "type": "esriFieldTypeOID", "alias": "OBJECTID", "nullable": false});
    let rest = FIELDS.iter().map(|(name, kind, length)| {
        let mut field =
            json!({"name": name, "type": format!("esriFieldType{kind}"), "alias": name, "nullable": *kind != "GlobalID"});
        if let (Some(object), true) = (field.as_object_mut(), *length > 0) {
            object.insert("length".to_owned(), json!(length));
        }
        field
    });
    std::iter::once(id).chain(rest).collect()
}

/// A point with its attributes.
pub(crate) fn point(id: u64) -> Value {
    let n = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let part = |bits: u32, of: u64| (n >> bits) % of;
    let name = format!("Städtchen {}", part(8, 10_000_000));
    json!({
        "attributes": {
            "OBJECTID": id, "GlobalID": format!("{{{:08X}-0000-4000-8000-{:012X}}}", n >> 32, id), "NAME": name,
            "ASCII_NAME": name.replace('ä', "a"), "CLASS": "P", "CODE": "PPLA2", "COUNTRY": "CH", "ADMIN": part(3, 99).to_string(),
            "POPULATION": part(13, 2_000_000), "ELEVATION": part(21, 4_000), "HEIGHT": part(17, 40_000) as f64 / 10.0,
            "TIMEZONE": "Europe/Zurich", "MODIFIED": 1_136_073_600_000_i64 + part(5, 500_000_000_000) as i64,
        },
        "geometry": {"x": part(7, 36_000_000) as f64 / 1e5 - 180.0, "y": part(27, 17_000_000) as f64 / 1e5 - 85.0},
    })
}

/// How many polygons there are.
pub(crate) const COUNTRIES: u64 = 250;

/// The page of all polygons, which have so many vertices together: as uneven as countries are, the last has some 250 times as many as the
/// first. Each is a ring with bays.
pub(crate) fn countries(vertices: u64) -> String {
    use std::fmt::Write as _;
    let mut page = format!(
        "{{\"objectIdFieldName\":\"OBJECTID\",\"geometryType\":\"esriGeometryPolygon\",\"spatialReference\":{{\"wkid\":4326}},\
         \"fields\":{},\"features\":[",
        fields()
    );
    for id in 1..=COUNTRIES {
        let corners = (vertices * 2 * id / (COUNTRIES * (COUNTRIES + 1))).max(8);
        let [x, y] = [(id % 25) as f64 * 13.0 - 160.0, (id / 25) as f64 * 12.0 - 55.0];
        let attributes = &point(id)["attributes"];
        let _ = write!(page, "{}{{\"attributes\":{attributes},\"geometry\":{{\"rings\":[[", if id > 1 { "," } else { "" });
        for corner in 0..=corners {
            let corner = corner % corners;
            let angle = corner as f64 / corners as f64 * std::f64::consts::TAU;
            let reach = 5.0 + (corner.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44) as f64 / 1_048_576.0;
            let (sin, cos) = angle.sin_cos();
            let _ = write!(page, "[{:.7},{:.7}],", x - cos * reach, y + sin * reach);
        }
        // Behind the last vertex is none.
        page.pop();
        page.push_str("]]}}");
    }
    page.push_str("]}");
    page
}
