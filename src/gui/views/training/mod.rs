//! A training run as it happens: what it is asked to do on the left, its curves on the right.

mod curves;
mod form;

use std::path::PathBuf;

use eframe::egui::{Button, RichText, ScrollArea, TextEdit, Ui};

use super::super::action::{Action, PathPurpose};
use super::super::app::Cx;
use super::super::command::Command;
use super::super::jobs::JobKind;
use super::super::state::State;
use super::super::widgets::{command_button, empty, fact, facts, heading, note};
use super::Draw;
use crate::error::{Error, Result};
use crate::figure::{self, Unit};
use crate::training::{Outcome, Summary};

/// The folder being typed.
#[derive(Default)]
pub struct Training {
    folder: String,
}

/// What draws its picture.
pub fn picture(state: &State) -> Result<Draw> {
    let Some((out, watched)) = &state.training.watched else {
        return Err(Error::new("there is no training run to draw"));
    };
    let figure = curves::figure(out, &watched.told());
    Ok(Box::new(move || Ok(figure.figure(&figure::Theme::LIGHT))))
}

impl Training {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let room = ui.available_width();
        let left = (room * 0.34).clamp(240.0, 320.0);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| {
                    ui.set_width(left);
                    form::ui(ui, cx);
                    self.start_ui(ui, cx);
                });
                ui.add_space(14.0);
                ui.vertical(|ui| {
                    ui.set_width((room - left - 36.0).max(220.0));
                    right(ui, cx);
                });
            });
        });
    }

    fn start_ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        heading(ui, theme, "Start");
        ui.horizontal(|ui| {
            let label = ui.label(RichText::new("Folder").color(theme.muted));
            let width = (ui.available_width() - 80.0).max(60.0);
            let field = TextEdit::singleline(&mut self.folder).hint_text("New folder to write").desired_width(width);
            ui.add(field).labelled_by(label.id);
            if ui.button("Browse…").clicked() {
                cx.send(Action::AskPath(PathPurpose::Train));
            }
        });
        let training = &cx.state.training;
        let (mut scratch, mut resume) = (training.from_scratch, training.resume);
        ui.checkbox(&mut scratch, "From fresh weights").on_hover_text("Only config.json of the model counts");
        ui.checkbox(&mut resume, "Go on with the run in the folder");
        if (scratch, resume) != (training.from_scratch, training.resume) {
            cx.send(Action::SetTrainingStart(scratch, resume));
        }
        if cx.state.jobs.get(JobKind::Train).is_some() {
            let paused = training.watched.as_ref().is_some_and(|(_, w)| w.control.is_paused());
            ui.horizontal_wrapped(|ui| {
                command_button(ui, cx, Command::PauseTraining, if paused { "Go on" } else { "Pause" });
                command_button(ui, cx, Command::VoteNow, "Vote now");
                command_button(ui, cx, Command::StopTraining, "Stop");
            });
            return;
        }
        let (path, enabled) = (self.folder.trim(), Command::Train.enabled(cx.state));
        let fault = training.settings.check().err();
        let ready = enabled.is_ok() && !path.is_empty() && fault.is_none();
        let reason = enabled.err().unwrap_or("name a folder, and see above");
        let button = ui.add_enabled(ready, Button::new("Train"));
        if button.on_disabled_hover_text(format!("Not now: {reason}")).clicked() {
            cx.send(Action::Path(PathPurpose::Train, PathBuf::from(path)));
        }
        if let Some(error) = fault {
            ui.label(RichText::new(error.to_string()).small().color(theme.warning));
        }
    }
}

fn right(ui: &mut Ui, cx: Cx<'_>) {
    let training = &cx.state.training;
    if let Some(error) = &training.failure {
        ui.label(RichText::new(error.to_string()).color(cx.theme.danger));
    }
    let Some((out, watched)) = &training.watched else {
        let text = "Training makes the heads of a group alike, so that one can stand for all. Its curves appear here";
        empty(ui, cx, "No training run yet", text, None);
        return;
    };
    let told = watched.told();
    heading(ui, cx.theme, &format!("{}: {}", out.display(), told.stage.name()));
    if let Some(last) = told.records.last() {
        let speed = Unit::Count.format(last.tokens_per_second.round());
        note(ui, cx.theme, format!("step {} of this stage, {speed} tokens/s", last.step));
    } else if cx.state.jobs.get(JobKind::Train).is_some() {
        note(ui, cx.theme, "The first record comes after a few steps");
    }
    for text in told.notes.iter().rev().take(3) {
        ui.label(RichText::new(text).small().color(cx.theme.warning));
    }
    if let Some(summary) = &training.summary {
        summary_ui(ui, cx, out, summary);
    }
    curves::ui(ui, cx, &told);
}

fn summary_ui(ui: &mut Ui, cx: Cx<'_>, out: &std::path::Path, summary: &Summary) {
    let theme = cx.theme;
    let number = |v: Option<f64>| Unit::Plain.format(v.map_or(f64::NAN, f64::exp));
    facts(ui, "summary", |ui| {
        fact(ui, theme, "Perplexity, all heads", number(summary.full_loss));
        fact(ui, theme, "after masking", number(summary.masked_loss));
        fact(ui, theme, "after fine-tuning", number(summary.final_loss));
        let count = |n: u64| Unit::Count.format(n as f64);
        let sizes = format!("{} to {}", count(summary.parameters_before), count(summary.parameters_after));
        fact(ui, theme, "Parameters", sizes);
    });
    if summary.outcome == Outcome::Done && ui.button("Open the result").clicked() {
        cx.send(Action::Path(PathPurpose::Open, out.to_path_buf()));
    }
}
