//! A training run as it happens: what it is asked to do on the left, its curves on the right.

mod curves;
mod form;

use std::path::PathBuf;

use eframe::egui::{
    Align, Button, CentralPanel, Frame, Layout, Margin, Panel, ProgressBar, RichText, ScrollArea, Ui, vec2,
};

use super::shown::{Draw, PictureKey};
use crate::chart::{Picture, Unit};
use crate::error::{Error, Result};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::{FIRST_MOMENT, JobKind};
use crate::gui::messages::sentence;
use crate::gui::purpose::PathPurpose;
use crate::gui::state::State;
use crate::gui::widgets::{
    command_button, empty, fact, facts, fault, folder_field, headers, heading, held, note, number_cell, number_table,
};
use crate::gui::wording::{in_controls, worded};
use crate::pruning::StageQuality;
use crate::training::constraint::{Constraint, Diversity};
use crate::training::{HeldOut, Record, Stage, TrainingEnd, TrainingSummary};

/// The folder being typed.
#[derive(Default)]
pub(super) struct TrainingView {
    folder: String,
}

/// What the picture is made of.
pub(super) fn key(state: &State) -> PictureKey {
    let records = state.training.run.watched.as_ref().map(|(_, watched)| {
        let progress = watched.progress();
        (progress.records.len(), progress.stages.len())
    });
    PictureKey { records, ..PictureKey::default() }
}

/// What makes the picture.
pub(super) fn picture(state: &State) -> Result<Draw> {
    let Some((out, watched)) = &state.training.run.watched else {
        return Err(Error::new("there is no training run to draw"));
    };
    let (out, watched) = (out.clone(), watched.clone());
    Ok(Box::new(move || Ok(Picture::Training(curves::curves(&out, &watched.progress())))))
}

/// Height of the button that starts a run.
const START: f32 = 28.0;

impl TrainingView {
    pub(super) fn forget_model(&mut self) {
        self.folder.clear();
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        let frame = Frame::new().inner_margin(Margin { right: 10, ..Margin::ZERO });
        let left = (ui.available_width() * 0.36).clamp(220.0, 300.0);
        let side = Panel::left("training settings").frame(frame).default_size(left).min_size(200.0);
        side.show(ui, |ui| {
            held(ui, |ui| {
                // The button stays in sight however long the settings are.
                let foot = Frame::new().inner_margin(Margin { top: 4, ..Margin::ZERO });
                Panel::bottom("training start").frame(foot).show(ui, |ui| self.start_ui(ui, cx));
                ScrollArea::vertical().id_salt("training form").auto_shrink(false).show(ui, |ui| form::ui(ui, cx));
            });
        });
        let rest = Frame::new().inner_margin(Margin { left: 10, ..Margin::ZERO });
        CentralPanel::default().frame(rest).show(ui, |ui| {
            ScrollArea::vertical().id_salt("training curves").auto_shrink(false).show(ui, |ui| right(ui, cx, picture));
        });
    }

