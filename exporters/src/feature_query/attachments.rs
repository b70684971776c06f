//! Attachments of the rows that came: listed once, then fetched file by file, the smallest first.
//!
//! The list is a unit, and each file or few files are one: what is there is not fetched again. One that is deleted meanwhile is noted as
//! gone. Source: feature service reference §5.3.

use super::layer_query::LayerQuery;
use super::stored::Page;
use super::units;
use crate::feature_service::answer::flag;
use crate::feature_service::service::FeatureService;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::server_job::while_it_lags;
use offmap_arcgis::{AnswerKind, ArcGisClient, Download, ServiceCall};
use offmap_disk::{atomic_file, hash_result};
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
/// Largest attachment that is taken, in bytes.
const LARGEST: u64 = 4 << 30;
/// Notes that an attachment was deleted before it came.
const GONE: &str = "gone";

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
    #[prost(uint64, tag = "5")]
    pub(super) size: u64,
}

/// The attachments of a layer that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Fetched {
    pub(super) list: PathBuf,
    pub(super) folders: Vec<PathBuf>,
    /// Attachments that the service lists, and those of them that are beyond the budget of bytes.
    pub(super) listed: u64,
    pub(super) beyond: u64,
    /// As many as the service counts now, where it counted more for the plan than it lists.
    pub(super) counted_again: Option<u64>,
}

/// The attachments of one layer.
pub(super) struct Attachments<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) service: &'a FeatureService,
    pub(super) layer: u32,
    pub(super) query: &'a LayerQuery<'a>,
    pub(super) ctx: &'a ExportContext,
    pub(super) most_bytes: Option<u64>,
    /// Files that are fetched side by side.
    pub(super) at_a_time: usize,
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

/// The file of an attachment in the folder of its unit; `None` where it was deleted before it came.
pub(super) fn file_of(folder: &Path, id: i64) -> Option<PathBuf> {
    let is_gone = folder.join(format!("{id}.{GONE}")).exists();
    (!is_gone).then(|| folder.join(id.to_string()))
}

/// How many of the attachments fit into a budget of bytes, the smallest first.
fn within(all: &[Listed], most_bytes: Option<u64>) -> usize {
    let Some(most) = most_bytes else { return all.len() };
    let mut sum = 0_u64;
    all.iter()
        .take_while(|one| {
            sum = sum.saturating_add(one.size);
            sum <= most
        })
        .count()
}

