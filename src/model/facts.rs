//! What other rooms need to know of a model before they run it.

use std::path::PathBuf;

use super::Model;
use crate::network::{InputSpec, Objective, StackSpec};

/// What the first stack of a model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Token ids.
    Tokens,
    /// Images.
    Pixels,
    /// Log-mel spectrograms.
    Frames,
}

impl Model {
    /// What the first stack reads.
    pub fn input_kind(&self) -> InputKind {
        match self.first_stack().map(|s| &s.input) {
            Some(InputSpec::Patches(_)) => InputKind::Pixels,
            Some(InputSpec::Frames(_)) => InputKind::Frames,
            _ => InputKind::Tokens,
        }
    }

    /// What the language-model head predicts; `None` without one.
    pub fn objective(&self) -> Option<Objective> {
        self.spec().output.as_ref().map(|o| o.objective)
    }

    /// Longest sequence of tokens that the first stack reads, where it reads tokens and has a limit.
    pub fn max_length(&self) -> Option<usize> {
        longest(self.first_stack()?)
    }

    /// Longest sequence of tokens that the decoder of an encoder-decoder model reads, where it has a limit.
    pub fn max_target_length(&self) -> Option<usize> {
        self.spec().encoder.as_ref()?;
        longest(self.spec().decoder.as_ref()?)
    }

    /// Id that fills up short sequences; `None` where `config.json` names none inside the vocabulary.
    pub fn pad_token_id(&self) -> Option<u32> {
        self.token("pad_token_id")
    }

    /// Id that begins a sequence.
    pub fn bos_token_id(&self) -> Option<u32> {
        self.token("bos_token_id")
    }

    /// Id that ends a sequence; the first where `config.json` lists several.
    pub fn eos_token_id(&self) -> Option<u32> {
        self.token("eos_token_id")
    }

    /// Id of the mask, where `config.json` names it; most leave it to the tokenizer.
    pub fn mask_token_id(&self) -> Option<u32> {
        self.token("mask_token_id")
    }

    /// First id that the decoder of an encoder-decoder model reads. One without a start token of its own begins with
    /// `bos_token_id`, else with padding, as T5 does.
    pub fn decoder_start_token_id(&self) -> Option<u32> {
        self.spec().encoder.as_ref()?;
        self.spec().decoder.as_ref()?;
        self.token("decoder_start_token_id").or_else(|| self.bos_token_id()).or_else(|| self.pad_token_id())
    }

    /// `tokenizer.json`, where the folder has one.
    pub fn tokenizer_path(&self) -> Option<PathBuf> {
        Some(self.checkpoint().folder().join("tokenizer.json")).filter(|path| path.is_file())
    }

    /// Whether text can be read.
    pub fn has_tokenizer(&self) -> bool {
        self.tokenizer_path().is_some()
    }

    fn first_stack(&self) -> Option<&StackSpec> {
        self.spec().encoder.as_ref().or(self.spec().decoder.as_ref())
    }

    /// An id under `key` that the last stack's token table has a row for.
    fn token(&self, key: &str) -> Option<u32> {
        let rows = |stack: &StackSpec| match &stack.input {
            InputSpec::Tokens(input) => Some(input.vocabulary),
            _ => None,
        };
        let vocabulary = self.spec().last_stack().and_then(rows)?;
        self.config().token_opt(key).filter(|id| (*id as usize) < vocabulary)
    }
}

fn longest(stack: &StackSpec) -> Option<usize> {
    match &stack.input {
        InputSpec::Tokens(input) => input.max_length,
        _ => None,
    }
}
