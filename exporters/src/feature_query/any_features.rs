//! Any bytes as features, for fuzzing.

use super::left_out::LeftOut;
use super::row_reader::{RowReader, Shapes};
use super::stored::{StoredRow, fill};
use offmap_arcgis::AnswerKind;
use offmap_formats::features::{Feature, Field, FieldType};
use offmap_formats::geometry::GeometryKind;
use offmap_model::SpatialReference;
use prost::Message as _;

/// Reads them as PBF and as JSON, as shapes of every kind; what is read is as it is kept.
pub(super) fn read(bytes: &[u8]) {
    let field = |(name, field_type): (&str, FieldType)| Field {
        name: name.to_owned(),
        alias: None,
        field_type,
        length: None,
        is_nullable: true,
        domain: None,
    };
    let types = [FieldType::Text, FieldType::Integer, FieldType::Double, FieldType::Date, FieldType::Guid];
    let named = ["NAME", "KIND", "LENGTH_KM", "SEEN", "GlobalID"].into_iter().zip(types);
    for kind in [GeometryKind::Point, GeometryKind::Multipoint, GeometryKind::Line, GeometryKind::Polygon] {
        let spatial_reference = SpatialReference::web_mercator();
        let reader = RowReader {
            url: "https://h/S/FeatureServer/0".to_owned(),
            object_id_field: "OBJECTID".to_owned(),
            fields: named.clone().map(field).collect(),
            shapes: Some(Shapes { kind, has_z: true, has_m: true, spatial_reference }),
        };
        let json = || reader.json(AnswerKind::Features.budget(), bytes).ok().and_then(|(rows, _)| rows.ok());
        let Some(read) = reader.pbf(bytes).ok().or_else(json) else { continue };
        let mut feature = Feature::default();
        for (id, row) in read.rows {
            let Ok(row) = StoredRow::decode_length_delimited(row.as_slice()) else {
                unreachable!("a row is read as it was kept")
            };
            fill(row, &types, Some((kind, true, true)), &mut feature, &mut LeftOut::default());
            assert_eq!(feature.object_id, Some(id), "a row keeps its object id");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_seeds_are_read() {
        read(include_bytes!("../../../fuzz/seeds/feature_answers/places.json"));
        read(include_bytes!("../../../fuzz/seeds/feature_answers/borders.pbf"));
        read(b"\x12\x02\x0a\x00");
    }
}
