//! Renderers: which symbol a feature gets.

use super::approximation::Report;
use super::color::Rgba;
use super::data_source::GeometryKind;
use super::esri_symbol::{self, plain};
use super::members::{list, number, scalar, text};
use super::ramp::{self, Ramp};
use super::symbol::Symbol;
use super::text_expression;
use serde_json::Value;

/// How Esri writes a missing value of a field.
pub const NULL_VALUE: &str = "<Null>";

/// Which symbol a feature gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Renderer {
    /// How a feature's class is found.
    pub choice: Choice,
    /// The classes in the author's order.
    pub classes: Vec<Class>,
    /// The class of features that are in no other; none where those are not drawn.
    pub default: Option<Class>,
    /// A field by which markers are turned.
    pub rotation: Option<Rotation>,
    /// Sizes of markers and widths of lines that follow a number.
    pub size: Option<Ramp<f64>>,
    /// Colours that follow a number.
    pub color: Option<Ramp<Rgba>>,
}

/// A class of features that are drawn alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its text in the legend.
    pub label: String,
    /// Its symbol.
    pub symbol: Symbol,
}

/// How a feature's class is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Every feature is in the one class.
    Single,
    /// By the values of fields.
    Values {
        /// One to three fields.
        fields: Vec<String>,
        /// What stands between the values of several fields.
        delimiter: String,
        /// The values of each class.
        values: Vec<Vec<String>>,
    },
    /// By ranges of a number.
    Breaks {
        /// The field of the number.
        field: String,
        /// What the number is divided by.
        normalization: Normalization,
        /// The least and greatest value of each class; a value on a bound is in the lower class.
        bounds: Vec<(f64, f64)>,
    },
}

/// What a number is divided by before it is classified.
#[derive(Clone, Debug, PartialEq)]
pub enum Normalization {
    /// Nothing.
    None,
    /// Another field.
    Field(String),
    /// Its logarithm to the base 10 is taken.
    Log,
    /// A total; the result is a percentage.
    PercentOfTotal(f64),
}

/// Turns markers by a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The field, in degrees.
    pub field: String,
    /// Whether degrees count clockwise from the north (geographic) and not counterclockwise from the east (arithmetic).
    pub geographic: bool,
}

impl Renderer {
    /// A renderer of classes, without anything that follows a number.
    pub fn of(choice: Choice, classes: Vec<Class>, default: Option<Class>) -> Self {
        Self { choice, classes, default, rotation: None, size: None, color: None }
    }

    /// A renderer of one symbol.
    pub fn single(symbol: Symbol) -> Self {
        let classes = vec![Class { label: String::new(), symbol }];
        Self::of(Choice::Single, classes, None)
    }

    /// Reads a renderer; what is not supported is reported and becomes one symbol of the right colour.
    pub(crate) fn read(renderer: &Value, geometry: GeometryKind, report: &mut Report<'_>) -> Self {
        let read = match text(renderer, "type") {
            Some("simple") => simple(renderer, report),
            Some("uniqueValue") => unique_value(renderer, report),
            Some("classBreaks") => class_breaks(renderer, report),
            _ => None,
        };
        let mut read = read.unwrap_or_else(|| unsupported(renderer, geometry, report));
        read.rotation = rotation(renderer, report);
        (read.size, read.color) = ramp::read(renderer, report);
        read
    }

    /// How far the largest marker reaches from its point, in points: labels stand beyond it.
    pub fn reach(&self) -> f64 {
        let reach = |class: &Class| match &class.symbol {
            Symbol::Marker(marker) => (marker.size + marker.outline.as_ref().map_or(0.0, |outline| outline.width)) / 2.0,
            Symbol::Picture(picture) => picture.width.max(picture.height) / 2.0,
            Symbol::Line(_) | Symbol::Fill(_) | Symbol::Nothing => 0.0,
        };
        self.classes.iter().chain(&self.default).map(reach).fold(0.0, f64::max)
    }

    /// Every class, the default last; `None` stands for a default that is not drawn.
    pub fn all_classes(&self) -> impl Iterator<Item = Option<&Class>> {
        let of_default = (self.choice != Choice::Single).then_some(self.default.as_ref());
        self.classes.iter().map(Some).chain(of_default)
    }
}

fn class(of: &Value, symbol: &str, label: &str, report: &mut Report<'_>) -> Option<Class> {
    let symbol = of.get(symbol).filter(|symbol| symbol.is_object())?;
    let label = text(of, label).unwrap_or_default().to_owned();
    Some(Class { label, symbol: esri_symbol::read(symbol, report) })
}

fn simple(renderer: &Value, report: &mut Report<'_>) -> Option<Renderer> {
    let class = class(renderer, "symbol", "label", report)?;
    Some(Renderer::of(Choice::Single, vec![class], None))
}

