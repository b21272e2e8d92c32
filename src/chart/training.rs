//! Measures of a training run over its steps.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Limit, Line, Mark, Plot, Series};
use super::table::Table;
use crate::training::Record;
use crate::words::sentence_case;

/// Measures on a common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlot {
    /// What they measure: `Loss per token`.
    pub label: String,
    /// How they are written.
    pub unit: Unit,
    /// Names and `[step, value]`, ascending; values that were not finite interrupt a line.
    pub series: Vec<(String, Vec<[f64; 2]>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TrainingCurves {
    pub caption: Caption,
    /// The plots from top to bottom.
    pub plots: Vec<TrainingPlot>,
    /// Steps at which something happened: the vote, the beginning of fine-tuning.
    pub events: Vec<(f64, String)>,
}

/// The share of the steps that the name of an event takes.
const NEAR: f64 = 0.12;

/// The name of a line and where its values are.
type RecordLine<'a> = (&'a str, &'a dyn Fn(&Record) -> Option<f64>);

impl TrainingCurves {
    /// The records of a run, oldest first. Stages begin where the records say so.
    pub fn of(records: &[Record], caption: Caption) -> Self {
        let line = |value: &dyn Fn(&Record) -> Option<f64>| -> Vec<[f64; 2]> {
            records.iter().filter_map(|r| Some([r.total_steps as f64, value(r)?])).collect()
        };
        let plot = |label: &str, lines: &[RecordLine<'_>]| {
            let series = lines.iter().map(|(name, value)| ((*name).to_owned(), line(value)));
            let series: Vec<_> = series.filter(|(_, points)| !points.is_empty()).collect();
            (!series.is_empty()).then(|| TrainingPlot { label: label.to_owned(), unit: Unit::Plain, series })
        };
        let per_label = records.iter().any(|r| r.per_label);
        // The metric that a task is known by.
        let metric = records.iter().find_map(|r| r.metric_name.as_deref()).map(sentence_case).unwrap_or_default();
        let plots = [
            plot(
                if per_label { "Loss per label" } else { "Loss per token" },
                &[("training", &|r| Some(r.task_loss)), ("held out", &|r| r.validation_loss)],
            ),
            plot(&metric, &[("held out", &|r| r.metric)]),
            plot(
                "Cosine",
                &[
                    ("homogenization: heads to their hidden unit", &|r| r.homogenization),
                    ("diversification: hidden units to each other", &|r| r.diversification),
                ],
            ),
            plot("Grouping", &[("mean silhouette", &|r| r.mean_silhouette())]),
            plot("Translation", &[("BLEU of held-out pairs", &|r| r.translation.map(|t| t.bleu))]),
            plot("Movement", &[("of hidden units since the last look", &|r| r.movement)]),
        ];
        let changes = records.windows(2).filter(|w| w[0].stage != w[1].stage);
        let events = changes.map(|w| (w[0].total_steps as f64, w[1].stage.name().to_owned())).collect();
        Self { caption, plots: plots.into_iter().flatten().collect(), events }
    }

    /// The plots, all over the same steps. The first names the events, which all of them mark.
    pub fn plots(&self) -> Vec<Plot> {
        let steps = self.plots.iter().flat_map(|p| &p.series).flat_map(|(_, points)| points).map(|p| p[0]);
        let (first, last) = extent(steps.chain(self.events.iter().map(|e| e.0))).unwrap_or((0.0, 1.0));
        // Marks of the last step stand whole, and the name of what began near the end has room behind its line.
        let (low, span) = (first.min(0.0), last - first.min(0.0));
        let is_near = self.events.iter().any(|(step, _)| *step > last - NEAR * span);
        let high = last + span * if is_near { NEAR } else { 0.02 };
        let count = self.plots.len();
        let plot = |(i, measures): (usize, &TrainingPlot)| {
            let values = measures.series.iter().flat_map(|(_, p)| p).map(|p| p[1]);
            let x = Axis::exact("step", Unit::Count, (low, high), 8);
            let y = Axis::linear(measures.label.clone(), measures.unit, extent(values).unwrap_or((0.0, 1.0)), 4);
            let mut plot = Plot::new(measures.label.clone(), x, y);
            plot.limits.extend(self.events.iter().map(|(step, name)| Limit {
                name: if i == 0 { name.clone() } else { String::new() },
                value: *step,
                is_vertical: true,
                ink: Ink::Accent,
                line: Line::dashed(1.0),
            }));
            plot.series.extend(measures.series.iter().enumerate().map(|(k, (name, points))| Series {
                name: name.clone(),
                points: points.clone(),
                ink: Ink::Nth(k),
                line: Some(Line::nth(k, 1.75)),
                mark: (points.len() <= 24).then_some(Mark::Dot(Marker::nth(k))),
            }));
            // Only the last axis is labeled: the others stand above it.
            if i + 1 < count {
                plot.x.label.clear();
            }
            plot
        };
        self.plots.iter().enumerate().map(plot).collect()
    }

    /// Every number of the plots, those of events last.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["measure", "series", "step", "value"]);
        for plot in &self.plots {
            for (name, points) in &plot.series {
                for [step, value] in points {
                    table.push([plot.label.as_str().into(), name.as_str().into(), (*step).into(), (*value).into()]);
                }
            }
        }
        for (step, name) in &self.events {
            table.push(["event".into(), name.as_str().into(), (*step).into()]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evaluation::generation::{Rouge, TranslationScore};
    use crate::training::{SiteRecord, Stage};

    fn record(step: u64) -> Record {
        let stage = if step <= 600 { Stage::Constrained } else { Stage::FineTuning };
        let grouped = stage == Stage::Constrained;
        let site = SiteRecord { groups: vec![0, 1], silhouette: Some(step as f64 / 1000.0), dunn: None };
        Record {
            stage,
            step,
            total_steps: step,
            per_label: false,
            task_loss: 4.0 + 100.0 / step as f64,
            constraint_loss: 0.1,
            homogenization: grouped.then_some(0.9),
            diversification: grouped.then_some(-0.5),
            rate: 1e-3,
            gradient_norm: 1.0,
            tokens_per_second: 1e4,
            seconds: step as f64,
            parts: Default::default(),
            remaining_secs: None,
            validation_loss: step.is_multiple_of(200).then_some(5.0),
            metric: None,
            metric_name: None,
            translation: None,
            movement: None,
            sites: if grouped { BTreeMap::from([("decoder.0".parse().unwrap(), site)]) } else { BTreeMap::new() },
        }
    }

    #[test]
    fn a_peak_is_drawn_however_many_records_there_are() {
        let mut records: Vec<Record> = (1..=50_000).map(record).collect();
        records[33_333].task_loss = 1e6;
        let plots = TrainingCurves::of(&records, Caption::default()).plots();
        let line = &plots[0].series[0];
        let drawn = line.drawn(plots[0].x.low, plots[0].x.high);
        assert!(drawn.len() <= 2400 && drawn.contains(&[33_334.0, 1e6]));
        // A closer look shows every record.
        let close: Vec<f64> = line.drawn(100.0, 200.0).iter().map(|p| p[0]).collect();
        assert!((100..=200).all(|step| close.contains(&f64::from(step))));
    }

    #[test]
    fn curves_are_the_records() {
        let records: Vec<Record> = (1..=20).map(|i| record(i * 50)).collect();
        let curves = TrainingCurves::of(&records, Caption::new("Training", "tiny"));
        assert_eq!(curves.plots.len(), 3, "no movement was measured");
        assert_eq!(curves.plots[0].series[0].1[1], [100.0, 5.0]);
        let validation = [200.0, 400.0, 600.0, 800.0, 1000.0].map(|step| [step, 5.0]);
        assert_eq!(curves.plots[0].series[1].1, validation);
        assert_eq!(curves.plots[2].series[0].1.last(), Some(&[600.0, 0.6]));
        assert_eq!(curves.events, [(600.0, "fine-tuning".to_owned())]);
        assert_eq!(curves.plots()[0].x.high, 1020.0);
        let late = TrainingCurves { events: vec![(990.0, "writing".to_owned())], ..curves.clone() };
        assert_eq!(late.plots()[0].x.high, 1120.0, "its name stands behind its line");
        let told = |step| Record {
            per_label: true,
            metric: Some(0.75),
            metric_name: Some("accuracy".to_owned()),
            ..record(step)
        };
        let curves = TrainingCurves::of(&[record(50), told(100)], curves.caption.clone());
        assert_eq!(
            curves.plots[..2].iter().map(|p| p.label.as_str()).collect::<Vec<_>>(),
            ["Loss per label", "Accuracy"]
        );
        assert_eq!(curves.plots[1].series[0].1, [[100.0, 0.75]]);
        let translation = Some(TranslationScore { bleu: 12.5, rouge: Rouge::default(), sentences: 20 });
        let translated = Record { translation, ..record(50) };
        let curves = TrainingCurves::of(&[translated], curves.caption.clone());
        assert_eq!(curves.plots[3].series[0].1, [[50.0, 12.5]]);
    }
}
