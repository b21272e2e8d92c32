//! Starts of the search for a partition.

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::Gram;
use super::eigen::SymmetricEigen;

/// The generator of all seeded choices in this room.
pub(crate) fn rng(seed: u64) -> Xoshiro256Plus {
    Xoshiro256Plus::seed_from_u64(seed)
}

/// Points `P` (`H x rank`, row-major rows) with `P P^T = G`: distances between rows are those between heads.
/// Negative eigenvalues are round-off and become 0.
pub fn factor(gram: &Gram) -> Array2<f64> {
    let heads = gram.heads();
    let eigen = SymmetricEigen::new(heads, |i, j| gram.get(i, j));
    let largest = eigen.values.iter().copied().fold(0.0, f64::max);
    let floor = largest * heads as f64 * f64::EPSILON;
    let axes: Vec<usize> = (0..heads).filter(|k| eigen.values[*k] > floor).collect();
    Array2::from_shape_fn((heads, axes.len()), |(i, k)| eigen.vectors[(i, axes[k])] * eigen.values[axes[k]].sqrt())
}

/// One run of library k-means on the rows of [`factor`]; `None` where it gives up or leaves a group empty.
pub(super) fn library(rows: &Array2<f64>, groups: usize, seed: u64) -> Option<Vec<usize>> {
    let dataset = DatasetBase::from(rows.view());
    let fitted = KMeans::params_with_rng(groups, rng(seed))
        .n_runs(1)
        .max_n_iterations(100)
        .tolerance(1e-6)
        .init_method(KMeansInit::KMeansPlusPlus)
        .fit(&dataset)
        .ok()?;
    let labels = fitted.predict(rows).to_vec();
    let mut seen = vec![false; groups];
    for label in &labels {
        seen[*label] = true;
    }
    seen.iter().all(|s| *s).then_some(labels)
}

/// k-means++ (Arthur and Vassilvitskii 2007): centers are heads drawn by squared distance to the nearest center so
/// far, then every head joins its nearest. A center stays in its own group, so that none is empty.
pub(super) fn plus_plus(gram: &Gram, groups: usize, rng: &mut impl Rng) -> Vec<usize> {
    let heads = gram.heads();
    let mut nearest = vec![f64::INFINITY; heads];
    let mut labels = vec![0; heads];
    let mut is_center = vec![false; heads];
    for group in 0..groups {
        let center = if group == 0 { rng.gen_range(0..heads) } else { draw(&nearest, &is_center, rng) };
        is_center[center] = true;
        nearest[center] = 0.0;
        labels[center] = group;
        for h in 0..heads {
            let distance = gram.distance2(h, center);
            if !is_center[h] && distance < nearest[h] {
                nearest[h] = distance;
                labels[h] = group;
            }
        }
    }
    labels
}

/// Exchanges the groups of a few random pairs of heads, and moves one; no group becomes empty.
pub(super) fn kick(labels: &mut [usize], rng: &mut impl Rng) {
    let heads = labels.len();
    for _ in 0..(heads / 4).max(2) {
        labels.swap(rng.gen_range(0..heads), rng.gen_range(0..heads));
    }
    let (moved, other) = (rng.gen_range(0..heads), rng.gen_range(0..heads));
    if labels.iter().filter(|c| **c == labels[moved]).count() > 1 {
        labels[moved] = labels[other];
    }
}

/// An index with probability in proportion to its weight, never one already taken.
fn draw(weights: &[f64], taken: &[bool], rng: &mut impl Rng) -> usize {
    let total: f64 = weights.iter().sum();
    let mut left = rng.r#gen::<f64>() * total;
    let mut last = None;
    for (index, weight) in weights.iter().enumerate() {
        if taken[index] {
            continue;
        }
        last.get_or_insert(index);
        if *weight > 0.0 {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
    }
    // All that is left lies on a center (or rounding ate the rest): any free index is as good.
    last.unwrap_or(0)
}
