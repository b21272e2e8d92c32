//! Quality of the plan beside the whole model and a random control, and the curve of every method.

use std::collections::BTreeMap;

use eframe::egui::{self, RichText, Ui, vec2};

use super::progress::progress;
use crate::chart::{Picture, Unit};
use crate::corpus::Reading;
use crate::evaluation::curve::DrawSpread;
use crate::evaluation::{Estimate, Measured, Quality};
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::widgets::{PlotView, command_button, five_digits, headers, heading, note, number_cell, number_table};
use crate::words::printed;

/// Names of the plan in the table.
pub(super) const MASKED: &str = "this plan";
/// What the last row is.
const HELD_AGAINST: &str =
    "As many heads in every layer, drawn at random five times, mean and standard deviation: a method has to beat this";
pub(super) const REPAIRED: &str = "this plan, repaired";

/// Draws what measures, and how far it is.
pub(super) fn measure_ui(ui: &mut Ui, cx: Cx<'_>) {
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::Measure, "Measure this plan");
        command_button(ui, cx, Command::MeasureCurves, "Measure the curve");
    });
    if let Some(part) = cx.state.measured_part() {
        note(ui, cx.theme, part);
    }
    // Beforehand: a repair takes longer than what a person may expect of a measurement.
    if let Some(words) = cx.state.measure_words().filter(|_| Command::Measure.enabled(cx.state).is_ok()) {
        note(ui, cx.theme, words);
    }
    for kind in [JobKind::Measure, JobKind::Curves] {
        progress(ui, cx, kind);
    }
    if cx.state.curves.is_none() && cx.state.jobs.get(JobKind::Curves).is_none() {
        note(ui, cx.theme, "The curve compares every method with random heads, from all heads down to a quarter");
    }
}

/// Draws the quality of the plan, and of plans before.
pub(super) fn result_ui(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    heading(ui, theme, "Quality");
    match cx.state.measured_now() {
        Some(measured) => table(ui, cx, measured, &super::budget::verdict_now(cx).sentence),
        None => note(
            ui,
            theme,
            match cx.state.searched_now() {
                Some(_) => {
                    "The search measured this plan, as the verdict says; measure it to see it by every measure and beside random \
                 heads"
                }
                None => {
                    "This plan was not measured on this input yet. Without the paper's training the loss can be large; \
                 measure before you export"
                }
            },
        ),
    }
    let others: Vec<&Measured> = cx.state.measured.iter().filter(|m| Some(*m) != cx.state.measured_now()).collect();
    if !others.is_empty() {
        egui::CollapsingHeader::new("Plans measured before").show(ui, |ui| {
            for (at, measured) in others.into_iter().enumerate() {
                let repaired = measured.repair_words();
                let text = format!("{}{repaired}, on {}", measured.name, measured.reading.input);
                ui.label(RichText::new(text).small().color(theme.muted));
                differences(ui, cx, &measured.reading, &measured.dtype);
                // The same heads may be measured on two parts of one input.
                ui.push_id(at, |ui| table(ui, cx, measured, ""));
            }
        });
    }
}

pub(super) fn curve_ui(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>, height: f32) {
    let theme = cx.theme;
    if let Some(curves) = &cx.state.curves {
        ui.add_space(6.0);
        note(ui, theme, format!("The curve was measured on {}", curves.reading.input));
        differences(ui, cx, &curves.reading, &curves.model.dtype);
        match picture {
            Some(Picture::Quality(drawn)) => {
                let size = vec2(ui.available_width(), height);
                let painted = PlotView::new(&drawn.plot(), size).show(ui, theme);
                super::budget::pick(ui, cx, &painted, curves);
                note(ui, theme, "Click a point of a method to make it a plan");
            }
            _ => note(ui, theme, "No point of the curve was measured yet"),
        }
    }
}

/// What would be read otherwise now than for a measurement.
fn differences(ui: &mut Ui, cx: Cx<'_>, reading: &Reading, dtype: &str) {
    for text in cx.state.measuring.reading_differences(reading, dtype) {
        ui.label(RichText::new(text).small().color(cx.theme.warning));
    }
}

