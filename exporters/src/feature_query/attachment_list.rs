//! What attachments rows have, as their service lists them.
//!
//! Source: feature service reference §5.3.

use super::id_source::IdSource as _;
use super::layer_query::LayerQuery;
use super::stated::is_refusal;
use super::stored::Page;
use super::units;
use crate::feature_service::answer::flag;
use crate::feature_service::service::FeatureService;
use futures_util::{StreamExt as _, stream};
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_disk::atomic_file;
use offmap_engine::ExportContext;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, number};
use prost::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Rows in one question for attachments.
const ROWS_AT_A_TIME: usize = 500;
/// Attachments of one layer whose list is held while it is sorted.
const MOST: usize = 2_000_000;
/// Pages of attachments of some rows.
const MOST_PAGES: usize = 1000;
/// Notes how many attachments were listed more than once: the service counts them so, too.
const REPEATED: &str = "repeated";
/// Rows of a layer whose attachments the service does not list: more of them are a failure of the layer.
const MOST_UNLISTED: usize = 20;

/// An attachment as its service lists it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Listed {
    #[prost(sint64, tag = "1")]
    pub(super) id: i64,
    #[prost(sint64, tag = "2")]
    pub(super) object_id: i64,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) content_type: String,
    /// In bytes; some services do not say it.
    #[prost(uint64, optional, tag = "5")]
    pub(super) size: Option<u64>,
    /// Why the attachments of its row are not listed; then it stands for all of them, and is none itself.
    #[prost(string, optional, tag = "6")]
    pub(super) unlisted: Option<String>,
}

/// The lists of one layer.
pub(super) struct AttachmentLists<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) service: &'a FeatureService,
    pub(super) layer: u32,
    pub(super) query: &'a LayerQuery<'a>,
    pub(super) ctx: &'a ExportContext,
    /// Rows that are asked about side by side.
    pub(super) at_a_time: usize,
    /// Whether a budget allows attachments to be missing.
    pub(super) may_lack: bool,
}

/// Reads a list. Blocks.
pub(super) fn read_list(path: &Path) -> Result<Vec<Listed>, Failure> {
    let failed = |e| Failure::io(FailureStage::Run, format!("cannot read {}", path.display()), &e);
    let bytes = std::fs::read(path).map_err(failed)?;
    let (mut rest, mut all) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let listed = Listed::decode_length_delimited(&mut rest).map_err(|_| {
            let message = format!("{} is no list of attachments", path.display());
            Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Run, message)
        })?;
        all.push(listed);
    }
    Ok(all)
}

/// Removes a list in which rows are missing: they are asked about again. Blocks.
pub(super) fn forget_incomplete(path: &Path) -> Result<(), Failure> {
    let failed = |e| Failure::io(FailureStage::Run, format!("cannot remove {}", path.display()), &e);
    match path.is_file() && read_list(path).is_ok_and(|all| all.iter().any(|one| one.unlisted.is_some())) {
        true => std::fs::remove_file(path).map_err(failed),
        false => Ok(()),
    }
}

/// Each attachment once, the smallest first; those without a size are the last.
fn in_order(mut all: Vec<Listed>) -> Vec<Listed> {
    let key = |one: &Listed| (one.id, one.object_id, one.unlisted.is_some());
    all.sort_by_key(key);
    all.dedup_by_key(|one| key(one));
    all.sort_by_key(|one| (one.size.unwrap_or(u64::MAX), one.id, one.object_id));
    all
}

/// Writes a file, which has its name when it is complete. Blocks.
fn write(to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |e: &_| Failure::io(FailureStage::Run, format!("cannot write {}", to.display()), e);
    atomic_file::write(to, failed, |file| file.write_all(bytes).map_err(|e| failed(&e))).map(drop)
}

