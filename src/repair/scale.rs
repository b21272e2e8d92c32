//! One factor for each kept head: what a repair can do that knows the heads' residual Gram matrix alone.

use std::collections::BTreeMap;

use faer::Mat;

use super::dense::{block, rows};
use super::document::{Repair, RepairMode, RepairRecord, SiteRepair};
use super::projection::{Basis, OutputProjection, Ridge, fit_and_judge, new_output};
use super::regression::{Fit, Regression};
use crate::analysis::{Analysis, SecondMoment, SiteMoments};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, NetworkSpec, Site, Weights};
use crate::plan::{Plan, Shape};
use crate::task::Ticket;

/// One factor for each kept head of `plan`, from the Gram matrices of the residual maps of `analysis`: without second moments
/// and without text. What it does on other batches is not known, since Gram matrices are of all of them.
///
/// # Errors
///
/// The analysis has no residual maps, or is of another model than `spec` and `weights`; the plan does not fit.
pub fn scale(
    spec: &NetworkSpec,
    weights: &dyn Weights,
    analysis: &Analysis,
    plan: &Plan,
    ridge: Ridge,
    ticket: &Ticket,
) -> Result<Repair> {
    plan.validate(spec)?;
    let shape = Shape::from(spec);
    let mut repair = Repair::new(RepairRecord {
        mode: RepairMode::Scale,
        model: analysis.model.clone(),
        input: analysis.settings.input.clone(),
        readings: analysis.readings().cloned().collect(),
        tokens: analysis.tokens,
        kept: plan.kept.clone(),
        method: plan.method.clone(),
        sites: BTreeMap::new(),
        measured: Vec::new(),
        notes: Vec::new(),
    });
    let classes = shape.shared();
    ticket.stage("scale", Some(classes.len() as u64), "layers");
    for class in &classes {
        ticket.check()?;
        ticket.advance(1)?;
        let Some(first) = class.first() else { continue };
        let kept = plan.kept_at(first.site, first.heads);
        if kept.len() >= first.heads {
            continue;
        }
        let nothing = Mat::<f64>::zeros(first.heads, first.heads);
        let mut gram = nothing.clone();
        for pass in class {
            gram += residual_map(analysis, pass.site, pass.heads)?;
        }
        let old = OutputProjection::read(spec, weights, first.site)?;
        let halves = [regression(&gram, analysis.tokens, &kept), regression(&nothing, 0, &kept)];
        let (fit, report) = factors(&halves, &old, &kept, ridge, Basis::All).map_err(|e| e.within(first.site))?;
        repair.outputs.insert(first.site, new_output(&kept, &fit, &old)?);
        repair.record.sites.insert(first.site, report);
    }
    if !repair.outputs.is_empty() {
        repair.record.notes.push(UNJUDGED.to_owned());
    }
    Ok(repair)
}

/// What a reader should know of factors that come from Gram matrices.
const UNJUDGED: &str = "the factors come from the Gram matrices of an analysis, which hold every batch: nothing was held out, so \
    what they do on other text is not known";

/// The Gram matrix of the residual maps of a layer: inner products of what its heads add, over all tokens.
fn residual_map(analysis: &Analysis, site: Site, heads: usize) -> Result<Mat<f64>> {
    let other = || Error::new(format!("the analysis is of another model: it has no {site} of {heads} heads"));
    let own = analysis.site(site).filter(|own| own.heads == heads).ok_or_else(other)?;
    let map = own.features.get(&FeatureMap::Residual).ok_or_else(|| {
        Error::new(format!("the analysis has no residual maps of {site}, which the factors are made of"))
            .hint("analyze again with --feature residual, or repair with text")
    })?;
    if map.gram.heads() != heads {
        return Err(other());
    }
    Ok(Mat::from_fn(heads, heads, |i, j| map.gram.get(i, j)))
}

/// Least squares of what the whole branch adds over what each kept head adds: `s = G_SS^-1 G_S,all 1`.
pub(super) fn scale_site(
    moments: &SiteMoments,
    old: &OutputProjection,
    kept: &[usize],
    ridge: Ridge,
    basis: Basis,
) -> Result<(Fit, SiteRepair)> {
    let of = |half: &SecondMoment| regression(&residual_gram(half, moments), half.tokens, kept);
    let [even, odd] = &moments.halves;
    factors(&[of(even), of(odd)], old, kept, ridge, basis)
}

/// The rows of the kept heads, each times its factor.
fn factors(
    halves: &[Regression<'_>; 2],
    old: &OutputProjection,
    kept: &[usize],
    ridge: Ridge,
    basis: Basis,
) -> Result<(Fit, SiteRepair)> {
    let ones = Mat::from_fn(kept.len(), 1, |_, _| 1.0);
    let as_it_is = Fit { weight: ones, bias: vec![0.0] };
    let (fit, report) = fit_and_judge(halves, &as_it_is, ridge, basis, ridge == Ridge::Auto)?;
    let d = old.head_dim;
    let columns: Vec<usize> = kept.iter().flat_map(|h| h * d..(h + 1) * d).collect();
    let own = rows(old.weight.as_ref(), &columns);
    let weight = Mat::from_fn(own.nrows(), own.ncols(), |i, j| fit.weight[(i / d, 0)] * own[(i, j)]);
    Ok((Fit { bias: vec![0.0; weight.ncols()], weight }, report))
}

/// What the whole branch adds from what each kept head adds, by inner products over `tokens`.
fn regression(gram: &Mat<f64>, tokens: u64, kept: &[usize]) -> Regression<'static> {
    let heads = gram.nrows();
    let all: Vec<f64> = (0..heads).map(|i| (0..heads).map(|j| gram[(i, j)]).sum()).collect();
    Regression {
        tokens: tokens as f64,
        positions: tokens,
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
