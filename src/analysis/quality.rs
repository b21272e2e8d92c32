//! How good a grouping is, from the Gram matrix alone.

use super::eigen::SymmetricEigen;
use super::partition::Partition;
use super::{Gram, canonical};

/// Distances between all pairs of heads.
#[derive(Clone, Debug)]
pub struct Distances {
    heads: usize,
    values: Vec<f64>,
}

impl Distances {
    /// `|x_i - x_j|` for every pair.
    pub fn new(gram: &Gram) -> Self {
        let heads = gram.heads();
        let values = (0..heads * heads).map(|k| gram.distance2(k / heads, k % heads).sqrt()).collect();
        Self { heads, values }
    }

    /// The number of heads compared.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Distance between two heads.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.heads + j]
    }

    /// Silhouette coefficient of every head (Rousseeuw 1987): `(b - a) / max(a, b)` with `a` the mean distance to
    /// the others of its group and `b` the least mean distance to another group. A head alone in its group has 0.
    /// `None` where there are fewer than two groups.
    pub fn silhouettes(&self, labels: &[usize]) -> Option<Vec<f64>> {
        let groups = labels.iter().max().map_or(0, |last| last + 1);
        if groups < 2 {
            return None;
        }
        let mut sizes = vec![0usize; groups];
        for label in labels {
            sizes[*label] += 1;
        }
        let mut sums = vec![0.0; groups];
        let coefficient = |i: usize| {
            let own = labels[i];
            if sizes[own] == 1 {
                return 0.0;
            }
            sums.fill(0.0);
            for (j, label) in labels.iter().enumerate() {
                sums[*label] += self.get(i, j);
            }
            let within = sums[own] / (sizes[own] - 1) as f64;
            let without = (0..groups)
                .filter(|c| *c != own && sizes[*c] > 0)
                .map(|c| sums[c] / sizes[c] as f64)
                .fold(f64::INFINITY, f64::min);
            let larger = within.max(without);
            if larger > 0.0 { (without - within) / larger } else { 0.0 }
        };
        Some((0..self.heads).map(coefficient).collect())
    }

    /// The mean of [`Distances::silhouettes`] over heads.
    pub fn mean_silhouette(&self, labels: &[usize]) -> Option<f64> {
        self.silhouettes(labels).map(|s| s.iter().sum::<f64>() / s.len() as f64)
    }

    /// Dunn index (1974): the least distance between heads of different groups by the largest within one.
    /// `None` where it is not defined: one group, or no group with a diameter.
    pub fn dunn(&self, labels: &[usize]) -> Option<f64> {
        let (mut between, mut within) = (f64::INFINITY, 0.0f64);
        for i in 0..self.heads {
            for j in 0..i {
                let distance = self.get(i, j);
                if labels[i] == labels[j] {
                    within = within.max(distance);
                } else {
                    between = between.min(distance);
                }
            }
        }
        (within > 0.0 && between.is_finite()).then(|| between / within)
    }
}

/// Distance of every head to the center of its group.
pub fn center_distances(gram: &Gram, labels: &[usize]) -> Vec<f64> {
    let mut names = labels.to_vec();
    canonical(&mut names);
    let partition = Partition::new(gram, names.clone());
    names.iter().enumerate().map(|(head, group)| partition.distance2(head, *group).sqrt()).collect()
}

