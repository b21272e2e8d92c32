//! What every head adds that no other head can say, and how that changes as heads go.
//!
//! With all heads present let `Q = A^-1`, where `A = C + lambda I`, and `V = W' F W'^T`, where `W'` are the rows that
//! the present heads need and `F` weighs the errors (the identity, or the second moment of the loss's gradient). The
//! least error after head `h` goes rises by
//!
//! ```text
//! rise_h = tr(W'_h^T (Q_hh)^-1 W'_h F) = <(Q_hh)^-1, V_hh>
//! ```
//!
//! exactly, and with `P = Q_:h (Q_hh)^-1` what is left is `Q - P Q_h:` and `(I - P E_h) V (I - P E_h)^T` without the
//! rows and columns of `h` (Frantar and Alistarh 2022; Kurtic et al. 2023).

use std::ops::Range;

use faer::Mat;

use super::dense::{Factor, block, inner, product};
use crate::error::Result;

/// The heads that are present, with `Q` and `V` of their outputs.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// Numbers of the heads, ascending; the matrices are in this order.
    heads: Vec<usize>,
    dim: usize,
    q: Mat<f64>,
    v: Mat<f64>,
    /// What can not be said so far.
    error: f64,
}

impl Sweep {
    /// All heads of width `dim`, from `A` and `V`; `error` is what cannot be said even by all of them.
    pub(super) fn new(a: &Mat<f64>, v: Mat<f64>, dim: usize, error: f64) -> Result<Self> {
        let heads = (0..a.nrows() / dim).collect();
        let q = if a.nrows() == 0 { a.clone() } else { Factor::new(a.as_ref())?.inverse() };
        Ok(Self { heads, dim, q, v, error })
    }

    /// The heads that are present.
    pub(super) fn heads(&self) -> &[usize] {
        &self.heads
    }

    /// The error with the heads that are present.
    pub(super) fn error(&self) -> f64 {
        self.error
    }

    /// Rows of the matrices.
    pub(super) fn width(&self) -> usize {
        self.q.nrows()
    }

    fn places(&self, heads: &[usize]) -> Vec<usize> {
        let range = |h: &usize| -> Range<usize> {
            match self.heads.binary_search(h) {
                Ok(at) => at * self.dim..(at + 1) * self.dim,
                Err(_) => unreachable!("only heads that are present are looked at"),
            }
        };
        heads.iter().flat_map(range).collect()
    }

    /// By how much the error rises when `heads`, which are present, go together.
    pub(super) fn rise(&self, heads: &[usize]) -> Result<f64> {
        let at = self.places(heads);
        let q = block(self.q.as_ref(), &at, &at);
        let v = block(self.v.as_ref(), &at, &at);
        Ok(inner(Factor::new(q.as_ref())?.inverse().as_ref(), v.as_ref()).max(0.0))
    }

    /// Takes `heads`, which are present, away.
    pub(super) fn remove(&mut self, heads: &[usize]) -> Result<()> {
        self.error += self.rise(heads)?;
        let gone = self.places(heads);
        self.heads.retain(|h| !heads.contains(h));
        let left: Vec<usize> = (0..self.q.nrows()).filter(|i| gone.binary_search(i).is_err()).collect();
        let q_across = block(self.q.as_ref(), &gone, &left);
        let q_gone = block(self.q.as_ref(), &gone, &gone);
        // P^T, [gone, left].
        let turned = Factor::new(q_gone.as_ref())?.solve(q_across.clone());
        let p = turned.transpose();
        let v_across = block(self.v.as_ref(), &gone, &left);
        let v_gone = block(self.v.as_ref(), &gone, &gone);
        let mut q = block(self.q.as_ref(), &left, &left);
        q -= product(p, q_across.as_ref());
        let mut v = block(self.v.as_ref(), &left, &left);
        // V - P V_h: - (P V_h:)^T + P V_hh P^T, in two products: half of the last goes with each of the others.
        let half = product(v_gone.as_ref(), turned.as_ref()) * faer::Scale(0.5);
        let side = product(p, (&v_across - &half).as_ref());
        v -= &side;
        v -= side.transpose();
        (self.q, self.v) = (q, v);
        Ok(())
    }
}

/// Calls `each` for every unit of `removed` with the heads left when all other units are gone: a unit of which it is
/// asked what would be if it had stayed. Units share the work of removing the others.
pub(super) fn without_each_other(
    sweep: Sweep,
    removed: &[Vec<usize>],
    each: &mut impl FnMut(usize, &Sweep) -> Result<()>,
) -> Result<()> {
    fn go(
        sweep: Sweep,
        removed: &[Vec<usize>],
        first: usize,
        each: &mut impl FnMut(usize, &Sweep) -> Result<()>,
    ) -> Result<()> {
        if removed.len() <= 1 {
            return if removed.is_empty() { Ok(()) } else { each(first, &sweep) };
        }
        let (left, right) = removed.split_at(removed.len() / 2);
        let mut one = sweep.clone();
        one.remove(&sorted(right))?;
        go(one, left, first, each)?;
        let mut other = sweep;
        other.remove(&sorted(left))?;
        go(other, right, first + left.len(), each)
    }
    go(sweep, removed, 0, each)
}

fn sorted(units: &[Vec<usize>]) -> Vec<usize> {
    let mut heads: Vec<usize> = units.iter().flatten().copied().collect();
    heads.sort_unstable();
    heads
}
