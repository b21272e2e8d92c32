//! Tokens per second.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::steady::{LONG, SEVERAL};
use crate::corpus::InputUnit;
use crate::error::{Error, Result};
use crate::network::{Batch, Gates, Hidden, Network, NoProbe, Source, rows_at_once};
use crate::task::Ticket;
use crate::tensor::device_name;
use crate::words::printed;

/// How often to run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Runs that are not counted: they fill caches, and on an accelerator they choose kernels.
    pub warm_up: usize,
    /// Runs of which the median counts, at least.
    pub repetitions: usize,
    /// Seconds that the counted runs take together, at least.
    #[serde(default)]
    pub least_secs: f64,
}

impl Timing {
    /// Enough to tell a faster model from a slower one on a machine that does other work too.
    pub const THOROUGH: Self = Self { warm_up: 2, repetitions: 11, least_secs: LONG };

    /// Whether so many runs that took `secs` are enough.
    fn is_met(&self, secs: &[f64]) -> bool {
        secs.len() >= self.repetitions && secs.iter().sum::<f64>() >= self.least_secs
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self { warm_up: 2, repetitions: SEVERAL, least_secs: 0.0 }
    }
}

/// Measured speed of a whole forward pass on one batch, with the batch that it was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Real tokens (or whole inputs of another kind) per second, of the median run; of the second of two models see [`Speeds`].
    pub tokens_per_sec: f64,
    /// Seconds of the fastest, the median and the slowest run.
    pub secs: [f64; 3],
    /// Sequences in the batch.
    pub sequences: usize,
    /// What a second is counted in: tokens, images, frames.
    #[serde(default)]
    pub unit: InputUnit,
    /// Longest sequence in tokens; absent for inputs of another kind.
    pub length: Option<usize>,
    /// Real tokens (or whole inputs of another kind) in the batch.
    pub tokens: usize,
    pub repetitions: usize,
    /// Where it ran, and in what type.
    pub device: String,
}

impl Speed {
    fn of(secs: &[f64], network: &Network, batch: &Batch) -> Result<Self> {
        let mut sorted = secs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = quantile(&sorted, 0.5);
        let tokens = batch.token_count()?;
        Ok(Self {
            tokens_per_sec: tokens as f64 / median.max(f64::MIN_POSITIVE),
            secs: [sorted[0], median, sorted[sorted.len() - 1]],
            sequences: batch.source.sequences()?,
            unit: InputUnit::of(&batch.source),
            length: match &batch.source {
                Source::Tokens(tokens) => Some(tokens.mask.length()),
                _ => None,
            },
            tokens,
            repetitions: secs.len(),
            device: format!("{} {}", device_name(network.device()), network.dtype().as_str()),
        })
    }
}

/// Speeds of two models whose runs alternated, so that what else the machine does slows both. Which of them is faster is told
/// by [`Speeds::ratio`] alone: medians of runs apart from each other differ by what the machine did meanwhile, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
    /// Of the first, the original.
    pub before: Speed,
    /// Of the second. Its rate is that of the first, times the median of `ratio`; in older records that of its own median run.
    pub after: Speed,
    /// How many times as fast the second is, run against run: the quartiles and the median; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<[f64; 3]>,
}

impl Speeds {
    fn of(before: &[f64], after: &[f64], models: [&Network; 2], batch: &Batch) -> Result<Self> {
        let mut ratios: Vec<f64> =
            before.iter().zip(after).map(|(before, after)| before / after.max(f64::MIN_POSITIVE)).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = [0.25, 0.5, 0.75].map(|share| quantile(&ratios, share));
        let [before, mut after] = [Speed::of(before, models[0], batch)?, Speed::of(after, models[1], batch)?];
        // Medians apart from each other would tell of another change than the one that is told.
        after.tokens_per_sec = before.tokens_per_sec * ratio[1];
        Ok(Self { before, after, ratio: Some(ratio) })
    }

    /// How many times as fast the second model is, where that can be told: half of the runs in the middle agree which is
    /// faster, and so do the fastest ones.
    pub fn measurable(&self) -> Option<f64> {
        let [low, median, high] = self.ratio?;
        let fastest = self.before.secs[0] / self.after.secs[0].max(f64::MIN_POSITIVE);
        let agree = (low > 1.0 && fastest > 1.0) || (high < 1.0 && fastest < 1.0);
        agree.then_some(median)
    }

    /// The change in words, run against run: `+12.3 % (+10.1 to +14.0, by runs side by side)`, or that there is none that can be told.
    pub fn change(&self) -> String {
        let percent = |ratio: f64| printed(format!("{:+.1}", 100.0 * (ratio - 1.0)));
        match (self.measurable(), self.ratio) {
            (Some(median), Some([low, _, high])) => {
                format!("{} % ({} to {}, by runs side by side)", percent(median), percent(low), percent(high))
            }
            (_, Some([low, _, high])) => {
                format!("no measurable difference ({} to {} %)", percent(low), percent(high))
            }
            (_, None) => "no measurable difference".to_owned(),
        }
    }
}

