//! XML as a tree of elements, within limits. Names are without their prefixes.

use crate::xml::{self, Start, Visitor};

/// Most elements of a document.
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

/// Elements that are open, and the outermost one when it has ended.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl Visitor for Tree {
    fn open(&mut self, start: Start) -> Result<(), String> {
        let Start { name, attributes } = start;
        self.open.push(Element { name, attributes, ..Element::default() });
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(mut ended) = self.open.pop() else { return Ok(()) };
        ended.text = ended.text.trim().to_owned();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(ended),
            None => self.root = Some(ended),
        }
        Ok(())
    }
}

impl Element {
    /// Reads a document; the error says in half a sentence what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut tree = Tree::default();
        xml::read(bytes, MOST_ELEMENTS, &mut tree)?;
        tree.root.ok_or_else(|| "has no element".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::DEEPEST;

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
