//! What a job writes and shows, without the secrets that are known.

use super::registry::SecretRegistry;
use crate::artifact::Artifact;
use crate::failure::Failure;
use crate::item::OfflineMapItemInfo;
use crate::plan::{ExportTask, OfflineMapPlan};
use crate::source::OfflineMapSource;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

impl SecretRegistry {
    /// A failure without any secret that is known.
    #[must_use]
    pub fn failure(&self, mut failure: Failure) -> Failure {
        self.scrub_in_place(&mut failure.message);
        for text in [&mut failure.server_message, &mut failure.url].into_iter().flatten() {
            self.scrub_in_place(text);
        }
        failure
    }

    /// Takes every secret that is known out of what the portal says of a map for people; the map itself has none. One that says none is
    /// not copied.
    pub fn scrub_source(&self, source: &mut Arc<OfflineMapSource>) {
        let mut clean = (source.item.clone(), source.layer_items.clone());
        let (item, layer_items) = &mut clean;
        if let Some(item) = item {
            let texts = [&mut item.description, &mut item.snippet, &mut item.access_information, &mut item.license_info];
            texts.into_iter().flatten().chain([&mut item.title]).for_each(|text| self.scrub_in_place(text));
            item.tags.iter_mut().chain(&mut item.type_keywords).for_each(|text| self.scrub_in_place(text));
            item.extra.values_mut().for_each(|value| self.scrub_words(value));
        }
        for item in layer_items {
            let texts = [&mut item.access_information, &mut item.license_info];
            texts.into_iter().flatten().for_each(|text| self.scrub_in_place(text));
        }
        if (&clean.0, &clean.1) != (&source.item, &source.layer_items) {
            let source = Arc::make_mut(source);
            (source.item, source.layer_items) = clean;
        }
    }

    /// Takes every secret that is known out of the metadata of a package.
    pub fn scrub_item_info(&self, info: &mut OfflineMapItemInfo) {
        let texts = [&mut info.title, &mut info.snippet, &mut info.description];
        texts.into_iter().chain([&mut info.access_information, &mut info.terms_of_use]).for_each(|t| self.scrub_in_place(t));
        info.tags.iter_mut().for_each(|text| self.scrub_in_place(text));
    }

    /// Takes every secret that is known out of what services said for a plan.
    pub fn scrub_plan(&self, plan: &mut OfflineMapPlan) {
        plan.parameters.item_info.as_mut().into_iter().for_each(|info| self.scrub_item_info(info));
        plan.tasks.iter_mut().for_each(|task| self.scrub_task(task));
        for skipped in &mut plan.skipped {
            skipped.failure = skipped.failure.take().map(|f| self.failure(f));
        }
        plan.warnings.iter_mut().for_each(|text| self.scrub_in_place(text));
    }

    /// Takes every secret that is known out of what a service said for a task.
    pub fn scrub_task(&self, task: &mut ExportTask) {
        self.scrub_in_place(&mut task.title);
        task.attribution.as_mut().into_iter().for_each(|text| self.scrub_in_place(text));
        task.units.iter_mut().for_each(|u| self.scrub_in_place(&mut u.title));
        self.scrub_words(&mut task.service);
    }

    /// Takes every secret that is known out of what a task has made.
    pub fn artifact(&self, mut artifact: Artifact) -> Artifact {
        artifact.warnings.iter_mut().for_each(|text| self.scrub_in_place(text));
        for layer in &mut artifact.layers {
            layer.failure = layer.failure.take().map(|f| self.failure(f));
            layer.contents.notes.iter_mut().for_each(|note| self.scrub_in_place(&mut note.message));
        }
        artifact
    }

    /// Takes every secret that is known out of the texts of a service's description; urls and single words, which name things,
    /// keep all but the caller's own.
    fn scrub_words(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let names_a_thing = !text.contains(char::is_whitespace) && !text.contains(['+', '/', '=', '?', '&']);
                let clean = match names_a_thing || text.contains("://") {
                    true => self.scrub_word(text),
                    false => self.scrub(text),
                };
                if let Cow::Owned(clean) = clean {
                    *text = clean;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| self.scrub_words(v)),
            Value::Object(map) => map.values_mut().for_each(|v| self.scrub_words(v)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::LayerArtifact;
    use crate::layer_contents::LayerContents;
    use crate::note::{LayerNote, LayerNoteKind};

    #[test]
    fn what_an_export_reports_has_no_secret_of_the_map() {
        let job = SecretRegistry::default().child();
        job.add("of the map");
        let mut artifact = Artifact { warnings: vec!["of the map".to_owned()], ..Artifact::default() };
        let note = LayerNote::new(LayerNoteKind::NotCounted, "refused: of the map");
        let contents = LayerContents { notes: vec![note], ..LayerContents::default() };
        artifact.layers.push(LayerArtifact { contents, ..LayerArtifact::default() });
        let artifact = job.artifact(artifact);
        let note = &artifact.layers[0].contents.notes[0];
        assert_eq!((artifact.warnings[0].as_str(), note.message.as_str()), ("…", "refused: …"));
    }
}
