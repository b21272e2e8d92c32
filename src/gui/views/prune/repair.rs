//! Repair of the plan: the switch, what was found out, quality with and without, the bars of every layer.

use std::sync::Arc;

use eframe::egui::{ComboBox, ProgressBar, RichText, Ui, vec2};

use crate::chart::{Picture, RepairBars, Unit};
use crate::corpus::InputUnit;
use crate::error::{Error, Result};
use crate::evaluation::Quality;
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::repairing::MadeRepair;
use crate::gui::state::State;
use crate::gui::views::shown::Draw;
use crate::gui::widgets::{PlotView, command_button, five_digits, headers, heading, note, number_cell, number_table};
use crate::repair::{RepairMode, explained};
use crate::task::Ticket;

const MEANING: &str = "The kept heads get new output projections that make up for the removed ones; nothing is trained";

/// The column of likeness to the whole model.
const COSINE_OF_EMBEDDINGS: &str = "cosine of embeddings";

/// Ways to repair that can be chosen, with what they do.
const MODES: [(RepairMode, &str); 4] = [
    (RepairMode::Auto, "Whichever of none, refit and stream does best on held-out batches"),
    (RepairMode::Refit, "Least squares for every layer by itself, on its output in the whole model"),
    (
        RepairMode::Stream,
        "Layer after layer on what the pruned model passes on, so that later ones mend what earlier ones lost",
    ),
    (RepairMode::Scale, "One factor for each kept head"),
];

/// The switch, the way, and the button.
pub(super) fn choice_ui(ui: &mut Ui, cx: Cx<'_>) {
    let (state, theme) = (cx.state, cx.theme);
    ui.add_space(4.0);
    let mut is_on = state.repairing.is_on();
    ui.horizontal_wrapped(|ui| {
        if ui.checkbox(&mut is_on, "Repair").on_hover_text(MEANING).changed() {
            cx.send(Action::SetRepair(if is_on { RepairMode::Auto } else { RepairMode::None }));
        }
        if !state.repairing.is_on() {
            return;
        }
        let now = state.repairing.mode;
        let combo = ComboBox::from_id_salt("repair mode").selected_text(now.name()).width(70.0).show_ui(ui, |ui| {
            for (mode, text) in MODES {
                if ui.selectable_label(mode == now, mode.name()).on_hover_text(text).clicked() {
                    cx.send(Action::SetRepair(mode));
                }
            }
        });
        ui.ctx().accesskit_node_builder(combo.response.id, |node| node.set_label("Way to repair"));
        match (state.jobs.get(JobKind::Repair), state.repair_now()) {
            (Some(job), _) => {
                let share = job.progress.fraction().unwrap_or(0.0) as f32;
                let bar = ProgressBar::new(share).desired_width(70.0).fill(theme.accent);
                ui.add(bar).accessible_name(format!("Progress: {}", job.title));
                if ui.button("Cancel").clicked() {
                    cx.send(Action::Cancel(JobKind::Repair));
                }
            }
            (None, Some(repair)) => {
                note(ui, theme, if repair.record.mode.repairs() { "done" } else { RepairMode::LEFT });
                command_button(ui, cx, Command::Repair, "Repair again");
            }
            (None, None) => {
                command_button(ui, cx, Command::Repair, "Repair now");
            }
        }
    });
    match state.jobs.get(JobKind::Repair) {
        Some(job) => note(ui, theme, job.words()),
        None => note(ui, theme, MEANING),
    }
}

/// What came of it, where the plan was repaired.
pub(super) fn result_ui(ui: &mut Ui, cx: Cx<'_>) {
    if let Some(made) = cx.state.made_repair().filter(|_| cx.state.repairing.is_on()) {
        heading(ui, cx.theme, "Repair");
        made_ui(ui, cx, made);
    }
}

/// What a repair came to.
fn made_ui(ui: &mut Ui, cx: Cx<'_>, MadeRepair { repair, is_own, .. }: &MadeRepair) {
    let (record, theme) = (&repair.record, cx.theme);
    let text = match record.mode {
        RepairMode::None => sentence(RepairMode::LEFT),
        mode => {
            // Second moments are sums over positions, of which an image has many.
            let of = if cx.state.unit() == InputUnit::Tokens { "tokens" } else { "positions" };
            format!("By {mode}, on {} {of} of {}", Unit::Count.format(record.tokens as f64), record.input)
        }
    };
    ui.label(RichText::new(text).color(theme.ink));
    if *is_own {
        note(ui, theme, "It came with the plan, which was measured with it");
    }
    if !record.measured.is_empty() {
        number_table(ui, "tried", 3, 14.0, |ui| {
            let loss = if cx.state.has_task() { "loss" } else { "loss per token" };
            let has_loss = record.measured.iter().any(|tried| tried.loss.is_some());
            headers(ui, theme, ["on held-out batches", if has_loss { loss } else { "" }, COSINE_OF_EMBEDDINGS]);
            for tried in &record.measured {
                let is_best = tried.mode == record.mode;
                let write = |text: String| if is_best { RichText::new(text).strong() } else { RichText::new(text) };
                ui.label(write(if tried.mode.repairs() { tried.mode.to_string() } else { "no repair".to_owned() }));
                number_cell(ui, loss, write(tried.loss.map(five_digits).unwrap_or_default()));
                number_cell(ui, COSINE_OF_EMBEDDINGS, write(five_digits(tried.cosine)));
                ui.end_row();
            }
        });
    }
    for text in &record.notes {
        ui.label(RichText::new(sentence(text)).small().color(theme.warning));
    }
}

