//! Repair of a folder that was pruned before.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::{Checked, PruneSpec, RepairSpec};
use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::model::{MemoryPlan, Model, Needs};
use crate::network::{Extent, Gates, NoProbe};
use crate::pruning::{OutputFormat, RECORD, Report, check_repairable, sample_batches};
use crate::repair::Repair;
use crate::task::Ticket;

/// Share of the largest value by which an export may differ from the masked model: rounding, and weights stored in 16 bits.
const UNTOUCHED: f32 = 1e-3;

impl Checked {
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
        let batches = sample_batches(self.model().spec(), 1, self.spec().seed)?;
        let largest = Extent::largest(&batches, self.model().spec())?;
        let needs = Needs { networks: 2, ..Needs::ONE };
        let room = self.spec().memory.map(|limit| MemoryPlan { limit, largest, needs });
        let open = |model: &Model| match &room {
            Some(room) => model.network_within(&device, dtype, room),
            None => model.network(&device, dtype),
        };
        let (whole, pruned) = (open(self.model())?, open(&Model::open(folder)?)?);
        let gates = Gates::keep(whole.spec(), &record.plan.kept, dtype, &device)?;
        for batch in batches {
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
