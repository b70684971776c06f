//! The secrets that are known, and texts without them.

use crate::layer_secrets::{MOST_SECRET_BYTES, MOST_SECRETS, WITHHELD};
use crate::secret_search::{bytes_of_forms, searcher, sought_of};
use aho_corasick::AhoCorasick;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The secrets that are known, taken out of whatever is written or shown. Cheap to clone; all clones are one registry.
///
/// A child also knows what its parent knows: a job's registry is a child of the client's, so that what one map's author writes
/// changes no other job's words; the registry of the job's session is included in it.
#[derive(Clone, Default)]
pub struct SecretRegistry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    parents: RwLock<Vec<SecretRegistry>>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    secrets: VecDeque<String>,
    /// So many at the front are never given up.
    pinned: usize,
    matcher: Option<Arc<AhoCorasick>>,
}

impl Known {
    /// Gives up the oldest secrets that are not pinned, as long as there are too many; the newest stays.
    fn give_up_oldest(&mut self) {
        let mut bytes: usize = self.secrets.iter().map(|s| bytes_of_forms(s)).sum();
        let pinned = self.pinned;
        while self.secrets.len() > pinned + 1 && (self.secrets.len() > MOST_SECRETS || bytes > MOST_SECRET_BYTES) {
            bytes -= self.secrets.remove(pinned).map_or(0, |oldest| bytes_of_forms(&oldest));
        }
    }
}

impl fmt::Debug for SecretRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).secrets.len();
        f.debug_struct("SecretRegistry").field("known", &known).finish_non_exhaustive()
    }
}

impl SecretRegistry {
    /// A registry that also knows what this one knows.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { inner: Arc::new(Inner { parents: RwLock::new(vec![self.clone()]), known: RwLock::default() }) }
    }

    /// From now on knows what another registry knows as well: what that learns later, too. Once is enough.
    ///
    /// The other one must not know this one.
    pub fn include(&self, other: &Self) {
        let mut parents = self.inner.parents.write().unwrap_or_else(PoisonError::into_inner);
        if !parents.iter().chain([self]).any(|known| Arc::ptr_eq(&known.inner, &other.inner)) {
            parents.push(other.clone());
        }
    }

    fn parents(&self) -> Vec<Self> {
        self.inner.parents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a secret. One shorter than [`SHORTEST_SECRET`](crate::layer_secrets::SHORTEST_SECRET) is not kept, of one longer than
    /// [`LONGEST_SECRET`](crate::layer_secrets::LONGEST_SECRET) its beginning.
    pub fn add(&self, secret: &str) {
        self.add_all([secret]);
    }

    /// Never gives up what is kept so far, however many secrets follow.
    pub fn pin(&self) {
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        known.pinned = known.secrets.len();
    }

    /// Keeps several secrets; the oldest that are not pinned go where they are more than [`MOST_SECRETS`] or longer together than
    /// [`MOST_SECRET_BYTES`].
    pub fn add_all<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.secrets.len();
        let mut have: HashSet<String> = known.secrets.iter().cloned().collect();
        for secret in secrets.into_iter().filter_map(sought_of) {
            if known.secrets.len() - before >= MOST_SECRETS {
                break;
            }
            if have.insert(secret.to_owned()) {
                known.secrets.push_back(secret.to_owned());
            }
        }
        if known.secrets.len() > before {
            known.give_up_oldest();
            if let Some(matcher) = searcher(known.secrets.iter().map(String::as_str)) {
                known.matcher = Some(Arc::new(matcher));
            }
        }
    }

    /// The text without any secret that is known.
    #[must_use]
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let of_parents = Self::by_each(&self.parents(), text, |parent, text| parent.scrub(text));
        let matcher = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).matcher.clone();
        let Some(matcher) = matcher.filter(|m| m.is_match(of_parents.as_ref())) else { return of_parents };
        let mut out = String::with_capacity(of_parents.len());
        matcher.replace_all_with(of_parents.as_ref(), &mut out, |_, _, out| {
            out.push_str(WITHHELD);
            true
        });
        Cow::Owned(out)
    }

    /// A text after each of several registries took out of it what it knows.
    fn by_each<'a>(all: &[Self], text: &'a str, scrub: impl for<'t> Fn(&Self, &'t str) -> Cow<'t, str>) -> Cow<'a, str> {
        all.iter().fold(Cow::Borrowed(text), |text, registry| match text {
            Cow::Borrowed(text) => scrub(registry, text),
            Cow::Owned(text) => match scrub(registry, &text) {
                Cow::Borrowed(_) => Cow::Owned(text),
                Cow::Owned(clean) => Cow::Owned(clean),
            },
        })
    }

    /// The text without any secret that is known; an owned text that has none is not copied.
    #[must_use]
    pub fn scrubbed(&self, text: String) -> String {
        match self.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean,
        }
    }

    /// A text that a program reads back, such as a url, without the caller's secrets: what the registries know that have no parent.
    /// What a map says is not in them, so that it is safe to take them out of urls and ids.
    #[must_use]
    pub fn scrub_word<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.parents().as_slice() {
            [] => self.scrub(text),
            parents => Self::by_each(parents, text, |parent, text| parent.scrub_word(text)),
        }
    }

    /// Takes the caller's secrets out of every text of a JSON value, its keys as well.
    pub fn scrub_json(&self, value: &mut Value) {
        change_texts(value, &|text| self.scrub_word(text));
    }

    /// Takes every secret that is known out of every text of a JSON value, its keys as well.
    pub(super) fn scrub_all_json(&self, value: &mut Value) {
        change_texts(value, &|text| self.scrub(text));
    }

    /// A value as JSON text without the caller's secrets.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json_of(&self, value: &impl Serialize) -> serde_json::Result<String> {
        let text = serde_json::to_string(value)?;
        if matches!(self.scrub_word(&text), Cow::Borrowed(_)) {
            return Ok(text);
        }
        // Text by text: a secret may look like a part of JSON itself.
        let mut json = serde_json::from_str(&text)?;
        self.scrub_json(&mut json);
        Ok(json.to_string())
    }

    /// A value by way of its JSON, without the caller's secrets.
    ///
    /// # Errors
    /// If it cannot be read back.
    pub fn clean<T: Serialize + DeserializeOwned>(&self, value: &T) -> serde_json::Result<T> {
        serde_json::from_str(&self.json_of(value)?)
    }

    /// Takes every secret that is known out of a text.
    pub(super) fn scrub_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.scrub(text) {
            *text = clean;
        }
    }
}

