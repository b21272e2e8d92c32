//! Analyses of every family, recomputed from raw feature maps in the plainest way.
use std::collections::BTreeMap;

use crate::common::heads::{
    Vectors, close, distance2, dot, families, gram, open, partitions, raw, run, singles, votes,
};
use crate::common::reference;
use candle_core::{DType, Device, Tensor};
use pillars::analysis::{
    self, Analysis, AnalysisSettings, Document, Gram, Groups, Metric, ModelInfo, Points, analyze, baseline, importance,
    magnitude, merge,
};
use pillars::error::Result;
use pillars::model::Model;
use pillars::network::{Batch, FeatureMap, Gates, Probe, Site, SiteMaps, Source, Tokens};
use pillars::task::Ticket;

#[test]
fn every_family_gives_the_grams_and_votes_of_its_raw_maps() {
    let mut compared = 0;
    for family in families() {
        let (model, network, whole) = open(&family, DType::F32);
        let batches = singles(&whole);
        let settings = AnalysisSettings {
            features: FeatureMap::ALL.to_vec(),
            groups: Groups::Fixed(2),
            ..AnalysisSettings::default()
        };
        let found = run(&model, &network, &batches, &settings);
        assert_eq!(found.sites.len(), model.spec().sites().len());
        assert_eq!(found.batches, batches.len() as u64);
        let parts: Vec<_> = batches.iter().map(|b| raw(&network, b)).collect();
        for site in &found.sites {
            let mut sum = vec![0; site.heads];
            for (name, feature) in &site.features {
                let key = (site.site, *name);
                let what = format!("{family} {} {name}", site.site);
                let mut expected = Gram::zeros(site.heads);
                let mut counted = vec![0; site.heads];
                let mut is_clear = true;
                for part in &parts {
                    expected.add(&gram(&part[&key])).unwrap();
                    match votes(&part[&key], 2) {
                        Some(votes) => counted.iter_mut().zip(votes).for_each(|(c, v)| *c += v),
                        None => is_clear = false,
                    }
                }
                // The residual map goes through f32 products of weights.
                let tolerance = if *name == FeatureMap::Residual { 1e-6 } else { 1e-12 };
                close(&feature.gram, &expected, tolerance, &what);
                if is_clear {
                    assert_eq!(feature.votes, counted, "{what}");
                    compared += 1;
                }
                assert_eq!(feature.votes.iter().sum::<u64>(), 2 * batches.len() as u64, "{what}");
                assert_eq!(feature.kv_shared, site.kv_heads < site.heads && name.is_shared_in_kv_group());
                sum.iter_mut().zip(&feature.votes).for_each(|(s, v)| *s += v);
            }
            assert_eq!(site.votes, sum);
            assert_eq!(site.history.last(), Some(&sum));
            assert_eq!(site.kept.len(), 2);
        }
        assert_eq!(found.settled.last(), Some(&1.0));
    }
    // Six maps of every layer of 29 families, but for layers where partitions are equally good.
    assert!(compared > 400, "{compared}");
}

