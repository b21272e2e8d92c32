//! New output projections from second moments alone, one closed form per layer.
//!
//! The heads `R` that go are regressed on the heads `K` that stay, `o_R = o_K Z + z`: the branch `o W` then is `o_K (W_K + Z
//! W_R) + z W_R`, its least squares over `o_K` for whatever `W`, and with the ridge pulled towards the old rows `W_K`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use faer::Mat;
use rayon::prelude::*;

use super::dense::{inner, part, product, rows};
use super::document::{Repair, RepairMode, RepairRecord, SiteRepair};
use super::projection::{Basis, OutputProjection, Ridge, fit_and_judge, new_output};
use super::regression::{Fit, RegressedHeads, Regression};
use super::scale::scale_site;
use crate::analysis::{Moments, SecondMoment, SharedMoments, SiteMoments};
use crate::error::{Error, Result};
use crate::model::NewOutput;
use crate::network::{NetworkSpec, Site, Weights};
use crate::plan::Plan;
use crate::task::Ticket;

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

/// Choices of heads of one layer whose fits are remembered: those at both ends of a bisection, and the one before.
const REMEMBERED: usize = 3;

/// Refits plans of one model from the same moments: a layer in which the same heads stay as under one of the last plans is
/// not fitted again.
pub struct Refitter<'a> {
    spec: &'a NetworkSpec,
    weights: &'a (dyn Weights + Sync),
    moments: &'a Moments,
    classes: Vec<SharedMoments<'a>>,
    memory: Mutex<FitMemory>,
}

/// What a [`Refitter`] remembers.
#[derive(Default)]
struct FitMemory {
    /// By layer, the latest last.
    known: BTreeMap<Site, Vec<KnownFit>>,
    fits: usize,
}

/// A fit of one layer, and of what.
#[derive(Clone)]
struct KnownFit {
    asked: (RepairMode, Ridge, Basis),
    output: NewOutput,
    report: SiteRepair,
}

impl std::fmt::Debug for Refitter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refitter").field("input", &self.moments.input).field("fits", &self.fits()).finish()
    }
}

impl<'a> Refitter<'a> {
    /// Of the model of `spec` and `weights`.
    ///
    /// # Errors
    ///
    /// The moments are of another model.
    pub fn new(spec: &'a NetworkSpec, weights: &'a (dyn Weights + Sync), moments: &'a Moments) -> Result<Self> {
        check(spec, moments)?;
        Ok(Self { spec, weights, moments, classes: moments.shared()?, memory: Mutex::default() })
    }

