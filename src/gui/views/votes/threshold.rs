//! The threshold of the vote: a line that can be dragged.

use eframe::egui::{
    self, Align2, CursorIcon, EventFilter, FontId, Id, Key, Modifiers, Rect, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::theme::Theme;
use super::super::super::widgets::PlotArea;
use crate::figure::Unit;
use crate::plan::{Amount, Method};
use crate::workspace::Proposal;

/// How far one press of an arrow key moves the threshold.
const STEP: f64 = 0.01;

/// The line that can be dragged, or moved with the arrow keys. Its name avoids that of `chance`.
pub(super) fn threshold_ui(ui: &Ui, cx: Cx<'_>, plot: &PlotArea, chance: Option<f64>, parent: Id) {
    let proposal = cx.state.draft.now().active().proposal.clone();
    let now = match &proposal {
        Some(Proposal { method: Method::Votes, amount: Amount::Threshold(t), .. }) => Some(*t),
        _ => None,
    };
    // Without a threshold the line waits at the bottom, where it keeps every head.
    let shown = now.unwrap_or(0.0);
    let y = plot.down(shown.clamp(plot.y.low, plot.y.high));
    let grip = Rect::from_x_y_ranges(plot.rect.left()..=plot.rect.right() + 14.0, y - 7.0..=y + 7.0);
    let response = ui.interact(grip, parent.with("threshold"), Sense::click_and_drag());
    let response = response.on_hover_cursor(CursorIcon::ResizeVertical);
    let is_active = response.dragged() || response.hovered() || response.has_focus();
    let free = chance.map(|c| plot.down(c));
    draw(ui, cx.theme, plot, y, now, is_active, free);
    let set = |value: f64| {
        let amount = Amount::Threshold(value.clamp(0.0, 1.0));
        let seed = proposal.as_ref().map_or(0, |p| p.seed);
        cx.send(Action::AdjustProposal(Proposal { method: Method::Votes, amount, seed }));
    };
    if let Some(at) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        set(plot.y_at(at.y));
    }
    if response.has_focus() {
        for (key, by) in [(Key::ArrowUp, STEP), (Key::ArrowDown, -STEP)] {
            if ui.input_mut(|i| i.consume_key(Modifiers::NONE, key)) {
                set(shown + by);
            }
        }
        let arrows = EventFilter { vertical_arrows: true, ..Default::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, arrows));
    }
    response.widget_info(|| WidgetInfo::slider(true, shown, "Vote threshold"));
}

/// The line with a handle, and beside it what it does.
fn draw(ui: &Ui, theme: &Theme, plot: &PlotArea, y: f32, now: Option<f64>, is_active: bool, avoid: Option<f32>) {
    let painter = ui.painter();
    let stroke = Stroke::new(if is_active { 2.5 } else { 1.5 }, theme.accent);
    painter.hline(plot.rect.left()..=plot.rect.right() + 2.0, y, stroke);
    let handle = Rect::from_center_size(pos2(plot.rect.right() + 7.0, y), vec2(10.0, 16.0));
    painter.rect(handle, 3.0, theme.accent, Stroke::new(1.0, theme.canvas), egui::StrokeKind::Outside);
    for line in [-2.0, 2.0] {
        painter.hline(handle.left() + 2.5..=handle.right() - 2.5, y + line, Stroke::new(1.0, theme.on_accent));
    }
    let text = match now {
        Some(threshold) => format!("keep from {}", Unit::Share.format(threshold)),
        None => "drag: threshold".to_owned(),
    };
    let galley = painter.layout_no_wrap(text, FontId::proportional(11.0), theme.accent);
    let mut middle = y;
    if let Some(other) = avoid.filter(|other| (other - y).abs() < 14.0) {
        middle = if y <= other { other - 14.0 } else { other + 14.0 };
    }
    let at = pos2(handle.right() + 5.0, middle - galley.size().y / 2.0);
    painter.galley(at, galley, theme.accent);
    if is_active {
        let at = pos2(plot.rect.left() - 6.0, y);
        let value = now.map_or_else(String::new, |t| Unit::Share.format(t));
        let galley = painter.layout_no_wrap(value, FontId::proportional(11.0), theme.accent);
        let ground = Align2::RIGHT_CENTER.anchor_size(at, galley.size()).expand2(vec2(3.0, 1.0));
        painter.rect_filled(ground, 2.0, theme.canvas);
        painter.galley(Align2::RIGHT_CENTER.anchor_size(at, galley.size()).min, galley, theme.accent);
    }
}
