//! Arguments that commands share, and those of the plainer commands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::budget_args::{BudgetArgs, Methods};
use super::numbers::{finite, share, whole};
use crate::analysis::{Clustering, Groups, HeadKind, Metric};
use crate::corpus::{BatchOrder, PerplexityPreset, Shard};
use crate::engines::Quantization;
use crate::error::{Error, Result};
use crate::evaluation::generation::Translation;
use crate::hub::HubName;
use crate::model::MemoryLimit;
use crate::network::FeatureMap;
use crate::pruning::{Engine, OutputFormat};
use crate::repair::RepairSource;
use crate::run::{PruneSpec, Spec};
use crate::tensor::{DeviceChoice, Precision};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FeaturesArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// The file to write
    #[arg(long, value_name = "F.safetensors")]
    pub out: PathBuf,
    /// Maps to write besides attention and output: query, key, value, residual
    #[arg(long, value_delimiter = ',', value_name = "MAP,..")]
    pub features: Vec<FeatureMap>,
    /// Leave out the attention weights, which take most of the room
    #[arg(long)]
    pub no_attention: bool,
    /// Heads to keep; the others are masked
    #[arg(long, value_name = "MASK.json")]
    pub mask: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// The file to write
    #[arg(long, value_name = "A.json")]
    pub out: PathBuf,
    /// Maps that are compared and vote: query, key, value, attention, output, residual. Likeness of query, key, value and
    /// output depends on a basis that each head is free to choose; that of attention and residual does not
    #[arg(long, value_delimiter = ',', value_name = "MAP,..", default_values_t = Spec::default().features)]
    pub feature: Vec<FeatureMap>,
    /// Groups per layer: a number, auto for the number with the best silhouette, or numbers by kind of layer
    /// (encoder=4,decoder=2,cross=3) or by layer (encoder.0=3,encoder.5=2; the others are auto)
    #[arg(long, default_value_t = Spec::default().groups, value_name = "N|auto|LAYER=N,..")]
    pub groups: Groups,
    /// Distance between heads: euclidean or cosine
    #[arg(long, default_value_t = Spec::default().metric, value_name = "METRIC")]
    pub metric: Metric,
    /// as-read: batches follow the input, so that parts of a corpus merge exactly; by-length: within 64 batches,
    /// sequences of like length share one, which spares work on padding where lines differ, and votes differ
    #[arg(long, default_value_t = Spec::default().order, value_name = "ORDER")]
    pub order: BatchOrder,
    /// k-means, or average-linkage: the dendrogram cut at the number of groups
    #[arg(long, default_value_t = Spec::default().clustering, value_name = "WAY")]
    pub clustering: Clustering,
    /// Also compute linear CKA between heads
    #[arg(long)]
    pub cka: bool,
    /// Also sum second moments of head outputs and write them to A.moments.safetensors beside A.json: what the method
    /// reconstruction and repair need
    #[arg(long)]
    pub moments: bool,
    /// Classic scores to measure beside the votes; without it magnitude, which costs nothing
    #[arg(long, value_delimiter = ',', value_enum, value_name = "SCORE,..")]
    pub scores: Vec<ScoreArg>,
    /// Leave out every N-th batch: curve and evaluate read those alone under the same option and batch size
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    /// Analyze the I-th of N parts of the batches, so that N processes share a corpus; `merge` adds what they write, and is
    /// told what is missing
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Do not measure what heads do (previous token, induction, ...) from the attention weights of the first batches
    #[arg(long)]
    pub no_kinds: bool,
    /// Do not compare groups with those of heads that read different sequences
    #[arg(long)]
    pub no_evidence: bool,
}

/// What becomes of layers in which nothing speaks for redundancy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WithoutEvidenceArg {
    /// They lose heads as the others do
    Prune,
    /// They keep every head
    Keep,
}

