//! One request of the REST API, before it is sent.

use crate::answer_kind::AnswerKind;
use crate::inner_host::Places;
use crate::secret_query::{is_secret, signs_in, without_pairs};
use crate::urls::parse_http;
use offmap_model::failure::without_secrets;
use offmap_model::{AreaOfInterest, DirectDownloadHosts, Failure, FailureStage, LayerSecrets};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// One request: a url, parameters, and how to send them. Its `Debug` hides what is secret.
///
/// ```
/// use offmap_arcgis::{AnswerKind, ServiceCall};
///
/// let layer = "https://gis.city.example/arcgis/rest/services/Trees/FeatureServer/0";
/// let count = ServiceCall::get(&format!("{layer}/query"))?
///     .with("where", "1=1")
///     .with("returnCountOnly", true)
///     .answer(AnswerKind::Small);
/// assert!(!count.carries_secret());
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Clone)]
pub struct ServiceCall {
    pub(crate) url: Url,
    pub(crate) parameters: Vec<(String, String)>,
    /// What goes only to the origins that it is for, whatever redirects say.
    pub(crate) secrets: LayerSecrets,
    pub(crate) post: bool,
    pub(crate) is_idempotent: bool,
    /// How long it is tried again, in place of the options.
    pub(crate) within: Option<Duration>,
    /// When that is over, in milliseconds since 1970; known once it is sent.
    pub(crate) deadline: Option<i64>,
    pub(crate) stage: FailureStage,
    pub(crate) kind: AnswerKind,
    /// Where it may be asked, if an answer names another host than the service's.
    pub(crate) places: Option<Places>,
    /// Whether its url, as it was named, carries its own signature.
    pub(crate) signed: bool,
    /// Whether gzip of the answer is kept as it came.
    pub(crate) keeps_gzip: bool,
    /// What the caller says of hosts, where data are downloaded directly.
    pub(crate) direct_from: Option<Arc<DirectDownloadHosts>>,
}

impl fmt::Debug for ServiceCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): &(String, String)| {
            let hidden = signs_in(name) || self.secrets.has_name(name);
            format!("{name}={}", if hidden { "…" } else { value })
        };
        f.debug_struct("ServiceCall")
            .field("url", &without_secrets(self.url.as_str()))
            .field("parameters", &self.parameters.iter().map(shown).collect::<Vec<_>>())
            .field("post", &self.post)
            .finish_non_exhaustive()
    }
}

