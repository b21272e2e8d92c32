//! `pillars experiment`.

use std::path::PathBuf;

use clap::Args;

use super::args::AmountArgs;
use super::console::Console;
use super::numbers::{positive, share, whole};
use super::train::{ConstraintArgs, line};
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::evaluation::generation::Translation;
use crate::experiment::{Arm, ExperimentEvent, ExperimentPlan, Preset, preset};
use crate::repair::RepairMode;
use crate::run::{self, ExperimentSpec};
use crate::tensor::{DeviceChoice, Precision};
use crate::words::counted;

#[derive(Debug, Args)]
pub(super) struct ExperimentArgs {
    #[command(flatten)]
    pub input: LearnArgs,
    /// Held-out data of the same kind; a part of the input without it
    #[arg(long, value_name = "FILE")]
    pub held_out: Option<PathBuf>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// small: two cores, within an hour; gpu: the paper's sizes
    #[arg(long, value_name = "SIZE", default_value_t)]
    pub size: Preset,
    /// Repetitions with other first weights and batches; 2, or 3 on a GPU, without it
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1000))]
    pub seeds: Option<u64>,
    /// The first of the seeds
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = whole::<u64>(0..))]
    pub seed: u64,
    /// What to compare, all without it: vanilla, ght, ght-ps, ght-ps-per-group, random-heads, random-members,
    /// importance, votes-unconstrained, importance-unconstrained, random-unconstrained, votes-explained (trained for the head
    /// in the middle of each group to explain the others linearly)
    #[arg(long, value_delimiter = ',', value_name = "ARM,..")]
    pub arms: Vec<Arm>,
    /// Repair every arm that loses heads too, refit, stream, scale or auto, and fine-tune it once more from there
    #[arg(long, value_name = "MODE")]
    pub repair: Option<RepairMode>,
    /// Go on with the experiment in --out
    #[arg(long)]
    pub resume: bool,
    /// Replace a folder that holds an experiment
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub shape: ShapeArgs,
    #[command(flatten)]
    pub effort: EffortArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
    /// How many heads stay; without any, as many per layer as it has groups
    #[command(flatten)]
    pub amount: AmountArgs,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Type to train in: f32, bf16 or f16; the weights themselves, votes and what is measured are f32
    #[arg(long, default_value_t, value_name = "TYPE")]
    pub dtype: Precision,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
    /// No progress, no warnings
    #[arg(long)]
    pub quiet: bool,
}

/// What is learned: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct LearnArgs {
    /// UTF-8 text: a decoder learns its next token
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Source TAB target text: an encoder-decoder learns to translate
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
}

/// The model, where it is not the one of the size.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(super) struct ShapeArgs {
    /// Configuration of your own (config.json), instead of the numbers below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["layers", "width", "heads", "inner", "vocabulary"])]
    pub architecture: Option<PathBuf>,
    /// Layers of each stack
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub layers: Option<usize>,
    /// Width of the residual stream
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub width: Option<usize>,
    /// Heads per attention layer
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub heads: Option<usize>,
    /// Width inside the feed-forward layers
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub inner: Option<usize>,
    /// Tokens of the vocabulary
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub vocabulary: Option<usize>,
}

/// How long it takes, where it is not as the size says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Effort")]
pub(super) struct EffortArgs {
    /// Steps of each model with every head
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub steps: Option<u64>,
    /// Further steps of every arm
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..))]
    pub finetune_steps: Option<u64>,
    /// The largest learning rate of the schedule
    #[arg(long, value_name = "R", value_parser = positive)]
    pub lr: Option<f64>,
    /// Largest learning rate of the further steps; a fifth of --lr without it
    #[arg(long, value_name = "R", value_parser = positive)]
    pub finetune_lr: Option<f64>,
    /// Probability that label smoothing spreads over the vocabulary
    #[arg(long, value_name = "R", value_parser = share)]
    pub label_smoothing: Option<f64>,
    /// How many sequences make a batch
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=65536))]
    pub batch_size: Option<u32>,
    /// Longest sequence in tokens
    #[arg(long, value_name = "N", value_parser = whole::<u32>(4..=1_000_000))]
    pub seq_len: Option<u32>,
    /// Most batches that vote
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub vote_batches: Option<u64>,
    /// Without --held-out, hold out every N-th block of one batch
    #[arg(long, value_name = "N", conflicts_with = "held_out", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    /// Batches of held-out data to measure
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub held_out_batches: Option<u64>,
    /// Held-out pairs to translate; 0 for no BLEU
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..))]
    pub translate: Option<usize>,
    /// Beams of the translation; 1 is greedy
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..))]
    pub beams: Option<usize>,
}

