//! The table of a layer's attachments, and its relationship class.

use super::column::guid;
use super::registry::{Writer, braces, quoted};
use super::table::{FROM, TO};
use crate::data::Attachment;
use rusqlite::params;
use uuid::Uuid;

impl Writer<'_> {
    /// Writes both.
    pub(crate) fn attachments(
        &self,
        attachments: &[&Attachment],
        table: &str,
        parent: &str,
        tracked: bool,
    ) -> rusqlite::Result<()> {
        let name = format!("{table}__ATTACH");
        let (key, more) = if tracked {
            (
                "ATTACHMENTID int32 not null",
                ", gdb_archive_oid integer primary key not null, gdb_from_date realdate not null, gdb_to_date realdate not null",
            )
        } else {
            ("ATTACHMENTID integer primary key not null", "")
        };
        self.sql.execute_batch(&format!(
            "CREATE TABLE {}({key}, GLOBALID uuidtext not null, REL_GLOBALID uuidtext not null, CONTENT_TYPE text(150) not null,
             ATT_NAME text(250) not null, DATA_SIZE int32 not null, DATA blob{more})",
            quoted(&name)
        ))?;
        let dates = if tracked { (", gdb_from_date, gdb_to_date", format!(", {FROM}, {TO}")) } else { ("", String::new()) };
        let mut insert = self.sql.prepare(&format!(
            "INSERT INTO {}(ATTACHMENTID, GLOBALID, REL_GLOBALID, CONTENT_TYPE, ATT_NAME, DATA_SIZE, DATA{}) VALUES(?1,?2,?3,'image/png',?4,?5,?6{})",
            quoted(&name), dates.0, dates.1
        ))?;
        for a in attachments {
            insert.execute(params![
                a.id,
                guid(&a.global_id, self.bare_guids),
                guid(&a.parent_global_id, self.bare_guids),
                a.name,
                i64::try_from(a.bytes.len()).unwrap_or(0),
                a.bytes
            ])?;
        }
        self.register(
            &name,
            "ATTACHMENTID",
            if tracked { 262_147 } else { 3 },
            attachments.iter().map(|a| a.id).max().unwrap_or(0),
        )?;
        let (item, relation) = (braces(Uuid::new_v4()), braces(Uuid::new_v4()));
        self.item(&item, "{CD06BC3B-789D-4C51-AAFA-A467912B8965}", &format!("main.{name}"), None, None, "<DETableInfo/>")?;
        let xml = "<DERelationshipClassInfo><IsComposite>true</IsComposite><IsAttachmentRelationship>true</IsAttachmentRelationship></DERelationshipClassInfo>";
        self.item(
            &relation,
            "{B606A7E1-FA5B-439C-849C-6E9C2481537B}",
            &format!("main.{table}__ATTACHREL"),
            Some(0),
            None,
            xml,
        )?;
        self.relate("{725BADAB-3452-491B-A795-55F32D67229C}", parent, &relation)?;
        self.relate("{725BADAB-3452-491B-A795-55F32D67229C}", &item, &relation)
    }
}
