//! The rules of the status stream, under random scripts.

use crate::support::{run_scripted, run_to_end};
use offmap::testing::{Act, Script};
use offmap::{StatusMessage, Subject, SubjectKind};
use std::collections::HashMap;

/// A small generator of its own, so that a seed names a run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn check(messages: &[StatusMessage], seed: u64) {
    let mut ended: HashMap<&Subject, usize> = HashMap::new();
    let mut completed: HashMap<&Subject, u64> = HashMap::new();
    assert!(messages.is_sorted_by(|a, b| a.seq < b.seq), "seed {seed}: numbers rise");
    for (i, message) in messages.iter().enumerate() {
        assert!(!ended.contains_key(&message.subject), "seed {seed}: {message:?} comes after the subject's end");
        if message.state.is_terminal() {
            ended.insert(&message.subject, i);
        }
        if let Some(progress) = message.progress {
            let before = completed.insert(&message.subject, progress.completed).unwrap_or(0);
            assert!(progress.completed >= before, "seed {seed}: {message:?} falls from {before}");
        }
    }
    for message in messages {
        assert!(ended.contains_key(&message.subject), "seed {seed}: {:?} has no end", message.subject);
    }
    let last = messages.last().expect("messages");
    assert!(last.subject.kind == SubjectKind::Job && last.state.is_terminal(), "seed {seed}: the job ends last");
}

#[tokio::test]
async fn exactly_one_terminal_message_per_layer_table_package_and_job_and_completed_never_falls_and_the_job_ends_last() {
    const ACTS: [Act; 7] = [Act::Succeed, Act::Succeed, Act::Fail, Act::Panic, Act::Short, Act::Refuse, Act::Unfinished];
    for seed in 1..=40 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
        let names: Vec<String> = (0..=random.below(6)).map(|i| format!("layer{i}")).collect();
        let layers: Vec<(&str, Script)> = names
            .iter()
            .map(|name| {
                let act = ACTS[random.below(ACTS.len() as u64) as usize];
                (name.as_str(), Script { act, items: random.below(50) + 1, delay_ms: random.below(3) * 40 })
            })
            .collect();
        let ended = run_scripted(&layers, random.below(2) == 0).await;
        check(&ended.messages, seed);
        let subjects =
            ended.messages.iter().filter(|m| m.subject.kind == SubjectKind::Layer && m.state.is_terminal()).count();
        let planned = ended.result.is_ok() || !ended.result.as_ref().is_err_and(|e| e.layers.is_empty());
        assert_eq!(subjects, if planned { layers.len() } else { 0 }, "seed {seed}");
    }
}

#[tokio::test]
async fn a_reader_that_comes_late_reads_the_whole_story() {
    let engine = crate::support::scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let task = crate::support::scripted_task(&engine, &[("a", Script::of(Act::Succeed))]);
    let parameters = offmap::GenerateOfflineMapParameters::new(crate::support::area());
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
    let (_, first) = run_to_end(&job).await;
    let (_, again) = run_to_end(&job).await;
    let ends =
        |all: &[StatusMessage]| all.iter().filter(|m| m.state.is_terminal()).map(|m| m.subject.clone()).collect::<Vec<_>>();
    assert_eq!(ends(&first), ends(&again));
    engine.shutdown().await.expect("shuts down");
}
