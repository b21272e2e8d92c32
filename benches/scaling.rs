//! How time and memory of one analysis grow with tokens, layers and heads.
//!
//! ```sh
//! cargo bench --bench scaling                 # seconds, by criterion
//! cargo bench --bench scaling -- --table      # one table with seconds, peak memory, and what each costs more
//! ```
//!
//! The table runs every case in a process of its own and reads the peak of its resident memory, so it needs Linux.
//! What can be told of memory: it grows with layers (their weights) and not with the number of batches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use pillars::analysis::{AnalysisSettings, Groups, ModelInfo, analyze};
use pillars::error::Result;
use pillars::network::{
    Activation, AttentionSpec, Batch, InputSpec, LayerSpec, MlpSpec, Network, NetworkSpec, NormKind, NormSpec,
    ProjectionBias, Role, StackSpec, Term, TokenInputSpec, Tokens, Weights, Wiring, roles,
};
use pillars::task::Ticket;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

const HEAD_DIM: usize = 32;
const VOCABULARY: u32 = 1000;

/// One analysis: batches of 8 sequences through an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    layers: usize,
    heads: usize,
    length: usize,
    batches: usize,
}

const USUAL: Case = Case { layers: 4, heads: 8, length: 64, batches: 2 };

impl Case {
    fn tokens(self) -> usize {
        8 * self.length * self.batches
    }

    fn spec(self) -> NetworkSpec {
        let width = self.heads * HEAD_DIM;
        let norm = NormSpec { kind: NormKind::Layer, eps: 1e-12 };
        let mut attention = AttentionSpec::new(self.heads, self.heads, HEAD_DIM);
        attention.projection_bias = ProjectionBias::all(true);
        let mlp = MlpSpec { width: 4 * width, activation: Activation::Gelu, gated: false, bias: true };
        let layer = |stored| LayerSpec::new(stored, attention.clone(), mlp.clone(), norm, Wiring::Post);
        let stack = StackSpec {
            width,
            input: InputSpec::Tokens(TokenInputSpec {
                norm: Some(norm),
                ..TokenInputSpec::new(VOCABULARY as usize, width)
            }),
            layers: (0..self.layers).map(layer).collect(),
            final_norm: None,
            project_out: None,
        };
        NetworkSpec::encoder(stack, None)
    }

    fn batch(self, seed: u32) -> Batch {
        let row = |i: usize| {
            let ids = (0..self.length).map(|t| (seed * 7919 + (i * self.length + t) as u32 * 104_729) % VOCABULARY);
            (ids.collect(), vec![true; self.length])
        };
        Batch::tokens(Tokens::pad(&(0..8).map(row).collect::<Vec<_>>(), 0, &Device::Cpu).unwrap())
    }

    fn run(self, network: &Network) {
        let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
        let batches = (0..self.batches).map(|seed| Ok(self.batch(seed as u32)));
        black_box(analyze(network, ModelInfo::default(), batches, None, &settings, &Ticket::default()).unwrap());
    }

    fn network(self) -> Network {
        Network::load(&self.spec(), &Waves(self.spec())).unwrap()
    }
}

/// Weights of the usual size without a generator; norms are 1.
struct Waves(NetworkSpec);

impl Weights for Waves {
    fn get(&self, role: Role) -> Result<Tensor> {
        let (_, shape) = roles::tensors(&self.0).into_iter().find(|(r, _)| *r == role).unwrap();
        if role.module.is_norm() && role.term == Term::Weight {
            return Ok(Tensor::ones(shape, DType::F32, &Device::Cpu)?);
        }
        let phase = role.to_string().bytes().map(f32::from).sum::<f32>();
        let values = (0..shape.iter().product()).map(|i: usize| ((i as f32).mul_add(0.7391, phase)).sin() * 0.05);
        Ok(Tensor::from_vec(values.collect(), shape, &Device::Cpu)?)
    }
}

/// Every case, under the axis along which it grows.
fn cases() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("tokens by batches", [2, 4, 8, 16].map(|batches| Case { batches, ..USUAL }).to_vec()),
        ("tokens by length", [32, 64, 128, 256].map(|length| Case { length, ..USUAL }).to_vec()),
        ("layers", [2, 4, 8, 16].map(|layers| Case { layers, ..USUAL }).to_vec()),
        ("heads (and width)", [4, 8, 16, 32].map(|heads| Case { heads, ..USUAL }).to_vec()),
    ]
}

fn seconds(criterion: &mut Criterion) {
    for (axis, cases) in cases() {
        let mut group = criterion.benchmark_group(axis);
        group.sample_size(10);
        for case in cases {
            let network = case.network();
            group.throughput(Throughput::Elements(case.tokens() as u64));
            let name = format!("{} layers, {} heads, {} x {}", case.layers, case.heads, case.batches, case.length);
            group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| case.run(&network)));
        }
        group.finish();
    }
}

/// Runs one case and prints its seconds (the best of three) and the peak of this process's resident memory in MB.
fn one(case: Case) {
    let network = case.network();
    let secs = (0..3).map(|_| {
        let began = Instant::now();
        case.run(&network);
        began.elapsed().as_secs_f64()
    });
    let secs = secs.fold(f64::INFINITY, f64::min);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    println!("{secs} {}", peak.unwrap_or(f64::NAN) / 1000.0);
}

fn table() {
    println!(
        "{:<18} {:>6} {:>6} {:>8} {:>8} {:>9} {:>10} {:>8}",
        "axis", "layers", "heads", "length", "tokens", "seconds", "tokens/s", "peak MB"
    );
    for (axis, cases) in cases() {
        for Case { layers, heads, length, batches } in cases {
            let program = std::env::current_exe().unwrap();
            let numbers = [layers, heads, length, batches].map(|n| n.to_string());
            let output = Command::new(program).arg("--one").args(numbers).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let found: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let tokens = 8 * length * batches;
            println!(
                "{axis:<18} {layers:>6} {heads:>6} {length:>8} {tokens:>8} {:>9.3} {:>10.0} {:>8.0}",
                found[0],
                tokens as f64 / found[0],
                found[1]
            );
        }
    }
}

fn main() {
    process::settle();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "--one") {
        let numbers: Vec<usize> = arguments[1..].iter().map(|n| n.parse().unwrap()).collect();
        return one(Case { layers: numbers[0], heads: numbers[1], length: numbers[2], batches: numbers[3] });
    }
    if arguments.iter().any(|a| a == "--table") {
        return table();
    }
    let mut criterion = Criterion::default().configure_from_args();
    seconds(&mut criterion);
    criterion.final_summary();
}
