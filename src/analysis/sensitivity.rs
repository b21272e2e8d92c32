//! How the loss depends on what heads put out: second moments of gradients, in whose units errors of different layers
//! compare ([method](crate::method), section 9; Kurtic et al. 2022, van der Ouderaa et al. 2024).

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::moment::Moment;
use super::{Moments, Sensitivity};
use crate::error::{Error, Result};
use crate::network::{Batch, Extent, Gates, Network, Site, SiteKind, TokenMask};
use crate::task::Ticket;
use crate::tensor::wide;

/// The loss of one batch, for [`sensitivity`].
#[derive(Clone, Debug)]
pub struct SummedLoss {
    /// Summed over its terms, differentiable.
    pub sum: Tensor,
    /// Terms: scored tokens, or sequences.
    pub terms: usize,
}

/// `sum g g^T` of every site, `g = dL/do` by the outputs `o` of all heads at a position, where `loss` gives the loss of
/// a batch, if it has any, that `network` reads through the gates. One batch's graph is held at a time.
///
/// # Errors
///
/// There is no batch, or a gradient is not finite.
pub fn sensitivity(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    loss: impl Fn(&Gates, &Batch) -> Result<Option<SummedLoss>>,
    ticket: &Ticket,
) -> Result<BTreeMap<Site, Sensitivity>> {
    let mut totals: BTreeMap<Site, Moment> = BTreeMap::new();
    let mut scored = 0;
    ticket.stage("measure sensitivity", total, "batches");
    for batch in batches {
        ticket.check()?;
        let batch = batch?;
        let (gates, offsets) = offsets(network, &batch)?;
        let Some(SummedLoss { sum, terms }) = loss(&gates, &batch)? else {
            ticket.advance(1)?;
            continue;
        };
        let gradients = sum.backward()?;
        for (site, offset) in &offsets {
            let gradient = gradients.get(offset);
            let gradient =
                gradient.ok_or_else(|| Error::new(format!("the loss does not depend on the heads of {site}")))?;
            let (n, _, t, _) = gradient.dims4()?;
            // Padding has no gradient.
            let moment = Moment::of(gradient, &TokenMask::full(n, t))?.into_total()?;
            match totals.get_mut(site) {
                Some(total) => total.add(&moment)?,
                None => {
                    totals.insert(*site, moment);
                }
            }
        }
        scored += terms as u64;
        ticket.advance(1)?;
    }
    if scored == 0 {
        return Err(Error::new("there was no input to measure sensitivity on"));
    }
    let found = totals.into_iter().map(|(site, total)| {
        let square = total.second_moment().map_err(|_| Error::new(format!("the gradient at {site} is not finite")))?;
        Ok((site, Sensitivity { square: square.square, scored }))
    });
    found.collect()
}

/// Zeros that are added to the outputs of every site's heads, `[N, H, T, d]`, and gates that add them.
fn offsets(network: &Network, batch: &Batch) -> Result<(Gates, Vec<(Site, Var)>)> {
    let spec = network.spec();
    let Extent { sequences, source, target } = Extent::of(batch, spec)?;
    let reads_target = spec.encoder.is_some() && spec.decoder.is_some();
    let (mut gates, mut offsets) = (Gates::open(), Vec::new());
    for (site, attention) in spec.sites() {
        let positions = if site.kind != SiteKind::Encoder && reads_target { target } else { source };
        let shape = (sequences, attention.heads, positions, attention.head_dim);
        let var = Var::zeros(shape, wide(network.dtype()), network.device())?;
        if attention.heads > 0 {
            gates.set_offset(site, var.as_tensor().to_dtype(network.dtype())?);
            offsets.push((site, var));
        }
    }
    Ok((gates, offsets))
}

impl Moments {
    /// Keeps how the loss depends on every layer.
    ///
    /// # Errors
    ///
    /// A layer is missing, or of another width.
    pub fn set_sensitivity(&mut self, mut found: BTreeMap<Site, Sensitivity>) -> Result<()> {
        for (site, moments) in &mut self.sites {
            let sensitivity = found.remove(site).filter(|s| s.square.dim() == moments.dim());
            let sensitivity =
                sensitivity.ok_or_else(|| Error::new(format!("no sensitivity of {site} was measured")))?;
            moments.sensitivity = Some(sensitivity);
        }
        Ok(())
    }
}
