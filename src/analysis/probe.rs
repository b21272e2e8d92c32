//! Watching a forward pass and keeping Gram matrices only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use candle_core::{D, DType, Tensor};

use super::accumulate::{Reach, expand, gram_of};
use super::moment::{Blocks, Moment};
use super::{Gram, SecondMoment, SiteMoments};
use crate::corpus::Shard;
use crate::error::{Error, Result};
use crate::network::{AttentionSpec, FeatureMap, Probe, Site, SiteKind, SiteMaps, TokenMask};
use crate::tensor::to_f64;

/// The Gram matrices of one batch, by site and feature map.
pub type BatchGrams = BTreeMap<Site, BTreeMap<FeatureMap, Gram>>;

/// Forms the Gram matrices of any feature maps of every site in one forward pass; padding takes no part.
///
/// Memory is `O(L H^2)` beyond one batch; residual maps add `W_O W_O^T` of every site once, CKA a second moment
/// of that size, moments two and the products of weights.
#[derive(Debug, Default)]
pub struct GramProbe {
    features: Vec<FeatureMap>,
    with_cka: bool,
    with_moments: bool,
    with_confidence: bool,
    /// By place among the batches that advance together.
    batches: Vec<BatchGrams>,
    weights: BTreeMap<Site, Blocks>,
    /// Of the batches with even and with odd numbers in the whole input, where moments are wanted; else all in the first place.
    moments: BTreeMap<Site, [Option<Moment>; 2]>,
    /// Batches taken before those that advance together.
    taken: usize,
    /// The piece of the input that they are, where it is one of several.
    shard: Option<Shard>,
    confidences: BTreeMap<Site, ProbeSums>,
    entropies: BTreeMap<Site, ProbeSums>,
    time: Duration,
    moments_time: Duration,
}

/// Sums over query positions of a number per head.
#[derive(Clone, Debug, Default)]
struct ProbeSums {
    sums: Vec<f64>,
    positions: u64,
}

