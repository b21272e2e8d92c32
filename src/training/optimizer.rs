//! AdamW (Loshchilov and Hutter 2019) whose state can be saved: candle's own keeps its moments to itself.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Parameters;
use crate::error::{Error, Result};
use crate::tensor::{doubles, has_kernels};

/// Settings of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdamSettings {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of a weight that the learning rate takes away at each step; not on norms and biases.
    pub weight_decay: f64,
    /// Largest Euclidean norm of the whole gradient; longer ones are shortened to it.
    pub clip: Option<f64>,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.01, clip: Some(1.0) }
    }
}

/// Moments of one parameter, in its shape, type and place.
#[derive(Debug)]
struct AdamMoments {
    first: Var,
    second: Var,
}

/// The optimizer of a set of parameters.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamSettings,
    moments: Vec<AdamMoments>,
    steps: u64,
}

impl AdamW {
    /// A fresh optimizer: moments are zero.
    pub fn new(parameters: &Parameters, settings: AdamSettings) -> Result<Self> {
        let moments = parameters.list().iter().map(|p| {
            let zeros = || Var::zeros(p.var.shape(), p.var.dtype(), p.var.device());
            Ok(AdamMoments { first: zeros()?, second: zeros()? })
        });
        Ok(Self { settings, moments: moments.collect::<Result<_>>()?, steps: 0 })
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments in the order of the parameters, for saving.
    pub fn state(&self) -> impl Iterator<Item = (&Tensor, &Tensor)> {
        self.moments.iter().map(|m| (m.first.as_tensor(), m.second.as_tensor()))
    }

    /// Puts a saved state back.
    pub fn restore(&mut self, steps: u64, state: &[(Tensor, Tensor)]) -> Result<()> {
        if state.len() != self.moments.len() {
            return Err(Error::new("this optimizer state is of another model"));
        }
        for (moments, (first, second)) in self.moments.iter().zip(state) {
            moments.first.set(first)?;
            moments.second.set(second)?;
        }
        self.steps = steps;
        Ok(())
    }

    /// Moves the parameters by their gradients, in the order of the parameters; `None` where a parameter has none. The
    /// gradients are those of the loss times `scale`.
    ///
    /// Returns the norm of the loss's whole gradient before it was shortened; `None`, and nothing moves, where it is not
    /// finite.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &[Option<Tensor>],
        scale: f64,
        rate: f64,
    ) -> Result<Option<f64>> {
        let list = parameters.list();
        if gradients.len() != list.len() || self.moments.len() != list.len() {
            return Err(Error::new("gradients and parameters do not fit"));
        }
        let squares = gradients.iter().flatten().map(|gradient| {
            // Squares of scaled gradients could leave the range of f32.
            let gradient = if scale == 1.0 { gradient.clone() } else { (gradient / scale)? };
            Ok(gradient.sqr()?.sum_all()?)
        });
        let squares = squares.collect::<Result<Vec<Tensor>>>()?;
        // Together in one transfer.
        let squares = if squares.is_empty() { Vec::new() } else { doubles(&Tensor::stack(&squares, 0)?)? };
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(None);
        }
        let shorten =
            self.settings.clip.filter(|longest| norm > *longest).map_or(1.0, |longest| longest / norm) / scale;
        self.steps += 1;
        let AdamSettings { beta1, beta2, eps, weight_decay, .. } = self.settings;
        let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (unbias1, unbias2) = (1.0 - beta1.powi(exponent), 1.0 - beta2.powi(exponent));
        for ((parameter, moments), gradient) in list.iter().zip(&self.moments).zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let decay = if parameter.decays() { weight_decay } else { 0.0 };
            let (m, v, theta) = (moments.first.as_tensor(), moments.second.as_tensor(), parameter.var.as_tensor());
            if has_kernels(theta.device()) && theta.dtype() == DType::F32 {
                let gradient = gradient.contiguous()?;
                m.inplace_op2(&gradient, &Average { decay: beta1, factor: shorten, square: false })?;
                v.inplace_op2(&gradient, &Average { decay: beta2, factor: shorten, square: true })?;
                theta.inplace_op3(m, v, &Move { rate, decay, eps, unbias1, unbias2 })?;
            } else {
                let gradient = (gradient * shorten)?;
                let next_m = ((m * beta1)? + (&gradient * (1.0 - beta1))?)?;
                let next_v = ((v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                let root = (next_v.affine(1.0 / unbias2, 0.0)?.sqrt()? + eps)?;
                let change = (next_m.affine(rate / unbias1, 0.0)? / root)?;
                moments.first.set(&next_m)?;
                moments.second.set(&next_v)?;
                parameter.var.set(&((theta.detach() * (1.0 - rate * decay))? - change)?)?;
            }
        }
        Ok(Some(norm))
    }
}

