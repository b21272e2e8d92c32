//! Parts of a network that are held, and parts that stay in the checkpoint until a pass comes to them.
//!
//! Layers and token tables are nearly all of a model. A network that was loaded holds them; one that was streamed reads
//! each of them when a pass needs it and drops it behind. Both run the same code on the same numbers, so their results
//! are equal bit for bit.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Role, Weights};
use crate::error::Result;
use crate::tensor::lookup;

/// Weights that a network leaves where they are.
#[derive(Clone)]
pub(super) struct Deferred(pub Arc<dyn Weights + Send + Sync>);

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deferred")
    }
}

/// A part that is held, or left to be read.
#[derive(Clone, Debug)]
pub(super) enum DeferredPart<T> {
    Held(T),
    Deferred(Deferred),
}

impl<T: Clone> DeferredPart<T> {
    /// Reads the part now, or leaves it.
    pub(super) fn new(
        weights: &dyn Weights,
        deferred: Option<&Deferred>,
        read: impl FnOnce(&dyn Weights) -> Result<T>,
    ) -> Result<Self> {
        match deferred {
            Some(deferred) => Ok(Self::Deferred(deferred.clone())),
            None => Ok(Self::Held(read(weights)?)),
        }
    }

    /// Whether it is read each time.
    pub(super) fn is_left(&self) -> bool {
        matches!(self, Self::Deferred(_))
    }

    /// The part, read where it is not held.
    pub(super) fn get(&self, read: impl FnOnce(&dyn Weights) -> Result<T>) -> Result<Cow<'_, T>> {
        match self {
            Self::Held(part) => Ok(Cow::Borrowed(part)),
            Self::Deferred(deferred) => Ok(Cow::Owned(read(&*deferred.0)?)),
        }
    }
}

/// Numbers in a block of a table. What is computed block by block is the same whether the table is held or not.
const BLOCK: usize = 1 << 22;

/// A table with a row per token: embeddings, or the weights of a language-model head.
#[derive(Clone, Debug)]
pub(super) struct TokenTable {
    rows: usize,
    width: usize,
    source: TableSource,
}

#[derive(Clone, Debug)]
enum TableSource {
    Held(Tensor),
    Deferred(Deferred, Role),
}

impl TokenTable {
    pub(super) fn new(
        weights: &dyn Weights,
        deferred: Option<&Deferred>,
        role: Role,
        shape: (usize, usize),
    ) -> Result<Self> {
        let source = match deferred {
            Some(deferred) => TableSource::Deferred(deferred.clone(), role),
            None => TableSource::Held(weights.get(role)?),
        };
        Ok(Self { rows: shape.0, width: shape.1, source })
    }

    /// Where it is, and its type.
    pub(super) fn place(&self) -> Result<(Device, DType)> {
        let one = self.block(0..1.min(self.rows))?;
        Ok((one.device().clone(), one.dtype()))
    }

    /// The whole table where it is held and gradients flow into it.
    pub(super) fn tracked(&self) -> Option<&Tensor> {
        match &self.source {
            TableSource::Held(table) if table.track_op() => Some(table),
            _ => None,
        }
    }

    /// The rows of `ids [M]`, `[M, width]`.
    pub(super) fn gather(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.source {
            TableSource::Held(table) => Ok(lookup(table, ids)?),
            TableSource::Deferred(deferred, role) => {
                let ids = ids.to_vec1::<u32>()?;
                let mut rows = ids.clone();
                rows.sort_unstable();
                rows.dedup();
                let read = deferred.0.rows(*role, &neighbors(&rows))?;
                // Every id is among the rows, which are its sorted values.
                let place = |id: &u32| rows.partition_point(|row| row < id) as u32;
                let places: Vec<u32> = ids.iter().map(place).collect();
                Ok(read.index_select(&Tensor::new(places, read.device())?, 0)?)
            }
        }
    }

    /// Rows in blocks of one size, which depends on the table's width alone.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, step) = (self.rows, (BLOCK / self.width).max(1));
        (0..rows).step_by(step).map(move |from| from..rows.min(from + step))
    }

    /// Rows of one block.
    pub(super) fn block(&self, rows: Range<usize>) -> Result<Tensor> {
        match &self.source {
            TableSource::Held(table) => Ok(table.narrow(0, rows.start, rows.len())?),
            TableSource::Deferred(deferred, role) => deferred.0.rows(*role, &[rows]),
        }
    }
}

/// Bytes of the largest block of a token table `[rows, width]` whose numbers have `number` bytes.
pub fn block_bytes(rows: usize, width: usize, number: usize) -> u64 {
    (rows.min((BLOCK / width).max(1)) * width * number) as u64
}

/// Ascending rows as ranges of rows that follow each other.
fn neighbors(rows: &[u32]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for row in rows.iter().map(|row| *row as usize) {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_follow_each_other_are_read_together() {
        assert_eq!(neighbors(&[0, 1, 2, 7, 9, 10]), [0..3, 7..8, 9..11]);
        assert!(neighbors(&[]).is_empty());
    }
}
