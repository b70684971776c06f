//! What makes an exporter short: whole steps that every exporter needs, each in one call.

use crate::context::ExportContext;
use offmap_arcgis::server_job::while_it_lags;
use offmap_arcgis::{ArcGisClient, Download, Downloaded};
use offmap_disk::{hash_result_until, run_blocking, safe_path};
use offmap_formats::tiles::{Lod, TileInfo, TileRows};
use offmap_model::{AreaOfInterest, ArtifactFile, DirectDownloadHosts, Envelope, Failure, Progress};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file of a unit that is finished: it is in the ledger with its size and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinishedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name below the work directory.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// `ETag`, where it was downloaded in this run and the server sent one.
    pub etag: Option<String>,
    /// Whether an earlier run had left it, so that it was not made again.
    pub was_there: bool,
}

impl FinishedFile {
    /// The file for the artifact, with its extension in the package, without dot.
    #[must_use]
    pub fn artifact(&self, extension: &str) -> ArtifactFile {
        ArtifactFile::file(&self.name, extension).with_sha256(&self.sha256)
    }
}

/// A file that a service has ([`ExportContext::download_unit`]).
#[derive(Debug, Clone, Copy)]
pub struct RemoteFile<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Largest size that is accepted, in bytes.
    pub limit: u64,
}

impl ExportContext {
    /// What the caller says of hosts whose data are downloaded directly.
    #[must_use]
    pub fn direct_download_hosts(&self) -> &DirectDownloadHosts {
        &self.plan.parameters.direct_download_hosts
    }

    /// The job's area of interest. As parameters of a query: [`AreaOfInterest::query_parameters`],
    /// [`FeatureQuery::within`](offmap_arcgis::FeatureQuery::within); as tiles: [`ExportContext::tile_cover`].
    #[must_use]
    pub fn area(&self) -> &AreaOfInterest {
        &self.plan.parameters.area_of_interest
    }

    /// The tiles of a tiling scheme that meet the job's area, level by level, every tile once; within the extent of the service, where it
    /// is known. `None` where they are too many to be listed ([`TileInfo::count`] counts them in any case). Runs off the async threads.
    ///
    /// # Errors
    /// If the area cannot be projected to the scheme's spatial reference.
    pub async fn tile_cover(
        &self,
        scheme: &TileInfo,
        extent: Option<&Envelope>,
        levels: &[Lod],
    ) -> Result<Option<BTreeMap<u32, TileRows>>, Failure> {
        let (scheme, extent, levels) = (scheme.clone(), extent.cloned(), levels.to_vec());
        let area = self.area().clone();
        self.blocking(move || scheme.cover(&area, extent.as_ref(), &levels)).await
    }

    /// Does a unit whose result is one file, unless an earlier run did and the file still has its hash: begins the unit, lets `write` make
    /// the file (complete under its final name, or not at all: [`offmap_disk::atomic_file`]), and notes it in the ledger with size
    /// and hash. `write` is dropped when the job is cancelled; its failure is noted with the unit.
    ///
    /// ```
    /// use offmap_disk::atomic_file;
    /// use offmap_engine::{ExportContext, FinishedFile};
    /// use offmap_model::{Failure, FailureStage};
    /// use std::io::Write as _;
    /// use std::path::PathBuf;
    ///
    /// async fn greeting(ctx: &ExportContext) -> Result<FinishedFile, Failure> {
    ///     let failed = |e: &_| Failure::io(FailureStage::Run, "cannot write the greeting", e);
    ///     let write = move |path: PathBuf| {
    ///         atomic_file::write(&path, failed, |file| file.write_all(b"hello").map_err(|e| failed(&e)))
    ///     };
    ///     ctx.file_unit("file", "greeting.txt", |path| ctx.blocking(move || write(path).map(|_| ()))).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`ExportContext::begin_unit`] and `write`.
    pub async fn file_unit<W>(
        &self,
        unit: &str,
        name: &str,
        write: impl FnOnce(PathBuf) -> W + Send,
    ) -> Result<FinishedFile, Failure>
    where
        W: Future<Output = Result<(), Failure>> + Send,
    {
        let made = |path: PathBuf| async move {
            write(path.clone()).await?;
            let cancel = self.cancel.clone();
            Ok(Downloaded::from(run_blocking(move || hash_result_until(&path, &cancel)).await?))
        };
        self.unit_of(unit, name, made, |_| Ok(())).await.map(|(file, ())| file)
    }