/// Quality of the plan without repair and with it, side by side.
pub(super) fn quality_ui(ui: &mut Ui, cx: Cx<'_>) {
    let (state, theme) = (cx.state, cx.theme);
    let Some(plan) = state.legal_plan().filter(|_| state.repairing.is_on()) else { return };
    let (Some(masked), Some(repaired)) = (state.measured_as(plan, false), state.measured_as(plan, true)) else {
        return;
    };
    heading(ui, theme, "With repair and without");
    let predicts = masked.comparison.before.perplexity.is_some();
    // What a labeled task is measured by has a name of its own.
    let task = masked.comparison.before.task_metric().map(|(name, _)| name).filter(|_| !predicts);
    number_table(ui, "with and without", 4, 16.0, |ui| {
        let mut titles = vec![""];
        titles.extend(predicts.then_some(["loss per token", "perplexity"]).into_iter().flatten());
        titles.extend(task);
        titles.push(COSINE_OF_EMBEDDINGS);
        headers(ui, theme, titles);
        let mut row = |name: &str, quality: &Quality, cosine: f64| {
            let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), five_digits);
            ui.label(RichText::new(name).color(theme.muted));
            if predicts {
                number_cell(ui, "loss per token", number(quality.loss_per_token));
                number_cell(ui, "perplexity", RichText::new(number(quality.perplexity)).strong());
            }
            if let Some(task) = task {
                let found = number(quality.task_metric().map(|(_, found)| found.value));
                number_cell(ui, task, RichText::new(found).strong());
            }
            number_cell(ui, COSINE_OF_EMBEDDINGS, five_digits(cosine));
            ui.end_row();
        };
        row("whole model", &masked.comparison.before, 1.0);
        row("masked", &masked.comparison.after, masked.comparison.similarity.mean_cosine);
        let name = match repaired.repair {
            Some(RepairMode::None) | None => "repaired: left as it is".to_owned(),
            Some(mode) => format!("repaired by {mode}"),
        };
        row(&name, &repaired.comparison.after, repaired.comparison.similarity.mean_cosine);
    });
}

/// What every layer loses, where that is the picture.
pub(super) fn bars_ui(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>, height: f32) {
    let Some(Picture::Repair(bars)) = picture else {
        note(ui, cx.theme, "Working out what each layer loses");
        return;
    };
    if bars.rows.is_empty() {
        note(ui, cx.theme, "Every layer keeps all of its heads");
        return;
    }
    PlotView::new(&bars.plot(), vec2(ui.available_width(), height)).show(ui, cx.theme);
    if let Some(text) = bars.summary() {
        note(ui, cx.theme, text);
    }
    for text in &bars.caption.notes {
        note(ui, cx.theme, text.as_str());
    }
}

/// Whether there is something to tell of every layer: a repair, or second moments to foretell one.
pub(super) fn has_bars(state: &State) -> bool {
    let has_moments = state.results.as_ref().is_some_and(|results| results.moments.is_some());
    state.legal_plan().is_some() && (has_moments || state.repair_now().is_some())
}

/// What makes the bars: of the repair, where it was made, else of what a refit would leave.
pub(super) fn picture(state: &State) -> Result<Draw> {
    if let Some(repair) = state.repair_now().filter(|repair| repair.record.mode.repairs()) {
        let repair = Arc::clone(repair);
        return Ok(Box::new(move || Ok(Picture::Repair(RepairBars::of(&repair)))));
    }
    let missing = || Error::new("there are no second moments to draw").hint("run with second moments");
    let moments = state.results.as_ref().and_then(|results| results.moments.as_ref()).ok_or_else(missing)?;
    let (moments, plan) = (Arc::clone(&moments.moments), state.legal_plan().ok_or_else(missing)?.clone());
    let model = state.model.as_ref().map(|m| m.facts.name.clone()).unwrap_or_default();
    let subtitle = format!("{model} · {} · {}", state.draft.now().active().title(), moments.input);
    Ok(Box::new(move || {
        let found = explained(&moments, &plan, &Ticket::default())?;
        Ok(Picture::Repair(RepairBars::predicted(subtitle, &found, &plan.kept)))
    }))
}
