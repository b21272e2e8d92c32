//! New output projections for the heads that stay.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::{Checked, MeasuredRepair, PruneSpec};
use crate::analysis::{Document, Moments};
use crate::corpus::Purpose;
use crate::error::{Error, Result};
use crate::evaluation::{COMPARED_COPIES, Calibration, Mender, RepairRequest};
use crate::model::{Model, Needs};
use crate::network::{Gates, NoProbe};
use crate::plan::{CONTROL_DRAWS, Plan, Shape, random_like};
use crate::pruning::{OutputFormat, RECORD, Report, check_repairable, sample_batches};
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

/// A repair of a plan, with those made in the same way of the random heads that its quality is held against.
#[derive(Clone, Debug)]
pub struct ControlledRepair {
    /// That of the plan.
    pub repair: Repair,
    /// Those of [`Checked::controls`]; none where nothing is there to calibrate them on.
    pub controls: Vec<Repair>,
}

impl<'a> From<&'a ControlledRepair> for MeasuredRepair<'a> {
    fn from(found: &'a ControlledRepair) -> Self {
        Self { plan: &found.repair, controls: found.controls.iter().collect() }
    }
}

/// Share of the largest value by which an export may differ from the masked model: rounding, and weights stored in 16 bits.
const UNTOUCHED: f32 = 1e-3;

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
        Ok(self.repair_plans((plan, &[]), moments, wanted, ticket)?.repair)
    }

    /// As many heads as `plan` keeps in every layer, drawn at random some times: what its quality is held against.
    pub fn controls(&self, plan: &Plan) -> Vec<Plan> {
        let shape = Shape::from(self.model().spec());
        let seeds = (0..CONTROL_DRAWS).map(|draw| self.spec().seed.wrapping_add(draw));
        seeds.map(|seed| Plan { kept: random_like(&shape, plan, seed), ..Plan::default() }).collect()
    }

    /// [`Checked::repair`], and in the way that was taken for `plan` that of the heads which each of `controls` keeps.
    fn repair_plans(
        &self,
        (plan, controls): (&Plan, &[Plan]),
        moments: Option<&Moments>,
        wanted: &RepairSpec,
        ticket: &Ticket,
    ) -> Result<ControlledRepair> {
        // A network and one with other output projections; both results, and what a head reads.
        let needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };
        let corpus = self.fit(self.corpus(Purpose::Observe, ticket)?.fitted_on(), needs)?;
        let network = self.network(&corpus, needs, ticket)?;
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
        let mut repair = mender.repair(&RepairRequest { plan, mode, ridge, choose }, ticket)?;
        repair.record.notes.extend(self.notes(&corpus));
        repair.record.notes.extend(plan.foreign_to(&self.opened().facts.fingerprint));
        let mode = repair.record.mode;
        let request = |plan| RepairRequest { plan, mode, ridge, choose: false };
        let controls = controls.iter().map(|control| mender.repair(&request(control), ticket));
        Ok(ControlledRepair { controls: controls.collect::<Result<_>>()?, repair })
    }

    /// The repair of `plan` that `source` names: read and checked against the model, or made in place on the part of the
    /// input that is analyzed, then with that of random heads where `is_held_against` says so. `None` where the source is
    /// not to repair.
    ///
    /// # Errors
    /// As [`Checked::repair`]; where the file is not one for this model and plan; where there is nothing to calibrate on.
    pub fn repair_from(
        &self,
        source: &RepairSource,
        plan: &Plan,
        is_held_against: bool,
        ticket: &Ticket,
    ) -> Result<Option<ControlledRepair>> {
        match source {
            RepairSource::File(path) => {
                let repair = RepairSource::read(path)?;
                let opened = self.opened();
                repair.check(opened.model.spec(), &opened.facts.fingerprint, plan).map_err(|e| e.at(path))?;
                Ok(Some(ControlledRepair { repair, controls: Vec::new() }))
            }
            RepairSource::Made(RepairMode::None) => Ok(None),
            RepairSource::Made(mode) => {
                self.check_calibration(*mode)?;
                let wanted = RepairSpec { mode: *mode, ..RepairSpec::default() };
                let controls = if is_held_against { self.controls(plan) } else { Vec::new() };
                self.repair_plans((plan, &controls), None, &wanted, ticket).map(Some)
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

    /// Repairs the checkpoint that this program pruned into `folder` from this model and wrote as it was, and writes the
    /// result in the same format; what `wanted` says of the format is not asked.
    ///
    /// # Errors
    /// Where the folder is no export of this model, was trained since, or is repaired already; as [`Checked::repair`] and
    /// [`Checked::prune`].
    pub fn mend(
        &self,
        folder: &Path,
        wanted: &PruneSpec,
        how: &RepairSpec,
        ticket: &Ticket,
    ) -> Result<(Report, Repair)> {
        let path = folder.join(RECORD);
        if !path.is_file() {
            return Err(Error::new("this folder has no record of an export")
                .at(folder)
                .hint("name a folder that pillars prune wrote; for another model give --plan without --original"));
        }
        let record = Report::read(&path)?;
        if record.fingerprint != self.opened().facts.fingerprint {
            let of = if record.source.is_empty() { "another model".to_owned() } else { record.source.clone() };
            return Err(Error::new(format!(
                "this folder was pruned from other weights ({of}) than the original named"
            ))
            .at(folder));
        }
        if record.repair.as_ref().is_some_and(|repair| repair.mode.repairs()) {
            return Err(Error::usage("this folder is repaired already").at(folder));
        }
        if let OutputFormat::Engine(engine) = record.export_format {
            return Err(Error::usage(format!("this folder holds a file for {engine}, which is not mended"))
                .at(folder)
                .hint("prune the original again with --repair"));
        }
        let spec = PruneSpec { format: record.export_format, ..wanted.clone() };
        check_repairable(spec.format)?;
        self.check_untouched(folder, &record, ticket)?;
        let repair = self.repair(&record.plan, None, how, ticket)?;
        let report = self.prune(&record.plan, Some(&repair), &spec, ticket)?;
        Ok((report, repair))
    }

    /// Fails where the weights in `folder` are not those that its record speaks of: on random input they compute something
    /// else than the masked model.
    fn check_untouched(&self, folder: &Path, record: &Report, ticket: &Ticket) -> Result<()> {
        ticket.stage("compare the folder with its record", None, "tensors");
        let (device, dtype) = (Device::Cpu, DType::F32);
        let whole = self.model().network(&device, dtype)?;
        let pruned = Model::open(folder)?.network(&device, dtype)?;
        let gates = Gates::keep(whole.spec(), &record.plan.kept, dtype, &device)?;
        for batch in sample_batches(whole.spec(), 1, self.spec().seed)? {
            ticket.check()?;
            let expected = whole.hidden(&batch, &gates, &mut NoProbe)?.states;
            let found = pruned.hidden(&batch, &Gates::open(), &mut NoProbe)?.states;
            let largest = |x: &Tensor| -> Result<f32> { Ok(x.abs()?.max_all()?.to_scalar()?) };
            if largest(&(&expected - &found)?)? > UNTOUCHED * largest(&expected)? {
                return Err(Error::usage(
                    "the weights in this folder are not those that were pruned: it was trained or changed since",
                )
                .at(folder)
                .hint("repair comes before fine-tuning: pillars train --repair auto"));
            }
        }
        Ok(())
    }
}
