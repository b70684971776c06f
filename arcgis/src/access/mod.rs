//! Which secrets of a session may be seen by which host: values and rules, nothing that asks.

mod named_host;
mod rules;
mod token;

pub(crate) use named_host::NamedHost;
pub(crate) use rules::{Access, AccessRules, SessionHosts, is_online};
pub(crate) use token::{MOST_TOKENS, Token, TriedTokens};
