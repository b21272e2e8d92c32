//! Where the heads of a layer lie in the plane that keeps their distances best.

use eframe::egui::{
    self, Align2, Color32, FontId, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, vec2,
};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::theme::{Theme, color};
use crate::figure::{GroupStyle, Marker, Unit};
use crate::network::{Head, Site};

/// Heads beyond this many are drawn small and without numbers.
const NUMBERED: usize = 48;

/// The map; a click selects a head.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, site: Site, points: &[[f64; 2]], labels: &[usize], size: Vec2) {
    let theme = cx.theme;
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter_at(outer);
    painter.rect_stroke(outer, 4.0, Stroke::new(1.0, theme.border), egui::StrokeKind::Inside);
    let extent = |axis: usize| {
        let values = points.iter().map(|p| p[axis]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((x0, x1), (y0, y1)) = (extent(0), extent(1));
    // One scale for both axes, else distances would mean nothing.
    let inner = outer.shrink(26.0);
    let scale = (f64::from(inner.width()) / (x1 - x0).max(1e-12)).min(f64::from(inner.height()) / (y1 - y0).max(1e-12));
    let scale = if scale.is_finite() && scale < 1e11 { scale } else { 0.0 };
    let place = |p: &[f64; 2]| {
        let dx = ((p[0] - (x0 + x1) / 2.0) * scale) as f32;
        let dy = ((p[1] - (y0 + y1) / 2.0) * scale) as f32;
        inner.center() + vec2(dx, -dy)
    };
    let places: Vec<Pos2> = points.iter().map(place).collect();
    let nearest = response.hover_pos().and_then(|at| {
        let distance = |p: &Pos2| p.distance(at);
        let best = places.iter().enumerate().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))?;
        (distance(best.1) < 16.0).then_some(best.0)
    });
    let radius = if places.len() > NUMBERED { 4.0 } else { 7.0 };
    spokes(&painter, theme, &places, labels);
    for (head, at) in places.iter().enumerate() {
        let group = labels.get(head).copied().unwrap_or(0);
        let reference = Head::new(site, head);
        let kept = cx.state.is_kept(reference);
        point(&painter, theme, *at, radius, group, kept);
        if cx.state.selection.heads.contains(&reference) || nearest == Some(head) {
            painter.circle_stroke(*at, radius + 4.0, Stroke::new(2.0, theme.ink));
        }
    }
    if places.len() <= NUMBERED {
        numbers(&painter, theme, &places, radius);
    }
    if let Some(head) = nearest {
        if response.clicked() {
            cx.send(Action::Select(Head::new(site, head)));
        }
        let group = labels.get(head).copied().unwrap_or(0);
        let state = if cx.state.is_kept(Head::new(site, head)) { "kept" } else { "pruned" };
        let [x, y] = points.get(head).copied().unwrap_or_default().map(|v| Unit::Plain.format(v));
        response.clone().on_hover_text_at_pointer(format!("head {head}, group {group}, {state}; at {x}, {y}"));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Map of the heads of {site}")));
}

/// The number of every head beside its point, on the first side that is free; without one where none is.
fn numbers(painter: &Painter, theme: &Theme, places: &[Pos2], radius: f32) {
    let mut taken: Vec<Rect> = places.iter().map(|at| Rect::from_center_size(*at, Vec2::splat(2.0 * radius))).collect();
    let inner = painter.clip_rect().shrink(2.0);
    for (head, at) in places.iter().enumerate() {
        let galley = painter.layout_no_wrap(head.to_string(), FontId::proportional(11.0), theme.ink);
        let gap = radius + 5.0;
        let sides = [
            Align2::LEFT_CENTER.anchor_size(*at + vec2(gap, 0.0), galley.size()),
            Align2::RIGHT_CENTER.anchor_size(*at - vec2(gap, 0.0), galley.size()),
            Align2::CENTER_BOTTOM.anchor_size(*at - vec2(0.0, gap - 2.0), galley.size()),
            Align2::CENTER_TOP.anchor_size(*at + vec2(0.0, gap - 2.0), galley.size()),
        ];
        let is_free =
            |rect: &&Rect| inner.contains_rect(**rect) && !taken.iter().any(|t| t.intersects(rect.shrink(1.0)));
        if let Some(rect) = sides.iter().find(is_free).copied() {
            taken.push(rect);
            painter.galley(rect.min, galley, theme.ink);
        }
    }
}

/// A faint line from every head to the mean of its group, with a cross at the mean.
fn spokes(painter: &Painter, theme: &Theme, places: &[Pos2], labels: &[usize]) {
    let count = labels.iter().max().map_or(0, |g| g + 1);
    for group in 0..count {
        let of_group = || places.iter().zip(labels).filter(|(_, g)| **g == group).map(|(at, _)| *at);
        let members = of_group().count();
        if members < 2 {
            continue;
        }
        let mean = (of_group().fold(Vec2::ZERO, |sum, at| sum + at.to_vec2()) / members as f32).to_pos2();
        let stroke = Stroke::new(1.0, theme.group(group).gamma_multiply(0.45));
        of_group().for_each(|at| {
            painter.line_segment([mean, at], stroke);
        });
        let strong = Stroke::new(1.5, theme.group(group));
        painter.line_segment([mean - vec2(3.5, 0.0), mean + vec2(3.5, 0.0)], strong);
        painter.line_segment([mean - vec2(0.0, 3.5), mean + vec2(0.0, 3.5)], strong);
    }
}

/// A head of a group; pruned heads are hollow.
fn point(painter: &Painter, theme: &Theme, at: Pos2, radius: f32, group: usize, kept: bool) {
    let style = GroupStyle::of(theme.figure, group);
    let tint = color(style.color);
    let fill: Color32 = if kept { tint } else { theme.canvas };
    let stroke = Stroke::new(1.8, tint);
    let corners = |all: &[(f32, f32)]| all.iter().map(|(x, y)| at + vec2(x * radius, y * radius)).collect::<Vec<_>>();
    match style.marker {
        Marker::Circle => {
            painter.circle(at, radius, fill, stroke);
        }
        Marker::Square => {
            painter.add(Shape::convex_polygon(
                corners(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
                fill,
                stroke,
            ));
        }
        Marker::Triangle => {
            painter.add(Shape::convex_polygon(corners(&[(0.0, -1.1), (1.05, 0.8), (-1.05, 0.8)]), fill, stroke));
        }
        Marker::Diamond => {
            painter.add(Shape::convex_polygon(
                corners(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
                fill,
                stroke,
            ));
        }
        Marker::Wedge => {
            painter.add(Shape::convex_polygon(corners(&[(-1.05, -0.8), (1.05, -0.8), (0.0, 1.1)]), fill, stroke));
        }
    }
}
