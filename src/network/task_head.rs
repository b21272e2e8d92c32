//! The head of a labeled task: classes of sequences, tokens or images, the place of an answer, a choice.

use candle_core::{D, DType, Tensor};

use super::attention::Linear;
use super::feed_forward::activate;
use super::norm::Norm;
use super::{Batch, Hidden, Module, Pooling, Source, TaskHeadSpec, TaskKind, TaskModule, TokenMask, Weights};
use crate::error::{Error, Result};

/// The weights of a head.
#[derive(Clone, Debug)]
pub struct TaskHead {
    spec: TaskHeadSpec,
    dense: Option<(Linear, Option<Norm>)>,
    output: Linear,
    distillation: Option<Linear>,
}

impl TaskHead {
    pub(super) fn load(spec: &TaskHeadSpec, weights: &dyn Weights) -> Result<Self> {
        let last = |module| Linear::load(weights, Module::Task(module), spec.bias);
        let dense = spec.dense.as_ref().map(|dense| -> Result<_> {
            let norm = dense.norm.map(|norm| Norm::load(norm, weights, Module::Task(TaskModule::Norm)));
            Ok((Linear::load(weights, Module::Task(TaskModule::Dense), dense.bias)?, norm.transpose()?))
        });
        Ok(Self {
            dense: dense.transpose()?,
            output: last(TaskModule::Output)?,
            distillation: spec.distillation.then(|| last(TaskModule::Distillation)).transpose()?,
            spec: spec.clone(),
        })
    }

    pub fn spec(&self) -> &TaskHeadSpec {
        &self.spec
    }

    /// Answers to `batch`, whose last hidden states are `hidden`: `[N, outputs]`, `[N, T, outputs]` where every position
    /// has one, `[questions, choices]` of a multiple choice.
    ///
    /// # Errors
    /// Where a sequence lacks the token that stands for it.
    pub fn logits(&self, hidden: &Hidden, batch: &Batch) -> Result<Tensor> {
        let states = &hidden.states;
        let Some(pooling) = self.spec.pooling else { return self.answers(states, &self.output) };
        let mut logits = self.answers(&pooling.of(hidden, batch)?, &self.output)?;
        if let Some(second) = &self.distillation {
            let other = self.answers(&states.narrow(1, 1, 1)?.squeeze(1)?, second)?;
            logits = ((logits + other)? * 0.5)?;
        }
        if self.spec.kind == TaskKind::MultipleChoice {
            let sequences = logits.dim(0)?;
            let choices = batch.items.choices;
            if sequences % choices != 0 {
                return Err(Error::new(format!("{sequences} sequences are no questions of {choices} choices")));
            }
            logits = logits.reshape((sequences / choices, choices))?;
        }
        Ok(logits)
    }

    fn answers(&self, x: &Tensor, last: &Linear) -> Result<Tensor> {
        let mut x = x.clone();
        if let (Some((dense, norm)), Some(spec)) = (&self.dense, &self.spec.dense) {
            x = activate(&dense.forward(&x)?, spec.activation)?;
            if let Some(norm) = norm {
                x = norm.forward(&x)?;
            }
        }
        last.forward(&x)
    }
}

impl Pooling {
    /// One state per sequence, `[N, D]` (`[N, 2 D]` of [`Pooling::FirstAndMean`]), differentiable.
    ///
    /// # Errors
    /// Where a sequence lacks the token that stands for it.
    pub fn of(self, hidden: &Hidden, batch: &Batch) -> Result<Tensor> {
        let Hidden { states, mask } = hidden;
        let ids = || match &batch.source {
            Source::Tokens(tokens) => Ok(tokens.ids.to_vec2::<u32>()?),
            _ => Err(Error::new("tokens are pooled by their ids, and this input has none")),
        };
        match self {
            Self::First => Ok(states.narrow(1, 0, 1)?.squeeze(1)?),
            Self::Mean => mean(states, mask),
            Self::Last { padding: None } => {
                at(states, &(0..mask.sequences()).map(|n| last(mask.row(n))).collect::<Vec<_>>())
            }
            Self::Last { padding: Some(padding) } => {
                // As transformers does: a row of padding alone is read at its start.
                let place = |(n, row): (usize, &Vec<u32>)| {
                    let place = row.iter().rposition(|id| *id != padding).unwrap_or(0);
                    // Nothing is computed at hidden positions.
                    if mask.row(n).get(place) == Some(&true) {
                        return Ok(place);
                    }
                    let what = format!("the mask hides the last token of sequence {n} of a batch, which stands for it");
                    Err(Error::new(what).hint(format!("give padding its id, {padding}")))
                };
                at(states, &ids()?.iter().enumerate().map(place).collect::<Result<Vec<_>>>()?)
            }
            Self::LastEnd { end } => {
                let place = |(n, row): (usize, &Vec<u32>)| {
                    let found = row.iter().rposition(|id| *id == end).filter(|place| *place < mask.length());
                    found.ok_or_else(|| {
                        Error::new(format!("sequence {n} of a batch has no end token (id {end}), which stands for it"))
                            .hint("end every sequence with it")
                    })
                };
                at(states, &ids()?.iter().enumerate().map(place).collect::<Result<Vec<_>>>()?)
            }
            Self::FirstAndMean { leading } => {
                let patches = states.dim(1)?.checked_sub(leading).filter(|patches| *patches > 0);
                let patches = patches.ok_or_else(|| Error::new("an image has no patch to take the mean of"))?;
                let first = states.narrow(1, 0, 1)?.squeeze(1)?;
                Ok(Tensor::cat(&[first, states.narrow(1, leading, patches)?.mean(1)?], D::Minus1)?)
            }
        }
    }
}

