//! The result of an analysis, as it is kept in a file.

use std::collections::BTreeMap;

use candle_core::DType;
use serde::{Deserialize, Serialize};

use super::{AnalysisSettings, Ballot, Document, EvidenceSummary, Gram, MapEvidence, SiteEvidence};
use crate::corpus::{InputUnit, Reading};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{FeatureMap, Site};
use crate::words::counted;

/// Which model was analyzed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The folder it was read from.
    pub path: String,
    /// The family, e.g. `bert`.
    pub family: String,
    /// A digest of its shape and weights; analyses of one fingerprint add up.
    pub fingerprint: String,
    /// The type it ran in, e.g. `f32`.
    pub dtype: String,
    /// The number of attention layers.
    #[serde(default)]
    pub sites: usize,
    /// Query heads of all attention layers.
    #[serde(default)]
    pub heads: usize,
    /// Whether it predicts something, so that it has a loss; false in records of earlier releases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub predicts: bool,
}

impl ModelInfo {
    /// A model that runs in `dtype`.
    pub fn of(model: &Model, dtype: DType) -> Result<Self> {
        let sites = model.spec().sites();
        Ok(Self {
            path: model.checkpoint().place().display().to_string(),
            family: model.family().model_type.to_owned(),
            fingerprint: model.checkpoint().fingerprint()?,
            dtype: dtype.as_str().to_owned(),
            sites: sites.len(),
            heads: sites.iter().map(|(_, attention)| attention.heads).sum(),
            predicts: model.spec().predicts(),
        })
    }
}

/// What was found out about every attention layer of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The model that was read.
    pub model: ModelInfo,
    /// What was asked for.
    pub settings: AnalysisSettings,
    /// What was read; absent in merged analyses and in those of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// What the parts read that were merged, where this is a merged analysis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Reading>,
    /// Real tokens (or images, or spectrograms) read.
    pub tokens: u64,
    /// How many batches were read.
    pub batches: u64,
    /// Every attention layer: encoder, decoder, cross.
    pub sites: Vec<SiteAnalysis>,
    /// Batch counts at which [`SiteAnalysis::history`] was sampled, ascending; the last is `batches`.
    #[serde(default)]
    pub checkpoints: Vec<u64>,
    /// Share of layers whose kept set after `checkpoints[i]` batches equals the final one.
    #[serde(default)]
    pub settled: Vec<f64>,
    /// What speaks for redundancy in the whole model, beside chance; absent in merged analyses whose first part is too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceSummary>,
    /// Why groups of some layers were not compared with chance, where this is a merged analysis that lost the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Analysis {
    /// The unit that [`Analysis::tokens`] counts.
    pub fn unit(&self) -> InputUnit {
        self.reading.as_ref().map_or(InputUnit::default(), |reading| reading.unit)
    }

    /// Everything that was read for it; empty in those of earlier releases.
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.reading.iter().chain(&self.merged)
    }
}

/// What is known of one attention layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteAnalysis {
    /// The attention layer that this describes.
    pub site: Site,
    /// The number `H` of query heads.
    pub heads: usize,
    /// Key/value heads; query head `h` reads `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// The width `d` of a head.
    #[serde(default)]
    pub head_dim: usize,
    /// The stored layer of its stack that holds its weights; sites that share one keep the same heads.
    #[serde(default)]
    pub stored_layer: usize,
    /// What each feature map showed.
    pub features: BTreeMap<FeatureMap, FeatureAnalysis>,
    /// Votes per head, over all batches and feature maps.
    pub votes: Vec<u64>,
    /// Heads with the most votes, ascending: as many as there are groups.
    pub kept: Vec<usize>,
    /// Votes between the weakest kept and the strongest other head; absent where no head is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<u64>,
    /// `votes` as they stood at each of [`Analysis::checkpoints`].
    #[serde(default)]
    pub history: Vec<Vec<u64>>,
    /// Linear CKA between the outputs of every two heads (Kornblith et al. 2019), where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cka: Option<Vec<Vec<f64>>>,
    /// Other scores per head by name: `importance`, `magnitude`, `confidence`, `entropy`, and those of
    /// [`super::HeadKind`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baselines: BTreeMap<String, Baseline>,
    /// Whether its heads are redundant, in words, where that was weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<SiteEvidence>,
}

