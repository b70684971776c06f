//! What vector tiled services and the styles of their layers say of themselves, whichever way their tiles come.

mod describe;
mod description;

pub(crate) use describe::{Described, Way, service_of};
pub(crate) use description::Description;
