//! Attention patterns of chosen heads on one input.

use std::collections::BTreeMap;

use super::LoadedNetwork;
use crate::corpus::{Corpus, Input, TextTokenizer};
use crate::error::{Error, Result};
use crate::figure::{Grid, Pool};
use crate::model::Model;
use crate::network::{Batch, Gates, Probe, Site, SiteMaps, Source, Tokens};
use crate::task::Ticket;
use crate::workspace::{CheckedRun, HeadRef};

/// Patterns longer than this are pooled before they are kept.
const LONGEST: usize = 1024;

/// What a person reads along the axes, and the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns {
    /// Which input of the corpus, from 0; absent for typed text.
    pub index: Option<u64>,
    /// Query tokens by layer kind are the same within a stack.
    pub queries: BTreeMap<Site, Vec<String>>,
    /// Key tokens.
    pub keys: BTreeMap<Site, Vec<String>>,
    /// Weights `T x S` of each head, pooled where they were longer than 1024.
    pub weights: BTreeMap<HeadRef, Grid>,
}

/// What is shown: an input of the run, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The input of the run with this number.
    Nth(u64),
    /// Text that a person typed.
    Text(String),
}

/// Runs one input and keeps the attention weights of `heads`.
pub fn attention(
    model: &Model,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    shown: &Shown,
    heads: &[HeadRef],
    ticket: &Ticket,
) -> Result<Patterns> {
    let folder = model.checkpoint().folder();
    let tokenizer = if folder.join("tokenizer.json").is_file() { Some(TextTokenizer::load(folder)?) } else { None };
    let network = loaded.get(model, run.device, run.precision, ticket)?;
    ticket.stage("attention", None, "inputs");
    let batch = match shown {
        Shown::Text(text) => {
            let tokenizer = tokenizer
                .as_ref()
                .ok_or_else(|| Error::new("text needs a tokenizer").at(folder).hint("step through the run's input"))?;
            let mut ids = tokenizer.wrap(&tokenizer.encode(text)?);
            if let Some(longest) = run.intake.source_tokens()?.max_length {
                ids.truncate(longest);
            }
            if ids.is_empty() {
                return Err(Error::new("there is no text").hint("type some"));
            }
            let row = (ids.clone(), vec![true; ids.len()]);
            let tokens = Tokens::pad(std::slice::from_ref(&row), run.intake.pad, network.device())?;
            let target = run.intake.target.is_some().then(|| tokens.clone());
            Batch { target, ..Batch::tokens(tokens) }
        }
        Shown::Nth(index) => nth(model, run, *index, network.device(), ticket)?,
    };
    let mut probe = Keep { heads, queries: BTreeMap::new(), keys: BTreeMap::new(), weights: BTreeMap::new() };
    network.hidden(&batch, &Gates::open(), &mut probe)?;
    let source = tokens_of(&batch.source, tokenizer.as_ref())?;
    let target = match &batch.target {
        Some(tokens) => tokens_of(&Source::Tokens(tokens.clone()), tokenizer.as_ref())?,
        None => source.clone(),
    };
    let label = |counts: BTreeMap<Site, usize>, of: &dyn Fn(Site) -> bool| -> BTreeMap<Site, Vec<String>> {
        let words = |site: Site, n: usize| {
            let from = if of(site) { &source } else { &target };
            (0..n).map(|t| from.get(t).cloned().unwrap_or_else(|| t.to_string())).collect()
        };
        counts.into_iter().map(|(site, n)| (site, words(site, n))).collect()
    };
    use crate::network::SiteKind::{Cross, Encoder};
    let decoder_only = model.spec().encoder.is_none();
    Ok(Patterns {
        index: match shown {
            Shown::Nth(index) => Some(*index),
            Shown::Text(_) => None,
        },
        queries: label(probe.queries, &|s| s.kind == Encoder || decoder_only),
        keys: label(probe.keys, &|s| matches!(s.kind, Encoder | Cross) || decoder_only),
        weights: probe.weights,
    })
}

