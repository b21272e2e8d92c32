//! Least squares from sums alone: `y` of width `m` from `x` of width `k`, both seen once and not kept.

use std::sync::Arc;

use faer::{Mat, MatRef};

use super::dense::{Factor, inner, product};
use crate::analysis::Symmetric;
use crate::error::{Error, Result};

/// Sums over tokens of regressors `x [k]` and targets `y [m]`.
#[derive(Clone, Debug)]
pub(super) struct Regression<'a> {
    /// What divides the sums: tokens, each as often as it counts.
    pub tokens: f64,
    /// How many tokens, however much each counts.
    pub positions: u64,
    /// Whether a constant is fitted too.
    pub with_bias: bool,
    /// The sum of regressors `x`.
    pub x: Vec<f64>,
    /// The sum of targets `y`.
    pub y: Vec<f64>,
    /// `sum x x^T`, `[k, k]`.
    pub xx: Mat<f64>,
    /// `sum x y^T`, `[k, m]`.
    pub xy: Mat<f64>,
    /// The sum of `|y|^2` over positions.
    pub yy: f64,
    /// Where `y` are outputs of heads: what a branch makes of them. Every `|y|^2` is then that of the branch.
    pub branch: Option<RegressedHeads<'a>>,
}

/// A branch that adds `o W` of the outputs `o` of all its heads, when those of some are regressed on the others': an error
/// `e` of theirs is one of `e W`, whose square needs no more than `W W^T`.
#[derive(Clone, Debug)]
pub(super) struct RegressedHeads<'a> {
    /// `W W^T` of all heads, `[D, D]`.
    pub products: &'a Symmetric,
    /// The same of those that are regressed, `[m, m]`.
    pub metric: Arc<Mat<f64>>,
    /// The sum of outputs of all heads, `[D]`.
    pub sum: Vec<f64>,
    /// The sum of squares of what all heads add.
    pub square: f64,
}

/// `y = x W + b`.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// Of shape `[k, m]`.
    pub weight: Mat<f64>,
    /// `[m]`, zeros where none is fitted.
    pub bias: Vec<f64>,
}

