//! Gram matrices that still know how they came about.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;

use super::{Constraint, Homogeneity};
use crate::analysis::Gram;
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Probe, Site, SiteMaps};
use crate::tensor::{doubles, wide};

/// One row per head of one map of one layer, `[H, N * positions * width]`; padded positions are zero.
pub fn head_rows(maps: &SiteMaps<'_>, feature: FeatureMap) -> Result<Tensor> {
    let map = maps.map(feature)?;
    let (_, heads, positions, _) = map.dims4()?;
    let real = maps.positions(feature);
    let map = if real.is_full() {
        map
    } else {
        let mask = real.to_tensor(map.dtype(), map.device())?;
        map.broadcast_mul(&mask.reshape((real.sequences(), 1, positions, 1))?)?
    };
    let rows = map.transpose(0, 1)?.contiguous()?.reshape((heads, ()))?;
    // Sums over many positions are taken in f32 at least.
    Ok(rows.to_dtype(wide(rows.dtype()))?)
}

/// `X X^T`, `[H, H]`, of [`head_rows`]; it knows how it came about.
pub fn differentiable_gram(rows: &Tensor) -> Result<Tensor> {
    Ok(rows.matmul(&rows.t()?)?)
}

/// Collects the Gram matrix of one feature map at every layer of a batch, graph and all.
#[derive(Debug)]
pub struct GramGraph {
    feature: FeatureMap,
    holds_rows: bool,
    /// `[H, H]` by layer.
    pub grams: BTreeMap<Site, Tensor>,
    /// [`head_rows`] by layer with the numbers of a position, where they are asked for.
    pub rows: BTreeMap<Site, (Tensor, usize)>,
    /// Seconds that the products took.
    pub seconds: f64,
}

impl GramGraph {
    /// A probe that has seen nothing.
    pub fn new(feature: FeatureMap) -> Self {
        Self { feature, holds_rows: false, grams: BTreeMap::new(), rows: BTreeMap::new(), seconds: 0.0 }
    }

    /// The same for what `constraint` looks at.
    pub fn of(constraint: &Constraint) -> Self {
        Self { holds_rows: constraint.homogeneity == Homogeneity::Linear, ..Self::new(constraint.feature) }
    }
}

impl Probe for GramGraph {
    fn wants_attention(&self, _site: Site) -> bool {
        self.feature == FeatureMap::Attention
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let began = Instant::now();
        let rows = head_rows(maps, self.feature)?;
        self.grams.insert(maps.site, differentiable_gram(&rows)?);
        if self.holds_rows {
            let width = maps.map(self.feature)?.dim(3)?;
            self.rows.insert(maps.site, (rows, width));
        }
        self.seconds += began.elapsed().as_secs_f64();
        Ok(())
    }
}

/// The numbers of a Gram tensor `[H, H]`.
pub fn gram_numbers(gram: &Tensor) -> Result<Gram> {
    let heads = gram.dim(0)?;
    let numbers = doubles(gram)?;
    if numbers.iter().any(|number| !number.is_finite()) {
        let what = "training diverged: the outputs of heads are not finite";
        return Err(Error::new(what).hint("lower --lr, or warm up longer"));
    }
    Gram::from_rows(heads, numbers)
}
