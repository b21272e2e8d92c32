//! What the pointer and the keys do to the heads.

use eframe::egui::{EventFilter, Key, Modifiers, RichText, Ui};

use super::{Click, Drawn, OverviewView, words};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::widgets::{Pointed, command_item};
use crate::network::Head;

impl OverviewView {
    /// Turns clicks, drags and keys into wishes.
    pub(super) fn react(&mut self, ui: &Ui, cx: Cx<'_>, drawn: Option<&Drawn>, pointed: &Pointed) {
        let response = &pointed.response;
        let modifiers = ui.input(|i| i.modifiers);
        if let Some(site) = pointed.row {
            cx.send(Action::ShowSite(site));
        }
        if response.clicked() || response.drag_started() {
            response.request_focus();
        }
        if let Some(head) = pointed.asked {
            self.click_on(cx, head);
        }
        if let Some(head) = pointed.head {
            if response.clicked() {
                match (modifiers.shift, modifiers.command) {
                    (true, _) => cx.send(Action::SelectTo(head)),
                    (_, true) => cx.send(Action::SelectAlso(head)),
                    _ => self.click_on(cx, head),
                }
            }
            if response.secondary_clicked() && !cx.state.selection.heads.contains(&head) {
                cx.send(Action::Select(head));
            }
            if response.drag_started() {
                // A drag is known to be one only after the pointer has moved on.
                let from = pointed.pressed.unwrap_or(head);
                self.drag_from = Some(from);
                cx.send(Action::Select(from));
            } else if response.dragged() && self.drag_from.is_some() && cx.state.selection.cursor != Some(head) {
                cx.send(Action::SelectTo(head));
            }
            let state = if cx.state.is_kept(head) { "kept" } else { "pruned" };
            let words = words(cx, drawn, head);
            response.clone().on_hover_ui_at_pointer(|ui| {
                ui.label(RichText::new(format!("{head}, {state}")).strong());
                if !words.is_empty() {
                    ui.label(words);
                }
            });
        }
        if response.drag_stopped() {
            self.drag_from = None;
        }
        response.context_menu(|ui| {
            let commands = [Command::KeepHeads, Command::PruneHeads, Command::FlipHeads, Command::PinHeads];
            for command in commands.into_iter().chain([Command::UnpinHeads, Command::SelectSite]) {
                if command_item(ui, cx, command).clicked() {
                    ui.close();
                }
            }
        });
        if response.has_focus() {
            walk(ui, cx, response.id);
        }
    }

    /// What a plain click on a head does.
    fn click_on(&self, cx: Cx<'_>, head: Head) {
        cx.send(Action::Select(head));
        if self.click == Click::Flip {
            cx.send(Action::SetKept(vec![head], !cx.state.is_kept(head)));
        }
    }
}

/// Arrow keys move the cursor; with Shift they select a range.
fn walk(ui: &Ui, cx: Cx<'_>, id: eframe::egui::Id) {
    // Else egui would move the focus to the next control, and drop it at Escape, which clears the selection and no more.
    let own = EventFilter { horizontal_arrows: true, vertical_arrows: true, escape: true, ..Default::default() };
    ui.memory_mut(|m| m.set_focus_lock_filter(id, own));
    for (key, rows, columns) in
        [(Key::ArrowUp, -1, 0), (Key::ArrowDown, 1, 0), (Key::ArrowLeft, 0, -1), (Key::ArrowRight, 0, 1)]
    {
        for (held, extend) in [(Modifiers::SHIFT, true), (Modifiers::NONE, false)] {
            if ui.input_mut(|i| i.consume_key(held, key)) {
                cx.send(Action::Step(rows, columns, extend));
            }
        }
    }
}
