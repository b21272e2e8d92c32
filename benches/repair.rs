//! What repair costs beside one forward pass over the same tokens:
//!
//! ```sh
//! cargo bench --bench repair -- MODEL TEXT [BATCHES]   # shares of a forward pass, peak memory of each part
//! cargo bench --bench repair -- --random [BATCHES]     # the same of 4 layers of BERT-base, random weights and tokens
//! cargo bench --bench repair -- --wide [D]             # a refit of one layer of D outputs, random weights; 4096 without D
//! ```
//!
//! The parts run by turns in one process, three times, and the least counts, of seconds and of processor time, which other
//! work on the machine disturbs less; then each runs once more in a process of its own, whose peak of resident memory is
//! read, so that needs Linux. Batches of 8 sequences of 128 tokens, half of the heads of every layer stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use common::random_model;
use pillars::analysis::{
    Analysis, AnalysisSettings, Groups, ModelInfo, Moments, SecondMoment, SiteMoments, Symmetric, analyze, moments,
};
use pillars::corpus::{self, Corpus, Input, Intake};
use pillars::model::Model;
use pillars::network::{
    Activation, AttentionSpec, Batch, Gates, InputSpec, LayerSpec, MlpSpec, Network, NetworkSpec, NoProbe, NormKind,
    NormSpec, ProjectionBias, Role, Site, StackSpec, TokenInputSpec, Tokens, Weights, Wiring, roles,
};
use pillars::plan::{Amount, Method, Plan, PlanRequest, Shape, random_like};
use pillars::repair::{Basis, Reconstruction, RefitRequest, RepairMode, Ridge, StreamRequest, refit, stream};
use pillars::task::Ticket;

#[path = "../tests/common/mod.rs"]
mod common;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

/// What is measured, in this order.
const PARTS: [&str; 6] = ["forward", "moments", "choice", "refit", "stream", "stream, spilled"];

/// What is asked for on the command line.
#[derive(Clone, Copy)]
enum Subject<'a> {
    /// A folder and the text that it reads.
    Folder(&'a str, &'a str),
    /// BERT-base of 4 layers with random weights, on random tokens.
    Random,
}

/// A model with what it reads, and half of its heads.
struct Bench {
    /// Where random weights lie as long as they are read.
    _scratch: Option<tempfile::TempDir>,
    model: Model,
    network: Network,
    batches: Vec<Batch>,
    plan: Plan,
    /// Groups of the first batch, which plans name.
    analysis: Option<Analysis>,
    held: Option<Moments>,
}

impl Bench {
    fn open(subject: Subject<'_>, count: u64) -> Self {
        let (scratch, model, batches) = match subject {
            Subject::Folder(folder, text) => {
                let model = Model::open(Path::new(folder)).unwrap();
                let batches = Self::read(&model, Path::new(folder), Path::new(text), count);
                (None, model, batches)
            }
            Subject::Random => {
                let (scratch, model) = random_model(&serde_json::json!({
                    "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 768,
                    "num_attention_heads": 12, "num_hidden_layers": 4, "intermediate_size": 3072, "vocab_size": 1000,
                    "max_position_embeddings": 512, "type_vocab_size": 2,
                }));
                let id = |n: u64, row: u64, i: u64| ((n * 7919 + row * 104_729 + i * 31 + i * i * 17) % 1000) as u32;
                let row = |n: u64, row: u64| ((0..128).map(|i| id(n, row, i)).collect(), vec![true; 128]);
                let batch = |n: u64| (0..8).map(|r| row(n, r)).collect::<Vec<_>>();
                let batches = (0..count).map(|n| Batch::tokens(Tokens::pad(&batch(n), 0, &Device::Cpu).unwrap()));
                (Some(scratch), model, batches.collect())
            }
        };
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let mut half = Plan::default();
        for site in Shape::from(model.spec()).sites() {
            half.kept.set(site.site, 0..site.heads.div_ceil(2));
        }
        let shape = Shape::from(model.spec());
        let plan = Plan { kept: random_like(&shape, &half, 0), ..Plan::default() };
        Self { _scratch: scratch, model, network, batches, plan, analysis: None, held: None }
    }

    fn read(model: &Model, folder: &Path, text: &Path, count: u64) -> Vec<Batch> {
        let settings = corpus::CorpusSettings {
            batch_size: 8,
            seq_len: Some(128),
            batches: Some(count),
            pack: true,
            ..corpus::CorpusSettings::default()
        };
        let intake = Intake::of(model).unwrap();
        let input = Input::Text(text.to_path_buf());
        let corpus = Corpus::open(&input, folder, &intake, &settings, &Ticket::default()).unwrap();
        corpus.batches(&Device::Cpu).collect::<Result<_, _>>().unwrap()
    }

