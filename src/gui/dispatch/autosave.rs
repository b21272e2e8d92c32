//! Settings and workspace, written by themselves a moment after they change.

use std::time::{Duration, Instant};

use eframe::egui;

use super::super::app::App;
use super::super::jobs::{JobKind, Outcome};
use crate::workspace::{Settings, Workspace};

/// How long changes are gathered before they are written.
const PAUSE: Duration = Duration::from_millis(1500);

/// What was written last, and when something changed since.
#[derive(Default)]
pub struct Autosave {
    written: Option<(Settings, Workspace)>,
    changed_at: Option<Instant>,
    seen: Option<Fingerprint>,
}

/// What is compared to notice a change without looking at everything.
#[derive(PartialEq)]
struct Fingerprint {
    settings: Settings,
    run: crate::workspace::RunSettings,
    training: crate::training::TrainSettings,
    plan_revision: u64,
    results: u64,
    measured: usize,
    site: Option<crate::network::Site>,
    feature: Option<crate::network::FeatureMap>,
    layout: u64,
}

impl App {
    /// Notices changes and writes them on a worker after a pause. An idle window does nothing here.
    pub(in super::super) fn autosave(&mut self, ctx: &egui::Context) {
        let state = &self.state;
        let now = Fingerprint {
            settings: state.settings.clone(),
            run: state.run.clone(),
            training: state.training.settings.clone(),
            plan_revision: state.plan_revision,
            results: state.results.as_ref().map_or(0, |r| r.revision),
            measured: state.measured.len() + usize::from(state.sweep.is_some()),
            site: state.selection.site,
            feature: state.selection.feature,
            layout: self.layout.revision(),
        };
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
            self.autosave.changed_at = None;
            if let Some(write) = self.what_to_save() {
                self.state.jobs.start(JobKind::Autosave, "Save by itself", move |_| {
                    write()?;
                    Ok(Outcome::Autosaved)
                });
            }
        }
    }

    /// Writes what is still unwritten before the window goes.
    pub(in super::super) fn save_now(&mut self) {
        if let Some(write) = self.what_to_save()
            && let Err(error) = write()
        {
            self.state.messages.fail("Save the workspace", &error);
        }
    }

    fn what_to_save(&mut self) -> Option<impl FnOnce() -> crate::Result<()> + Send + 'static> {
        let (settings, workspace) = (self.state.settings.clone(), self.workspace());
        let last = self.autosave.written.as_ref();
        if last.is_some_and(|(s, w)| *s == settings && is_same(w, &workspace)) {
            return None;
        }
        let address = |w: &Workspace| w.analysis.as_ref().map(std::sync::Arc::as_ptr);
        let with_analysis = last.is_none_or(|(_, w)| address(w) != address(&workspace));
        self.autosave.written = Some((settings.clone(), workspace.clone()));
        let store = self.state.store.clone();
        Some(move || {
            store.save_settings(&settings)?;
            // Without a model there is nothing to come back to; the last workspace stays.
            if workspace.model.is_some() { store.save_workspace(&workspace, with_analysis) } else { Ok(()) }
        })
    }
}

/// Equality that does not read through an analysis: they are never changed in place.
fn is_same(a: &Workspace, b: &Workspace) -> bool {
    let address = |w: &Workspace| w.analysis.as_ref().map(std::sync::Arc::as_ptr);
    let without = |w: &Workspace| Workspace { analysis: None, ..w.clone() };
    address(a) == address(b) && without(a) == without(b)
}
