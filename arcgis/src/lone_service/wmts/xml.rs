//! XML as a tree of elements, within limits. Names are without their prefixes.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Elements within each other, and all together.
const DEEPEST: usize = 32;
const MOST_ELEMENTS: usize = 1_000_000;

/// An element.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    /// All of its own text, without the blanks around it.
    pub(super) text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document; the error says in half a sentence what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = text_of(bytes);
        let mut reader = Reader::from_str(&text);
        let (mut open, mut count): (Vec<Self>, usize) = (Vec::new(), 0);
        loop {
            let event = reader.read_event().map_err(|e| format!("is no XML: {e}"))?;
            let ended = match event {
                Event::Start(start) => {
                    open.push(Self::begin(&start)?);
                    None
                }
                Event::Empty(start) => Some(Self::begin(&start)?),
                Event::End(_) => open.pop(),
                Event::Eof => return Err("ends within an element".to_owned()),
                other => {
                    if let Some(element) = open.last_mut() {
                        element.add_text(&other);
                    }
                    None
                }
            };
            count += usize::from(ended.is_some());
            if open.len() > DEEPEST || count > MOST_ELEMENTS {
                return Err(format!("has more than {MOST_ELEMENTS} elements, or more than {DEEPEST} within each other"));
            }
            let Some(mut ended) = ended else { continue };
            ended.text = ended.text.trim().to_owned();
            match open.last_mut() {
                Some(parent) => parent.children.push(ended),
                None => return Ok(ended),
            }
        }
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self { name: start.local_name().as_ref().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| format!("is no XML: {e}"))?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| format!("is no XML: {e}"))?.into_owned();
            element.attributes.push((attribute.key.local_name().as_ref().to_owned(), value));
        }
        Ok(element)
    }

    fn add_text(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(piece) => self.text.push_str(piece),
            Event::CData(piece) => self.text.push_str(piece),
            Event::GeneralRef(name) => match name.strip_prefix('#') {
                None => self.text.push_str(resolve_predefined_entity(name).unwrap_or_default()),
                Some(number) => self.text.extend(character(number)),
            },
            _ => {}
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + 'a {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(super) fn first(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child; `None` for an empty one.
    pub(super) fn text_at(&self, name: &str) -> Option<&str> {
        self.first(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The first text of an element of that name, however deep.
    pub(super) fn any_text(&self, name: &str) -> Option<&str> {
        let own = (self.name == name && !self.text.is_empty()).then_some(self.text.as_str());
        own.or_else(|| self.children.iter().find_map(|child| child.any_text(name)))
    }
}

/// Bytes as text: what is no UTF-8 is taken for the Latin alphabet that old servers write.
fn text_of(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn character(number: &str) -> Option<char> {
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_a_tree_whatever_its_prefixes() {
        let xml = "\u{feff}<?xml version=\"1.0\"?><w:A xmlns:w='u'><!-- no --><ows:B x:href='a&amp;b'>&lt;K&#246;ln&#xe9; &amp; <![CDATA[<3]]></ows:B><C/><C> </C></w:A>";
        let read = Element::read(xml.as_bytes()).expect("reads");
        assert_eq!((read.name.as_str(), read.all("C").count()), ("A", 2));
        let b = read.first("B").expect("B");
        assert_eq!((b.text.as_str(), b.attribute("href")), ("<Kölné & <3", Some("a&b")));
        assert_eq!((read.text_at("C"), read.any_text("B")), (None, Some("<Kölné & <3")));
        assert_eq!(Element::read(b"<A>\xe9</A>").expect("reads").text, "é");
    }

    #[test]
    fn what_is_no_document_or_too_deep_is_refused() {
        for wrong in ["", "no", "<A><B></A>", "<A", "<A>"] {
            assert!(Element::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = "<A>".repeat(DEEPEST + 1) + &"</A>".repeat(DEEPEST + 1);
        assert!(Element::read(deep.as_bytes()).is_err_and(|words| words.contains("within each other")));
    }
}
