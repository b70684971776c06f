//! The secrets of a map, supplied again to a job that is resumed.

use crate::inputs::read_map;
use crate::known_secrets::know_map;
use crate::terminal::note;
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::{Failure, GenerateOfflineMapJob};

/// A job that is resumed needs the secrets of its map again: they come from the file or url that is named, else from the portal item
/// that the map was read from. Where they cannot be had, the layers that need them say so.
pub(crate) async fn supply(
    job: GenerateOfflineMapJob,
    client: &ArcGisClient,
    named: Option<&str>,
    limits: &ReadLimits,
) -> Result<GenerateOfflineMapJob, Failure> {
    if let Some(named) = named {
        let map = read_map(client, named, limits).await?.web_map;
        know_map(&map);
        return Ok(job.with_secrets_of(&map));
    }
    let layers = job.layers_without_secrets();
    if layers.is_empty() {
        return Ok(job);
    }
    let read = match job.portal_item() {
        Some((portal, id)) => portal::read(client, MapPlace::Item { portal, id }, limits).await,
        None => Err(Failure::invalid_parameter("the map came from a file; name it by --web-map")),
    };
    match read {
        Ok(source) => {
            know_map(&source.web_map);
            Ok(job.with_secrets_of(&source.web_map))
        }
        Err(failure) => {
            let layers = layers.join(", ");
            note!("note: the parameters that the map holds for {layers} could not be read again: {failure}");
            Ok(job)
        }
    }
}