/// Scores of heads that do not come from votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ScoreArg {
    /// Mean absolute derivative of the loss with respect to the head's gate (Michel et al. 2019); without a language-model head, of
    /// random projections of the embeddings
    Importance,
    /// Norm of the head's weights
    Magnitude,
    /// Mean largest attention weight (Voita et al. 2019)
    Confidence,
    /// No score at all
    None,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Analyses of different parts of the input, of one model with equal settings; what was read twice is refused
    #[arg(required = true, num_args = 2.., value_name = "A.json")]
    pub analyses: Vec<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "C.json")]
    pub out: PathBuf,
    /// Print the merged analysis too
    #[arg(long)]
    pub json: bool,
    /// No warnings
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Analysis to plan from, as pillars analyze writes it
    #[arg(value_name = "A.json")]
    pub analysis: PathBuf,
    /// Model that is measured or analyzed anew, for --max-loss-increase, --rounds and --per-batch; without it the folder that was analyzed
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    pub folder: Option<PathBuf>,
    /// What heads are ranked by: votes, per-group, score, importance, importance-normalized, magnitude, confidence,
    /// reconstruction (needs analyze --moments), random, random-in-group. votes:value (and so on) lets one feature map count
    /// alone. Within a budget of quality several with commas between them, or all
    #[arg(long, default_value = "votes", value_name = "METHOD[:MAP]")]
    pub method: Methods,
    #[command(flatten)]
    pub amount: AmountArgs,
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Let a layer lose every head
    #[arg(long)]
    pub allow_empty: bool,
    /// What becomes of layers without evidence of redundant heads. prune (also without a value): they lose heads as the
    /// others do; keep: they keep every head, those too of which too few tokens were read to tell, and a share of all heads is
    /// one of the other layers'. Without this option they lose heads where an amount is named (--keep, --ratio, ..); where none
    /// is, layers in which nothing speaks for redundancy keep every head
    #[arg(long, value_name = "prune|keep", num_args = 0..=1, require_equals = true, default_missing_value = "prune")]
    pub without_evidence: Option<WithoutEvidenceArg>,
    /// Heads of these kinds stay: induction, duplicate-token, previous-token, next-token, same-token, first-token, separator,
    /// class-token, neighborhood, diagonal, local-window, broad
    #[arg(long, value_delimiter = ',', value_name = "KIND,..")]
    pub pin_kind: Vec<HeadKind>,
    /// The heads stay that the model's generation_config.json names to tell when a word was said (Whisper)
    #[arg(long)]
    pub pin_alignment: bool,
    /// Say for every head why it stays or goes
    #[arg(long)]
    pub why: bool,
    /// Choose in so many rounds: after each, the model that is left is analyzed anew on the input that is named, under the
    /// settings of A.json
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = whole::<u32>(1..=1000))]
    pub rounds: u32,
    /// With reconstruction: let every batch of the input that is named choose by itself too, and say how far they agree
    #[arg(long, conflicts_with = "rounds")]
    pub per_batch: bool,
    /// The same as MODEL
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// The file to write; with --why it may be left out
    #[arg(long, value_name = "P.json", required_unless_present = "why")]
    pub out: Option<PathBuf>,
}

