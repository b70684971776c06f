//! Features of a layer of a feature or map service, page by page.
//!
//! 1. The layer says how it is read: `maxRecordCount`, `supportsPagination`, its field of object ids.
//! 2. With pagination: `resultOffset` and `resultRecordCount`, ordered by object id, since without an order some servers repeat or skip
//!    rows. The offset moves on by what came; pages are asked for while the answer says `exceededTransferLimit`, also after a short one.
//! 3. Without: the object ids first, then windows over them. No window asks for more rows than a page may have.
//! 4. A page that cannot be read, as it is too large, is asked for again with half as many rows; the next ones grow again ([`PageSize`]).
//!
//! At most one page is in memory. The rows are no snapshot: who edits meanwhile may move a row between two pages of an offset.
//!
//! Source: `feature-service-rest` reference §5.

use crate::answer_kind::AnswerKind;
use crate::body::{self, number_in};
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use crate::page_size::PageSize;
use futures_util::{Stream, TryStreamExt as _, stream};
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets};
use serde_json::Value;

/// Rows of a page where the layer says nothing; the default of old servers.
const DEFAULT_PAGE: u64 = 1000;
/// Most rows of a page, whatever the layer allows.
const LARGEST_PAGE: u64 = 2000;
/// Most pages in a row that have no features though the layer says that there are more.
const MOST_EMPTY_PAGES: u32 = 100;

/// Which features of a layer are wanted, and what of them.
///
/// ```no_run
/// use futures_util::TryStreamExt as _;
/// use offmap_arcgis::{ArcGisClient, FeatureQuery};
/// use offmap_model::AreaOfInterest;
///
/// # async fn run(client: ArcGisClient, area: AreaOfInterest) -> Result<(), offmap_model::Failure> {
/// let layer = "https://gis.city.example/arcgis/rest/services/Trees/FeatureServer/0";
/// let query = FeatureQuery::new(layer)?.filter("HEIGHT > 10").within(&area).with("outFields", "*");
/// let expected = client.count_features(&query).await?;
/// let mut features = std::pin::pin!(client.features(query));
/// while let Some(feature) = features.try_next().await? {
///     println!("{} of {expected}: {}", feature["attributes"], feature["geometry"]);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FeatureQuery {
    call: ServiceCall,
    layer: String,
    filter: String,
    page: Option<u64>,
}

impl FeatureQuery {
    /// All features of the layer or table at a url, with their object ids and geometries.
    ///
    /// # Errors
    /// If the url is not `http` or `https`.
    pub fn new(layer: &str) -> Result<Self, Failure> {
        let layer = layer.trim_end_matches('/').to_owned();
        // A form: geometries and lists of ids are long.
        let call = ServiceCall::post(&format!("{layer}/query"))?;
        Ok(Self { call, layer, filter: "1=1".to_owned(), page: None })
    }

    /// Those that meet a where clause; an empty one is met by all.
    #[must_use]
    pub fn filter(self, clause: &str) -> Self {
        let filter = if clause.trim().is_empty() { "1=1" } else { clause };
        Self { filter: filter.to_owned(), ..self }
    }

    /// Those that meet an area.
    #[must_use]
    pub fn within(self, area: &AreaOfInterest) -> Self {
        Self { call: self.call.with_area(area), ..self }
    }

    /// Adds a parameter of the query, such as `outFields`, `outSR` or `returnGeometry`.
    #[must_use]
    pub fn with(self, name: &str, value: impl ToString) -> Self {
        Self { call: self.call.with(name, value), ..self }
    }

    /// Adds the secrets of the map's layer ([`ServiceCall::with_secrets`]).
    #[must_use]
    pub fn with_secrets(self, secrets: &LayerSecrets) -> Self {
        Self { call: self.call.with_secrets(secrets), ..self }
    }

    /// Says for which stage of the work this is.
    #[must_use]
    pub fn in_stage(self, stage: FailureStage) -> Self {
        Self { call: self.call.in_stage(stage), ..self }
    }

    /// Asks for at most so many features at a time; else as many as the layer allows, at most 2,000.
    #[must_use]
    pub fn with_page_of(self, features: u64) -> Self {
        Self { page: Some(features.max(1)), ..self }
    }

    /// The request for what meets the filter and a further clause, to which the words of one question are added, such as
    /// `returnIdsOnly` or `resultOffset`.
    #[must_use]
    pub fn call(&self, and: Option<&str>) -> ServiceCall {
        let filter = and.map_or_else(|| self.filter.clone(), |and| format!("({}) AND {and}", self.filter));
        self.call.clone().with("where", filter)
    }

