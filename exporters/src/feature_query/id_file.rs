//! The object ids of a layer in a file: 8 bytes each, little endian, in ascending order. However many there are, a page's are in memory.

use offmap_disk::{atomic_file, run_blocking};
use offmap_model::{Failure, FailureStage};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const WIDTH: u64 = 8;

fn failed(path: &Path, e: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Run, format!("cannot keep object ids in {}", path.display()), e)
}

/// Writes a list piece by piece, beside its name until it is complete.
pub(super) struct IdWriter {
    to: PathBuf,
    new: PathBuf,
    file: Option<std::fs::File>,
    last: Option<i64>,
}

impl IdWriter {
    /// Begins a list anew.
    pub(super) async fn create(to: &Path) -> Result<Self, Failure> {
        let (to, new) = (to.to_owned(), atomic_file::beside(to));
        run_blocking(move || {
            let file = std::fs::File::create(&new).map_err(|e| failed(&new, &e))?;
            Ok(Self { to, new, file: Some(file), last: None })
        })
        .await
    }

    /// Adds ids in ascending order, all above those before.
    pub(super) async fn add(&mut self, ids: Vec<i64>) -> Result<(), Failure> {
        let above = |last: i64| ids.first().is_none_or(|first| *first > last);
        if !self.last.is_none_or(above) {
            return Err(Failure::internal("object ids are not added in ascending order"));
        }
        self.last = ids.last().copied().or(self.last);
        let Some(mut file) = self.file.take() else { return Err(Failure::internal("a list of object ids is closed")) };
        let new = self.new.clone();
        let file = run_blocking(move || {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(|e| failed(&new, &e))?;
            Ok(file)
        });
        self.file = Some(file.await?);
        Ok(())
    }

    /// Gives the list its name.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        run_blocking(move || {
            if let Some(file) = self.file {
                file.sync_all().map_err(|e| failed(&self.new, &e))?;
            }
            atomic_file::put(&self.new, &self.to).map_err(|e| failed(&self.to, &e))
        })
        .await
    }
}

/// How many ids a list has. Blocks.
pub(super) fn count(path: &Path) -> Result<u64, Failure> {
    std::fs::metadata(path).map(|metadata| metadata.len() / WIDTH).map_err(|e| failed(path, &e))
}

/// The ids from one place to another. Blocks.
pub(super) fn slice(path: &Path, from: u64, to: u64) -> Result<Vec<i64>, Failure> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(from.saturating_mul(WIDTH)))?;
        let length = usize::try_from(to.saturating_sub(from).saturating_mul(WIDTH)).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let bytes: Vec<u8> = read().map_err(|e: std::io::Error| failed(path, &e))?;
    Ok(bytes.chunks_exact(8).filter_map(|id| id.try_into().ok().map(i64::from_le_bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_read_in_parts_and_has_its_name_when_it_is_complete() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0-ids");
        let mut writer = IdWriter::create(&path).await.expect("creates");
        writer.add(vec![-3, 1, 2]).await.expect("adds");
        writer.add(Vec::new()).await.expect("adds nothing");
        assert!(writer.add(vec![2]).await.is_err() && !path.exists());
        writer.add(vec![i64::MAX]).await.expect("adds");
        writer.finish().await.expect("finishes");
        assert_eq!(count(&path).expect("counts"), 4);
        assert_eq!((slice(&path, 0, 2).expect("reads"), slice(&path, 3, 4).expect("reads")), (vec![-3, 1], vec![i64::MAX]));
        assert_eq!((slice(&path, 4, 4).expect("reads"), slice(&path, 3, 5).is_err()), (Vec::new(), true));
    }
}
