//! A training run, as curves.

use crate::figure::number::Unit;
use crate::figure::page::Caption;
use crate::figure::scene::Point;
use crate::figure::views::{TrainingCurves, TrainingPlot};
use crate::training::Record;

/// The name of a line and where its values are.
type Line<'a> = (&'a str, &'a dyn Fn(&Record) -> Option<f64>);

impl TrainingCurves {
    /// The records of a run, oldest first. Stages begin where the records say so.
    pub fn of(records: &[Record], caption: Caption) -> Self {
        let line = |value: &dyn Fn(&Record) -> Option<f64>| -> Vec<Point> {
            records.iter().filter_map(|r| Some([r.total_steps as f64, value(r)?])).collect()
        };
        let plot = |label: &str, lines: &[Line<'_>]| {
            let series = lines.iter().map(|(name, value)| ((*name).to_owned(), line(value)));
            let series: Vec<_> = series.filter(|(_, points)| !points.is_empty()).collect();
            (!series.is_empty()).then(|| TrainingPlot { label: label.to_owned(), unit: Unit::Plain, series })
        };
        let plots = [
            plot("Loss per token", &[("training", &|r| Some(r.task_loss)), ("held out", &|r| r.validation_loss)]),
            plot(
                "Cosine",
                &[
                    ("homogenisation: heads to their hidden unit", &|r| r.homogenisation),
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evaluation::generation::{Rouge, TranslationScore};
    use crate::figure::Theme;
    use crate::figure::views::gallery::check;
    use crate::training::{SiteRecord, Stage};

    fn record(step: u64) -> Record {
        let stage = if step <= 600 { Stage::Constrained } else { Stage::FineTuning };
        let grouped = stage == Stage::Constrained;
        let site = SiteRecord { groups: vec![0, 1], silhouette: Some(step as f64 / 1000.0), dunn: None };
        Record {
            stage,
            step,
            total_steps: step,
            task_loss: 4.0 + 100.0 / step as f64,
            constraint_loss: 0.1,
            homogenisation: grouped.then_some(0.9),
            diversification: grouped.then_some(-0.5),
            rate: 1e-3,
            gradient_norm: 1.0,
            tokens_per_second: 1e4,
            seconds: step as f64,
            parts: Default::default(),
            remaining_secs: None,
            validation_loss: step.is_multiple_of(200).then_some(5.0),
            translation: None,
            movement: None,
            sites: if grouped { BTreeMap::from([("decoder.0".parse().unwrap(), site)]) } else { BTreeMap::new() },
        }
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
        let translation = Some(TranslationScore { bleu: 12.5, rouge: Rouge::default(), sentences: 20 });
        let translated = Record { translation, ..record(50) };
        let curves = TrainingCurves::of(&[translated], curves.caption.clone());
        assert_eq!(curves.plots[3].series[0].1, [[50.0, 12.5]]);
        let curves = TrainingCurves::of(&records, curves.caption);
        for theme in Theme::ALL {
            check(&format!("build-training-{}", theme.name), &curves.figure(theme));
        }
    }
}
