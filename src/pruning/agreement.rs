//! Does the written model compute what it should?

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{Batch, Gates, Network, NoProbe, ProblemType, TaskHead};
use crate::task::Ticket;

/// Largest difference that float rounding explains, relative to the largest absolute value.
pub const AGREEMENT: f64 = 1e-4;

/// What the proof ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// Input of the caller's choice.
    Given,
    /// Seeded random tokens, pixels or frames.
    Random,
}

/// What the written checkpoint must compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// The original with the removed heads masked.
    #[default]
    Masked,
    /// The original with new output projections and the removed heads masked.
    Repaired,
    /// The original in which every key/value head computes the mean of its group: merging, done on another way.
    Pooled,
}

impl Reference {
    /// The model that it is, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked original",
            Self::Repaired => "masked original with the repaired output projections",
            Self::Pooled => "original with averaged key/value heads",
        }
    }
}

/// What is said where a proof has no position to look at.
pub(super) fn nothing_to_compare() -> Error {
    Error::new("the proof had nothing to compare").hint("give input with real tokens")
}

/// How well the written checkpoint agrees with what it should compute, in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What is compared: `logits` or `last_hidden_state`.
    pub compared: String,
    /// Largest absolute difference at real positions.
    pub max_difference: f64,
    /// Largest absolute value of the reference.
    pub max_value: f64,
    /// `max_difference / max_value`; at most [`AGREEMENT`], and more where an engine's file stores less, or the export
    /// fails.
    pub relative: f64,
    pub batches: usize,
    pub positions: usize,
    /// What the proof ran on.
    pub input: InputKind,
    /// What it must equal.
    #[serde(default)]
    pub reference: Reference,
}

/// How far the written model is from the model before pruning: not an error, but what pruning does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Largest absolute difference over the largest absolute value, at real positions.
    pub relative: f64,
    /// Share of positions whose largest logit is the same; absent without a language-model head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Mean Kullback-Leibler divergence from the model before to the one after, nats per position; absent without a
    /// language-model head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
    /// Mean loss per label before and after, nats; absent where the input has no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<(f64, f64)>,
}

/// Times that [`run`] holds the hidden states of a batch: as they are, and those that the head reads.
pub(crate) const COPIES: u64 = 2;

/// Results at the real positions of one batch, `[positions, V or D]`, f32, on the CPU.
type ComparedRows = Vec<f32>;

/// Results of one batch: one row of `width` numbers per real position.
#[derive(Clone, Debug)]
pub(crate) struct RunOutputs {
    width: usize,
    rows: ComparedRows,
    labels: Option<Vec<Option<u32>>>,
}

/// Runs `network` on every batch. Results of at most `most` positions of a batch are kept, spread evenly over it.
pub(crate) fn run(
    network: &Network,
    batches: &[Batch],
    gates: &Gates,
    most: usize,
    ticket: &Ticket,
) -> Result<Vec<RunOutputs>> {
    if let Some(head) = network.task() {
        return answers(network, head, batches, gates, most, ticket);
    }
    let mut outcomes = Vec::with_capacity(batches.len());
    for group in network.groups(batches.iter().cloned().map(Ok), COPIES, 0) {
        let group = group?;
        let hidden = network.hidden_of(&group, gates, &mut NoProbe, ticket)?;
        let places: Vec<Vec<u32>> = hidden.iter().map(|hidden| spread(hidden.mask.real(), most)).collect();
        let chosen = hidden.iter().zip(&places).map(|(hidden, places)| -> Result<Tensor> {
            let places = Tensor::new(places.as_slice(), hidden.states.device())?;
            Ok(hidden.states.flatten_to(1)?.index_select(&places, 0)?)
        });
        // All at once, so that the head's table is read once.
        let states = Tensor::cat(&chosen.collect::<Result<Vec<_>>>()?, 0)?;
        drop(hidden);
        let states = if network.output().is_some() { network.logits(&states)? } else { states };
        let (mut from, width) = (0, states.dim(D::Minus1)?);
        for (batch, places) in group.iter().zip(places) {
            let rows = flat(&states.narrow(0, from, places.len())?)?;
            from += places.len();
            let label = |labels: &Vec<Option<u32>>| {
                places.iter().map(|place| labels.get(*place as usize).copied().flatten()).collect()
            };
            outcomes.push(RunOutputs { width, rows, labels: batch.labels.as_ref().map(label) });
        }
        ticket.advance(group.len() as u64)?;
    }
    Ok(outcomes)
}

