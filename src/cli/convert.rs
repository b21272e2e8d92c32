//! `pillars convert`.

use std::str::FromStr;

use clap::Args;
use strum::{Display, EnumString, VariantNames};

use super::console::Console;
use super::open::repair_of;
use crate::engines::onnx;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::plan::{Plan, Shape};
use crate::repair::Repair;
use crate::words::counted;

/// An engine to write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_engine)]
pub(super) enum Engine {
    Onnx,
}

fn unknown_engine(text: &str) -> Error {
    Error::unknown::<Engine>("engine to convert for", text)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pillars convert MODEL --to onnx --out DIR
  pillars convert MODEL --to onnx --plan plan.json --half --out DIR")]
pub(super) struct ConvertArgs {
    /// Folder in Hugging Face layout
    pub model: std::path::PathBuf,
    /// The engine to write for: onnx
    #[arg(long, value_parser = Engine::from_str)]
    pub to: Engine,
    /// The folder to write
    #[arg(long)]
    pub out: std::path::PathBuf,
    /// Leave out the heads that a plan (or mask) removes
    #[arg(long, value_name = "P.json")]
    pub plan: Option<std::path::PathBuf>,
    /// New output projections for the heads that stay, as `repair` writes them
    #[arg(long, value_name = "R.safetensors", requires = "plan")]
    pub repair: Option<std::path::PathBuf>,
    /// Store weights in 16 bits
    #[arg(long)]
    pub half: bool,
    /// Replace a folder that this program wrote
    #[arg(long)]
    pub force: bool,
    /// Seed of the random input of the proof
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &ConvertArgs, console: &Console) -> Result<()> {
    let model = Model::open(&args.model)?;
    let plan = args.plan.as_deref().map(Plan::read_any).transpose()?;
    if let (Some(plan), Some(path)) = (&plan, &args.plan) {
        plan.validate(Shape::from(model.spec())).map_err(|e| e.at(path))?;
    }
    let Engine::Onnx = args.to;
    let repair = args.plan.as_deref().and_then(|plan| repair_of(args.repair.as_deref(), plan));
    let repair = repair.as_deref().map(Repair::read).transpose()?;
    let options = onnx::OnnxOptions { repair, half: args.half, force: args.force, seed: args.seed };
    let report = console.watch(|ticket| onnx::export(&model, plan.as_ref(), &args.out, &options, ticket))?;
    for note in &report.notes {
        console.warn(note);
    }
    if args.json {
        let mut document = serde_json::to_value(&report)?;
        if let Some(keys) = document.as_object_mut() {
            keys.insert("path".to_owned(), serde_json::json!(args.out));
        }
        return console.print_json(&document);
    }
    console.print(&format!(
        "onnx model in    {}\nbytes            {}\noutputs          {}\nagreement        {:.1e} of the largest value of the \
         masked model, on random input\nopens in         {}",
        args.out.join("onnx/model.onnx").display(),
        counted(report.bytes, "bytes"),
        report.outputs.join(", "),
        report.relative_difference,
        report.opens_in.join("; ")
    ))
}
