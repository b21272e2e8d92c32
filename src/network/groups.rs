//! Batches that advance together.

use super::{Batch, Extent, Network};
use crate::error::Result;

/// Splits batches into groups that advance together: one by one where a network holds its weights, else as many as the
/// memory for waiting hidden states has room for, and always one.
#[derive(Debug)]
pub struct LockstepBatches<'a, I> {
    network: &'a Network,
    batches: I,
    /// Times that the hidden states of a batch are held.
    copies: u64,
    /// Further bytes that a batch holds until its group is done.
    extra: u64,
    next: Option<Batch>,
}

impl Network {
    /// Groups of `batches`. What is kept of a batch until its group is done is `copies` times its hidden states and
    /// `extra` bytes.
    pub fn groups<I: Iterator<Item = Result<Batch>>>(
        &self,
        batches: I,
        copies: u64,
        extra: u64,
    ) -> LockstepBatches<'_, I> {
        LockstepBatches { network: self, batches, copies, extra, next: None }
    }
}

impl<I: Iterator<Item = Result<Batch>>> LockstepBatches<'_, I> {
    fn bytes(&self, batch: &Batch) -> Result<u64> {
        let numbers = Extent::of(batch, self.network.spec())?.waiting(self.network.spec());
        let input = batch.source.numbers() * size_of::<f32>() as u64;
        Ok(numbers * self.network.dtype().size_in_bytes() as u64 * self.copies + self.extra + input)
    }

    fn group(&mut self) -> Result<Vec<Batch>> {
        let limit = self.network.waiting().unwrap_or(0);
        let (mut group, mut held) = (Vec::new(), 0u64);
        while let Some(batch) = self.next.take().map(Ok).or_else(|| self.batches.next()) {
            let batch = batch?;
            held = held.saturating_add(self.bytes(&batch)?);
            if !group.is_empty() && held > limit {
                self.next = Some(batch);
                break;
            }
            group.push(batch);
            if held > limit {
                break;
            }
        }
        Ok(group)
    }
}

impl<I: Iterator<Item = Result<Batch>>> Iterator for LockstepBatches<'_, I> {
    type Item = Result<Vec<Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.group() {
            Ok(group) if group.is_empty() => None,
            other => Some(other),
        }
    }
}
