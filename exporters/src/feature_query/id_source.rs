//! Who is asked for the object ids of a layer.

use async_trait::async_trait;
use offmap_model::{Failure, FailureKind};

/// The questions by which object ids are listed.
#[async_trait]
pub(super) trait IdSource: Sync {
    /// What people call the layer.
    fn title(&self) -> &str;

    /// A failure of its service.
    fn failure(&self, kind: FailureKind, message: String) -> Failure;

    /// A clause of the object ids from one to another.
    fn range(&self, from: i64, to: i64) -> String;

    /// The service's own count of the rows that are wanted and meet a further clause.
    async fn count(&self, and: Option<&str>) -> Result<u64, Failure>;

    /// The object ids of the rows that are wanted and meet a further clause, in ascending order.
    async fn ids(&self, and: Option<&str>) -> Result<Vec<i64>, Failure>;

    /// Lowest and highest object id of the rows that are wanted; `None` where the layer can be asked in no way that tells them.
    async fn bounds(&self) -> Result<Option<(i64, i64)>, Failure>;
}
