//! The wire to ArcGIS: one client for portal and services, with its credentials, retries and limits per host; downloads; the portal's
//! items; jobs on a server.
//!
//! | what | where |
//! | --- | --- |
//! | ask a service | [`ArcGisClient`], [`ServiceCall`], [`AnswerKind`] |
//! | sign in | [`Credentials`], [`TokenSource`] |
//! | work for many users at once | [`Session`], [`CredentialProvider`] |
//! | let a person sign in with the browser | [`SignInRequest`], [`LoopbackRedirect`], [`UserSignIn`], [`SignInStore`] |
//! | which hosts may be asked, how long is tried, how much at a time | [`ClientOptions`], [`HostPolicy`] |
//! | read the features of a layer, page by page | [`FeatureQuery`], [`ArcGisClient::features`] |
//! | fetch a file | [`ArcGisClient::download`] |
//! | read a web map from a portal | [`portal`] |
//! | run a job on a server | [`server_job`] |
//! | what error bodies mean | [`body`] |
//! | read XML of a service within limits | [`xml`] |
//!
//! Every request passes one transport: one rule for redirects, one loop for retries, one governor per host. It is *not* a general HTTP
//! client, and it knows no engine and no file format: what an answer or a file holds is for others to read.
//!
//! ```no_run
//! use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials, portal};
//!
//! # async fn run() -> Result<(), offmap_model::Failure> {
//! let portal = "https://gis.city.example/portal";
//! let credentials = Credentials::user(portal, "editor", "password", "https://app.city.example")?;
//! let client = ArcGisClient::new(ClientOptions::default(), credentials)?;
//! let source = portal::read_item(&client, portal, "0123456789abcdef0123456789abcdef").await?;
//! println!("{} layers", source.web_map.layers().len());
//! # Ok(())
//! # }
//! ```

mod access;
mod answer_kind;
mod auth;
pub mod body;
mod byte_range;
mod call;
mod client;
mod credential_provider;
mod download;
pub mod export_twin;
mod feature_query;
mod feature_set;
mod file_state;
mod host;
mod host_policy;
mod inner_host;
mod ip_ranges;
pub mod lone_service;
pub mod metrics;
mod ogc_exception;
mod options;
mod page_size;
pub mod portal;
mod portal_user;
mod refused;
mod retry_after;
mod secret_query;
pub mod server_job;
mod session;
mod time_limit;
mod transport;
mod urls;
mod wms_parameters;
pub mod xml;

pub use answer_kind::AnswerKind;
pub use auth::{
    AccessToken, AuthorizationCode, Credentials, LoopbackRedirect, SignInRequest, SignInStore, TokenClient, TokenSource,
    UserSignIn,
};
pub use byte_range::{ByteRange, RangeAnswer};
pub use call::ServiceCall;
pub use client::ArcGisClient;
pub use credential_provider::CredentialProvider;
pub use download::{Download, Downloaded};
pub use feature_query::{FeaturePages, FeatureQuery};
pub use feature_set::ReadFeatures;
pub use file_state::FileState;
pub use host::parse_host;
pub use host_policy::HostPolicy;
pub use options::ClientOptions;
pub use page_size::PageSize;
pub use portal_user::{PortalUser, read_portal_user};
pub use secret_query::{without_pairs, without_secret_query};
pub use session::Session;
pub use time_limit::run_within;
pub use urls::{parse_http, resolve};
pub use wms_parameters::is_wms_parameter;
