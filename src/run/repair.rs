//! New output projections for the heads that stay.

use super::Checked;
use crate::analysis::Moments;
use crate::corpus::{Corpus, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::{COMPARED_COPIES, Calibration, Mender, RepairRequest};
use crate::model::Needs;
use crate::plan::Plan;
use crate::repair::{Repair, RepairMode, RepairSource, Ridge};
use crate::task::Ticket;

/// What a repair is asked to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RepairSpec {
    /// Which way to repair.
    pub mode: RepairMode,
    /// How the ridge of a layer is found.
    pub ridge: Ridge,
    /// Whether repair in the stream chooses the heads of each layer anew, as many as the plan keeps.
    pub choose: bool,
}

impl Default for RepairSpec {
    fn default() -> Self {
        Self { mode: RepairMode::Auto, ridge: Ridge::Auto, choose: false }
    }
}

impl Checked {
    /// Lets the heads that `plan` keeps speak for the others, calibrated on the part of the input that is analyzed;
    /// `moments` are those over it, where they are known already.
    ///
    /// # Errors
    /// As [`Checked::analyze`], and where the plan does not fit the model or the mode it.
    pub fn repair(
        &self,
        plan: &Plan,
        moments: Option<&Moments>,
        wanted: &RepairSpec,
        ticket: &Ticket,
    ) -> Result<Repair> {
        let [of_input, rest] = ticket.parts([0.05, 0.95]);
        let corpus = self.corpus(Purpose::Observe, &of_input)?;
        let mut found = self.repair_each(corpus, std::slice::from_ref(plan), moments, wanted, &rest)?;
        ticket.over();
        found.pop().ok_or_else(|| Error::new("there is no plan to repair"))
    }

    /// [`Checked::repair`] of each of `plans`, calibrated on `corpus`.
    pub(super) fn repair_each(
        &self,
        corpus: Corpus,
        plans: &[Plan],
        moments: Option<&Moments>,
        wanted: &RepairSpec,
        ticket: &Ticket,
    ) -> Result<Vec<Repair>> {
        // A network and one with other output projections; both results, and what a head reads.
        let needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };
        let corpus = self.fit(corpus.fitted_on(), needs)?;
        let [of_weights, rest] = ticket.parts([0.05, 0.95]);
        let network = self.network(&corpus, needs, &of_weights)?;
        let hold = match self.room(&corpus, needs) {
            // What the passes leave of the bound.
            Some(room) => {
                let least = self.model().least_memory(&self.device()?, network.dtype(), &room)?;
                Some(room.limit.0.saturating_sub(least.0))
            }
            None => None,
        };
        let calibration = Calibration { model: self.model(), network: &network, corpus: &corpus, moments, hold };
        let RepairSpec { mode, ridge, choose } = *wanted;
        let mut mender = Mender::new(calibration);
        // What is read for the first serves the others.
        let weights: Vec<f64> = (0..plans.len()).map(|place| if place == 0 { 2.0 } else { 1.0 }).collect();
        let one = |(plan, ticket): (&Plan, Ticket)| -> Result<Repair> {
            let mut repair = mender.repair(&RepairRequest { plan, mode, ridge, choose }, &ticket)?;
            repair.record.notes.extend(self.notes(&corpus));
            repair.record.notes.extend(plan.foreign_to(&self.opened().facts.fingerprint));
            Ok(repair)
        };
        plans.iter().zip(rest.parts_of(&weights)).map(one).collect()
    }

    /// The repair of `plan` that `source` names: read and checked against the model, or made in place on the part of the
    /// input that is analyzed. `None` where the source is not to repair, and where one would be made though every head stays.
    ///
    /// # Errors
    /// As [`Checked::repair`]; where the file is not one for this model and plan; where there is nothing to calibrate on.
    pub fn repair_from(&self, source: &RepairSource, plan: &Plan, ticket: &Ticket) -> Result<Option<Repair>> {
        match source {
            RepairSource::File(path) => {
                let repair = RepairSource::read(path)?;
                let opened = self.opened();
                repair.check(opened.model.spec(), &opened.facts.fingerprint, plan).map_err(|e| e.at(path))?;
                Ok(Some(repair))
            }
            RepairSource::Made(RepairMode::None) => Ok(None),
            // Nothing went that others could speak for.
            RepairSource::Made(_) if plan.keeps_all(&self.opened().facts.shape) => Ok(None),
            RepairSource::Made(mode) => {
                self.check_calibration(*mode)?;
                let wanted = RepairSpec { mode: *mode, ..RepairSpec::default() };
                self.repair(plan, None, &wanted, ticket).map(Some)
            }
        }
    }

    /// Refuses a repair by `mode` where no input is named to calibrate it on.
    pub fn check_calibration(&self, mode: RepairMode) -> Result<()> {
        if self.spec().input.is_none() {
            return Err(Error::usage(format!("repair by {mode} needs something to calibrate on"))
                .hint("name an input, or the file of a repair"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::corpus::Input;
    use crate::run::testing::varied_tokens;
    use crate::run::{Opened, Spec};

    #[test]
    fn who_stops_a_choice_among_repairs_is_given_no_advice_on_batches() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let scratch = tempfile::tempdir().unwrap();
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let plan = Plan::parse_any(&std::fs::read_to_string(folder.join("mask.json")).unwrap()).unwrap();
        let tokens = varied_tokens(scratch.path());
        let said = |batch_size: usize, ticket: &Ticket| {
            let input = Some(Input::Tokens(tokens.clone()));
            let checked = Spec { input, batch_size: Some(batch_size), ..Spec::default() }.check(&opened).unwrap();
            let corpus = checked.corpus(Purpose::Observe, &Ticket::default()).unwrap();
            let network = checked.network(&corpus, Needs::ONE, &Ticket::default()).unwrap();
            let model = checked.model();
            let calibration = Calibration { model, network: &network, corpus: &corpus, moments: None, hold: None };
            let wanted = RepairRequest { plan: &plan, mode: RepairMode::Auto, ridge: Ridge::Auto, choose: false };
            Mender::new(calibration).repair(&wanted, ticket).unwrap_err().to_string()
        };
        let stopped = Ticket::default();
        stopped.cancel_token().cancel();
        assert_eq!(said(2, &stopped), "cancelled");
        // All twelve lines in one batch leave none to judge by.
        assert!(said(12, &Ticket::default()).contains("auto needs two batches or more"));
    }
}
