//! Weights as an engine wants them: rows of queries and keys in its order, one added to norms, factors that it does not
//! have multiplied in.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::attention_of_role;
use crate::network::{
    AttentionModule, Branch, BranchModule, EmbedModule, MlpModule, Module, NetworkSpec, NormKind, NormSpec, Projection,
    Role, StackKind, Term, Weights,
};

/// Factors of a network that go into its weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Folds {
    /// Of the token table.
    pub embedding: f64,
    /// Of the last norm.
    pub head: f64,
    /// Of what each branch adds.
    pub branches: f64,
    /// Of the queries of each layer.
    pub queries: Vec<f64>,
}

/// The norm with whose weights one is already added.
pub(super) fn plain(norm: NormSpec) -> NormSpec {
    NormSpec { kind: if norm.kind == NormKind::RmsPlusOne { NormKind::Rms } else { norm.kind }, ..norm }
}

/// Hands out the weights of a network with its factors in them.
pub(super) struct Converted<'a> {
    whole: &'a dyn Weights,
    from: &'a NetworkSpec,
    folds: &'a Folds,
    reorders: bool,
}

impl<'a> Converted<'a> {
    /// `whole` are the weights of the network `from`; `reorders` says whether rows of queries and keys change places.
    pub(super) fn new(whole: &'a dyn Weights, from: &'a NetworkSpec, folds: &'a Folds, reorders: bool) -> Self {
        Self { whole, from, folds, reorders }
    }

    /// The factor that goes into the tensor with `role`.
    fn factor(&self, role: Role) -> f64 {
        let folds = self.folds;
        match role.module {
            Module::Embed(_, EmbedModule::Tokens) => folds.embedding,
            Module::FinalNorm(StackKind::Decoder) => folds.head,
            Module::Attention(kind, layer, part) => {
                let normalizes = attention_of_role(self.from, role).is_some_and(|(_, a, _)| a.query_key_norm.is_some());
                let scaled = if normalizes {
                    AttentionModule::QueryNorm
                } else {
                    AttentionModule::Projection(Projection::Query)
                };
                match part {
                    part if part == scaled && kind.stack() == StackKind::Decoder => {
                        folds.queries.get(layer).copied().unwrap_or(1.0)
                    }
                    AttentionModule::Projection(Projection::Output) => folds.branches,
                    _ => 1.0,
                }
            }
            Module::Mlp(_, _, MlpModule::Down) => folds.branches,
            _ => 1.0,
        }
    }
}

impl Weights for Converted<'_> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let mut tensor = self.whole.get(role)?;
        if role.term == Term::Weight && norm_of(self.from, role).is_some_and(|norm| norm.kind.adds_one()) {
            tensor = (tensor + 1.0)?;
        }
        let factor = self.factor(role);
        if factor != 1.0 {
            tensor = (tensor * factor)?;
        }
        if let Some((_, attention, AttentionModule::Projection(Projection::Query | Projection::Key))) =
            attention_of_role(self.from, role).filter(|_| self.reorders)
        {
            tensor = neighbors(&tensor, attention.head_dim)?;
        }
        Ok(tensor)
    }
}

/// The rows of each head with those that turn together next to each other instead of half a head apart.
fn neighbors(rows: &Tensor, dim: usize) -> Result<Tensor> {
    let dims = rows.dims().to_vec();
    let heads = dims.first().copied().unwrap_or(0).checked_div(dim).unwrap_or(0);
    let inner: usize = dims.iter().skip(1).product();
    let turned = rows.reshape((heads, 2, dim / 2, inner))?.transpose(1, 2)?.contiguous()?;
    Ok(turned.reshape(dims)?)
}

/// The norm whose weight `role` is.
fn norm_of(spec: &NetworkSpec, role: Role) -> Option<NormSpec> {
    let stack = |kind: StackKind| match kind {
        StackKind::Encoder => spec.encoder.as_ref(),
        StackKind::Decoder => spec.decoder.as_ref(),
    };
    match role.module {
        Module::FinalNorm(kind) => stack(kind)?.final_norm,
        Module::Branch(branch, layer, BranchModule::Norm | BranchModule::PostNorm) => {
            let kind = match branch {
                Branch::Attention(kind) => kind.stack(),
                Branch::Mlp(kind) => kind,
            };
            Some(stack(kind)?.layers.iter().find(|l| l.stored == layer)?.norm)
        }
        Module::Attention(_, _, AttentionModule::QueryNorm | AttentionModule::KeyNorm) => {
            Some(attention_of_role(spec, role)?.1.query_key_norm?.norm)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn halves_of_a_head_are_interleaved() {
        let rows = Tensor::from_vec((0..16).map(|i| i as f32).collect(), (8, 2), &Device::Cpu).unwrap();
        // Two heads of four rows: 0 1 2 3 becomes 0 2 1 3.
        let got = neighbors(&rows, 4).unwrap().to_vec2::<f32>().unwrap();
        let order: Vec<f32> = got.iter().map(|row| row[0] / 2.0).collect();
        assert_eq!(order, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        let bias = neighbors(&Tensor::new(&[0f32, 1., 2., 3.], &Device::Cpu).unwrap(), 4).unwrap();
        assert_eq!(bias.to_vec1::<f32>().unwrap(), [0.0, 2.0, 1.0, 3.0]);
    }
}