impl Regression<'_> {
    /// Adds the sums over further tokens of the same regressors and targets.
    pub(super) fn add(&mut self, other: &Regression<'_>) {
        let add = |sums: &mut [f64], more: &[f64]| sums.iter_mut().zip(more).for_each(|(s, x)| *s += x);
        self.tokens += other.tokens;
        self.positions += other.positions;
        add(&mut self.x, &other.x);
        add(&mut self.y, &other.y);
        self.xx += &other.xx;
        self.xy += &other.xy;
        self.yy += other.yy;
        if let (Some(own), Some(more)) = (&mut self.branch, &other.branch) {
            add(&mut own.sum, &more.sum);
            own.square += more.square;
        }
    }

    /// `(C_xx, C_xy)`: covariances where a constant is fitted, else mean products.
    pub(super) fn moments(&self) -> (Mat<f64>, Mat<f64>) {
        let n = self.tokens.max(1.0);
        let square = if self.with_bias { n * n } else { f64::INFINITY };
        let (k, m) = (self.xx.nrows(), self.xy.ncols());
        let centered = |sum: f64, a: f64, b: f64| sum / n - a * b / square;
        (
            Mat::from_fn(k, k, |i, j| centered(self.xx[(i, j)], self.x[i], self.x[j])),
            Mat::from_fn(k, m, |i, j| centered(self.xy[(i, j)], self.x[i], self.y[j])),
        )
    }

    /// Mean of `|y|^2`, or of what the whole branch adds, about its mean where a constant is fitted: the error of saying
    /// nothing.
    pub(super) fn power(&self) -> f64 {
        let n = self.tokens.max(1.0);
        let (square, mean) = match &self.branch {
            Some(branch) => (branch.square, branch.products.form(&branch.sum)),
            None => (self.yy, self.y.iter().map(|y| y.powi(2)).sum()),
        };
        square / n - if self.with_bias { mean / (n * n) } else { 0.0 }
    }

    /// The least squares, pulled towards `prior [k, m]` by `ridge` times the mean diagonal of `C_xx`.
    pub(super) fn solve(&self, ridge: f64, prior: &Mat<f64>) -> Result<Fit> {
        let (mut xx, mut xy) = self.moments();
        let pull = pull(&xx, ridge);
        for i in 0..xx.nrows() {
            xx[(i, i)] += pull;
        }
        for j in 0..xy.ncols() {
            for i in 0..xy.nrows() {
                xy[(i, j)] += pull * prior[(i, j)];
            }
        }
        let weight = if xx.nrows() == 0 { xy } else { Factor::new(xx.as_ref())?.solve(xy) };
        Ok(self.with_constant(weight))
    }

    /// `weight` with the constant that goes with it.
    pub(super) fn with_constant(&self, weight: Mat<f64>) -> Fit {
        let n = self.tokens.max(1.0);
        let said = |j: usize| (0..self.x.len()).map(|i| self.x[i] * weight[(i, j)]).sum::<f64>();
        let constant = |j: usize| if self.with_bias { (self.y[j] - said(j)) / n } else { 0.0 };
        let bias = (0..weight.ncols()).map(constant).collect();
        Fit { weight, bias }
    }

    /// Mean over the tokens of `|y - x W - b|^2`, whatever `fit` was fitted on.
    pub(super) fn error(&self, fit: &Fit) -> f64 {
        let n = self.tokens.max(1.0);
        let Fit { weight, bias } = fit;
        let weighed = self.weighed(weight.as_ref());
        let spread = inner(weighed.as_ref(), product(self.xx.as_ref(), weight.as_ref()).as_ref());
        let shared = inner(weighed.as_ref(), self.xy.as_ref());
        let constants = Mat::from_fn(1, bias.len(), |_, j| bias[j]);
        let weighed = self.weighed(constants.as_ref());
        let mut constant = 0.0;
        for (j, b) in bias.iter().enumerate().filter(|(j, _)| weighed[(0, *j)] != 0.0) {
            let said: f64 = (0..self.x.len()).map(|i| self.x[i] * weight[(i, j)]).sum();
            constant += weighed[(0, j)] * (n * b - 2.0 * self.y[j] + 2.0 * said);
        }
        ((self.yy - 2.0 * shared + spread + constant) / n).max(0.0)
    }

    /// `rows [k, m]` times the metric of the targets: products with it are those of what the branch makes of `rows`.
    fn weighed(&self, rows: MatRef<'_, f64>) -> Mat<f64> {
        match &self.branch {
            Some(branch) => product(rows, branch.metric.as_ref().as_ref()),
            None => rows.to_owned(),
        }
    }
}

/// `(X^T X + ridge I)^-1 X^T Y`, `[k, m]` row by row, from `X^T X [k, k]` and `X^T Y [k, m]`, row by row too; `ridge` is a
/// share of the mean diagonal.
pub(crate) fn least_squares(xx: &[f64], xy: &[f64], k: usize, ridge: f64) -> Result<Vec<f64>> {
    let m = xy.len().checked_div(k).unwrap_or(0);
    if xx.len() != k * k || xy.len() != k * m {
        return Err(Error::new(format!("{} products are not those of {k} regressors", xx.len())));
    }
    let mut square = Mat::from_fn(k, k, |i, j| xx[i * k + j]);
    let pull = pull(&square, ridge);
    for i in 0..k {
        square[(i, i)] += pull;
    }
    let weight = Factor::new(square.as_ref())?.solve(Mat::from_fn(k, m, |i, j| xy[i * m + j]));
    Ok((0..k).flat_map(|i| (0..m).map(move |j| (i, j))).map(|at| weight[at]).collect())
}

/// `ridge` times the mean diagonal; never less than what rounding needs.
pub(super) fn pull(xx: &Mat<f64>, ridge: f64) -> f64 {
    let mean = (0..xx.nrows()).map(|i| xx[(i, i)]).sum::<f64>() / xx.nrows() as f64;
    // Where nothing varies at all the prior stays.
    if mean > 0.0 { ridge.max(1e-12) * mean } else { 1.0 }
}