/// A score per head that does not come from votes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The mean per head.
    pub values: Vec<f64>,
    /// How many samples the mean is over (its weight in a merge); 0 where it comes from the weights alone.
    pub samples: u64,
    /// Standard error of each mean, where samples are known one by one and there are two or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<f64>,
}

impl Baseline {
    /// From the weights alone.
    pub fn exact(values: Vec<f64>) -> Self {
        Self { values, samples: 0, errors: Vec::new() }
    }

    /// Means over samples that are not known one by one.
    pub fn means(values: Vec<f64>, samples: u64) -> Self {
        Self { values, samples, errors: Vec::new() }
    }

    /// From the sums of `samples` samples and of their squares.
    pub fn of_sums(sums: &[f64], squares: &[f64], samples: u64) -> Self {
        let n = samples as f64;
        let error = |(sum, square): (&f64, &f64)| {
            let mean = sum / n;
            ((square / n - mean * mean).max(0.0) / (n - 1.0)).sqrt()
        };
        let errors = if samples > 1 { sums.iter().zip(squares).map(error).collect() } else { Vec::new() };
        Self { values: sums.iter().map(|s| s / n).collect(), samples, errors }
    }

    /// The same over the samples of both; a score from weights alone does not change.
    pub(super) fn joined(&self, other: &Self) -> Self {
        let samples = self.samples + other.samples;
        if samples == 0 {
            return self.clone();
        }
        // The sums behind means and errors: error^2 = (mean of squares - mean^2) / (n - 1).
        let sums = |b: &Self| -> Vec<f64> { b.values.iter().map(|v| v * b.samples as f64).collect() };
        let squares = |b: &Self| -> Option<Vec<f64>> {
            let n = b.samples as f64;
            match b.samples {
                1 => Some(b.values.iter().map(|v| v * v).collect()),
                _ if b.errors.len() != b.values.len() => None,
                _ => Some(b.values.iter().zip(&b.errors).map(|(v, e)| n * (v * v + e * e * (n - 1.0))).collect()),
            }
        };
        let plus = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> { a.iter().zip(b).map(|(x, y)| x + y).collect() };
        let sum = plus(sums(self), sums(other));
        match squares(self).zip(squares(other)) {
            Some((a, b)) => Self::of_sums(&sum, &plus(a, b), samples),
            None => Self::means(sum.iter().map(|s| s / samples as f64).collect(), samples),
        }
    }
}

/// One feature map of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureAnalysis {
    /// Inner products of the heads' maps over the whole corpus, `H x H`.
    pub gram: Gram,
    /// Group of every head, numbered by lowest head.
    pub groups: Vec<usize>,
    /// Within-group sum of squared distances to the center.
    pub inertia: f64,
    /// Silhouette coefficient per head; absent where there is one group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silhouette: Option<Vec<f64>>,
    /// Mean over the heads that are not dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_silhouette: Option<f64>,
    /// Dunn index; absent where it is not defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunn: Option<f64>,
    /// Heads whose map is zero everywhere: groups of their own that neither vote nor stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead: Vec<usize>,
    /// Quality of the best grouping for each number of groups.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Votes per head over all batches.
    pub votes: Vec<u64>,
    /// Sum over a head's votes of `1 - (d / d')^2`: its distance to the center against the runner-up's; a vote
    /// without a runner-up counts 1, a tied one (nearly) 0.
    #[serde(default)]
    pub margins: Vec<f64>,
    /// Votes that a tie rule decided.
    #[serde(default)]
    pub tied_votes: u64,
    /// Sum over batches of the cosine between the head's map and its group's center.
    #[serde(default)]
    pub scores: Vec<f64>,
    /// Heads with the most votes, ascending: as many as there are groups.
    pub kept: Vec<usize>,
    /// The head with the most votes of every group, ascending.
    #[serde(default)]
    pub kept_per_group: Vec<usize>,
    /// The same votes for every number of groups, one more from entry to entry: votes for `C` groups say who is the best
    /// of `C`, and nothing of who comes next. Absent in analyses of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_groups: Vec<Ballot>,
    /// Groups of the heads on the batch at each of [`Analysis::checkpoints`]; absent in analyses of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Vec<usize>>,
    /// Mean adjusted Rand index between these and the groups of the whole input; absent where there are fewer than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<f64>,
    /// The groups beside those of the null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<MapEvidence>,
    /// True where heads of one key/value group have this map in common by construction, so that its
    /// likeness says nothing about redundancy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kv_shared: bool,
}

