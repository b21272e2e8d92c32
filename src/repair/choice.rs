//! The method `reconstruction`: which heads stay so that, after a refit, as little as possible is lost.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use faer::Mat;
use rayon::prelude::*;

use super::dense::{block, dense, inner};
use super::order::{Stay, allocate, improve, stays};
use super::regression::pull;
use super::sweep::Sweep;
use crate::analysis::{Analysis, Baseline, Moments, SharedMoments, SiteAnalysis, SiteMoments};
use crate::error::{Error, Result};
use crate::network::Site;
use crate::plan::{self, Amount, Method, Plan, PlanRequest};

/// What a note begins with that foretells what a plan costs, until it is measured.
pub const FORECAST: &str = "expected to cost";

/// One head in so many may go for a forecast to be close to what is measured.
const SMALL_CUT: usize = 4;

/// The ridge under which heads are chosen: small, since the order hardly depends on it.
const RIDGE: f64 = 1e-4;
/// Products that are summed in a row at most, before such sums are added, as second moments are gathered on the processor.
const IN_A_ROW: f64 = 2048.0;
/// Tokens that a batch is taken to have at least, and with it each of the sums that are added.
const OF_A_BATCH: f64 = 64.0;

/// Which heads stay, by any method; `moments` are those of `analysis`, which the method `reconstruction` needs.
///
/// # Errors
///
/// What the method needs is not there, or the amount is none that it can keep.
pub fn propose(analysis: &Analysis, moments: Option<&Moments>, request: &PlanRequest) -> Result<Plan> {
    if request.ranking.method != Method::Reconstruction {
        return plan::propose(analysis, request);
    }
    let moments = moments.ok_or_else(|| {
        Error::new("the method reconstruction needs second moments").hint("analyze again with --moments")
    })?;
    Reconstruction::new(moments, request.allow_empty)?.propose(analysis, request)
}

/// What cannot be said of one layer that is kept, in what unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RiseUnit {
    /// Of the loss per scored token, to second order.
    Loss,
    /// Of the branch's own mean square.
    Share,
}

/// Layers that read the same weights.
struct ChoiceLayer {
    sites: Vec<Site>,
    heads: usize,
    kv_heads: usize,
    whole: Sweep,
    /// What stays of it, for every number of heads.
    stays: Vec<Stay>,
    /// The same after exchanges, those of them that a plan asked for.
    improved: Vec<OnceLock<Stay>>,
    /// By how much the error rises without each head alone.
    missed: Vec<f64>,
}

impl ChoiceLayer {
    fn passes<'a>(&self, analysis: &'a Analysis) -> Vec<&'a SiteAnalysis> {
        self.sites.iter().filter_map(|site| analysis.site(*site)).collect()
    }

    /// Whether it keeps every head because nothing speaks for redundancy in it.
    fn is_spared(&self, analysis: &Analysis, request: &PlanRequest) -> bool {
        request.spares(&self.passes(analysis))
    }

    /// Which of its `stays` is of the legal number next to `wanted`, that which every other method would keep.
    fn near(&self, wanted: f64) -> usize {
        let legal: Vec<usize> = self.stays.iter().rev().map(|stay| stay.kept.len()).collect();
        let number = plan::nearest(&legal, wanted);
        self.stays.iter().position(|stay| stay.kept.len() == number).unwrap_or(0)
    }

    /// The one of its `stays` at `index`, with the best exchanges; none where there is no such.
    fn improved(&self, index: usize) -> Result<Stay> {
        let (Some(stay), Some(known)) = (self.stays.get(index), self.improved.get(index)) else {
            return Ok(Stay { kept: Vec::new(), error: 0.0 });
        };
        if let Some(known) = known.get() {
            return Ok(known.clone());
        }
        let found = improve(&self.whole, self.kv_heads, stay.clone())?;
        Ok(known.get_or_init(|| found).clone())
    }
}

/// The orders in which the heads of every layer go: made once of second moments, they give plans of any size.
pub struct Reconstruction {
    unit: RiseUnit,
    layers: Vec<ChoiceLayer>,
    allow_empty: bool,
    fingerprint: String,
}

