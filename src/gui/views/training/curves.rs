//! Losses, likeness of heads and silhouettes over the steps.

use std::path::Path;

use eframe::egui::{self, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::super::super::app::Cx;
use super::super::super::widgets::{PlotArea, dashed, swatch};
use crate::figure::axis::{Axis, extent};
use crate::figure::views::{TrainingCurves, TrainingPlot};
use crate::figure::{Caption, Unit};
use crate::training::Stage;
use crate::workspace::job::Told;

/// Points drawn of one line; more than a screen has columns would not be seen.
const MOST_POINTS: usize = 1200;

/// The curves as a figure, for export; the window draws the same plots.
pub fn figure(out: &Path, told: &Told) -> TrainingCurves {
    let caption = Caption::new(format!("Training of {}", out.display()), "");
    // A stage may have begun that has no record yet.
    TrainingCurves { events: events(told), ..TrainingCurves::of(&told.records, caption) }
}

fn events(told: &Told) -> Vec<(f64, String)> {
    let of = |(step, stage): &(u64, Stage)| (*step as f64, stage.name().to_owned());
    told.stages.iter().filter(|(step, _)| *step > 0).map(of).collect()
}

/// Draws the plots one below the other.
pub fn ui(ui: &mut Ui, cx: Cx<'_>, out: &Path, told: &Told) {
    let theme = cx.theme;
    let steps = told.records.iter().map(|r| r.total_steps as f64);
    let last = steps.fold(1.0, f64::max);
    let curves = figure(out, told);
    for plot in curves.plots {
        ui.horizontal_wrapped(|ui| {
            for (index, (name, _)) in plot.series.iter().enumerate() {
                swatch(ui, theme, theme.group(index), name);
            }
        });
        let (outer, response) = ui.allocate_exact_size(vec2(ui.available_width(), 150.0), Sense::hover());
        let painter = ui.painter_at(outer);
        let range = extent(plot.series.iter().flat_map(|(_, p)| p).map(|p| p[1])).unwrap_or((0.0, 1.0));
        let y = Axis::linear(plot.label.clone(), plot.unit, range, 4);
        let area = PlotArea::fit(outer, Axis::exact("", Unit::Count, (0.0, last), 8), y);
        area.frame(&painter, theme);
        for (step, name) in &curves.events {
            let x = area.across(*step);
            let stroke = Stroke::new(1.0, theme.warning);
            dashed(&painter, pos2(x, area.rect.top()), pos2(x, area.rect.bottom()), stroke);
            let font = egui::FontId::proportional(10.0);
            painter.text(pos2(x + 3.0, area.rect.top()), egui::Align2::LEFT_TOP, name, font, theme.warning);
        }
        for (index, (_, points)) in plot.series.iter().enumerate() {
            let stride = points.len().div_ceil(MOST_POINTS).max(1);
            area.line(&painter, points.iter().step_by(stride).copied(), Stroke::new(1.8, theme.group(index)));
        }
        if let Some(at) = response.hover_pos().filter(|at| area.rect.contains(*at)) {
            hover(&response, &area, &plot, at);
        }
        response.widget_info(|| {
            let last = |(name, points): &(String, Vec<[f64; 2]>)| {
                let [step, value] = points.last()?;
                Some(format!("{name}: {} at step {step}", Unit::Plain.format(*value)))
            };
            let mut info = WidgetInfo::labeled(egui::Role::Image, true, plot.label.as_str());
            info.current_text_value = Some(plot.series.iter().filter_map(last).collect::<Vec<_>>().join("; "));
            info
        });
    }
}

/// The values at the step under the pointer.
fn hover(response: &egui::Response, area: &PlotArea, plot: &TrainingPlot, at: egui::Pos2) {
    let share = f64::from((at.x - area.rect.left()) / area.rect.width());
    let step = area.x.low + share * (area.x.high - area.x.low);
    let nearest = |points: &Vec<[f64; 2]>| {
        points.iter().min_by(|a, b| (a[0] - step).abs().total_cmp(&(b[0] - step).abs())).copied()
    };
    let lines = plot.series.iter().filter_map(|(name, points)| {
        let [step, value] = nearest(points)?;
        Some(format!("{name}: {} at step {step}", Unit::Plain.format(value)))
    });
    response.clone().on_hover_text_at_pointer(lines.collect::<Vec<_>>().join("\n"));
}
