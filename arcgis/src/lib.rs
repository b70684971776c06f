//! The wire to ArcGIS: one client for portal and services, with its credentials, retries and limits per host; downloads; the portal's
//! items; jobs on a server.
//!
//! Knows no engine and no file format.

mod answer;
pub mod body;
mod call_secrets;
mod client;
mod connection;
mod credentials;
mod download;
pub mod export_twin;
mod given_certificates;
mod governor;
mod host;
mod host_policy;
mod inner_host;
mod ip_ranges;
mod moved;
mod page;
mod part;
pub mod portal;
mod redirect;
mod retry;
pub mod server_job;
mod sign_in;
mod time_limit;
mod tls;
mod tokens;

pub use answer::AnswerKind;
pub use call_secrets::without_secret_query;
pub use client::{ArcGisClient, ClientOptions, ServiceCall, parse_http, resolve};
pub use credentials::{AccessToken, Credentials, TokenSource};
pub use download::{Download, Downloaded};
pub use host::parse_host;
pub use host_policy::HostPolicy;
pub use time_limit::run_within;
