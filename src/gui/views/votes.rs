//! The vote of a layer: bars with a threshold that can be dragged, and how soon the result stood.

use eframe::egui::{
    self, Align2, CursorIcon, FontId, Id, Key, Rect, RichText, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::widgets::{PlotArea, dashed, heading, needs_run, note, site_picker, swatch};
use crate::analysis::SiteAnalysis;
use crate::figure::Unit;
use crate::figure::axis::Axis;
use crate::plan::{Amount, Method};
use crate::workspace::{HeadRef, Proposal};

/// What the votes view remembers.
#[derive(Default)]
pub struct Votes;

/// How far one press of an arrow key moves the threshold.
const STEP: f64 = 0.01;

impl Votes {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (Some(results), Some(site)) = (&cx.state.results, cx.state.site_results()) else {
            needs_run(ui, cx, "Votes");
            return;
        };
        let theme = cx.theme;
        ui.horizontal_wrapped(|ui| {
            site_picker(ui, cx);
            ui.add_space(8.0);
            swatch(ui, theme, theme.kept, "kept");
            swatch(ui, theme, theme.pruned, "pruned");
            let tied: u64 = site.features.values().map(|f| f.tied_votes).sum();
            let cast: u64 = site.votes.iter().sum();
            let text = format!("{cast} votes from {} batches, {tied} of them tied", results.analysis.batches);
            ui.label(RichText::new(text).small().color(theme.muted)).on_hover_text(
                "Two heads alone in a group are always equally far from their mean: the one with the larger norm wins",
            );
        });
        let shares = site.vote_shares(results.analysis.batches);
        let room = ui.available_size();
        let bars = (room.y * 0.56).clamp(120.0, 460.0);
        bars_ui(ui, cx, site, &shares, vec2(room.x, bars));
        let rest = ui.available_size();
        if rest.y < 90.0 {
            return;
        }
        let half = (rest.x - 12.0) / 2.0;
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                heading(ui, theme, "Winning margins");
                margins_ui(ui, cx, site, vec2(half, ui.available_height() - 4.0));
            });
            ui.add_space(12.0);
            ui.vertical(|ui| {
                heading(ui, theme, "How soon the vote settled");
                settled_ui(ui, cx, vec2(half, ui.available_height() - 4.0));
            });
        });
    }
}

fn bars_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, shares: &[f64], size: egui::Vec2) {
    let theme = cx.theme;
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter_at(outer);
    let high = shares.iter().copied().fold(0.05, f64::max);
    let y = Axis::linear("Share of the votes a head could win", Unit::Share, (0.0, high), 5);
    let plot = PlotArea::fit(outer, Axis::integers("Head", 0, site.heads.saturating_sub(1), 24), y);
    plot.frame(&painter, theme);
    let width = (plot.rect.width() / site.heads.max(1) as f32 * 0.72).clamp(1.0, 56.0);
    for (head, share) in shares.iter().enumerate() {
        let reference = HeadRef::new(site.site, head);
        let kept = cx.state.is_kept(reference);
        let middle = plot.across(head as f64);
        let bar = Rect::from_x_y_ranges(
            middle - width / 2.0..=middle + width / 2.0,
            plot.down(*share).min(plot.rect.bottom() - 1.0)..=plot.rect.bottom(),
        );
        painter.rect_filled(bar, 1.0, if kept { theme.kept } else { theme.pruned });
        if cx.state.selection.heads.contains(&reference) {
            painter.rect_stroke(bar.expand(2.0), 2.0, Stroke::new(2.0, theme.ink), egui::StrokeKind::Outside);
        }
        if width >= 26.0 {
            let at = pos2(middle, bar.top() - 2.0);
            let text = Unit::Share.format(*share);
            painter.text(at, Align2::CENTER_BOTTOM, text, FontId::proportional(10.0), theme.muted);
        }
    }
    let head_at = |at: egui::Pos2| {
        let head = ((at.x - plot.rect.left()) / plot.rect.width() * site.heads as f32).floor();
        (plot.rect.contains(at) && head >= 0.0 && (head as usize) < site.heads).then_some(head as usize)
    };
    if let Some(head) = response.hover_pos().and_then(head_at) {
        let votes = site.votes.get(head).copied().unwrap_or(0);
        let share = Unit::Share.format(shares.get(head).copied().unwrap_or(0.0));
        if response.clicked() {
            cx.send(Action::Select(HeadRef::new(site.site, head)));
        }
        response.clone().on_hover_text_at_pointer(format!("head {head}: {votes} votes, {share}"));
    }
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Votes of {}", site.site)));
    threshold_ui(ui, cx, &plot, response.id);
}

