//! Attachments of the rows that came: listed once, then fetched file by file, the smallest first.
//!
//! The list is a unit, and each file or few files are one: what is there is not fetched again. One that is deleted meanwhile is noted as
//! gone; one that lasting failures keep from coming is missing, as far as the layer's error budget allows it, and is asked for again by
//! the next run. Source: feature service reference §5.3.

use super::attachment_list::{AttachmentLists, Listed, read_list};
use super::id_source::IdSource as _;
use super::made_of::{digest, made_of};
use super::units;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::Download;
use offmap_arcgis::server_job::while_it_lags;
use offmap_disk::{atomic_file, hash_result};
use offmap_formats::geodatabase::GeodatabaseSink;
use offmap_model::{Allowance, Failure, FailureKind, FailureOwner, FailureStage, MOST_EXAMPLES, Missing};
use prost::Message as _;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Notes that an attachment was deleted before it came.
const GONE: &str = "gone";

/// The attachments of a layer that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Fetched {
    pub(super) list: PathBuf,
    pub(super) folders: Vec<PathBuf>,
    /// Attachments that the service lists, and those of them that are beyond the budget of bytes.
    pub(super) listed: u64,
    pub(super) beyond: u64,
    /// How often it lists one of them again.
    pub(super) repeated: u64,
    /// Those of them that the geodatabase cannot hold, and why the first one.
    pub(super) not_held: u64,
    pub(super) why_not_held: String,
    /// Those of them that did not come.
    pub(super) missing: Missing,
    /// As many as the service counts now, where it counted more for the plan than it lists.
    pub(super) counted_again: Option<u64>,
    /// What tells them from others.
    pub(super) digest: String,
}

/// The attachments of one layer.
pub(super) struct Attachments<'a> {
    pub(super) lists: AttachmentLists<'a>,
    pub(super) most_bytes: Option<u64>,
    /// What may be missing; nothing where no budget says so.
    pub(super) may_lack: Vec<Allowance>,
    pub(super) missing: Mutex<Missing>,
}

/// The file of an attachment in the folder of its unit; `None` where it was deleted before it came, or did not come.
pub(super) fn file_of(folder: &Path, id: i64) -> Option<PathBuf> {
    let file = folder.join(id.to_string());
    file.is_file().then_some(file)
}

/// How many of the attachments fit into a budget of bytes, the smallest first. Those whose size nobody says fit into none.
fn within(all: &[Listed], most_bytes: Option<u64>) -> usize {
    let Some(most) = most_bytes else { return all.len() };
    let mut sum = 0_u64;
    all.iter()
        .take_while(|one| {
            sum = sum.saturating_add(one.size.unwrap_or(u64::MAX));
            sum <= most
        })
        .count()
}

/// Takes out what the geodatabase cannot hold: too large files, and further ones with an id that another one has, which is their key
/// there. Answers how many those are, and why the first one.
fn hold(all: &mut Vec<Listed>) -> (u64, String) {
    let (mut ids, mut count, mut why) = (HashSet::new(), 0, String::new());
    all.retain(|one| {
        let is_large = one.size.is_some_and(|size| size > GeodatabaseSink::LARGEST_ATTACHMENT);
        if !is_large && ids.insert(one.id) {
            return true;
        }
        if count == 0 {
            let Listed { id, object_id, .. } = one;
            why = match one.size.filter(|_| is_large) {
                Some(size) => format!(
                    "attachment {id} of row {object_id} has {size} bytes, expected at most {}",
                    GeodatabaseSink::LARGEST_ATTACHMENT
                ),
                None => format!("attachment {id} of row {object_id} has the id of one of another row"),
            };
        }
        count += 1;
        false
    });
    (count, why)
}