    fn moments(&self) -> Moments {
        let info = ModelInfo::of(&self.model, DType::F32).unwrap();
        let batches = self.batches.iter().cloned().map(Ok);
        moments(&self.network, info, batches, None, "bench", &Ticket::default()).unwrap()
    }

    /// What `choice` and `refit` begin from.
    fn prepare(&mut self, part: &str) {
        let ticket = Ticket::default();
        if matches!(part, "choice" | "refit") && self.held.is_none() {
            self.held = Some(self.moments());
            let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
            let info = ModelInfo::of(&self.model, DType::F32).unwrap();
            let first = self.batches.iter().take(1).cloned().map(Ok);
            self.analysis = Some(analyze(&self.network, info, first, None, &settings, &ticket).unwrap());
        }
    }

    fn run(&mut self, part: &str) {
        self.prepare(part);
        let ticket = Ticket::default();
        match part {
            "forward" => {
                for batch in &self.batches {
                    black_box(self.network.hidden(batch, &Gates::open(), &mut NoProbe).unwrap());
                }
            }
            "moments" => {
                black_box(self.moments());
            }
            "choice" => {
                let moments = self.held.as_ref().unwrap();
                let found = Reconstruction::new(moments, false).unwrap();
                let analysis = self.analysis.as_ref().unwrap();
                let request = PlanRequest::new(Method::Reconstruction, Amount::LayerRatio(0.5));
                black_box(found.propose(analysis, &request).unwrap());
            }
            "refit" => {
                let reader = self.model.reader(&Device::Cpu, DType::F32);
                let request =
                    RefitRequest { plan: &self.plan, mode: RepairMode::Refit, ridge: Ridge::Auto, basis: Basis::All };
                let moments = self.held.as_ref().unwrap();
                black_box(refit(self.model.spec(), &reader, moments, &request, &ticket).unwrap());
            }
            "stream" | "stream, spilled" => {
                let spills = part != "stream";
                let reader = self.model.reader(&Device::Cpu, DType::F32);
                let request =
                    StreamRequest { plan: &self.plan, choose: false, ridge: Ridge::Auto, basis: Basis::All, spills };
                let info = ModelInfo::of(&self.model, DType::F32).unwrap();
                black_box(stream(&self.network, &reader, info, &self.batches, "bench", &request, &ticket).unwrap());
            }
            other => panic!("{other} is no part"),
        }
    }
}

/// Seconds, and processor seconds of all threads.
fn timed(work: impl FnOnce()) -> [f64; 2] {
    let (began, used) = (Instant::now(), processor());
    work();
    [began.elapsed().as_secs_f64(), processor() - used]
}

/// Processor seconds of this process so far, in hundredths.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

/// Peak of this process's resident memory in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap_or(f64::NAN) / 1000.0
}

fn table(subject: Subject<'_>, count: u64) {
    let mut bench = Bench::open(subject, count);
    let tokens: usize = bench.batches.iter().map(|b| b.token_count().unwrap()).sum();
    let mut least = [[f64::INFINITY; 2]; PARTS.len()];
    for _ in 0..3 {
        for (part, least) in PARTS.iter().zip(&mut least) {
            bench.prepare(part);
            let found = timed(|| bench.run(part));
            *least = [0, 1].map(|kind| least[kind].min(found[kind]));
        }
    }
    let (name, arguments) = match subject {
        Subject::Folder(folder, text) => (format!("{text}, {folder}"), vec![folder, text]),
        Subject::Random => ("4 layers of BERT-base".to_owned(), vec!["--random"]),
    };
    println!("{tokens} tokens of {name}");
    println!("| part | seconds | of a forward pass | processor seconds | of a forward pass | peak MB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (part, [secs, used]) in PARTS.iter().zip(least) {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.args(["--part", part]).args(&arguments).arg(count.to_string());
        let peak = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let [of, used_of] = [secs / least[0][0], used / least[0][1]];
        println!("| {part} | {secs:.3} | {of:.2} | {used:.2} | {used_of:.2} | {} |", peak.trim());
    }
}

/// Weights without a generator.
struct Waves(NetworkSpec);

