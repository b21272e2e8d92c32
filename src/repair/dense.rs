//! Dense matrices in f64: the few operations that least squares need, over faer. Products and solutions are cut into
//! columns of a fixed number, which any thread takes, so that results do not depend on how many there are.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Llt, Solve};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

use crate::analysis::Symmetric;
use crate::error::{Error, Result};

/// Columns that one thread takes at a time.
const COLUMNS: usize = 128;

/// The full matrix `scale S`.
pub(super) fn dense(symmetric: &Symmetric, scale: f64) -> Mat<f64> {
    let dim = symmetric.dim();
    Mat::from_fn(dim, dim, |i, j| scale * symmetric.get(i, j))
}

/// The rows and columns named of a symmetric matrix.
pub(super) fn part(symmetric: &Symmetric, rows: &[usize], columns: &[usize]) -> Mat<f64> {
    Mat::from_fn(rows.len(), columns.len(), |i, j| symmetric.get(rows[i], columns[j]))
}

/// The rows and columns named.
pub(super) fn block(a: MatRef<'_, f64>, rows: &[usize], columns: &[usize]) -> Mat<f64> {
    Mat::from_fn(rows.len(), columns.len(), |i, j| a[(rows[i], columns[j])])
}

/// The rows named, all columns.
pub(super) fn rows(a: MatRef<'_, f64>, rows: &[usize]) -> Mat<f64> {
    Mat::from_fn(rows.len(), a.ncols(), |i, j| a[(rows[i], j)])
}

/// `sum over i, j of a_ij b_ij`, which is `tr(a^T b)`.
pub(super) fn inner(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    (0..a.ncols()).map(|j| (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>()).sum()
}

/// Parts of a matrix of [`COLUMNS`] columns side by side.
fn parts(a: MatMut<'_, f64>) -> Vec<MatMut<'_, f64>> {
    let (mut found, mut rest) = (Vec::new(), Some(a));
    while let Some(left) = rest.take() {
        if left.ncols() <= COLUMNS {
            found.push(left);
        } else {
            let (part, more) = left.split_at_col_mut(COLUMNS);
            found.push(part);
            rest = Some(more);
        }
    }
    found
}

/// The matrix product `a b`.
pub(super) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(a.nrows(), b.ncols());
    parts(result.as_mut()).into_par_iter().enumerate().for_each(|(index, part)| {
        let right = b.subcols(index * COLUMNS, part.ncols());
        matmul(part, Accum::Replace, a, right, 1.0, Par::Seq);
    });
    result
}

/// Adds `a^T b` to `sum`.
pub(super) fn add_products(sum: &mut Mat<f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    parts(sum.as_mut()).into_par_iter().enumerate().for_each(|(index, part)| {
        let right = b.subcols(index * COLUMNS, part.ncols());
        matmul(part, Accum::Add, a.transpose(), right, 1.0, Par::Seq);
    });
}

/// Adds `a^T a` to `sum`, of which what lies above the diagonal is left to [`mirror`].
pub(super) fn add_square(sum: &mut Mat<f64>, a: MatRef<'_, f64>) {
    parts(sum.as_mut()).into_par_iter().enumerate().for_each(|(index, part)| {
        let first = index * COLUMNS;
        let right = a.subcols(first, part.ncols());
        let (_, below) = part.split_at_row_mut(first);
        matmul(below, Accum::Add, a.subcols(first, a.ncols() - first).transpose(), right, 1.0, Par::Seq);
    });
}

/// Writes what lies below the diagonal above it too.
pub(super) fn mirror(symmetric: &mut Mat<f64>) {
    for j in 1..symmetric.ncols() {
        for i in 0..j {
            symmetric[(i, j)] = symmetric[(j, i)];
        }
    }
}

/// A positive definite matrix, factored.
pub(super) struct Factor(Llt<f64>);

impl Factor {
    /// Cholesky's factor of `a`.
    ///
    /// # Errors
    ///
    /// `a` is not positive definite: with a ridge above rounding that means it holds numbers that are not finite.
    pub(super) fn new(a: MatRef<'_, f64>) -> Result<Self> {
        let factor = a.llt(Side::Lower);
        factor.map(Self).map_err(|_| Error::new("second moments are not positive definite").hint("give a larger ridge"))
    }

    /// Solves for `a^-1 b`.
    pub(super) fn solve(&self, mut b: Mat<f64>) -> Mat<f64> {
        parts(b.as_mut()).into_par_iter().for_each(|part| self.0.solve_in_place(part));
        b
    }

    /// The inverse `a^-1` in full.
    pub(super) fn inverse(&self) -> Mat<f64> {
        self.0.inverse()
    }
}