impl std::fmt::Debug for Reconstruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconstruction").field("unit", &self.unit).field("layers", &self.layers.len()).finish()
    }
}

impl Reconstruction {
    /// Finds the orders; `allow_empty` lets a layer lose every head.
    ///
    /// # Errors
    ///
    /// The moments hold numbers that are not finite.
    pub fn new(moments: &Moments, allow_empty: bool) -> Result<Self> {
        let unit = match moments.sites.values().all(|s| s.sensitivity.is_some()) {
            true => RiseUnit::Loss,
            false => RiseUnit::Share,
        };
        let layer = |shared: SharedMoments<'_>| -> Result<ChoiceLayer> {
            let whole = sweep(&shared, unit)?;
            let SiteMoments { heads, kv_heads, .. } = *shared.moments;
            let stays = stays(&whole, kv_heads, allow_empty)?;
            let missed = whole.heads().iter().map(|h| whole.rise(&[*h])).collect::<Result<_>>()?;
            let improved = stays.iter().map(|_| OnceLock::new()).collect();
            Ok(ChoiceLayer { sites: shared.sites, heads, kv_heads, whole, stays, improved, missed })
        };
        let layers = moments.shared()?.into_par_iter().map(layer).collect::<Result<_>>()?;
        Ok(Self { unit, layers, allow_empty, fingerprint: moments.model.fingerprint.clone() })
    }

    /// The plan of as many heads as `request` asks for; groups are those of `analysis`.
    ///
    /// # Errors
    ///
    /// The analysis is of another model, or the amount is none that reconstruction can keep.
    pub fn propose(&self, analysis: &Analysis, request: &PlanRequest) -> Result<Plan> {
        if self.fingerprint != analysis.model.fingerprint {
            return Err(Error::new("the second moments are of another model than the analysis"));
        }
        plan::check_amount(analysis.sites.iter().map(|s| s.heads), request)?;
        let Self { unit, layers, allow_empty, .. } = self;
        let chosen = numbers(layers, analysis, request)?;
        let found: Vec<Stay> =
            layers.par_iter().zip(chosen).map(|(layer, index)| layer.improved(index)).collect::<Result<_>>()?;
        let mut plan = Plan {
            method: request.ranking.to_string(),
            amount: Some(request.amount),
            fingerprint: Some(analysis.model.fingerprint.clone()),
            allow_empty: *allow_empty,
            chosen_on: request.ranking.method.chosen_on(analysis),
            ..Plan::default()
        };
        let is_global = matches!(request.amount, Amount::Ratio(_));
        plan.notes.extend(plan::evidence_notes(analysis, request));
        if *unit == RiseUnit::Share && is_global {
            plan.notes.push(
                "how the loss depends on each layer is not known, so that one budget is spent by relative errors"
                    .to_owned(),
            );
        }
        let mut lost = 0.0;
        for (layer, stay) in layers.iter().zip(found) {
            lost += stay.error;
            if layer.is_spared(analysis, request) {
                plan.spared.extend(layer.sites.iter().copied());
                if plan::is_unknown(&layer.passes(analysis)) {
                    plan.untold.extend(layer.sites.iter().copied());
                }
            }
            for site in &layer.sites {
                plan.kept.set(*site, stay.kept.iter().copied());
                plan.heads.insert(*site, layer.heads);
                plan.scores.insert(*site, layer.missed.clone());
                if let Some(map) = analysis.site(*site).and_then(|s| s.features.values().next()) {
                    plan.groups.insert(*site, map.groups.clone());
                }
            }
        }
        let what = match unit {
            RiseUnit::Loss if analysis.model.predicts => "nats a scored position",
            RiseUnit::Loss => "of the cosine of embeddings",
            RiseUnit::Share => "of the mean square that the layer adds",
        };
        plan.scores_in = Some(what.to_owned());
        plan.notes.extend(plan.spared_words());
        let (kept, heads) = (plan.kept.heads(), plan.heads.values().sum::<usize>());
        // Of larger cuts the second order tells several times too little.
        let is_small = kept < heads && (heads - kept) * SMALL_CUT <= heads;
        if *unit == RiseUnit::Loss && lost.is_finite() && is_small {
            const LEAST: f64 = 1e-4;
            let lost = if lost < LEAST { format!("less than {LEAST}") } else { format!("{lost:.4}") };
            plan.notes.push(format!("{FORECAST} {lost} {what} if the plan is refitted, a forecast to second order"));
        }
        Ok(plan)
    }
}

