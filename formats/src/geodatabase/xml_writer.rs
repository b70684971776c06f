//! Writes XML as Esri's schema of geodatabases has it.

use quick_xml::escape::escape;
use std::fmt::Write as _;

/// An element that is written from its beginning to its end.
#[derive(Default)]
pub(super) struct Xml(pub(super) String);

impl Xml {
    /// The outermost element, with the names of Esri's schema.
    pub(super) fn root(name: &str) -> Self {
        Self(format!(
            "<{name} xsi:type='typens:{name}' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'>"
        ))
    }

    pub(super) fn end(mut self, name: &str) -> String {
        self.close(name);
        self.0
    }

    pub(super) fn open(&mut self, name: &str, kind: &str) {
        // Memory does not refuse.
        let _ = write!(self.0, "<{name} xsi:type='{kind}'>");
    }

    pub(super) fn close(&mut self, name: &str) {
        let _ = write!(self.0, "</{name}>");
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "<{name}>{}</{name}>", escaped(text));
    }

    pub(super) fn typed(&mut self, name: &str, kind: &str, text: &str) {
        let _ = write!(self.0, "<{name} xsi:type='{kind}'>{}</{name}>", escaped(text));
    }

    pub(super) fn says(&mut self, name: &str, is: bool) {
        self.text(name, if is { "true" } else { "false" });
    }

    pub(super) fn empties(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.text(name, ""));
    }

    pub(super) fn list(&mut self, name: &str, kind: &str) {
        self.typed(name, kind, "");
    }
}

/// Text as XML holds it: characters that XML has no place for are left out.
fn escaped(text: &str) -> String {
    let allowed: String = text.chars().filter(|c| *c >= ' ' || matches!(c, '\t' | '\n' | '\r')).collect();
    escape(allowed.as_str()).into_owned()
}
