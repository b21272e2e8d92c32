//! What trainings and exports came to of models that are not open: it comes back with its model.

use std::path::PathBuf;

use crate::gui::app::App;
use crate::gui::jobs::JobKind;
use crate::gui::past::PastTraining;
use crate::pruning::Report;
use crate::run::Watched;
use crate::training::FoundRun;

impl App {
    /// Puts by what was made of the model that is open, and the training that was watched, if it is over.
    pub(super) fn put_by(&mut self) {
        let (state, past) = (&mut self.state, &mut self.past);
        if let (Some(model), Some(done)) = (&state.model, state.export.done.take()) {
            past.entry(model.facts.fingerprint.clone()).or_default().exported = Some(done);
        }
        if state.jobs.get(JobKind::Train).is_some() {
            return;
        }
        let training = &mut state.training;
        if let (Some(of), Some(watched)) = (training.run.of.take(), training.run.watched.take()) {
            let (summary, failure, is_resumable) =
                (training.run.summary.take(), training.failure.take(), training.run.is_resumable);
            let ended = PastTraining { watched, summary, failure, is_resumable };
            past.entry(of).or_default().training = Some(ended);
        }
    }

    /// Takes up what was made of the model that was opened: what was put by, else what lies in the `folder` of its last
    /// training, and what its last export `wrote`. A training that is under way stays in view.
    pub(super) fn take_up(
        &mut self,
        (folder, found): (Option<PathBuf>, Option<FoundRun>),
        wrote: Option<(PathBuf, Report)>,
    ) {
        let Some(fingerprint) = self.state.model.as_ref().map(|model| model.facts.fingerprint.clone()) else { return };
        let is_free = self.state.jobs.get(JobKind::Train).is_none();
        let training = &mut self.state.training;
        training.run.folder = folder;
        let past = self.past.entry(fingerprint.clone()).or_default();
        self.state.export.done = past.exported.take().or(wrote);
        if !is_free {
            return;
        }
        match (past.training.take(), found) {
            (Some(PastTraining { watched, summary, failure, is_resumable }), _) => {
                (training.run.watched, training.run.summary) = (Some(watched), summary);
                (training.failure, training.run.is_resumable) = (failure, is_resumable);
            }
            (None, Some(FoundRun { out, records, summary, is_resumable })) => {
                training.run.watched = Some((out, Watched::of_earlier(&records)));
                (training.run.summary, training.run.is_resumable) = (summary, is_resumable);
            }
            (None, None) => return,
        }
        training.run.of = Some(fingerprint);
    }
}
