//! Watching feature maps as they pass.

use candle_core::Tensor;

use super::{AttentionSpec, FeatureMap, Site, TokenMask};
use crate::error::{Error, Result};

/// Sees what every head computes; it must copy what it keeps.
pub trait Probe: Send {
    /// Whether softmax weights of this site are to be kept; they cost memory.
    fn wants_attention(&self, site: Site) -> bool;

    /// Called once per site and batch: sites in the order of the forward pass, within a site the batches in theirs;
    /// not for a site that lost all its heads.
    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()>;

    /// True where nothing is looked at, so that maps need not be formed.
    fn is_blind(&self) -> bool {
        false
    }
}

/// A probe that looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn wants_attention(&self, _site: Site) -> bool {
        false
    }

    fn see(&mut self, _maps: &SiteMaps<'_>) -> Result<()> {
        Ok(())
    }

    fn is_blind(&self) -> bool {
        true
    }
}

/// The maps of one attention layer on one batch. Padded positions hold numbers without meaning:
/// use the masks.
#[derive(Debug)]
pub struct SiteMaps<'a> {
    /// Place of the batch among those that advance together; they pass a layer one after the other.
    pub batch: usize,
    pub site: Site,
    pub spec: &'a AttentionSpec,
    /// `x W_Q + b`, `[N, H, T, d]`, before any norm or rotation.
    pub query: &'a Tensor,
    /// `x W_K + b`, `[N, H_kv, S, d]`, before any norm or rotation.
    pub key: &'a Tensor,
    /// `x W_V + b`, `[N, H_kv, S, d]`.
    pub value: &'a Tensor,
    /// Softmax weights `[N, H, T, S]`, where the probe wants them.
    pub attention: Option<&'a Tensor>,
    /// Gated weights times values, `[N, H, T, d]`.
    pub output: &'a Tensor,
    /// `W_O`, `[D, H d]`.
    pub output_weight: &'a Tensor,
    /// Real query positions, `[N, T]`.
    pub queries: &'a TokenMask,
    /// Real key positions, `[N, S]`.
    pub keys: &'a TokenMask,
}

impl SiteMaps<'_> {
    /// The map per query head: `[N, H, T, d]`, `[N, H, S, d]`, `[N, H, T, S]` or `[N, H, T, D]`.
    pub fn map(&self, map: FeatureMap) -> Result<Tensor> {
        match map {
            FeatureMap::Query => Ok(self.query.clone()),
            FeatureMap::Key => self.per_query_head(self.key),
            FeatureMap::Value => self.per_query_head(self.value),
            FeatureMap::Attention => {
                self.attention.cloned().ok_or_else(|| Error::new("attention weights were not asked for"))
            }
            FeatureMap::Output => Ok(self.output.clone()),
            FeatureMap::Residual => {
                Ok(self.output.contiguous()?.broadcast_matmul(&self.output_by_head()?.unsqueeze(0)?)?)
            }
        }
    }

    /// Each head's rows of `W_O`, `[H, d, D]`. A copy, where the weight is not stored by heads.
    pub fn output_by_head(&self) -> Result<Tensor> {
        Ok(self.output_weight.t()?.reshape((self.spec.heads, self.spec.head_dim, ()))?)
    }

    /// Real positions along the third axis of a map.
    pub fn positions(&self, map: FeatureMap) -> &TokenMask {
        match map {
            FeatureMap::Key | FeatureMap::Value => self.keys,
            _ => self.queries,
        }
    }

    fn per_query_head(&self, shared: &Tensor) -> Result<Tensor> {
        let repeat = self.spec.queries_per_kv();
        if repeat == 1 {
            return Ok(shared.clone());
        }
        let (n, h, s, d) = shared.dims4()?;
        Ok(shared.unsqueeze(2)?.broadcast_as((n, h, repeat, s, d))?.reshape((n, h * repeat, s, d))?)
    }
}
