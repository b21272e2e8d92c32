//! Where sequences come from.

use std::path::PathBuf;

use super::asked::AskedQuestion;
use super::example::Example;
use super::judged::{Relevance, TextQuestion};
use super::spoken::SpokenTexts;
use crate::error::Result;

/// A number that is known, or one that is guessed from a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// The number of sequences, which is known.
    Exact(u64),
    /// The number of sequences, guessed from the size of the file.
    Estimate(u64),
}

impl Total {
    /// The number, known or guessed.
    pub fn value(self) -> u64 {
        match self {
            Self::Exact(n) | Self::Estimate(n) => n,
        }
    }

    pub(super) fn map(self, f: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Exact(n) => Self::Exact(f(n)),
            Self::Estimate(n) => Self::Estimate(f(n)),
        }
    }
}

pub(super) type Examples = Box<dyn Iterator<Item = Result<Example>> + Send>;

pub(super) type TextQuestions = Box<dyn Iterator<Item = Result<TextQuestion>>>;

pub(super) type AskedQuestions = Box<dyn Iterator<Item = Result<AskedQuestion>>>;

/// Where sequences come from; it can be read again and again.
pub(super) trait Origin: Send + Sync {
    /// A fresh pass over the sequences.
    fn examples(&self) -> Result<Examples>;

    /// How many sequences there are, where it can be told without a pass.
    fn sequences(&self) -> Option<Total>;

    /// Tokens of the longest sequence that may come; 0 where there are none.
    fn longest(&self) -> usize;

    /// Sequences of each item: the most endings of a question, else 1.
    fn choices(&self) -> usize {
        1
    }

    /// Channels, height and width of the images that come, where the model reads any size.
    fn image(&self) -> Option<[usize; 3]> {
        None
    }

    /// Questions with all of their endings, where sequences are the right ones of such.
    fn questions(&self) -> Result<Option<AskedQuestions>> {
        Ok(None)
    }

    /// Whether every sequence makes a batch of its own, as what stands beside it would change what the model makes of it.
    fn reads_alone(&self) -> bool {
        false
    }

    /// Transcripts of recordings, where there are some.
    fn spoken(&self) -> Option<&SpokenTexts> {
        None
    }

    /// Questions that a text answers, where sequences are windows of such texts.
    fn text_questions(&self) -> Result<Option<TextQuestions>> {
        Ok(None)
    }

    /// How alike people find the two texts of every pair, where sequences are such texts in turns.
    fn likenesses(&self) -> Option<&[f64]> {
        None
    }

    /// Which documents answer which queries, where sequences are such.
    fn relevance(&self) -> Option<&Relevance> {
        None
    }

    /// Files read, in order.
    fn files(&self) -> Vec<PathBuf>;

    /// What this is, for a person: `packed to 128 tokens`.
    fn describe(&self) -> String;

    /// What a person should know before trusting numbers from this input.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