/// Which of its `stays` each layer takes.
fn numbers(layers: &[ChoiceLayer], analysis: &Analysis, request: &PlanRequest) -> Result<Vec<usize>> {
    let (spared, open): (Vec<usize>, Vec<usize>) =
        (0..layers.len()).partition(|l| layers[*l].is_spared(analysis, request));
    let each =
        |wanted: &dyn Fn(&ChoiceLayer) -> f64| open.iter().map(|l| layers[*l].near(wanted(&layers[*l]))).collect();
    let chosen: Vec<usize> = match request.amount {
        Amount::Keep(number) => each(&|_| number as f64),
        Amount::LayerRatio(ratio) => each(&|l| ratio * l.heads as f64),
        Amount::Groups => each(&|l| l.passes(analysis).iter().map(|s| s.kept.len()).max().unwrap_or(1) as f64),
        Amount::Ratio(ratio) => {
            let heads: usize = open.iter().map(|l| layers[*l].heads).sum();
            let stays: Vec<Vec<Stay>> = open.iter().map(|l| layers[*l].stays.clone()).collect();
            allocate(&stays, (ratio * heads as f64).round() as usize)
        }
        Amount::Threshold(_) => {
            return Err(Error::usage(
                "reconstruction chooses heads together: there is no score that a threshold could cut",
            )
            .hint("give a number of heads or a ratio"));
        }
    };
    let whole = spared.iter().map(|l| (*l, layers[*l].near(layers[*l].heads as f64)));
    let numbers: BTreeMap<usize, usize> = open.iter().copied().zip(chosen).chain(whole).collect();
    Ok(numbers.into_values().collect())
}

/// The least that is added to the diagonal of a covariance of `width` numbers over `tokens`, as a share of their mean square:
/// outputs that hardly vary have a covariance of nothing but rounding, which alone could not be factored.
///
/// With `u = epsilon / 2` and `m` terms in a row, a sum of products is wrong by `m u` of the sum of their sizes at most, which is
/// no more than `n sqrt(s_i s_j)`, where `s` are mean squares; and so is either of the two means whose product is taken away, with
/// seven roundings more: `(3 m + 6) u sqrt(s_i s_j)` in all. A matrix of such entries has a norm of `(3 m + 6) u` times the sum of
/// the `s`, and Cholesky's factorization adds `(width + 1) u` of it (Higham 2002, sections 4.2 and 10.1). Twice of both leaves half
/// standing. Graphics processors sum a batch in 32 bits and may be wrong by more, which the factorization then says.
fn rounding(width: usize, tokens: u64) -> f64 {
    let (width, tokens) = (width as f64, tokens as f64);
    let in_a_row = tokens.min(IN_A_ROW + tokens / OF_A_BATCH);
    f64::EPSILON * width * (3.0 * in_a_row + width + 7.0)
}

/// `(C, lambda)` of a layer.
fn covariance(moments: &SiteMoments) -> Result<(Mat<f64>, f64)> {
    let total = moments.total()?;
    let n = total.tokens as f64;
    let mut c = dense(&total.square, 1.0 / n);
    let least = pull(&c, rounding(c.ncols(), total.tokens));
    if moments.output_bias {
        for j in 0..c.ncols() {
            for i in 0..c.nrows() {
                c[(i, j)] -= total.sum[i] / n * (total.sum[j] / n);
            }
        }
    }
    let pull = pull(&c, RIDGE).max(least);
    Ok((c, pull))
}

fn sweep(shared: &SharedMoments<'_>, unit: RiseUnit) -> Result<Sweep> {
    let SharedMoments { sites, moments } = shared;
    let (mut a, pull) = covariance(moments)?;
    let v = match (&moments.sensitivity, unit) {
        // Half the mean product of gradients, the second order of the loss, for every pass that reads these weights.
        (Some(sensitivity), RiseUnit::Loss) => {
            dense(&sensitivity.square, 0.5 * sites.len() as f64 / sensitivity.scored as f64)
        }
        _ => {
            let power = inner(a.as_ref(), dense(&moments.output, 1.0).as_ref());
            dense(&moments.output, if power > 0.0 { power.recip() } else { 0.0 })
        }
    };
    for i in 0..a.nrows() {
        a[(i, i)] += pull;
    }
    Sweep::new(&a, v, moments.head_dim, 0.0)
}

