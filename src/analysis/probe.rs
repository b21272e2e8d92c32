//! Watching a forward pass and keeping Gram matrices only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use candle_core::{D, DType, Device};

use super::Gram;
use super::accumulate::{Reach, expand, gram_of};
use super::moment::{Blocks, Moment};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Probe, Site, SiteKind, SiteMaps};

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
    confidences: BTreeMap<Site, Confidence>,
    time: Duration,
}

/// Sums over query positions of the largest attention weight per head.
#[derive(Clone, Debug, Default)]
struct Confidence {
    sums: Vec<f64>,
    positions: u64,
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
        let found = self.confidences.get(&site)?;
        let positions = found.positions.max(1) as f64;
        Some((found.sums.iter().map(|s| s / positions).collect(), found.positions))
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
                    Entry::Vacant(slot) => slot.insert(Blocks::of_weight(maps.output_weight)?),
                };
                moment.residual(weight)
            }
        }
    }

    fn add_confidence(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let weights = maps.attention.ok_or_else(|| Error::new("attention weights were not handed to the probe"))?;
        // [N, H, T]
        let largest = weights.detach().max(D::Minus1)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        let largest = largest.transpose(0, 1)?.flatten_from(1)?.to_vec2::<f64>()?;
        let found = self.confidences.entry(maps.site).or_default();
        found.sums.resize(largest.len(), 0.0);
        for (sum, head) in found.sums.iter_mut().zip(&largest) {
            *sum += head.iter().zip(maps.queries.real()).filter(|(_, real)| **real).map(|(w, _)| w).sum::<f64>();
        }
        found.positions += maps.queries.count() as u64;
        Ok(())
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
        Ok(())
    }
}
