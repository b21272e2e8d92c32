//! How long a run will take, from one batch of it.

use std::time::Instant;

use super::{Checked, Spec, refusal};
use crate::corpus::Purpose;
use crate::error::Result;
use crate::task::Ticket;

/// What a run will read and about how long that takes here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunEstimate {
    /// Batches of the whole run.
    pub batches: u64,
    /// What the first batch held, times as many batches: tokens, or images, or spectrograms.
    pub tokens: u64,
    /// Whether the number of batches is known, not guessed from the size of a file.
    pub is_exact: bool,
    /// Seconds from the beginning to the end.
    pub seconds: f64,
}

impl RunEstimate {
    /// From seconds of one batch, and of what is done once whatever the number of batches.
    fn of(batches: u64, is_exact: bool, tokens_per_batch: u64, each: f64, once: f64) -> Self {
        let batches = batches.max(1);
        let tokens = tokens_per_batch.saturating_mul(batches);
        Self { batches, tokens, is_exact, seconds: once.max(0.0) + each.max(0.0) * batches as f64 }
    }
}

impl Checked {
    /// Measures one batch of the run, with what is done once and without, and counts the others.
    ///
    /// # Errors
    /// As for [`Checked::analyze`].
    pub fn estimate(&self, ticket: &Ticket) -> Result<RunEstimate> {
        let total = self.corpus(Purpose::Observe, ticket)?.total();
        let one = Spec { batches: Some(1), ..self.spec().clone() };
        let timed = |spec: &Spec| -> Result<(f64, u64)> {
            let run = spec.check(self.opened()).map_err(refusal)?;
            let began = Instant::now();
            let tokens = run.analyze(ticket)?.analysis.tokens;
            Ok((began.elapsed().as_secs_f64(), tokens))
        };
        // The first time weights are read, and groups are compared with chance: both are done once.
        let (first, tokens) = timed(&one)?;
        let (each, _) = timed(&Spec { evidence: false, ..one })?;
        let batches = total.map_or(1, |total| total.value());
        let is_exact = matches!(total, Some(crate::corpus::Total::Exact(_)));
        Ok(RunEstimate::of(batches, is_exact, tokens, each, first - each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_once_counts_once() {
        let estimate = RunEstimate::of(10, true, 256, 0.5, 3.0);
        assert_eq!((estimate.tokens, estimate.seconds), (2560, 8.0));
        // Noise of the clock is no time, and no run has no batch.
        let least = RunEstimate::of(0, false, 7, 0.5, -0.1);
        assert_eq!((least.batches, least.tokens, least.seconds), (1, 7, 0.5));
    }
}
