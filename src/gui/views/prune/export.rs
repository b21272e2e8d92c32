//! Writing the pruned checkpoint, with its proof.

use std::path::PathBuf;

use eframe::egui::{Button, ComboBox, Grid, RichText, Ui};

use crate::chart::Unit;
use crate::engines::Quantization;
use crate::error::Result;
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::purpose::PathPurpose;
use crate::gui::state::State;
use crate::gui::widgets::{Background, fact, facts, folder_field, headers, note, number_cell};
use crate::gui::wording::{compared_with, worded};
use crate::pruning::{Counts, Engine, Forecast, InputKind, OutputFormat, Report};
use crate::run::{PruneSpec, Spec};

/// What every format would give.
type Forecasts = Vec<(OutputFormat, Result<Forecast>)>;

/// The folder being typed.
#[derive(Default)]
pub(super) struct ExportPanel {
    folder: String,
    /// For the plan of this revision, repaired or not, and weights stored so; a format that is impossible says why in one
    /// line.
    told: Background<(u64, bool, Option<Quantization>), Forecasts>,
}

/// Up to so many layers, what formats give is told within a small part of a frame.
const QUICK: usize = 8;

impl ExportPanel {
    /// Draws the formats.
    pub(super) fn formats_ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let now = cx.state.export.format;
        self.forecast(ui, cx);
        let told = self.told.made().and_then(|told| told.as_ref().ok()).filter(|_| cx.state.legal_plan().is_some());
        formats(ui, cx, now, told.map_or(&[], Vec::as_slice));
    }

    /// Draws the folder and the button.
    pub(super) fn write_ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        let entered = folder_field(ui, cx, &mut self.folder, PathPurpose::Export);
        let path = self.folder.trim();
        let enabled = Command::Export.enabled(cx.state);
        ui.horizontal_wrapped(|ui| {
            let ready = enabled.is_ok() && !path.is_empty();
            let button = ui.add_enabled(ready, Button::new("Export")).on_hover_text(work_words(cx.state));
            let reason = enabled.err().unwrap_or("name a folder first");
            if button.on_disabled_hover_text(format!("Not now: {reason}")).clicked() || (ready && entered) {
                cx.send(Action::Path(PathPurpose::Export, PathBuf::from(path)));
            }
            if let Some(job) = cx.state.jobs.get(JobKind::Export) {
                if ui.button("Cancel").clicked() {
                    cx.send(Action::Cancel(JobKind::Export));
                }
                note(ui, theme, format!("{EXPORTING}{}", job.words()));
                return;
            }
            let mut force = cx.state.export.force;
            let hover = "Only a folder that holds nothing but an earlier export is ever replaced";
            if ui.checkbox(&mut force, "Replace an earlier export").on_hover_text(hover).changed() {
                cx.send(Action::SetExportForce(force));
            }
        });
    }

    /// Works out what every format would give where the plan changed.
    fn forecast(&mut self, ui: &Ui, cx: Cx<'_>) {
        let (Some(opened), Some(plan)) = (&cx.state.model, cx.state.legal_plan()) else { return };
        let key = (cx.state.plan_revision, cx.state.repairing.is_on(), cx.state.export.quantization);
        if self.told.is_asked(&key) {
            return;
        }
        let (opened, plan) = (opened.clone(), plan.clone());
        let is_quick = opened.facts.shape.sites().len() <= QUICK;
        let is_repaired = cx.state.repairing.is_on();
        let wanted: Vec<PruneSpec> = OutputFormat::all()
            .map(|format| {
                let quantization = cx.state.export.quantization_of(format);
                PruneSpec { format, quantization, ..PruneSpec::default() }
            })
            .collect();
        let make = move || {
            let checked = Spec::default().check_without_input(&opened).map_err(crate::run::refusal)?;
            let tell = |wanted: &PruneSpec| (wanted.format, checked.forecast(&plan, is_repaired, wanted));
            Ok(wanted.iter().map(tell).collect())
        };
        self.told.get_keyed(ui.ctx(), key, is_quick, make);
    }
}

/// What stands before how far an export is.
const EXPORTING: &str = "Exporting: ";

/// What an export is going to do.
fn work_words(state: &State) -> String {
    let plan = state.legal_plan();
    let is_repaired = state.repairing.is_on() && plan.is_some_and(|plan| !state.keeps_all(plan));
    let repair = match (is_repaired, state.made_repair()) {
        (false, _) => "Writes the plan",
        (true, Some(_)) => "Writes the plan with the repair that was made for it",
        (true, None) => "Makes a repair of these heads first, which reads the text; then writes the plan",
    };
    let quality = match plan.and_then(|plan| state.measured_as(plan, is_repaired)) {
        Some(_) => "",
        None => " with random heads beside it",
    };
    format!("{repair}, proves it and measures its quality{quality}")
}

/// How the file of an engine stores weights.
fn storing(ui: &mut Ui, cx: Cx<'_>, engine: Engine) {
    // Where nothing is chosen: as exports without a word do.
    let usual = if engine == Engine::Onnx { "f32" } else { "as they are" };
    let now = cx.state.export.quantization_of(OutputFormat::Engine(engine));
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(RichText::new("Store weights").color(cx.theme.muted));
        let text = now.map_or_else(|| usual.to_owned(), |way| way.to_string());
        let combo = ComboBox::from_id_salt("quantization").selected_text(text).width(90.0).show_ui(ui, |ui| {
            if ui.selectable_label(now.is_none(), usual).clicked() {
                cx.send(Action::SetExportQuantization(None));
            }
            for way in Quantization::of(engine) {
                if ui.selectable_label(now == Some(*way), way.to_string()).on_hover_text(way.meaning()).clicked() {
                    cx.send(Action::SetExportQuantization(Some(*way)));
                }
            }
        });
        combo.response.labelled_by(label.id);
    });
}

