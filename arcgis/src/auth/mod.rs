//! Credentials and the tokens that are got with them.

mod credentials;
mod federated;
mod keeper;
mod loopback;
mod pkce;
mod session;
mod sign_in_request;
mod sign_in_token;
mod source;
mod token_answer;
mod token_client;
mod user_sign_in;

pub use credentials::Credentials;
pub(crate) use keeper::TokenKeeper;
pub use loopback::LoopbackRedirect;
pub use sign_in_request::{AuthorizationCode, SignInRequest};
pub use source::{AccessToken, TokenSource};
pub use token_client::TokenClient;
pub use user_sign_in::{SignInStore, UserSignIn};
