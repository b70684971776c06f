//! All features of a file into another one.

use super::batches::read_and_write;
use super::feature::Feature;
use super::reader::FeatureReader;
use super::sink::FeatureSink;
use offmap_model::Failure;

/// How features are copied.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Rows between two moments at which what was written is kept.
    pub keep_every: u64,
    /// Bytes of attachments between two such moments.
    pub keep_every_bytes: u64,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { keep_every: 50_000, keep_every_bytes: 256 << 20 }
    }
}

/// What is in the new file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Its layers.
    pub layers: Vec<CopiedLayer>,
    /// What it cannot hold, in words.
    pub left_out: Vec<String>,
}

/// What of a layer is in the new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedLayer {
    /// The layer.
    pub layer: String,
    /// Its rows.
    pub features: u64,
    /// Its attachments.
    pub attachments: u64,
}

/// Copies all layers, tables, attachments and relationships that are not in the sink yet; the sink is not finished. Blocks: rows are
/// read on this thread and written on another one.
///
/// # Errors
/// What the reader or the sink says.
pub fn copy_features(
    reader: &dyn FeatureReader,
    sink: &mut (dyn FeatureSink + Send),
    options: &CopyOptions,
) -> Result<Copied, Failure> {
    let mut copied = Copied::default();
    for (place, layer) in reader.layers().iter().enumerate() {
        let (features, attachments) = sink.begin_layer(layer)?;
        let mut rows = 0_u64;
        let write = |feature: &mut Feature| {
            sink.put_feature(feature)?;
            rows += 1;
            if rows.is_multiple_of(options.keep_every.max(1)) { sink.keep() } else { Ok(()) }
        };
        let new = read_and_write(|take| reader.read_features(place, features.after, take), write)?;
        let features = features.rows + new;
        let (mut bytes, mut count) = (0_u64, attachments.rows);
        if layer.has_attachments {
            count += reader.read_attachments(place, attachments.after, &mut |attachment, stream| {
                sink.put_attachment(attachment, stream)?;
                bytes += attachment.size;
                if bytes < options.keep_every_bytes {
                    return Ok(());
                }
                bytes = 0;
                sink.keep()
            })?;
        }
        sink.keep()?;
        copied.layers.push(CopiedLayer { layer: layer.name.clone(), features, attachments: count });
    }
    copied.left_out = sink.put_relationships(reader.relationships())?;
    Ok(copied)
}