/// The same of the head of a labeled task, whose answers are few: a row of each sequence, or of each real position.
fn answers(
    network: &Network,
    head: &TaskHead,
    batches: &[Batch],
    gates: &Gates,
    most: usize,
    ticket: &Ticket,
) -> Result<Vec<RunOutputs>> {
    let mut outcomes = Vec::with_capacity(batches.len());
    for group in network.groups(batches.iter().cloned().map(Ok), COPIES, 0) {
        let group = group?;
        let hidden = network.hidden_of(&group, gates, &mut NoProbe, ticket)?;
        for (hidden, batch) in hidden.iter().zip(&group) {
            let logits = head.logits(hidden, batch)?;
            let width = logits.dim(D::Minus1)?;
            let rows = logits.reshape(((), width))?;
            let count = rows.dim(0)?;
            let everywhere = vec![true; count];
            let places = spread(if head.spec().pooling.is_none() { hidden.mask.real() } else { &everywhere }, most);
            let chosen = rows.index_select(&Tensor::new(places.as_slice(), rows.device())?, 0)?;
            let is_class = head.spec().problem == ProblemType::SingleLabel;
            let labels = batch.labels.as_ref().filter(|labels| is_class && labels.len() == count);
            let label = |labels: &Vec<Option<u32>>| {
                places.iter().map(|place| labels.get(*place as usize).copied().flatten()).collect()
            };
            outcomes.push(RunOutputs { width, rows: flat(&chosen)?, labels: labels.map(label) });
        }
        ticket.advance(group.len() as u64)?;
    }
    Ok(outcomes)
}

impl RunOutputs {
    /// Of the result of one batch, `[N, T, V or D]`, with `real` for its real positions.
    pub(crate) fn of(result: &Tensor, real: &[bool]) -> Result<Self> {
        let places: Vec<u32> = spread(real, usize::MAX);
        let width = result.dim(D::Minus1)?;
        let rows = result.flatten_to(1)?.index_select(&Tensor::new(places.as_slice(), result.device())?, 0)?;
        Ok(Self { width, rows: flat(&rows)?, labels: None })
    }
}

/// Indices of at most `most` of the real positions, spread evenly over them.
fn spread(real: &[bool], most: usize) -> Vec<u32> {
    let places: Vec<u32> = (0u32..).zip(real).filter(|(_, real)| **real).map(|(place, _)| place).collect();
    let most = most.min(places.len());
    (0..most).filter_map(|i| places.get(i * places.len() / most).copied()).collect()
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Largest absolute difference and largest absolute value of `want`; a value that is not finite counts as infinite
/// difference.
fn differ(got: &[RunOutputs], want: &[RunOutputs]) -> Result<(f64, f64)> {
    let (mut difference, mut value) = (0f64, 0f64);
    if got.len() != want.len() {
        return Err(Error::new("the results compared are not of the same batches"));
    }
    for (got, want) in got.iter().zip(want) {
        if got.width != want.width || got.rows.len() != want.rows.len() {
            return Err(Error::new("the written model's result has another shape"));
        }
        for (g, w) in got.rows.iter().zip(&want.rows) {
            let apart = (f64::from(*g) - f64::from(*w)).abs();
            difference = if apart.is_finite() { difference.max(apart) } else { f64::INFINITY };
            value = value.max(f64::from(w.abs()));
        }
    }
    Ok((difference, value))
}

fn ratio(difference: f64, value: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / value }
}

impl Agreement {
    /// Compares what was written with what was wanted.
    pub(crate) fn of(
        got: &[RunOutputs],
        want: &[RunOutputs],
        logits: bool,
        input: InputKind,
        reference: Reference,
    ) -> Result<Self> {
        let (max_difference, max_value) = differ(got, want)?;
        let positions = want.iter().map(|w| w.rows.len() / w.width).sum();
        if positions == 0 {
            return Err(nothing_to_compare());
        }
        Ok(Self {
            compared: if logits { "logits" } else { "last_hidden_state" }.to_owned(),
            max_difference,
            max_value,
            relative: ratio(max_difference, max_value),
            batches: want.len(),
            positions,
            input,
            reference,
        })
    }

    /// An error unless the difference is rounding to what is stored: at most `allowed`.
    pub(crate) fn check(&self, allowed: f64) -> Result<()> {
        // Written so that a ratio that is no number fails.
        if self.relative <= allowed {
            return Ok(());
        }
        Err(Error::new(format!(
            "the written model does not compute what the {} does: its {} differ by {:.1e} of the largest, {allowed:.0e} is allowed",
            self.reference.name(),
            self.compared,
            self.relative
        ))
        .hint("nothing was written; please report this"))
    }
}

