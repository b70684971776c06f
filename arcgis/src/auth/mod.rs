//! Credentials and the tokens that are got with them.

mod credentials;
mod federated;
mod keeper;
mod session;
mod source;
mod token_client;

pub use credentials::Credentials;
pub(crate) use keeper::TokenKeeper;
pub use source::{AccessToken, TokenSource};
pub use token_client::TokenClient;
