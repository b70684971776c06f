//! The transport: requests are sent, redirected, repeated and read here, and nowhere else. It knows which token may go where; where
//! tokens come from it does not know.

mod answers;
mod connection;
mod given_certificates;
mod governor;
mod http;
mod moves;
mod pace;
mod page;
mod read;
mod redirect;
mod request_units;
mod retry;
mod retry_loop;
mod sign_in;
mod tile_answer;
mod tile_window;
mod tls;

pub(crate) use answers::{FeatureAnswer, JsonAnswer, ListAnswer, SmallFile};
pub(crate) use governor::Weight;
pub(crate) use http::{SessionFacts, Transport};
pub(crate) use pace::Pace;
pub(crate) use page::judge as judge_page;
pub(crate) use retry::{Pauses, Retries};
pub(crate) use retry_loop::{Attempt, Tokens, run};
pub(crate) use tile_answer::{IsTile, TileAnswer};
