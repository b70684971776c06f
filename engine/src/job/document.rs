//! A job as JSON, which is made again of it in another process.

use offmap_model::{Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name and version of the JSON of jobs.
pub(super) const JOB_FORMAT: (&str, u32) = ("offmap-job", 1);

/// To be read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JobDocument {
    /// `offmap-job`.
    format: String,
    version: u32,
    pub(crate) id: String,
    pub(crate) source: OfflineMapSource,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
    pub(crate) destination: PathBuf,
}

/// The same to be written, without a copy of the map.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobDocumentView<'a> {
    pub(super) format: &'a str,
    pub(super) version: u32,
    pub(super) id: &'a str,
    pub(super) source: &'a OfflineMapSource,
    pub(super) parameters: &'a GenerateOfflineMapParameters,
    pub(super) overrides: &'a GenerateOfflineMapParameterOverrides,
    pub(super) destination: &'a Path,
}

impl JobDocument {
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let refused = |words: String| Failure::invalid_parameter(format!("the job cannot be used: {words}"));
        let job: Self = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
        if (job.format.as_str(), job.version) != JOB_FORMAT {
            let (format, version) = JOB_FORMAT;
            return Err(refused(format!(
                "it is `{}` version {}, expected `{format}` version {version}",
                job.format, job.version
            )));
        }
        job.parameters.check()?;
        job.source.check_urls()?;
        Ok(job)
    }
}
