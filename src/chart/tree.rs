//! Trees of likeness in which every group is one branch.

/// One join of a tree. Leaves are `0..n`, join `i` makes node `n + i`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// The node drawn first.
    pub left: usize,
    /// The node drawn second.
    pub right: usize,
    /// Mean distance between the leaves of both, but never less than at the joins below it.
    pub height: f64,
}

/// A tree over `n` leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// `n - 1` joins; a join comes after those of its parts.
    pub joins: Vec<Join>,
    /// Leaves from left to right, so that no branches cross.
    pub order: Vec<usize>,
    /// Joins that are drawn higher than the mean distance of their leaves, since a join below them is higher: the groups are
    /// not the branches that likeness alone would make.
    pub raised: usize,
}

impl Tree {
    /// Where the axis of heights begins: at 0, or little below the lowest join where all of them lie high, which would
    /// make them one line.
    pub fn foot(&self) -> f64 {
        let heights = || self.joins.iter().map(|j| j.height);
        let (low, high) = heights().fold((f64::INFINITY, 0.0f64), |(low, high), h| (low.min(h), high.max(h)));
        if low > 0.5 * high && low < high { low - 0.35 * (high - low) } else { 0.0 }
    }

    /// What must be said of joins that are not where likeness alone would put them.
    pub fn caution(&self) -> Option<String> {
        let joins = crate::words::counted(self.raised, "joins");
        let stand = if self.raised == 1 { "stands" } else { "stand" };
        let text = format!(
            "Heads of a group are joined first: {joins} of the tree {stand} higher than the distance alone would put them."
        );
        (self.raised > 0).then_some(text)
    }
}

/// Average linkage (UPGMA), first inside each group until it is one branch, then of the groups. The group with the
/// lowest leaf stands first. A distance that is missing counts as the largest.
pub fn grouped(groups: &[usize], distance: impl Fn(usize, usize) -> f64) -> Tree {
    let n = groups.len();
    let pairs = || (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
    let far = pairs().map(|(i, j)| distance(i, j)).filter(|d| d.is_finite()).fold(0.0, f64::max);
    let between = |i: usize, j: usize| {
        let d = distance(i, j);
        if d.is_finite() { d.max(0.0) } else { far }
    };
    let mut clusters: Vec<Cluster> = groups
        .iter()
        .enumerate()
        .map(|(leaf, group)| Cluster { node: leaf, leaves: vec![leaf], group: Some(*group), height: 0.0 })
        .collect();
    // Means between clusters, kept up to date by the Lance-Williams rule of average linkage.
    let mut means: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| between(i, j)).collect()).collect();
    let mut joins = Vec::with_capacity(n.saturating_sub(1));
    let mut raised = 0;
    for within in [true, false] {
        if !within {
            clusters.iter_mut().for_each(|c| c.group = None);
        }
        while let Some((i, j)) = closest(&clusters, &means) {
            let (a, b) = (&clusters[i], &clusters[j]);
            let (na, nb) = (a.leaves.len() as f64, b.leaves.len() as f64);
            let height = means[i][j].max(a.height).max(b.height);
            raised += usize::from(height > means[i][j] * (1.0 + 1e-9));
            let (left, right) = if a.leaves.iter().min() <= b.leaves.iter().min() { (a, b) } else { (b, a) };
            joins.push(Join { left: left.node, right: right.node, height });
            let leaves = left.leaves.iter().chain(&right.leaves).copied().collect();
            let joined = Cluster { node: n + joins.len() - 1, leaves, group: a.group, height };
            for k in 0..clusters.len() {
                let mean = (na * means[i][k] + nb * means[j][k]) / (na + nb);
                (means[i][k], means[k][i]) = (mean, mean);
            }
            clusters[i] = joined;
            clusters.remove(j);
            means.remove(j);
            means.iter_mut().for_each(|row| {
                row.remove(j);
            });
        }
    }
    Tree { joins, order: clusters.pop().map(|c| c.leaves).unwrap_or_default(), raised }
}

struct Cluster {
    node: usize,
    leaves: Vec<usize>,
    /// Only clusters of one group may join; `None` joins with every other `None`.
    group: Option<usize>,
    height: f64,
}

/// The pair `i < j` that may join and is closest; the first of equals.
fn closest(clusters: &[Cluster], means: &[Vec<f64>]) -> Option<(usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for i in 0..clusters.len() {
        for j in i + 1..clusters.len() {
            if clusters[i].group == clusters[j].group && best.is_none_or(|(d, ..)| means[i][j] < d) {
                best = Some((means[i][j], i, j));
            }
        }
    }
    best.map(|(_, i, j)| (i, j))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line far from evenly spaced.
    fn place(i: usize) -> f64 {
        let x = (i * 37 % 101) as f64;
        x + x * x / 90.0
    }

    fn apart(i: usize, j: usize) -> f64 {
        (place(i) - place(j)).abs()
    }

    #[test]
    fn one_group_is_plain_average_linkage() {
        let n = 14;
        let tree = grouped(&vec![0; n], apart);
        let mut condensed: Vec<f64> = (0..n).flat_map(|i| (i + 1..n).map(move |j| apart(i, j))).collect();
        let reference = kodama::linkage(&mut condensed, n, kodama::Method::Average);
        for (join, step) in tree.joins.iter().zip(reference.steps()) {
            assert!((join.height - step.dissimilarity).abs() < 1e-9, "{} {}", join.height, step.dissimilarity);
        }
        assert_eq!((tree.joins.len(), tree.raised), (n - 1, 0));
    }

    #[test]
    fn joins_that_groups_force_upwards_are_counted() {
        // Heads 0 and 3 are one group though 1 and 2 lie between them: these join below, at the height of that group.
        let line = |i: usize, j: usize| (i as f64 - j as f64).abs();
        let tree = grouped(&[0, 1, 1, 0], line);
        let heights: Vec<f64> = tree.joins.iter().map(|j| j.height).collect();
        assert_eq!((heights, tree.raised), (vec![1.0, 3.0, 3.0], 1));
        assert_eq!(grouped(&[0, 0, 1, 1], line).raised, 0);
    }

    #[test]
    fn groups_are_branches_and_the_order_never_crosses() {
        let groups = [0, 1, 0, 2, 1, 1, 2, 0, 3, 2];
        let tree = grouped(&groups, apart);
        let mut sorted = tree.order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        let mut runs: Vec<usize> = tree.order.iter().map(|leaf| groups[*leaf]).collect();
        runs.dedup();
        assert_eq!(runs.len(), 4, "every group is one run: {runs:?}");
        // The leaves under each join are neighbors, and no join is lower than its parts.
        let n = groups.len();
        let mut leaves: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
        let mut heights = vec![0.0; n];
        for join in &tree.joins {
            let both = [leaves[join.left].clone(), leaves[join.right].clone()].concat();
            let places: Vec<usize> = both.iter().map(|l| tree.order.iter().position(|o| o == l).unwrap()).collect();
            let (low, high) = (places.iter().min().unwrap(), places.iter().max().unwrap());
            assert_eq!(high - low + 1, both.len());
            assert!(join.height >= heights[join.left] && join.height >= heights[join.right]);
            leaves.push(both);
            heights.push(join.height);
        }
    }

    #[test]
    fn missing_distances_and_tiny_trees() {
        assert_eq!(grouped(&[], apart), Tree::default());
        assert_eq!(grouped(&[0], apart).order, [0]);
        let tree = grouped(&[0, 0, 0], |i, j| if i.max(j) == 2 { f64::NAN } else { 4.0 });
        assert_eq!(tree.joins.last().unwrap().height, 4.0);
    }
}
