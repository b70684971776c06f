//! All layers and tables of a package as those of one file.

use super::data_file::DataFiles;
use super::feature_set::SharedSet;
use super::names::Names;
use super::needs::{MapNeeds, Need, has_labels};
use super::request::LeftOut;
use crate::cartography::GeometryKind as Drawn;
use offmap_formats::features::{Domain, FeatureReader, LayerSchema, Relationship, TakeAttachment, TakeFeature};
use offmap_formats::geodatabase::{Geodatabase, ServiceItem, service_items};
use offmap_formats::geometry::GeometryKind;
use offmap_model::{Failure, FailureKind};
use offmap_packager::MobileMapPackage;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A table of the new GeoPackage, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The file in the package, or the map's document.
    pub(super) file: String,
    /// Its table there.
    pub(super) table: String,
}

/// All tables.
#[derive(Default)]
pub(super) struct Tables {
    readers: Vec<Box<dyn FeatureReader>>,
    /// For each table the reader, and the layer's place in it.
    places: Vec<(usize, usize)>,
    schemas: Vec<LayerSchema>,
    relationships: Vec<Relationship>,
    pub(super) origins: Vec<Origin>,
    items: HashMap<String, Vec<ServiceItem>>,
    names: Names,
    domains: HashMap<String, Arc<Domain>>,
}

/// A table that a layer of a map shows.
pub(super) struct Shown<'a> {
    /// Its place among the tables.
    pub(super) at: usize,
    /// What its service says of the layer.
    pub(super) item: Option<&'a ServiceItem>,
}

/// Opens all geodatabases of a package, and the feature sets of its maps.
pub(super) fn open(
    package: &MobileMapPackage,
    files: &DataFiles<'_>,
    maps: &[MapNeeds],
    left_out: &mut Vec<LeftOut>,
) -> Result<Tables, Failure> {
    let mut tables = Tables::default();
    for (name, _) in package.files()? {
        if name.to_ascii_lowercase().ends_with(".geodatabase") {
            files.go_on()?;
            tables.add_geodatabase(files, &name, left_out)?;
        }
    }
    for map in maps {
        let sets = map.needs.iter().filter_map(|need| match need {
            Need::Set(set) => Some(set),
            _ => None,
        });
        for set in sets {
            tables.add_reader(&map.path, set.title(), Box::new(SharedSet(Arc::clone(set))));
        }
    }
    Ok(tables)
}

/// The tables that a map draws, and whether as areas with labels.
pub(super) fn drawn_in(maps: &[MapNeeds], tables: &Tables) -> BTreeMap<usize, bool> {
    let mut drawn = BTreeMap::new();
    for map in maps {
        for (need, labelled) in map.needs.iter().zip(&map.labelled) {
            let Ok(shown) = tables.shown(need, &map.path) else { continue };
            let kind = tables.drawn(shown.at);
            if kind != Drawn::None {
                let labelled = *labelled || shown.item.is_some_and(|item| has_labels(&item.description));
                *drawn.entry(shown.at).or_insert(false) |= labelled && kind == Drawn::Polygon;
            }
        }
    }
    drawn
}

