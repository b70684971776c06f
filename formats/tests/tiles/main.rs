//! Files of tiles: what is read from one is what is read from every other that it was converted to; half files are resumed; hostile
//! ones are refused.

mod hostile_files;
mod hostile_pmtiles;
mod resume;
mod round_trips;
mod schemes;
mod support;
