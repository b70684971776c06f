//! The ArcGIS REST client that portal and exporters share.
//!
//! - Always `f=json`; forms by POST once a url would pass 2,000 characters.
//! - Errors inside HTTP 200 are errors ([`body`]); HTML with HTTP 200 is not an answer.
//! - A token goes only to the hosts that it is for ([`Credentials`]), as a parameter, never across a redirect to another host, never
//!   in a message.
//! - Few requests per host at a time, tiles as many as it bears; what may pass is tried again with growing pauses for a time, `Retry-After` obeyed.
//!
//! Source: `feature-service-rest` reference §1 and §6.

use crate::answer_kind::AnswerKind;
use crate::auth::{Credentials, TokenClient};
use crate::body;
use crate::call::ServiceCall;
use crate::feature_set::ReadFeatures;
use crate::options::ClientOptions;
use crate::session::Session;
use crate::transport::{self, Attempt, FeatureAnswer, IsTile, JsonAnswer, ListAnswer, SmallFile, TileAnswer, Transport};
use crate::urls::parse_http;
use offmap_model::{Clock, Failure, SecretRegistry, TaskControl};
use serde_json::Value;
use std::sync::Arc;

/// Asks portals and services: JSON answers, lists and small files here, files by [`ArcGisClient::download`]. Cheap to clone; all clones
/// share connections, limits and tokens. A client for another [`Session`] ([`ArcGisClient::for_session`]) shares connections and limits
/// only.
///
/// ```no_run
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials, ServiceCall};
///
/// # async fn run() -> Result<(), offmap_model::Failure> {
/// let credentials = Credentials::token("…").for_url("https://gis.city.example")?;
/// let client = ArcGisClient::new(ClientOptions::default(), credentials)?;
/// let service = "https://gis.city.example/arcgis/rest/services/Trees/FeatureServer";
/// let description = client.json(&ServiceCall::get(service)?).await?;
/// println!("{} layers", description["layers"].as_array().map_or(0, Vec::len));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ArcGisClient {
    transport: Transport,
    session: Session,
}

impl ArcGisClient {
    /// Makes a client that waits by the clock of the task that it works for, else by the machine's.
    ///
    /// # Errors
    /// If a CA certificate cannot be read, or TLS cannot be set up.
    pub fn new(options: ClientOptions, credentials: Credentials) -> Result<Self, Failure> {
        Self::made(options, credentials, None)
    }

    /// Makes a client whose requests wait by `clock`, whatever they are for. A clock in an `Arc` is one, too, so that it can be shared.
    ///
    /// # Errors
    /// As [`ArcGisClient::new`].
    pub fn with_clock(options: ClientOptions, credentials: Credentials, clock: impl Clock) -> Result<Self, Failure> {
        Self::made(options, credentials, Some(Arc::new(clock)))
    }

    fn made(options: ClientOptions, credentials: Credentials, clock: Option<Arc<dyn Clock>>) -> Result<Self, Failure> {
        let session = Session::new(credentials);
        Ok(Self { transport: Transport::new(options, session.facts().clone(), clock)?, session })
    }