/// How much of what each head adds the other heads of its layer can say, `0..=1`: 1 where it is not missed at all. `1 -
/// E_h / tr(W_h^T C_hh W_h)`, `E_h` the least squares error without it; 1 for a head that adds nothing.
pub fn replaceability(moments: &Moments) -> Result<BTreeMap<Site, Baseline>> {
    let of = |shared: SharedMoments<'_>| -> Result<Vec<(Site, Baseline)>> {
        let moments = &*shared.moments;
        let (mut a, pull) = covariance(moments)?;
        for i in 0..a.nrows() {
            a[(i, i)] += pull;
        }
        let products = dense(&moments.output, 1.0);
        let whole = Sweep::new(&a, products.clone(), moments.head_dim, 0.0)?;
        let value = |h: usize| -> Result<f64> {
            let at: Vec<usize> = (h * moments.head_dim..(h + 1) * moments.head_dim).collect();
            let own = inner(block(a.as_ref(), &at, &at).as_ref(), block(products.as_ref(), &at, &at).as_ref());
            Ok(if own > 0.0 { (1.0 - whole.rise(&[h])? / own).clamp(0.0, 1.0) } else { 1.0 })
        };
        let values: Vec<f64> = (0..moments.heads).map(value).collect::<Result<_>>()?;
        let baseline = Baseline { values, samples: moments.tokens(), errors: Vec::new() };
        Ok(shared.sites.iter().map(|site| (*site, baseline.clone())).collect())
    };
    let found: Vec<_> = moments.shared()?.into_par_iter().map(of).collect::<Result<_>>()?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestSite;
    use super::*;
    use crate::analysis::ModelInfo;

    #[test]
    fn what_rounding_leaves_of_outputs_that_do_not_vary_is_below_the_floor() {
        // All that is in this covariance is rounding, of sums that err to one side.
        let outputs = Mat::from_fn(2000, 12, |_, k| 0.1 * (k + 1) as f64);
        let case = TestSite { outputs, ..TestSite::new(4, 3, true, 5) };
        let (c, _) = covariance(&case.moments()).unwrap();
        let mean_square = (1..=12).map(|k| (0.1 * f64::from(k)).powi(2)).sum::<f64>() / 12.0;
        let (left, floor) = (inner(c.as_ref(), c.as_ref()).sqrt(), rounding(12, 2000) * mean_square);
        assert!(left > 0.0 && left < floor / 2.0, "{left:e} {floor:e}");
        // And far below the ridge of outputs that do vary, for wide layers and many tokens too.
        assert!(rounding(768, 50_000) < 1e-4 * RIDGE && rounding(4096, 10_000_000) < 1e-2 * RIDGE);
    }

    #[test]
    fn replaceability_is_what_least_squares_leave() {
        for with_bias in [false, true] {
            let case = TestSite::new(4, 3, with_bias, 5);
            let site: Site = "decoder.0".parse().unwrap();
            let moments = Moments {
                model: ModelInfo::default(),
                input: String::new(),
                readings: Vec::new(),
                batches: 2,
                sites: BTreeMap::from([(site, case.moments())]),
            };
            let found = &replaceability(&moments).unwrap()[&site].values;
            for (h, value) in found.iter().enumerate() {
                let others: Vec<usize> = (0..4).filter(|k| *k != h).collect();
                // What the head adds alone.
                let mut weight = case.weight.clone();
                for i in 0..weight.nrows() {
                    if i / 3 != h {
                        weight.row_mut(i).fill(0.0);
                    }
                }
                let alone = TestSite { weight, outputs: case.outputs.clone(), ..case };
                let expected = 1.0 - case.error(&others) / alone.power();
                assert!((value - expected).abs() < 2e-3, "{value} {expected}");
            }
        }
    }
}
