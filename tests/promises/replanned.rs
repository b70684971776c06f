//! Data that changed while a job was interrupted, on a service that cannot be planned anew.

use crate::support::{Bench, run_to_end};
use offmap::testing::FaultAction;
use offmap::{ExportState, GenerateOfflineMapJob};
use offmap_sandbox::{FIELD_MAP, Fault, JobFault};
use serde_json::json;
use std::collections::HashSet;

#[tokio::test]
async fn data_that_changed_on_a_service_that_cannot_be_planned_anew_stay_as_they_were_fetched() {
    let refused = json!({"error": {"code": 400, "message": "Unable to perform query."}});
    for (what, fault) in [
        ("no count of one layer", Fault::always("fieldwork/featureserver/0/query", FaultAction::Body(refused))),
        ("no answer to any count", Fault::always("fieldwork/featureserver/0/query", FaultAction::Reset)),
    ] {
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
        let job = bench.job(FIELD_MAP, |p| p.include_basemap = false).await;
        job.keep_unfinished();
        let mut status = job.status();
        job.start();
        let mut done = HashSet::new();
        while let Some(message) = status.next().await {
            if message.state == ExportState::Succeeded {
                done.insert(message.subject.id.clone());
            }
            if ["places", "inspections", "measurements"].iter().all(|id| done.contains(*id)) {
                job.cancel();
            }
        }
        bench.sandbox.heal();
        bench.sandbox.unstick();
        // Somebody edits the service that was fetched.
        bench.sandbox.withhold("Fieldwork", 0, &[1]);
        bench.sandbox.fault(fault);
        let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        let result = run_to_end(&again).await.0.unwrap_or_else(|e| panic!("{what}: {}", e.failure));
        let places = result.layers.iter().find(|l| l.id == "places").expect("an outcome");
        assert_eq!(
            (places.state, Some(places.contents.got)),
            (ExportState::Succeeded, places.contents.planned),
            "{what}: {places:?}"
        );
        let told = result.warnings.iter().find(|w| w.contains("changed since and cannot be planned anew"));
        assert!(told.is_some_and(|w| w.contains("\"Fieldwork\"")), "{what}: {:?}", result.warnings);
        let replicas =
            bench.sandbox.requests().into_iter().filter(|r| r.path.ends_with("Fieldwork/FeatureServer/createReplica"));
        assert_eq!(replicas.count(), 1, "{what}: what was fetched is not fetched again");
    }
}
