//! One step: batches to gradients to moved weights.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::constraint::{Constraint, GramGraph, Reduction, add_linear, assign, term};
use super::{AdamSettings, AdamW, LossScale, Parameters, task_loss};
use crate::analysis::Gram;
use crate::error::{Error, Result};
use crate::network::{Batch, Gates, Network, NetworkSpec, NoProbe, Probe, Role, Site, Weights};
use crate::tensor::{Precision, at_work, doubles};

/// A network that learns.
#[derive(Debug)]
pub struct Learner {
    parameters: Parameters,
    network: Network,
    optimizer: AdamW,
    precision: Precision,
    scale: Option<LossScale>,
}

/// What a step goes by.
#[derive(Debug)]
pub struct StepSettings<'a> {
    pub rate: f64,
    pub smoothing: f64,
    /// The group constraint; `None` leaves it out and measures nothing.
    pub constraint: Option<&'a Constraint>,
    /// A factor per head.
    pub gates: &'a Gates,
    /// Seed of the grouping's starts.
    pub seed: u64,
}

/// What a step found.
#[derive(Clone, Debug, Default)]
pub struct StepResult {
    /// Mean task loss per predicted token.
    pub task_loss: f64,
    pub tokens: usize,
    /// What the constraint added to the loss.
    pub constraint_loss: f64,
    /// Mean over layers and batches of `cos(x_h, z_g(h))`, where measured.
    pub homogenization: Option<f64>,
    /// Mean over layers and batches of `cos(z_c, z_c')`, where measured.
    pub diversification: Option<f64>,
    /// Norm of the gradient before it was shortened.
    pub gradient_norm: f64,
    /// Gram matrix and groups of every layer on the last batch, where measured.
    pub sites: BTreeMap<Site, (Gram, Vec<usize>)>,
    /// Where the time went.
    pub parts: StepParts,
}

/// Seconds of a step by its parts. On a GPU work goes on behind the program's back, so that parts blur there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepParts {
    /// Through the network to the task loss.
    pub forward: f64,
    /// Products of head maps, grouping and the group terms; their gradients are part of `backward`.
    pub constraint: f64,
    pub backward: f64,
    pub optimizer: f64,
}

impl StepParts {
    /// Adds the seconds of another step.
    pub fn add(&mut self, other: &Self) {
        self.forward += other.forward;
        self.constraint += other.constraint;
        self.backward += other.backward;
        self.optimizer += other.optimizer;
    }

    /// The seconds of one of `steps` steps, not 0.
    #[must_use]
    pub fn per_step(&self, steps: u64) -> Self {
        let part = |sum: f64| sum / steps as f64;
        Self {
            forward: part(self.forward),
            constraint: part(self.constraint),
            backward: part(self.backward),
            optimizer: part(self.optimizer),
        }
    }
}

impl Learner {
    /// A learner with a fresh optimizer that computes in the parameters' own type.
    pub fn new(spec: &NetworkSpec, parameters: Parameters, adam: AdamSettings) -> Result<Self> {
        let network = Network::load(spec, &parameters)?;
        let optimizer = AdamW::new(&parameters, adam)?;
        Ok(Self { parameters, network, optimizer, precision: Precision::F32, scale: None })
    }

    /// The same, with passes and gradients in `precision`, where that is not f32: every step rounds the parameters to it,
    /// and moves them as they are (mixed precision; Micikevicius et al. 2018, section 3.1).
    #[must_use]
    pub fn computing_in(self, precision: Precision) -> Self {
        Self { precision, scale: (precision == Precision::F16).then(LossScale::default), ..self }
    }

