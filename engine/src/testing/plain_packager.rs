//! A packager for tests that do not care about the package.

use crate::packager::{PackRequest, Packager, Packed};
use async_trait::async_trait;
use offmap_model::{Failure, FailureStage};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Packs by moving what was exported into the destination.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainPackager;

#[async_trait]
impl Packager for PlainPackager {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        if destination.exists() {
            return Err(Failure::invalid_parameter(format!("{} exists", destination.display())));
        }
        Ok(())
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        offmap_disk::run_blocking(move || {
            let failed = |e: std::io::Error| Failure::io(FailureStage::Package, "cannot pack", &e);
            std::fs::create_dir_all(&request.staging_dir).map_err(failed)?;
            let mut files = 0;
            for task in &request.artifacts {
                for file in &task.artifact.files {
                    let to = request.staging_dir.join(format!("{files}.{}", file.extension));
                    std::fs::rename(task.work_dir.join(&file.path), to).map_err(failed)?;
                    files += 1;
                    report(files, files);
                }
            }
            std::fs::rename(&request.staging_dir, &request.destination).map_err(failed)?;
            Ok(Packed { path: request.destination, bytes: 0, files })
        })
        .await
    }
}