/// Tensors below this size are not worth a second thread.
const CHUNK: usize = 1 << 15;

/// `m = decay m + (1 - decay) g`, or of `g^2`, with `g` times `factor`.
struct Average {
    decay: f64,
    factor: f64,
    square: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving-average"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> candle_core::Result<()> {
        let moment = mutable(s1, l1)?;
        let gradient = slice(s2, l2)?;
        let (decay, rest, factor) = (self.decay as f32, (1.0 - self.decay) as f32, self.factor as f32);
        let square = self.square;
        moment.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).for_each(|(moment, gradient)| {
            for (m, g) in moment.iter_mut().zip(gradient) {
                let g = g * factor;
                *m = decay * *m + rest * if square { g * g } else { g };
            }
        });
        Ok(())
    }
}

/// `theta = (1 - rate decay) theta - rate m' / (sqrt(v') + eps)` with unbiased moments.
struct Move {
    rate: f64,
    decay: f64,
    eps: f64,
    unbias1: f64,
    unbias2: f64,
}

impl InplaceOp3 for Move {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<()> {
        let theta = mutable(s1, l1)?;
        let (first, second) = (slice(s2, l2)?, slice(s3, l3)?);
        let keep = (1.0 - self.rate * self.decay) as f32;
        let (rate, unbias2, eps) = ((self.rate / self.unbias1) as f32, (1.0 / self.unbias2) as f32, self.eps as f32);
        let parts = theta.par_chunks_mut(CHUNK).zip(first.par_chunks(CHUNK)).zip(second.par_chunks(CHUNK));
        parts.for_each(|((theta, first), second)| {
            for ((t, m), v) in theta.iter_mut().zip(first).zip(second) {
                *t = keep * *t - rate * m / ((v * unbias2).sqrt() + eps);
            }
        });
        Ok(())
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let range = layout.contiguous_offsets();
    let values = storage.as_slice::<f32>()?;
    range.and_then(|(a, b)| values.get(a..b)).ok_or_else(|| candle_core::Error::Msg("not contiguous".to_owned()))
}

fn mutable<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let range = layout.contiguous_offsets();
    let CpuStorage::F32(values) = storage else {
        return Err(candle_core::Error::Msg("not f32".to_owned()));
    };
    range.and_then(|(a, b)| values.get_mut(a..b)).ok_or_else(|| candle_core::Error::Msg("not contiguous".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;
    use candle_nn::{Optimizer, ParamsAdamW};

    use super::*;
    use crate::model::Model;

    fn parameters(dtype: DType) -> Parameters {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        Parameters::of_model(&model, dtype, &Device::Cpu).unwrap()
    }

    /// A gradient of every parameter: a smooth function of its values and of the step.
    fn gradients(parameters: &Parameters, step: u64) -> Vec<Option<Tensor>> {
        let of = |x: &Tensor| ((x.detach() * 0.7).unwrap() + 0.01 * (step as f64 - 2.0)).unwrap();
        parameters.list().iter().map(|p| Some(of(p.var.as_tensor()))).collect()
    }

    #[test]
    fn equals_candles_optimizer_where_all_weights_decay() {
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let settings = AdamSettings { clip: None, weight_decay: 0.1, ..AdamSettings::default() };
            let ours = parameters(dtype);
            let mut optimizer = AdamW::new(&ours, settings).unwrap();
            let theirs = parameters(dtype);
            let matrices: Vec<Var> = theirs.list().iter().filter(|p| p.decays()).map(|p| p.var.clone()).collect();
            let AdamSettings { beta1, beta2, eps, weight_decay, .. } = settings;
            let params = ParamsAdamW { lr: 0.01, beta1, beta2, eps, weight_decay };
            let mut reference = candle_nn::AdamW::new(matrices, params).unwrap();
            for step in 0..5 {
                let of_ours = gradients(&ours, step);
                let mut store = theirs.list()[0].var.sum_all().unwrap().backward().unwrap();
                for (parameter, gradient) in theirs.list().iter().zip(gradients(&theirs, step)) {
                    store.insert(parameter.var.as_tensor(), gradient.unwrap());
                }
                reference.step(&store).unwrap();
                optimizer.step(&ours, &of_ours, 1.0, 0.01).unwrap().unwrap();
            }
            for (a, b) in ours.list().iter().zip(theirs.list()).filter(|(a, _)| a.decays()) {
                let difference = (a.var.as_tensor() - b.var.as_tensor()).unwrap().abs().unwrap().max_all().unwrap();
                let difference: f64 = difference.to_dtype(DType::F64).unwrap().to_scalar().unwrap();
                assert!(difference <= tolerance, "{}: {difference}", a.role);
            }
        }
    }

    #[test]
    fn a_long_gradient_is_shortened_and_a_broken_one_moves_nothing() {
        let parameters = parameters(DType::F64);
        let settings = AdamSettings { clip: Some(0.5), ..AdamSettings::default() };
        let mut optimizer = AdamW::new(&parameters, settings).unwrap();
        let gradients = gradients(&parameters, 0);
        let norm = optimizer.step(&parameters, &gradients, 1.0, 0.0).unwrap().unwrap();
        // After one step the first moment is (1 - beta1) g 0.5 / |g|, so its norm over all parameters is 0.05.
        let squares: f64 =
            optimizer.state().map(|(m, _)| m.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()).sum();
        assert!(norm > 0.5 && (squares.sqrt() - 0.05).abs() < 1e-12, "{norm} {}", squares.sqrt());
        let broken = gradients.iter().map(|g| g.as_ref().map(|g| (g / 0.0).unwrap())).collect::<Vec<_>>();
        let before = parameters.snapshot().unwrap();
        assert!(optimizer.step(&parameters, &broken, 1.0, 0.1).unwrap().is_none());
        for (a, b) in before.iter().zip(parameters.list()) {
            assert_eq!(
                (a - b.var.as_tensor()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap(),
                0.0
            );
        }
    }

    #[test]
    fn norms_and_biases_do_not_decay() {
        let parameters = parameters(DType::F32);
        let mut optimizer =
            AdamW::new(&parameters, AdamSettings { weight_decay: 0.5, ..AdamSettings::default() }).unwrap();
        let before = parameters.snapshot().unwrap();
        let zeros: Vec<_> = before.iter().map(|t| Some(t.zeros_like().unwrap())).collect();
        optimizer.step(&parameters, &zeros, 1.0, 0.1).unwrap().unwrap();
        for (before, parameter) in before.iter().zip(parameters.list()) {
            // Decay alone: theta (1 - 0.1 * 0.5).
            let factor = if before.rank() >= 2 { 0.95 } else { 1.0 };
            let difference = ((before * factor).unwrap() - parameter.var.as_tensor()).unwrap();
            let difference: f32 = difference.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(difference < 1e-6, "{}", parameter.role);
        }
    }
}
