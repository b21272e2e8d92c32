//! Random features and independent recomputation from raw vectors, for the tests of this room.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::Gram;

/// Raw vectors, one per head.
pub(super) type Vectors = Vec<Vec<f64>>;

pub(super) fn rng(seed: u64) -> Xoshiro256Plus {
    Xoshiro256Plus::seed_from_u64(seed)
}

/// Nearly normal numbers (sum of uniforms).
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0
}

/// `heads` vectors of `width` around `centers` random centers, `spread` wide.
pub(super) fn vectors(heads: usize, width: usize, centers: usize, spread: f64, seed: u64) -> Vectors {
    let mut rng = rng(seed);
    let centers: Vectors = (0..centers).map(|_| (0..width).map(|_| normal(&mut rng)).collect()).collect();
    (0..heads)
        .map(|_| {
            let center = centers[rng.gen_range(0..centers.len())].clone();
            center.into_iter().map(|c| c + spread * normal(&mut rng)).collect()
        })
        .collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

pub(super) fn gram(vectors: &Vectors) -> Gram {
    let values = vectors.iter().flat_map(|a| vectors.iter().map(|b| dot(a, b))).collect();
    Gram::from_rows(vectors.len(), values).unwrap()
}

/// Mean of some vectors.
pub(super) fn mean(vectors: &Vectors, members: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors[0].len()];
    for m in members {
        for (s, x) in sum.iter_mut().zip(&vectors[*m]) {
            *s += x;
        }
    }
    sum.iter().map(|s| s / members.len() as f64).collect()
}

/// Members of every group.
pub(super) fn members(labels: &[usize]) -> Vec<Vec<usize>> {
    let groups = labels.iter().max().unwrap() + 1;
    (0..groups).map(|c| (0..labels.len()).filter(|h| labels[*h] == c).collect()).collect()
}

/// Within-group sum of squares from the vectors.
pub(super) fn inertia(vectors: &Vectors, labels: &[usize]) -> f64 {
    members(labels)
        .iter()
        .map(|group| {
            let center = mean(vectors, group);
            group.iter().map(|h| distance(&vectors[*h], &center).powi(2)).sum::<f64>()
        })
        .sum()
}

/// Calls `see` with the canonical labels of every partition of `heads` heads into `groups` groups.
pub(super) fn each_partition(heads: usize, groups: usize, see: &mut impl FnMut(&[usize])) {
    fn extend(labels: &mut Vec<usize>, used: usize, heads: usize, groups: usize, see: &mut impl FnMut(&[usize])) {
        let left = heads - labels.len();
        if used + left < groups {
            return;
        }
        if left == 0 {
            see(labels);
            return;
        }
        for label in 0..(used + 1).min(groups) {
            labels.push(label);
            extend(labels, used.max(label + 1), heads, groups, see);
            labels.pop();
        }
    }
    extend(&mut Vec::new(), 0, heads, groups, see);
}
