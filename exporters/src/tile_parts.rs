//! A tile package out of the exports of one or several parts of an area: those on both sides of the dateline, and those of an export
//! over the limit of its service, are joined.

use crate::download_limit::DownloadLimit;
use crate::export_parts::{ExportPart, PartCall, job_unit, part_unit, units};
use crate::tile_export::{Step, export_part};
use crate::tile_service::{FILE_UNIT, JobUrlStyle, TiledService};
use offmap_arcgis::{ArcGisClient, Downloaded};
use offmap_engine::ExportContext;
use offmap_formats::tile_package;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, Missing};
use std::path::{Path, PathBuf};

/// A part that came: its unit, its file, and what was downloaded.
type Part = (String, PathBuf, Downloaded);

/// The parts of one tile package.
pub(crate) struct TileParts<'a> {
    pub(crate) client: &'a ArcGisClient,
    pub(crate) ctx: &'a ExportContext,
    pub(crate) service: &'a TiledService,
    pub(crate) url_style: JobUrlStyle,
}

/// A plan is not changed while it runs, so what the service refuses now is offered for the next job.
fn with_other_way(mut failure: Failure) -> Failure {
    if failure.owner == FailureOwner::Limit
        && failure.kind == FailureKind::LimitExceeded
        && failure.stage != FailureStage::Download
    {
        failure.message.push_str(
            "; or, where the terms of its host allow it, have the layer's tiles downloaded one by one (directDownload: always; --direct always)",
        );
    }
    failure
}

impl TileParts<'_> {
    /// Runs the jobs of all parts to their end and downloads the package as `to`; the packages of several parts are joined.
    pub(crate) async fn export(&self, calls: Vec<PartCall>, to: &Path) -> Result<Downloaded, Failure> {
        self.export_all(calls, to).await.map_err(with_other_way)
    }

    async fn export_all(&self, mut calls: Vec<PartCall>, to: &Path) -> Result<Downloaded, Failure> {
        let limit = DownloadLimit::of_plan(self.ctx.planned_bytes().map(|planned| planned.max));
        if calls.len() == 1
            && let Some(PartCall { call, .. }) = calls.pop()
        {
            let job = job_unit(0, 1);
            let step = Step { job: &job, file: FILE_UNIT, to, before: 0, limit };
            return export_part(self.client, self.ctx, self.service, self.url_style, &call, &step).await;
        }
        if let Some(joined) = self.joined_before(calls.len(), to).await? {
            return Ok(joined);
        }
        let parts = self.export_parts(calls, to, limit).await?;
        self.join(parts, to).await
    }

    /// A package that an earlier run joined.
    async fn joined_before(&self, parts: usize, to: &Path) -> Result<Option<Downloaded>, Failure> {
        let Some(joined) = self.ctx.finished_file(FILE_UNIT, to).await? else { return Ok(None) };
        for unit in units(parts).into_iter().filter(|u| u.id != FILE_UNIT) {
            self.ctx.finish_unit(&unit.id, 0, None).await?;
        }
        self.ctx.begin_unit(FILE_UNIT).await?;
        Ok(Some(joined.into()))
    }

    /// Tiles that all parts are planned to have.
    async fn planned_tiles(&self, calls: &[PartCall]) -> Result<u64, Failure> {
        let parts: Vec<ExportPart> = calls.iter().map(|call| call.part.clone()).collect();
        let service = self.service.clone();
        let planned = move || {
            let mut each = parts.iter().map(|part| service.planned_tiles(&part.area, &part.level_ids));
            each.try_fold(0_u64, |sum, tiles| Ok(tiles?.saturating_add(sum)))
        };
        self.ctx.blocking(planned).await
    }

    /// What the package of one part does not hold of its plan.
    async fn missing(&self, part: ExportPart, path: &Path) -> Result<Option<Missing>, Failure> {
        let (path, service) = (path.to_owned(), self.service.clone());
        let missing = move || service.missing(&part.area, &part.level_ids, &tile_package::open(&path)?);
        self.ctx.blocking(missing).await
    }

    async fn export_parts(&self, calls: Vec<PartCall>, to: &Path, limit: DownloadLimit) -> Result<Vec<Part>, Failure> {
        let ctx = self.ctx;
        let mut lacking = Missing { of: self.planned_tiles(&calls).await?, ..Missing::default() };
        let (count, mut before, mut parts) = (calls.len(), 0, Vec::new());
        for (index, PartCall { part, call }) in calls.into_iter().enumerate() {
            let (job, unit) = (job_unit(index, count), part_unit(index));
            let path = to.with_extension(format!("part{}", index + 1));
            let step = Step { job: &job, file: &unit, to: &path, before, limit: limit.without(before) };
            // How large the parts are in all is known with the last one.
            let open = (index + 1 < count).then(|| ctx.with_more_to_follow());
            let ctx_of_part = open.as_ref().unwrap_or(ctx);
            let got = export_part(self.client, ctx_of_part, self.service, self.url_style, &call, &step).await?;
            before += got.bytes;
            // A budget that cannot be kept any more ends the export before the next part is asked for.
            match self.missing(part, &path).await? {
                None => ctx.finish_file(&unit, None, &path, got.bytes, &got.sha256).await?,
                // A part that misses tiles is asked for again if the export fails: the service may have them by then.
                Some(missing) => {
                    lacking.count += missing.count;
                    lacking.examples.extend(missing.examples);
                    ctx.may_lack_tiles(&lacking)?;
                }
            }
            parts.push((unit, path, got));
        }
        Ok(parts)
    }

    /// Joins the parts into one file.
    async fn join(&self, parts: Vec<Part>, to: &Path) -> Result<Downloaded, Failure> {
        let ctx = self.ctx;
        ctx.begin_unit(FILE_UNIT).await?;
        ctx.log("the parts of the export are joined");
        let (to, reserve) = (to.to_owned(), self.client.options().disk_reserve);
        let paths: Vec<_> = parts.iter().map(|(_, path, _)| path.clone()).collect();
        let (bytes, cancel) = (parts.iter().map(|(.., got)| got.bytes).sum(), ctx.cancel_token().clone());
        let joined = ctx.blocking(move || {
            // The parts stay until they are joined.
            reserve.check(to.parent().unwrap_or(&to), bytes)?;
            tile_package::merge(&paths, &to, &cancel)?;
            let (bytes, sha256) = offmap_disk::hash_file_until(&to, &cancel)?;
            for file in &paths {
                std::fs::remove_file(file)
                    .map_err(|e| Failure::io(FailureStage::Check, format!("cannot remove {}", file.display()), &e))?;
            }
            Ok((bytes, sha256).into())
        });
        let joined = joined.await?;
        for (unit, _, got) in parts {
            ctx.finish_unit(&unit, got.bytes, Some(&got.sha256)).await?;
        }
        Ok(joined)
    }
}
