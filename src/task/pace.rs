//! How fast work goes on now.

/// Seconds after which what was measured counts by a third: speed changes where another program wants the machine, or inputs
/// become longer.
const MEMORY_SECS: f64 = 20.0;

/// Seconds that a unit takes now. The first units of a stage are left out as soon as there are others: they fill caches and
/// choose kernels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    steps: u64,
    /// Units of the last step.
    last: f64,
    secs: f64,
    units: f64,
}

impl Pace {
    /// `units` were finished in `secs`.
    pub(super) fn step(&mut self, units: u64, secs: f64) {
        if units == 0 {
            return;
        }
        self.steps += 1;
        self.last = units as f64;
        if self.steps > 1 {
            let stays = (-secs / MEMORY_SECS).exp();
            self.secs = self.secs * stays + secs;
            self.units = self.units * stays + self.last;
        }
    }

    /// Seconds of a unit; `None` before any but the first were finished.
    pub(super) fn each(&self) -> Option<f64> {
        (self.units > 0.0).then(|| self.secs / self.units)
    }

    /// [`Pace::each`] where the last step ended `since` seconds ago: units that take longer are slower.
    pub(super) fn now(&self, since: f64) -> Option<f64> {
        self.each().map(|each| each.max(since / self.last))
    }
}

/// What one stage of recorded work took.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTime {
    /// The name of the stage.
    pub stage: String,
    /// What the stage counted: batches, layers, plans.
    pub unit: &'static str,
    /// Units that were finished.
    pub done: u64,
    /// Seconds from its beginning to that of the next.
    pub secs: f64,
    /// Seconds between the last unit and the next stage.
    pub tail_secs: f64,
    /// Seconds of a unit without the first ones, where there were others.
    pub each_secs: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warming_up_is_left_out_and_the_speed_of_now_counts() {
        let mut pace = Pace::default();
        pace.step(1, 9.0);
        assert_eq!(pace.each(), None);
        for _ in 0..50 {
            pace.step(2, 1.0);
        }
        assert!((pace.each().unwrap() - 0.5).abs() < 1e-9);
        // Three times as slow from here on: soon the old speed is forgotten.
        for _ in 0..50 {
            pace.step(2, 3.0);
        }
        assert!((pace.each().unwrap() - 1.5).abs() < 0.01, "{:?}", pace.each());
        // What hangs is not as fast as before.
        assert_eq!(pace.now(8.0), Some(4.0));
    }
}
