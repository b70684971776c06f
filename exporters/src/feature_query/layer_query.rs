//! The questions that are asked of one layer.

use super::id_source::IdSource;
use super::json_rows;
use super::row_reader::{RowReader, Shapes};
use super::service::{Paging, QueriedLayer};
use super::stated::Stated;
use crate::feature_service::service::FeatureService;
use async_trait::async_trait;
use offmap_arcgis::body::number_in;
use offmap_arcgis::{AnswerKind, ArcGisClient, FeatureQuery, PageSize, ServiceCall};
use offmap_formats::features::LayerSchema;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, SpatialReference};
use serde_json::{Value, json};
use std::sync::Arc;

/// The parameter by which a layer is asked as it was at a moment.
const MOMENT: &str = "historicMoment";

/// One layer, and which of its rows are wanted.
pub(super) struct LayerQuery<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) layer: &'a QueriedLayer,
    /// The layer's url.
    pub(super) url: String,
    /// What people call it.
    pub(super) title: String,
    /// The rows that are wanted.
    rows: FeatureQuery,
    /// All rows, whatever filter.
    every: FeatureQuery,
    pub(super) stated: Stated,
    reference: SpatialReference,
    /// By what its pages are asked for.
    pub(super) paging: Paging,
    pub(super) page: PageSize,
    pub(super) reader: Arc<RowReader>,
}

/// Which rows of a layer are wanted.
pub(super) struct Wanted<'a> {
    pub(super) where_clause: &'a str,
    pub(super) area: Option<&'a AreaOfInterest>,
    /// Whether the rows are chosen by their ids, and not by clause and area.
    pub(super) is_listed: bool,
}

