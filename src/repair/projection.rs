//! Output projections: the old one, and the one that is fitted in its place.

use candle_core::{DType, Device, Tensor};
use faer::Mat;

use super::document::SiteRepair;
use super::regression::{Fit, Regression};
use crate::analysis::enough;
use crate::error::{Error, Result};
use crate::model::{NewOutput, output_module};
use crate::network::{NetworkSpec, Site, Weights};
use crate::tensor::to_f64;

/// Ridges that are tried, as shares of the mean diagonal.
pub(super) const RIDGES: [f64; 5] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// Further ones, where so few tokens are fitted on that the old rows may say more than any fit.
const STIFF: [f64; 3] = [1.0, 1e1, 1e2];

/// Where there is no other half to try ridges on: the least, of plenty of tokens.
pub(super) const UNTRIED: f64 = 1e-3;

/// How the ridge of a layer is found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ridge {
    /// The one of a few with the least error on the held-out half, layer by layer.
    #[default]
    Auto,
    /// This share of the mean diagonal of the second moments.
    Fixed(f64),
}

impl std::str::FromStr for Ridge {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let value = text.parse().ok().filter(|r: &f64| r.is_finite() && *r >= 0.0);
        let wrong = || Error::usage(format!("'{text}' is no ridge")).hint("give auto, or a number such as 0.001");
        value.map(Self::Fixed).ok_or_else(wrong)
    }
}

/// Which batches a fit rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    All,
    /// Those with even numbers, so that the others can judge it.
    Even,
}

/// The output projection of a layer as it is.
pub(super) struct OutputProjection {
    /// `W`, `[H d, D_model]`.
    pub weight: Mat<f64>,
    /// The bias `b`, `[D_model]`.
    pub bias: Option<Vec<f64>>,
    /// The width `d` of a head.
    pub head_dim: usize,
    pub kv_heads: usize,
}

impl OutputProjection {
    /// Reads that of `site`.
    pub(super) fn read(spec: &NetworkSpec, weights: &dyn Weights, site: Site) -> Result<Self> {
        let module = output_module(spec, site);
        let attention = spec.attention(site).ok_or_else(|| Error::new(format!("the model has no {site}")))?;
        let stored: Vec<Vec<f64>> = to_f64(&weights.get(module.weight())?)?.to_vec2()?;
        let width = stored.first().map_or(0, Vec::len);
        let bias = match attention.projection_bias.output {
            true => Some(to_f64(&weights.get(module.bias())?)?.to_vec1()?),
            false => None,
        };
        Ok(Self {
            weight: Mat::from_fn(width, stored.len(), |i, j| stored[j][i]),
            bias,
            head_dim: attention.head_dim,
            kv_heads: attention.kv_heads,
        })
    }
}

/// What a fit on one half gives on both.
struct Trial {
    ridge: f64,
    fit: Fit,
    fitted: f64,
    held_out: Option<f64>,
}

/// The ridge where nothing is held out to choose it by. Covariances of `k` numbers over `n` tokens are wrong by about `k / n`
/// of their mean diagonal, so that a smaller ridge would fit what these tokens alone have: with fewer tokens than numbers the
/// fit would go through every one of them.
pub(super) fn untried(regressors: usize, positions: u64) -> f64 {
    (regressors as f64 / positions.max(1) as f64).max(UNTRIED)
}

/// Fits on `even` under the ridge that is asked for, or the one that does best on `odd`.
fn trial(even: &Regression<'_>, odd: Option<&Regression<'_>>, prior: &Mat<f64>, ridge: Ridge) -> Result<Trial> {
    let ridges = match (ridge, odd) {
        (Ridge::Fixed(ridge), _) => vec![ridge],
        (Ridge::Auto, Some(_)) if even.positions < enough(even.xx.nrows()) => [&RIDGES[..], &STIFF].concat(),
        (Ridge::Auto, Some(_)) => RIDGES.to_vec(),
        (Ridge::Auto, None) => vec![untried(even.xx.nrows(), even.positions)],
    };
    let mut best: Option<Trial> = None;
    for ridge in ridges {
        let fit = even.solve(ridge, prior)?;
        let held_out = odd.map(|odd| odd.error(&fit));
        if best.as_ref().is_none_or(|b| held_out < b.held_out) {
            best = Some(Trial { ridge, fitted: even.error(&fit), held_out, fit });
        }
    }
    best.ok_or_else(|| Error::new("no ridge was given"))
}

/// Solves for the projection that replaces `as_it_is`, the rows of the kept heads `[k, D_model]`, and tells how well it does
/// on the held-out half, else on all. Where it `gives_way`, rows that do better there as they are stay.
pub(super) fn fit_and_judge(
    halves: &[Regression<'_>; 2],
    as_it_is: &Fit,
    ridge: Ridge,
    basis: Basis,
    gives_way: bool,
) -> Result<(Fit, SiteRepair)> {
    let [even, odd] = halves;
    let prior = &as_it_is.weight;
    let split = even.tokens > 0.0 && odd.tokens > 0.0;
    let mut all = even.clone();
    all.add(odd);
    let (first, second) = if split { (even, Some(odd)) } else { (&all, None) };
    let trial = trial(first, second, prior, ridge)?;
    let judge = second.unwrap_or(first);
    let share = |error: f64, of: &Regression<'_>| if of.power() > 0.0 { error / of.power() } else { 0.0 };
    let masked = judge.error(as_it_is);
    let stays = gives_way && trial.held_out.unwrap_or(trial.fitted) > masked;
    let report = SiteRepair {
        tokens: all.positions,
        ridge: trial.ridge,
        masked: share(masked, judge),
        fitted: share(if stays { first.error(as_it_is) } else { trial.fitted }, first),
        held_out: trial.held_out.map(|error| share(if stays { masked } else { error }, judge)),
    };
    let fit = match basis {
        _ if stays => as_it_is.clone(),
        Basis::Even => trial.fit,
        Basis::All if split => all.solve(trial.ridge, prior)?,
        Basis::All => trial.fit,
    };
    Ok((fit, report))
}

/// A new output projection as tensors; `constant` is what is added to the bias.
pub(super) fn new_output(kept: &[usize], fit: &Fit, old: &OutputProjection) -> Result<NewOutput> {
    let (k, m) = (fit.weight.nrows(), fit.weight.ncols());
    let values: Vec<f64> = (0..m).flat_map(|j| (0..k).map(move |i| (i, j))).map(|at| fit.weight[at]).collect();
    let narrow = |values: Vec<f64>, shape: &[usize]| -> Result<Tensor> {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        let sum = tensor.abs()?.sum_all()?.to_scalar::<f32>()?;
        if !sum.is_finite() {
            return Err(Error::new("a repair is not finite").hint("give a larger ridge"));
        }
        Ok(tensor)
    };
    let bias = old.bias.as_ref().map(|bias| narrow(bias.iter().zip(&fit.bias).map(|(b, c)| b + c).collect(), &[m]));
    Ok(NewOutput { kept: kept.to_vec(), weight: narrow(values, &[m, k])?, bias: bias.transpose()? })
}
