//! Moments, sensitivity and repairs of whole networks, recomputed from raw features in the plainest way.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::heads::{Vectors, gated, open, raw, singles};
use candle_core::{DType, Device, Tensor};
use faer::Mat;
use faer::linalg::solvers::Solve;
use pillars::analysis::{Analysis, ModelInfo, Moments, SummedLoss, moments, sensitivity};
use pillars::model::{Model, Repaired, output_module};
use pillars::network::{
    Batch, Branch, BranchModule, FeatureMap, Gates, Kept, LayerSpec, Module, Network, NetworkSpec, NoProbe, NormKind,
    Role, Site, SiteKind, Tokens, Weights, Wiring,
};
use pillars::plan::Plan;
use pillars::pruning::sample_batches;
use pillars::repair::{Basis, RefitRequest, Refitter, Repair, RepairMode, Ridge, StreamRequest, refit, stream};
use pillars::task::Ticket;

pub(crate) fn sum(model: &Model, network: &Network, batches: &[Batch]) -> Moments {
    let info = ModelInfo::of(model, DType::F32).unwrap();
    moments(network, info, batches.iter().cloned().map(Ok), None, "tokens", &Ticket::default()).unwrap()
}

/// Rows of tokens `[token][H d]` from one vector per head.
pub(crate) fn rows(heads: &Vectors, dim: usize) -> Vectors {
    let tokens = heads[0].len() / dim;
    (0..tokens).map(|t| heads.iter().flat_map(|h| h[t * dim..(t + 1) * dim].to_vec()).collect()).collect()
}

/// Batches of random tokens, one sequence each, the second half padded.
pub(crate) fn random_batches(spec: &NetworkSpec, count: u32, length: u32) -> Vec<Batch> {
    let tokens = |seed: u32| {
        let id = |t: u32| 3 + (seed.wrapping_mul(7919).wrapping_add(t * 104_729) ^ (t * t * 31)) % 60;
        let real: Vec<bool> = (0..length).map(|t| seed % 3 != 2 || t < length / 2).collect();
        Tokens::pad(&[((0..length).map(id).collect(), real)], 1, &Device::Cpu).unwrap()
    };
    let both = spec.encoder.is_some() && spec.decoder.is_some();
    let batch = |n: u32| Batch { target: both.then(|| tokens(n + 1000)), ..Batch::tokens(tokens(n)) };
    (0..count).map(batch).collect()
}

