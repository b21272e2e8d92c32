//! `pillars repair`.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use clap::Args;

use super::args::{CommonArgs, InputArgs, MemoryArgs};
use super::console::Console;
use super::numbers::whole;
use super::open::{open, read_plan};
use crate::analysis::{Analysis, Document, Moments};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::repair::{Basis, RefitRequest, Repair, RepairMode, Ridge, plan_of, refit, scale};
use crate::run::{Opened, PruneSpec, RepairSpec, Spec, refusal};
use crate::task::Ticket;

#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache; with --original a folder that pillars pruned
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// Heads that stay: a plan or a mask
    #[arg(long, value_name = "P.json", required_unless_present = "original")]
    pub plan: Option<PathBuf>,
    /// Mend a folder that pillars pruned before: the model that it came from. --out is then the folder to write, in the
    /// format of the one that is mended
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["plan", "moments", "choose"])]
    pub original: Option<PathBuf>,
    /// Replace a folder that holds nothing but what this command wrote
    #[arg(long)]
    pub force: bool,
    /// Second moments of an analysis (analyze --moments) instead of input: enough for --mode refit or scale, one of which is
    /// then to be named
    #[arg(long, value_name = "A.moments.safetensors")]
    pub moments: Option<PathBuf>,
    /// An analysis with residual maps instead of input: enough for scale
    #[arg(long, value_name = "A.json", conflicts_with_all = ["moments", "original", "choose"])]
    pub analysis: Option<PathBuf>,
    /// refit: least squares of every layer by itself. stream: layer after layer on what the pruned model hands it. scale:
    /// one factor for every head. auto: whichever of none, refit and stream does best on held-out batches
    #[arg(long, default_value = "auto", value_name = "MODE")]
    pub mode: RepairMode,
    /// How much the old weights count: auto tries a few values on held-out batches, layer by layer
    #[arg(long, default_value = "auto", value_name = "auto|R")]
    pub ridge: Ridge,
    /// Choose the heads of every layer anew in the stream, as many as the plan keeps, and write that plan here. auto keeps those
    /// of the plan where they do as well on held-out batches
    #[arg(long, value_name = "P2.json")]
    pub choose: Option<PathBuf>,
    /// Leave out every N-th batch: evaluate reads those alone under the same option and batch size
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    /// File to write; with --original the folder
    #[arg(long, value_name = "R.safetensors|DIR")]
    pub out: PathBuf,
}

pub(super) fn run(args: &RepairArgs, console: &Console) -> Result<()> {
    match (&args.original, &args.plan) {
        (Some(original), _) => mend(args, original, console),
        (None, Some(plan)) => of_plan(args, plan, console),
        (None, None) => Err(Error::usage("name the heads that stay with --plan")),
    }
}

/// Repairs what an earlier export left as it was, and writes it anew.
fn mend(args: &RepairArgs, original: &Path, console: &Console) -> Result<()> {
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let checked = open(original, &spec)?;
    let wanted = PruneSpec { out: args.out.clone(), force: args.force, ..PruneSpec::default() };
    let repair = RepairSpec { mode: args.mode, ridge: args.ridge, choose: false };
    let (report, found) = console.watch(|ticket| checked.mend(&args.model, &wanted, &repair, ticket))?;
    console.wrote(&args.out);
    console.warn_all(&found.record.notes);
    console.warn_all(&report.notes);
    if args.common.json {
        return console.print_json(&report);
    }
    console.print(&format!("{}\n{}", summary(&found), super::prune::summary(&args.out, &report)))
}

