//! What a WMS says of itself, by `GetCapabilities`.
//!
//! Source: WMS 1.3.0, §7.2 and annex C; WMS 1.1.1, §7.1 and annex A.

use super::wms_drawing::WmsVersion;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Largest document that is read, in bytes.
pub(super) const LARGEST: usize = 32 << 20;
/// Most layers, and most coordinate reference systems of one, its parents' included.
const MOST_LAYERS: usize = 50_000;
const MOST_CRS: usize = 20_000;
/// Layers in layers.
const DEEPEST: usize = 64;
/// Longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;

/// A layer that has a name, or one without that holds others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WmsLayer {
    pub(super) name: Option<String>,
    /// Its own coordinate reference systems, and where it stands: the number of the layer around it.
    crs: BTreeSet<String>,
    parent: Option<usize>,
    /// West, south, east, north in degrees.
    extent: Option<[f64; 4]>,
    attribution: Option<String>,
    /// Whether it is drawn as one picture of one size only (`noSubsets`, `fixedWidth`, `fixedHeight`).
    is_fixed: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Capabilities {
    pub(super) version: Option<WmsVersion>,
    pub(super) title: Option<String>,
    /// Largest picture and most layers in it.
    pub(super) largest: (Option<u32>, Option<u32>),
    pub(super) most_layers: Option<u32>,
    /// Media types of pictures.
    pub(super) formats: Vec<String>,
    pub(super) layers: Vec<WmsLayer>,
}

impl Capabilities {
    /// Reads a document; one in an older encoding than UTF-8 as Latin-1.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
        };
        let mut parser = Parser::default();
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        loop {
            match reader.read_event().map_err(|e| format!("it is no XML: {e}"))? {
                Event::Start(start) => parser.open(&start)?,
                Event::Empty(start) => {
                    parser.open(&start)?;
                    parser.close();
                }
                Event::Text(part) => parser.add(&part),
                Event::CData(part) => parser.add(&part),
                Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                    Ok(Some(character)) => parser.add(character.encode_utf8(&mut [0; 4])),
                    _ => parser.add(resolve_predefined_entity(&entity).unwrap_or_default()),
                },
                Event::End(_) => parser.close(),
                Event::Eof => break,
                _ => {}
            }
        }
        match parser.is_capabilities {
            true => Ok(parser.found),
            false => Err("it has no WMS_Capabilities and no WMT_MS_Capabilities".to_owned()),
        }
    }

    fn with_parents(&self, at: usize) -> impl Iterator<Item = &WmsLayer> {
        std::iter::successors(self.layers.get(at), |layer| layer.parent.and_then(|parent| self.layers.get(parent)))
            .take(DEEPEST)
    }

    fn places(&self, names: &[String]) -> Result<Vec<usize>, String> {
        let by_name: BTreeMap<&str, usize> =
            self.layers.iter().enumerate().rev().filter_map(|(at, l)| Some((l.name.as_deref()?, at))).collect();
        let place = |name: &String| by_name.get(name.as_str()).copied().ok_or_else(|| format!("has no layer `{name}`"));
        names.iter().map(place).collect()
    }

    /// Whether layers can be drawn in pieces.
    pub(super) fn check(&self, names: &[String]) -> Result<(), String> {
        for at in self.places(names)? {
            if self.with_parents(at).any(|layer| layer.is_fixed) {
                let name = self.layers.get(at).and_then(|layer| layer.name.as_deref()).unwrap_or_default();
                return Err(format!("draws its layer `{name}` as one picture of one size only"));
            }
        }
        match self.most_layers.filter(|most| names.len() > *most as usize && *most > 0) {
            Some(most) => Err(format!("draws at most {most} layers in a picture, and the map has {} visible", names.len())),
            None => Ok(()),
        }
    }

    /// The first of some coordinate reference systems in which all layers are drawn; else some of those in which they are.
    pub(super) fn crs(&self, names: &[String], wanted: &[String]) -> Result<String, Vec<String>> {
        let places = self.places(names).unwrap_or_default();
        let offers =
            |at: &usize, crs: &str| self.with_parents(*at).any(|l| l.crs.iter().any(|c| c.eq_ignore_ascii_case(crs)));
        let found = wanted.iter().find(|crs| !places.is_empty() && places.iter().all(|at| offers(at, crs)));
        found.cloned().ok_or_else(|| {
            let first = places.first().map(|at| self.with_parents(*at).flat_map(|l| l.crs.iter().cloned()).collect());
            let offered: BTreeSet<String> = first.unwrap_or_default();
            offered.into_iter().take(10).collect()
        })
    }

    /// Where the data of layers lie, in degrees; `None` where one does not say it.
    pub(super) fn extent(&self, names: &[String]) -> Option<[f64; 4]> {
        let places = self.places(names).ok()?;
        let of = |at: &usize| self.with_parents(*at).find_map(|layer| layer.extent);
        let all: Option<Vec<[f64; 4]>> = places.iter().map(of).collect();
        // One across the dateline has no box together with others that would not cut it.
        let all = all.filter(|all| all.iter().all(|[west, _, east, _]| west < east));
        all?.into_iter().reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
    }

    /// The attributions of layers, each once.
    pub(super) fn attribution(&self, names: &[String]) -> Option<String> {
        let places = self.places(names).unwrap_or_default();
        let of = |at: &usize| self.with_parents(*at).find_map(|layer| layer.attribution.clone());
        let all: BTreeSet<String> = places.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("; "))
    }

    /// The uppermost layers that have names: all that the service draws.
    pub(super) fn top_names(&self) -> Vec<String> {
        let is_top = |layer: &&WmsLayer| {
            let mut parents = layer.parent.into_iter().flat_map(|at| self.with_parents(at));
            layer.name.is_some() && parents.all(|parent| parent.name.is_none())
        };
        self.layers.iter().filter(is_top).filter_map(|layer| layer.name.clone()).collect()
    }
}

