//! What the head of a labeled task says of each item of a batch, beside what is right.

use candle_core::{DType, Device, Tensor};

use super::edits::Edits;
use crate::error::{Error, Result};
use crate::network::{Batch, Hidden, ProblemType, TaskHead, TaskKind};
use crate::tensor::RowScore;

/// What was said of one item that has a label.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One class, or one ending.
    Class {
        /// With the largest logit, the first of equals.
        said: u32,
        right: u32,
        /// Classes with a larger logit than the right one.
        above: u32,
    },
    Numbers {
        said: Vec<f64>,
        right: Vec<f64>,
    },
    /// For each class whether it applies.
    Several {
        /// Where the probability is above one half.
        said: Vec<bool>,
        right: Vec<bool>,
    },
    /// A class for each labeled token.
    Tags {
        /// With the largest logit.
        said: Vec<u32>,
        right: Vec<u32>,
    },
    /// The first and the last token of an answer.
    Span {
        /// The best pair of ends in order.
        said: (u32, u32),
        /// By the label; absent where it lies behind the text.
        right: Option<(u32, u32)>,
    },
    /// How far a transcript is from what was said.
    Transcript(Edits),
    /// A part of a text beside the right ones.
    Extract {
        /// 1 where it is one of them.
        exact: f64,
        /// Overlap of words with the nearest.
        f1: f64,
    },
    /// Documents in the order of their likeness to a query.
    Ranked {
        /// Of the first ten.
        ndcg: f64,
        /// Shares of the right ones among the first 10 and 100.
        recall: [f64; 2],
    },
}

impl Answer {
    /// Whether all that was said is right, where it is right or wrong and not near or far.
    pub(super) fn is_right(&self) -> Option<bool> {
        match self {
            Self::Class { said, right, .. } => Some(said == right),
            Self::Several { said, right } => Some(said == right),
            Self::Span { said, right } => Some(*right == Some(*said)),
            Self::Extract { exact, .. } => Some(*exact > 0.5),
            Self::Numbers { .. } | Self::Tags { .. } | Self::Transcript(_) | Self::Ranked { .. } => None,
        }
    }
}

/// Everything that was said of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchAnswers {
    /// The loss of every label, in order, and the class with the largest logit there.
    pub scores: Vec<RowScore>,
    /// Whether that class is the right one.
    pub right: Vec<bool>,
    /// The item that each label is of.
    pub owners: Vec<usize>,
    /// What was said of each item, where it has a label.
    pub items: Vec<Option<Answer>>,
}

/// Logits of a batch as rows on the processor.
struct Rows {
    values: Vec<f32>,
    width: usize,
}

impl Rows {
    fn row(&self, at: usize) -> &[f32] {
        self.values.get(at * self.width..(at + 1) * self.width).unwrap_or(&[])
    }
}

/// Holds the answers of `head` to `batch` against its labels.
///
/// # Errors
/// Where labels do not fit, or a logit is not finite.
pub(super) fn answers(head: &TaskHead, hidden: &Hidden, batch: &Batch) -> Result<BatchAnswers> {
    let logits = head.logits(hidden, batch)?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    let (spec, mut found) = (head.spec(), BatchAnswers::default());
    let items = batch.source.sequences()? / batch.items.choices;
    found.items = vec![None; items];
    if spec.problem == ProblemType::Regression {
        if let Some(wanted) = &batch.items.wanted {
            numbers(&flat(&logits)?, wanted, spec.outputs, &mut found)?;
        }
        return Ok(found);
    }
    let Some(labels) = &batch.labels else { return Ok(found) };
    let rows = Rows { width: logits.dims().last().copied().unwrap_or(1), values: flat(&logits)? };
    let each = labels.len().checked_div(items).unwrap_or(0);
    let expected = match (spec.problem, spec.kind) {
        (ProblemType::MultiLabel, _) => spec.outputs,
        (_, TaskKind::TokenClassification) => hidden.mask.length(),
        (_, TaskKind::QuestionAnswering) => 2,
        _ => 1,
    };
    if each != expected || each * items != labels.len() {
        return Err(Error::new(format!("{} labels do not fit {items} items of {expected}", labels.len())));
    }
    for (item, labels) in labels.chunks(each).enumerate() {
        found.items[item] = match (spec.problem, spec.kind) {
            (ProblemType::MultiLabel, _) => several(rows.row(item), labels, item, &mut found),
            (_, TaskKind::QuestionAnswering) => span(&rows, hidden.mask.row(item), labels, item, &mut found),
            (_, TaskKind::TokenClassification) => {
                let all = labels.iter().enumerate().filter_map(|(t, label)| Some((t, (*label)?)));
                let pairs: Vec<(u32, u32)> =
                    all.map(|(t, label)| (found.class(rows.row(item * each + t), label, item), label)).collect();
                let (said, right) = pairs.into_iter().unzip();
                Some(Answer::Tags { said, right })
            }
            _ => labels.first().copied().flatten().map(|right| {
                let row = rows.row(item);
                let own = row.get(right as usize).copied().unwrap_or(f32::NAN);
                let above = row.iter().filter(|x| **x > own).count() as u32;
                Answer::Class { said: found.class(row, right, item), right, above }
            }),
        };
    }
    Ok(found)
}

