//! `pillars evaluate`.

use std::collections::BTreeMap;

use super::args::EvaluateArgs;
use super::console::Console;
use super::open::{obtain_repair, open, read_plan};
use crate::corpus::InputUnit;
use crate::error::{Error, Result};
use crate::evaluation::curve::DrawSpread;
use crate::evaluation::{Comparison, Measured, Quality};
use crate::plan::CONTROL;
use crate::run::Spec;
use crate::words::{counted, printed};

pub(super) fn run(args: &EvaluateArgs, console: &Console) -> Result<()> {
    let spec = Spec {
        held_out_every: args.held_out_every,
        translation: args.translation.chosen(),
        beams: args.translation.beams as usize,
        ..args.common.spec(&args.input, args.memory.memory)
    };
    let checked = open(&args.model, &spec)?;
    let Some(path) = args.plan.as_deref().or(args.mask.as_deref()) else {
        if args.repair.is_some() {
            return Err(Error::usage("there is nothing to repair where every head stays").hint("give --plan"));
        }
        let scored = console.watch(|ticket| checked.evaluate(ticket))?;
        console.warn_all(&scored.notes);
        return match args.common.json {
            true => console.print_json(&scored),
            false => console.print(&rows(&[Column::of("", &scored.quality)], scored.reading.unit, true)),
        };
    };
    let plan = read_plan(path, &checked, console)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let repair = obtain_repair(args.repair.as_ref(), (path, &plan), &checked, console)?;
    let measured = console.watch(|ticket| checked.compare(&name, &plan, repair.as_ref().map(Into::into), ticket))?;
    console.warn_all(&measured.notes);
    if args.common.json { console.print_json(&measured) } else { console.print(&table(&measured, true)) }
}

/// What a rate is that was measured on the way.
const MASKED_RATE: &str =
    "heads that are masked still take their time: pillars prune measures how much faster the smaller model is";

/// A column of the table: what one candidate gave, or several draws of one.
struct Column<'a> {
    title: String,
    quality: &'a Quality,
    /// What several draws gave, by measure; then the column tells their mean and standard deviation.
    drawn: Option<&'a BTreeMap<String, DrawSpread>>,
}

impl<'a> Column<'a> {
    fn of(title: &str, quality: &'a Quality) -> Self {
        Self { title: title.to_owned(), quality, drawn: None }
    }

    /// The random heads beside the plan, where they were measured.
    fn random(measured: &'a Measured) -> Option<Self> {
        let quality = measured.random.as_ref()?;
        Some(match draws(measured) {
            1 => Self::of("random", quality),
            n => Self { title: format!("random, {n} draws"), quality, drawn: Some(&measured.random_spread) },
        })
    }

    /// `text` in the width of the column.
    fn cell(&self, text: &str) -> String {
        let width = if self.drawn.is_some() { 22 } else { 14 };
        format!("{text:>width$}")
    }

    /// A measure in its cell: `4.9131 ± 0.0211` of draws.
    fn number(&self, name: &str, value: Option<f64>, one: impl Fn(f64) -> String, unit: &str) -> Option<String> {
        let drawn = self.drawn.and_then(|drawn| drawn.get(name)).map(|drawn| plus_minus(drawn, &one));
        Some(format!("{}{unit}", drawn.or_else(|| value.map(one))?))
    }
}

/// How often random heads were drawn.
fn draws(measured: &Measured) -> usize {
    measured.random_spread.values().map(|spread| spread.count).max().unwrap_or(1)
}

/// `4.9131 ± 0.0211`, as `one` writes a number.
fn plus_minus(drawn: &DrawSpread, one: impl Fn(f64) -> String) -> String {
    format!("{} ± {}", one(drawn.mean), one(drawn.deviation))
}

/// Before and after, with what only a comparison can tell. Rates are left out where a speed was measured by itself, so that
/// nobody is told two.
pub(super) fn table(measured: &Measured, with_rate: bool) -> String {
    let comparison = &measured.comparison;
    let mut columns = vec![Column::of("before", &comparison.before), Column::of("after", &comparison.after)];
    columns.extend(Column::random(measured));
    let mut text = compared(comparison, &columns, measured.reading.unit, with_rate);
    let drawn = measured.random_spread.get("cosine").filter(|_| measured.random_similarity.is_some());
    if let Some(drawn) = drawn {
        text.push_str(&format!("\nof random heads     {} mean", plus_minus(drawn, |x| format!("{x:.5}"))));
    }
    if measured.random.is_some() {
        let repaired = measured.random_repair_words();
        let what = match draws(measured) {
            1 => CONTROL.to_owned(),
            n => format!("mean and standard deviation of {n} draws of {CONTROL}"),
        };
        text.push_str(&format!("\nrandom: {what}, as many in each as the plan keeps{repaired}"));
    }
    if let Some((measure, words)) = measured.no_better_than_random() {
        text.push_str(&format!("\nby {measure} this plan is {words}"));
    }
    if let Some(words) = measured.random_missing_words() {
        text.push_str(&format!("\n{words}"));
    }
    if with_rate && comparison.before.rate().is_some() {
        text.push_str(&format!("\n{MASKED_RATE}"));
    }
    if let Some(words) = measured.in_sample_words() {
        text.push_str(&format!("\n{words}"));
    }
    text
}

