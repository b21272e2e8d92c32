//! Every plan beside the others: what it saves, how good it is, and whether another is better at both.

use eframe::egui::{Button, Grid, RichText, ScrollArea, Ui};

use crate::chart::Unit;
use crate::evaluation::curve::DrawSpread;
use crate::evaluation::{Measured, Quality};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::widgets::{command_button, headers, heading, note};
use crate::gui::wording::worded;
use crate::workspace::{ComparedPlan, Outlook};

pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>) {
    let (state, theme) = (cx.state, cx.theme);
    heading(ui, theme, "Plans side by side");
    if state.compared.len() < 2 {
        ui.horizontal_wrapped(|ui| {
            command_button(ui, cx, Command::DuplicatePlan, "Copy the plan");
            note(ui, theme, "and change the copy to see both side by side");
        });
        return;
    }
    let Some(model) = &state.model else { return };
    let predicts = model.model.spec().is_scored();
    let has_cache = state.compared.iter().any(|c| c.outlook.as_ref().is_ok_and(|o| o.before().cache_per_token > 0));
    let measured: Vec<Option<&Measured>> = state.compared.iter().map(|c| measured(cx, c)).collect();
    let beaten = beaten(&state.compared, &measured);
    let mut titles = vec!["plan", "heads", "parameters", "FLOPs per token"];
    titles.extend(has_cache.then_some("KV cache"));
    titles.push(if predicts { "perplexity" } else { "cosine of embeddings" });
    let table = Grid::new("plans side by side").num_columns(titles.len() + 1).spacing([14.0, 4.0]);
    let rows = |ui: &mut Ui| {
        headers(ui, theme, &titles);
        for (index, compared) in state.compared.iter().enumerate() {
            let is_active = index == state.draft.now().active_index();
            let name = Button::selectable(is_active, compared.plan.title());
            if ui.add(name).on_hover_text("Edit this plan").clicked() {
                cx.send(Action::ActivatePlan(index));
            }
            match &compared.outlook {
                Ok(outlook) => costs(ui, outlook, has_cache.then_some(model.facts.stored_width)),
                Err(error) => {
                    ui.label(RichText::new("impossible").color(theme.danger)).on_hover_text(worded(error));
                    for _ in 1..titles.len() - 2 {
                        ui.label("");
                    }
                }
            }
            match measured.get(index).copied().flatten() {
                Some(measured) => quality(ui, cx, measured, predicts),
                None => measure_button(ui, cx, index, compared),
            }
            if let Some(better) = beaten.get(index).and_then(|b| b.as_deref()) {
                ui.label(RichText::new(format!("beaten by {better}")).small().color(theme.warning))
                    .on_hover_text("It has no more parameters, is no worse, and is better in one of the two");
            }
            ui.end_row();
        }
    };
    ScrollArea::horizontal().id_salt("plans scroll").show(ui, |ui| table.show(ui, rows));
}

/// The quality of a plan where it was measured on this input.
fn measured<'a>(cx: Cx<'a>, compared: &ComparedPlan) -> Option<&'a Measured> {
    cx.state.measured_of(&compared.outlook.as_ref().ok()?.legal)
}

/// `cache` is the width of a cached number, where there is a cache.
fn costs(ui: &mut Ui, outlook: &Outlook, cache: Option<usize>) {
    let (before, after) = (outlook.before(), outlook.after());
    let mut cell = |before: u64, after: u64, unit: Unit| {
        let change = Unit::change(before as f64, after as f64).filter(|_| before != after);
        let text = unit.format(after as f64);
        ui.label(change.map_or_else(|| text.clone(), |change| format!("{text}  {change}")));
    };
    cell(before.heads, after.heads, Unit::Count);
    cell(before.parameters, after.parameters, Unit::Count);
    cell(before.flops_per_token, after.flops_per_token, Unit::Count);
    if let Some(width) = cache {
        cell(before.cache_bytes_per_token(width), after.cache_bytes_per_token(width), Unit::Bytes);
    }
}

fn quality(ui: &mut Ui, cx: Cx<'_>, measured: &Measured, predicts: bool) {
    let comparison = &measured.comparison;
    let text = if predicts {
        let of = |q: &Quality| Unit::Plain.format(q.perplexity.unwrap_or(f64::NAN));
        let words = |spread: &DrawSpread| {
            format!(", random {} ± {}", Unit::Plain.format(spread.mean), Unit::Plain.format(spread.deviation))
        };
        let of_one = || measured.random.as_ref().map(|random| format!(", random {}", of(random)));
        let random = measured.random_spread.get("perplexity").map(words).or_else(of_one).unwrap_or_default();
        format!("{}  whole {}{random}", of(&comparison.after), of(&comparison.before))
    } else {
        let random = measured.random_similarity.as_ref().map(|found| Unit::Plain.format(found.mean_cosine));
        let random = random.map(|random| format!(", random {random}")).unwrap_or_default();
        format!("{}{random}", Unit::Plain.format(comparison.similarity.mean_cosine))
    };
    ui.label(RichText::new(text).color(cx.theme.ink)).on_hover_text(format!("Measured on {}", measured.reading.input));
}

fn measure_button(ui: &mut Ui, cx: Cx<'_>, index: usize, compared: &ComparedPlan) {
    let is_ready = matches!(cx.state.checked, Some(Ok(_)))
        && compared.outlook.is_ok()
        && cx.state.jobs.get(JobKind::Measure).is_none();
    let button = ui.add_enabled(is_ready, Button::new("Measure").small());
    ui.ctx().accesskit_node_builder(button.id, |node| node.set_label(format!("Measure {}", compared.plan.title())));
    let button = button.on_disabled_hover_text("Not now: a measurement is running, or the settings need attention");
    if button.clicked() {
        cx.send(Action::MeasurePlan(index));
    }
}

/// For every plan the name of one that is at least as small and as good, and better at one of both.
fn beaten(plans: &[ComparedPlan], measured: &[Option<&Measured>]) -> Vec<Option<String>> {
    let points: Vec<Option<(u64, f64)>> = plans
        .iter()
        .zip(measured)
        .map(|(plan, measured)| {
            let size = plan.outlook.as_ref().ok()?.after().parameters;
            let comparison = &(*measured)?.comparison;
            Some((size, comparison.after.perplexity.unwrap_or(1.0 - comparison.similarity.mean_cosine)))
        })
        .collect();
    let beats = |a: (u64, f64), b: (u64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    points
        .iter()
        .map(|point| {
            let better = points.iter().position(|other| other.zip(*point).is_some_and(|(a, b)| beats(a, b)))?;
            plans.get(better).map(|plan| plan.plan.title())
        })
        .collect()
}
