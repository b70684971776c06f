//! Where clauses of layers and labels, as far as both readers can evaluate them.

/// A condition on the fields of a feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these hold.
    And(Vec<Filter>),
    /// One of these holds.
    Or(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// The field compares so with the value.
    Compare(String, Comparison, Literal),
    /// The field has one of the values.
    In(String, Vec<Literal>),
    /// The field has no value.
    IsNull(String),
    /// The field matches a pattern of `%` and `_`.
    Like(String, String),
    /// Holds always or never: `1=1`.
    Constant(bool),
}

/// How a field compares with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value within a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Value(Literal),
    Sign(&'static str),
}

/// The deepest nesting of parentheses that is read.
const DEEPEST: usize = 64;

impl Filter {
    /// Reads a where clause; none where it uses more than comparisons, `IN`, `BETWEEN`, `LIKE`, `IS NULL`, `AND`, `OR` and `NOT`.
    pub fn parse(clause: &str) -> Option<Self> {
        let tokens = tokens(clause)?;
        let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
        let filter = parser.or()?;
        (parser.at == tokens.len()).then_some(filter)
    }
}

const SIGNS: [&str; 10] = ["<>", "!=", "<=", ">=", "<", ">", "=", "(", ")", ","];

fn tokens(clause: &str) -> Option<Vec<Token>> {
    let (mut rest, mut tokens) = (clause.trim_start(), Vec::new());
    while let Some(first) = rest.chars().next() {
        let after = if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(if sign == "!=" { "<>" } else { sign }));
            &rest[sign.len()..]
        } else if first == '\'' || first == '"' {
            let (text, after) = quoted(rest, first)?;
            tokens.push(if first == '"' { Token::Name(text) } else { Token::Value(Literal::Text(text)) });
            after
        } else {
            let is_number = first.is_ascii_digit() || matches!(first, '-' | '+' | '.');
            let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.') || (is_number && matches!(c, '-' | '+'));
            let end = rest.find(|c: char| !belongs(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            tokens.push(match is_number {
                true => Token::Value(Literal::Number(word.parse().ok()?)),
                false if word.is_empty() => return None,
                false => Token::Name(word.to_owned()),
            });
            after
        };
        rest = after.trim_start();
    }
    Some(tokens)
}

/// A text or name in quotes; two quotes stand for one.
fn quoted(rest: &str, quote: char) -> Option<(String, &str)> {
    let (mut text, mut rest) = (String::new(), &rest[1..]);
    loop {
        let (part, after) = rest.split_once(quote)?;
        text.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                text.push(quote);
                rest = more;
            }
            None => return Some((text, after)),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Name(name)) if name.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self) -> Option<Literal> {
        let Some(Token::Value(value)) = self.tokens.get(self.at) else { return None };
        self.at += 1;
        Some(value.clone())
    }

    fn or(&mut self) -> Option<Filter> {
        let mut all = vec![self.and()?];
        while self.word("OR") {
            all.push(self.and()?);
        }
        if all.len() == 1 { all.pop() } else { Some(Filter::Or(all)) }
    }

    fn and(&mut self) -> Option<Filter> {
        let mut all = vec![self.not()?];
        while self.word("AND") {
            all.push(self.not()?);
        }
        if all.len() == 1 { all.pop() } else { Some(Filter::And(all)) }
    }

    fn not(&mut self) -> Option<Filter> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let read = if self.word("NOT") {
            Some(Filter::Not(Box::new(self.not()?)))
        } else if self.sign("(") {
            let inner = self.or()?;
            self.sign(")").then_some(inner)
        } else {
            self.condition()
        };
        self.depth -= 1;
        read
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let all = [
            ("=", Comparison::Equal),
            ("<>", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        all.into_iter().find(|(sign, _)| self.sign(sign)).map(|(_, comparison)| comparison)
    }

    fn condition(&mut self) -> Option<Filter> {
        if let Some(left) = self.value() {
            let comparison = self.comparison()?;
            let equal = left == self.value()?;
            return match comparison {
                Comparison::Equal => Some(Filter::Constant(equal)),
                Comparison::NotEqual => Some(Filter::Constant(!equal)),
                _ => None,
            };
        }
        let Some(Token::Name(field)) = self.tokens.get(self.at).cloned() else { return None };
        self.at += 1;
        if self.word("IS") {
            let negated = self.word("NOT");
            let null = self.word("NULL").then_some(Filter::IsNull(field))?;
            return Some(if negated { Filter::Not(Box::new(null)) } else { null });
        }
        let negated = self.word("NOT");
        let read = if self.word("IN") {
            Filter::In(field, self.values()?)
        } else if self.word("LIKE") {
            let Literal::Text(pattern) = self.value()? else { return None };
            Filter::Like(field, pattern)
        } else if self.word("BETWEEN") {
            let least = self.value()?;
            let greatest = self.word("AND").then(|| self.value()).flatten()?;
            let from = Filter::Compare(field.clone(), Comparison::GreaterOrEqual, least);
            Filter::And(vec![from, Filter::Compare(field, Comparison::LessOrEqual, greatest)])
        } else if negated {
            return None;
        } else {
            Filter::Compare(field, self.comparison()?, self.value()?)
        };
        Some(if negated { Filter::Not(Box::new(read)) } else { read })
    }

    fn values(&mut self) -> Option<Vec<Literal>> {
        self.sign("(").then_some(())?;
        let mut all = vec![self.value()?];
        while self.sign(",") {
            all.push(self.value()?);
        }
        self.sign(")").then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(field: &str, text: &str) -> Filter {
        Filter::Compare(field.into(), Comparison::Equal, Literal::Text(text.into()))
    }

    #[test]
    fn and_binds_closer_than_or() {
        let read = Filter::parse("A = 'x' OR B='it''s' AND NOT (C <> -1.5)").expect("parses");
        let c = Filter::Compare("C".into(), Comparison::NotEqual, Literal::Number(-1.5));
        assert_eq!(read, Filter::Or(vec![equal("A", "x"), Filter::And(vec![equal("B", "it's"), Filter::Not(Box::new(c))])]));
    }

    #[test]
    fn every_condition_is_read() {
        assert_eq!(Filter::parse("1=1"), Some(Filter::Constant(true)));
        assert_eq!(Filter::parse("\"a b\" is null"), Some(Filter::IsNull("a b".into())));
        assert_eq!(Filter::parse("A IS NOT NULL"), Some(Filter::Not(Box::new(Filter::IsNull("A".into())))));
        assert_eq!(Filter::parse("A LIKE 'x%'"), Some(Filter::Like("A".into(), "x%".into())));
        let values = vec![Literal::Number(1.0), Literal::Text("b".into())];
        assert_eq!(Filter::parse("A in (1, 'b')"), Some(Filter::In("A".into(), values)));
        assert!(matches!(Filter::parse("A BETWEEN 1 AND 2"), Some(Filter::And(parts)) if parts.len() == 2));
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for clause in ["UPPER(A) = 'X'", "A = B", "A = 1 garbage", "D > DATE '2020-01-01'", "A = 'open", "", "(A = 1"] {
            assert_eq!(Filter::parse(clause), None, "{clause}");
        }
        let deep = format!("{}A=1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(Filter::parse(&deep), None);
    }
}
