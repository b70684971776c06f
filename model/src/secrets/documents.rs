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

    /// Takes every secret that is known out of what the portal says of a map; the map itself has none. One that says none is not copied.
    ///
    /// What software reads stays: ids, keywords, and where its url and picture are.
    pub fn scrub_source(&self, source: &mut Arc<OfflineMapSource>) {
        let mut clean = (source.item.clone(), source.layer_items.clone());
        let (item, layer_items) = &mut clean;
        if let Some(item) = item {
            let texts = [&mut item.description, &mut item.snippet, &mut item.access_information, &mut item.license_info];
            texts.into_iter().flatten().chain([&mut item.title]).for_each(|text| self.scrub_in_place(text));
            item.tags.iter_mut().for_each(|text| self.scrub_in_place(text));
            [&mut item.url, &mut item.thumbnail].into_iter().flatten().for_each(|url| self.scrub_query(url));
            self.scrub_all_json(&mut item.extent);
            let mut extra = Value::Object(std::mem::take(&mut item.extra));
            self.scrub_all_json(&mut extra);
            if let Value::Object(extra) = extra {
                item.extra = extra;
            }
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

    /// Takes every secret that is known out of a url from its query on; its path names a thing.
    fn scrub_query(&self, url: &mut String) {
        let from = url.find(['?', '#']).unwrap_or(url.len());
        if let Some(query) = url.get(from..)
            && let Cow::Owned(clean) = self.scrub(query)
        {
            url.replace_range(from.., &clean);
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
        plan.embedded.iter_mut().for_each(|layer| self.scrub_in_place(&mut layer.title));
        for skipped in &mut plan.skipped {
            self.scrub_in_place(&mut skipped.title);
            skipped.failure = skipped.failure.take().map(|f| self.failure(f));
        }
        plan.warnings.iter_mut().for_each(|text| self.scrub_in_place(text));
    }

    /// Takes every secret that is known out of what a service said for a task.
    pub fn scrub_task(&self, task: &mut ExportTask) {
        self.scrub_in_place(&mut task.title);
        task.layers.iter_mut().for_each(|layer| self.scrub_in_place(&mut layer.title));
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
    use crate::source::LayerItem;
    use crate::web_map::WebMap;
    use serde_json::json;

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

    const KEY: &str = "key-key+/0123456789";

    fn knows_key() -> SecretRegistry {
        let job = SecretRegistry::default().child();
        job.add(KEY);
        job
    }

    fn source(item: Value) -> OfflineMapSource {
        let item = Some(serde_json::from_value(item).expect("an item"));
        let map = WebMap::from_json(r#"{"operationalLayers": []}"#).expect("a map");
        OfflineMapSource { item, ..OfflineMapSource::from_web_map(map) }
    }

    #[test]
    fn nothing_that_surrounds_a_map_repeats_its_secrets() {
        let mut source = source(json!({
            "title": KEY, "url": format!("https://h/path?key={KEY}"), "thumbnail": format!("thumbnail/a.png?k={KEY}"),
            "extent": [KEY], "typeKeywords": ["OfflineDisabled"],
            "culture": KEY, "homepage": format!("https://h/{KEY}/a"), "nested": {"a": [{KEY: 1}, format!("x {KEY}")]}, KEY: [KEY],
        }));
        source.layer_items.push(LayerItem { license_info: Some(KEY.to_owned()), ..LayerItem::default() });
        let mut source = Arc::new(source);
        knows_key().scrub_source(&mut source);
        let said = serde_json::to_string(source.as_ref()).expect("JSON");
        assert!(!said.contains("0123456789"), "{said}");
        let item = source.item.as_ref().expect("an item");
        assert_eq!(item.url.as_deref(), Some("https://h/path?key=…"));
        assert_eq!(item.extra["nested"], json!({"a": [{"…": 1}, "x …"]}));
    }

    #[test]
    fn no_secret_takes_the_ban_of_an_author_away() {
        let job = SecretRegistry::default().child();
        job.add("OfflineDisabled");
        let mut source = Arc::new(source(json!({"typeKeywords": ["OfflineDisabled"], "title": "OfflineDisabled"})));
        job.scrub_source(&mut source);
        assert_eq!(source.item.as_ref().map(|i| i.title.as_str()), Some("…"));
        assert!(source.check().is_err(), "still forbidden");
    }

    #[test]
    fn the_titles_of_layers_in_a_plan_have_no_secret() {
        let layer = json!({"id": KEY, "title": format!("x {KEY}"), "isTable": false, "layerType": "ArcGISFeatureLayer"});
        let with = |more: Value| {
            let mut all = layer.clone();
            all.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            all
        };
        let task = json!({"id": "t", "exporter": "e", "key": {"serviceUrl": "https://h/", "parametersType": "t"}, "title": "T",
            "layers": [with(json!({"exact": false}))], "units": [], "countUnit": "features", "parameters": null, "service": null});
        let area = crate::AreaOfInterest::from_numbers("7,46,8,47").expect("an area");
        let parameters = crate::GenerateOfflineMapParameters::new(area);
        let mut plan: OfflineMapPlan = serde_json::from_value(json!({"parameters": parameters, "tasks": [task],
            "embedded": [layer], "skipped": [with(json!({"remainsOnline": true, "reason": "leftOut"}))], "warnings": []}))
        .expect("a plan");
        knows_key().scrub_plan(&mut plan);
        let titles = [&plan.tasks[0].layers[0].title, &plan.embedded[0].title, &plan.skipped[0].title];
        assert_eq!(titles, ["x …"; 3]);
        assert_eq!(plan.tasks[0].layers[0].id, KEY, "ids name things");
    }
}