    fn start_ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        let entered = folder_field(ui, cx, &mut self.folder, PathPurpose::Train);
        let training = &cx.state.training;
        let (mut scratch, mut resume) = (training.from_scratch, training.resume);
        ui.checkbox(&mut scratch, "From fresh weights")
            .on_hover_text("Begin with random weights; only config.json of the model is used");
        ui.checkbox(&mut resume, "Resume the run in the folder");
        if (scratch, resume) != (training.from_scratch, training.resume) {
            cx.send(Action::SetTrainingStart(scratch, resume));
        }
        if let Some(job) = cx.state.jobs.get(JobKind::Train) {
            let paused = training.run.watched.as_ref().is_some_and(|(_, w)| w.control.is_paused());
            // A second click on Train lands on what stands here now, which minds none in the first moment.
            if job.has_just_begun() {
                ui.ctx().request_repaint_after(FIRST_MOMENT);
            }
            let share = job.progress.fraction().unwrap_or(0.0) as f32;
            let place = vec2(ui.available_width(), START);
            ui.allocate_ui_with_layout(place, Layout::left_to_right(Align::Center), |ui| {
                let bar = ProgressBar::new(share).desired_height(10.0).fill(theme.accent);
                ui.add(bar).accessible_name(format!("Progress: {}", job.title));
            });
            ui.horizontal_wrapped(|ui| {
                command_button(ui, cx, Command::PauseTraining, if paused { "Resume" } else { "Pause" });
                command_button(ui, cx, Command::VoteNow, "Vote now");
                command_button(ui, cx, Command::StopTraining, "Stop");
            });
            note(ui, theme, if paused { "Paused; nothing is computed".to_owned() } else { job.words() });
            if cx.state.jobs.is_elsewhere(JobKind::Train) {
                note(ui, theme, format!("This is work on another model, which goes on: {}", job.title));
            }
            return;
        }
        let (path, refusal) = (self.folder.trim(), Command::Train.refusal(cx.state));
        let fault = training.settings.check().err().map(|error| worded(&error));
        let ready = refusal.is_none() && !path.is_empty() && fault.is_none();
        let reason = refusal.as_deref().or(fault.as_deref()).unwrap_or("name a folder to write");
        let text = RichText::new("Train").strong().color(theme.on_accent);
        let size = vec2(ui.available_width(), START);
        let button = ui.add_enabled_ui(ready, |ui| ui.add_sized(size, Button::new(text).fill(theme.accent))).inner;
        if button.on_disabled_hover_text(format!("Not now: {reason}")).clicked() || (ready && entered) {
            cx.send(Action::Path(PathPurpose::Train, PathBuf::from(path)));
        }
        if let Some(fault) = &fault {
            ui.label(RichText::new(fault.as_str()).small().color(theme.warning));
        } else {
            // Always a line, so that nothing jumps under the pointer.
            let text = if ready { "Writes that folder; it can be paused and stopped" } else { reason };
            note(ui, theme, sentence(text));
        }
    }
}

fn right(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
    let training = &cx.state.training;
    if let Some(error) = &training.failure {
        fault(ui, cx.theme, error);
        if ui.button("Copy the message").clicked() {
            cx.send(Action::Copy(worded(error)));
        }
    }
    let Some((out, watched)) = &training.run.watched else {
        if let Some(why) = cx.state.missing_loss() {
            return empty(ui, cx, "Nothing to train", &sentence(why), None);
        }
        let text = "Training makes the heads of a group alike, so that one can stand for all. Name a folder on the \
                    left and press Train: its curves appear here";
        let input = Command::Train.enabled(cx.state).is_err().then_some((Command::ChooseInput, "Choose input…"));
        return empty(ui, cx, "No training run yet", text, input);
    };
    let progress = watched.progress();
    let stage = match &training.run.summary {
        Some(summary) if summary.outcome == TrainingEnd::Done => Stage::Done,
        _ => progress.stage,
    };
    heading(ui, cx.theme, &format!("{}: {}", out.display(), stage.name()));
    if let Some(last) = progress.records.last() {
        let speed = Unit::Count.format(last.tokens_per_second.round());
        let angle = angle(last, &training.settings.constraint)
            .map_or_else(String::new, |angle| format!(", hidden units at {angle:.0}° to each other"));
        note(ui, cx.theme, format!("Step {} of this stage, {speed} {}/s{angle}", last.step, cx.state.unit().noun()));
        look(ui, cx, &progress.records);
    } else if cx.state.jobs.get(JobKind::Train).is_some() {
        note(ui, cx.theme, "The first record comes after a few steps");
    }
    // Of a run that ended, what was measured stands below its table, after a restart too.
    let left_out = training.run.summary.as_ref().and_then(|summary| summary.held_out).and_then(HeldOut::sentence);
    for text in progress.notes.iter().rev().filter(|text| left_out.as_ref() != Some(*text)).take(3) {
        ui.label(RichText::new(sentence(&in_controls(text))).small().color(cx.theme.warning));
    }
    if training.run.is_resumable && cx.state.jobs.get(JobKind::Train).is_none() {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Resume").on_hover_text("Go on with it as it was begun").clicked() {
                cx.send(Action::ResumeTraining);
            }
            note(ui, cx.theme, "The run is not finished; its folder holds what it takes to go on");
        });
    }
    if let Some(summary) = &training.run.summary {
        summary_ui(ui, cx, out, summary);
    }
    drop(progress);
    if let Some(Picture::Training(drawn)) = picture {
        curves::ui(ui, cx.theme, drawn);
    }
}

