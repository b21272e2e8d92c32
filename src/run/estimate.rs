//! How long a run will take, from a few batches of it.

use super::phases::{ANALYZED, PHASES, phase_secs};
use super::{Checked, Spec, refusal};
use crate::corpus::{Purpose, Total};
use crate::error::Result;
use crate::task::{StageTime, Ticket};

/// Batches that are run: the first warms up, the others are measured.
const MEASURED: u64 = 4;

/// What a run will read and about how long that takes here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunEstimate {
    /// Batches of the whole run.
    pub batches: u64,
    /// What the measured batches held, times as many batches: tokens, or images, or spectrograms.
    pub tokens: u64,
    /// Whether the number of batches is known, not guessed from the size of a file.
    pub is_exact: bool,
    /// Seconds from the beginning to the end.
    pub seconds: f64,
    /// Seconds of each phase.
    pub(super) phases: [f64; PHASES],
}

impl RunEstimate {
    /// Seconds of a pass over what the run reads.
    pub fn pass_secs(&self) -> f64 {
        self.phases[1] / ANALYZED
    }
}

/// Seconds of the phases of a run over `batches`, from the stages of one over a few: what counts batches takes as long for each of them, without
/// the first; the rest is done once. Weights that stay loaded are loaded already.
fn foretold(stages: &[StageTime], batches: u64, loads: bool) -> [f64; PHASES] {
    let of = |stage: &StageTime| match (stage.unit, stage.done) {
        ("batches", done @ 1..) => {
            let each = stage.each_secs.unwrap_or((stage.secs - stage.tail_secs) / done as f64);
            each * batches as f64 + stage.tail_secs
        }
        ("tensors", _) if !loads => 0.0,
        _ => stage.secs,
    };
    phase_secs(stages, of)
}

impl Checked {
    /// The same, whose run tells how far it is by what was found to take how long.
    #[must_use]
    pub fn estimated(mut self, estimate: &RunEstimate) -> Self {
        self.foretold = Some(estimate.phases);
        self
    }

    /// Runs a few batches and foretells the others from their stages.
    ///
    /// # Errors
    /// As for [`Checked::analyze`].
    pub fn estimate(&self, ticket: &Ticket) -> Result<RunEstimate> {
        let total = self.corpus(Purpose::Observe, ticket)?.total();
        let few =
            Spec { batches: Some(self.spec().batches.map_or(MEASURED, |n| n.min(MEASURED))), ..self.spec().clone() };
        let run = few.check(self.opened()).map_err(refusal)?;
        let (found, stages) = ticket.record(|ticket| run.analyze(ticket))?;
        let read = found.analysis.batches.max(1);
        // Where the number is not known, those that were read are all that is certain.
        let batches = total.map_or(read, Total::value).max(1);
        let tokens = u128::from(found.analysis.tokens) * u128::from(batches) / u128::from(read);
        let phases = foretold(&stages, batches, self.spec().memory.is_some());
        Ok(RunEstimate {
            batches,
            tokens: u64::try_from(tokens).unwrap_or(u64::MAX),
            is_exact: matches!(total, Some(Total::Exact(_))),
            seconds: phases.iter().sum(),
            phases,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_once_counts_once_and_warming_up_not_at_all() {
        let stage = |unit, done, secs, tail_secs, each_secs| {
            let stage = String::new();
            StageTime { stage, unit, done, secs, tail_secs, each_secs }
        };
        let stages = [
            stage("lines", 0, 0.25, 0.25, None),
            stage("tensors", 0, 8.0, 8.0, None),
            // 5 seconds for the first, 0.5 for each of the others, and 2 behind them.
            stage("batches", 4, 8.5, 2.0, Some(0.5)),
            stage("layers", 3, 1.0, 0.25, Some(0.25)),
        ];
        let seconds = |stages: &[StageTime], batches, loads| foretold(stages, batches, loads).iter().sum::<f64>();
        assert_eq!(seconds(&stages, 10, false), 0.25 + 5.0 + 2.0 + 1.0);
        assert_eq!(seconds(&stages, 10, true), 0.25 + 8.0 + 5.0 + 2.0 + 1.0);
        // One batch is all that there is.
        assert_eq!(seconds(&[stage("batches", 1, 3.0, 1.0, None)], 1, false), 3.0);
    }
}
