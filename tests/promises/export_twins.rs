//! Basemaps whose host does not export are exported by the host that the portal names for it, whatever its scheme and port.

use crate::support::{Bench, run_to_end};
use offmap::arcgis::Credentials;
use offmap::{ExportHost, GenerateOfflineMapParameterOverrides as Overrides, OfflineMapTask};
use offmap_sandbox::{FIELD_MAP, HOSTED_MAP, SandboxOptions};

async fn bench() -> Bench {
    Bench::with(SandboxOptions { export_twin: true, ..SandboxOptions::default() }, |_| Credentials::none()).await
}

/// The hosts that were asked to export tiles.
fn exporting_hosts(bench: &Bench) -> Vec<String> {
    let exports = bench.sandbox.requests().into_iter().filter(|r| r.path.ends_with("/exportTiles"));
    let mut hosts: Vec<String> = exports.map(|r| r.host).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn bare(url: &str) -> &str {
    url.split("://").nth(1).unwrap_or(url)
}

#[tokio::test]
async fn a_portal_names_the_host_that_exports_with_its_scheme_and_port() {
    for map in [FIELD_MAP, HOSTED_MAP] {
        let bench = bench().await;
        let result = bench.take(map).await;
        assert!(!result.has_errors(), "{map}: {:?}", result.layers);
        let twin = bench.sandbox.export_twin_url().expect("a twin");
        assert_eq!(exporting_hosts(&bench), [bare(twin)], "{map}: both tiled services are exported by the twin");
    }
}

#[tokio::test]
async fn a_host_that_exports_may_be_named_with_a_port_and_no_scheme() {
    let bench = bench().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    let twin = bench.sandbox.export_twin_url().expect("a twin").to_owned();
    source.export_hosts = vec![ExportHost { source: bare(bench.sandbox.url()).to_owned(), export: bare(&twin).to_owned() }];
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(exporting_hosts(&bench), [bare(&twin)]);
}