/// The field that a renderer goes by: `field`, or an Arcade expression that is nothing but a field.
fn field_of(renderer: &Value, key: &str) -> Option<String> {
    match text(renderer, "valueExpression") {
        Some(arcade) => text_expression::single_field(arcade),
        None => text(renderer, key).map(str::to_owned),
    }
}

fn unique_value(renderer: &Value, report: &mut Report<'_>) -> Option<Renderer> {
    let mut fields = vec![field_of(renderer, "field1").or_else(|| field_of(renderer, "field"))?];
    fields.extend(["field2", "field3"].iter().filter_map(|key| text(renderer, key).map(str::to_owned)));
    let delimiter = renderer.get("fieldDelimiter").and_then(Value::as_str).unwrap_or(",").to_owned();
    let (mut classes, mut values) = (Vec::new(), Vec::new());
    let groups = list(renderer, "uniqueValueGroups").iter().flat_map(|group| list(group, "classes"));
    for found in groups {
        let Some(class) = class(found, "symbol", "label", report) else { continue };
        let joined = |row: &Value| {
            let parts = row.as_array()?.iter().map(|value| scalar(value).unwrap_or_else(|| NULL_VALUE.to_owned()));
            Some(parts.collect::<Vec<_>>().join(&delimiter))
        };
        values.push(list(found, "values").iter().filter_map(joined).collect());
        classes.push(class);
    }
    if classes.is_empty() {
        for found in list(renderer, "uniqueValueInfos") {
            let Some(class) = class(found, "symbol", "label", report) else { continue };
            values.push(vec![found.get("value").and_then(scalar).unwrap_or_else(|| NULL_VALUE.to_owned())]);
            classes.push(class);
        }
    }
    let default = class(renderer, "defaultSymbol", "defaultLabel", report);
    if classes.is_empty() && default.is_none() {
        return None;
    }
    Some(Renderer::of(Choice::Values { fields, delimiter, values }, classes, default))
}

fn class_breaks(renderer: &Value, report: &mut Report<'_>) -> Option<Renderer> {
    let field = field_of(renderer, "field")?;
    let normalization = match text(renderer, "normalizationType") {
        None | Some("esriNormalizeNone") => Normalization::None,
        Some("esriNormalizeByField") => Normalization::Field(text(renderer, "normalizationField")?.to_owned()),
        Some("esriNormalizeByLog") => Normalization::Log,
        Some("esriNormalizeByPercentOfTotal") => {
            Normalization::PercentOfTotal(number(renderer, "normalizationTotal").filter(|total| *total != 0.0)?)
        }
        Some(_) => return None,
    };
    let mut least = number(renderer, "minValue").unwrap_or(f64::MIN);
    let (mut classes, mut bounds) = (Vec::new(), Vec::new());
    for found in list(renderer, "classBreakInfos") {
        let (Some(greatest), Some(class)) = (number(found, "classMaxValue"), class(found, "symbol", "label", report)) else {
            continue;
        };
        bounds.push((number(found, "classMinValue").unwrap_or(least), greatest));
        least = greatest;
        classes.push(class);
    }
    let default = class(renderer, "defaultSymbol", "defaultLabel", report);
    if classes.is_empty() {
        return None;
    }
    if renderer.get("backgroundFillSymbol").is_some_and(Value::is_object) {
        report.approximate("the background fill of proportional symbols", "nothing");
    }
    Some(Renderer::of(Choice::Breaks { field, normalization, bounds }, classes, default))
}

/// One symbol for a renderer of another kind, or by an expression that is more than a field.
fn unsupported(renderer: &Value, geometry: GeometryKind, report: &mut Report<'_>) -> Renderer {
    let kind = text(renderer, "type").unwrap_or("unknown");
    let own = renderer.get("defaultSymbol").filter(|symbol| symbol.is_object()).cloned();
    let own = own.or_else(|| esri_symbol::first(renderer, "uniqueValueInfos"));
    let own = own.or_else(|| esri_symbol::first(renderer, "classBreakInfos"));
    let group = list(renderer, "uniqueValueGroups").iter().find_map(|group| esri_symbol::first(group, "classes"));
    let own = own.or(group).map(|symbol| esri_symbol::read(&symbol, report)).filter(|symbol| *symbol != Symbol::Nothing);
    let symbol = own.unwrap_or_else(|| plain(geometry, color_of(renderer)));
    let why = match text(renderer, "valueExpression") {
        Some(_) => format!("the {kind} renderer by an Arcade expression"),
        None if renderer.is_null() => "a layer without a renderer".to_owned(),
        None => format!("the {kind} renderer"),
    };
    report.approximate(why, format!("one symbol of the colour {}", symbol.main_color().css()));
    Renderer::single(symbol)
}

/// The colour of a heat map's hottest place, of the first attribute of a dot density or a pie chart.
fn color_of(renderer: &Value) -> Rgba {
    let mut stops = list(renderer, "colorStops").iter().filter_map(|stop| Rgba::from_esri(stop.get("color")?));
    let attributes = list(renderer, "attributes").iter().filter_map(|of| Rgba::from_esri(of.get("color")?));
    stops.next_back().or_else(|| attributes.into_iter().next()).unwrap_or(Rgba::GREY)
}