#[test]
fn two_halves_merge_to_the_whole() {
    for family in ["bert", "llama", "t5"] {
        let (model, network, whole) = open(family, DType::F32);
        let mut batches = singles(&whole);
        batches.extend(singles(&whole).into_iter().rev());
        for (groups, metric) in [(Groups::Fixed(2), Metric::Euclidean), (Groups::Auto, Metric::Cosine)] {
            let settings = AnalysisSettings {
                features: vec![FeatureMap::Output, FeatureMap::Attention, FeatureMap::Value],
                groups,
                metric,
                confidence: true,
                input: "whole".to_owned(),
                ..AnalysisSettings::default()
            };
            let whole = run(&model, &network, &batches, &settings);
            let half = |range: &[Batch], name: &str| {
                run(&model, &network, range, &AnalysisSettings { input: name.to_owned(), ..settings.clone() })
            };
            // Through files, as a cluster would.
            let folder = tempfile::tempdir().unwrap();
            let parts = [half(&batches[..2], "first"), half(&batches[2..], "second")].map(|part| {
                let path = folder.path().join(format!("{}.json", part.settings.input));
                part.write(&path).unwrap();
                Analysis::read(&path).unwrap()
            });
            let merged = merge(&parts).unwrap();
            assert_eq!((merged.tokens, merged.batches), (whole.tokens, whole.batches));
            assert_eq!(merged.settings.input, "first + second");
            assert_eq!(merged.checkpoints, whole.checkpoints);
            assert_eq!(merged.settled, whole.settled);
            for (m, w) in merged.sites.iter().zip(&whole.sites) {
                assert_eq!((&m.votes, &m.kept, m.margin, &m.history), (&w.votes, &w.kept, w.margin, &w.history));
                for (name, found) in &m.features {
                    let expected = &w.features[name];
                    assert_eq!(found.votes, expected.votes);
                    assert_eq!(found.groups, expected.groups);
                    assert_eq!(found.kept, expected.kept);
                    assert_eq!(found.tied_votes, expected.tied_votes);
                    close(&found.gram, &expected.gram, 1e-9, "merged");
                    for (a, b) in found.scores.iter().zip(&expected.scores) {
                        assert!((a - b).abs() < 1e-9);
                    }
                }
                let (a, b) = (&m.baselines[baseline::CONFIDENCE], &w.baselines[baseline::CONFIDENCE]);
                assert_eq!(a.samples, b.samples);
                assert!(a.values.iter().zip(&b.values).all(|(x, y)| (x - y).abs() < 1e-9));
            }
        }
    }
}

#[test]
fn an_analysis_is_the_same_each_time_and_after_its_file() {
    let (model, network, whole) = open("gpt2", DType::F32);
    let settings = AnalysisSettings {
        features: FeatureMap::ALL.to_vec(),
        groups: Groups::Fixed(2),
        cka: true,
        confidence: true,
        ..AnalysisSettings::default()
    };
    let once = run(&model, &network, &singles(&whole), &settings);
    assert_eq!(once.to_json().unwrap(), run(&model, &network, &singles(&whole), &settings).to_json().unwrap());
    // Every last digit, of thousands of numbers.
    assert_eq!(Analysis::from_json(&once.to_json().unwrap()).unwrap(), once);
    for x in [0.1 + 0.2, 1.0 / 3.0, 2.0f64.powi(-1040), 1.797_693_134_862_315_7e308, 5.2e-17] {
        assert_eq!(serde_json::from_str::<f64>(&serde_json::to_string(&x).unwrap()).unwrap(), x);
    }
}

