//! One attention layer: projections, positions, scores, gate.

use candle_core::{D, Tensor};

use super::key_values::KeyValues;
use super::norm::Norm;
use super::packing::Packing;
use super::score_bias::{disentangled, grid};
use super::{
    AttentionModule, AttentionSpec, DisentangledSpec, Module, Probe, Projection, QueryKeyNormScope, ScoreBias, Site,
    SiteKind, SiteMaps, TokenMask, Weights,
};
use crate::error::Result;
use crate::tensor::{Scoring, Visibility, add_shared, attention, linear, rotary, wide};

/// A weight and, where the spec has one, a bias.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn load(weights: &dyn Weights, module: Module, bias: bool) -> Result<Self> {
        let bias = if bias { Some(weights.get(module.bias())?) } else { None };
        Ok(Self { weight: weights.get(module.weight())?, bias })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear(x, &self.weight, self.bias.as_ref())?)
    }
}

/// Sines and cosines of a batch's positions, `[T, dims / 2]` each.
#[derive(Clone, Debug)]
pub(super) struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

/// What an attention layer reads besides its queries.
pub(super) struct Context<'a> {
    /// Place of the batch among those that advance together.
    pub batch: usize,
    pub queries: &'a TokenMask,
    pub keys: &'a TokenMask,
    /// Of queries, and of keys.
    pub packing: [&'a Packing; 2],
    pub visibility: &'a Visibility,
    pub angles: Option<&'a Angles>,
    /// `[1 or N, H, T, S]`, already restricted to this layer's heads.
    pub bias: Option<&'a Tensor>,
    /// Embeddings of distances, `[1, 2 span, D]`.
    pub distances: Option<&'a Tensor>,
    pub gate: Option<&'a Tensor>,
    /// `[N, H, T, d]`, added to the gated outputs.
    pub offset: Option<&'a Tensor>,
    /// Keys and values of positions that were read before.
    pub past: Option<&'a KeyValues>,
}

/// Weights of one attention layer.
#[derive(Clone, Debug)]
pub struct AttentionLayer {
    spec: AttentionSpec,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    sinks: Option<Tensor>,
    /// What every offset between two patches adds to the scores, `[offsets, H]`.
    grid_bias: Option<Tensor>,
    position_key: Option<Linear>,
    position_query: Option<Linear>,
}

impl AttentionLayer {
    /// Loads the attention of `kind` in the stored layer `stored`.
    pub(super) fn load(spec: &AttentionSpec, weights: &dyn Weights, kind: SiteKind, stored: usize) -> Result<Self> {
        let bias = spec.projection_bias;
        let linear = |projection, bias| Linear::load(weights, Module::projection(kind, stored, projection), bias);
        let norm = |part| -> Result<Option<Norm>> {
            let module = Module::Attention(kind, stored, part);
            spec.query_key_norm.map(|n| Norm::load(n.norm, weights, module)).transpose()
        };
        let table = |part, wanted: bool| {
            let role = Module::Attention(kind, stored, part).weight();
            if wanted { weights.get(role).map(Some) } else { Ok(None) }
        };
        let positions = |part| {
            let has = |(own, there): (AttentionModule, bool)| there && own == part;
            match spec.bias {
                ScoreBias::Disentangled(distances) if distances.own_projections().into_iter().any(has) => {
                    Linear::load(weights, Module::Attention(kind, stored, part), true).map(Some)
                }
                _ => Ok(None),
            }
        };
        Ok(Self {
            position_key: positions(AttentionModule::PositionKey)?,
            position_query: positions(AttentionModule::PositionQuery)?,
            query: linear(Projection::Query, bias.query)?,
            key: linear(Projection::Key, bias.key)?,
            value: linear(Projection::Value, bias.value)?,
            output: linear(Projection::Output, bias.output)?,
            query_norm: norm(AttentionModule::QueryNorm)?,
            key_norm: norm(AttentionModule::KeyNorm)?,
            sinks: table(AttentionModule::Sinks, spec.sinks)?,
            grid_bias: table(AttentionModule::GridBias, matches!(spec.bias, ScoreBias::Grid { shared: false, .. }))?,
            spec: spec.clone(),
        })
    }

