//! The box that lists what lies in the hub's cache.

use eframe::egui::{self, ScrollArea, TextEdit, Ui};

use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::purpose::PathPurpose;
use crate::gui::widgets::{fault, heading, note};
use crate::hub::CachedModel;
use crate::words::bytes_in_words;

/// The models of the cache, at most `height` points high.
pub(super) fn cached(ui: &mut Ui, cx: Cx<'_>, height: f32, name: &mut String) {
    heading(ui, cx.theme, "Downloaded models");
    match &cx.state.cached {
        None => note(ui, cx.theme, "Reading the hub's cache …"),
        Some(Err(error)) => fault(ui, cx.theme, error),
        Some(Ok(models)) if models.is_empty() => {
            note(ui, cx.theme, format!("The hub's cache holds no models: {}", cx.state.cache.root().display()));
        }
        Some(Ok(models)) => {
            ScrollArea::vertical()
                .min_scrolled_height(height)
                .max_height(height)
                .auto_shrink([false, true])
                .show(ui, |ui| models.iter().for_each(|model| row(ui, cx, model)));
        }
    }
    ui.add_space(6.0);
    downloading(ui, cx, name);
    ui.add_space(6.0);
    if ui.button("Close").clicked() {
        cx.send(Action::CloseOverlay);
    }
}

/// A name to type, and how far the download of it is.
fn downloading(ui: &mut Ui, cx: Cx<'_>, name: &mut String) {
    ui.horizontal(|ui| {
        let label = ui.label("Name");
        let field = TextEdit::singleline(name).hint_text("OWNER/NAME or OWNER/NAME@REVISION");
        let field = ui.add(field.desired_width(ui.available_width() - 90.0)).labelled_by(label.id);
        let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        let typed = name.trim();
        let button = ui.add_enabled(!typed.is_empty(), egui::Button::new("Download"));
        if !typed.is_empty() && (button.clicked() || entered) {
            cx.send(Action::Download(typed.to_owned()));
        }
    });
    if let Some(job) = cx.state.jobs.get(JobKind::Download) {
        ui.horizontal(|ui| {
            note(ui, cx.theme, format!("{}: {}", job.title, job.words()));
            if ui.button("Stop").clicked() {
                cx.send(Action::Cancel(JobKind::Download));
            }
        });
    }
}

/// One model; what is not whole cannot be opened, and says why.
fn row(ui: &mut Ui, cx: Cx<'_>, model: &CachedModel) {
    let size = bytes_in_words(model.bytes);
    let button = egui::Button::new(&model.name).right_text(size).min_size(egui::vec2(ui.available_width(), 0.0));
    let is_whole = model.missing.is_none();
    let button = ui.add_enabled(is_whole, button);
    // The size beside it is no part of what the button is called.
    button.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, is_whole, &model.name));
    // Enter opens the first, where nothing else has the keyboard.
    if is_whole && ui.memory(|m| m.focused().is_none()) {
        button.request_focus();
    }
    if button.clicked() {
        cx.send(Action::Path(PathPurpose::Open, model.place.clone()));
    }
    if let Some(state) = model.state() {
        note(ui, cx.theme, format!("{}: {state}", model.name));
    }
}
