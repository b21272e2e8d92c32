//! `pillars features`: raw maps and logits, for notebooks and checks.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::args::FeaturesArgs;
use super::console::Console;
use super::open::{open, read_plan, warn_of_fallback};
use crate::checkpoint::{FileKind, MARKER, OutFile, TensorFile};
use crate::corpus::{Corpus, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::is_finite;
use crate::model::{MemoryLimit, MemoryPlan, Needs};
use crate::network::{Extent, FeatureMap, Gates, Kept, Network, NetworkSpec, Probe, Site, SiteKind, SiteMaps};
use crate::run::Checked;
use crate::task::{Ticket, available_bytes};
use crate::words::bytes_in_words;

/// What such files say under [`MARKER`].
const KIND: &str = "features";

/// Shapes of what is written, by name.
type Shapes = BTreeMap<String, Vec<usize>>;

pub(super) fn run(args: &FeaturesArgs, console: &Console) -> Result<()> {
    let mask = args.mask.as_deref();
    let inputs: Vec<&Path> = args.input.path().into_iter().chain(mask).chain([args.model.as_path()]).collect();
    let out = OutFile::claim(&args.out, FileKind::Tensors(KIND), &inputs)?;
    let checked = open(&args.model, &args.common.spec(&args.input, None))?;
    let kept = match mask {
        Some(path) => {
            let plan = read_plan(path, &checked)?;
            console.warn_all(plan.foreign_to(&checked.opened().facts.fingerprint).as_slice());
            plan.kept
        }
        None => Kept::all(),
    };
    let (shapes, notes) = console.watch(|ticket| write(&checked, args, &kept, &out, ticket))?;
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
    let shapes = shapes(spec, args, all);
    let metadata = BTreeMap::from([("format", "pt".to_owned()), (MARKER, KIND.to_owned())]);
    let hint = "give fewer or shorter sequences (--batches, --seq-len), or leave attention out (--no-attention)";
    let file = TensorFile::create(out.path(), &shapes, &metadata).map_err(|e| e.hint(hint))?;
    let batch = corpus.settings().batch_size.min(all.sequences);
    check_memory(checked, args, Extent { sequences: batch, ..all })?;
    let network = checked.network(&corpus, Needs::ONE, ticket)?;
    let gates = Gates::keep(spec, kept, network.dtype(), network.device())?;
    let mut keeper = Keeper { args, file };
    ticket.stage("forward pass", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(network.device()) {
        let output = network.forward(&batch?, &gates, &mut keeper)?;
        keeper.keep(result_of(&network), &output)?;
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
fn measure(corpus: &Corpus, spec: &NetworkSpec, ticket: &Ticket) -> Result<Extent> {
    let mut all = Extent { sequences: 0, source: 0, target: 0 };
    ticket.stage("measure the input", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(&Device::Cpu) {
        let Extent { sequences, source, target } = Extent::of(&batch?, spec)?;
        all.sequences += sequences;
        all.source = all.source.max(source);
        all.target = all.target.max(target);
        ticket.advance(1)?;
    }
    Ok(all)
}

/// Everything that is written, with the padding of shorter batches.
fn shapes(spec: &NetworkSpec, args: &FeaturesArgs, all: Extent) -> Shapes {
    let Extent { sequences: n, source, target } = all;
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
    let width = match (&spec.output, spec.last_stack()) {
        (Some(output), _) => output.vocabulary,
        (None, stack) => stack.map_or(0, |s| s.project_out.unwrap_or(s.width)),
    };
    let name = if spec.output.is_some() { LOGITS } else { HIDDEN };
    shapes.insert(name.to_owned(), vec![n, last, width]);
    shapes
}

const LOGITS: &str = "logits";
const HIDDEN: &str = "last_hidden_state";

fn result_of(network: &Network) -> &'static str {
    if network.spec().output.is_some() { LOGITS } else { HIDDEN }
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
