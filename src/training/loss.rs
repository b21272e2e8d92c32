//! The task loss.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::network::{Batch, Hidden, Network};
use crate::tensor::cross_entropy;

/// The task loss of one batch.
#[derive(Clone, Debug)]
pub struct TaskLoss {
    /// Mean over predicted tokens, differentiable, with label smoothing where asked for.
    pub mean: Tensor,
    pub tokens: usize,
}

/// Mean cross-entropy per token at the positions that `batch` has labels for.
///
/// With `smoothing` e the target distribution is `1 - e` on the label plus `e / V` everywhere (Szegedy et al. 2016).
pub fn task_loss(network: &Network, hidden: &Hidden, batch: &Batch, smoothing: f64) -> Result<TaskLoss> {
    let (rows, labels) = labeled(&hidden.states, batch)?;
    // Logits of positions without a label are never formed.
    let mean = cross_entropy(&network.logits(&rows)?, &labels, smoothing)?;
    Ok(TaskLoss { mean, tokens: labels.len() })
}

/// The rows of `x [N, T, ..]` that `batch` has labels for, and the labels.
fn labeled(x: &Tensor, batch: &Batch) -> Result<(Tensor, Vec<u32>)> {
    let rows = x.flatten_to(1)?;
    let (places, labels) = batch.labeled(rows.dim(0)?)?;
    if places.is_empty() {
        return Err(Error::new("a batch has no position to learn from"));
    }
    let all = places.len() == rows.dim(0)?;
    let rows = if all { rows } else { rows.index_select(&Tensor::new(places, x.device())?, 0)? };
    Ok((rows, labels))
}
