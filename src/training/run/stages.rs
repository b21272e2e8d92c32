//! The stages of a run.

use std::path::Path;

use candle_core::DType;
use serde_json::json;

use super::work::{ActiveRun, End};
use super::{TrainingEnd, TrainingEvent, TrainingSummary};
use crate::analysis::Document;
use crate::error::Result;
use crate::model::Model;
use crate::network::Gates;
use crate::plan::{self, Plan};
use crate::pruning::{ExportOptions, export};
use crate::training::{AdamW, Beginning, Stage, VoteAt, Voting, vote};

impl ActiveRun<'_> {
    /// Does what is left of the run.
    pub(super) fn carry_out(mut self) -> Result<TrainingSummary> {
        loop {
            self.take_part();
            match self.standing.stage {
                Stage::Constrained => {
                    if self.constrained()? == End::Stopped {
                        return self.stopped();
                    }
                }
                Stage::Voting => self.vote()?,
                Stage::FineTuning => {
                    if self.fine_tune()? == End::Stopped {
                        return self.stopped();
                    }
                }
                Stage::Writing => self.write()?,
                Stage::Done => {
                    self.ticket.over();
                    return Ok(self.summary);
                }
            }
        }
    }

    fn stopped(mut self) -> Result<TrainingSummary> {
        self.summary.outcome = TrainingEnd::Stopped;
        self.summary.seconds = self.standing.seconds;
        Ok(self.summary)
    }

    fn voting(&self) -> Option<Voting> {
        self.settings().voting.clone()
    }

    fn constrained(&mut self) -> Result<End> {
        let settings = self.settings();
        let begins = self.standing.total_steps == 0 && self.summary.given_loss.is_none();
        if begins && self.request.beginning == Beginning::Weights {
            let (loss, metric) = self.held_out(&Gates::open())?;
            (self.summary.given_loss, self.summary.given_metric) = (Some(loss), metric);
            self.write_summary()?;
        }
        let until_calm = settings.voting.as_ref().is_some_and(|v| v.at == VoteAt::Converged);
        let end = self.steps(
            settings.first_steps(),
            &settings.schedule(),
            Some(&settings.constraint),
            &Gates::open(),
            until_calm,
        )?;
        if end == End::Finished {
            self.summary.constrained_steps = self.standing.step;
            let (loss, metric) = self.held_out(&Gates::open())?;
            (self.summary.full_loss, self.summary.full_metric) = (Some(loss), metric);
            self.summary.unigram_loss = self.unigram_loss()?;
            self.warn_of_harm(self.summary.given_loss.or(self.summary.unigram_loss), loss);
            if self.voting().is_none() {
                self.summary.final_translation = self.translated(&Gates::open())?;
            }
            if self.voting().is_some() {
                let full = self.folder.empty("full")?;
                self.blueprint.write(&full, self.learner.parameters(), settings.stored)?;
                replace(&full, &self.folder.full())?;
                self.enter(Stage::Voting)?;
            } else {
                self.enter(Stage::Writing)?;
            }
        }
        Ok(end)
    }

    /// Freezes the weights and lets the training batches vote.
    fn vote(&mut self) -> Result<()> {
        (self.observe)(TrainingEvent::Stage(Stage::Voting));
        let Some(voting) = self.voting() else { return self.enter(Stage::Writing) };
        let proposed = match &voting.plan {
            Some(plan) => plan.clone(),
            None => self.propose(&voting)?,
        };
        let (plan, notes) = plan::snap(self.blueprint.spec(), &proposed)?;
        for note in &notes {
            (self.observe)(TrainingEvent::Note(note));
        }
        plan.write(&self.folder.inside("plan.json"))?;
        self.begin_fine_tuning(plan)
    }

    /// Holds the vote; its analysis stays in the folder.
    fn propose(&self, voting: &Voting) -> Result<Plan> {
        let settings = self.settings();
        let model = Model::open(self.folder.full())?;
        let found = vote(&self.frozen, &model, &self.training, settings, voting, &[voting.method], &self.ticket)?;
        found.write(&self.folder.inside("votes.json"))?;
        let asked = plan::PlanRequest { seed: settings.seed, ..plan::PlanRequest::new(voting.method, voting.amount) };
        plan::propose(&found, &asked)
    }

    fn begin_fine_tuning(&mut self, plan: Plan) -> Result<()> {
        let gates = Gates::keep(self.blueprint.spec(), &plan.kept, DType::F32, &self.device)?;
        let (loss, metric) = self.held_out(&gates)?;
        (self.summary.masked_loss, self.summary.masked_metric) = (Some(loss), metric);
        self.summary.kept = plan.kept.clone();
        if let Some(repair) = self.repair(&plan)? {
            let (loss, metric) = self.held_out(&gates)?;
            (self.summary.repaired_loss, self.summary.repaired_metric) = (Some(loss), metric);
            self.summary.repair = Some(repair.record);
        }
        self.standing.plan = Some(plan);
        // Moments of the constrained loss would push the first steps where the new loss does not want to go.
        *self.learner.optimizer_mut() = AdamW::new(self.learner.parameters(), self.settings().adam)?;
        self.enter(Stage::FineTuning)
    }

    fn fine_tune(&mut self) -> Result<End> {
        let (Some(voting), Some(plan)) = (self.voting(), self.standing.plan.clone()) else {
            self.enter(Stage::Writing)?;
            return Ok(End::Finished);
        };
        let gates = Gates::keep(self.blueprint.spec(), &plan.kept, DType::F32, &self.device)?;
        let schedule = self.settings().finetune_schedule(&voting);
        let end = self.steps(voting.finetune_steps, &schedule, None, &gates, false)?;
        if end == End::Finished {
            self.summary.finetune_steps = self.standing.step;
            let (loss, metric) = self.held_out(&gates)?;
            (self.summary.final_loss, self.summary.final_metric) = (Some(loss), metric);
            self.warn_of_harm(self.summary.repaired_loss.or(self.summary.masked_loss), loss);
            self.summary.final_translation = self.translated(&gates)?;
            self.enter(Stage::Writing)?;
        }
        Ok(end)
    }

    /// Writes the result: without the masked heads where there was a vote.
    fn write(&mut self) -> Result<()> {
        (self.observe)(TrainingEvent::Stage(Stage::Writing));
        let settings = self.settings();
        let recipe = json!({"settings": settings, "summary": self.summary});
        let weights = self.folder.empty("weights")?;
        let side = self.blueprint.write(&weights, self.learner.parameters(), settings.stored)?;
        if let Some(note) = side.note() {
            (self.observe)(TrainingEvent::Note(&note));
        }
        match self.standing.plan.clone() {
            None => {
                self.summary.final_loss = self.summary.full_loss;
                self.summary.final_metric = self.summary.full_metric;
                self.summary.parameters_after = self.summary.parameters_before;
                self.folder.publish(&weights)?;
            }
            Some(mut plan) => {
                let result = self.folder.inside("result");
                if result.exists() {
                    std::fs::remove_dir_all(&result).map_err(|e| crate::Error::from(e).at(&result))?;
                }
                let options = ExportOptions {
                    device: self.device.clone(),
                    seed: settings.seed,
                    recipe: Some(recipe),
                    trained: Some(self.trained()?),
                    ..ExportOptions::default()
                };
                let model = Model::open(&weights)?;
                // The heads are those that were voted on; only their weights moved since.
                plan.trained = true;
                plan.fingerprint = Some(model.checkpoint().fingerprint()?);
                let format = self.voting().map_or_else(Default::default, |v| v.format);
                let mut input = self.held_out.iter().cloned().map(Ok);
                let report = export(&model, &plan, format, &result, &options, Some(&mut input), &self.ticket)?;
                drop(model);
                self.summary.parameters_after = Model::open(&result)?.parameters();
                for note in &report.notes {
                    (self.observe)(TrainingEvent::Note(note));
                }
                self.folder.publish(&result)?;
                std::fs::remove_dir_all(&weights).map_err(|e| crate::Error::from(e).at(&weights))?;
            }
        }
        self.summary.outcome = TrainingEnd::Done;
        self.summary.seconds = self.standing.seconds;
        self.enter(Stage::Done)
    }
}

/// Puts the folder `made` in the place of `target`.
fn replace(made: &Path, target: &Path) -> Result<()> {
    if target.exists() {
        std::fs::remove_dir_all(target).map_err(|e| crate::Error::from(e).at(target))?;
    }
    std::fs::rename(made, target).map_err(|e| crate::Error::from(e).at(target))
}
