//! Tokens per second.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::quality::rows_at_once;
use crate::error::{Error, Result};
use crate::network::{Batch, Blind, Gates, Hidden, Network, Source};
use crate::task::Ticket;
use crate::tensor::device_name;

/// How often to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Runs that are not counted: they fill caches, and on an accelerator they choose kernels.
    pub warm_up: usize,
    /// Runs of which the median counts.
    pub repetitions: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self { warm_up: 2, repetitions: 7 }
    }
}

/// Measured speed of a whole forward pass on one batch, with the batch that it was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Real tokens (or images, or spectrograms) per second, of the median run.
    pub tokens_per_sec: f64,
    /// Seconds of the fastest, the median and the slowest run.
    pub secs: [f64; 3],
    /// Sequences in the batch.
    pub sequences: usize,
    /// Longest sequence in tokens; absent for images and spectrograms.
    pub length: Option<usize>,
    /// Real tokens (or images, or spectrograms) in the batch.
    pub tokens: usize,
    /// Runs counted.
    pub repetitions: usize,
    /// Where it ran, and in what type.
    pub device: String,
}

/// Times the forward pass of `network`, language-model head included, on `batch`.
pub fn speed(network: &Network, gates: &Gates, batch: &Batch, timing: &Timing, ticket: &Ticket) -> Result<Speed> {
    if timing.repetitions == 0 {
        return Err(Error::usage("speed needs at least one repetition"));
    }
    ticket.stage("measure speed", Some((timing.warm_up + timing.repetitions) as u64), "runs");
    let mut secs = Vec::with_capacity(timing.repetitions);
    for run in 0..timing.warm_up + timing.repetitions {
        let began = Instant::now();
        let hidden = network.hidden(batch, gates, &mut Blind)?;
        pass_through_head(network, &hidden)?;
        network.device().synchronize()?;
        if run >= timing.warm_up {
            secs.push(began.elapsed().as_secs_f64());
        }
        ticket.advance(1)?;
    }
    secs.sort_by(f64::total_cmp);
    let median = (secs[(secs.len() - 1) / 2] + secs[secs.len() / 2]) / 2.0;
    let tokens = batch.token_count()?;
    Ok(Speed {
        tokens_per_sec: tokens as f64 / median.max(f64::MIN_POSITIVE),
        secs: [secs[0], median, secs[secs.len() - 1]],
        sequences: batch.source.sequences()?,
        length: match &batch.source {
            Source::Tokens(tokens) => Some(tokens.mask.length()),
            _ => None,
        },
        tokens,
        repetitions: timing.repetitions,
        device: format!("{} {}", device_name(network.device()), network.dtype().as_str()),
    })
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