    /// The same with a further clause.
    #[must_use]
    pub fn and(self, clause: &str) -> Self {
        Self { filter: format!("({}) AND ({clause})", self.filter), ..self }
    }

    fn invalid(&self, message: String) -> Failure {
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, self.call.stage, message);
        failure.with_url(&self.layer)
    }
}

impl ArcGisClient {
    /// The service's own count of the features that a query selects.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if the answer has no count.
    pub async fn count_features(&self, query: &FeatureQuery) -> Result<u64, Failure> {
        let call = query.call(None).with("returnCountOnly", true).answer(AnswerKind::Small);
        let answer = self.json(&call).await?;
        let count = number_in(&answer, "count", &query.layer)?;
        count.ok_or_else(|| query.invalid(format!("the count of {} has no `count`", query.layer)))
    }

    /// The features that a query selects, one by one, each as the service wrote it: `attributes`, and `geometry` where it has one. The
    /// first failure ends the stream.
    pub fn features(&self, query: FeatureQuery) -> impl Stream<Item = Result<Value, Failure>> + Send + 'static {
        let pages = stream::try_unfold(self.feature_pages(query), |mut pages| async move {
            let page = pages.next_page().await?;
            Ok::<_, Failure>(page.map(|page| (page, pages)))
        });
        pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }

    /// The same, page by page.
    #[must_use]
    pub fn feature_pages(&self, query: FeatureQuery) -> FeaturePages {
        FeaturePages { client: self.clone(), query, page: PageSize::new(DEFAULT_PAGE), next: Next::Describe }
    }
}

/// A page that came.
struct Asked {
    page: Vec<Value>,
    has_more: bool,
    /// Rows that were asked for.
    rows: u64,
}

/// What is asked for next.
#[derive(Debug)]
enum Next {
    Describe,
    /// From an offset on; the first feature of the last page, and how many pages in a row had none.
    Offset {
        at: u64,
        order: Option<String>,
        first: Option<Value>,
        empty: u32,
    },
    /// Windows over object ids, the last ones first.
    Windows {
        field: String,
        ids: Vec<i64>,
    },
    Done,
}

/// Features of a layer, page by page ([`ArcGisClient::feature_pages`]).
#[derive(Debug)]
pub struct FeaturePages {
    client: ArcGisClient,
    query: FeatureQuery,
    page: PageSize,
    next: Next,
}