#[test]
fn grams_do_not_depend_on_how_sequences_are_batched() {
    for family in ["bert", "llama", "bart", "vit"] {
        let (model, network, whole) = open(family, DType::F32);
        let settings = AnalysisSettings {
            features: FeatureMap::ALL.to_vec(),
            groups: Groups::Fixed(2),
            cka: true,
            confidence: true,
            ..AnalysisSettings::default()
        };
        let apart = run(&model, &network, &singles(&whole), &settings);
        let together = run(&model, &network, std::slice::from_ref(&whole), &settings);
        assert_eq!(apart.tokens, together.tokens);
        for (a, t) in apart.sites.iter().zip(&together.sites) {
            for (name, feature) in &a.features {
                close(&t.features[name].gram, &feature.gram, 1e-5, &format!("{family} {} {name}", a.site));
                // Votes are per batch: fewer batches cast fewer.
                assert_eq!(feature.votes.iter().sum::<u64>(), 2 * apart.batches);
                assert_eq!(t.features[name].votes.iter().sum::<u64>(), 2);
            }
            let (a, t) = (a.cka.as_ref().unwrap(), t.cka.as_ref().unwrap());
            assert!(a.iter().flatten().zip(t.iter().flatten()).all(|(x, y)| (x - y).abs() < 1e-5));
        }
    }
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let (model, network, whole) = open("bert", DType::F32);
    let batches = singles(&whole);
    let one = run(&model, &network, &batches[..1], &AnalysisSettings::default());
    let mut other = one.clone();
    other.model.fingerprint.push('x');
    let refused = |other: &Analysis| merge(&[one.clone(), other.clone()]).unwrap_err().to_string();
    assert!(refused(&other).contains("another model"));
    let mut other = one.clone();
    other.settings.seed = 9;
    assert!(refused(&other).contains("other settings (seed)"));
    let mut other = one.clone();
    other.settings.held_out_every = Some(5);
    assert!(refused(&other).contains("other settings (held_out_every)"));
    let mut other = one.clone();
    other.settings.order = pillars::corpus::BatchOrder::ByLength;
    assert!(refused(&other).contains("other settings (order)"));
    // Nothing is known of what was read, and every number is equal.
    assert!(refused(&one.clone()).contains("analysis 1 and analysis 2 read the same batches"));
    assert!(merge(&[]).is_err());
    assert_eq!(merge(std::slice::from_ref(&one)).unwrap(), one);
    // A file that says something impossible.
    let text = one.to_json().unwrap().replace("\"kv_heads\":4", "\"kv_heads\":3");
    assert!(Analysis::from_json(&text).unwrap_err().to_string().contains("encoder.0"));
    let text = one.to_json().unwrap();
    assert!(text.starts_with(r#"{"format":"pillars-analysis","version":1,"model":"#));
    assert_eq!(Analysis::from_json(&text).unwrap().sites[0].votes, one.sites[0].votes);
}

#[test]
fn impossible_settings_and_empty_input_are_refused() {
    let (model, network, whole) = open("bert", DType::F32);
    let info = || ModelInfo::of(&model, DType::F32).unwrap();
    let attempt = |settings: AnalysisSettings, batches: Vec<Batch>| {
        let batches = batches.into_iter().map(Ok);
        analyze(&network, info(), batches, None, &settings, &Ticket::default()).unwrap_err().to_string()
    };
    let fixed = |n| AnalysisSettings { groups: Groups::Fixed(n), ..AnalysisSettings::default() };
    assert!(attempt(fixed(5), vec![whole.clone()]).contains("4 heads, which cannot form 5 groups"));
    assert!(attempt(fixed(0), vec![whole.clone()]).contains("cannot form 0 groups"));
    assert!(attempt(AnalysisSettings { features: vec![], ..fixed(2) }, vec![whole.clone()]).contains("no feature map"));
    assert!(attempt(fixed(2), vec![]).contains("no input"));
    let ticket = Ticket::default();
    ticket.cancel_token().cancel();
    let stopped = analyze(&network, info(), [Ok(whole)], None, &fixed(2), &ticket).unwrap_err();
    assert!(stopped.is_cancelled());
}

/// A smooth scalar of what the network gives: mean of squares, weighted by position.
fn loss(result: &Tensor, _batch: &Batch) -> Result<Tensor> {
    let width = result.dim(2)?;
    let weights: Vec<f64> = (0..width).map(|k| 1.0 + (k % 7) as f64 / 3.0).collect();
    let weights = Tensor::new(weights, result.device())?.to_dtype(result.dtype())?;
    Ok(result.sqr()?.broadcast_mul(&weights)?.mean_all()?)
}

#[test]
fn importance_is_the_finite_difference_of_the_loss_by_each_gate() {
    for family in ["bert", "llama", "t5", "gemma2"] {
        let (model, network, whole) = open(family, DType::F64);
        let batches = singles(&whole);
        let of_gates = |gates: &Gates, batch: &Batch| {
            Ok(vec![loss(&network.forward(batch, gates, &mut pillars::network::NoProbe)?, batch)?])
        };
        let found =
            importance(&network, batches.iter().cloned().map(Ok), None, of_gates, &Ticket::default()).unwrap().sites;
        let at = |batch: &Batch, site: Site, head: usize, gate: f64| -> f64 {
            let heads = model.spec().attention(site).unwrap().heads;
            let mut gates = Gates::open();
            let values: Vec<f64> = (0..heads).map(|h| if h == head { gate } else { 1.0 }).collect();
            gates.set(site, Tensor::new(values, &Device::Cpu).unwrap());
            let result = network.forward(batch, &gates, &mut pillars::network::NoProbe).unwrap();
            loss(&result, batch).unwrap().to_scalar::<f64>().unwrap()
        };
        for (site, scores) in &found {
            assert_eq!(scores.samples, batches.len() as u64);
            for (head, score) in scores.values.iter().enumerate() {
                let slope = |b: &Batch| (at(b, *site, head, 1.0 + 1e-4) - at(b, *site, head, 1.0 - 1e-4)) / 2e-4;
                let expected = batches.iter().map(|b| slope(b).abs()).sum::<f64>() / batches.len() as f64;
                assert!(
                    (score - expected).abs() < 1e-5 * expected.max(1e-3),
                    "{family} {site} {head}: {score} {expected}"
                );
            }
        }
        assert_eq!(found.len(), model.spec().sites().len());
    }
}

#[test]
fn importance_in_16_bits_is_that_in_32_but_for_rounding() {
    for family in ["bert", "llama", "t5", "gemma2"] {
        let scores = |dtype: DType| -> Vec<f64> {
            let (_, network, whole) = open(family, dtype);
            let of_gates = |gates: &Gates, batch: &Batch| {
                let result = network.forward(batch, gates, &mut pillars::network::NoProbe)?;
                Ok(vec![loss(&result.to_dtype(DType::F32)?, batch)?])
            };
            let batches = singles(&whole).into_iter().map(Ok);
            let found = importance(&network, batches, None, of_gates, &Ticket::default()).unwrap().sites;
            found.into_values().flat_map(|scores| scores.values).collect()
        };
        let expected = scores(DType::F32);
        for (dtype, unit) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
            let difference: Vec<f64> = scores(dtype).iter().zip(&expected).map(|(a, b)| a - b).collect();
            let apart = (dot(&difference, &difference) / dot(&expected, &expected)).sqrt();
            // T5 does not scale its scores, so that its softmax magnifies what rounding did before.
            let most = if family == "t5" { 64.0 } else { 16.0 };
            assert!(apart > 0.0 && apart < most * unit, "{family} in {dtype:?}: {} units", apart / unit);
        }
    }
}

#[test]
fn without_a_head_importance_is_how_far_embeddings_move() {
    // A vision model without a head: its embedding is the class token.
    let (model, network, whole) = open("dinov2", DType::F64);
    assert!(model.spec().output.is_none());
    let batch = singles(&whole).remove(0);
    let embedding = |gates: &Gates| -> Vec<f64> {
        let hidden = network.hidden(&batch, gates, &mut pillars::network::NoProbe).unwrap();
        let pooled = pillars::evaluation::pooled(model.spec(), &hidden).unwrap();
        let e = pooled.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let norm = dot(&e, &e).sqrt();
        e.iter().map(|x| x / norm).collect()
    };
    // The mean over projections <r, u> of |dot(r, du)| is sqrt(2 / pi) |du| for many signs (a sum of many terms is nearly
    // normal). Every seed draws others.
    let of = |seed: u64| {
        let once = [Ok(batch.clone())];
        pillars::training::gate_importance(&network, once, None, seed, &Ticket::default()).unwrap()
    };
    assert_eq!(of(3), of(3));
    assert!(of(3).notes[0].contains("an estimate from 4 random projections"), "{:?}", of(3).notes);
    let mut found = of(0).sites;
    for seed in 1..40 {
        for (site, scores) in of(seed).sites {
            let sums = &mut found.get_mut(&site).unwrap().values;
            sums.iter_mut().zip(scores.values).for_each(|(sum, value)| *sum += value);
        }
    }
    found.values_mut().flat_map(|scores| &mut scores.values).for_each(|value| *value /= 40.0);
    for (site, scores) in &found {
        for (head, score) in scores.values.iter().enumerate() {
            let at = |gate: f64| {
                let mut gates = Gates::open();
                let values: Vec<f64> = (0..scores.values.len()).map(|h| if h == head { gate } else { 1.0 }).collect();
                gates.set(*site, Tensor::new(values, &Device::Cpu).unwrap());
                embedding(&gates)
            };
            let moved = distance2(&at(1.0 + 1e-4), &at(1.0 - 1e-4)).sqrt() / 2e-4;
            let expected = (2.0 / std::f64::consts::PI).sqrt() * moved;
            // The mean of 160 draws is within a quarter with room to spare.
            assert!((score / expected - 1.0).abs() < 0.25, "{site} {head}: {score} {expected}");
        }
    }
}

#[test]
fn importance_of_parts_merges_to_that_of_the_whole_with_its_errors() {
    let (model, network, whole) = open("dinov2", DType::F32);
    let mut batches = singles(&whole);
    batches.extend(singles(&whole).into_iter().map(|mut batch| {
        if let Source::Pixels(x) = &mut batch.source {
            *x = (x.clone() * 0.5).unwrap();
        }
        batch
    }));
    let of = |batches: &[Batch]| {
        let mut found = run(&model, &network, batches, &AnalysisSettings::default());
        let batches = batches.iter().cloned().map(Ok);
        let scores = pillars::training::gate_importance(&network, batches, None, 7, &Ticket::default()).unwrap();
        scores.record(&mut found).unwrap();
        found
    };
    assert!(batches.len() > 3);
    let all = of(&batches);
    let merged = merge(&[of(&batches[..1]), of(&batches[1..])]).unwrap();
    for (a, b) in all.sites.iter().zip(&merged.sites) {
        let (a, b) = (&a.baselines[baseline::IMPORTANCE], &b.baselines[baseline::IMPORTANCE]);
        assert_eq!(a.samples, b.samples);
        assert_eq!(a.errors.len(), a.values.len());
        let pairs = a.values.iter().chain(&a.errors).zip(b.values.iter().chain(&b.errors));
        assert!(
            pairs.clone().all(|(x, y)| (x - y).abs() <= 1e-9 * x.abs().max(1e-9)),
            "{:?}",
            pairs.collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_batch_without_a_label_gives_no_sample_of_importance() {
    let (_, network, whole) = open("llama", DType::F32);
    let mut batches = singles(&whole);
    for batch in &mut batches {
        let Source::Tokens(tokens) = &batch.source else { unreachable!() };
        batch.labels = Some(vec![Some(3); tokens.mask.length()]);
    }
    let of = |batches: &[Batch]| {
        let batches = batches.iter().cloned().map(Ok);
        pillars::training::gate_importance(&network, batches, None, 0, &Ticket::default())
    };
    let alone = of(&batches).unwrap();
    let mut silent = batches[0].clone();
    silent.labels.iter_mut().flatten().for_each(|label| *label = None);
    let with: Vec<Batch> = batches.iter().cloned().chain([silent.clone()]).collect();
    let found = of(&with).unwrap();
    assert_eq!((&found.sites, found.skipped), (&alone.sites, 1));
    let note = format!("importance: 1 of {} batches had no scored position and gave no sample", with.len());
    assert_eq!(found.notes, [note]);
    assert!(of(&[silent]).unwrap_err().to_string().contains("no position of the input has a label"));
}

#[test]
fn timings_are_those_of_the_run() {
    let (model, network, whole) = open("bert", DType::F32);
    let info = ModelInfo::of(&model, DType::F32).unwrap();
    let batches = singles(&whole).into_iter().map(Ok);
    let began = std::time::Instant::now();
    let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
    let (found, _, timings) =
        analysis::analyze_timed(&network, info, batches, None, &settings, None, &Ticket::default()).unwrap();
    let passed = began.elapsed();
    assert_eq!(found, run(&model, &network, &singles(&whole), &settings));
    let parts = [timings.forward, timings.gram, timings.grouping];
    assert!(parts.iter().all(|part| !part.is_zero()) && timings.total() <= passed, "{timings:?} of {passed:?}");
    assert!(timings.total() > passed / 4, "{timings:?} of {passed:?}");
    let told = timings.to_string();
    assert!(told.contains("% forward pass") && !told.contains("moments") && timings.moments.is_zero(), "{told}");
    // Second moments have a share of their own.
    let (info, batches) = (ModelInfo::of(&model, DType::F32).unwrap(), singles(&whole).into_iter().map(Ok));
    let settings = AnalysisSettings { moments: true, ..settings };
    let began = std::time::Instant::now();
    let (_, _, timings) =
        analysis::analyze_timed(&network, info, batches, None, &settings, None, &Ticket::default()).unwrap();
    let parts = [timings.forward, timings.gram, timings.moments, timings.grouping];
    assert!(parts.iter().all(|part| !part.is_zero()) && timings.total() <= began.elapsed(), "{timings:?}");
    assert_eq!(parts.iter().sum::<std::time::Duration>(), timings.total());
    assert!(timings.to_string().contains("% second moments, "), "{timings}");
}

#[test]
fn confidence_and_cka_are_those_of_the_raw_maps() {
    let (model, network, whole) = open("llama", DType::F32);
    let settings =
        AnalysisSettings { cka: true, confidence: true, groups: Groups::Fixed(2), ..AnalysisSettings::default() };
    let found = run(&model, &network, std::slice::from_ref(&whole), &settings);
    let maps = raw(&network, &whole);
    let keys = match &whole.source {
        Source::Tokens(t) => t.mask.length(),
        _ => unreachable!(),
    };
    for site in &found.sites {
        let confidence = &site.baselines[baseline::CONFIDENCE];
        for (value, map) in confidence.values.iter().zip(&maps[&(site.site, FeatureMap::Attention)]) {
            let largest: Vec<f64> = map.chunks(keys).map(|row| row.iter().copied().fold(0.0, f64::max)).collect();
            assert_eq!(confidence.samples, largest.len() as u64);
            assert!((value - largest.iter().sum::<f64>() / largest.len() as f64).abs() < 1e-12);
        }
        let (dim, outputs) = (site.head_dim, &maps[&(site.site, FeatureMap::Output)]);
        let tokens = outputs[0].len() / dim;
        // Centered features [token][d], then |X_i^T X_j|_F^2.
        let centered: Vectors = outputs
            .iter()
            .map(|o| {
                let mean: Vec<f64> =
                    (0..dim).map(|k| (0..tokens).map(|t| o[t * dim + k]).sum::<f64>() / tokens as f64).collect();
                (0..tokens * dim).map(|k| o[k] - mean[k % dim]).collect()
            })
            .collect();
        let hsic = |i: usize, j: usize| -> f64 {
            let product = |a: usize, b: usize| -> f64 {
                (0..tokens).map(|t| centered[i][t * dim + a] * centered[j][t * dim + b]).sum()
            };
            (0..dim * dim).map(|k| product(k / dim, k % dim).powi(2)).sum()
        };
        let cka = site.cka.as_ref().unwrap();
        for i in 0..site.heads {
            for j in 0..site.heads {
                let expected = hsic(i, j) / (hsic(i, i) * hsic(j, j)).sqrt();
                assert!((cka[i][j] - expected).abs() < 1e-9, "{} {expected}", cka[i][j]);
            }
        }
    }
}

#[test]
fn magnitude_is_the_norm_of_a_heads_rows_and_columns() {
    let (model, _, _) = open("llama", DType::F32);
    let found = magnitude(model.spec(), &model.weights(&Device::Cpu, DType::F32)).unwrap();
    let stored = reference(&model.checkpoint().folder().join("model.safetensors"));
    let attention = model.spec().sites()[0].1.clone();
    let (d, repeat) = (attention.head_dim, attention.queries_per_kv());
    let matrix = |layer: usize, name: &str| {
        stored[&format!("model.layers.{layer}.self_attn.{name}.weight")].to_vec2::<f32>().unwrap()
    };
    let square = |x: &f32| f64::from(*x).powi(2);
    for (site, scores) in &found {
        for (h, score) in scores.values.iter().enumerate() {
            let rows = |name: &str, head: usize| -> f64 {
                matrix(site.layer, name)[head * d..(head + 1) * d].iter().flatten().map(square).sum()
            };
            let columns: f64 =
                matrix(site.layer, "o_proj").iter().flat_map(|row| &row[h * d..(h + 1) * d]).map(square).sum();
            let shared = (rows("k_proj", h / repeat) + rows("v_proj", h / repeat)) / repeat as f64;
            let expected = (rows("q_proj", h) + shared + columns).sqrt();
            assert!((score - expected).abs() < 1e-6 * expected);
        }
    }
}

#[test]
fn groups_of_real_features_are_the_best_there_are() {
    // Attention maps of several layers of a pretrained model over one text are maps of one shape.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/rxnfp-bert-pretrained");
    let model = Model::open(&folder).unwrap();
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let ids: Vec<u32> = (0..24u32).map(|k| 12 + (k * k * 7 + k * 3) % 80).collect();
    let tokens = Tokens::pad(&[(ids.clone(), vec![true; ids.len()])], 0, &Device::Cpu).unwrap();
    let maps = raw(&network, &Batch::tokens(tokens));
    for feature in [FeatureMap::Attention, FeatureMap::Output, FeatureMap::Value] {
        for (first, heads) in [(0, 9), (2, 9), (9, 9)] {
            let vectors: Vectors = (first..12)
                .flat_map(|layer| maps[&(format!("encoder.{layer}").parse().unwrap(), feature)].clone())
                .take(heads)
                .collect();
            let gram = gram(&vectors);
            for metric in [Metric::Euclidean, Metric::Cosine] {
                let points = Points::new(&gram, metric);
                let inner = points.gram();
                for groups in 2..heads {
                    let inertia = |partition: &Vec<Vec<usize>>| -> f64 {
                        let of = |group: &Vec<usize>| {
                            let pairs = group.iter().flat_map(|i| group.iter().map(move |j| inner.get(*i, *j)));
                            group.iter().map(|h| inner.norm2(*h)).sum::<f64>() - pairs.sum::<f64>() / group.len() as f64
                        };
                        partition.iter().map(of).sum()
                    };
                    let least = partitions(heads, groups).iter().map(inertia).fold(f64::INFINITY, f64::min);
                    let found = points.group(groups, 0).unwrap();
                    let slack = 1e-9 * inner.norm2(0);
                    assert!(found.inertia <= least + slack, "{feature} {metric} {groups}: {} {least}", found.inertia);
                }
            }
        }
    }
}

#[test]
fn snapshots_show_an_analysis_under_way() {
    let (model, network, whole) = open("gpt2", DType::F32);
    let batches = singles(&whole);
    let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
    let info = ModelInfo::of(&model, DType::F32).unwrap();
    let mut under_way = analysis::Analyzer::new(&network, info, &settings).unwrap();
    assert!(under_way.snapshot().is_err());
    for (done, batch) in batches.iter().enumerate() {
        under_way.add(&network, std::slice::from_ref(batch), &Gates::open(), &Ticket::default()).unwrap();
        assert_eq!(under_way.snapshot().unwrap(), run(&model, &network, &batches[..=done], &settings));
    }
}

/// Mean entropy of the softmax weights, written out.
#[derive(Default)]
struct Entropies(BTreeMap<Site, (Vec<f64>, u64)>);

impl Probe for Entropies {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let (sums, count) = self.0.entry(maps.site).or_default();
        let (sequences, heads, queries, _) = maps.attention.unwrap().dims4().unwrap();
        sums.resize(heads, 0.0);
        let weights = maps.attention.unwrap().flatten_to(2).unwrap().to_vec2::<f32>().unwrap();
        for n in 0..sequences {
            for t in (0..queries).filter(|t| maps.queries.real()[n * queries + t]) {
                *count += 1;
                for (head, sum) in sums.iter_mut().enumerate() {
                    let row = weights[(n * heads + head) * queries + t].iter().map(|w| f64::from(*w));
                    *sum -= row.filter(|w| *w > 0.0).map(|w| w * w.ln()).sum::<f64>();
                }
            }
        }
        Ok(())
    }
}

#[test]
fn entropy_is_measured_where_attention_maps_are_compared() {
    for family in ["bert", "llama", "bart"] {
        let (model, network, whole) = open(family, DType::F32);
        let with = AnalysisSettings {
            features: vec![FeatureMap::Attention, FeatureMap::Output],
            ..AnalysisSettings::default()
        };
        let found = run(&model, &network, std::slice::from_ref(&whole), &with);
        let mut expected = Entropies::default();
        network.hidden(&whole, &Gates::open(), &mut expected).unwrap();
        for site in &found.sites {
            let entropy = &site.baselines[baseline::ENTROPY];
            let (sums, count) = &expected.0[&site.site];
            assert_eq!(entropy.samples, *count);
            for (value, sum) in entropy.values.iter().zip(sums) {
                let mean = sum / *count as f64;
                assert!(
                    (value - mean).abs() < 1e-5 * mean.max(1.0) && mean > 0.0,
                    "{family} {}: {value}, {mean}",
                    site.site
                );
            }
        }
        // It is not worth the weights alone.
        let without = run(
            &model,
            &network,
            std::slice::from_ref(&whole),
            &AnalysisSettings { confidence: true, ..AnalysisSettings::default() },
        );
        assert!(without.sites.iter().all(|s| !s.baselines.contains_key(baseline::ENTROPY)));
    }
}
