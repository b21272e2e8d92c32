//! Scores of heads that do not come from votes: what others prune by.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};

use super::{Analysis, Baseline, HeadKind};
use crate::error::{Error, Result};
use crate::network::{Batch, Gates, Module, Network, NetworkSpec, Projection, Site, Weights};
use crate::task::Ticket;
use crate::tensor::{doubles, wide};
use crate::words::counted;

/// Names under which [`Analysis::set_baseline`] keeps these scores.
pub mod baseline {
    use super::HeadKind;

    /// Mean absolute derivative of the loss by the head's gate (Michel et al. 2019, equation 2).
    pub const IMPORTANCE: &str = "importance";
    /// Norm of the head's weights.
    pub const MAGNITUDE: &str = "magnitude";
    /// Mean largest attention weight (Voita et al. 2019, section 4).
    pub const CONFIDENCE: &str = "confidence";
    /// Mean entropy of the attention, nats; measured where attention maps are compared.
    pub const ENTROPY: &str = "entropy";
    /// Share of what the head adds that the other heads of its layer can say; measured with second moments.
    pub const REPLACEABILITY: &str = "replaceability";

    /// How an analysis gets the score of this name; `None` where there is no such score.
    pub fn rerun(name: &str) -> Option<String> {
        Some(match name {
            IMPORTANCE | MAGNITUDE | CONFIDENCE => format!("analyze again with --scores {name}"),
            ENTROPY => "analyze again with --feature attention".to_owned(),
            REPLACEABILITY => "analyze again with --moments".to_owned(),
            kind if HeadKind::named(kind).is_some() => "analyze again without --no-kinds".to_owned(),
            _ => return None,
        })
    }
}

/// How much depends on each head, and what to know of the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The mean per head, by site.
    pub sites: BTreeMap<Site, Baseline>,
    /// Batches that gave no sample.
    pub skipped: u64,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

impl Importance {
    /// Keeps the scores in `analysis`.
    ///
    /// # Errors
    /// Where they are of other layers.
    pub fn record(self, analysis: &mut Analysis) -> Result<()> {
        analysis.set_baseline(baseline::IMPORTANCE, self.sites)?;
        analysis.notes.extend(self.notes);
        Ok(())
    }
}

/// Michel et al. 2019: `I_h = mean over batches of |dL / d gate_h|` at open gates, per site. `losses` gives the scalar
/// loss of a batch that `network` reads through the gates; of several their derivatives' sizes are averaged, and a batch
/// without one gives no sample. With several sequences in a batch the derivative is that of their joint loss, as in the
/// authors' code; batches of one sequence give the paper's expectation. `total` is how many batches there are, where that is known.
pub fn importance(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    losses: impl Fn(&Gates, &Batch) -> Result<Vec<Tensor>>,
    ticket: &Ticket,
) -> Result<Importance> {
    struct ImportanceSums {
        site: Site,
        gate: Var,
        sums: Vec<f64>,
        squares: Vec<f64>,
    }
    let mut layers = Vec::new();
    let mut gates = Gates::open();
    for (site, attention) in network.spec().sites() {
        let gate = Var::ones(attention.heads, DType::F32, network.device())?;
        gates.set(site, gate.as_tensor().to_dtype(wide(network.dtype()))?);
        let none = vec![0.0; attention.heads];
        layers.push(ImportanceSums { site, gate, sums: none.clone(), squares: none });
    }
    ticket.stage("measure importance", total, "batches");
    let (mut samples, mut skipped) = (0, 0);
    for batch in batches {
        ticket.check()?;
        let losses = losses(&gates, &batch?)?;
        let gradients = losses.iter().map(Tensor::backward).collect::<candle_core::Result<Vec<_>>>()?;
        for ImportanceSums { site, gate, sums, squares } in &mut layers {
            let mut sample = vec![0.0; sums.len()];
            for gradients in &gradients {
                let gradient = gradients
                    .get(gate)
                    .ok_or_else(|| Error::new(format!("the loss does not depend on the heads of {site}")))?;
                for (mean, g) in sample.iter_mut().zip(doubles(gradient)?) {
                    *mean += g.abs() / losses.len() as f64;
                }
            }
            for (h, value) in sample.into_iter().enumerate() {
                sums[h] += value;
                squares[h] += value * value;
            }
        }
        if losses.is_empty() {
            skipped += 1;
        } else {
            samples += 1;
        }
        ticket.advance(1)?;
    }
    if samples == 0 {
        return Err(match skipped {
            0 => Error::new("there was no input to measure importance on"),
            _ => Error::new("no position of the input has a label, so importance has no loss to follow")
                .hint("give sequences of two tokens or more, or labels"),
        });
    }
    let mut sites = BTreeMap::new();
    for ImportanceSums { site, sums, squares, .. } in layers {
        if sums.iter().any(|sum| !sum.is_finite()) {
            return Err(Error::new(format!("the gradient at {site} is not finite")));
        }
        sites.insert(site, Baseline::of_sums(&sums, &squares, samples));
    }
    let mut notes = Vec::new();
    if skipped > 0 {
        let of = counted(samples + skipped, "batches");
        notes.push(format!("importance: {skipped} of {of} had no scored position and gave no sample"));
    }
    Ok(Importance { sites, skipped, notes })
}

/// Scores divided by their layer's Euclidean norm, so that layers can be compared (Michel et al. 2019, after
/// Molchanov et al. 2017). A layer of zeros stays zero.
pub fn normalized_by_layer(values: &[f64]) -> Vec<f64> {
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
        found.insert(site, Baseline::exact((0..attention.heads).map(norm).collect()));
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
