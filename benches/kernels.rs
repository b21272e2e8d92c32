//! The processor's kernels against candle's own operations, on the shapes of 8 x 128 tokens of all-MiniLM-L6-v2 (12
//! heads of 32, width 384, inner width 1536): `cargo bench --bench kernels`.
//!
//! Beside criterion's report every pair prints one ratio, of medians of alternating runs, since a machine that does
//! other things slows both alike.
//!
//! `count.py` counts instructions instead: with `PILLARS_COUNT=SIDE:TIMES:NAME` one side of one pair runs so many
//! times and nothing else does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use pillars::tensor::{
    Nonlinearity, Scoring, Visibility, activate, at_work, attention, layer_norm, linear, linear_activated, rms_norm,
    rotary,
};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

const LENGTH: usize = 128;
const HEADS: usize = 12;
const HEAD: usize = 32;
const WIDTH: usize = 384;
const INNER: usize = 1536;
/// Runs of each side of a ratio.
const RUNS: usize = 31;

/// Of a batch; instructions of one tell those of all, and valgrind takes its time.
fn sequences() -> usize {
    if std::env::var_os("PILLARS_COUNT").is_some() { 1 } else { 8 }
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.gen_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Heads as projections leave them: `[N, H, T, d]`, a view of `[N, T, H, d]`.
fn heads(width: usize, seed: u64) -> Tensor {
    random(&[sequences(), LENGTH, HEADS, width], seed).transpose(1, 2).unwrap()
}

/// Runs what `PILLARS_COUNT` asks for; true where it asks for anything.
fn counted(name: &str, candle: &dyn Fn() -> Tensor, ours: &dyn Fn() -> Tensor) -> bool {
    let Ok(wanted) = std::env::var("PILLARS_COUNT") else { return false };
    let mut parts = wanted.splitn(3, ':');
    let (side, times) = (parts.next(), parts.next().and_then(|n| n.parse().ok()).unwrap_or(0));
    match parts.next() {
        None | Some("") => println!("{name}"),
        Some(chosen) if chosen == name => {
            for _ in 0..times {
                black_box(if side == Some("candle") { candle() } else { ours() });
            }
        }
        Some(_) => {}
    }
    true
}

/// Both sides to criterion, and their ratio to the screen. Ours run where passes run them, among the threads that share
/// their parts; candle's where a program of candle's calls them.
fn compare(criterion: &mut Criterion, name: &str, candle: impl Fn() -> Tensor, ours: impl Fn() -> Tensor + Sync) {
    if counted(name, &candle, &ours) {
        return;
    }
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.bench_function("candle", |b| b.iter(|| black_box(candle())));
    group.bench_function("ours", |b| at_work(&Device::Cpu, || b.iter(|| black_box(ours()))));
    group.finish();
    let time = |f: &dyn Fn() -> Tensor| {
        let start = Instant::now();
        black_box(f());
        start.elapsed().as_secs_f64()
    };
    let (mut theirs, mut own): (Vec<f64>, Vec<f64>) =
        (0..RUNS).map(|_| (time(&candle), at_work(&Device::Cpu, || time(&ours)))).unzip();
    theirs.sort_by(f64::total_cmp);
    own.sort_by(f64::total_cmp);
    let (theirs, own) = (theirs[RUNS / 2], own[RUNS / 2]);
    println!("{name}: candle {:.3} ms, ours {:.3} ms: {:.1} times faster", theirs * 1e3, own * 1e3, theirs / own);
}

/// Forward and backward: the gradient of the sum of squares of what `f` gives.
fn pulled(variable: &Var, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let loss = f(variable.as_tensor()).sqr().unwrap().sum_all().unwrap();
    loss.backward().unwrap().remove(variable.as_tensor()).unwrap()
}

fn activations(criterion: &mut Criterion) {
    process::settle();
    let x = random(&[sequences(), LENGTH, INNER], 1);
    compare(criterion, "gelu (erf)", || x.gelu_erf().unwrap(), || activate(&x, Nonlinearity::Gelu).unwrap());
    compare(criterion, "gelu (tanh)", || x.gelu().unwrap(), || activate(&x, Nonlinearity::GeluTanh).unwrap());
    compare(criterion, "silu", || x.silu().unwrap(), || activate(&x, Nonlinearity::Silu).unwrap());
    compare(criterion, "relu", || x.relu().unwrap(), || activate(&x, Nonlinearity::Relu).unwrap());
    let variable = Var::from_tensor(&x).unwrap();
    compare(
        criterion,
        "gelu (erf) and backward",
        || pulled(&variable, |x| x.gelu_erf().unwrap()),
        || pulled(&variable, |x| activate(x, Nonlinearity::Gelu).unwrap()),
    );
}

/// Layer norm in candle's differentiable operations.
fn plain_layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
    let variance = (centered.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-5).unwrap();
    let normal = centered.broadcast_div(&variance.sqrt().unwrap()).unwrap();
    normal.broadcast_mul(weight).unwrap().broadcast_add(bias).unwrap()
}

