//! How well each head belongs to its group.

use eframe::egui::{Align2, FontId, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::widgets::{dashed, note};
use crate::figure::Unit;
use crate::figure::axis::Axis;
use crate::network::{Head, Site};

/// Tallest row.
const TALLEST: f32 = 26.0;

/// A bar per head, groups together, best first; the dashed line is their mean. A click selects a group.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, site: Site, labels: &[usize], values: Option<&[f64]>, size: Vec2) {
    let Some(values) = values else {
        note(ui, cx.theme, "One group has no silhouettes");
        return;
    };
    let size = vec2(size.x, size.y.min(values.len() as f32 * TALLEST + 20.0));
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter_at(outer);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| labels.get(*a).cmp(&labels.get(*b)).then(values[*b].total_cmp(&values[*a])));
    let low = values.iter().copied().fold(0.0, f64::min).max(-1.0);
    let axis = Axis::exact("", Unit::Plain, (if low < 0.0 { -1.0 } else { 0.0 }, 1.0), 4);
    let left = outer.left() + 26.0;
    let rect = Rect::from_min_max(pos2(left, outer.top()), outer.max - vec2(10.0, 16.0));
    let across = |v: f64| rect.left() + rect.width() * axis.position(v) as f32;
    for (tick, text) in axis.ticks.iter().zip(axis.tick_labels()) {
        painter.vline(across(*tick), rect.y_range(), Stroke::new(1.0, cx.theme.grid));
        let at = pos2(across(*tick), rect.bottom() + 3.0);
        painter.text(at, Align2::CENTER_TOP, text, FontId::proportional(10.0), cx.theme.muted);
    }
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let x = across(mean);
    dashed(&painter, pos2(x, rect.top()), pos2(x, rect.bottom()), Stroke::new(1.0, cx.theme.muted));
    let row = rect.height() / order.len().max(1) as f32;
    for (place, head) in order.iter().enumerate() {
        let y = rect.top() + place as f32 * row;
        let (zero, end) = (across(0.0), across(values[*head]));
        let bar = Rect::from_x_y_ranges(zero.min(end)..=zero.max(end), y + row * 0.12..=y + row * 0.88);
        let group = labels.get(*head).copied().unwrap_or(0);
        painter.rect_filled(bar, if row > 8.0 { 2.0 } else { 0.0 }, cx.theme.group(group));
        let is_alone = labels.iter().filter(|g| **g == group).count() == 1;
        if row >= 10.0 && is_alone {
            let at = pos2(zero + 6.0, y + row / 2.0);
            painter.text(at, Align2::LEFT_CENTER, "alone in its group: 0", FontId::proportional(10.0), cx.theme.muted);
        } else if row >= 14.0 {
            let at = pos2(zero.max(end) + 5.0, y + row / 2.0);
            let text = Unit::Plain.format(values[*head]);
            painter.text(at, Align2::LEFT_CENTER, text, FontId::proportional(10.0), cx.theme.muted);
        }
        if row >= 10.0 {
            let at = pos2(rect.left() - 6.0, y + row / 2.0);
            painter.text(at, Align2::RIGHT_CENTER, head, FontId::proportional(10.0), cx.theme.ink);
        }
        if cx.state.selection.heads.contains(&Head::new(site, *head)) {
            painter.rect_stroke(bar.expand(1.0), 0.0, Stroke::new(1.5, cx.theme.ink), StrokeKind::Outside);
        }
    }
    let head_at = |at: Pos2| order.get(((at.y - rect.top()) / row).floor().max(0.0) as usize).copied();
    if let Some(head) = response.hover_pos().and_then(head_at) {
        if response.clicked() {
            cx.send(Action::SelectGroup(labels.get(head).copied()));
        }
        let value = Unit::Plain.format(values[head]);
        response.clone().on_hover_text_at_pointer(format!("head {head}: silhouette {value}. Click selects its group"));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Silhouettes of {site}")));
}