fn of_plan(args: &RepairArgs, plan_path: &Path, console: &Console) -> Result<()> {
    let inputs = args.input.path().into_iter().chain([args.model.as_path(), plan_path]).chain(args.moments.as_deref());
    let inputs: Vec<&Path> = inputs.chain(args.analysis.as_deref()).collect();
    let out = Repair::claim(&args.out, &inputs)?;
    let chosen = args.choose.as_ref().map(|path| Plan::claim(path, &inputs)).transpose()?;
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let opened = Opened::open(&args.model, &Ticket::default())?;
    let checked = spec.check_without_input(&opened).map_err(refusal)?;
    let plan = read_plan(plan_path, &checked, console)?;
    let wanted = RepairSpec { mode: args.mode, ridge: args.ridge, choose: args.choose.is_some() };
    let found = match (&args.moments, &args.analysis) {
        (Some(_), _) if args.input.is_given() => return Err(Error::usage("give an input or --moments, not both")),
        (_, Some(_)) if args.input.is_given() => return Err(Error::usage("give an input or --analysis, not both")),
        (None, Some(path)) => scaled(path, &plan, args, &opened, console)?,
        (Some(path), _) => {
            let known = Moments::read(path)?;
            if known.model.fingerprint != opened.facts.fingerprint {
                return Err(Error::new("these second moments are of another model").at(path));
            }
            let reader = opened.model.reader(&Device::Cpu, DType::F32);
            let request = RefitRequest { plan: &plan, mode: args.mode, ridge: args.ridge, basis: Basis::All };
            console.watch(|ticket| refit(opened.model.spec(), &reader, &known, &request, ticket))?
        }
        (None, None) => console.watch(|ticket| checked.repair(&plan, None, &wanted, ticket))?,
    };
    found.write(out.path())?;
    console.wrote(out.path());
    if let Some(out) = &chosen {
        plan_of(&found, &plan).write(out.path())?;
        console.wrote(out.path());
    }
    console.warn_all(&found.record.notes);
    if !found.record.mode.repairs() {
        // It is written all the same: what comes next in a script names it, and one from before would be taken for this one.
        let path = out.path().display();
        console.warn(&format!("{path} holds no weights: evaluate, prune and train take it as no repair"));
    }
    if args.common.json { console.print_json(&found.record) } else { console.print(&summary(&found)) }
}

/// A factor for each head that stays, from the Gram matrices of the analysis at `path`.
fn scaled(path: &Path, plan: &Plan, args: &RepairArgs, opened: &Opened, console: &Console) -> Result<Repair> {
    if args.mode != RepairMode::Scale {
        return Err(Error::usage(format!("the Gram matrices of an analysis are not enough for {}", args.mode))
            .hint("give the mode scale, or an input"));
    }
    let known = Analysis::read(path)?;
    if known.model.fingerprint != opened.facts.fingerprint {
        return Err(Error::new("this analysis is of another model").at(path));
    }
    let reader = opened.model.reader(&Device::Cpu, DType::F32);
    let found = console.watch(|ticket| scale(opened.model.spec(), &reader, &known, plan, args.ridge, ticket));
    found.map_err(|e| e.at(path))
}

/// What the numbers of layers are, under every table that holds them.
pub(super) const SHARES: &str = "Shares of what the attention of a layer adds, as mean squares. Lost: masked, with the other heads \
    masked and nothing refitted; fitted, after the refit on the batches that it read; held out, on batches that it did not \
    read. Explained: what is not lost there; not known where nothing was held out.";

/// A table of the layers: what is lost without and with the repair; what every way came to where they were held against each
/// other.
fn summary(repair: &Repair) -> String {
    let record = &repair.record;
    let mut lines = match record.mode {
        RepairMode::None if record.measured.is_empty() => vec!["left as it is".to_owned()],
        RepairMode::None => vec![RepairMode::LEFT.to_owned()],
        mode => vec![
            format!("{mode} on {} tokens of {}", record.tokens, record.input),
            format!(
                "{:<12} {:>5} {:>9} {:>9} {:>9} {:>9} {:>10}",
                "site", "kept", "ridge", "masked", "fitted", "held out", "explained"
            ),
        ],
    };
    let share = |x: f64| format!("{:.1} %", 100.0 * x);
    for (site, found) in &record.sites {
        let kept = repair.outputs.get(site).map_or(0, |o| o.kept.len());
        lines.push(format!(
            "{:<12} {kept:>5} {:>9.0e} {:>9} {:>9} {:>9} {:>10}",
            site.to_string(),
            found.ridge,
            share(found.masked),
            share(found.fitted),
            found.held_out.map_or("-".to_owned(), share),
            found.explained().map_or("-".to_owned(), share),
        ));
    }
    for tried in &record.measured {
        let loss = tried.loss.map(|loss| format!("loss {loss:.4}, ")).unwrap_or_default();
        let name = if tried.is_chosen { "chosen" } else { tried.mode.name() };
        lines.push(format!("{name:<8} {loss}cosine {:.4} on held-out batches", tried.cosine));
    }
    if record.mode.repairs() {
        lines.push(SHARES.to_owned());
    }
    lines.join("\n")
}
