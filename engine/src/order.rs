//! An order: one map to be taken offline for somebody, and when.

use offmap_model::{GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource, RetryPolicy};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One map to be taken offline. Submitted by [`Engine::submit`](crate::Engine::submit). Parameters with the defaults of the map's author come from
/// [`OfflineMapTask::default_parameters`](crate::OfflineMapTask::default_parameters), and
/// [`OfflineMapTask::order`](crate::OfflineMapTask::order) makes an order of them.
///
/// ```
/// use offmap_engine::Order;
/// use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters, OfflineMapSource, RetryPolicy, WebMap};
/// use std::time::Duration;
///
/// let map: WebMap = serde_json::from_str(r#"{"operationalLayers": []}"#)?;
/// let parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("7,46,8,47")?);
/// let order = Order::new(OfflineMapSource::from_web_map(map), parameters)
///     .tenant("forestry")
///     .priority(10)
///     .label("team", "north")
///     .unique_key("north-2026-07")
///     .retry(RetryPolicy { attempts: 3, ..RetryPolicy::default() })
///     .time_limit(Duration::from_hours(2));
/// assert_eq!(order.tenant, "forestry");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Order {
    /// The map and its surroundings.
    pub source: OfflineMapSource,
    /// What is wanted of it.
    pub parameters: GenerateOfflineMapParameters,
    /// The same for single layers and services.
    pub overrides: GenerateOfflineMapParameterOverrides,
    /// Where the package is to be, as UTF-8; `None` for a place in the engine's data directory.
    pub destination: Option<PathBuf>,
    /// Whose it is: tenants share the engine fairly, and its provider is asked for their credentials.
    pub tenant: String,
    /// More is earlier, among the jobs of the tenant.
    pub priority: i32,
    /// What the host wants to find it by.
    pub labels: BTreeMap<String, String>,
    /// While a job of the tenant with this key lives, another order with it is answered with that job.
    pub unique_key: Option<String>,
    /// Not before this time, in milliseconds since 1970 UTC, whatever is done with the job meanwhile.
    pub not_before: Option<i64>,
    /// How long it may run, in all its tries; waits are not counted.
    pub time_limit: Option<Duration>,
    /// How often it is tried.
    pub retry: RetryPolicy,
}

impl Order {
    /// An order of nobody in particular, to be run as soon as possible and once.
    #[must_use]
    pub fn new(source: OfflineMapSource, parameters: GenerateOfflineMapParameters) -> Self {
        Self {
            source,
            parameters,
            overrides: GenerateOfflineMapParameterOverrides::default(),
            destination: None,
            tenant: String::new(),
            priority: 0,
            labels: BTreeMap::new(),
            unique_key: None,
            not_before: None,
            time_limit: None,
            retry: RetryPolicy::default(),
        }
    }

    /// With [`Order::overrides`].
    #[must_use]
    pub fn overrides(mut self, overrides: GenerateOfflineMapParameterOverrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// With [`Order::destination`].
    #[must_use]
    pub fn destination(mut self, destination: impl Into<PathBuf>) -> Self {
        self.destination = Some(destination.into());
        self
    }

    /// With [`Order::tenant`].
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// With [`Order::priority`].
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// With one of [`Order::labels`].
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// With [`Order::unique_key`].
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// With [`Order::not_before`].
    #[must_use]
    pub fn not_before(mut self, time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.not_before = Some(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// With [`Order::time_limit`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// With [`Order::retry`].
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}
