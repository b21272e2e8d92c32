//! Quality of the plan beside the whole model and a random control, and the curve of every method.

use eframe::egui::{self, Grid, RichText, Sense, Stroke, Ui, WidgetInfo, vec2};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::command::Command;
use super::super::super::jobs::JobKind;
use super::super::super::theme::color;
use super::super::super::widgets::{PlotArea, command_button, heading, note, swatch};
use crate::evaluation::Quality;
use crate::evaluation::curve::Curves;
use crate::figure::axis::Axis;
use crate::figure::views::{MethodCurve, QualityCurves};
use crate::figure::{GroupStyle, Unit};
use crate::plan::Ranking;
use crate::workspace::job::Measured;

/// Draws both.
pub fn ui(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    heading(ui, theme, "Quality");
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::Measure, "Measure this plan");
        command_button(ui, cx, Command::MeasureCurves, "Measure the curve");
    });
    for kind in [JobKind::Measure, JobKind::Curves] {
        progress(ui, cx, kind);
    }
    match cx.state.measured_now() {
        Some(measured) => table(ui, cx, measured),
        None => note(
            ui,
            theme,
            "This plan was not measured on this input yet. Without the paper's training the loss can be large; \
             measure before you export",
        ),
    }
    let others: Vec<&Measured> = cx.state.measured.iter().filter(|m| Some(*m) != cx.state.measured_now()).collect();
    if !others.is_empty() {
        egui::CollapsingHeader::new("Plans measured before").show(ui, |ui| {
            for measured in others {
                ui.label(RichText::new(format!("{}, on {}", measured.name, measured.of)).small().color(theme.muted));
                table(ui, cx, measured);
            }
        });
    }
    if let Some(curves) = &cx.state.curves {
        ui.add_space(6.0);
        if curves.reading.input != cx.state.run.reading() {
            note(ui, theme, format!("The curve was measured on {}", curves.reading.input));
        }
        match QualityCurves::of(curves, None) {
            Ok(drawn) => curve(ui, cx, curves, &drawn),
            Err(error) => note(ui, theme, error.to_string()),
        }
    }
}

/// How far a measurement is, with a way to stop it.
fn progress(ui: &mut Ui, cx: Cx<'_>, kind: JobKind) {
    let Some(job) = cx.state.jobs.get(kind) else { return };
    ui.horizontal(|ui| {
        let share = job.progress.fraction().unwrap_or(0.0) as f32;
        ui.add(egui::ProgressBar::new(share).desired_width(160.0).fill(cx.theme.accent));
        if ui.button("Cancel").clicked() {
            cx.send(Action::Cancel(kind));
        }
        note(ui, cx.theme, job.words());
    });
}

fn table(ui: &mut Ui, cx: Cx<'_>, measured: &Measured) {
    let theme = cx.theme;
    let comparison = &measured.comparison;
    let candidates =
        [("whole model", &comparison.before), ("this plan", &comparison.after), ("random", &measured.random)];
    let predicts = comparison.before.perplexity.is_some();
    ui.push_id((&measured.name, &measured.of, &measured.kept), |ui| {
        Grid::new("quality").num_columns(5).spacing([16.0, 3.0]).show(ui, |ui| {
            let titles: &[&str] = if predicts {
                &["", "loss per token", "perplexity", "accuracy", "tokens/s"]
            } else {
                &["", "tokens/s"]
            };
            for title in titles {
                ui.label(RichText::new(*title).small().color(theme.muted));
            }
            ui.end_row();
            for (name, quality) in candidates {
                ui.label(RichText::new(name).color(theme.muted)).on_hover_text(match name {
                    "random" => "As many heads in every layer, drawn at random: a method has to beat this",
                    "this plan" => "The same weights with the pruned heads masked",
                    _ => "As it was opened",
                });
                row(ui, quality, predicts);
                ui.end_row();
            }
        });
    });
    let similarity = &comparison.similarity;
    let mut text = format!("Embeddings keep a mean cosine of {}", Unit::Plain.format(similarity.mean_cosine));
    if let Some(agreement) = comparison.agreement {
        text = format!("{text}; the same token is first in {}", Unit::Share.format(agreement));
    }
    note(ui, theme, format!("{text}. Speed is that of masked heads, not of the exported model"));
}

fn row(ui: &mut Ui, quality: &Quality, predicts: bool) {
    let number = |v: Option<f64>, unit: Unit| v.map_or_else(|| "–".to_owned(), |v| unit.format(v));
    if predicts {
        ui.label(number(quality.loss_per_token, Unit::Plain));
        ui.label(RichText::new(number(quality.perplexity, Unit::Plain)).strong());
        ui.label(number(quality.accuracy, Unit::Share));
    }
    ui.label(Unit::Count.format(quality.tokens_per_sec.round()));
}

