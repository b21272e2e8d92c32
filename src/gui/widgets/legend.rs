//! Keys to colors and shapes.

use std::collections::HashSet;

use eframe::egui::{
    self, Color32, Painter, Pos2, Rect, RichText, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, vec2,
};

use super::facts::explained;
use crate::chart::palette::Marker;
use crate::chart::plot::{BAND_OPACITY, Entry, LegendSymbol, Mark};
use crate::gui::theme::{WindowTheme, color};

/// What stands before the words of a legend, as it looks in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Swatch {
    Fill(Color32),
    /// A head that stays.
    Kept(Color32),
    /// A head that goes.
    Pruned(Color32),
    /// A head that a person fixed.
    Pinned(Color32),
    /// A color too faint to be seen without an outline.
    Outlined(Color32),
    /// A point that is not filled.
    Hollow(Color32),
    /// Cells that belong together.
    Plate,
}

impl From<Color32> for Swatch {
    fn from(fill: Color32) -> Self {
        Self::Fill(fill)
    }
}

/// A mark with its meaning; mark and words stay together where the line is broken.
pub(crate) fn swatch(ui: &mut Ui, theme: &WindowTheme, mark: impl Into<Swatch>, text: &str) {
    let size = 12.0;
    let words = RichText::new(text).small().color(theme.muted);
    let galley = egui::WidgetText::from(words).into_galley(
        ui,
        Some(egui::TextWrapMode::Extend),
        f32::INFINITY,
        egui::TextStyle::Small,
    );
    let gap = if text.is_empty() { 0.0 } else { 5.0 };
    let after = if text.is_empty() { 0.0 } else { 8.0 };
    let whole = vec2(size + gap + galley.size().x + after, galley.size().y.max(size));
    let (outer, response) = ui.allocate_exact_size(whole, Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
    let rect = Rect::from_center_size(outer.left_center() + vec2(size / 2.0, 0.0), vec2(size, size));
    let painter = ui.painter();
    match mark.into() {
        Swatch::Fill(fill) | Swatch::Kept(fill) => {
            painter.rect_filled(rect, 3.0, fill);
        }
        Swatch::Pruned(fill) => {
            painter.rect_stroke(rect, 3.0, Stroke::new(1.0, theme.border), StrokeKind::Inside);
            painter.rect_filled(rect.shrink(3.5), 1.0, fill);
        }
        Swatch::Pinned(fill) => {
            painter.rect_filled(rect, 3.0, fill);
            painter.circle_filled(rect.center(), 2.0, WindowTheme::ink_on(fill));
        }
        Swatch::Outlined(fill) => {
            painter.rect(rect, 3.0, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        }
        Swatch::Hollow(color) => {
            painter.circle_stroke(rect.center(), 5.0, Stroke::new(1.5, color));
        }
        Swatch::Plate => {
            painter.rect_filled(rect.expand2(vec2(2.0, 0.0)), 3.0, theme.plate);
            painter.rect_filled(Rect::from_min_size(rect.min + vec2(0.5, 3.5), vec2(5.0, 5.0)), 1.0, theme.pruned);
            painter.rect_filled(Rect::from_min_size(rect.min + vec2(6.5, 3.5), vec2(5.0, 5.0)), 1.0, theme.pruned);
        }
    }
    painter.galley(outer.left_center() + vec2(size + gap, -galley.size().y / 2.0), galley, theme.muted);
}

/// Groups named one by one before the rest is summed up.
const NAMED_GROUPS: usize = 8;

/// What the colors of `count` groups mean.
pub(crate) fn group_legend(ui: &mut Ui, theme: &WindowTheme, count: usize) {
    let named = if count <= NAMED_GROUPS + 1 { count } else { NAMED_GROUPS };
    for group in 0..named {
        swatch(ui, theme, theme.group(group), &format!("group {group}"));
    }
    if count > named {
        ui.label(RichText::new(format!("and {} more", count - named)).small().color(theme.muted));
    }
}

/// The legend of a plot: a click hides what it names, another one shows it again. True where something was clicked.
pub(super) fn entries_ui(ui: &mut Ui, theme: &WindowTheme, entries: &[Entry], hidden: &mut HashSet<String>) -> bool {
    let mut is_changed = false;
    if entries.is_empty() {
        return false;
    }
    ui.horizontal_wrapped(|ui| {
        for entry in entries {
            let is_on = !hidden.contains(&entry.name);
            let ink = if is_on { theme.ink } else { theme.muted };
            let galley = ui.painter().layout_no_wrap(entry.name.clone(), egui::FontId::proportional(11.0), ink);
            let (size, gap) = (18.0, 5.0);
            let whole = vec2(size + gap + galley.size().x + 6.0, galley.size().y.max(14.0));
            let (outer, response) = ui.allocate_exact_size(whole, Sense::click());
            if !is_on {
                let middle = outer.left_center().y;
                ui.painter().hline(outer.left() + size + gap..=outer.right() - 6.0, middle, Stroke::new(1.0, ink));
            } else if response.hovered() || response.has_focus() {
                ui.painter().rect_filled(outer.expand2(vec2(2.0, 1.0)), 3.0, theme.track);
            }
            let rect = Rect::from_center_size(outer.left_center() + vec2(size / 2.0, 0.0), vec2(size, 12.0));
            sample(ui.painter(), theme, entry.sample, rect, is_on);
            ui.painter().galley(outer.left_center() + vec2(size + gap, -galley.size().y / 2.0), galley, ink);
            response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), is_on, &entry.name));
            let response = explained(response.on_hover_cursor(egui::CursorIcon::PointingHand), &entry.name);
            if response.on_hover_text(if is_on { "Click to hide" } else { "Click to show" }).clicked() {
                is_changed = true;
                if is_on {
                    hidden.insert(entry.name.clone());
                } else {
                    hidden.remove(&entry.name);
                }
            }
        }
    });
    is_changed
}

