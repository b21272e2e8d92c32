//! Boxes over the window: the command palette, a path to type, the list of keys, what this program is.

use eframe::egui::text::CCursorRange;
use eframe::egui::text_edit::TextEditState;
use eframe::egui::{self, Align2, Event, Id, Key, Modal, Modifiers, ScrollArea, TextEdit, Ui};

use super::cached::cached;
use super::data::rows;
use crate::figure::PictureSize;
use crate::gui::action::Action;
use crate::gui::command::{Command, caps};
use crate::gui::context::Cx;
use crate::gui::jobs::{Job, JobKind, NextStep};
use crate::gui::panels::palette::{PaletteLine, found, nothing_found};
use crate::gui::purpose::PathPurpose;
use crate::gui::state::Overlay;
use crate::gui::widgets::{choice, fault, heading, note, read_list, show_bars};
use crate::training::RunFolder;
use crate::workspace::PictureColors;

/// What was typed into the boxes.
#[derive(Default)]
pub(super) struct Overlays {
    open: Option<Overlay>,
    text: String,
    chosen: usize,
    /// Buttons of the box that is open which do something else than its button of the left; with the keyboard on one of
    /// them, Enter presses that one.
    others: Vec<Id>,
}

impl Overlays {
    /// Draws the box that is open.
    pub(super) fn show(&mut self, ui: &Ui, cx: Cx<'_>) {
        let now = cx.state.overlay.clone();
        let fresh = now != self.open;
        if fresh {
            self.text = first_text(&now, cx);
            self.chosen = 0;
            self.others.clear();
            self.open.clone_from(&now);
        }
        let Some(overlay) = now else { return };
        // From a fixed height downwards, so that the box does not jump while its contents change.
        let id = Id::unique("overlay");
        let place = Modal::default_area(id).anchor(Align2::CENTER_TOP, [0.0, drop(ui)]);
        let modal = Modal::new(id).area(place).show(ui.ctx(), |ui| {
            ui.set_width(560.0_f32.min(ui.ctx().content_rect().width() - 40.0));
            show_bars(ui);
            match overlay {
                Overlay::Palette => self.palette(ui, cx, fresh),
                Overlay::Path(purpose) => self.path(ui, cx, purpose, fresh),
                Overlay::Cached => cached(ui, cx, left_of(ui, 380.0, 104.0), &mut self.text),
                Overlay::Rows => {
                    rows(ui, cx, left_of(ui, 420.0, 110.0), fresh);
                    let close = close(ui, cx, "Close");
                    if fresh {
                        close.request_focus();
                    }
                }
                Overlay::Shortcuts => shortcuts(ui, cx, fresh),
                Overlay::About => about(ui, cx, fresh),
                Overlay::Quit => quit(ui, cx, fresh),
                Overlay::Stop(step) => stop(ui, cx, step, fresh),
            }
        });
        if modal.should_close() {
            cx.send(Action::CloseOverlay);
        }
    }

    fn palette(&mut self, ui: &mut Ui, cx: Cx<'_>, fresh: bool) {
        let field = TextEdit::singleline(&mut self.text).hint_text("Type a few letters").desired_width(f32::INFINITY);
        let field = named(ui.add(field), "Command");
        if fresh || !field.has_focus() {
            field.request_focus();
        }
        if field.changed() {
            self.chosen = 0;
        }
        let found = found(&self.text, cx.state);
        let (up, down, enter) =
            ui.input(|i| (i.key_pressed(Key::ArrowUp), i.key_pressed(Key::ArrowDown), i.key_pressed(Key::Enter)));
        if down {
            self.chosen += 1;
        }
        self.chosen = self.chosen.saturating_sub(usize::from(up)).min(found.len().saturating_sub(1));
        ui.separator();
        if found.is_empty() {
            note(ui, cx.theme, nothing_found(&self.text, cx.state));
        }
        let height = left_of(ui, 360.0, 24.0);
        ScrollArea::vertical().min_scrolled_height(height).max_height(height).auto_shrink([false, true]).show(
            ui,
            |ui| {
                // A screen reader is told of every line; else those out of sight only take their room.
                let is_read = ui.ctx().has_accesskit_node(egui::accesskit_root_id());
                let mut size = egui::vec2(ui.available_width(), ui.spacing().interact_size.y);
                for (index, find) in found.into_iter().enumerate() {
                    let is_chosen = index == self.chosen;
                    let place = egui::Rect::from_min_size(ui.cursor().min, size);
                    if !is_read && !is_chosen && !ui.is_rect_visible(place) {
                        ui.allocate_space(size);
                        continue;
                    }
                    let (response, is_enabled) = line(ui, cx, &find, is_chosen);
                    size.y = response.rect.height();
                    if is_chosen && (up || down) {
                        response.scroll_to_me(None);
                    }
                    if is_enabled && (response.clicked() || (enter && is_chosen)) {
                        cx.send(Action::CloseOverlay);
                        match find {
                            PaletteLine::Command(command) => cx.out.command(command),
                            PaletteLine::Wishes { actions, .. } => {
                                actions.into_iter().for_each(|action| cx.send(action))
                            }
                        }
                    }
                }
            },
        );
    }

