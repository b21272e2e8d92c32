//! Keys to colours and shapes.

use eframe::egui::{Color32, Rect, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use super::super::theme::Theme;

/// What stands before the words of a legend, as it looks in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A colour.
    Fill(Color32),
    /// A head that stays.
    Kept(Color32),
    /// A head that goes.
    Pruned(Color32),
    /// A head that a person fixed.
    Pinned(Color32),
    /// A colour too faint to be seen without an outline.
    Outlined(Color32),
    /// A point that is not filled.
    Hollow(Color32),
    /// Cells that belong together.
    Plate,
    /// A line.
    Line(Color32),
    /// A dashed line.
    Dashed(Color32),
}

impl From<Color32> for Mark {
    fn from(fill: Color32) -> Self {
        Self::Fill(fill)
    }
}

/// A mark with its meaning; mark and words stay together where the line is broken.
pub fn swatch(ui: &mut Ui, theme: &Theme, mark: impl Into<Mark>, text: &str) {
    let size = 12.0;
    let words = RichText::new(text).small().color(theme.muted);
    let galley = eframe::egui::WidgetText::from(words).into_galley(
        ui,
        Some(eframe::egui::TextWrapMode::Extend),
        f32::INFINITY,
        eframe::egui::TextStyle::Small,
    );
    let gap = if text.is_empty() { 0.0 } else { 5.0 };
    let after = if text.is_empty() { 0.0 } else { 8.0 };
    let whole = vec2(size + gap + galley.size().x + after, galley.size().y.max(size));
    let (outer, response) = ui.allocate_exact_size(whole, Sense::hover());
    response.widget_info(|| eframe::egui::WidgetInfo::labeled(eframe::egui::Role::Label, true, text));
    let rect = Rect::from_center_size(outer.left_center() + vec2(size / 2.0, 0.0), vec2(size, size));
    let painter = ui.painter();
    match mark.into() {
        Mark::Fill(fill) | Mark::Kept(fill) => {
            painter.rect_filled(rect, 3.0, fill);
        }
        Mark::Pruned(fill) => {
            painter.rect_stroke(rect, 3.0, Stroke::new(1.0, theme.border), StrokeKind::Inside);
            painter.rect_filled(rect.shrink(3.5), 1.0, fill);
        }
        Mark::Pinned(fill) => {
            painter.rect_filled(rect, 3.0, fill);
            painter.circle_filled(rect.center(), 2.0, Theme::ink_on(fill));
        }
        Mark::Outlined(fill) => {
            painter.rect(rect, 3.0, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        }
        Mark::Hollow(color) => {
            painter.circle_stroke(rect.center(), 5.0, Stroke::new(1.5, color));
        }
        Mark::Plate => {
            painter.rect_filled(rect.expand2(vec2(2.0, 0.0)), 3.0, theme.plate);
            painter.rect_filled(Rect::from_min_size(rect.min + vec2(0.5, 3.5), vec2(5.0, 5.0)), 1.0, theme.pruned);
            painter.rect_filled(Rect::from_min_size(rect.min + vec2(6.5, 3.5), vec2(5.0, 5.0)), 1.0, theme.pruned);
        }
        Mark::Line(color) => {
            painter.hline(rect.x_range(), rect.center().y, Stroke::new(2.0, color));
        }
        Mark::Dashed(color) => {
            super::dashed(painter, rect.left_center(), rect.right_center(), Stroke::new(1.5, color));
        }
    }
    painter.galley(outer.left_center() + vec2(size + gap, -galley.size().y / 2.0), galley, theme.muted);
}

/// Groups named one by one before the rest is summed up.
const NAMED_GROUPS: usize = 8;

/// What the colours of `count` groups mean.
pub fn group_legend(ui: &mut Ui, theme: &Theme, count: usize) {
    let named = if count <= NAMED_GROUPS + 1 { count } else { NAMED_GROUPS };
    for group in 0..named {
        swatch(ui, theme, theme.group(group), &format!("group {group}"));
    }
    if count > named {
        ui.label(RichText::new(format!("and {} more", count - named)).small().color(theme.muted));
    }
}
