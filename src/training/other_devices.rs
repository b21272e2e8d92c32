//! What other devices compute, computed on the processor: whole networks, analyses and steps in candle's operations
//! against the same by the kernels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::constraint::Constraint;
use super::{AdamSettings, Learner, Parameters, StepSettings};
use crate::analysis::{Analysis, AnalysisSettings, Gram, Groups, ModelInfo, SiteAnalysis, analyze};
use crate::evaluation::evaluate;
use crate::model::Model;
use crate::network::{
    Activation, Batch, FeatureMap, Gates, Hidden, Network, NoProbe, Samples, Source, TokenMask, Tokens,
};
use crate::task::Ticket;
use crate::tensor::{Precision, doubles, without_kernels};

fn fixtures() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut folders: Vec<_> =
        std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 29);
    folders
}

/// The inputs of a reference, every position labeled with the token that is read there.
fn batch(folder: &Path) -> Batch {
    let of = candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
    let tokens = |ids: &Tensor, mask: Option<&Tensor>| {
        let (n, t) = ids.dims2().unwrap();
        let real = mask.map_or_else(|| vec![1.0; n * t], |mask| doubles(mask).unwrap());
        let mask = TokenMask::new(n, t, real.into_iter().map(|m| m != 0.0).collect()).unwrap();
        Tokens::new(ids.to_dtype(DType::U32).unwrap(), mask)
    };
    let read = |ids: &str, mask: &str| of.get(ids).map(|ids| tokens(ids, of.get(mask)));
    let source = match (read("input_ids", "attention_mask"), of.get("pixel_values")) {
        (Some(tokens), _) => Source::Tokens(tokens),
        (None, Some(pixels)) => Source::Pixels(pixels.clone()),
        (None, None) if of.contains_key("input_values") => {
            let values = of["input_values"].clone();
            let (n, length) = values.dims2().unwrap();
            let real = of.get("attention_mask").map_or_else(|| vec![1.0; n * length], |mask| doubles(mask).unwrap());
            let real = real.into_iter().map(|m| m != 0.0).collect();
            Source::Samples(Samples { values, mask: TokenMask::new(n, length, real).unwrap() })
        }
        (None, None) => Source::Frames(of["input_features"].clone()),
    };
    let target = read("decoder_input_ids", "decoder_attention_mask");
    let batch = Batch::new(source, target);
    let labels = last_read(&batch).map(|tokens| {
        let ids = tokens.ids.flatten_all().unwrap().to_vec1::<u32>().unwrap();
        ids.into_iter().zip(tokens.mask.real()).map(|(id, real)| real.then_some(id)).collect()
    });
    Batch { labels, ..batch }
}

/// The tokens that the last stack reads, where it reads any.
fn last_read(batch: &Batch) -> Option<&Tokens> {
    match (&batch.target, &batch.source) {
        (Some(tokens), _) | (None, Source::Tokens(tokens)) => Some(tokens),
        _ => None,
    }
}

/// The length of `a - b` by that of `b`.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut b.iter().copied()).max(f64::MIN_POSITIVE)
}

/// A type with what rounding to it moves a number of size one by.
const TYPES: [(Precision, f64); 3] = [(Precision::F32, 6e-8), (Precision::F16, 4.9e-4), (Precision::Bf16, 3.9e-3)];

#[test]
fn networks_and_analyses_elsewhere_are_those_here() {
    let mut differ = 0;
    for folder in fixtures() {
        let model = Model::open(&folder).unwrap();
        let batch = batch(&folder);
        let settings = AnalysisSettings {
            features: FeatureMap::ALL.to_vec(),
            groups: Groups::Fixed(1),
            cka: true,
            confidence: true,
            ..AnalysisSettings::default()
        };
        for (precision, unit) in TYPES {
            let run = || -> (Vec<f64>, Analysis, Option<f64>) {
                let dtype = precision.dtype();
                let network = model.network(&Device::Cpu, dtype).unwrap();
                let info = ModelInfo::of(&model, dtype).unwrap();
                let once = || [Ok(batch.clone())].into_iter();
                let found = analyze(&network, info, once(), None, &settings, &Ticket::default()).unwrap();
                let quality = evaluate(&network, &Gates::open(), once(), None, &Ticket::default()).unwrap();
                let result = network.run(&batch).unwrap();
                let mask = last_read(&batch).map(|tokens| tokens.mask.to_tensor(dtype, &Device::Cpu).unwrap());
                let mask = mask.map(|mask| mask.unsqueeze(2).unwrap());
                let result = mask.map_or(result.clone(), |mask| result.broadcast_mul(&mask).unwrap());
                (doubles(&result).unwrap(), found, quality.loss_per_token)
            };
            let (here, there) = (run(), without_kernels(run));
            let family = model.family().model_type;
            // A dozen operations each round once, and norms and softmax enlarge what came before them.
            let most = 64.0 * unit;
            let results = apart(&there.0, &here.0);
            differ += usize::from(results > 0.0);
            assert!(results < most, "{family} in {precision}: results are {} units apart", results / unit);
            let losses = there.2.zip(here.2).map_or(0.0, |(there, here)| (there / here - 1.0).abs());
            assert!(losses < most && there.2.is_some() == here.2.is_some(), "{family} in {precision}: {losses}");
            let numbers = |found: &Analysis| -> Vec<(String, Vec<f64>)> {
                let all = |gram: &Gram| (0..gram.heads()).flat_map(|h| gram.row(h).to_vec()).collect();
                let of_site = |site: &SiteAnalysis| -> Vec<(String, Vec<f64>)> {
                    let grams = site.features.iter();
                    let grams = grams.map(|(map, feature)| (format!("{} {map}", site.site), all(&feature.gram)));
                    let cka = site.cka.iter().map(|cka| (format!("{} CKA", site.site), cka.concat()));
                    let scores = site.baselines.iter();
                    let scores = scores.map(|(name, scores)| (format!("{} {name}", site.site), scores.values.clone()));
                    grams.chain(cka).chain(scores).collect()
                };
                found.sites.iter().flat_map(of_site).collect()
            };
            for ((name, there), (_, here)) in numbers(&there.1).into_iter().zip(numbers(&here.1)) {
                let gram = apart(&there, &here);
                assert!(gram < most, "{family} in {precision}, {name}: {} units apart", gram / unit);
            }
        }
    }
    // Two ways were taken, which round differently.
    assert!(differ > 60, "{differ}");
}

