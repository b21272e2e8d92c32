//! Watching a forward pass and keeping Gram matrices only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use candle_core::{D, DType, Tensor};

use super::Gram;
use super::accumulate::{Reach, expand, gram_of};
use super::moment::{Blocks, Moment};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Probe, Site, SiteKind, SiteMaps, TokenMask};
use crate::tensor::to_f64;

/// The Gram matrices of one batch, by site and feature map.
pub type BatchGrams = BTreeMap<Site, BTreeMap<FeatureMap, Gram>>;

/// Forms the Gram matrices of any feature maps of every site in one forward pass; padding takes no part.
///
/// Memory is `O(L H^2)` beyond one batch; residual maps add `W_O W_O^T` of every site once, CKA a second moment
/// of that size.
#[derive(Debug, Default)]
pub struct GramProbe {
    features: Vec<FeatureMap>,
    with_cka: bool,
    with_confidence: bool,
    /// By place among the batches that advance together.
    batches: Vec<BatchGrams>,
    weights: BTreeMap<Site, Blocks>,
    moments: BTreeMap<Site, Moment>,
    confidences: BTreeMap<Site, Sums>,
    entropies: BTreeMap<Site, Sums>,
    time: Duration,
}

/// Sums over query positions of a number per head.
#[derive(Clone, Debug, Default)]
struct Sums {
    sums: Vec<f64>,
    positions: u64,
}

impl Sums {
    /// Adds `values` of shape `[N, H, T]`; padding takes no part.
    fn add(&mut self, values: &Tensor, queries: &TokenMask) -> Result<()> {
        let values = to_f64(values)?.transpose(0, 1)?.flatten_from(1)?.to_vec2::<f64>()?;
        self.sums.resize(values.len(), 0.0);
        for (sum, head) in self.sums.iter_mut().zip(&values) {
            *sum += head.iter().zip(queries.real()).filter(|(_, real)| **real).map(|(v, _)| v).sum::<f64>();
        }
        self.positions += queries.count() as u64;
        Ok(())
    }

    /// The means, and the number of query positions.
    fn means(&self) -> (Vec<f64>, u64) {
        let positions = self.positions.max(1) as f64;
        (self.sums.iter().map(|s| s / positions).collect(), self.positions)
    }
}

impl GramProbe {
    /// A probe for `features`.
    pub fn new(features: &[FeatureMap]) -> Self {
        let mut features = features.to_vec();
        features.sort_unstable();
        features.dedup();
        Self { features, ..Self::default() }
    }

    /// Also keeps what linear CKA needs.
    #[must_use]
    pub fn with_cka(mut self, wanted: bool) -> Self {
        self.with_cka = wanted;
        self
    }

    /// Also measures each head's mean largest attention weight.
    #[must_use]
    pub fn with_confidence(mut self, wanted: bool) -> Self {
        self.with_confidence = wanted;
        self
    }

    /// The Gram matrices of what passed since the last call, of every batch that advanced.
    pub fn take_batches(&mut self) -> Vec<BatchGrams> {
        std::mem::take(&mut self.batches)
    }

    /// Time spent on what passed, without the forward pass itself.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Linear CKA between the heads of `site` over all batches, where it was asked for.
    pub fn cka(&self, site: Site) -> Result<Option<Vec<Vec<f64>>>> {
        self.moments.get(&site).map(Moment::cka).transpose()
    }

    /// Mean largest attention weight of every head of `site` (Voita et al. 2019) and the number of query
    /// positions, where it was asked for.
    pub fn confidence(&self, site: Site) -> Option<(Vec<f64>, u64)> {
        self.confidences.get(&site).map(Sums::means)
    }

    /// Mean entropy of the attention of every head of `site` in nats and the number of query positions; absent where
    /// attention maps were not compared, for it would cost their computation.
    pub fn entropy(&self, site: Site) -> Option<(Vec<f64>, u64)> {
        self.entropies.get(&site).map(Sums::means)
    }