fn sample(painter: &Painter, theme: &WindowTheme, sample: LegendSymbol, rect: Rect, is_on: bool) {
    let faded = |ink: crate::chart::Ink| color(ink.color(theme.figure)).gamma_multiply(if is_on { 1.0 } else { 0.35 });
    let square = Rect::from_center_size(rect.center(), vec2(12.0, 12.0));
    match sample {
        LegendSymbol::Fill(ink) => _ = painter.rect_filled(square, 2.0, faded(ink)),
        LegendSymbol::Band(ink) => {
            _ = painter.rect_filled(square, 2.0, faded(ink).gamma_multiply(BAND_OPACITY as f32));
            painter.rect_stroke(square, 2.0, Stroke::new(1.0, faded(ink).gamma_multiply(0.5)), StrokeKind::Inside);
        }
        LegendSymbol::Series(ink, line, mark) => {
            if let Some(line) = line {
                let stroke = Stroke::new(line.width as f32, faded(ink));
                if line.is_dashed {
                    dashed(painter, rect.left_center(), rect.right_center(), stroke);
                } else {
                    painter.hline(rect.x_range(), rect.center().y, stroke);
                }
            }
            match mark {
                Some(Mark::Dot(marker)) => point(painter, marker, rect.center(), 4.0, faded(ink), Stroke::NONE),
                Some(Mark::Hollow(marker)) => {
                    point(painter, marker, rect.center(), 4.0, theme.canvas, Stroke::new(1.5, faded(ink)));
                }
                Some(Mark::Ring) => _ = painter.circle_stroke(rect.center(), 5.0, Stroke::new(1.5, faded(ink))),
                None => {}
            }
        }
    }
}

/// A mark of this shape.
fn point(painter: &Painter, marker: Marker, at: Pos2, radius: f32, fill: Color32, stroke: Stroke) {
    if marker == Marker::Circle {
        painter.circle(at, radius, fill, stroke);
        return;
    }
    let corners = crate::figure::scene::marker_corners(marker, f64::from(radius));
    let corners = corners.into_iter().map(|[x, y]| at + vec2(x as f32, y as f32)).collect();
    painter.add(Shape::convex_polygon(corners, fill, stroke));
}

fn dashed(painter: &Painter, from: Pos2, to: Pos2, stroke: Stroke) {
    painter.extend(Shape::dashed_line(&[from, to], stroke, 5.0, 4.0));
}
