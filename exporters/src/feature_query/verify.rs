//! Whether a layer is in the file as it should be: what its service listed, less what went meanwhile.

use super::file::Outcome;
use super::service::QueriedService;
use super::written::ReadyLayer;
use offmap_model::{
    EditTokens, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact, LayerContents, LayerNote, LayerNoteKind,
    Missing, TaskLayer,
};

/// Judges a layer of the task by what came and what the file holds.
pub(super) fn verified(
    layer: &TaskLayer,
    service: &QueriedService,
    ready: &[ReadyLayer],
    (failed, outcome): (&[(u32, Failure)], &Outcome),
) -> LayerArtifact {
    let id = layer.service_layer_id;
    let failure = failed
        .iter()
        .chain(&outcome.failed)
        .find(|(own, _)| Some(*own) == id)
        .map(|(_, failure)| failure.clone().for_layer(&layer.id));
    let came = ready.iter().find(|ready| Some(ready.id) == id);
    let got = id.and_then(|id| outcome.written.counts.get(&id)).copied();
    let mut contents = LayerContents {
        planned: layer.expected,
        got: got.map_or(0, |got| got.rows),
        attachments: got.and_then(|got| got.attachments),
        edit_tokens: EditTokens {
            edit_date: id.and_then(|id| service.service.layers.get(&id)?.edit_date),
            ..EditTokens::default()
        },
        ..LayerContents::default()
    };
    let (Some(came), Some(_), None) = (came, got, &failure) else {
        return LayerArtifact { id: layer.id.clone(), contents, failure, ..LayerArtifact::default() };
    };
    let failure = judge_rows(layer, came, &mut contents);
    judge_attachments(layer, came, &mut contents);
    let left_out = outcome.written.left_out.get(&came.id).into_iter().flatten();
    contents.notes.extend(left_out.map(|words| LayerNote::new(LayerNoteKind::Missing, words)));
    LayerArtifact {
        id: layer.id.clone(),
        file: Some(0),
        item_id: Some(i64::from(came.id)),
        contents,
        failure: failure.map(|failure| failure.for_layer(&layer.id)),
        ..LayerArtifact::default()
    }
}

fn changed(message: String) -> LayerNote {
    LayerNote::new(LayerNoteKind::DataChanged, message)
}

fn judge_rows(layer: &TaskLayer, came: &ReadyLayer, contents: &mut LayerContents) -> Option<Failure> {
    let there = came.listed.saturating_sub(came.gone);
    if contents.got != there {
        let message = format!(
            "layer \"{}\": {} rows were listed, {} of them went meanwhile, and the file holds {}",
            layer.title, came.listed, came.gone, contents.got
        );
        return Some(Failure::new(FailureOwner::Engine, FailureKind::Incomplete, FailureStage::Check, message));
    }
    match layer.expected {
        Some(expected) if expected != came.listed => {
            let message =
                format!("{expected} rows were counted for the plan, {} were there when they were listed", came.listed);
            contents.notes.push(changed(message));
        }
        _ => {}
    }
    if came.gone > 0 {
        contents.notes.push(changed(format!("{} of {} rows were deleted while they were fetched", came.gone, came.listed)));
    }
    if came.is_edited {
        let message = "the layer was edited between the runs of the job: each row is as it was when it came, and rows that were added since \
                       they were listed are not among them";
        contents.notes.push(changed(message.to_owned()));
    }
    contents.planned = Some(there);
    None
}

fn judge_attachments(layer: &TaskLayer, came: &ReadyLayer, contents: &mut LayerContents) {
    let Some(fetched) = &came.attachments else { return };
    let there = contents.attachments.unwrap_or(0);
    // Of rows whose attachments are not listed nobody knows how many they are.
    let not_come = fetched.missing.count.saturating_sub(fetched.unlisted);
    let without = fetched.beyond.saturating_add(fetched.not_held).saturating_add(not_come);
    let expected = fetched.listed.saturating_sub(without);
    if there < expected {
        let message = format!("{} of {} attachments were deleted while they were fetched", expected - there, fetched.listed);
        contents.notes.push(changed(message));
    }
    let mut lacks = |message| contents.notes.push(LayerNote::new(LayerNoteKind::Missing, message));
    if fetched.beyond > 0 {
        lacks(format!(
            "{} of {} attachments are beyond maxAttachmentBytes, or have no size; the smallest ones came first",
            fetched.beyond, fetched.listed
        ));
    }
    if fetched.not_held > 0 {
        lacks(format!(
            "{} of {} attachments that the geodatabase cannot hold (the first: {})",
            fetched.not_held, fetched.listed, fetched.why_not_held
        ));
    }
    if fetched.unlisted > 0 {
        lacks(format!(
            "the attachments of {} rows, which the service does not list (the first, {})",
            fetched.unlisted, fetched.why_unlisted
        ));
    }
    contents.missing_attachments = Some(fetched.missing.clone()).filter(|missing| missing.count > 0);
    // It counts as it lists.
    let listed = fetched.listed.saturating_add(fetched.repeated);
    if let Some(counted) = layer.attachments.filter(|counted| *counted > listed) {
        let not_listed = fetched.counted_again.and_then(|again| Missing::between(again, listed));
        let Some(not_listed) = not_listed else {
            let message = format!("{counted} attachments were counted for the plan, {listed} are listed");
            contents.notes.push(changed(message));
            return;
        };
        let all = contents.missing_attachments.get_or_insert_default();
        let others = not_listed.count.saturating_sub(fetched.unlisted);
        (all.count, all.of) = (all.count.saturating_add(others), not_listed.of);
    }
}
