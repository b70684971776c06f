//! What a WMS says of itself, by `GetCapabilities`.
//!
//! Source: WMS 1.3.0, §7.2 and annex C; WMS 1.1.1, §7.1 and annex A.

use super::wms_drawing::WmsVersion;
use offmap_arcgis::xml::{self, Start, Visitor};
use std::collections::{BTreeMap, BTreeSet};

/// Largest document that is read, in bytes.
pub(super) const LARGEST: usize = 32 << 20;
/// Most elements of it.
const MOST_ELEMENTS: usize = 2_000_000;
/// Most layers; most coordinate reference systems that it names, and how often all layers together name one.
const MOST_LAYERS: usize = 50_000;
const MOST_CRS: usize = 20_000;
const MOST_CRS_OF_LAYERS: usize = 2_000_000;
/// Coordinate reference systems that a message lists.
const MOST_OFFERED: usize = 10;
/// Layers in layers.
const DEEPEST: usize = 64;
/// Longest text that is read, such as a list of coordinate reference systems, and longest one that is kept, in bytes.
const LONGEST_TEXT: usize = 1 << 20;
const LONGEST_KEPT: usize = 4096;

/// A layer that has a name, or one without that holds others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WmsLayer {
    pub(super) name: Option<String>,
    /// The numbers of its own coordinate reference systems, and where it stands: the number of the layer around it.
    crs: BTreeSet<usize>,
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
    /// Names of coordinate reference systems, and their numbers by the names in capital letters.
    crs: Vec<String>,
    crs_by_name: BTreeMap<String, usize>,
}