#[test]
fn layers_that_are_read_one_by_one_elsewhere_give_the_same_bits() {
    for folder in fixtures() {
        let model = Model::open(&folder).unwrap();
        let batches = [batch(&folder), batch(&folder)];
        for (precision, _) in TYPES {
            without_kernels(|| {
                let dtype = precision.dtype();
                let held = model.network(&Device::Cpu, dtype).unwrap();
                let left = Arc::new(model.reader(&Device::Cpu, dtype));
                let streamed = Network::stream(model.spec(), left, u64::MAX).unwrap();
                let gates = Gates::open();
                let bits = |hidden: &Hidden| doubles(&hidden.states).unwrap();
                let want = bits(&held.hidden(&batches[0], &gates, &mut NoProbe).unwrap());
                // Both advance together, layer by layer.
                let got = streamed.hidden_of(&batches, &gates, &mut NoProbe, &Ticket::default()).unwrap();
                assert_eq!(got.len(), 2);
                for got in got {
                    assert_eq!(bits(&got), want, "{} in {precision}", model.family().model_type);
                }
            });
        }
    }
}

#[test]
fn steps_elsewhere_are_those_here() {
    let mut learned = 0;
    for folder in fixtures() {
        let model = Model::open(&folder).unwrap();
        let batch = batch(&folder);
        if model.spec().output.is_none() || batch.labels.is_none() {
            continue;
        }
        learned += 1;
        let gates = Gates::open();
        let constraint = Constraint { groups: Groups::Fixed(2), alpha: 5.0, beta: 7.0, ..Constraint::default() };
        let settings =
            StepSettings { rate: 1e-4, smoothing: 0.1, constraint: Some(&constraint), gates: &gates, seed: 0 };
        for (precision, unit) in TYPES {
            let run = || {
                let parameters = Parameters::of_model(&model, DType::F32, &Device::Cpu).unwrap();
                let learner = Learner::new(model.spec(), parameters, AdamSettings::default()).unwrap();
                let mut learner = learner.computing_in(precision);
                let step = learner.step(std::slice::from_ref(&batch), &settings);
                let step = step.unwrap_or_else(|e| panic!("{} in {precision}: {e}", folder.display()));
                // After one step the first moments are the gradients, shortened.
                let moments = learner.optimizer().state().flat_map(|(first, _)| doubles(first).unwrap());
                (step.task_loss, step.homogenization.unwrap(), moments.collect::<Vec<f64>>())
            };
            let (here, there) = (run(), without_kernels(run));
            let family = model.family().model_type;
            let most = 128.0 * unit;
            for (name, there, here) in [("loss", there.0, here.0), ("likeness", there.1, here.1)] {
                assert!((there - here).abs() < most * here.abs(), "{family} in {precision}: {name} {there} {here}");
            }
            let gradients = apart(&there.2, &here.2);
            // Where a number rounds to the other side of a kink, its gradient is all or nothing.
            let stacks = [&model.spec().encoder, &model.spec().decoder].into_iter().flatten();
            let has_kinks = stacks.flat_map(|s| &s.layers).any(|l| l.mlp.activation == Activation::Relu);
            let most = if has_kinks { 4.0 * most } else { most };
            assert!(gradients < most, "{family} in {precision}: gradients are {} units apart", gradients / unit);
        }
    }
    assert!(learned >= 24, "{learned}");
}
