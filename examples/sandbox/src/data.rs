//! The data that the sandbox serves: Natural Earth countries, borders and places, and inspections made up for the places.

use crate::picture::photo;
use offmap_model::geometry::{signed_area, to_web_mercator};
use offmap_model::{AreaOfInterest, Envelope, Polygon, SpatialReference};
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

/// Milliseconds of 2024-01-01, from which made-up dates count.
const FIRST_DATE: i64 = 1_704_067_200_000;
const DAY: i64 = 86_400_000;

/// A shape in Web Mercator metres; outer rings clockwise.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Point([f64; 2]),
    Lines(Vec<Vec<[f64; 2]>>),
    Polygon(Polygon),
}

impl Shape {
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        match self {
            Self::Point(p) => Envelope::of([*p]),
            Self::Lines(lines) => Envelope::of(lines.iter().flatten().copied()),
            Self::Polygon(polygon) => polygon.envelope(),
        }
    }

    /// Whether the shape meets an area in Web Mercator.
    pub(crate) fn meets(&self, area: &Polygon) -> bool {
        let near = self.envelope().zip(area.envelope()).is_some_and(|(a, b)| a.intersects(&b));
        near && match self {
            Self::Point(p) => area.contains(*p),
            Self::Lines(lines) => {
                lines.iter().flatten().any(|p| area.contains(*p)) || area.crosses_line(lines.iter().map(Vec::as_slice))
            }
            Self::Polygon(polygon) => polygon.intersects(area),
        }
    }
}

/// One row of a layer or table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) shape: Option<Shape>,
    pub(crate) attributes: Map<String, Value>,
}

impl Row {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.attributes.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> i64 {
        self.attributes.get("OBJECTID").and_then(Value::as_i64).unwrap_or(0)
    }
}

/// A photo of a place.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    pub(crate) id: i64,
    pub(crate) parent: i64,
    pub(crate) global_id: String,
    pub(crate) parent_global_id: String,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) places: Arc<Vec<Row>>,
    pub(crate) borders: Arc<Vec<Row>>,
    pub(crate) countries: Arc<Vec<Row>>,
    pub(crate) inspections: Arc<Vec<Row>>,
    pub(crate) measurements: Arc<Vec<Row>>,
    pub(crate) photos: Vec<Attachment>,
}

/// A global id that is the same at every start.
fn global_id(layer: u32, id: i64) -> String {
    format!("{{0FF0A900-{layer:04X}-4000-8000-{id:012X}}}")
}

fn row(layer: u32, id: i64, shape: Option<Shape>, rest: Value) -> Row {
    let mut attributes = Map::new();
    attributes.insert("OBJECTID".to_owned(), json!(id));
    attributes.insert("GlobalID".to_owned(), json!(global_id(layer, id)));
    attributes.extend(rest.as_object().cloned().unwrap_or_default());
    Row { shape, attributes }
}