    /// How many layers were fitted so far, each as often as other heads stayed in it.
    pub fn fits(&self) -> usize {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).fits
    }

    /// Refits the output projection of every layer that loses heads.
    ///
    /// # Errors
    ///
    /// The plan does not fit the model, or the mode needs more than moments.
    pub fn refit(&self, request: &RefitRequest<'_>, ticket: &Ticket) -> Result<Repair> {
        let RefitRequest { plan, mode, .. } = *request;
        if !matches!(mode, RepairMode::Refit | RepairMode::Scale) {
            return Err(Error::usage(format!("second moments alone are not enough for {mode}"))
                .hint("give an input, or the mode refit"));
        }
        plan.validate(self.spec)?;
        let losing = |class: &SharedMoments<'_>| {
            let heads = class.moments.heads;
            let site = class.sites.first().copied()?;
            let kept = plan.kept_at(site, heads);
            (kept.len() < heads).then_some((site, kept))
        };
        let wanted: Vec<_> = self.classes.iter().filter_map(|class| Some((class, losing(class)?))).collect();
        ticket.stage("refit", Some(wanted.len() as u64), "layers");
        let one = |(class, (site, kept)): &(&SharedMoments<'_>, (Site, Vec<usize>))| -> Result<(Site, KnownFit)> {
            ticket.check()?;
            let found = self.fit(&class.moments, *site, kept, request)?;
            ticket.advance(1)?;
            Ok((*site, found))
        };
        let found: Vec<_> = wanted.par_iter().map(one).collect::<Result<_>>()?;
        let moments = self.moments;
        let mut repair = Repair::new(RepairRecord {
            mode,
            model: moments.model.clone(),
            input: moments.input.clone(),
            readings: moments.readings.clone(),
            tokens: moments.sites.values().map(SiteMoments::tokens).max().unwrap_or(0),
            kept: plan.kept.clone(),
            method: plan.method.clone(),
            sites: BTreeMap::new(),
            measured: Vec::new(),
            notes: moments.doubts(),
        });
        for (site, KnownFit { output, report, .. }) in found {
            repair.record.sites.insert(site, report);
            repair.outputs.insert(site, output);
        }
        Ok(repair)
    }

    /// The fit of one layer, from memory where it is known.
    fn fit(&self, moments: &SiteMoments, site: Site, kept: &[usize], request: &RefitRequest<'_>) -> Result<KnownFit> {
        let asked = (request.mode, request.ridge, request.basis);
        let lock = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().known.get_mut(&site)
            && let Some(at) = known.iter().position(|fit| fit.asked == asked && fit.output.kept == kept)
        {
            let fit = known.remove(at);
            known.push(fit.clone());
            return Ok(fit);
        }
        let old = OutputProjection::read(self.spec, self.weights, site)?;
        let fit_site = if request.mode == RepairMode::Scale { scale_site } else { refit_site };
        let (fit, report) = fit_site(moments, &old, kept, request.ridge, request.basis).map_err(|e| e.within(site))?;
        let found = KnownFit { asked, output: new_output(kept, &fit, &old)?, report };
        let mut memory = lock();
        memory.fits += 1;
        let known = memory.known.entry(site).or_default();
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push(found.clone());
        Ok(found)
    }
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
    Refitter::new(spec, weights, moments)?.refit(request, ticket)
}

/// [`refit`] of one layer.
pub(super) fn refit_site(
    moments: &SiteMoments,
    old: &OutputProjection,
    kept: &[usize],
    ridge: Ridge,
    basis: Basis,
) -> Result<(Fit, SiteRepair)> {
    let (said, report) = regress(moments, kept, ridge, basis)?;
    let [stay, go] = columns(moments, kept);
    let gone = rows(old.weight.as_ref(), &go);
    let constant = Mat::from_fn(1, said.bias.len(), |_, j| said.bias[j]);
    let constant = product(constant.as_ref(), gone.as_ref());
    let mut weight = rows(old.weight.as_ref(), &stay);
    weight += product(said.weight.as_ref(), gone.as_ref());
    Ok((Fit { weight, bias: (0..constant.ncols()).map(|j| constant[(0, j)]).collect() }, report))
}

/// Numbers of the outputs of the heads that stay and of those that go.
fn columns(moments: &SiteMoments, kept: &[usize]) -> [Vec<usize>; 2] {
    let d = moments.head_dim;
    let (stay, go): (Vec<usize>, Vec<usize>) =
        (0..moments.dim()).partition(|column| kept.binary_search(&(column / d)).is_ok());
    [stay, go]
}

