//! Every head of the model as a cell.

use eframe::egui::{EventFilter, Key, Modifiers, RichText, ScrollArea, Ui};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::widgets::{Cell, HeadGrid, swatch};
use crate::workspace::HeadRef;

/// What the overview remembers.
#[derive(Default)]
pub struct Overview {
    /// Where a drag over heads began.
    drag_from: Option<HeadRef>,
}

impl Overview {
    /// Draws the overview.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (state, theme) = (cx.state, cx.theme);
        let Some(model) = &state.model else { return };
        ui.horizontal_wrapped(|ui| {
            swatch(ui, theme, Some(theme.accent), "kept");
            swatch(ui, theme, None, "pruned");
            ui.label(RichText::new("Click keeps or prunes, drag selects").small().color(theme.muted));
        });
        ui.add_space(4.0);
        let plan = state.draft.now().active();
        ScrollArea::both().auto_shrink(false).show(ui, |ui| {
            let grid = HeadGrid {
                shape: &model.facts.shape,
                order: None,
                cursor: state.selection.cursor,
                site: state.selection.site,
            };
            let cell = |head: HeadRef| Cell {
                fill: theme.accent,
                kept: plan.is_kept(head),
                pinned: plan.pin(head).is_some(),
                selected: state.selection.heads.contains(&head),
            };
            let pointed = grid.show(ui, theme, cell, |_| String::new());
            self.react(ui, cx, &pointed);
        });
    }

    fn react(&mut self, ui: &Ui, cx: Cx<'_>, pointed: &super::super::widgets::Pointed) {
        let response = &pointed.response;
        let modifiers = ui.input(|i| i.modifiers);
        if let Some(site) = pointed.row {
            cx.send(Action::ShowSite(site));
        }
        if response.clicked() || response.drag_started() {
            response.request_focus();
        }
        if let Some(head) = pointed.head {
            if response.clicked() {
                if modifiers.shift {
                    cx.send(Action::SelectTo(head));
                } else if modifiers.command {
                    cx.send(Action::SelectAlso(head));
                } else {
                    cx.send(Action::Select(head));
                    cx.send(Action::SetKept(vec![head], !cx.state.is_kept(head)));
                }
            }
            if response.drag_started() {
                self.drag_from = Some(head);
                cx.send(Action::Select(head));
            } else if response.dragged() && self.drag_from.is_some() && cx.state.selection.cursor != Some(head) {
                cx.send(Action::SelectTo(head));
            }
        }
        if response.drag_stopped() {
            self.drag_from = None;
        }
        if response.has_focus() {
            // Else egui would move the focus to the next control.
            let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
            ui.memory_mut(|m| m.set_focus_lock_filter(response.id, arrows));
            let steps =
                [(Key::ArrowUp, -1, 0), (Key::ArrowDown, 1, 0), (Key::ArrowLeft, 0, -1), (Key::ArrowRight, 0, 1)];
            for (key, rows, columns) in steps {
                for (held, extend) in [(Modifiers::SHIFT, true), (Modifiers::NONE, false)] {
                    if ui.input_mut(|i| i.consume_key(held, key)) {
                        cx.send(Action::Step(rows, columns, extend));
                    }
                }
            }
        }
    }
}