impl Tables {
    fn add_geodatabase(&mut self, files: &DataFiles<'_>, name: &str, left_out: &mut Vec<LeftOut>) -> Result<(), Failure> {
        let path = files.at(name)?;
        let cancel: &CancellationToken = files.cancel();
        let reader = match Geodatabase::open(&path, cancel) {
            Ok(reader) => reader,
            Err(failure) if failure.kind == FailureKind::NotSupported => {
                left_out.push(LeftOut { layer: name.to_owned(), reason: failure.message });
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let refused = reader.refused_layers().iter();
        left_out
            .extend(refused.map(|layer| LeftOut { layer: format!("{name}: {}", layer.name), reason: layer.reason.clone() }));
        self.items.insert(name.to_owned(), service_items(&path, cancel)?);
        self.add_reader(name, "", Box::new(reader));
        Ok(())
    }

    /// Adds all layers of a file; `title` is the name of the one layer of a feature set.
    fn add_reader(&mut self, file: &str, title: &str, reader: Box<dyn FeatureReader>) {
        let mut renamed = HashMap::new();
        for (place, layer) in reader.layers().iter().enumerate() {
            let mut schema = layer.clone();
            schema.name = self.names.table(if title.is_empty() { &layer.name } else { title });
            for field in &mut schema.fields {
                field.domain = field.domain.take().map(|domain| self.domain_of(domain));
            }
            renamed.insert(layer.name.clone(), schema.name.clone());
            self.places.push((self.readers.len(), place));
            self.origins.push(Origin { file: file.to_owned(), table: layer.name.clone() });
            self.schemas.push(schema);
        }
        for relationship in reader.relationships() {
            let ends = renamed.get(&relationship.origin).zip(renamed.get(&relationship.destination));
            let Some((origin, destination)) = ends else { continue };
            let name = self.names.relationship(origin, &relationship.name);
            let (origin, destination) = (origin.clone(), destination.clone());
            self.relationships.push(Relationship { name, origin, destination, ..relationship.clone() });
        }
        self.readers.push(reader);
    }

    /// A domain under a name that no other domain has: two files may call different ones alike.
    fn domain_of(&mut self, domain: Arc<Domain>) -> Arc<Domain> {
        let mut count = 1_u64;
        loop {
            let name = if count == 1 { domain.name.clone() } else { format!("{}_{count}", domain.name) };
            match self.domains.get(&name) {
                Some(known) if known.rule == domain.rule => return Arc::clone(known),
                Some(_) => count += 1,
                None => {
                    let named = Arc::new(Domain { name: name.clone(), ..(*domain).clone() });
                    self.domains.insert(name, Arc::clone(&named));
                    return named;
                }
            }
        }
    }

    /// The table that a need is for.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn shown(&self, need: &Need, map: &str) -> Result<Shown<'_>, String> {
        match need {
            Need::Features { file, item_id } => self.shown_item(file, *item_id),
            Need::Set(set) => {
                let is_it = |origin: &Origin| origin.file == map && origin.table == set.key();
                let at = self.origins.iter().position(is_it).ok_or("its features are not there")?;
                Ok(Shown { at, item: None })
            }
            _ => Err("it has no features".to_owned()),
        }
    }

    fn shown_item(&self, file: &str, item_id: Option<i64>) -> Result<Shown<'_>, String> {
        let items = self.items.get(file).map_or(&[][..], Vec::as_slice);
        let of_file: Vec<usize> = (0..self.origins.len()).filter(|at| self.origins[*at].file == file).collect();
        let item = match item_id {
            Some(id) => items.iter().find(|item| item.item_id == id),
            // A file of one layer needs no number.
            None if items.len() == 1 => items.first(),
            None => None,
        };
        let at = match item {
            Some(item) => of_file.iter().copied().find(|at| self.origins[*at].table == item.table),
            None => of_file.iter().copied().find(|at| self.schemas[*at].item_id == item_id && item_id.is_some()),
        };
        let number = item_id.map_or_else(|| "no item id".to_owned(), |id| format!("item {id}"));
        at.map(|at| Shown { at, item }).ok_or_else(|| format!("{file} has no layer that can be read for it ({number})"))
    }

    /// Whom to thank for a table.
    pub(super) fn attribution(&self, at: usize) -> Option<String> {
        let origin = self.origins.get(at)?;
        let item = self.items.get(&origin.file)?.iter().find(|item| item.table == origin.table)?;
        item.description.get("copyrightText")?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
    }

    /// What the shapes of a table are for those who draw.
    pub(super) fn drawn(&self, at: usize) -> Drawn {
        match self.schemas[at].geometry.as_ref().map(|geometry| geometry.kind) {
            None => Drawn::None,
            Some(GeometryKind::Point | GeometryKind::Multipoint) => Drawn::Point,
            Some(GeometryKind::Line) => Drawn::Line,
            Some(GeometryKind::Polygon) => Drawn::Polygon,
        }
    }

    fn reader(&self, layer: usize) -> Result<(&dyn FeatureReader, usize), Failure> {
        let place = self.places.get(layer).and_then(|(reader, place)| Some((self.readers.get(*reader)?.as_ref(), *place)));
        place.ok_or_else(|| Failure::internal(format!("there is no table {layer}")))
    }
}

impl FeatureReader for Tables {
    fn layers(&self) -> &[LayerSchema] {
        &self.schemas
    }

    fn relationships(&self) -> &[Relationship] {
        &self.relationships
    }

    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let (reader, place) = self.reader(layer)?;
        reader.read_features(place, after, take)
    }

    fn read_attachments(&self, layer: usize, after: Option<i64>, take: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        let (reader, place) = self.reader(layer)?;
        reader.read_attachments(place, after, take)
    }
}
