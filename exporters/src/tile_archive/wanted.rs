//! The ids of the tiles that an area and levels want.

use crate::tile_service::TiledService;
use offmap_formats::pmtiles::TileIds;
use offmap_formats::tiles::HALF_WORLD;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage};

/// What an area may lack of the world to be all of it, in metres.
const NEARLY: f64 = 1.0;

/// Whether an area is all of the world.
pub(super) fn is_world(service: &TiledService, area: &AreaOfInterest) -> Result<bool, Failure> {
    let parts = area.parts_in(&service.tile_info.spatial_reference)?;
    let most = HALF_WORLD - NEARLY;
    let is_all = |part: &AreaOfInterest| match part {
        AreaOfInterest::Envelope(e) => e.xmin <= -most && e.ymin <= -most && e.xmax >= most && e.ymax >= most,
        _ => false,
    };
    Ok(parts.iter().any(is_all))
}

/// The ids of an area's tiles on some zooms.
pub(super) fn wanted(service: &TiledService, area: Option<&AreaOfInterest>, level_ids: &[u32]) -> Result<TileIds, Failure> {
    let too_many = || {
        let message = format!(
            "the area of {} has too many rows of tiles to be listed; take fewer levels or a smaller area, or leave the area out",
            service.root
        );
        Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Plan, message)
    };
    let area = match area {
        Some(area) if !is_world(service, area)? => Some(area),
        _ => None,
    };
    let mut ids = TileIds::default();
    for lod in service.lods(level_ids) {
        let zoom = u8::try_from(lod.level).unwrap_or(u8::MAX);
        let of_level = match area {
            None => TileIds::of_zoom(zoom),
            Some(area) => {
                let cover = service.tile_info.cover(area, None, &[lod])?;
                cover.and_then(|levels| TileIds::of_rows(zoom, levels.get(&lod.level)?))
            }
        };
        ids = of_level.and_then(|of_level| ids.with(of_level)).ok_or_else(too_many)?;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::tiles::web_mercator_scheme;

    #[test]
    fn no_area_and_the_world_are_every_tile_of_a_level_however_deep_and_an_area_is_its_own() {
        let service = TiledService::of_template("https://h/a.pmtiles", web_mercator_scheme(256, 24), None);
        let world = AreaOfInterest::from_numbers("-180,-90,180,90").expect("an area");
        for area in [None, Some(&world)] {
            let ids = wanted(&service, area, &[1, 24]).expect("ids");
            assert_eq!(Some(ids), TileIds::of_zoom(1).expect("ids").with(TileIds::of_zoom(24).expect("ids")));
        }
        let small = AreaOfInterest::from_numbers("8,47,8.1,47.1").expect("an area");
        let ids = wanted(&service, Some(&small), &[0, 1, 8]).expect("ids");
        assert_eq!(ids.within(0..5).collect::<Vec<_>>(), [0..1, 4..5]);
        assert!(ids.ranges().iter().map(|r| r.end - r.start).sum::<u64>() < 10);
    }
}
