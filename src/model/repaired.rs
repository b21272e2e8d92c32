//! Weights whose output projections were replaced for the heads that stay.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::stored::attention_of_role;
use crate::error::{Error, Result};
use crate::network::{AttentionModule, Module, NetworkSpec, Projection, Role, Site, Term, Weights};

/// A new output projection of one attention layer.
#[derive(Clone, Debug)]
pub struct NewOutput {
    /// Heads that it reads, ascending.
    pub kept: Vec<usize>,
    /// Columns of these heads, `[D_model, kept d]`.
    pub weight: Tensor,
    /// `[D_model]`, where the layer has one.
    pub bias: Option<Tensor>,
}

impl NewOutput {
    /// The columns of a whole layer of `heads` heads, `[D_model, heads d]`; those of other heads are zero.
    pub fn whole(&self, heads: usize) -> Result<Tensor> {
        let (width, columns) = self.weight.dims2()?;
        let dim = columns.checked_div(self.kept.len()).unwrap_or(0);
        if self.kept.is_empty() {
            return Err(Error::new("an output projection without heads has no width"));
        }
        let nothing = Tensor::zeros((width, dim), self.weight.dtype(), self.weight.device())?;
        let mut parts = Vec::with_capacity(heads);
        for head in 0..heads {
            parts.push(match self.kept.binary_search(&head) {
                Ok(at) => self.weight.narrow(1, at * dim, dim)?,
                Err(_) => nothing.clone(),
            });
        }
        Ok(Tensor::cat(&parts, 1)?)
    }
}

/// Hands out the weights of a network with new output projections, by the layer whose weights they are; columns of heads
/// that go are zero, so that with their gates closed or without them the network computes the same.
pub struct Repaired<W> {
    whole: W,
    spec: NetworkSpec,
    outputs: BTreeMap<Site, NewOutput>,
}

impl<W> Repaired<W> {
    /// `outputs` are of layers of `spec`, which `whole` belongs to; layers that share weights are named once or all.
    pub fn new(whole: W, spec: &NetworkSpec, outputs: BTreeMap<Site, NewOutput>) -> Self {
        Self { whole, spec: spec.clone(), outputs }
    }
}

impl<W: Weights> Weights for Repaired<W> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let tensor = self.whole.get(role)?;
        let Some((sites, attention, AttentionModule::Projection(Projection::Output))) =
            attention_of_role(&self.spec, role)
        else {
            return Ok(tensor);
        };
        let Some(new) = sites.iter().find_map(|site| self.outputs.get(site)) else { return Ok(tensor) };
        let replaced = match role.term {
            Term::Bias => match &new.bias {
                Some(bias) => bias.clone(),
                None => return Ok(tensor),
            },
            Term::Weight if new.kept.is_empty() => tensor.zeros_like()?,
            Term::Weight => new.whole(attention.heads)?,
        };
        if replaced.dims() != tensor.dims() {
            return Err(Error::new(format!(
                "the repair of '{role}' is {:?}, the model has {:?}",
                replaced.dims(),
                tensor.dims()
            )));
        }
        Ok(replaced.to_device(tensor.device())?.to_dtype(tensor.dtype())?)
    }

    fn rows(&self, role: Role, ranges: &[std::ops::Range<usize>]) -> Result<Tensor> {
        self.whole.rows(role, ranges)
    }
}

/// The output projection of a layer.
pub fn output_module(spec: &NetworkSpec, site: Site) -> Module {
    let stored = spec.stored_layer(site).unwrap_or(site.layer);
    Module::projection(site.kind, stored, Projection::Output)
}
