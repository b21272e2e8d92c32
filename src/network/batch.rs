//! One batch of inputs, padded to its longest sequence.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Which positions of a padded batch are real: `[N, T]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMask {
    sequences: usize,
    length: usize,
    real: Vec<bool>,
    /// `[N, T]`: which of the documents that share its row a position is of.
    documents: Option<Vec<u32>>,
}

impl TokenMask {
    /// A mask over `sequences x length` positions, at least one; `real` is row-major.
    pub fn new(sequences: usize, length: usize, real: Vec<bool>) -> Result<Self> {
        if real.len() != sequences * length {
            return Err(Error::new(format!(
                "an attention mask of {} positions does not cover {sequences} x {length}",
                real.len()
            )));
        }
        if real.is_empty() {
            return Err(Error::new("an attention mask covers no position"));
        }
        Ok(Self { sequences, length, real, documents: None })
    }

    /// The same with rows of several documents, which causal layers keep apart: `documents`, row-major, never falls along a
    /// row.
    pub fn with_documents(self, documents: Vec<u32>) -> Result<Self> {
        if documents.len() != self.real.len() {
            let what = format!("numbers of {} documents do not cover {} positions", documents.len(), self.real.len());
            return Err(Error::new(what));
        }
        Ok(Self { documents: Some(documents), ..self })
    }

    /// Which document each position is of, row-major `[N, T]`, where rows have several.
    pub fn documents(&self) -> Option<&[u32]> {
        self.documents.as_deref()
    }

    /// A mask where nothing is padding.
    pub fn full(sequences: usize, length: usize) -> Self {
        Self { sequences, length, real: vec![true; sequences * length], documents: None }
    }

    /// Number of sequences `N`.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The length `T` after padding.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Which positions are real, row-major `[N, T]`.
    pub fn real(&self) -> &[bool] {
        &self.real
    }

    /// The row of one sequence.
    pub fn row(&self, sequence: usize) -> &[bool] {
        self.real.get(sequence * self.length..(sequence + 1) * self.length).unwrap_or(&[])
    }

    /// True where no position is padding.
    pub fn is_full(&self) -> bool {
        self.real.iter().all(|r| *r)
    }

    /// Number of real positions.
    pub fn count(&self) -> usize {
        self.real.iter().filter(|r| **r).count()
    }

    /// 1 at real and 0 at padded positions, `[N, T]`.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let ones: Vec<f32> = self.real.iter().map(|r| f32::from(u8::from(*r))).collect();
        Ok(Tensor::from_vec(ones, (self.sequences, self.length), device)?.to_dtype(dtype)?)
    }
}

/// Token ids `[N, T]` (u32) and which of them are real.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// `[N, T]`, u32; padded positions hold any id inside the vocabulary.
    pub ids: Tensor,
    /// Which positions are real.
    pub mask: TokenMask,
    /// The type of every token, row-major `[N, T]` (BERT's sentence pairs); all of type 0 where absent.
    pub types: Option<Vec<u32>>,
    /// The position of every token for models with a table of positions, row-major `[N, T]`; counted where absent.
    pub positions: Option<Vec<u32>>,
}

impl Tokens {
    /// Tokens of one type, at positions that are counted.
    pub fn new(ids: Tensor, mask: TokenMask) -> Self {
        Self { ids, mask, types: None, positions: None }
    }

    /// Pads `rows` to the longest with `pad` and keeps each row's own mask.
    pub fn pad(rows: &[(Vec<u32>, Vec<bool>)], pad: u32, device: &Device) -> Result<Self> {
        let length = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * length);
        let mut real = Vec::with_capacity(rows.len() * length);
        for (row, mask) in rows {
            ids.extend_from_slice(row);
            ids.resize(ids.len() + length - row.len(), pad);
            real.extend((0..length).map(|t| mask.get(t).copied().unwrap_or(false)));
        }
        let mask = TokenMask::new(rows.len(), length, real)?;
        Ok(Self::new(Tensor::from_vec(ids, (rows.len(), length), device)?, mask))
    }
}

/// Samples of sound `[N, S]` and which of them are real.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The wave of every sequence, `[N, S]`.
    pub values: Tensor,
    /// Which samples are real: of every sequence the first ones.
    pub mask: TokenMask,
}

