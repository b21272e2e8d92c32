//! Where attention weights go: the scores of [`HeadKind`], batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device};

use super::kinds::WINDOW;
use super::{Baseline, HeadKind};
use crate::error::Result;
use crate::network::{
    Batch, Extent, InputSpec, NetworkSpec, Probe, Site, SiteKind, SiteMaps, Source, TokenMask, Tokens,
};

/// Batches of the input that are looked at: attention weights are large, and a share is soon known.
pub(super) const BATCHES: usize = 4;
/// Most attention weights of a layer and batch that are formed for it: half a gibibyte in f32.
const WEIGHTS: usize = 1 << 27;

/// What tells one token from another.
#[derive(Clone, Debug, Default)]
pub struct TokenMarks {
    /// For every id whether it is a special token or punctuation; empty where there is no tokenizer.
    pub separators: Vec<bool>,
}

/// What positions of a sequence stand for.
#[derive(Clone, Debug, Default)]
struct PositionFacts {
    /// Whether each is a separator, `[N, T]`; empty where that is not known.
    separators: Vec<bool>,
    /// Rows and columns of the patches of an image.
    patches: Option<(usize, usize)>,
    /// Whether a position is that of a token or frame in a row, so that there is one before and one behind.
    in_line: bool,
}

/// What is known of one batch.
#[derive(Clone, Debug, Default)]
struct BatchFacts {
    source: PositionFacts,
    target: PositionFacts,
}

/// A sequence of random tokens that is read twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Tokens in front of the first round.
    pub begin: usize,
    /// Tokens of each round.
    pub period: usize,
}

/// Sums over query positions of the scores of a layer's heads.
#[derive(Clone, Debug, Default)]
struct KindSums {
    sums: Vec<f64>,
    positions: u64,
}

/// What batches that are too large leave out.
const TOO_LARGE: &str = "what heads do was not measured: the attention weights of a batch would take more than 512 MiB a layer; \
    smaller or shorter batches tell";

/// What inputs of one token leave out.
const TOO_SHORT: &str = "what heads do was not measured: no sequence that was read is longer than one token, so that there is \
    nothing to attend to; give longer ones";

/// Measures what heads do, on the first batches that pass.
#[derive(Clone, Debug, Default)]
pub struct KindProbe {
    marks: Arc<TokenMarks>,
    /// Height and width of a patch of an image.
    patch: Option<(usize, usize)>,
    decoder_only: bool,
    repeats: Option<Repeats>,
    batches: Vec<BatchFacts>,
    /// Whether batches were passed over for the size of their attention weights.
    is_large: bool,
    /// Batches that passed each layer.
    seen: BTreeMap<Site, usize>,
    sums: BTreeMap<(Site, HeadKind), KindSums>,
}

impl KindProbe {
    /// A probe for a network of `spec` whose tokens are told apart by `marks`.
    pub fn new(spec: &NetworkSpec, marks: TokenMarks) -> Self {
        let patch = spec.encoder.as_ref().and_then(|stack| match &stack.input {
            InputSpec::Patches(p) => Some(p.patch),
            InputSpec::Tokens(_) | InputSpec::Frames(_) | InputSpec::Samples(_) => None,
        });
        Self { marks: Arc::new(marks), patch, decoder_only: spec.encoder.is_none(), ..Self::default() }
    }

    /// The same for sequences that are read twice.
    pub(super) fn of_repeats(spec: &NetworkSpec, repeats: Repeats) -> Self {
        Self { repeats: Some(repeats), ..Self::new(spec, TokenMarks::default()) }
    }

    /// Takes in which batches come next.
    pub(super) fn prepare(&mut self, batches: &[Batch], spec: &NetworkSpec) -> Result<()> {
        self.batches.clear();
        let heads = spec.sites().iter().map(|(_, attention)| attention.heads).max().unwrap_or(0);
        let is_large = |batch: &Batch| -> Result<bool> {
            let Extent { sequences, source, target } = Extent::of(batch, spec)?;
            let length = source.max(target);
            Ok(sequences.saturating_mul(heads).saturating_mul(length).saturating_mul(length) > WEIGHTS)
        };
        // Those that advance together show their weights or none does.
        if self.is_done() {
            return Ok(());
        }
        if batches.iter().map(is_large).collect::<Result<Vec<_>>>()?.contains(&true) {
            self.is_large = true;
            return Ok(());
        }
        self.batches = batches.iter().map(|batch| self.positions(batch)).collect::<Result<_>>()?;
        Ok(())
    }

