//! What to read and how sequences become batches.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::Shard;
use crate::checkpoint::{path_text, real_path};
use crate::error::Error;

/// Columns of a table, by name; without a name, one that data sets are published with is recognized. Numbers name columns of a
/// table that does not begin with their names, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataColumns {
    /// The column of texts, or of lists of words.
    pub text: Option<String>,
    /// The column of the second texts of pairs.
    pub pair: Option<String>,
    /// The column of labels.
    pub label: Option<String>,
}

impl DataColumns {
    /// Whether columns are named by numbers alone.
    pub(super) fn are_numbers(&self) -> bool {
        let mut named = [&self.text, &self.pair, &self.label].into_iter().flatten().peekable();
        named.peek().is_some() && named.all(|name| name.parse::<u32>().is_ok())
    }
}

/// A file or folder to read, as the command line and the window name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A file of UTF-8 text.
    Text(#[serde(with = "path_text")] PathBuf),
    /// JSON Lines of token ids.
    Tokens(#[serde(with = "path_text")] PathBuf),
    /// A safetensors file that holds the model's inputs by name.
    Inputs(#[serde(with = "path_text")] PathBuf),
    /// A folder of PNG and JPEG files.
    Images(#[serde(with = "path_text")] PathBuf),
    /// Rows with named columns: texts and what is to be said of them.
    Data {
        /// JSON Lines, CSV, TSV, Parquet, CoNLL or SQuAD's own JSON, by its ending.
        #[serde(with = "path_text")]
        path: PathBuf,
        /// Which columns are read.
        columns: DataColumns,
    },
    /// Recordings of speech: a folder, a WAV, FLAC or MP3 file, or a table of paths and texts.
    Audio {
        /// The folder, file or table.
        path: PathBuf,
        /// Code of the language that is spoken, such as `en`; what the model takes for usual where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// Lines of columns between tabs: a source and its target text.
    Pairs {
        /// The file of the pairs.
        #[serde(with = "path_text")]
        path: PathBuf,
        /// Columns of source and target, counted from 1; the last two of the first line where absent.
        columns: Option<(usize, usize)>,
        /// The language of the targets, as the tokenizer calls it, for models that are told.
        #[serde(default)]
        language: Option<String>,
    },
}

impl Input {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Text(path) | Self::Tokens(path) | Self::Inputs(path) | Self::Images(path) => path,
            Self::Pairs { path, .. } | Self::Data { path, .. } | Self::Audio { path, .. } => path,
        }
    }

    /// Whether it is what is piped into the program, which is named `-`; folders are not.
    pub fn is_standard_input(&self) -> bool {
        !matches!(self, Self::Images(_)) && self.path() == Path::new("-")
    }

    /// The kind of input that a file most likely is, by its name.
    pub fn guess(path: &Path) -> Self {
        let path = path.to_path_buf();
        if path.is_dir() {
            return if holds_recordings(&path) { Self::Audio { path, language: None } } else { Self::Images(path) };
        }
        if is_recording(&path) {
            return Self::Audio { path, language: None };
        }
        match path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase().as_str() {
            "jsonl" => Self::Tokens(path),
            "safetensors" => Self::Inputs(path),
            "tsv" => Self::Pairs { path, columns: None, language: None },
            "csv" | "conll" | "iob" | "bio" | "ndjson" | "parquet" | "json" => {
                Self::Data { path, columns: DataColumns::default() }
            }
            _ => Self::Text(path),
        }
    }

    /// Another file that is read in the same way.
    #[must_use]
    pub fn at(&self, path: PathBuf) -> Self {
        match self {
            Self::Text(_) => Self::Text(path),
            Self::Tokens(_) => Self::Tokens(path),
            Self::Inputs(_) => Self::Inputs(path),
            Self::Images(_) => Self::Images(path),
            Self::Pairs { columns, language, .. } => {
                Self::Pairs { path, columns: *columns, language: language.clone() }
            }
            Self::Audio { language, .. } => Self::Audio { path, language: language.clone() },
            Self::Data { columns, .. } => Self::Data { path, columns: columns.clone() },
        }
    }

    /// The same under the real path of its file or folder, links followed, however it was named.
    #[must_use]
    pub fn real(&self) -> Self {
        let real = if self.is_standard_input() { None } else { real_path(self.path()) };
        real.map_or_else(|| self.clone(), |path| self.at(path))
    }

    /// What kind of input it is, as the flag of the command line is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Tokens(_) => "tokens",
            Self::Inputs(_) => "inputs",
            Self::Images(_) => "images",
            Self::Audio { .. } => "audio",
            Self::Pairs { .. } => "pairs",
            Self::Data { .. } => "data",
        }
    }
}

/// Endings of recordings that are read.
pub(super) const RECORDINGS: [&str; 3] = ["wav", "flac", "mp3"];

/// Whether a name is that of a recording.
pub(super) fn is_recording(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    RECORDINGS.iter().any(|known| ending == *known)
}

/// Whether a folder, or one in it, holds recordings.
fn holds_recordings(folder: &Path) -> bool {
    let paths = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    paths(folder).any(|path| is_recording(&path) || (path.is_dir() && paths(&path).any(|path| is_recording(&path))))
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.path().display())
    }
}

/// What the batches are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To watch the model on the input as it stands; labels only where the input brings them.
    #[default]
    Observe,
    /// To score or train: labels everywhere the model predicts, and masked tokens for masked-language models.
    Score,
}

