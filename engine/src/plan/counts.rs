//! Numbers that services say, before anything is made of them.

use crate::exporter::TaskPlan;
use offmap_model::{BytesSource, CountUnit, Failure, FailureKind, FailureOwner, FailureStage};

/// The most features or other items that a layer is believed to have.
pub(crate) const MOST_ITEMS: u64 = 1_000_000_000;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::LayerPlan;
    use offmap_model::ByteRange;

    #[test]
    fn numbers_that_cannot_be_are_told_by_layer_and_honest_ones_pass() {
        let layer =
            |id: &str, expected, attachments| LayerPlan { id: id.to_owned(), expected, attachments, ..LayerPlan::default() };
        let mut plan = TaskPlan {
            layers: vec![
                layer("honest", Some(MOST_ITEMS), Some(MOST_ITEMS)),
                layer("rows", Some(MOST_ITEMS + 1), None),
                layer("attachments", Some(1), Some(u64::MAX)),
                layer("unknown", None, None),
            ],
            bytes: Some(ByteRange { min: u64::MAX, max: u64::MAX }),
            ..TaskPlan::default()
        };
        let named = |plan: &TaskPlan| absurd(plan).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(named(&plan), ["rows", "attachments"], "sizes that follow from counts are judged by the counts");
        plan.bytes_from = BytesSource::ServiceEstimate;
        assert_eq!(named(&plan), ["honest", "rows", "attachments", "unknown"], "the service's own estimate is its word");
        // The whole world on a deep level is a wish, not a lie.
        let tiles = vec![layer("tiles", Some(4_u64.pow(24)), None)];
        assert_eq!(absurd(&TaskPlan { layers: tiles, count_unit: CountUnit::Tiles, ..TaskPlan::default() }), []);
    }
}
