//! Reads media as attachments.
//!
//! Source: OGC 18-000, clause 8 (media: `data`, `content_type`).

use super::relations::MediaTable;
use crate::features::{Attachment, TakeAttachment};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;
use rusqlite::MAIN_DB;

/// Hands on the files of a layer behind a row of their table. A file of several rows is the first one's.
pub(super) fn read_attachments(
    file: &ForeignSqlite,
    media: &MediaTable,
    after: Option<i64>,
    take: &mut TakeAttachment<'_>,
) -> Result<u64, Failure> {
    file.begin_reading()?;
    let columns = file.columns(&media.table)?;
    let name = ["name", "title"].iter().find(|name| columns.iter().any(|c| c == *name));
    let name = name.map_or_else(|| "NULL".to_owned(), |name| format!("m.{name}"));
    // Files without a row are those of the only layer that has some.
    let join = if media.is_shared { "JOIN" } else { "LEFT JOIN" };
    let sql = format!(
        "SELECT m.rowid, m.{0}, p.base_id, {name}, m.content_type, length(CAST(m.data AS BLOB)), typeof(m.data) <> 'null'
         FROM {1} m {join} {2} p ON p.related_id = m.{0} WHERE m.rowid > ?1 ORDER BY m.rowid, p.base_id",
        quoted(&media.key),
        quoted(&media.table),
        quoted(&media.mapping)
    );
    let failed = |e| file.failure(e);
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([after.unwrap_or(i64::MIN)]).map_err(failed)?;
    let (mut count, mut last) = (0, None);
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |at: usize| {
            Ok::<_, Failure>(row.get_ref(at).map_err(failed)?.as_str_or_null().ok().flatten().map(str::to_owned))
        };
        let whole = |at: usize| Ok::<_, Failure>(row.get_ref(at).map_err(failed)?.as_i64_or_null().ok().flatten());
        let row_id: i64 = row.get(0).map_err(failed)?;
        if last == Some(row_id) {
            continue;
        }
        file.check_order(&mut last, row_id)?;
        let attachment = Attachment {
            row_id,
            id: whole(1)?.unwrap_or(row_id),
            object_id: whole(2)?,
            name: text(3)?.unwrap_or_default(),
            content_type: text(4)?.unwrap_or_default(),
            size: whole(5)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        };
        if row.get(6).map_err(failed)? {
            let mut blob = file.connection.blob_open(MAIN_DB, media.table.as_str(), "data", row_id, true).map_err(failed)?;
            file.hand_on(|| take(&attachment, &mut blob))?;
        } else {
            file.hand_on(|| take(&attachment, &mut std::io::empty()))?;
        }
        count += 1;
    }
    Ok(count)
}
