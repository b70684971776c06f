//! Tokens as requests carry them.

use std::sync::Arc;

/// Different tokens that one request is tried with.
pub(crate) const MOST_TOKENS: usize = 3;

/// A token as a request carries it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: Arc<str>,
    /// Whose it is, by the place in the rules.
    pub(crate) session: usize,
    /// The origin of the one server that it is for; `None` for all hosts of the session.
    pub(crate) server: Option<String>,
}

/// The tokens that one request was tried with. A request is repeated only with a token that it was not tried with, and with
/// [`MOST_TOKENS`] at most.
#[derive(Default)]
pub(crate) struct TriedTokens(Vec<Arc<str>>);

impl TriedTokens {
    pub(crate) fn contains(&self, token: &Token) -> bool {
        self.0.contains(&token.text)
    }

    /// Counts a token; answers whether another one may be tried.
    pub(crate) fn add(&mut self, token: Option<&Token>) -> bool {
        if let Some(token) = token.filter(|token| !self.contains(token)) {
            self.0.push(Arc::clone(&token.text));
        }
        self.0.len() < MOST_TOKENS
    }
}
