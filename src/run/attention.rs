//! Attention patterns of chosen heads on one input.

use std::collections::BTreeMap;

use super::{Checked, Spec};
use crate::chart::{Grid, PatchImage, Pool, Raster, Rgb};
use crate::corpus::{BatchOrder, Corpus, CorpusPart, Purpose, TextTokenizer};
use crate::error::{Error, Result};
use crate::model::{Model, Needs};
use crate::network::{Batch, Gates, Head, InputSpec, PatchInputSpec, Probe, Site, SiteMaps, Source, Tokens};
use crate::task::Ticket;

/// Patterns longer than this are pooled before they are kept.
const LONGEST: usize = 1024;

/// What a person reads along the axes, and the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns {
    /// Which input of the corpus, from 0; absent for typed text.
    pub index: Option<u64>,
    /// Query tokens by layer kind are the same within a stack.
    pub queries: BTreeMap<Site, Vec<String>>,
    /// The tokens that are looked at, by layer.
    pub keys: BTreeMap<Site, Vec<String>>,
    /// Weights `T x S` of each head, pooled where they were longer than 1024.
    pub weights: BTreeMap<Head, Grid>,
    /// The image that was read, where the tokens are patches of one.
    pub image: Option<PatchImage>,
    /// Whether it is the last input of the corpus.
    pub is_last: bool,
    /// Tokens of a typed text that are left out, because the run reads no more at a time.
    pub left_out: usize,
}

impl Patterns {
    /// The mean weights of the heads of each layer that has several here.
    pub fn means(&self) -> BTreeMap<Site, Grid> {
        let mut of_site: BTreeMap<Site, Vec<&Grid>> = BTreeMap::new();
        for (head, grid) in &self.weights {
            of_site.entry(head.site).or_default().push(grid);
        }
        let mean = |grids: Vec<&Grid>| {
            let (rows, cols) = grids.first().map_or((0, 0), |g| (g.rows(), g.cols()));
            let count = grids.len() as f64;
            Grid::from_fn(rows, cols, |r, c| grids.iter().map(|g| g.get(r, c)).sum::<f64>() / count)
        };
        of_site.into_iter().map(|(site, grids)| (site, mean(grids))).collect()
    }
}

/// What is shown: an input of the run, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttentionInput {
    /// The input of the run with this number.
    Nth(u64),
    /// Text that a person typed.
    Text(String),
}

/// Runs one input and keeps the attention weights of `heads`.
pub fn attention(run: &Checked, shown: &AttentionInput, heads: &[Head], ticket: &Ticket) -> Result<Patterns> {
    let model: &Model = &run.opened().model;
    let intake = run.intake();
    let folder = model.checkpoint().folder();
    let tokenizer = TextTokenizer::beside(folder)?;
    let Spec { device, precision, memory, .. } = *run.spec();
    let singles = || -> Result<Corpus> {
        Ok(run.corpus(Purpose::Observe, ticket)?.with(|s| {
            (s.batch_size, s.order, s.part, s.batches) = (1, BatchOrder::AsRead, CorpusPart::All, None);
        }))
    };
    let network = match memory {
        // Room for one input with its softmax weights.
        Some(_) => run.network(&singles()?, Needs { attention: true, ..Needs::ONE }, ticket)?,
        None => run.opened().loaded.get(model, device, precision, None, ticket)?,
    };
    ticket.stage("attention", None, "inputs");
    let mut left_out = 0;
    let (batch, is_last) = match shown {
        AttentionInput::Text(text) => {
            let tokenizer = tokenizer
                .as_ref()
                .ok_or_else(|| Error::new("text needs a tokenizer").at(folder).hint("step through the run's input"))?;
            let mut ids = tokenizer.wrap(&tokenizer.encode(text)?);
            if let Some(longest) = intake.source_tokens()?.max_length {
                left_out = ids.len().saturating_sub(longest);
                ids.truncate(longest);
            }
            if ids.is_empty() {
                return Err(Error::new("there is no text").hint("type some"));
            }
            let row = (ids.clone(), vec![true; ids.len()]);
            let tokens = Tokens::pad(std::slice::from_ref(&row), intake.pad, network.device())?;
            let target = intake.target.is_some().then(|| tokens.clone());
            (Batch { target, ..Batch::tokens(tokens) }, false)
        }
        AttentionInput::Nth(index) => nth(&singles()?, *index, network.device(), ticket)?,
    };
    let mut probe = Keep { heads, queries: BTreeMap::new(), keys: BTreeMap::new(), weights: BTreeMap::new() };
    network.run_probe(std::slice::from_ref(&batch), &Gates::open(), &mut probe, ticket)?;
    let image = image_of(model, &batch.source)?;
    let source = match (&image, patches_of(model)) {
        (Some(image), Some(spec)) => patch_names(image, spec),
        _ => tokens_of(&batch.source, tokenizer.as_ref())?,
    };
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
            AttentionInput::Nth(index) => Some(*index),
            AttentionInput::Text(_) => None,
        },
        queries: label(probe.queries, &|s| s.kind == Encoder || decoder_only),
        keys: label(probe.keys, &|s| matches!(s.kind, Encoder | Cross) || decoder_only),
        weights: probe.weights,
        image,
        is_last,
        left_out,
    })
}