fn rotation(renderer: &Value, report: &mut Report<'_>) -> Option<Rotation> {
    let of = |found: &Value, field: Option<String>| {
        let geographic = text(found, "rotationType") != Some("arithmetic");
        field.map(|field| Rotation { field, geographic })
    };
    let heading = |variable: &&Value| {
        text(variable, "type") == Some("rotationInfo") && text(variable, "axis").is_none_or(|axis| axis == "heading")
    };
    let read = if let Some(variable) = list(renderer, "visualVariables").iter().find(heading) {
        of(variable, field_of(variable, "field"))
    } else if let Some(expression) = text(renderer, "rotationExpression") {
        of(renderer, text_expression::bracketed_field(expression))
    } else {
        return None;
    };
    if read.is_none() {
        report.approximate("a rotation by an expression", "the symbol without it");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(renderer: Value) -> (Renderer, Vec<String>) {
        let mut list = Vec::new();
        let read = Renderer::read(&renderer, GeometryKind::Point, &mut Report::new("layer", &mut list));
        (read, list.iter().map(ToString::to_string).collect())
    }

    fn circle(red: u8) -> Value {
        json!({"type": "esriSMS", "style": "esriSMSCircle", "color": [red, 0, 0, 255], "size": 6})
    }

    #[test]
    fn groups_of_values_are_joined_by_the_delimiter() {
        let (read, notes) = one(json!({"type": "uniqueValue", "field1": "A", "field2": "B", "fieldDelimiter": ";",
            "defaultSymbol": circle(9), "defaultLabel": "Other",
            "uniqueValueGroups": [{"heading": "h", "classes": [
                {"label": "one", "symbol": circle(1), "values": [["x", "1"], ["y", null]]}]}]}));
        assert!(notes.is_empty(), "{notes:?}");
        let Choice::Values { fields, delimiter, values } = &read.choice else { panic!("{read:?}") };
        assert_eq!((fields.len(), delimiter.as_str()), (2, ";"));
        assert_eq!(values, &[vec!["x;1".to_owned(), "y;<Null>".to_owned()]]);
        assert_eq!(read.all_classes().count(), 2);
        assert_eq!(read.default.expect("is there").label, "Other");
    }

    #[test]
    fn breaks_begin_where_the_one_before_ends() {
        let (read, notes) = one(
            json!({"type": "classBreaks", "field": "POP", "minValue": 0, "normalizationType": "esriNormalizeByField",
            "normalizationField": "AREA", "classBreakInfos": [
                {"classMaxValue": 10, "symbol": circle(1)}, {"classMinValue": 12, "classMaxValue": 20, "symbol": circle(2)}]}),
        );
        assert!(notes.is_empty(), "{notes:?}");
        let Choice::Breaks { normalization, bounds, .. } = &read.choice else { panic!("{read:?}") };
        assert_eq!(*normalization, Normalization::Field("AREA".into()));
        assert_eq!(*bounds, [(0.0, 10.0), (12.0, 20.0)]);
    }

    #[test]
    fn an_arcade_expression_that_is_a_field_is_that_field() {
        let infos = json!([{"value": "1", "symbol": circle(1)}]);
        let of = |arcade: &str| one(json!({"type": "uniqueValue", "valueExpression": arcade, "uniqueValueInfos": infos}));
        let (read, notes) = of("$feature.KIND");
        assert!(matches!(&read.choice, Choice::Values { fields, .. } if fields == &["KIND"]) && notes.is_empty());
        let (read, notes) = of("When($feature.A > 1, 'x', 'y')");
        assert_eq!(read.choice, Choice::Single);
        let expected =
            "layer: the uniqueValue renderer by an Arcade expression is shown as one symbol of the colour rgba(1,0,0,1)";
        assert_eq!(notes, [expected]);
    }

    #[test]
    fn a_heat_map_is_its_hottest_colour() {
        let (read, notes) = one(json!({"type": "heatmap", "colorStops": [
            {"ratio": 0, "color": [0, 0, 255, 0]}, {"ratio": 1, "color": [255, 200, 0, 255]}]}));
        assert_eq!(read.classes[0].symbol.main_color(), Rgba::new(255, 200, 0, 255));
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn rotation_is_kept_and_other_variables_are_reported() {
        let (read, notes) = one(json!({"type": "simple", "symbol": circle(1), "visualVariables": [
            {"type": "rotationInfo", "field": "DIR", "rotationType": "geographic"},
            {"type": "transparencyInfo", "field": "POP", "stops": []},
            {"type": "sizeInfo", "axis": "height", "valueUnit": ""}]}));
        assert_eq!(read.rotation, Some(Rotation { field: "DIR".into(), geographic: true }));
        assert_eq!(notes, ["layer: the visual variable transparencyInfo is shown as the symbol without it"]);
    }
}