/// Quality of the best grouping into a given number of groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The number of groups.
    pub groups: usize,
    /// Within-group sum of squares.
    pub inertia: f64,
    /// Mean silhouette; absent for one group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_silhouette: Option<f64>,
    /// Dunn index; absent where it is not defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunn: Option<f64>,
}

impl Analysis {
    /// The entry of the layer `site`.
    pub fn site(&self, site: Site) -> Option<&SiteAnalysis> {
        self.sites.iter().find(|s| s.site == site)
    }
}

impl FeatureAnalysis {
    /// Groups of heads that have a signal.
    pub(super) fn live_groups(&self) -> usize {
        let groups = self.groups.iter().max().map_or(0, |last| last + 1);
        groups.saturating_sub(self.dead.len())
    }

    /// The same where they can be compared with chance: one group, or one for every head, explains the same of any heads.
    pub(super) fn comparable_groups(&self) -> Option<usize> {
        let (groups, live) = (self.live_groups(), self.groups.len().saturating_sub(self.dead.len()));
        (groups >= 2 && groups < live).then_some(groups)
    }
}

impl SiteAnalysis {
    /// Into how many groups the batches were cut that voted, in words: `2 groups`; where every batch chose its own number, how
    /// often which, as far as the batches are known one by one.
    pub fn voting_groups(&self, batches: u64) -> String {
        let cast: u64 = self.votes.iter().sum();
        let (maps, ballots) = (self.features.values(), batches * self.features.len() as u64);
        let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
        for map in maps.clone() {
            for labels in &map.partitions {
                let groups = labels.iter().max().map_or(0, |last| last + 1).saturating_sub(map.dead.len());
                *numbers.entry(groups).or_default() += 1;
            }
        }
        let is_whole = numbers.values().sum::<u64>() == ballots
            && numbers.iter().map(|(groups, times)| *groups as u64 * times).sum::<u64>() == cast;
        let most = maps.map(FeatureAnalysis::live_groups).max().unwrap_or(0);
        match numbers.len() {
            1 if is_whole => counted(numbers.keys().next().copied().unwrap_or(most), "groups"),
            _ if is_whole => {
                let each: Vec<String> = numbers.iter().map(|(groups, times)| format!("{groups} in {times}")).collect();
                format!("each batch's own number of groups: {}", each.join(", "))
            }
            _ if cast == most as u64 * ballots => counted(most, "groups"),
            _ => format!("each batch's own number of groups: {:.1} on average", cast as f64 / ballots.max(1) as f64),
        }
    }

    /// Votes of each head as a share of all that it could win: one per batch and feature map, `0..=1`.
    pub fn vote_shares(&self, batches: u64) -> Vec<f64> {
        let most = (batches * self.features.len() as u64) as f64;
        self.votes.iter().map(|v| *v as f64 / most).collect()
    }

    /// Whether its numbers fit each other and the `batches` that voted.
    fn check(&self, batches: u64) -> Result<()> {
        let (site, heads) = (self.site, self.heads);
        let fault = |what: &str| Err(Error::new(format!("this analysis contradicts itself at {site}: {what}")));
        if heads == 0 || self.kv_heads == 0 || !heads.is_multiple_of(self.kv_heads) {
            return fault("its numbers of heads are impossible");
        }
        if self.features.is_empty() {
            return fault("it holds no feature map");
        }
        let ascending =
            |kept: &[usize]| kept.is_sorted_by(|a, b| a < b) && kept.last().is_none_or(|last| *last < heads);
        if self.votes.len() != heads || self.history.iter().any(|votes| votes.len() != heads) {
            return fault("votes are not one per head");
        }
        // One of each batch and feature map.
        let most = batches.saturating_mul(self.features.len() as u64);
        if self.votes.iter().chain(self.history.iter().flatten()).any(|votes| *votes > most) {
            return fault("a head has more votes than there were batches to cast them");
        }
        if !ascending(&self.kept) {
            return fault("kept is no ascending list of heads");
        }
        if self.cka.as_ref().is_some_and(|m| m.len() != heads || m.iter().any(|row| row.len() != heads)) {
            return fault("cka is not heads by heads");
        }
        let wrong = |b: &Baseline| b.values.len() != heads || (!b.errors.is_empty() && b.errors.len() != heads);
        if self.baselines.values().any(wrong) {
            return fault("a baseline is not one value per head");
        }
        for (map, feature) in &self.features {
            let sizes = [
                feature.gram.heads(),
                feature.groups.len(),
                feature.votes.len(),
                feature.silhouette.as_ref().map_or(heads, Vec::len),
            ];
            if sizes.iter().any(|n| *n != heads) {
                return fault(&format!("{map} has not one entry per head"));
            }
            let optional = [feature.margins.len(), feature.scores.len()];
            if optional.iter().any(|n| *n != heads && *n != 0) {
                return fault(&format!("{map} has not one entry per head"));
            }
            let by_groups = &feature.by_groups;
            let ballots = by_groups.iter().map(|ballot| &ballot.votes).chain([&feature.votes]);
            if ballots.flatten().any(|votes| *votes > batches) {
                return fault(&format!("{map} gives a head more votes than there were batches to cast them"));
            }
            if (!by_groups.is_empty() && by_groups.len() != heads) || by_groups.iter().any(|b| !b.fits(heads)) {
                return fault(&format!("{map} has not one entry per head and number of groups"));
            }
            if feature.partitions.iter().any(|labels| labels.len() != heads) {
                return fault(&format!("{map} has groups of batches that are not one per head"));
            }
            if feature.groups.iter().any(|g| *g >= heads)
                || !ascending(&feature.kept)
                || !ascending(&feature.kept_per_group)
                || !ascending(&feature.dead)
            {
                return fault(&format!("{map} names a head or group that is not there"));
            }
        }
        Ok(())
    }
}

