//! Questions as sequences that a model scores ending by ending.

use super::example::{Example, SourceContent, TokenRow};
use crate::error::{Error, Result};

/// One ending behind its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedEnding {
    /// What the model reads: everything but the last token.
    pub ids: Vec<u32>,
    /// What follows each position, where that is part of the ending.
    pub labels: Vec<Option<u32>>,
    /// Characters of the ending.
    pub chars: usize,
}

/// A question with its endings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedQuestion {
    /// The endings in the order of the row.
    pub endings: Vec<AskedEnding>,
    /// The number of the right ending.
    pub right: u32,
    /// Whether a beginning lost tokens, as the sequence was too long.
    pub is_cut: bool,
}

impl AskedQuestion {
    /// Tokens of the longest sequence.
    pub(super) fn longest(&self) -> usize {
        self.endings.iter().map(|ending| ending.ids.len()).max().unwrap_or(0)
    }

    /// The right ending, scored token by token.
    pub(super) fn example(&self) -> Result<Example> {
        let right = self.endings.get(self.right as usize);
        let right = right.ok_or_else(|| Error::new("the right ending is none of the question's"))?;
        let content = SourceContent::Tokens(TokenRow::full(right.ids.clone()));
        Ok(Example { labels: Some(right.labels.clone()), ..Example::new(content) })
    }
}
