//! On the left: the model.

use eframe::egui::Ui;

use super::super::app::Cx;
use super::super::widgets::{bytes, count, fact, facts, heading, note};

/// What the model is.
pub fn show(ui: &mut Ui, cx: Cx<'_>) {
    let Some(model) = &cx.state.model else { return };
    let (facts_of, theme) = (&model.facts, cx.theme);
    heading(ui, theme, "Model");
    facts(ui, "model facts", |ui| {
        fact(ui, theme, "Name", &facts_of.name).on_hover_text(facts_of.folder.display().to_string());
        fact(ui, theme, "Family", facts_of.family);
        fact(ui, theme, "Attention", format!("{} layers", facts_of.shape.sites().len()));
        fact(ui, theme, "Heads", facts_of.heads().to_string());
        if facts_of.is_grouped() {
            let kv: usize = facts_of.shape.sites().iter().map(|s| s.kv_heads).sum();
            fact(ui, theme, "Key/value", format!("{kv} heads"));
        }
        fact(ui, theme, "Head width", widths(&facts_of.head_dims));
        fact(ui, theme, "Width", facts_of.width.to_string());
        fact(ui, theme, "Parameters", count(facts_of.parameters));
        fact(ui, theme, "On disk", format!("{} {}", bytes(facts_of.bytes), facts_of.dtype));
    });
    if facts_of.is_pruned {
        note(ui, theme, "Some heads of this checkpoint were removed before");
    }
    if facts_of.unused > 0 {
        note(ui, theme, format!("{} stored tensors are not read by the network", facts_of.unused));
    }
}

fn widths(dims: &[usize]) -> String {
    let (low, high) = (dims.iter().min().copied().unwrap_or(0), dims.iter().max().copied().unwrap_or(0));
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}
