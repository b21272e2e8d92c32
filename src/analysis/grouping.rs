//! Grouping of heads on their Gram matrix ([method](crate::method), section 4): by k-means, or by cutting a hierarchy.
//!
//! The objective is the within-group sum of squares, which a Gram matrix gives exactly:
//! `sum_h G_hh - sum_c Q_c / n_c` with `Q_c` the sum of `G` over the pairs of group `c`.

use std::borrow::Cow;

use super::exact::Exact;
use super::partition::Partition;
use super::quality::Distances;
use super::{Clustering, Gram, Metric, canonical, cut, factor, hierarchy, start};
use crate::error::{Error, Result};

/// A partition of a layer's heads.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouping {
    /// Group of every head; groups are numbered by their lowest head, so equal partitions are equal.
    pub labels: Vec<usize>,
    /// Within-group sum of squared distances to the center.
    pub inertia: f64,
    /// Heads without any signal: groups of their own, beyond those asked for.
    pub dead: Vec<usize>,
}

impl Grouping {
    /// Number of groups, those of dead heads included.
    pub fn groups(&self) -> usize {
        self.labels.iter().max().map_or(0, |last| last + 1)
    }

    /// Number of groups of heads that are not dead.
    pub fn live_groups(&self) -> usize {
        self.groups() - self.dead.len()
    }

    /// The heads of each group that are not dead.
    pub fn live_members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.groups()];
        for (head, label) in self.labels.iter().enumerate() {
            if !self.dead.contains(&head) {
                members[*label].push(head);
            }
        }
        members.retain(|m| !m.is_empty());
        members
    }
}

/// Heads of a layer as points, ready to be grouped.
#[derive(Clone, Debug)]
pub struct Points<'a> {
    gram: Cow<'a, Gram>,
    live: Vec<usize>,
    dead: Vec<usize>,
    /// Gram matrix of the live heads.
    inner: Cow<'a, Gram>,
    clustering: Clustering,
}

impl<'a> Points<'a> {
    /// The heads of `gram` under `metric`.
    pub fn new(gram: &'a Gram, metric: Metric) -> Self {
        let gram = match metric {
            Metric::Euclidean => Cow::Borrowed(gram),
            Metric::Cosine => Cow::Owned(gram.normalized()),
        };
        let (dead, live): (Vec<usize>, Vec<usize>) = (0..gram.heads()).partition(|h| gram.is_dead(*h));
        let inner = if dead.is_empty() { gram.clone() } else { Cow::Owned(gram.select(&live)) };
        Self { gram, live, dead, inner, clustering: Clustering::KMeans }
    }

    /// The same heads, grouped in another way.
    #[must_use]
    pub fn by(self, clustering: Clustering) -> Self {
        Self { clustering, ..self }
    }

    /// Inner products under the metric: with [`Metric::Cosine`] those of maps of norm 1.
    pub fn gram(&self) -> &Gram {
        &self.gram
    }

    /// Heads that have a signal.
    pub fn live(&self) -> &[usize] {
        &self.live
    }

    /// Heads whose map is zero everywhere.
    pub fn dead(&self) -> &[usize] {
        &self.dead
    }

    /// The best partition into `groups` groups that the search finds; for up to 16 heads the best there is, save
    /// for layers of more than 10 heads without any structure. Dead heads form groups of their own beyond
    /// these. More groups than heads are refused.
    pub fn group(&self, groups: usize, seed: u64) -> Result<Grouping> {
        self.search(groups, seed, Effort::usual(self.live.len()))
    }

    /// [`Points::group`] with more patience and library k-means among the starts: for results that are kept.
    pub fn group_thoroughly(&self, groups: usize, seed: u64) -> Result<Grouping> {
        self.search(groups, seed, Effort::thorough(self.live.len()))
    }

    /// [`Points::group`] with less patience where there are many heads: to compare numbers of groups.
    pub fn group_lightly(&self, groups: usize, seed: u64) -> Result<Grouping> {
        self.search(groups, seed, Effort::light(self.live.len()))
    }

