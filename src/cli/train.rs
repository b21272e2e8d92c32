//! `pillars train`.

use std::path::PathBuf;

use clap::Args;

use super::analyze::list;
use super::args::{AmountArgs, CommonArgs, InputArgs, TranslationArgs};
use super::console::Console;
use super::numbers::{at_least_zero, finite, positive, share, whole};
use super::prune::before_after;
use crate::analysis::{Groups, Metric};
use crate::error::Result;
use crate::network::FeatureMap;
use crate::plan::{Method, Plan};
use crate::pruning::{Counts, ExportFormat, StageQuality};
use crate::repair::RepairSource;
use crate::run::{OwnRepair, Spec, TrainSpec, train};
use crate::tensor::Precision;
use crate::training::constraint::{Constraint, Diversity, Homogeneity, Reduction};
use crate::training::{
    AdamSettings, Beginning, Control, Decay, HeldOut, Record, TrainSettings, TrainingEnd, TrainingEvent,
    TrainingSummary, VoteAt, Voting,
};

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache; with --from-scratch a config.json or its folder is enough
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Begin with random weights; trains a tokenizer on the input where the model has none
    #[arg(long)]
    pub from_scratch: bool,
    /// Size of that tokenizer; the configuration's vocab_size without it
    #[arg(long, value_name = "N", requires = "from_scratch", value_parser = whole::<usize>(1..))]
    pub vocabulary: Option<usize>,
    /// Go on with the run in --out
    #[arg(long)]
    pub resume: bool,
    /// Replace a folder that holds nothing but what this command wrote
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub optimization: OptimizationArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
    #[command(flatten)]
    pub vote: VoteArgs,
    /// Held-out data of the same kind as the input; a part of the input without it
    #[arg(long, value_name = "FILE", visible_alias = "held-out-data")]
    pub held_out: Option<PathBuf>,
    /// Without --held-out, hold out every N-th block of one batch
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().held_out_every, conflicts_with = "held_out", value_parser = whole::<u64>(2..))]
    pub held_out_every: u64,
    /// Batches of held-out data to measure, from its beginning; what they leave out is told
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().held_out_batches, value_parser = whole::<u64>(1..))]
    pub held_out_batches: u64,
    #[command(flatten)]
    pub translation: TranslationArgs,
    /// Steps from one line of training/metrics.csv to the next
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().record_every, value_parser = whole::<u64>(1..))]
    pub record_every: u64,
    /// Steps between measurements on held-out data
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().look_every, value_parser = whole::<u64>(1..))]
    pub look_every: u64,
    /// End a stage after so many measurements in a row without a better metric on held-out data (a better loss where there is
    /// no metric), and go on with its best weights
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub patience: Option<u64>,
    /// Steps between saved states
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().save_every, value_parser = whole::<u64>(1..))]
    pub save_every: u64,
    /// Type that the weights are written in, f32, bf16 or f16; that of MODEL without it, f32 from scratch. Whatever --dtype
    /// says, it is f32 weights that learn
    #[arg(long, value_name = "TYPE")]
    pub write_dtype: Option<Precision>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Optimization")]
pub(super) struct OptimizationArgs {
    /// Most steps with the constraint
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().steps, value_parser = whole::<u64>(1..))]
    pub steps: u64,
    /// The largest learning rate of the schedule
    #[arg(long, value_name = "R", default_value_t = TrainSettings::default().rate, value_parser = positive)]
    pub lr: f64,
    /// Steps of warm-up; a twentieth of the steps without it
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..))]
    pub warmup: Option<u64>,
    /// constant, inverse-sqrt or cosine
    #[arg(long, value_name = "NAME", default_value_t)]
    pub schedule: Decay,
    /// Share of a weight that the learning rate takes away at each step
    #[arg(long, value_name = "R", default_value_t = AdamSettings::default().weight_decay, value_parser = at_least_zero)]
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 for no limit
    #[arg(long, value_name = "R", default_value_t = AdamSettings::default().clip.unwrap_or(0.0), value_parser = at_least_zero)]
    pub clip: f64,
    /// Batches whose gradients make one step
    #[arg(long, value_name = "N", default_value_t = TrainSettings::default().accumulate, value_parser = whole::<usize>(1..))]
    pub accumulate: usize,
    /// Probability that label smoothing spreads over the vocabulary
    #[arg(long, value_name = "R", default_value_t = TrainSettings::default().smoothing, value_parser = share)]
    pub label_smoothing: f64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Group constraint")]
