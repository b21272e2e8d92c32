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
    /// Predicted tokens.
    pub tokens: usize,
}

/// Mean cross-entropy per token at the positions that `batch` has labels for.
///
/// With `smoothing` e the target distribution is `1 - e` on the label plus `e / V` everywhere (Szegedy et al. 2016).
pub fn task_loss(network: &Network, hidden: &Hidden, batch: &Batch, smoothing: f64) -> Result<TaskLoss> {
    let labels = batch.labels.as_ref().ok_or_else(|| Error::new("the input has no labels to learn from"))?;
    let (n, t, width) = hidden.states.dims3()?;
    if labels.len() != n * t {
        return Err(Error::new(format!("{} labels do not fit {n} x {t} positions", labels.len())));
    }
    let (mut rows, mut wanted) = (Vec::new(), Vec::new());
    for (row, label) in (0u32..).zip(labels) {
        if let Some(label) = label {
            rows.push(row);
            wanted.push(*label);
        }
    }
    let tokens = rows.len();
    if tokens == 0 {
        return Err(Error::new("a batch has no position to learn from"));
    }
    let device = hidden.states.device();
    let states = hidden.states.reshape((n * t, width))?;
    // Logits of positions without a label are never formed.
    let states = if tokens == n * t { states } else { states.index_select(&Tensor::new(rows, device)?, 0)? };
    let logits = network.logits(&states)?;
    let mean = cross_entropy(&logits, &wanted, smoothing)?;
    Ok(TaskLoss { mean, tokens })
}
