//! Every plan beside the others: what it saves, how good it is, and whether another is better at both.

use eframe::egui::{Button, Label, RichText, Ui};

use crate::chart::Unit;
use crate::evaluation::{LOSS, Measured, Speeds, Standing};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::state::State;
use crate::gui::widgets::{command_button, five_digits, headers, heading, note, number_cell, number_table};
use crate::gui::wording::worded;
use crate::plan::{Cost, Plan};
use crate::workspace::ComparedPlan;

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
    let measured: Vec<Option<&Measured>> = state.compared.iter().map(|c| measured(cx, c)).collect();
    let (budget, metric) = state.quality_budget();
    let of = |m: &Option<&Measured>| m.and_then(|m| Standing::of(m, budget, metric.as_deref()));
    let standings: Vec<Option<Standing>> = measured.iter().map(of).collect();
    let has_cache = state.compared.iter().any(|c| c.outlook.as_ref().is_ok_and(|o| o.before().cache_per_token > 0));
    let width = has_cache.then_some(model.facts.stored_width);
    let beaten = beaten(&state.compared, &standings);
    let flops = model.model.spec().last_stack().map_or("token", |stack| stack.input.position());
    let flops = format!("FLOPs\nper {flops}");
    let rate = format!("{}/s", state.unit().noun());
    let measure = measure(cx, &standings);
    // Quality stands beside the name: where the view is narrow, what has to be scrolled to is what matters least.
    let mut titles =
        vec!["plan", measure.as_str(), "random\nheads", "heads", rate.as_str(), "parameters", flops.as_str()];
    titles.extend(has_cache.then_some("cache\nper token"));
    number_table(ui, "plans side by side", titles.len(), 10.0, |ui| {
        headers(ui, theme, &titles);
        let whole = state.compared.iter().find_map(|c| c.outlook.as_ref().ok());
        if let Some(outlook) = whole {
            let first = measured.iter().copied().flatten().next();
            let before = standings.iter().flatten().next().map_or_else(|| "–".to_owned(), |s| five_digits(s.whole));
            let rate = first.and_then(|measured| measured.comparison.before.rate());
            ui.vertical(|ui| number_cell(ui, "whole model", RichText::new("whole model").color(theme.muted)));
            ui.vertical(|ui| number_cell(ui, &measure, before));
            ui.vertical(|ui| ui.label("–"));
            costs(ui, cx, (outlook.before(), outlook.before()), (&flops, width), |ui| {
                let rate = rate.map_or_else(|| "–".to_owned(), |rate| Unit::Count.format(rate.round()));
                ui.vertical(|ui| number_cell(ui, RATE, rate));
            });
            ui.end_row();
        }
        for (index, compared) in state.compared.iter().enumerate() {
            let better = beaten.get(index).and_then(|b| b.as_deref());
            name(ui, cx, index, compared, better);
            let found = measured.get(index).copied().flatten();
            match found {
                Some(measured) => quality(ui, cx, compared, measured, standings.get(index).and_then(Option::as_ref)),
                None => {
                    ui.vertical(|ui| measure_button(ui, cx, index, compared));
                    ui.vertical(|ui| ui.label("–"));
                }
            }
            match &compared.outlook {
                Ok(outlook) => costs(ui, cx, (outlook.before(), outlook.after()), (&flops, width), |ui| {
                    speed(ui, cx, &outlook.legal, found);
                }),
                Err(error) => {
                    ui.label(RichText::new("impossible").color(theme.danger)).on_hover_text(worded(error));
                }
            }
            ui.end_row();
        }
    });
}

/// What a rate means, whatever it counts.
const RATE: &str = "tokens/s";
/// Widest that the name of a plan may be before it is broken into lines.
const NAME: f32 = 130.0;

/// The name of a plan, which edits it, and below whether another beats it.
fn name(ui: &mut Ui, cx: Cx<'_>, index: usize, compared: &ComparedPlan, better: Option<&str>) {
    let is_active = index == cx.state.draft.now().active_index();
    ui.vertical(|ui| {
        ui.set_max_width(NAME);
        let title = compared.plan.title();
        let button = ui.add(Button::selectable(is_active, title.as_str()).wrap());
        if button.on_hover_text(format!("Edit {title}")).clicked() {
            cx.send(Action::ActivatePlan(index));
        }
        if let Some(better) = better {
            let text = RichText::new(format!("beaten by {better}")).small().color(cx.theme.warning);
            ui.add(Label::new(text).truncate()).on_hover_text(format!(
                "{better} has no more parameters, is no worse, and is better in one of the two"
            ));
        }
    });
}

/// The quality of a plan where it was measured on this input.
fn measured<'a>(cx: Cx<'a>, compared: &ComparedPlan) -> Option<&'a Measured> {
    cx.state.measured_of(&compared.outlook.as_ref().ok()?.legal)
}

/// By what plans are compared, in a word: what the verdict is of, or will be once something is measured.
fn measure(cx: Cx<'_>, standings: &[Option<Standing>]) -> String {
    let known = standings.iter().flatten().next().map(|standing| standing.measure.clone());
    let chosen = || cx.state.quality_budget().1.or_else(|| cx.state.quality_measures().into_iter().next());
    known.or_else(chosen).unwrap_or_else(|| LOSS.to_owned())
}

