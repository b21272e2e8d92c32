//! Inputs of every kind become padded batches: token lists, named tensors, text, sentence pairs, rows of
//! tables, images, recordings.
//!
//! A [`Corpus`] can be read any number of times; every pass gives the same batches in the same order for the
//! same settings. A worker thread reads ahead of the forward pass by a few batches and tokenises on all cores. Memory
//! does not grow with the size of the input: text passes in blocks of 256 KiB, and at most 64 batches (of
//! [`BatchOrder::ByLength`] and [`BatchOrder::Shuffled`]) wait to be put in order.
//!
//! | module | job |
//! | --- | --- |
//! | `intake` | what a model can read, from its spec and `config.json` |
//! | `example` | one sequence, and a padded batch of them |
//! | `settings`, `opened` | what to read and how; an input with its settings |
//! | `reading` | what was read and how, as results record it |
//! | `batches` | order, held-out split, reading ahead |
//! | `tokens`, `inputs`, `text`, `pairs` | one kind of input each |
//! | `spool`, `passing`, `unpacked` | pipes and compressed files as files of their own |
//! | `tokenizer`, `reader`, `stream` | text to ids, files of any size in blocks and windows |
//! | `tokenizer_files`, `vocabulary` | the tokenizer that a folder's files say; the one built where there is no `tokenizer.json` |
//! | `audio`, `spoken` | recordings of speech as samples or spectrograms; what is said in them |
//! | `judged` | which part of a text answers a question, which document a query |
//! | `images`, `resample` | a folder of images; resizing to the last bit as image processors do |
//! | `guard` | others' readers that may panic |
//! | `masking` | hiding tokens that a masked-language model has to find |
//! | `questions`, `asked` | multiple choice for models that predict the next token |
//! | `table`, `parquet_rows`, `squad`, `columns`, `labeled` | files with named columns, which of them hold what; their rows as examples of a task |
//! | `passages` | questions that a text answers, in windows |
//! | `preview` | the first rows of an input, and what its columns are read as |
//! | `prompts`, `retrieval` | sentence embeddings: what stands before texts; documents and queries |
//! | `task_intake`, `labels` | what a task asks; its labels, as written and as scored |

mod asked;
mod audio;
mod batches;
mod columns;
mod example;
mod guard;
mod images;
mod inputs;
mod intake;
mod judged;
mod labeled;
mod labels;
mod language;
mod masking;
mod opened;
mod origin;
mod pairs;
mod parquet_rows;
mod passages;
mod passing;
mod preview;
mod prompts;
mod questions;
mod reader;
mod reading;
mod resample;
mod retrieval;
mod settings;
mod shard;
mod spoken;
mod spool;
mod squad;
mod stream;
mod table;
mod task_intake;
mod text;
mod tokenizer;
mod tokenizer_files;
mod tokens;
mod unpacked;
mod vocabulary;

pub use asked::{AskedEnding, AskedQuestion};
pub use batches::Batches;
pub use intake::{ImageSizes, Intake, PositionIds, SourceKind, TokenLimits};
pub use judged::{Relevance, TextQuestion};
pub use opened::Corpus;
pub(crate) use opened::fingerprint_of;
pub use origin::Total;
pub use preview::{InputPreview, PreviewColumn};
pub use reading::{InputUnit, Reading};
pub use settings::{
    BatchOrder, CorpusPart, CorpusSettings, DataColumns, Input, MaskRule, Masking, PerplexityPreset, Purpose,
    TextPacking,
};
pub use shard::Shard;
pub use spoken::{Letters, SpeechHead, SpokenTexts, TranscriptRules};
pub(crate) use spool::Spool;
pub use task_intake::TaskIntake;
pub use tokenizer::TextTokenizer;
