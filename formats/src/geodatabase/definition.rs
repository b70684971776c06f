//! The XML in `GDB_Items.Definition` as a small tree.
//!
//! Source: mobile map package reference B.3.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// Deepest element that is read, and elements of one definition: a large domain has some thousand codes.
const DEEPEST: usize = 32;
const MOST_ELEMENTS: usize = 200_000;

/// An element with its text and children; prefixes of names are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Its first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// Its children of a name.
    pub(super) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + 'a {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The text of its first child of a name, unless that is empty.
    pub(super) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.trim()).filter(|text| !text.is_empty())
    }

    /// The number in its first child of a name.
    pub(super) fn child_number(&self, name: &str) -> Option<f64> {
        self.child_text(name)?.parse().ok().filter(|n: &f64| n.is_finite())
    }

    /// Whether its first child of a name says `true`.
    pub(super) fn says(&self, name: &str) -> bool {
        self.child_text(name).is_some_and(|word| word.eq_ignore_ascii_case("true"))
    }
}

/// Reads a definition; what is malformed ends what is read, so that a good beginning is used.
pub(super) fn read_definition(xml: &str) -> Option<Element> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Element> = Vec::new();
    let mut count = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                count += 1;
                if open.len() >= DEEPEST || count > MOST_ELEMENTS {
                    break;
                }
                let name = start.local_name().as_ref().to_owned();
                open.push(Element { name, ..Element::default() });
            }
            Ok(Event::Empty(empty)) => {
                count += 1;
                let name = empty.local_name().as_ref().to_owned();
                let element = Element { name, ..Element::default() };
                match open.last_mut() {
                    Some(parent) if count <= MOST_ELEMENTS => parent.children.push(element),
                    Some(_) => break,
                    None => return Some(element),
                }
            }
            Ok(Event::Text(text)) => add_text(&mut open, &text),
            Ok(Event::CData(text)) => add_text(&mut open, &text),
            Ok(Event::GeneralRef(reference)) => add_text(&mut open, &character(&reference)),
            Ok(Event::End(_)) => {
                let Some(element) = open.pop() else { break };
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    while let Some(element) = open.pop() {
        match open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => return Some(element),
        }
    }
    None
}

fn add_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// What an entity stands for; nothing for one that XML does not know.
fn character(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    quick_xml::escape::resolve_xml_entity(reference).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_read_with_its_entities_and_a_broken_one_to_its_break() {
        let xml = "<a:T xmlns:a='x'><N>R&amp;D &#x41;<![CDATA[<b>]]></N><E/><C><V>1</V><V>2</V></C><B>true</B></a:T>";
        let root = read_definition(xml).expect("reads");
        assert_eq!((root.name.as_str(), root.child_text("N")), ("T", Some("R&D A<b>")));
        let values: Vec<_> = root.child("C").expect("is there").children_named("V").map(|v| v.text.as_str()).collect();
        assert_eq!(values, ["1", "2"]);
        assert!(root.says("B") && root.child_text("E").is_none() && root.child_number("N").is_none());
        let broken = read_definition("<T><N>a</N><M>b").expect("reads");
        assert_eq!((broken.child_text("N"), broken.child_text("M")), (Some("a"), Some("b")));
        assert_eq!((read_definition(""), read_definition("text")), (None, None));
        assert!(read_definition(&"<a>".repeat(100_000)).is_some());
        assert!(
            read_definition(&format!("<a>{}", "<b/>".repeat(300_000))).is_some_and(|a| a.children.len() <= MOST_ELEMENTS)
        );
    }
}