/// The line that can be dragged, or moved with the arrow keys.
fn threshold_ui(ui: &Ui, cx: Cx<'_>, plot: &PlotArea, parent: Id) {
    let theme = cx.theme;
    let proposal = cx.state.draft.now().active().proposal.clone();
    let now = match &proposal {
        Some(Proposal { method: Method::Votes, amount: Amount::Threshold(t), .. }) => Some(*t),
        _ => None,
    };
    // Without a threshold the line waits at the bottom, where it keeps every head.
    let shown = now.unwrap_or(0.0);
    let y = plot.down(shown.clamp(plot.y.low, plot.y.high));
    let grip = Rect::from_x_y_ranges(plot.rect.x_range(), y - 6.0..=y + 6.0);
    let response = ui.interact(grip, parent.with("threshold"), Sense::click_and_drag());
    let response = response.on_hover_cursor(CursorIcon::ResizeVertical);
    let active = response.dragged() || response.hovered() || response.has_focus();
    let stroke = Stroke::new(if active { 2.5 } else { 1.5 }, theme.warning);
    dashed(ui.painter(), pos2(plot.rect.left(), y), pos2(plot.rect.right(), y), stroke);
    let text = match now {
        Some(t) => format!("keep from {}", Unit::Share.format(t)),
        None => "drag to set a threshold".to_owned(),
    };
    // On a ground of its own, since bars may stand behind it.
    let galley = ui.painter().layout_no_wrap(text, FontId::proportional(11.0), theme.warning);
    let above = y - galley.size().y - 5.0;
    let top = if above < plot.rect.top() { y + 5.0 } else { above };
    let at = pos2(plot.rect.right() - galley.size().x - 6.0, top);
    let ground = Rect::from_min_size(at, galley.size()).expand2(vec2(4.0, 1.0));
    ui.painter().rect_filled(ground, 3.0, theme.canvas.gamma_multiply(0.9));
    ui.painter().galley(at, galley, theme.warning);
    let set = |value: f64| {
        let amount = Amount::Threshold(value.clamp(0.0, 1.0));
        let seed = proposal.as_ref().map_or(0, |p| p.seed);
        cx.send(Action::AdjustProposal(Proposal { method: Method::Votes, amount, seed }));
    };
    if let Some(at) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        set(plot.y_at(at.y));
    }
    if response.has_focus() {
        for (key, by) in [(Key::ArrowUp, STEP), (Key::ArrowDown, -STEP)] {
            if ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, key)) {
                set(shown + by);
            }
        }
        let arrows = egui::EventFilter { vertical_arrows: true, ..Default::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, arrows));
    }
    response.widget_info(|| WidgetInfo::slider(true, shown, "Vote threshold"));
}

fn margins_ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, size: egui::Vec2) {
    let Some(map) = cx.state.feature() else { return };
    let margins = crate::figure::Measure::Margin.values(site, map, 1);
    if margins.iter().all(|m| m.is_nan()) {
        note(ui, cx.theme, "No head of this layer won a vote on its own");
        return;
    }
    let (outer, response) = ui.allocate_exact_size(size, Sense::hover());
    let painter = ui.painter_at(outer);
    let y = Axis::exact(format!("0 a tie, 1 no rival ({map})"), Unit::Plain, (0.0, 1.0), 2);
    let plot = PlotArea::fit(outer, Axis::integers("Head", 0, site.heads.saturating_sub(1), 12), y);
    plot.frame(&painter, cx.theme);
    let width = (plot.rect.width() / site.heads.max(1) as f32 * 0.6).clamp(1.0, 40.0);
    for (head, margin) in margins.iter().enumerate().filter(|(_, m)| m.is_finite()) {
        let middle = plot.across(head as f64);
        let bar = Rect::from_x_y_ranges(
            middle - width / 2.0..=middle + width / 2.0,
            plot.down(*margin).min(plot.rect.bottom() - 1.0)..=plot.rect.bottom(),
        );
        let kept = cx.state.is_kept(HeadRef::new(site.site, head));
        painter.rect_filled(bar, 1.0, if kept { cx.theme.kept } else { cx.theme.pruned });
    }
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, "Winning margins"));
}

fn settled_ui(ui: &mut Ui, cx: Cx<'_>, size: egui::Vec2) {
    let Some(results) = &cx.state.results else { return };
    let analysis = &results.analysis;
    if analysis.checkpoints.len() < 2 {
        note(ui, cx.theme, "One batch was read: give more to see whether the vote stands");
        return;
    }
    let (outer, response) = ui.allocate_exact_size(size, Sense::hover());
    let painter = ui.painter_at(outer);
    let last = analysis.batches.max(1) as f64;
    let y = Axis::exact("Layers whose kept heads are final", Unit::Share, (0.0, 1.0), 4);
    let plot = PlotArea::fit(outer, Axis::exact("Batches", Unit::Count, (0.0, last), 6), y);
    plot.frame(&painter, cx.theme);
    let points = || analysis.checkpoints.iter().zip(&analysis.settled).map(|(b, s)| [*b as f64, *s]);
    plot.line(&painter, points(), Stroke::new(2.0, cx.theme.accent));
    for [x, y] in points() {
        painter.circle_filled(plot.at(x, y), 2.5, cx.theme.accent);
    }
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, "How soon the vote settled"));
}