/// Order of the sequences. Whatever the order, it is the same in every run.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_batch_order)]
pub enum BatchOrder {
    /// As they stand in the input.
    #[default]
    AsRead,
    /// Sequences of like length together, within a window of 64 batches, so that little work goes to padding.
    /// Sequences of one length stay in the order of the input.
    ByLength,
    /// Shuffled within a window, then of like length together, then the batches shuffled; every pass differs.
    Shuffled,
}

impl BatchOrder {
    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown_batch_order(text: &str) -> Error {
    Error::unknown::<BatchOrder>("order", text)
}

/// Which sequences take part. Sequences are split in blocks of one batch, counted in the order of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorpusPart {
    /// Every part of the corpus.
    #[default]
    All,
    /// All but every `every`-th block.
    Training {
        /// Distance between blocks that are held out.
        every: u64,
    },
    /// Every `every`-th block alone: the counterpart of `Training`.
    HeldOut {
        /// Distance between blocks that are held out.
        every: u64,
    },
}

impl CorpusPart {
    /// Whether the block with this index takes part.
    pub(super) fn has(self, block: u64) -> bool {
        let held_out = |every: u64| every > 0 && block % every == every - 1;
        match self {
            Self::All => true,
            Self::Training { every } => !held_out(every),
            Self::HeldOut { every } => held_out(every),
        }
    }

    /// What is read, in words.
    pub fn in_words(self) -> String {
        match self {
            Self::All => "all batches".to_owned(),
            Self::Training { every } => format!("all but one batch in {every}"),
            Self::HeldOut { every } => format!("one batch in {every}"),
        }
    }

    /// How many of `blocks` blocks take part.
    pub(super) fn count(self, blocks: u64) -> u64 {
        match self {
            Self::All => blocks,
            Self::Training { every } => blocks - blocks.checked_div(every).unwrap_or(0),
            Self::HeldOut { every } => blocks.checked_div(every).unwrap_or(0),
        }
    }
}

/// Where the special tokens go in text that is packed for a decoder-only model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextPacking {
    /// Around the whole text, which is then cut: every token of the text stands in one sequence.
    #[default]
    Stream,
    /// Before every sequence, for models that must see their first token (Gemma).
    Sequences,
}

/// What stands in the place of a token that a masked-language model has to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskRule {
    /// The mask token in 80 % of the cases, a random token in 10 %, the token itself in 10 % (Devlin et al. 2019,
    /// section 3.1), as these models are trained.
    #[default]
    Bert,
    /// The mask token always.
    All,
}

/// Which tokens a masked-language model has to find. The choice depends on the seed, the sequence and the position
/// alone, not on batches or order, so that two models see the same input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Masking {
    /// Share of the tokens, in `0..=1`; at least one of each sequence.
    pub share: f64,
    /// What stands in their place.
    pub rule: MaskRule,
}

impl Default for Masking {
    fn default() -> Self {
        Self { share: 0.15, rule: MaskRule::default() }
    }
}

/// A convention by which perplexities are published.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_preset)]
pub enum PerplexityPreset {
    /// As papers on pruning have it for WikiText-2 (Frantar and Alistarh 2023): rows joined by two line ends, tokenized at
    /// once, cut into windows of 2048 tokens (`--seq-len` for another length), the last one left out where it is not full.
    Wikitext2,
}

impl PerplexityPreset {
    /// Tokens of a window.
    pub fn length(self) -> usize {
        match self {
            Self::Wikitext2 => 2048,
        }
    }

    /// How a perplexity is formed from windows of `length` tokens.
    pub fn convention(self, length: usize) -> String {
        match self {
            Self::Wikitext2 => format!(
                "wikitext2 of pruning papers: rows joined by two line ends, windows of {length} tokens that do not overlap, exp \
                 of the mean of their mean losses"
            ),
        }
    }
}

fn unknown_preset(text: &str) -> Error {
    Error::unknown::<PerplexityPreset>("preset", text)
}

/// How sequences become batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusSettings {
    /// How many sequences make a batch.
    pub batch_size: usize,
    /// Longest sequence that text is packed or cut to; the model's own limit (at most 512) where absent.
    pub seq_len: Option<usize>,
    /// Stop after this many batches.
    pub batches: Option<u64>,
    /// Seed of masks and shuffles.
    pub seed: u64,
    /// Order of the sequences.
    pub order: BatchOrder,
    /// What the batches are for.
    pub purpose: Purpose,
    /// Which sequences take part.
    pub part: CorpusPart,
    /// Which piece of them, where several processes share the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Special tokens of packed text.
    pub packing: TextPacking,
    /// Fill the sequences of models with an encoder from running text too, instead of one line each.
    #[serde(default)]
    pub pack: bool,
    /// Masks of masked-language models.
    pub masking: Masking,
    /// A published convention that text is read by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PerplexityPreset>,
}

impl CorpusSettings {
    /// Whether the block with this index is read.
    pub(super) fn has(&self, block: u64) -> bool {
        self.part.has(block) && self.shard.is_none_or(|shard| shard.has(self.part.count(block)))
    }

    /// How many of `blocks` blocks are read.
    pub(super) fn count(&self, blocks: u64) -> u64 {
        let blocks = self.part.count(blocks);
        self.shard.map_or(blocks, |shard| shard.count(blocks))
    }
}

impl Default for CorpusSettings {
    fn default() -> Self {
        Self {
            batch_size: 8,
            seq_len: None,
            batches: None,
            seed: 0,
            order: BatchOrder::default(),
            purpose: Purpose::default(),
            part: CorpusPart::default(),
            shard: None,
            packing: TextPacking::default(),
            pack: false,
            masking: Masking::default(),
            preset: None,
        }
    }
}
