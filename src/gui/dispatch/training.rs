//! A training run.

use std::path::PathBuf;

use crate::chart::Unit;
use crate::error::Result;
use crate::gui::app::App;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::gui::past::ShownTraining;
use crate::run::{self, TrainSpec, Watched};
use crate::task::Ticket;
use crate::training::{Beginning, Control, RunFolder, TrainingEnd as End, TrainingSummary};

impl App {
    /// What training the open model into `out` comes to; `None` while its settings need attention.
    pub(super) fn wanted_training(&self, out: PathBuf) -> Option<TrainSpec> {
        let Some(Ok(checked)) = &self.state.checked else { return None };
        let training = &self.state.training;
        let mut wanted = TrainSpec::new(checked.spec().clone(), checked.opened(), out);
        (wanted.settings, wanted.resume) = (training.settings.clone(), training.resume);
        if training.from_scratch {
            wanted.beginning = Beginning::Scratch { vocabulary: None };
        }
        Some(wanted)
    }

    /// Trains the open model into `out`.
    pub(super) fn train(&mut self, out: PathBuf) {
        let Some(wanted) = self.wanted_training(out.clone()) else { return };
        let title = format!("Train {} into {}", self.state.model_name(), out.display());
        self.begin_training(title, out, move |watched, ticket| {
            run::train(&wanted, &watched.control, &mut |event| watched.record(event), ticket)
        });
    }

    /// Goes on with the run that is shown, as it was begun.
    pub(super) fn resume_training(&mut self) {
        let Some((out, _)) = self.state.training.run.watched.clone() else { return };
        if self.state.jobs.get(JobKind::Train).is_some() {
            return;
        }
        let (device, folder) = (self.state.run.device, out.clone());
        self.begin_training(format!("Resume the training in {}", out.display()), out, move |watched, ticket| {
            run::resume_training(&folder, device, &watched.control, &mut |event| watched.record(event), ticket)
        });
    }

    /// Watches `work`, which trains into `out`.
    fn begin_training(
        &mut self,
        title: String,
        out: PathBuf,
        work: impl FnOnce(&Watched, &Ticket) -> Result<TrainingSummary> + Send + 'static,
    ) {
        let (training, watched) = (&mut self.state.training, Watched::default());
        training.failure = None;
        let run = ShownTraining {
            watched: Some((out.clone(), watched.clone())),
            of: self.state.model.as_ref().map(|model| model.facts.fingerprint.clone()),
            folder: Some(out.clone()),
            ..ShownTraining::default()
        };
        training.before = Some(std::mem::replace(&mut training.run, run));
        self.state.jobs.start(JobKind::Train, title, move |ticket| {
            let summary = work(&watched, ticket)?;
            Ok(JobOutcome::Trained(out, Box::new(summary)))
        });
    }

    /// Looks whether what ended can be gone on with. One that was refused before it began anything leaves what was shown
    /// before it.
    pub(super) fn training_ended(&mut self) {
        let open = self.state.model.as_ref().map(|model| &model.facts.fingerprint);
        let training = &mut self.state.training;
        let has_begun = training.run.watched.as_ref().is_some_and(|(_, watched)| watched.progress().has_begun());
        let is_refused = training.run.summary.is_none() && !has_begun;
        if let Some(before) = training.before.take().filter(|_| is_refused) {
            // Another model that was opened meanwhile brought a folder of its own.
            let folder = if training.run.of.as_ref() == open { before.folder } else { training.run.folder.take() };
            training.run = ShownTraining { folder, ..before };
            return;
        }
        let is_done = training.run.summary.as_ref().is_some_and(|summary| summary.outcome == End::Done);
        let has_state = training.run.watched.as_ref().is_some_and(|(out, _)| RunFolder::at(out).has_state());
        training.run.is_resumable = has_state && !is_done;
    }

    /// Pauses, stops or goes on to the vote.
    pub(super) fn tell_training(&mut self, tell: impl FnOnce(&Control)) {
        if let Some((_, watched)) = &self.state.training.run.watched {
            tell(&watched.control);
        }
    }

    /// Takes in what a run came to.
    pub(super) fn trained(&mut self, out: &std::path::Path, summary: TrainingSummary) {
        let loss = |l: Option<f64>| l.map_or_else(|| "unknown".to_owned(), |l| Unit::Plain.format(l));
        let text = match summary.outcome {
            End::Done => {
                let early = summary.early_vote().map(|early| format!("{early}: ")).unwrap_or_default();
                let (name, loss) = (summary.loss_name(), loss(summary.final_loss));
                format!("Trained: {early}{name} {loss}, written to {}", out.display())
            }
            End::Stopped => format!("Training stopped; it can be resumed from {}", out.display()),
        };
        self.state.messages.info(text);
        self.state.training.run.summary = Some(summary);
    }
}
