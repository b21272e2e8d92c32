//! What a view says when it has nothing to show.

use eframe::egui::{RichText, Ui};

use super::command_button;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;

/// Says what is missing and offers the command that brings it.
pub(crate) fn empty(ui: &mut Ui, cx: Cx<'_>, title: &str, text: &str, command: Option<(Command, &str)>) {
    ui.add_space((ui.available_height() * 0.3).clamp(8.0, 160.0));
    ui.vertical_centered(|ui| {
        ui.label(RichText::new(title).heading().color(cx.theme.ink));
        ui.label(RichText::new(text).color(cx.theme.muted));
        ui.add_space(6.0);
        if let Some((command, words)) = command {
            command_button(ui, cx, command, words);
        }
    });
}

/// The usual reason: nothing ran yet.
pub(crate) fn needs_run(ui: &mut Ui, cx: Cx<'_>, what: &str) {
    let running = cx.state.jobs.get(JobKind::Analyze).is_some();
    if running {
        empty(ui, cx, "The run is not finished", &format!("{what} appear when it is done"), None);
    } else {
        empty(
            ui,
            cx,
            "Nothing has been run yet",
            &format!("{what} come from a run over some input: choose it on the left"),
            Some((Command::Run, "Run")),
        );
    }
}