    fn search(&self, groups: usize, seed: u64, effort: Effort) -> Result<Grouping> {
        let heads = self.gram.heads();
        if groups == 0 || groups > heads {
            return Err(Error::usage(format!("{heads} heads cannot form {groups} groups"))
                .hint(format!("give a number from 1 to {heads}")));
        }
        let groups = groups.min(self.live.len());
        let labels = match self.clustering {
            _ if groups == 0 => Vec::new(),
            Clustering::KMeans => best(&self.inner, groups, seed, effort),
            // The metric is already in the Gram matrix.
            Clustering::AverageLinkage => cut(self.live.len(), &hierarchy(&self.inner, Metric::Euclidean), groups),
        };
        Ok(self.whole(&labels))
    }

    /// The grouping into `2..=live - 1` groups with the best mean silhouette (of equal ones that with fewest groups);
    /// with two live heads or fewer every head is its own group, since nothing speaks for putting them together.
    pub fn group_auto(&self, seed: u64) -> Result<Grouping> {
        self.clearest(&self.group_each(seed)?, seed)
    }

    /// [`Points::group_lightly`] into every number of groups that the live heads can form, from 1 on.
    pub fn group_each(&self, seed: u64) -> Result<Vec<Grouping>> {
        (1..=self.live.len().max(1)).map(|groups| self.group_lightly(groups, seed)).collect()
    }

    /// [`Points::group_auto`] among what [`Points::group_each`] gave.
    pub fn clearest(&self, each: &[Grouping], seed: u64) -> Result<Grouping> {
        let live = self.live.len();
        let distances = self.live_distances();
        let mut best: Option<(f64, &Grouping)> = None;
        // The first has one group, the last one for every head.
        for grouping in each.iter().take(live.saturating_sub(1)).skip(1) {
            let mean = distances.mean_silhouette(&self.live_labels(grouping)).unwrap_or(0.0);
            if best.is_none_or(|(most, _)| mean > most + 1e-12) {
                best = Some((mean, grouping));
            }
        }
        match best {
            // Many heads were only looked at lightly.
            Some((_, grouping)) if live > FEW => self.group(grouping.live_groups(), seed),
            Some((_, grouping)) => Ok(grouping.clone()),
            None => self.group(live.max(1), seed),
        }
    }

    /// Labels of the live heads alone, canonical.
    pub fn live_labels(&self, grouping: &Grouping) -> Vec<usize> {
        let mut labels: Vec<usize> = self.live.iter().map(|h| grouping.labels[*h]).collect();
        canonical(&mut labels);
        labels
    }

    /// Distances between the live heads.
    pub fn live_distances(&self) -> Distances {
        Distances::new(&self.inner)
    }

    /// A partition of the live heads as one of all heads, with canonical labels.
    fn whole(&self, labels: &[usize]) -> Grouping {
        let next = labels.iter().max().map_or(0, |last| last + 1);
        let mut all = vec![0; self.gram.heads()];
        for (head, label) in self.live.iter().zip(labels) {
            all[*head] = *label;
        }
        for (i, head) in self.dead.iter().enumerate() {
            all[*head] = next + i;
        }
        canonical(&mut all);
        let inertia = if labels.is_empty() { 0.0 } else { Partition::new(&self.inner, labels.to_vec()).inertia() };
        Grouping { labels: all, inertia, dead: self.dead.clone() }
    }
}

/// How much work a search may be.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Runs of library k-means, seeded one after another.
    library: u64,
    starts: usize,
    /// Kicks of the best partition without a better one, after which the search ends.
    patience: usize,
    /// Placements that the proof may try.
    steps: usize,
}

/// Kicks that came back to the best partition, after which the search ends early.
const RETURNS: usize = 12;
/// Most heads for which the search is to find the best partition there is.
const FEW: usize = 16;

