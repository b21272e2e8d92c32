//! What the plan saves: every measure before and after.

use eframe::egui::{Grid, Rect, RichText, Sense, Ui, pos2, vec2};

use super::super::super::app::Cx;
use super::super::super::widgets::{heading, note};
use crate::figure::Unit;
use crate::figure::views::CostRow;
use crate::words::counted;
use crate::workspace::{Opened, Outlook};

/// One measure with what it means.
pub struct Row {
    /// The measure.
    pub row: CostRow,
    /// What it means.
    pub meaning: String,
}

/// The measures of a plan.
pub fn rows(model: &Opened, outlook: &Outlook) -> Vec<Row> {
    let (before, after) = (outlook.before(), outlook.after());
    let mut rows = Vec::new();
    let mut add = |name: &str, unit, before: u64, after: u64, meaning: &str| {
        let row = CostRow::new(name, unit, before as f64, after as f64);
        rows.push(Row { row, meaning: meaning.to_owned() });
    };
    add("Heads", Unit::Count, before.heads, after.heads, "Query heads; layers that share weights count once");
    add("Parameters", Unit::Count, before.parameters, after.parameters, "Every number of the model");
    add(
        "without embeddings",
        Unit::Count,
        before.parameters_without_embeddings,
        after.parameters_without_embeddings,
        "As the paper counts",
    );
    add("in attention", Unit::Count, before.attention_parameters, after.attention_parameters, "The four projections");
    add(
        "FLOPs per token",
        Unit::Count,
        before.flops_per_token,
        after.flops_per_token,
        &format!("One forward pass over {}; a multiply-add counts once", counted(before.length, "tokens")),
    );
    let width = model.facts.stored_width;
    if before.cache_per_token > 0 {
        let meaning = "Keys and values that every generated token leaves behind; only whole key/value heads save any";
        add(
            "KV cache per token",
            Unit::Bytes,
            before.cache_bytes_per_token(width),
            after.cache_bytes_per_token(width),
            meaning,
        );
    }
    let (from, to) = outlook.bytes(width);
    add("Bytes on disk", Unit::Bytes, from, to, &format!("As {}, like the source", model.facts.dtype));
    rows
}

/// Draws the table.
pub fn ui(ui: &mut Ui, cx: Cx<'_>) {
    heading(ui, cx.theme, "What it saves");
    let (Some(model), Some(Ok(outlook))) = (&cx.state.model, &cx.state.outlook) else {
        note(ui, cx.theme, "The plan cannot be carried out as it is; the left says why");
        return;
    };
    let theme = cx.theme;
    let bar_width = (ui.available_width() - 330.0).clamp(40.0, 220.0);
    Grid::new("cost").num_columns(5).spacing([14.0, 4.0]).show(ui, |ui| {
        for title in ["", "before", "after", "change", ""] {
            ui.label(RichText::new(title).small().color(theme.muted));
        }
        ui.end_row();
        for Row { row, meaning } in rows(model, outlook) {
            let part = row.name.starts_with(char::is_lowercase);
            let name = if part { format!("   {}", row.name) } else { row.name.clone() };
            ui.label(RichText::new(name).color(theme.muted)).on_hover_text(meaning);
            ui.label(row.unit.format(row.before));
            ui.label(RichText::new(row.unit.format(row.after)).strong());
            let same = row.before == row.after;
            let change = if same { "0 %".to_owned() } else { Unit::change(row.before, row.after).unwrap_or_default() };
            ui.label(RichText::new(change).color(if same { theme.muted } else { theme.good }));
            bar(ui, cx, row.after / row.before.max(1.0), bar_width);
            ui.end_row();
        }
    });
    let share = Unit::Share.format(outlook.before().attention_share());
    let most = Unit::Share.format(outlook.most());
    let text = format!(
        "Attention holds {share} of the parameters: no plan that leaves every layer a head removes more than {most}"
    );
    note(ui, theme, text);
}

/// What is left, as a share of the whole.
fn bar(ui: &mut Ui, cx: Cx<'_>, share: f64, width: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, 10.0), Sense::hover());
    ui.painter().rect_filled(rect, 2.0, cx.theme.button);
    let left = Rect::from_min_max(rect.min, pos2(rect.left() + width * share.clamp(0.0, 1.0) as f32, rect.bottom()));
    ui.painter().rect_filled(left, 2.0, cx.theme.accent);
}
