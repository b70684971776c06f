//! Proxies of the environment: whose it is when one is dead, shut or wants a password.

use crate::support::{AREA, offmap, run, words};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// A proxy that answers everything with this status.
fn proxy(status: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://user:hidden-password@{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
        }
    });
    url
}

fn told(scheme: &str, proxy: &str) -> String {
    let portal = format!("{scheme}://gis.city.example/portal");
    let mut command =
        offmap(&["check", "--portal", &portal, "--item", "f1e1d0a9000000000000000000000001", "--attempts", "1"]);
    command.args(AREA);
    for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTP_PROXY", proxy).env("HTTPS_PROXY", proxy);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let told = words(&output);
    for word in ["hyper", "reqwest", "rustls", "tunnel error", "Error(", "hidden-password"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_dead_shut_or_wants_a_password_is_told_from_the_service() {
    for scheme in ["http", "https"] {
        let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
        let dead = told(scheme, &format!("http://user:hidden-password@{closed}"));
        assert!(dead.contains(&format!("the proxy {closed} cannot be reached")), "{scheme}: {dead}");
        assert!(dead.contains("NO_PROXY=gis.city.example"), "{scheme}: {dead}");
        let locked = told(scheme, &proxy("407 Proxy Authentication Required"));
        assert!(
            locked.contains("wants a user name and password (407)") && locked.contains("HTTPS_PROXY"),
            "{scheme}: {locked}"
        );
    }
    let shut = told("https", &proxy("403 Forbidden"));
    assert!(shut.contains("does not connect to gis.city.example"), "{shut}");
}
