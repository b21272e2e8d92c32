//! Voting-to-Stay (paper section 3.2; [method](crate::method), section 6): in each group the head closest to its hidden unit
//! gets a vote, batch by batch.

use serde::{Deserialize, Serialize};

use super::partition::Partition;
use super::{Gram, Grouping, Points};

/// Squared distances that differ by no more than this share of the group's largest squared norm are equal.
const TIE: f64 = 1e-6;

/// Votes of one feature map on one batch, or the sums over several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// 1 for the head of each group that got its vote.
    pub votes: Vec<u64>,
    /// How many of these votes the tie rule decided.
    #[serde(rename = "tied_votes")]
    pub tied: u64,
    /// For each head that got a vote `1 - (d / d')^2`, its distance to the center against the runner-up's; 1 where it
    /// is alone, 0 for the others.
    pub margins: Vec<f64>,
    /// Cosine of each head to the center of its group; 0 for dead heads.
    #[serde(rename = "scores")]
    pub cosines: Vec<f64>,
}

/// Votes under `grouping`. `raw` is the Gram matrix as it is: among tied heads the one with the larger norm there
/// gets the vote, then the lowest index. Dead heads neither vote nor get one.
pub fn vote(points: &Points<'_>, raw: &Gram, grouping: &Grouping) -> Ballot {
    let gram = points.gram();
    let heads = gram.heads();
    let partition = Partition::new(gram, grouping.labels.clone());
    let mut ballot = Ballot::zeros(heads);
    for members in grouping.live_members() {
        let Some(first) = members.first() else { continue };
        let group = grouping.labels[*first];
        let distances: Vec<f64> = members.iter().map(|h| partition.distance2(*h, group)).collect();
        let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = members.iter().map(|h| gram.norm2(*h)).fold(0.0, f64::max);
        let mut tied: Vec<usize> = (0..members.len()).filter(|m| distances[*m] - least <= TIE * largest).collect();
        ballot.tied += u64::from(tied.len() > 1);
        // A stable sort leaves heads of equal norm in the order of their index.
        tied.sort_by(|a, b| raw.norm2(members[*b]).total_cmp(&raw.norm2(members[*a])));
        if let Some(winner) = tied.first() {
            let others = distances.iter().enumerate().filter(|(m, _)| m != winner).map(|(_, d)| *d);
            let second = others.fold(f64::INFINITY, f64::min);
            let lead = if second > 0.0 { 1.0 - distances[*winner] / second } else { 0.0 };
            ballot.votes[members[*winner]] = 1;
            ballot.margins[members[*winner]] = lead.max(0.0);
        }
        for head in members {
            ballot.cosines[head] = partition.cosine(head, group).unwrap_or(0.0);
        }
    }
    ballot
}

impl Ballot {
    /// The votes of no batch.
    pub fn zeros(heads: usize) -> Self {
        Self { votes: vec![0; heads], tied: 0, margins: vec![0.0; heads], cosines: vec![0.0; heads] }
    }

    /// Adds those of further batches.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.votes, &other.votes);
        add(&mut self.margins, &other.margins);
        add(&mut self.cosines, &other.cosines);
        self.tied += other.tied;
    }

    /// Whether there is one entry per head.
    pub(super) fn fits(&self, heads: usize) -> bool {
        [self.votes.len(), self.margins.len(), self.cosines.len()] == [heads; 3]
    }
}

