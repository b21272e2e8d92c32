//! The language-model head.

use std::ops::Range;

use candle_core::{D, Tensor};

use super::attention::Linear;
use super::feed_forward::activate;
use super::norm::Norm;
use super::part::{Deferred, TokenTable};
use super::{Module, NetworkSpec, OutputSpec, Weights};
use crate::error::Result;
use crate::tensor::linear;

/// Logits made at a time where they are many: a large vocabulary times a long text does not fill the memory.
const LOGITS: usize = 1 << 22;

/// Positions whose logits of so many classes fit the bound on memory.
pub fn rows_at_once(classes: usize) -> usize {
    (LOGITS / classes.max(1)).max(1)
}

/// Weights of the head. Its table may be larger than any layer, so it is used block by block.
#[derive(Clone, Debug)]
pub struct OutputHead {
    spec: OutputSpec,
    transform: Option<(Linear, Option<Norm>)>,
    table: TokenTable,
    bias: Option<Tensor>,
}

/// The head's weights for some classes of the vocabulary.
#[derive(Clone, Debug)]
pub struct OutputBlock {
    classes: Range<usize>,
    weight: Tensor,
    bias: Option<Tensor>,
    soft_cap: Option<f64>,
}

impl OutputHead {
    /// `tokens` is the token table of the last stack, used where the head is tied to it.
    pub(super) fn load(
        spec: &OutputSpec,
        weights: &dyn Weights,
        deferred: Option<&Deferred>,
        tokens: Option<&TokenTable>,
        network: &NetworkSpec,
    ) -> Result<Self> {
        let transform = spec.transform.as_ref().map(|t| -> Result<_> {
            Ok((
                Linear::load(weights, Module::OutputTransform, t.bias)?,
                t.norm.map(|norm| Norm::load(norm, weights, Module::OutputNorm)).transpose()?,
            ))
        });
        let width = spec.transform.as_ref().map_or(network.last_width(), |t| t.width);
        Ok(Self {
            transform: transform.transpose()?,
            table: match tokens.filter(|_| spec.tied) {
                Some(table) => table.clone(),
                None => TokenTable::new(weights, deferred, Module::Output.weight(), (spec.vocabulary, width))?,
            },
            bias: if spec.bias { Some(weights.get(Module::Output.bias())?) } else { None },
            spec: spec.clone(),
        })
    }

    /// What the blocks read of hidden states `[.., D]`.
    pub fn prepare(&self, hidden: &Tensor) -> Result<Tensor> {
        let mut hidden = hidden.clone();
        if let (Some((dense, norm)), Some(spec)) = (&self.transform, &self.spec.transform) {
            hidden = activate(&dense.forward(&hidden)?, spec.activation)?;
            if let Some(norm) = norm {
                hidden = norm.forward(&hidden)?;
            }
        }
        if self.spec.scale != 1.0 {
            hidden = (hidden * self.spec.scale)?;
        }
        Ok(hidden)
    }

    /// Classes, `V`.
    pub fn vocabulary(&self) -> usize {
        self.spec.vocabulary
    }

    /// The classes of every block, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        self.table.blocks()
    }

    /// The weights of one block.
    pub fn block(&self, classes: Range<usize>) -> Result<OutputBlock> {
        let narrow = |bias: &Tensor| bias.narrow(0, classes.start, classes.len());
        Ok(OutputBlock {
            weight: self.table.block(classes.clone())?,
            bias: self.bias.as_ref().map(narrow).transpose()?,
            soft_cap: self.spec.soft_cap,
            classes,
        })
    }

    /// Logits `[.., V]` of hidden states `[.., D]`.
    pub(super) fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        self.logits(&self.prepare(hidden)?)
    }

    /// The head as one block where its weights are held and gradients flow into them: in training one product has the
    /// cheaper gradient.
    pub(crate) fn tracked(&self) -> Option<OutputBlock> {
        let (weight, bias) = (self.table.tracked()?.clone(), self.bias.clone());
        Some(OutputBlock { classes: 0..self.spec.vocabulary, weight, bias, soft_cap: self.spec.soft_cap })
    }

    /// Logits `[.., V]` of prepared states `[.., width]`.
    pub fn logits(&self, prepared: &Tensor) -> Result<Tensor> {
        if let Some(all) = self.tracked() {
            return all.logits(prepared);
        }
        let parts = self.blocks().map(|classes| self.block(classes)?.logits(prepared)).collect::<Result<Vec<_>>>()?;
        match parts.as_slice() {
            [all] => Ok(all.clone()),
            parts => Ok(Tensor::cat(parts, D::Minus1)?),
        }
    }
}

impl OutputBlock {
    /// The classes whose logits it gives.
    pub fn classes(&self) -> &Range<usize> {
        &self.classes
    }

    /// The weight `[classes, width]` and the bias `[classes]`.
    pub(crate) fn weights(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }

    /// The same classes with other weights.
    pub(crate) fn with_weights(&self, weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { classes: self.classes.clone(), weight, bias, soft_cap: self.soft_cap }
    }

    /// Logits `[.., classes]` of prepared states `[.., width]`.
    pub fn logits(&self, prepared: &Tensor) -> Result<Tensor> {
        let logits = linear(prepared, &self.weight, self.bias.as_ref())?;
        Ok(match self.soft_cap {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        })
    }
}
