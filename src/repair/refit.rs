//! New output projections from second moments alone, one closed form per layer.

use std::collections::BTreeMap;

use faer::Mat;
use rayon::prelude::*;

use super::dense::{block, dense, inner, product, rows};
use super::document::{Repair, RepairMode, RepairRecord, SiteRepair};
use super::projection::{Basis, OutputProjection, Ridge, fit_and_judge, new_output};
use super::regression::{Fit, Regression};
use super::scale::scale_site;
use crate::analysis::{Moments, SecondMoment, SharedMoments, SiteMoments};
use crate::error::{Error, Result};
use crate::network::{NetworkSpec, Site, Weights};
use crate::plan::Plan;
use crate::task::Ticket;

/// Least squares of the whole branch `o W` over the outputs of the heads at `columns`.
fn regression(half: &SecondMoment, moments: &SiteMoments, weight: &Mat<f64>, columns: &[usize]) -> Regression {
    let square = dense(&half.square, 1.0);
    let products = dense(&moments.output, 1.0);
    let across = rows(square.as_ref(), columns);
    let y = (0..weight.ncols()).map(|j| (0..half.sum.len()).map(|i| half.sum[i] * weight[(i, j)]).sum());
    Regression {
        tokens: half.tokens as f64,
        with_bias: moments.output_bias,
        x: columns.iter().map(|c| half.sum[*c]).collect(),
        y: y.collect(),
        xx: block(square.as_ref(), columns, columns),
        xy: product(across.as_ref(), weight.as_ref()),
        yy: inner(square.as_ref(), products.as_ref()),
    }
}

/// What a repair from second moments is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct RefitRequest<'a> {
    pub plan: &'a Plan,
    /// What was done: [`RepairMode::Refit`] or [`RepairMode::Scale`].
    pub mode: RepairMode,
    /// How the ridge of a layer is found.
    pub ridge: Ridge,
    /// Which batches a fit rests on.
    pub basis: Basis,
}

/// Refits the output projection of every layer that loses heads, from `moments` of the model of `spec` and `weights`.
///
/// # Errors
///
/// The moments are of another model, the plan does not fit it, or the mode needs more than moments.
pub fn refit(
    spec: &NetworkSpec,
    weights: &(dyn Weights + Sync),
    moments: &Moments,
    request: &RefitRequest<'_>,
    ticket: &Ticket,
) -> Result<Repair> {
    let RefitRequest { plan, mode, ridge, basis } = *request;
    let fit_site = match mode {
        RepairMode::Refit => refit_site,
        RepairMode::Scale => scale_site,
        other => {
            return Err(Error::usage(format!("second moments alone are not enough for {other}"))
                .hint("give an input, or the mode refit"));
        }
    };
    plan.validate(spec)?;
    check(spec, moments)?;
    let classes = moments.shared()?;
    let losing = |class: &SharedMoments| {
        let heads = class.moments.heads;
        let site = class.sites.first().copied()?;
        let kept = plan.kept_at(site, heads);
        (kept.len() < heads).then_some((site, kept))
    };
    let wanted: Vec<_> = classes.iter().filter_map(|class| Some((class, losing(class)?))).collect();
    ticket.stage("refit", Some(wanted.len() as u64), "layers");
    let one = |(class, (site, kept)): &(&SharedMoments, (Site, Vec<usize>))| -> Result<_> {
        ticket.check()?;
        let old = OutputProjection::read(spec, weights, *site)?;
        let (fit, report) = fit_site(&class.moments, &old, kept, ridge, basis).map_err(|e| e.within(site))?;
        ticket.advance(1)?;
        Ok((*site, new_output(kept, &fit, &old)?, report))
    };
    let found: Vec<_> = wanted.par_iter().map(one).collect::<Result<_>>()?;
    let mut repair = Repair::new(RepairRecord {
        mode,
        model: moments.model.clone(),
        input: moments.input.clone(),
        tokens: moments.sites.values().map(SiteMoments::tokens).max().unwrap_or(0),
        kept: plan.kept.clone(),
        method: plan.method.clone(),
        sites: BTreeMap::new(),
        measured: Vec::new(),
        notes: moments.shortage().into_iter().collect(),
    });
    for (site, output, report) in found {
        repair.record.sites.insert(site, report);
        repair.outputs.insert(site, output);
    }
    Ok(repair)
}

/// [`refit`] of one layer.
pub(super) fn refit_site(
    moments: &SiteMoments,
    old: &OutputProjection,
    kept: &[usize],
    ridge: Ridge,
    basis: Basis,
) -> Result<(Fit, SiteRepair)> {
    let d = moments.head_dim;
    let columns: Vec<usize> = kept.iter().flat_map(|h| h * d..(h + 1) * d).collect();
    let halves = [0, 1].map(|half| regression(&moments.halves[half], moments, &old.weight, &columns));
    let prior = rows(old.weight.as_ref(), &columns);
    // Rows as they are, no constant: what masking does.
    let as_it_is = Fit { weight: prior.clone(), bias: vec![0.0; prior.ncols()] };
    fit_and_judge(&halves, &prior, ridge, basis, &|half| half.error(&as_it_is))
}

