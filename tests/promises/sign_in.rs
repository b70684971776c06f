//! People sign in with the browser: by loopback and by a pasted code, renewed by refresh tokens, ended at the portal.

use crate::support::quick_client;
use async_trait::async_trait;
use offmap::arcgis::{
    ArcGisClient, ClientOptions, Credentials, LoopbackRedirect, ServiceCall, SignInRequest, SignInStore, UserSignIn,
    read_portal_user,
};
use offmap::testing::VirtualClock;
use offmap::{Clock, Failure, FailureKind, FailureOwner};
use offmap_sandbox::{Browser, CLIENT_ID, Fault, FaultAction, PASSWORD, Sandbox, SandboxOptions, USER};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps sign-ins as a host program would.
#[derive(Default)]
struct Kept(Mutex<HashMap<String, UserSignIn>>);

impl Kept {
    fn with(sign_in: &UserSignIn) -> Arc<Self> {
        Arc::new(Self(Mutex::new(HashMap::from([(sign_in.portal().to_owned(), sign_in.clone())]))))
    }

    fn of(&self, portal: &str) -> Option<UserSignIn> {
        self.0.lock().expect("no panic").get(portal).cloned()
    }
}

#[async_trait]
impl SignInStore for Kept {
    async fn load(&self, portal: &str) -> Result<Option<UserSignIn>, Failure> {
        Ok(self.of(portal))
    }

    async fn save(&self, sign_in: &UserSignIn) -> Result<(), Failure> {
        self.0.lock().expect("no panic").insert(sign_in.portal().to_owned(), sign_in.clone());
        Ok(())
    }

    async fn remove(&self, portal: &str) -> Result<bool, Failure> {
        Ok(self.0.lock().expect("no panic").remove(portal).is_some())
    }
}

async fn sandbox(options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { secured: true, ..options }).await.expect("a sandbox")
}

fn pasted(sandbox: &Sandbox) -> SignInRequest {
    SignInRequest::with_pasted_code(&sandbox.portal_url(), CLIENT_ID).expect("a request")
}

/// The code that the portal shows to who signs in at a url.
async fn shown_code(request: &SignInRequest) -> String {
    let approval = Browser.sign_in(&request.authorize_url(), USER, PASSWORD).await.expect("signs in");
    let page = Browser.open(&approval).await.expect("a page").text;
    let code = page.split_once("<title>SUCCESS code=").and_then(|(_, rest)| rest.split_once('<'));
    code.expect("a code in the title").0.to_owned()
}

async fn signed_in(sandbox: &Sandbox, client: &ArcGisClient) -> UserSignIn {
    let request = pasted(sandbox);
    let code = request.pasted_code(&shown_code(&request).await).expect("a code");
    request.finish(&client.token_client(), &code).await.expect("signed in")
}

fn world(sandbox: &Sandbox) -> ServiceCall {
    ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url")
}

/// The grants that the portal's token service was asked for.
fn grants(sandbox: &Sandbox) -> Vec<String> {
    let requests = sandbox.requests();
    requests.iter().filter(|r| r.path.ends_with("/token")).filter_map(|r| r.parameters.get("grant_type").cloned()).collect()
}

fn at(credentials: Credentials, clock: &Arc<VirtualClock>) -> ArcGisClient {
    ArcGisClient::with_clock(ClientOptions::default(), credentials, Arc::clone(clock) as Arc<dyn Clock>).expect("a client")
}

#[tokio::test]
async fn a_person_signs_in_by_loopback_and_an_answer_with_another_state_is_turned_away() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let client = quick_client(Credentials::none());
    let redirect = LoopbackRedirect::bind(0).await.expect("listens");
    let uri = redirect.uri().to_owned();
    let request = SignInRequest::new(&sandbox.portal_url(), CLIENT_ID, &uri).expect("a request");
    let other = SignInRequest::new(&sandbox.portal_url(), CLIENT_ID, &uri).expect("a request");
    let browser = async {
        // Whatever else is asked at the port: another path, another method, a connection that says nothing, somebody else's answer.
        let idle = tokio::net::TcpStream::connect(uri.trim_start_matches("http://").trim_end_matches('/')).await;
        assert_eq!(Browser.open(&format!("{uri}favicon.ico")).await.expect("a page").status, 404);
        for foreign in ["?code=a-code-of-somebody&state=guessed", "?code=a-code-of-somebody", "?error=access_denied"] {
            assert_eq!(Browser.open(&format!("{uri}{foreign}")).await.expect("a page").status, 400, "{foreign}");
        }
        let of_other = Browser.sign_in(&other.authorize_url(), USER, PASSWORD).await.expect("signs in");
        assert_eq!(Browser.open(&of_other).await.expect("a page").status, 400);
        let own = Browser.sign_in(&request.authorize_url(), USER, PASSWORD).await.expect("signs in");
        let page = Browser.open(&own).await.expect("a page");
        assert!(page.status == 200 && page.text.contains("may be closed"), "{page:?}");
        drop(idle);
    };
    let (code, ()) = tokio::join!(redirect.code(&request), browser);
    let sign_in = request.finish(&client.token_client(), &code.expect("a code")).await.expect("signed in");
    assert_eq!((sign_in.username(), sign_in.client_id()), (Some(USER), CLIENT_ID));
    assert!(sign_in.expires_on().is_some());
    let client = client.with_credentials(Credentials::sign_in(sign_in.clone(), Kept::with(&sign_in)).expect("credentials"));
    let user = read_portal_user(&client, sign_in.portal()).await.expect("a user");
    assert_eq!((user.username.as_str(), user.full_name.as_deref()), (USER, Some("Sandbox Surveyor")));
    client.json(&world(&sandbox)).await.expect("an answer");
    assert_eq!(grants(&sandbox), ["authorization_code", "refresh_token"]);
    for secret in [sign_in.refresh_token(), client.secrets().scrub(sign_in.refresh_token()).as_ref()] {
        assert!(secret == "…" || !format!("{client:?} {sign_in:?}").contains(secret));
    }
}