    /// Downloads the file of a unit, unless an earlier run did and the file still has its hash; half a file is continued. Asks with the
    /// session of the job and the secrets of the layers, reports progress, and ends when the job is cancelled. A file that is not there
    /// though it was planned is asked for again for a minute. `check` reads the file off the async threads, whether it came now or before;
    /// one that it refuses is removed, and the unit fails.
    ///
    /// ```
    /// use offmap_arcgis::ArcGisClient;
    /// use offmap_engine::{ExportContext, RemoteFile};
    /// use offmap_model::{Artifact, ExportTask, Failure};
    ///
    /// async fn export(task: &ExportTask, client: &ArcGisClient, ctx: &ExportContext) -> Result<Artifact, Failure> {
    ///     let from = RemoteFile { url: &task.key.service_url, limit: 64 << 20 };
    ///     let (file, lines) = ctx.download_unit(client, "file", from, "sites.csv", lines).await?;
    ///     Ok(Artifact::one_file(task, file.artifact("csv"), lines))
    /// }
    ///
    /// fn lines(path: &std::path::Path) -> Result<u64, Failure> {
    ///     # let failed = |e| Failure::io(offmap_model::FailureStage::Check, "cannot read the file", &e);
    ///     Ok(std::fs::read_to_string(path).map_err(failed)?.lines().count() as u64)
    /// }
    /// ```
    ///
    /// # Errors
    /// What the network, the host or the service says, or `check`; also as [`ExportContext::begin_unit`].
    pub async fn download_unit<T: Send + 'static>(
        &self,
        client: &ArcGisClient,
        unit: &str,
        from: RemoteFile<'_>,
        name: &str,
        check: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<(FinishedFile, T), Failure> {
        let client = self.client(client);
        let fetched = |path: PathBuf| async move {
            let RemoteFile { url, limit } = from;
            let ask = || {
                let download = Download { url, to: &path, presigned: false, limit, secrets: self.secrets() };
                client.download(download, move |here, all| self.report(Progress::bytes(here, all)))
            };
            while_it_lags(self, "the file was there when it was planned and", ask).await
        };
        self.unit_of(unit, name, fetched, check).await
    }

    /// Does a unit whose work blocks and needs nobody else, such as writing what is known already, in one step off the async threads: it
    /// is noted as done, with the size and SHA-256 that the work answers, in the same step; answers that SHA-256. The only unit of a task is
    /// noted with the task's end. Nothing is noted before, so a process that is killed meanwhile does the work again. A small unit costs a fraction of what it costs by [`ExportContext::begin_unit`],
    /// [`ExportContext::blocking`] and [`ExportContext::finish_unit`]. Waits while the job is paused.
    ///
    /// ```
    /// use offmap_engine::ExportContext;
    /// use offmap_model::{Failure, FailureStage};
    ///
    /// async fn part(ctx: &ExportContext, text: String) -> Result<(), Failure> {
    ///     let path = ctx.work_dir().join("part.json");
    ///     let write = move || match std::fs::write(path, &text) {
    ///         Ok(()) => Ok((text.len() as u64, None)),
    ///         Err(e) => Err(Failure::io(FailureStage::Run, "cannot write the part", &e)),
    ///     };
    ///     ctx.blocking_unit("part", write).await.map(|_| ())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`ExportContext::begin_unit`] and `work`; the unit is not noted as failed.
    ///
    /// # Cancel safety
    /// Work that has begun runs to its end, and the unit is done then.
    pub async fn blocking_unit(
        &self,
        unit: &str,
        work: impl FnOnce() -> Result<(u64, Option<String>), Failure> + Send + 'static,
    ) -> Result<Option<String>, Failure> {
        self.goes_on().await?;
        let (ledger, unit, clock) = (self.ledger.clone(), unit.to_owned(), Arc::clone(&self.clock));
        let is_all = self.only_unit.as_deref() == Some(unit.as_str());
        run_blocking(move || {
            let done = work();
            match &done {
                Ok((bytes, sha256)) if is_all => ledger.did_all(&unit, (*bytes, sha256.as_deref()), clock.now_ms())?,
                done => ledger.did_here(&unit, done.as_ref().ok(), clock.now_ms())?,
            }
            done.map(|(_, sha256)| sha256)
        })
        .await
    }

    async fn unit_of<T: Send + 'static, W>(
        &self,
        unit: &str,
        name: &str,
        make: impl FnOnce(PathBuf) -> W + Send,
        check: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<(FinishedFile, T), Failure>
    where
        W: Future<Output = Result<Downloaded, Failure>> + Send,
    {
        let path = self.work_dir().join(name);
        let earlier = self.finished_file(unit, &path).await?;
        let was_there = earlier.is_some();
        let work = async {
            let made = match earlier {
                Some(earlier) => Downloaded::from(earlier),
                None => {
                    self.begin_unit(unit).await?;
                    make(path.clone()).await?
                }
            };
            Ok((made, self.checked(path.clone(), check).await?))
        };
        let (made, checked) = match self.or_cancelled(work).await {
            Ok(done) => done,
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => return Err(self.fail_unit(unit, failure).await),
        };
        let Downloaded { bytes, sha256, etag } = made;
        self.finish_file(unit, None, &path, bytes, &sha256).await?;
        Ok((FinishedFile { path, name: name.to_owned(), bytes, sha256, etag, was_there }, checked))
    }

    /// What a check says of a file; one that it refuses is removed, so that it is not trusted for its name.
    async fn checked<T: Send + 'static>(
        &self,
        path: PathBuf,
        check: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.blocking(move || {
            let checked = check(&path);
            if checked.is_err() {
                let failed = |e| safe_path::judged(&format!("cannot remove {}", path.display()), &e);
                std::fs::remove_file(&path).map_err(failed)?;
            }
            checked
        })
        .await
    }
}
