//! Numbers that services say, before anything is made of them.

use crate::exporter::TaskPlan;
use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::plan::{BytesSource, CountUnit};

/// The most features or other items that a layer is believed to have.
pub(crate) const MOST_ITEMS: u64 = 1_000_000_000_000;
/// The most tiles of a layer: SQLite and most readers know no larger numbers. How many there are follows from the area and the
/// levels that were asked for, so that a smaller number may be honest and yet too many for the disk.
const MOST_TILES: u64 = i64::MAX as u64;
/// The most bytes that a service's own estimate is believed to be.
pub(crate) const MOST_BYTES: u64 = 1 << 50;

/// Layers of a plan for which the service says numbers that cannot be: each with its failure.
pub(crate) fn absurd(plan: &TaskPlan) -> Vec<(String, Failure)> {
    let most = if plan.count_unit == CountUnit::Tiles { MOST_TILES } else { MOST_ITEMS };
    let estimate = plan.bytes.filter(|b| plan.bytes_from == BytesSource::ServiceEstimate && b.min > MOST_BYTES);
    let of = |layer: &crate::exporter::LayerPlan| {
        let count = layer.expected.filter(|n| *n > most).map(|n| (n, "features, tiles or items", most));
        let attachments = layer.attachments.filter(|n| *n > MOST_ITEMS).map(|n| (n, "attachments", MOST_ITEMS));
        let bytes = estimate.map(|b| (b.min, "bytes", MOST_BYTES));
        let (number, what, most) = count.or(attachments).or(bytes)?;
        let message = format!("the service says that there are {number} {what}, expected at most {most}");
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message);
        Some((layer.id.clone(), failure))
    };
    plan.layers.iter().filter_map(of).collect()
}
