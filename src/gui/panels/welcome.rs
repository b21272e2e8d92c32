//! What is shown without a model: every way to open one.

use eframe::egui::{self, RichText, TextEdit, Ui};

use super::super::action::{Action, PathPurpose};
use super::super::app::Cx;
use super::super::command::Command;
use super::super::widgets::{command_button, heading, note};
use super::overlay::expand;

/// The typed path.
#[derive(Default)]
pub struct Welcome {
    path: String,
}

impl Welcome {
    /// The welcome screen.
    pub fn show(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let width = ui.available_width().min(620.0);
        let margin = ((ui.available_width() - width) / 2.0).max(0.0);
        ui.horizontal(|ui| {
            ui.add_space(margin);
            ui.vertical(|ui| {
                ui.set_max_width(width);
                self.content(ui, cx);
            });
        });
    }

    fn content(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        ui.add_space(24.0);
        ui.label(RichText::new("Pillars").heading().size(26.0));
        ui.label(
            RichText::new("See which attention heads carry a transformer, and prune the rest with open eyes")
                .color(theme.muted),
        );
        ui.add_space(12.0);
        if let Some(path) = &cx.state.opening {
            ui.label(format!("Opening {} …", path.display()));
        }
        lost(ui, cx);
        if let Some((path, error)) = &cx.state.open_failure {
            notice(ui, cx, |ui| {
                ui.label(RichText::new(format!("{} could not be opened", path.display())).color(theme.danger));
                ui.add(egui::Label::new(error.to_string()).wrap().selectable(true));
            });
        }
        heading(ui, theme, "Open a model");
        ui.horizontal(|ui| {
            command_button(ui, cx, Command::OpenSample, "Open the sample");
            command_button(ui, cx, Command::OpenModel, "Choose a folder…");
        });
        note(ui, theme, "A folder in Hugging Face layout: config.json and model.safetensors, or its shards and index");
        ui.add_space(4.0);
        self.typed(ui, cx);
        note(ui, theme, "Or drop a folder or a workspace anywhere on this window");
        recent(ui, cx);
    }

    fn typed(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        ui.horizontal(|ui| {
            let label = ui.label("Path");
            let field = TextEdit::singleline(&mut self.path).hint_text("/models/bert-base-uncased");
            let field = ui.add(field.desired_width(ui.available_width() - 70.0)).labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let path = self.path.trim();
            let button = ui.add_enabled(!path.is_empty(), egui::Button::new("Open"));
            if !path.is_empty() && (button.clicked() || entered) {
                cx.send(Action::Path(PathPurpose::Open, expand(path)));
            }
        });
    }
}

/// A workspace whose model is not where it was.
fn lost(ui: &mut Ui, cx: Cx<'_>) {
    let Some(lost) = &cx.state.lost else { return };
    notice(ui, cx, |ui| {
        ui.label(RichText::new("The model of this workspace is not where it was").color(cx.theme.warning));
        ui.add(egui::Label::new(lost.error.to_string()).wrap().selectable(true));
        ui.label("Say where it went; plans and results are kept. Or drop its folder here");
        ui.horizontal(|ui| {
            if ui.button("Choose its folder…").clicked() {
                cx.send(Action::AskPath(PathPurpose::Relocate));
            }
            if ui.button("Type its path…").clicked() {
                cx.send(Action::TypePath(PathPurpose::Relocate));
            }
        });
    });
}

fn notice(ui: &mut Ui, cx: Cx<'_>, add: impl FnOnce(&mut Ui)) {
    egui::Frame::new().fill(cx.theme.panel).inner_margin(10).corner_radius(6).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        add(ui);
    });
    ui.add_space(6.0);
}

fn recent(ui: &mut Ui, cx: Cx<'_>) {
    heading(ui, cx.theme, "Recent");
    if cx.state.settings.recent.is_empty() {
        note(ui, cx.theme, "Models that you open are listed here");
    }
    for path in &cx.state.settings.recent {
        ui.horizontal(|ui| {
            let text = path.display().to_string();
            if ui.link(text.as_str()).clicked() {
                cx.send(Action::Path(PathPurpose::Open, path.clone()));
            }
            if ui.small_button("Forget").on_hover_text("Take it off this list").clicked() {
                cx.send(Action::Forget(path.clone()));
            }
        });
    }
}
