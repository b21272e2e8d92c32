//! `pillars convert`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::args::StoringArgs;
use super::console::Console;
use super::numbers::whole;
use super::open::{obtain_repair, read_plan};
use super::prune::{report_of, summary};
use crate::error::Result;
use crate::network::Kept;
use crate::plan::Plan;
use crate::pruning::{Engine, OutputFormat, claim};
use crate::repair::RepairSource;
use crate::run::{Opened, PruneSpec, Spec, refusal};
use crate::task::Ticket;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pillars convert MODEL --to onnx --out DIR
  pillars convert MODEL --to gguf --quantize q8_0 --out DIR
  pillars convert MODEL --to ct2 --quantize int8 --out DIR
  pillars convert MODEL --to onnx --plan plan.json --quantize f16 --out DIR")]
pub(super) struct ConvertArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    /// The engine to write for: onnx, gguf, ct2
    #[arg(long, value_parser = Engine::from_str)]
    pub to: Engine,
    /// The folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Leave out the heads that a plan (or mask) removes
    #[arg(long, value_name = "P.json")]
    pub plan: Option<PathBuf>,
    /// New output projections for the heads that stay, as `repair` writes them; without it the one that the plan was measured
    /// with, from beside it. none leaves it out
    #[arg(long, value_name = "R.safetensors|none", requires = "plan")]
    pub repair: Option<RepairSource>,
    #[command(flatten)]
    pub storing: StoringArgs,
    /// Replace a folder that holds nothing but what this command wrote
    #[arg(long)]
    pub force: bool,
    /// Seed of the random input of the proof
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(0..))]
    pub seed: u64,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// No progress, no warnings
    #[arg(long)]
    pub quiet: bool,
}

pub(super) fn run(args: &ConvertArgs, console: &Console) -> Result<()> {
    let format = OutputFormat::Engine(args.to);
    let wanted = PruneSpec { out: args.out.clone(), format, force: args.force, ..PruneSpec::default() };
    let wanted = args.storing.add_to(wanted, &[format])?;
    let opened = Opened::open(&args.model, &Ticket::default())?;
    let _place = claim(&args.out, opened.model.checkpoint().place())?;
    let spec = Spec { seed: args.seed, ..Spec::default() };
    let checked = spec.check_without_input(&opened).map_err(refusal)?;
    let plan = args.plan.as_deref().map(|path| read_plan(path, &checked, console)).transpose()?;
    let plan = plan.unwrap_or_else(|| Plan::from_mask(Kept::all()));
    let repair = match &args.plan {
        Some(path) => obtain_repair(args.repair.as_ref(), (path, &plan), &checked, console)?,
        None => None,
    };
    let report = console.watch(|ticket| checked.prune(&plan, repair.as_ref(), &wanted, ticket))?;
    console.wrote(&args.out);
    console.warn_all(&report.notes);
    if args.json {
        console.print_json(&report_of(&args.out, &report)?)
    } else {
        console.print(&summary(&args.out, &report))
    }
}
