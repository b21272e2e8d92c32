//! What heads of a layer are compared by where they are chosen.

use std::cmp::Ordering;

use super::{FeatureAnalysis, Gram, Grouping, SiteAnalysis};

/// How a head stands among those of its layer; more is better, compared in the order of the fields, and the lowest
/// index wins among equals. Votes tie often: many heads of a layer have none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rank {
    /// What goes before every score: that a head has a signal, that it stands for its group.
    pub class: i64,
    /// Votes, or whatever the heads are chosen by.
    pub score: f64,
    /// How clearly it won, as a mean over the votes that it could win.
    pub margin: f64,
    /// Its share of the layer's squared norms `G_hh`, as a mean over the maps that count.
    pub norm: f64,
}

impl Rank {
    /// Compares two ranks; the lesser head goes first.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.class.cmp(&other.class))
            .then(self.score.total_cmp(&other.score))
            .then(self.margin.total_cmp(&other.margin))
            .then(self.norm.total_cmp(&other.norm))
    }

    /// How a set of heads stands together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            class: self.class + other.class,
            score: self.score + other.score,
            margin: self.margin + other.margin,
            norm: self.norm + other.norm,
        }
    }
}

/// The `count` best of `heads`, ascending.
pub fn best(ranks: &[Rank], heads: impl IntoIterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = heads.into_iter().collect();
    order.sort_unstable();
    // Stable: equals stay in the order of their index.
    order.sort_by(|a, b| ranks[*b].order(&ranks[*a]));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// The best head of every group whose heads are not dead, ascending.
pub fn best_of_groups(ranks: &[Rank], grouping: &Grouping) -> Vec<usize> {
    let mut kept: Vec<usize> =
        grouping.live_members().into_iter().flat_map(|members| best(ranks, members, 1)).collect();
    kept.sort_unstable();
    kept
}

/// Each head's share of the squared norms.
pub fn norm_shares(gram: &Gram) -> Vec<f64> {
    let trace: f64 = (0..gram.heads()).map(|h| gram.norm2(h)).sum();
    (0..gram.heads()).map(|h| if trace > 0.0 { settled(gram.norm2(h) / trace) } else { 0.0 }).collect()
}

/// A mean without its last digits, which depend on the order of summing: no head should win by them.
pub fn settled(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

impl FeatureAnalysis {
    /// How heads stand by `votes` of `batches` batches on this map, ties settled by margins and norms over all of them.
    pub(super) fn ranks(&self, votes: &[u64], batches: u64) -> Vec<Rank> {
        let norms = norm_shares(&self.gram);
        let rank = |h: usize| Rank {
            class: -i64::from(self.dead.contains(&h)),
            score: votes.get(h).copied().unwrap_or(0) as f64,
            margin: settled(self.margins.get(h).copied().unwrap_or(0.0) / batches as f64),
            norm: norms[h],
        };
        (0..self.gram.heads()).map(rank).collect()
    }
}

impl SiteAnalysis {
    /// `top-c` by these votes over all feature maps: as many heads as the map with the most groups has groups, dead
    /// heads left out where they are dead in every map; never none.
    pub fn kept_by(&self, votes: &[u64], batches: u64) -> Vec<usize> {
        let count = self.features.values().map(|f| f.kept.len()).max().unwrap_or(1);
        let mut sums = vec![Rank::default(); self.heads];
        for feature in self.features.values() {
            for (sum, rank) in sums.iter_mut().zip(feature.ranks(&feature.votes, batches)) {
                *sum = sum.plus(rank);
            }
        }
        for (sum, votes) in sums.iter_mut().zip(votes) {
            sum.score = *votes as f64;
            sum.class = 0;
        }
        let dead = |h: &usize| self.features.values().all(|f| f.dead.contains(h));
        at_least_one(best(&sums, (0..self.heads).filter(|h| !dead(h)), count))
    }
}

/// A layer keeps a head even where none has a signal.
pub(super) fn at_least_one(kept: Vec<usize>) -> Vec<usize> {
    if kept.is_empty() { vec![0] } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(scores: &[f64]) -> Vec<Rank> {
        scores.iter().map(|score| Rank { score: *score, ..Rank::default() }).collect()
    }

    #[test]
    fn equal_votes_go_by_margin_then_norm_then_index() {
        let rank = |score: f64, margin: f64, norm: f64| Rank { score, margin, norm, ..Rank::default() };
        let all = [rank(1., 0.1, 0.5), rank(1., 0.2, 0.1), rank(1., 0.1, 0.6), rank(2., 0., 0.), rank(1., 0.1, 0.5)];
        let order: Vec<Vec<usize>> = (1..=5).map(|n| best(&all, 0..5, n)).collect();
        assert_eq!(order, [vec![3], vec![1, 3], vec![1, 2, 3], vec![0, 1, 2, 3], vec![0, 1, 2, 3, 4]]);
    }

    #[test]
    fn best_takes_the_lowest_index_of_equals() {
        let some = ranks(&[1., 3., 3., 0., 3.]);
        assert_eq!(best(&some, 0..5, 2), [1, 2]);
        assert_eq!(best(&some, [4, 3, 0], 2), [0, 4]);
        assert_eq!(best(&ranks(&[0.5, 0.1]), 0..2, 9), [0, 1]);
        let grouping = Grouping { labels: vec![0, 1, 0, 1, 2], inertia: 0.0, dead: vec![4] };
        assert_eq!(best_of_groups(&ranks(&[1., 0., 4., 0., 9.]), &grouping), [1, 2]);
    }

    #[test]
    fn norm_shares_sum_to_one_and_forget_rounding() {
        let gram = Gram::from_rows(2, vec![3.0, 0.0, 0.0, 1.0 + 1e-12]).unwrap();
        assert_eq!(norm_shares(&gram), [0.75, 0.25]);
        assert_eq!(norm_shares(&Gram::zeros(2)), [0.0, 0.0]);
    }
}
