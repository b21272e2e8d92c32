//! What the parts of an analysis of a real model cost, and what a training step costs, as JSON for `compare.py`:
//!
//! - `cargo bench --bench parts -- analysis MODEL TEXT`: seconds of opening, tokenising, the forward pass alone, and an
//!   analysis: its pass as far as it goes, its Gram matrices, its groups and votes (feature `output`, 4 groups, batch
//!   8, length 128); and, in f32 on the processor, of the pass's affine maps and attention, and of their matrix products
//!   alone.
//! - `cargo bench --bench parts -- training MODEL STEPS`: processor and wall seconds of a step on random tokens, batch
//!   16 x 128.
//!
//! `DEVICE TYPE` behind them, as after `--device` and `--dtype`, are `cpu f32` where they are left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use pillars::analysis::{AnalysisSettings, Groups, ModelInfo, Timings, analyze_timed};
use pillars::corpus::{self, Corpus, Input, Intake};
use pillars::model::Model;
use pillars::network::{Batch, Gates, NoProbe, Source, StackSpec, Tokens};
use pillars::task::Ticket;
use pillars::tensor::{
    DeviceChoice, Nonlinearity, Precision, Scoring, Visibility, attention, linear, linear_activated,
};
use pillars::training::{AdamSettings, Learner, Parameters, StepSettings};
use rayon::prelude::*;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

fn timed<T>(f: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed().as_secs_f64())
}

/// Seconds of all threads of this process so far; in steps of a hundredth. Linux only.
fn processor_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Where to compute and in what.
struct OpenedPath {
    device: Device,
    precision: Precision,
}

impl OpenedPath {
    fn named(device: &str, precision: &str) -> Self {
        let (device, fallback) = device.parse::<DeviceChoice>().unwrap().open().unwrap();
        // What ran elsewhere would be measured as if it had not.
        assert_eq!(fallback, None);
        Self { device, precision: precision.parse().unwrap() }
    }
}

fn analysis(folder: &Path, text: &Path, OpenedPath { device, precision }: &OpenedPath) {
    let dtype = precision.dtype();
    let ticket = Ticket::default();
    let ((model, network), open) = timed(|| {
        let model = Model::open(folder).unwrap();
        let network = model.network(device, dtype).unwrap();
        (model, network)
    });
    let (batches, tokenise) = timed(|| {
        let settings =
            corpus::CorpusSettings { batch_size: 8, seq_len: Some(128), ..corpus::CorpusSettings::default() };
        let intake = Intake::of(&model).unwrap();
        let corpus = Corpus::open(&Input::Text(text.to_path_buf()), folder, &intake, &settings, &ticket).unwrap();
        corpus.batches(device).collect::<Result<Vec<Batch>, _>>().unwrap()
    });
    let pass = || {
        for batch in &batches {
            network.hidden(batch, &Gates::open(), &mut NoProbe).unwrap();
        }
        device.synchronize().unwrap();
    };
    // The first pass of all loads the device's kernels.
    pass();
    let settings = AnalysisSettings { groups: Groups::Fixed(4), ..AnalysisSettings::default() };
    let whole = || {
        let batches = batches.iter().cloned().map(Ok);
        let info = ModelInfo::of(&model, dtype).unwrap();
        analyze_timed(&network, info, batches, None, &settings, None, &ticket).unwrap()
    };
    // Alternately, and the best of each: a machine with other work slows both.
    let (mut forward, mut forward_cpu, mut tokens) = (f64::INFINITY, f64::INFINITY, 0);
    let mut best = Timings { forward: Duration::MAX, ..Timings::default() };
    let stack = model.spec().encoder.as_ref().or(model.spec().decoder.as_ref()).unwrap();
    let mut alone = [f64::INFINITY; 4];
    for _ in 0..3 {
        let before = processor_secs();
        forward = forward.min(timed(pass).1);
        forward_cpu = forward_cpu.min(processor_secs() - before);
        for (best, secs) in alone.iter_mut().zip(products(stack, &batches)) {
            *best = best.min(secs);
        }
        let (found, _, timings) = whole();
        tokens = found.tokens;
        if timings.total() < best.total() {
            best = timings;
        }
    }
    let batches = batches.len();
    println!(
        "{}",
        serde_json::json!({
            "tokens": tokens, "batches": batches, "open": open, "tokenise": tokenise,
            "forward": forward, "forward_cpu": forward_cpu, "analysis": best.total().as_secs_f64(),
            "watched": best.forward.as_secs_f64(), "gram": best.gram.as_secs_f64(),
            "grouping": best.grouping.as_secs_f64(), "affine_products": alone[0], "attention_products": alone[1],
            "affine": alone[2], "attention": alone[3],
        })
    );
}

/// A matrix of `rows` and `columns` with numbers that are neither zero nor large.
fn matrix(rows: usize, columns: usize) -> Tensor {
    let numbers = (0..rows * columns).map(|n| (n % 97) as f32 / 97.0 - 0.5).collect::<Vec<_>>();
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
}