/// What the heads in `kept`, ascending, can say of the outputs of the others, and what that leaves of the branch.
pub(super) fn regress(moments: &SiteMoments, kept: &[usize], ridge: Ridge, basis: Basis) -> Result<(Fit, SiteRepair)> {
    let [stay, go] = columns(moments, kept);
    let metric = Arc::new(part(&moments.output, &go, &go));
    let of = |half: &SecondMoment| -> Regression<'_> {
        let among = part(&half.square, &go, &go);
        Regression {
            tokens: half.tokens as f64,
            positions: half.tokens,
            with_bias: moments.output_bias,
            x: stay.iter().map(|c| half.sum[*c]).collect(),
            y: go.iter().map(|c| half.sum[*c]).collect(),
            xx: part(&half.square, &stay, &stay),
            xy: part(&half.square, &stay, &go),
            yy: inner(among.as_ref(), metric.as_ref().as_ref()),
            branch: Some(RegressedHeads {
                products: &moments.output,
                metric: Arc::clone(&metric),
                sum: half.sum.clone(),
                square: half.square.inner(&moments.output),
            }),
        }
    };
    let [even, odd] = &moments.halves;
    // Nothing said of the others: what masking does.
    let nothing = Fit { weight: Mat::zeros(stay.len(), go.len()), bias: vec![0.0; go.len()] };
    // A ridge that was named is followed as it is.
    fit_and_judge(&[of(even), of(odd)], &nothing, ridge, basis, ridge == Ridge::Auto)
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
    use super::super::projection::{RIDGES, untried};
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
        // One batch: nothing is left to judge by, and nothing is said to be explained.
        let mut moments = case.moments();
        moments.halves[1] = SecondMoment::zeros(moments.dim());
        let (_, alone) = refit_site(&moments, &output(&case), &kept, Ridge::Auto, Basis::All).unwrap();
        assert_eq!((alone.held_out, alone.explained()), (None, None));
        assert_eq!(alone.ridge, untried(case.columns(&kept).len(), alone.tokens));
    }

    /// The part of `case` that consists of these tokens.
    fn tokens_of(case: &TestSite, from: usize, count: usize) -> TestSite {
        let outputs = Mat::from_fn(count, case.outputs.ncols(), |t, j| case.outputs[(from + t, j)]);
        TestSite { outputs, weight: case.weight.clone(), ..*case }
    }

    #[test]
    fn fewer_tokens_than_numbers_do_no_more_harm_than_masking() {
        for (with_bias, seed) in [(false, 11), (true, 12), (false, 13), (true, 14)] {
            let case = TestSite::new(8, 8, with_bias, seed);
            let kept = [0, 1, 2, 4, 6];
            // Of other tokens than were fitted.
            let others = tokens_of(&case, 40, 120).moments();
            let nothing = Fit { weight: rows(case.weight.as_ref(), &case.columns(&kept)), bias: vec![0.0; 65] };
            let error = |fit: &Fit| {
                let [even, odd] = [0, 1].map(|half| whole_regression(&others, half, &case, &kept));
                even.error(fit) + odd.error(fit)
            };
            // Forty numbers of thirty tokens, of one batch and of two.
            let few = tokens_of(&case, 0, 30).moments();
            let mut one = few.clone();
            let [even, odd] = &mut one.halves;
            even.add(odd).unwrap();
            *odd = SecondMoment::zeros(case.heads * case.dim);
            for moments in [few, one] {
                let (fit, report) = refit_site(&moments, &output(&case), &kept, Ridge::Auto, Basis::All).unwrap();
                let (repaired, masked) = (error(&fit), error(&nothing));
                assert!(repaired < masked, "{with_bias} {seed}: {repaired} {masked}, ridge {}", report.ridge);
            }
        }
    }

    /// What the whole branch adds, from the outputs of the heads that stay.
    fn whole_regression(moments: &SiteMoments, half: usize, case: &TestSite, kept: &[usize]) -> Regression<'static> {
        let half = &moments.halves[half];
        let (width, columns) = (case.heads * case.dim, case.columns(kept));
        let square = Mat::from_fn(width, width, |i, j| half.square.get(i, j));
        let products = product(square.as_ref(), case.weight.as_ref());
        let sums = Mat::from_fn(1, width, |_, i| half.sum[i]);
        let y = product(sums.as_ref(), case.weight.as_ref());
        let yy = (0..case.weight.ncols())
            .map(|j| (0..width).map(|i| case.weight[(i, j)] * products[(i, j)]).sum::<f64>())
            .sum();
        Regression {
            tokens: half.tokens as f64,
            positions: half.tokens,
            with_bias: case.with_bias,
            x: columns.iter().map(|c| half.sum[*c]).collect(),
            y: (0..y.ncols()).map(|j| y[(0, j)]).collect(),
            xx: Mat::from_fn(columns.len(), columns.len(), |i, j| square[(columns[i], columns[j])]),
            xy: Mat::from_fn(columns.len(), y.ncols(), |i, j| products[(columns[i], j)]),
            yy,
            branch: None,
        }
    }
}
