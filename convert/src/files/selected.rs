//! Some layers of a file of features, and of them the features of an area.

use super::request::FileProgress;
use offmap_formats::features::{Feature, FeatureReader, LayerSchema, Relationship, TakeAttachment, TakeFeature};
use offmap_model::{AreaOfInterest, Envelope, Failure};
use std::cell::Cell;
use std::io::Read;
use tokio_util::sync::CancellationToken;

/// What is read of a file: whatever is not chosen is not there.
pub(crate) struct Selected<'a> {
    reader: &'a dyn FeatureReader,
    layers: Vec<LayerSchema>,
    /// For each layer its place in the file, and the area in its spatial reference where one is asked for.
    chosen: Vec<(usize, Option<Vec<Envelope>>)>,
    progress: &'a dyn Fn(FileProgress),
    cancel: &'a CancellationToken,
    /// Rows that were read, and those of them that were given away.
    rows: Cell<u64>,
    given: Cell<u64>,
}

/// What is called so: the place of its layers.
pub(super) fn places_of(layers: &[LayerSchema], name: &str) -> Vec<usize> {
    let by_name = (0..layers.len()).filter(|at| layers[*at].name == name).collect::<Vec<_>>();
    let by_title = || (0..layers.len()).filter(|at| layers[*at].title == name).collect();
    if by_name.is_empty() { by_title() } else { by_name }
}

fn area_of(layer: &LayerSchema, area: Option<&Envelope>) -> Result<Option<Vec<Envelope>>, Failure> {
    let (Some(area), Some(geometry)) = (area, &layer.geometry) else { return Ok(None) };
    let parts = AreaOfInterest::from(area.clone()).parts_in(&geometry.spatial_reference).map_err(|mut failure| {
        failure.message = format!("the area cannot be told in layer `{}`: {}", layer.name, failure.message);
        failure
    })?;
    Ok(Some(parts.iter().filter_map(AreaOfInterest::envelope).collect()))
}

fn meets(area: &[Envelope], feature: &Feature) -> bool {
    let extent = feature.geometry().and_then(offmap_formats::geometry::Geometry::extent);
    extent.is_some_and(|[xmin, ymin, xmax, ymax]| {
        area.iter().any(|e| e.xmin <= xmax && e.xmax >= xmin && e.ymin <= ymax && e.ymax >= ymin)
    })
}

impl<'a> Selected<'a> {
    /// The layers at `places` of a file.
    ///
    /// # Errors
    /// If the area has no place in the spatial reference of one of them.
    pub(crate) fn new(
        reader: &'a dyn FeatureReader,
        places: &[usize],
        area: Option<&Envelope>,
        progress: &'a dyn Fn(FileProgress),
        cancel: &'a CancellationToken,
    ) -> Result<Self, Failure> {
        let (mut layers, mut chosen) = (Vec::new(), Vec::new());
        for (place, layer) in places.iter().filter_map(|place| Some((*place, reader.layers().get(*place)?))) {
            chosen.push((place, area_of(layer, area)?));
            layers.push(layer.clone());
        }
        Ok(Self { reader, layers, chosen, progress, cancel, rows: Cell::new(0), given: Cell::new(0) })
    }

    /// How many rows were given away.
    pub(super) fn written(&self) -> u64 {
        self.given.get()
    }

    fn chosen(&self, layer: usize) -> Result<&(usize, Option<Vec<Envelope>>), Failure> {
        self.chosen.get(layer).ok_or_else(|| Failure::internal(format!("there is no layer {layer}")))
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
    }

    /// Object ids of the features of an area, as runs in ascending order. They are read anew: a call that was interrupted has not
    /// seen all of them.
    fn ids(&self, place: usize, area: &[Envelope]) -> Result<Vec<(i64, i64)>, Failure> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        self.reader.read_features(place, None, &mut |feature| {
            self.go_on()?;
            if let Some(id) = feature.object_id.filter(|_| meets(area, feature)) {
                match runs.last_mut() {
                    Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
                    _ => runs.push((id, id)),
                }
            }
            Ok(())
        })?;
        runs.sort_unstable();
        Ok(runs)
    }
}

/// A stream that ends with an error when nobody wants it any more.
struct Stoppable<'a> {
    stream: &'a mut dyn Read,
    cancel: &'a CancellationToken,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.cancel.is_cancelled() {
            true => Err(std::io::Error::other("cancelled")),
            false => self.stream.read(buffer),
        }
    }
}

impl FeatureReader for Selected<'_> {
    fn layers(&self) -> &[LayerSchema] {
        &self.layers
    }

    fn relationships(&self) -> &[Relationship] {
        self.reader.relationships()
    }

    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let (place, area) = self.chosen(layer)?;
        let mut taken = 0;
        self.reader.read_features(*place, after, &mut |feature| {
            self.go_on()?;
            self.rows.set(self.rows.get() + 1);
            (self.progress)(FileProgress::Rows { done: self.rows.get() });
            if area.as_ref().is_some_and(|area| !meets(area, feature)) {
                return Ok(());
            }
            taken += 1;
            self.given.set(self.given.get() + 1);
            take(feature)
        })?;
        Ok(taken)
    }

    fn read_attachments(&self, layer: usize, after: Option<i64>, take: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        let (place, area) = self.chosen(layer)?;
        let ids = area.as_ref().map(|area| self.ids(*place, area)).transpose()?;
        let mut taken = 0;
        self.reader.read_attachments(*place, after, &mut |attachment, stream| {
            self.go_on()?;
            if let Some(ids) = &ids {
                let Some(id) = attachment.object_id else { return Ok(()) };
                let before = ids.partition_point(|(first, _)| *first <= id);
                if before.checked_sub(1).is_none_or(|at| ids[at].1 < id) {
                    return Ok(());
                }
            }
            taken += 1;
            take(attachment, &mut Stoppable { stream, cancel: self.cancel })
        })?;
        Ok(taken)
    }
}
