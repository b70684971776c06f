//! How the client behaves.

use crate::host_policy::HostPolicy;
use offmap_disk::DiskReserve;
use std::time::Duration;

/// How the client behaves: time-outs, retries, limits per host, certificates, and which hosts may be asked.
///
/// ```
/// use offmap_arcgis::{ClientOptions, HostPolicy};
/// use std::time::Duration;
///
/// let options = ClientOptions {
///     job_timeout: Duration::from_hours(2),
///     requests_per_host: 2,
///     hosts: HostPolicy::allow_hosts(["*.arcgis.com", "gis.city.example:6443"])?,
///     ..ClientOptions::default()
/// };
/// # Ok::<(), offmap_model::Failure>(())
/// ```
///
/// What is not said has its default:
///
/// ```
/// use offmap_arcgis::ClientOptions;
/// use std::time::Duration;
///
/// let d = ClientOptions::default();
/// assert_eq!((d.request_timeout, d.slowest_transfer), (Duration::from_secs(60), 64));
/// assert_eq!((d.job_timeout, d.poll_interval), (Duration::from_hours(1), Duration::from_millis(500)));
/// assert_eq!((d.longest_poll_interval, d.retry_time), (Duration::from_secs(15), Duration::from_mins(5)));
/// assert_eq!((d.first_contact_time, d.service_error_time), (Duration::from_secs(30), Duration::from_secs(30)));
/// assert_eq!((d.attempts, d.ca_certificates.len()), (usize::MAX, 0));
/// assert_eq!((d.requests_per_host, d.tiles_per_host), (4, 256));
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Longest silence of one request. Default: 60 seconds.
    pub request_timeout: Duration,
    /// Least bytes a second of an answer, over any stretch as long as the request time-out: a slower transfer is as good as silence.
    /// Default: 64 bytes a second.
    pub slowest_transfer: u64,
    /// Longest time that one service's export or replica job may take. Default: 1 hour.
    pub job_timeout: Duration,
    /// First pause between two polls of a job; it grows by half each time. Default: 500 milliseconds.
    pub poll_interval: Duration,
    /// Longest pause between two polls of a job. Default: 15 seconds.
    pub longest_poll_interval: Duration,
    /// How long a request is tried again whose fault may pass: trouble of the network, a host that is not available.
    /// Default: 5 minutes.
    pub retry_time: Duration,
    /// The same while the host has not answered once yet and cannot be reached. Default: 30 seconds.
    pub first_contact_time: Duration,
    /// The same where the service itself says that it failed. Default: 30 seconds.
    pub service_error_time: Duration,
    /// Most tries of a request whose fault may pass, the first one counted in; only the time counts where it is `usize::MAX`. A wait
    /// for a server's job has no such limit. Default: `usize::MAX`.
    pub attempts: usize,
    /// Requests to one host at a time. Downloads leave one of them to small requests; where only one is allowed, a small request
    /// goes beside a download. Default: 4.
    pub requests_per_host: usize,
    /// Most requests for single tiles to one host at a time, beside the others. They begin with 16, and are as many as the host's answers
    /// show that it bears: fewer where these get slower or are refused. Without HTTP/2 each has a connection. Default: 256.
    pub tiles_per_host: usize,
    /// Certificates (PEM) to trust beside the system's, for servers with a private CA. Default: none.
    pub ca_certificates: Vec<Vec<u8>>,
    /// Which hosts may be asked. Default: any but link-local addresses and metadata services ([`HostPolicy::any`]).
    pub hosts: HostPolicy,
    /// What is kept free of a disk that files are downloaded to. Default: a hundredth of the disk, at least 256 MiB and at most 2 GiB; of
    /// a small disk one sixteenth.
    pub disk_reserve: DiskReserve,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            slowest_transfer: 64,
            job_timeout: Duration::from_secs(3600),
            poll_interval: Duration::from_millis(500),
            longest_poll_interval: Duration::from_secs(15),
            retry_time: Duration::from_mins(5),
            first_contact_time: Duration::from_secs(30),
            service_error_time: Duration::from_secs(30),
            attempts: usize::MAX,
            requests_per_host: 4,
            tiles_per_host: 256,
            ca_certificates: Vec::new(),
            hosts: HostPolicy::any(),
            disk_reserve: DiskReserve::default(),
        }
    }
}

impl ClientOptions {
    /// Bytes that have to come within one request time-out.
    pub(crate) fn least_of_a_timeout(&self) -> u64 {
        let millis = u64::try_from(self.request_timeout.as_millis()).unwrap_or(u64::MAX);
        millis.saturating_mul(self.slowest_transfer) / 1000
    }
}
