//! The task loss.

use candle_core::{D, Device, Tensor, Var};

use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::network::{Batch, Hidden, Network, NetworkSpec, OutputHead, ProblemType, TaskHead, TaskKind, rows_at_once};
use crate::tensor::{cross_entropy, doubles, wide};

/// Why there is no loss to train a network of `spec` by on `input`, as far as that is known before anything is read.
pub fn missing_loss(spec: &NetworkSpec, input: Option<&Input>) -> Option<&'static str> {
    match input {
        _ if !spec.is_scored() => {
            Some("this model predicts nothing that has a loss, so there is nothing to train it on")
        }
        Some(Input::Text(_) | Input::Pairs { .. }) if spec.task.is_some() => {
            Some("this model answers a task, and text without labels has nothing to train it on")
        }
        _ => None,
    }
}

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
    let tokens = labels.len();
    // Logits of positions without a label are never formed.
    let mean = match network.output().filter(|output| tokens * output.vocabulary() > WHOLE) {
        Some(output) => in_slices(output, &rows, &labels, rows_at_once(output.vocabulary()), smoothing)?,
        None => cross_entropy(&network.logits(&rows)?, &labels, smoothing)?,
    };
    Ok(TaskLoss { mean, tokens })
}

/// Logits that may be there at once. Of more, which a large vocabulary and a long text make, as many as there are and as many
/// gradients would fill the memory.
const WHOLE: usize = 1 << 24;

/// The mean cross-entropy of `rows [M, D]` of hidden states, whose logits are made, scored and dropped for `step` rows at a
/// time. What flows back to the states and the head's weights is found on the way, in f32 at least.
fn in_slices(output: &OutputHead, rows: &Tensor, labels: &[u32], step: usize, smoothing: f64) -> Result<Tensor> {
    let prepared = output.prepare(rows)?;
    let tracked = output.tracked();
    let learns = tracked.is_some() || prepared.track_op();
    let weight = tracked.as_ref().map(|all| leaf(all.weights().0)).transpose()?;
    let bias = tracked.as_ref().and_then(|all| all.weights().1).map(leaf).transpose()?;
    let block = tracked.as_ref().zip(weight.as_ref());
    let block = block.map(|(all, weight)| all.with_weights(weight.clone(), bias.clone()));
    let (mut loss, mut to_rows, mut to_weight, mut to_bias) = (0.0, Vec::new(), None, None);
    for (index, labels_here) in labels.chunks(step).enumerate() {
        let states = leaf(&prepared.narrow(0, index * step, labels_here.len())?)?;
        let logits = match &block {
            Some(block) => block.logits(&states)?,
            None => output.logits(&states.to_dtype(prepared.dtype())?)?,
        };
        let share = labels_here.len() as f64 / labels.len() as f64;
        let part = (cross_entropy(&logits, labels_here, smoothing)? * share)?;
        loss += doubles(&part)?.first().copied().unwrap_or(f64::NAN);
        if !learns {
            continue;
        }
        let mut found = part.backward()?;
        to_rows.extend(found.remove(&states));
        for (leaf, sum) in [(&weight, &mut to_weight), (&bias, &mut to_bias)] {
            let Some(here) = leaf.as_ref().and_then(|leaf| found.remove(leaf)) else { continue };
            *sum = Some(match sum.take() {
                Some(before) => (before + here)?,
                None => here,
            });
        }
    }
    let to_rows = if to_rows.is_empty() { None } else { Some(Tensor::cat(&to_rows, 0)?) };
    let (weight, bias) = tracked.as_ref().map_or((None, None), |all| (Some(all.weights().0), all.weights().1));
    with_gradients(loss, [(Some(&prepared), to_rows), (weight, to_weight), (bias, to_bias)])
}

/// A copy of numbers, in f32 at least, with which a graph begins.
fn leaf(x: &Tensor) -> Result<Tensor> {
    let wide = x.to_dtype(wide(x.dtype()))?;
    Ok(if wide.is_variable() { wide } else { Var::from_tensor(&wide.detach())?.into_inner() })
}

/// A scalar of this value with these gradients: a sum of products less itself leaves what the products say of the slope.
fn with_gradients<const N: usize>(value: f64, of: [(Option<&Tensor>, Option<Tensor>); N]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    let mut at = None;
    for (x, gradient) in of {
        let Some(x) = x else { continue };
        at.get_or_insert((x.device().clone(), wide(x.dtype())));
        let Some(gradient) = gradient.filter(|_| x.track_op()) else { continue };
        let part = (x.to_dtype(gradient.dtype())? * gradient)?.sum_all()?;
        sum = Some(match sum {
            Some(before) => (before + part)?,
            None => part,
        });
    }
    let (device, dtype) = at.ok_or_else(|| Error::new("a loss of nothing"))?;
    let value = Tensor::new(value, &Device::Cpu)?.to_dtype(dtype)?.to_device(&device)?;
    Ok(match sum {
        Some(sum) => ((&sum - sum.detach())? + value)?,
        None => value,
    })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::DType;

    use super::*;
    use crate::model::Model;
    use crate::training::Parameters;

    /// Hidden states `[11, D]`, of which a gradient is asked for, and labels.
    fn states(output: &OutputHead, width: usize) -> (Var, Vec<u32>) {
        let count = 11;
        let numbers = (0..count * width).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect::<Vec<_>>();
        let rows = Tensor::from_vec(numbers, (count, width), &Device::Cpu).unwrap();
        (Var::from_tensor(&rows).unwrap(), (0..count).map(|i| (i * 7 % output.vocabulary()) as u32).collect())
    }

    fn assert_alike(got: &Tensor, want: &Tensor, name: &str) {
        let numbers = |x: &Tensor| x.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        let (got, want) = (numbers(got), numbers(want));
        let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(most > 0.0, "{name}");
        assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= 1e-5 * most), "{name}");
    }

    #[test]
    fn slices_say_what_the_whole_says() {
        // A head of its own, one tied to the embeddings, one with a transform, a norm and a bias.
        for family in ["llama", "gemma2", "bert"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family);
            let model = Model::open(folder).unwrap();
            let parameters = Parameters::of_model(&model, DType::F32, &Device::Cpu).unwrap();
            let learning = Network::load(model.spec(), &parameters).unwrap();
            let frozen = model.network(&Device::Cpu, DType::F32).unwrap();
            for (network, smoothing) in [(&learning, 0.1), (&frozen, 0.0)] {
                let output = network.output().unwrap();
                let (rows, labels) = states(output, model.spec().last_width());
                let whole = cross_entropy(&network.logits(&rows).unwrap(), &labels, smoothing).unwrap();
                let sliced = in_slices(output, &rows, &labels, 4, smoothing).unwrap();
                assert_alike(&sliced, &whole, family);
                // A factor on the loss reaches the gradients.
                let [sliced, whole] = [sliced, whole].map(|loss| (loss * 3.0).unwrap().backward().unwrap());
                assert_alike(sliced.get(&rows).unwrap(), whole.get(&rows).unwrap(), family);
                let mut compared = 0;
                for parameter in parameters.list() {
                    let gradients = [&sliced, &whole].map(|found| found.get(parameter.var.as_tensor()));
                    match gradients {
                        [Some(got), Some(want)] => {
                            assert_alike(got, want, &format!("{family}: {}", parameter.role));
                            compared += 1;
                        }
                        other => assert!(other.iter().all(Option::is_none), "{family}: {}", parameter.role),
                    }
                }
                assert_eq!(compared > 0, std::ptr::eq(network, &raw const learning), "{family}: {compared}");
            }
        }
    }
}
