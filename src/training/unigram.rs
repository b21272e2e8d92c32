//! What a model reaches that only counts tokens: the least that any language model must beat.

use std::collections::HashMap;

use crate::error::Result;
use crate::network::Batch;
use crate::task::Ticket;

/// Mean cross-entropy per label of `held_out`, in nats, of the distribution of labels in `training` over a `vocabulary`,
/// each counted once more than seen (Laplace); absent where there is no label.
pub fn unigram_loss(
    training: impl IntoIterator<Item = Result<Batch>>,
    held_out: &[Batch],
    vocabulary: usize,
    ticket: &Ticket,
) -> Result<Option<f64>> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    let mut total = 0u64;
    for batch in training {
        ticket.check()?;
        for label in batch?.labels.iter().flatten().flatten() {
            *counts.entry(*label).or_default() += 1;
            total += 1;
        }
    }
    let all = (total + vocabulary as u64) as f64;
    let loss = |label: &u32| -(((counts.get(label).copied().unwrap_or(0) + 1) as f64) / all).ln();
    let losses: Vec<f64> = held_out.iter().flat_map(|b| b.labels.iter().flatten().flatten()).map(loss).collect();
    Ok((!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::Tokens;

    fn batch(labels: &[Option<u32>]) -> Batch {
        let row = (vec![1; labels.len()], vec![true; labels.len()]);
        let tokens = Tokens::pad(&[row], 0, &Device::Cpu).unwrap();
        Batch { labels: Some(labels.to_vec()), ..Batch::tokens(tokens) }
    }

    #[test]
    fn counted_tokens_predict_what_is_held_out() {
        let training = [batch(&[Some(0), Some(0), None]), batch(&[Some(0), Some(1), Some(2)])].map(Ok);
        let held_out = [batch(&[Some(0), None, Some(3)])];
        // Of 5 labels over 4 tokens: p(0) = 4/9, p(3) = 1/9.
        let got = unigram_loss(training, &held_out, 4, &Ticket::default()).unwrap().unwrap();
        assert!((got - ((9.0f64 / 4.0).ln() + 9.0f64.ln()) / 2.0).abs() < 1e-12);
        assert_eq!(unigram_loss([], &[batch(&[None])], 4, &Ticket::default()).unwrap(), None);
    }
}
