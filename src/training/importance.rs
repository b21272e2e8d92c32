//! How much depends on each head: derivatives by its gate.

use std::cell::Cell;
use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use sha2::{Digest, Sha256};

use super::task_loss;
use crate::analysis::{Importance, Sensitivity, SummedLoss, importance, sensitivity};
use crate::checkpoint::tensor_bytes;
use crate::error::{Error, Result};
use crate::evaluation::pooled;
use crate::network::{Batch, Gates, Hidden, Network, NoProbe, Site, Source};
use crate::task::Ticket;
use crate::tensor::wide;

/// Random projections of every batch, where there is no loss. The size of one is `|N(0, 1)|` times what is measured, with
/// a spread of three quarters; each costs a backward pass.
const PROJECTIONS: u64 = 4;

/// Mean absolute derivative by each head's gate (Michel et al. 2019), for [`crate::plan::Method::Importance`].
///
/// With a language-model head it is that of the task loss, so `batches` carry labels; a batch without any gives no
/// sample. So it is with the head of a labeled task and labels. Without a head or without labels there is no loss: then it is that of random projections of the sequences' embeddings, scaled to
/// norm 1 as cosines see them. Their mean measures how far the embeddings move when a gate does. They are drawn from
/// `seed` and the contents of the batch, so that parts of a corpus merge to what the whole gives. `total` is how many batches
/// there are, where that is known.
pub fn gate_importance(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    seed: u64,
    ticket: &Ticket,
) -> Result<Importance> {
    let unlabeled = Cell::new(false);
    let losses = |gates: &Gates, batch: &Batch| -> Result<Vec<Tensor>> {
        if has_loss(network, batch)? {
            if batch.label_count() == 0 {
                return Ok(Vec::new());
            }
            let hidden = network.hidden(batch, gates, &mut NoProbe)?;
            return Ok(vec![task_loss(network, &hidden, batch, 0.0)?.mean]);
        }
        unlabeled.set(true);
        let unit = unit_embeddings(network, &network.hidden(batch, gates, &mut NoProbe)?)?;
        let mut rng = Xoshiro256Plus::seed_from_u64(seed ^ digest(batch)?);
        (0..PROJECTIONS).map(|_| projection(&unit, &mut rng)).collect()
    };
    let mut found = importance(network, batches, total, losses, ticket)?;
    if unlabeled.into_inner() {
        let mut shares: Vec<f64> = found
            .sites
            .values()
            .flat_map(|b| b.values.iter().zip(&b.errors))
            .filter(|(value, _)| **value > 0.0)
            .map(|(value, error)| error / value)
            .collect();
        shares.sort_by(f64::total_cmp);
        let error = match shares.get(shares.len() / 2) {
            Some(share) => format!("its standard error is {:.0} % of a head's score (median)", 100.0 * share),
            None => "one batch does not tell how sure it is".to_owned(),
        };
        found.notes.push(format!(
            "importance without a loss (no head that predicts, or no labels) is an estimate from {PROJECTIONS} random projections of \
             the embeddings per batch: {error}"
        ));
    }
    Ok(found)
}

/// How the loss depends on the outputs of every head, in whose units errors of different layers compare: of the task
/// loss where there is a language-model head, else of one of the projections that [`gate_importance`] takes. A batch
/// without labels counts for nothing.
pub fn output_sensitivity(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    seed: u64,
    ticket: &Ticket,
) -> Result<BTreeMap<Site, Sensitivity>> {
    let loss = |gates: &Gates, batch: &Batch| -> Result<Option<SummedLoss>> {
        let has_loss = has_loss(network, batch)?;
        if has_loss && batch.label_count() == 0 {
            return Ok(None);
        }
        let hidden = network.hidden(batch, gates, &mut NoProbe)?;
        if has_loss {
            let loss = task_loss(network, &hidden, batch, 0.0)?;
            return Ok(Some(SummedLoss { sum: (loss.mean * loss.tokens as f64)?, terms: loss.tokens }));
        }
        let mut rng = Xoshiro256Plus::seed_from_u64(seed ^ digest(batch)?);
        let sum = projection(&unit_embeddings(network, &hidden)?, &mut rng)?;
        Ok(Some(SummedLoss { sum, terms: batch.source.sequences()? }))
    };
    sensitivity(network, batches, total, loss, ticket)
}

/// Whether `batch` is judged by a loss: always where the model predicts tokens, with labels where it has the head of a task.
///
/// # Errors
/// A model that predicts tokens was handed a batch without labels.
fn has_loss(network: &Network, batch: &Batch) -> Result<bool> {
    let is_labeled = batch.labels.is_some() || batch.items.wanted.is_some();
    if network.spec().predicts_tokens() && !is_labeled {
        return Err(Error::new("the batches carry no labels to score"));
    }
    Ok(is_labeled && network.spec().is_scored())
}

/// One embedding per sequence, `[N, D]`, of norm 1.
fn unit_embeddings(network: &Network, hidden: &Hidden) -> Result<Tensor> {
    let embeddings = pooled(network.spec(), hidden)?;
    let embeddings = embeddings.to_dtype(wide(embeddings.dtype()))?;
    // Below the root: that of nothing has a slope without end.
    let squares = embeddings.sqr()?.sum_keepdim(1)?.clamp(f32::MIN_POSITIVE, f32::MAX)?;
    let norms = squares.sqrt()?;
    Ok(embeddings.broadcast_div(&norms)?)
}

/// Sum over sequences of `<r, e>` with signs `r` drawn for each of them.
fn projection(unit: &Tensor, rng: &mut impl RngCore) -> Result<Tensor> {
    let signs: Vec<f32> = (0..unit.elem_count()).map(|_| if rng.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }).collect();
    let signs = Tensor::from_vec(signs, unit.shape(), unit.device())?.to_dtype(unit.dtype())?;
    Ok((unit * signs)?.sum_all()?)
}

/// A number that the inputs of a batch alone decide.
fn digest(batch: &Batch) -> Result<u64> {
    let mut hash = Sha256::new();
    match &batch.source {
        Source::Tokens(tokens) => {
            hash.update(tensor_bytes(&tokens.ids)?);
            for given in [&tokens.types, &tokens.positions].into_iter().flatten() {
                given.iter().for_each(|number| hash.update(number.to_le_bytes()));
            }
        }
        Source::Pixels(x) | Source::Frames(x) => hash.update(tensor_bytes(x)?),
        Source::Samples(samples) => hash.update(tensor_bytes(&samples.values)?),
    }
    if let Some(target) = &batch.target {
        hash.update(tensor_bytes(&target.ids)?);
    }
    let bytes = hash.finalize();
    Ok(bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