/// Seconds of what a pass over `batches` multiplies, and nothing else, operands made beforehand: the products of the affine
/// maps of every layer over the tokens that are there; those of every head over each sequence, scores and mixtures, by candle,
/// a head a thread; then the same maps with bias and activation, and the same attention with its softmax, as the pass has them.
fn products(stack: &StackSpec, batches: &[Batch]) -> [f64; 4] {
    let mut made: HashMap<(usize, usize), Tensor> = HashMap::new();
    let mut of = |rows, columns| made.entry((rows, columns)).or_insert_with(|| matrix(rows, columns)).clone();
    let (mut affine, mut attention_products, mut attentions) = (Vec::new(), Vec::new(), Vec::new());
    for batch in batches {
        let Source::Tokens(tokens) = &batch.source else { panic!("this reads tokens") };
        let mask = &tokens.mask;
        let lengths: Vec<usize> =
            (0..mask.sequences()).map(|row| mask.row(row).iter().filter(|is_real| **is_real).count()).collect();
        let (count, longest) = (lengths.iter().sum(), mask.length());
        for layer in &stack.layers {
            let (width, heads) = (stack.width, &layer.attention);
            let (queries, keys) = (heads.heads * heads.head_dim, heads.kv_heads * heads.head_dim);
            let ups = if layer.mlp.gated { 2 } else { 1 };
            for (from, to, times, ends_in_activation) in [
                (width, queries, 1, false),
                (width, keys, 2, false),
                (queries, width, 1, false),
                (width, layer.mlp.width, ups, true),
                (layer.mlp.width, width, 1, false),
            ] {
                for _ in 0..times {
                    affine.push((of(count, from), of(to, from), of(1, to).squeeze(0).unwrap(), ends_in_activation));
                }
            }
            for length in &lengths {
                for _ in 0..heads.heads {
                    attention_products.push((of(*length, heads.head_dim), of(heads.head_dim, *length)));
                    attention_products.push((of(*length, *length), of(*length, heads.head_dim)));
                }
            }
            let split = |x: Tensor, heads: usize, dim: usize| {
                x.reshape((lengths.len(), longest, heads, dim)).unwrap().transpose(1, 2).unwrap()
            };
            let query = split(of(lengths.len() * longest, queries), heads.heads, heads.head_dim);
            let key = split(of(lengths.len() * longest, keys), heads.kv_heads, heads.head_dim);
            attentions.push((query, key, mask));
        }
    }
    let maps = || {
        for (x, weight, ..) in &affine {
            black_box(linear(x, weight, None).unwrap());
        }
    };
    let heads = || {
        attention_products.par_iter().for_each(|(left, right)| {
            black_box(left.matmul(right).unwrap());
        });
    };
    let whole_maps = || {
        for (x, weight, bias, ends_in_activation) in &affine {
            black_box(if *ends_in_activation {
                linear_activated(x, weight, Some(bias), Nonlinearity::Gelu, None).unwrap()
            } else {
                linear(x, weight, Some(bias)).unwrap()
            });
        }
    };
    let whole_heads = || {
        for (query, key, mask) in &attentions {
            let real: Vec<bool> = (0..mask.sequences()).flat_map(|row| mask.row(row).iter().copied()).collect();
            let visibility =
                Visibility::new((mask.sequences(), mask.length(), mask.length()), false, None, [&real, &real]);
            let scoring = Scoring { scale: 0.2, soft_cap: None, bias: None, sinks: None, visibility: &visibility };
            black_box(attention(query, key, key, &scoring, false).unwrap());
        }
    };
    [timed(maps).1, timed(heads).1, timed(whole_maps).1, timed(whole_heads).1]
}

fn training(folder: &Path, steps: u32, OpenedPath { device, precision }: &OpenedPath) {
    let model = Model::open(folder).unwrap();
    let parameters = Parameters::of_model(&model, DType::F32, device).unwrap();
    let learner = Learner::new(model.spec(), parameters, AdamSettings::default()).unwrap();
    let mut learner = learner.computing_in(*precision);
    let (sequences, length) = (16u32, 128u32);
    let rows: Vec<(Vec<u32>, Vec<bool>)> = (0..sequences)
        .map(|n| ((0..length).map(|t| (n * 7919 + t * 104_729) % 2048).collect(), vec![true; length as usize]))
        .collect();
    let labels = rows.iter().flat_map(|(ids, _)| {
        let next = ids.iter().skip(1).map(|id| Some(*id));
        next.chain([None]).collect::<Vec<_>>()
    });
    let labels = labels.collect();
    let batch = Batch { labels: Some(labels), ..Batch::tokens(Tokens::pad(&rows, 0, device).unwrap()) };
    let gates = Gates::open();
    let settings = StepSettings { rate: 1e-4, smoothing: 0.0, constraint: None, gates: &gates, seed: 0 };
    let mut step = || learner.step(std::slice::from_ref(&batch), &settings).unwrap().task_loss;
    let first = step();
    let before = processor_secs();
    let (last, secs) = timed(|| {
        let last = (0..steps).map(|_| step()).last().unwrap_or(first);
        device.synchronize().unwrap();
        last
    });
    let cpu = processor_secs() - before;
    let steps = f64::from(steps);
    println!("{}", serde_json::json!({"first": first, "last": last, "wall": secs / steps, "cpu": cpu / steps}));
}

fn main() {
    process::settle();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let of = |place: &[&str]| match place {
        [] => OpenedPath::named("cpu", "f32"),
        [device, precision] => OpenedPath::named(device, precision),
        _ => panic!("DEVICE and TYPE go together"),
    };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["analysis", model, text, ref place @ ..] => analysis(Path::new(model), Path::new(text), &of(place)),
        ["training", model, steps, ref place @ ..] => {
            training(Path::new(model), steps.parse().unwrap(), &of(place));
        }
        // `cargo bench` runs every bench without arguments; this one needs a model.
        _ => println!(
            "cargo bench --bench parts -- analysis MODEL TEXT [DEVICE TYPE] | training MODEL STEPS [DEVICE TYPE]"
        ),
    }
}
