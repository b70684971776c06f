//! Feature services without sync, each with other abilities: what most services of the world are like.

use super::capabilities::ONLINE_ONLY;
use super::fieldwork::{borders, countries, inspections, measurements, places};
use crate::data::Data;
use crate::feature::{Abilities, FeatureService, Layer, LimitWord};
use std::sync::Arc;

/// Rows of a page.
const PAGE: usize = 50;

/// The layers of field work.
fn layers(data: &Data) -> Vec<Layer> {
    vec![places(data), borders(data, 1), countries(data, 2), inspections(data), measurements(data)]
}

/// All of them.
pub(crate) fn services(data: &Arc<Data>) -> Vec<FeatureService> {
    let honest = Abilities { most: PAGE, ..Abilities::default() };
    let all = [
        ("OpenData", honest.clone()),
        ("OpenDataPbf", Abilities { speaks_pbf: true, ..honest.clone() }),
        // As before 10.3: an order, and no pages.
        ("OpenDataOrdered", Abilities { has_pages: false, ..honest.clone() }),
        // As before 10.1: neither.
        ("OpenDataOld", Abilities { has_pages: false, orders: false, ..honest.clone() }),
        // Its answers are cut without a word.
        ("OpenDataCut", Abilities { cut: Some(7), limit_word: LimitWord::Never, ..honest.clone() }),
        // Its lists of object ids are cut as well.
        ("OpenDataShortLists", Abilities { ids_cut: Some(30), ..honest.clone() }),
        // It counts and lists rows that it never sends.
        ("OpenDataWithheld", Abilities { withheld: &[3, 5], ..honest.clone() }),
        ("OpenDataMoments", Abilities { has_moments: true, ..honest.clone() }),
        // It states both, and refuses both in practice.
        ("OpenDataStated", Abilities { has_moments: true, speaks_pbf: true, refuses_rows: true, ..honest.clone() }),
        // Rows that no geodatabase holds, and files that are listed badly.
        ("OpenDataOdd", Abilities { odd: &[3, 5], lists_files_badly: true, ..honest.clone() }),
        // Object id and attachment id name a file, the latter alone does not.
        ("OpenDataFileIds", Abilities { numbers_files_by_row: true, ..honest.clone() }),
        // As servers of other makers are.
        ("OpenDataSloppy", Abilities { id_name: "FID", is_sloppy: true, limit_word: LimitWord::OnFullPages, ..honest }),
    ];
    let make = |(name, abilities)| {
        let mut service = FeatureService::new(name, ONLINE_ONLY, false, layers(data), data);
        service.abilities = abilities;
        service
    };
    all.into_iter().map(make).collect()
}