    /// The same client with a session of its own, made of credentials ([`ArcGisClient::for_session`]).
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        self.for_session(&Session::new(credentials))
    }

    /// The same client at work for a session: connections and the limits of every host are shared with all other sessions; tokens,
    /// the secrets that are known, and what was learnt of moved services are the session's own. What the client was made for, such as
    /// a task, stays.
    ///
    /// ```
    /// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials, Session};
    ///
    /// // One client for all users, and a session for each of their jobs.
    /// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
    /// let session = Session::new(Credentials::token("the user's token").for_url("https://gis.city.example")?);
    /// let for_user = client.for_session(&session);
    /// assert_eq!(for_user.secrets().scrub("the user's token"), "…");
    /// assert_eq!(client.secrets().scrub("the user's token"), "the user's token", "others do not know it");
    /// # Ok::<(), offmap_model::Failure>(())
    /// ```
    #[must_use]
    pub fn for_session(&self, session: &Session) -> Self {
        Self { transport: self.transport.for_session(session.facts().clone()), session: session.clone() }
    }

    /// The session that the client works for.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The same client at work for a task: it waits on the clock of the task's job, unless it was given one, and reports there what
    /// takes long.
    #[must_use]
    pub fn for_task(&self, control: impl TaskControl) -> Self {
        Self { transport: self.transport.for_task(Arc::new(control)), session: self.session.clone() }
    }

    /// How the client behaves.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        self.transport.options()
    }

    /// The secrets that this client knows: passwords, client secrets, and every token that it was given or got. They are taken out
    /// of failures and, by the engine, out of all that is written.
    #[must_use]
    pub fn secrets(&self) -> &SecretRegistry {
        self.transport.secrets()
    }

    /// What signs in: the same connections, limits and secrets, and no token.
    #[must_use]
    pub fn token_client(&self) -> TokenClient {
        TokenClient::new(&self.transport, self.session.keeper().rules())
    }

    /// The clock that the client waits by: the one that was given, else the task's, where it works for one, else the machine's.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.transport.clock()
    }

    /// What its requests are sent by.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Runs one request until it succeeds, fails for good, or was tried long enough. A token that dies is renewed.
    pub(crate) async fn run<A: Attempt>(&self, call: ServiceCall, attempt: &mut A) -> Result<A::Output, Failure> {
        let tokens = self.session.keeper().tokens(&self.transport);
        Ok(transport::run(&self.transport, &tokens, call, attempt).await?)
    }

    /// Asks and reads a JSON answer; an error body of any shape is a failure.
    ///
    /// # Errors
    /// What the network, the host or the service says.
    ///
    /// # Cancel safety
    /// The request may have reached the service when the future is dropped.
    pub async fn json(&self, call: &ServiceCall) -> Result<Value, Failure> {
        self.run(call.clone().with("f", "json"), &mut JsonAnswer { error_in: body::flat_error }).await
    }

    /// Asks and reads the state of a job: only an error of the request is a failure, since a failed job also says `status` and
    /// `error`.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`].
    pub async fn job_json(&self, call: &ServiceCall) -> Result<Value, Failure> {
        self.run(call.clone().with("f", "json"), &mut JsonAnswer { error_in: body::flat_error_of_request }).await
    }

    /// Asks for a list and keeps of it what `keep` makes of its members: the list as a whole is never in memory as values.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`].
    pub async fn list<T: Send + 'static>(
        &self,
        call: &ServiceCall,
        keep: impl Fn(Value) -> Option<T> + Send + Sync + 'static,
    ) -> Result<Vec<T>, Failure> {
        self.run(call.clone().answer(AnswerKind::List).with("f", "json"), &mut ListAnswer { keep: Arc::new(keep) }).await
    }

    /// Asks for features, as PBF where that is wanted, else as JSON. A service that answers with JSON though PBF was asked for is taken at
    /// its word; an error body is a failure in either case.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`].
    pub async fn feature_set<R: ReadFeatures>(
        &self,
        call: &ServiceCall,
        as_pbf: bool,
        reader: Arc<R>,
    ) -> Result<R::Features, Failure> {
        let form = if as_pbf { "pbf" } else { "json" };
        self.run(call.clone().answer(AnswerKind::Features).with("f", form), &mut FeatureAnswer { reader }).await
    }

    /// Asks for a small file, such as a thumbnail or a sprite; `None` if the url has none (404).
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if it is larger than `limit` bytes.
    pub async fn bytes(&self, call: &ServiceCall, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        self.run(call.clone(), &mut SmallFile { limit }).await
    }

    /// Asks for one tile; `None` if there is none: 404, 204, or an answer that says that it is blank (`blank-tile`). `is_tile` says of the
    /// bytes, opened where they are gzip, whether they are a tile, or in words what they are. Anything else that is answered with 200, such
    /// as a page or an error, is a failure and never a tile. `room` is a list that is not needed any more, else an empty one: who asks
    /// for many tiles need not make a list for each. Source: tile reference §4.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if it is larger than `limit` bytes, or is no tile.
    pub async fn tile(
        &self,
        call: ServiceCall,
        limit: usize,
        is_tile: IsTile<'_>,
        room: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.run(call, &mut TileAnswer { limit, is_tile, room }).await
    }

    /// A GET of a url that an answer of the service at `root` names; it goes to the place where it is known to be, else it may go to
    /// both.
    ///
    /// # Errors
    /// If one of both is no `http` or `https` url.
    pub fn named(&self, root: &str, named: &str) -> Result<ServiceCall, Failure> {
        let mut call = ServiceCall::get(named)?;
        let mut root = parse_http(root)?;
        self.session.keeper().rules().upgrade_to_https(&mut root);
        self.session.keeper().rules().upgrade_to_https(&mut call.url);
        if let Some((places, url)) = self.transport.known_places().places(&root, &call.url, &self.options().hosts) {
            (call.places, call.url) = (Some(places), url);
        }
        Ok(call)
    }

    /// Says that a service is asked at another place than its url, where that was learnt.
    #[must_use]
    pub fn move_of(&self, url: &str) -> Option<String> {
        self.transport.moves().of(url)
    }
}
