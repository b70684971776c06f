//! Tokens: whose they are, who sees them, and how they are renewed.

use crate::support::{Bench, area, quick_client, run_to_end};
use async_trait::async_trait;
use offmap::arcgis::{AccessToken, ArcGisClient, ClientOptions, Credentials, ServiceCall, TokenClient, TokenSource};
use offmap::testing::VirtualClock;
use offmap::{Clock, Failure, FailureKind, FailureOwner, OfflineMapSource, OfflineMapTask, WebMap};
use offmap_sandbox::{Fault, FaultAction, PASSWORD, Sandbox, SandboxOptions, USER};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn secured() -> SandboxOptions {
    SandboxOptions { secured: true, ..SandboxOptions::default() }
}

fn old_token() -> FaultAction {
    FaultAction::Body(json!({"error": {"code": 498, "message": "Invalid token.", "details": []}}))
}

/// The host's own source of tokens.
struct Callback {
    tokens: Vec<String>,
    life: Option<Duration>,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl TokenSource for Callback {
    async fn token(&self, _: &TokenClient) -> Result<AccessToken, Failure> {
        let turn = self.asked.fetch_add(1, Ordering::AcqRel);
        let token = AccessToken::new(self.tokens.get(turn as usize).ok_or_else(|| Failure::internal("no token any more"))?);
        Ok(self.life.map_or(token.clone(), |life| token.expires_in(life)))
    }
}

fn callback(sandbox: &Sandbox, asked: &Arc<AtomicU32>) -> Credentials {
    let tokens = (0..9).map(|_| sandbox.token()).collect();
    Credentials::from_source(Callback { tokens, life: None, asked: Arc::clone(asked) })
        .for_url(sandbox.url())
        .expect("a url")
}

#[tokio::test]
async fn a_token_of_the_host_is_renewed_in_the_middle_of_a_poll_and_of_a_file() {
    let asked = Arc::new(AtomicU32::new(0));
    let bench = Bench::with(secured(), |sandbox| callback(sandbox, &asked)).await;
    let layer = json!({"id": "places", "layerType": "ArcGISFeatureLayer",
        "url": format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", bench.sandbox.url())});
    let map = WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}}));
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map.expect("a map")));
    let parameters = task.default_parameters(area()).expect("parameters");
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    // Behind the first two looks at a job; and when the second half of a file is asked for.
    bench.sandbox.fault(Fault { skip: 2, ..Fault::times("featureserver/jobs", 1, old_token()) });
    bench.sandbox.fault(Fault::times(".geodatabase", 1, FaultAction::Truncate(5000)));
    bench.sandbox.fault(Fault::times(".geodatabase", 1, old_token()));
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(asked.load(Ordering::Acquire), 3, "once at first, once for the poll, once for the file");
    let requests = bench.sandbox.requests();
    let ranges: Vec<_> = requests.iter().filter(|r| r.path.ends_with(".geodatabase")).map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=5000-"), Some("bytes=5000-")], "the file was continued where it stopped");
}

