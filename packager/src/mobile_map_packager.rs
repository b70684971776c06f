//! The packager of mobile map packages.

use crate::{basemap, destination, earlier, pack};
use async_trait::async_trait;
use offmap_disk::run_blocking;
use offmap_engine::{EarlierPackage, LocalBasemap, PackRequest, Packager, Packed};
use offmap_model::Failure;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Makes mobile map packages as unpacked directories; [`write_mmpk`](crate::write_mmpk) zips one.
///
/// `offmap::with_defaults` begins an engine with it. Begin one yourself to choose the exporters:
///
/// ```
/// use offmap_engine::Engine;
/// use offmap_packager::MobileMapPackager;
///
/// let builder = Engine::builder(MobileMapPackager).concurrent_jobs(2);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MobileMapPackager;

#[async_trait]
impl Packager for MobileMapPackager {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        destination::check(destination)
    }

    fn read_package(&self, package: &Path) -> Result<EarlierPackage, Failure> {
        earlier::read(package)
    }

    fn read_basemap(&self, file: &Path) -> Result<LocalBasemap, Failure> {
        basemap::read(file)
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        run_blocking(move || pack::pack(&request, &*report, &cancel)).await
    }
}