    /// Reads the output projection anew.
    pub(super) fn replace_output(&mut self, weights: &dyn Weights, kind: SiteKind, stored: usize) -> Result<()> {
        let module = Module::projection(kind, stored, Projection::Output);
        self.output = Linear::load(weights, module, self.spec.projection_bias.output)?;
        Ok(())
    }

    /// `x [N, T, D]` attends to `memory [N, S, D]` (itself in self-attention); result `[N, T, D]`. All are packed.
    pub(super) fn forward(
        &self,
        site: Site,
        x: &Tensor,
        memory: &Tensor,
        context: &Context<'_>,
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        match self.heads(site, x, memory, context, probe)? {
            Some(output) => self.output.forward(&context.packing[0].pack(join_heads(&output)?)?),
            None => self.without_heads(x),
        }
    }

    /// Gated weights times values of every head, `[N, H, T, d]`, after the probe has seen what led there; `None` where
    /// no head is left.
    pub(super) fn heads(
        &self,
        site: Site,
        x: &Tensor,
        memory: &Tensor,
        context: &Context<'_>,
        probe: &mut dyn Probe,
    ) -> Result<Option<Tensor>> {
        let spec = &self.spec;
        if spec.heads == 0 {
            return Ok(None);
        }
        let [queries, keys] = context.packing;
        let project = |linear: &Linear, x: &Tensor, packing: &Packing, heads| -> Result<Tensor> {
            let projected = match spec.clip {
                Some(clip) => linear.forward(x)?.clamp(-clip, clip)?,
                None => linear.forward(x)?,
            };
            split_heads(&packing.unpack(projected)?, heads)
        };
        let query = project(&self.query, x, queries, spec.heads)?;
        let turn = |raw: &Tensor, norm: &Option<Norm>| -> Result<Tensor> {
            let normal = match (norm, spec.query_key_norm) {
                (Some(norm), Some(of)) => normalize(raw, norm, of.scope)?,
                _ => raw.clone(),
            };
            Ok(match context.angles {
                Some(angles) if spec.rotary.as_ref().is_some_and(|r| r.interleaved) => {
                    rotary(&split_pairs(&normal, 2 * angles.cos.dim(1)?)?, &angles.cos, &angles.sin)?
                }
                Some(angles) => rotary(&normal, &angles.cos, &angles.sin)?,
                None => normal,
            })
        };
        let (key, k, value) = match context.past.and_then(KeyValues::known) {
            Some([k, value]) => (k.clone(), k, value),
            None => {
                let key = project(&self.key, memory, keys, spec.kv_heads)?;
                let value = project(&self.value, memory, keys, spec.kv_heads)?;
                let k = turn(&key, &self.key_norm)?;
                match context.past {
                    Some(past) => {
                        let [k, value] = past.extended([k, value])?;
                        (key, k, value)
                    }
                    None => (key, k, value),
                }
            }
        };
        let own_bias = match (&self.grid_bias, &spec.bias) {
            (Some(table), ScoreBias::Grid { rows, columns, .. }) => Some(grid(table, *rows, *columns)?),
            (_, ScoreBias::Disentangled(distances)) => self.by_distance(&query, &key, distances, context)?,
            _ => None,
        };
        let scoring = Scoring {
            scale: spec.scale,
            soft_cap: spec.soft_cap,
            bias: own_bias.as_ref().or(context.bias),
            sinks: self.sinks.as_ref(),
            visibility: context.visibility,
        };
        let keep = probe.wants_attention(site);
        let q = turn(&query, &self.query_norm)?;
        let attended = attention(&q, &k, &value, &scoring, keep)?;
        let output = match context.gate {
            Some(gate) => gated(&attended.output, gate)?,
            None => attended.output,
        };
        let output = match context.offset {
            Some(offset) => (output + offset)?,
            None => output,
        };
        if !probe.is_blind() {
            probe.see(&SiteMaps {
                batch: context.batch,
                site,
                spec,
                query: &query,
                key: &key,
                value: &value,
                attention: attended.weights.as_ref(),
                output: &output,
                output_weight: &self.output.weight,
                queries: context.queries,
                keys: context.keys,
            })?;
        }
        Ok(Some(output))
    }

