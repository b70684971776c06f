//! Promises of the whole house, one file each.

mod always_true;
mod amounts;
mod areas;
mod budgets;
mod capabilities;
mod complete;
mod credentials;
mod custom;
mod edited;
mod end_to_end;
#[cfg(unix)]
mod hostile_package;
mod hosts;
mod house;
mod job;
mod joins;
mod lies;
mod limits;
mod matrix;
mod networks;
mod overrides;
mod policy;
mod random;
mod redirects;
mod resume;
mod samples;
mod sdk;
mod secrets;
mod status;
mod stranger;
mod support;
mod verify;
mod workflow;