impl Attachments<'_> {
    /// Lists and fetches them, for the rows of some pages, which have a digest.
    pub(super) async fn fetch(&self, (pages, of_rows): (&[PathBuf], &str), planned: usize) -> Result<Fetched, Failure> {
        let AttachmentLists { ctx, layer, at_a_time, .. } = self.lists;
        let unit = units::attachment_list(layer);
        let name = units::file_name(&unit);
        made_of(ctx, &unit, &name, of_rows).await?;
        let file = ctx.file_unit(&unit, &name, |path| self.lists.write(pages, path)).await?;
        let read = file.path.clone();
        let mut all = ctx.blocking(move || read_list(&read)).await?;
        let (listed, repeated) = (all.len() as u64, self.lists.repeated().await?);
        let (not_held, why_not_held) = hold(&mut all);
        let taken = within(&all, self.most_bytes);
        let beyond = (all.len() - taken) as u64;
        let wanted = all.get(..taken).unwrap_or_default();
        self.lock().of = wanted.len() as u64;
        let of_unit = |index: usize| {
            let (from, to) = units::part(wanted.len() as u64, index, planned, 1);
            let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            (index, wanted.get(place(from)..place(to)).unwrap_or_default().to_vec())
        };
        let work = (0..planned).map(of_unit).map(|(index, some)| self.unit(index, some));
        let ends: Vec<(PathBuf, String)> = stream::iter(work).buffered(at_a_time).try_collect().await?;
        let digest = digest(std::iter::once(&file.sha256).chain(ends.iter().map(|(_, digest)| digest)));
        let folders = ends.into_iter().map(|(folder, _)| folder).collect();
        let (list, missing) = (file.path, self.lock().clone());
        Ok(Fetched { list, folders, listed, beyond, repeated, not_held, why_not_held, missing, counted_again: None, digest })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the attachments of one unit into its folder, which has its name when all are there. Answers the folder, and what tells its
    /// content from another.
    async fn unit(&self, index: usize, some: Vec<Listed>) -> Result<(PathBuf, String), Failure> {
        let (ctx, unit) = (self.lists.ctx, units::attachments(self.lists.layer, index));
        let name = units::file_name(&unit);
        made_of(ctx, &unit, &name, &digest(some.iter().map(|one| one.encode_to_vec()))).await?;
        let folder = ctx.work_dir().join(name);
        let there = match ctx.finished_file(&unit, &folder).await? {
            Some(there) => Some(there),
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
        match there {
            Some((bytes, sha256)) => {
                ctx.finish_file(&unit, None, &folder, bytes, &sha256).await?;
                Ok((folder, sha256))
            }
            None => {
                // Without a file of its name it is asked for again.
                ctx.finish_unit(&unit, 0, None).await?;
                let new = atomic_file::beside(&folder);
                let came = some.iter().filter(|one| file_of(&new, one.id).is_some()).map(|one| one.id.to_string());
                let digest = digest(came);
                Ok((new, digest))
            }
        }
    }

    /// Fetches some attachments; `None` where some of them are missing.
    async fn fetch_into(&self, folder: &Path, some: &[Listed]) -> Result<Option<(u64, String)>, Failure> {
        let failed = |path: &Path, e: &std::io::Error| {
            Failure::io(FailureStage::Download, format!("cannot keep {}", path.display()), e)
        };
        let new = atomic_file::beside(folder);
        // What an interrupted run left in it is gone on with.
        tokio::fs::create_dir_all(&new).await.map_err(|e| failed(&new, &e))?;
        let mut is_whole = true;
        for one in some {
            match self.file(&new, one).await {
                Ok(()) => {}
                Err(failure) => {
                    self.lose(one, failure).await?;
                    is_whole = false;
                }
            }
        }
        if !is_whole {
            return Ok(None);
        }
        let folder = folder.to_owned();
        self.lists
            .ctx
            .blocking(move || {
                atomic_file::put(&new, &folder).map_err(|e| failed(&folder, &e))?;
                hash_result(&folder).map(Some)
            })
            .await
    }

    /// Counts an attachment that did not come; fails where the layer's budget does not allow it, or its failure is of more than itself.
    async fn lose(&self, one: &Listed, failure: Failure) -> Result<(), Failure> {
        let is_of_one = match failure.owner {
            _ if failure.is_cancelled() || self.may_lack.is_empty() => false,
            FailureOwner::Source | FailureOwner::Network => true,
            // Where its row may be asked about, it is not the token.
            FailureOwner::Credentials => self.lists.of_row(one.object_id).await.is_ok(),
            _ => false,
        };
        if !is_of_one {
            return Err(failure);
        }
        let mut missing = self.lock();
        missing.count += 1;
        if missing.examples.len() < MOST_EXAMPLES {
            missing.examples.push(format!("{}/{}", one.object_id, one.id));
        }
        if !self.may_lack.iter().any(|budget| budget.allows(missing.count, missing.of)) {
            return Err(failure);
        }
        tracing::info!(%failure, row = one.object_id, attachment = one.id, "an attachment did not come");
        Ok(())
    }

    async fn file(&self, folder: &Path, one: &Listed) -> Result<(), Failure> {
        let AttachmentLists { client, service, layer, ctx, .. } = self.lists;
        let url = format!("{}/{layer}/{}/attachments/{}", service.root, one.object_id, one.id);
        let to = folder.join(one.id.to_string());
        let is_of = |size: Option<u64>, bytes: u64| size.is_none_or(|size| size == bytes);
        if tokio::fs::metadata(&to).await.is_ok_and(|there| there.is_file() && is_of(one.size, there.len())) {
            return Ok(());
        }
        let fetch = || {
            let (limit, secrets) = (GeodatabaseSink::LARGEST_ATTACHMENT, &service.secrets);
            client.download(Download { url: &url, to: &to, presigned: false, limit, secrets }, |_, _| {})
        };
        let first = fetch().await;
        if first.as_ref().is_ok_and(|downloaded| is_of(one.size, downloaded.bytes)) {
            return Ok(());
        }
        if let Err(failure) = &first
            && failure.kind != FailureKind::NotFound
        {
            return Err(failure.clone());
        }
        // Whoever replaced or deleted it, or its row, has changed the list.
        let Some(again) = self.lists.of_row(one.object_id).await?.into_iter().find(|again| again.id == one.id) else {
            return mark_gone(&to).await;
        };
        let downloaded = match first {
            Ok(downloaded) => downloaded,
            Err(_) => while_it_lags(ctx, "an attachment was listed and", fetch).await?,
        };
        if is_of(again.size, downloaded.bytes) {
            return Ok(());
        }
        let _ = tokio::fs::remove_file(&to).await;
        let message = format!(
            "attachment {} of feature {} of \"{}\" has {} bytes, the service lists it with {}",
            one.id,
            one.object_id,
            self.lists.query.title,
            downloaded.bytes,
            again.size.unwrap_or_default()
        );
        Err(self.lists.query.failure(FailureKind::Incomplete, message))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: i64, object_id: i64, size: Option<u64>) -> Listed {
        Listed { id, object_id, size, ..Listed::default() }
    }

    #[test]
    fn what_has_no_size_fits_into_no_budget_of_bytes() {
        let all = [listed(1, 1, Some(3)), listed(2, 1, Some(4)), listed(3, 1, None)];
        assert_eq!([None, Some(100), Some(7), Some(6), Some(0)].map(|most| within(&all, most)), [3, 2, 2, 1, 0]);
    }

    #[test]
    fn what_the_geodatabase_cannot_hold_is_counted_and_named() {
        let too_large = GeodatabaseSink::LARGEST_ATTACHMENT + 1;
        let mut all = vec![listed(1, 1, Some(3)), listed(1, 2, Some(4)), listed(2, 2, None), listed(3, 2, Some(too_large))];
        let (count, why) = hold(&mut all);
        assert_eq!((count, all.len()), (2, 2));
        assert_eq!(why, "attachment 1 of row 2 has the id of one of another row");
        let (count, why) = hold(&mut vec![listed(3, 2, Some(too_large))]);
        assert!(count == 1 && why.contains("attachment 3 of row 2 has 998951425 bytes"), "{why}");
    }
}