pub(super) struct ConstraintArgs {
    /// Groups per layer: a number, auto, or numbers by kind of layer (encoder=4,decoder=2,cross=3)
    #[arg(long, value_name = "C", default_value_t = Constraint::default().groups)]
    pub groups: Groups,
    /// Weight of homogenization, which makes the heads of a group alike; 0 here and in --beta is plain training
    #[arg(long, value_name = "A", default_value_t = Constraint::default().alpha, value_parser = finite)]
    pub alpha: f64,
    /// Weight of diversification, which moves groups apart
    #[arg(long, value_name = "B", default_value_t = Constraint::default().beta, value_parser = finite)]
    pub beta: f64,
    /// Feature map by which heads are grouped and made alike: query, key, value, attention, output or residual
    #[arg(long, value_name = "F", default_value_t = Constraint::default().feature)]
    pub feature: FeatureMap,
    /// Distance by which heads are grouped: euclidean or cosine
    #[arg(long, value_name = "METRIC", default_value_t)]
    pub metric: Metric,
    /// What --alpha raises: cosine, of heads to the center of their group (the paper), or linear, the share of each that the
    /// head closest to the center explains linearly
    #[arg(long, value_name = "NAME", default_value_t)]
    pub homogeneity: Homogeneity,
    /// cosine (the paper: opposite groups are best) or squared-cosine (orthogonal groups are)
    #[arg(long, value_name = "NAME", default_value_t)]
    pub diversity: Diversity,
    /// layer-sum (the authors' code: sum over layers by tokens, gentle) or printed (mean over layers, strong)
    #[arg(long, value_name = "NAME", default_value_t)]
    pub reduction: Reduction,
}

