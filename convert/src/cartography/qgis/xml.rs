//! XML as a tree that is written by quick-xml.

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;
use std::borrow::Cow;

/// An element with attributes and either elements or a text in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
    text: String,
}

/// Whether XML 1.0 allows a character (production 2).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Escapes a text; characters that XML forbids are dropped.
fn escaped(text: &str) -> String {
    let kept: String = text.chars().filter(|c| is_allowed(*c)).collect();
    escape(kept.as_str()).into_owned()
}

/// Escapes the value of an attribute. A reader turns a plain line end in it into a space.
fn escaped_attribute(text: &str) -> String {
    escaped(text).replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;")
}

impl Element {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new(), text: String::new() }
    }

    /// With an attribute.
    pub(crate) fn attribute(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// With an element in it.
    pub(crate) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With elements in it.
    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// An element with a text.
    pub(crate) fn with_text(name: &'static str, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::new(name) }
    }

    /// The whole document.
    pub(crate) fn document(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
        // Writing into memory cannot fail.
        let _ = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        let _ = self.write(&mut writer);
        String::from_utf8(writer.into_inner()).unwrap_or_default()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            let value = escaped_attribute(value);
            start.push_attribute(Attribute { key: QName(name), value: Cow::Borrowed(value.as_str()) });
        }
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if !self.text.is_empty() {
            writer.write_event(Event::Text(BytesText::from_escaped(escaped(&self.text))))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

/// One of QGIS's `Option` elements.
pub(crate) fn option(name: &str, kind: &str, value: impl Into<String>) -> Element {
    Element::new("Option").attribute("name", name).attribute("type", kind).attribute("value", value)
}

/// An `Option` element that holds others by name.
pub(crate) fn option_map(name: Option<&str>, options: impl IntoIterator<Item = Element>) -> Element {
    let map = Element::new("Option").attribute("type", "Map");
    let map = match name {
        Some(name) => map.attribute("name", name),
        None => map,
    };
    map.children(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_attributes_are_escaped() {
        let made = Element::new("a").attribute("b", "x<\"&'\n\u{1}").child(Element::with_text("c", "1 < 2 & \u{0}3"));
        let text = made.document();
        assert!(text.contains("<a b=\"x&lt;&quot;&amp;&apos;&#10;\">"), "{text}");
        assert!(text.contains("<c>1 &lt; 2 &amp; 3</c>"), "{text}");
    }
}
