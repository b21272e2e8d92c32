//! Eigenvalues and eigenvectors of small symmetric matrices.

use faer::{Mat, Side};

/// The decomposition `A = U diag(values) U^T` of a symmetric matrix.
pub(super) struct SymmetricEigen {
    /// Eigenvalues in ascending order.
    pub values: Vec<f64>,
    /// Column `k` belongs to value `k`; columns are orthonormal.
    pub vectors: Mat<f64>,
}

impl SymmetricEigen {
    /// Decomposes the `n x n` matrix with the entries `entry(i, j)`, of which only those with `j <= i` are read. They
    /// must be finite, as those of a [`Gram`](super::Gram) are.
    pub(super) fn new(n: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let matrix = Mat::from_fn(n, n, |i, j| if j <= i { entry(i, j) } else { entry(j, i) });
        match matrix.self_adjoint_eigen(Side::Lower) {
            Ok(found) => {
                Self { values: found.S().column_vector().iter().copied().collect(), vectors: found.U().cloned() }
            }
            Err(_) => unreachable!("QR iteration on a finite symmetric matrix converges"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_put_together_again() {
        let entry = |i: usize, j: usize| ((i * j + i + j) % 7) as f64 - 2.0 + if i == j { 5.0 } else { 0.0 };
        let n = 9;
        let found = SymmetricEigen::new(n, entry);
        assert!(found.values.is_sorted());
        for i in 0..n {
            for j in 0..=i {
                let sum: f64 = (0..n).map(|k| found.vectors[(i, k)] * found.values[k] * found.vectors[(j, k)]).sum();
                assert!((sum - entry(i, j)).abs() < 1e-12, "{i} {j}: {sum}");
            }
        }
    }
}
