//! Attachments of the rows that came: listed once, then fetched, some side by side. Within a budget of bytes the smallest ones come.
//!
//! The list is a unit, and each attachment or few of them are one, in a file of its own (`attachment_file`): what is there is not fetched
//! again. One that is deleted meanwhile is noted as gone; one that lasting failures keep from coming is missing, as far as the layer's
//! error budget allows it, and is asked for again by the next run. Source: feature service reference §5.3.

use super::attachment_file::{UnitFile, places};
use super::attachment_list::{AttachmentLists, Listed, forget_incomplete, read_list};
use super::id_source::IdSource as _;
use super::made_of::{LARGE, digest, made_of, with_ending};
use super::units;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::Download;
use offmap_arcgis::server_job::while_it_lags;
use offmap_disk::{atomic_file, run_blocking};
use offmap_formats::geodatabase::GeodatabaseSink;
use offmap_model::{Allowance, Failure, FailureKind, FailureOwner, FailureStage, MOST_EXAMPLES, Missing};
use prost::Message;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes of the largest attachment that is held in memory on its way into its unit's file; a larger one is a file first, so that a
/// connection that breaks does not cost what came.
const MOST_HELD: usize = 4 << 20;
/// What the files of units look like: those of another form are made anew.
const FORM: &str = "file of attachments 1";

/// The attachments of a layer that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Fetched {
    /// The files of its units, in the order of its attachments' ids.
    pub(super) files: Vec<PathBuf>,
    /// The highest id.
    pub(super) highest: i64,
    /// Attachments that the service lists, and those of them that are beyond the budget of bytes.
    pub(super) listed: u64,
    pub(super) beyond: u64,
    /// How often it lists one of them again.
    pub(super) repeated: u64,
    /// Those of them that the geodatabase cannot hold, and why the first one.
    pub(super) not_held: u64,
    pub(super) why_not_held: String,
    /// Those of them that did not come; each row whose attachments are not listed counts as one of them.
    pub(super) missing: Missing,
    /// How many such rows there are, and why of the first one.
    pub(super) unlisted: u64,
    pub(super) why_unlisted: String,
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
    /// Takes the file of each unit, in their order, as soon as it is there, with the highest id of all attachments.
    pub(super) each: &'a (dyn Fn(&Path, i64) + Sync),
}

/// What came of an attachment.
enum Came {
    Gone,
    Held(Vec<u8>),
    /// A file of so many bytes.
    File(PathBuf, u64),
}