impl ServiceCall {
    /// A GET that turns to POST when it gets long.
    ///
    /// # Errors
    /// If the url is not `http` or `https`.
    pub fn get(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            url: parse_http(url)?,
            parameters: Vec::new(),
            secrets: LayerSecrets::default(),
            post: false,
            is_idempotent: true,
            within: None,
            deadline: None,
            stage: FailureStage::Run,
            kind: AnswerKind::default(),
            places: None,
            signed: false,
            keeps_gzip: false,
            direct_from: None,
        })
    }

    /// A form by POST.
    ///
    /// # Errors
    /// As [`ServiceCall::get`].
    pub fn post(url: &str) -> Result<Self, Failure> {
        Ok(Self { post: true, ..Self::get(url)? })
    }

    /// Adds a parameter. Objects and arrays go as JSON text.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds an area as the parameters by which a query selects what meets it ([`AreaOfInterest::query_parameters`]).
    #[must_use]
    pub fn with_area(self, area: &AreaOfInterest) -> Self {
        area.query_parameters().into_iter().fold(self, |call, (name, value)| call.with(name, value))
    }

    /// Adds the secrets of a map's layer (its `customParameters` and the query of its url), which go with every request for the
    /// layer to the origin of its url. The call's own parameters win over one of the same name.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.secrets = secrets.clone();
        self
    }

    /// As [`ServiceCall::with_secrets`], where the url is one that the map has: what the map says for the layer takes the place of the
    /// pairs of the url's query with the same names, in any letter case.
    #[must_use]
    pub fn with_secrets_in_url(mut self, secrets: &LayerSecrets) -> Self {
        if self.url.query().is_some() {
            let names: Vec<String> = secrets.parameters_for(&self.url).map(|(name, _)| name.to_owned()).collect();
            self.url = without_pairs(self.url, |name, _| names.iter().any(|own| own.eq_ignore_ascii_case(name)));
        }
        self.with_secrets(secrets)
    }

    /// Whether anything in it may be seen by its own host only.
    #[must_use]
    pub fn carries_secret(&self) -> bool {
        self.parameters.iter().any(|(name, _)| is_secret(name)) || self.secrets.parameters_for(&self.url).next().is_some()
    }

    /// Says that the request starts something on the service: it is sent again only when the service answered that it is too busy
    /// to begin it (429). Any other fault leaves open what the service did; then the caller decides.
    #[must_use]
    pub fn non_idempotent(mut self) -> Self {
        self.is_idempotent = false;
        self
    }

    /// Says that the request is one of a wait that ends so long from now: until then it is tried again whatever fault may pass.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Says that gzip of the answer is kept as it came, where a file is asked for that is stored in it ([`ArcGisClient::tile`]).
    ///
    /// [`ArcGisClient::tile`]: crate::ArcGisClient::tile
    #[must_use]
    pub fn keeping_gzip(mut self) -> Self {
        self.keeps_gzip = true;
        self
    }

    /// Says that data are downloaded directly: no redirect is followed to a host whose terms forbid it ([`DirectDownloadHosts`]).
    #[must_use]
    pub fn directly(mut self, hosts: &Arc<DirectDownloadHosts>) -> Self {
        self.direct_from = Some(Arc::clone(hosts));
        self
    }

    /// Says for which stage of the work this is.
    #[must_use]
    pub fn in_stage(mut self, stage: FailureStage) -> Self {
        self.stage = stage;
        self
    }

    /// Says what is asked for, so that more than an honest answer is refused.
    #[must_use]
    pub fn answer(mut self, kind: AnswerKind) -> Self {
        self.kind = kind;
        self
    }

    /// The parameters that a request to this url has: its own, and the secrets that are for its origin. None that its url says already:
    /// a map viewer writes the parameters of a WMTS into its template as well.
    pub(crate) fn parameters_at(&self, url: &Url, own: &[(String, String)], with_secrets: bool) -> Vec<(String, String)> {
        let is_own = |name: &str| {
            let in_url = || url.query_pairs().any(|(own, _)| own.eq_ignore_ascii_case(name));
            own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) || in_url()
        };
        let secrets = self.secrets.parameters_for(url).filter(|(name, _)| with_secrets && !is_own(name));
        own.iter().cloned().chain(secrets.map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
    }

    /// Whether it goes to the place that the service was asked at instead of the one that an answer names.
    fn is_at_outer(&self) -> bool {
        self.places.as_ref().is_some_and(Places::is_at_outer)
    }

    /// Whether it is asked at a url with a signature: no token goes there, whatever the host. Where the service itself is asked,
    /// nothing is signed.
    pub(crate) fn is_presigned(&self) -> bool {
        self.signed && !self.is_at_outer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_of_a_map_is_sent_once() {
        let url: Url = "https://h/tiles/1/2/3?Style=basic".parse().expect("a url");
        let mut secrets = LayerSecrets::default();
        [("style", "basic"), ("size", "9"), ("lang", "de")].iter().for_each(|(name, value)| secrets.add(&url, name, value));
        let call = ServiceCall::get(url.as_str()).expect("a url").with("SIZE", 1).with_secrets(&secrets);
        let sent = call.parameters_at(&url, &call.parameters, true);
        let sent: Vec<_> = sent.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(sent, ["SIZE=1", "lang=de"]);
    }

    #[test]
    fn a_parameter_of_a_map_takes_the_place_of_the_one_in_the_url_of_the_map() {
        let mut secrets = LayerSecrets::default();
        secrets.add(&"https://h/".parse().expect("a url"), "map", "b");
        secrets.add(&"https://other/".parse().expect("a url"), "season", "dry");
        let sent = |url: &str| {
            let call = ServiceCall::get(url).expect("a url").with_secrets_in_url(&secrets);
            let sent = call.parameters_at(&call.url, &call.parameters, true);
            let sent: Vec<_> = sent.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (call.url.to_string(), sent.join("&"))
        };
        let of = |url: &str, sent: &str| (url.to_owned(), sent.to_owned());
        assert_eq!(sent("https://h/wms?map=a&season=wet%20"), of("https://h/wms?season=wet%20", "map=b"));
        assert_eq!(sent("https://h/wms?MAP=a"), of("https://h/wms", "map=b"));
        assert_eq!(sent("https://other/wms?map=a&season=wet"), of("https://other/wms?map=a", "season=dry"));
        assert_eq!(sent("https://h/wms?nocache"), of("https://h/wms?nocache", "map=b"));
    }

    #[test]
    fn a_request_that_is_shown_shows_no_secret() {
        let call = ServiceCall::post("https://h/generateToken?token=abc123").expect("a url");
        let call = call.with("Token", "abc123").with("password", "abc123").with("client_secret", "abc123").with("f", "json");
        let call = call.with("code", "abc123").with("code_verifier", "abc123").with("auth_token", "abc123");
        let shown = format!("{call:?}");
        assert!(
            !shown.contains("abc123") && shown.contains("f=json") && shown.contains("https://h/generateToken"),
            "{shown}"
        );
    }
}
