//! The plots of a layer's groups, and what clicks on them do.

use eframe::egui::{Stroke, StrokeKind, Ui, Vec2, vec2};

use crate::chart::{GroupMap, Unit};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::widgets::{PlotView, note};
use crate::network::{Head, Site};
use crate::words::counted;

/// Tallest row of the silhouettes.
const TALLEST: f32 = 26.0;
/// How far from a head the pointer may be.
const REACH: f32 = 16.0;

/// Where the heads lie; a click selects a head.
pub(super) fn map_ui(ui: &mut Ui, cx: Cx<'_>, site: Site, map: &GroupMap, size: Vec2) {
    let theme = cx.theme;
    let plot = map.map_plot();
    let painted = PlotView::new(&plot, size).without_legend().show(ui, theme);
    let painter = ui.painter().with_clip_rect(painted.rect().intersect(ui.clip_rect()));
    painter.rect_stroke(painted.rect(), 4.0, Stroke::new(1.0, theme.border), StrokeKind::Inside);
    let places: Vec<_> = map.points.iter().map(|p| painted.at(*p)).collect();
    let nearest = painted.response.hover_pos().and_then(|at| {
        let (head, place) = places.iter().enumerate().min_by(|a, b| a.1.distance(at).total_cmp(&b.1.distance(at)))?;
        (place.distance(at) < REACH).then_some(head)
    });
    for (head, at) in places.iter().enumerate() {
        let is_selected = cx.state.selection.heads.contains(&Head::new(site, head));
        if is_selected || nearest == Some(head) {
            painter.circle_stroke(*at, 10.5, Stroke::new(2.0, theme.ink));
        }
    }
    let Some(head) = nearest else { return };
    if painted.response.clicked() {
        cx.send(Action::Select(Head::new(site, head)));
    }
    let group = map.groups.get(head).copied().unwrap_or(0);
    let state = if map.keeps(head) { "kept" } else { "pruned" };
    let [x, y] = map.points.get(head).copied().unwrap_or_default().map(|v| Unit::Plain.format(v));
    painted.response.on_hover_text_at_pointer(format!("head {head}, group {group}, {state}; at {x}, {y}"));
}

/// A bar per head, groups together, best first; the dashed line is their mean. A click selects a group.
pub(super) fn silhouettes_ui(ui: &mut Ui, cx: Cx<'_>, site: Site, map: &GroupMap, size: Vec2) {
    let Some(plot) = map.silhouette_plot() else {
        note(ui, cx.theme, "One group has no silhouettes");
        return;
    };
    let size = vec2(size.x, size.y.min(map.groups.len() as f32 * TALLEST + 38.0));
    let painted = PlotView::new(&plot, size).without_legend().without_values().show(ui, cx.theme);
    let painter = ui.painter().with_clip_rect(painted.rect().expand(2.0).intersect(ui.clip_rect()));
    let order = map.silhouette_order();
    let place = |rank: usize| (order.len() - 1 - rank) as f64;
    for (rank, head) in order.iter().enumerate() {
        if cx.state.selection.heads.contains(&Head::new(site, *head)) {
            let value = map.silhouette.get(*head).copied().filter(|v| v.is_finite()).unwrap_or(0.0);
            let bar = painted.bar(place(rank), value, true).expand(1.0);
            painter.rect_stroke(bar, 0.0, Stroke::new(1.5, cx.theme.ink), StrokeKind::Outside);
        }
    }
    let under = painted.hovered().and_then(|[_, y]| {
        let rank = (order.len() as f64 - 1.0 - y.round()).max(0.0) as usize;
        order.get(rank).copied()
    });
    let Some(head) = under else { return };
    if painted.response.clicked() {
        cx.send(Action::SelectGroup(map.groups.get(head).copied()));
    }
    let value = Unit::Plain.format(map.silhouette.get(head).copied().unwrap_or(f64::NAN));
    painted.response.on_hover_text_at_pointer(format!("head {head}: silhouette {value}. Click selects its group"));
}

/// Mean silhouette and Dunn index against the number of groups; a click asks what that number would do.
pub(super) fn numbers_ui(ui: &mut Ui, cx: Cx<'_>, map: &GroupMap, size: Vec2) {
    let plots = map.number_plots();
    if plots.is_empty() {
        note(ui, cx.theme, "This layer has too few heads to compare numbers of groups");
        return;
    }
    let gap = 8.0;
    let width = (size.x + gap) / plots.len() as f32 - gap;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = gap;
        for plot in &plots {
            ui.vertical(|ui| {
                ui.set_width(width);
                let painted = PlotView::new(plot, vec2(width, size.y)).without_values().show(ui, cx.theme);
                let Some([x, _]) = painted.hovered() else { return };
                let Some([groups, value]) =
                    plot.series.iter().flat_map(|s| &s.points).find(|p| p[0] == x.round()).copied()
                else {
                    return;
                };
                let at = painted.at([groups, value]);
                ui.painter().circle(at, 4.5, cx.theme.canvas, Stroke::new(2.0, cx.theme.ink));
                if painted.response.clicked() {
                    cx.send(Action::Regroup(Some(groups as usize)));
                }
                let number = counted(groups as u64, "groups");
                let (name, value) = (plot.y.label.to_lowercase(), Unit::Plain.format(value));
                painted.response.on_hover_text_at_pointer(format!("{number}: {name} {value}. Click to see them"));
            });
        }
    });
}
