//! The XML documents of `esriinfo`, by one writer. Source: mobile map package reference A.5.

use offmap_model::Failure;
use quick_xml::Writer;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// Line ends of these documents.
const LINE: &str = "\r\n";

/// Whether XML 1.0 allows a character (production 2).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// A document that is written element by element, each on a line.
pub(crate) struct ItemXml {
    writer: Writer<Vec<u8>>,
    open: Vec<&'static str>,
}

impl ItemXml {
    /// Begins a document with its root element.
    pub(crate) fn new(root: &'static str) -> Result<Self, Failure> {
        let mut xml = Self { writer: Writer::new(Vec::new()), open: vec![root] };
        xml.event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
        xml.line()?;
        xml.event(Event::Start(BytesStart::new(root).with_attributes([("Culture", "en-US")])))?;
        xml.line()?;
        Ok(xml)
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Failure> {
        self.writer.write_event(event).map_err(|e| Failure::internal(format!("an XML document cannot be written: {e}")))
    }

    fn line(&mut self) -> Result<(), Failure> {
        self.event(Event::Text(BytesText::from_escaped(LINE)))
    }

    /// Writes an element with a text; characters that XML 1.0 forbids are dropped.
    pub(crate) fn element(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let kept: String = text.chars().filter(|c| is_allowed(*c)).collect();
        self.event(Event::Start(BytesStart::new(name)))?;
        self.event(Event::Text(BytesText::from_escaped(partial_escape(&kept))))?;
        self.event(Event::End(BytesEnd::new(name)))?;
        self.line()
    }

    /// Writes elements with a text each.
    pub(crate) fn elements<'a>(&mut self, all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Failure> {
        all.into_iter().try_for_each(|(name, text)| self.element(name, text))
    }

    /// Begins an element that has others in it.
    pub(crate) fn begin(&mut self, name: &'static str) -> Result<(), Failure> {
        self.event(Event::Start(BytesStart::new(name)))?;
        self.open.push(name);
        self.line()
    }

    /// Ends the element that was begun last.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if let Some(name) = self.open.pop() {
            self.event(Event::End(BytesEnd::new(name)))?;
        }
        self.line()
    }

    /// Ends the root element and the document.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        self.end()?;
        String::from_utf8(self.writer.into_inner()).map_err(|e| Failure::internal(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;

    #[test]
    fn any_text_gives_well_formed_xml() {
        let hostile = "a\u{fffe}b\u{ffff}c\0d\u{1b}[2Je\u{b}<f>&g;]]>\"'\u{85}\t\u{10ffff}ü\u{d7ff}\u{e000}";
        let mut xml = ItemXml::new("info").expect("begins");
        xml.element("title", hostile).expect("writes");
        xml.begin("list").expect("writes");
        xml.element("item", "").expect("writes");
        xml.end().expect("writes");
        let text = xml.finish().expect("ends");
        assert!(text.chars().all(is_allowed), "{text:?}");
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<info Culture=\"en-US\">\r\n"), "{text}");
        let mut reader = Reader::from_str(&text);
        let mut title = String::new();
        let mut inside = false;
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Eof => break,
                Event::Start(start) => inside = start.name().as_ref() == "title",
                Event::End(_) => inside = false,
                Event::Text(part) if inside => title.push_str(&part),
                Event::GeneralRef(name) if inside => {
                    title.push_str(quick_xml::escape::resolve_predefined_entity(&name).expect("a predefined one"));
                }
                _ => {}
            }
        }
        assert_eq!(title, "abcd[2Je<f>&g;]]>\"'\u{85}\t\u{10ffff}ü\u{d7ff}\u{e000}");
    }
}
