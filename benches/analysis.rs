//! What an analysis costs beside the forward pass that it watches: a network of 6 layers, 12 heads and width 384 on
//! 8 x 128 tokens (the shape of all-MiniLM-L6-v2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use pillars::analysis::{AnalysisSettings, Gram, GramProbe, Groups, Metric, ModelInfo, Points, analyze, vote};
use pillars::error::Result;
use pillars::network::{
    Activation, AttentionSpec, Batch, FeatureMap, Gates, InputSpec, LayerSpec, MlpSpec, Network, NetworkSpec, NoProbe,
    NormKind, NormSpec, ProjectionBias, Role, ScoreBias, StackSpec, Term, TokenInputSpec, Tokens, Weights, Wiring,
    roles,
};
use pillars::task::Ticket;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use rayon::prelude::*;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

const LAYERS: usize = 6;
const HEADS: usize = 12;
const WIDTH: usize = 384;

fn spec() -> NetworkSpec {
    let norm = NormSpec { kind: NormKind::Layer, eps: 1e-12 };
    let layer = |stored| LayerSpec {
        stored,
        attention: AttentionSpec {
            heads: HEADS,
            kv_heads: HEADS,
            head_dim: WIDTH / HEADS,
            scale: ((WIDTH / HEADS) as f64).powf(-0.5),
            soft_cap: None,
            causal: false,
            window: None,
            rotary: None,
            bias: ScoreBias::None,
            projection_bias: ProjectionBias::all(true),
            clip: None,
            query_key_norm: None,
            sinks: false,
            origin: (0..HEADS).collect(),
            origin_heads: HEADS,
            origin_kv_heads: HEADS,
        },
        cross: None,
        mlp: MlpSpec { width: 4 * WIDTH, activation: Activation::Gelu, gated: false, bias: true },
        experts: None,
        norm,
        wiring: Wiring::Post,
        has_attention_norm: true,
        residual_scale: 1.0,
        channel_scale: false,
    };
    let stack = StackSpec {
        width: WIDTH,
        input: InputSpec::Tokens(TokenInputSpec { norm: Some(norm), ..TokenInputSpec::new(1000, WIDTH) }),
        layers: (0..LAYERS).map(layer).collect(),
        final_norm: None,
        project_out: None,
    };
    NetworkSpec::encoder(stack, None)
}

/// Random weights of the usual size; norms are 1.
struct Random(NetworkSpec);

impl Weights for Random {
    fn get(&self, role: Role) -> Result<Tensor> {
        let (_, shape) = roles::tensors(&self.0).into_iter().find(|(r, _)| *r == role).unwrap();
        if role.module.is_norm() && role.term == Term::Weight {
            return Ok(Tensor::ones(shape, DType::F32, &Device::Cpu)?);
        }
        let mut rng = Xoshiro256Plus::seed_from_u64(role.to_string().bytes().map(u64::from).sum());
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.r#gen::<f32>() - 0.5) * 0.14).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

fn batch() -> Batch {
    let mut rng = Xoshiro256Plus::seed_from_u64(1);
    let rows: Vec<_> = (0..8).map(|_| ((0..128).map(|_| rng.gen_range(0..1000)).collect(), vec![true; 128])).collect();
    Batch::tokens(Tokens::pad(&rows, 0, &Device::Cpu).unwrap())
}

/// Gram matrices of `heads` random maps around a few centers; a large `spread` hides them.
fn grams(count: u64, heads: usize, spread: f64) -> Vec<Gram> {
    (0..count)
        .map(|seed| {
            let mut rng = Xoshiro256Plus::seed_from_u64(seed);
            let mut normal = move || (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0;
            let centers: Vec<Vec<f64>> = (0..4).map(|_| (0..64).map(|_| normal()).collect()).collect();
            let maps: Vec<Vec<f64>> =
                (0..heads).map(|h| centers[h % 4].iter().map(|c| c + spread * normal()).collect()).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let values = maps.iter().flat_map(|a| maps.iter().map(|b| dot(a, b))).collect();
            Gram::from_rows(heads, values).unwrap()
        })
        .collect()
}

fn passes(criterion: &mut Criterion) {
    process::settle();
    let network = Network::load(&spec(), &Random(spec())).unwrap();
    let batch = batch();
    let mut group = criterion.benchmark_group("one batch");
    group.sample_size(10);
    group.bench_function("forward alone", |b| {
        b.iter(|| black_box(network.hidden(&batch, &Gates::open(), &mut NoProbe).unwrap()));
    });
    for features in
        [vec![FeatureMap::Output], vec![FeatureMap::Attention], vec![FeatureMap::Residual], FeatureMap::ALL.to_vec()]
    {
        let name = if features.len() == 1 { features[0].name() } else { "all maps" };
        let mut probe = GramProbe::new(&features);
        group.bench_function(format!("forward with grams of {name}"), |b| {
            b.iter(|| {
                network.hidden(&batch, &Gates::open(), &mut probe).unwrap();
                black_box(probe.take_batches())
            });
        });
    }
    let settings = AnalysisSettings { groups: Groups::Fixed(4), ..AnalysisSettings::default() };
    group.bench_function("whole analysis of output", |b| {
        b.iter(|| {
            let batches = std::iter::once(Ok(batch.clone()));
            black_box(analyze(&network, ModelInfo::default(), batches, None, &settings, &Ticket::default()).unwrap())
        });
    });
    group.finish();
}

fn grouping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vote of 6 sites");
    group.sample_size(20);
    for (heads, spread, name) in [(12, 0.3, "clear"), (12, 3.0, "unclear"), (32, 3.0, "unclear"), (128, 3.0, "unclear")]
    {
        let grams = grams(6, heads, spread);
        let ballot = |gram: &Gram, groups: Option<usize>| {
            let points = Points::new(gram, Metric::Euclidean);
            let grouping = match groups {
                Some(groups) => points.group(groups, 0).unwrap(),
                None => points.group_auto(0).unwrap(),
            };
            vote(&points, gram, &grouping)
        };
        for (groups, label) in [(Some(2), "2"), (Some(4), "4"), (None, "auto")] {
            group.bench_function(format!("{heads} heads, {name}, {label} groups"), |b| {
                b.iter(|| black_box(grams.par_iter().map(|g| ballot(g, groups)).collect::<Vec<_>>()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, passes, grouping);
criterion_main!(benches);