/// One input of the run, alone in a batch.
fn nth(model: &Model, run: &CheckedRun, index: u64, device: &candle_core::Device, ticket: &Ticket) -> Result<Batch> {
    let mut settings = run.corpus.clone();
    settings.batch_size = 1;
    settings.batches = Some(index + 1);
    let corpus = Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &settings, ticket)?;
    let mut last = None;
    for batch in corpus.batches(device) {
        ticket.check()?;
        last = Some(batch?);
    }
    last.ok_or_else(|| Error::new("the input holds nothing to read").at(Input::path(&run.input)))
}

/// Tokens as the vocabulary spells them, or ids; images and spectrograms have positions.
fn tokens_of(source: &Source, tokenizer: Option<&TextTokenizer>) -> Result<Vec<String>> {
    let Source::Tokens(tokens) = source else { return Ok(Vec::new()) };
    let ids: Vec<Vec<u32>> = tokens.ids.to_device(&candle_core::Device::Cpu)?.to_vec2()?;
    let spelled = |id: &u32| tokenizer.and_then(|t| t.token(*id)).unwrap_or_else(|| id.to_string());
    Ok(ids.first().map(|row| row.iter().map(spelled).collect()).unwrap_or_default())
}

struct Keep<'a> {
    heads: &'a [HeadRef],
    queries: BTreeMap<Site, usize>,
    keys: BTreeMap<Site, usize>,
    weights: BTreeMap<HeadRef, Grid>,
}

impl Probe for Keep<'_> {
    fn wants_attention(&self, site: Site) -> bool {
        self.heads.iter().any(|h| h.site == site)
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let Some(attention) = maps.attention else { return Ok(()) };
        for head in self.heads.iter().filter(|h| h.site == maps.site && h.head < maps.spec.heads) {
            let weights = attention.get(0)?.get(head.head)?.to_dtype(candle_core::DType::F32)?;
            let (rows, cols) = weights.dims2()?;
            let values: Vec<f32> = weights.flatten_all()?.to_vec1()?;
            // A position that may not be seen has a weight of exactly 0 and no value to show.
            let causal = maps.spec.causal && rows == cols;
            let value = |r: usize, c: usize| {
                let hidden = causal && c > r;
                values.get(r * cols + c).filter(|_| !hidden).map_or(f64::NAN, |v| f64::from(*v))
            };
            let grid = Grid::from_fn(rows, cols, value).pooled(LONGEST, Pool::Max);
            self.queries.insert(maps.site, rows);
            self.keys.insert(maps.site, cols);
            self.weights.insert(*head, grid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{RunSettings, guess_input, job};
    use std::path::Path;

    #[test]
    fn patterns_are_rows_of_weights_over_the_tokens() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let opened = job::open_model(&folder, &Ticket::default()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let lines = scratch.path().join("x.jsonl");
        std::fs::write(&lines, "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5, 6, 7]}\n").unwrap();
        let settings = RunSettings { input: Some(guess_input(&lines)), ..RunSettings::default() };
        let run = settings.check(&opened.model).unwrap();
        let head = HeadRef::new("decoder.1".parse().unwrap(), 3);
        let found =
            attention(&opened.model, &opened.loaded, &run, &Shown::Nth(1), &[head], &Ticket::default()).unwrap();
        assert_eq!(found.queries[&head.site], ["4", "5", "6", "7"]);
        let grid = &found.weights[&head];
        assert_eq!((grid.rows(), grid.cols()), (4, 4));
        for row in 0..4 {
            let seen: f64 = (0..=row).map(|c| grid.get(row, c)).sum();
            assert!((seen - 1.0).abs() < 1e-5, "row {row} sums to {seen}");
            assert!((row + 1..4).all(|c| grid.get(row, c).is_nan()));
        }
        // Beyond the end the last input stays.
        let last = attention(&opened.model, &opened.loaded, &run, &Shown::Nth(9), &[head], &Ticket::default()).unwrap();
        assert_eq!(last.queries, found.queries);
        let text = Shown::Text("a".to_owned());
        assert!(attention(&opened.model, &opened.loaded, &run, &text, &[head], &Ticket::default()).is_err());
    }
}
