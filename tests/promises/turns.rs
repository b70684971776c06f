//! Small requests get through while downloads fill what a host allows.

use offmap::LayerSecrets;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, ServiceCall};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_and_roll_backs_of_other_jobs_pass_while_downloads_fill_the_host() {
    for most in [1, 2, 4] {
        let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
        let options = ClientOptions { requests_per_host: most, ..ClientOptions::default() };
        let client = ArcGisClient::new(options, Credentials::none()).expect("a client");
        let service = |path: &str| format!("{}/arcgis/rest/services/{path}", sandbox.url());
        // They bring a byte each 50 ms, for far longer than the test takes.
        sandbox.fault(Fault::always("world/mapserver/tile", FaultAction::Drip(1, Duration::from_millis(50))));
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let downloads: Vec<_> = (0..2 * most)
            .map(|i| {
                let (client, address, to) =
                    (client.clone(), service("World/MapServer/tile/0/0/0"), dir.path().join(i.to_string()));
                tokio::spawn(async move {
                    let secrets = LayerSecrets::default();
                    let file = Download { url: &address, to: &to, presigned: false, limit: 1 << 20, secrets: &secrets };
                    client.download(file, |_, _| {}).await
                })
            })
            .collect();
        let running = || sandbox.requests().iter().filter(|r| r.path.contains("/tile/")).count();
        let deadline = Instant::now() + Duration::from_secs(20);
        let full = (most - 1).max(1);
        while running() < full {
            assert!(Instant::now() < deadline, "{most}: the downloads do not begin");
            tokio::task::yield_now().await;
        }
        // Of another user of the same engine: a poll, and a replica that is unregistered.
        let other = client.with_credentials(Credentials::none());
        let poll = ServiceCall::get(&service("World/MapServer")).expect("a url");
        timeout(Duration::from_secs(10), other.json(&poll)).await.expect("it gets its turn").expect("an answer");
        let roll_back = ServiceCall::post(&service("Fieldwork/FeatureServer/unRegisterReplica")).expect("a url");
        let ended = timeout(Duration::from_secs(10), other.json(&roll_back.with("replicaID", "nobody"))).await;
        ended.expect("it gets its turn").expect_err("there is no such replica");
        assert_eq!(running(), full, "no more downloads at a time than leave a place");
        assert!(downloads.iter().all(|download| !download.is_finished()), "{most}: they are still at it");
        downloads.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
