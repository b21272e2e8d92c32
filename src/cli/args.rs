//! Arguments as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::network::FeatureMap;
use crate::tensor::DeviceChoice;

/// See which attention heads carry a transformer, and prune the rest with open eyes
#[derive(Debug, Parser)]
#[command(name = "pillars", version, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Model folder or workspace file to open in the window; without it the last workspace, or the bundled sample
    pub model: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show a model's family, layers, heads and sizes; reads headers only
    Inspect(InspectArgs),
    /// Write raw feature maps and logits for notebooks and checks
    Features(Box<FeaturesArgs>),
}

impl Arguments {
    pub fn is_quiet(&self) -> bool {
        match &self.command {
            Some(Command::Features(a)) => a.common.quiet,
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Folder in Hugging Face layout
    pub model: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FeaturesArgs {
    /// Folder in Hugging Face layout
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// File to write
    #[arg(long, value_name = "F.safetensors")]
    pub out: PathBuf,
    /// Maps to write besides attention and output: query, key, value, residual
    #[arg(long, value_delimiter = ',', value_name = "MAP,..")]
    pub features: Vec<FeatureMap>,
    /// Heads to keep; the others are masked
    #[arg(long, value_name = "MASK.json")]
    pub mask: Option<PathBuf>,
}

/// Where the model's inputs come from: one of these.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct InputArgs {
    /// UTF-8 text, tokenised with the model's tokenizer.json
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// JSON Lines of token ids
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// safetensors that holds the model's inputs by name
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// Folder of PNG or JPEG images
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Source TAB target text, for encoder-decoder models
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
}

/// What every command that runs a model takes.
#[derive(Clone, Debug, Args)]
pub(super) struct CommonArgs {
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Type to compute in
    #[arg(long, value_enum, default_value_t)]
    pub dtype: DtypeChoice,
    /// Sequences per batch
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Longest sequence in tokens; without it the model's own limit, 128 at most for text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub seq_len: Option<u32>,
    /// Stop after so many batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub batches: Option<u64>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
    /// No progress, no warnings
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DtypeChoice {
    #[default]
    F32,
    Bf16,
    F16,
}
