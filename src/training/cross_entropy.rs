//! Cross-entropy of logits against labels in one pass over each row, with its gradient.

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Cross-entropy per row, `[R]`, of `logits [R, V]` against `labels [R]` (u32, below `V`); with `smoothing` e against
/// `1 - e` on the label plus `e / V` everywhere (Szegedy et al. 2016).
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    if logits.device().is_cpu() && logits.dtype() == DType::F32 {
        return logits.contiguous()?.apply_op2(labels, CrossEntropy { smoothing: smoothing as f32 });
    }
    let logits = if logits.dtype() == DType::F64 { logits.clone() } else { logits.to_dtype(DType::F32)? };
    // The maximum shifts both terms alike and is a constant to the gradient.
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let own = shifted.gather(&labels.unsqueeze(1)?, D::Minus1)?;
    let loss = if smoothing > 0.0 {
        let flat = shifted.mean_keepdim(D::Minus1)?;
        (normaliser - ((own * (1.0 - smoothing))? + (flat * smoothing)?)?)?
    } else {
        (normaliser - own)?
    };
    loss.squeeze(1)
}

#[derive(Clone, Copy)]
struct CrossEntropy {
    smoothing: f32,
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (logits, labels, (rows, classes)) = operands(s1, l1, s2, l2)?;
        let e = self.smoothing;
        let mut losses = vec![0f32; rows];
        losses.par_iter_mut().zip(logits.par_chunks(classes)).zip(labels).for_each(|((loss, row), label)| {
            let (largest, total) = normaliser(row);
            let own = row[*label as usize];
            let target = if e > 0.0 { (1.0 - e) * own + e * mean(row) } else { own };
            *loss = largest + total.ln() - target;
        });
        Ok((CpuStorage::F32(losses), Shape::from(rows)))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let slope = logits.apply_op3_no_bwd(labels, &gradient.contiguous()?, &Slope { smoothing: self.smoothing })?;
        Ok((Some(slope), None))
    }
}

/// `g (softmax(x) - target)`.
struct Slope {
    smoothing: f32,
}

impl candle_core::CustomOp3 for Slope {
    fn name(&self) -> &'static str {
        "cross-entropy-slope"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (logits, labels, (rows, classes)) = operands(s1, l1, s2, l2)?;
        let gradient = contiguous(s3.as_slice::<f32>()?, l3)?;
        let e = self.smoothing;
        let flat = e / classes as f32;
        let mut slope = vec![0f32; rows * classes];
        let parts = slope.par_chunks_mut(classes).zip(logits.par_chunks(classes)).zip(labels).zip(gradient);
        parts.for_each(|(((slope, row), label), g)| {
            let (largest, total) = normaliser(row);
            let factor = g / total;
            for (s, x) in slope.iter_mut().zip(row) {
                *s = (x - largest).exp() * factor - g * flat;
            }
            slope[*label as usize] -= g * (1.0 - e);
        });
        Ok((CpuStorage::F32(slope), Shape::from((rows, classes))))
    }
}

/// Logits, labels and their shape; a label that is no class is an error.
#[allow(clippy::type_complexity)]
fn operands<'a>(
    s1: &'a CpuStorage,
    l1: &Layout,
    s2: &'a CpuStorage,
    l2: &Layout,
) -> Result<(&'a [f32], &'a [u32], (usize, usize))> {
    let (rows, classes) = l1.shape().dims2()?;
    let logits = contiguous(s1.as_slice::<f32>()?, l1)?;
    let labels = contiguous(s2.as_slice::<u32>()?, l2)?;
    if labels.len() != rows || labels.iter().any(|l| *l as usize >= classes) {
        return Err(candle_core::Error::Msg(format!("labels do not fit {rows} rows of {classes} classes")));
    }
    Ok((logits, labels, (rows, classes)))
}

fn contiguous<'a, T>(values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    let range = layout.contiguous_offsets().and_then(|(a, b)| values.get(a..b));
    range.ok_or_else(|| candle_core::Error::Msg("not contiguous".to_owned()))
}

/// The largest entry, and the sum of `exp(x - largest)`.
fn normaliser(row: &[f32]) -> (f32, f32) {
    let largest = row.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
    (largest, row.iter().map(|x| (x - largest).exp()).sum())
}

fn mean(row: &[f32]) -> f32 {
    row.iter().sum::<f32>() / row.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// The composed form in f64 and the kernel in f32 give one loss and one gradient.
    #[test]
    fn kernel_equals_the_formula_in_value_and_gradient() {
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 100.0 - 5.0;
        let logits: Vec<f64> = (0..6 * 11).map(value).collect();
        let labels = Tensor::new(&[0u32, 10, 3, 3, 7, 1], &Device::Cpu).unwrap();
        for smoothing in [0.0, 0.1] {
            let run = |dtype| {
                let x = Tensor::from_vec(logits.clone(), (6, 11), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
                let x = Var::from_tensor(&x).unwrap();
                let loss = cross_entropy(&x, &labels, smoothing).unwrap();
                // Rows weigh differently, so that the incoming gradient is seen.
                let weights = Tensor::new(&[1f32, 2., 3., 4., 5., 6.], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
                let gradients = (&loss * weights).unwrap().sum_all().unwrap().backward().unwrap();
                let numbers = |t: &Tensor| -> Vec<f64> {
                    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
                };
                (numbers(&loss), numbers(gradients.get(&x).unwrap()))
            };
            let (loss, gradient) = run(DType::F32);
            let (want_loss, want_gradient) = run(DType::F64);
            // -log softmax of row 0 at label 0, from the definition.
            let total: f64 = logits[..11].iter().map(|x| x.exp()).sum();
            let own = |i: usize| total.ln() - logits[i];
            let flat = (0..11).map(own).sum::<f64>() / 11.0;
            assert!((want_loss[0] - ((1.0 - smoothing) * own(0) + smoothing * flat)).abs() < 1e-12);
            for (got, want) in loss.iter().zip(&want_loss).chain(gradient.iter().zip(&want_gradient)) {
                assert!((got - want).abs() < 2e-5, "{got} {want}");
            }
        }
        let wrong = Tensor::new(&[11u32; 6], &Device::Cpu).unwrap();
        let x = Tensor::zeros((6, 11), DType::F32, &Device::Cpu).unwrap();
        assert!(cross_entropy(&x, &wrong, 0.0).is_err());
    }
}