impl Capabilities {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut parser = Parser::default();
        xml::read(bytes, MOST_ELEMENTS, &mut parser).map_err(|words| format!("it {words}"))?;
        match parser.is_capabilities {
            true => Ok(parser.found),
            false => Err("it has no WMS_Capabilities and no WMT_MS_Capabilities".to_owned()),
        }
    }

    /// The number of a coordinate reference system, in whatever letters its name is.
    fn number_of(&self, crs: &str) -> Option<usize> {
        self.crs_by_name.get(&crs.to_ascii_uppercase()).copied()
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
        let offers = |at: &usize, crs: usize| self.with_parents(*at).any(|layer| layer.crs.contains(&crs));
        let by_all = |crs: &&String| {
            let number = self.number_of(crs);
            number.is_some_and(|number| !places.is_empty() && places.iter().all(|at| offers(at, number)))
        };
        wanted.iter().find(by_all).cloned().ok_or_else(|| {
            let of_first = places.first().map(|at| self.with_parents(*at).flat_map(|layer| layer.crs.iter()).collect());
            let offered: BTreeSet<&usize> = of_first.unwrap_or_default();
            let mut names: Vec<String> = offered.into_iter().filter_map(|number| self.crs.get(*number).cloned()).collect();
            names.sort_unstable();
            names.truncate(MOST_OFFERED);
            names
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
    /// Whether the text is longer than what is read.
    is_long: bool,
    /// How many coordinate reference systems all layers together name.
    of_layers: usize,
}

impl Visitor for Parser {
    fn open(&mut self, start: Start) -> Result<(), String> {
        let attribute = |key: &str| start.attribute(key).map(str::trim);
        self.text.clear();
        self.is_long = false;
        match start.name.as_str() {
            "WMS_Capabilities" | "WMT_MS_Capabilities" if self.path.is_empty() => {
                self.is_capabilities = true;
                self.found.version = WmsVersion::read(attribute("version").unwrap_or_default());
            }
            "Layer" => {
                if self.found.layers.len() >= MOST_LAYERS || self.open.len() >= DEEPEST {
                    return Err(format!("has more than {MOST_LAYERS} layers, or more than {DEEPEST} in each other"));
                }
                let says = |key: &str| attribute(key).is_some_and(|value| !matches!(value, "" | "0" | "false"));
                let is_fixed = ["noSubsets", "fixedWidth", "fixedHeight"].iter().any(|key| says(key));
                let parent = self.open.last().copied();
                self.open.push(self.found.layers.len());
                self.found.layers.push(WmsLayer { parent, is_fixed, ..WmsLayer::default() });
            }
            "LatLonBoundingBox" => {
                let side = |key: &str| attribute(key).and_then(|value| value.parse::<f64>().ok());
                let sides = ["minx", "miny", "maxx", "maxy"].map(side);
                if let [Some(west), Some(south), Some(east), Some(north)] = sides {
                    self.of_layer(|layer| layer.extent = Some([west, south, east, north]));
                }
            }
            _ => {}
        }
        self.path.push(start.name);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.is_long |= self.text.len().saturating_add(text.len()) > LONGEST_TEXT;
        if !self.is_long {
            self.text.push_str(text);
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(name) = self.path.pop() else { return Ok(()) };
        if std::mem::take(&mut self.is_long) {
            return Err(format!("has a text of more than {LONGEST_TEXT} bytes in an element `{name}`"));
        }
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let parent = self.path.last().map(String::as_str).unwrap_or_default();
        if parent == "Layer" && matches!(name.as_str(), "CRS" | "SRS") {
            return self.add_crs(&text);
        }
        if name == "Layer" {
            self.open.pop();
        } else if text.len() <= LONGEST_KEPT {
            let parent = parent.to_owned();
            self.take((parent.as_str(), name.as_str()), text);
        }
        Ok(())
    }
}

impl Parser {
    /// Takes the text of an element.
    fn take(&mut self, element: (&str, &str), text: String) {
        let number = || text.parse::<u32>().ok();
        match element {
            ("Service", "Title") => self.found.title = Some(text).filter(|text| !text.is_empty()),
            ("Service", "MaxWidth") => self.found.largest.0 = number(),
            ("Service", "MaxHeight") => self.found.largest.1 = number(),
            ("Service", "LayerLimit") => self.found.most_layers = number(),
            ("GetMap", "Format") if self.found.formats.len() < 100 => self.found.formats.push(text),
            ("Layer", "Name") if !text.is_empty() => self.of_layer(|layer| layer.name = Some(text)),
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
            _ => {}
        }
    }

    /// Adds the coordinate reference systems of the innermost layer. WMS 1.1.0 and older have several in one element.
    fn add_crs(&mut self, text: &str) -> Result<(), String> {
        let Some(layer) = self.open.last().and_then(|at| self.found.layers.get_mut(*at)) else { return Ok(()) };
        for name in text.split_whitespace().filter(|name| name.len() <= LONGEST_KEPT) {
            let next = self.found.crs.len();
            let number = *self.found.crs_by_name.entry(name.to_ascii_uppercase()).or_insert(next);
            if number == next {
                self.found.crs.push(name.to_owned());
            }
            self.of_layers += usize::from(layer.crs.insert(number));
            if self.found.crs.len() > MOST_CRS || self.of_layers > MOST_CRS_OF_LAYERS {
                return Err(format!(
                    "names more than {MOST_CRS} coordinate reference systems, or {MOST_CRS_OF_LAYERS} of all layers together"
                ));
            }
        }
        Ok(())
    }

    fn of_layer(&mut self, change: impl FnOnce(&mut WmsLayer)) {
        if let Some(layer) = self.open.last().and_then(|at| self.found.layers.get_mut(*at)) {
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
   <Layer><Name>isles</Name><EX_GeographicBoundingBox><westBoundLongitude>170</westBoundLongitude>
    <eastBoundLongitude>-170</eastBoundLongitude><southBoundLatitude>-20</southBoundLatitude><northBoundLatitude>20</northBoundLatitude>
    </EX_GeographicBoundingBox></Layer>
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
        assert_eq!(read.top_names(), names(&["roads", "land", "poster", "isles"]));
        let crs = |of: &[&str], wanted: &[&str]| read.crs(&names(of), &names(wanted));
        assert_eq!(crs(&["roads"], &["EPSG:2056"]), Ok("EPSG:2056".to_owned()));
        assert_eq!(crs(&["lakes", "roads"], &["EPSG:2056", "epsg:3857"]), Ok("epsg:3857".to_owned()));
        assert_eq!(crs(&["lakes"], &["EPSG:2056"]), Err(names(&["CRS:84", "EPSG:3857"])));
        assert_eq!(read.extent(&names(&["roads"])), Some([5.0, 45.0, 11.0, 48.0]));
        assert_eq!(read.extent(&names(&["roads", "lakes"])), Some([4.0, 45.0, 12.0, 49.0]));
        // No box holds what lies across the dateline and does not cut it.
        assert_eq!([read.extent(&names(&["isles"])), read.extent(&names(&["roads", "isles"]))], [None, None]);
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
        assert!(Capabilities::read(b"<WMS_Capabilities><Service></Capability>").is_err_and(|e| e.contains("is no XML")));
        let deep = format!("<WMS_Capabilities>{}", "<Layer>".repeat(100));
        assert!(Capabilities::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_document_with_a_bare_ampersand_in_a_url_is_read() {
        let (head, tail) = DOCUMENT.split_once("<Request>").expect("requests");
        let online =
            r#"<OnlineResource xlink:type="simple" xlink:href="http://h/cgi?map=/a.map&SERVICE=WMS&" title="a&nbsp;b"/>"#;
        let read = Capabilities::read(format!("{head}{online}<Request>{tail}").as_bytes());
        assert_eq!(read, Capabilities::read(DOCUMENT.as_bytes()));
    }

    #[test]
    fn what_is_too_much_is_told_and_a_long_list_is_read_to_its_end() {
        let document = |crs: &str, layers: &str| {
            format!(
                "<WMS_Capabilities version='1.3.0'><Capability><Layer>{crs}<Name>a</Name>{layers}</Layer></Capability></WMS_Capabilities>"
            )
        };
        let list: String = (0..10_000).map(|code| format!("EPSG:{code} ")).collect();
        let read = Capabilities::read(document(&format!("<SRS>{list}</SRS>"), "").as_bytes()).expect("reads");
        assert_eq!(read.crs(&names(&["a"]), &names(&["epsg:9999"])), Ok("epsg:9999".to_owned()));
        assert_eq!(read.crs(&names(&["a"]), &names(&["EPSG:10000"])).map_err(|offered| offered.len()), Err(10));
        let many: String = (0..=MOST_CRS).map(|code| format!("<CRS>EPSG:{code}</CRS>")).collect();
        let refused = Capabilities::read(document(&many, "").as_bytes()).expect_err("refused");
        assert!(refused.contains("more than 20000 coordinate reference systems"), "{refused}");
        let layers = "<Layer/>".repeat(MOST_LAYERS);
        let refused = Capabilities::read(document("", &layers).as_bytes()).expect_err("refused");
        assert!(refused.contains("more than 50000 layers"), "{refused}");
        let long = format!("<SRS>{}</SRS>", "EPSG:4326 ".repeat(LONGEST_TEXT / 10 + 1));
        let refused = Capabilities::read(document(&long, "").as_bytes()).expect_err("refused");
        assert!(refused.contains("more than 1048576 bytes in an element `SRS`"), "{refused}");
        assert!(Capabilities::read(b"<WMS_Capabilities><Service>").is_err_and(|words| words.contains("ends within")));
    }

    #[test]
    fn what_the_layers_around_offer_holds_for_very_many() {
        let crs: String = (0..5000).map(|code| format!("<CRS>EPSG:{code}</CRS>")).collect();
        let (open, close) = (format!("<Layer>{crs}").repeat(60), "</Layer>".repeat(60));
        let layers: String = (0..1000).map(|n| format!("<Layer><Name>l{n}</Name></Layer>")).collect();
        let document = format!("<WMS_Capabilities><Capability>{open}{layers}{close}</Capability></WMS_Capabilities>");
        let read = Capabilities::read(document.as_bytes()).expect("reads");
        let all: Vec<String> = (0..1000).map(|n| format!("l{n}")).collect();
        let asked = ["EPSG:900913", "EPSG:3857", "EPSG:102100", "EPSG:102113"].map(str::to_owned);
        assert_eq!(read.crs(&all, &asked), Ok("EPSG:3857".to_owned()));
    }
}
