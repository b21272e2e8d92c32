//! Settings and workspace, written by themselves a moment after they change.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui;

use super::opening::other_window;
use crate::gui::app::App;
use crate::gui::autosave::{Fingerprint, UnsavedWork, Work};
use crate::gui::jobs::{JobKind, JobOutcome};

/// How long changes are gathered before they are written.
const PAUSE: Duration = Duration::from_millis(1500);

impl App {
    /// Notices changes and writes them on a worker after a pause. An idle window does nothing here.
    pub(in super::super) fn autosave(&mut self, ctx: &egui::Context) {
        let state = &self.state;
        let now = Fingerprint {
            settings: state.settings.clone(),
            work: Work {
                run: state.run.clone(),
                training: state.training.settings.clone(),
                trained: state.training.run.folder.clone(),
                exported: state.export.done.as_ref().map(|(folder, _)| folder.clone()),
                repair: state.repairing.mode,
                repairs: state.repairing.revision,
                quality_share: state.quality_share,
                quality_measure: state.quality_measure.clone(),
                notes: state.notes.clone(),
                plan_revision: state.plan_revision,
                results: state.results.as_ref().map_or(0, |r| r.revision),
                measured: state.measured_revision,
            },
            site: state.selection.site,
            feature: state.selection.feature,
            layout: self.layout.revision(),
        };
        if std::mem::take(&mut self.autosave.is_fresh) {
            self.autosave.in_file = Some(now.work.clone());
        }
        if self.autosave.seen.as_ref() != Some(&now) {
            let is_first = self.autosave.seen.is_none();
            self.autosave.seen = Some(now);
            if !is_first {
                self.autosave.changed_at.get_or_insert_with(Instant::now);
            }
        }
        let Some(changed) = self.autosave.changed_at else { return };
        let left = PAUSE.saturating_sub(changed.elapsed());
        if !left.is_zero() {
            ctx.request_repaint_after(left);
            return;
        }
        // One at a time: a slow write must not overtake a later one.
        if self.state.jobs.get(JobKind::Autosave).is_none() {
            self.flush();
        }
    }

    /// Writes on a worker what is not written yet.
    pub(super) fn flush(&mut self) {
        self.autosave.changed_at = None;
        if let Some(snapshot) = self.what_to_save() {
            self.state.jobs.start(JobKind::Autosave, "Autosave", move |_| Ok(JobOutcome::Autosaved(snapshot.write()?)));
        }
    }

    /// Says where the work of another window on the same model is, once for every model.
    pub(super) fn note_other_window(&mut self, other: Option<PathBuf>) {
        let Some(path) = other.filter(|path| !self.autosave.told.contains(path)) else { return };
        self.state.messages.warn(other_window(&path));
        self.autosave.told.insert(path);
    }

    /// Writes what is still unwritten before the window goes.
    pub(in super::super) fn save_now(&mut self) {
        if let Some(snapshot) = self.what_to_save()
            && let Err(error) = snapshot.write()
        {
            self.state.messages.fail("Save the workspace", &error);
        }
    }

    /// Everything that is not written yet.
    pub(super) fn what_to_save(&mut self) -> Option<UnsavedWork> {
        let (settings, workspace) = (self.state.settings.clone(), self.workspace());
        self.autosave.snapshot(&self.state.store, settings, workspace)
    }
}