impl Effort {
    /// For results of one batch.
    fn usual(heads: usize) -> Self {
        let patience = if heads <= FEW { 3 * heads + 24 } else { 24 };
        // All partitions of ten heads fit into this many placements; more heads mostly do, unless they are
        // without any structure.
        let steps = match heads {
            0..=10 => 1 << 15,
            11..=FEW => 1 << 12,
            _ => 0,
        };
        Self { library: 0, starts: 6, patience, steps }
    }

    /// For results that are kept.
    fn thorough(heads: usize) -> Self {
        let usual = Self::usual(heads);
        Self { library: 2, starts: 12, patience: 4 * usual.patience, steps: usual.steps << 6 }
    }

    /// For a look at many numbers of groups.
    fn light(heads: usize) -> Self {
        if heads <= FEW { Self::usual(heads) } else { Self { library: 0, starts: 1, patience: 4, steps: 0 } }
    }
}

/// Local optima from k-means starts, then kicks of the best one (iterated local search), then branch and bound; the
/// lowest inertia, and among equal ones the lexicographically first labels.
fn best(gram: &Gram, groups: usize, seed: u64, effort: Effort) -> Vec<usize> {
    let heads = gram.heads();
    if groups == 1 {
        return vec![0; heads];
    }
    if groups == heads {
        return (0..heads).collect();
    }
    let mut rng = start::rng(seed);
    let mut best = Incumbent::new(gram);
    if effort.library > 0 {
        let rows = factor(gram);
        for run in 0..effort.library {
            if let Some(labels) = start::library(&rows, groups, seed.wrapping_add(run)) {
                best.offer(labels);
            }
        }
    }
    for _ in 0..effort.starts {
        best.offer(start::plus_plus(gram, groups, &mut rng));
    }
    let (mut idle, mut returns) = (0, 0);
    while idle < effort.patience && returns < RETURNS {
        let mut labels = best.labels.clone();
        start::kick(&mut labels, &mut rng);
        match best.offer(labels) {
            Offer::Better => (idle, returns) = (0, 0),
            Offer::Equal => (idle, returns) = (idle + 1, returns + 1),
            Offer::Worse => idle += 1,
        }
    }
    if effort.steps > 0
        && let Some(labels) = Exact::new(gram, groups, best.slack, effort.steps).improve(best.inertia)
    {
        best.offer(labels);
    }
    best.labels
}

enum Offer {
    Better,
    Equal,
    Worse,
}

/// The best partition so far.
struct Incumbent<'a> {
    gram: &'a Gram,
    /// Differences of inertia below this are rounding.
    slack: f64,
    inertia: f64,
    labels: Vec<usize>,
}

impl<'a> Incumbent<'a> {
    fn new(gram: &'a Gram) -> Self {
        let slack = 1e-12 * (0..gram.heads()).map(|h| gram.norm2(h)).sum::<f64>();
        Self { gram, slack, inertia: f64::INFINITY, labels: Vec::new() }
    }

