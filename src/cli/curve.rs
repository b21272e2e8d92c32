//! `pillars curve`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{CommonArgs, InputArgs, MemoryArgs};
use super::console::Console;
use super::numbers::{share, whole};
use super::open::open;
use crate::analysis::{Analysis, Document, Moments};
use crate::error::{Error, Result};
use crate::evaluation::curve::{Curves, Gauge};
use crate::plan::{Amount, Method, Ranking};
use crate::repair::RepairMode;
use crate::run::{CurveSpec, Spec};
use crate::words::counted;

#[derive(Debug, Args)]
pub(super) struct CurveArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// Analysis that the choices come from; it should have read other text than is measured on
    #[arg(long, value_name = "A.json")]
    pub analysis: PathBuf,
    /// Ways to choose heads, as in plan --method; without it votes, per-group, the scores that the analysis holds, and
    /// random
    #[arg(long, value_delimiter = ',', value_name = "METHOD[:MAP],..")]
    pub methods: Vec<Ranking>,
    /// Every way to choose heads that the analysis can serve, with every feature map alone and all together
    #[arg(long, conflicts_with = "methods")]
    pub all_methods: bool,
    /// Shares of the heads of every layer that stay, six from 1 to 0.25 without it: methods differ in which heads they
    /// keep, not in how many
    #[arg(long, value_delimiter = ',', value_name = "R,..", allow_hyphen_values = true, value_parser = share)]
    pub layer_ratio: Vec<f64>,
    /// Shares of all heads of the model that stay instead, wherever the highest ranks are
    #[arg(long, value_delimiter = ',', value_name = "R,..", conflicts_with = "layer_ratio", allow_hyphen_values = true, value_parser = share)]
    pub ratio: Vec<f64>,
    /// Repair each choice: none, refit, or both beside each other. Refit needs the second moments beside the analysis
    #[arg(long, value_delimiter = ',', value_name = "MODE,..", default_value = "none")]
    pub repair: Vec<RepairMode>,
    /// Draws of the random methods, each with a seed of its own
    #[arg(long, default_value_t = CurveSpec::default().draws, value_name = "N", value_parser = whole::<u64>(1..=1000))]
    pub seeds: u64,
    /// Read only every N-th batch: those that analyze left out under the same option and batch size
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    /// Also time a forward pass without the removed heads
    #[arg(long, conflicts_with = "memory")]
    pub speed: bool,
    /// Measure what the table shows: loss, perplexity, accuracy, agreement or cosine; the file holds all
    #[arg(long, value_name = "MEASURE")]
    pub show: Option<Gauge>,
    /// File to write after every point; points that it holds already are not measured again, so that the same command
    /// goes on after an interrupt
    #[arg(long, value_name = "C.json")]
    pub out: PathBuf,
    /// Replace curves that were measured under other settings
    #[arg(long)]
    pub force: bool,
}

pub(super) fn run(args: &CurveArgs, console: &Console) -> Result<()> {
    let analysis = Analysis::read(&args.analysis)?;
    let inputs: Vec<&Path> =
        args.input.path().into_iter().chain([args.model.as_path(), args.analysis.as_path()]).collect();
    let out = Curves::claim(&args.out, &inputs)?;
    let wanted = wanted(args, &analysis);
    wanted.rankings.iter().try_for_each(|ranking| ranking.check(&analysis)).map_err(|e| e.at(&args.analysis))?;
    let before = match args.out.exists() {
        true => Some(Curves::read(out.path()).map_err(|e| e.hint("give another --out"))?),
        false => None,
    };
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let checked = open(&args.model, &spec)?;
    if let Some(gauge) = args.show.filter(|g| *g != Gauge::Cosine && !checked.opened().model.spec().is_scored()) {
        return Err(Error::usage(format!("this model has no head that predicts, so it has no {gauge}"))
            .hint("its quality is the cosine of embeddings: leave out --show"));
    }
    let moments =
        match wanted.needs_moments() || (analysis.settings.moments && Moments::path_beside(&args.analysis).is_file()) {
            true => Some(Moments::read_beside(&args.analysis, &analysis)?),
            false => None,
        };
    let mut keep = |found: &Curves| found.write(out.path());
    let found = console
        .watch(|ticket| checked.curve(&analysis, moments.as_ref(), &wanted, before.as_ref(), &mut keep, ticket))?;
    console.wrote(out.path());
    console.warn_all(&found.notes);
    if let Some(words) = besides(&found, &wanted.rankings) {
        console.warn(&format!("{}: {words}", out.path().display()));
    }
    if args.common.json { console.print(&found.to_json()?) } else { console.print(&table(&found, args.show)) }
}

