//! Every plan beside the others: what it saves, how good it is, and whether another is better at both.

use eframe::egui::{Button, Grid, Label, RichText, ScrollArea, TextWrapMode, Ui};

use crate::chart::Unit;
use crate::evaluation::{COSINE, Measured, Quality};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::widgets::{command_button, headers, heading, note};
use crate::gui::wording::worded;
use crate::plan::Cost;
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
    let gauge = PlanGauge::of(cx, measured.iter().copied().flatten());
    let has_cache = state.compared.iter().any(|c| c.outlook.as_ref().is_ok_and(|o| o.before().cache_per_token > 0));
    let width = has_cache.then_some(model.facts.stored_width);
    let beaten = beaten(&state.compared, &measured, &gauge);
    let flops = model.model.spec().last_stack().map_or("token", |stack| stack.input.position());
    let flops = format!("FLOPs\nper {flops}");
    // Quality stands beside the name: where the view is narrow, what has to be scrolled to is what matters least.
    let mut titles = vec!["plan", gauge.title(), "heads", "parameters", flops.as_str()];
    titles.extend(has_cache.then_some("cache\nper token"));
    let table = Grid::new("plans side by side").num_columns(titles.len()).spacing([10.0, 4.0]);
    let rows = |ui: &mut Ui| {
        // Of names there may be several lines, a number is never broken.
        ui.style_mut().wrap_mode = Some(TextWrapMode::Extend);
        headers(ui, theme, &titles);
        let whole = state.compared.iter().find_map(|c| c.outlook.as_ref().ok());
        if let Some(outlook) = whole {
            ui.label(RichText::new("whole model").color(theme.muted));
            let before = measured.iter().copied().flatten().next().and_then(|m| gauge.before(m));
            ui.label(before.map_or_else(|| "–".to_owned(), |value| Unit::Plain.format(value)));
            costs(ui, cx, (outlook.before(), outlook.before()), width);
            ui.end_row();
        }
        for (index, compared) in state.compared.iter().enumerate() {
            let better = beaten.get(index).and_then(|b| b.as_deref());
            name(ui, cx, index, compared, better);
            match measured.get(index).copied().flatten() {
                Some(measured) => quality(ui, cx, compared, measured, &gauge),
                None => measure_button(ui, cx, index, compared),
            }
            match &compared.outlook {
                Ok(outlook) => costs(ui, cx, (outlook.before(), outlook.after()), width),
                Err(error) => {
                    ui.label(RichText::new("impossible").color(theme.danger)).on_hover_text(worded(error));
                }
            }
            ui.end_row();
        }
    };
    ScrollArea::horizontal().id_salt("plans scroll").show(ui, |ui| table.show(ui, rows));
}

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

/// By what plans are compared: what this model and this input can be measured by.
enum PlanGauge {
    Perplexity,
    /// The metric that stands for a task, and whether more of it is better.
    Task(String, bool),
    Cosine,
}