/// Two candidates under these names.
pub(super) fn side_by_side(comparison: &Comparison, unit: InputUnit, [first, second]: [&str; 2]) -> String {
    let columns = [Column::of(first, &comparison.before), Column::of(second, &comparison.after)];
    compared(comparison, &columns, unit, true)
}

fn compared(comparison: &Comparison, columns: &[Column<'_>], unit: InputUnit, with_rate: bool) -> String {
    let mut text = rows(columns, unit, with_rate);
    if let Some(agreement) = comparison.agreement {
        let what = if comparison.before.task.is_some() { "same answer" } else { "same top token" };
        text.push_str(&format!("\n{what:<20}{:.2} %", 100.0 * agreement));
    }
    for (name, change) in comparison.changes() {
        text.push_str(&format!("\n{name:<16}    {change}"));
    }
    let likeness = &comparison.similarity;
    text.push_str(&format!(
        "\nembedding cosine    {:.5} mean, {:.5} least of {}",
        likeness.mean_cosine,
        likeness.least_cosine,
        counted(likeness.sequences, "sequences")
    ));
    text
}

fn rows(columns: &[Column<'_>], unit: InputUnit, with_rate: bool) -> String {
    type MeasureText = fn(&Column<'_>) -> Option<String>;
    let (read, rate) = (format!("{} read", unit.noun()), format!("{}/s", unit.noun()));
    let is_task = columns.iter().any(|column| column.quality.task.is_some());
    let loss = if is_task { "loss per label" } else { "loss per token" };
    let measures: [(&str, MeasureText); 9] = [
        (loss, |c| c.number("loss_per_token", c.quality.loss_per_token, |x| format!("{x:.4}"), "")),
        ("perplexity", |c| c.number("perplexity", c.quality.perplexity, |x| format!("{x:.3}"), "")),
        ("top-1 accuracy", |c| {
            let accuracy = c.quality.accuracy.filter(|_| c.quality.task.is_none())?;
            c.number("accuracy", Some(accuracy), |x| format!("{:.2}", 100.0 * x), " %")
        }),
        ("BLEU", |c| c.quality.translation.map(|t| format!("{:.2}", t.bleu))),
        ("ROUGE-1/2/L", |c| {
            let rouge = c.quality.translation?.rouge;
            Some([rouge.one, rouge.two, rouge.longest].map(|x| format!("{:.1}", 100.0 * x)).join("/"))
        }),
        ("written tokens/s", |c| Some(format!("{:.0}", c.quality.written_per_sec?))),
        (&read, |c| Some(c.quality.tokens.to_string())),
        ("sequences", |c| Some(c.quality.sequences.to_string())),
        (&rate, |c| Some(format!("{:.0}", c.quality.rate()?))),
    ];
    let mut lines = Vec::new();
    if columns.len() > 1 {
        let heads: String = columns.iter().map(|column| column.cell(&column.title)).collect();
        lines.push(format!("{:<16}{heads}", ""));
    }
    for (name, cell) in measures.into_iter().filter(|(name, _)| with_rate || *name != rate) {
        let found: Vec<Option<String>> = columns.iter().map(cell).collect();
        if found.first().is_some_and(Option::is_some) {
            let cells = columns.iter().zip(&found).map(|(column, text)| column.cell(text.as_deref().unwrap_or("-")));
            let what = match columns {
                _ if name == rate => "  of the median batch, scoring included".to_owned(),
                // Beside another candidate it is the change that has an interval.
                [only] => interval_words(only.quality, name),
                _ => String::new(),
            };
            lines.push(format!("{name:<16}{}{what}", cells.collect::<String>()));
        }
    }
    lines.extend(task_metrics(columns));
    if columns.iter().all(|column| column.quality.is_unlabeled()) {
        lines.push("not measured    loss and metrics of the task: the input has no labels".to_owned());
    }
    lines.join("\n")
}

/// The interval of a measure of text, as its row names it: `  95 % 4.2100 to 4.6300; 64 sequences`.
fn interval_words(quality: &Quality, row: &str) -> String {
    let (name, scale) = match row {
        // Of labels it has another name.
        "loss per token" => ("loss_per_token", 1.0),
        "loss per label" => ("loss", 1.0),
        "perplexity" => ("perplexity", 1.0),
        "top-1 accuracy" => ("accuracy", 100.0),
        _ => return String::new(),
    };
    let ends = quality.metrics.get(name).and_then(|found| Some((found.low? * scale, found.high? * scale, found.n)));
    ends.map_or_else(String::new, |(low, high, n)| {
        let digits = if scale == 1.0 { 4 } else { 2 };
        format!("  95 % {low:.digits$} to {high:.digits$}; {}", counted(n, "sequences"))
    })
}

/// Metrics of a labeled task, or of questions, each with its interval and how it is formed.
fn task_metrics(columns: &[Column<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(Column { quality: first, .. }) = columns.first() else { return lines };
    // What the rows above say.
    let is_shown = |name: &str| match name {
        "loss" | "loss_per_token" | "perplexity" => true,
        _ => name == "accuracy" && first.task.is_none(),
    };
    for (name, estimate) in first.metrics.iter().filter(|(name, _)| !is_shown(name)) {
        let cell = |column: &Column<'_>| {
            let value = column.quality.metrics.get(name).map(|found| found.value);
            column.cell(column.number(name, value, |x| printed(format!("{x:.4}")), "").as_deref().unwrap_or("-"))
        };
        let cells: String = columns.iter().map(cell).collect();
        let interval = match estimate.low.zip(estimate.high) {
            Some((low, high)) if columns.len() == 1 => printed(format!("  95 % {low:.4} to {high:.4};")),
            _ => String::new(),
        };
        let n = estimate.from_words();
        let direction = estimate.direction();
        let stop = if direction.is_empty() { "" } else { "; " };
        lines.push(format!("{name:<16}{cells} {interval} {n}; {direction}{stop}{}", estimate.convention));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured(batches: u64) -> Measured {
        let quality = |loss: f64| {
            json!({
                "loss_per_token": loss, "perplexity": loss.exp(), "accuracy": 0.25, "scored_tokens": 8, "tokens": 9,
                "sequences": 2, "batches": batches, "secs": 0.5, "tokens_per_sec": 18.0,
            })
        };
        let drawn = |mean: f64, deviation: f64| json!({"count": 5, "mean": mean, "deviation": deviation, "low": mean - deviation, "high": mean + deviation});
        let found = json!({
            "before": quality(1.0), "after": quality(2.0), "agreement": 0.5, "random": quality(1.75),
            "random_spread": {"loss_per_token": drawn(1.5, 0.25), "accuracy": drawn(0.2, 0.05)},
            "similarity": {"mean_cosine": 1.0, "least_cosine": 1.0, "max_abs_difference": 0.0, "sequences": 2},
        });
        serde_json::from_value(found).unwrap()
    }

    #[test]
    fn the_column_of_random_heads_tells_all_draws() {
        let told = table(&measured(9), true);
        let line = |name: &str| told.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(told.lines().next().unwrap().ends_with("random, 5 draws"), "{told}");
        assert!(line("loss per token").ends_with("2.0000       1.5000 ± 0.2500"), "{told}");
        assert!(line("top-1 accuracy").ends_with("20.00 ± 5.00 %"), "{told}");
        assert!(line("random: ").contains("mean and standard deviation of 5 draws"), "{told}");
        assert!(line("by loss").contains("no better than random heads (1.25 to 1.75)"), "{told}");
    }

    #[test]
    fn a_speed_that_rests_on_one_short_batch_is_not_told() {
        let told = table(&measured(1), true);
        assert!(!told.contains("tokens/s") && !told.contains(MASKED_RATE), "{told}");
        let told = table(&measured(9), true);
        assert!(told.contains("tokens/s") && told.contains(MASKED_RATE), "{told}");
    }

    #[test]
    fn a_plan_without_fair_random_heads_says_why() {
        let mut alone = measured(9);
        (alone.random, alone.random_missing) = (None, Some("their text is gone".to_owned()));
        alone.random_spread.clear();
        let told = table(&alone, true);
        assert!(told.ends_with(MASKED_RATE) && !told.contains("random, "), "{told}");
        assert!(told.contains("\nnot held against random heads: their text is gone\n"), "{told}");
    }
}