impl Document for Analysis {
    const FORMAT: &'static str = "pillars-analysis";
    const VERSION: u64 = 1;
    const NOUN: &'static str = "analysis";
    const MAKER: &'static str = "pillars analyze";

    fn check(&self) -> Result<()> {
        let mut names: Vec<_> = self.sites.iter().map(|s| s.site).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::new("this analysis names a site twice"));
        }
        if self.sites.is_empty() || self.batches == 0 {
            return Err(Error::new("this analysis holds no layer or no batch"));
        }
        if self.settled.len() != self.checkpoints.len()
            || self.sites.iter().any(|s| s.history.len() != self.checkpoints.len())
        {
            return Err(Error::new("the history of this analysis does not match its checkpoints"));
        }
        self.sites.iter().try_for_each(|site| site.check(self.batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_votes_than_batches_could_cast_are_refused() {
        let text = include_str!("../../tests/data/workspace-1.pillars");
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
        let held: Analysis = serde_json::from_value(fields["analysis"].take()).unwrap();
        held.check().unwrap();
        let refused = |change: &dyn Fn(&mut SiteAnalysis)| {
            let mut edited = held.clone();
            change(&mut edited.sites[0]);
            let error = edited.check().unwrap_err().to_string();
            assert!(error.contains("more votes than there were batches"), "{error}");
        };
        refused(&|site| site.votes[0] = 1_000_000_000);
        let more = held.batches + 1;
        refused(&|site| site.features.values_mut().next().unwrap().votes[0] = more);
    }

    #[test]
    fn batches_that_chose_their_own_number_of_groups_are_told_so() {
        let text = include_str!("../../tests/data/workspace-1.pillars");
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
        let held: Analysis = serde_json::from_value(fields["analysis"].take()).unwrap();
        let mut site = held.sites[0].clone();
        let map = *site.features.keys().next().unwrap();
        site.features.retain(|name, _| *name == map);
        let heads = site.heads;
        let groups = |of: usize| -> Vec<usize> { (0..heads).map(|head| head.min(of - 1)).collect() };
        let feature = site.features.get_mut(&map).unwrap();
        (feature.groups, feature.dead) = (groups(2), Vec::new());
        let mut of = |numbers: &[usize], cast: u64| {
            site.features.get_mut(&map).unwrap().partitions = numbers.iter().map(|n| groups(*n)).collect();
            site.votes = vec![0; heads];
            site.votes[0] = cast;
            site.voting_groups(3)
        };
        assert_eq!(of(&[2, 2, 2], 6), "2 groups");
        assert_eq!(of(&[2, 3, 2], 7), "each batch's own number of groups: 2 in 2, 3 in 1");
        // Where not every batch is known by itself.
        assert_eq!(of(&[2], 6), "2 groups");
        assert_eq!(of(&[2], 7), "each batch's own number of groups: 2.3 on average");
    }
}