impl Weights for Waves {
    fn get(&self, role: Role) -> pillars::Result<Tensor> {
        let (_, shape) = roles::tensors(&self.0).into_iter().find(|(r, _)| *r == role).unwrap();
        let phase = role.to_string().bytes().map(f32::from).sum::<f32>();
        let values = (0..shape.iter().product()).map(|i: usize| ((i as f32).mul_add(0.7391, phase)).sin() * 0.05);
        Ok(Tensor::from_vec(values.collect(), shape, &Device::Cpu)?)
    }
}

/// A refit of one layer of `dim` outputs in heads of 128.
fn wide(dim: usize) {
    const HEAD: usize = 128;
    let heads = dim / HEAD;
    let norm = NormSpec { kind: NormKind::Rms, eps: 1e-6 };
    let mut attention = AttentionSpec::new(heads, heads, HEAD);
    attention.projection_bias = ProjectionBias::all(false);
    let mlp = MlpSpec { width: HEAD, activation: Activation::Silu, gated: false, bias: false };
    let stack = StackSpec {
        width: dim,
        input: InputSpec::Tokens(TokenInputSpec::new(8, dim)),
        layers: vec![LayerSpec::new(0, attention, mlp, norm, Wiring::Pre)],
        final_norm: None,
        project_out: None,
    };
    let spec = NetworkSpec::encoder(stack, None);
    let site: Site = "encoder.0".parse().unwrap();
    let half = |seed: f32| {
        let tokens = dim + 256;
        let value = |i: usize| ((i as f32).mul_add(0.618_034, seed) * 12.9898).sin() * 43758.547;
        let x = Tensor::from_vec((0..tokens * dim).map(|i| value(i).fract()).collect(), (tokens, dim), &Device::Cpu);
        let x = x.unwrap();
        let square = x.t().unwrap().matmul(&x).unwrap().to_dtype(DType::F64).unwrap();
        let sum = x.sum(0).unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
        SecondMoment { tokens: tokens as u64, sum, square: packed(&square) }
    };
    let module = pillars::model::output_module(&spec, site);
    let weight = Waves(spec.clone()).get(module.weight()).unwrap();
    let products = weight.t().unwrap().matmul(&weight).unwrap().to_dtype(DType::F64).unwrap();
    let found = SiteMoments {
        heads,
        kv_heads: heads,
        head_dim: HEAD,
        stored_layer: 0,
        output_bias: false,
        halves: [half(0.1), half(0.7)],
        output: packed(&products),
        sensitivity: None,
    };
    drop((weight, products));
    let moments = Moments {
        model: ModelInfo::default(),
        input: "random".to_owned(),
        readings: Vec::new(),
        batches: 2,
        sites: BTreeMap::from([(site, found)]),
    };
    let before = peak();
    let mut plan = Plan::default();
    plan.kept.set(site, 0..heads / 2);
    let request = RefitRequest { plan: &plan, mode: RepairMode::Refit, ridge: Ridge::Auto, basis: Basis::All };
    let weights = Waves(spec.clone());
    let [secs, used] = timed(|| {
        black_box(refit(&spec, &weights, &moments, &request, &Ticket::default()).unwrap());
    });
    println!(
        "refit of {heads} heads of {HEAD}, half of them kept: {secs:.1} s, {used:.1} of processor, peak {:.0} MB, \
         {before:.0} before",
        peak()
    );
}

fn packed(square: &Tensor) -> Symmetric {
    let rows: Vec<Vec<f64>> = square.to_vec2().unwrap();
    let packed = rows.iter().enumerate().flat_map(|(i, row)| row[i..].to_vec()).collect();
    Symmetric::from_packed(rows.len(), packed).unwrap()
}

fn main() {
    process::settle();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match words.as_slice() {
        ["--wide"] => wide(4096),
        ["--wide", dim] => wide(number(dim) as usize),
        ["--part", part, rest @ .., count] => {
            let subject = match rest {
                [folder, text] => Subject::Folder(folder, text),
                _ => Subject::Random,
            };
            Bench::open(subject, number(count)).run(part);
            println!("{:.0}", peak());
        }
        ["--random"] => table(Subject::Random, 8),
        ["--random", count] => table(Subject::Random, number(count)),
        [folder, text] => table(Subject::Folder(folder, text), 8),
        [folder, text, count] => table(Subject::Folder(folder, text), number(count)),
        _ => println!("give MODEL TEXT [BATCHES], --random [BATCHES] or --wide [D]"),
    }
}
