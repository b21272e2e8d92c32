//! The task loss.

use candle_core::{D, Tensor};

use crate::error::{Error, Result};
use crate::network::{Batch, Hidden, Network, ProblemType, TaskHead, TaskKind};
use crate::tensor::{cross_entropy, wide};

/// The task loss of one batch.
#[derive(Clone, Debug)]
pub struct TaskLoss {
    /// Mean over predicted tokens, or over the labels of a task, differentiable, with label smoothing where asked for.
    pub mean: Tensor,
    /// Predicted tokens, or labels.
    pub tokens: usize,
}

/// Mean cross-entropy per token at the positions that `batch` has labels for, or the loss of a labeled task as transformers
/// has it: cross-entropy, the mean of both ends of an answer, binary cross-entropy where any class may apply, squared error.
/// Answers are sought at real positions alone.
///
/// With `smoothing` e the target distribution is `1 - e` on the label plus `e / V` everywhere (Szegedy et al. 2016).
pub fn task_loss(network: &Network, hidden: &Hidden, batch: &Batch, smoothing: f64) -> Result<TaskLoss> {
    if let Some(head) = network.task() {
        return loss_of_task(head, hidden, batch, smoothing);
    }
    let (rows, labels) = labeled(&hidden.states, batch)?;
    // Logits of positions without a label are never formed.
    let mean = cross_entropy(&network.logits(&rows)?, &labels, smoothing)?;
    Ok(TaskLoss { mean, tokens: labels.len() })
}

fn loss_of_task(head: &TaskHead, hidden: &Hidden, batch: &Batch, smoothing: f64) -> Result<TaskLoss> {
    let logits = head.logits(hidden, batch)?;
    let tokens = batch.label_count();
    if tokens == 0 {
        return Err(Error::new("a batch has no label to learn from"));
    }
    let mean = match (head.spec().problem, head.spec().kind) {
        (ProblemType::Regression, _) => {
            let wanted = batch.items.wanted.as_deref().unwrap_or(&[]);
            if wanted.len() != logits.elem_count() {
                return Err(Error::new(format!("{} numbers do not fit {:?} answers", wanted.len(), logits.dims())));
            }
            let known: Vec<u32> = (0u32..).zip(wanted).filter(|(_, x)| !x.is_nan()).map(|(i, _)| i).collect();
            let values: Vec<f32> = wanted.iter().copied().filter(|x| !x.is_nan()).collect();
            let logits = logits.flatten_all()?.to_dtype(wide(logits.dtype()))?;
            let got = logits.index_select(&Tensor::new(known, logits.device())?, 0)?;
            let wanted = Tensor::new(values, got.device())?.to_dtype(got.dtype())?;
            (got - wanted)?.sqr()?.mean_all()?
        }
        (ProblemType::MultiLabel, _) => {
            let logits = logits.flatten_all()?.to_dtype(wide(logits.dtype()))?;
            let (places, labels) = batch.labeled(logits.elem_count())?;
            let logits = logits.index_select(&Tensor::new(places, logits.device())?, 0)?;
            let labels: Vec<f32> = labels.into_iter().map(|label| label as f32).collect();
            let labels = Tensor::new(labels, logits.device())?.to_dtype(logits.dtype())?;
            // max(x, 0) - x y + ln(1 + exp(-|x|)), which no x makes overflow.
            let rest = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
            ((logits.relu()? - (&logits * labels)?)? + rest)?.mean_all()?
        }
        (ProblemType::SingleLabel, TaskKind::QuestionAnswering) => {
            // `[N, T, 2]` to a row of positions for each end: start, end, start, ..
            let (n, t, ends) = logits.dims3()?;
            let dtype = wide(logits.dtype());
            let hide = ((hidden.mask.to_tensor(dtype, logits.device())? - 1.0)? * 1e9)?.unsqueeze(1)?;
            let logits = logits.transpose(1, D::Minus1)?.to_dtype(dtype)?.broadcast_add(&hide)?;
            cross_entropy_at(&logits.reshape((n * ends, t))?, batch, smoothing)?
        }
        (ProblemType::SingleLabel, _) => {
            let classes = logits.dim(D::Minus1)?;
            cross_entropy_at(&logits.reshape(((), classes))?, batch, smoothing)?
        }
    };
    Ok(TaskLoss { mean, tokens })
}

/// Mean cross-entropy of the rows that have a label.
fn cross_entropy_at(logits: &Tensor, batch: &Batch, smoothing: f64) -> Result<Tensor> {
    let (places, labels) = batch.labeled(logits.dim(0)?)?;
    let rows = logits.index_select(&Tensor::new(places, logits.device())?, 0)?;
    Ok(cross_entropy(&rows, &labels, smoothing)?)
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