/// How many heads stay; without any, as many per layer as it has groups.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(super) struct AmountArgs {
    /// Heads that stay in every layer. Where neither this nor --ratio, --layer-ratio or --threshold is given, as many as the
    /// layer has groups
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=65536))]
    pub keep: Option<u32>,
    /// Share of all heads of the model that stays, wherever the highest scores are; votes, per-group, score and
    /// random-in-group, which compare heads of one layer only, spend it as the same share of every layer
    #[arg(long, value_name = "R", value_parser = share)]
    pub ratio: Option<f64>,
    /// Share of the heads of every layer that stays, rounded to what its key/value heads allow
    #[arg(long, value_name = "R", value_parser = share)]
    pub layer_ratio: Option<f64>,
    /// Heads stay whose share of the votes is at least this, or whose score by --method; of importance and magnitude as a
    /// share of the largest in the layer
    #[arg(long, value_name = "S", value_parser = finite)]
    pub threshold: Option<f64>,
}

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// Heads that stay: a plan, which is measured beside the whole model and random heads
    #[arg(long, value_name = "P.json", conflicts_with = "mask")]
    pub plan: Option<PathBuf>,
    /// The same of a mask: {"encoder.0": [kept heads], ..}
    #[arg(long, value_name = "MASK.json")]
    pub mask: Option<PathBuf>,
    /// New output projections for the heads that stay: the file of the command repair, or a way to make them here, auto,
    /// refit, stream or scale, calibrated on the batches that --held-out-every does not measure; without it the one that the
    /// plan was measured with, from beside it. none leaves it out
    #[arg(long, value_name = "R.safetensors|MODE")]
    pub repair: Option<RepairSource>,
    /// Read only every N-th batch: those that analyze leaves out under the same option and batch size
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    #[command(flatten)]
    pub translation: TranslationArgs,
}

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Folder in Hugging Face layout, GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub model: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// Heads that stay: a plan, a mask, or the pillars.json of an export, which is then repeated; of a model that was trained
    /// it gives the heads, not the weights
    #[arg(long, value_name = "P.json")]
    pub plan: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    pub out: Option<PathBuf>,
    /// native: equal layers, opens in stock transformers; compact: real removal, smallest, of many families opened by
    /// transformers with trust_remote_code (--dry-run says); masked: original shapes; gqa:
    /// key/value heads averaged instead of removed; onnx, gguf, ct2: files for ONNX Runtime, llama.cpp and CTranslate2.
    /// Several at once go to a folder each under --out. Without it that of the pillars.json, or compact; native where that
    /// is as small and transformers would not open compact
    #[arg(long, value_name = "FORMAT,..", value_delimiter = ',')]
    pub format: Vec<OutputFormat>,
    #[command(flatten)]
    pub storing: StoringArgs,
    /// Measure quality on every N-th batch alone: those that analyze left out under the same option and batch size
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
    /// New output projections for the heads that stay: the file of the command repair, or a way to make them here, auto,
    /// refit, stream or scale, calibrated on the input; without it the one that
    /// the plan or pillars.json was measured with, from beside it. none leaves it out
    #[arg(long, value_name = "R.safetensors|MODE")]
    pub repair: Option<RepairSource>,
    /// Say what each format that is named would give, and what opens it; without a name every one. Nothing is written
    #[arg(long)]
    pub dry_run: bool,
    /// Replace a folder that holds nothing but what this command wrote
    #[arg(long)]
    pub force: bool,
}

/// How an engine's file is made.
#[derive(Clone, Debug, Args)]
pub(super) struct StoringArgs {
    /// How an engine's file stores weights: f32 or f16 for onnx; f32, f16, bf16, q8_0 or q4_k for gguf; f32, f16, bf16 or
    /// int8 for ct2. Without it f32 for onnx, and else as they are
    #[arg(long, value_name = "TYPE")]
    pub quantize: Option<Quantization>,
    /// Store an engine's weights in 16 bits: --quantize f16
    #[arg(long, conflicts_with = "quantize")]
    pub half: bool,
    /// Take the tokenizer of a GGUF file, as of the original model
    #[arg(long, value_name = "ORIGINAL.gguf")]
    pub tokenizer_from: Option<PathBuf>,
}

impl StoringArgs {
    /// Adds what is said here to what is written in `formats`.
    ///
    /// # Errors
    /// Where none of them takes it.
    pub(super) fn add_to(&self, wanted: PruneSpec, formats: &[OutputFormat]) -> Result<PruneSpec> {
        let has = |of: fn(&OutputFormat) -> bool| formats.iter().any(of);
        let quantization = self.quantize.or(self.half.then_some(Quantization::F16));
        if quantization.is_some() && !has(|format| matches!(format, OutputFormat::Engine(_))) {
            let given = if self.half { "--half" } else { "--quantize" };
            return Err(Error::usage(format!("{given} is for the files of engines"))
                .hint("a folder keeps the type of the model's weights"));
        }
        if self.tokenizer_from.is_some() && !has(|format| *format == OutputFormat::Engine(Engine::Gguf)) {
            return Err(Error::usage("--tokenizer-from is for gguf files"));
        }
        Ok(PruneSpec { quantization, tokenizer_from: self.tokenizer_from.clone(), ..wanted })
    }
}

