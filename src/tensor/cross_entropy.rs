//! Cross-entropy of rows of logits.

use candle_core::{CpuStorage, CustomOp1, D, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::device::{doubles, has_kernels};
use super::kernel::{Real, exponentials, largest, numbers, sum_of_exponentials, widened};

/// What one row of logits says of its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowScore {
    /// `-ln softmax(row)[label]`, in nats.
    pub loss: f64,
    /// Index of the largest logit, the lowest of equals.
    pub top: u32,
}

/// What blocks of one row of logits said so far of its label.
#[derive(Clone, Copy, Debug)]
pub struct RowTally {
    /// Largest logit and its index.
    top: (u32, f64),
    /// `sum exp(x - largest)`.
    sum: f64,
    /// The label's logit, once its block has passed.
    wanted: Option<f64>,
}

impl Default for RowTally {
    fn default() -> Self {
        Self { top: (0, f64::NEG_INFINITY), sum: 0.0, wanted: None }
    }
}

impl RowTally {
    fn add(&mut self, block: Self) {
        if self.sum == 0.0 && self.top.1 == f64::NEG_INFINITY {
            let wanted = self.wanted.or(block.wanted);
            *self = Self { wanted, ..block };
            return;
        }
        // A NaN stays one: it fails both comparisons, and the sum carries it on.
        let top = if block.top.1 > self.top.1 { block.top } else { self.top };
        self.sum = self.sum * (self.top.1 - top.1).exp() + block.sum * (block.top.1 - top.1).exp();
        self.top = top;
        self.wanted = self.wanted.or(block.wanted);
    }

    /// The score of the row, all of whose blocks have passed; `None` where its label is in none of them.
    pub fn score(&self) -> Option<RowScore> {
        Some(RowScore { loss: self.sum.ln() - (self.wanted? - self.top.1), top: self.top.0 })
    }
}

/// Adds `logits [M, B]` of the classes from `first` on to the tallies of the rows, which have one label each. Blocks
/// come in the order of the classes. Nothing of the size of the logits is made on the processor; no gradient flows.
/// Half-precision logits are scored in f32.
pub fn tally_rows(logits: &Tensor, first: usize, labels: &[u32], tallies: &mut [RowTally]) -> Result<()> {
    let (rows, classes) = logits.dims2()?;
    if (rows, rows) != (labels.len(), tallies.len()) {
        bail!("{} labels do not fit {rows} rows of logits", labels.len());
    }
    let logits = widened(logits)?;
    let blocks = if has_kernels(logits.device()) {
        let logits = logits.contiguous()?;
        let (storage, layout) = logits.storage_and_layout();
        match &*storage {
            Storage::Cpu(x @ CpuStorage::F32(_)) => tally::<f32>(numbers(x, layout)?, classes, first, labels),
            Storage::Cpu(x @ CpuStorage::F64(_)) => tally::<f64>(numbers(x, layout)?, classes, first, labels),
            _ => bail!("cross-entropy needs floats"),
        }
    } else {
        tally_there(&logits, first, labels)?
    };
    for (tally, block) in tallies.iter_mut().zip(blocks) {
        tally.add(block);
    }
    Ok(())
}

fn tally<T: Real>(logits: &[T], classes: usize, first: usize, labels: &[u32]) -> Vec<RowTally> {
    let rows = logits.par_chunks(classes).zip(labels);
    let of = |(row, label): (&[T], &u32)| {
        let (sum, (at, max)) = normalizer(row);
        let wanted = (*label as usize).checked_sub(first).and_then(|at| row.get(at));
        RowTally { top: (at.saturating_add(index(first)), max.to_f64()), sum, wanted: wanted.map(|x| x.to_f64()) }
    };
    rows.map(of).collect()
}

