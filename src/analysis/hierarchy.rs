//! Hierarchical grouping, for dendrograms and for the order of heads in a matrix.

use kodama::{Method, linkage};
use serde::{Deserialize, Serialize};

use super::{Gram, Metric, canonical};

/// One step of a hierarchy: two clusters become one. Clusters `0..H` are heads; step `k` makes cluster `H + k`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    /// The cluster with the lower number.
    pub left: usize,
    /// The other cluster that is joined.
    pub right: usize,
    /// Mean distance between their heads.
    pub distance: f64,
    /// Heads in the new cluster.
    pub size: usize,
}

/// Average linkage (UPGMA, Sokal and Michener 1958): the two clusters with the least mean distance merge, `H - 1` times,
/// distances ascending. A head without a direction is as far as can be from all others under the cosine metric.
pub fn hierarchy(gram: &Gram, metric: Metric) -> Vec<Merge> {
    let heads = gram.heads();
    let normalized;
    let points = match metric {
        Metric::Euclidean => gram,
        Metric::Cosine => {
            normalized = gram.normalized();
            &normalized
        }
    };
    let distance = |i: usize, j: usize| match metric {
        Metric::Cosine if gram.is_dead(i) || gram.is_dead(j) => 2.0,
        _ => points.distance2(i, j).sqrt(),
    };
    let mut condensed: Vec<f64> =
        (0..heads).flat_map(|i| (i + 1..heads).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).collect();
    let steps = linkage(&mut condensed, heads, Method::Average);
    let merge =
        |s: &kodama::Step<f64>| Merge { left: s.cluster1, right: s.cluster2, distance: s.dissimilarity, size: s.size };
    steps.steps().iter().map(merge).collect()
}

/// Heads from left to right under the dendrogram, so that no branches cross and heads that merge early stand together.
pub fn leaf_order(heads: usize, merges: &[Merge]) -> Vec<usize> {
    let mut order = Vec::with_capacity(heads);
    let mut open: Vec<usize> = match merges.len() {
        0 => (0..heads).rev().collect(),
        n => vec![heads + n - 1],
    };
    while let Some(cluster) = open.pop() {
        match cluster.checked_sub(heads).and_then(|step| merges.get(step)) {
            Some(merge) => open.extend([merge.right, merge.left]),
            None => order.push(cluster),
        }
    }
    order
}

/// Labels after undoing the last merges, so that `groups` clusters, at least one, are left; numbered by lowest head.
pub fn cut(heads: usize, merges: &[Merge], groups: usize) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..heads).collect();
    let mut clusters: Vec<Vec<usize>> = (0..heads).map(|h| vec![h]).collect();
    for merge in merges.iter().take(heads.saturating_sub(groups)) {
        let (Some(left), Some(right)) = (clusters.get(merge.left), clusters.get(merge.right)) else { break };
        let joined = [left.as_slice(), right.as_slice()].concat();
        for head in &joined {
            labels[*head] = joined[0];
        }
        clusters.push(joined);
    }
    canonical(&mut labels);
    labels
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn merges_are_those_of_plain_average_linkage() {
        for seed in 0..8 {
            let heads = 9;
            let vectors = testing::vectors(heads, 5, heads, 1.0, seed);
            let merges = hierarchy(&testing::gram(&vectors), Metric::Euclidean);
            let mut clusters: Vec<Option<Vec<usize>>> = (0..heads).map(|h| Some(vec![h])).collect();
            assert_eq!(merges.len(), heads - 1);
            for merge in &merges {
                let mean = |a: &[usize], b: &[usize]| {
                    let sum: f64 =
                        a.iter().flat_map(|i| b.iter().map(|j| testing::distance(&vectors[*i], &vectors[*j]))).sum();
                    sum / (a.len() * b.len()) as f64
                };
                let open: Vec<&Vec<usize>> = clusters.iter().flatten().collect();
                let mut least = f64::INFINITY;
                for (k, a) in open.iter().enumerate() {
                    for b in &open[..k] {
                        least = least.min(mean(a, b));
                    }
                }
                let (left, right) = (clusters[merge.left].take().unwrap(), clusters[merge.right].take().unwrap());
                assert!((mean(&left, &right) - least).abs() < 1e-9 && (merge.distance - least).abs() < 1e-9);
                let joined = [left, right].concat();
                assert_eq!(merge.size, joined.len());
                clusters.push(Some(joined));
            }
        }
    }

    #[test]
    fn order_and_cut_follow_the_merges() {
        // Heads 0, 2, 4 and 1, 3 lie together.
        let vectors: testing::Vectors = vec![vec![0.0], vec![10.0], vec![0.5], vec![11.0], vec![2.0]];
        let merges = hierarchy(&testing::gram(&vectors), Metric::Euclidean);
        assert_eq!(cut(5, &merges, 2), [0, 1, 0, 1, 0]);
        assert_eq!(cut(5, &merges, 3), [0, 1, 0, 1, 2]);
        assert_eq!(cut(5, &merges, 5), [0, 1, 2, 3, 4]);
        let order = leaf_order(5, &merges);
        let place = |h: usize| order.iter().position(|o| *o == h).unwrap();
        assert_eq!(place(0).abs_diff(place(2)), 1);
        assert_eq!(place(1).abs_diff(place(3)), 1);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
        assert_eq!(leaf_order(1, &hierarchy(&Gram::zeros(1), Metric::Cosine)), [0]);
    }
}