/// Where the model's inputs come from: one of these.
#[derive(Clone, Debug, Args)]
#[group(multiple = false, args = ["text", "tokens", "inputs", "images", "audio", "pairs", "data"])]
pub(super) struct InputArgs {
    /// UTF-8 text, cut into tokens by the model's tokenizer: running text for decoders, a line each for encoders; - instead of
    /// any file is standard input
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// JSON Lines, a sequence each: {"input_ids": [..]}, with attention_mask, decoder_input_ids, labels, .. as the model
    /// takes them
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// safetensors that holds the model's inputs by name
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// Folder of PNG or JPEG images; folders in it are classes
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Recordings: a WAV, FLAC or MP3 file, a folder of them (folders in it are labels), or a TSV of paths beside it and texts
    #[arg(long, value_name = "DIR|FILE")]
    pub audio: Option<PathBuf>,
    /// Language spoken in --audio, by its code: en compares transcripts as Whisper does, others in small letters
    #[arg(long, value_name = "CODE")]
    pub language: Option<String>,
    /// Source TAB target text, for encoder-decoder models
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
    /// Language of the targets of --pairs, for models that are told it: de_DE of mBART, de of M2M100, deu_Latn of NLLB
    #[arg(long, value_name = "LANGUAGE")]
    pub target_language: Option<String>,
    /// JSON Lines, CSV, TSV (.tsv, quotes are letters), Parquet or CoNLL (.conll) with columns of texts and labels; those of GLUE,
    /// SQuAD (a question in each row, or its own .json), CoNLL, SWAG and of multiple choice are recognized; or a folder of
    /// corpus.jsonl, queries.jsonl and qrels.tsv. Labels by the model's names, or by its numbers. Of a pipe its first line tells
    /// which it is
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub columns: ColumnArgs,
}

/// Which columns of the file of `--data` hold what.
#[derive(Clone, Debug, Args)]
pub(super) struct ColumnArgs {
    /// Column of --data with texts, or words; a number, counted from 1, where the file does not begin with names
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// Column of --data with the second texts of pairs
    #[arg(long, value_name = "NAME")]
    pub pair_column: Option<String>,
    /// Column of --data with labels
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
}

/// How much memory a command may use.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct MemoryArgs {
    /// Most memory to use, e.g. 4GiB: a model that is larger is read layer by layer, with the same results
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory: Option<MemoryLimit>,
}

/// Whether and how held-out pairs are translated.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TranslationArgs {
    /// Translate so many pairs and report BLEU and ROUGE; encoder-decoders alone
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..))]
    pub translate: Option<u32>,
    /// Beams of translations, and of transcripts of --audio; 1 is greedy
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>(1..=1000))]
    pub beams: u32,
}

impl TranslationArgs {
    pub(super) fn chosen(&self) -> Option<Translation> {
        let Self { translate, beams } = *self;
        translate.map(|sentences| Translation { sentences: sentences as usize, beams: beams as usize })
    }
}

/// What every command that runs a model takes.
#[derive(Clone, Debug, Args)]
pub(super) struct CommonArgs {
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = Spec::default().device, value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Type to compute in: f32, bf16 or f16
    #[arg(long, default_value_t = Spec::default().precision, value_name = "TYPE")]
    pub dtype: Precision,
    /// Sequences per batch; without it 8, or as many of 8, 4, 2 and 1 as --memory has room for. Votes are cast by
    /// batches, so they depend on it
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=65536))]
    pub batch_size: Option<u32>,
    /// Longest sequence in tokens; without it the model's own limit or that of its tokenizer (model_max_length), 512 at most
    /// for text
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000))]
    pub seq_len: Option<u32>,
    /// Read --text by a published convention. wikitext2: lines joined by empty ones, tokenized at once, windows of 2048 tokens
    /// that do not overlap, the last left out where it is not full
    #[arg(long, value_name = "NAME")]
    pub preset: Option<PerplexityPreset>,
    /// Fill the sequences of encoders from running text, as those of decoders are, instead of one line each
    #[arg(long)]
    pub pack: bool,
    /// Stop after so many batches
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..))]
    pub batches: Option<u64>,
    /// Seed of everything random
    #[arg(long, default_value_t = Spec::default().seed, value_name = "N", value_parser = whole::<u64>(0..))]
    pub seed: u64,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
    /// No progress, no warnings
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DownloadArgs {
    /// OWNER/NAME, or OWNER/NAME@REVISION for a branch, a tag or a commit
    #[arg(value_name = "OWNER/NAME[@REVISION]")]
    pub name: HubName,
    /// No progress, no warnings
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell: bash, zsh, fish, elvish or powershell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder for one page per command; without it the main page goes to stdout
    #[arg(long)]
    pub out: Option<PathBuf>,
}
