//! A factor per head on its output.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::{Kept, NetworkSpec, Site};
use crate::error::Result;

/// Gates by site, each `[H]`, in the network's type, or in f32 where that has 16 bits; a site without an entry lets every
/// head through.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    gates: BTreeMap<Site, Tensor>,
    offsets: BTreeMap<Site, Tensor>,
}

impl Gates {
    /// Gates that change nothing.
    pub fn open() -> Self {
        Self::default()
    }

    /// 1 for the kept heads and 0 for the others of every site named in `kept`.
    ///
    /// # Errors
    /// Where the model lacks a site or a head that is named.
    pub fn keep(spec: &NetworkSpec, kept: &Kept, dtype: DType, device: &Device) -> Result<Self> {
        kept.check(|site| spec.heads_at(site))?;
        let mut gates = Self::default();
        for (site, heads) in kept.iter() {
            let mut values = vec![0f32; spec.heads_at(site).unwrap_or(0)];
            for head in heads {
                values[*head] = 1.0;
            }
            gates.set(site, Tensor::new(values, device)?.to_dtype(dtype)?);
        }
        Ok(gates)
    }

    /// Sets the gate `[H]` of a site.
    pub fn set(&mut self, site: Site, gate: Tensor) {
        self.gates.insert(site, gate);
    }

    /// Adds `offset [N, H, T, d]` to the gated outputs of a site's heads: zeros by which to take a gradient. The batch
    /// must have this shape.
    pub fn set_offset(&mut self, site: Site, offset: Tensor) {
        self.offsets.insert(site, offset);
    }

    /// The gate of a site, where it has one.
    pub fn get(&self, site: Site) -> Option<&Tensor> {
        self.gates.get(&site)
    }

    /// What is added to the heads of a site, where something is.
    pub(super) fn offset(&self, site: Site) -> Option<&Tensor> {
        self.offsets.get(&site)
    }
}
