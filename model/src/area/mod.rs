//! The area of interest: read, checked, cut at the dateline, projected, and made small enough for requests.
//!
//! | what | where |
//! | --- | --- |
//! | what an area is | [`AreaOfInterest`] |
//! | read from numbers, Esri JSON, GeoJSON | [`AreaOfInterest::from_numbers`], [`AreaOfInterest::from_json`] |
//! | checked before anything is spent | [`AreaOfInterest::check`] |
//! | across the dateline, in another spatial reference | [`AreaOfInterest::parts`], [`AreaOfInterest::project`] |
//! | with fewer vertices, for one request | [`AreaOfInterest::for_wire`], [`AreaOfInterest::simplified`] |

mod area_of_interest;
mod check;
mod dateline;
mod esri;
mod flat;
mod geojson;
mod limits;
mod project;
mod read;
mod rings;
mod simplify;
mod union;
mod wire;

pub use area_of_interest::AreaOfInterest;
pub use limits::{LONGEST_GEOMETRY, MOST_VERTICES};
