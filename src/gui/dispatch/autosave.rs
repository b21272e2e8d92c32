//! Settings and workspace, written by themselves a moment after they change.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use eframe::egui;

use super::opening::other_window;
use crate::gui::app::App;
use crate::gui::autosave::{Fingerprint, OnDisk, Work};
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::workspace::Workspace;

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
                repair: state.repairing.mode,
                repairs: state.repairing.revision,
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
        if let Some(write) = self.what_to_save() {
            self.state.jobs.start(JobKind::Autosave, "Autosave", move |_| Ok(JobOutcome::Autosaved(write()?)));
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
        if let Some(write) = self.what_to_save()
            && let Err(error) = write()
        {
            self.state.messages.fail("Save the workspace", &error);
        }
    }

    /// What writes everything that is not written yet; it may run on a worker.
    pub(super) fn what_to_save(&mut self) -> Option<impl FnOnce() -> crate::Result<Option<PathBuf>> + Send + use<>> {
        let (settings, workspace) = (self.state.settings.clone(), self.workspace());
        let last = self.autosave.written.as_ref();
        if last.is_some_and(|(s, w)| *s == settings && is_same(w, &workspace)) {
            return None;
        }
        self.autosave.written = Some((settings.clone(), workspace.clone()));
        let store = self.state.store.clone();
        self.autosave.taken += 1;
        let (number, disk) = (self.autosave.taken, Arc::clone(&self.autosave.disk));
        Some(move || {
            let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            if disk.number > number {
                return Ok(None);
            }
            let analysis = (workspace.model.clone(), workspace.analysis.clone());
            let is_there = disk.analysis.as_ref().is_some_and(|(model, held)| {
                *model == analysis.0 && held.as_ref().map(Arc::as_ptr) == analysis.1.as_ref().map(Arc::as_ptr)
            });
            store.save_settings(&settings)?;
            let other = store.save_workspace(&workspace, !is_there)?;
            *disk = OnDisk { number, analysis: Some(analysis) };
            Ok(other)
        })
    }
}

/// Equality that does not read through analyses and curves: they are never changed in place.
fn is_same(a: &Workspace, b: &Workspace) -> bool {
    let address = |w: &Workspace| (w.analysis.as_ref().map(Arc::as_ptr), w.curves.as_ref().map(Arc::as_ptr));
    let without = |w: &Workspace| Workspace { analysis: None, moments: None, curves: None, ..w.clone() };
    address(a) == address(b) && without(a) == without(b)
}
