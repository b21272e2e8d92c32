//! What measuring a plan takes, in passes over what it is measured on: shares of one bar, and with the seconds of a pass the
//! time that it takes. How many passes there are follows from the code that makes them; what is computed beside a pass is put
//! in passes by rule of thumb, rather too high than too low, and is not fitted to any measurement.

use crate::evaluation::STREAM_PASSES;
use crate::plan::CONTROL_DRAWS;
use crate::repair::RepairMode;

/// The whole model, the plan, and every draw of random heads.
pub(super) const SCORED: f64 = 2.0 + CONTROL_DRAWS as f64;
/// Second moments summed over the text: one pass, and as much again for the products that are summed in it. A bound: where it
/// was measured (`benches/README.md`, *Repair*) they took a fifth of a pass and less.
const MOMENTS: f64 = 2.0;
/// New output projections from second moments that are there. No pass is made for them, and they take the same time for any
/// text, so that no share of a pass is right for all: of the text of those benches they took a tenth and less.
const REFIT: f64 = 0.3;
/// What is judged before the best repair is taken: none, refit and stream. Counted: each compares two models on half of the
/// text, the whole one and the repaired one, which is one pass over all of it.
const JUDGED: f64 = 3.0;

/// What is left to do to measure a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureWork {
    /// Whether the plan is measured with its pruned heads masked alone.
    pub masks: bool,
    /// How it is repaired to be measured with that, too; `None` where it is not.
    pub repair: Option<RepairMode>,
    /// Whether that repair has to be made first.
    pub makes: bool,
    /// Whether second moments of the text are there already.
    pub has_moments: bool,
    /// How often what is measured goes into the text that repairs are calibrated on: see [`MeasureWork::calibrated`].
    pub calibrated: f64,
}

impl MeasureWork {
    /// How often what is measured goes into the text that repairs are calibrated on, where one batch in so many is held out.
    pub fn calibrated(held_out_every: Option<u64>) -> f64 {
        held_out_every.map_or(1.0, |every| every.saturating_sub(1).max(1) as f64)
    }

    /// Passes over what is measured that each part takes, more or less: the masked plan, its repair, the repaired plan. Each
    /// plan is measured beside random heads.
    pub fn passes(&self) -> [f64; 3] {
        let masked = if self.masks { SCORED } else { 0.0 };
        let Some(mode) = self.repair else { return [masked, 0.0, 0.0] };
        let made = if self.makes { made(mode, self.has_moments) } else { 0.0 };
        [masked, self.calibrated * made, SCORED + self.calibrated * random_repairs(mode, self.has_moments)]
    }
}

/// Passes over its text that a repair takes.
fn made(mode: RepairMode, has_moments: bool) -> f64 {
    let moments = if has_moments { 0.0 } else { MOMENTS };
    match mode {
        RepairMode::None => 0.0,
        RepairMode::Refit | RepairMode::Scale => moments + REFIT,
        RepairMode::Stream => STREAM_PASSES,
        // The best is made again, which may be the dearest.
        RepairMode::Auto => moments + REFIT + JUDGED + 2.0 * STREAM_PASSES,
    }
}

/// The same of the random heads beside a plan that was repaired so; of one that is still to be chosen, the dearest.
pub(super) fn random_repairs(mode: RepairMode, has_moments: bool) -> f64 {
    let draws = CONTROL_DRAWS as f64;
    match mode {
        RepairMode::None => 0.0,
        RepairMode::Refit | RepairMode::Scale => draws * REFIT + if has_moments { 0.0 } else { MOMENTS },
        RepairMode::Stream | RepairMode::Auto => draws * STREAM_PASSES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_done_again() {
        let all = MeasureWork {
            masks: true,
            repair: Some(RepairMode::Auto),
            makes: true,
            has_moments: true,
            calibrated: MeasureWork::calibrated(Some(5)),
        };
        let [masked, made, repaired] = all.passes();
        assert!(masked == SCORED && made > 4.0 * JUDGED && repaired > SCORED);
        let known = MeasureWork { masks: false, repair: Some(RepairMode::Refit), makes: false, ..all };
        assert!(known.passes()[..2] == [0.0, 0.0] && known.passes()[2] < repaired);
        assert_eq!(MeasureWork { repair: None, ..all }.passes(), [SCORED, 0.0, 0.0]);
    }
}
