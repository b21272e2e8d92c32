//! `pillars evaluate`.

use super::args::EvaluateArgs;
use super::console::Console;
use super::open::{obtain_repair, open, read_plan};
use crate::corpus::InputUnit;
use crate::error::{Error, Result};
use crate::evaluation::curve::DrawSpread;
use crate::evaluation::{Comparison, Measured, Quality};
use crate::plan::CONTROL;
use crate::run::Spec;
use crate::words::counted;

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
            false => console.print(&rows(&[("", &scored.quality)], scored.reading.unit, true)),
        };
    };
    let plan = read_plan(path, &checked)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let repair = obtain_repair(args.repair.as_ref(), (path, &plan), true, &checked, console)?;
    let measured = console.watch(|ticket| checked.compare(&name, &plan, repair.as_ref().map(Into::into), ticket))?;
    console.warn_all(&measured.notes);
    if args.common.json { console.print_json(&measured) } else { console.print(&table(&measured, true)) }
}

/// What a rate is that was measured on the way.
const MASKED_RATE: &str =
    "heads that are masked still take their time: pillars prune measures how much faster the smaller model is";

/// Before and after, with what only a comparison can tell. Rates are left out where a speed was measured by itself, so that
/// nobody is told two.
pub(super) fn table(measured: &Measured, with_rate: bool) -> String {
    let comparison = &measured.comparison;
    let mut columns = vec![("before", &comparison.before), ("after", &comparison.after)];
    columns.extend(measured.random.as_ref().map(|random| ("random", random)));
    let mut text = compared(comparison, &columns, measured.reading.unit, with_rate);
    if let Some(likeness) = &measured.random_similarity {
        text.push_str(&format!(
            "\nof random heads     {:.5} mean, {:.5} least",
            likeness.mean_cosine, likeness.least_cosine
        ));
    }
    if measured.random.is_some() {
        let repaired = measured.random_repair_words();
        let draws = measured.random_spread.values().map(|spread| spread.count).max().unwrap_or(1);
        let first = if draws > 1 { "the first of " } else { "" };
        let drawn = counted(draws, "draws");
        text.push_str(&format!("\nrandom: {first}{drawn} of {CONTROL}, as many in each as the plan keeps{repaired}"));
        if draws > 1 {
            text.push_str(&format!("\nrandom, mean and standard deviation of {drawn}: {}", spreads(measured)));
        }
    }
    if let Some((measure, words)) = measured.no_better_than_random() {
        text.push_str(&format!("\nby {measure} this plan is {words}"));
    }
    if with_rate {
        text.push_str(&format!("\n{MASKED_RATE}"));
    }
    if let Some(words) = measured.in_sample_words() {
        text.push_str(&format!("\n{words}"));
    }
    text
}

/// What the draws of the control gave together: `loss 4.9131 ± 0.0211, perplexity 136.1 ± 2.9`.
fn spreads(measured: &Measured) -> String {
    let words = |name: &str| match name {
        "loss_per_token" => "loss".to_owned(),
        other => other.replace('_', " "),
    };
    let digits = |name: &str| if name == "perplexity" { 3 } else { 4 };
    let one = |(name, spread): (&String, &DrawSpread)| {
        let digits = digits(name);
        format!("{} {:.digits$} ± {:.digits$}", words(name), spread.mean, spread.deviation)
    };
    measured.random_spread.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Two candidates under these names.
pub(super) fn side_by_side(comparison: &Comparison, unit: InputUnit, [first, second]: [&str; 2]) -> String {
    compared(comparison, &[(first, &comparison.before), (second, &comparison.after)], unit, true)
}

fn compared(comparison: &Comparison, columns: &[(&str, &Quality)], unit: InputUnit, with_rate: bool) -> String {
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
        "\nembedding cosine    {:.5} mean, {:.5} least of {} sequences",
        likeness.mean_cosine, likeness.least_cosine, likeness.sequences
    ));
    text
}

fn rows(columns: &[(&str, &Quality)], unit: InputUnit, with_rate: bool) -> String {
    type MeasureText = fn(&Quality) -> Option<String>;
    let (read, rate) = (format!("{} read", unit.noun()), format!("{}/s", unit.noun()));
    let is_task = columns.iter().any(|(_, q)| q.task.is_some());
    let loss = if is_task { "loss per label" } else { "loss per token" };
    let measures: [(&str, MeasureText); 8] = [
        (loss, |q| q.loss_per_token.map(|x| format!("{x:.4}"))),
        ("perplexity", |q| q.perplexity.map(|x| format!("{x:.3}"))),
        ("top-1 accuracy", |q| q.accuracy.filter(|_| q.task.is_none()).map(|x| format!("{:.2} %", 100.0 * x))),
        ("BLEU", |q| q.translation.map(|t| format!("{:.2}", t.bleu))),
        ("ROUGE-1/2/L", |q| {
            let rouge = q.translation?.rouge;
            Some([rouge.one, rouge.two, rouge.longest].map(|x| format!("{:.1}", 100.0 * x)).join("/"))
        }),
        (&read, |q| Some(q.tokens.to_string())),
        ("sequences", |q| Some(q.sequences.to_string())),
        (&rate, |q| Some(format!("{:.0}", q.tokens_per_sec))),
    ];
    let mut lines = Vec::new();
    if columns.len() > 1 {
        let heads: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
        lines.push(format!("{:<16}{heads}", ""));
    }
    for (name, cell) in measures.into_iter().filter(|(name, _)| with_rate || *name != rate) {
        let cells: Vec<Option<String>> = columns.iter().map(|(_, q)| cell(q)).collect();
        if cells.first().is_some_and(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>();
            let what = if name == rate { "  of the median batch, scoring included" } else { "" };
            lines.push(format!("{name:<16}{}{what}", cells.iter().map(|c| format!("{c:>14}")).collect::<String>()));
        }
    }
    lines.extend(task_metrics(columns));
    if columns.iter().all(|(_, q)| q.is_unlabeled()) {
        lines.push("not measured    loss and metrics of the task: the input has no labels".to_owned());
    }
    lines.join("\n")
}

/// Metrics of a labeled task, or of questions, each with its interval and how it is formed.
fn task_metrics(columns: &[(&str, &Quality)]) -> Vec<String> {
    let mut lines = Vec::new();
    let Some((_, first)) = columns.first() else { return lines };
    // What the rows above say.
    let is_shown = |name: &str| match name {
        "loss" | "loss_per_token" | "perplexity" => true,
        _ => name == "accuracy" && first.task.is_none(),
    };
    for (name, estimate) in first.metrics.iter().filter(|(name, _)| !is_shown(name)) {
        let cell =
            |q: &Quality| q.metrics.get(name).map_or_else(|| "-".to_owned(), |found| format!("{:.4}", found.value));
        let cells: String = columns.iter().map(|(_, q)| format!("{:>14}", cell(q))).collect();
        let interval = match estimate.low.zip(estimate.high) {
            Some((low, high)) if columns.len() == 1 => format!("  95 % {low:.4} to {high:.4};"),
            _ => String::new(),
        };
        let n = counted(estimate.n, "items");
        let direction = estimate.direction();
        let stop = if direction.is_empty() { "" } else { "; " };
        lines.push(format!("{name:<16}{cells} {interval} {n}; {direction}{stop}{}", estimate.convention));
    }
    lines
}
