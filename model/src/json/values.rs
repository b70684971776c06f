//! How many values a text stands for, counted by its marks before anything is built.
//!
//! A text of a few kilobytes can stand for gigabytes of values: two bytes of text are a list, nine an object of some hundred bytes.

/// What an object counts for beside its members: the first member makes a node of a tree of more than 600 bytes.
const OBJECT: usize = 7;
/// What a member of an object counts for beside its value.
const MEMBER: usize = 2;

/// The values of a text. A number, text, list or `null` counts for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    /// All of them.
    pub(super) all: usize,
    /// Those of the member that holds most, where the text is a list.
    pub(super) largest_member: usize,
    /// Objects among them.
    pub(super) objects: usize,
}

impl Values {
    /// Counts the values of a text by the marks outside of its strings, in one pass. A text that is no JSON is counted as well.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut count = Count::default();
        let (mut in_string, mut escaped) = (false, false);
        for byte in text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' if in_string => in_string = false,
                _ if in_string => {}
                byte if byte.is_ascii_whitespace() => {}
                byte => {
                    in_string = *byte == b'"';
                    count.mark(*byte);
                }
            }
        }
        Self { all: count.all.saturating_add(1), largest_member: count.largest.max(count.member), objects: count.objects }
    }
}

#[derive(Default)]
struct Count {
    all: usize,
    /// Of the present member of the outermost list.
    member: usize,
    largest: usize,
    depth: usize,
    objects: usize,
    /// A list or object has begun and nothing of it came yet.
    is_new: bool,
}

impl Count {
    fn add(&mut self, values: usize) {
        self.all = self.all.saturating_add(values);
        self.member = self.member.saturating_add(values);
    }

    fn mark(&mut self, byte: u8) {
        let ends = matches!(byte, b']' | b'}');
        if std::mem::take(&mut self.is_new) && !ends {
            // The first member; the others are counted by their commas.
            self.add(1);
        }
        match byte {
            b'[' | b'{' => {
                if byte == b'{' {
                    self.objects = self.objects.saturating_add(1);
                    self.add(OBJECT);
                }
                self.depth += 1;
                self.is_new = true;
            }
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b':' => self.add(MEMBER),
            b',' => {
                if self.depth == 1 {
                    self.largest = self.largest.max(std::mem::take(&mut self.member));
                }
                self.add(1);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The same by the values themselves.
    fn counted(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(counted).sum::<usize>(),
            Value::Object(map) => 1 + OBJECT + map.values().map(|v| MEMBER + counted(v)).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn the_marks_of_a_text_count_as_its_values_do() {
        for text in [
            "7",
            "[]",
            " [ ] ",
            "{}",
            "[[],[],{}]",
            r#"{"a":[1,-2,"x, [y] {z}: \" ,",null,true],"b":{"c":{}},"d":"\\"}"#,
            r#"[{"a": 1}, [1, 2, 3], "text", {"b": {"c": [[]]}}]"#,
        ] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            let values = Values::of(text.as_bytes());
            assert_eq!(values.all, counted(&value), "{text}");
            if let Value::Array(list) = &value {
                assert_eq!(values.largest_member, list.iter().map(counted).max().unwrap_or(0), "{text}");
            }
        }
    }
}
