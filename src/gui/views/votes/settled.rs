//! How many batches it took until the vote stood.

use eframe::egui::{Role, Sense, Stroke, Ui, Vec2, WidgetInfo};

use super::super::super::app::Cx;
use super::super::super::widgets::{PlotArea, note};
use crate::figure::Unit;
use crate::figure::axis::Axis;
use crate::figure::views::VoteBars;
use crate::words::counted;

/// Share of layers whose kept heads are the final ones, against batches.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, votes: &VoteBars, size: Vec2) {
    let (Some(last), true) = (votes.settled.last(), votes.settled.len() > 1) else {
        note(ui, cx.theme, "One batch was read: give more to see whether the vote stands");
        return;
    };
    let (outer, response) = ui.allocate_exact_size(size, Sense::hover());
    let painter = ui.painter_at(outer);
    let y = Axis::exact("Layers whose kept heads are the final ones", Unit::Share, (0.0, 1.0), 2);
    let plot = PlotArea::fit(outer, Axis::exact("Batches", Unit::Count, (0.0, last[0].max(1.0)), 6), y);
    plot.frame(&painter, cx.theme);
    plot.line(&painter, votes.settled.iter().copied(), Stroke::new(2.0, cx.theme.kept));
    if votes.settled.len() <= 40 {
        for [x, y] in &votes.settled {
            painter.circle_filled(plot.at(*x, *y), 2.5, cx.theme.kept);
        }
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "How soon the vote settled"));
    let nearest = response.hover_pos().filter(|at| plot.rect.expand(6.0).contains(*at)).and_then(|at| {
        let distance = |p: &[f64; 2]| (plot.across(p[0]) - at.x).abs();
        votes.settled.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
    });
    if let Some([batches, share]) = nearest {
        painter.circle(plot.at(*batches, *share), 4.5, cx.theme.canvas, Stroke::new(2.0, cx.theme.ink));
        let text =
            format!("after {}: {} of the layers", counted(*batches as u64, "batches"), Unit::Share.format(*share));
        response.on_hover_text_at_pointer(text);
    }
}