fn curve(ui: &mut Ui, cx: Cx<'_>, curves: &Curves, drawn: &QualityCurves) {
    let theme = cx.theme;
    ui.horizontal_wrapped(|ui| {
        for (index, method) in drawn.curves.iter().enumerate() {
            swatch(ui, theme, theme.group(index), &method.name);
        }
        swatch(ui, theme, theme.reference, &drawn.random_name);
        swatch(ui, theme, theme.good, "best at each size");
    });
    let (outer, response) = ui.allocate_exact_size(vec2(ui.available_width(), 230.0), Sense::hover());
    let painter = ui.painter_at(outer);
    let plot = PlotArea::fit(outer, Axis::exact("Heads kept", Unit::Share, (0.0, 1.0), 6), drawn.axis(4));
    plot.frame(&painter, theme);
    for pair in drawn.random.windows(2) {
        if let [a, b] = pair {
            let corners =
                vec![plot.at(a.kept, a.low), plot.at(b.kept, b.low), plot.at(b.kept, b.high), plot.at(a.kept, a.high)];
            let fill = theme.reference.gamma_multiply(0.25);
            painter.add(egui::Shape::convex_polygon(corners, fill, Stroke::NONE));
        }
    }
    plot.line(&painter, drawn.random.iter().map(|p| [p.kept, p.mean]), Stroke::new(1.5, theme.reference));
    let best = best(curves);
    for (_, kept, quality) in &best {
        painter.circle_stroke(plot.at(*kept, *quality), 5.5, Stroke::new(1.5, theme.good));
    }
    for (index, MethodCurve { points, .. }) in drawn.curves.iter().enumerate() {
        let tint = color(GroupStyle::of(theme.figure, index).color);
        plot.line(&painter, points.iter().copied(), Stroke::new(2.0, tint));
        for [kept, quality] in points {
            painter.circle_filled(plot.at(*kept, *quality), 3.0, tint);
        }
    }
    let (kept, heads) = cx.state.kept_heads();
    let x = plot.across(kept as f64 / heads.max(1) as f64);
    painter.vline(x, plot.rect.y_range(), Stroke::new(1.0, theme.warning));
    response.widget_info(|| {
        let best = best.iter().map(|(name, kept, quality)| in_words(drawn, name, *kept, *quality));
        let best = best.collect::<Vec<_>>().join("; ");
        let mut info = WidgetInfo::labeled(egui::Role::Image, true, "Quality against heads kept");
        info.current_text_value = Some(format!("{}. Best at each size: {best}", drawn.measure));
        info
    });
    if let Some(at) = response.hover_pos().filter(|at| plot.rect.contains(*at)) {
        response.on_hover_text_at_pointer(values_at(drawn, plot.x_at(at.x)));
    }
}

/// What no other choice beats in both heads and quality: by which method, the share of heads kept, the quality.
fn best(curves: &Curves) -> Vec<(String, f64, f64)> {
    let whole = curves.whole.map_or(1, |w| w.cost.heads.max(1)) as f64;
    let front = curves.front(curves.gauge(), |cost, _| Some(cost.heads as f64), false);
    let named = |ranking: Option<Ranking>| ranking.map_or_else(|| "whole model".to_owned(), |r| r.to_string());
    front.into_iter().map(|(ranking, heads, quality)| (named(ranking), heads / whole, quality)).collect()
}

/// The values of every curve at the share nearest to `kept`.
fn values_at(drawn: &QualityCurves, kept: f64) -> String {
    let nearer = |a: f64, b: f64| (a - kept).abs().total_cmp(&(b - kept).abs());
    let of = |curve: &MethodCurve| {
        let [kept, quality] = curve.points.iter().min_by(|a, b| nearer(a[0], b[0]))?;
        Some(in_words(drawn, &curve.name, *kept, *quality))
    };
    let random = drawn.random.iter().min_by(|a, b| nearer(a.kept, b.kept)).map(|r| {
        let [low, high] = [r.low, r.high].map(|quality| drawn.unit.format(quality));
        format!("random: {low} to {high} with {} of the heads", Unit::Share.format(r.kept))
    });
    drawn.curves.iter().filter_map(of).chain(random).collect::<Vec<_>>().join("\n")
}

fn in_words(drawn: &QualityCurves, name: &str, kept: f64, quality: f64) -> String {
    format!("{name}: {} with {} of the heads", drawn.unit.format(quality), Unit::Share.format(kept))
}