/// Changes every text of a JSON value, its keys as well.
fn change_texts(value: &mut Value, change: &impl Fn(&str) -> Cow<'_, str>) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(changed) = change(text) {
                *text = changed;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| change_texts(v, change)),
        Value::Object(map) => {
            map.values_mut().for_each(|v| change_texts(v, change));
            let keys: Vec<(String, String)> = map
                .keys()
                .filter_map(|key| match change(key) {
                    Cow::Owned(changed) if changed != *key => Some((key.clone(), changed)),
                    _ => None,
                })
                .collect();
            for (key, changed) in keys {
                if let Some(value) = map.remove(&key) {
                    map.insert(changed, value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer_secrets::LONGEST_SECRET;

    #[test]
    fn known_secrets_are_taken_out_in_every_form_and_those_of_a_map_concern_its_job_only() {
        let registry = SecretRegistry::default();
        registry.add_all(["pass word+\"/1", "short"]);
        registry.pin();
        let job = registry.child();
        job.add("of the map");
        for text in
            ["pass word+\"/1", "pass+word%2B%22%2F1", "pass%20word%2b%22%2f1", r#"pass word+\"/1"#, r#"pass word+\"\/1"#]
        {
            assert_eq!(registry.scrub(&format!("a {text} b")), "a … b", "{text}");
        }
        assert_eq!(job.scrub("of the map, short, pass word+\"/1"), "…, short, …");
        assert_eq!(registry.scrub("of the map"), "of the map");
        assert_eq!(job.scrub_word("of the map"), "of the map", "what a program reads back keeps what a map's author wrote");
        let mut json = serde_json::json!({"a": ["x pass word+\"/1"], "pass word+\"/1": 1});
        job.scrub_json(&mut json);
        assert_eq!(json, serde_json::json!({"a": ["x …"], "…": 1}));
        let many: Vec<String> = (0..2 * MOST_SECRETS).map(|i| format!("another token {i}")).collect();
        registry.add_all(many.iter().map(String::as_str));
        assert_eq!(registry.scrub("pass word+\"/1"), "…", "what is pinned stays");
    }

    #[test]
    fn a_job_knows_the_secrets_of_its_session_and_of_its_client_and_each_of_them_its_own_only() {
        let (client, session) = (SecretRegistry::default(), SecretRegistry::default());
        client.add("secret of the client");
        let job = client.child();
        job.add("secret of the map");
        job.include(&session);
        job.include(&session);
        job.include(&job);
        session.add("secret of the session");
        let all = "secret of the client, secret of the session, secret of the map";
        assert_eq!(job.scrub(all), "…, …, …");
        assert_eq!(job.scrub_word(all), "…, …, secret of the map");
        assert_eq!(client.scrub(all), "…, secret of the session, secret of the map");
        assert_eq!(session.scrub(all), "secret of the client, …, secret of the map");
        assert_eq!(job.child().scrub_word(all), "…, …, secret of the map");
    }

    #[test]
    fn secrets_that_are_too_long_are_known_by_their_beginning_and_old_ones_go_where_there_are_too_many() {
        let registry = SecretRegistry::default();
        let long = |i: usize| format!("{i:08}{}", "x".repeat(LONGEST_SECRET));
        registry.add("pinned secret");
        registry.pin();
        registry.add(&long(0));
        assert_eq!(registry.scrub(&long(0)), "…xxxxxxxx");
        registry.add_all((1..=MOST_SECRET_BYTES / LONGEST_SECRET).map(long).collect::<Vec<_>>().iter().map(String::as_str));
        let kept = |i: usize| registry.scrub(&long(i)) != long(i);
        assert!(!kept(0) && !kept(1) && kept(2) && kept(MOST_SECRET_BYTES / LONGEST_SECRET));
        assert_eq!(registry.scrub("pinned secret"), "…");
    }
}
