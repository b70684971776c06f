//! Ways to sign in that offmap does not know are named, with a way out.

use crate::support::{no_library_words, quick_client};
use offmap::arcgis::{Credentials, ServiceCall};
use offmap::{Failure, FailureKind, FailureOwner};
use offmap_sandbox::{Sandbox, SandboxOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Asks a server that answers with these head lines and this page.
async fn answered(status: &str, headers: &[&str], page: &str) -> (Failure, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let answer = format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{page}", page.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let url = format!("http://{host}/arcgis/rest/services/S/FeatureServer");
    let failure = quick_client(Credentials::none()).json(&ServiceCall::get(&url).expect("a url")).await;
    (failure.expect_err("refused"), host)
}

#[tokio::test]
async fn windows_sign_in_and_others_of_http_are_named() {
    let page = "<html>401</html>";
    for (headers, named) in [
        (&["WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM"][..], "Negotiate, NTLM"),
        (&["www-authenticate: NTLM"][..], "NTLM"),
        (&["WWW-Authenticate: Negotiate, Basic realm=\"a, b\""][..], "Negotiate"),
        (&["WWW-Authenticate: Basic realm=\"gis\""][..], "Basic"),
    ] {
        let (failure, host) = answered("401 Unauthorized", headers, page).await;
        let words = failure.to_string();
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{words}");
        assert!(words.contains(named) && words.contains(&host) && words.contains("--token-for"), "{words}");
        no_library_words(&words);
    }
    // The words of ArcGIS come first.
    let json = r#"{"error":{"code":498,"message":"Invalid token."}}"#;
    let (failure, _) = answered("401 Unauthorized", &["WWW-Authenticate: Negotiate"], json).await;
    assert!(failure.to_string().contains("invalid or has expired"), "{failure}");
}

#[tokio::test]
async fn a_certificate_that_a_gateway_misses_is_named() {
    let page = "<html><title>400 No required SSL certificate was sent</title></html>";
    let (failure, _) = answered("400 Bad Request", &["content-type: text/html"], page).await;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
    assert!(failure.to_string().contains("certificate of the client"), "{failure}");
}

#[tokio::test]
async fn a_proxy_on_the_way_that_wants_a_password_is_not_the_service() {
    let (failure, _) = answered("407 Proxy Authentication Required", &["Proxy-Authenticate: Basic"], "").await;
    let words = failure.to_string();
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{words}");
    assert!(words.contains("proxy") && words.contains("HTTPS_PROXY") && words.contains("NO_PROXY"), "{words}");
}

#[tokio::test]
async fn a_server_that_wants_a_token_of_its_own_is_named_with_the_option_for_it() {
    let sandbox = Sandbox::start(SandboxOptions { secured: true, ..SandboxOptions::default() }).await.expect("a sandbox");
    let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", sandbox.url());
    let failure = quick_client(Credentials::none()).json(&ServiceCall::get(&url).expect("a url")).await.expect_err("499");
    let host = sandbox.url().split("://").nth(1).expect("a host");
    let words = failure.to_string();
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{words}");
    assert!(words.contains(&format!("--token-for {host}=VAR")) && words.contains("wants a token"), "{words}");
}
