//! What is shown without a model: every way to open one.

use eframe::egui::{self, RichText, TextEdit, Ui};

use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::purpose::PathPurpose;
use crate::gui::widgets::{command_button, heading, note};
use crate::gui::wording::worded;
use crate::hub::short_name;
use crate::workspace::samples;

#[derive(Default)]
pub(super) struct Welcome {
    path: String,
}

impl Welcome {
    pub(super) fn show(&mut self, ui: &mut Ui, cx: Cx<'_>) {
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
        ui.add_space(20.0);
        ui.label(RichText::new("Pillars").heading().size(26.0));
        ui.label(
            RichText::new("See which attention heads carry a transformer, and prune the rest with open eyes")
                .color(theme.muted),
        );
        ui.add_space(10.0);
        opening(ui, cx);
        lost(ui, cx);
        failed(ui, cx);
        heading(ui, theme, "Begin with a sample");
        note(
            ui,
            theme,
            "A small BERT that tells sentences of Emma from those of Pride and Prejudice, with sentences to read: ready to run",
        );
        command_button(ui, cx, Command::OpenSample, "Open the sample");
        for sample in samples().iter().skip(1) {
            if ui.button(sample.about).clicked() {
                cx.send(Action::Path(PathPurpose::Open, sample.model.clone()));
            }
        }
        ui.add_space(4.0);
        heading(ui, theme, "Open your own");
        ui.horizontal(|ui| {
            command_button(ui, cx, Command::OpenModel, "Choose a model folder…");
            command_button(ui, cx, Command::OpenCached, "Choose a downloaded model…");
            command_button(ui, cx, Command::OpenFile, "Choose a workspace…");
        });
        self.typed(ui, cx);
        note(ui, theme, "A model is a folder in Hugging Face layout: config.json and model.safetensors, or its shards");
        ui.add_space(6.0);
        drop_target(ui, cx);
        recent(ui, cx);
    }

    fn typed(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        ui.horizontal(|ui| {
            let label = ui.label("Path");
            let field = TextEdit::singleline(&mut self.path).hint_text("~/models/bert-base-uncased or OWNER/NAME");
            let field = ui.add(field.desired_width(ui.available_width() - 70.0)).labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let path = self.path.trim();
            let button = ui.add_enabled(!path.is_empty(), egui::Button::new("Open"));
            if !path.is_empty() && (button.clicked() || entered) {
                cx.send(Action::Path(PathPurpose::Open, path.into()));
            }
        });
    }
}

/// What is being opened, with a way out.
fn opening(ui: &mut Ui, cx: Cx<'_>) {
    let Some(path) = &cx.state.opening else { return };
    notice(ui, cx, |ui| {
        ui.horizontal(|ui| {
            ui.add(egui::Label::new(format!("Opening {} …", path.display())).truncate());
            command_button(ui, cx, Command::Cancel, "Cancel");
        });
    });
}

/// Why the last path could not be opened, and what can be done.
fn failed(ui: &mut Ui, cx: Cx<'_>) {
    let Some((path, error)) = &cx.state.open_failure else { return };
    notice(ui, cx, |ui| {
        ui.label(RichText::new(format!("{} could not be opened", path.display())).color(cx.theme.danger));
        ui.add(egui::Label::new(worded(error)).wrap().selectable(true));
        ui.horizontal(|ui| {
            if ui.button("Try again").clicked() {
                cx.send(Action::Path(PathPurpose::Open, path.clone()));
            }
            if ui.button("Copy the message").clicked() {
                cx.send(Action::Copy(worded(error)));
            }
            if cx.state.settings.recent.contains(path) && ui.button("Remove it from the list").clicked() {
                cx.send(Action::Forget(path.clone()));
            }
        });
    });
}

/// Where files can be dropped; the whole window takes them.
fn drop_target(ui: &mut Ui, cx: Cx<'_>) {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), 44.0), egui::Sense::hover());
    let text = "Or drop a model folder or a workspace anywhere on this window";
    let corners = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
    let stroke = egui::Stroke::new(1.0, cx.theme.outline);
    ui.painter().extend(egui::Shape::dashed_line(&corners, stroke, 5.0, 4.0));
    let font = egui::FontId::proportional(13.0);
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, text, font, cx.theme.muted);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
}

/// A workspace whose model is not where it was.
fn lost(ui: &mut Ui, cx: Cx<'_>) {
    let Some(lost) = &cx.state.lost else { return };
    notice(ui, cx, |ui| {
        ui.label(RichText::new("The model of this workspace is not where it was").color(cx.theme.warning));
        ui.add(egui::Label::new(worded(&lost.error)).wrap().selectable(true));
        ui.label("Choose where it went, or drop its folder here; plans and results are kept");
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
        note(ui, cx.theme, "Models and workspaces that you open are listed here");
    }
    for path in &cx.state.settings.recent {
        ui.horizontal(|ui| {
            let name = short_name(path);
            let whole = path.display().to_string();
            if ui.link(name.as_str()).on_hover_text(whole.as_str()).clicked() {
                cx.send(Action::Path(PathPurpose::Open, path.clone()));
            }
            let forget = ui.small_button("Forget").on_hover_text("Remove it from this list");
            ui.ctx().accesskit_node_builder(forget.id, |node| node.set_label(format!("Forget {name}")));
            if forget.clicked() {
                cx.send(Action::Forget(path.clone()));
            }
            let folder = path.parent().map(|p| p.display().to_string()).unwrap_or_default();
            ui.add(egui::Label::new(RichText::new(folder).small().color(cx.theme.muted)).truncate());
        });
    }
}
