//! The groups of a layer: where the heads lie, how well they belong, how many groups there should be.

use eframe::egui::{
    self, Align2, Color32, DragValue, FontId, Painter, Pos2, Rect, RichText, Sense, Shape, Stroke, Ui, WidgetInfo,
    pos2, vec2,
};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::state::State;
use super::super::theme::{Theme, color};
use super::super::widgets::{PlotArea, dashed, feature_picker, heading, needs_run, note, site_picker};
use super::{Draw, Picture};
use crate::analysis::{Distances, FeatureAnalysis, Points, SiteAnalysis, plane};
use crate::error::Result;
use crate::figure::axis::Axis;
use crate::figure::{self, GroupStyle, Marker, Unit};
use crate::network::{FeatureMap, Site};
use crate::workspace::{HeadRef, RunSettings};

/// What the groups view remembers.
#[derive(Default)]
pub struct Groups {
    cache: Option<Cached>,
}

struct Cached {
    key: (u64, Site, FeatureMap),
    points: Vec<[f64; 2]>,
    distances: Distances,
}

impl Groups {
    /// What draws its picture.
    pub fn picture(&self, state: &State, theme: &'static figure::Theme) -> Result<Draw> {
        let groups = state.regrouped.as_ref().filter(|((_, site, map, _), _)| {
            (state.site(), state.feature()) == (Some(*site), Some(*map)) && state.what_if.is_some()
        });
        let groups = groups.map(|(_, grouping)| grouping.labels.clone());
        Picture { groups, ..Picture::of_site() }.draw(state, theme, figure::View::Groups)
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (Some(site), Some(feature)) = (cx.state.site_results(), cx.state.feature_results()) else {
            needs_run(ui, cx, "Groups of heads");
            return;
        };
        self.refresh(cx, feature);
        let Some(cached) = &self.cache else { return };
        let key = cached.key;
        let what_if = cx.state.regrouped.as_ref().filter(|((r, s, m, _), _)| (*r, *s, *m) == key).map(|(_, g)| g);
        let labels = what_if.map_or(feature.groups.as_slice(), |g| g.labels.as_slice());
        let silhouettes = match what_if {
            Some(_) => cached.distances.silhouettes(labels),
            None => feature.silhouette.clone(),
        };
        ui.horizontal_wrapped(|ui| {
            site_picker(ui, cx);
            feature_picker(ui, cx);
            number_ui(ui, cx, site, feature, labels);
        });
        let mean = silhouettes.as_ref().map(|s| s.iter().sum::<f64>() / s.len().max(1) as f64);
        let dunn = if what_if.is_some() { cached.distances.dunn(labels) } else { feature.dunn };
        let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| Unit::Plain.format(v));
        let text = format!("mean silhouette {}, Dunn index {}", number(mean), number(dunn));
        ui.label(RichText::new(text).small().color(cx.theme.muted));
        ui.add_space(4.0);
        let room = ui.available_size();
        let map_width = (room.x * 0.56).floor();
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(map_width);
                heading(ui, cx.theme, "Map of the heads");
                let note_room = 20.0;
                map_ui(ui, cx, site.site, &cached.points, labels, vec2(map_width, ui.available_height() - note_room));
                note(ui, cx.theme, "Distances are kept as well as a plane can (classical MDS); axes have no meaning");
            });
            ui.add_space(8.0);
            ui.vertical(|ui| {
                let width = ui.available_width();
                let curve = 170.0_f32.min(ui.available_height() * 0.4);
                heading(ui, cx.theme, "Silhouettes");
                let bars = ui.available_height() - curve - 40.0;
                bars_ui(ui, cx, site.site, labels, silhouettes.as_deref(), vec2(width, bars.max(60.0)));
                heading(ui, cx.theme, "How many groups");
                curve_ui(ui, cx, feature, labels, vec2(width, ui.available_height() - 4.0));
            });
        });
    }

    fn refresh(&mut self, cx: Cx<'_>, feature: &FeatureAnalysis) {
        let (Some(results), Some(site), Some(map)) = (&cx.state.results, cx.state.site(), cx.state.feature()) else {
            return;
        };
        let key = (results.revision, site, map);
        if self.cache.as_ref().is_some_and(|c| c.key == key) {
            return;
        }
        let points = Points::new(&feature.gram, results.analysis.settings.metric);
        self.cache = Some(Cached { key, points: plane(points.gram()), distances: Distances::new(points.gram()) });
    }
}

/// The number of groups, to be changed and taken over.
fn number_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, feature: &FeatureAnalysis, labels: &[usize]) {
    let live = site.heads - feature.dead.len();
    let ran = feature.groups.iter().max().map_or(0, |g| g + 1) - feature.dead.len();
    let label = ui.label(RichText::new("Groups").color(cx.theme.muted));
    let mut wanted = cx.state.what_if.unwrap_or(ran);
    let hover = "What if there were another number? Nothing else changes until you use it";
    let field = ui.add(DragValue::new(&mut wanted).range(1..=live.max(1)).speed(0.05));
    if field.labelled_by(label.id).on_hover_text(hover).changed() {
        cx.send(Action::Regroup((wanted != ran).then_some(wanted)));
    }
    let shown = labels.iter().max().map_or(0, |g| g + 1);
    let Some(groups) = cx.state.what_if else {
        ui.label(RichText::new(format!("{shown} groups, as in the run")).small().color(cx.theme.muted));
        return;
    };
    if ui.button("Back to the run").on_hover_text(format!("The run found {ran} groups")).clicked() {
        cx.send(Action::Regroup(None));
    }
    let text = format!("Use {groups} in the next run");
    if ui.button(text).on_hover_text("For every layer; press Run to vote with it").clicked() {
        let groups = crate::analysis::Groups::Fixed(groups);
        cx.send(Action::SetRun(Box::new(RunSettings { groups, ..cx.state.run.clone() })));
    }
}