    fn path(&mut self, ui: &mut Ui, cx: Cx<'_>, purpose: PathPurpose, fresh: bool) {
        let (title, verb, hint) = words(purpose);
        // Wherever the keyboard is in the box, among colors and sizes too, Enter does what the box is for; a key that
        // is still held from opening it does nothing.
        let is_elsewhere = ui.memory(|m| m.focused()).is_some_and(|id| self.others.contains(&id));
        let is_pressed = |e: &Event| matches!(e, Event::Key { key: Key::Enter, pressed: true, repeat: false, .. });
        let press = || ui.input_mut(|i| i.events.iter().any(is_pressed) && i.consume_key(Modifiers::NONE, Key::Enter));
        let enter = !fresh && !is_elsewhere && press();
        heading(ui, cx.theme, title);
        let field = TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(f32::INFINITY);
        let field = named(ui.add(field), title);
        if fresh {
            field.request_focus();
            // What is typed takes the place of the path that stands there.
            let mut state = TextEditState::load(ui.ctx(), field.id).unwrap_or_default();
            state.cursor.set_char_range(Some(CCursorRange::select_all_str(&self.text)));
            state.store(ui.ctx(), field.id);
        } else if ui.memory(|m| m.focused().is_none()) {
            // A path that was refused is typed on.
            field.request_focus();
        }
        note(ui, cx.theme, "An absolute path, or one from where the program was started; ~ is your home folder");
        // Why what stands here was refused, until it is something else.
        let refused = cx.state.refused.as_ref().filter(|(_, path, _)| path.to_str() == Some(self.text.trim()));
        if let Some((.., error)) = refused {
            fault(ui, cx.theme, error);
        }
        if let PathPurpose::Picture(_) = purpose {
            picture_look(ui, cx);
        }
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            let path = self.text.trim();
            let open = ui.add_enabled(!path.is_empty(), egui::Button::new(verb));
            if !path.is_empty() && (open.clicked() || enter) {
                cx.send(Action::Path(purpose, path.into()));
            }
            // A dialog of the system chooses files or folders.
            let dialogs = match purpose {
                PathPurpose::Picture(_) => vec![(purpose, "Browse…")],
                PathPurpose::Compare => vec![
                    (PathPurpose::Compare, "Browse for an analysis…"),
                    (PathPurpose::CompareModel, "Browse for a model folder…"),
                ],
                _ => Vec::new(),
            };
            self.others.clear();
            for (purpose, text) in dialogs {
                let button = ui.button(text);
                self.others.push(button.id);
                if button.clicked() {
                    cx.send(Action::CloseOverlay);
                    cx.send(Action::AskPath(purpose));
                }
            }
            self.others.push(close(ui, cx, "Close").id);
        });
    }
}

/// Colors and size of the picture that is saved.
fn picture_look(ui: &mut Ui, cx: Cx<'_>) {
    let before = cx.state.settings.picture;
    let mut look = before;
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        let colors = [
            (PictureColors::Window, "As shown", "The colors of the window"),
            (PictureColors::Light, "Light", "Dark on light, for print"),
            (PictureColors::Dark, "Dark", "Light on dark, for slides"),
        ];
        choice(ui, cx, "Colors", &mut look.colors, &colors);
    });
    ui.horizontal_wrapped(|ui| {
        let points = match look.size {
            PictureSize::Text(points) => points,
            _ => LABEL_POINTS,
        };
        let sizes = [
            (PictureSize::Screen, "Screen", "As on the screen; a PNG with two pixels to a point"),
            (
                PictureSize::Column,
                "Column",
                "85 mm wide, a column of a paper, with words of 7 points or more; a PNG with 300 pixels to an inch",
            ),
            (
                PictureSize::Page,
                "Page",
                "170 mm wide, the text of a page, with words of 7 points or more; a PNG with 300 pixels to an inch",
            ),
            (
                PictureSize::Text(points),
                "By its labels",
                "As large as it takes for labels to have this size, and no wider than a page",
            ),
        ];
        choice(ui, cx, "Size", &mut look.size, &sizes);
        if let PictureSize::Text(points) = &mut look.size {
            let field = ui.add(egui::DragValue::new(points).range(4.0..=24.0).speed(0.1).suffix(" pt"));
            named(field, "Size of labels");
        }
    });
    if look != before {
        cx.send(Action::SetPicture(look));
    }
}

