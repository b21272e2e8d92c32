//! `pillars curve`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::analyze::held;
use super::args::{CommonArgs, InputArgs, MemoryArgs};
use super::console::Console;
use super::open::Session;
use crate::analysis::{Analysis, Document};
use crate::corpus::{CorpusPart, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::SCORED_COPIES;
use crate::evaluation::curve::{Curves, Gauge, Subject, Wanted, curves};
use crate::model::Needs;
use crate::network::Weights;
use crate::plan::{Amount, Ranking};

#[derive(Debug, Args)]
pub(super) struct CurveArgs {
    /// Folder in Hugging Face layout
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
    /// Ways to choose heads, as in plan --method; without it all that the analysis can serve, with every feature map
    /// alone and all together
    #[arg(long, value_delimiter = ',', value_name = "METHOD[:MAP],..")]
    pub methods: Vec<Ranking>,
    /// Shares of the heads of every layer that stay: methods differ in which heads they keep, not in how many
    #[arg(long, value_delimiter = ',', value_name = "R,..", default_value = "0.75,0.5,0.25")]
    pub layer_ratio: Vec<f64>,
    /// Shares of all heads of the model that stay instead, wherever the highest ranks are
    #[arg(long, value_delimiter = ',', value_name = "R,..", conflicts_with = "layer_ratio")]
    pub ratio: Vec<f64>,
    /// Draws of the random methods, each with a seed of its own
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Read only every N-th batch: those that analyze left out under the same option and batch size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
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
    let before = match args.out.exists() {
        true => Some(Curves::read(out.path()).map_err(|e| e.hint("give another --out"))?),
        false => None,
    };
    let session = Session::open(&args.model, &args.common, console)?;
    if session.model.checkpoint().fingerprint()? != analysis.model.fingerprint {
        let what = format!("{} is an analysis of another model", args.analysis.display());
        return Err(Error::new(what).hint(format!("it is of {}", analysis.model.path)));
    }
    if let Some(gauge) = args.show.filter(|g| *g != Gauge::Cosine && session.model.spec().output.is_none()) {
        return Err(Error::usage(format!("this model has no language-model head, so it has no {gauge}"))
            .hint("its quality is the cosine of embeddings: leave out --show"));
    }
    let amounts = match args.ratio.as_slice() {
        [] => args.layer_ratio.iter().map(|r| Amount::LayerRatio(*r)).collect(),
        ratios => ratios.iter().map(|r| Amount::Ratio(*r)).collect(),
    };
    let rankings = if args.methods.is_empty() { Ranking::available(&analysis) } else { args.methods.clone() };
    let found = console.watch(|ticket| {
        let corpus = session.corpus(&args.input, &args.common, Purpose::Score, ticket)?;
        let corpus = held(corpus, args.held_out_every, |every| CorpusPart::HeldOut { every });
        let needs = Needs { copies: SCORED_COPIES, ..Needs::ONE };
        let corpus = session.fit(corpus, &args.common, &args.memory, needs)?;
        ticket.stage("load weights", None, "");
        let weights = session.model.weights(&session.device, session.dtype);
        let network = session.network(&session.model, &corpus, &args.memory, needs)?;
        let length = corpus.settings().seq_len.unwrap_or(LENGTH);
        let wanted = Wanted { rankings, amounts, draws: args.seeds, seed: args.common.seed, length, anew: args.force };
        let subject = Subject {
            network: &network,
            weights: args.speed.then_some(&weights as &dyn Weights),
            analysis: &analysis,
            corpus: &corpus,
        };
        curves(&subject, &wanted, before.as_ref(), &mut |found| found.write(out.path()), ticket)
    })?;
    for note in &found.notes {
        console.warn(note);
    }
    if args.common.json { console.print(&found.to_json()?) } else { console.print(&table(&found, args.show)) }
}

/// Length at which FLOPs are counted where none is given: the longest text that is cut by itself.
const LENGTH: usize = 128;

/// A table in Markdown: methods down, amounts across.
fn table(found: &Curves, show: Option<Gauge>) -> String {
    let gauge = show.unwrap_or_else(|| found.gauge());
    let write = |value: f64| match gauge {
        Gauge::Accuracy | Gauge::Agreement => format!("{:.1} %", 100.0 * value),
        Gauge::Perplexity if value >= 100.0 => format!("{value:.0}"),
        Gauge::Perplexity => format!("{value:.2}"),
        Gauge::Loss => format!("{value:.3}"),
        Gauge::Cosine => format!("{value:.4}"),
    };
    let amounts = found.amounts();
    let mut rows = vec![vec![format!("{}, by heads kept", gauge.label())]];
    rows[0].extend(amounts.iter().map(|amount| {
        let share = found.points.iter().filter(|p| p.amount == *amount).map(|p| p.kept_share);
        let (sum, count) = share.fold((0.0, 0), |(sum, n), share| (sum + share, n + 1));
        format!("{:.0} %", 100.0 * sum / f64::from(count.max(1)))
    }));
    if let Some(value) = found.whole.and_then(|w| gauge.of(&w.effect)) {
        let mut row = vec![format!("whole model: {}", write(value))];
        row.resize(amounts.len() + 1, String::new());
        rows.push(row);
    }
    for ranking in found.rankings() {
        let cells = amounts.iter().map(|amount| match found.row(ranking, *amount).quality(gauge) {
            None => "–".to_owned(),
            Some(one) if one.count == 1 => write(one.mean),
            Some(many) => format!("{} ± {}", write(many.mean), write(many.deviation)),
        });
        let draws = amounts.iter().map(|a| found.row(ranking, *a).points.len()).max().unwrap_or(1);
        let name = if draws > 1 { format!("{ranking}, {draws} draws") } else { ranking.to_string() };
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