    /// Scores of queries and keys `[N, H, T, d]` against embeddings of their distances.
    fn by_distance(
        &self,
        query: &Tensor,
        key: &Tensor,
        spec: &DisentangledSpec,
        context: &Context<'_>,
    ) -> Result<Option<Tensor>> {
        let Some(embeddings) = context.distances else { return Ok(None) };
        let project = |own: &Option<Linear>, of_contents: &Linear, wanted: bool| -> Result<Option<Tensor>> {
            if !wanted {
                return Ok(None);
            }
            let linear = own.as_ref().unwrap_or(of_contents);
            split_heads(&linear.forward(embeddings)?, self.spec.heads).map(Some)
        };
        let to = project(&self.position_key, &self.key, spec.to_positions)?;
        let from = project(&self.position_query, &self.query, spec.from_positions)?;
        disentangled((query, to.as_ref()), (key, from.as_ref()), spec, self.spec.scale)
    }

    /// `o W + b` of heads `[.., H d]`.
    pub(super) fn project(&self, heads: &Tensor) -> Result<Tensor> {
        self.output.forward(heads)
    }

    /// What a layer gives that lost all its heads: the bias of its output projection. Probes do not see it.
    fn without_heads(&self, x: &Tensor) -> Result<Tensor> {
        let (n, t, _) = x.dims3()?;
        let nothing = Tensor::zeros((n, t, self.output.weight.dim(0)?), x.dtype(), x.device())?;
        Ok(match &self.output.bias {
            Some(bias) => add_shared(&nothing, bias)?,
            None => nothing,
        })
    }
}

/// Heads `[N, H, T, d]` times their gates `[H]`. Gates of more bits than the heads get their gradient, a sum over all of a
/// head's numbers, in their own.
fn gated(output: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let (gate, dtype) = (gate.reshape((1, (), 1, 1))?, output.dtype());
    let within = if gate.dtype() == dtype { dtype } else { wide(dtype) };
    Ok(output.to_dtype(within)?.broadcast_mul(&gate.to_dtype(within)?)?.to_dtype(dtype)?)
}

/// Queries or keys `[N, H, T, d]` through their norm.
fn normalize(x: &Tensor, norm: &Norm, scope: QueryKeyNormScope) -> Result<Tensor> {
    match scope {
        QueryKeyNormScope::Shared => norm.forward(x),
        QueryKeyNormScope::EachHead => norm.forward_by_head(x),
        QueryKeyNormScope::AllHeads => split_heads(&norm.forward(&join_heads(x)?.contiguous()?)?, x.dim(1)?),
    }
}

/// The leading `dims` numbers of each head, which turn as pairs of neighbors, with the first of every pair before the
/// second of every pair, as [`rotary`] turns them. Queries and keys alike, so that their products stay what they are.
fn split_pairs(x: &Tensor, dims: usize) -> Result<Tensor> {
    let (n, h, t, d) = x.dims4()?;
    let turned = x.narrow(D::Minus1, 0, dims)?.contiguous()?.reshape((n, h, t, dims / 2, 2))?;
    let turned = turned.transpose(3, 4)?.contiguous()?.reshape((n, h, t, dims))?;
    if dims == d {
        return Ok(turned);
    }
    Ok(Tensor::cat(&[&turned, &x.narrow(D::Minus1, dims, d - dims)?.contiguous()?], 3)?)
}

/// `[N, T, H d]` to `[N, H, T, d]`.
fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, t, width) = x.dims3()?;
    Ok(x.reshape((n, t, heads, width.checked_div(heads).unwrap_or(0)))?.transpose(1, 2)?)
}

/// `[N, H, T, d]` to `[N, T, H d]`.
pub(super) fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (n, h, t, d) = x.dims4()?;
    debug_assert_eq!(x.dim(D::Minus1).ok(), Some(d));
    Ok(x.transpose(1, 2)?.reshape((n, t, h * d))?)
}
