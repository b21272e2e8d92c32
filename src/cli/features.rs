//! `pillars features`: raw maps and logits, for notebooks and checks.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::args::FeaturesArgs;
use super::console::Console;
use super::open::{open, read_plan, warn_of_fallback};
use crate::checkpoint::{FileKind, MARKER, OutFile, TensorFile};
use crate::corpus::{Corpus, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::is_finite;
use crate::model::{MemoryLimit, MemoryPlan, Needs};
use crate::network::{
    Extent, FeatureMap, Gates, Kept, NetworkSpec, OutputHead, Probe, Site, SiteKind, SiteMaps, TaskKind, rows_at_once,
};
use crate::run::Checked;
use crate::task::{Ticket, available_bytes};
use crate::words::bytes_in_words;

/// What such files say under [`MARKER`].
const KIND: &str = "features";

/// Shapes of what is written, by name.
type Shapes = BTreeMap<String, Vec<usize>>;

pub(super) fn run(args: &FeaturesArgs, console: &Console) -> Result<()> {
    if args.no_attention && args.features.contains(&FeatureMap::Attention) {
        return Err(Error::usage("--no-attention leaves out what --features asks for").hint("leave out one of them"));
    }
    let mask = args.mask.as_deref();
    let inputs: Vec<&Path> = args.input.path().into_iter().chain(mask).chain([args.model.as_path()]).collect();
    let out = OutFile::claim(&args.out, FileKind::Tensors(KIND), &inputs)?;
    let checked = open(&args.model, &args.common.spec(&args.input, None))?;
    let kept = match mask {
        Some(path) => {
            let plan = read_plan(path, &checked, console)?;
            console.warn_all(plan.foreign_to(&checked.opened().facts.fingerprint).as_slice());
            plan.kept
        }
        None => Kept::all(),
    };
    let (shapes, notes) = console.watch(|ticket| write(&checked, args, &kept, &out, ticket))?;
    console.wrote(out.path());
    console.warn_all(&notes);
    warn_of_fallback(&checked, console);
    if args.common.json {
        console.print_json(&shapes)
    } else {
        console.print(&format!("{} tensors in {}", shapes.len(), args.out.display()))
    }
}

/// Writes map by map while batches pass, so that no more than one map of one batch is held.
fn write(
    checked: &Checked,
    args: &FeaturesArgs,
    kept: &Kept,
    out: &OutFile,
    ticket: &Ticket,
) -> Result<(Shapes, Vec<String>)> {
    let corpus = checked.corpus(Purpose::Observe, ticket)?;
    let spec = checked.opened().model.spec();
    let all = measure(&corpus, spec, ticket)?;
    let shapes = shapes(spec, args, &all);
    let metadata = BTreeMap::from([("format", "pt".to_owned()), (MARKER, KIND.to_owned())]);
    let hint = "give fewer or shorter sequences (--batches, --seq-len), or leave attention out (--no-attention)";
    let file = TensorFile::create(out.path(), &shapes, &metadata).map_err(|e| e.hint(hint))?;
    let batch = (corpus.settings().batch_size * all.choices).min(all.extent.sequences);
    check_memory(checked, args, Extent { sequences: batch, ..all.extent })?;
    let network = checked.network(&corpus, Needs::ONE, ticket)?;
    let gates = Gates::keep(spec, kept, network.dtype(), network.device())?;
    let mut keeper = Keeper { args, file };
    let longest = shapes.get(LOGITS).and_then(|shape| shape.get(1)).copied().unwrap_or_default();
    ticket.stage("forward pass", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(network.device()) {
        let batch = batch?;
        let hidden = network.hidden(&batch, &gates, &mut keeper)?;
        match network.output() {
            Some(output) => keeper.keep_logits(output, &hidden.states, longest)?,
            None => {
                let result = network.results(&hidden, &batch)?;
                keeper.keep(result_of(network.spec()), &result)?;
                for (name, end) in ENDS.iter().zip(ends_of(network.spec(), &result)?) {
                    keeper.keep(name, &end)?;
                }
            }
        }
        ticket.advance(1)?;
    }
    keeper.file.finish()?;
    Ok((shapes, corpus.notes()))
}

/// Fails where the model and the largest batch do not fit into the memory that is free: a batch that is too long would
/// end the process otherwise.
fn check_memory(checked: &Checked, args: &FeaturesArgs, largest: Extent) -> Result<()> {
    let Some(free) = available_bytes().filter(|_| checked.device().is_ok_and(|device| device.is_cpu())) else {
        return Ok(());
    };
    let needs = Needs { copies: 2, attention: !args.no_attention, ..Needs::ONE };
    let room = MemoryPlan { limit: MemoryLimit(free), largest, needs };
    let model = &checked.opened().model;
    let needed = model.held_memory(&Device::Cpu, args.common.dtype.dtype(), &room)?;
    if needed.0 <= free {
        return Ok(());
    }
    let (needed, free) = (bytes_in_words(needed.0), bytes_in_words(free));
    Err(Error::new(format!("a batch takes {needed} of memory, and {free} are free"))
        .hint("give shorter sequences (--seq-len), smaller batches, or leave attention out (--no-attention)"))
}

/// Sequences of the whole input and its longest lengths, from a pass that runs no model.
fn measure(corpus: &Corpus, spec: &NetworkSpec, ticket: &Ticket) -> Result<InputSize> {
    let mut all = Extent { sequences: 0, source: 0, target: 0 };
    let mut choices = 1;
    ticket.stage("measure the input", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(&Device::Cpu) {
        let batch = batch?;
        let Extent { sequences, source, target } = Extent::of(&batch, spec)?;
        choices = choices.max(batch.items.choices);
        all.sequences += sequences;
        all.source = all.source.max(source);
        all.target = all.target.max(target);
        ticket.advance(1)?;
    }
    Ok(InputSize { extent: all, choices })
}

/// How large the whole input is.
struct InputSize {
    extent: Extent,
    /// Endings of each question, else 1.
    choices: usize,
}

/// Everything that is written, with the padding of shorter batches.
fn shapes(spec: &NetworkSpec, args: &FeaturesArgs, all: &InputSize) -> Shapes {
    let Extent { sequences: n, source, target } = all.extent;
    let of_decoder = if spec.encoder.is_some() { target } else { source };
    let mut shapes = Shapes::new();
    for (site, attention) in spec.sites() {
        let (queries, keys, stack) = match site.kind {
            SiteKind::Encoder => (source, source, &spec.encoder),
            SiteKind::Decoder => (of_decoder, of_decoder, &spec.decoder),
            SiteKind::Cross => (target, source, &spec.decoder),
        };
        let (h, d) = (attention.heads, attention.head_dim);
        if !args.no_attention {
            shapes.insert(format!("attn.{site}"), vec![n, h, queries, keys]);
        }
        shapes.insert(format!("out.{site}"), vec![n, queries, h * d]);
        for map in further(args) {
            let (length, width) = match map {
                FeatureMap::Key | FeatureMap::Value => (keys, d),
                FeatureMap::Residual => (queries, stack.as_ref().map_or(0, |s| s.width)),
                _ => (queries, d),
            };
            shapes.insert(format!("{map}.{site}"), vec![n, h, length, width]);
        }
    }
    let last = if spec.decoder.is_some() { of_decoder } else { source };
    let width = spec.result_width();
    let shape = match &spec.task {
        // Of a multiple choice a question is a row, and each of its endings one number.
        Some(task) if task.kind == TaskKind::MultipleChoice => vec![n / all.choices, all.choices],
        Some(task) if task.pooling.is_some() => vec![n, width],
        _ => vec![n, last, width],
    };
    shapes.insert(result_of(spec).to_owned(), shape);
    if asks_for_ends(spec) {
        shapes.extend(ENDS.iter().map(|name| ((*name).to_owned(), vec![n, last])));
    }
    shapes
}

const LOGITS: &str = "logits";
const HIDDEN: &str = "last_hidden_state";

/// The two ends of answers, apart, as models of transformers give them.
const ENDS: [&str; 2] = ["start_logits", "end_logits"];

fn result_of(spec: &NetworkSpec) -> &'static str {
    if spec.predicts() { LOGITS } else { HIDDEN }
}

fn asks_for_ends(spec: &NetworkSpec) -> bool {
    spec.task.as_ref().is_some_and(|task| task.kind == TaskKind::QuestionAnswering)
}

/// Logits of the ends of answers, `[N, T]` each; none of other models.
fn ends_of(spec: &NetworkSpec, output: &Tensor) -> Result<Vec<Tensor>> {
    if !asks_for_ends(spec) {
        return Ok(Vec::new());
    }
    (0..ENDS.len()).map(|end| Ok(output.narrow(2, end, 1)?.squeeze(2)?.contiguous()?)).collect()
}

/// Maps that were asked for besides those that are always written.
fn further(args: &FeaturesArgs) -> impl Iterator<Item = FeatureMap> {
    args.features.iter().copied().filter(|m| !matches!(m, FeatureMap::Attention | FeatureMap::Output))
}

/// Writes maps as they pass.
struct Keeper<'a> {
    args: &'a FeaturesArgs,
    file: TensorFile,
}

impl Keeper<'_> {
    fn keep(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        if !is_finite(tensor)? {
            return Err(Error::new(format!("{name} is not finite: this model overflows on this input"))
                .hint("compute in a wider type (--dtype f32)"));
        }
        self.file.append(name, tensor)
    }

    /// Logits of hidden `states [N, T, D]`, sequence by sequence padded to `longest` positions. Where there are many they are
    /// made and written slice by slice.
    fn keep_logits(&mut self, output: &OutputHead, states: &Tensor, longest: usize) -> Result<()> {
        let (sequences, length, _) = states.dims3()?;
        let vocabulary = output.vocabulary();
        let step = rows_at_once(vocabulary);
        if sequences * length <= step {
            return self.keep(LOGITS, &output.logits(&output.prepare(states)?)?);
        }
        let nothing = Tensor::zeros((1, vocabulary), DType::F32, &Device::Cpu)?;
        for sequence in 0..sequences {
            let states = states.narrow(0, sequence, 1)?.squeeze(0)?;
            for from in (0..length).step_by(step) {
                let slice = states.narrow(0, from, step.min(length - from))?;
                self.keep(LOGITS, &output.logits(&output.prepare(&slice)?)?)?;
            }
            for _ in length..longest {
                self.file.append(LOGITS, &nothing)?;
            }
        }
        Ok(())
    }
}

impl Probe for Keeper<'_> {
    fn wants_attention(&self, _site: Site) -> bool {
        !self.args.no_attention
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let site = maps.site;
        if !self.args.no_attention {
            self.keep(&format!("attn.{site}"), &maps.map(FeatureMap::Attention)?)?;
        }
        let output = maps.map(FeatureMap::Output)?.transpose(1, 2)?;
        let (n, t, h, d) = output.dims4()?;
        self.keep(&format!("out.{site}"), &output.reshape((n, t, h * d))?)?;
        for map in further(self.args) {
            self.keep(&format!("{map}.{site}"), &maps.map(map)?)?;
        }
        Ok(())
    }
}