    /// Improves a partition to a local optimum and compares.
    fn offer(&mut self, labels: Vec<usize>) -> Offer {
        let mut partition = Partition::new(self.gram, labels);
        partition.descend(self.slack);
        let inertia = partition.inertia();
        if inertia > self.inertia + self.slack {
            return Offer::Worse;
        }
        let mut labels = partition.into_labels();
        canonical(&mut labels);
        if inertia < self.inertia - self.slack {
            (self.inertia, self.labels) = (inertia, labels);
            return Offer::Better;
        }
        if labels < self.labels {
            self.labels = labels;
        }
        self.inertia = self.inertia.min(inertia);
        Offer::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// Least inertia of all partitions, from the Gram matrix in the plainest way.
    fn least(gram: &Gram, groups: usize) -> f64 {
        let heads = gram.heads();
        let total: f64 = (0..heads).map(|h| gram.norm2(h)).sum();
        let mut least = f64::INFINITY;
        testing::each_partition(heads, groups, &mut |labels| {
            let mut squares = vec![0.0; groups];
            let mut sizes = vec![0.0; groups];
            for i in 0..heads {
                sizes[labels[i]] += 1.0;
                squares[labels[i]] += gram.norm2(i);
                for j in 0..i {
                    if labels[i] == labels[j] {
                        squares[labels[i]] += 2.0 * gram.get(i, j);
                    }
                }
            }
            least = least.min(total - squares.iter().zip(&sizes).map(|(q, n)| q / n).sum::<f64>());
        });
        least
    }

    /// Features of several kinds: no structure, few dimensions, clusters, many dimensions, copies.
    fn samples(heads: usize, seed: u64) -> Vec<testing::Vectors> {
        let mut copies = testing::vectors(heads, 16, heads, 1.0, seed);
        for h in 1..heads {
            if h % 3 == 1 {
                copies[h] = copies[h - 1].clone();
            }
        }
        vec![
            testing::vectors(heads, 64, heads, 1.0, seed),
            testing::vectors(heads, 2, heads, 1.0, seed),
            testing::vectors(heads, 32, 3, 0.3, seed),
            testing::vectors(heads, 600, heads, 1.0, seed),
            copies,
        ]
    }

    #[test]
    fn no_partition_of_ten_heads_or_fewer_is_better() {
        for (heads, seeds) in [(4, 6), (7, 4), (9, 1), (10, 1)] {
            for seed in 0..seeds {
                for vectors in samples(heads, seed) {
                    let gram = testing::gram(&vectors);
                    for metric in [Metric::Euclidean, Metric::Cosine] {
                        let points = Points::new(&gram, metric);
                        for groups in 1..=heads {
                            let grouping = points.group(groups, seed).unwrap();
                            let (found, best) = (grouping.inertia, least(points.gram(), groups));
                            assert_eq!(grouping.groups(), groups);
                            assert!(found <= best + 1e-9 * gram.norm2(0), "{heads} {groups} {metric}: {found} {best}");
                            assert!(points.group_thoroughly(groups, seed).unwrap().inertia <= found + 1e-9);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn inertia_is_that_of_the_raw_vectors() {
        for seed in 0..20 {
            let vectors = testing::vectors(12, 40, 4, 0.5, seed);
            let gram = testing::gram(&vectors);
            for groups in 1..=12 {
                let grouping = Points::new(&gram, Metric::Euclidean).group(groups, 3).unwrap();
                let raw = testing::inertia(&vectors, &grouping.labels);
                assert!((grouping.inertia - raw).abs() <= 1e-10 * gram.norm2(0), "{} {raw}", grouping.inertia);
            }
        }
    }

    #[test]
    fn groups_are_named_by_their_lowest_head_whatever_the_seed() {
        let mut labels = [4, 4, 1, 0, 1];
        canonical(&mut labels);
        assert_eq!(labels, [0, 0, 1, 2, 1]);
        for seed in 0..10 {
            let gram = testing::gram(&testing::vectors(16, 32, 4, 0.2, seed));
            let points = Points::new(&gram, Metric::Euclidean);
            let groupings: Vec<_> = (0..5).map(|s| points.group(4, s).unwrap().labels).collect();
            assert!(groupings.iter().all(|g| *g == groupings[0]), "{groupings:?}");
            assert_eq!(groupings[0][0], 0);
        }
    }

    #[test]
    fn a_head_without_signal_is_alone_and_reported() {
        let mut vectors = testing::vectors(6, 8, 2, 0.1, 1);
        vectors[2] = vec![0.0; 8];
        vectors[5] = vec![0.0; 8];
        let gram = testing::gram(&vectors);
        for metric in [Metric::Euclidean, Metric::Cosine] {
            let points = Points::new(&gram, metric);
            let grouping = points.group(2, 0).unwrap();
            assert_eq!(grouping.dead, [2, 5]);
            assert_eq!((grouping.groups(), grouping.live_groups()), (4, 2));
            for dead in [2, 5] {
                assert_eq!(grouping.labels.iter().filter(|c| **c == grouping.labels[dead]).count(), 1);
            }
            assert!(grouping.inertia.is_finite());
            assert_eq!(grouping.live_members().concat().len(), 4);
            // More groups than live heads: all alone.
            assert_eq!(points.group(6, 0).unwrap().labels, [0, 1, 2, 3, 4, 5]);
        }
        let silent = Gram::zeros(3);
        let grouping = Points::new(&silent, Metric::Cosine).group(2, 0).unwrap();
        assert_eq!((grouping.labels, grouping.inertia), (vec![0, 1, 2], 0.0));
    }

    #[test]
    fn a_cut_hierarchy_groups_as_its_dendrogram_says() {
        for seed in 0..6 {
            let mut vectors = testing::vectors(9, 12, 3, 0.6, seed);
            vectors[4] = vec![0.0; 12];
            let gram = testing::gram(&vectors);
            for metric in [Metric::Euclidean, Metric::Cosine] {
                let points = Points::new(&gram, metric).by(Clustering::AverageLinkage);
                for groups in 1..=8 {
                    // Plain average linkage of the live vectors, stopped at the number wanted.
                    let live: Vec<usize> = (0..9).filter(|h| *h != 4).collect();
                    let unit = |h: usize| -> Vec<f64> {
                        let norm = testing::dot(&vectors[h], &vectors[h]).sqrt();
                        vectors[h].iter().map(|x| if metric == Metric::Cosine { x / norm } else { *x }).collect()
                    };
                    let mut clusters: Vec<Vec<usize>> = live.iter().map(|h| vec![*h]).collect();
                    while clusters.len() > groups {
                        let mean = |a: &[usize], b: &[usize]| {
                            let pairs =
                                a.iter().flat_map(|i| b.iter().map(|j| testing::distance(&unit(*i), &unit(*j))));
                            pairs.sum::<f64>() / (a.len() * b.len()) as f64
                        };
                        let pairs = (0..clusters.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
                        let (a, b) = pairs
                            .min_by(|x, y| {
                                let of = |p: &(usize, usize)| mean(&clusters[p.0], &clusters[p.1]);
                                of(x).total_cmp(&of(y))
                            })
                            .unwrap();
                        let joined = clusters.remove(b);
                        clusters[a].extend(joined);
                    }
                    let grouping = points.group(groups, 0).unwrap();
                    let mut members = grouping.live_members();
                    clusters.iter_mut().for_each(|c| c.sort_unstable());
                    clusters.sort();
                    members.sort();
                    assert_eq!(members, clusters, "{metric} {groups}");
                    assert_eq!(grouping.dead, [4]);
                }
            }
        }
    }

    #[test]
    fn impossible_numbers_are_refused_and_auto_finds_planted_groups() {
        let gram = testing::gram(&testing::vectors(4, 8, 4, 1.0, 1));
        let points = Points::new(&gram, Metric::Euclidean);
        assert!(points.group(0, 0).is_err());
        assert!(points.group(5, 0).unwrap_err().to_string().contains("4 heads cannot form 5 groups"));
        // Three far centers, heads round-robin.
        let mut rng = testing::rng(5);
        for heads in [9, 12, 20] {
            let vectors: testing::Vectors = (0..heads)
                .map(|h| (0..6).map(|k| if k == h % 3 { 50.0 } else { testing::normal(&mut rng) }).collect())
                .collect();
            let gram = testing::gram(&vectors);
            let points = Points::new(&gram, Metric::Euclidean);
            let expected: Vec<usize> = (0..heads).map(|h| h % 3).collect();
            assert_eq!(points.group_auto(0).unwrap().labels, expected);
        }
        let pair = testing::gram(&testing::vectors(2, 8, 2, 1.0, 1));
        assert_eq!(Points::new(&pair, Metric::Euclidean).group_auto(0).unwrap().labels, [0, 1]);
    }
}