/// The mean over real positions, `[N, D]`.
fn mean(states: &Tensor, mask: &TokenMask) -> Result<Tensor> {
    let mask = mask.to_tensor(states.dtype(), states.device())?;
    let count = mask.sum_keepdim(1)?.clamp(1.0, f64::MAX)?;
    Ok(states.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?.broadcast_div(&count)?)
}

/// The last real position of a row; the first where none is.
fn last(real: &[bool]) -> usize {
    real.iter().rposition(|real| *real).unwrap_or(0)
}

/// The state at one place of each sequence, `[N, D]`.
fn at(states: &Tensor, places: &[usize]) -> Result<Tensor> {
    let (n, t, d) = states.dims3()?;
    let rows = places.iter().enumerate().map(|(n, place)| u32::try_from(n * t + place));
    let rows = rows.collect::<Result<Vec<u32>, _>>().map_err(|_| Error::new("a batch has too many positions"))?;
    let rows = Tensor::from_vec(rows, n, states.device())?.to_dtype(DType::U32)?;
    Ok(states.reshape((n * t, d))?.index_select(&rows, 0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::Tokens;

    /// Two sequences of three positions of one number: 1 2 3 and 10 20 (30), the last one padding.
    fn hidden() -> Hidden {
        let values = vec![1f32, 2.0, 3.0, 10.0, 20.0, 30.0];
        Hidden {
            states: Tensor::from_vec(values, (2, 3, 1), &Device::Cpu).unwrap(),
            mask: TokenMask::new(2, 3, vec![true, true, true, true, true, false]).unwrap(),
        }
    }

    fn pooled(pooling: Pooling, ids: [[u32; 3]; 2]) -> Result<Vec<f32>> {
        let hidden = hidden();
        let ids = Tensor::new(&ids, &Device::Cpu).unwrap();
        let batch = Batch::tokens(Tokens::new(ids, hidden.mask.clone()));
        Ok(pooling.of(&hidden, &batch)?.flatten_all()?.to_vec1()?)
    }

    #[test]
    fn one_state_stands_for_a_sequence() {
        let ids = [[5, 6, 7], [8, 9, 0]];
        assert_eq!(pooled(Pooling::First, ids).unwrap(), [1.0, 10.0]);
        assert_eq!(pooled(Pooling::Mean, ids).unwrap(), [2.0, 15.0]);
        assert_eq!(pooled(Pooling::Last { padding: None }, ids).unwrap(), [3.0, 20.0]);
        assert_eq!(pooled(Pooling::FirstAndMean { leading: 1 }, ids).unwrap(), [1.0, 2.5, 10.0, 25.0]);
    }

    #[test]
    fn the_last_token_goes_by_its_id_and_may_not_be_hidden() {
        let padding = Pooling::Last { padding: Some(7) };
        // A real token with padding's id at the end.
        assert_eq!(pooled(padding, [[5, 6, 7], [8, 9, 7]]).unwrap(), [2.0, 20.0]);
        assert_eq!(pooled(padding, [[7, 7, 7], [8, 7, 7]]).unwrap(), [1.0, 10.0]);
        let error = pooled(padding, [[5, 6, 7], [8, 9, 4]]).unwrap_err().to_string();
        assert!(error.contains("sequence 1") && error.contains("its id, 7"), "{error}");
    }

    #[test]
    fn the_last_end_token_must_be_there() {
        assert_eq!(pooled(Pooling::LastEnd { end: 2 }, [[2, 6, 2], [8, 2, 0]]).unwrap(), [3.0, 20.0]);
        let error = pooled(Pooling::LastEnd { end: 2 }, [[5, 6, 2], [8, 9, 0]]).unwrap_err().to_string();
        assert!(error.contains("sequence 1") && error.contains("id 2"), "{error}");
    }
}
