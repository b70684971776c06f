//! Promises of the whole house, one file each.

mod always_true;
mod area_forms;
mod areas;
mod budgets;
mod bundles;
mod capabilities;
mod credentials;
mod custom;
mod end_to_end;
mod house;
mod job;
mod limits;
mod matrix;
mod no_rows;
mod old_packages;
mod overrides;
mod policy;
mod random;
mod real_places;
mod resume;
mod samples;
mod status;
mod support;
mod verify;
mod wide_areas;
mod workflow;