    /// Whether every layer saw as many batches as are looked at.
    fn is_done(&self) -> bool {
        !self.seen.is_empty() && self.seen.values().all(|seen| *seen >= BATCHES)
    }

    fn positions(&self, batch: &Batch) -> Result<BatchFacts> {
        let of_tokens = |tokens: &Tokens| -> Result<PositionFacts> {
            let ids: Vec<u32> = match self.marks.separators.is_empty() {
                true => Vec::new(),
                false => tokens.ids.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?,
            };
            let is_separator = |id: &u32| self.marks.separators.get(*id as usize).copied().unwrap_or(false);
            Ok(PositionFacts { separators: ids.iter().map(is_separator).collect(), patches: None, in_line: true })
        };
        let source = match &batch.source {
            Source::Tokens(tokens) => of_tokens(tokens)?,
            Source::Pixels(pixels) => {
                let (_, _, height, width) = pixels.dims4()?;
                let grid = |(down, across)| Some((height.checked_div(down)?, width.checked_div(across)?));
                PositionFacts { patches: self.patch.and_then(grid), ..PositionFacts::default() }
            }
            Source::Frames(_) | Source::Samples(_) => PositionFacts { in_line: true, ..PositionFacts::default() },
        };
        let target = match &batch.target {
            Some(tokens) => of_tokens(tokens)?,
            None => source.clone(),
        };
        Ok(BatchFacts { source, target })
    }

    /// Why nothing was measured, where that is so.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let is_told = self.sums.iter().any(|((_, kind), found)| *kind == HeadKind::Broad && found.positions > 0);
        (!is_told).then_some(if self.is_large { TOO_LARGE } else { TOO_SHORT })
    }

    /// The scores of a layer by kind, with the number of query positions.
    pub(super) fn scores(&self, site: Site) -> Vec<(HeadKind, Baseline)> {
        let of_site = self.sums.iter().filter(|((s, _), found)| *s == site && found.positions > 0);
        of_site
            .map(|((_, kind), found)| {
                let mean = |sum: &f64| (sum / found.positions as f64).clamp(0.0, 1.0);
                (*kind, Baseline::means(found.sums.iter().map(mean).collect(), found.positions))
            })
            .collect()
    }

    fn add(&mut self, site: Site, kind: HeadKind, scores: &[(Vec<f64>, u64)]) {
        let total = self.sums.entry((site, kind)).or_default();
        for (sums, positions) in scores {
            total.sums.resize(total.sums.len().max(sums.len()), 0.0);
            total.sums.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
            total.positions += positions;
        }
    }
}

impl Probe for KindProbe {
    fn wants_attention(&self, site: Site) -> bool {
        !self.batches.is_empty() && self.seen.get(&site).is_none_or(|seen| *seen < BATCHES)
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        if !self.wants_attention(maps.site) {
            return Ok(());
        }
        let (Some(attention), Some(batch)) = (maps.attention, self.batches.get(maps.batch).cloned()) else {
            return Ok(());
        };
        *self.seen.entry(maps.site).or_default() += 1;
        let weights = attention.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let (sequences, heads, queries, keys) = weights.dims4()?;
        let weights: Vec<f32> = weights.flatten_all()?.to_vec1()?;
        let causal = maps.spec.causal && maps.site.kind != SiteKind::Cross;
        let (query_side, key_side) = match maps.site.kind {
            SiteKind::Encoder => (&batch.source, &batch.source),
            SiteKind::Decoder if self.decoder_only => (&batch.source, &batch.source),
            SiteKind::Decoder => (&batch.target, &batch.target),
            SiteKind::Cross => (&batch.target, &batch.source),
        };
        for n in 0..sequences {
            let separators = key_side.separators.get(n * keys..(n + 1) * keys);
            let view = SequenceWeights {
                weights: weights.get(n * heads * queries * keys..(n + 1) * heads * queries * keys).unwrap_or_default(),
                heads,
                width: (queries, keys),
                queries: real(maps.queries, n),
                keys: real(maps.keys, n),
                causal,
            };
            let is_self = maps.site.kind != SiteKind::Cross;
            if let Some(repeats) = self.repeats {
                if is_self && query_side.in_line {
                    self.add(maps.site, HeadKind::DuplicateToken, &[view.repeated(repeats, 0)]);
                    self.add(maps.site, HeadKind::Induction, &[view.repeated(repeats, 1)]);
                }
                continue;
            }
            for (kind, found) in view.scores(is_self, query_side, separators) {
                self.add(maps.site, kind, &[found]);
            }
        }
        Ok(())
    }
}