impl ProbeSums {
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

/// Softmax weights `[N, H, T, S]`, which a probe that wants them is given.
fn attention_of<'a>(maps: &SiteMaps<'a>) -> &'a Tensor {
    maps.attention.unwrap_or_else(|| unreachable!("the probe asked for attention weights"))
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

    /// Also keeps the second moments of every site.
    #[must_use]
    pub fn with_moments(mut self, wanted: bool) -> Self {
        self.with_moments = wanted;
        self
    }

    /// Numbers batches as those of `shard`, so that the halves of pieces add up to those of the whole.
    #[must_use]
    pub fn of_shard(mut self, shard: Option<Shard>) -> Self {
        self.shard = shard;
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
        self.taken += self.batches.len();
        std::mem::take(&mut self.batches)
    }

    /// Time spent on what passed, without the forward pass itself.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// The part of [`GramProbe::time`] that second moments took, where they were asked for.
    pub fn moments_time(&self) -> Duration {
        self.moments_time
    }

    /// Linear CKA between the heads of `site` over all batches, where it was asked for.
    pub fn cka(&self, site: Site) -> Result<Option<Vec<Vec<f64>>>> {
        let Some([first, second]) = self.moments.get(&site) else { return Ok(None) };
        let total = match (first, second) {
            (Some(first), Some(second)) => {
                let mut total = first.clone();
                total.add(second)?;
                total
            }
            (Some(only), None) | (None, Some(only)) => only.clone(),
            (None, None) => return Ok(None),
        };
        total.cka().map(Some)
    }

    /// The second moments of `site` of shape `spec` over all batches, where they were asked for; `stored_layer` holds
    /// its weights.
    pub fn moments(&self, site: Site, spec: &AttentionSpec, stored_layer: usize) -> Result<Option<SiteMoments>> {
        let Some((halves, weight)) = self.moments.get(&site).zip(self.weights.get(&site)) else { return Ok(None) };
        let dim = spec.heads * spec.head_dim;
        let half = |half: &Option<Moment>| half.as_ref().map_or(Ok(SecondMoment::zeros(dim)), Moment::second_moment);
        Ok(self.with_moments.then_some(SiteMoments {
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            stored_layer,
            output_bias: spec.projection_bias.output,
            halves: [half(&halves[0])?, half(&halves[1])?],
            output: weight.symmetric()?,
            sensitivity: None,
        }))
    }

    /// Mean largest attention weight of every head of `site` (Voita et al. 2019) and the number of query
    /// positions, where it was asked for.
    pub fn confidence(&self, site: Site) -> Option<(Vec<f64>, u64)> {
        self.confidences.get(&site).map(ProbeSums::means)
    }

    /// Mean entropy of the attention of every head of `site` in nats and the number of query positions; absent where
    /// attention maps were not compared, for it would cost their computation.
    pub fn entropy(&self, site: Site) -> Option<(Vec<f64>, u64)> {
        self.entropies.get(&site).map(ProbeSums::means)
    }

    fn gram(&mut self, maps: &SiteMaps<'_>, feature: FeatureMap, moment: Option<&Moment>) -> Result<Gram> {
        let repeat = maps.spec.queries_per_kv();
        match feature {
            FeatureMap::Query => gram_of(maps.query, maps.queries, Reach::Whole),
            FeatureMap::Key => Ok(expand(&gram_of(maps.key, maps.keys, Reach::Whole)?, repeat)),
            FeatureMap::Value => Ok(expand(&gram_of(maps.value, maps.keys, Reach::Whole)?, repeat)),
            FeatureMap::Attention => {
                let weights = attention_of(maps);
                let causal = maps.spec.causal && maps.site.kind != SiteKind::Cross;
                gram_of(weights, maps.queries, if causal { Reach::Causal } else { Reach::Whole })
            }
            FeatureMap::Output => gram_of(maps.output, maps.queries, Reach::Whole),
            FeatureMap::Residual => {
                let moment = moment.ok_or_else(|| Error::new("no second moment was formed"))?;
                moment.residual(self.weight(maps)?)
            }
        }
    }

    /// `W_i W_j^T` of all heads of a site, formed once.
    fn weight(&mut self, maps: &SiteMaps<'_>) -> Result<&Blocks> {
        Ok(match self.weights.entry(maps.site) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(slot) => slot.insert(Blocks::of_weight(&maps.output_by_head()?)?),
        })
    }

    fn add_confidence(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let weights = attention_of(maps);
        let largest = weights.detach().max(D::Minus1)?;
        self.confidences.entry(maps.site).or_default().add(&largest, maps.queries)
    }

    /// `-sum_s w_s ln w_s` over the keys `s` of every query.
    fn add_entropy(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let weights = attention_of(maps);
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
        let needs_moment = self.with_cka || self.with_moments || self.features.contains(&FeatureMap::Residual);
        let began = Instant::now();
        let moment = if needs_moment { Some(Moment::of(maps.output, maps.queries)?) } else { None };
        let forming = began.elapsed();
        // A place for the batch, whether or not maps are compared.
        let places = self.batches.len().max(maps.batch + 1);
        self.batches.resize_with(places, BatchGrams::new);
        for feature in self.features.clone() {
            let gram = self
                .gram(maps, feature, moment.as_ref())
                .map_err(|e| Error::new(format!("the {feature} map of {} cannot be compared: {e}", maps.site)))?;
            let Some(batch) = self.batches.get_mut(maps.batch) else { continue };
            let slot = batch.entry(maps.site).or_default();
            match slot.get_mut(&feature) {
                Some(sum) => sum.add(&gram)?,
                None => {
                    slot.insert(feature, gram);
                }
            }
        }
        let began = Instant::now();
        if self.with_moments {
            self.weight(maps)?;
        }
        if let Some(moment) = moment.filter(|_| self.with_cka || self.with_moments) {
            let moment = moment.into_total()?;
            let before = (self.taken + maps.batch) as u64;
            let is_odd = !self.shard.map_or(before, |shard| shard.number(before)).is_multiple_of(2);
            let half = usize::from(self.with_moments && is_odd);
            match &mut self.moments.entry(maps.site).or_default()[half] {
                Some(total) => total.add(&moment)?,
                empty => *empty = Some(moment),
            }
        }
        if self.with_moments {
            self.moments_time += forming + began.elapsed();
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