pub(super) fn run(args: &ExperimentArgs, console: &Console) -> Result<()> {
    let wanted = ExperimentSpec { plan: request(args)?, device: args.device, resume: args.resume, force: args.force };
    console.warn(&effort(&wanted.plan));
    let report = console.watch(|ticket| {
        let mut notes = |event: ExperimentEvent<'_>| match event {
            ExperimentEvent::Record(name, record) if record.validation_loss.is_some() => {
                console.warn(&format!("{name}, {}", line(record)));
            }
            ExperimentEvent::Record(..) => {}
            ExperimentEvent::Finished(result) => {
                let bleu = result.bleu.map_or(String::new(), |b| format!(", BLEU {b:.2}"));
                let perplexity = result.loss.exp();
                console
                    .warn(&format!("seed {}, {}: held-out perplexity {perplexity:.2}{bleu}", result.seed, result.arm));
            }
            ExperimentEvent::Note(note) => console.warn(note),
        };
        run::experiment(&wanted, &mut notes, ticket)
    })?;
    console.wrote(&args.out);
    if args.json { console.print_json(&report) } else { console.print(&report.to_markdown()) }
}

/// How many steps the whole experiment takes, and which options shorten what.
fn effort(plan: &ExperimentPlan) -> String {
    let finetuning = plan.voting().finetune_steps;
    format!(
        "{} in all: {} with every head for each of {} (--steps), up to {finetuning} further ones for each of {} \
         (--finetune-steps), {} (--seeds)",
        counted(plan.steps(), "steps"),
        plan.training.steps,
        counted(plan.stems().len(), "models"),
        counted(plan.arms.len(), "arms"),
        counted(plan.seeds, "seeds"),
    )
}

fn request(args: &ExperimentArgs) -> Result<ExperimentPlan> {
    let of_pairs = |path: PathBuf| Input::Pairs { path, columns: None, language: None };
    let (make, path): (fn(PathBuf) -> Input, _) = match (&args.input.text, &args.input.pairs) {
        (Some(path), _) => (Input::Text, path),
        (None, Some(path)) => (of_pairs, path),
        (None, None) => return Err(Error::usage("no input is given").hint("give --text or --pairs")),
    };
    let mut request = preset(make(path.clone()), args.size, args.out.clone())?;
    request.held_out = args.held_out.clone().map(make);
    set(&mut request.seeds, args.seeds);
    request.repair = args.repair.filter(|mode| mode.repairs());
    if !args.arms.is_empty() {
        request.arms.retain(|arm| args.arms.contains(arm));
    }
    let ShapeArgs { architecture, layers, width, heads, inner, vocabulary } = &args.shape;
    request.architecture.clone_from(architecture);
    set(&mut request.shape.layers, *layers);
    set(&mut request.shape.width, *width);
    set(&mut request.shape.heads, *heads);
    set(&mut request.shape.inner, *inner);
    set(&mut request.shape.vocabulary, *vocabulary);
    let effort = &args.effort;
    let mut voting = request.voting();
    voting.amount = args.amount.amount();
    voting.finetune_rate = effort.finetune_lr;
    set(&mut voting.finetune_steps, effort.finetune_steps);
    voting.batches = effort.vote_batches.or(voting.batches);
    let training = &mut request.training;
    training.voting = Some(voting);
    training.seed = args.seed;
    training.precision = args.dtype;
    training.constraint = args.constraint.constraint();
    if let Some(steps) = effort.steps {
        training.set_pace(steps);
    }
    set(&mut training.rate, effort.lr);
    set(&mut training.smoothing, effort.label_smoothing);
    set(&mut training.held_out_every, effort.held_out_every);
    set(&mut training.held_out_batches, effort.held_out_batches);
    set(&mut request.reading.batch_size, effort.batch_size.map(|n| n as usize));
    request.reading.seq_len = effort.seq_len.map(|n| n as usize).or(request.reading.seq_len);
    request.translation = match (request.translation, effort.translate) {
        (_, Some(0)) => None,
        (Some(usual), sentences) => Some(Translation {
            sentences: sentences.unwrap_or(usual.sentences),
            beams: effort.beams.unwrap_or(usual.beams),
        }),
        (None, None) => None,
        (None, Some(_)) => return Err(Error::usage("only pairs are translated")),
    };
    request.check()?;
    Ok(request)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