impl Came {
    fn bytes(&self) -> u64 {
        match self {
            Self::Gone => 0,
            Self::Held(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }
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

/// Takes out what the file cannot hold: too large attachments. Answers how many those are, and why the first one.
fn hold(all: &mut Vec<Listed>) -> (u64, String) {
    let (mut count, mut why) = (0, String::new());
    all.retain(|one| {
        let Some(size) = one.size.filter(|size| *size > GeodatabaseSink::LARGEST_ATTACHMENT) else { return true };
        if count == 0 {
            let (Listed { id, object_id, .. }, most) = (one, GeodatabaseSink::LARGEST_ATTACHMENT);
            why = format!("attachment {id} of row {object_id} has {size} bytes, expected at most {most}");
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
        let list = ctx.work_dir().join(&name);
        ctx.blocking(move || forget_incomplete(&list)).await?;
        let file = ctx.file_unit(&unit, &name, |path| self.lists.write(pages, path)).await?;
        let read = file.path.clone();
        let all = ctx.blocking(move || read_list(&read)).await?;
        let (unlisted, mut all): (Vec<Listed>, Vec<Listed>) = all.into_iter().partition(|one| one.unlisted.is_some());
        let (listed, repeated) = (all.len() as u64, self.lists.repeated().await?);
        let (not_held, why_not_held) = hold(&mut all);
        let taken = within(&all, self.most_bytes);
        let beyond = (all.len() - taken) as u64;
        all.truncate(taken);
        // As they are in the file: what was fetched is read in its order.
        all.sort_by_key(|one| (one.id, one.object_id));
        let (wanted, highest) = (all.as_slice(), all.last().map_or(0, |one| one.id));
        self.lock().of = (wanted.len() + unlisted.len()) as u64;
        let (unlisted, why_unlisted) = self.lose_rows(&unlisted)?;
        let of_unit = |index: usize| {
            let (from, to) = units::part(wanted.len() as u64, index, planned, 1);
            let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            (index, wanted.get(place(from)..place(to)).unwrap_or_default().to_vec())
        };
        let work = (0..planned).map(of_unit).map(|(index, some)| self.unit(index, some));
        let told = |end: (PathBuf, String)| {
            (self.each)(&end.0, highest);
            end
        };
        let ends: Vec<(PathBuf, String)> = stream::iter(work).buffered(at_a_time).map_ok(told).try_collect().await?;
        let digest = digest(std::iter::once(&file.sha256).chain(ends.iter().map(|(_, digest)| digest)));
        let files = ends.into_iter().map(|(file, _)| file).collect();
        let missing = self.lock().clone();
        let counted_again = None;
        Ok(Fetched {
            files,
            highest,
            listed,
            beyond,
            repeated,
            not_held,
            why_not_held,
            missing,
            unlisted,
            why_unlisted,
            counted_again,
            digest,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the attachments of one unit into its file, which has its name when all are there. Answers the file, and what tells its
    /// content from another.
    async fn unit(&self, index: usize, some: Vec<Listed>) -> Result<(PathBuf, String), Failure> {
        let (ctx, unit) = (self.lists.ctx, units::attachments(self.lists.layer, index));
        let name = units::file_name(&unit);
        let of = some.iter().map(Message::encode_to_vec);
        made_of(ctx, &unit, &name, &digest(std::iter::once(FORM.into()).chain(of))).await?;
        let file = ctx.work_dir().join(name);
        let there = match ctx.finished_file(&unit, &file).await? {
            Some(there) => Some(there),
            None => {
                ctx.begin_unit(&unit).await?;
                let fetched = ctx.or_cancelled(self.fetch_into(&file, &some)).await;
                match fetched {
                    Ok(fetched) => fetched,
                    Err(failure) if failure.is_cancelled() => return Err(failure),
                    Err(failure) => return Err(ctx.fail_unit(&unit, failure).await),
                }
            }
        };
        match there {
            Some((bytes, sha256)) => {
                ctx.finish_file(&unit, None, &file, bytes, &sha256).await?;
                Ok((file, sha256))
            }
            None => {
                // Without a file of its name it is asked for again.
                ctx.finish_unit(&unit, 0, None).await?;
                let new = atomic_file::beside(&file);
                let read = new.clone();
                let came = ctx.blocking(move || places(&read)).await?;
                let digest = digest(came.iter().map(|place| place.kept.encode_to_vec()));
                Ok((new, digest))
            }
        }
    }

    /// Fetches some attachments; `None` where some of them are missing.
    async fn fetch_into(&self, to: &Path, some: &[Listed]) -> Result<Option<(u64, String)>, Failure> {
        let (file, large) = (to.to_owned(), large_of(to));
        // What an interrupted run left in it is gone on with.
        let mut unit = run_blocking(move || UnitFile::open(&file)).await?;
        let mut is_whole = true;
        for one in some {
            if unit.has(one) {
                continue;
            }
            match self.file(&large, one).await {
                Ok(came) => {
                    let one = one.clone();
                    let put = move || {
                        match came {
                            Came::Gone => unit.add_gone(&one)?,
                            Came::Held(bytes) => unit.add(&one, &bytes)?,
                            Came::File(path, bytes) => unit.add_file(&one, &path, bytes)?,
                        }
                        Ok(unit)
                    };
                    unit = run_blocking(put).await?;
                }
                Err(failure) => {
                    self.lose(one, failure).await?;
                    is_whole = false;
                }
            }
        }
        if !is_whole {
            return Ok(None);
        }
        let to = to.to_owned();
        let finish = move || {
            // Empty, if it is there at all.
            let _ = std::fs::remove_dir(&large);
            unit.finish(&to).map(Some)
        };
        run_blocking(finish).await
    }

    /// Counts rows whose attachments are not listed; fails where the layer's budget does not allow them. Answers how many they are, and why
    /// of the first one.
    fn lose_rows(&self, rows: &[Listed]) -> Result<(u64, String), Failure> {
        let Some(first) = rows.first() else { return Ok((0, String::new())) };
        let why = format!("row {}: {}", first.object_id, first.unlisted.as_deref().unwrap_or_default());
        let mut missing = self.lock();
        missing.count += rows.len() as u64;
        let room = MOST_EXAMPLES.saturating_sub(missing.examples.len());
        missing.examples.extend(rows.iter().take(room).map(|row| format!("{}/?", row.object_id)));
        match self.may_lack.iter().any(|budget| budget.allows(missing.count, missing.of)) {
            true => Ok((rows.len() as u64, why)),
            false => {
                let message = format!(
                    "the attachments of {} rows of \"{}\" are not listed, which is more than its error budget allows (the first, {why})",
                    rows.len(),
                    self.lists.query.title
                );
                Err(self.lists.query.failure(FailureKind::Incomplete, message))
            }
        }
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

    /// Fetches an attachment: into memory, or into a file of a folder where it is large.
    async fn bytes_of(&self, large: &Path, one: &Listed) -> Result<Came, Failure> {
        let AttachmentLists { client, service, layer, .. } = self.lists;
        let url = format!("{}/{layer}/{}/attachments/{}", service.root, one.object_id, one.id);
        let secrets = &service.secrets;
        if one.size.is_some_and(|size| size <= MOST_HELD as u64)
            && let Some(bytes) = client.download_held(&url, MOST_HELD, secrets).await?
        {
            return Ok(Came::Held(bytes));
        }
        let shown = large.display().to_string();
        let kept = move |e| Failure::io(FailureStage::Download, format!("cannot make {shown}"), &e);
        let folder = large.to_owned();
        run_blocking(move || std::fs::create_dir_all(folder).map_err(kept)).await?;
        let to = large.join(format!("{}-{}", one.object_id, one.id));
        let limit = GeodatabaseSink::LARGEST_ATTACHMENT;
        let came = client.download(Download { url: &url, to: &to, presigned: false, limit, secrets }, |_, _| {}).await?;
        Ok(Came::File(to, came.bytes))
    }

    async fn file(&self, large: &Path, one: &Listed) -> Result<Came, Failure> {
        let is_of = |size: Option<u64>, bytes: u64| size.is_none_or(|size| size == bytes);
        let fetch = || self.bytes_of(large, one);
        let first = match fetch().await {
            Ok(came) if is_of(one.size, came.bytes()) => return Ok(came),
            Ok(came) => Some(came),
            Err(failure) if failure.kind == FailureKind::NotFound => None,
            Err(failure) => return Err(failure),
        };
        // Whoever replaced or deleted it, or its row, has changed the list.
        let Some(again) = self.lists.of_row(one.object_id).await?.into_iter().find(|again| again.id == one.id) else {
            // What came of it is not what anybody has.
            return discard(first).await.map(|()| Came::Gone);
        };
        let came = match first {
            Some(came) => came,
            None => while_it_lags(self.lists.ctx, "an attachment was listed and", fetch).await?,
        };
        if is_of(again.size, came.bytes()) {
            return Ok(came);
        }
        let message = format!(
            "attachment {} of feature {} of \"{}\" has {} bytes, the service lists it with {}",
            one.id,
            one.object_id,
            self.lists.query.title,
            came.bytes(),
            again.size.unwrap_or_default()
        );
        discard(Some(came)).await?;
        Err(self.lists.query.failure(FailureKind::Incomplete, message))
    }
}

/// The folder of a unit's large attachments while they come.
fn large_of(unit: &Path) -> PathBuf {
    with_ending(unit, LARGE)
}

/// Removes the file of an attachment that is not kept.
async fn discard(came: Option<Came>) -> Result<(), Failure> {
    let Some(Came::File(path, _)) = came else { return Ok(()) };
    let shown = path.display().to_string();
    let failed = move |e| Failure::io(FailureStage::Download, format!("cannot remove {shown}"), &e);
    run_blocking(move || std::fs::remove_file(&path).map_err(failed)).await
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
    fn what_the_file_cannot_hold_is_counted_and_named() {
        let too_large = GeodatabaseSink::LARGEST_ATTACHMENT + 1;
        let mut all = vec![listed(1, 1, Some(3)), listed(1, 2, Some(4)), listed(2, 2, None), listed(3, 2, Some(too_large))];
        let (count, why) = hold(&mut all);
        assert_eq!((count, all.len()), (1, 3), "the same id of another row is another attachment");
        assert!(why.contains("attachment 3 of row 2 has 998951425 bytes"), "{why}");
    }
}
