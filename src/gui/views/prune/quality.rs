//! Quality of the plan beside the whole model and a random control, and the curve of every method.

use eframe::egui::{self, Grid, RichText, Sense, Stroke, Ui, WidgetInfo, vec2};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::command::Command;
use super::super::super::jobs::JobKind;
use super::super::super::theme::color;
use super::super::super::widgets::{PlotArea, command_button, heading, note, swatch};
use crate::evaluation::Quality;
use crate::figure::axis::{Axis, extent};
use crate::figure::views::{MethodCurve, QualityCurves, RandomPoint};
use crate::figure::{Caption, GroupStyle, Unit};
use crate::workspace::job::{Measured, Sweep, SweepPoint};

/// Draws both.
pub fn ui(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    heading(ui, theme, "Quality");
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::Measure, "Measure this plan");
        command_button(ui, cx, Command::Sweep, "Measure the curve");
    });
    for kind in [JobKind::Measure, JobKind::Sweep] {
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
    if let Some(sweep) = &cx.state.sweep {
        ui.add_space(6.0);
        if sweep.of != cx.state.run.reading() {
            note(ui, theme, format!("The curve was measured on {}", sweep.of));
        }
        curve(ui, cx, sweep);
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

/// The curve as a figure, for export.
pub fn curves(sweep: &Sweep) -> QualityCurves {
    let points = |all: &[SweepPoint]| all.iter().map(|p| [p.kept, p.value]).collect();
    QualityCurves {
        caption: Caption::new("Quality against heads kept", ""),
        measure: measure(sweep).to_owned(),
        column: if sweep.is_perplexity { "perplexity" } else { "embedding_distance" }.to_owned(),
        unit: Unit::Plain,
        curves: sweep
            .curves
            .iter()
            .map(|(method, all)| MethodCurve { name: method.name().to_owned(), points: points(all) })
            .collect(),
        random: band(sweep),
        random_name: format!("random, range of {} draws", sweep.random.len()),
        whole: Some(sweep.whole).filter(|w| w.is_finite() && sweep.is_perplexity),
    }
}

fn measure(sweep: &Sweep) -> &'static str {
    if sweep.is_perplexity { "Perplexity (lower is better)" } else { "1 - cosine of embeddings (lower is better)" }
}

/// Mean and range of the random draws at each share.
fn band(sweep: &Sweep) -> Vec<RandomPoint> {
    let Some(first) = sweep.random.first() else { return Vec::new() };
    (0..first.len())
        .filter_map(|place| {
            let at: Vec<&SweepPoint> = sweep.random.iter().filter_map(|draw| draw.get(place)).collect();
            let (low, high) = extent(at.iter().map(|p| p.value))?;
            let mean = |f: fn(&SweepPoint) -> f64| at.iter().map(|p| f(p)).sum::<f64>() / at.len() as f64;
            Some(RandomPoint { kept: mean(|p| p.kept), mean: mean(|p| p.value), low, high })
        })
        .collect()
}

fn curve(ui: &mut Ui, cx: Cx<'_>, sweep: &Sweep) {
    let theme = cx.theme;
    ui.horizontal_wrapped(|ui| {
        for (index, (method, _)) in sweep.curves.iter().enumerate() {
            swatch(ui, theme, theme.group(index), method.name());
        }
        swatch(ui, theme, theme.reference, &format!("random, range of {} draws", sweep.random.len()));
        swatch(ui, theme, theme.good, "best at each size");
    });
    let (outer, response) = ui.allocate_exact_size(vec2(ui.available_width(), 230.0), Sense::hover());
    let painter = ui.painter_at(outer);
    let all = sweep.curves.iter().flat_map(|(_, points)| points).chain(sweep.random.iter().flatten());
    let (low, high) = extent(all.map(|p| p.value)).unwrap_or((0.0, 1.0));
    let y = if low > 0.0 && high / low > 20.0 {
        Axis::log(measure(sweep), Unit::Plain, (low, high), 5)
    } else {
        Axis::linear(measure(sweep), Unit::Plain, (low, high), 4)
    };
    let plot = PlotArea::fit(outer, Axis::exact("Heads kept", Unit::Share, (0.0, 1.0), 6), y);
    plot.frame(&painter, theme);
    let band = band(sweep);
    for pair in band.windows(2) {
        if let [a, b] = pair {
            let corners =
                vec![plot.at(a.kept, a.low), plot.at(b.kept, b.low), plot.at(b.kept, b.high), plot.at(a.kept, a.high)];
            let fill = theme.reference.gamma_multiply(0.25);
            painter.add(egui::Shape::convex_polygon(corners, fill, Stroke::NONE));
        }
    }
    plot.line(&painter, band.iter().map(|p| [p.kept, p.mean]), Stroke::new(1.5, theme.reference));
    for (_, point) in sweep.front() {
        painter.circle_stroke(plot.at(point.kept, point.value), 5.5, Stroke::new(1.5, theme.good));
    }
    for (index, (_, points)) in sweep.curves.iter().enumerate() {
        let tint = color(GroupStyle::of(theme.figure, index).color);
        plot.line(&painter, points.iter().map(|p| [p.kept, p.value]), Stroke::new(2.0, tint));
        for point in points {
            painter.circle_filled(plot.at(point.kept, point.value), 3.0, tint);
        }
    }
    let (kept, heads) = cx.state.kept_heads();
    let x = plot.across(kept as f64 / heads.max(1) as f64);
    painter.vline(x, plot.rect.y_range(), Stroke::new(1.0, theme.warning));
    response.widget_info(|| {
        let best = sweep.front().iter().map(|(name, p)| in_words(name, p)).collect::<Vec<_>>().join("; ");
        let mut info = WidgetInfo::labeled(egui::Role::Image, true, "Quality against heads kept");
        info.current_text_value = Some(format!("{}. Best at each size: {best}", measure(sweep)));
        info
    });
    if let Some(at) = response.hover_pos().filter(|at| plot.rect.contains(*at)) {
        response.on_hover_text_at_pointer(values_at(sweep, plot.x_at(at.x)));
    }
}

/// The values of every curve at the share nearest to `kept`.
fn values_at(sweep: &Sweep, kept: f64) -> String {
    let nearest = |points: &[SweepPoint]| {
        points.iter().min_by(|a, b| (a.kept - kept).abs().total_cmp(&(b.kept - kept).abs())).copied()
    };
    let curves = sweep.curves.iter().filter_map(|(method, points)| Some(in_words(method.name(), &nearest(points)?)));
    let draws: Vec<f64> = sweep.random.iter().filter_map(|points| Some(nearest(points)?.value)).collect();
    let random = extent(draws.iter().copied())
        .map(|(low, high)| format!("random: {} to {}", Unit::Plain.format(low), Unit::Plain.format(high)));
    curves.chain(random).collect::<Vec<_>>().join("\n")
}

fn in_words(name: &str, point: &SweepPoint) -> String {
    format!("{name}: {} with {} of the heads", Unit::Plain.format(point.value), Unit::Share.format(point.kept))
}