fn map_ui(ui: &mut Ui, cx: Cx<'_>, site: Site, points: &[[f64; 2]], labels: &[usize], size: egui::Vec2) {
    let theme = cx.theme;
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter_at(outer);
    painter.rect_stroke(outer, 2.0, Stroke::new(1.0, theme.border), egui::StrokeKind::Inside);
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
    let radius = if places.len() > 48 { 4.0 } else { 7.0 };
    for (head, at) in places.iter().enumerate() {
        let group = labels.get(head).copied().unwrap_or(0);
        let reference = HeadRef::new(site, head);
        let kept = cx.state.is_kept(reference);
        point(&painter, theme, *at, radius, group, kept);
        if cx.state.selection.heads.contains(&reference) || nearest == Some(head) {
            painter.circle_stroke(*at, radius + 4.0, Stroke::new(2.0, theme.ink));
        }
        if places.len() <= 48 {
            let text = *at + vec2(radius + 4.0, 0.0);
            painter.text(text, Align2::LEFT_CENTER, head, FontId::proportional(11.0), theme.muted);
        }
    }
    if let Some(head) = nearest {
        if response.clicked() {
            cx.send(Action::Select(HeadRef::new(site, head)));
        }
        let group = labels.get(head).copied().unwrap_or(0);
        response.clone().on_hover_text_at_pointer(format!("head {head}, group {group}"));
    }
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Map of the heads of {site}")));
}

/// A head of a group; pruned heads are hollow.
fn point(painter: &Painter, theme: &Theme, at: Pos2, radius: f32, group: usize, kept: bool) {
    let style = GroupStyle::of(theme.figure, group);
    let tint = color(style.color);
    let fill = if kept { tint } else { Color32::TRANSPARENT };
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

/// A bar per head, groups together, best first.
fn bars_ui(ui: &mut Ui, cx: Cx<'_>, site: Site, labels: &[usize], values: Option<&[f64]>, size: egui::Vec2) {
    let Some(values) = values else {
        note(ui, cx.theme, "One group has no silhouettes");
        return;
    };
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
    let row = rect.height() / order.len().max(1) as f32;
    for (place, head) in order.iter().enumerate() {
        let y = rect.top() + place as f32 * row;
        let (zero, end) = (across(0.0), across(values[*head]));
        let bar = Rect::from_x_y_ranges(zero.min(end)..=zero.max(end), y + row * 0.12..=y + row * 0.88);
        painter.rect_filled(bar, 0.0, cx.theme.group(labels.get(*head).copied().unwrap_or(0)));
        if row >= 10.0 {
            let at = pos2(rect.left() - 6.0, y + row / 2.0);
            painter.text(at, Align2::RIGHT_CENTER, head, FontId::proportional(10.0), cx.theme.muted);
        }
        if cx.state.selection.heads.contains(&HeadRef::new(site, *head)) {
            painter.rect_stroke(bar.expand(1.0), 0.0, Stroke::new(1.5, cx.theme.ink), egui::StrokeKind::Outside);
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
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Silhouettes of {site}")));
}

/// Mean silhouette against the number of groups; a click asks what that number would do.
fn curve_ui(ui: &mut Ui, cx: Cx<'_>, feature: &FeatureAnalysis, labels: &[usize], size: egui::Vec2) {
    let points: Vec<[f64; 2]> =
        feature.curve.iter().filter_map(|p| Some([p.groups as f64, p.mean_silhouette?])).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        note(ui, cx.theme, "This layer has too few heads to compare numbers of groups");
        return;
    };
    let (outer, response) = ui.allocate_exact_size(size.max(vec2(40.0, 60.0)), Sense::click());
    let painter = ui.painter_at(outer);
    let high = points.iter().map(|p| p[1]).fold(0.0, f64::max);
    let low = points.iter().map(|p| p[1]).fold(0.0, f64::min);
    let y = Axis::linear("Mean silhouette", Unit::Plain, (low, high), 3);
    let plot = PlotArea::fit(outer, Axis::integers("Groups", first[0] as usize, last[0] as usize, 10), y);
    plot.frame(&painter, cx.theme);
    plot.line(&painter, points.iter().copied(), Stroke::new(2.0, cx.theme.accent));
    for [x, y] in &points {
        painter.circle_filled(plot.at(*x, *y), 3.0, cx.theme.accent);
    }
    let now = labels.iter().max().map_or(0, |g| g + 1) as f64;
    let x = plot.across(now);
    if plot.rect.x_range().contains(x) {
        let stroke = Stroke::new(1.5, cx.theme.warning);
        dashed(&painter, pos2(x, plot.rect.top()), pos2(x, plot.rect.bottom()), stroke);
    }
    let number_at = |at: Pos2| {
        let share = f64::from((at.x - plot.rect.left()) / plot.rect.width());
        let groups = (plot.x.low + share * (plot.x.high - plot.x.low)).round();
        (groups >= first[0] && groups <= last[0]).then_some(groups as usize)
    };
    if let Some(groups) = response.hover_pos().and_then(number_at) {
        if response.clicked() {
            cx.send(Action::Regroup(Some(groups)));
        }
        response.clone().on_hover_text_at_pointer(format!("Click to see {groups} groups"));
    }
    response
        .widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, "Mean silhouette against the number of groups"));
}