impl Change {
    /// What changed from `before` to `after`.
    pub(crate) fn of(after: &[RunOutputs], before: &[RunOutputs], logits: bool) -> Result<Self> {
        let (difference, value) = differ(after, before)?;
        let mut sums = DifferenceSums::default();
        if logits {
            for (after, before) in after.iter().zip(before) {
                sums.add(after, before);
            }
        }
        let mean = |sum: f64, of: usize| (of > 0).then(|| sum / of as f64);
        Ok(Self {
            relative: ratio(difference, value),
            top1: mean(sums.same as f64, sums.positions),
            divergence: mean(sums.divergence, sums.positions),
            loss: mean(sums.loss_before, sums.labels).zip(mean(sums.loss_after, sums.labels)),
        })
    }
}

#[derive(Default)]
struct DifferenceSums {
    positions: usize,
    same: usize,
    divergence: f64,
    labels: usize,
    loss_before: f64,
    loss_after: f64,
}

impl DifferenceSums {
    fn add(&mut self, after: &RunOutputs, before: &RunOutputs) {
        let width = before.width;
        for (i, (a, b)) in after.rows.chunks(width).zip(before.rows.chunks(width)).enumerate() {
            let (log_a, log_b) = (log_softmax(a), log_softmax(b));
            self.positions += 1;
            self.same += usize::from(largest(a) == largest(b));
            self.divergence += log_b.iter().zip(&log_a).map(|(b, a)| b.exp() * (b - a)).sum::<f64>();
            let label = before.labels.as_ref().and_then(|l| l.get(i).copied().flatten());
            if let Some((a, b)) = label.and_then(|l| log_a.get(l as usize).zip(log_b.get(l as usize))) {
                self.labels += 1;
                self.loss_after -= a;
                self.loss_before -= b;
            }
        }
    }
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|x| f64::from(x - top).exp()).sum();
    row.iter().map(|x| f64::from(x - top) - sum.ln()).collect()
}

fn largest(row: &[f32]) -> Option<usize> {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(width: usize, rows: &[f32], labels: Option<Vec<Option<u32>>>) -> RunOutputs {
        RunOutputs { width, rows: rows.to_vec(), labels }
    }

    #[test]
    fn positions_are_spread_over_the_real_ones() {
        let real = [true, false, true, true, false, true, true];
        assert_eq!(spread(&real, 100), [0, 2, 3, 5, 6]);
        assert_eq!(spread(&real, 5), [0, 2, 3, 5, 6]);
        assert_eq!(spread(&real, 2), [0, 3]);
        assert_eq!(spread(&real, 1), [0]);
        assert!(spread(&[false], 3).is_empty());
    }

    #[test]
    fn a_difference_or_a_nan_fails_and_rounding_passes() {
        let want = [rows(2, &[100.0, -1.0], None)];
        let check = |got: &[f32]| {
            let agreement =
                Agreement::of(&[rows(2, got, None)], &want, true, InputKind::Given, Reference::Masked).unwrap();
            (agreement.relative, agreement.check(AGREEMENT).is_ok())
        };
        assert_eq!(check(&[100.0, -1.0]), (0.0, true));
        // 1/128 of 100 is below 1e-4.
        assert_eq!(check(&[100.0 + 1.0 / 128.0, -1.0]), (0.000_078_125, true));
        assert!(!check(&[100.0, -1.02]).1);
        assert!(!check(&[100.0, f32::NAN]).1);
        assert!(Agreement::of(&[], &[], true, InputKind::Given, Reference::Masked).is_err());
    }

    #[test]
    fn change_counts_top1_divergence_and_loss() {
        // softmax(0, ln 3) = (1/4, 3/4), softmax(0, 0) = (1/2, 1/2).
        let before = [rows(2, &[0.0, 3f32.ln(), 0.0, 3f32.ln()], Some(vec![Some(1), None]))];
        let after = [rows(2, &[0.0, 0.0, 0.0, 3f32.ln()], None)];
        let change = Change::of(&after, &before, true).unwrap();
        let divergence = 0.25 * (0.25f64 / 0.5).ln() + 0.75 * (0.75f64 / 0.5).ln();
        assert!((change.divergence.unwrap() - divergence / 2.0).abs() < 1e-7);
        let (loss_before, loss_after) = change.loss.unwrap();
        assert!((loss_before + 0.75f64.ln()).abs() < 1e-7 && (loss_after + 0.5f64.ln()).abs() < 1e-7);
        assert!((change.relative - 1.0).abs() < 1e-7);
        // The tie of the first row goes to the last index, as `before` has it.
        assert_eq!(change.top1, Some(1.0));
        let hidden = Change::of(&after, &before, false).unwrap();
        assert_eq!((hidden.top1, hidden.divergence, hidden.loss), (None, None, None));
    }
}
