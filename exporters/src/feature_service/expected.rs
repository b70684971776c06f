//! What the service counts for the rows that an option selects.

use super::counts::RowFilter;
use super::layer_option::{GenerateLayerOption, GenerateLayerQueryOption};
use super::service::FeatureService;
use offmap_arcgis::ArcGisClient;
use offmap_model::{AreaOfInterest, Failure};

/// Attachments of more rows than this are not counted beforehand.
pub(crate) const MOST_ROWS_ASKED: u64 = 20_000;

/// Which rows an option selects.
pub(crate) enum RowSelection<'a> {
    /// Those that are related to rows of other layers.
    Related,
    Nothing,
    Rows(RowFilter<'a>),
}

/// The rows that an option selects; `area` is the replica's as it goes over the wire.
pub(crate) fn selection<'a>(
    service: &FeatureService,
    option: &'a GenerateLayerOption,
    area: &'a AreaOfInterest,
) -> RowSelection<'a> {
    let is_table = service.layers.get(&option.layer_id).is_some_and(|l| l.is_table);
    let rows =
        |where_clause, area| RowSelection::Rows(RowFilter { layer: option.layer_id, where_clause, area, up_to: None });
    match option.query_option {
        GenerateLayerQueryOption::None if option.include_related => RowSelection::Related,
        GenerateLayerQueryOption::None => RowSelection::Nothing,
        GenerateLayerQueryOption::All => rows("", None),
        GenerateLayerQueryOption::UseFilter => {
            rows(&option.where_clause, (option.use_geometry && !is_table).then_some(area))
        }
    }
}

/// The service's own count for the same filter; `None` for rows that are related to others.
pub(crate) async fn expected_rows(
    client: &ArcGisClient,
    service: &FeatureService,
    option: &GenerateLayerOption,
    area: &AreaOfInterest,
) -> Result<Option<u64>, Failure> {
    match selection(service, option, area) {
        RowSelection::Related => Ok(None),
        RowSelection::Nothing => Ok(Some(0)),
        RowSelection::Rows(rows) => service.count(client, &rows).await.map(Some),
    }
}

/// The service's own count of the attachments that will come, of rows up to an object id where one is given; `None` where none are
/// wanted, or they are not counted.
pub(crate) async fn expected_attachments(
    client: &ArcGisClient,
    service: &FeatureService,
    (option, area): (&GenerateLayerOption, &AreaOfInterest),
    return_attachments: bool,
    rows: Option<u64>,
    up_to: Option<i64>,
) -> Option<u64> {
    let layer = service.layers.get(&option.layer_id)?;
    let fair = rows.is_some_and(|rows| rows <= MOST_ROWS_ASKED);
    if !(return_attachments && layer.has_attachments && layer.counts_attachments && fair) {
        return None;
    }
    match selection(service, option, area) {
        RowSelection::Related => None,
        RowSelection::Nothing => Some(0),
        // A count is a check of the data, never a reason to leave them out.
        RowSelection::Rows(rows) => match service.count_attachments(client, &RowFilter { up_to, ..rows }).await {
            Ok(count) => Some(count),
            Err(failure) => {
                tracing::debug!(%failure, layer = option.layer_id, "attachments are not counted");
                None
            }
        },
    }
}

/// Why a layer without a count stays behind.
pub(crate) fn uncounted(title: &str, option: &GenerateLayerOption, mut failure: Failure) -> Failure {
    let filter = match option.where_clause.as_str() {
        "" => String::new(),
        clause => format!(" for the filter `{clause}`"),
    };
    failure.message = format!("\"{title}\": the service does not count its rows{filter}: {}", failure.message);
    failure
}