impl AttachmentLists<'_> {
    /// Lists the attachments of the rows of some pages into a file.
    pub(super) async fn write(&self, pages: &[PathBuf], to: PathBuf) -> Result<(), Failure> {
        let mut all: Vec<Listed> = Vec::new();
        for path in pages {
            let path = path.clone();
            let read = move || {
                let (mut page, mut ids) = (Page::open(&path)?, Vec::new());
                while let Some(row) = page.next_row()? {
                    ids.push(row.object_id);
                }
                Ok(ids)
            };
            let ids = self.ctx.blocking(read).await?;
            let (more, failure) = self.of_rows(&ids).await?;
            all.extend(more);
            let unlisted = all.iter().filter(|one| one.unlisted.is_some()).count();
            if let Some(failure) = failure.filter(|_| unlisted > MOST_UNLISTED) {
                return Err(failure);
            }
            if all.len() > MOST {
                let message = format!("\"{}\" has more than {MOST} attachments; take a smaller area", self.query.title);
                return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Run, message));
            }
        }
        let count = all.len();
        let all = self.ctx.blocking(move || Ok(in_order(all))).await?;
        let repeated = (count - all.len()).to_string();
        self.ctx.ledger().note(&units::attachment_list(self.layer), REPEATED, &repeated).await?;
        self.ctx
            .blocking(move || {
                let bytes: Vec<u8> = all.iter().flat_map(|one| one.encode_length_delimited_to_vec()).collect();
                write(&to, &bytes)
            })
            .await
    }

    /// How many attachments were listed more than once.
    pub(super) async fn repeated(&self) -> Result<u64, Failure> {
        let noted = self.ctx.ledger().noted(&units::attachment_list(self.layer), REPEATED).await?;
        Ok(noted.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// The attachments of some rows; the last failure of those that stand for rows whose attachments are not listed.
    async fn of_rows(&self, ids: &[i64]) -> Result<(Vec<Listed>, Option<Failure>), Failure> {
        let (mut all, mut last, mut unlisted) = (Vec::new(), None, 0);
        let mut keep = |row: i64, failure: Failure| -> Result<Listed, Failure> {
            unlisted += 1;
            if unlisted > MOST_UNLISTED {
                return Err(failure);
            }
            tracing::info!(%failure, row, "the attachments of a row are not listed");
            let why = self.ctx.without_secrets(failure.clone()).message;
            last = Some(failure);
            Ok(Listed { object_id: row, unlisted: Some(why), ..Listed::default() })
        };
        if self.service.layers.get(&self.layer).is_some_and(|layer| layer.counts_attachments) {
            let mut parts: Vec<&[i64]> = ids.chunks(ROWS_AT_A_TIME).rev().collect();
            while let Some(some) = parts.pop() {
                match self.queried(some).await {
                    Ok(listed) => all.extend(listed),
                    Err(failure) if !self.is_of_rows(&failure) => return Err(failure),
                    Err(failure) => match some {
                        [row] => all.push(keep(*row, failure)?),
                        // One of them is enough for it.
                        _ => parts.extend(some.chunks(some.len().div_ceil(2)).rev()),
                    },
                }
            }
            return Ok((all, last));
        }
        let each = ids.iter().copied().map(|id| async move { (id, self.of_row(id).await) });
        let mut lists = stream::iter(each).buffered(self.at_a_time);
        while let Some((row, listed)) = lists.next().await {
            match listed {
                Ok(listed) => all.extend(listed),
                Err(failure) if self.is_of_rows(&failure) => all.push(keep(row, failure)?),
                Err(failure) => return Err(failure),
            }
        }
        Ok((all, last))
    }

    /// Whether a failure to list attachments costs no more than those of its rows: it is the service's, and a budget allows it.
    fn is_of_rows(&self, failure: &Failure) -> bool {
        self.may_lack && !failure.is_cancelled() && failure.owner == FailureOwner::Source
    }

    async fn queried(&self, ids: &[i64]) -> Result<Vec<Listed>, Failure> {
        let joined = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut call = ServiceCall::post(&format!("{}/{}/queryAttachments", self.service.root, self.layer))?
                .with_secrets(&self.service.secrets)
                .with("objectIds", &joined)
                .answer(AnswerKind::Description);
            if !all.is_empty() {
                call = call.with("resultOffset", all.len());
            }
            let answer = self.client.json(&call).await?;
            let Some(groups) = answer.get("attachmentGroups").and_then(Value::as_array) else {
                return Err(self.unreadable("attachmentGroups"));
            };
            let before = all.len();
            for group in groups {
                let parent = group.get("parentObjectId").and_then(number::read::<i64>);
                let parent = parent.ok_or_else(|| self.unreadable("parentObjectId"))?;
                all.extend(self.infos(parent, group)?);
            }
            if all.len() == before || flag(&answer, &["exceededTransferLimit"]) != Some(true) {
                return Ok(all);
            }
        }
        let message =
            format!("\"{}\" lists the attachments of {} rows on more than {MOST_PAGES} pages", self.query.title, ids.len());
        Err(self.query.failure(FailureKind::InvalidAnswer, message))
    }

    /// The attachments of one row; none where the row was deleted meanwhile.
    pub(super) async fn of_row(&self, object_id: i64) -> Result<Vec<Listed>, Failure> {
        let url = format!("{}/{}/{object_id}/attachments", self.service.root, self.layer);
        let call = ServiceCall::get(&url)?.with_secrets(&self.service.secrets).answer(AnswerKind::Description);
        let answer = match self.client.json(&call).await {
            Ok(answer) => answer,
            Err(failure) if failure.kind == FailureKind::NotFound || is_refusal(&failure) => {
                return match self.query.is_there(object_id).await? {
                    true => Err(failure),
                    false => Ok(Vec::new()),
                };
            }
            Err(failure) => return Err(failure),
        };
        self.infos(object_id, &answer)
    }

    fn infos(&self, object_id: i64, answer: &Value) -> Result<Vec<Listed>, Failure> {
        let Some(infos) = answer.get("attachmentInfos").and_then(Value::as_array) else {
            return Err(self.unreadable("attachmentInfos"));
        };
        let one = |info: &Value| {
            let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default().chars().take(1000).collect();
            Some(Listed {
                id: number::read(info.get("id")?)?,
                object_id,
                name: text("name"),
                content_type: text("contentType"),
                size: info.get("size").and_then(number::read),
                unlisted: None,
            })
        };
        infos.iter().map(|info| one(info).ok_or_else(|| self.unreadable("id"))).collect()
    }

    fn unreadable(&self, key: &str) -> Failure {
        let message = format!("the list of attachments of \"{}\" has no `{key}`", self.query.title);
        self.query.failure(FailureKind::InvalidAnswer, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: i64, object_id: i64, size: Option<u64>) -> Listed {
        Listed { id, object_id, size, ..Listed::default() }
    }

    #[test]
    fn an_attachment_that_is_listed_twice_is_one_whatever_sizes_it_is_listed_with() {
        let all = [(1, 1, Some(9)), (2, 1, Some(5)), (1, 1, Some(7)), (1, 2, Some(6)), (3, 1, None), (3, 1, None)];
        let all = in_order(all.map(|(id, object_id, size)| listed(id, object_id, size)).to_vec());
        let ids: Vec<_> = all.iter().map(|one| (one.id, one.object_id)).collect();
        assert_eq!(ids, [(2, 1), (1, 2), (1, 1), (3, 1)], "the same id of another row is another attachment");
        assert_eq!(Listed::decode(listed(1, 1, Some(0)).encode_to_vec().as_slice()), Ok(listed(1, 1, Some(0))));
        assert_eq!(Listed::decode(listed(1, 1, None).encode_to_vec().as_slice()), Ok(listed(1, 1, None)));
    }
}