#[tokio::test]
async fn a_sign_in_that_is_refused_in_the_browser_says_so() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let redirect = LoopbackRedirect::bind(0).await.expect("listens");
    let request = SignInRequest::new(&sandbox.portal_url(), CLIENT_ID, redirect.uri()).expect("a request");
    let browser = async {
        let wrong = Browser.sign_in(&request.authorize_url(), USER, "a guess").await.expect_err("asks again");
        assert!(wrong.to_string().contains("Invalid username or password"), "{wrong}");
        let back = Browser.refuse(&request.authorize_url()).await.expect("leads back");
        Browser.open(&back).await.expect("a page")
    };
    let (code, page) = tokio::join!(redirect.code(&request), browser);
    assert!(page.text.contains("Nobody was signed in"), "{page:?}");
    let failure = code.expect_err("refused");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
    assert!(failure.to_string().contains("refused in the browser (access_denied"), "{failure}");
    for (client_id, uri) in [("unknown-app", "urn:ietf:wg:oauth:2.0:oob"), (CLIENT_ID, "https://elsewhere.example/")] {
        let request = SignInRequest::new(&sandbox.portal_url(), client_id, uri).expect("a request");
        let page = Browser.open(&request.authorize_url()).await.expect("a page");
        assert!(page.status == 400 && page.text.contains("Error: Invalid "), "{page:?}");
    }
}

#[tokio::test]
async fn a_code_is_good_once_for_its_own_sign_in_and_not_when_it_has_expired() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let client = quick_client(Credentials::none()).token_client();
    let refused = |failure: Failure, why: &str| {
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
        assert!(failure.to_string().contains(why) && failure.to_string().contains("sign in again"), "{failure}");
    };
    // Another verifier than the one that the challenge was made of.
    let (own, other) = (pasted(&sandbox), pasted(&sandbox));
    let code = own.pasted_code(&shown_code(&own).await).expect("a code");
    refused(other.finish(&client, &code).await.expect_err("another sign-in"), "Invalid code_verifier");
    // It is used up.
    refused(own.finish(&client, &code).await.expect_err("used up"), "Invalid authorization code");
    let late = self::sandbox(SandboxOptions { code_life: Duration::ZERO, ..SandboxOptions::default() }).await;
    let request = pasted(&late);
    let code = request.pasted_code(&shown_code(&request).await).expect("a code");
    refused(request.finish(&client, &code).await.expect_err("too late"), "has expired");
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_past_half_of_its_life_and_kept_and_one_that_another_process_exchanged_is_taken_over() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let clock = Arc::new(VirtualClock::default());
    let first = signed_in(&sandbox, &at(Credentials::none(), &clock)).await;
    let store = Kept::with(&first);
    let credentials =
        || Credentials::sign_in(first.clone(), Arc::clone(&store) as Arc<dyn SignInStore>).expect("credentials");
    let (one, another) = (at(credentials(), &clock), at(credentials(), &clock));
    one.json(&world(&sandbox)).await.expect("an answer");
    another.json(&world(&sandbox)).await.expect("an answer");
    // An hour later the access token is renewed; eight days later the refresh token is, too.
    clock.sleep(Duration::from_hours(1)).await;
    one.json(&world(&sandbox)).await.expect("an answer");
    assert_eq!(store.of(first.portal()).as_ref(), Some(&first));
    clock.sleep(Duration::from_hours(8 * 24)).await;
    one.json(&world(&sandbox)).await.expect("an answer");
    let second = store.of(first.portal()).expect("kept");
    assert!(second.refresh_token() != first.refresh_token() && second.expires_at() > first.expires_at(), "{second:?}");
    assert_eq!(grants(&sandbox)[1..], ["refresh_token", "refresh_token", "refresh_token", "exchange_refresh_token"]);
    assert_eq!(sandbox.refresh_tokens(), [second.refresh_token()], "the first one is over");
    another.json(&world(&sandbox)).await.expect("an answer by the second one");
    assert_eq!(one.secrets().scrub(second.refresh_token()), "…");
    assert_eq!(another.secrets().scrub(second.refresh_token()), "…");
}

