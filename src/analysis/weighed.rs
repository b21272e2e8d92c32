//! Evidence for redundant heads as it is kept in a file.

use serde::{Deserialize, Serialize};

use crate::network::FeatureMap;

/// A share of draws below which what is seen is called more than chance.
const SURE: f64 = 0.05;
/// The least that groups must explain of what the null's leave unexplained.
const EXCESS: f64 = 0.1;
/// Least agreement of the groups of single batches with those of the whole input.
const STABLE: f64 = 0.25;
/// Tokens for each number that a statement rests on: with fewer, it tells of the sample alone.
pub(super) const TOKENS_PER_NUMBER: u64 = 8;

/// The tokens from which something can be said of vectors of so many numbers.
pub(crate) fn enough(numbers: usize) -> u64 {
    TOKENS_PER_NUMBER * numbers as u64
}

/// A number beside what the null gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NullComparison {
    /// The number that the sample gives.
    pub observed: f64,
    /// Mean over the draws.
    pub null_mean: f64,
    /// Standard deviation over the draws.
    pub null_deviation: f64,
    /// Share of draws, this one among them, that reach it: `(1 + draws at or above) / (1 + draws)`.
    pub p: f64,
}

impl NullComparison {
    /// `None` where there is no draw.
    pub fn of(observed: f64, nulls: &[f64]) -> Option<Self> {
        let n = nulls.len() as f64;
        if nulls.is_empty() {
            return None;
        }
        let mean = nulls.iter().sum::<f64>() / n;
        let squares: f64 = nulls.iter().map(|x| (x - mean) * (x - mean)).sum();
        let reached = nulls.iter().filter(|x| **x >= observed - 1e-12).count() as f64;
        Some(Self { observed, null_mean: mean, null_deviation: (squares / n).sqrt(), p: (1.0 + reached) / (1.0 + n) })
    }

    /// What is seen of what the null leaves to one, at most 1; negative where it is less than the null's.
    pub fn excess(&self) -> f64 {
        let left = 1.0 - self.null_mean;
        if left > 1e-12 { (self.observed - self.null_mean) / left } else { 0.0 }
    }

    /// Whether it exceeds the null by so much that it is more than a curiosity.
    pub fn matters(&self) -> bool {
        self.excess() >= EXCESS
    }

    /// It beside chance in words, in as many digits as tell the two apart: `0.443 beside 0.439 by chance (p 0.025, the least
    /// that 39 draws can give)`. `draws` are those of the null.
    pub fn sentence(&self, draws: usize) -> String {
        let written = |digits: usize| [self.observed, self.null_mean].map(|x| format!("{x:.digits$}"));
        let [seen, chance] = (2..5).map(written).find(|[a, b]| a != b).unwrap_or_else(|| written(5));
        let least = 1.0 / (1.0 + draws as f64);
        let bound =
            if self.p <= least + 1e-9 { format!(", the least that {draws} draws can give") } else { String::new() };
        format!("{seen} beside {chance} by chance (p {:.3}{bound})", self.p)
    }

    /// Whether hardly any draw reaches it.
    pub fn is_sure(&self) -> bool {
        self.p <= SURE
    }
}

/// What speaks for the groups of one feature map of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapEvidence {
    /// Groups of the heads that have a signal.
    pub groups: usize,
    /// Mean silhouette beside that of the null.
    pub silhouette: NullComparison,
    /// Share of the sum of squares about the mean of the heads that the groups explain, beside that of the null.
    pub explained: NullComparison,
    /// Whether it is more than chance, and not too little to matter.
    pub found: bool,
    /// Real positions of the sample that was compared; 0 where an older release did not count them.
    #[serde(default)]
    pub positions: u64,
}

impl MapEvidence {
    /// What the groups explain of what those of the null leave unexplained, at most 1; negative where they explain less.
    pub fn excess(&self) -> f64 {
        self.explained.excess()
    }

    /// Whether the sample is large enough to tell of heads of width `head_dim`.
    pub(super) fn suffices(&self, head_dim: usize) -> bool {
        self.positions == 0 || self.positions >= enough(head_dim)
    }

    pub(super) fn judge(mut self, stability: Option<f64>) -> Self {
        self.found = (self.silhouette.is_sure() || self.explained.is_sure())
            && self.explained.matters()
            && stability.is_none_or(|s| s >= STABLE);
        self
    }
}

/// What speaks for redundancy in the whole model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// The feature map that it is of.
    pub map: FeatureMap,
    /// Draws of the null.
    pub draws: usize,
    /// Seed of the first.
    pub seed: u64,
    /// Sequences of the sample.
    pub sequences: usize,
    /// Whether they are the first of the whole input, of which the analysis read one part of several (`--shard`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_whole: bool,
    /// Mean silhouette over the layers.
    pub silhouette: NullComparison,
    /// Mean explained share over the layers.
    pub explained: NullComparison,
    /// Layers with evidence, by groups or by what other heads can say.
    pub layers: usize,
    /// Layers that could be judged.
    pub judged: usize,
    /// It in one sentence.
    pub sentence: String,
}

/// Whether a layer has redundant heads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteEvidence {
    /// Whether anything speaks for it: groups that are more than chance, or heads that others can speak for.
    pub found: bool,
    /// Whether too few tokens were read to tell; nothing is found then, and nothing excluded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_few: bool,
    /// Whether groups were not compared with chance, as of some merged parts; nothing is found then, and nothing excluded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_compared: bool,
    /// What, in one sentence without its full stop.
    pub sentence: String,
}

impl SiteEvidence {
    /// Whether the layer has redundant heads; `None` where too few tokens were read, or too little was compared, to tell.
    pub fn verdict(&self) -> Option<bool> {
        (!self.too_few && !self.not_compared).then_some(self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_among_draws_is_a_share() {
        let found = NullComparison::of(3.0, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        // Two draws and the one that is seen, of five.
        assert_eq!((found.p, found.null_mean), (0.6, 2.5));
        assert!((found.null_deviation - 1.25f64.sqrt()).abs() < 1e-12);
        assert!(NullComparison::of(9.0, &vec![0.0; 39]).unwrap().is_sure());
        assert_eq!(NullComparison::of(9.0, &vec![0.0; 39]).unwrap().p, 0.025);
        assert!(NullComparison::of(1.0, &[]).is_none());
        let least = NullComparison { observed: 0.4431, null_mean: 0.4388, null_deviation: 0.0, p: 0.025 };
        assert_eq!(least.sentence(39), "0.443 beside 0.439 by chance (p 0.025, the least that 39 draws can give)");
        assert!(least.is_sure() && !least.matters());
        let usual = NullComparison { observed: 0.5, null_mean: 0.25, null_deviation: 0.0, p: 0.05 };
        assert_eq!(usual.sentence(39), "0.50 beside 0.25 by chance (p 0.050)");
        assert!(usual.matters());
    }
}
