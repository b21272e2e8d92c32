//! The threshold of the vote: a line that can be dragged.

use eframe::egui::{
    self, Align2, CursorIcon, EventFilter, FontId, Key, Modifiers, Rect, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use crate::chart::{Plot, Unit};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::Painted;
use crate::plan::{Amount, Method};
use crate::workspace::Proposal;

/// How far one press of an arrow key moves the threshold.
const STEP: f64 = 0.01;

/// The line that can be dragged, or moved with the arrow keys. Its name stands in the plot, where it decides.
pub(super) fn threshold_ui(ui: &Ui, cx: Cx<'_>, plot: &Plot, painted: &Painted) {
    let proposal = cx.state.draft.now().active().proposal.clone();
    let now = match &proposal {
        Some(Proposal { method: Method::Votes, amount: Amount::Threshold(t), .. }) => Some(*t),
        _ => None,
    };
    // Without a threshold the line waits at the bottom, where it keeps every head.
    let shown = now.unwrap_or(0.0);
    let rect = painted.rect();
    let y = painted.at([0.0, shown.clamp(plot.y.low, plot.y.high)]).y.clamp(rect.top(), rect.bottom());
    let grip = Rect::from_x_y_ranges(rect.x_range(), y - 7.0..=y + 7.0);
    let response = ui.interact(grip, painted.response.id.with("threshold"), Sense::click_and_drag());
    let response = response.on_hover_cursor(CursorIcon::ResizeVertical);
    let is_active = response.dragged() || response.hovered() || response.has_focus();
    draw(ui, cx.theme, rect, y, now, is_active);
    let set = |value: f64| {
        let amount = Amount::Threshold(value.clamp(0.0, 1.0));
        let seed = proposal.as_ref().map_or(0, |p| p.seed);
        cx.send(Action::AdjustProposal(Proposal {
            method: Method::Votes,
            seed,
            ..Proposal::first().of_amount(amount)
        }));
    };
    if let Some(at) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        set(painted.values_at(at)[1]);
    }
    if response.has_focus() {
        for (key, by) in [(Key::ArrowUp, STEP), (Key::ArrowDown, -STEP)] {
            if ui.input_mut(|i| i.consume_key(Modifiers::NONE, key)) {
                set(shown + by);
            }
        }
        let own = EventFilter { vertical_arrows: true, escape: true, ..Default::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, own));
    }
    response.widget_info(|| WidgetInfo::slider(true, shown, "Vote threshold"));
}

/// The line with a handle, and while it is held what it stands at.
fn draw(ui: &Ui, theme: &WindowTheme, rect: Rect, y: f32, now: Option<f64>, is_active: bool) {
    let painter = ui.painter();
    let stroke = Stroke::new(if is_active { 2.5 } else { 1.5 }, theme.accent);
    painter.hline(rect.x_range(), y, stroke);
    let handle = Rect::from_center_size(pos2(rect.right() - 8.0, y), vec2(10.0, 16.0));
    painter.rect(handle, 3.0, theme.accent, Stroke::new(1.0, theme.canvas), egui::StrokeKind::Outside);
    for line in [-2.0, 2.0] {
        painter.hline(handle.left() + 2.5..=handle.right() - 2.5, y + line, Stroke::new(1.0, theme.on_accent));
    }
    let text = match now {
        Some(threshold) if is_active => format!("keep from {}", Unit::Share.format(threshold)),
        None if is_active => "drag: threshold".to_owned(),
        _ => return,
    };
    let galley = painter.layout_no_wrap(text, FontId::proportional(11.0), theme.accent);
    let below = y < rect.top() + 20.0;
    let at = pos2(handle.left() - 6.0, if below { y + 3.0 } else { y - 3.0 });
    let anchor = if below { Align2::RIGHT_TOP } else { Align2::RIGHT_BOTTOM };
    let place = anchor.anchor_size(at, galley.size());
    painter.rect_filled(place.expand2(vec2(3.0, 1.0)), 2.0, theme.canvas);
    painter.galley(place.min, galley, theme.accent);
}
