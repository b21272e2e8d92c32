//! A training run.

use std::path::PathBuf;

use crate::chart::Unit;
use crate::gui::app::App;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::run::{self, TrainSpec, Watched};
use crate::training::{Beginning, Control, TrainingEnd as End, TrainingSummary};

impl App {
    /// Trains the open model into `out`.
    pub(super) fn train(&mut self, out: PathBuf) {
        let Some(Ok(checked)) = &self.state.checked else { return };
        let training = &mut self.state.training;
        let mut wanted = TrainSpec::new(checked.spec().clone(), checked.opened(), out.clone());
        (wanted.settings, wanted.resume) = (training.settings.clone(), training.resume);
        if training.from_scratch {
            wanted.beginning = Beginning::Scratch { vocabulary: None };
        }
        let watched = Watched::default();
        training.watched = Some((out.clone(), watched.clone()));
        training.summary = None;
        training.failure = None;
        self.state.jobs.start(
            JobKind::Train,
            format!("Train {} into {}", checked.opened().facts.name, out.display()),
            move |ticket| {
                let summary = run::train(&wanted, &watched.control, &mut |event| watched.record(event), ticket)?;
                Ok(JobOutcome::Trained(wanted.out, Box::new(summary)))
            },
        );
    }

    /// Pauses, stops or goes on to the vote.
    pub(super) fn tell_training(&mut self, tell: impl FnOnce(&Control)) {
        if let Some((_, watched)) = &self.state.training.watched {
            tell(&watched.control);
        }
    }

    /// Takes in what a run came to.
    pub(super) fn trained(&mut self, out: &std::path::Path, summary: TrainingSummary) {
        let loss = |l: Option<f64>| l.map_or_else(|| "unknown".to_owned(), |l| Unit::Plain.format(l));
        let text = match summary.outcome {
            End::Done => format!("Trained: loss per token {}, written to {}", loss(summary.final_loss), out.display()),
            End::Stopped => format!("Training stopped; it can be resumed from {}", out.display()),
        };
        self.state.messages.info(text);
        self.state.training.summary = Some(summary);
    }
}