/// Points of labels where nothing else was asked for: those of most journals.
const LABEL_POINTS: f64 = 8.0;

/// What a field begins with.
fn first_text(overlay: &Option<Overlay>, cx: Cx<'_>) -> String {
    // A path that was refused is mended.
    if let Some((purpose, path, _)) = &cx.state.refused
        && *overlay == Some(Overlay::Path(*purpose))
    {
        return path.display().to_string();
    }
    match overlay {
        Some(Overlay::Path(PathPurpose::Input)) => {
            cx.state.run.input.as_ref().map_or_else(String::new, |i| i.path().display().to_string())
        }
        Some(Overlay::Path(PathPurpose::SaveWorkspace)) => {
            cx.state.file.as_ref().map_or_else(String::new, |f| f.display().to_string())
        }
        Some(Overlay::Path(purpose @ PathPurpose::Picture(_))) => {
            purpose.proposed_name(cx.state.model_name()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Title, verb and hint.
fn words(purpose: PathPurpose) -> (&'static str, &'static str, &'static str) {
    match purpose {
        PathPurpose::Open => ("Open a path", "Open", "Model folder, OWNER/NAME, workspace, plan or analysis"),
        PathPurpose::OpenFile => ("Open a file", "Open", "Workspace, plan or analysis"),
        PathPurpose::Input => {
            ("What the model reads", "Use", "Text, .jsonl, .safetensors, .tsv, a recording or a folder of images")
        }
        PathPurpose::Images => ("Folder of images", "Use", "Folder with PNG or JPEG files"),
        PathPurpose::Relocate => ("Where the model went", "Open", "Model folder"),
        PathPurpose::SaveWorkspace => ("Save the workspace", "Save", "File name, .pillars is added"),
        PathPurpose::SavePlan => ("Save the plan", "Save", "File name, .json is added"),
        PathPurpose::SaveAnalysis => ("Save the analysis", "Save", "File name, .json is added"),
        PathPurpose::Compare => ("Compare with", "Compare", "Analysis (.json) or model folder"),
        PathPurpose::CompareModel => ("Compare with a model", "Compare", "Model folder"),
        PathPurpose::Export => ("Export the pruned model", "Export", "New folder"),
        PathPurpose::Train => ("Train the model", "Train", "New folder for the trained model"),
        PathPurpose::Picture(_) => ("Save the picture", "Save", "File name that ends in .svg, .png or .csv"),
    }
}

/// A line of the palette, and whether it can be carried out.
fn line(ui: &mut Ui, cx: Cx<'_>, find: &PaletteLine, is_chosen: bool) -> (egui::Response, bool) {
    let wide =
        |button: egui::Button<'static>, ui: &Ui| button.min_size(egui::vec2(ui.available_width(), 0.0)).truncate();
    match find {
        PaletteLine::Command(command) => {
            let spec = command.spec();
            let enabled = command.enabled(cx.state);
            let mut button = egui::Button::selectable(is_chosen, command.text_now(cx.state));
            match (enabled, spec.keys.first()) {
                (Err(reason), _) => button = button.shortcut_text(reason),
                (Ok(()), Some(keys)) => button = button.shortcut_text(caps(ui.ctx(), keys)),
                (Ok(()), None) => {}
            }
            let response = ui.add_enabled(enabled.is_ok(), wide(button, ui)).on_hover_text(spec.tooltip);
            (response, enabled.is_ok())
        }
        PaletteLine::Wishes { text, what, .. } => {
            let button = egui::Button::selectable(is_chosen, text.clone()).shortcut_text(*what);
            (ui.add(wide(button, ui)), true)
        }
    }
}

/// A button that closes the box; it has the keyboard where there is nothing else to do.
fn close(ui: &mut Ui, cx: Cx<'_>, text: &str) -> egui::Response {
    let button = ui.button(text);
    if button.clicked() {
        cx.send(Action::CloseOverlay);
    }
    button
}

/// A field that has no label beside it.
fn named(field: egui::Response, name: &str) -> egui::Response {
    field.ctx.accesskit_node_builder(field.id, |node| node.set_label(name));
    field
}

/// What would be thrown away by leaving now.
fn quit(ui: &mut Ui, cx: Cx<'_>, fresh: bool) {
    heading(ui, cx.theme, "Work is under way");
    for job in cx.state.jobs.shown() {
        ui.label(&job.title);
        note(ui, cx.theme, job.words());
    }
    if cx.state.jobs.get(JobKind::Train).is_some() {
        let has_saved = cx.state.training.run.watched.as_ref().is_some_and(|(out, _)| RunFolder::at(out).has_state());
        note(
            ui,
            cx.theme,
            match has_saved {
                true => "Training can be resumed from its last saved state; stop it first to lose no step",
                false => {
                    "Nothing of the training was saved yet, so that all of it would be lost; stop it first to save it"
                }
            },
        );
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        let stay = close(ui, cx, "Stay");
        if fresh {
            stay.request_focus();
        }
        if ui.button("Quit anyway").clicked() {
            cx.send(Action::QuitAnyway);
        }
    });
}

/// What would be lost by opening something else now.
fn stop(ui: &mut Ui, cx: Cx<'_>, step: NextStep, fresh: bool) {
    let name = cx.state.model.as_ref().map_or("the model", |model| model.facts.name.as_str());
    let jobs: Vec<&Job> = cx.state.jobs.missed_by(step).collect();
    heading(ui, cx.theme, &stop_title(&jobs, name));
    for job in &jobs {
        if jobs.len() > 1 {
            ui.label(&job.title);
        }
        note(ui, cx.theme, job.words());
    }
    let kept = match jobs.iter().any(|job| job.kind == JobKind::Analyze) && cx.state.results.is_some() {
        true => "The results that are shown are kept with the work on this model; what is under way is not",
        false => "Work that is under way is not kept",
    };
    note(ui, cx.theme, kept);
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        let keep = close(ui, cx, "Keep running");
        if fresh {
            keep.request_focus();
        }
        if ui.button(format!("Stop and {}", step.verb())).clicked() {
            cx.send(Action::StopAndGoOn);
        }
    });
}

/// The question, with how far the work is.
fn stop_title(jobs: &[&Job], name: &str) -> String {
    match jobs {
        [job] => {
            let what = match job.kind {
                JobKind::Analyze => format!("the run of {name}"),
                _ => format!("“{}” on {name}", job.title),
            };
            let done = job.progress.fraction().map(|share| format!(", {:.0} % done", 100.0 * share));
            format!("Stop {what}{}?", done.unwrap_or_default())
        }
        _ => format!("Stop the work on {name}?"),
    }
}

/// How far below the upper edge boxes hang; little where letters are large and the window is small.
fn drop(ui: &Ui) -> f32 {
    (ui.ctx().content_rect().height() * 0.1).min(72.0)
}

/// Height of a list, at most `wanted`, so that its box ends inside the window with room for what is `below` the list.
fn left_of(ui: &Ui, wanted: f32, below: f32) -> f32 {
    (ui.ctx().content_rect().bottom() - ui.cursor().top() - below).clamp(80.0, wanted)
}

fn shortcuts(ui: &mut Ui, cx: Cx<'_>, fresh: bool) {
    heading(ui, cx.theme, "Keyboard shortcuts");
    let height = left_of(ui, 420.0, 64.0);
    read_list(ui, ScrollArea::vertical(), height, fresh, |ui| {
        // Both columns fill the box.
        let least = ((ui.available_width() - 24.0) / 2.0).max(0.0);
        let grid = egui::Grid::new("shortcuts").num_columns(2).striped(true).spacing([24.0, 4.0]);
        grid.min_col_width(least).show(ui, |ui| {
            for command in Command::all() {
                let spec = command.spec();
                if spec.keys.is_empty() {
                    continue;
                }
                ui.label(spec.text);
                let keys: Vec<_> = spec.keys.iter().map(|k| caps(ui.ctx(), k)).collect();
                ui.label(keys.join("  or  "));
                ui.end_row();
            }
            for (what, keys) in [
                ("Move over the heads", "Arrow keys"),
                ("Select a range of heads", "Shift + arrow keys"),
                ("Move the vote threshold", "Up, Down"),
                ("Move to the next control", "Tab"),
            ] {
                ui.label(what);
                ui.label(keys);
                ui.end_row();
            }
        });
    });
    let close = close(ui, cx, "Close");
    if fresh {
        close.request_focus();
    }
}

fn about(ui: &mut Ui, cx: Cx<'_>, fresh: bool) {
    heading(ui, cx.theme, &format!("Pillars {}", env!("CARGO_PKG_VERSION")));
    ui.label(env!("CARGO_PKG_DESCRIPTION"));
    note(ui, cx.theme, format!("License: {}", env!("CARGO_PKG_LICENSE")));
    note(
        ui,
        cx.theme,
        "Method: Ni, Mao, Yang, Lei, Cambria, Finding the Pillars of Strength for Multi-Head Attention, ACL 2023",
    );
    note(ui, cx.theme, format!("Settings and the autosaved workspace: {}", cx.state.store.folder().display()));
    ui.add_space(6.0);
    let close = close(ui, cx, "Close");
    if fresh {
        close.request_focus();
    }
}