impl<'a> LayerQuery<'a> {
    pub(super) fn new(
        client: &'a ArcGisClient,
        service: &FeatureService,
        (id, layer): (u32, &'a QueriedLayer),
        schema: &LayerSchema,
        reference: &SpatialReference,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Failure> {
        let url = format!("{}/{id}", service.root);
        let mut every = FeatureQuery::new(&url)?.with_secrets(&service.secrets).in_stage(FailureStage::Run);
        if service.unknown_time_zone {
            every = every.with("timeReferenceUnknownClient", true);
        }
        let mut rows = every.clone().filter(wanted.where_clause);
        if let Some(area) = wanted.area {
            rows = rows.within(area);
        }
        let shapes = schema.geometry.as_ref().map(|geometry| Shapes {
            kind: geometry.kind,
            has_z: geometry.has_z,
            has_m: geometry.has_m,
            spatial_reference: reference.clone(),
        });
        let (object_id_field, fields) = (layer.object_id_field.clone(), schema.fields.clone());
        let reader = Arc::new(RowReader { url: url.clone(), object_id_field, fields, shapes });
        let paging = if wanted.is_listed { Paging::IdList } else { layer.paging };
        let (page, reference, title) = (PageSize::new(layer.page), reference.clone(), schema.title.clone());
        let stated = Stated::new(layer.speaks_pbf);
        Ok(Self { client, layer, url, title, rows, every, stated, reference, paging, page, reader })
    }

    fn field(&self) -> &str {
        &self.layer.object_id_field
    }

    /// A question about the moment that the layer is asked about.
    pub(super) fn at(&self, moment: Option<i64>, call: ServiceCall) -> ServiceCall {
        match moment {
            Some(moment) => call.with(MOMENT, moment),
            None => call,
        }
    }

    fn at_its_moment(&self, call: ServiceCall) -> ServiceCall {
        self.at(self.stated.moment(), call)
    }

    /// Whether the service has a row now, whatever filter and moment.
    pub(super) async fn is_there(&self, id: i64) -> Result<bool, Failure> {
        Ok(self.client.count_features(&self.every.clone().filter(&self.among(&[id]))).await? > 0)
    }

    /// A clause of listed object ids.
    pub(super) fn among(&self, ids: &[i64]) -> String {
        format!("{} IN ({})", self.field(), joined(ids))
    }

    async fn first_id(&self, order: &str) -> Result<Option<i64>, Failure> {
        let call = self.rows.call(None).with("outFields", self.field()).with("returnGeometry", false);
        let call = call.with("orderByFields", format!("{} {order}", self.field())).with("resultRecordCount", 1);
        let answer = self.client.json(&self.at_its_moment(call.answer(AnswerKind::Features))).await?;
        Ok(answer.pointer("/features/0/attributes").and_then(|row| attribute(row, self.field())))
    }

    fn out_fields(&self) -> String {
        if !self.layer.is_narrowed {
            return "*".to_owned();
        }
        let others = self.reader.fields.iter().map(|field| field.name.as_str());
        std::iter::once(self.field()).chain(others).collect::<Vec<_>>().join(",")
    }

    /// Adds what every page of rows is asked with.
    fn for_rows(&self, call: ServiceCall) -> ServiceCall {
        let mut call = call.with("outFields", self.out_fields());
        match &self.reader.shapes {
            None => call = call.with("returnGeometry", false),
            Some(shapes) => {
                call = call.with("outSR", json!(self.reference)).with("returnTrueCurves", false);
                if shapes.has_z {
                    call = call.with("returnZ", true);
                }
                if shapes.has_m {
                    call = call.with("returnM", true);
                }
            }
        }
        call
    }

    fn in_order(&self, call: ServiceCall) -> ServiceCall {
        match self.layer.orders {
            true => call.with("orderByFields", format!("{} ASC", self.field())),
            false => call,
        }
    }

    /// So many rows from a place of the whole list on.
    pub(super) fn by_offset(&self, at: u64, count: u64) -> ServiceCall {
        let call = self.rows.call(None).with("resultOffset", at).with("resultRecordCount", count);
        self.in_order(self.for_rows(call))
    }

    /// The rows from one object id to another.
    pub(super) fn by_range(&self, from: i64, to: i64) -> ServiceCall {
        self.in_order(self.for_rows(self.rows.call(Some(&self.range(from, to)))))
    }

    /// Listed rows, also those that do not meet the filter any more.
    pub(super) fn by_list(&self, ids: &[i64]) -> ServiceCall {
        self.for_rows(self.every.call(None).with("objectIds", joined(ids)))
    }
}

#[async_trait]
impl IdSource for LayerQuery<'_> {
    fn title(&self) -> &str {
        &self.title
    }

    fn failure(&self, kind: FailureKind, message: String) -> Failure {
        Failure::new(FailureOwner::Source, kind, FailureStage::Run, message).with_url(&self.url)
    }

    fn range(&self, from: i64, to: i64) -> String {
        format!("{0} >= {from} AND {0} <= {to}", self.field())
    }

    async fn count(&self, and: Option<&str>) -> Result<u64, Failure> {
        let query = and.map_or_else(|| self.rows.clone(), |and| self.rows.clone().and(and));
        let query = match self.stated.moment() {
            Some(moment) => query.with(MOMENT, moment),
            None => query,
        };
        self.client.count_features(&query).await
    }

    async fn ids(&self, and: Option<&str>) -> Result<Vec<i64>, Failure> {
        let call = self.rows.call(and);
        let call = call.with("returnIdsOnly", true).with("returnGeometry", false).answer(AnswerKind::Description);
        let answer = self.client.json(&self.at_its_moment(call)).await?;
        // `null`, or nothing beside the name of their field, are the ids of no rows.
        if answer.get("objectIds").is_none() && answer.get("objectIdFieldName").is_none() {
            let message = format!("{} was asked for object ids, and its answer has no `objectIds`", self.url);
            return Err(self.failure(FailureKind::InvalidAnswer, message));
        }
        let mut ids: Vec<i64> = number_in(&answer, "objectIds", &self.url)?.unwrap_or_default();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    async fn bounds(&self) -> Result<Option<(i64, i64)>, Failure> {
        if self.layer.has_statistics {
            let statistic = |kind: &str, name: &str| json!({"statisticType": kind, "onStatisticField": self.field(), "outStatisticFieldName": name});
            let call = self.rows.call(None).with("returnGeometry", false).answer(AnswerKind::Small);
            let call = call.with("outStatistics", json!([statistic("min", "LOWEST"), statistic("max", "HIGHEST")]));
            let answer = self.client.json(&self.at_its_moment(call)).await?;
            let row = answer.pointer("/features/0/attributes").cloned().unwrap_or_default();
            let of = |name: &str| attribute(&row, name);
            if let Some(bounds) = of("LOWEST").zip(of("HIGHEST")) {
                return Ok(Some(bounds));
            }
        }
        if !self.layer.orders {
            return Ok(None);
        }
        let lowest = self.first_id("ASC").await?;
        Ok(lowest.zip(self.first_id("DESC").await?))
    }
}

fn joined(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The whole number of an attribute, found as that of a row is.
pub(super) fn attribute(row: &Value, name: &str) -> Option<i64> {
    offmap_model::number::read(json_rows::attribute(row.as_object()?, name))
}