#[tokio::test]
async fn a_sign_in_that_has_ended_names_the_way_out() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let way_out = format!("`offmap login --portal {} --client-id {CLIENT_ID}`", sandbox.portal_url());
    let clock = Arc::new(VirtualClock::default());
    let sign_in = signed_in(&sandbox, &at(Credentials::none(), &clock)).await;
    let client = at(Credentials::sign_in(sign_in.clone(), Kept::with(&sign_in)).expect("credentials"), &clock);
    let ended = |failure: Failure, why: &str| {
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
        assert!(failure.to_string().contains(why) && failure.to_string().contains(&way_out), "{failure}");
        assert!(!failure.to_string().contains(sign_in.refresh_token()), "{failure}");
    };
    // By an administrator.
    sandbox.end_sign_ins();
    ended(client.json(&world(&sandbox)).await.expect_err("over"), "is not accepted any more (Invalid refresh_token.)");
    // By its own time: nobody is asked.
    clock.sleep(Duration::from_hours(15 * 24)).await;
    let asked = grants(&sandbox).len();
    ended(client.json(&world(&sandbox)).await.expect_err("over"), "ended on ");
    assert_eq!(grants(&sandbox).len(), asked);
}

#[tokio::test]
async fn a_token_service_in_trouble_does_not_end_a_sign_in() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let client = quick_client(Credentials::none());
    let sign_in = signed_in(&sandbox, &client).await;
    let client = client.with_credentials(Credentials::sign_in(sign_in.clone(), Kept::with(&sign_in)).expect("credentials"));
    sandbox.fault(Fault::times("oauth2/token", 2, FaultAction::Status(503, "busy".to_owned(), None)));
    client.json(&world(&sandbox)).await.expect("an answer, a little later");
    sandbox.fault(Fault::always("oauth2/token", FaultAction::Html));
    let client = client.with_credentials(Credentials::sign_in(sign_in.clone(), Kept::with(&sign_in)).expect("credentials"));
    let failure = client.json(&world(&sandbox)).await.expect_err("out of order");
    assert!(!failure.to_string().contains("offmap login"), "{failure}");
}

#[tokio::test]
async fn a_code_and_a_refresh_token_are_not_redirected() {
    let (sandbox, other) = (sandbox(SandboxOptions::default()).await, sandbox(SandboxOptions::default()).await);
    let client = quick_client(Credentials::none());
    let sign_in = signed_in(&sandbox, &client).await;
    let client = client.with_credentials(Credentials::sign_in(sign_in.clone(), Kept::with(&sign_in)).expect("credentials"));
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/portal/sharing/rest/oauth2/token", other.url());
        sandbox.fault(Fault::always("oauth2/token", FaultAction::RedirectWith(status, to.clone())));
        sandbox.fault(Fault::always("oauth2/revoketoken", FaultAction::RedirectWith(status, to)));
        let request = pasted(&sandbox);
        let code = request.pasted_code(&shown_code(&request).await).expect("a code");
        for failure in [
            request.finish(&client.token_client(), &code).await.expect_err("redirected"),
            client.json(&world(&sandbox)).await.expect_err("redirected"),
            sign_in.revoke(&client.token_client()).await.expect_err("redirected"),
        ] {
            assert!(failure.to_string().contains("redirects a sign-in"), "{status}: {failure}");
        }
        sandbox.heal();
    }
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[tokio::test]
async fn two_portals_stand_side_by_side_and_each_sees_its_own_tokens() {
    let (one, two) = (sandbox(SandboxOptions::default()).await, sandbox(SandboxOptions::default()).await);
    let client = quick_client(Credentials::none());
    let (first, second) = (signed_in(&one, &client).await, signed_in(&two, &client).await);
    let store: Arc<dyn SignInStore> = Arc::new(Kept::default());
    let own = |sign_in: &UserSignIn| Credentials::sign_in(sign_in.clone(), Arc::clone(&store)).expect("credentials");
    let client = client.with_credentials(own(&first).and(own(&second)));
    for sandbox in [&one, &two] {
        client.json(&world(sandbox)).await.expect("an answer");
    }
    for (sandbox, other) in [(&one, &second), (&two, &first)] {
        let all = format!("{:?}", sandbox.requests());
        assert!(!all.contains(other.refresh_token()));
    }
}

#[tokio::test]
async fn a_sign_in_is_ended_at_the_portal() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let client = quick_client(Credentials::none());
    let sign_in = signed_in(&sandbox, &client).await;
    assert_eq!(sandbox.refresh_tokens(), [sign_in.refresh_token()]);
    sign_in.revoke(&client.token_client()).await.expect("ended");
    assert!(sandbox.refresh_tokens().is_empty());
    let again = sign_in.revoke(&client.token_client()).await.expect_err("there is nothing to end");
    assert!(!again.to_string().contains(sign_in.refresh_token()), "{again}");
}