/// What the first stack of a network reads.
#[derive(Clone, Debug)]
pub enum Source {
    Tokens(Tokens),
    /// Images, `[N, 3, height, width]`, already normalized.
    Pixels(Tensor),
    /// Log-mel spectrogram, `[N, mel, frames]`.
    Frames(Tensor),
    Samples(Samples),
}

impl Source {
    /// Number of sequences (or images) `N`.
    pub fn sequences(&self) -> Result<usize> {
        Ok(match self {
            Self::Tokens(tokens) => tokens.mask.sequences(),
            Self::Samples(samples) => samples.mask.sequences(),
            Self::Pixels(x) | Self::Frames(x) => x.dim(0)?,
        })
    }
}

impl Source {
    /// Ids or values held, padding included.
    pub fn numbers(&self) -> u64 {
        match self {
            Self::Tokens(tokens) => tokens.ids.elem_count() as u64,
            Self::Samples(samples) => samples.values.elem_count() as u64,
            Self::Pixels(x) | Self::Frames(x) => x.elem_count() as u64,
        }
    }
}

/// Inputs of one forward pass. A decoder-only model reads its tokens from `source` too.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the encoder reads, or a decoder-only model's tokens.
    pub source: Source,
    /// What the decoder of an encoder-decoder model reads (teacher forcing).
    pub target: Option<Tokens>,
    /// Target ids row-major `[N, T]` at the network's output positions; `None` at positions without a
    /// target. Already aligned with the output: no shift is left to do.
    ///
    /// Of a labeled task: a class for each sequence or token; for question answering the first and the last position of each
    /// answer; for a multiple choice the number of the right ending; 0 or 1 for each class of each sequence where any may
    /// apply. Numbers of a regression are in `items`.
    pub labels: Option<Vec<Option<u32>>>,
    /// What a labeled task adds.
    pub items: Items,
}

/// What a labeled task adds to a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Items {
    /// Sequences of each item: the choices of a question, else 1.
    pub choices: usize,
    /// The number that is wanted of each item, for regression, row-major where there are several; NaN where none is.
    pub wanted: Option<Vec<f32>>,
    /// The place of each item in the input, counted from 0, where it is needed later.
    pub places: Option<Vec<u64>>,
}

impl Default for Items {
    fn default() -> Self {
        Self { choices: 1, wanted: None, places: None }
    }
}

impl Batch {
    /// A batch without labels.
    pub fn new(source: Source, target: Option<Tokens>) -> Self {
        Self { source, target, labels: None, items: Items::default() }
    }

    /// Labels and wanted numbers that it carries: what a loss is the mean over.
    pub fn label_count(&self) -> usize {
        let numbers = self.items.wanted.iter().flatten().filter(|wanted| !wanted.is_nan()).count();
        numbers + self.labels.as_ref().map_or(0, |labels| labels.iter().flatten().count())
    }

    /// A batch of tokens without labels.
    pub fn tokens(tokens: Tokens) -> Self {
        Self::new(Source::Tokens(tokens), None)
    }

    /// Rows of the flattened output positions, `positions` in all, that have a label, and the labels.
    pub fn labeled(&self, positions: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        let labels = self.labels.as_ref().ok_or_else(|| Error::new("the batches carry no labels to score"))?;
        if labels.len() != positions {
            return Err(Error::new(format!("{} labels do not fit {positions} positions", labels.len())));
        }
        Ok((0u32..).zip(labels).filter_map(|(row, label)| Some((row, (*label)?))).unzip())
    }

    /// Real tokens read, source and target together; where the source is images or spectrograms, how many of these.
    pub fn token_count(&self) -> Result<usize> {
        match &self.source {
            Source::Tokens(tokens) => {
                Ok(tokens.mask.count() + self.target.as_ref().map_or(0, |target| target.mask.count()))
            }
            whole => whole.sequences(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectrograms_count_as_such_and_tokens_on_both_sides() {
        let rows = [(vec![1, 2, 3], vec![true; 3]), (vec![4], vec![true])];
        let tokens = Tokens::pad(&rows, 0, &Device::Cpu).unwrap();
        let frames = Tensor::zeros((2, 4, 6), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(Batch::new(Source::Frames(frames), Some(tokens.clone())).token_count().unwrap(), 2);
        assert_eq!(Batch::new(Source::Tokens(tokens.clone()), Some(tokens)).token_count().unwrap(), 8);
    }
}
