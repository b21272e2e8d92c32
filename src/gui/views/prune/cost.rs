//! What the plan saves: every measure before and after.

use eframe::egui::{Color32, Grid, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use crate::chart::{CostBars, CostRow};
use crate::gui::context::Cx;
use crate::gui::state::State;
use crate::gui::widgets::{headers, heading, note, show_bars};

/// What the plan being edited saves, where it can be carried out.
pub(super) fn bars(state: &State) -> Option<CostBars> {
    let (model, outlook) = (state.model.as_ref()?, state.outlook.as_ref()?.as_ref().ok()?);
    let subtitle = format!("{} · {}", model.facts.name, state.draft.now().active().title());
    let input = model.model.spec().last_stack().map(|stack| &stack.input);
    Some(CostBars::of(
        &outlook.saving,
        input,
        (model.facts.bytes, model.facts.read_bytes),
        model.facts.stored_width,
        subtitle,
    ))
}

/// What was counted last.
#[derive(Default)]
pub(super) struct CostTable {
    counted: Option<CostBars>,
}

impl CostTable {
    /// Draws it. While a worker counts what a plan of a large model saves, what was counted before stays, so that nothing
    /// flickers while a slider moves.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        heading(ui, cx.theme, "What it saves");
        if cx.state.outlook.is_some() {
            self.counted = bars(cx.state);
        }
        match (&self.counted, &cx.state.outlook) {
            (Some(bars), _) => table(ui, cx, bars),
            (None, None) => note(ui, cx.theme, "Counting what the plan saves"),
            (None, Some(_)) => note(ui, cx.theme, "The plan cannot be carried out as it is; the left says why"),
        }
    }
}

fn table(ui: &mut Ui, cx: Cx<'_>, bars: &CostBars) {
    let theme = cx.theme;
    // A table that is wider than its column would widen everything below it: bars take what its words leave.
    let left = ui.available_width() - words_width(ui, bars) - 4.0 * WIDE - 2.0;
    let bar_width = Some(left).filter(|width| *width >= 40.0).map(|width| width.min(220.0));
    let apart = if bar_width.is_some() { WIDE } else { 8.0 };
    ui.scope(|ui| {
        // Beside the rows, not over the last one.
        show_bars(ui);
        rows_ui(ui, cx, bars, apart, bar_width);
    });
    for text in &bars.caption.notes {
        note(ui, theme, text);
    }
}

/// Room between columns where there is a bar.
const WIDE: f32 = 14.0;

/// Width of the columns of words and numbers together.
fn words_width(ui: &Ui, bars: &CostBars) -> f32 {
    let font = TextStyle::Body.resolve(ui.style());
    let width = |text: String| ui.painter().layout_no_wrap(text, font.clone(), Color32::PLACEHOLDER).size().x;
    let widest = |text: &dyn Fn(&CostRow) -> String, title: &str| {
        bars.rows.iter().map(|row| width(text(row))).fold(width(title.to_owned()), f32::max)
    };
    widest(&|row| row.name.clone(), "")
        + widest(&|row| row.unit.format(row.before), "before")
        + widest(&|row| row.unit.format(row.after), "after")
        + widest(&|row| row.change(), "change")
}

fn rows_ui(ui: &mut Ui, cx: Cx<'_>, bars: &CostBars, apart: f32, bar_width: Option<f32>) {
    let theme = cx.theme;
    ScrollArea::horizontal().id_salt("cost").show(ui, |ui| {
        Grid::new("cost").spacing([apart, 4.0]).show(ui, |ui| {
            headers(ui, theme, ["", "before", "after", "change"]);
            for row in &bars.rows {
                ui.label(RichText::new(&row.name).color(theme.muted)).on_hover_text(&row.meaning);
                ui.label(row.unit.format(row.before)).on_hover_text(&row.meaning);
                ui.label(RichText::new(row.unit.format(row.after)).strong()).on_hover_text(&row.meaning);
                let color = match row.is_worse() {
                    true => theme.warning,
                    false if row.before == row.after || row.after.is_nan() => theme.muted,
                    false => theme.good,
                };
                let change = RichText::new(row.change()).color(color);
                ui.label(change).on_hover_text(&row.meaning);
                if let Some(width) = bar_width {
                    bar(ui, cx, row.ratio(), width);
                }
                ui.end_row();
            }
        });
    });
}

/// What is left, as a share of the whole.
fn bar(ui: &mut Ui, cx: Cx<'_>, share: f64, width: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, 10.0), Sense::hover());
    ui.painter().rect_filled(rect, 2.0, cx.theme.button);
    let left = Rect::from_min_max(
        rect.min,
        pos2(rect.left() + width * if share.is_finite() { share.clamp(0.0, 1.0) as f32 } else { 0.0 }, rect.bottom()),
    );
    ui.painter().rect_filled(left, 2.0, cx.theme.accent);
}
