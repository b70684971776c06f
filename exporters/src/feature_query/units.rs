//! The units of work: for each layer the list of its object ids, its pages, the list of its attachments and their parts; then the
//! geodatabase.
//!
//! How many pages a layer has is planned by the service's count. At the start of the export its object ids are divided among them: where
//! rows were added since, the pages are a little larger.

use offmap_model::Unit;

/// The geodatabase.
pub(super) const FILE_UNIT: &str = "geodatabase";
/// Its file in the work directory.
pub(super) const FILE: &str = "features.geodatabase";
/// Most pages of a layer that are planned: further rows make each larger.
const MOST_PAGES: u64 = 20_000;
/// Most units of a layer's attachments; further ones share them.
const MOST_ATTACHMENT_UNITS: u64 = 5_000;
/// Units of so few attachments have one each; of more each has about so many.
const FEW_ATTACHMENTS: u64 = 64;
const ATTACHMENTS_OF_A_UNIT: u64 = 8;

pub(super) fn ids(layer: u32) -> String {
    format!("{layer}/ids")
}

pub(super) fn page(layer: u32, index: usize) -> String {
    format!("{layer}/rows/{index:05}")
}

pub(super) fn attachment_list(layer: u32) -> String {
    format!("{layer}/attachments")
}

pub(super) fn attachments(layer: u32, index: usize) -> String {
    format!("{layer}/attachments/{index:05}")
}

/// The file of a unit, or its folder.
pub(super) fn file_name(unit: &str) -> String {
    unit.replace('/', "-")
}

/// Pages of so many rows.
pub(super) fn pages_of(rows: u64, page: u64) -> usize {
    usize::try_from(rows.div_ceil(page.max(1)).clamp(1, MOST_PAGES)).unwrap_or(1)
}

/// Units of so many attachments.
pub(super) fn attachment_units_of(count: u64) -> usize {
    let units = count.div_ceil(ATTACHMENTS_OF_A_UNIT).max(count.min(FEW_ATTACHMENTS));
    usize::try_from(units.clamp(1, MOST_ATTACHMENT_UNITS)).unwrap_or(1)
}

/// The units of a layer with so many pages and, where its attachments come, units of them.
pub(super) fn of_layer(layer: u32, title: &str, pages: usize, attachments_in: Option<usize>) -> Vec<Unit> {
    let mut all = vec![Unit::new(ids(layer), "objectIds", format!("the object ids of {title}"))];
    all.extend((0..pages).map(|n| Unit::new(page(layer, n), "page", format!("page {} of {title}", n + 1))));
    if let Some(count) = attachments_in {
        all.push(Unit::new(attachment_list(layer), "attachmentList", format!("the list of attachments of {title}")));
        let unit = |n| Unit::new(attachments(layer, n), "attachments", format!("attachments {} of {title}", n + 1));
        all.extend((0..count).map(unit));
    }
    all
}

fn count(units: &[Unit], beginning: &str) -> usize {
    units.iter().filter(|unit| unit.id.starts_with(beginning)).count()
}

/// Pages that are planned for a layer.
pub(super) fn planned_pages(units: &[Unit], layer: u32) -> usize {
    count(units, &format!("{layer}/rows/"))
}

/// Units that are planned for the attachments of a layer; none where they do not come.
pub(super) fn planned_attachments(units: &[Unit], layer: u32) -> usize {
    count(units, &format!("{layer}/attachments/"))
}

/// The part of a list that a unit has, of so many units: where it begins, and where it ends.
pub(super) fn part(all: u64, index: usize, units: usize, least: u64) -> (u64, u64) {
    let units = units.max(1) as u64;
    let size = all.div_ceil(units).max(least).max(1);
    let from = size.saturating_mul(index as u64).min(all);
    (from, from.saturating_add(size).min(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_list_are_all_of_it_each_once() {
        for (all, units, least) in [(0, 1, 1000), (1, 3, 1000), (3001, 3, 1000), (3000, 3, 1000), (10, 4, 1), (999, 1, 7)] {
            let mut end = 0;
            for index in 0..units {
                let (from, to) = part(all, index, units, least);
                assert_eq!(from, end.min(all), "{all} in {units}");
                end = to;
            }
            assert_eq!(end, all, "{all} in {units}");
        }
        assert_eq!(part(3001, 1, 3, 1000), (1001, 2002));
    }

    #[test]
    fn the_units_of_one_layer_are_not_those_of_another() {
        let mut all = of_layer(1, "Sites", 2, Some(1));
        all.extend(of_layer(11, "Trees", 3, None));
        assert_eq!((planned_pages(&all, 1), planned_pages(&all, 11), planned_attachments(&all, 1)), (2, 3, 1));
        assert_eq!((planned_attachments(&all, 11), pages_of(0, 1000), pages_of(2001, 1000)), (0, 1, 3));
    }
}
