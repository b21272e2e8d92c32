//! The panels at the sides: the model and its run at the left, what is selected at the right, or below the model where the window
//! is narrow.

use eframe::egui::style::ScrollAnimation;
use eframe::egui::{Align, Button, Frame, Margin, Panel, ScrollArea, Ui};

use super::{inspector, model, run};
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::held;

/// Width of a panel at first, and between which a person can drag it.
const USUAL: f32 = 250.0;
const LEAST: f32 = 200.0;
const MOST: f32 = 420.0;

/// The parts of the panel at the left of a narrow window.
const MODEL: &str = "Model and run";
const SELECTION: &str = "Selection and notes";

/// What stands in the panels at the sides, and where it is scrolled to.
#[derive(Default)]
pub(super) struct Side {
    /// The part that was asked for, until it was scrolled to.
    asked: Option<&'static str>,
    /// Whether most of what is in sight is the lower part.
    is_below: bool,
}

/// What is around the contents of a panel.
pub(super) fn frame(theme: &WindowTheme) -> Frame {
    Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(10, 6))
}

/// What is scrolled where it is higher than its panel.
pub(super) fn scrolled(ui: &mut Ui, id: &str, add: impl FnOnce(&mut Ui)) {
    ScrollArea::vertical().id_salt(id).auto_shrink(false).show(ui, add);
}

impl Side {
    /// Draws the panels that are not hidden.
    pub(super) fn show(&mut self, ui: &mut Ui, cx: Cx<'_>, has_two_sides: bool) {
        let (shows_model, shows_selection) = (cx.state.settings.show_model, cx.state.settings.show_inspector);
        let shows_below = shows_selection && !has_two_sides;
        let sized = |panel: Panel| panel.frame(frame(cx.theme)).default_size(USUAL).min_size(LEAST).max_size(MOST);
        if shows_model || shows_below {
            sized(Panel::left("model")).show(ui, |ui| {
                held(ui, |ui| {
                    let foot = Frame::new().inner_margin(Margin::symmetric(0, 6));
                    Panel::bottom("run").frame(foot).show_separator_line(false).show(ui, |ui| run::progress(ui, cx));
                    if shows_model && shows_below {
                        self.parts(ui);
                    }
                    scrolled(ui, "model scroll", |ui| {
                        if shows_model {
                            self.reach(ui, MODEL);
                            model::show(ui, cx);
                            run::show(ui, cx);
                        }
                        if shows_below {
                            self.reach(ui, SELECTION);
                            inspector::show(ui, cx);
                        }
                    });
                });
            });
        }
        if shows_selection && has_two_sides {
            sized(Panel::right("inspector"))
                .show(ui, |ui| held(ui, |ui| scrolled(ui, "inspector scroll", |ui| inspector::show(ui, cx))));
        }
    }

    /// In a narrow window the lower part lies out of sight: a line says that it is there, and leads to it.
    fn parts(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            for (part, is_seen) in [(MODEL, !self.is_below), (SELECTION, self.is_below)] {
                let button = ui.add(Button::selectable(is_seen, part).frame_when_inactive(true).small());
                if button.on_hover_text("Scroll to this part of the panel").clicked() {
                    self.asked = Some(part);
                }
            }
        });
    }

    /// Scrolls to here where `part`, which begins here, was asked for.
    fn reach(&mut self, ui: &Ui, part: &'static str) {
        if part == SELECTION {
            let is_below = ui.cursor().top() < ui.clip_rect().center().y;
            if std::mem::replace(&mut self.is_below, is_below) != is_below {
                ui.ctx().request_repaint();
            }
        }
        if self.asked.take_if(|asked| *asked == part).is_some() {
            ui.scroll_to_cursor_animation(Some(Align::TOP), ScrollAnimation::none());
        }
    }
}
