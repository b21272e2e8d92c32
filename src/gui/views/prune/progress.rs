//! How far work on quality is.

use eframe::egui::{ProgressBar, Ui};

use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::widgets::note;

/// How far a measurement is, with a way to stop it.
pub(super) fn progress(ui: &mut Ui, cx: Cx<'_>, kind: JobKind) {
    let Some(job) = cx.state.jobs.get(kind) else { return };
    ui.horizontal_wrapped(|ui| {
        let share = job.progress.fraction().unwrap_or(0.0) as f32;
        let bar = ProgressBar::new(share).desired_width(160.0).fill(cx.theme.accent);
        ui.add(bar).accessible_name(format!("Progress: {}", job.title));
        if ui.button("Cancel").clicked() {
            cx.send(Action::Cancel(kind));
        }
        note(ui, cx.theme, job.words());
    });
}