/// Which points the arguments ask for.
fn wanted(args: &CurveArgs, analysis: &Analysis) -> CurveSpec {
    let usual = CurveSpec::default();
    let amounts = match (args.layer_ratio.as_slice(), args.ratio.as_slice()) {
        ([], []) => usual.amounts,
        (ratios, []) => ratios.iter().map(|r| Amount::LayerRatio(*r)).collect(),
        (_, ratios) => ratios.iter().map(|r| Amount::Ratio(*r)).collect(),
    };
    let rankings = if args.all_methods { Ranking::available(analysis) } else { args.methods.clone() };
    CurveSpec {
        rankings,
        amounts,
        repairs: args.repair.clone(),
        draws: args.seeds,
        speed: args.speed,
        anew: args.force,
    }
}

/// What the file holds besides the methods that were named, where some were: they are shown too.
fn besides(found: &Curves, named: &[Ranking]) -> Option<String> {
    let others = found.series().into_iter().filter(|series| !named.contains(&series.ranking));
    let others: Vec<String> = others.map(|series| series.to_string()).collect();
    let is_more = !named.is_empty() && !others.is_empty();
    is_more.then(|| format!("it holds besides, from earlier: {}; they are shown too", others.join(", ")))
}

/// A table in Markdown: methods down, amounts across.
fn table(found: &Curves, show: Option<Gauge>) -> String {
    let gauge = show.unwrap_or_else(|| found.gauge());
    let write = |value: f64| match gauge {
        Gauge::Accuracy | Gauge::Agreement => format!("{:.1} %", 100.0 * value),
        Gauge::Perplexity if value >= 100.0 => format!("{value:.0}"),
        Gauge::Perplexity => format!("{value:.2}"),
        Gauge::Loss => format!("{value:.3}"),
        Gauge::Cosine | Gauge::Metric | Gauge::ErrorRate => format!("{value:.4}"),
    };
    let amounts = found.amounts();
    let whose = match found.is_layerwise() {
        true => "by the share of heads kept in every layer",
        false => "by the share of all heads kept",
    };
    let mut rows = vec![vec![format!("{}, {whose}", found.label(gauge))]];
    rows[0].extend(amounts.iter().map(|amount| {
        let share = found.points.iter().filter(|p| p.amount == *amount).map(|p| p.kept_share);
        let (sum, count) = share.fold((0.0, 0), |(sum, n), share| (sum + share, n + 1));
        format!("{:.0} %", 100.0 * sum / f64::from(count))
    }));
    if let Some((value, whole)) = found.whole.and_then(|w| Some((gauge.of(&w.effect)?, w))) {
        let read = format!("{} in {}", counted(whole.tokens, "tokens"), counted(whole.sequences, "sequences"));
        let mut row = vec![format!("whole model, {read}: {}", write(value))];
        row.resize(amounts.len() + 1, String::new());
        rows.push(row);
    }
    for series in found.series() {
        let cells = amounts.iter().map(|amount| match found.row(series, *amount).quality(gauge) {
            None => "–".to_owned(),
            Some(one) if one.count == 1 => write(one.mean),
            Some(many) => format!("{} ± {}", write(many.mean), write(many.deviation)),
        });
        let draws = amounts.iter().map(|a| found.row(series, *a).points.len()).max().unwrap_or(1);
        let name = match series.ranking.method {
            Method::Random if !series.repair.repairs() => found.control().to_owned(),
            Method::Random => format!("{}, {}", found.control(), series.repair),
            _ => series.to_string(),
        };
        let name = if draws > 1 { format!("{name}, {draws} draws") } else { name };
        rows.push(std::iter::once(name).chain(cells).collect());
    }
    markdown(&rows)
}

/// Columns of equal width; all but the first are set right.
fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, c: usize| row.get(c).cloned().unwrap_or_default();
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|r| cell(r, c).chars().count()).max().unwrap_or(0).max(3)).collect();
    let mut lines = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let cells = (0..columns).map(|c| {
            let (text, width) = (cell(row, c), widths[c]);
            if c == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        lines.push(format!("| {} |", cells.collect::<Vec<_>>().join(" | ")));
        if i == 0 {
            let rule =
                |c: usize| if c == 0 { "-".repeat(widths[c]) } else { format!("{}:", "-".repeat(widths[c] - 1)) };
            lines.push(format!("| {} |", (0..columns).map(rule).collect::<Vec<_>>().join(" | ")));
        }
    }
    lines.join("\n")
}