/// One input of the run, alone in a batch, and whether it is the last.
fn nth(corpus: &Corpus, index: u64, device: &candle_core::Device, ticket: &Ticket) -> Result<(Batch, bool)> {
    let (mut last, mut count) = (None, 0);
    let mut batches = corpus.with(|s| s.batches = Some(index + 2)).batches(device);
    while count <= index {
        ticket.check()?;
        let Some(batch) = batches.next() else { break };
        last = Some(batch?);
        count += 1;
    }
    let last = last.ok_or_else(|| Error::new("the input holds nothing to read").at(corpus.input().path()))?;
    if count <= index {
        return Err(Error::usage(format!("there is no input {}: the file holds {count}", index + 1))
            .at(corpus.input().path())
            .hint(format!("choose 1 to {count}")));
    }
    // What cannot be read behind it is there too.
    Ok((last, batches.next().is_none()))
}

/// Tokens as the vocabulary spells them, or ids; images and spectrograms have positions.
fn tokens_of(source: &Source, tokenizer: Option<&TextTokenizer>) -> Result<Vec<String>> {
    let Source::Tokens(tokens) = source else { return Ok(Vec::new()) };
    let ids: Vec<Vec<u32>> = tokens.ids.to_device(&candle_core::Device::Cpu)?.to_vec2()?;
    let spelled = |id: &u32| tokenizer.and_then(|t| t.token(*id)).unwrap_or_else(|| id.to_string());
    Ok(ids.first().map(|row| row.iter().map(spelled).collect()).unwrap_or_default())
}

/// How a model cuts images, where it reads any.
fn patches_of(model: &Model) -> Option<&PatchInputSpec> {
    match &model.spec().encoder.as_ref()?.input {
        InputSpec::Patches(patches) => Some(patches),
        InputSpec::Tokens(_) | InputSpec::Frames(_) | InputSpec::Samples(_) => None,
    }
}

/// The first image of a batch, stretched from black to white, with its patches.
fn image_of(model: &Model, source: &Source) -> Result<Option<PatchImage>> {
    let (Source::Pixels(pixels), Some(patches)) = (source, patches_of(model)) else { return Ok(None) };
    let pixels = pixels.get(0)?.to_dtype(candle_core::DType::F32)?.to_device(&candle_core::Device::Cpu)?;
    let (channels, height, width) = pixels.dims3()?;
    let values: Vec<f32> = pixels.flatten_all()?.to_vec1()?;
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let span = if high > low { high - low } else { 1.0 };
    let shade = |channel: usize, y: usize, x: usize| {
        let value = values.get((channel.min(channels.saturating_sub(1)) * height + y) * width + x);
        value.map_or(0, |v| ((v - low) / span * 255.0).round() as u8)
    };
    let raster = Raster::from_fn(height, width, |y, x| Rgb::new(shade(0, y, x), shade(1, y, x), shade(2, y, x)));
    let (rows, columns) = patches.grid((height, width));
    let leading = patches.leading_tokens();
    Ok((rows > 0 && columns > 0).then_some(PatchImage { pixels: raster, rows, columns, leading }))
}

