//! One sequence, and the padded batch of several.

use candle_core::{Device, Tensor};

use super::intake::{Intake, PositionIds, SourceKind, TokenLimits};
use super::task_intake::IGNORED;
use crate::error::{Error, Result};
use crate::model::DecoderStart;
use crate::network::{Batch, Items, Objective, Samples, Source, TokenMask, Tokens};
use crate::words::counted;

/// Ids of one sequence and which of them are real.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenRow {
    pub ids: Vec<u32>,
    pub real: Vec<bool>,
    /// Types and positions of the tokens, where the input names them.
    pub types: Option<Vec<u32>>,
    pub positions: Option<Vec<u32>>,
    /// Which of several documents each token is of, where positions begin anew within the row.
    pub documents: Option<Vec<u32>>,
    /// Whether the input names which tokens are real.
    pub is_masked: bool,
}

impl TokenRow {
    /// A row without padding.
    pub(super) fn full(ids: Vec<u32>) -> Self {
        Self { real: vec![true; ids.len()], ids, ..Self::default() }
    }

    /// What a decoder reads that begins with `start` and is one behind.
    pub(super) fn moved_right(&self, start: u32) -> Self {
        let before = self.ids.len().saturating_sub(1);
        let ids = std::iter::once(start).chain(self.ids.iter().copied().take(before)).collect();
        Self { ids, real: self.real.clone(), ..Self::default() }
    }

    /// Checks what a user wrote: length, vocabulary, mask, at least one real token.
    pub(super) fn checked(name: &str, ids: &[i64], mask: Option<&[i64]>, limits: &TokenLimits) -> Result<Self> {
        if let Some(longest) = limits.max_length.filter(|longest| ids.len() > *longest) {
            let what = format!(
                "{name} has {}, but the model has {}",
                counted(ids.len(), "tokens"),
                counted(longest, "positions")
            );
            return Err(Error::new(what).hint("split or shorten it"));
        }
        let real = match mask {
            None => vec![true; ids.len()],
            Some(mask) if mask.len() != ids.len() => {
                let what = format!(
                    "a mask of {} does not fit {name} of {}",
                    counted(mask.len(), "entries"),
                    counted(ids.len(), "tokens")
                );
                return Err(Error::new(what));
            }
            Some(mask) => mask
                .iter()
                .map(|m| match m {
                    0 => Ok(false),
                    1 => Ok(true),
                    other => Err(Error::new(format!("the mask of {name} holds {other}")).hint("use 1 and 0")),
                })
                .collect::<Result<_>>()?,
        };
        if !real.contains(&true) {
            return Err(Error::new(format!("{name} has no real token")));
        }
        let inside = |id: &i64| u32::try_from(*id).ok().filter(|id| (*id as usize) < limits.vocabulary);
        let ids = ids.iter().map(|id| {
            let outside = || format!("id {id} of {name} is outside the vocabulary of {}", limits.vocabulary);
            inside(id).ok_or_else(|| Error::new(outside()).hint("is this the right tokenizer for the model"))
        });
        Ok(Self { ids: ids.collect::<Result<_>>()?, real, is_masked: mask.is_some(), ..Self::default() })
    }

    /// Takes what the input names besides ids; gives the names of what the model has no use for.
    pub(super) fn take(
        &mut self,
        types: Option<&[i64]>,
        positions: Option<&[i64]>,
        intake: &Intake,
    ) -> Result<Vec<String>> {
        let mut unused = Vec::new();
        if let Some(types) = types
            && !self.set_types(types, intake)?
        {
            unused.push("token_type_ids".to_owned());
        }
        if let Some(positions) = positions
            && !self.set_positions(positions, intake)?
        {
            unused.push("position_ids".to_owned());
        }
        Ok(unused)
    }

    /// Takes `token_type_ids`; false where the model has no use for them.
    fn set_types(&mut self, types: &[i64], intake: &Intake) -> Result<bool> {
        if intake.types == 0 {
            return Ok(false);
        }
        self.types = Some(self.aligned("token_type_ids", types, intake.types)?);
        Ok(true)
    }