/// What is left, and below how much less that is; `speed` stands beside the heads, which it is bought with. `cache` is the width
/// of a cached number, where there is a cache.
fn costs(
    ui: &mut Ui,
    cx: Cx<'_>,
    (before, after): (&Cost, &Cost),
    (flops, cache): (&str, Option<usize>),
    speed: impl FnOnce(&mut Ui),
) {
    let cell = |ui: &mut Ui, column: &str, before: u64, after: u64, unit: Unit| {
        ui.vertical(|ui| {
            number_cell(ui, column, unit.format(after as f64));
            if let Some(change) = Unit::change(before as f64, after as f64).filter(|_| before != after) {
                number_cell(ui, "change", RichText::new(change).small().color(cx.theme.muted));
            }
        });
    };
    cell(ui, "heads", before.heads, after.heads, Unit::Count);
    speed(ui);
    cell(ui, "parameters", before.parameters, after.parameters, Unit::Count);
    cell(ui, flops, before.flops_per_token, after.flops_per_token, Unit::Count);
    if let Some(width) = cache {
        let [before, after] = [before, after].map(|cost| cost.cache_bytes_per_token(width));
        cell(ui, "cache per token", before, after, Unit::Bytes);
    }
}

/// How good a plan is, below that what it changes with its interval, and beside it how good as many random heads are: the
/// numbers of the verdict.
fn quality(ui: &mut Ui, cx: Cx<'_>, compared: &ComparedPlan, measured: &Measured, standing: Option<&Standing>) {
    let legal = compared.outlook.as_ref().ok().map(|outlook| &outlook.legal);
    ui.vertical(|ui| {
        let text = standing.map_or_else(|| "–".to_owned(), |standing| five_digits(standing.now));
        ui.label(RichText::new(text).strong().color(cx.theme.ink)).on_hover_text(format!(
            "Measured on {}; below what changed, and its 95 % interval",
            measured.reading.input
        ));
        for (line, of) in standing.iter().flat_map(|s| change_lines(s).into_iter().map(|line| (line, &s.measure))) {
            number_cell(ui, of, RichText::new(line).small().color(cx.theme.muted));
        }
        let is_to_repair = cx.state.repairing.is_on() && legal.is_some_and(|plan| !cx.state.keeps_all(plan));
        if is_to_repair && measured.repair.is_none() {
            ui.label(RichText::new("not repaired").small().color(cx.theme.warning));
        }
    });
    ui.vertical(|ui| match standing.and_then(|standing| standing.random.as_ref()) {
        Some(drawn) => {
            let meaning = "As many heads in every layer, drawn at random: mean and standard deviation of the draws";
            ui.label(five_digits(drawn.mean)).on_hover_text(meaning);
            note(ui, cx.theme, format!("± {}", five_digits(drawn.deviation)));
        }
        None => {
            let why = measured.random_missing_words().unwrap_or_else(|| "not measured".to_owned());
            ui.label("–").on_hover_text(sentence(&why));
        }
    });
}

/// What a plan changes, and the ends of its interval in a line of their own.
fn change_lines(standing: &Standing) -> Vec<String> {
    let interval = standing.interval.as_ref().map(|(low, high)| format!("{low} to {high}"));
    std::iter::once(standing.change.clone()).chain(interval).collect()
}

/// How fast a plan is as it was exported, where it was.
pub(super) fn exported_speed<'a>(state: &'a State, legal: &Plan) -> Option<&'a Speeds> {
    let (_, report) = state.export.done.as_ref().filter(|(_, report)| report.plan.kept == legal.kept)?;
    report.speed.as_ref()
}

/// How fast the masked model was, and how much faster the plan was as it was exported.
fn speed(ui: &mut Ui, cx: Cx<'_>, legal: &Plan, measured: Option<&Measured>) {
    let rate = measured.and_then(|measured| measured.comparison.after.rate());
    ui.vertical(|ui| {
        number_cell(ui, RATE, rate.map_or_else(|| "–".to_owned(), |rate| Unit::Count.format(rate.round())));
        match exported_speed(cx.state, legal) {
            Some(speeds) => {
                let times = speeds.measurable().map(|times| format!("{times:.2} times"));
                let text = RichText::new(times.unwrap_or_else(|| "the same".to_owned())).small().color(cx.theme.muted);
                ui.label(text)
                    .on_hover_text(format!("As it was exported, beside the whole model: {}", speeds.change()));
            }
            None if rate.is_some() => note(ui, cx.theme, "masked"),
            None => {}
        }
    });
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
pub(super) fn beaten(plans: &[ComparedPlan], standings: &[Option<Standing>]) -> Vec<Option<String>> {
    let points: Vec<Option<(u64, f64)>> = plans
        .iter()
        .zip(standings)
        .map(|(plan, standing)| {
            let (size, standing) = (plan.outlook.as_ref().ok()?.after().parameters, standing.as_ref()?);
            Some((size, if standing.is_less_better { standing.now } else { -standing.now }))
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