/// Where the reader is.
#[derive(Default)]
struct Parser {
    found: Capabilities,
    is_capabilities: bool,
    /// Elements around, and the layers among them.
    path: Vec<String>,
    open: Vec<usize>,
    text: String,
}

impl Parser {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = start.local_name().into_inner().to_owned();
        let attribute = |key: &str| start.try_get_attribute(key).ok().flatten().map(|a| a.value.trim().to_owned());
        self.text.clear();
        match name.as_str() {
            "WMS_Capabilities" | "WMT_MS_Capabilities" if self.path.is_empty() => {
                self.is_capabilities = true;
                let said = attribute("version").unwrap_or_default();
                self.found.version = WmsVersion::read(&said);
            }
            "Layer" => {
                if self.found.layers.len() >= MOST_LAYERS || self.open.len() >= DEEPEST {
                    return Err(format!("it has more than {MOST_LAYERS} layers, or more than {DEEPEST} in each other"));
                }
                let says = |key: &str| attribute(key).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
                let is_fixed = ["noSubsets", "fixedWidth", "fixedHeight"].iter().any(|key| says(key));
                let parent = self.open.last().copied();
                self.open.push(self.found.layers.len());
                self.found.layers.push(WmsLayer { parent, is_fixed, ..WmsLayer::default() });
            }
            "LatLonBoundingBox" => {
                let side = |key: &str| attribute(key).and_then(|value| value.parse::<f64>().ok());
                let sides = ["minx", "miny", "maxx", "maxy"].map(side);
                if let ([Some(west), Some(south), Some(east), Some(north)], Some(layer)) = (sides, self.layer()) {
                    layer.extent = Some([west, south, east, north]);
                }
            }
            _ => {}
        }
        self.path.push(name);
        if self.path.len() > 4 * DEEPEST {
            return Err("its elements are too deep in each other".to_owned());
        }
        Ok(())
    }

    fn add(&mut self, text: &str) {
        if self.text.len() + text.len() <= LONGEST_TEXT {
            self.text.push_str(text);
        }
    }

    fn layer(&mut self) -> Option<&mut WmsLayer> {
        self.open.last().and_then(|at| self.found.layers.get_mut(*at))
    }

    fn close(&mut self) {
        let Some(name) = self.path.pop() else { return };
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let parent = self.path.last().map(String::as_str).unwrap_or_default().to_owned();
        let number = || text.parse::<u32>().ok();
        match (parent.as_str(), name.as_str()) {
            ("Service", "Title") => self.found.title = Some(text).filter(|text| !text.is_empty()),
            ("Service", "MaxWidth") => self.found.largest.0 = number(),
            ("Service", "MaxHeight") => self.found.largest.1 = number(),
            ("Service", "LayerLimit") => self.found.most_layers = number(),
            ("GetMap", "Format") if self.found.formats.len() < 100 => self.found.formats.push(text),
            ("Layer", "Name") if !text.is_empty() => self.of_layer(|layer| layer.name = Some(text)),
            // WMS 1.1.0 and older have several in one element.
            ("Layer", "CRS" | "SRS") => self.of_layer(|layer| {
                let room = MOST_CRS.saturating_sub(layer.crs.len());
                layer.crs.extend(text.split_whitespace().take(room).map(str::to_owned));
            }),
            ("Attribution", "Title") if !text.is_empty() => self.of_layer(|layer| layer.attribution = Some(text)),
            ("EX_GeographicBoundingBox", side) => {
                let at = ["westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude"];
                if let (Some(at), Ok(degrees)) = (at.iter().position(|name| *name == side), text.parse::<f64>()) {
                    self.of_layer(|layer| {
                        if let Some(side) = layer.extent.get_or_insert([-180.0, -90.0, 180.0, 90.0]).get_mut(at) {
                            *side = degrees;
                        }
                    });
                }
            }
            (_, "Layer") => drop(self.open.pop()),
            _ => {}
        }
    }

    fn of_layer(&mut self, change: impl FnOnce(&mut WmsLayer)) {
        if let Some(layer) = self.layer() {
            change(layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms" xmlns:xlink="http://www.w3.org/1999/xlink">
 <Service><Name>WMS</Name><Title>Maps &amp; charts</Title><LayerLimit>2</LayerLimit><MaxWidth>2000</MaxWidth><MaxHeight>1500</MaxHeight></Service>
 <Capability>
  <Request><GetCapabilities><Format>text/xml</Format></GetCapabilities>
   <GetMap><Format>image/png</Format><Format>image/jpeg</Format></GetMap></Request>
  <Layer><Title>All</Title><CRS>EPSG:3857</CRS><CRS>CRS:84</CRS>
   <EX_GeographicBoundingBox><westBoundLongitude>5</westBoundLongitude><eastBoundLongitude>11</eastBoundLongitude>
    <southBoundLatitude>45</southBoundLatitude><northBoundLatitude>48</northBoundLatitude></EX_GeographicBoundingBox>
   <Attribution><Title>Survey</Title></Attribution>
   <Layer queryable="1"><Name>roads</Name><Title>Roads</Title><CRS>EPSG:2056</CRS>
    <Style><Name>default</Name><Title>d</Title></Style></Layer>
   <Layer><Name>land</Name><EX_GeographicBoundingBox><westBoundLongitude>4</westBoundLongitude>
    <eastBoundLongitude>12</eastBoundLongitude><southBoundLatitude>46</southBoundLatitude><northBoundLatitude>49</northBoundLatitude>
    </EX_GeographicBoundingBox><Layer><Name>lakes</Name></Layer></Layer>
   <Layer noSubsets="1"><Name>poster</Name></Layer>
  </Layer>
 </Capability>
</WMS_Capabilities>"#;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_holds_for_a_layer_holds_for_those_in_it() {
        let read = Capabilities::read(DOCUMENT.as_bytes()).expect("reads");
        assert_eq!((read.version, read.title.as_deref()), (Some(WmsVersion::V130), Some("Maps & charts")));
        assert_eq!((read.largest, read.most_layers), ((Some(2000), Some(1500)), Some(2)));
        assert_eq!(read.formats, names(&["image/png", "image/jpeg"]));
        assert_eq!(read.top_names(), names(&["roads", "land", "poster"]));
        let crs = |of: &[&str], wanted: &[&str]| read.crs(&names(of), &names(wanted));
        assert_eq!(crs(&["roads"], &["EPSG:2056"]), Ok("EPSG:2056".to_owned()));
        assert_eq!(crs(&["lakes", "roads"], &["EPSG:2056", "epsg:3857"]), Ok("epsg:3857".to_owned()));
        assert_eq!(crs(&["lakes"], &["EPSG:2056"]), Err(names(&["CRS:84", "EPSG:3857"])));
        assert_eq!(read.extent(&names(&["roads"])), Some([5.0, 45.0, 11.0, 48.0]));
        assert_eq!(read.extent(&names(&["roads", "lakes"])), Some([4.0, 45.0, 12.0, 49.0]));
        assert_eq!(read.attribution(&names(&["roads", "lakes"])).as_deref(), Some("Survey"));
        assert_eq!(read.check(&names(&["roads", "land"])), Ok(()));
        assert!(read.check(&names(&["roads", "land", "lakes"])).is_err_and(|e| e.contains("at most 2 layers")));
        assert!(read.check(&names(&["poster"])).is_err_and(|e| e.contains("one size only")));
        assert!(read.check(&names(&["rivers"])).is_err_and(|e| e.contains("no layer `rivers`")));
    }

    #[test]
    fn older_documents_and_encodings_are_read_and_others_are_told() {
        let old = b"<WMT_MS_Capabilities version='1.1.1'><Service><Title>\xdcbersicht</Title></Service><Capability>\
            <Request><GetMap><Format>image/png</Format></GetMap></Request><Layer><SRS>EPSG:4326 EPSG:3857</SRS><Name>fl\xe4che</Name>\
            <LatLonBoundingBox minx='-10' miny='-20' maxx='30.5' maxy='40'/></Layer></Capability></WMT_MS_Capabilities>";
        let read = Capabilities::read(old).expect("reads");
        assert_eq!((read.version, read.title.as_deref()), (Some(WmsVersion::V111), Some("Übersicht")));
        let name = names(&["fläche"]);
        assert_eq!(read.top_names(), name);
        assert_eq!(read.crs(&name, &names(&["EPSG:3857"])), Ok("EPSG:3857".to_owned()));
        assert_eq!(read.extent(&name), Some([-10.0, -20.0, 30.5, 40.0]));
        assert!(Capabilities::read(b"<html><body/></html>").is_err_and(|e| e.contains("WMS_Capabilities")));
        assert!(Capabilities::read(b"<WMS_Capabilities><Service></Capability>").is_err_and(|e| e.contains("no XML")));
        let deep = format!("<WMS_Capabilities>{}", "<Layer>".repeat(100));
        assert!(Capabilities::read(deep.as_bytes()).is_err());
    }
}