    /// Takes `position_ids`; false where the model has no use for them.
    ///
    /// Where they do not count up one by one, another document begins, which transformers keeps apart in causal models where
    /// no `attention_mask` is given.
    fn set_positions(&mut self, positions: &[i64], intake: &Intake) -> Result<bool> {
        const NAME: &str = "position_ids";
        match intake.positions {
            PositionIds::Unused => return Ok(false),
            PositionIds::Rows(rows) => {
                let positions = self.aligned(NAME, positions, rows)?;
                if intake.keeps_apart && !self.is_masked {
                    self.documents = documents(&positions);
                }
                self.positions = Some(positions);
            }
            PositionIds::Relative => {
                let positions = self.aligned(NAME, positions, usize::MAX)?;
                if intake.keeps_apart && !self.is_masked {
                    // Only distances count, and within a document these are those of a row without position_ids.
                    self.documents = documents(&positions);
                    return Ok(true);
                }
                let real: Vec<u32> =
                    positions.iter().zip(&self.real).filter(|(_, real)| **real).map(|(p, _)| *p).collect();
                // Only distances count, and these are those of a row without position_ids.
                if documents(&real).is_some() {
                    let what = "the position_ids do not count up one by one, and this model turns by distances";
                    return Err(Error::new(what).hint(if intake.keeps_apart {
                        "leave attention_mask out, so that documents of a row are kept apart"
                    } else {
                        "give each document of a packed row as a line of its own"
                    }));
                }
            }
        }
        Ok(true)
    }

    /// One number below `end` for each token.
    fn aligned(&self, name: &str, values: &[i64], end: usize) -> Result<Vec<u32>> {
        if values.len() != self.ids.len() {
            return Err(Error::new(format!("{} {name} do not fit {} tokens", values.len(), self.ids.len())));
        }
        let inside = |value: &i64| u32::try_from(*value).ok().filter(|v| (*v as usize) < end);
        let outside = |value: &i64| Error::new(format!("{value} in {name} is outside the model's {end}"));
        values.iter().map(|value| inside(value).ok_or_else(|| outside(value))).collect()
    }
}

/// The number of the document of each token, which is another wherever `positions` do not count up by one; `None` where there
/// is but one.
fn documents(positions: &[u32]) -> Option<Vec<u32>> {
    let mut number = 0;
    let begins = |t: usize| match (t.checked_sub(1).and_then(|before| positions.get(before)), positions.get(t)) {
        (Some(before), Some(this)) => before.checked_add(1) != Some(*this),
        _ => false,
    };
    let numbers = (0..positions.len()).map(|t| {
        number += u32::from(begins(t));
        number
    });
    let numbers: Vec<u32> = numbers.collect();
    (number > 0).then_some(numbers)
}

/// What the first stack reads of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SourceContent {
    Tokens(TokenRow),
    /// Row-major values in the shape that the model wants.
    Values(Vec<f32>),
    /// A question with each of its endings.
    Choices(Vec<TokenRow>),
    /// Samples of sound, and how many of them, from the first, are real.
    Samples(Vec<f32>, usize),
}

impl SourceContent {
    /// Checks what a user wrote: a mask of leading ones, and `fewest` real samples at least.
    pub(super) fn samples(values: Vec<f32>, mask: Option<&[i64]>, fewest: usize) -> Result<Self> {
        let real = match mask {
            None => values.len(),
            Some(mask) if mask.len() != values.len() => {
                let what = format!("a mask of {} entries does not fit {} samples", mask.len(), values.len());
                return Err(Error::new(what));
            }
            Some(mask) => {
                let real = mask.iter().take_while(|m| **m == 1).count();
                if mask.iter().skip(real).any(|m| *m != 0) {
                    let what = "the mask of input_values is not some ones and then zeros";
                    return Err(Error::new(what).hint("pad recordings behind their end"));
                }
                real
            }
        };
        if real < fewest {
            return Err(Error::new(format!("{real} samples are too few for a frame, which takes {fewest}")));
        }
        Ok(Self::Samples(values, real))
    }
}

/// One sequence (or image, or spectrogram) with what is predicted of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Example {
    pub content: SourceContent,
    pub target: Option<TokenRow>,
    /// One entry per output position, already aligned with it.
    pub labels: Option<Vec<Option<u32>>>,
    /// Numbers that a regression is to give.
    pub wanted: Option<Vec<f32>>,
    /// Its place in the input, counted from 0.
    pub place: u64,
}

impl Example {
    pub(super) fn new(content: SourceContent) -> Self {
        Self { content, target: None, labels: None, wanted: None, place: 0 }
    }

    pub(super) fn tokens(ids: Vec<u32>) -> Self {
        Self::new(SourceContent::Tokens(TokenRow::full(ids)))
    }

    /// Teacher forcing: the decoder reads the start token and `target` without its last token, and is scored on
    /// `target`, which ends with the end token.
    pub(super) fn pair(source: Vec<u32>, mut target: Vec<u32>, intake: &Intake) -> Self {
        // A language may stand behind the end.
        let ends = |end: &u32| match intake.decoder_start {
            Some(DecoderStart::LastLabel) => target.contains(end),
            _ => target.last() == Some(end),
        };
        if let Some(end) = intake.end.filter(|end| !ends(end)) {
            target.push(end);
        }
        let start = intake.start_of(target.iter().copied());
        let read = std::iter::once(start).chain(target.iter().copied().take(target.len().saturating_sub(1)));
        Self {
            target: Some(TokenRow::full(read.collect())),
            labels: Some(target.into_iter().map(Some).collect()),
            ..Self::tokens(source)
        }
    }

