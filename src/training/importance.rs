//! How much depends on each head: derivatives by its gate.

use std::cell::Cell;
use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::task_loss;
use crate::analysis::{Baseline, importance};
use crate::error::Result;
use crate::evaluation::pooled;
use crate::network::{Batch, Blind, Gates, Hidden, Network, Site};
use crate::task::Ticket;

/// Mean absolute derivative by each head's gate (Michel et al. 2019), for [`crate::plan::Method::Importance`].
///
/// With a language-model head it is that of the task loss, so `batches` carry labels. Without one there is no loss:
/// then it is that of a random projection of the sequences' embeddings, scaled to norm 1 as cosines see them. With a
/// new projection for every batch, its mean measures how far the embeddings move when a gate does.
pub fn gate_importance(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    ticket: &Ticket,
) -> Result<BTreeMap<Site, Baseline>> {
    let predicts = network.spec().output.is_some();
    let batch_index = Cell::new(0u64);
    let loss = |gates: &Gates, batch: &Batch| -> Result<Tensor> {
        let hidden = network.hidden(batch, gates, &mut Blind)?;
        if predicts {
            return Ok(task_loss(network, &hidden, batch, 0.0)?.mean);
        }
        let index = batch_index.replace(batch_index.get() + 1);
        projection(network, &hidden, index)
    };
    importance(network, batches, loss, ticket)
}

/// Sum over sequences of `<r, e / |e|>` with signs `r` drawn for each of them.
fn projection(network: &Network, hidden: &Hidden, seed: u64) -> Result<Tensor> {
    let embeddings = pooled(network.spec(), hidden)?;
    let norms = embeddings.sqr()?.sum_keepdim(1)?.sqrt()?.clamp(f32::MIN_POSITIVE, f32::MAX)?;
    let unit = embeddings.broadcast_div(&norms)?;
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let signs: Vec<f32> = (0..unit.elem_count()).map(|_| if rng.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }).collect();
    let signs = Tensor::from_vec(signs, unit.shape(), unit.device())?.to_dtype(unit.dtype())?;
    Ok((unit * signs)?.sum_all()?)
}
