//! Writes GeoParquet.

use super::columns::{Group, internal};
use super::metadata::{Crs, crs, geo};
use super::parts::{Parts, Progress};
use crate::features::{Attachment, Feature, FeatureSink, LayerSchema, Relationship, Resume};
use crate::geometry::{Geometry, RingGroups, wkb};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::Read;
use std::path::Path;

/// Rows of a group, and about how many bytes of them end it.
const MOST_ROWS: usize = 65_536;
const MOST_BYTES: usize = 32 << 20;

/// Writes one layer or table into a GeoParquet file.
///
/// The file has its name when it is complete; until then groups of rows lie beside it, under its name with `.new.parts` behind it. Each
/// [`keep`](FeatureSink::keep) ends a group.
///
/// ```
/// use offmap_formats::features::{Feature, FeatureSink, GeometryField, LayerSchema};
/// use offmap_formats::geometry::GeometryKind;
/// use offmap_formats::geoparquet::GeoParquetSink;
/// use offmap_model::SpatialReference;
///
/// let dir = tempfile::tempdir()?;
/// let to = dir.path().join("peaks.parquet");
/// let spatial_reference = SpatialReference::wgs84();
/// let geometry = GeometryField { name: "geometry".into(), kind: GeometryKind::Point, has_z: false, has_m: false, spatial_reference };
/// let mut sink = GeoParquetSink::create(&to)?;
/// sink.begin_layer(&LayerSchema::new("peaks", Some(geometry)))?;
/// let mut feature = Feature::with_fields(0);
/// let shape = feature.new_geometry(GeometryKind::Point, false, false);
/// shape.add_point([7.98, 46.54], 0.0, 0.0);
/// shape.close_part();
/// sink.put_feature(&feature)?;
/// sink.finish_file()?;
/// assert!(to.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GeoParquetSink {
    parts: Parts,
    layer: Option<(LayerSchema, Group)>,
    groups: RingGroups,
    shape: Geometry,
    blob: Vec<u8>,
    attachments: u64,
}

impl GeoParquetSink {
    /// Begins a file anew; what an earlier process left of it goes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(to: &Path) -> Result<Self, Failure> {
        Self::open(to, false)
    }

    /// Goes on with a file of which an earlier process wrote a part, or begins it where none did.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn resume(to: &Path) -> Result<Self, Failure> {
        Self::open(to, true)
    }

    fn open(to: &Path, resume: bool) -> Result<Self, Failure> {
        let parts = Parts::open(to, resume)?;
        let (groups, shape, blob) = (RingGroups::default(), Geometry::default(), Vec::new());
        Ok(Self { parts, layer: None, groups, shape, blob, attachments: 0 })
    }

    /// Adds the columns of a row; the error is why they cannot be held.
    fn push(&mut self, feature: &Feature) -> Result<(), String> {
        let Some((layer, group)) = &mut self.layer else { return Ok(()) };
        match (&layer.object_id_field, feature.object_id) {
            (Some(_), Some(id)) => group.push_key(id),
            (Some(name), None) => return Err(format!("it has no object id in `{name}`")),
            (None, _) => {}
        }
        for ((column, value), field) in group.fields.iter_mut().zip(&feature.values).zip(&layer.fields) {
            if !column.push(value, field) {
                return Err(format!("its value of `{}` is not of the field's type", column.name));
            }
            group.bytes += match value {
                crate::features::Value::Text(text) => text.len() + 8,
                crate::features::Value::Blob(bytes) => bytes.len() + 8,
                _ => 8,
            };
        }
        if layer.geometry.is_none() {
            return Ok(());
        }
        let Some(shape) = feature.geometry() else {
            group.push_shape(None);
            return Ok(());
        };
        let plain = match shape.has_m() {
            false => shape,
            true => {
                self.shape.copy_from(shape);
                self.shape.forget(false, true);
                &self.shape
            }
        };
        self.blob.clear();
        wkb::write(plain, &mut self.groups, &mut self.blob);
        let extent = plain.extent();
        group.push_shape(Some((&self.blob, extent)));
        group.bytes += self.blob.len() + 40;
        let progress = &mut self.parts.progress;
        progress.has_shapes = true;
        if let Some([a, b, c, d]) = extent {
            let wider = |[e, f, g, h]: [f64; 4]| [e.min(a), f.min(b), g.max(c), h.max(d)];
            progress.extent = Some(progress.extent.map_or([a, b, c, d], wider));
        }
        Ok(())
    }
}