    /// A text without labels: an encoder-decoder that writes text reads it on both sides.
    pub(super) fn of_text(ids: Vec<u32>, intake: &Intake) -> Self {
        match (&intake.target, &intake.task) {
            (Some(_), None) => Self::pair(ids.clone(), ids, intake),
            (Some(_), Some(_)) => {
                let source = TokenRow::full(ids);
                let target = Some(source.moved_right(intake.start_of(source.ids.iter().copied())));
                Self { target, ..Self::new(SourceContent::Tokens(source)) }
            }
            (None, _) => Self::tokens(ids),
        }
    }

    /// Whether anything that is said of it is held against a label of its own.
    pub(super) fn is_scored(&self) -> bool {
        self.wanted.is_some() || self.labels.iter().flatten().any(Option::is_some)
    }

    /// Tokens of the longest part, by which sequences of alike length are found.
    pub(super) fn length(&self) -> usize {
        let source = match &self.content {
            SourceContent::Tokens(row) => row.ids.len(),
            SourceContent::Values(_) => 0,
            SourceContent::Choices(rows) => rows.iter().map(|row| row.ids.len()).max().unwrap_or(0),
            SourceContent::Samples(values, _) => values.len(),
        };
        source.max(self.target.as_ref().map_or(0, |t| t.ids.len()))
    }

    /// Numbers held, to bound what is kept in memory.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            SourceContent::Tokens(row) => row.ids.len(),
            SourceContent::Values(values) | SourceContent::Samples(values, _) => values.len(),
            SourceContent::Choices(rows) => rows.iter().map(|row| row.ids.len()).sum(),
        }
    }

    /// Gives a model that predicts the next token its labels, where the input brought none: the id one further
    /// on, where both positions are real.
    pub(super) fn predict_next(&mut self, intake: &Intake) {
        if self.labels.is_some() || intake.objective != Some(Objective::Causal) {
            return;
        }
        let row = match (&self.content, &self.target) {
            (_, Some(target)) => target,
            (SourceContent::Tokens(row), None) => row,
            _ => return,
        };
        let next = |t: usize| {
            let both = *row.real.get(t)? && *row.real.get(t + 1)?;
            row.ids.get(t + 1).copied().filter(|_| both)
        };
        self.labels = Some((0..row.ids.len()).map(next).collect());
    }

    /// Takes labels in the convention of Hugging Face: [`IGNORED`] where nothing is scored, and for decoder-only
    /// models at the position of the token itself, so that they still move by one. A model without a
    /// language-model head has no use for them.
    pub(super) fn set_labels(&mut self, labels: &[i64], intake: &Intake) -> Result<()> {
        let length = match (&self.content, &self.target) {
            _ if intake.objective.is_none() => return Ok(()),
            (_, Some(target)) => target.ids.len(),
            (SourceContent::Tokens(row), None) => row.ids.len(),
            _ => return Ok(()),
        };
        if labels.len() != length {
            return Err(Error::new(format!("{} labels do not fit {length} positions", labels.len())));
        }
        let mut aligned = Vec::with_capacity(length);
        for label in labels {
            let known = u32::try_from(*label).ok().filter(|id| (*id as usize) < intake.classes);
            match known {
                Some(id) => aligned.push(Some(id)),
                None if *label == IGNORED => aligned.push(None),
                None => {
                    let what = format!("label {label} is outside the vocabulary of {}", intake.classes);
                    return Err(Error::new(what).hint("use -100 where nothing is scored"));
                }
            }
        }
        if intake.decoder_only && !aligned.is_empty() {
            aligned.rotate_left(1);
            if let Some(last) = aligned.last_mut() {
                *last = None;
            }
        }
        self.labels = Some(aligned);
        Ok(())
    }
}

