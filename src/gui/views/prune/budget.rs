//! How much quality a plan may cost: the search for the smallest one, the verdict above the export, and points of the quality
//! curve as plans.

use eframe::egui::{Checkbox, CollapsingHeader, ComboBox, CursorIcon, RichText, Stroke, Ui};

use super::progress::progress;
use crate::analysis::SiteEvidence;
use crate::evaluation::curve::Curves;
use crate::evaluation::{BudgetGrade, LOSS, Verdict};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::widgets::{Painted, command_button, drag_value, edited, headers, note, number_cell, number_table};
use crate::plan::{BudgetRecord, BudgetStep};
use crate::words::{counted, unbroken};
use crate::workspace::Proposal;

/// How near the pointer must be to a point of a curve, in points.
const REACH: f32 = 10.0;

/// The budget, the button that searches within it, and what came of the search that made the plan.
pub(super) fn search(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(RichText::new("Prune until quality falls by").color(theme.muted));
        let (field, percent) = edited(cx.state.quality_share() * 100.0, 2, |percent| {
            ui.add(drag_value(percent).range(0.0..=100.0).speed(0.1).max_decimals(2).suffix(" %"))
        });
        let hover = "The loss may rise by this share of the whole model's, or another measure fall by it";
        field.labelled_by(label.id).on_hover_text(hover);
        if let Some(percent) = percent {
            cx.send(Action::SetQualityBudget(percent / 100.0));
        }
        measure(ui, cx);
        command_button(ui, cx, Command::FindPlan, "Find");
        every_method(ui, cx);
    });
    progress(ui, cx, JobKind::FindPlan);
    let Some(found) = cx.state.draft.now().active().budget() else { return };
    note(ui, theme, sentence(&found.sentence()));
    methods_ui(ui, cx, found);
    CollapsingHeader::new("What was tried").show(ui, |ui| {
        for line in found.path_lines() {
            note(ui, theme, line);
        }
    });
}

/// Whether the search tries every method; of a plan that no method chose it does in any case.
fn every_method(ui: &mut Ui, cx: Cx<'_>) {
    let (has_run, has_method) = (cx.state.results.is_some(), cx.state.searched_by().is_some());
    let mut wanted = cx.state.tries_every_method();
    let hover = "Search by every method that the run can serve and keep the best plan. About three more passes over the text \
                 for each method, beside twelve for the first";
    let field = ui.add_enabled(has_run && has_method, Checkbox::new(&mut wanted, "Every method")).on_hover_text(hover);
    let why = match has_run {
        true => "No method chose this plan, so that every one is tried",
        false => "Run the model first",
    };
    if field.on_disabled_hover_text(why).changed() {
        cx.send(Action::SetEveryMethod(wanted));
    }
}

/// What each of several methods came to, the one that was taken in strong letters.
fn methods_ui(ui: &mut Ui, cx: Cx<'_>, found: &BudgetRecord) {
    let (theme, steps) = (cx.theme, found.by_method());
    if steps.len() < 2 {
        return;
    }
    let best = steps.iter().filter(|step| step.within).map(|step| step.heads).min();
    let fewest = |step: &&&BudgetStep| step.within && Some(step.heads) == best;
    // Of equals the first: a later one has to be smaller.
    let taken = steps.iter().find(fewest).map(|step| step.method.as_str());
    number_table(ui, "methods tried", 3, 10.0, |ui| {
        headers(ui, theme, ["method", "heads", "change"]);
        for step in &steps {
            let is_taken = taken == Some(step.method.as_str());
            let color = match (is_taken, step.within) {
                (true, _) => theme.ink,
                (false, true) => theme.muted,
                (false, false) => theme.warning,
            };
            let text = |text: String| {
                let text = RichText::new(text).color(color);
                if is_taken { text.strong() } else { text }
            };
            let swapped = if step.swap { " and swaps" } else { "" };
            ui.vertical(|ui| ui.label(text(format!("{}{swapped}", step.method))));
            ui.vertical(|ui| number_cell(ui, "heads kept", text(step.heads.to_string())));
            ui.vertical(|ui| {
                let over = if step.within { "" } else { ", over" };
                let spent = step.spent.map(|spent| found.budget.change(spent, found.falls));
                let change = text(format!("{}{over}", spent.unwrap_or_else(|| "not finite".to_owned())));
                number_cell(ui, &found.measure, change);
                if let Some(ends) = step.low.zip(step.high) {
                    let (low, high) = found.budget.ends(ends, found.falls);
                    note(ui, theme, format!("{low} to {high}"));
                }
            });
            ui.end_row();
        }
    });
    let of = format!("Heads that stay, and the change of {} with its 95 % interval. ", found.measure);
    note(
        ui,
        theme,
        format!("{of}Each method by its smallest plan within the budget; over it, by the largest that it tried"),
    );
}