impl Attachments<'_> {
    /// Lists and fetches them, for the rows of some pages.
    pub(super) async fn fetch(&self, pages: &[PathBuf], planned: usize) -> Result<Fetched, Failure> {
        let unit = units::attachment_list(self.layer);
        let list = self.ctx.file_unit(&unit, &units::file_name(&unit), |path| self.list(pages, path)).await?.path;
        let read = list.clone();
        let all = self.ctx.blocking(move || read_list(&read)).await?;
        let taken = within(&all, self.most_bytes);
        let (listed, beyond) = (all.len() as u64, (all.len() - taken) as u64);
        let wanted = all.get(..taken).unwrap_or_default();
        let of_unit = |index: usize| {
            let (from, to) = units::part(wanted.len() as u64, index, planned, 1);
            let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            (index, wanted.get(place(from)..place(to)).unwrap_or_default().to_vec())
        };
        let work = (0..planned).map(of_unit).map(|(index, some)| self.unit(index, some));
        let folders = stream::iter(work).buffered(self.at_a_time).try_collect().await?;
        Ok(Fetched { list, folders, listed, beyond, counted_again: None })
    }

    async fn list(&self, pages: &[PathBuf], to: PathBuf) -> Result<(), Failure> {
        let mut all: Vec<Listed> = Vec::new();
        for path in pages {
            let path = path.clone();
            let read = move || {
                let (mut page, mut ids) = (Page::read(&path)?, Vec::new());
                while let Some(row) = page.next_row(&path)? {
                    ids.push(row.object_id);
                }
                Ok(ids)
            };
            let ids = self.ctx.blocking(read).await?;
            all.extend(self.of_rows(&ids).await?);
            if all.len() > MOST {
                let message = format!("\"{}\" has more than {MOST} attachments; take a smaller area", self.query.title);
                return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Run, message));
            }
        }
        all.sort_by_key(|one| (one.size, one.id));
        all.dedup_by_key(|one| one.id);
        self.ctx
            .blocking(move || {
                let bytes: Vec<u8> = all.iter().flat_map(|one| one.encode_length_delimited_to_vec()).collect();
                write(&to, &bytes)
            })
            .await
    }

    /// The attachments of some rows.
    async fn of_rows(&self, ids: &[i64]) -> Result<Vec<Listed>, Failure> {
        if self.service.layers.get(&self.layer).is_some_and(|layer| layer.counts_attachments) {
            let mut all = Vec::new();
            for some in ids.chunks(ROWS_AT_A_TIME) {
                all.extend(self.queried(some).await?);
            }
            return Ok(all);
        }
        let each = ids.iter().copied().map(|id| self.of_row(id));
        let lists: Vec<Vec<Listed>> = stream::iter(each).buffered(self.at_a_time).try_collect().await?;
        Ok(lists.into_iter().flatten().collect())
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

    /// The attachments of one row.
    async fn of_row(&self, object_id: i64) -> Result<Vec<Listed>, Failure> {
        let url = format!("{}/{}/{object_id}/attachments", self.service.root, self.layer);
        let call = ServiceCall::get(&url)?.with_secrets(&self.service.secrets).answer(AnswerKind::Description);
        self.infos(object_id, &self.client.json(&call).await?)
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
                size: info.get("size").and_then(number::read).unwrap_or(0),
            })
        };
        infos.iter().map(|info| one(info).ok_or_else(|| self.unreadable("id"))).collect()
    }

    fn unreadable(&self, key: &str) -> Failure {
        let message = format!("the list of attachments of \"{}\" has no `{key}`", self.query.title);
        self.query.failure(FailureKind::InvalidAnswer, message)
    }

    /// Fetches the attachments of one unit into its folder, which has its name when all are there.
    async fn unit(&self, index: usize, some: Vec<Listed>) -> Result<PathBuf, Failure> {
        let (ctx, unit) = (self.ctx, units::attachments(self.layer, index));
        let folder = ctx.work_dir().join(units::file_name(&unit));
        let (bytes, sha256) = match ctx.finished_file(&unit, &folder).await? {
            Some(there) => there,
            None => {
                ctx.begin_unit(&unit).await?;
                let fetched = ctx.or_cancelled(self.fetch_into(&folder, &some)).await;
                match fetched {
                    Ok(fetched) => fetched,
                    Err(failure) if failure.is_cancelled() => return Err(failure),
                    Err(failure) => return Err(ctx.fail_unit(&unit, failure).await),
                }
            }
        };
        ctx.finish_file(&unit, None, &folder, bytes, &sha256).await?;
        Ok(folder)
    }

    async fn fetch_into(&self, folder: &Path, some: &[Listed]) -> Result<(u64, String), Failure> {
        let failed = |path: &Path, e: &std::io::Error| {
            Failure::io(FailureStage::Download, format!("cannot keep {}", path.display()), e)
        };
        let new = atomic_file::beside(folder);
        // What an interrupted run left in it is gone on with.
        tokio::fs::create_dir_all(&new).await.map_err(|e| failed(&new, &e))?;
        for one in some {
            self.file(&new, one).await?;
        }
        let folder = folder.to_owned();
        self.ctx
            .blocking(move || {
                atomic_file::put(&new, &folder).map_err(|e| failed(&folder, &e))?;
                hash_result(&folder)
            })
            .await
    }

    async fn file(&self, folder: &Path, one: &Listed) -> Result<(), Failure> {
        let url = format!("{}/{}/{}/attachments/{}", self.service.root, self.layer, one.object_id, one.id);
        let to = folder.join(one.id.to_string());
        let fetch = || {
            let secrets = &self.service.secrets;
            self.client.download(Download { url: &url, to: &to, presigned: false, limit: LARGEST, secrets }, |_, _| {})
        };
        let first = fetch().await;
        if first.as_ref().is_ok_and(|downloaded| downloaded.bytes == one.size) {
            return Ok(());
        }
        if let Err(failure) = &first
            && failure.kind != FailureKind::NotFound
        {
            return Err(failure.clone());
        }
        // Whoever replaced or deleted it has changed the list.
        let Some(again) = self.of_row(one.object_id).await?.into_iter().find(|again| again.id == one.id) else {
            return mark_gone(&to).await;
        };
        let downloaded = match first {
            Ok(downloaded) => downloaded,
            Err(_) => while_it_lags(self.ctx, "an attachment was listed and", fetch).await?,
        };
        if downloaded.bytes == again.size {
            return Ok(());
        }
        let _ = tokio::fs::remove_file(&to).await;
        let message = format!(
            "attachment {} of feature {} of \"{}\" has {} bytes, the service lists it with {}",
            one.id, one.object_id, self.query.title, downloaded.bytes, again.size
        );
        Err(self.query.failure(FailureKind::Incomplete, message))
    }
}

/// Notes that an attachment was deleted before it came.
async fn mark_gone(file: &Path) -> Result<(), Failure> {
    // What came of it is not what anybody has.
    let _ = tokio::fs::remove_file(file).await;
    let gone = file.with_extension(GONE);
    let failed = |e| Failure::io(FailureStage::Download, format!("cannot write {}", gone.display()), &e);
    tokio::fs::write(&gone, b"").await.map_err(failed)
}

/// Writes a file, which has its name when it is complete. Blocks.
pub(super) fn write(to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |e: &_| Failure::io(FailureStage::Run, format!("cannot write {}", to.display()), e);
    atomic_file::write(to, failed, |file| file.write_all(bytes).map_err(|e| failed(&e))).map(drop)
}