/// The same where the logits are, on an accelerator; four numbers per row travel.
fn tally_there(logits: &Tensor, first: usize, labels: &[u32]) -> Result<Vec<RowTally>> {
    let classes = logits.dim(1)?;
    let places: Vec<Option<u32>> =
        labels.iter().map(|l| (*l as usize).checked_sub(first).filter(|at| *at < classes).map(index)).collect();
    let asked: Vec<u32> = places.iter().map(|place| place.unwrap_or(0)).collect();
    let max = logits.max_keepdim(D::Minus1)?;
    let sum = logits.broadcast_sub(&max)?.exp()?.sum(D::Minus1)?;
    let wanted = logits.gather(&Tensor::new(asked, logits.device())?.unsqueeze(1)?, D::Minus1)?;
    let (max, sum, wanted) = (doubles(&max)?, doubles(&sum)?, doubles(&wanted)?);
    let top: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
    let tops = top.into_iter().map(|at| at.saturating_add(index(first))).zip(max);
    let wanted = places.iter().zip(wanted).map(|(place, wanted)| place.map(|_| wanted));
    Ok(tops.zip(sum).zip(wanted).map(|((top, sum), wanted)| RowTally { top, sum, wanted }).collect())
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Mean over rows of the cross-entropy between `logits [M, V]` and `labels`, differentiable in the logits.
///
/// With `smoothing` e the target distribution is `1 - e` on the label plus `e / V` everywhere (Szegedy et al. 2016,
/// section 7). Half-precision logits are taken in f32.
pub fn cross_entropy(logits: &Tensor, labels: &[u32], smoothing: f64) -> Result<Tensor> {
    check(logits, labels)?;
    if labels.is_empty() {
        bail!("the mean cross-entropy of no row is not defined");
    }
    let logits = widened(logits)?;
    if has_kernels(logits.device()) {
        return logits.contiguous()?.apply_op1(CrossEntropy { labels: labels.to_vec(), smoothing });
    }
    let wanted = Tensor::new(labels, logits.device())?.unsqueeze(1)?;
    // The maximum shifts both terms alike and is a constant to the gradient.
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normalizer = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let loss = (&normalizer - shifted.gather(&wanted, D::Minus1)?)?.mean_all()?;
    if smoothing == 0.0 {
        return Ok(loss);
    }
    let flat = (normalizer - shifted.mean_keepdim(D::Minus1)?)?.mean_all()?;
    (loss * (1.0 - smoothing))? + (flat * smoothing)?
}

fn check(logits: &Tensor, labels: &[u32]) -> Result<()> {
    let (rows, classes) = logits.dims2()?;
    if rows != labels.len() {
        bail!("{} labels do not fit {rows} rows of logits", labels.len());
    }
    match labels.iter().find(|label| **label as usize >= classes) {
        Some(label) => bail!("label {label} is outside the {classes} classes"),
        None => Ok(()),
    }
}

/// `sum exp(x - max)`, and the maximum with its index.
fn normalizer<T: Real>(row: &[T]) -> (f64, (u32, T)) {
    let (at, max) = largest(row);
    (sum_of_exponentials(row, max), (index(at), max))
}

fn surprise<T: Real>(row: &[T], label: u32) -> f64 {
    let (sum, (_, max)) = normalizer(row);
    sum.ln() - row.get(label as usize).map_or(f64::NAN, |x| x.to_f64() - max.to_f64())
}

struct CrossEntropy {
    labels: Vec<u32>,
    smoothing: f64,
}

impl CrossEntropy {
    fn loss<T: Real>(&self, logits: &[T]) -> f64 {
        let classes = logits.len() / self.labels.len();
        let rows = logits.par_chunks(classes).zip(&self.labels).map(|(row, label)| {
            let on_label = surprise(row, *label);
            if self.smoothing == 0.0 {
                return on_label;
            }
            let (sum, (_, max)) = normalizer(row);
            let mean = row.iter().map(|x| x.to_f64() - max.to_f64()).sum::<f64>() / classes as f64;
            (1.0 - self.smoothing) * on_label + self.smoothing * (sum.ln() - mean)
        });
        // Collected first, so that the order of the sum does not depend on threads.
        rows.collect::<Vec<f64>>().iter().sum::<f64>() / self.labels.len() as f64
    }

    /// `(softmax - target) * factor`, row by row.
    fn slope<T: Real>(&self, logits: &[T], factor: f64) -> Vec<T> {
        let classes = logits.len() / self.labels.len();
        let factor = factor / self.labels.len() as f64;
        let flat = self.smoothing / classes as f64;
        let mut slope = vec![T::zero(); logits.len()];
        let rows = slope.par_chunks_mut(classes).zip(logits.par_chunks(classes)).zip(&self.labels);
        rows.for_each(|((slope, row), label)| {
            let max = largest(row).1;
            let total = exponentials(row, max, slope);
            let (scale, shift) = (T::from_f64(factor / total), T::from_f64(-flat * factor));
            for slope in slope.iter_mut() {
                *slope = *slope * scale + shift;
            }
            if let Some(slope) = slope.get_mut(*label as usize) {
                *slope += T::from_f64(-(1.0 - self.smoothing) * factor);
            }
        });
        slope
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let loss = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(vec![self.loss::<f32>(numbers(storage, layout)?) as f32]),
            CpuStorage::F64(_) => CpuStorage::F64(vec![self.loss::<f64>(numbers(storage, layout)?)]),
            _ => bail!("cross-entropy needs floats"),
        };
        Ok((loss, Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let factor = grad.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let (storage, layout) = logits.storage_and_layout();
        let shape = logits.shape();
        Ok(Some(match &*storage {
            Storage::Cpu(x @ CpuStorage::F32(_)) => {
                Tensor::from_vec(self.slope::<f32>(numbers(x, layout)?, factor), shape, &Device::Cpu)?
            }
            Storage::Cpu(x @ CpuStorage::F64(_)) => {
                Tensor::from_vec(self.slope::<f64>(numbers(x, layout)?, factor), shape, &Device::Cpu)?
            }
            _ => bail!("cross-entropy needs floats"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    const LABELS: [u32; 3] = [2, 0, 6];

    /// `[3, 7]`, of mixed size and sign.
    fn logits() -> Vec<f64> {
        (0..21).map(|i| ((i * 37 % 23) as f64 - 11.0) * 0.4).collect()
    }

    /// The definition: `-sum_v target_v ln softmax_v`, mean over rows.
    fn defined(logits: &[f64], smoothing: f64) -> f64 {
        let row = |(row, label): (&[f64], &u32)| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            let target = |v: usize| smoothing / 7.0 + if v == *label as usize { 1.0 - smoothing } else { 0.0 };
            -row.iter().enumerate().map(|(v, x)| target(v) * (x.exp() / sum).ln()).sum::<f64>()
        };
        logits.chunks(7).zip(&LABELS).map(row).sum::<f64>() / 3.0
    }

    #[test]
    fn values_and_gradients_follow_the_definition() {
        for smoothing in [0.0, 0.1] {
            let x = Var::from_vec(logits(), (3, 7), &Device::Cpu).unwrap();
            // A factor behind the loss must reach the gradient.
            let loss = (cross_entropy(x.as_tensor(), &LABELS, smoothing).unwrap() * 3.0).unwrap();
            assert!((loss.to_scalar::<f64>().unwrap() - 3.0 * defined(&logits(), smoothing)).abs() < 1e-12);
            let slope: Vec<f64> = loss.backward().unwrap().get(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for i in 0..21 {
                let moved = |step: f64| {
                    let mut x = logits();
                    x[i] += step;
                    3.0 * defined(&x, smoothing)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope[i] - expected).abs() < 1e-8, "{i}: {} {expected}", slope[i]);
            }
        }
    }

    #[test]
    fn single_and_half_precision_agree_with_double() {
        let x = Tensor::from_vec(logits(), (3, 7), &Device::Cpu).unwrap();
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::BF16, 0.05), (DType::F16, 0.005)] {
            let given = x.to_dtype(dtype).unwrap();
            let loss = cross_entropy(&given, &LABELS, 0.1).unwrap().to_scalar::<f32>().unwrap();
            assert!((f64::from(loss) - defined(&logits(), 0.1)).abs() < tolerance, "{dtype:?} {loss}");
        }
    }

    /// Scores rows whose logits pass in blocks of `width` classes.
    fn scores(x: &Tensor, labels: &[u32], width: usize) -> Vec<RowScore> {
        let mut tallies = vec![RowTally::default(); labels.len()];
        let classes = x.dim(1).unwrap();
        for from in (0..classes).step_by(width) {
            let block = x.narrow(1, from, width.min(classes - from)).unwrap();
            tally_rows(&block, from, labels, &mut tallies).unwrap();
        }
        tallies.iter().map(|tally| tally.score().unwrap()).collect()
    }

    #[test]
    fn rows_are_scored_one_by_one_whatever_their_size() {
        // Logits of 1000 overflow exp; equal largest logits: the first counts.
        let x =
            Tensor::new(&[[1000f32, 1000.0, 0.0], [-1000.0, -3000.0, -1000.0], [0.0, 0.0, 2.0]], &Device::Cpu).unwrap();
        let two = 2f64.ln();
        let last = (2.0 + 2f64.exp()).ln();
        for width in [3, 2, 1] {
            let scores = scores(&x, &[1, 2, 0], width);
            for (score, (loss, top)) in scores.iter().zip([(two, 0), (two, 0), (last, 2)]) {
                assert!((score.loss - loss).abs() < 1e-6 && score.top == top, "{score:?}");
            }
        }
        let there = tally_there(&x, 0, &[1, 2, 0]).unwrap();
        assert_eq!(there.iter().map(|t| t.top.0).collect::<Vec<_>>(), [0, 0, 2]);
        // A view that is not contiguous.
        let turned = scores(&x.t().unwrap(), &[0, 0, 0], 3);
        let expected = (1.0 + (-1000f64).exp() * 2.0).ln();
        assert!((turned[0].loss - expected).abs() < 1e-6 && turned[0].top == 0);
    }

    #[test]
    fn both_paths_and_all_blocks_give_the_same() {
        let x =
            Tensor::from_vec((0..6000).map(|i| ((i * 7919 % 1000) as f32) / 100.0).collect(), (4, 1500), &Device::Cpu)
                .unwrap();
        let labels = [3, 700, 1499, 0];
        let there = tally_there(&x, 0, &labels).unwrap();
        let there: Vec<RowScore> = there.iter().map(|t| t.score().unwrap()).collect();
        for found in [there, scores(&x, &labels, 700), scores(&x, &labels, 1)] {
            for (fused, other) in scores(&x, &labels, 1500).iter().zip(found) {
                assert!((fused.loss - other.loss).abs() < 1e-5 && fused.top == other.top, "{fused:?} {other:?}");
            }
        }
    }

    #[test]
    fn wrong_labels_are_errors() {
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let mut tallies = [RowTally::default(); 2];
        assert!(tally_rows(&x, 0, &[0], &mut tallies).is_err());
        tally_rows(&x, 0, &[0, 3], &mut tallies).unwrap();
        assert!(tallies[0].score().is_some() && tallies[1].score().is_none());
        let none = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(cross_entropy(&none, &[], 0.0).is_err());
        tally_rows(&none, 0, &[], &mut []).unwrap();
    }
}
