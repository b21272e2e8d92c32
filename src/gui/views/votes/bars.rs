//! A bar for each head.

use eframe::egui::{Stroke, StrokeKind, Ui, Vec2};

use super::threshold::threshold_ui;
use crate::analysis::SiteAnalysis;
use crate::chart::{Plot, Unit, VoteBars};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::widgets::{Painted, PlotView};
use crate::network::Head;
use crate::words::counted;

/// Shares of votes with the threshold.
pub(super) fn shares_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, votes: &VoteBars, size: Vec2) {
    let plot = votes.shares_plot();
    let painted = PlotView::new(&plot, size).without_values().show(ui, cx.theme);
    mark_heads(ui, cx, site, &plot, &painted);
    if let Some(head) = head_under(&painted, site) {
        let won = site.votes.get(head).copied().unwrap_or(0);
        let share = Unit::Share.format(votes.shares.get(head).copied().unwrap_or(f64::NAN));
        let text = format!("head {head}: {}, {share} of what it could win", counted(won, "votes"));
        painted.response.clone().on_hover_text_at_pointer(text);
    }
    threshold_ui(ui, cx, &plot, &painted);
}

/// How clearly each head won.
pub(super) fn margins_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, plot: &Plot, size: Vec2) {
    let painted = PlotView::new(plot, size).without_legend().without_values().show(ui, cx.theme);
    mark_heads(ui, cx, site, plot, &painted);
    if let Some(head) = head_under(&painted, site) {
        let margin = plot.bars.iter().flat_map(|b| &b.bars).find(|bar| bar[0] == head as f64);
        let text = match margin {
            Some([_, margin]) => format!("head {head}: won by {}", Unit::Share.format(*margin)),
            None => format!("head {head}: won no vote"),
        };
        painted.response.clone().on_hover_text_at_pointer(text);
    }
}

/// Outlines the selected heads and the one under the pointer, which a click selects.
fn mark_heads(ui: &Ui, cx: Cx<'_>, site: &SiteAnalysis, plot: &Plot, painted: &Painted) {
    let under = head_under(painted, site);
    let painter = ui.painter().with_clip_rect(painted.rect().expand(3.0).intersect(ui.clip_rect()));
    for [place, value] in plot.bars.iter().flat_map(|b| &b.bars) {
        let head = *place as usize;
        let is_selected = cx.state.selection.heads.contains(&Head::new(site.site, head));
        if is_selected || under == Some(head) {
            let stroke = Stroke::new(if is_selected { 2.0 } else { 1.0 }, cx.theme.ink);
            let bar = painted.bar(*place, *value, false).expand(1.5);
            painter.rect_stroke(bar, 3.0, stroke, StrokeKind::Outside);
        }
    }
    if let Some(head) = under.filter(|_| painted.response.clicked()) {
        cx.send(Action::Select(Head::new(site.site, head)));
    }
}

fn head_under(painted: &Painted, site: &SiteAnalysis) -> Option<usize> {
    let [head, _] = painted.hovered()?;
    let head = head.round();
    (head >= 0.0 && (head as usize) < site.heads).then_some(head as usize)
}
