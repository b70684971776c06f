//! Rows on their way from the thread that reads and decodes them to the one that encodes and writes them.
//!
//! Rows go in batches, whose memory is used again: a few of them, each of a limited number of rows and bytes, are under way at a time.

use super::feature::Feature;
use super::reader::TakeFeature;
use super::value::Value;
use offmap_model::Failure;
use std::sync::mpsc::{channel, sync_channel};

/// Rows of a batch, and about how many bytes of them end it.
const MOST_ROWS: usize = 256;
const MOST_BYTES: usize = 1 << 20;
/// Batches under way.
const BATCHES: usize = 3;
/// Bytes that a batch keeps for the next rows.
const MOST_KEPT: usize = 4 << 20;

#[derive(Default)]
struct Batch {
    rows: Vec<Feature>,
    /// The most bytes that each of them had.
    kept: Vec<usize>,
    used: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, row: &Feature) {
        if self.used == self.rows.len() {
            self.rows.push(Feature::with_fields(row.values.len()));
            self.kept.push(0);
        }
        self.rows[self.used].copy_from(row);
        let bytes = bytes_of(row);
        self.kept[self.used] = self.kept[self.used].max(bytes);
        self.bytes += bytes;
        self.used += 1;
    }

    fn is_full(&self) -> bool {
        self.used >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    fn empty(mut self) -> Self {
        if self.kept.iter().sum::<usize>() > MOST_KEPT {
            return Self::default();
        }
        (self.used, self.bytes) = (0, 0);
        self
    }
}

fn bytes_of(row: &Feature) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    let shape = row.geometry().map_or(0, |g| g.xy().len() * 16 + (g.z().len() + g.m().len()) * 8);
    shape + row.values.iter().map(value).sum::<usize>()
}

/// Reads rows on this thread and writes them on another one, in their order; how many rows were read is returned. Blocks.
///
/// # Errors
/// What `write` says, else what `read` does.
pub fn read_and_write(
    read: impl FnOnce(&mut TakeFeature<'_>) -> Result<u64, Failure>,
    mut write: impl FnMut(&mut Feature) -> Result<(), Failure> + Send,
) -> Result<u64, Failure> {
    let (filled, to_write) = sync_channel::<Batch>(BATCHES);
    let (written, to_fill) = channel::<Batch>();
    for _ in 0..BATCHES {
        // Its receiver is here.
        let _ = written.send(Batch::default());
    }
    // Said by the reader only when the writer ended early, whose own failure is returned then.
    let ended = || Failure::internal("the thread that writes has ended");
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for mut batch in to_write {
                batch.rows.iter_mut().take(batch.used).try_for_each(&mut write)?;
                // At the end nobody wants it back.
                let _ = written.send(batch.empty());
            }
            Ok(())
        });
        let mut batch = Batch::default();
        let read = read(&mut |row| {
            batch.add(row);
            if !batch.is_full() {
                return Ok(());
            }
            let next = to_fill.recv().map_err(|_| ended())?;
            filled.send(std::mem::replace(&mut batch, next)).map_err(|_| ended())
        });
        // What was read before a failure is written, as it would be by one thread.
        let _ = filled.send(batch);
        drop(filled);
        let result: Result<(), Failure> = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.and(read)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::GeometryKind;

    fn read(rows: i64, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let mut feature = Feature::with_fields(2);
        for row in 0..rows {
            feature.row_id = row;
            feature.values[0] = if row % 3 == 0 { Value::Null } else { Value::Text("x".repeat((row % 7) as usize)) };
            if row % 5 == 0 {
                feature.drop_geometry();
            } else {
                let shape = feature.new_geometry(GeometryKind::Line, row % 2 == 0, false);
                (0..row % 400).for_each(|n| shape.add_point([n as f64, row as f64], 1.0, 0.0));
                shape.close_part();
            }
            take(&feature)?;
        }
        Ok(rows as u64)
    }

    #[test]
    fn every_row_arrives_in_order_as_it_was() {
        let mut direct = Vec::new();
        read(3_000, &mut |row| {
            direct.push(row.clone());
            Ok(())
        })
        .expect("reads");
        let mut arrived = Vec::new();
        let count = read_and_write(
            |take| read(3_000, take),
            |row| {
                arrived.push(row.clone());
                Ok(())
            },
        );
        assert_eq!(count, Ok(3_000));
        let same = |a: &Feature, b: &Feature| (a.row_id, &a.values, a.geometry()) == (b.row_id, &b.values, b.geometry());
        assert!(arrived.len() == direct.len() && arrived.iter().zip(&direct).all(|(a, b)| same(a, b)));
    }

    #[test]
    fn a_failure_of_either_side_ends_both_and_is_the_one_that_is_said() {
        let mut seen = 0;
        let failed = read_and_write(
            |take| read(100_000, take),
            |row| {
                seen += 1;
                if row.row_id == 700 { Err(Failure::invalid_parameter("the disk is full")) } else { Ok(()) }
            },
        );
        assert_eq!((failed.expect_err("failed").message.as_str(), seen), ("the disk is full", 701));
        let mut seen = 0;
        let failed = read_and_write(
            |take| read(1_000, take).and_then(|_| Err(Failure::invalid_parameter("the file is damaged"))),
            |_| {
                seen += 1;
                Ok(())
            },
        );
        assert_eq!((failed.expect_err("failed").message.as_str(), seen), ("the file is damaged", 1_000));
    }
}
