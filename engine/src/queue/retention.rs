//! Lets jobs go that ended long ago.

use super::orchestrator::Orchestrator;
use super::settings::Retention;
use crate::data_dir::packages_in;
use crate::store::JobRecord;
use offmap_disk::{run_blocking, safe_path};
use offmap_model::Failure;
use std::path::Path;
use std::sync::atomic::Ordering;

impl Orchestrator {
    /// Removes what the retention lets go. A package that cannot be removed keeps its job.
    pub(crate) async fn apply_retention(&self) {
        let Retention { longest, most } = self.settings.retention;
        if (longest.is_none() && most.is_none()) || self.is_retaining.swap(true, Ordering::AcqRel) {
            return;
        }
        let before = longest.map(|l| self.now().saturating_sub(i64::try_from(l.as_millis()).unwrap_or(i64::MAX)));
        match self.store.outlived(before, most).await {
            Ok(outlived) => {
                for record in outlived {
                    if let Err(failure) = self.let_go(&record).await {
                        tracing::warn!(job = record.order.id, %failure, "an ended job cannot be removed");
                    }
                }
            }
            Err(failure) => tracing::warn!(%failure, "ended jobs cannot be listed"),
        }
        self.is_retaining.store(false, Ordering::Release);
    }

    async fn let_go(&self, record: &JobRecord) -> Result<(), Failure> {
        if let Some(name) = record.order.destination.file_name().filter(|_| record.order.is_owned)
            && let Some(data_dir) = self.settings.data_dir.clone()
            && record.order.destination.parent() == Some(&packages_in(&data_dir))
        {
            let name = name.to_owned();
            run_blocking(move || {
                let root = packages_in(&data_dir);
                match safe_path::remove_tree(&root, Path::new(&name)) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        Err(safe_path::judged("cannot remove a package", &e))
                    }
                    _ => Ok(()),
                }
            })
            .await?;
        }
        self.store.remove(record.seq).await
    }
}
