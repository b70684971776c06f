//! XML that services answer with, told element by element, within limits. Names are without their prefixes.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::borrow::Cow;

/// Most elements within each other.
pub const DEEPEST: usize = 256;

/// The start of an element.
#[derive(Debug)]
pub struct Start {
    /// Its name.
    pub name: String,
    /// Its attributes by their names; a value that is no XML, as the url with a bare `&` of a careless server, as it is written.
    pub attributes: Vec<(String, String)>,
}

impl Start {
    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Who is told what is in a document.
pub trait Visitor {
    /// An element begins.
    ///
    /// # Errors
    /// Half a sentence that says what is wrong with the document; it is not read on.
    fn open(&mut self, start: Start) -> Result<(), String>;

    /// A part of the text of the innermost element that is open.
    fn text(&mut self, text: &str);

    /// The innermost element that is open ends.
    ///
    /// # Errors
    /// As of [`Visitor::open`].
    fn close(&mut self) -> Result<(), String>;
}

/// Reads a document up to the end of its outermost element. What is no UTF-8 is taken for the Latin alphabet that old servers write.
///
/// ```
/// use offmap_arcgis::xml::{Start, Visitor, read};
///
/// struct Names(Vec<String>);
///
/// impl Visitor for Names {
///     fn open(&mut self, start: Start) -> Result<(), String> {
///         self.0.push(start.name);
///         Ok(())
///     }
///     fn text(&mut self, _: &str) {}
///     fn close(&mut self) -> Result<(), String> {
///         Ok(())
///     }
/// }
///
/// let mut names = Names(Vec::new());
/// read(b"<w:A xmlns:w='u'><w:B/></w:A>", 10, &mut names)?;
/// assert_eq!(names.0, ["A", "B"]);
/// assert!(read(b"<A><B/><B/></A>", 2, &mut names).is_err_and(|words| words.contains("more than 2 elements")));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// Half a sentence that says what is wrong: it is no XML, ends too early, has more than `most` elements or more than [`DEEPEST`] within
/// each other; and what the visitor says.
pub fn read(bytes: &[u8], most: usize, visitor: &mut impl Visitor) -> Result<(), String> {
    let text = text_of(bytes);
    let mut reader = Reader::from_str(&text);
    let (mut depth, mut count) = (0_usize, 0_usize);
    loop {
        let event = reader.read_event().map_err(|e| format!("is no XML: {e}"))?;
        let ends = match event {
            Event::Start(_) | Event::Empty(_) => {
                count += 1;
                if count > most || depth >= DEEPEST {
                    return Err(format!("has more than {most} elements, or more than {DEEPEST} within each other"));
                }
                let is_empty = matches!(event, Event::Empty(_));
                if let Event::Start(start) | Event::Empty(start) = event {
                    visitor.open(start_of(&start))?;
                }
                depth += 1;
                is_empty
            }
            Event::End(_) => true,
            Event::Eof => return Err("ends within an element".to_owned()),
            other => {
                if depth > 0 {
                    tell_text(&other, visitor);
                }
                false
            }
        };
        if ends {
            visitor.close()?;
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// An element with those of its attributes that can be read: what is wrong with one of them costs the document nothing.
fn start_of(start: &BytesStart<'_>) -> Start {
    let mut attributes = Vec::new();
    // Of two with one name the first is found. After what is no attribute the reader goes on behind it.
    for attribute in start.attributes().with_checks(false).filter_map(Result::ok) {
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_or_else(|_| attribute.value.replace("&amp;", "&"), Cow::into_owned);
        attributes.push((attribute.key.local_name().as_ref().to_owned(), value));
    }
    Start { name: start.local_name().as_ref().to_owned(), attributes }
}

fn tell_text(event: &Event<'_>, visitor: &mut impl Visitor) {
    match event {
        Event::Text(piece) => visitor.text(piece),
        Event::CData(piece) => visitor.text(piece),
        Event::GeneralRef(entity) => match entity.resolve_char_ref() {
            Ok(Some(character)) => visitor.text(character.encode_utf8(&mut [0; 4])),
            _ => visitor.text(resolve_predefined_entity(entity).unwrap_or_default()),
        },
        _ => {}
    }
}

fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<Start>);

    impl Visitor for Seen {
        fn open(&mut self, start: Start) -> Result<(), String> {
            self.0.push(start);
            Ok(())
        }

        fn text(&mut self, _: &str) {}

        fn close(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn an_attribute_that_is_no_xml_costs_its_document_nothing() {
        let document = r#"<A version="1.3.0"><B xlink:href="https://h/cgi?map=a&service=WMS&" type="simple"/>
            <C title="a&nbsp;b" name="c"/><D name="1" name="2"/><E name="a" b=c d="e"/><F name="&lt;&amp;" g></F></A>"#;
        let mut seen = Seen::default();
        assert_eq!(read(document.as_bytes(), 100, &mut seen), Ok(()));
        let of = |at: usize, name: &str| seen.0.get(at).and_then(|start| start.attribute(name));
        assert_eq!((of(1, "href"), of(1, "type")), (Some("https://h/cgi?map=a&service=WMS&"), Some("simple")));
        assert_eq!((of(2, "title"), of(2, "name")), (Some("a&nbsp;b"), Some("c")));
        assert_eq!(of(3, "name"), Some("1"));
        assert_eq!((of(4, "name"), of(5, "name")), (Some("a"), Some("<&")));
        assert_eq!(seen.0.len(), 6);
    }
}
