//! Certificates of servers: which are trusted, and whose it is when one is not.

use crate::support::no_library_words;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, ServiceCall};
use offmap::testing::VirtualClock;
use offmap::{Failure, FailureKind, FailureOwner};
use offmap_sandbox::{Sandbox, SandboxOptions, ServerCertificate};
use std::sync::Arc;

async fn sandbox(certificate: ServerCertificate) -> Sandbox {
    Sandbox::start(SandboxOptions { tls: true, certificate, ..SandboxOptions::default() }).await.expect("a sandbox")
}

/// Asks the portal, with a certificate to trust or without.
async fn ask(sandbox: &Sandbox, host: &str, given: bool) -> Result<(), Failure> {
    let pem = sandbox.ca_certificate().expect("a certificate").as_bytes().to_vec();
    let options = ClientOptions { ca_certificates: given.then_some(pem).into_iter().collect(), ..ClientOptions::default() };
    let client = ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default()));
    let url = format!("{}/sharing/rest", sandbox.portal_url()).replace("localhost", host);
    client.expect("a client").json(&ServiceCall::get(&url).expect("a url")).await.map(drop)
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_given_is_trusted_for_its_host_whether_or_not_it_says_ca() {
    for certificate in [ServerCertificate::SelfSigned, ServerCertificate::SelfSignedCa, ServerCertificate::OfPrivateCa] {
        let sandbox = sandbox(certificate).await;
        ask(&sandbox, "localhost", true).await.unwrap_or_else(|failure| panic!("{certificate:?}: {failure}"));
        let failure = ask(&sandbox, "localhost", false).await.expect_err("it was not given");
        let words = failure.to_string();
        assert!(words.contains("not trusted") && words.contains("--ca-cert") && words.contains("localhost"), "{words}");
        assert_eq!((failure.owner, failure.retryable), (FailureOwner::Network, false), "{certificate:?}");
        no_library_words(&words);
    }
}

#[tokio::test]
async fn a_given_certificate_is_trusted_for_its_names_and_time_only() {
    for (certificate, expected) in [
        (ServerCertificate::SelfSignedExpired, "has expired"),
        (ServerCertificate::SelfSignedOtherName, "is for other.example"),
    ] {
        let sandbox = sandbox(certificate).await;
        let failure = ask(&sandbox, "localhost", true).await.expect_err("refused");
        assert!(failure.to_string().contains(expected), "{failure}");
        assert_eq!((failure.owner, failure.retryable), (FailureOwner::Source, false));
        no_library_words(&failure.to_string());
    }
}

#[tokio::test]
async fn a_given_certificate_that_is_no_ca_vouches_for_no_other_certificate() {
    let sandbox = sandbox(ServerCertificate::SignedByNoCa).await;
    for given in [true, false] {
        let failure = ask(&sandbox, "localhost", given).await.expect_err("its issuer may sign for nobody");
        let words = failure.to_string();
        assert!(words.contains("not trusted") && words.contains("localhost"), "{words}");
        assert_eq!((failure.owner, failure.retryable), (FailureOwner::Network, false), "{words}");
        no_library_words(&words);
    }
    assert!(sandbox.requests().is_empty(), "nothing was asked on a connection that is not trusted");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_the_client_says_so() {
    let options = SandboxOptions { tls: true, wants_client_certificate: true, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let failure = ask(&sandbox, "localhost", true).await.expect_err("no certificate was shown");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
    assert!(failure.to_string().contains("certificate of the client"), "{failure}");
    no_library_words(&failure.to_string());
}