/// Adds numbers one by one.
pub(super) fn add<T: Copy + std::ops::AddAssign>(sums: &mut [T], more: &[T]) {
    for (sum, m) in sums.iter_mut().zip(more) {
        *sum += *m;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Metric, testing};
    use super::*;

    /// The rule of the method page on raw vectors: votes and the number of tied ones.
    fn plain(points: &testing::Vectors, norms: &[f64], labels: &[usize]) -> (Vec<u64>, u64) {
        let (mut votes, mut ties) = (vec![0; labels.len()], 0);
        for group in testing::members(labels) {
            let center = testing::mean(points, &group);
            let distance = |h: usize| testing::distance(&points[h], &center).powi(2);
            let least = group.iter().map(|h| distance(*h)).fold(f64::INFINITY, f64::min);
            let largest = group.iter().map(|h| testing::dot(&points[*h], &points[*h])).fold(0.0, f64::max);
            let equal: Vec<usize> = group.iter().copied().filter(|h| distance(*h) - least <= 1e-6 * largest).collect();
            let mut winner = equal[0];
            for h in &equal {
                if norms[*h] > norms[winner] {
                    winner = *h;
                }
            }
            votes[winner] += 1;
            ties += u64::from(equal.len() > 1);
        }
        (votes, ties)
    }

    #[test]
    fn votes_are_those_of_the_rule_on_raw_vectors() {
        let mut seen_ties = 0;
        for seed in 0..30 {
            let heads = 10;
            let vectors = testing::vectors(heads, 24, 4, 0.5, seed);
            let raw = testing::gram(&vectors);
            let norms: Vec<f64> = vectors.iter().map(|v| testing::dot(v, v)).collect();
            let unit: testing::Vectors =
                vectors.iter().zip(&norms).map(|(v, n)| v.iter().map(|x| x / n.sqrt()).collect()).collect();
            for metric in [Metric::Euclidean, Metric::Cosine] {
                let space = if metric == Metric::Cosine { &unit } else { &vectors };
                let points = Points::new(&raw, metric);
                for groups in 1..=heads {
                    let grouping = points.group(groups, 0).unwrap();
                    let ballot = vote(&points, &raw, &grouping);
                    let (votes, tied) = plain(space, &norms, &grouping.labels);
                    assert_eq!((&ballot.votes, ballot.tied), (&votes, tied), "{groups} {metric}");
                    assert_eq!(ballot.votes.iter().sum::<u64>(), groups as u64);
                    seen_ties += tied;
                    for h in 0..heads {
                        let members = &testing::members(&grouping.labels)[grouping.labels[h]];
                        let center = testing::mean(space, members);
                        let norm = (testing::dot(&space[h], &space[h]) * testing::dot(&center, &center)).sqrt();
                        assert!((ballot.cosines[h] - testing::dot(&space[h], &center) / norm).abs() < 1e-9);
                    }
                }
            }
        }
        assert!(seen_ties > 100);
    }

    #[test]
    fn two_heads_alone_are_a_tie_for_the_larger() {
        let vectors: testing::Vectors = vec![vec![1.0, 0.0], vec![1.0, 0.3], vec![-5.0, 0.0], vec![-5.0, 0.0]];
        let raw = testing::gram(&vectors);
        let points = Points::new(&raw, Metric::Euclidean);
        let ballot = vote(&points, &raw, &points.group(2, 0).unwrap());
        // Head 1 is longer than head 0; heads 2 and 3 are equal, so the lower index.
        assert_eq!(ballot.votes, [0, 1, 1, 0]);
        assert_eq!(ballot.tied, 2);
        assert!(ballot.margins.iter().all(|m| *m < 1e-6), "{:?}", ballot.margins);
    }

    #[test]
    fn margins_say_how_clear_a_vote_was() {
        // On a line 0, 2, 3 with mean 5/3: squared distances 25/9, 1/9, 16/9; and one alone.
        let vectors: testing::Vectors = vec![vec![0.0], vec![2.0], vec![3.0], vec![90.0]];
        let raw = testing::gram(&vectors);
        let points = Points::new(&raw, Metric::Euclidean);
        let grouping = points.group(2, 0).unwrap();
        assert_eq!(grouping.dead, [0]);
        let moved: testing::Vectors = vectors.iter().map(|v| vec![v[0] + 100.0]).collect();
        let raw = testing::gram(&moved);
        let points = Points::new(&raw, Metric::Euclidean);
        let ballot = vote(&points, &raw, &points.group(2, 0).unwrap());
        assert_eq!(ballot.votes, [0, 1, 0, 1]);
        assert!((ballot.margins[1] - (1.0 - 1.0 / 16.0)).abs() < 1e-6, "{:?}", ballot.margins);
        assert_eq!(ballot.margins[3], 1.0);
    }

    #[test]
    fn dead_heads_get_no_vote() {
        let mut vectors = testing::vectors(5, 8, 2, 0.5, 3);
        vectors[0] = vec![0.0; 8];
        let raw = testing::gram(&vectors);
        for metric in [Metric::Euclidean, Metric::Cosine] {
            let points = Points::new(&raw, metric);
            let ballot = vote(&points, &raw, &points.group(2, 0).unwrap());
            assert_eq!(ballot.votes[0], 0);
            assert_eq!(ballot.votes.iter().sum::<u64>(), 2);
            assert_eq!(ballot.cosines[0], 0.0);
        }
    }
}