    /// The factor on the loss, where the type needs one.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.scale
    }

    /// Puts a saved factor back.
    pub fn restore_loss_scale(&mut self, scale: Option<LossScale>) {
        self.scale = self.scale.map(|fresh| scale.unwrap_or(fresh));
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The optimizer, to put a saved state back.
    pub fn optimizer_mut(&mut self) -> &mut AdamW {
        &mut self.optimizer
    }

    /// The network; its weights record what is done with them.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The same network for looking: it reads the weights as they are at any time and records nothing.
    pub fn frozen(&self) -> Result<Network> {
        struct Frozen<'a>(&'a Parameters);
        impl Weights for Frozen<'_> {
            fn get(&self, role: Role) -> Result<Tensor> {
                Ok(self.0.get(role)?.detach())
            }
        }
        Network::load(self.network.spec(), &Frozen(&self.parameters))
    }

    /// One step over `batches`, whose gradients add up as if they were one batch: the loss is the mean per predicted
    /// token of all of them.
    pub fn step(&mut self, batches: &[Batch], settings: &StepSettings<'_>) -> Result<StepResult> {
        let device = self.network.device().clone();
        at_work(&device, || self.take_step(batches, settings))
    }

    fn take_step(&mut self, batches: &[Batch], settings: &StepSettings<'_>) -> Result<StepResult> {
        let total: usize = batches.iter().map(labels).sum();
        if total == 0 {
            return Err(Error::new("the input has no position to learn from"));
        }
        let mut parts = StepParts::default();
        loop {
            let mut step = StepResult { tokens: total, parts, ..StepResult::default() };
            let factor = self.scale.map_or(1.0, LossScale::factor);
            let gradients = self.gradients(batches, total, factor, settings, &mut step)?;
            let began = Instant::now();
            let norm = self.optimizer.step(&self.parameters, &gradients, factor, settings.rate)?;
            step.parts.optimizer += began.elapsed().as_secs_f64();
            if let Some(norm) = norm {
                self.scale.iter_mut().for_each(LossScale::keep);
                step.gradient_norm = norm;
                return Ok(step);
            }
            // With a smaller factor the step is done again, so that no batch is lost.
            if !step.task_loss.is_finite() || !self.scale.as_mut().is_some_and(LossScale::halve) {
                return Err(diverged(&step, self.precision));
            }
            parts = step.parts;
        }
    }

    /// Gradients of the loss times `factor`, by parameter, of the mean over the `total` tokens of all batches.
    fn gradients(
        &self,
        batches: &[Batch],
        total: usize,
        factor: f64,
        settings: &StepSettings<'_>,
        step: &mut StepResult,
    ) -> Result<Vec<Option<Tensor>>> {
        let began = Instant::now();
        let network = match self.precision {
            Precision::F32 => Cow::Borrowed(&self.network),
            other => Cow::Owned(Network::load(self.network.spec(), &self.parameters.rounded(other.dtype())?)?),
        };
        step.parts.forward += began.elapsed().as_secs_f64();
        let mut sum: Vec<Option<Tensor>> = vec![None; self.parameters.list().len()];
        for batch in batches.iter().filter(|b| labels(b) > 0) {
            let share = labels(batch) as f64 / total as f64;
            let loss = loss(&network, batch, share, total, batches.len(), settings, step)?;
            let began = Instant::now();
            let mut gradients = (loss * factor)?.backward()?;
            for (sum, parameter) in sum.iter_mut().zip(self.parameters.list()) {
                let gradient = gradients.remove(parameter.var.as_tensor()).filter(|_| !parameter.fixed);
                let Some(gradient) = gradient else { continue };
                *sum = Some(match sum.take() {
                    Some(before) => (before + gradient)?,
                    None => gradient,
                });
            }
            step.parts.backward += began.elapsed().as_secs_f64();
        }
        Ok(sum)
    }
}

/// Predicted tokens of a batch.
fn labels(batch: &Batch) -> usize {
    batch.label_count()
}

fn diverged(step: &StepResult, precision: Precision) -> Error {
    let what = if step.task_loss.is_finite() { "gradient" } else { "loss" };
    let error = Error::new(format!("training diverged: the {what} is not finite"));
    match precision {
        Precision::F16 => error.hint("compute in bf16, which has the range of f32, or lower --lr"),
        _ => error.hint("lower --lr, or warm up longer"),
    }
}

/// The loss of one batch as its `share` of a step of `total` tokens in `batches` batches; notes what it found in `step`.
fn loss(
    network: &Network,
    batch: &Batch,
    share: f64,
    total: usize,
    batches: usize,
    settings: &StepSettings<'_>,
    step: &mut StepResult,
) -> Result<Tensor> {
    let began = Instant::now();
    let mut grams = settings.constraint.map(GramGraph::of);
    let probe: &mut dyn Probe = match &mut grams {
        Some(grams) => grams,
        None => &mut NoProbe,
    };
    let hidden = network.hidden(batch, settings.gates, probe)?;
    let task = task_loss(network, &hidden, batch, settings.smoothing)?;
    step.task_loss += share * number(&task.mean)?;
    let loss = (task.mean * share)?;
    let products = grams.as_ref().map_or(0.0, |g| g.seconds);
    step.parts.forward += began.elapsed().as_secs_f64() - products;
    step.parts.constraint += products;
    let began = Instant::now();
    let (Some(constraint), Some(grams)) = (settings.constraint, grams) else { return Ok(loss) };
    let part = 1.0 / batches as f64;
    // Every layer's sum is over the step's tokens; a mean over layers is also one over batches.
    let weight = if constraint.reduction == Reduction::Printed { part } else { 1.0 };
    let mut found = term(constraint, &grams.grams, total, |site, gram| assign(constraint, site, gram, settings.seed))?;
    add_linear(constraint, &grams, total, &mut found)?;
    *step.homogenization.get_or_insert(0.0) += part * found.homogenization;
    *step.diversification.get_or_insert(0.0) += part * found.diversification;
    step.sites = found.sites;
    let loss = match found.loss {
        Some(term) => {
            let term = (term * weight)?;
            step.constraint_loss += number(&term)?;
            (loss + term)?
        }
        None => loss,
    };
    step.parts.constraint += began.elapsed().as_secs_f64();
    Ok(loss)
}