/// Linear between the values around the place; `sorted` is ascending and not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Times the forward pass of `network`, language-model head included, on `batch`.
pub fn speed(network: &Network, gates: &Gates, batch: &Batch, timing: &Timing, ticket: &Ticket) -> Result<Speed> {
    let mut secs = Vec::new();
    begin(timing, ticket)?;
    for _ in 0..timing.warm_up {
        run(network, gates, batch)?;
        ticket.advance(1)?;
    }
    while !timing.is_met(&secs) {
        secs.push(run(network, gates, batch)?);
        ticket.advance(1)?;
    }
    Speed::of(&secs, network, batch)
}

/// Times two models on `batch`, their runs in turns; which goes first alternates too.
pub fn speeds(before: &Network, after: &Network, batch: &Batch, timing: &Timing, ticket: &Ticket) -> Result<Speeds> {
    let gates = Gates::open();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    begin(timing, ticket)?;
    for _ in 0..timing.warm_up {
        run(before, &gates, batch)?;
        run(after, &gates, batch)?;
        ticket.advance(1)?;
    }
    while !(timing.is_met(&first) && timing.is_met(&second)) {
        if first.len() % 2 == 0 {
            first.push(run(before, &gates, batch)?);
            second.push(run(after, &gates, batch)?);
        } else {
            second.push(run(after, &gates, batch)?);
            first.push(run(before, &gates, batch)?);
        }
        ticket.advance(1)?;
    }
    Speeds::of(&first, &second, [before, after], batch)
}

fn begin(timing: &Timing, ticket: &Ticket) -> Result<()> {
    if timing.repetitions == 0 {
        return Err(Error::usage("speed needs at least one repetition"));
    }
    let total = (timing.least_secs == 0.0).then_some((timing.warm_up + timing.repetitions) as u64);
    ticket.stage("measure speed", total, "runs");
    Ok(())
}

/// Seconds of one pass.
fn run(network: &Network, gates: &Gates, batch: &Batch) -> Result<f64> {
    let began = Instant::now();
    let hidden = network.hidden(batch, gates, &mut NoProbe)?;
    pass_through_head(network, &hidden)?;
    network.device().synchronize()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The logits of every position, made in parts and dropped.
fn pass_through_head(network: &Network, hidden: &Hidden) -> Result<()> {
    let Some(output) = network.output() else { return Ok(()) };
    let states = output.prepare(&hidden.states.flatten_to(1)?)?;
    let rows = states.dim(0)?;
    for classes in output.blocks() {
        let step = rows_at_once(classes.len());
        let block = output.block(classes)?;
        for from in (0..rows).step_by(step) {
            block.logits(&states.narrow(0, from, step.min(rows - from))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeds(before: &[f64], after: &[f64]) -> Speeds {
        let mut ratios: Vec<f64> = before.iter().zip(after).map(|(b, a)| b / a).collect();
        ratios.sort_by(f64::total_cmp);
        let speed = |secs: &[f64]| Speed {
            tokens_per_sec: 1.0,
            secs: [secs.iter().copied().fold(f64::MAX, f64::min), 0.0, 0.0],
            sequences: 1,
            unit: InputUnit::Tokens,
            length: Some(8),
            tokens: 8,
            repetitions: secs.len(),
            device: String::new(),
        };
        let ratio = Some([0.25, 0.5, 0.75].map(|share| quantile(&ratios, share)));
        Speeds { before: speed(before), after: speed(after), ratio }
    }

    #[test]
    fn a_difference_within_the_spread_is_none() {
        // The same model twice, disturbed now and then.
        let same = speeds(&[1.0, 1.1, 1.6, 1.0, 1.05], &[1.02, 1.0, 1.1, 1.5, 1.04]);
        assert_eq!(same.measurable(), None);
        assert!(same.change().starts_with("no measurable difference ("), "{}", same.change());
        // Twice as fast, disturbed as much.
        let faster = speeds(&[1.0, 1.1, 1.6, 1.0, 1.05], &[0.5, 0.5, 0.6, 0.75, 0.52]);
        assert_eq!(faster.measurable(), Some(1.05 / 0.52));
        assert!(faster.change().starts_with("+101.9 % ("), "{}", faster.change());
        // Slower on the whole, though its fastest run beats all: it cannot be told.
        let unclear = speeds(&[1.0, 1.0, 1.0, 1.0], &[1.2, 1.3, 1.2, 0.9]);
        assert_eq!(unclear.measurable(), None);
    }
}
