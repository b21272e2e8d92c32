//! Scores of heads that do not come from votes: what others prune by.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};

use super::{Analysis, Baseline};
use crate::error::{Error, Result};
use crate::network::{Batch, Gates, Module, Network, NetworkSpec, Projection, Site, Weights};
use crate::task::Ticket;
use crate::tensor::{doubles, wide};

/// Names under which [`Analysis::set_baseline`] keeps these scores.
pub mod baseline {
    /// Mean absolute derivative of the loss by the head's gate (Michel et al. 2019, equation 2).
    pub const IMPORTANCE: &str = "importance";
    /// Norm of the head's weights.
    pub const MAGNITUDE: &str = "magnitude";
    /// Mean largest attention weight (Voita et al. 2019, section 4).
    pub const CONFIDENCE: &str = "confidence";
    /// Mean entropy of the attention, nats; measured where attention maps are compared.
    pub const ENTROPY: &str = "entropy";
}

/// Michel et al. 2019: `I_h = mean over batches of |dL / d gate_h|` at open gates, per site. `loss` gives the scalar
/// loss of a batch that `network` reads through the gates. With several sequences in a batch the derivative is that
/// of their joint loss, as in the authors' code; batches of one sequence give the paper's expectation.
pub fn importance(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    loss: impl Fn(&Gates, &Batch) -> Result<Tensor>,
    ticket: &Ticket,
) -> Result<BTreeMap<Site, Baseline>> {
    let mut vars = Vec::new();
    let mut gates = Gates::open();
    for (site, attention) in network.spec().sites() {
        let var = Var::ones(attention.heads, DType::F32, network.device())?;
        gates.set(site, var.as_tensor().to_dtype(wide(network.dtype()))?);
        vars.push((site, var, vec![0.0; attention.heads]));
    }
    let batches = batches.into_iter();
    let total = match batches.size_hint() {
        (low, Some(high)) if low == high => Some(high as u64),
        _ => None,
    };
    ticket.stage("measure importance", total, "batches");
    let mut samples = 0;
    for batch in batches {
        ticket.check()?;
        let batch = batch?;
        let gradients = loss(&gates, &batch)?.backward()?;
        for (site, var, sums) in &mut vars {
            let gradient = gradients
                .get(var)
                .ok_or_else(|| Error::new(format!("the loss does not depend on the heads of {site}")))?;
            for (sum, g) in sums.iter_mut().zip(doubles(gradient)?) {
                *sum += g.abs();
            }
        }
        samples += 1;
        ticket.advance(1)?;
    }
    if samples == 0 {
        return Err(Error::new("there was no input to measure importance on"));
    }
    let mean = |sums: Vec<f64>| Baseline { values: sums.iter().map(|s| s / samples as f64).collect(), samples };
    let found: BTreeMap<Site, Baseline> = vars.into_iter().map(|(site, _, sums)| (site, mean(sums))).collect();
    match found.iter().find(|(_, b)| b.values.iter().any(|v| !v.is_finite())) {
        Some((site, _)) => Err(Error::new(format!("the gradient at {site} is not finite"))),
        None => Ok(found),
    }
}

/// Scores divided by their layer's Euclidean norm, so that layers can be compared (Michel et al. 2019, after
/// Molchanov et al. 2017). A layer of zeros stays zero.
pub fn normalised_by_layer(values: &[f64]) -> Vec<f64> {
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    values.iter().map(|v| if norm > 0.0 { v / norm } else { 0.0 }).collect()
}

/// Euclidean norm of every head's weights: its rows of `W_Q`, `W_K`, `W_V` and columns of `W_O`. A key/value head's
/// squares are shared equally among the query heads that read it.
pub fn magnitude(spec: &NetworkSpec, weights: &dyn Weights) -> Result<BTreeMap<Site, Baseline>> {
    let mut found = BTreeMap::new();
    for (site, attention) in spec.sites() {
        let stored = spec.stored_layer(site).unwrap_or(site.layer);
        let squares = |projection: Projection| -> Result<Vec<f64>> {
            let heads = attention.heads_of(projection);
            let weight = weights.get(Module::projection(site.kind, stored, projection).weight())?;
            let rows = if projection == Projection::Output { weight.t()?.contiguous()? } else { weight };
            let by_head = rows.detach().to_dtype(DType::F32)?.reshape((heads, ()))?.sqr()?.sum(1)?;
            Ok(doubles(&by_head)?)
        };
        let (query, output) = (squares(Projection::Query)?, squares(Projection::Output)?);
        let (key, value) = (squares(Projection::Key)?, squares(Projection::Value)?);
        let repeat = attention.queries_per_kv();
        let norm = |h: usize| {
            let shared = h / repeat;
            (query[h] + output[h] + (key[shared] + value[shared]) / repeat as f64).sqrt()
        };
        found.insert(site, Baseline { values: (0..attention.heads).map(norm).collect(), samples: 0 });
    }
    Ok(found)
}

impl Analysis {
    /// Keeps a score per head under `name`; it must cover every site.
    pub fn set_baseline(&mut self, name: &str, mut scores: BTreeMap<Site, Baseline>) -> Result<()> {
        for site in &mut self.sites {
            let found = scores.remove(&site.site).filter(|b| b.values.len() == site.heads);
            let found = found.ok_or_else(|| Error::new(format!("the {name} of {} does not fit it", site.site)))?;
            site.baselines.insert(name.to_owned(), found);
        }
        Ok(())
    }
}