fn real(mask: &TokenMask, sequence: usize) -> Vec<usize> {
    mask.row(sequence).iter().enumerate().filter(|(_, real)| **real).map(|(t, _)| t).collect()
}

/// Attention weights of one sequence.
struct SequenceWeights<'a> {
    /// Row-major `[H, T, S]`, padding included.
    weights: &'a [f32],
    heads: usize,
    /// The numbers `T` of queries and `S` of keys.
    width: (usize, usize),
    /// Query positions that are not padding.
    queries: Vec<usize>,
    /// Key positions that are not padding.
    keys: Vec<usize>,
    causal: bool,
}

/// Sums per head, and over how many query positions.
type Sums = (Vec<f64>, u64);

impl SequenceWeights<'_> {
    /// Weight of a head from the `query`-th real query on the `key`-th real key.
    fn get(&self, head: usize, query: usize, key: usize) -> f64 {
        let (queries, keys) = self.width;
        let place = self.queries.get(query).zip(self.keys.get(key)).map(|(t, s)| (head * queries + t) * keys + s);
        place.and_then(|at| self.weights.get(at)).map_or(0.0, |w| f64::from(*w))
    }

    /// Real keys that a query may see.
    fn visible(&self, query: usize) -> usize {
        if self.causal { (query + 1).min(self.keys.len()) } else { self.keys.len() }
    }

    /// Weights summed over the keys that `wanted` names for a query; queries for which it names none are left out.
    fn sum(&self, wanted: impl Fn(usize) -> Option<Vec<usize>>) -> Sums {
        let (mut sums, mut positions) = (vec![0.0; self.heads], 0);
        for query in 0..self.queries.len() {
            let Some(keys) = wanted(query) else { continue };
            positions += 1;
            for (head, sum) in sums.iter_mut().enumerate() {
                *sum += keys.iter().map(|key| self.get(head, query, *key)).sum::<f64>();
            }
        }
        (sums, positions)
    }

    /// Every kind that this layer's heads can be of on this input.
    fn scores(&self, is_self: bool, side: &PositionFacts, separators: Option<&[bool]>) -> Vec<(HeadKind, Sums)> {
        use HeadKind::{
            Broad, ClassToken, Diagonal, FirstToken, LocalWindow, Neighborhood, NextToken, PreviousToken, SameToken,
            Separator,
        };
        let last = self.keys.len().saturating_sub(1);
        // A query that sees one key alone has nothing to choose.
        let chooses = |q: usize| self.visible(q) > 1;
        let mut found = vec![(Broad, self.evenness())];
        match side.patches {
            Some((rows, columns)) if is_self && rows * columns > 0 && self.keys.len() >= rows * columns => {
                // What stands in front of the patches: the class token first, where there is any.
                let leading = self.keys.len() - rows * columns;
                let patch = |q: usize| q.checked_sub(leading).map(|p| (p / columns, p % columns));
                if leading > 0 {
                    found.push((ClassToken, self.sum(|q| patch(q).map(|_| vec![0]))));
                }
                let around = |q: usize| {
                    let (row, column) = patch(q)?;
                    let near = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
                    let block = near(row, rows).flat_map(|r| near(column, columns).map(move |c| (r, c)));
                    Some(block.map(|(r, c)| leading + r * columns + c).collect())
                };
                found.push((Neighborhood, self.sum(around)));
                found.push((SameToken, self.sum(|q| patch(q).map(|_| vec![q]))));
                return found;
            }
            _ => {}
        }
        found.push((FirstToken, self.sum(|q| chooses(q).then(|| vec![0]))));
        if let Some(separators) = separators {
            let marked: Vec<usize> = (1..self.keys.len())
                .filter(|k| self.keys.get(*k).and_then(|s| separators.get(*s)).copied().unwrap_or(false))
                .collect();
            // Where none can be seen there is no score.
            let seen = |q: usize| marked.iter().copied().filter(|k| *k < self.visible(q)).collect::<Vec<_>>();
            found.push((Separator, self.sum(|q| Some(seen(q)).filter(|keys| !keys.is_empty() && chooses(q)))));
        }
        if is_self && side.in_line {
            found.push((PreviousToken, self.sum(|q| q.checked_sub(1).map(|k| vec![k]))));
            found.push((SameToken, self.sum(|q| chooses(q).then(|| vec![q]))));
            if !self.causal {
                found.push((NextToken, self.sum(|q| (q < last).then(|| vec![q + 1]))));
            }
            let window = |q: usize| {
                let end = if self.causal { q } else { (q + WINDOW).min(last) };
                let keys: Vec<usize> = (q.saturating_sub(WINDOW)..=end).collect();
                (self.visible(q) >= 2 * keys.len()).then_some(keys)
            };
            found.push((LocalWindow, self.sum(window)));
        }
        if !is_self && self.queries.len() > 1 && self.keys.len() > 1 {
            found.push((Diagonal, self.sum(|q| Some(self.diagonal(q)))));
        }
        found
    }

    /// Keys within a twentieth of the length, one at least, of where the query lies between the first and the last.
    fn diagonal(&self, query: usize) -> Vec<usize> {
        let last = self.keys.len() - 1;
        let middle = (query * last) as f64 / (self.queries.len() - 1) as f64;
        let reach = (self.keys.len() as f64 / 20.0).max(1.0);
        (0..=last).filter(|k| (*k as f64 - middle).abs() <= reach).collect()
    }

    /// Entropy of the weights on real keys as a share of the most that it can be.
    fn evenness(&self) -> Sums {
        let (mut sums, mut positions) = (vec![0.0; self.heads], 0);
        for query in 0..self.queries.len() {
            let visible = self.visible(query);
            if visible < 2 {
                continue;
            }
            positions += 1;
            for (head, sum) in sums.iter_mut().enumerate() {
                let weights = (0..visible).map(|key| self.get(head, query, key)).filter(|w| *w > 0.0);
                *sum -= weights.map(|w| w * w.ln()).sum::<f64>() / (visible as f64).ln();
            }
        }
        (sums, positions)
    }

    /// From the second round of repeated tokens on `shift` tokens behind the same token of the first one; what follows its last
    /// token is the second round's first.
    fn repeated(&self, repeats: Repeats, shift: usize) -> Sums {
        let Repeats { begin, period } = repeats;
        self.sum(|q| {
            let at = q.checked_sub(begin + period).filter(|at| *at < period)?;
            Some(vec![begin + at + shift])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sequence: `[H][T][S]`, everything real.
    fn view(weights: &[f32], heads: usize, width: (usize, usize), causal: bool) -> SequenceWeights<'_> {
        SequenceWeights { weights, heads, width, queries: (0..width.0).collect(), keys: (0..width.1).collect(), causal }
    }

    fn mean(found: &[(HeadKind, Sums)], kind: HeadKind) -> Vec<f64> {
        let (sums, positions) = &found.iter().find(|(k, _)| *k == kind).unwrap().1;
        sums.iter().map(|s| s / *positions as f64).collect()
    }

    fn has(found: &[(HeadKind, Sums)], kind: HeadKind) -> bool {
        found.iter().any(|(k, _)| *k == kind)
    }

    fn near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-6), "{found:?} {wanted:?}");
    }

    #[test]
    fn causal_patterns_have_the_scores_that_were_worked_out_by_hand() {
        // Three heads over four tokens: one looks at the token before, one at the first, one everywhere alike.
        #[rustfmt::skip]
        let weights = [
            1.0, 0.0, 0.0, 0.0,   1.0, 0.0, 0.0, 0.0,   0.0, 1.0, 0.0, 0.0,   0.0, 0.0, 0.8, 0.2,
            1.0, 0.0, 0.0, 0.0,   0.9, 0.1, 0.0, 0.0,   1.0, 0.0, 0.0, 0.0,   0.5, 0.0, 0.5, 0.0,
            1.0, 0.0, 0.0, 0.0,   0.5, 0.5, 0.0, 0.0,   1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0,   0.25, 0.25, 0.25, 0.25,
        ];
        let line = PositionFacts { in_line: true, ..PositionFacts::default() };
        let found = view(&weights, 3, (4, 4), true).scores(true, &line, Some(&[true, false, true, false]));
        // Queries 1 to 3 have a token before: (1 + 1 + 0.8) / 3, (0.9 + 0 + 0.5) / 3, (1/2 + 1/3 + 1/4) / 3.
        near(&mean(&found, HeadKind::PreviousToken), &[2.8 / 3.0, 1.4 / 3.0, 13.0 / 36.0]);
        // The first query has no choice: (1 + 0 + 0) / 3, (0.9 + 1 + 0.5) / 3, (1/2 + 1/3 + 1/4) / 3.
        near(&mean(&found, HeadKind::FirstToken), &[1.0 / 3.0, 0.8, 13.0 / 36.0]);
        near(&mean(&found, HeadKind::SameToken), &[0.2 / 3.0, 0.1 / 3.0, 13.0 / 36.0]);
        // The separator at the front is the sink's; that at 2 is seen by queries 2 and 3.
        near(&mean(&found, HeadKind::Separator), &[0.4, 0.25, (1.0 / 3.0 + 0.25) / 2.0]);
        // Entropy as a share of ln 2, ln 3, ln 4.
        let h = |p: f64| -(p * p.ln() + (1.0 - p) * (1.0 - p).ln());
        let (two, four) = (2f64.ln(), 4f64.ln());
        near(&mean(&found, HeadKind::Broad), &[h(0.8) / four / 3.0, (h(0.9) / two + 0.5) / 3.0, 1.0]);
        assert!(!has(&found, HeadKind::NextToken) && !has(&found, HeadKind::Diagonal));
    }

    #[test]
    fn both_sides_and_padding() {
        // One head, five keys of which the first and last are padding; real tokens look at the token behind.
        let mut weights = vec![0.0f32; 25];
        for (query, key) in [(1, 2), (2, 3), (3, 3)] {
            weights[query * 5 + key] = 1.0;
        }
        let line = PositionFacts { in_line: true, ..PositionFacts::default() };
        let view = SequenceWeights { queries: vec![1, 2, 3], keys: vec![1, 2, 3], ..view(&weights, 1, (5, 5), false) };
        let found = view.scores(true, &line, None);
        near(&mean(&found, HeadKind::NextToken), &[1.0]);
        near(&mean(&found, HeadKind::SameToken), &[1.0 / 3.0]);
        near(&mean(&found, HeadKind::PreviousToken), &[0.0]);
        assert!(!has(&found, HeadKind::Separator));
    }

    #[test]
    fn a_window_is_told_where_there_is_more_to_see() {
        // Sixteen tokens, everything within two tokens: queries from 7 on see at least twice the four of the window.
        let mut weights = vec![0.0f32; 256];
        for query in 0..16usize {
            for key in query.saturating_sub(1)..=query {
                weights[query * 16 + key] = if query == 0 { 1.0 } else { 0.5 };
            }
        }
        let line = PositionFacts { in_line: true, ..PositionFacts::default() };
        let found = view(&weights, 1, (16, 16), true).scores(true, &line, None);
        near(&mean(&found, HeadKind::LocalWindow), &[1.0]);
        let positions = found.iter().find(|(k, _)| *k == HeadKind::LocalWindow).unwrap().1.1;
        assert_eq!(positions, 9);
    }

    #[test]
    fn repeated_tokens_tell_induction_from_duplicates() {
        // A first token, then A B C A B C: from the second round (4, 5, 6) to the first (1, 2, 3).
        let mut weights = vec![0.0f32; 2 * 49];
        // Head 0: A looks at B, B at C. Head 1: each at itself before.
        for (head, query, key, weight) in
            [(0, 4, 2, 0.9), (0, 5, 3, 0.7), (0, 6, 3, 0.1), (1, 4, 1, 1.0), (1, 5, 2, 0.5), (1, 6, 3, 0.6)]
        {
            weights[(head * 7 + query) * 7 + key] = weight;
        }
        let view = view(&weights, 2, (7, 7), true);
        let repeats = Repeats { begin: 1, period: 3 };
        let share = |(sums, n): Sums| -> Vec<f64> { sums.iter().map(|s| s / n as f64).collect() };
        near(&share(view.repeated(repeats, 1)), &[1.6 / 3.0, 0.0]);
        near(&share(view.repeated(repeats, 0)), &[0.1 / 3.0, 0.7]);
    }

    /// Sums of a kind as TransformerLens' head detector scores them: `mul` is the share of all attention that is on the keys of
    /// the kind, `abs` 1 minus the sum of absolute differences to a pattern that has 1 there, for each token.
    fn as_head_detector((sums, positions): &Sums, tokens: usize) -> Vec<(f64, f64)> {
        let (tokens, told) = (tokens as f64, *positions as f64);
        // A query that looks at its key by w differs from the pattern by 1 - w there and by as much elsewhere.
        sums.iter().map(|w| (w / tokens, 1.0 - (2.0 * (told - w) + tokens - told) / tokens)).collect()
    }

    #[test]
    fn scores_are_those_of_transformer_lens() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kinds/transformer_lens.json");
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let line = PositionFacts { in_line: true, ..PositionFacts::default() };
        let mut compared = 0;
        for name in ["text", "repeats"] {
            let case = &cases[name];
            let tokens = case["tokens"].as_array().unwrap().len();
            for (layer, pattern) in case["patterns"].as_array().unwrap().iter().enumerate() {
                let pattern: Vec<Vec<Vec<f32>>> = serde_json::from_value(pattern.clone()).unwrap();
                let heads = pattern.len();
                let weights: Vec<f32> = pattern.into_iter().flatten().flatten().collect();
                let view = view(&weights, heads, (tokens, tokens), true);
                let (_, previous) = view
                    .scores(true, &line, None)
                    .into_iter()
                    .find(|(kind, _)| *kind == HeadKind::PreviousToken)
                    .unwrap();
                let mut found = vec![("previous_token_head", previous)];
                if let Some(period) = case["period"].as_u64() {
                    let repeats = Repeats { begin: 1, period: period as usize };
                    let induction = view.repeated(repeats, 1);
                    // The same from the stripe of its demonstrations, of which the first two queries are no repetition.
                    let stripes: Vec<Vec<f64>> =
                        serde_json::from_value(case["scores"]["stripe"][layer].clone()).unwrap();
                    let sums: Vec<f64> = stripes.iter().map(|stripe| stripe.iter().skip(2).sum()).collect();
                    near(&induction.0, &sums);
                    found.push(("duplicate_token_head", view.repeated(repeats, 0)));
                    found.push(("induction_head", induction));
                }
                for (detector, sums) in &found {
                    let scores = |measure: &str| -> Vec<f64> {
                        let key = format!("{detector} {measure}");
                        serde_json::from_value(case["scores"][key][layer].clone()).unwrap()
                    };
                    let ours = as_head_detector(sums, tokens);
                    near(&ours.iter().map(|(mul, _)| *mul).collect::<Vec<_>>(), &scores("mul"));
                    // Which it rounds to three digits.
                    let apart = ours.iter().zip(scores("abs")).map(|((_, abs), theirs)| (abs - theirs).abs());
                    assert!(apart.fold(0.0, f64::max) < 6e-4, "{name} {layer} {detector}: {ours:?}");
                    compared += heads;
                }
            }
        }
        assert_eq!(compared, 2 * 4 + 2 * 3 * 4);
    }

    #[test]
    fn images_have_a_class_token_and_neighborhoods() {
        // A class token and 3 x 3 patches; each patch gives half to the class token, half to the patch in the middle.
        let n = 10;
        let mut weights = vec![0.0f32; n * n];
        for query in 0..n {
            weights[query * n] = 0.5;
            weights[query * n + 5] = 0.5;
        }
        let image = PositionFacts { patches: Some((3, 3)), ..PositionFacts::default() };
        let found = view(&weights, 1, (n, n), false).scores(true, &image, None);
        near(&mean(&found, HeadKind::ClassToken), &[0.5]);
        // Every patch is beside the middle one.
        near(&mean(&found, HeadKind::Neighborhood), &[0.5]);
        near(&mean(&found, HeadKind::SameToken), &[0.5 / 9.0]);
        assert!(!has(&found, HeadKind::PreviousToken) && !has(&found, HeadKind::FirstToken));
        // Of 4 x 4 patches the corner at 16 has none but its own block: patch 6 (row 1, column 1) is not among them.
        let n = 17;
        let mut weights = vec![0.0f32; n * n];
        (0..n).for_each(|query| weights[query * n + 6] = 1.0);
        let image = PositionFacts { patches: Some((4, 4)), ..PositionFacts::default() };
        let found = view(&weights, 1, (n, n), false).scores(true, &image, None);
        near(&mean(&found, HeadKind::Neighborhood), &[9.0 / 16.0]);
    }

    #[test]
    fn cross_attention_can_follow_the_source() {
        // Three target tokens, five source tokens: 0, 2, 4 correspond.
        #[rustfmt::skip]
        let weights = [
            1.0, 0.0, 0.0, 0.0, 0.0,   0.0, 0.3, 0.4, 0.3, 0.0,   0.5, 0.0, 0.0, 0.0, 0.5,
        ];
        let found = view(&weights, 1, (3, 5), false).scores(
            false,
            &PositionFacts { in_line: true, ..PositionFacts::default() },
            None,
        );
        near(&mean(&found, HeadKind::Diagonal), &[2.5 / 3.0]);
        near(&mean(&found, HeadKind::FirstToken), &[0.5]);
        assert!(!has(&found, HeadKind::PreviousToken));
    }
}