fn features(text: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    json.get("features").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn position(value: &Value) -> [f64; 2] {
    let axis = |k: usize| value.get(k).and_then(Value::as_f64).unwrap_or(0.0);
    to_web_mercator([axis(0), axis(1)])
}

fn line(value: &Value) -> Vec<[f64; 2]> {
    value.as_array().into_iter().flatten().map(position).collect()
}

/// A ring of degrees that jumps from one side of the dateline to the other, cut into one ring for each side; another ring as it is.
fn cut_at_dateline(ring: &Value) -> Vec<Vec<[f64; 2]>> {
    let mut points: Vec<[f64; 2]> = Vec::new();
    let axis = |p: &Value, k: usize| p.get(k).and_then(Value::as_f64).unwrap_or(0.0);
    for point in ring.as_array().into_iter().flatten() {
        let x = axis(point, 0);
        let turns = points.last().map_or(0.0, |before| ((before[0] - x) / 360.0).round());
        points.push([x + 360.0 * turns, axis(point, 1)]);
    }
    let runs_around_a_pole = points.first().zip(points.last()).is_some_and(|(a, b)| (a[0] - b[0]).abs() > 180.0);
    if runs_around_a_pole {
        return vec![ring.as_array().into_iter().flatten().map(|p| [axis(p, 0), axis(p, 1)]).collect()];
    }
    let uncut = AreaOfInterest::Polygon(Polygon { rings: vec![points], spatial_reference: Some(SpatialReference::wgs84()) });
    uncut.parts().iter().flat_map(|part| part.polygon().rings).collect()
}

fn multi_polygon(value: &Value) -> Shape {
    let mut rings = Vec::new();
    for part in value.as_array().into_iter().flatten() {
        for (i, ring) in part
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .flat_map(|(i, ring)| cut_at_dateline(ring).into_iter().map(move |ring| (i, ring)))
        {
            let mut ring: Vec<[f64; 2]> = ring.into_iter().map(to_web_mercator).collect();
            if (signed_area(&ring) > 0.0) == (i == 0) {
                ring.reverse();
            }
            rings.push(ring);
        }
    }
    Shape::Polygon(Polygon { rings, spatial_reference: None })
}

/// Length of a line in kilometres, on the sphere, from Web Mercator by its scale at the middle of each piece.
fn kilometres(line: &[[f64; 2]]) -> f64 {
    let piece = |w: &[[f64; 2]]| {
        let scale = ((w[0][1] + w[1][1]) / 2.0 / 6_378_137.0).cosh();
        ((w[1][0] - w[0][0]).powi(2) + (w[1][1] - w[0][1]).powi(2)).sqrt() / scale
    };
    line.windows(2).map(piece).sum::<f64>() / 1000.0
}

fn coordinates(feature: &Value) -> Value {
    feature.pointer("/geometry/coordinates").cloned().unwrap_or_default()
}

fn property(feature: &Value, key: &str) -> Value {
    feature.pointer(&format!("/properties/{key}")).cloned().unwrap_or_default()
}

fn countries() -> Vec<Row> {
    let row = |(id, f): (i64, Value)| {
        let rest = json!({"NAME": property(&f, "name"), "ISO_CODE": property(&f, "code")});
        row(2, id, Some(multi_polygon(&coordinates(&f))), rest)
    };
    (1..).zip(features(include_str!("../data/countries.geojson"))).map(row).collect()
}

fn borders() -> Vec<Row> {
    let row = |(id, f): (i64, Value)| {
        let line = line(&coordinates(&f));
        let rest = json!({"LEFT_SIDE": property(&f, "left"), "RIGHT_SIDE": property(&f, "right"),
            "LENGTH_KM": (kilometres(&line) * 10.0).round() / 10.0});
        row(1, id, Some(Shape::Lines(vec![line])), rest)
    };
    (1..).zip(features(include_str!("../data/borders.geojson"))).map(row).collect()
}

fn places(countries: &[Row]) -> Vec<Row> {
    let row = |(id, f): (i64, Value)| {
        let at = position(&coordinates(&f));
        let inside = |c: &&Row| matches!(&c.shape, Some(Shape::Polygon(p)) if p.contains(at));
        // A few places lie at sea at this scale: they have no country, as real data have gaps.
        let country = countries.iter().find(inside).map_or(Value::Null, |c| json!(c.text("NAME")));
        let rest = json!({"NAME": property(&f, "name"), "COUNTRY": country, "KIND": id % 3, "SEEN": FIRST_DATE + id * DAY});
        row(0, id, Some(Shape::Point(at)), rest)
    };
    (1..).zip(features(include_str!("../data/places.geojson"))).map(row).collect()
}

fn inspections(places: &[Row]) -> Vec<Row> {
    let mut inspections = Vec::new();
    for place in places {
        for k in 0..place.id() % 4 {
            let id = i64::try_from(inspections.len()).unwrap_or(0) + 1;
            let remark = if k == 0 { json!(format!("first visit to {}", place.text("NAME"))) } else { Value::Null };
            let rest = json!({"PLACE_ID": place.text("GlobalID"), "VISITED": FIRST_DATE + id * DAY / 2,
                "RESULT": id % 3, "REMARK": remark});
            inspections.push(row(5, id, None, rest));
        }
    }
    inspections
}

fn measurements(inspections: &[Row]) -> Vec<Row> {
    let row = |(i, id): (&Row, i64)| {
        let value = f64::from(u32::try_from(id * 37 % 1000).unwrap_or(0)) / 10.0;
        row(6, id, None, json!({"INSPECTION_ID": i.text("GlobalID"), "QUANTITY": "level", "VALUE": value}))
    };
    inspections.iter().filter(|i| i.id() % 2 == 0).zip(1..).map(row).collect()
}

fn photos(places: &[Row]) -> Vec<Attachment> {
    let attachment = |(place, id): (&Row, i64)| Attachment {
        id,
        parent: place.id(),
        global_id: global_id(0xA, id),
        parent_global_id: place.text("GlobalID").to_owned(),
        name: format!("place_{}.png", place.id()),
        bytes: photo(place.id()),
    };
    places.iter().filter(|p| p.id() % 3 == 0).zip(1..).map(attachment).collect()
}

/// Nothing changes them, and drawing the photos takes longer than a test: all sandboxes of a process have the same.
static SHARED: LazyLock<Arc<Data>> = LazyLock::new(|| Arc::new(Data::load()));

impl Data {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::clone(&SHARED)
    }

    fn load() -> Self {
        let countries = countries();
        let places = places(&countries);
        let inspections = inspections(&places);
        let measurements = measurements(&inspections);
        let photos = photos(&places);
        Self {
            places: Arc::new(places),
            borders: Arc::new(borders()),
            countries: Arc::new(countries),
            inspections: Arc::new(inspections),
            measurements: Arc::new(measurements),
            photos,
        }
    }
}