#[test]
fn moments_are_sums_over_the_raw_outputs_in_two_halves() {
    for family in ["bert", "llama", "bart", "albert", "vit"] {
        let (model, network, whole) = open(family, DType::F32);
        let batches = singles(&whole);
        let found = sum(&model, &network, &batches);
        assert_eq!(found.sites.len(), model.spec().sites().len());
        let parts: Vec<_> = batches.iter().map(|b| raw(&network, b)).collect();
        for (site, moments) in &found.sites {
            let spec = model.spec().attention(*site).unwrap();
            assert_eq!((moments.heads, moments.head_dim, moments.kv_heads), (spec.heads, spec.head_dim, spec.kv_heads));
            for (half, found) in moments.halves.iter().enumerate() {
                let of = parts.iter().skip(half).step_by(2);
                let tokens: Vectors = of.flat_map(|p| rows(&p[&(*site, FeatureMap::Output)], spec.head_dim)).collect();
                assert_eq!(found.tokens, tokens.len() as u64, "{family} {site}");
                for i in 0..moments.dim() {
                    let sum: f64 = tokens.iter().map(|o| o[i]).sum();
                    assert!((found.sum[i] - sum).abs() < 1e-9 * (1.0 + sum.abs()));
                    for j in 0..moments.dim() {
                        let expected: f64 = tokens.iter().map(|o| o[i] * o[j]).sum();
                        let scale: f64 = tokens.iter().map(|o| (o[i] * o[j]).abs()).sum();
                        assert!((found.square.get(i, j) - expected).abs() < 1e-9 * scale, "{family} {site} {i} {j}");
                    }
                }
            }
            let weight = matrix(&model, *site);
            for (i, j) in [(0, 0), (1, 5), (3, 2)] {
                let expected: f64 = (0..weight.ncols()).map(|k| weight[(i, k)] * weight[(j, k)]).sum();
                assert!((moments.output.get(i, j) - expected).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn moments_of_parts_add_and_come_back_from_their_file() {
    let (model, network, _) = open("gpt2", DType::F32);
    let batches = random_batches(model.spec(), 4, 12);
    let whole = sum(&model, &network, &batches);
    let mut parts = sum(&model, &network, &batches[..2]);
    let rest = sum(&model, &network, &batches[2..]);
    parts.add(&rest).unwrap();
    assert_eq!(parts.batches, 4);
    for (site, moments) in &whole.sites {
        for (a, b) in moments.halves.iter().zip(&parts.sites[site].halves) {
            assert_eq!(a.tokens, b.tokens);
            let close = |a: &f64, b: &f64| (a - b).abs() <= 1e-12 * (1.0 + a.abs());
            assert!(a.square.packed().iter().zip(b.square.packed()).all(|(a, b)| close(a, b)));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = Moments::path_beside(&folder.path().join("a.json"));
    whole.write(&path).unwrap();
    assert_eq!(Moments::read(&path).unwrap(), whole);
    // Only those of the analysis itself are read beside it.
    let analysis: Analysis = serde_json::from_value(serde_json::json!({
        "model": whole.model, "settings": {"moments": true, "input": whole.input}, "tokens": 0, "batches": whole.batches,
        "sites": [],
    }))
    .unwrap();
    let beside = |name: &str, analysis: &Analysis| Moments::read_beside(&folder.path().join(name), analysis);
    assert_eq!(beside("a.json", &analysis).unwrap(), whole);
    let changed = |change: &dyn Fn(&mut Analysis)| {
        let mut other = analysis.clone();
        change(&mut other);
        beside("a.json", &other).unwrap_err().to_string()
    };
    assert!(changed(&|a| a.model.fingerprint.push('x')).contains("another model"));
    assert!(changed(&|a| a.settings.input.push('x')).contains("another run"));
    assert!(changed(&|a| a.batches += 1).contains("another run"));
    assert!(changed(&|a| a.settings.moments = false).contains("analyze again with --moments"));
    assert!(beside("b.json", &analysis).unwrap_err().to_string().contains("analyze again with --moments"));
    // Layers that are not held give the same bits.
    let weights = Arc::new(model.reader(&Device::Cpu, DType::F32));
    let streamed = Network::stream(model.spec(), weights, 1 << 20).unwrap();
    assert_eq!(sum(&model, &streamed, &batches).sites, whole.sites);
    let other = open("bert", DType::F32);
    assert!(parts.add(&sum(&other.0, &other.1, &random_batches(other.0.spec(), 1, 5))).is_err());
}

#[test]
fn sensitivity_is_the_second_moment_of_finite_differences() {
    for family in ["llama", "bart"] {
        let (model, network, _) = open(family, DType::F64);
        let batches = random_batches(model.spec(), 3, 4);
        let loss = |gates: &Gates, batch: &Batch| -> Tensor {
            let hidden = network.hidden(batch, gates, &mut NoProbe).unwrap();
            let mask = hidden.mask.to_tensor(DType::F64, &Device::Cpu).unwrap().unsqueeze(2).unwrap();
            let width = hidden.states.dim(2).unwrap();
            let direction = (Tensor::arange(0u32, width as u32, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
                * 0.37)
                .unwrap()
                .cos()
                .unwrap();
            let seen = hidden.states.broadcast_mul(&mask).unwrap().broadcast_mul(&direction).unwrap();
            seen.sqr().unwrap().sum_all().unwrap()
        };
        let found = sensitivity(
            &network,
            batches.iter().cloned().map(Ok),
            None,
            |gates, batch| Ok(Some(SummedLoss { sum: loss(gates, batch), terms: 5 })),
            &Ticket::default(),
        )
        .unwrap();
        let value = |gates: &Gates, batch: &Batch| loss(gates, batch).to_scalar::<f64>().unwrap();
        for (site, spec) in model.spec().sites().into_iter().step_by(2) {
            let dim = spec.heads * spec.head_dim;
            let mut expected = vec![0.0; dim * dim];
            for batch in &batches {
                let (heads, d) = (spec.heads, spec.head_dim);
                let length = 4;
                for t in 0..length {
                    let gradient: Vec<f64> = (0..dim)
                        .map(|i| {
                            let (h, k) = (i / d, i % d);
                            let at = |step: f64| {
                                let mut offset = vec![0.0; heads * length * d];
                                offset[(h * length + t) * d + k] = step;
                                let offset = Tensor::from_vec(offset, (1, heads, length, d), &Device::Cpu).unwrap();
                                let mut gates = Gates::open();
                                gates.set_offset(site, offset);
                                value(&gates, batch)
                            };
                            (at(1e-4) - at(-1e-4)) / 2e-4
                        })
                        .collect();
                    for i in 0..dim {
                        for j in 0..dim {
                            expected[i * dim + j] += gradient[i] * gradient[j];
                        }
                    }
                }
            }
            let scale = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
            let square = &found[&site].square;
            assert_eq!(found[&site].scored, 15);
            for i in 0..dim {
                for j in 0..dim {
                    let difference = (square.get(i, j) - expected[i * dim + j]).abs();
                    assert!(difference < 1e-4 * scale, "{family} {site} {i} {j}: {difference} of {scale}");
                }
            }
        }
    }
}

/// `W`, `[H d, D_model]`, in f64.
pub(crate) fn matrix(model: &Model, site: Site) -> Mat<f64> {
    let weight = model.reader(&Device::Cpu, DType::F32).get(output_module(model.spec(), site).weight()).unwrap();
    let rows: Vectors = weight.to_dtype(DType::F64).unwrap().to_vec2().unwrap();
    Mat::from_fn(rows[0].len(), rows.len(), |i, j| rows[j][i])
}

fn vector(model: &Model, role: Role) -> Vec<f64> {
    let tensor = model.reader(&Device::Cpu, DType::F32).get(role).unwrap();
    tensor.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

pub(crate) fn bias(model: &Model, site: Site) -> Vec<f64> {
    let spec = model.spec().attention(site).unwrap();
    if spec.projection_bias.output {
        vector(model, output_module(model.spec(), site).bias())
    } else {
        vec![0.0; matrix(model, site).ncols()]
    }
}

/// All but one head of every layer, another in each; key/value groups stay whole or lose one query head each.
pub(crate) fn plan(model: &Model) -> Plan {
    let mut kept = Kept::all();
    for (at, (site, spec)) in model.spec().sites().into_iter().enumerate() {
        let stored = model.spec().stored_layer(site).unwrap_or(at);
        let per_kv = spec.queries_per_kv();
        let gone = |h: &usize| if per_kv > 1 { h % per_kv == stored % per_kv } else { *h == stored % spec.heads };
        kept.set(site, (0..spec.heads).filter(|h| !gone(h)));
    }
    Plan::from_mask(kept)
}

pub(crate) fn columns(kept: &[usize], d: usize) -> Vec<usize> {
    kept.iter().flat_map(|h| h * d..(h + 1) * d).collect()
}

/// `y - x w` summed over squares; `w` as torch has it.
fn error(x: &Vectors, y: &Vectors, weight: &Tensor, bias: &[f64], at: &[usize]) -> f64 {
    let weight: Vectors = weight.to_dtype(DType::F64).unwrap().to_vec2().unwrap();
    let mut sum = 0.0;
    for (x, y) in x.iter().zip(y) {
        for (j, row) in weight.iter().enumerate() {
            let said: f64 = at.iter().zip(row).map(|(c, w)| x[*c] * w).sum();
            sum += (y[j] - said - bias[j]).powi(2);
        }
    }
    sum
}

pub(crate) fn branch(x: &Vectors, weight: &Mat<f64>) -> Vectors {
    let y =
        |o: &Vec<f64>| (0..weight.ncols()).map(|j| (0..weight.nrows()).map(|i| o[i] * weight[(i, j)]).sum()).collect();
    x.iter().map(y).collect()
}

fn new_bias(repair: &Repair, site: Site, width: usize) -> Vec<f64> {
    let bias = repair.outputs[&site].bias.as_ref();
    bias.map_or(vec![0.0; width], |b| b.to_dtype(DType::F64).unwrap().to_vec1().unwrap())
}

#[test]
fn a_layer_that_keeps_the_same_heads_is_fitted_once() {
    let (model, network, _) = open("bert", DType::F32);
    let moments = sum(&model, &network, &random_batches(model.spec(), 6, 12));
    let (reader, ticket) = (model.reader(&Device::Cpu, DType::F32), Ticket::default());
    let refitter = Refitter::new(model.spec(), &reader, &moments).unwrap();
    let sites: Vec<Site> = model.spec().sites().iter().map(|(site, _)| *site).collect();
    let first = plan(&model);
    let mut other = first.clone();
    other.kept.set(sites[0], [1]);
    let mut fits = 0;
    for (plan, mode, more) in [
        (&first, RepairMode::Refit, sites.len()),
        (&first, RepairMode::Refit, 0),
        // Another choice in one layer, and back.
        (&other, RepairMode::Refit, 1),
        (&first, RepairMode::Refit, 0),
        (&first, RepairMode::Scale, sites.len()),
        (&Plan::default(), RepairMode::Refit, 0),
    ] {
        let request = RefitRequest { plan, mode, ridge: Ridge::Auto, basis: Basis::All };
        let found = refitter.refit(&request, &ticket).unwrap();
        fits += more;
        assert_eq!(refitter.fits(), fits, "{mode}");
        // What is remembered is what is fitted anew.
        let anew = refit(model.spec(), &reader, &moments, &request, &ticket).unwrap();
        assert_eq!(found.record, anew.record);
        for (site, output) in &anew.outputs {
            let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
            assert_eq!(values(&output.weight), values(&found.outputs[site].weight));
        }
    }
}

#[test]
fn a_refit_says_more_of_every_branch_than_masking_and_no_other_does_better() {
    for family in ["gpt2", "bert", "llama", "bart", "albert"] {
        let (model, network, _) = open(family, DType::F32);
        let batches = random_batches(model.spec(), 12, 16);
        let (plan, reader) = (plan(&model), model.reader(&Device::Cpu, DType::F32));
        let moments = sum(&model, &network, &batches);
        let request =
            RefitRequest { plan: &plan, mode: RepairMode::Refit, ridge: Ridge::Fixed(1e-7), basis: Basis::All };
        let repair = refit(model.spec(), &reader, &moments, &request, &Ticket::default()).unwrap();
        let parts: Vec<_> = batches.iter().map(|b| raw(&network, b)).collect();
        for (site, output) in &repair.outputs {
            let spec = model.spec().attention(*site).unwrap();
            let sharing: Vec<Site> = model
                .spec()
                .sites()
                .iter()
                .map(|(s, _)| *s)
                .filter(|s| s.kind == site.kind && model.spec().stored_layer(*s) == model.spec().stored_layer(*site))
                .collect();
            let x: Vectors = parts
                .iter()
                .flat_map(|p| sharing.iter().flat_map(|s| rows(&p[&(*s, FeatureMap::Output)], spec.head_dim)))
                .collect();
            let weight = matrix(&model, *site);
            let y = branch(&x, &weight);
            let at = columns(&output.kept, spec.head_dim);
            let (old, new) = (bias(&model, *site), new_bias(&repair, *site, weight.ncols()));
            let gained: Vec<f64> = old.iter().zip(&new).map(|(o, n)| n - o).collect();
            let own = error(&x, &y, &output.weight, &gained, &at);
            let as_it_was = Mat::from_fn(weight.ncols(), at.len(), |i, j| weight[(at[j], i)]);
            let as_it_was: Vec<f32> = (0..as_it_was.nrows())
                .flat_map(|i| (0..at.len()).map(move |j| (i, j)))
                .map(|p| as_it_was[p] as f32)
                .collect();
            let as_it_was = Tensor::from_vec(as_it_was, (weight.ncols(), at.len()), &Device::Cpu).unwrap();
            let masked = error(&x, &y, &as_it_was, &vec![0.0; gained.len()], &at);
            assert!(own < masked, "{family} {site}: {own} {masked}");
            // A step to any side is worse (or rounding).
            for scale in [0.99f64, 1.01] {
                let moved = (&output.weight * scale).unwrap();
                assert!(error(&x, &y, &moved, &gained, &at) > own * (1.0 - 1e-4), "{family} {site}");
            }
        }
        // Of layers that share their weights one stands for all.
        let classes = moments.shared().unwrap().len();
        assert_eq!(repair.outputs.len(), classes, "{family}");
        // Written, read, and for this model and plan alone.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.safetensors");
        repair.write(&path).unwrap();
        let back = Repair::read(&path).unwrap();
        assert_eq!(back.record, repair.record);
        let fingerprint = model.checkpoint().fingerprint().unwrap();
        back.check(model.spec(), &fingerprint, &plan).unwrap();
        assert!(back.check(model.spec(), "other", &plan).is_err());
        assert!(back.check(model.spec(), &fingerprint, &Plan::from_mask(Kept::all())).is_err());
        // The network in memory, and one whose layers are read each time.
        let gates = Gates::keep(model.spec(), &plan.kept, DType::F32, &Device::Cpu).unwrap();
        let held = model.repaired_network(&network, &back.outputs).unwrap();
        let weights = Arc::new(model.reader(&Device::Cpu, DType::F32));
        let left = Network::stream(model.spec(), weights, 1 << 20).unwrap();
        let left = model.repaired_network(&left, &back.outputs).unwrap();
        let states = |network: &Network| {
            let hidden = network.hidden(&batches[0], &gates, &mut NoProbe).unwrap().states;
            hidden.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(states(&held), states(&left), "{family}");
        assert_ne!(states(&held), states(&network), "{family}");
    }
}

/// The stream before self-attention of layer `index` of a stack, at real positions: the hidden state of a network that
/// ends there.
fn stream_before(
    spec: &NetworkSpec,
    weights: &dyn Weights,
    kind: SiteKind,
    index: usize,
    batch: &Batch,
    gates: &Gates,
) -> Vectors {
    let mut short = spec.clone();
    let stack = if kind == SiteKind::Encoder { &mut short.encoder } else { &mut short.decoder };
    let stack = stack.as_mut().unwrap();
    stack.layers.truncate(index);
    stack.final_norm = None;
    if kind == SiteKind::Encoder {
        short.decoder = None;
    }
    short.output = None;
    let source = if kind == SiteKind::Encoder { Batch { target: None, ..batch.clone() } } else { batch.clone() };
    let network = Network::load(&short, weights).unwrap();
    let hidden = network.hidden(&source, gates, &mut NoProbe).unwrap();
    let states = hidden.states.to_dtype(DType::F64).unwrap().flatten_to(1).unwrap().to_vec2::<f64>().unwrap();
    states.into_iter().zip(hidden.mask.real()).filter(|(_, real)| **real).map(|(row, _)| row).collect()
}

fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    x.iter().zip(weight).zip(bias).map(|((v, w), b)| (v - mean) / (variance + eps).sqrt() * w + b).collect()
}

/// Factors of channels, an RMS norm of the result, and whether a norm reads the stream next: what stands behind attention.
struct Joint {
    factors: Vec<f64>,
    norm: Option<(Vec<f64>, f64)>,
    weighs: bool,
}

impl Joint {
    fn of(model: &Model, layer: &LayerSpec, site: Site, width: usize) -> Self {
        let role = |part| Module::Branch(Branch::Attention(site.kind), layer.stored, part).weight();
        let learned = if layer.channel_scale { vector(model, role(BranchModule::Scale)) } else { vec![1.0; width] };
        let norm = matches!(layer.wiring, Wiring::Both | Wiring::After).then(|| {
            let one = match layer.norm.kind {
                NormKind::Rms => 0.0,
                NormKind::RmsPlusOne => 1.0,
                other => panic!("{other:?}"),
            };
            let weight = vector(model, role(BranchModule::PostNorm)).iter().map(|w| w + one).collect();
            (weight, layer.norm.eps)
        });
        Self {
            factors: learned.iter().map(|s| s * layer.residual_scale).collect(),
            norm,
            weighs: !matches!(layer.wiring, Wiring::Post | Wiring::After),
        }
    }

    /// What channel `j` of the branch's result must gain so that the stream gains `x`: not known behind a norm.
    fn backwards(&self, j: usize, x: f64) -> f64 {
        if self.norm.is_some() { 0.0 } else { x / self.factors[j] }
    }

    /// The stream `x` with the branch's result `y`, before any norm of the sum.
    fn join(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        let normed = match &self.norm {
            Some((weight, eps)) => {
                let square = y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64;
                y.iter().zip(weight).map(|(v, w)| v / (square + eps).sqrt() * w).collect()
            }
            None => y.to_vec(),
        };
        (0..x.len()).map(|j| x[j] + self.factors[j] * normed[j]).collect()
    }
}

/// Repair in the stream again: truncated networks give the streams, features the outputs, normal equations the fit. Every
/// place of norms, parallel branches, factors of layers and of channels, pictures, cross attention.
#[test]
fn repair_in_the_stream_is_what_truncated_networks_give() {
    for family in ["gpt2", "bert", "bart", "llama", "vit", "gptj", "gemma2", "granite", "dinov2", "olmo2"] {
        let (model, network, _) = open(family, DType::F32);
        let (spec, plan) = (model.spec(), plan(&model));
        let batches = match family {
            "vit" | "dinov2" => sample_batches(spec, 8, 3).unwrap(),
            _ => random_batches(spec, 8, 14),
        };
        let reader = || model.reader(&Device::Cpu, DType::F32);
        let ridge = 1e-2;
        let request =
            StreamRequest { plan: &plan, choose: false, ridge: Ridge::Fixed(ridge), basis: Basis::All, spills: false };
        let info = ModelInfo::of(&model, DType::F32).unwrap();
        let found = stream(&network, &reader(), info, &batches, "tokens", &request, &Ticket::default()).unwrap();
        let gates = Gates::keep(spec, &plan.kept, DType::F32, &Device::Cpu).unwrap();
        let open = Gates::open();
        let mut done = BTreeMap::new();
        // Encoder first, then layer by layer self-attention before cross attention.
        let mut order: Vec<Site> = spec.sites().iter().map(|(s, _)| *s).collect();
        order.sort_by_key(|s| (s.kind != SiteKind::Encoder, s.layer, s.kind == SiteKind::Cross));
        let mut drifted = false;
        for site in order {
            let attention = spec.attention(site).unwrap();
            let (weight, old) = (matrix(&model, site), bias(&model, site));
            let m = weight.ncols();
            let kept = plan.kept_at(site, attention.heads);
            let at = columns(&kept, attention.head_dim);
            let so_far = Repaired::new(reader(), spec, done.clone());
            let pruned = Network::load(spec, &so_far).unwrap();
            let stack = if site.kind == SiteKind::Encoder { &spec.encoder } else { &spec.decoder };
            let layer = &stack.as_ref().unwrap().layers[site.layer];
            let joint = Joint::of(&model, layer, site, m);
            let (mut xs, mut ts, mut ws) = (Vectors::new(), Vectors::new(), Vec::new());
            for batch in &batches {
                let kind = if site.kind == SiteKind::Encoder { SiteKind::Encoder } else { SiteKind::Decoder };
                let streams = [(&network, &open, None), (&pruned, &gates, Some(()))].map(|(net, gates, repaired)| {
                    let weights: Box<dyn Weights> = match repaired {
                        None => Box::new(reader()),
                        Some(()) => Box::new(Repaired::new(reader(), spec, done.clone())),
                    };
                    let mut x = stream_before(spec, &*weights, kind, site.layer, batch, gates);
                    let features = gated(net, batch, gates);
                    if site.kind == SiteKind::Cross {
                        // Behind self-attention of the same layer.
                        let own = Site::new(SiteKind::Decoder, site.layer);
                        let role = output_module(spec, own);
                        let w: Vectors =
                            weights.get(role.weight()).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap();
                        let b: Vec<f64> =
                            weights.get(role.bias()).unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
                        let o = rows(&features[&(own, FeatureMap::Output)], attention.head_dim);
                        let norm = Module::Branch(Branch::Attention(own.kind), own.layer, BranchModule::Norm);
                        let (nw, nb) = (vector(&model, norm.weight()), vector(&model, norm.bias()));
                        for (x, o) in x.iter_mut().zip(&o) {
                            let sum: Vec<f64> = (0..m)
                                .map(|j| x[j] + b[j] + w[j].iter().zip(o).map(|(w, o)| w * o).sum::<f64>())
                                .collect();
                            assert_eq!((layer.wiring, layer.norm.kind), (Wiring::Post, NormKind::Layer));
                            *x = layer_norm(&sum, &nw, &nb, layer.norm.eps);
                        }
                    }
                    (x, rows(&features[&(site, FeatureMap::Output)], attention.head_dim))
                });
                let [(x, o), (x1, _)] = streams;
                // All heads of the pruned stream pass at this site, so gates of the others do not matter.
                let o1 = rows(&gated(&pruned, batch, &gates)[&(site, FeatureMap::Output)], attention.head_dim);
                for (t, y) in branch(&o, &weight).into_iter().enumerate() {
                    let gap: f64 = x[t].iter().zip(&x1[t]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    drifted |= gap > 1e-6;
                    ts.push((0..m).map(|j| y[j] + joint.backwards(j, x[t][j] - x1[t][j])).collect());
                    let result: Vec<f64> = y.iter().zip(&old).map(|(y, b)| y + b).collect();
                    let after = joint.join(&x[t], &result).iter().map(|v| v * v).sum::<f64>() / m as f64;
                    ws.push(if drifted && joint.weighs { after.recip() } else { 1.0 });
                    xs.push(at.iter().map(|c| o1[t][*c]).collect());
                }
            }
            // Normal equations about the mean where there is a bias.
            let n: f64 = ws.iter().sum();
            let has_bias = attention.projection_bias.output;
            let mean = |rows: &Vectors, j: usize| {
                if has_bias { rows.iter().zip(&ws).map(|(r, w)| w * r[j]).sum::<f64>() / n } else { 0.0 }
            };
            let mx: Vec<f64> = (0..at.len()).map(|j| mean(&xs, j)).collect();
            let mt: Vec<f64> = (0..m).map(|j| mean(&ts, j)).collect();
            let moment = |a: &Vectors, ma: &[f64], b: &Vectors, mb: &[f64], i: usize, j: usize| {
                a.iter().zip(b).zip(&ws).map(|((a, b), w)| w * (a[i] - ma[i]) * (b[j] - mb[j])).sum::<f64>() / n
            };
            let mut xx = Mat::from_fn(at.len(), at.len(), |i, j| moment(&xs, &mx, &xs, &mx, i, j));
            let pull = ridge * (0..at.len()).map(|i| xx[(i, i)]).sum::<f64>() / at.len() as f64;
            let xt = Mat::from_fn(at.len(), m, |i, j| moment(&xs, &mx, &ts, &mt, i, j) + pull * weight[(at[i], j)]);
            for i in 0..at.len() {
                xx[(i, i)] += pull;
            }
            let fit = xx.llt(faer::Side::Lower).unwrap().solve(&xt);
            let output = &found.outputs[&site];
            let got: Vectors = output.weight.to_dtype(DType::F64).unwrap().to_vec2().unwrap();
            let report = &found.record.sites[&site];
            let kept_old = report.held_out.unwrap_or(report.fitted) >= report.masked;
            let largest =
                (0..m).flat_map(|j| (0..at.len()).map(move |i| (i, j))).fold(0f64, |a, p| a.max(fit[p].abs()));
            for j in 0..m {
                for i in 0..at.len() {
                    let expected = if kept_old { weight[(at[i], j)] } else { fit[(i, j)] };
                    assert!(
                        (got[j][i] - expected).abs() < 2e-3 * largest,
                        "{family} {site} {i} {j}: {} {expected}",
                        got[j][i]
                    );
                }
            }
            done.insert(site, output.clone());
        }
        assert!(drifted, "{family}");
    }
}

#[test]
fn heads_chosen_in_the_stream_are_as_many_and_legal() {
    for family in ["bert", "llama", "gptj", "gemma2"] {
        let (model, network, _) = open(family, DType::F32);
        let plan = plan(&model);
        let batches = random_batches(model.spec(), 6, 12);
        let request = StreamRequest { plan: &plan, choose: true, ridge: Ridge::Auto, basis: Basis::All, spills: false };
        let info = ModelInfo::of(&model, DType::F32).unwrap();
        let reader = model.reader(&Device::Cpu, DType::F32);
        let found = stream(&network, &reader, info, &batches, "tokens", &request, &Ticket::default()).unwrap();
        let chosen = pillars::repair::plan_of(&found, &plan);
        chosen.validate(model.spec()).unwrap();
        assert_eq!(chosen.kept.heads(), plan.kept.heads());
        let (_, changes) = pillars::plan::snap(model.spec(), &chosen).unwrap();
        assert!(changes.is_empty(), "{changes:?}");
        found.check(model.spec(), &model.checkpoint().fingerprint().unwrap(), &chosen).unwrap();
    }
    let (model, network, _) = open("albert", DType::F32);
    let plan = plan(&model);
    let request = StreamRequest { plan: &plan, choose: false, ridge: Ridge::Auto, basis: Basis::All, spills: false };
    let reader = model.reader(&Device::Cpu, DType::F32);
    let batches = random_batches(model.spec(), 2, 8);
    let refused = stream(&network, &reader, ModelInfo::default(), &batches, "tokens", &request, &Ticket::default());
    assert!(refused.unwrap_err().to_string().contains("share their weights"));
}

/// What waits in a file comes back as it was: the same repair, bit for bit.
#[test]
fn spilled_streams_give_the_same_repair() {
    for family in ["gpt2", "bert", "bart"] {
        let (model, network, _) = open(family, DType::F32);
        let plan = plan(&model);
        let batches = random_batches(model.spec(), 6, 12);
        let reader = model.reader(&Device::Cpu, DType::F32);
        let [held, spilled] = [false, true].map(|spills| {
            let request = StreamRequest { plan: &plan, choose: false, ridge: Ridge::Auto, basis: Basis::All, spills };
            let info = ModelInfo::of(&model, DType::F32).unwrap();
            stream(&network, &reader, info, &batches, "tokens", &request, &Ticket::default()).unwrap()
        });
        assert_eq!(held.record, spilled.record, "{family}");
        for (site, output) in &held.outputs {
            let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&output.weight), values(&spilled.outputs[site].weight), "{family} {site}");
        }
        assert!(!held.outputs.is_empty() && pillars::repair::held_bytes(&network, &batches).unwrap() > 0);
    }
}
