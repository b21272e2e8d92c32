//! On the right: what is selected.

use eframe::egui::Ui;

use super::super::app::Cx;
use super::super::command::Command;
use super::super::widgets::{command_button, fact, facts, heading, note};

/// The selected head, or how to select one.
pub fn show(ui: &mut Ui, cx: Cx<'_>) {
    let (state, theme) = (cx.state, cx.theme);
    let Some(model) = &state.model else { return };
    heading(ui, theme, "Selection");
    let Some(head) = state.selection.cursor else {
        note(ui, theme, "Click a head, drag over several, or walk with the arrow keys");
        return;
    };
    let many = state.selection.heads.len();
    let plan = state.draft.now().active();
    facts(ui, "selection facts", |ui| {
        fact(ui, theme, "Layer", head.site.to_string());
        fact(ui, theme, "Head", head.head.to_string());
        let pinned = if plan.pin(head).is_some() { ", pinned" } else { "" };
        fact(ui, theme, "State", format!("{}{pinned}", if plan.is_kept(head) { "kept" } else { "pruned" }));
        if let Some(site) = model.facts.shape.get(head.site).filter(|s| s.kv_heads != s.heads) {
            let per = site.queries_per_kv();
            let first = head.head / per * per;
            fact(ui, theme, "Key/value", format!("head {}, shared by {first} to {}", head.head / per, first + per - 1));
        }
    });
    if many > 1 {
        note(ui, theme, format!("{many} heads are selected; the buttons act on all"));
    }
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::KeepHeads, "Keep");
        command_button(ui, cx, Command::PruneHeads, "Prune");
        command_button(ui, cx, Command::PinHeads, "Pin");
        command_button(ui, cx, Command::UnpinHeads, "Unpin");
    });
}