impl ConstraintArgs {
    pub(super) fn constraint(&self) -> Constraint {
        Constraint {
            feature: self.feature,
            groups: self.groups.clone(),
            metric: self.metric,
            alpha: self.alpha,
            beta: self.beta,
            homogeneity: self.homogeneity,
            diversity: self.diversity,
            reduction: self.reduction,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Vote and removal")]
pub(super) struct VoteArgs {
    /// Only train: no vote, no removal
    #[arg(long, conflicts_with_all = ["vote_at", "vote_batches", "method", "keep", "ratio", "layer_ratio", "threshold", "finetune_steps", "finetune_lr", "format"])]
    pub no_vote: bool,
    /// Step at which the heads are voted on, or converged; the last step without it
    #[arg(long, value_name = "N|converged")]
    pub vote_at: Option<VoteAt>,
    /// Most batches that vote; all of the training data without it
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub vote_batches: Option<u64>,
    /// What heads are ranked by: votes, per-group, score, importance, magnitude, confidence, random, random-in-group
    #[arg(long, value_name = "METHOD", default_value_t = Voting::default().method)]
    pub method: Method,
    /// Heads that stay, instead of a vote: a plan or a mask
    #[arg(long, value_name = "P.json", conflicts_with_all = ["method", "keep", "ratio", "layer_ratio", "threshold", "vote_batches", "no_vote"])]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub amount: AmountArgs,
    /// Steps of training without the other heads and without the constraint
    #[arg(long, value_name = "N", default_value_t = Voting::default().finetune_steps, value_parser = whole::<u64>(0..))]
    pub finetune_steps: u64,
    /// Largest learning rate of these; a fifth of --lr without it
    #[arg(long, value_name = "R", value_parser = positive)]
    pub finetune_lr: Option<f64>,
    /// Before fine-tuning let the heads that stay speak for the others: auto, refit, stream or scale on a part of the training
    /// data, or the file of the command repair for --plan where no step comes before the vote (--vote-at 0)
    #[arg(long, value_name = "R.safetensors|MODE", conflicts_with = "no_vote")]
    pub repair: Option<RepairSource>,
    /// Format of the result, as of pillars prune: compact, native, masked or gqa
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub format: ExportFormat,
}

pub(super) fn run(args: &TrainArgs, console: &Console) -> Result<()> {
    let wanted = wanted(args)?;
    let voting = wanted.settings.voting.as_ref().filter(|voting| voting.repair.is_none());
    let planned = args.vote.plan.as_deref().zip(voting.and_then(|voting| voting.plan.as_ref()));
    match planned.map_or(Ok(None), |(path, plan)| OwnRepair::of(path, plan)) {
        Ok(None) => {}
        Ok(Some(OwnRepair { mode, .. })) => console.warn(&format!(
            "the plan was measured with a repair by {mode}, which training leaves out; --repair {mode} makes one anew"
        )),
        Err(error) => console.warn(&format!("what lies beside the plan is left out: {error}")),
    }
    console.warn_all(&idle(args));
    let summary = console.watch(|ticket| {
        let mut notes = |event: TrainingEvent<'_>| match event {
            TrainingEvent::Record(record) if record.validation_loss.is_some() => console.warn(&line(record)),
            TrainingEvent::Note(note) => console.warn(note),
            _ => {}
        };
        train(&wanted, &Control::default(), &mut notes, ticket)
    })?;
    console.wrote(&args.out);
    if args.common.json { console.print_json(&summary) } else { console.print(&table(&summary)) }
}

/// What was set without an effect, since another setting leaves it nothing to do.
fn idle(args: &TrainArgs) -> Vec<String> {
    let (usual, constraint) = (Constraint::default(), &args.constraint);
    let [attracts, repels] = [constraint.alpha, constraint.beta].map(|weight| weight != 0.0);
    let checks = [
        (args.vote.finetune_lr.is_some() && args.vote.finetune_steps == 0, "--finetune-lr", "--finetune-steps 0"),
        (constraint.homogeneity != usual.homogeneity && !attracts, "--homogeneity", "--alpha 0"),
        (constraint.diversity != usual.diversity && !repels, "--diversity", "--beta 0"),
        (constraint.reduction != usual.reduction && !attracts && !repels, "--reduction", "--alpha 0 and --beta 0"),
    ];
    let broken = checks.iter().filter(|(is_broken, ..)| *is_broken);
    broken.map(|(_, option, other)| format!("{option} has no effect with {other}")).collect()
}

/// What the arguments ask for.
fn wanted(args: &TrainArgs) -> Result<TrainSpec> {
    let plan = args.vote.plan.as_deref().map(Plan::read_any).transpose()?;
    let (optimization, constraint, vote) = (&args.optimization, &args.constraint, &args.vote);
    let spec = Spec { translation: args.translation.chosen(), ..args.common.spec(&args.input, None) };
    let settings = TrainSettings {
        steps: optimization.steps,
        rate: optimization.lr,
        warmup: optimization.warmup,
        decay: optimization.schedule,
        adam: AdamSettings {
            weight_decay: optimization.weight_decay,
            clip: (optimization.clip > 0.0).then_some(optimization.clip),
            ..AdamSettings::default()
        },
        accumulate: optimization.accumulate,
        smoothing: optimization.label_smoothing,
        constraint: constraint.constraint(),
        voting: (!vote.no_vote).then(|| Voting {
            at: vote.vote_at.unwrap_or_default(),
            batches: vote.vote_batches,
            method: vote.method,
            amount: vote.amount.amount(),
            plan,
            repair: vote.repair.clone(),
            format: vote.format,
            finetune_steps: vote.finetune_steps,
            finetune_rate: vote.finetune_lr,
            ..Voting::default()
        }),
        record_every: args.record_every,
        look_every: args.look_every,
        patience: args.patience,
        held_out_batches: args.held_out_batches,
        held_out_every: args.held_out_every,
        save_every: args.save_every,
        stored: args.write_dtype,
        ..TrainSettings::default()
    };
    Ok(TrainSpec {
        model: args.model.clone(),
        beginning: if args.from_scratch {
            Beginning::Scratch { vocabulary: args.vocabulary }
        } else {
            Beginning::Weights
        },
        held_out: args.held_out.clone().zip(spec.input.as_ref()).map(|(path, input)| input.at(path)),
        spec,
        settings,
        out: args.out.clone(),
        resume: args.resume,
        force: args.force,
    })
}

/// What a look shows while the run goes on.
pub(super) fn line(record: &Record) -> String {
    let mut text = format!("{} step {}: loss {:.3}", record.stage.name(), record.step, record.task_loss);
    if let Some(perplexity) = record.perplexity() {
        text.push_str(&format!(", held-out perplexity {perplexity:.2}"));
    }
    if let Some((metric, name)) = record.metric.zip(record.metric_name.as_ref()) {
        text.push_str(&format!(", held-out {name} {metric:.4}"));
    }
    if let Some(score) = record.translation {
        text.push_str(&format!(", BLEU {:.2}, ROUGE-L {:.3}", score.bleu, score.rouge.longest));
    }
    if let (Some(alike), Some(apart)) = (record.homogenization, record.diversification) {
        text.push_str(&format!(", alike {alike:.2}, apart {apart:.2}"));
    }
    if let Some(movement) = record.movement {
        text.push_str(&format!(", moved {movement:.3}"));
    }
    text.push_str(&format!(", {:.0} tokens/s", record.tokens_per_second));
    text
}

fn table(summary: &TrainingSummary) -> String {
    if summary.outcome == TrainingEnd::Stopped {
        return "stopped; go on with --resume".to_owned();
    }
    let (title, measured) = (summary.beside(), summary.measured_on());
    let mut lines = vec![format!("{measured:<34}{:>12}{title:>12}", "loss")];
    for StageQuality { name, loss, beside } in summary.stages() {
        let beside = match beside {
            Some(perplexity) if summary.unigram_loss.is_some() => format!("{perplexity:>12.2}"),
            Some(metric) => format!("{metric:>12.4}"),
            None => String::new(),
        };
        lines.push(format!("{name:<34}{loss:>12.4}{beside}"));
    }
    if let Some(score) = summary.final_translation {
        lines.push(format!("BLEU {:.2}, ROUGE-L {:.3}, {} pairs", score.bleu, score.rouge.longest, score.sentences));
    }
    lines.extend(summary.early_vote());
    lines.extend(summary.held_out.and_then(HeldOut::sentence));
    let parameters = Counts { before: summary.parameters_before, after: summary.parameters_after };
    lines.push(format!("parameters {} of the whole model", before_after(parameters)));
    for (site, heads) in summary.kept.iter() {
        lines.push(format!("{:<12} {:>3} stay  {}", site.to_string(), heads.len(), list(heads)));
    }
    lines.join("\n")
}