fn check(spec: &NetworkSpec, moments: &Moments) -> Result<()> {
    let sites = spec.sites();
    let same = sites.len() == moments.sites.len()
        && sites.iter().all(|(site, a)| {
            let found = moments.sites.get(site);
            found.is_some_and(|m| (m.heads, m.head_dim) == (a.heads, a.head_dim))
        });
    if same { Ok(()) } else { Err(Error::new("the second moments are of another model")) }
}

#[cfg(test)]
mod tests {
    use super::super::projection::{RIDGES, UNTRIED};
    use super::super::testing::TestSite;
    use super::*;

    fn output(case: &TestSite) -> OutputProjection {
        let bias = case.with_bias.then(|| (0..case.weight.ncols()).map(|j| j as f64 / 10.0).collect());
        OutputProjection { weight: case.weight.clone(), bias, head_dim: case.dim, kv_heads: case.heads }
    }

    #[test]
    fn a_refit_is_least_squares_over_the_features() {
        for with_bias in [false, true] {
            let case = TestSite::new(5, 3, with_bias, 3);
            for kept in [vec![0, 1, 2, 4], vec![3], vec![]] {
                let (fit, report) =
                    refit_site(&case.moments(), &output(&case), &kept, Ridge::Fixed(0.0), Basis::All).unwrap();
                // On all tokens no other projection does better, and this one does as well.
                let columns = case.columns(&kept);
                let n = case.outputs.nrows();
                let y = product(case.outputs.as_ref(), case.weight.as_ref());
                let x = Mat::from_fn(n, columns.len(), |t, j| case.outputs[(t, columns[j])]);
                let said = product(x.as_ref(), fit.weight.as_ref());
                let left: f64 = (0..n)
                    .flat_map(|t| (0..y.ncols()).map(move |j| (t, j)))
                    .map(|(t, j)| (y[(t, j)] - said[(t, j)] - fit.bias[j]).powi(2))
                    .sum::<f64>()
                    / n as f64;
                let expected = case.error(&kept);
                assert!((left - expected).abs() < 1e-8 * case.power(), "{kept:?}: {left} {expected}");
                assert!(with_bias || fit.bias.iter().all(|b| *b == 0.0));
                assert_eq!(report.tokens, n as u64);
            }
        }
    }

    #[test]
    fn errors_that_are_told_are_those_of_the_tokens_left_out() {
        for with_bias in [false, true] {
            let case = TestSite::new(4, 3, with_bias, 8);
            let kept = [0, 2];
            let (fit, report) =
                refit_site(&case.moments(), &output(&case), &kept, Ridge::Fixed(1e-3), Basis::Even).unwrap();
            let columns = case.columns(&kept);
            let y = product(case.outputs.as_ref(), case.weight.as_ref());
            let odd: Vec<usize> = (0..case.outputs.nrows()).filter(|t| t % 2 == 1).collect();
            let error = |weight: &Mat<f64>, bias: &[f64]| -> f64 {
                let at = |t: usize, j: usize| {
                    let said: f64 =
                        columns.iter().enumerate().map(|(i, c)| case.outputs[(t, *c)] * weight[(i, j)]).sum();
                    (y[(t, j)] - said - bias[j]).powi(2)
                };
                odd.iter().flat_map(|t| (0..y.ncols()).map(move |j| (*t, j))).map(|(t, j)| at(t, j)).sum::<f64>()
                    / odd.len() as f64
            };
            let mean = |j: usize| odd.iter().map(|t| y[(*t, j)]).sum::<f64>() / odd.len() as f64;
            let center: Vec<f64> = (0..y.ncols()).map(|j| if with_bias { mean(j) } else { 0.0 }).collect();
            let power = error(&Mat::zeros(columns.len(), y.ncols()), &center);
            let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            close(report.held_out.unwrap(), error(&fit.weight, &fit.bias) / power);
            let prior = rows(case.weight.as_ref(), &columns);
            close(report.masked, error(&prior, &vec![0.0; y.ncols()]) / power);
            assert!(report.held_out.unwrap() < report.masked);
        }
    }

    #[test]
    fn a_ridge_is_chosen_by_what_was_left_out_and_pulls_towards_the_old_rows() {
        let case = TestSite::new(4, 3, true, 9);
        let kept = [1, 3];
        let of = |ridge| refit_site(&case.moments(), &output(&case), &kept, ridge, Basis::Even).unwrap();
        let (_, chosen) = of(Ridge::Auto);
        for ridge in RIDGES {
            assert!(chosen.held_out <= of(Ridge::Fixed(ridge)).1.held_out);
        }
        let prior = rows(case.weight.as_ref(), &case.columns(&kept));
        let (stiff, _) = of(Ridge::Fixed(1e9));
        assert!((&stiff.weight - &prior).norm_max() < 1e-6 * prior.norm_max());
        // One batch: nothing is left to judge by.
        let mut moments = case.moments();
        moments.halves[1] = SecondMoment::zeros(moments.dim());
        let (_, alone) = refit_site(&moments, &output(&case), &kept, Ridge::Auto, Basis::All).unwrap();
        assert_eq!((alone.held_out, alone.ridge), (None, UNTRIED));
    }
}
