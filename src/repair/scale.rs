//! One factor for each kept head: what a repair can do that knows the heads' residual Gram matrix alone.

use faer::Mat;

use super::dense::{block, rows};
use super::document::SiteRepair;
use super::projection::{Basis, OutputProjection, Ridge, fit_and_judge};
use super::regression::{Fit, Regression};
use crate::analysis::{SecondMoment, SiteMoments};
use crate::error::Result;

/// Least squares of what the whole branch adds over what each kept head adds: `s = G_SS^-1 G_S,all 1`.
pub(super) fn scale_site(
    moments: &SiteMoments,
    old: &OutputProjection,
    kept: &[usize],
    ridge: Ridge,
    basis: Basis,
) -> Result<(Fit, SiteRepair)> {
    let halves = [0, 1].map(|half| regression(&moments.halves[half], moments, kept));
    let ones = Mat::from_fn(kept.len(), 1, |_, _| 1.0);
    let as_it_is = Fit { weight: ones, bias: vec![0.0] };
    let (fit, report) = fit_and_judge(&halves, &as_it_is, ridge, basis, ridge == Ridge::Auto)?;
    let d = moments.head_dim;
    let columns: Vec<usize> = kept.iter().flat_map(|h| h * d..(h + 1) * d).collect();
    let own = rows(old.weight.as_ref(), &columns);
    let weight = Mat::from_fn(own.nrows(), own.ncols(), |i, j| fit.weight[(i / d, 0)] * own[(i, j)]);
    Ok((Fit { bias: vec![0.0; weight.ncols()], weight }, report))
}

fn regression(half: &SecondMoment, moments: &SiteMoments, kept: &[usize]) -> Regression<'static> {
    let gram = residual_gram(half, moments);
    let all: Vec<f64> = (0..moments.heads).map(|i| (0..moments.heads).map(|j| gram[(i, j)]).sum()).collect();
    Regression {
        tokens: half.tokens as f64,
        positions: half.tokens,
        with_bias: false,
        x: vec![0.0; kept.len()],
        y: vec![0.0],
        xx: block(gram.as_ref(), kept, kept),
        xy: Mat::from_fn(kept.len(), 1, |i, _| all[kept[i]]),
        yy: all.iter().sum(),
        branch: None,
    }
}

/// `G_ij = <M_ij, W_i W_j^T>`.
fn residual_gram(half: &SecondMoment, moments: &SiteMoments) -> Mat<f64> {
    let d = moments.head_dim;
    Mat::from_fn(moments.heads, moments.heads, |i, j| {
        let row = |a: usize| (j * d..(j + 1) * d).map(move |b| half.square.get(a, b) * moments.output.get(a, b));
        (i * d..(i + 1) * d).flat_map(row).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestSite;
    use super::*;

    #[test]
    fn factors_are_least_squares_of_what_heads_add() {
        let case = TestSite::new(4, 3, false, 2);
        let kept = [0, 3];
        let old = OutputProjection { weight: case.weight.clone(), bias: None, head_dim: 3, kv_heads: 4 };
        let error = |factors: [f64; 2]| -> f64 {
            let mut sum = 0.0;
            for t in 0..case.outputs.nrows() {
                for j in 0..case.weight.ncols() {
                    let adds = |h: usize| -> f64 {
                        (h * 3..h * 3 + 3).map(|i| case.outputs[(t, i)] * case.weight[(i, j)]).sum()
                    };
                    let said = factors[0] * adds(0) + factors[1] * adds(3);
                    sum += ((0..4).map(adds).sum::<f64>() - said).powi(2);
                }
            }
            sum
        };
        let (fit, report) = scale_site(&case.moments(), &old, &kept, Ridge::Fixed(0.0), Basis::All).unwrap();
        let factor = |at: usize| fit.weight[(at * 3, 0)] / case.weight[(kept[at] * 3, 0)];
        let found = [factor(0), factor(1)];
        for step in [1e-3, -1e-3] {
            assert!(error(found) < error([found[0] + step, found[1]]));
            assert!(error(found) < error([found[0], found[1] + step]));
        }
        assert!(error(found) < error([1.0, 1.0]) && report.tokens == case.outputs.nrows() as u64);
    }
}
