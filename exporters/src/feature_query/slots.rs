//! The rows of a page while they come: in memory as long as they are few bytes, then in a file beside the page.

use super::fit::FieldFit;
use super::made_of::{ROWS, with_ending};
use super::row_reader::ReadRows;
use super::stored::PageHead;
use offmap_disk::{atomic_file, run_blocking, safe_path};
use offmap_model::{Failure, FailureStage};
use prost::Message as _;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of rows that are held in memory.
const MOST_HELD: usize = 16 << 20;

enum Row {
    Missing,
    Held(Vec<u8>),
    /// Where it is in the file.
    Aside {
        at: u64,
        length: usize,
    },
}

/// Listed ids, and the rows that came of them.
pub(super) struct Slots {
    pub(super) ids: Vec<i64>,
    rows: Vec<Row>,
    pub(super) missing: usize,
    fits: Vec<FieldFit>,
    held: usize,
    most_held: usize,
    aside: Aside,
}

/// Rows that are not held in memory.
struct Aside {
    path: PathBuf,
    file: Option<File>,
    end: u64,
}

fn failed(path: &Path, e: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Run, format!("cannot keep rows in {}", path.display()), e)
}

impl Slots {
    /// For rows of a page that will be written to a path.
    pub(super) fn new(ids: Vec<i64>, fields: usize, page: &Path) -> Self {
        Self::holding(MOST_HELD, ids, fields, page)
    }

    fn holding(most_held: usize, ids: Vec<i64>, fields: usize, page: &Path) -> Self {
        let (missing, rows) = (ids.len(), ids.iter().map(|_| Row::Missing).collect());
        let aside = Aside { path: with_ending(page, ROWS), file: None, end: 0 };
        Self { ids, rows, missing, fits: vec![FieldFit::default(); fields], held: 0, most_held, aside }
    }

    /// Keeps rows; answers how many of them were missing.
    pub(super) async fn put(&mut self, read: ReadRows) -> Result<usize, Failure> {
        let before = self.missing;
        for (own, new) in self.fits.iter_mut().zip(read.fits) {
            *own = own.with(new);
        }
        for (id, row) in read.rows {
            let place = self.ids.binary_search(&id).ok().and_then(|at| self.rows.get_mut(at));
            if let Some(slot @ Row::Missing) = place {
                self.held += row.len();
                *slot = Row::Held(row);
                self.missing -= 1;
            }
        }
        let new = before - self.missing;
        if self.held > self.most_held {
            self.put_aside().await?;
        }
        Ok(new)
    }

    /// Moves all rows that are held into the file.
    async fn put_aside(&mut self) -> Result<(), Failure> {
        let (path, file, mut end) = (self.aside.path.clone(), self.aside.file.take(), self.aside.end);
        let mut rows = Vec::new();
        for row in &mut self.rows {
            if let Row::Held(bytes) = row {
                let length = bytes.len();
                rows.push(std::mem::take(bytes));
                *row = Row::Aside { at: end, length };
                end += length as u64;
            }
        }
        let written = run_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => {
                    let new = safe_path::open_to_write(&path).map_err(|e| failed(&path, &e))?;
                    // What an interrupted run left.
                    new.set_len(0).map_err(|e| failed(&path, &e))?;
                    new
                }
            };
            let mut writer = BufWriter::new(&file);
            rows.iter().try_for_each(|row| writer.write_all(row)).map_err(|e| failed(&path, &e))?;
            writer.flush().map_err(|e| failed(&path, &e))?;
            drop(writer);
            Ok(file)
        });
        self.aside.file = Some(written.await?);
        (self.aside.end, self.held) = (end, 0);
        Ok(())
    }

    /// The first few ids that are missing.
    pub(super) fn first_missing(&self, most: usize) -> Vec<i64> {
        let all = self.ids.iter().zip(&self.rows).filter(|(_, row)| matches!(row, Row::Missing));
        all.map(|(id, _)| *id).take(most).collect()
    }

    /// Writes the page, which has its name when it is complete; rows that did not come are gone.
    pub(super) async fn write(self, to: PathBuf) -> Result<(), Failure> {
        let (rows, gone) = ((self.ids.len() - self.missing) as u64, self.missing as u64);
        let head = PageHead { rows, gone, fits: self.fits };
        let (rows, aside) = (self.rows, self.aside);
        run_blocking(move || {
            let written = write(&to, &head, &rows, &aside);
            remove(&aside.path);
            written
        })
        .await
    }

    /// Removes what lies beside a page that does not come.
    pub(super) async fn discard(self) {
        let path = self.aside.path;
        let removed = run_blocking(move || {
            remove(&path);
            Ok(())
        });
        if let Err(failure) = removed.await {
            tracing::debug!(%failure, "rows beside a page are left");
        }
    }
}