fn number(x: &Tensor) -> Result<f64> {
    doubles(x)?.first().copied().ok_or_else(|| Error::new("a loss without a number"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device};

    use super::*;
    use crate::model::Model;
    use crate::network::Tokens;

    fn batch(rows: &[Vec<u32>]) -> Batch {
        let padded: Vec<_> = rows.iter().map(|r| (r.clone(), vec![true; r.len()])).collect();
        let tokens = Tokens::pad(&padded, 0, &Device::Cpu).unwrap();
        let length = tokens.mask.length();
        let labels = rows.iter().flat_map(|r| (0..length).map(|t| r.get(t + 1).copied())).collect();
        Batch { labels: Some(labels), ..Batch::tokens(tokens) }
    }

    fn learner() -> Learner {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        let parameters = Parameters::of_model(&model, DType::F64, &Device::Cpu).unwrap();
        // The plain step direction shows in the first moment, so no decay and no shortening here.
        let adam = AdamSettings { clip: None, weight_decay: 0.0, ..AdamSettings::default() };
        Learner::new(model.spec(), parameters, adam).unwrap()
    }

    #[test]
    fn accumulated_gradients_are_those_of_one_large_batch() {
        let rows: Vec<Vec<u32>> = vec![(1..9).collect(), (20..25).collect(), (40..47).collect()];
        let gates = Gates::open();
        let settings = StepSettings { rate: 0.0, smoothing: 0.1, constraint: None, gates: &gates, seed: 0 };
        let (mut whole, mut parts) = (learner(), learner());
        let one = whole.step(&[batch(&rows)], &settings).unwrap();
        let two = parts.step(&[batch(&rows[..1]), batch(&rows[1..])], &settings).unwrap();
        assert_eq!((one.tokens, two.tokens), (17, 17));
        assert!((one.task_loss - two.task_loss).abs() < 1e-12);
        for ((a, _), (b, _)) in whole.optimizer().state().zip(parts.optimizer().state()) {
            let difference: f64 = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(difference < 1e-12);
        }
    }

    #[test]
    fn training_lowers_the_loss_of_every_parameter_and_the_frozen_view_follows() {
        let mut learner = learner();
        let frozen = learner.frozen().unwrap();
        let batch = batch(&[(3..15).collect(), (30..42).collect()]);
        let gates = Gates::open();
        let constraint = Constraint { groups: crate::analysis::Groups::Fixed(2), ..Constraint::default() };
        let settings =
            StepSettings { rate: 0.01, smoothing: 0.0, constraint: Some(&constraint), gates: &gates, seed: 0 };
        let before = learner.parameters().snapshot().unwrap();
        let first = learner.step(std::slice::from_ref(&batch), &settings).unwrap();
        for (before, parameter) in before.iter().zip(learner.parameters().list()) {
            let moved: f64 =
                (before - parameter.var.as_tensor()).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(moved > 1e-4, "{} did not move", parameter.role);
        }
        let mut last = first.clone();
        for _ in 0..40 {
            last = learner.step(std::slice::from_ref(&batch), &settings).unwrap();
        }
        assert!(last.task_loss < 0.5 * first.task_loss, "{} {}", first.task_loss, last.task_loss);
        assert!(first.sites.len() == 2 && first.homogenization.is_some_and(|h| h > -1.0 && h <= 1.0));
        let hidden = frozen.hidden(&batch, &gates, &mut NoProbe).unwrap();
        let seen = number(&task_loss(&frozen, &hidden, &batch, 0.0).unwrap().mean).unwrap();
        assert!(seen < last.task_loss);
        // The frozen view records nothing that a gradient could follow.
        let gradients = hidden.states.sum_all().unwrap().backward().unwrap();
        assert!(learner.parameters().list().iter().all(|p| gradients.get(p.var.as_tensor()).is_none()));
    }

    fn mixed(precision: Precision) -> Learner {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        let parameters = Parameters::of_model(&model, DType::F32, &Device::Cpu).unwrap();
        Learner::new(model.spec(), parameters, AdamSettings::default()).unwrap().computing_in(precision)
    }

    #[test]
    fn passes_in_16_bits_learn_as_those_in_32_do() {
        let batches = [batch(&[(3..15).collect(), (30..42).collect()]), batch(&[(5..25).collect()])];
        let gates = Gates::open();
        let constraint = Constraint { groups: crate::analysis::Groups::Fixed(2), ..Constraint::default() };
        let settings =
            StepSettings { rate: 0.01, smoothing: 0.1, constraint: Some(&constraint), gates: &gates, seed: 0 };
        let course = |precision| {
            let mut learner = mixed(precision);
            let steps: Vec<StepResult> = (0..30).map(|_| learner.step(&batches, &settings).unwrap()).collect();
            assert!(learner.parameters().list().iter().all(|p| p.var.dtype() == DType::F32));
            steps
        };
        let expected = course(Precision::F32);
        for (precision, unit) in [(Precision::Bf16, 2f64.powi(-8)), (Precision::F16, 2f64.powi(-11))] {
            let got = course(precision);
            let (first, wanted) = (&got[0], &expected[0]);
            assert!((first.gradient_norm / wanted.gradient_norm - 1.0).abs() < 8.0 * unit, "{precision}");
            for (got, expected) in got.iter().zip(&expected) {
                // A pass in 16 bits must not be one in 32, and must follow it.
                assert_ne!(got.task_loss, expected.task_loss);
                assert!((got.task_loss - expected.task_loss).abs() < 16.0 * unit * first.task_loss, "{precision}");
            }
        }
    }

    #[test]
    fn gradients_beyond_f16_halve_the_factor_and_lose_no_batch() {
        let gates = Gates::open();
        let settings = StepSettings { rate: 0.01, smoothing: 0.0, constraint: None, gates: &gates, seed: 0 };
        let batch = batch(&[(3..15).collect()]);
        let mut plain = mixed(Precision::F16);
        let mut steep = mixed(Precision::F16);
        // 2^24 over 11 tokens is far beyond 65504.
        let largest = serde_json::from_str(r#"{"exponent": 24, "calm": 7}"#).unwrap();
        steep.restore_loss_scale(Some(largest));
        let expected = plain.step(std::slice::from_ref(&batch), &settings).unwrap();
        let got = steep.step(std::slice::from_ref(&batch), &settings).unwrap();
        let scale = steep.loss_scale().unwrap();
        assert!(scale.factor() < largest.factor() && scale.factor() >= 65536.0, "{scale:?}");
        assert_eq!(steep.optimizer().steps(), 1);
        assert_eq!(got.task_loss, expected.task_loss);
        // The factor is a power of two: the gradients are equal but for what the smaller one rounds to nothing.
        assert!((got.gradient_norm / expected.gradient_norm - 1.0).abs() < 1e-3);
        for (a, b) in plain.parameters().list().iter().zip(steep.parameters().list()) {
            let difference: f32 = (a.var.as_tensor() - b.var.as_tensor())
                .unwrap()
                .abs()
                .unwrap()
                .mean_all()
                .unwrap()
                .to_scalar()
                .unwrap();
            assert!(difference < 1e-3, "{} {difference}", a.role);
        }
        // A factor is kept for f16 alone.
        let mut other = mixed(Precision::Bf16);
        other.restore_loss_scale(Some(largest));
        assert_eq!(other.loss_scale(), None);
    }

    #[test]
    fn weights_beyond_the_range_are_an_error_with_a_way_out() {
        let mut learner = mixed(Precision::F16);
        for parameter in learner.parameters().list() {
            parameter.var.set(&(parameter.var.as_detached_tensor() * 1e5).unwrap()).unwrap();
        }
        let before = learner.parameters().snapshot().unwrap();
        let gates = Gates::open();
        let settings = StepSettings { rate: 0.01, smoothing: 0.0, constraint: None, gates: &gates, seed: 0 };
        let error = learner.step(&[batch(&[(3..15).collect()])], &settings).unwrap_err().to_string();
        assert!(error.contains("not finite") && error.contains("bf16"), "{error}");
        for (before, parameter) in before.iter().zip(learner.parameters().list()) {
            let moved = (before - parameter.var.as_tensor()).unwrap().abs().unwrap().max_all().unwrap();
            assert_eq!(moved.to_scalar::<f32>().unwrap(), 0.0);
        }
    }
}
