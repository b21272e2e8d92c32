//! The constraint against its plain twin, step by step (the paper's figure 4).

use std::collections::BTreeMap;

use super::{ExperimentPlan, Stem, StemResult};
use crate::chart::{Caption, TrainingCurves, TrainingPlot, Unit};
use crate::training::Record;

/// A measure of a record.
type RecordMeasure<'a> = &'a dyn Fn(&Record) -> Option<f64>;

/// Losses and group measures of the models with every head, each the mean over the seeds that are finished.
pub fn curves(request: &ExperimentPlan, stems: &[(StemResult, Vec<Record>)]) -> TrainingCurves {
    let series = |measure: RecordMeasure<'_>| -> Vec<(String, Vec<[f64; 2]>)> {
        let lines = Stem::ALL.iter().copied().filter_map(|stem| {
            let mut sums: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
            for record in stems.iter().filter(|(s, _)| s.stem == stem).flat_map(|(_, records)| records) {
                if let Some(value) = measure(record) {
                    let sum = sums.entry(record.total_steps).or_default();
                    *sum = (sum.0 + value, sum.1 + 1);
                }
            }
            let points: Vec<_> = sums.into_iter().map(|(step, (sum, n))| [step as f64, sum / n as f64]).collect();
            (!points.is_empty()).then(|| (stem.name().to_owned(), points))
        });
        lines.collect()
    };
    let plots: [(&str, RecordMeasure<'_>); 5] = [
        ("Held-out loss per token", &|r| r.validation_loss),
        ("Homogenization", &|r| r.homogenization),
        ("Diversification", &|r| r.diversification),
        ("Mean silhouette", &Record::mean_silhouette),
        ("Mean Dunn index", &Record::mean_dunn),
    ];
    let plots = plots.into_iter().map(|(label, measure)| TrainingPlot {
        label: label.to_owned(),
        unit: Unit::Plain,
        series: series(measure),
    });
    let mut seeds: Vec<u64> = stems.iter().map(|(stem, _)| stem.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let constraint = &request.training.constraint;
    let subtitle = format!(
        "{}, {} groups of {}, alpha {}, beta {}, {}, mean of {} seeds",
        request.input.path().file_name().unwrap_or_default().to_string_lossy(),
        constraint.groups,
        constraint.feature,
        constraint.alpha,
        constraint.beta,
        constraint.reduction,
        seeds.len()
    );
    TrainingCurves {
        caption: Caption::new("Training with the group constraint and without", subtitle),
        plots: plots.filter(|p| !p.series.is_empty()).collect(),
        events: Vec::new(),
    }
}
