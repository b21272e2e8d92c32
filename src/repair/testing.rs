//! Features of tokens in the open, and the plainest least squares over them.

use faer::Mat;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::dense::product;
use super::sweep::Sweep;
use crate::analysis::{SecondMoment, SiteMoments, Symmetric};

/// One layer: outputs of its heads at every token and its output projection.
pub(super) struct TestSite {
    pub heads: usize,
    pub dim: usize,
    pub with_bias: bool,
    /// Of shape `[tokens, H d]`.
    pub outputs: Mat<f64>,
    /// Of shape `[H d, m]`.
    pub weight: Mat<f64>,
}

impl TestSite {
    /// Outputs that depend on each other, about a mean that is not zero.
    pub(super) fn new(heads: usize, dim: usize, with_bias: bool, seed: u64) -> Self {
        let mut rng = Xoshiro256Plus::seed_from_u64(seed);
        let mut normal = move || (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0;
        let (width, tokens) = (heads * dim, 160);
        let sources = Mat::from_fn(tokens, width / 2 + 1, |_, _| normal());
        let mixing = Mat::from_fn(width / 2 + 1, width, |_, _| normal());
        let means: Vec<f64> = (0..width).map(|k| (k % 3) as f64).collect();
        let mixed = product(sources.as_ref(), mixing.as_ref());
        let outputs = Mat::from_fn(tokens, width, |t, k| mixed[(t, k)] + 0.5 * normal() + means[k]);
        let weight = Mat::from_fn(width, width + 1, |_, _| normal());
        Self { heads, dim, with_bias, outputs, weight }
    }

    /// As an analysis keeps it: even and odd tokens for halves.
    pub(super) fn moments(&self) -> SiteMoments {
        let width = self.heads * self.dim;
        let half = |odd: usize| {
            let rows: Vec<usize> = (0..self.outputs.nrows()).filter(|t| t % 2 == odd).collect();
            let entry = |i: usize, j: usize| rows.iter().map(|t| self.outputs[(*t, i)] * self.outputs[(*t, j)]).sum();
            SecondMoment {
                tokens: rows.len() as u64,
                sum: (0..width).map(|k| rows.iter().map(|t| self.outputs[(*t, k)]).sum()).collect(),
                square: symmetric(width, entry),
            }
        };
        let products = product(self.weight.as_ref(), self.weight.transpose());
        SiteMoments {
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: self.dim,
            stored_layer: 0,
            output_bias: self.with_bias,
            halves: [half(0), half(1)],
            output: symmetric(width, |i, j| products[(i, j)]),
            sensitivity: None,
        }
    }

    pub(super) fn sweep(&self) -> Sweep {
        let x = self.centered(&self.outputs);
        let a = product(x.transpose(), x.as_ref()) * faer::Scale(1.0 / self.outputs.nrows() as f64);
        Sweep::new(&a, product(self.weight.as_ref(), self.weight.transpose()), self.dim, 0.0).unwrap()
    }

    /// Without the mean, where there is a bias to say it.
    fn centered(&self, x: &Mat<f64>) -> Mat<f64> {
        let n = x.nrows() as f64;
        let mean = |j: usize| if self.with_bias { (0..x.nrows()).map(|t| x[(t, j)]).sum::<f64>() / n } else { 0.0 };
        let means: Vec<f64> = (0..x.ncols()).map(mean).collect();
        Mat::from_fn(x.nrows(), x.ncols(), |t, j| x[(t, j)] - means[j])
    }

    pub(super) fn columns(&self, heads: &[usize]) -> Vec<usize> {
        heads.iter().flat_map(|h| h * self.dim..(h + 1) * self.dim).collect()
    }

    /// Mean squared error of the branch, least squares over the features of the kept heads by a QR factorization.
    pub(super) fn error(&self, kept: &[usize]) -> f64 {
        let y = self.centered(&product(self.outputs.as_ref(), self.weight.as_ref()));
        let columns = self.columns(kept);
        let all = self.centered(&self.outputs);
        let x = Mat::from_fn(all.nrows(), columns.len(), |t, j| all[(t, columns[j])]);
        let left = if columns.is_empty() {
            y
        } else {
            use faer::linalg::solvers::SolveLstsq;
            let fit = x.qr().solve_lstsq(&y);
            &y - product(x.as_ref(), fit.as_ref())
        };
        left.squared_norm_l2() / self.outputs.nrows() as f64
    }

    /// Mean square of what the branch adds.
    pub(super) fn power(&self) -> f64 {
        self.error(&[])
    }
}

pub(super) fn symmetric(dim: usize, entry: impl Fn(usize, usize) -> f64) -> Symmetric {
    let packed = (0..dim).flat_map(|i| (i..dim).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect();
    Symmetric::from_packed(dim, packed).unwrap()
}

/// Every set of heads that leaves each key/value head that stays with equally many query heads; not the empty one.
pub(super) fn legal_sets(heads: usize, kv_heads: usize) -> Vec<Vec<usize>> {
    let per_kv = heads / kv_heads;
    let sets = (1..1usize << heads).map(|bits| (0..heads).filter(|h| bits >> h & 1 == 1).collect::<Vec<_>>());
    let even = |set: &Vec<usize>| {
        let mut counts = vec![0; kv_heads];
        set.iter().for_each(|h| counts[h / per_kv] += 1);
        counts.retain(|c| *c > 0);
        counts.windows(2).all(|w| w[0] == w[1])
    };
    sets.filter(even).collect()
}
