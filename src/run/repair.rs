//! New output projections for the heads that stay.

use super::Checked;
use crate::analysis::Moments;
use crate::corpus::Purpose;
use crate::error::Result;
use crate::evaluation::{COMPARED_COPIES, Calibration, RepairRequest, repair};
use crate::model::Needs;
use crate::plan::Plan;
use crate::repair::{Repair, RepairMode, Ridge};
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
        // A network and one with other output projections; both results, and what a head reads.
        let needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };
        let corpus = self.fit(self.corpus(Purpose::Observe, ticket)?, needs)?;
        let network = self.network(&corpus, needs, ticket)?;
        let calibration = Calibration { model: self.model(), network: &network, corpus: &corpus, moments };
        let RepairSpec { mode, ridge, choose } = *wanted;
        let mut found = repair(&calibration, &RepairRequest { plan, mode, ridge, choose }, ticket)?;
        found.record.notes.extend(self.notes(&corpus));
        found.record.notes.extend(plan.foreign_to(&self.opened().facts.fingerprint));
        Ok(found)
    }
}