/// Classical multidimensional scaling (Torgerson 1952) to two dimensions: the plane that keeps most of the
/// distances between heads. Each axis points so that its largest coordinate is positive.
pub fn plane(gram: &Gram) -> Vec<[f64; 2]> {
    let heads = gram.heads();
    let n = heads as f64;
    let means: Vec<f64> = (0..heads).map(|i| gram.row(i).iter().sum::<f64>() / n).collect();
    let grand = means.iter().sum::<f64>() / n;
    let eigen = SymmetricEigen::new(heads, |i, j| gram.get(i, j) - means[i] - means[j] + grand);
    let mut points = vec![[0.0; 2]; heads];
    for (axis, k) in (0..heads).rev().take(2).enumerate() {
        let length = eigen.values[k].max(0.0).sqrt();
        let column: Vec<f64> = (0..heads).map(|head| eigen.vectors[(head, k)]).collect();
        let largest = column.iter().copied().fold(0.0, |most: f64, v| if v.abs() > most.abs() { v } else { most });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        for (point, v) in points.iter_mut().zip(column) {
            point[axis] = sign * length * v;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::{Metric, Points};
    use super::*;

    #[test]
    fn silhouettes_are_rousseeuws_on_the_raw_vectors() {
        for seed in 0..10 {
            let vectors = testing::vectors(11, 20, 4, 0.6, seed);
            let gram = testing::gram(&vectors);
            let distances = Distances::new(&gram);
            for groups in 2..=11 {
                let labels = Points::new(&gram, Metric::Euclidean).group(groups, 0).unwrap().labels;
                let members = testing::members(&labels);
                let found = distances.silhouettes(&labels).unwrap();
                for i in 0..11 {
                    let mean = |group: &[usize], n: usize| {
                        group.iter().map(|j| testing::distance(&vectors[i], &vectors[*j])).sum::<f64>() / n as f64
                    };
                    let own = &members[labels[i]];
                    let expected = if own.len() == 1 {
                        0.0
                    } else {
                        let a = mean(own, own.len() - 1);
                        let others = members.iter().filter(|m| *m != own);
                        let b = others.map(|m| mean(m, m.len())).fold(f64::INFINITY, f64::min);
                        (b - a) / a.max(b)
                    };
                    assert!((found[i] - expected).abs() < 1e-9, "{} {expected}", found[i]);
                }
            }
            assert_eq!(distances.silhouettes(&[0; 11]), None);
        }
    }

    #[test]
    fn cosine_silhouettes_are_those_of_unit_vectors() {
        let vectors = testing::vectors(8, 20, 3, 0.4, 2);
        let gram = testing::gram(&vectors);
        let unit: testing::Vectors =
            vectors.iter().map(|v| v.iter().map(|x| x / testing::dot(v, v).sqrt()).collect()).collect();
        let labels = [0, 1, 1, 0, 2, 2, 0, 1];
        let found = Distances::new(Points::new(&gram, Metric::Cosine).gram()).silhouettes(&labels).unwrap();
        let expected = Distances::new(&testing::gram(&unit)).silhouettes(&labels).unwrap();
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9);
        }
    }

    #[test]
    fn distances_to_the_center_are_those_of_the_raw_vectors() {
        let vectors = testing::vectors(7, 20, 3, 0.4, 6);
        let labels = [5, 0, 5, 2, 0, 5, 2];
        let found = center_distances(&testing::gram(&vectors), &labels);
        for (head, found) in found.iter().enumerate() {
            let members: Vec<usize> = (0..7).filter(|h| labels[*h] == labels[head]).collect();
            let expected = testing::distance(&vectors[head], &testing::mean(&vectors, &members));
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn dunn_is_the_least_gap_by_the_largest_width_or_absent() {
        // On a line: groups {0, 1} and {4, 6}: gap 3, widths 1 and 2.
        let vectors: testing::Vectors = vec![vec![0.0], vec![4.0], vec![1.0], vec![6.0]];
        let distances = Distances::new(&testing::gram(&vectors));
        assert!((distances.dunn(&[0, 1, 0, 1]).unwrap() - 1.5).abs() < 1e-9);
        assert_eq!(distances.dunn(&[0, 1, 2, 3]), None);
        assert_eq!(distances.dunn(&[0, 0, 0, 0]), None);
        let copies = Distances::new(&testing::gram(&vec![vec![1.0], vec![1.0], vec![2.0]]));
        assert_eq!(copies.dunn(&[0, 0, 1]), None);
    }

    #[test]
    fn the_plane_keeps_the_distances_of_points_in_a_plane() {
        let vectors = testing::vectors(9, 2, 9, 1.0, 4);
        // Rotated into ten dimensions by repeating coordinates: still a plane.
        let wide: testing::Vectors =
            vectors.iter().map(|v| (0..10).map(|k| v[k % 2] / 5f64.sqrt() + k as f64).collect()).collect();
        let plane = plane(&testing::gram(&wide));
        for i in 0..9 {
            for j in 0..i {
                let found = testing::distance(&plane[i], &plane[j]);
                assert!((found - testing::distance(&vectors[i], &vectors[j])).abs() < 1e-6);
            }
        }
    }
}
