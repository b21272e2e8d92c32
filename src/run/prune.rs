//! Writing a pruned checkpoint with its proof and its quality.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Checked;
use crate::corpus::{BatchOrder, Corpus, Purpose};
use crate::error::Result;
use crate::evaluation::{COMPARED_COPIES, Candidate, Measured, Timing, compare};
use crate::model::{Model, Needs};
use crate::network::Gates;
use crate::plan::Plan;
use crate::pruning::{self, ExportFormat, ExportOptions, Report};
use crate::repair::Repair;
use crate::task::Ticket;

/// What is written where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneSpec {
    /// The folder to write.
    pub out: PathBuf,
    /// How removed heads are written.
    pub format: ExportFormat,
    /// Replace a folder that this program wrote.
    pub force: bool,
}

/// What comparing the original with the written model needs.
const MEASURING: Needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };

impl Checked {
    /// Writes the model without the heads that `plan` removes, with the output projections of `repair`, reopens it and
    /// compares it with the masked model: on the
    /// input where there is one, else on random input. With an input, quality before and after is measured on it as
    /// [`Checked::evaluate`] does, and recorded with what was read.
    ///
    /// # Errors
    /// Where the plan does not fit the model, the folder is not free, the written model does not compute what it must, or
    /// memory does not suffice; then nothing is left behind.
    pub fn prune(&self, plan: &Plan, repair: Option<&Repair>, wanted: &PruneSpec, ticket: &Ticket) -> Result<Report> {
        let spec = self.spec();
        let options = ExportOptions {
            force: wanted.force,
            device: self.device()?,
            seed: spec.seed,
            memory: spec.memory,
            timing: Some(Timing::THOROUGH),
            repair: repair.cloned(),
            ..ExportOptions::default()
        };
        let corpus = match spec.input {
            Some(_) => Some(self.fit(self.corpus(Purpose::Score, ticket)?, MEASURING)?),
            None => None,
        };
        if spec.memory.is_some() {
            // The proof loads what it needs, and all of it has to fit.
            self.opened().loaded.release();
        }
        // The proof reads the first batches, which shall not be those of the shortest lines.
        let first = corpus.as_ref().map(|c| c.with(|s| s.order = BatchOrder::AsRead));
        let mut batches = first.as_ref().map(|c| c.batches(&options.device));
        let input = batches.as_mut().map(|b| b as &mut dyn Iterator<Item = _>);
        let draft = pruning::write(self.model(), plan, wanted.format, &wanted.out, &options, input, ticket)?;
        let measured = match &corpus {
            Some(corpus) => Some(self.measure_written(draft.model(), (plan, repair), corpus, ticket)?),
            None => None,
        };
        draft.finish(measured)
    }

    /// Quality of the original and of the written model on the whole input.
    fn measure_written(
        &self,
        written: &Model,
        (plan, repair): (&Plan, Option<&Repair>),
        corpus: &Corpus,
        ticket: &Ticket,
    ) -> Result<Measured> {
        let before = self.network(corpus, MEASURING, ticket)?;
        let (device, dtype) = (before.device(), before.dtype());
        let after = match self.room(corpus, MEASURING) {
            Some(room) => written.network_within(device, dtype, &room)?,
            None => written.network(device, dtype)?,
        };
        let open = Gates::open();
        let comparison = compare(
            Candidate { network: &before, gates: &open },
            Candidate { network: &after, gates: &open },
            corpus.batches(device),
            corpus.total().map(|t| t.value()),
            ticket,
        )?;
        Ok(Measured {
            name: String::new(),
            kept: plan.kept.clone(),
            repair: repair.map(|repair| repair.record.mode),
            comparison,
            random: None,
            reading: corpus.reading(ticket)?,
            dtype: dtype.as_str().to_owned(),
            notes: self.notes(corpus),
        })
    }
}