impl BatchAnswers {
    /// Notes the loss of a label and gives the class with the largest logit.
    fn class(&mut self, row: &[f32], label: u32, item: usize) -> u32 {
        let top = largest(row);
        let max = row.get(top).copied().map_or(f64::NAN, f64::from);
        let sum: f64 = row.iter().map(|x| (f64::from(*x) - max).exp()).sum();
        let own = row.get(label as usize).copied().map_or(f64::NAN, f64::from);
        let top = top as u32;
        self.note(RowScore { loss: sum.ln() - (own - max), top }, top == label, item);
        top
    }

    fn note(&mut self, score: RowScore, right: bool, item: usize) {
        self.scores.push(score);
        self.right.push(right);
        self.owners.push(item);
    }
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    let values = x.flatten_all()?.to_vec1()?;
    Ok(values)
}

fn largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = at;
        }
    }
    best
}

fn numbers(said: &[f32], wanted: &[f32], outputs: usize, found: &mut BatchAnswers) -> Result<()> {
    if said.len() != wanted.len() {
        return Err(Error::new(format!("{} numbers do not fit {} answers", wanted.len(), said.len())));
    }
    for (item, (said, wanted)) in said.chunks(outputs).zip(wanted.chunks(outputs)).enumerate() {
        if wanted.iter().any(|x| x.is_nan()) {
            continue;
        }
        for (said, wanted) in said.iter().zip(wanted) {
            let apart = f64::from(*said) - f64::from(*wanted);
            // No class is said here: agreement is of classes.
            found.note(RowScore { loss: apart * apart, top: 0 }, false, item);
        }
        let wide = |x: &[f32]| x.iter().copied().map(f64::from).collect();
        if let Some(place) = found.items.get_mut(item) {
            *place = Some(Answer::Numbers { said: wide(said), right: wide(wanted) });
        }
    }
    Ok(())
}

fn several(row: &[f32], labels: &[Option<u32>], item: usize, found: &mut BatchAnswers) -> Option<Answer> {
    let (mut said, mut right) = (Vec::new(), Vec::new());
    for (x, label) in row.iter().zip(labels) {
        let (x, label) = (f64::from(*x), (*label)?);
        let loss = x.max(0.0) - x * f64::from(label) + (-x.abs()).exp().ln_1p();
        let top = u32::from(x > 0.0);
        found.note(RowScore { loss, top }, top == label, item);
        said.push(top == 1);
        right.push(label == 1);
    }
    (!said.is_empty()).then_some(Answer::Several { said, right })
}

/// The longest answer that is sought.
const LONGEST_ANSWER: usize = 30;

/// Rows are positions of a batch, each with a logit for the start and one for the end.
fn span(rows: &Rows, real: &[bool], labels: &[Option<u32>], item: usize, found: &mut BatchAnswers) -> Option<Answer> {
    let length = real.len();
    let end = |which: usize| -> Vec<f32> {
        let of = |t: usize| rows.row(item * length + t).get(which).copied().unwrap_or(f32::NAN);
        (0..length).map(|t| if real[t] { of(t) } else { f32::NEG_INFINITY }).collect()
    };
    let ends = [end(0), end(1)];
    for (row, label) in ends.iter().zip(labels) {
        if let Some(label) = label {
            found.class(row, *label, item);
        }
    }
    let right = labels.first().copied().flatten().zip(labels.get(1).copied().flatten());
    let (start, last) = best_span(&ends[0], &ends[1], |_, _| true)?;
    Some(Answer::Span { said: (start as u32, last as u32), right })
}

/// The start and the end, not before it and at most [`LONGEST_ANSWER`] tokens long, whose logits have the largest sum.
pub(super) fn best_span(
    starts: &[f32],
    ends: &[f32],
    is_allowed: impl Fn(usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let mut best: Option<(f64, (usize, usize))> = None;
    for (start, a) in starts.iter().enumerate().filter(|(_, a)| a.is_finite()) {
        for (end, b) in ends.iter().enumerate().skip(start).take(LONGEST_ANSWER) {
            let sum = f64::from(*a) + f64::from(*b);
            if b.is_finite() && is_allowed(start, end) && best.is_none_or(|(most, _)| sum > most) {
                best = Some((sum, (start, end)));
            }
        }
    }
    best.map(|(_, span)| span)
}
