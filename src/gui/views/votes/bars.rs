//! A bar for each head.

use eframe::egui::{
    Align2, FontId, Pos2, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::widgets::{PlotArea, dashed, note};
use super::threshold::threshold_ui;
use crate::analysis::SiteAnalysis;
use crate::figure::Unit;
use crate::figure::axis::Axis;
use crate::figure::views::VoteBars;
use crate::network::Head;
use crate::words::counted;

/// Width beside the votes for the names of limits.
const LIMITS: f32 = 116.0;

/// Shares of votes with the threshold.
pub(super) fn shares_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, votes: &VoteBars, size: Vec2) {
    let high = votes.shares.iter().chain(&votes.chance).copied().filter(|v| v.is_finite()).fold(0.05, f64::max);
    let y = Axis::linear("Share of the votes a head could win", Unit::Share, (0.0, high.min(1.0)), 5);
    let (plot, response) = plot_ui(ui, cx, site, y, size, LIMITS);
    let painter = ui.painter_at(response.rect);
    bars(ui, cx, site, &plot, &votes.shares, &response);
    if let Some(chance) = votes.chance {
        let y = plot.down(chance);
        dashed(&painter, pos2(plot.rect.left(), y), pos2(plot.rect.right() + 4.0, y), Stroke::new(1.0, cx.theme.muted));
        let text = format!("chance {}", Unit::Share.format(chance));
        let at = pos2(plot.rect.right() + 8.0, y);
        painter.text(at, Align2::LEFT_CENTER, text, FontId::proportional(11.0), cx.theme.muted);
    }
    let under = head_under(&response, &plot, site.heads);
    if let Some(head) = under {
        if response.clicked() {
            cx.send(Action::Select(Head::new(site.site, head)));
        }
        let won = site.votes.get(head).copied().unwrap_or(0);
        let share = Unit::Share.format(votes.shares.get(head).copied().unwrap_or(f64::NAN));
        response
            .clone()
            .on_hover_text_at_pointer(format!("head {head}: {}, {share} of what it could win", counted(won, "votes")));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Votes of {}", site.site)));
    threshold_ui(ui, cx, &plot, votes.chance, response.id);
}

/// How clearly each head won.
pub(super) fn margins_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, votes: &VoteBars, size: Vec2) {
    if votes.margins.iter().all(|m| m.is_nan()) {
        note(ui, cx.theme, "No head of this layer won a vote on its own");
        return;
    }
    let y = Axis::exact("Mean of its wins: 0 % tied, 100 % without a rival", Unit::Share, (0.0, 1.0), 2);
    let (plot, response) = plot_ui(ui, cx, site, y, size, 0.0);
    bars(ui, cx, site, &plot, &votes.margins, &response);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Winning margins"));
    let under = head_under(&response, &plot, site.heads);
    if let Some(head) = under {
        if response.clicked() {
            cx.send(Action::Select(Head::new(site.site, head)));
        }
        let text = match votes.margins.get(head).filter(|m| m.is_finite()) {
            Some(margin) => format!("head {head}: won by {}", Unit::Share.format(*margin)),
            None => format!("head {head}: won no vote"),
        };
        response.on_hover_text_at_pointer(text);
    }
}

/// An empty plot with a column for each head, and `beside` units free at its right.
fn plot_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, y: Axis, size: Vec2, beside: f32) -> (PlotArea, Response) {
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let beside = if outer.width() > 3.0 * beside { beside } else { 0.0 };
    let inner = Rect::from_min_max(outer.min, outer.max - vec2(beside, 0.0));
    let most = (inner.width() / 26.0) as usize;
    let plot = PlotArea::fit(inner, Axis::integers("Head", 0, site.heads.saturating_sub(1), most.max(2)), y);
    plot.frame(&ui.painter_at(outer), cx.theme);
    (plot, response)
}

fn bars(ui: &Ui, cx: Cx<'_>, site: &SiteAnalysis, plot: &PlotArea, values: &[f64], response: &Response) {
    let theme = cx.theme;
    let painter = ui.painter_at(response.rect);
    let column = plot.rect.width() / site.heads.max(1) as f32;
    let width = (column * 0.72).clamp(1.0, 48.0);
    let under = head_under(response, plot, site.heads);
    for (head, value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        let reference = Head::new(site.site, head);
        let middle = plot.across(head as f64);
        let top = plot.down(*value).min(plot.rect.bottom() - 1.0);
        let bar = Rect::from_x_y_ranges(middle - width / 2.0..=middle + width / 2.0, top..=plot.rect.bottom());
        let fill = if cx.state.is_kept(reference) { theme.kept } else { theme.pruned };
        painter.rect_filled(bar, if width > 6.0 { 2.0 } else { 0.0 }, fill);
        let is_selected = cx.state.selection.heads.contains(&reference);
        if is_selected || under == Some(head) {
            let stroke = Stroke::new(if is_selected { 2.0 } else { 1.0 }, theme.ink);
            painter.rect_stroke(bar.expand(1.5), 3.0, stroke, StrokeKind::Outside);
        }
        if column >= 44.0 && top - 14.0 > plot.rect.top() - 14.0 {
            let text = Unit::Share.format(*value);
            let at = pos2(middle, bar.top() - 3.0);
            painter.text(at, Align2::CENTER_BOTTOM, text, FontId::proportional(10.5), theme.muted);
        }
    }
}

fn head_under(response: &Response, plot: &PlotArea, heads: usize) -> Option<usize> {
    let at: Pos2 = response.hover_pos().filter(|at| plot.rect.contains(*at))?;
    let head = ((at.x - plot.rect.left()) / plot.rect.width() * heads as f32).floor();
    (head >= 0.0 && (head as usize) < heads).then_some(head as usize)
}