impl PlanGauge {
    fn of<'a>(cx: Cx<'_>, mut measured: impl Iterator<Item = &'a Measured>) -> Self {
        if let Some(first) = measured.next() {
            let before = &first.comparison.before;
            return match before.task_metric() {
                _ if before.perplexity.is_some() => Self::Perplexity,
                Some((name, found)) => Self::Task(name.to_owned(), found.rises.unwrap_or(true)),
                None => Self::Cosine,
            };
        }
        // Before anything is measured: what it will be, as far as the input says.
        let all = cx.state.quality_measures();
        match all.get(1).filter(|_| cx.state.has_task()) {
            Some(name) if name != COSINE => Self::Task(name.clone(), true),
            Some(_) => Self::Cosine,
            None if cx.state.model.as_ref().is_some_and(|m| m.model.spec().predicts_tokens()) => Self::Perplexity,
            None => Self::Cosine,
        }
    }

    fn title(&self) -> &str {
        match self {
            Self::Perplexity => "perplexity",
            Self::Task(name, _) => name,
            Self::Cosine => "cosine of\nembeddings",
        }
    }

    fn of_quality(&self, quality: &Quality) -> Option<f64> {
        match self {
            Self::Perplexity => quality.perplexity,
            Self::Task(name, _) => quality.metrics.get(name).map(|found| found.value),
            Self::Cosine => None,
        }
    }

    /// Of the whole model.
    fn before(&self, measured: &Measured) -> Option<f64> {
        match self {
            Self::Cosine => Some(1.0),
            _ => self.of_quality(&measured.comparison.before),
        }
    }

    fn after(&self, measured: &Measured) -> Option<f64> {
        match self {
            Self::Cosine => Some(measured.comparison.similarity.mean_cosine),
            _ => self.of_quality(&measured.comparison.after),
        }
    }

    /// Of the random heads beside the plan, in words: mean and standard deviation of several draws.
    fn random(&self, measured: &Measured) -> Option<String> {
        let (name, one) = match self {
            Self::Perplexity => ("perplexity", measured.random.as_ref().and_then(|random| self.of_quality(random))),
            Self::Task(name, _) => (name.as_str(), measured.random.as_ref().and_then(|r| self.of_quality(r))),
            Self::Cosine => ("cosine", measured.random_similarity.as_ref().map(|found| found.mean_cosine)),
        };
        let number = |value: f64| Unit::Plain.format(value);
        match measured.random_spread.get(name).filter(|spread| spread.count > 1) {
            Some(spread) => Some(format!("{} ± {}", number(spread.mean), number(spread.deviation))),
            None => one.map(number),
        }
    }

    /// So that less is better.
    fn loss(&self, measured: &Measured) -> Option<f64> {
        let value = self.after(measured)?;
        Some(if matches!(self, Self::Perplexity | Self::Task(_, false)) { value } else { -value })
    }
}

/// What is left, and below how much less that is. `cache` is the width of a cached number, where there is a cache.
fn costs(ui: &mut Ui, cx: Cx<'_>, (before, after): (&Cost, &Cost), cache: Option<usize>) {
    let mut cell = |before: u64, after: u64, unit: Unit| {
        ui.vertical(|ui| {
            ui.label(unit.format(after as f64));
            if let Some(change) = Unit::change(before as f64, after as f64).filter(|_| before != after) {
                note(ui, cx.theme, change);
            }
        });
    };
    cell(before.heads, after.heads, Unit::Count);
    cell(before.parameters, after.parameters, Unit::Count);
    cell(before.flops_per_token, after.flops_per_token, Unit::Count);
    if let Some(width) = cache {
        cell(before.cache_bytes_per_token(width), after.cache_bytes_per_token(width), Unit::Bytes);
    }
}

/// How good a plan is, and below how good as many random heads are.
fn quality(ui: &mut Ui, cx: Cx<'_>, compared: &ComparedPlan, measured: &Measured, gauge: &PlanGauge) {
    let legal = compared.outlook.as_ref().ok().map(|outlook| &outlook.legal);
    ui.vertical(|ui| {
        let text = gauge.after(measured).map_or_else(|| "–".to_owned(), |value| Unit::Plain.format(value));
        ui.label(RichText::new(text).strong().color(cx.theme.ink))
            .on_hover_text(format!("Measured on {}", measured.reading.input));
        let is_to_repair = cx.state.repairing.is_on() && legal.is_some_and(|plan| !cx.state.keeps_all(plan));
        if is_to_repair && measured.repair.is_none() {
            ui.label(RichText::new("not repaired").small().color(cx.theme.warning));
        }
        if let Some(random) = gauge.random(measured) {
            ui.label(RichText::new(format!("random {random}")).small().color(cx.theme.muted)).on_hover_text(
                "As many heads in every layer, drawn at random: mean and standard deviation of the draws",
            );
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
fn beaten(plans: &[ComparedPlan], measured: &[Option<&Measured>], gauge: &PlanGauge) -> Vec<Option<String>> {
    let points: Vec<Option<(u64, f64)>> = plans
        .iter()
        .zip(measured)
        .map(|(plan, measured)| {
            let size = plan.outlook.as_ref().ok()?.after().parameters;
            Some((size, gauge.loss((*measured)?)?))
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