#[tokio::test]
async fn one_renewal_is_enough_for_all_who_wait() {
    let asked = Arc::new(AtomicU32::new(0));
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let client = quick_client(callback(&sandbox, &asked));
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    client.json(&call).await.expect("an answer");
    // The first answer of each of them is that the token is old.
    sandbox.fault(Fault::times("world/mapserver", 4, old_token()));
    let all = futures_util::future::join_all((0..4).map(|_| client.json(&call))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let asked = asked.load(Ordering::Acquire);
    assert!(asked == 2, "{asked} tokens were asked for");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_used_to_its_end_if_there_is_no_other() {
    let asked = Arc::new(AtomicU32::new(0));
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let tokens = vec![sandbox.token(), sandbox.token()];
    let source = Callback { tokens: tokens.clone(), life: Some(Duration::from_hours(1)), asked: Arc::clone(&asked) };
    let credentials = Credentials::from_source(source).for_url(sandbox.url()).expect("a url");
    let clock = Arc::new(VirtualClock::default());
    let client = ArcGisClient::with_clock(ClientOptions::default(), credentials, Arc::clone(&clock) as Arc<dyn Clock>);
    let client = client.expect("a client");
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    // 54 minutes: still the first. 55 minutes, five before the end: the second. 110 minutes: there is no third, so the second.
    for (minutes, used, asks) in [(0, 0, 1), (54, 0, 1), (1, 1, 2), (55, 1, 3), (1, 1, 3)] {
        clock.sleep(Duration::from_mins(minutes)).await;
        client.json(&call).await.expect("an answer");
        let seen = sandbox.requests().last().and_then(|r| r.parameters.get("token").cloned());
        assert_eq!(seen.as_ref(), tokens.get(used), "after {minutes} more minutes");
        assert_eq!(asked.load(Ordering::Acquire), asks, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn each_of_two_servers_sees_its_own_token_and_not_the_other_s() {
    let (one, two) =
        (Sandbox::start(secured()).await.expect("a sandbox"), Sandbox::start(secured()).await.expect("a sandbox"));
    let (first, second) = (one.token(), two.token());
    let own = |sandbox: &Sandbox, token: &str| Credentials::token(token).for_url(sandbox.url()).expect("a url");
    let client = quick_client(own(&one, &first).and(own(&two, &second)));
    for (sandbox, token) in [(&one, &first), (&two, &second)] {
        let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
        client.json(&call).await.expect("an answer");
        let seen: Vec<_> = sandbox.requests().iter().filter_map(|r| r.parameters.get("token").cloned()).collect();
        assert!(!seen.is_empty() && seen.iter().all(|t| t == token), "{seen:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_for_tokens_by_https_gets_none_by_http_and_the_failure_says_so() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let safe = sandbox.url().replace("http://", "https://");
    let client = quick_client(Credentials::token(sandbox.token()).for_url(&safe).expect("a url"));
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    let failure = client.json(&call).await.expect_err("wants a token");
    assert_eq!(failure.owner, FailureOwner::Credentials, "{failure}");
    assert!(failure.to_string().contains("by https only"), "{failure}");
    assert!(sandbox.requests().iter().all(|r| !r.has_token), "no token in the clear");
}

fn federated_map(url: &str) -> WebMap {
    let layers = json!([
        {"id": "tiles", "layerType": "ArcGISTiledMapServiceLayer", "url": format!("{url}/arcgis/rest/services/World/MapServer")},
        {"id": "places", "layerType": "ArcGISFeatureLayer", "url": format!("{url}/arcgis/rest/services/Fieldwork/FeatureServer/0")}]);
    WebMap::from_value(json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}})).expect("a map")
}

#[tokio::test]
async fn a_federated_server_gets_tokens_of_its_own_and_never_the_portal_s() {
    let bench = Bench::with(secured(), |sandbox| {
        Credentials::user(&sandbox.portal_url(), USER, PASSWORD, "https://field.example").expect("credentials")
    })
    .await;
    let source = OfflineMapSource::from_web_map(federated_map(&bench.sandbox.federated_url()));
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 1e8;
    // A server's token gets old, too.
    bench.sandbox.fault(Fault::times("world/mapserver/exporttiles", 1, old_token()));
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let server = bench.sandbox.federated_url().split("://").nth(1).expect("a host").to_owned();
    let seen = |at_server: bool| -> Vec<&String> {
        let there = requests.iter().filter(|r| (r.host == server) == at_server && !r.path.ends_with("generateToken"));
        there.filter_map(|r| r.parameters.get("token")).collect()
    };
    let (there, at_portal) = (seen(true), seen(false));
    assert!(there.len() > 5, "{there:?}");
    assert!(!there.iter().any(|t| at_portal.contains(t)), "each token is seen in one place only");
    let made = requests.iter().filter(|r| r.parameters.contains_key("serverurl")).count();
    assert_eq!(made, 2, "one token for the server, and one when that was old");
}

#[tokio::test]
async fn a_server_that_only_says_it_belongs_to_the_portal_gets_no_token() {
    let portal = Sandbox::start(secured()).await.expect("a sandbox");
    let stranger = Sandbox::start(secured()).await.expect("a sandbox");
    let client = quick_client(Credentials::user(&portal.portal_url(), USER, PASSWORD, "x").expect("credentials"));
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", stranger.url())).expect("a url");
    let failure = client.json(&call).await.expect_err("wants a token");
    assert_eq!(failure.owner, FailureOwner::Credentials, "{failure}");
    assert!(portal.requests().is_empty(), "it belongs to another portal, so nobody is asked");

    let liar = json!({"owningSystemUrl": portal.portal_url(), "authInfo": {"isTokenBasedSecurity": true}});
    stranger.fault(Fault::always("rest/info", FaultAction::Body(liar)));
    let client = quick_client(Credentials::user(&portal.portal_url(), USER, PASSWORD, "x").expect("credentials"));
    let failure = client.json(&call).await.expect_err("wants a token");
    assert_eq!(failure.owner, FailureOwner::Credentials, "{failure}");
    assert!(failure.to_string().contains("not federated"), "{failure}");
    assert!(stranger.requests().iter().all(|r| !r.has_token), "no token for a stranger");
}

#[tokio::test]
async fn two_users_of_one_engine_s_connections_share_limits_and_no_tokens() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let client = quick_client(Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url"));
    let other = client.with_credentials(Credentials::none());
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    client.json(&call).await.expect("an answer");
    let failure = other.json(&call).await.expect_err("has no token");
    assert_eq!(failure.owner, FailureOwner::Credentials, "{failure}");
}

/// Requests so far whose path ends so.
fn asked(sandbox: &Sandbox, ending: &str) -> usize {
    sandbox.requests().iter().filter(|r| r.path.to_ascii_lowercase().ends_with(ending)).count()
}

fn world(url: &str) -> ServiceCall {
    ServiceCall::get(&format!("{url}/arcgis/rest/services/World/MapServer")).expect("a url")
}

#[tokio::test]
async fn no_permission_keeps_the_token_and_asks_for_no_other() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let client = quick_client(Credentials::user(&sandbox.portal_url(), USER, PASSWORD, "x").expect("credentials"));
    client.json(&world(sandbox.url())).await.expect("an answer");
    let error = |code: i64, message: &str| {
        FaultAction::Body(json!({"error": {"code": code, "message": message, "messageCode": "GWM_0003", "details": []}}))
    };
    let denied = "You do not have permissions to access this resource or perform this operation.";
    for action in [
        error(403, denied),
        error(401, denied),
        error(499, denied),
        FaultAction::Status(403, "Forbidden".to_owned(), None),
        FaultAction::Status(401, "Unauthorized".to_owned(), None),
    ] {
        for how in ["json", "bytes"] {
            let before = asked(&sandbox, "world/mapserver");
            sandbox.fault(Fault::always("world/mapserver", action.clone()));
            let failure = match how {
                "json" => client.json(&world(sandbox.url())).await.map(|_| ()),
                _ => client.bytes(&world(sandbox.url()), 1 << 20).await.map(|_| ()),
            };
            let failure = failure.expect_err("no permission");
            let kind = (failure.owner, failure.kind);
            assert_eq!(kind, (FailureOwner::Credentials, FailureKind::Unauthorized), "{how} {action:?}: {failure}");
            assert_eq!(asked(&sandbox, "world/mapserver"), before + 1, "{how} {action:?}: asked once");
            sandbox.heal();
        }
    }
    client.json(&world(sandbox.url())).await.expect("the token is good as before");
    assert_eq!(asked(&sandbox, "generatetoken"), 1, "signed in once");
}

#[tokio::test]
async fn a_token_that_dies_while_its_request_is_repeated_is_renewed_with_three_tokens_at_most() {
    for (dead, different, answers, sources) in [(2, 9, true, 3), (9, 9, false, 3), (1, 1, false, 2)] {
        let count = Arc::new(AtomicU32::new(0));
        let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
        let made: Vec<_> = (0..different).map(|_| sandbox.token()).collect();
        let tokens = (0..9).map(|i| made[i % different].clone()).collect();
        let source = Callback { tokens, life: None, asked: Arc::clone(&count) };
        let client = quick_client(Credentials::from_source(source).for_url(sandbox.url()).expect("a url"));
        sandbox.fault(Fault::times("world/mapserver", dead, old_token()));
        let answer = client.json(&world(sandbox.url())).await;
        assert_eq!(answer.is_ok(), answers, "{dead} dead of {different}: {answer:?}");
        assert_eq!(count.load(Ordering::Acquire), sources, "{dead} dead of {different}");
        let requests = sandbox.requests();
        let mut used: Vec<_> = requests.iter().filter_map(|r| r.parameters.get("token")).collect();
        let all = used.len();
        used.sort();
        used.dedup();
        assert_eq!(used.len(), all, "no request is repeated with a token that was refused");
    }
}

#[tokio::test]
async fn one_odd_answer_of_a_server_s_info_does_not_brand_it() {
    let odd = [
        FaultAction::Html,
        FaultAction::Status(404, "gone".to_owned(), None),
        FaultAction::Body(json!({"error": {"code": 400, "message": "Invalid URL", "details": []}})),
        FaultAction::Body(json!({})),
        FaultAction::Body(json!([1, 2])),
        FaultAction::Body(json!({"owningSystemUrl": 5})),
    ];
    for action in odd {
        let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
        let client = quick_client(Credentials::user(&sandbox.portal_url(), USER, PASSWORD, "x").expect("credentials"));
        let call = world(&sandbox.federated_url());
        sandbox.fault(Fault::times("rest/info", 1, action.clone()));
        let first = client.json(&call).await;
        match &action {
            // A page is no answer: it is asked for again.
            FaultAction::Html => drop(first.expect("the second answer says whose it is")),
            _ => {
                let failure = first.expect_err("does not say whose it is");
                assert_eq!(failure.owner, FailureOwner::Credentials, "{action:?}: {failure}");
            }
        }
        client.json(&call).await.unwrap_or_else(|failure| panic!("{action:?}: {failure}"));
        // Nor does it once the server is known.
        sandbox.fault(Fault::times("rest/info", 1, action.clone()));
        sandbox.fault(Fault::times("world/mapserver", 1, old_token()));
        client.json(&call).await.unwrap_or_else(|failure| panic!("{action:?}: {failure}"));
    }
}

#[tokio::test]
async fn a_server_that_says_it_is_another_s_is_asked_again_after_ten_minutes() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let credentials = Credentials::user(&sandbox.portal_url(), USER, PASSWORD, "x").expect("credentials");
    let clock = Arc::new(VirtualClock::default());
    let client = ArcGisClient::with_clock(ClientOptions::default(), credentials, Arc::clone(&clock) as Arc<dyn Clock>);
    let client = client.expect("a client");
    let call = world(&sandbox.federated_url());
    sandbox.fault(Fault::times("rest/info", 1, FaultAction::Body(json!({"currentVersion": 11.2}))));
    for (minutes, answers, infos) in [(0, false, 1), (9, false, 1), (2, true, 2)] {
        clock.sleep(Duration::from_mins(minutes)).await;
        let answer = client.json(&call).await;
        assert_eq!(answer.is_ok(), answers, "after {minutes} more minutes: {answer:?}");
        assert_eq!(asked(&sandbox, "rest/info"), infos, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn a_portal_that_is_named_without_a_port_gets_its_token_at_the_default_port_only() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let host = sandbox.url().split("://").nth(1).expect("a host").to_owned();
    let token = || Credentials::token(sandbox.token());
    let portal = token().for_portal("http://localhost/portal").expect("a portal");
    for credentials in [portal.clone(), token().for_host("localhost"), token().for_host("localhost:80")] {
        let failure = quick_client(credentials).json(&world(sandbox.url())).await.expect_err("no token");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
        assert!(failure.message.contains(&format!("name {host} as a host")), "{failure}");
    }
    assert!(sandbox.requests().iter().all(|r| !r.has_token), "another port is another's");
    // The way out that the failure names.
    quick_client(portal.for_host(&host)).json(&world(sandbox.url())).await.expect("an answer");
}