fn norms(criterion: &mut Criterion) {
    let x = random(&[sequences(), LENGTH, WIDTH], 2);
    let (weight, bias) = (random(&[WIDTH], 3), random(&[WIDTH], 4));
    let ours = |x: &Tensor| layer_norm(x, &weight, Some(&bias), 1e-5).unwrap();
    compare(criterion, "layer norm", || plain_layer_norm(&x, &weight, &bias), || ours(&x));
    compare(
        criterion,
        "layer norm (candle-nn's, without backward)",
        || candle_nn::ops::layer_norm(&x, &weight, &bias, 1e-5).unwrap(),
        || ours(&x),
    );
    compare(
        criterion,
        "rms norm (candle-nn's, without backward)",
        || candle_nn::ops::rms_norm(&x, &weight, 1e-5).unwrap(),
        || rms_norm(&x, &weight, 1e-5).unwrap(),
    );
    let variable = Var::from_tensor(&x).unwrap();
    compare(
        criterion,
        "layer norm and backward",
        || pulled(&variable, |x| plain_layer_norm(x, &weight, &bias)),
        || pulled(&variable, ours),
    );
}

fn positions(criterion: &mut Criterion) {
    let x = heads(64, 5);
    let (cos, sin) = (random(&[LENGTH, 32], 6), random(&[LENGTH, 32], 7));
    compare(
        criterion,
        "rotary (candle-nn's, without backward)",
        || candle_nn::rotary_emb::rope(&x.contiguous().unwrap(), &cos, &sin).unwrap(),
        || rotary(&x, &cos, &sin).unwrap(),
    );
}

fn affine(criterion: &mut Criterion) {
    let x = random(&[sequences(), LENGTH, WIDTH], 8);
    let (weight, bias) = (random(&[INNER, WIDTH], 9), random(&[INNER], 10));
    let plain = |x: &Tensor, w: &Tensor| {
        let flat = x.reshape(((), WIDTH)).unwrap().matmul(&w.t().unwrap()).unwrap();
        flat.broadcast_add(&bias).unwrap()
    };
    let ours = |x: &Tensor, w: &Tensor| linear(x, w, Some(&bias)).unwrap();
    compare(criterion, "linear", || plain(&x, &weight), || ours(&x, &weight));
    compare(
        criterion,
        "linear and gelu (erf)",
        || plain(&x, &weight).gelu_erf().unwrap(),
        || linear_activated(&x, &weight, Some(&bias), Nonlinearity::Gelu, None).unwrap(),
    );
    let variable = Var::from_tensor(&weight).unwrap();
    let taught = Var::from_tensor(&x).unwrap();
    compare(
        criterion,
        "linear and backward",
        || pulled(&variable, |w| plain(taught.as_tensor(), w)),
        || pulled(&variable, |w| ours(taught.as_tensor(), w)),
    );
}

/// Attention in candle's differentiable operations.
fn plain_attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Option<&Tensor>) -> Tensor {
    let k = k.transpose(2, 3).unwrap().contiguous().unwrap();
    let scores = (q.contiguous().unwrap().matmul(&k).unwrap() * scale).unwrap();
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask).unwrap(),
        None => scores,
    };
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1).unwrap().detach()).unwrap();
    let exp = shifted.exp().unwrap();
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1).unwrap()).unwrap();
    weights.matmul(&v.contiguous().unwrap()).unwrap()
}

fn attentions(criterion: &mut Criterion) {
    let (q, k, v) = (heads(HEAD, 11), heads(HEAD, 12), heads(HEAD, 13));
    let scale = (HEAD as f64).powf(-0.5);
    let real = vec![true; sequences() * LENGTH];
    for causal in [false, true] {
        let visibility = Visibility::new((sequences(), LENGTH, LENGTH), causal, None, [&real, &real]);
        let mask = causal.then(|| visibility.additive(DType::F32, &Device::Cpu).unwrap());
        let scoring = Scoring { scale, soft_cap: None, bias: None, sinks: None, visibility: &visibility };
        let plain = |q: &Tensor| plain_attention(q, &k, &v, scale, mask.as_ref());
        let ours = |q: &Tensor, keep| attention(q, &k, &v, &scoring, keep).unwrap().output;
        let name = if causal { "causal attention" } else { "attention" };
        compare(criterion, name, || plain(&q), || ours(&q, false));
        compare(criterion, &format!("{name}, weights kept"), || plain(&q), || ours(&q, true));
        let variable = Var::from_tensor(&q).unwrap();
        compare(
            criterion,
            &format!("{name} and backward"),
            || pulled(&variable, plain),
            || pulled(&variable, |q| ours(q, false)),
        );
    }
}

criterion_group!(benches, activations, norms, positions, affine, attentions);
criterion_main!(benches);
