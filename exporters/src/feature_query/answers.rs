//! Answers of services as rows, in either form.

use super::row_reader::{ReadRows, RowReader};
use offmap_arcgis::ReadFeatures;
use offmap_model::Failure;
use offmap_model::json::{JsonBudget, Unread};
use serde_json::Value;

impl ReadFeatures for RowReader {
    type Features = Result<ReadRows, Failure>;

    fn read_json(&self, budget: JsonBudget, text: &[u8]) -> Result<(Self::Features, Value), Unread> {
        self.json(budget, text)
    }

    fn read_pbf(&self, bytes: &[u8]) -> Self::Features {
        self.pbf(bytes)
    }
}