/// Removes the rows beside a page, also those that an interrupted run left. Blocks.
fn remove(aside: &Path) {
    // What cannot be removed goes when the page is made anew, or with its directory.
    let _ = std::fs::remove_file(aside);
}

/// Writes a page: its head, then its rows. Blocks.
fn write(to: &Path, head: &PageHead, rows: &[Row], aside: &Aside) -> Result<(), Failure> {
    let path = &aside.path;
    let mut rest = match aside.file.is_some() {
        true => Some(safe_path::open_file(path).map_err(|e| failed(path, &e))?),
        false => None,
    };
    let mut buffer = Vec::new();
    atomic_file::write(
        to,
        |e| failed(to, e),
        |file| {
            let mut writer = BufWriter::with_capacity(1 << 18, file);
            writer.write_all(&head.encode_length_delimited_to_vec()).map_err(|e| failed(to, &e))?;
            for row in rows {
                let bytes = match (row, &mut rest) {
                    (Row::Held(bytes), _) => bytes,
                    (Row::Aside { at, length }, Some(rest)) => {
                        buffer.resize(*length, 0);
                        rest.seek(SeekFrom::Start(*at)).map_err(|e| failed(path, &e))?;
                        rest.read_exact(&mut buffer).map_err(|e| failed(path, &e))?;
                        &buffer
                    }
                    (Row::Aside { .. }, None) | (Row::Missing, _) => continue,
                };
                writer.write_all(bytes).map_err(|e| failed(to, &e))?;
            }
            writer.flush().map_err(|e| failed(to, &e))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::stored::{Page, StoredRow};
    use super::*;

    fn rows(ids: &[i64]) -> ReadRows {
        let bytes = |id: i64| StoredRow { object_id: id, ..StoredRow::default() }.encode_length_delimited_to_vec();
        ReadRows { rows: ids.iter().map(|id| (*id, bytes(*id))).collect(), bytes: 0, fits: Vec::new(), has_more: false }
    }

    #[tokio::test]
    async fn rows_are_in_the_order_of_their_ids_wherever_they_were_held() {
        let dir = tempfile::tempdir().expect("a directory");
        for most_held in [0, 5, 1000] {
            let path = dir.path().join("page");
            std::fs::write(dir.path().join("page.rows"), "left by another run").expect("writes");
            let mut slots = Slots::holding(most_held, vec![1, 3, 5, 7, 9, 11], 0, &path);
            assert_eq!(slots.put(rows(&[7, 1])).await, Ok(2));
            assert_eq!(slots.put(rows(&[3, 4, 7])).await, Ok(1), "4 is of another page, and 7 is there");
            assert_eq!(slots.put(rows(&[11, 5])).await, Ok(2));
            assert_eq!((slots.missing, slots.first_missing(3)), (1, vec![9]));
            slots.write(path.clone()).await.expect("writes");
            let head = Page::head(&path).expect("a head");
            let (mut page, mut ids) = (Page::open(&path).expect("opens"), Vec::new());
            while let Some(row) = page.next_row().expect("reads") {
                ids.push(row.object_id);
            }
            assert_eq!((head.rows, head.gone, ids), (5, 1, vec![1, 3, 5, 7, 11]), "{most_held}");
            assert!(!dir.path().join("page.rows").exists(), "{most_held}");
        }
    }

    #[tokio::test]
    async fn a_page_that_fails_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut slots = Slots::holding(0, vec![1, 3], 0, &dir.path().join("page"));
        assert_eq!(slots.put(rows(&[1])).await, Ok(1));
        assert!(dir.path().join("page.rows").exists(), "rows lie beside it while it comes");
        slots.discard().await;
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
