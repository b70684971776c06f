//! Numbers that cannot be: whoever says them answers for them, and nobody else.

use crate::support::{Bench, run_to_end, scripted_engine, scripted_task};
use offmap::testing::{Act, Script};
use offmap::{ExportState, FailureKind, FailureOwner, GenerateOfflineMapParameters};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction};
use serde_json::json;

#[tokio::test]
async fn a_count_that_cannot_be_is_a_failure_of_its_layer_and_of_no_other() {
    for count in [u64::MAX, i64::MAX as u64 + 1, i64::MAX as u64, 1_000_000_000_001] {
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::always("fieldwork/featureserver/2/query", FaultAction::Body(json!({"count": count}))));
        let (result, _) = run_to_end(&bench.job(FIELD_MAP, |p| p.include_basemap = false).await).await;
        let result = result.expect("a package of the others");
        for layer in &result.layers {
            if layer.id == "countries" {
                let failure = layer.failure.as_ref().expect("a failure");
                assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
                assert!(failure.message.contains(&count.to_string()), "{failure}");
            } else {
                assert!(!layer.is_error(), "{layer:?}");
            }
        }
        assert!(result.layers.iter().any(|l| l.id == "places" && l.state == ExportState::Succeeded), "{:?}", result.layers);
    }
}

#[tokio::test]
async fn a_service_all_of_whose_numbers_are_absurd_costs_the_other_services_nothing() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let lying = Script { act: Act::Succeed, items: u64::MAX, delay_ms: 0 };
    let task = scripted_task(&engine, &[("lies", lying), ("honest", Script::of(Act::Succeed))]);
    let parameters = GenerateOfflineMapParameters::new(crate::support::area());
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("package"));
    let result = run_to_end(&job).await.0.expect("a package");
    let states: Vec<_> = result.layers.iter().map(|l| (l.id.as_str(), l.failure.as_ref().map(|f| f.kind))).collect();
    assert_eq!(states, [("lies", Some(FailureKind::InvalidAnswer)), ("honest", None)]);
}
