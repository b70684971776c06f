//! The command line, run as people run it: one program, so that its tests share the cores.

mod archive;
#[cfg(target_os = "linux")]
mod bounds;
mod closed;
mod contract;
mod convert;
mod direct;
mod ends;
mod feature_query;
mod fetch;
mod fire;
#[cfg(unix)]
mod foreign;
mod hostile;
mod hosts;
mod jobs;
mod json_lines;
mod kills;
#[cfg(unix)]
mod login;
#[cfg(unix)]
mod open_folder;
mod options;
mod overwrite;
mod proxies;
mod reasons;
mod sdk;
mod secrets;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod stop;
#[cfg(unix)]
mod stuck;
mod support;
mod whole;