/// The column of what generated tokens leave behind.
const CACHE: &str = "cache per token";

/// What every format would give, format by format, and of the chosen one what opens it.
fn formats(ui: &mut Ui, cx: Cx<'_>, now: OutputFormat, told: &[(OutputFormat, Result<Forecast>)]) {
    let theme = cx.theme;
    let of = |format: OutputFormat| told.iter().find(|(f, _)| *f == format).map(|(_, told)| told);
    let caches = told.iter().any(|(_, told)| told.as_ref().is_ok_and(|t| t.cache_bytes_per_token.before > 0));
    Grid::new("formats").num_columns(4).spacing([12.0, 2.0]).show(ui, |ui| {
        headers(ui, theme, ["", "parameters", "weights", if caches { CACHE } else { "" }]);
        for format in OutputFormat::all() {
            if ui.radio(now == format, format.name()).on_hover_text(format.meaning()).clicked() {
                cx.send(Action::SetExportFormat(format));
            }
            match of(format) {
                Some(Ok(told)) => {
                    number_cell(ui, "parameters", Unit::Count.format(told.parameters.after as f64));
                    number_cell(ui, "weights", Unit::Bytes.format(told.bytes.after as f64));
                    if caches {
                        number_cell(ui, CACHE, Unit::Bytes.format(told.cache_bytes_per_token.after as f64));
                    }
                }
                Some(Err(error)) => {
                    ui.label(RichText::new("not available").color(theme.muted)).on_hover_text(worded(error));
                }
                None => {}
            }
            ui.end_row();
        }
    });
    note(ui, theme, now.meaning());
    if let OutputFormat::Engine(engine) = now {
        storing(ui, cx, engine);
    }
    match of(now) {
        Some(Ok(told)) => {
            note(ui, theme, format!("Opens in: {}", told.opens_in.join(" · ")));
            for text in &told.notes {
                note(ui, theme, text.as_str());
            }
        }
        Some(Err(error)) => {
            ui.label(RichText::new(worded(error)).color(theme.danger));
        }
        None => {}
    }
}

/// Draws what the last export came to.
pub(super) fn result_ui(ui: &mut Ui, cx: Cx<'_>) {
    if let Some(error) = &cx.state.export.failure {
        ui.label(RichText::new(worded(error)).color(cx.theme.danger));
    }
    if let Some((path, report)) = &cx.state.export.done {
        if cx.state.legal_plan().is_some_and(|plan| plan.kept != report.plan.kept) {
            note(ui, cx.theme, "What was written last is of other heads than those that stay now:");
        }
        proof(ui, cx, path, report);
    }
}

fn proof(ui: &mut Ui, cx: Cx<'_>, path: &std::path::Path, report: &Report) {
    let theme = cx.theme;
    ui.add_space(4.0);
    let equal = format!("Proved equal to the {}", compared_with(report.agreement.reference));
    ui.label(RichText::new(equal).strong().color(theme.good));
    facts(ui, "proof", |ui| {
        let agreement = &report.agreement;
        let plain = |v: f64| Unit::Plain.format(v);
        fact(ui, theme, "Folder", path.display().to_string()).on_hover_text(path.display().to_string());
        fact(ui, theme, "Compared", agreement.compared.replace('_', " "));
        let relative = format!("{} of the largest value", plain(agreement.relative));
        fact(ui, theme, "Difference", relative);
        let input = match agreement.input {
            InputKind::Given => "the run's input",
            InputKind::Random => "random input",
        };
        fact(ui, theme, "On", format!("{} positions of {input}", agreement.positions));
        let size = |n: u64| Unit::Bytes.format(n as f64);
        fact(ui, theme, "Size", format!("{} to {}", size(report.bytes.before), size(report.bytes.after)));
        if let Some(speed) = &report.speed {
            let (before, unit) = (speed.before.tokens_per_sec, speed.before.unit.noun());
            fact(ui, theme, "Speed", format!("{}, from {before:.0} {unit} per second", speed.change()));
        }
        let Counts { before, after } = report.heads;
        fact(ui, theme, "Heads", format!("{after} of {before}"));
        let measured = report.measured.as_ref();
        let on = match measured {
            Some(measured) => format!("Against the model before pruning, on {}", measured.reading.input),
            None => "Against the model before pruning, on what the proof read".to_owned(),
        };
        // Measured on the whole input where there is one; the proof reads the first batches alone.
        if let Some(share) = measured.map_or(report.change.top1, |measured| measured.comparison.agreement) {
            let name = if cx.state.has_task() { "Same answer" } else { "Same first token" };
            fact(ui, theme, name, Unit::Share.format(share)).on_hover_text(&on);
        }
        if let Some(loss) = measured.and_then(|m| m.comparison.after.loss_per_token) {
            let name = if cx.state.has_task() { "Loss" } else { "Loss per token" };
            fact(ui, theme, name, plain(loss)).on_hover_text(on);
        }
    });
    for text in &report.notes {
        note(ui, theme, text.as_str());
    }
}
