//! What stands below the picture as tables that are sorted, filtered and copied: what a plan saves, quality, plans side by side.

use super::{compare, cost, quality};
use crate::chart::Table;
use crate::chart::table::Cell;
use crate::evaluation::{COSINE, Estimate, Measured, Quality, Standing};
use crate::gui::state::State;

/// The tables below the picture; those of what was not measured yet are left out.
pub(super) fn below(state: &State) -> Vec<(&'static str, Table)> {
    let tables = [
        ("What it saves", cost::bars(state).map(|bars| bars.table()).unwrap_or_default()),
        ("Quality", of_quality(state)),
        ("Plans side by side", of_plans(state)),
    ];
    tables.into_iter().filter(|(_, table)| !table.is_empty()).collect()
}

/// A number of a measurement.
#[derive(Default)]
struct Score {
    value: Option<f64>,
    /// The ends of its 95 % interval; of random heads the worst and the best of the draws.
    ends: [Option<f64>; 2],
    deviation: Option<f64>,
    items: Option<u64>,
}

impl Score {
    fn of(value: f64) -> Self {
        Self { value: Some(value), ..Self::default() }
    }
}

impl From<&Estimate> for Score {
    fn from(found: &Estimate) -> Self {
        Self { ends: [found.low, found.high], items: Some(found.n), ..Self::of(found.value) }
    }
}

/// Every measurement, measure by measure: of the whole model, of the plan, of random heads, and what the plan changes.
fn of_quality(state: &State) -> Table {
    let mut table = Table::new([
        "plan",
        "measured_on",
        "model",
        "measure",
        "score",
        "score_low",
        "score_high",
        "score_deviation",
        "items",
    ]);
    for measured in &state.measured {
        let mut push = |model: &str, measure: &str, score: Score| {
            let Score { value, ends: [low, high], deviation, items } = score;
            table.push([
                measured.name.as_str().into(),
                measured.reading.input.as_str().into(),
                model.into(),
                measure.into(),
                value.into(),
                low.into(),
                high.into(),
                deviation.into(),
                Cell::from(items),
            ]);
        };
        let comparison = &measured.comparison;
        let plan = if measured.is_repaired() { quality::REPAIRED } else { quality::MASKED };
        let likeness = comparison.similarity.mean_cosine;
        for (model, found, cosine) in [("whole model", &comparison.before, 1.0), (plan, &comparison.after, likeness)] {
            scores(found).into_iter().for_each(|(name, score)| push(model, &name, score));
            push(model, COSINE, Score::of(cosine));
        }
        for (name, change) in &comparison.change {
            push("change", name, Score::from(change));
        }
        for (name, score) in random_scores(measured) {
            push(&format!("random heads{}", measured.random_repair_words()), &name, score);
        }
    }
    table
}

/// What a quality tells, by name: its metrics with their intervals, and what stands beside them.
fn scores(found: &Quality) -> Vec<(String, Score)> {
    let own =
        [("loss_per_token", found.loss_per_token), ("perplexity", found.perplexity), ("accuracy", found.accuracy)];
    let own = own.into_iter().filter(|(name, _)| !found.metrics.contains_key(*name));
    let plain = own.filter_map(|(name, value)| Some((name.to_owned(), Score::of(value?))));
    let metrics = found.metrics.iter().map(|(name, estimate)| (name.clone(), Score::from(estimate)));
    let rate = found.rate().map(|rate| ("tokens_per_second".to_owned(), Score::of(rate)));
    plain.chain(metrics).chain(rate).collect()
}

/// What random heads gave: of all draws, and where that is not known of the first.
fn random_scores(measured: &Measured) -> Vec<(String, Score)> {
    let drawn: Vec<_> = measured
        .random_spread
        .iter()
        .map(|(name, drawn)| {
            let deviation = (drawn.count > 1).then_some(drawn.deviation);
            let ends = [Some(drawn.low), Some(drawn.high)];
            (name.clone(), Score { value: Some(drawn.mean), ends, deviation, items: None })
        })
        .collect();
    match (&measured.random, drawn.is_empty()) {
        (Some(first), true) => scores(first),
        _ => drawn,
    }
}

/// Every plan beside the others, as they are compared in the view.
fn of_plans(state: &State) -> Table {
    let Some(model) = &state.model else { return Table::default() };
    let position = model.model.spec().last_stack().map_or("token", |stack| stack.input.position());
    let (flops, rate) = (format!("flops_per_{position}"), format!("{}/s", state.unit().noun()));
    let mut table = Table::new([
        "plan",
        "measure",
        "score",
        "change",
        "change_low",
        "change_high",
        "random_heads",
        "random_heads_deviation",
        "heads",
        "parameters",
        flops.as_str(),
        "cache_per_token",
        rate.as_str(),
        "times_as_fast",
        "beaten_by",
    ]);
    let (budget, metric) = state.quality_budget();
    let measured: Vec<Option<&Measured>> =
        state.compared.iter().map(|c| state.measured_of(&c.outlook.as_ref().ok()?.legal)).collect();
    let standings: Vec<Option<Standing>> =
        measured.iter().map(|m| Standing::of((*m)?, budget, metric.as_deref())).collect();
    let beaten = compare::beaten(&state.compared, &standings);
    let width = model.facts.stored_width;
    for (((compared, measured), standing), better) in state.compared.iter().zip(measured).zip(&standings).zip(beaten) {
        let standing = standing.as_ref();
        let ends = standing.and_then(|s| s.interval.clone());
        let drawn = standing.and_then(|s| s.random.as_ref());
        let outlook = compared.outlook.as_ref().ok();
        let after = outlook.map(|outlook| outlook.after());
        let times = outlook.and_then(|outlook| compare::exported_speed(state, &outlook.legal));
        table.push([
            compared.plan.title().into(),
            standing.map(|s| s.measure.clone()).into(),
            standing.map(|s| s.now).into(),
            standing.map(|s| s.change.clone()).into(),
            ends.as_ref().map(|(low, _)| low.clone()).into(),
            ends.as_ref().map(|(_, high)| high.clone()).into(),
            drawn.map(|drawn| drawn.mean).into(),
            drawn.filter(|drawn| drawn.count > 1).map(|drawn| drawn.deviation).into(),
            after.map(|cost| cost.heads).into(),
            after.map(|cost| cost.parameters).into(),
            after.map(|cost| cost.flops_per_token).into(),
            after.map(|cost| cost.cache_bytes_per_token(width)).into(),
            measured.and_then(|measured| measured.comparison.after.rate()).into(),
            times.and_then(|speeds| speeds.ratio).map(|[_, median, _]| median).into(),
            Cell::from(better),
        ]);
    }
    table
}