impl FeaturePages {
    /// The next features, never none; `None` after the last.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if the layer cannot be read page by page, or sends the same page again. After a failure the same
    /// page is asked for again.
    ///
    /// # Cancel safety
    /// The page that was asked for is asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Value>>, Failure> {
        loop {
            let page = match &self.next {
                Next::Describe => {
                    self.describe().await?;
                    continue;
                }
                Next::Offset { .. } => self.by_offset().await?,
                Next::Windows { .. } => self.by_window().await?,
                Next::Done => return Ok(None),
            };
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    /// Finds out how the layer is read.
    async fn describe(&mut self) -> Result<(), Failure> {
        let query = &self.query;
        let call = ServiceCall::get(&query.layer)?.with_secrets(&query.call.secrets).in_stage(query.call.stage);
        let layer = self.client.json(&call.answer(AnswerKind::Description)).await?;
        body::expect_description(&layer, &query.layer, "a layer", &["fields", "maxRecordCount", "type", "name"])?;
        let most = number_in::<u64>(&layer, "maxRecordCount", &query.layer)?.filter(|most| *most > 0);
        self.page = PageSize::new(most.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE).min(query.page.unwrap_or(u64::MAX)));
        let field = object_id_field(&layer);
        let has_own_order = query.call.parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("orderByFields"));
        self.next = match (layer.pointer("/advancedQueryCapabilities/supportsPagination"), field) {
            (Some(Value::Bool(true)), field) => {
                let order = field.filter(|_| !has_own_order).map(|field| format!("{field} ASC"));
                Next::Offset { at: 0, order, first: None, empty: 0 }
            }
            (_, Some(field)) => Next::Windows { ids: self.object_ids().await?, field },
            (_, None) => {
                let message =
                    "the layer has neither pages (supportsPagination) nor object ids, so it cannot be read in parts";
                return Err(self.query.invalid(message.to_owned()));
            }
        };
        Ok(())
    }

    /// The ids of all features that are selected, highest first.
    async fn object_ids(&self) -> Result<Vec<i64>, Failure> {
        let call = self.query.call(None).with("returnIdsOnly", true).answer(AnswerKind::Description);
        let answer = self.client.json(&call).await?;
        let mut ids: Vec<i64> = number_in(&answer, "objectIds", &self.query.layer)?.unwrap_or_default();
        if ids.is_empty() && answer.get("features").is_some() {
            return Err(self.query.invalid("the layer was asked for object ids and sent features".to_owned()));
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        Ok(ids)
    }

    /// Asks for features. A page that cannot be read is asked for again with half as many rows.
    async fn ask(&self, call: impl Fn(&Self) -> ServiceCall) -> Result<Asked, Failure> {
        loop {
            let asked = self.page.rows();
            let call = call(self).answer(AnswerKind::Features);
            match self.client.json(&call).await {
                Ok(mut answer) => {
                    let has_more = answer.get("exceededTransferLimit").and_then(Value::as_bool).unwrap_or(false);
                    return match answer.get_mut("features").map(Value::take) {
                        Some(Value::Array(page)) => Ok(Asked { page, has_more, rows: asked }),
                        _ => Err(self.query.invalid(format!("the answer of {} has no `features`", self.query.layer))),
                    };
                }
                Err(failure) if failure.kind == FailureKind::InvalidAnswer && self.page.shrink(asked) => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn by_offset(&mut self) -> Result<Vec<Value>, Failure> {
        let Next::Offset { at, order, first, empty } = &self.next else { return Ok(Vec::new()) };
        let (at, order, before, empty) = (*at, order.clone(), first.clone(), *empty);
        let call = |pages: &Self| {
            let call = pages.query.call(None).with("resultOffset", at).with("resultRecordCount", pages.page.rows());
            order.iter().fold(call, |call, order| call.with("orderByFields", order))
        };
        let Asked { page, has_more, rows } = self.ask(call).await?;
        let first = page.first().cloned();
        if first.is_some() && first == before {
            return Err(self.query.invalid(format!("the layer sends the same page again from offset {at} on")));
        }
        let empty = if page.is_empty() { empty + 1 } else { 0 };
        if empty > MOST_EMPTY_PAGES {
            let message = format!("{empty} pages in a row have no features, and the layer says that there are more");
            return Err(self.query.invalid(message));
        }
        // Where nothing came of a page, what was asked for is behind us.
        let came = if page.is_empty() { rows } else { page.len() as u64 };
        if came == rows {
            self.page.went_well(rows);
        }
        self.next = match has_more {
            true => Next::Offset { at: at.saturating_add(came), order, first: first.or(before), empty },
            false => Next::Done,
        };
        Ok(page)
    }

    async fn by_window(&mut self) -> Result<Vec<Value>, Failure> {
        loop {
            if window(&self.next, self.page.rows()).is_none() {
                self.next = Next::Done;
                return Ok(Vec::new());
            }
            let call = |pages: &Self| pages.query.call(window(&pages.next, pages.page.rows()).as_deref());
            let Asked { page, has_more, rows } = self.ask(call).await?;
            // Its limit may be lower than it says.
            if has_more && !self.page.shrink(rows) {
                return Err(self.query.invalid("the layer sends less than one feature at a time".to_owned()));
            }
            if has_more {
                continue;
            }
            self.page.went_well(rows);
            if let Next::Windows { ids, .. } = &mut self.next {
                ids.truncate(ids.len().saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX)));
            }
            return Ok(page);
        }
    }
}

/// The clause of the next window, which has the last ids of the list; `None` where there are none.
fn window(next: &Next, page: u64) -> Option<String> {
    let Next::Windows { field, ids } = next else { return None };
    let asked = usize::try_from(page).unwrap_or(usize::MAX).min(ids.len());
    let highest = ids.get(ids.len().checked_sub(asked)?)?;
    Some(format!("{field} >= {} AND {field} <= {highest}", ids.last()?))
}

/// The field of a layer's object ids.
fn object_id_field(layer: &Value) -> Option<String> {
    let named = layer.get("objectIdField").or_else(|| layer.get("objectIdFieldName")).and_then(Value::as_str);
    let is_id = |field: &&Value| field.get("type").and_then(Value::as_str) == Some("esriFieldTypeOID");
    let typed = || layer.get("fields")?.as_array()?.iter().find(is_id)?.get("name")?.as_str();
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.$#".contains(c));
    named.filter(is_name).or_else(typed).filter(is_name).map(str::to_owned)
}
