//! How good the best grouping is for every number of groups.

use eframe::egui::{Pos2, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::widgets::{PlotArea, dashed, note};
use crate::analysis::FeatureAnalysis;
use crate::figure::Unit;
use crate::figure::axis::{Axis, extent};
use crate::words::counted;

/// A number against the number of groups.
struct Curve {
    name: &'static str,
    points: Vec<[f64; 2]>,
    /// The group whose colour it has, as in exported pictures.
    style: usize,
}

/// Mean silhouette and Dunn index against the number of groups; a click asks what that number would do.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, feature: &FeatureAnalysis, labels: &[usize], size: Vec2) {
    let points = |value: fn(&crate::analysis::CurvePoint) -> Option<f64>| {
        feature.curve.iter().filter_map(|p| Some([p.groups as f64, value(p)?])).collect::<Vec<_>>()
    };
    let mut curves = vec![
        Curve { name: "Mean silhouette", points: points(|p| p.mean_silhouette), style: 0 },
        Curve { name: "Dunn index", points: points(|p| p.dunn), style: 3 },
    ];
    curves.retain(|c| !c.points.is_empty());
    if curves.is_empty() {
        note(ui, cx.theme, "This layer has too few heads to compare numbers of groups");
        return;
    }
    let (outer, response) = ui.allocate_exact_size(size.max(vec2(40.0, 60.0)), Sense::click());
    let painter = ui.painter_at(outer);
    let width = outer.width() / curves.len() as f32;
    let now = labels.iter().max().map_or(0, |g| g + 1) as f64;
    for (i, curve) in curves.iter().enumerate() {
        let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else { continue };
        let corner = outer.min + vec2(i as f32 * width, 0.0);
        let area =
            Rect::from_min_size(corner, vec2(width - if i + 1 < curves.len() { 8.0 } else { 0.0 }, outer.height()));
        let (low, high) = extent(curve.points.iter().map(|p| p[1])).unwrap_or((0.0, 1.0));
        let y = Axis::linear(curve.name, Unit::Plain, (low.min(0.0), high), 3);
        let x = Axis::integers("Groups", first[0] as usize, last[0] as usize, (area.width() / 32.0) as usize);
        let plot = PlotArea::fit(area, x, y);
        plot.frame(&painter, cx.theme);
        let ink = cx.theme.group(curve.style);
        plot.line(&painter, curve.points.iter().copied(), Stroke::new(2.0, ink));
        for [x, y] in curve.points.iter().filter(|_| curve.points.len() <= 24) {
            painter.circle_filled(plot.at(*x, *y), 3.0, ink);
        }
        let x = plot.across(now);
        if plot.rect.x_range().contains(x) {
            dashed(&painter, pos2(x, plot.rect.top()), pos2(x, plot.rect.bottom()), Stroke::new(1.5, cx.theme.accent));
        }
        let groups_at = |at: Pos2| {
            let share = f64::from((at.x - plot.rect.left()) / plot.rect.width());
            let groups = (plot.x.low + share * (plot.x.high - plot.x.low)).round();
            (groups >= first[0] && groups <= last[0]).then_some(groups)
        };
        if let Some(groups) = response.hover_pos().filter(|at| area.contains(*at)).and_then(groups_at) {
            if response.clicked() {
                cx.send(Action::Regroup(Some(groups as usize)));
            }
            let value = curve.points.iter().find(|p| p[0] == groups).map_or(f64::NAN, |p| p[1]);
            painter.circle(plot.at(groups, value), 4.5, cx.theme.canvas, Stroke::new(2.0, cx.theme.ink));
            let text = format!(
                "{}: {} {}. Click to see them",
                counted(groups as u64, "groups"),
                curve.name.to_lowercase(),
                Unit::Plain.format(value)
            );
            response.clone().on_hover_text_at_pointer(text);
        }
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Mean silhouette against the number of groups"));
}
