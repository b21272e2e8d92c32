//! Repair before fine-tuning: new output projections go where the weights of the run are.

use super::TrainingEvent;
use super::work::ActiveRun;
use crate::corpus::{BatchOrder, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::{Calibration, Mender, RepairRequest};
use crate::model::{Model, output_module};
use crate::network::Role;
use crate::plan::Plan;
use crate::repair::{Repair, RepairMode, RepairSource, Ridge};

/// Most batches of the training data that a repair rests on.
const BATCHES: u64 = 64;

impl ActiveRun<'_> {
    /// Repairs the weights as they are for the heads that `plan` keeps, where that is asked for.
    pub(super) fn repair(&mut self, plan: &Plan) -> Result<Option<Repair>> {
        let Some(voting) = &self.settings().voting else { return Ok(None) };
        let repair = match &voting.repair {
            None | Some(RepairSource::Made(RepairMode::None)) => return Ok(None),
            Some(RepairSource::File(path)) => self.read_repair(path, plan)?,
            Some(RepairSource::Made(mode)) => {
                // The weights of the run lie there whole.
                let model = Model::open(self.folder.full())?;
                let most = voting.batches.unwrap_or(BATCHES).min(BATCHES);
                let corpus = self.training.with(|s| {
                    s.order = BatchOrder::AsRead;
                    s.purpose = Purpose::Observe;
                    s.batches = Some(most);
                });
                let corpus = corpus.fitted_on();
                let calibration =
                    Calibration { model: &model, network: &self.frozen, corpus: &corpus, moments: None, hold: None };
                let request = RepairRequest { plan, mode: *mode, ridge: Ridge::Auto, choose: false };
                Mender::new(calibration).repair(&request, &self.ticket.silent())?
            }
        };
        for note in &repair.record.notes {
            (self.observe)(TrainingEvent::Note(note));
        }
        self.adopt(&repair)?;
        Ok(Some(repair))
    }

    /// A repair from a file is for the weights that the run began with.
    fn read_repair(&self, path: &std::path::Path, plan: &Plan) -> Result<Repair> {
        if self.standing.total_steps > 0 {
            return Err(Error::usage("the repair is for the weights before training, which moved since")
                .at(path)
                .hint("vote before the first step (--vote-at 0), or repair here with --repair auto"));
        }
        let repair = RepairSource::read(path)?;
        let origin = Model::open(&self.request.model)?;
        repair.check(origin.spec(), &origin.checkpoint().fingerprint()?, plan).map_err(|e| e.at(path))?;
        Ok(repair)
    }

    /// Puts new output projections in the place of the old; columns of the heads that go are zero, as their gates are.
    fn adopt(&self, repair: &Repair) -> Result<()> {
        let spec = self.blueprint.spec();
        let parameters = self.learner.parameters();
        let set = |role: Role, value: &candle_core::Tensor| -> Result<()> {
            let parameter = parameters.of_role(role);
            let parameter = parameter.ok_or_else(|| Error::new(format!("the model has no '{role}'")))?;
            let var = &parameter.var;
            Ok(var.set(&value.to_dtype(var.dtype())?.to_device(var.device())?)?)
        };
        for (site, output) in &repair.outputs {
            let module = output_module(spec, *site);
            let heads = spec.attention(*site).map_or(0, |a| a.heads);
            if !output.kept.is_empty() {
                set(module.weight(), &output.whole(heads)?)?;
            }
            if let Some(bias) = &output.bias {
                set(module.bias(), bias)?;
            }
        }
        Ok(())
    }
}
