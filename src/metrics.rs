//! What offmap counts, by the [`metrics`](https://docs.rs/metrics) facade. A host program installs a recorder, such as that of
//! `metrics-exporter-prometheus`; without one nothing is kept.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `offmap_queue_depth` | gauge | | jobs that were started and wait for their turn |
//! | `offmap_jobs` | gauge | `state` | jobs that have not ended: `queued` or `running` |
//! | `offmap_jobs_ended_total` | counter | `outcome` | jobs that ended |
//! | `offmap_job_duration_seconds` | histogram | `outcome` | from a job's start to its end, its wait counted in |
//! | `offmap_export_duration_seconds` | histogram | `exporter`, `outcome` | the export of a task |
//! | `offmap_package_duration_seconds` | histogram | `outcome` | making and verifying a package |
//! | `offmap_package_bytes_total` | counter | | bytes of the packages that were made |
//! | `offmap_requests_total` | counter | `host`, `status` | requests that were sent, each step of a redirect and each repeat by itself |
//! | `offmap_request_duration_seconds` | histogram | `host` | from a request's start to the head of its answer |
//! | `offmap_request_retries_total` | counter | `host` | requests that are sent once more after a pause |
//! | `offmap_throttled_total` | counter | `host` | answers by which a host asked to be left alone |
//! | `offmap_throttled_seconds` | histogram | `host` | the time that it asked for |
//! | `offmap_received_bytes_total` | counter | `host` | bytes of bodies that came |
//!
//! | label | values |
//! | --- | --- |
//! | `state` | `queued`, `running` |
//! | `outcome` | `succeeded`, `failed`, `cancelled`; of a job also `succeededWithErrors` |
//! | `exporter` | the name of an exporter that the engine has |
//! | `status` | `2xx` to `5xx`; `none` where no answer came |
//! | `host` | the host of the url without port, for the first [`MOST_HOSTS`] hosts of the process; `other` for all more |
//!
//! Beside these there are `tracing` spans: `job` (with `job`, its id), in it `task` (with `task`, its id in the plan, `exporter`, and
//! `layers`, how many it has) and `package`, and in these `request` (with `host` and `path`, without query and secrets).

pub use offmap_arcgis::metrics::{
    MOST_HOSTS, RECEIVED_BYTES, REQUEST_SECONDS, REQUESTS, RETRIES, THROTTLED, THROTTLED_SECONDS,
};
pub use offmap_engine::metrics::{
    EXPORT_SECONDS, JOB_SECONDS, JOBS, JOBS_ENDED, PACKAGE_BYTES, PACKAGE_SECONDS, QUEUE_DEPTH,
};