/// Pads `examples` to one batch on the processor.
pub(super) fn collate(examples: Vec<Example>, intake: &Intake) -> Result<Batch> {
    let device = &Device::Cpu;
    let n = examples.len();
    let has_target = examples.iter().any(|e| e.target.is_some());
    let has_labels = examples.iter().any(|e| e.labels.is_some());
    let (mut rows, mut targets, mut values, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut positions, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    let mut items = Items { places: Some(examples.iter().map(|e| e.place).collect()), ..Items::default() };
    if examples.iter().any(|e| e.wanted.is_some()) {
        // What is missing is no number.
        let outputs = intake.task.as_ref().map_or(1, |task| task.outputs);
        let wanted = |e: &Example| e.wanted.clone().unwrap_or_else(|| vec![f32::NAN; outputs]);
        items.wanted = Some(examples.iter().flat_map(wanted).collect());
    }
    let mut recordings: Vec<(Vec<f32>, usize)> = Vec::new();
    for example in examples {
        let mut push = |row: TokenRow| {
            types.push(row.types);
            positions.push(row.positions);
            documents.push(row.documents);
            rows.push((row.ids, row.real));
        };
        match example.content {
            SourceContent::Tokens(row) => push(row),
            SourceContent::Values(more) => values.extend_from_slice(&more),
            SourceContent::Choices(choices) => {
                if labels.is_empty() {
                    items.choices = choices.len();
                }
                if items.choices != choices.len() {
                    return Err(Error::new("questions of one batch have different numbers of endings")
                        .hint("give questions with equally many, or --batch-size 1"));
                }
                choices.into_iter().for_each(push);
            }
            SourceContent::Samples(more, real) => recordings.push((more, real)),
        }
        let target = example.target.unwrap_or_default();
        targets.push((target.ids, target.real));
        labels.push(example.labels.unwrap_or_default());
    }
    let source = match &intake.source {
        SourceKind::Tokens(_) => {
            let mut tokens = Tokens::pad(&rows, intake.pad, device)?;
            let length = tokens.mask.length();
            let every = |rows: Vec<Option<Vec<u32>>>, of: &dyn Fn(usize) -> u32| {
                let any = rows.iter().any(Option::is_some);
                let padded = |row: Option<Vec<u32>>| {
                    let row = row.unwrap_or_default();
                    (0..length).map(move |t| row.get(t).copied().unwrap_or_else(|| of(t))).collect::<Vec<u32>>()
                };
                any.then(|| rows.into_iter().flat_map(padded).collect::<Vec<u32>>())
            };
            let count = |t: usize| u32::try_from(t).unwrap_or(u32::MAX);
            // Padding behind a row is a document of its own.
            let packed = documents.iter().any(Option::is_some);
            let lengths = rows.iter().map(|(ids, _)| ids.len());
            let whole = |(row, length): (Option<Vec<u32>>, usize)| Some(row.unwrap_or_else(|| vec![0; length]));
            let documents = documents.into_iter().zip(lengths).map(whole).collect();
            if let Some(documents) = every(documents, &|_| u32::MAX).filter(|_| packed) {
                tokens.mask = tokens.mask.with_documents(documents)?;
            }
            Source::Tokens(Tokens { types: every(types, &|_| 0), positions: every(positions, &count), ..tokens })
        }
        SourceKind::Pixels { shape: [c, h, w], .. } => {
            Source::Pixels(Tensor::from_vec(values, (n, *c, *h, *w), device)?)
        }
        SourceKind::Samples { .. } => {
            let length = recordings.iter().map(|(values, _)| values.len()).max().unwrap_or(0);
            let mut real = Vec::with_capacity(n * length);
            for (recording, count) in recordings {
                real.extend((0..length).map(|sample| sample < count));
                values.extend_from_slice(&recording);
                values.resize(real.len(), 0.0);
            }
            let mask = TokenMask::new(n, length, real)?;
            Source::Samples(Samples { values: Tensor::from_vec(values, (n, length), device)?, mask })
        }
        SourceKind::Frames { shape: [b, f] } => Source::Frames(Tensor::from_vec(values, (n, *b, *f), device)?),
    };
    let target = if has_target { Some(Tokens::pad(&targets, intake.pad, device)?) } else { None };
    let length = match (&target, &source) {
        (Some(tokens), _) | (None, Source::Tokens(tokens)) => tokens.mask.length(),
        _ => 0,
    };
    let width = intake.task.as_ref().map_or(length, |task| task.width(length));
    let padded = |row: Vec<Option<u32>>| row.into_iter().chain(std::iter::repeat(None)).take(width);
    let labels = has_labels.then(|| labels.into_iter().flat_map(padded).collect());
    Ok(Batch { source, target, labels, items })
}

/// The same batch on `device`.
pub(super) fn to_device(batch: Batch, device: &Device) -> Result<Batch> {
    let tokens = |t: Tokens| -> Result<Tokens> { Ok(Tokens { ids: t.ids.to_device(device)?, ..t }) };
    let source = match batch.source {
        Source::Tokens(t) => Source::Tokens(tokens(t)?),
        Source::Pixels(x) => Source::Pixels(x.to_device(device)?),
        Source::Frames(x) => Source::Frames(x.to_device(device)?),
        Source::Samples(s) => Source::Samples(Samples { values: s.values.to_device(device)?, ..s }),
    };
    let target = batch.target.map(tokens).transpose()?;
    Ok(Batch { source, target, labels: batch.labels, items: batch.items })
}