/// What was measured. What `verdict` says of it already, beside the button of the export, is not said again.
fn table(ui: &mut Ui, cx: Cx<'_>, measured: &Measured, verdict: &str) {
    let theme = cx.theme;
    let comparison = &measured.comparison;
    let control = format!("random heads{}", measured.random_repair_words());
    let random = measured.random.as_ref().map(|random| (control.as_str(), random));
    let plan = if measured.is_repaired() { REPAIRED } else { MASKED };
    let candidates = [("whole model", &comparison.before), (plan, &comparison.after)];
    let predicts = comparison.before.perplexity.is_some();
    // The loss of a task is that of its labels; what predicts nothing is told by its likeness to the whole model alone.
    let has_loss = !predicts && comparison.before.loss_per_token.is_some();
    let cosine = |name: &str| match name {
        _ if name == control => measured.random_similarity.as_ref().map(|found| found.mean_cosine),
        MASKED | REPAIRED => Some(comparison.similarity.mean_cosine),
        _ => Some(1.0),
    };
    ui.push_id((&measured.name, &measured.reading.input, &measured.kept, measured.repair), |ui| {
        // A table wider than its column would push what stands below it out of sight.
        number_table(ui, "quality", 5, 12.0, |ui| {
            let rate = format!("{}/s", measured.reading.unit.noun());
            let titles: &[&str] = match (predicts, has_loss) {
                (true, _) => &["", "loss per token", "perplexity", "accuracy", &rate],
                (false, true) => &["", "loss", "cosine of embeddings", &rate],
                (false, false) => &["", "cosine of embeddings", &rate],
            };
            headers(ui, theme, titles);
            for (name, quality) in candidates.into_iter().chain(random) {
                // The numbers of random heads are in two lines too.
                let shown = if name == control { in_lines(name) } else { name.to_owned() };
                ui.label(RichText::new(shown).color(theme.muted)).on_hover_text(match name {
                    _ if name == control => HELD_AGAINST,
                    MASKED => "The same weights with the pruned heads masked",
                    REPAIRED => "The pruned heads masked, the others with new output projections",
                    _ => "As it was opened",
                });
                let spread = if name == control { Some(&measured.random_spread) } else { None };
                row(ui, quality, (!predicts).then(|| (has_loss, cosine(name))), spread);
                ui.end_row();
            }
        });
    });
    metrics(ui, cx, measured);
    let similarity = &comparison.similarity;
    let mut text = format!("Embeddings keep a mean cosine of {}", Unit::Plain.format(similarity.mean_cosine));
    if let Some(agreement) = comparison.agreement {
        let share = Unit::Share.format(agreement);
        text = match comparison.before.task {
            Some(_) => format!("{text}; {share} of the answers are the same"),
            None => format!("{text}; the same token is first in {share}"),
        };
    }
    if comparison.before.rate().or(comparison.after.rate()).is_some() {
        text += ". Speed is of the median batch, scoring included and heads masked; an export tells that of the smaller model";
    }
    note(ui, theme, text);
    let doubts = measured.in_sample_words().map(str::to_owned).into_iter().chain(measured.random_missing_words());
    for words in doubts.filter(|words| !verdict.contains(words.as_str())) {
        note(ui, theme, sentence(&words));
    }
    for (name, change) in comparison.changes() {
        note(ui, theme, format!("{} {change}", sentence(&name)));
    }
}