    fn gram(&mut self, maps: &SiteMaps<'_>, feature: FeatureMap, moment: Option<&Moment>) -> Result<Gram> {
        let repeat = maps.spec.queries_per_kv();
        match feature {
            FeatureMap::Query => gram_of(maps.query, maps.queries, Reach::Whole),
            FeatureMap::Key => Ok(expand(&gram_of(maps.key, maps.keys, Reach::Whole)?, repeat)),
            FeatureMap::Value => Ok(expand(&gram_of(maps.value, maps.keys, Reach::Whole)?, repeat)),
            FeatureMap::Attention => {
                let weights =
                    maps.attention.ok_or_else(|| Error::new("attention weights were not handed to the probe"))?;
                let causal = maps.spec.causal && maps.site.kind != SiteKind::Cross;
                gram_of(weights, maps.queries, if causal { Reach::Causal } else { Reach::Whole })
            }
            FeatureMap::Output => gram_of(maps.output, maps.queries, Reach::Whole),
            FeatureMap::Residual => {
                let moment = moment.ok_or_else(|| Error::new("no second moment was formed"))?;
                let weight = match self.weights.entry(maps.site) {
                    Entry::Occupied(kept) => kept.into_mut(),
                    Entry::Vacant(slot) => slot.insert(Blocks::of_weight(&maps.output_by_head()?)?),
                };
                moment.residual(weight)
            }
        }
    }

    fn add_confidence(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let weights = maps.attention.ok_or_else(|| Error::new("attention weights were not handed to the probe"))?;
        let largest = weights.detach().max(D::Minus1)?;
        self.confidences.entry(maps.site).or_default().add(&largest, maps.queries)
    }

    /// `-sum_s w_s ln w_s` over the keys `s` of every query.
    fn add_entropy(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let weights = maps.attention.ok_or_else(|| Error::new("attention weights were not handed to the probe"))?;
        let weights = weights.detach().to_dtype(DType::F32)?;
        // A weight of 0 adds nothing, whatever its logarithm.
        let entropy = (weights.maximum(f32::MIN_POSITIVE)?.log()? * &weights)?.sum(D::Minus1)?.neg()?;
        self.entropies.entry(maps.site).or_default().add(&entropy, maps.queries)
    }
}

impl Probe for GramProbe {
    fn wants_attention(&self, _site: Site) -> bool {
        self.with_confidence || self.features.contains(&FeatureMap::Attention)
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let began = Instant::now();
        self.take_in(maps)?;
        self.time += began.elapsed();
        Ok(())
    }
}

impl GramProbe {
    fn take_in(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let needs_moment = self.with_cka || self.features.contains(&FeatureMap::Residual);
        let moment = if needs_moment { Some(Moment::of(maps.output, maps.queries)?) } else { None };
        for feature in self.features.clone() {
            let gram = self
                .gram(maps, feature, moment.as_ref())
                .map_err(|e| Error::new(format!("the {feature} map of {} cannot be compared: {e}", maps.site)))?;
            let place = self.batches.len().max(maps.batch + 1);
            self.batches.resize_with(place, BatchGrams::new);
            let Some(batch) = self.batches.get_mut(maps.batch) else { continue };
            let slot = batch.entry(maps.site).or_default();
            match slot.get_mut(&feature) {
                Some(sum) => sum.add(&gram)?,
                None => {
                    slot.insert(feature, gram);
                }
            }
        }
        if let Some(moment) = moment.filter(|_| self.with_cka) {
            let moment = moment.into_total()?;
            match self.moments.get_mut(&maps.site) {
                Some(total) => total.add(&moment)?,
                None => {
                    self.moments.insert(maps.site, moment);
                }
            }
        }
        if self.with_confidence {
            self.add_confidence(maps)?;
        }
        if self.features.contains(&FeatureMap::Attention) {
            self.add_entropy(maps)?;
        }
        Ok(())
    }
}
