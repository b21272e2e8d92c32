//! What a checkpoint that really lost half its heads gains: 4 layers of BERT-base (12 heads, width 768), exported as
//! `compact` with 6 heads a layer, against the original, on the same 4 sequences. Beside criterion's own figures it
//! prints the ratio of medians over runs that alternate, so that a busy machine slows both. And what the surgery takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device};
use common::random_model;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pillars::model::Model;
use pillars::network::{Batch, Gates, Network, NoProbe, Tokens};
use pillars::plan::Plan;
use pillars::pruning::{ExportFormat, ExportOptions, export};
use pillars::task::Ticket;
use serde_json::json;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

/// Pairs of runs whose medians are compared.
const PAIRS: usize = 15;

fn batch(length: u32) -> Batch {
    let rows: Vec<_> = (0..4u32)
        .map(|row| ((0..length).map(|i| (i * 37 + row * 11) % 1000).collect(), vec![true; length as usize]))
        .collect();
    Batch::tokens(Tokens::pad(&rows, 0, &Device::Cpu).unwrap())
}

fn secs(network: &Network, batch: &Batch) -> f64 {
    let began = Instant::now();
    black_box(network.hidden(batch, &Gates::open(), &mut NoProbe).unwrap());
    began.elapsed().as_secs_f64()
}

fn median(mut secs: Vec<f64>) -> f64 {
    secs.sort_by(f64::total_cmp);
    secs[secs.len() / 2]
}

/// Cuts, writes, reopens and compares with the masked model, beside a plain write of as many bytes to the disk.
fn surgery(criterion: &mut Criterion, model: &Model, plan: &Plan, out: &Path) {
    let options = ExportOptions { timing: None, force: true, ..ExportOptions::default() };
    let mut cut = || export(model, plan, ExportFormat::Compact, out, &options, None, &Ticket::default()).unwrap();
    cut();
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let beside = out.with_extension("plain");
    let plain = || {
        let mut file = File::create(&beside).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
    };
    let mut group = criterion.benchmark_group("surgery");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("cut, write, reopen, compare", |b| b.iter(&mut cut));
    group.bench_function("plain write", |b| b.iter(plain));
    group.finish();
}

fn halved(criterion: &mut Criterion) {
    process::settle();
    let (_source, model) = random_model(&json!({
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 768, "num_attention_heads": 12,
        "num_hidden_layers": 4, "intermediate_size": 3072, "vocab_size": 1000, "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }));
    let sites = model.spec().sites();
    let plan = Plan::from_mask(sites.iter().map(|(site, _)| (*site, (0..12).step_by(2))).collect());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("halved");
    surgery(criterion, &model, &plan, &out);
    let before = model.network(&Device::Cpu, DType::F32).unwrap();
    let after = Model::open(&out).unwrap().network(&Device::Cpu, DType::F32).unwrap();
    for length in [32, 128, 512] {
        let batch = batch(length);
        let mut group = criterion.benchmark_group(format!("4 x {length} tokens"));
        group.sample_size(10);
        group.bench_function("12 heads", |b| b.iter(|| secs(&before, &batch)));
        group.bench_function("6 heads", |b| b.iter(|| secs(&after, &batch)));
        group.finish();
        let (first, second) = (0..PAIRS).map(|_| (secs(&before, &batch), secs(&after, &batch))).unzip();
        let (before, after) = (median(first), median(second));
        println!("4 x {length} tokens: {:.2} times as fast with half the heads\n", before / after);
    }
}

criterion_group!(benches, halved);
criterion_main!(benches);
