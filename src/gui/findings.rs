//! What a run found out with what was made of it: what undo brings back.

use std::sync::Arc;

use super::repairing::MadeRepair;
use super::state::{Results, State};
use crate::evaluation::Measured;
use crate::evaluation::curve::Curves;

/// Results with the repairs, measurements and curve that stood beside them.
#[derive(Clone, Default)]
pub struct Findings {
    results: Option<Results>,
    repairs: Vec<MadeRepair>,
    measured: Vec<Measured>,
    curves: Option<Arc<Curves>>,
}

impl Findings {
    /// Those that are shown; `None` before a first run.
    pub(super) fn shown(state: &State) -> Option<Self> {
        let results = state.results.clone()?;
        Some(Self {
            results: Some(results),
            repairs: state.repairing.made().to_vec(),
            measured: state.measured.clone(),
            curves: state.curves.clone(),
        })
    }

    /// Swaps these for those that are shown. What was measured since of weights as they are holds whichever run chose the
    /// heads, and stays.
    pub(super) fn exchange(&mut self, state: &mut State) {
        std::mem::swap(&mut self.results, &mut state.results);
        std::mem::swap(&mut self.measured, &mut state.measured);
        std::mem::swap(&mut self.curves, &mut state.curves);
        state.repairing.exchange(&mut self.repairs);
        for since in self.measured.iter().filter(|m| m.repair.is_none()) {
            if !state.measured.iter().any(|known| is_of_same(known, since)) {
                state.measured.push(since.clone());
            }
        }
        state.measured_revision += 1;
        (state.regrouped, state.what_if) = (None, None);
        state.compare_settings();
    }
}

/// Whether two measurements are of the same heads on the same input.
pub(super) fn is_of_same(a: &Measured, b: &Measured) -> bool {
    let of = |m: &Measured| (m.repair.is_some(), m.dtype.clone());
    of(a) == of(b) && a.kept == b.kept && a.reading == b.reading
}