/// By which of the measures that the input gives quality is told.
fn measure(ui: &mut Ui, cx: Cx<'_>) {
    let measures = cx.state.quality_measures();
    let now = cx.state.quality_budget().1.unwrap_or_else(|| LOSS.to_owned());
    if measures.is_empty() {
        return;
    }
    let label = ui.label(RichText::new("by").color(cx.theme.muted));
    let combo = ComboBox::from_id_salt("quality measure").selected_text(now.as_str()).width(90.0).show_ui(ui, |ui| {
        for name in measures {
            if ui.selectable_label(name == now, name.as_str()).clicked() {
                cx.send(Action::SetQualityMeasure(name));
            }
        }
    });
    combo
        .response
        .labelled_by(label.id)
        .on_hover_text("What quality is measured by, of what this input and this model offer");
}

/// Whether layers without evidence lose heads too.
pub(super) fn without_evidence(ui: &mut Ui, cx: Cx<'_>, proposal: &Proposal) {
    let Some(results) = &cx.state.results else { return };
    let lacking = results
        .analysis
        .sites
        .iter()
        .filter(|s| s.evidence.as_ref().and_then(SiteEvidence::verdict) != Some(true))
        .count();
    if lacking == 0 {
        return;
    }
    let mut wanted = proposal.prunes_unproven();
    let text = format!("Also prune the {} in which nothing speaks for redundancy", counted(lacking, "layers"));
    let hover = "Their groups are no clearer than those of heads that read different sequences, or too little was read to \
                 tell. The first plan leaves them alone; an amount that you choose is for every layer";
    if ui.checkbox(&mut wanted, text).on_hover_text(hover).changed() {
        cx.send(Action::Propose(Proposal { without_evidence: Some(wanted), ..proposal.clone() }));
    }
}

/// What is said of the plan being edited.
pub(super) fn verdict_now(cx: Cx<'_>) -> Verdict {
    let (budget, metric) = cx.state.quality_budget();
    let measured = cx.state.measured_now();
    let searched = cx.state.searched_now().filter(|_| measured.is_none());
    match searched {
        Some(found) => Verdict::of_search(found, budget),
        None => Verdict::of(measured, budget, metric.as_deref()),
    }
}

/// Whether the plan is worth exporting, in words.
pub(super) fn verdict(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    let Some(plan) = cx.state.legal_plan() else { return };
    let (_, metric) = cx.state.quality_budget();
    let measured = cx.state.measured_now();
    let verdict = verdict_now(cx);
    let color = match verdict.grade {
        BudgetGrade::Unmeasured => theme.warning,
        BudgetGrade::Within => theme.good,
        BudgetGrade::Unsure | BudgetGrade::WithinByChance => theme.warning,
        BudgetGrade::Over => theme.danger,
    };
    ui.label(RichText::new(unbroken(&verdict.sentence)).color(color));
    let is_within = matches!(verdict.grade, BudgetGrade::Within | BudgetGrade::WithinByChance);
    let what = metric.as_deref().unwrap_or(LOSS);
    let analysis = cx.state.results.as_ref().filter(|_| is_within).map(|results| &results.analysis);
    if let Some(words) = analysis.and_then(|analysis| analysis.beyond_redundancy(&plan.kept, what)) {
        note(ui, theme, words);
    }
    let unrepaired = measured.and_then(|measured| cx.state.unrepaired_words(plan, measured));
    if let Some(words) = &unrepaired {
        ui.label(RichText::new(unbroken(words)).small().color(theme.warning));
    }
    // A repaired plan is what an export would write.
    let could_be = cx.state.repairing.is_on() && !cx.state.keeps_all(plan);
    let is_to_measure = could_be && measured.is_some_and(|m| m.repair.is_none() && m.unrepaired.is_none());
    if measured.is_none() || verdict.grade == BudgetGrade::Unmeasured || is_to_measure {
        command_button(ui, cx, Command::Measure, "Measure this plan");
    }
}

/// Makes the point of a curve under the pointer a plan where it is clicked. Random draws are the control, and no plans.
pub(super) fn pick(ui: &Ui, cx: Cx<'_>, painted: &Painted, curves: &Curves) {
    let Some(pointer) = painted.response.hover_pos() else { return };
    let gauge = curves.gauge();
    let points = curves.points.iter().enumerate().filter(|(_, point)| !point.ranking.method.is_random());
    let near = points.filter_map(|(index, point)| {
        let place = painted.at([point.kept_share, gauge.of(&point.effect)?]);
        let distance = place.distance(pointer);
        (distance <= REACH).then_some((distance, index, place))
    });
    let Some((_, index, place)) = near.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    ui.ctx().set_cursor_icon(CursorIcon::PointingHand);
    ui.painter().circle_stroke(place, 7.0, Stroke::new(1.5, cx.theme.accent));
    if painted.response.clicked() {
        cx.send(Action::TakePoint(index));
    }
}