/// Names of the tokens of an image: those of the model's own, then row and column of every patch.
fn patch_names(image: &PatchImage, spec: &PatchInputSpec) -> Vec<String> {
    let placed = [("class", spec.class), ("distillation", spec.distillation)];
    let placed = placed.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned());
    let own = placed.chain((0..spec.registers).map(|register| format!("register {register}")));
    let patches = (0..image.rows).flat_map(|row| (0..image.columns).map(move |column| format!("{row},{column}")));
    own.chain(patches).collect()
}

struct Keep<'a> {
    heads: &'a [Head],
    queries: BTreeMap<Site, usize>,
    keys: BTreeMap<Site, usize>,
    weights: BTreeMap<Head, Grid>,
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
    use crate::corpus::Input;
    use crate::run::Opened;
    use std::path::Path;

    #[test]
    fn patterns_are_rows_of_weights_over_the_tokens() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let lines = scratch.path().join("x.jsonl");
        std::fs::write(&lines, "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5, 6, 7]}\n").unwrap();
        let settings = Spec { input: Some(Input::guess(&lines)), ..Spec::default() };
        let run = settings.check(&opened).unwrap();
        let head = Head::new("decoder.1".parse().unwrap(), 3);
        let found = attention(&run, &AttentionInput::Nth(1), &[head], &Ticket::default()).unwrap();
        assert_eq!(found.queries[&head.site], ["4", "5", "6", "7"]);
        assert!(found.is_last);
        assert!(!attention(&run, &AttentionInput::Nth(0), &[head], &Ticket::default()).unwrap().is_last);
        let grid = &found.weights[&head];
        assert_eq!((grid.rows(), grid.cols()), (4, 4));
        for row in 0..4 {
            let seen: f64 = (0..=row).map(|c| grid.get(row, c)).sum();
            assert!((seen - 1.0).abs() < 1e-5, "row {row} sums to {seen}");
            assert!((row + 1..4).all(|c| grid.get(row, c).is_nan()));
        }
        let beyond = attention(&run, &AttentionInput::Nth(9), &[head], &Ticket::default()).unwrap_err().to_string();
        assert!(beyond.contains('2'), "how many there are is said: {beyond}");
        let text = AttentionInput::Text("a".to_owned());
        assert!(attention(&run, &text, &[head], &Ticket::default()).is_err());
    }

    #[test]
    fn an_image_has_its_patches_for_tokens() {
        let families: [(&str, &[&str]); 4] = [
            ("vit", &["class"]),
            ("deit", &["class", "distillation"]),
            ("dinov2_with_registers", &["class", "register 0", "register 1", "register 2", "register 3"]),
            ("siglip_vision_model", &[]),
        ];
        for (family, own) in families {
            let leading = own.len();
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family);
            let opened = Opened::open(&folder, &Ticket::default()).unwrap();
            let input = Input::guess(&folder.join("reference.safetensors"));
            let run = Spec { input: Some(input), ..Spec::default() }.check(&opened).unwrap();
            let heads = [0, 1].map(|h| Head::new("encoder.0".parse().unwrap(), h));
            let found = attention(&run, &AttentionInput::Nth(0), &heads, &Ticket::default()).unwrap();
            let image = found.image.as_ref().unwrap();
            let tokens = leading + image.rows * image.columns;
            assert_eq!((image.leading, found.queries[&heads[0].site].len()), (leading, tokens));
            assert_eq!(found.queries[&heads[0].site][..leading], *own);
            assert_eq!(found.keys[&heads[0].site][image.token(1, 2)], "1,2");
            let mean = &found.means()[&heads[0].site];
            let half = (found.weights[&heads[0]].get(3, 5) + found.weights[&heads[1]].get(3, 5)) / 2.0;
            assert!((mean.get(3, 5) - half).abs() < 1e-12);
        }
    }
}