/// What the last look at held-out data gave.
fn look(ui: &mut Ui, cx: Cx<'_>, records: &[Record]) {
    let Some((record, loss)) = records.iter().rev().find_map(|record| Some((record, record.validation_loss?))) else {
        return;
    };
    let mean = if record.per_label { "loss per label" } else { "loss per token" };
    let mut text = format!("Held out at step {}: {mean} {}", record.step, Unit::Plain.format(loss));
    if let Some((metric, name)) = record.metric.zip(record.metric_name.as_ref()) {
        text.push_str(&format!(", {name} {metric:.4}"));
    }
    if let Some(perplexity) = record.perplexity() {
        text.push_str(&format!(", perplexity {}", Unit::Plain.format(perplexity)));
    }
    note(ui, cx.theme, text);
}

/// The mean angle between hidden units in degrees: opposite ones (180) span one direction, 90 two.
fn angle(record: &Record, constraint: &Constraint) -> Option<f64> {
    let cosine = match constraint.diversity {
        Diversity::Cosine => record.diversification?,
        Diversity::SquaredCosine => record.diversification?.max(0.0).sqrt(),
    };
    Some(cosine.clamp(-1.0, 1.0).acos().to_degrees())
}

fn summary_ui(ui: &mut Ui, cx: Cx<'_>, out: &std::path::Path, summary: &TrainingSummary) {
    let theme = cx.theme;
    let stages = summary.stages();
    if !stages.is_empty() {
        number_table(ui, "quality of stages", 3, 12.0, |ui| {
            headers(ui, theme, ["on held-out data", summary.loss_name(), summary.beside()]);
            for StageQuality { name, loss, beside } in &stages {
                ui.label(RichText::new(name).color(theme.muted));
                number_cell(ui, summary.loss_name(), Unit::Plain.format(*loss));
                number_cell(ui, summary.beside(), beside.map_or_else(String::new, |value| Unit::Plain.format(value)));
                ui.end_row();
            }
        });
        // A thousandth of a metric means something of thousands of sequences alone.
        if summary.held_out.is_some() {
            let left_out = summary.held_out.and_then(HeldOut::sentence).map(|text| sentence(&in_controls(&text)));
            note(ui, theme, left_out.unwrap_or_else(|| format!("Measured on {}", summary.measured_on())));
        }
    }
    if let Some(early) = summary.early_vote() {
        ui.label(RichText::new(sentence(&early)).small().color(theme.warning));
    }
    facts(ui, "summary", |ui| {
        if let Some(score) = summary.final_translation {
            fact(ui, theme, "BLEU of held-out pairs", Unit::Plain.format(score.bleu));
        }
        // A run that was stopped has removed nothing yet.
        if summary.outcome == TrainingEnd::Done {
            let count = |n: u64| Unit::Count.format(n as f64);
            let sizes = format!("{} to {}", count(summary.parameters_before), count(summary.parameters_after));
            fact(ui, theme, "Parameters", sizes);
        }
    });
    if summary.outcome == TrainingEnd::Done && ui.button("Open the result").clicked() {
        cx.send(Action::Path(PathPurpose::Open, out.to_path_buf()));
    }
}
