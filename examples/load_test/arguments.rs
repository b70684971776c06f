//! The command line of the load test, and what of it makes no sense.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, value_parser};
use std::path::PathBuf;

/// Layers of one web map.
const MOST_LAYERS: u64 = 10_000;
/// Services of one web map.
const MOST_SERVICES: u64 = 1_000;
/// Layers of all jobs together: more take hours.
const MOST_IN_ALL: u64 = 100_000_000;

#[derive(Debug, Parser)]
#[command(name = "load_test", about = "Runs many jobs at once and prints one JSON object", disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Jobs in all; all are submitted at once.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) jobs: u64,
    /// Scripted layers of a job.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=MOST_LAYERS))]
    pub(crate) layers: u64,
    /// Layers of a service; layers of one service are one task. [default: as few as a map may have services for]
    #[arg(long, value_parser = value_parser!(u64).range(1..=MOST_LAYERS))]
    layers_per_service: Option<u64>,
    /// Milliseconds that a scripted layer takes.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u64).range(0..=3_600_000))]
    pub(crate) latency_ms: u64,
    /// Share of scripted layers that fail, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) failure_rate: f64,
    /// Which layers fail.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Tenants that the jobs belong to, by turns.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) tenants: u64,
    /// Priorities that the jobs have, by turns.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) priorities: u64,
    /// Jobs that the engine takes at a time, those that run counted in; others are submitted again until it does.
    #[arg(long, default_value_t = offmap::DEFAULT_MAX_QUEUED_JOBS as u64, value_parser = value_parser!(u64).range(1..=2_000_000))]
    pub(crate) queue_bound: u64,
    /// Jobs that run at a time.
    #[arg(long, default_value_t = offmap::DEFAULT_CONCURRENT_JOBS as u64, value_parser = value_parser!(u64).range(1..=100_000))]
    pub(crate) concurrent_jobs: u64,
    /// Exports that run at a time in the whole engine.
    #[arg(long, default_value_t = offmap::DEFAULT_CONCURRENT_EXPORTS as u64, value_parser = value_parser!(u64).range(1..=100_000))]
    pub(crate) concurrent_exports: u64,
    /// Give the engine a data directory, so that its queue is on the disk.
    #[arg(long)]
    pub(crate) durable: bool,
    /// Let no job run until all are in the queue, and measure what that takes of memory.
    #[arg(long)]
    pub(crate) hold: bool,
    /// Directory for packages and data; it must exist. [default: that for temporary files]
    #[arg(long, value_parser = directory)]
    pub(crate) dir: Option<PathBuf>,
    /// Take a real map from the sandbox instead of scripted layers.
    #[arg(long, conflicts_with_all = ["layers", "layers_per_service", "latency_ms", "failure_rate", "seed"])]
    pub(crate) sandbox: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("it is not a directory; make it first".to_owned()) }
}

impl Arguments {
    /// The command line; ends the program where several options together make no sense.
    pub(crate) fn read() -> Self {
        let arguments = Self::parse();
        match arguments.check() {
            Ok(()) => arguments,
            Err(message) => Self::command().error(ErrorKind::ValueValidation, message + "\n").exit(),
        }
    }

    pub(crate) fn layers_per_service(&self) -> u64 {
        self.layers_per_service.unwrap_or_else(|| self.layers.div_ceil(MOST_SERVICES))
    }

    /// What of several options together makes no sense.
    fn check(&self) -> Result<(), String> {
        let Self { jobs, layers, queue_bound, concurrent_jobs, .. } = self;
        let per_service = self.layers_per_service();
        let services = layers.div_ceil(per_service);
        if services > MOST_SERVICES {
            let least = layers.div_ceil(MOST_SERVICES);
            return Err(format!(
                "{layers} layers with {per_service} per service are {services} services, expected at most {MOST_SERVICES}; \
                 give --layers-per-service {least} or more"
            ));
        }
        if per_service > *layers {
            return Err(format!(
                "a service has {per_service} layers and a job {layers}; give --layers {per_service} or more"
            ));
        }
        if jobs.saturating_mul(*layers) > MOST_IN_ALL {
            return Err(format!(
                "{jobs} jobs with {layers} layers are too many, expected at most {MOST_IN_ALL} layers in all"
            ));
        }
        for (option, number) in [("tenants", self.tenants), ("priorities", self.priorities)] {
            if number > *jobs {
                return Err(format!("{jobs} jobs cannot have {number} {option}; give --{option} {jobs} or less"));
            }
        }
        let held = if self.hold { jobs + concurrent_jobs } else { 0 };
        if *queue_bound < held {
            return Err(format!(
                "with --hold the engine has to take {held} jobs, those that hold the others counted in; \
                 give --queue-bound {held} or more"
            ));
        }
        Ok(())
    }
}
