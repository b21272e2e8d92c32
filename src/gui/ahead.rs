//! What a measurement of a plan will do, and about how long that takes.

use super::state::State;
use crate::evaluation::Measured;
use crate::plan::Plan;
use crate::run::MeasureWork;
use crate::words::duration_in_words;

impl State {
    /// What is left to do to measure `plan`, and its repair where plans are repaired.
    pub(super) fn measure_work(&self, plan: &Plan) -> MeasureWork {
        let is_repaired = self.repairing.is_on() && !self.keeps_all(plan);
        let known = self.repairing.of(&plan.kept);
        let mode = known.map_or_else(|| self.repairing.way(plan), |made| made.repair.record.mode);
        MeasureWork {
            // Beside a repair the masked plan is measured once.
            masks: !is_repaired || self.measured_as(plan, false).is_none(),
            repair: is_repaired.then_some(mode),
            makes: known.is_none(),
            has_moments: self.results.as_ref().is_some_and(|results| results.moments.is_some()),
            calibrated: MeasureWork::calibrated(self.measuring.held_out_every),
        }
    }

    /// What measuring the plan being edited will do, and about how long that takes where something ran to tell it by.
    pub(super) fn measure_words(&self) -> Option<String> {
        let work = self.measure_work(self.legal_plan()?);
        let what = match (work.repair.is_some(), work.masks, work.makes) {
            (false, ..) => "Measures the plan",
            (true, true, true) => "Measures the plan masked, repairs it and measures it repaired",
            (true, true, false) => "Measures the plan masked and repaired",
            (true, false, true) => "Repairs the plan and measures it repaired",
            (true, false, false) => "Measures the plan repaired",
        };
        let passes: f64 = work.passes().iter().sum();
        let about = self.pass_secs().map(|secs| format!(": about {}", duration_in_words((passes * secs).max(1.0))));
        Some(format!("{what}, beside random heads{}", about.unwrap_or_default()))
    }

    /// Seconds of a pass over what quality is measured on: as it took before, else by the last run or what was foretold of the
    /// next, which read what is not held out.
    fn pass_secs(&self) -> Option<f64> {
        let is_now = |m: &&Measured| self.measuring.reading_differences(&m.reading, &m.dtype).is_empty();
        let measured = || Some(self.measured.iter().rev().find(is_now)?.comparison.before.secs);
        let ran = || self.last_pass_secs.filter(|_| self.results.is_some() && self.differences.is_empty());
        let foretold =
            || self.estimate.as_ref().filter(|(spec, _)| *spec == self.run).map(|(_, found)| found.pass_secs());
        measured().or_else(|| Some(ran().or_else(foretold)? / MeasureWork::calibrated(self.run.held_out_every)))
    }
}