/// What tells a layer from one with other columns.
fn fingerprint(layer: &LayerSchema) -> String {
    let fields: Vec<_> = layer.fields.iter().map(|f| (&f.name, f.field_type)).collect();
    format!("{} {:?} {fields:?} {:?}", layer.name, layer.object_id_field, layer.geometry)
}

impl FeatureSink for GeoParquetSink {
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure> {
        if let Some((first, _)) = &self.layer {
            let (first, second) = (&first.name, &layer.name);
            return Err(Failure::not_supported(format!(
                "a GeoParquet file holds one layer, and there are `{first}` and `{second}`; choose one of them for each file"
            )));
        }
        let print = fingerprint(layer);
        if self.parts.progress.layer != print {
            // Another layer's half is of no use.
            self.parts.begin_anew(Progress::of(print))?;
        }
        let progress = &self.parts.progress;
        let there = Resume { after: progress.after, rows: progress.rows };
        let attachments = Resume { after: progress.attachment_after, rows: 0 };
        self.layer = Some((layer.clone(), Group::of(layer).map_err(|e| internal(&e))?));
        Ok((there, attachments))
    }

    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure> {
        let pushed = self.push(feature);
        let Some((layer, group)) = &mut self.layer else {
            return Err(Failure::internal("a feature was put before its layer was begun"));
        };
        if let Err(why) = pushed {
            group.forget_unfinished();
            let id = feature.object_id.map_or_else(|| format!("row {}", feature.row_id), |id| format!("feature {id}"));
            let message = format!("cannot write {id} of layer `{}` into the GeoParquet file: {why}", layer.name);
            return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message));
        }
        group.rows += 1;
        let progress = &mut self.parts.progress;
        (progress.after, progress.rows) = (Some(feature.row_id), progress.rows + 1);
        if group.rows >= MOST_ROWS || group.bytes >= MOST_BYTES { self.parts.add(group) } else { Ok(()) }
    }

    fn put_attachment(&mut self, attachment: &Attachment, _: &mut dyn Read) -> Result<(), Failure> {
        // Not written, so not counted as written; but not asked for again.
        self.parts.progress.attachment_after = Some(attachment.row_id);
        self.attachments += 1;
        Ok(())
    }

    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure> {
        let mut left_out = Vec::new();
        if let Some((layer, geometry)) = self.layer.as_ref().and_then(|(l, _)| Some((l, l.geometry.as_ref()?))) {
            let name = &layer.name;
            if geometry.has_m {
                left_out.push(format!("the measures of layer `{name}`"));
            }
            if let Crs::Unknown = crs(&geometry.spatial_reference) {
                left_out.push(format!("the spatial reference of layer `{name}`, {}", geometry.spatial_reference));
            }
        }
        if self.attachments > 0 {
            left_out.push(format!("{} attachments", self.attachments));
        }
        left_out.extend(relationships.iter().map(|r| format!("relationship `{}`", r.name)));
        Ok(left_out)
    }

    fn keep(&mut self) -> Result<(), Failure> {
        if let Some((_, group)) = &mut self.layer {
            self.parts.add(group)?;
        }
        self.parts.keep()
    }

    fn finish_file(mut self) -> Result<(), Failure> {
        let Some((layer, mut group)) = self.layer.take() else {
            return Err(Failure::not_supported("a GeoParquet file holds one layer, and there is none to write"));
        };
        self.parts.add(&mut group)?;
        let Progress { has_shapes, extent, .. } = self.parts.progress;
        let words = layer.geometry.as_ref().map(|g| geo(g, group.box_name(), has_shapes, extent).to_string());
        self.parts.join(&group, words)
    }
}