/// Metrics of a task, or of what the input asks, each with its direction, its interval and the items that it is from.
fn metrics(ui: &mut Ui, cx: Cx<'_>, measured: &Measured) {
    let (theme, comparison) = (cx.theme, &measured.comparison);
    // What the table above says.
    let shown_above = |name: &str| ["loss", "loss_per_token", "perplexity"].contains(&name);
    let is_token_share = |name: &str| name == "accuracy" && comparison.before.task.is_none();
    let own: Vec<_> =
        comparison.before.metrics.iter().filter(|(name, _)| !shown_above(name) && !is_token_share(name)).collect();
    if own.is_empty() {
        return;
    }
    let plan = if measured.is_repaired() { REPAIRED } else { MASKED };
    let control = format!("random\nheads{}", measured.random_repair_words());
    ui.push_id((&measured.name, &measured.kept, measured.repair, "metrics"), |ui| {
        number_table(ui, "task metrics", 5, 10.0, |ui| {
            headers(ui, theme, ["", "whole model\n(95 %)", &in_lines(plan), &in_lines(&control), "items"]);
            for (name, found) in own {
                let meaning = sentence(&found.convention);
                ui.vertical(|ui| {
                    ui.label(RichText::new(name).color(theme.muted)).on_hover_text(&meaning);
                    if !found.direction().is_empty() {
                        note(ui, theme, found.direction());
                    }
                });
                estimate(ui, cx, Some(found), |value| value, &meaning);
                estimate(ui, cx, comparison.after.metrics.get(name), RichText::strong, &meaning);
                match measured.random_spread.get(name).filter(|spread| spread.count > 1) {
                    Some(drawn) => {
                        ui.vertical(|ui| {
                            ui.label(printed(format!("{:.4}", drawn.mean))).on_hover_text(&meaning);
                            note(ui, theme, format!("± {:.4}", drawn.deviation));
                        });
                    }
                    None => {
                        let first = measured.random.as_ref().and_then(|random| random.metrics.get(name));
                        estimate(ui, cx, first, |value| value, &meaning);
                    }
                }
                ui.vertical(|ui| number_cell(ui, "items", Unit::Count.format(found.n as f64)));
                ui.end_row();
            }
        });
    });
}

/// A number, and below it the ends of its interval in small letters, so that all columns fit beside each other.
fn estimate(ui: &mut Ui, cx: Cx<'_>, found: Option<&Estimate>, weight: impl Fn(RichText) -> RichText, meaning: &str) {
    ui.vertical(|ui| {
        let value = found.map_or_else(|| "–".to_owned(), |found| printed(format!("{:.4}", found.value)));
        ui.label(weight(RichText::new(value))).on_hover_text(meaning);
        if let Some((low, high)) = found.and_then(|found| found.low.zip(found.high)) {
            note(ui, cx.theme, printed(format!("{low:.4} to {high:.4}")));
        }
    });
}

/// A name with what stands behind its comma in a line of its own, for narrow columns.
fn in_lines(name: &str) -> String {
    name.replace(", ", ",\n")
}

/// The numbers of a row; where no tokens are predicted, the `likeness` to the whole model, and whether there is a loss before
/// it. Of what was drawn several times the mean and standard deviation of its draws.
fn row(
    ui: &mut Ui,
    quality: &Quality,
    likeness: Option<(bool, Option<f64>)>,
    spread: Option<&BTreeMap<String, DrawSpread>>,
) {
    let number = |name: &str, value: Option<f64>, format: &dyn Fn(f64) -> String| {
        let drawn = spread.and_then(|spread| spread.get(name)).filter(|spread| spread.count > 1);
        match drawn {
            // In two lines, so that the columns are as narrow as those of one number.
            Some(drawn) => format!("{}\n± {}", format(drawn.mean), format(drawn.deviation)),
            None => value.map_or_else(|| "–".to_owned(), format),
        }
    };
    match likeness {
        Some((has_loss, cosine)) => {
            if has_loss {
                number_cell(ui, "loss", number("loss_per_token", quality.loss_per_token, &five_digits));
            }
            let cosine = number("cosine", cosine, &five_digits);
            number_cell(ui, "cosine of embeddings", RichText::new(cosine).strong());
        }
        None => {
            let perplexity = number("perplexity", quality.perplexity, &five_digits);
            let accuracy = number("accuracy", quality.accuracy, &|share| Unit::Share.format(share));
            number_cell(ui, "loss per token", number("loss_per_token", quality.loss_per_token, &five_digits));
            number_cell(ui, "perplexity", RichText::new(perplexity).strong());
            number_cell(ui, "accuracy", accuracy);
        }
    }
    // As many heads of each layer take as long, whichever they are: beside the plan's, another speed would look like a result.
    if spread.is_some() {
        return;
    }
    // The unit is that of the header.
    number_cell(ui, "tokens/s", quality.rate().map_or_else(|| "–".to_owned(), |rate| Unit::Count.format(rate.round())));
}
