//! Evaluation gives the losses that PyTorch gives, and what follows from logits of transformers.
use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use pillars::Result;
use pillars::corpus::{BatchOrder, Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::evaluation::{Candidate, Timing, compare, evaluate, speed};
use pillars::model::Model;
use pillars::network::{Batch, Gates, Network};
use pillars::task::Ticket;

use crate::common::{fixtures, mask, reference};

fn open(family: &str) -> (Model, Network, Intake) {
    let model = Model::open(fixtures().join(family)).unwrap();
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let intake = Intake::of(&model).unwrap();
    (model, network, intake)
}

/// The tensors as an input file in `folder`.
fn inputs(folder: &Path, tensors: &HashMap<String, Tensor>, names: &[&str]) -> Input {
    let path = folder.join("inputs.safetensors");
    let chosen: HashMap<&str, Tensor> =
        names.iter().filter_map(|name| Some((*name, tensors.get(*name)?.clone()))).collect();
    candle_core::safetensors::save(&chosen, &path).unwrap();
    Input::Inputs(path)
}

const NAMES: [&str; 6] =
    ["input_ids", "attention_mask", "decoder_input_ids", "labels", "pixel_values", "input_features"];

fn settings(batch_size: usize) -> CorpusSettings {
    CorpusSettings { batch_size, purpose: Purpose::Score, ..CorpusSettings::default() }
}

fn corpus(input: &Input, intake: &Intake, settings: &CorpusSettings) -> Corpus {
    Corpus::open(input, Path::new("."), intake, settings, &Ticket::default()).unwrap()
}

fn batches(corpus: &Corpus) -> impl Iterator<Item = Result<Batch>> {
    corpus.batches(&Device::Cpu)
}

#[test]
fn losses_equal_those_of_torch() {
    let temporary = tempfile::tempdir().unwrap();
    for family in ["gpt2", "llama", "bert", "bart"] {
        let (_, network, intake) = open(family);
        let mut tensors = reference(&fixtures().join(family).join("reference.safetensors"));
        let training = reference(&fixtures().join(family).join("training.safetensors"));
        tensors.insert("labels".to_owned(), training["labels"].clone());
        let expected = f64::from(training["task_loss"].to_scalar::<f32>().unwrap());
        let input = inputs(temporary.path(), &tensors, &NAMES);
        // The mean is per token, so it does not depend on how sequences are put into batches.
        for batch_size in [1, 2, 3] {
            let corpus = corpus(&input, &intake, &settings(batch_size));
            let quality = evaluate(&network, &Gates::open(), batches(&corpus), None, &Ticket::default()).unwrap();
            let loss = quality.loss_per_token.unwrap();
            assert!((loss - expected).abs() < 2e-6 * expected, "{family}: {loss} for {expected}");
            assert!((quality.perplexity.unwrap() - loss.exp()).abs() < 1e-9);
            assert_eq!((quality.batches, quality.sequences), (3u64.div_ceil(batch_size as u64), 3));
        }
    }
}

/// Loss and accuracy from reference logits, straight from their definitions.
fn defined(logits: &[Vec<Vec<f32>>], labels: &[(usize, usize, u32)]) -> (f64, f64) {
    let (mut loss, mut right) = (0.0, 0);
    for (n, t, label) in labels {
        let row: Vec<f64> = logits[*n][*t].iter().map(|x| f64::from(*x)).collect();
        loss += row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[*label as usize];
        right += usize::from(row.iter().all(|x| *x <= row[*label as usize]));
    }
    (loss / labels.len() as f64, right as f64 / labels.len() as f64)
}

#[test]
fn causal_and_translation_models_are_scored_on_their_next_token() {
    let temporary = tempfile::tempdir().unwrap();
    for family in ["gpt2", "qwen2", "t5", "whisper"] {
        let (_, network, intake) = open(family);
        let tensors = reference(&fixtures().join(family).join("reference.safetensors"));
        let read = tensors.get("decoder_input_ids").unwrap_or_else(|| &tensors["input_ids"]);
        let ids: Vec<Vec<i64>> = read.to_vec2().unwrap();
        let real: Vec<Vec<i64>> = match tensors.get("attention_mask") {
            Some(mask) if !tensors.contains_key("decoder_input_ids") => mask.to_vec2().unwrap(),
            _ => ids.iter().map(|row| vec![1; row.len()]).collect(),
        };
        let mut labels = Vec::new();
        for n in 0..ids.len() {
            for t in 0..ids[n].len() - 1 {
                if real[n][t] == 1 && real[n][t + 1] == 1 {
                    labels.push((n, t, u32::try_from(ids[n][t + 1]).unwrap()));
                }
            }
        }
        let (loss, accuracy) = defined(&tensors["logits"].to_vec3().unwrap(), &labels);
        let corpus = corpus(&inputs(temporary.path(), &tensors, &NAMES), &intake, &settings(2));
        let quality = evaluate(&network, &Gates::open(), batches(&corpus), None, &Ticket::default()).unwrap();
        assert!((quality.loss_per_token.unwrap() - loss).abs() < 1e-5 * loss, "{family}: {quality:?} for {loss}");
        assert_eq!(quality.accuracy.unwrap(), accuracy, "{family}");
        assert_eq!(quality.scored_tokens, labels.len() as u64);
    }
}

#[test]
fn a_masked_network_is_compared_with_its_original_on_the_same_batches() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, network, intake) = open("gpt2");
    let folder = fixtures().join("gpt2");
    let tensors = reference(&folder.join("reference.safetensors"));
    let corpus = corpus(&inputs(temporary.path(), &tensors, &NAMES), &intake, &settings(2));
    let kept = Gates::keep(model.spec(), &mask(&folder), DType::F32, &Device::Cpu).unwrap();
    let before = Candidate { network: &network, gates: &Gates::open() };
    let after = Candidate { network: &network, gates: &kept };
    let found = compare(before, after, batches(&corpus), Some(2), &Ticket::default()).unwrap();
    let ids: Vec<Vec<i64>> = tensors["input_ids"].to_vec2().unwrap();
    let labels: Vec<_> =
        (0..3).flat_map(|n| (0..8).map(move |t| (n, t))).map(|(n, t)| (n, t, ids[n][t + 1] as u32)).collect();
    let original: Vec<Vec<Vec<f32>>> = tensors["logits"].to_vec3().unwrap();
    let masked: Vec<Vec<Vec<f32>>> = tensors["masked.logits"].to_vec3().unwrap();
    for (quality, logits) in [(&found.before, &original), (&found.after, &masked)] {
        let (loss, accuracy) = defined(logits, &labels);
        assert!((quality.loss_per_token.unwrap() - loss).abs() < 1e-5 * loss, "{quality:?} for {loss}");
        assert_eq!(quality.accuracy.unwrap(), accuracy);
    }
    assert_ne!(found.before.loss_per_token, found.after.loss_per_token);
    // What changed, over the three sequences that both read.
    let difference = found.after.loss_per_token.unwrap() - found.before.loss_per_token.unwrap();
    let change = &found.change["loss_per_token"];
    assert!((change.value - difference).abs() < 1e-12 && change.n == 3, "{change:?}");
    assert!(change.low.unwrap() <= change.value && change.value <= change.high.unwrap(), "{change:?}");
    let own = &found.before.metrics["perplexity"];
    assert!((own.value - found.before.perplexity.unwrap()).abs() < 1e-9 * own.value && own.n == 3);
    assert!((found.change["cosine"].value - found.similarity.mean_cosine).abs() < 1e-12);
    assert_eq!(
        found.changes().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["loss change", "perplexity times", "cosine"]
    );
    let top = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    let same = labels.iter().filter(|(n, t, _)| top(&original[*n][*t]) == top(&masked[*n][*t])).count();
    assert_eq!(found.agreement.unwrap(), same as f64 / labels.len() as f64);
    let same = compare(before, before, batches(&corpus), None, &Ticket::default()).unwrap();
    assert_eq!((same.agreement, same.similarity.max_abs_difference), (Some(1.0), 0.0));
    assert!((same.similarity.mean_cosine - 1.0).abs() < 1e-12);
    let none = &same.change["loss_per_token"];
    assert_eq!((none.value, none.low, none.high), (0.0, Some(0.0), Some(0.0)));
}

#[test]
fn models_that_predict_nothing_are_compared_by_their_embeddings() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, network, intake) = open("vit");
    let folder = fixtures().join("vit");
    let tensors = reference(&folder.join("reference.safetensors"));
    let corpus = corpus(&inputs(temporary.path(), &tensors, &NAMES), &intake, &settings(1));
    let kept = Gates::keep(model.spec(), &mask(&folder), DType::F32, &Device::Cpu).unwrap();
    let before = Candidate { network: &network, gates: &Gates::open() };
    let after = Candidate { network: &network, gates: &kept };
    let found = compare(before, after, batches(&corpus), None, &Ticket::default()).unwrap();
    assert_eq!((found.before.loss_per_token, found.agreement, found.before.tokens), (None, None, 2));
    let states = |name: &str| -> Vec<Vec<Vec<f32>>> { tensors[name].to_vec3().unwrap() };
    let (original, masked) = (states("last_hidden_state"), states("masked.last_hidden_state"));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    // The class token is the first position.
    let cosines = [0, 1].map(|n| cosine(&original[n][0], &masked[n][0]));
    assert!((found.similarity.mean_cosine - (cosines[0] + cosines[1]) / 2.0).abs() < 1e-5, "{found:?} {cosines:?}");
    assert!((found.similarity.least_cosine - cosines[0].min(cosines[1])).abs() < 1e-5);
    let apart = original.iter().flatten().flatten().zip(masked.iter().flatten().flatten()).map(|(a, b)| (a - b).abs());
    let most = f64::from(apart.fold(0f32, f32::max));
    assert!((found.similarity.max_abs_difference - most).abs() < 1e-4 * most);
}

#[test]
fn speed_states_what_it_was_measured_on() {
    let temporary = tempfile::tempdir().unwrap();
    let (_, network, intake) = open("bert");
    let tensors = reference(&fixtures().join("bert").join("reference.safetensors"));
    let corpus = corpus(&inputs(temporary.path(), &tensors, &NAMES), &intake, &settings(3));
    let batch = batches(&corpus).next().unwrap().unwrap();
    let timing = Timing { warm_up: 1, repetitions: 4, least_secs: 0.0 };
    let found = speed(&network, &Gates::open(), &batch, &timing, &Ticket::default()).unwrap();
    // 3 sequences of 9, of which one ends after 6.
    assert_eq!((found.sequences, found.length, found.tokens, found.repetitions), (3, Some(9), 24, 4));
    assert!(found.secs[0] <= found.secs[1] && found.secs[1] <= found.secs[2] && found.secs[0] > 0.0);
    assert!((found.tokens_per_sec - 24.0 / found.secs[1]).abs() < 1e-6 * found.tokens_per_sec);
    assert!(found.device.ends_with("f32"), "{}", found.device);
    assert!(speed(&network, &Gates::open(), &batch, &Timing { repetitions: 0, ..timing }, &Ticket::default()).is_err());
}

#[test]
fn nothing_to_score_is_an_error_and_a_stop_is_no_fault() {
    let temporary = tempfile::tempdir().unwrap();
    let (_, network, intake) = open("gpt2");
    let tensors = reference(&fixtures().join("gpt2").join("reference.safetensors"));
    let corpus = corpus(&inputs(temporary.path(), &tensors, &NAMES), &intake, &settings(1));
    let run = |corpus: &Corpus, ticket: &Ticket| evaluate(&network, &Gates::open(), batches(corpus), None, ticket);
    let error = run(&corpus.with(|s| s.purpose = Purpose::Observe), &Ticket::default()).unwrap_err();
    assert!(error.to_string().contains("no labels"), "{error}");
    let ticket = Ticket::default();
    ticket.cancel_token().cancel();
    assert!(run(&corpus, &ticket).unwrap_err().is_cancelled());
    let none = evaluate(&network, &Gates::open(), std::iter::empty(), None, &Ticket::default());
    assert!(none.unwrap_err().to_string().contains("no batch"));
    let one = temporary.path().join("one.jsonl");
    std::fs::write(&one, "{\"input_ids\": [1]}\n").unwrap();
    let one = self::corpus(&Input::Tokens(one), &intake, &settings(1));
    assert!(run(&one, &Ticket::default()).unwrap_err().to_string().contains("no position"));
}

#[test]
fn order_and_batches_do_not_change_the_quality() {
    let temporary = tempfile::tempdir().unwrap();
    let (_, network, intake) = open("llama");
    let path = temporary.path().join("tokens.jsonl");
    let line = |i: usize| {
        format!("{{\"input_ids\": {:?}}}\n", (0..2 + i * 5 % 11).map(|t| (t * 7 + i * 3) % 96).collect::<Vec<_>>())
    };
    std::fs::write(&path, (0..20).map(line).collect::<String>()).unwrap();
    let corpus = corpus(&Input::Tokens(path), &intake, &settings(4));
    let loss = |corpus: &Corpus| {
        let quality = evaluate(&network, &Gates::open(), batches(corpus), None, &Ticket::default()).unwrap();
        (quality.loss_per_token.unwrap(), quality.scored_tokens, quality.accuracy.unwrap())
    };
    let (plain, tokens, accuracy) = loss(&corpus);
    for other in [corpus.with(|s| s.order = BatchOrder::ByLength), corpus.with(|s| s.batch_size = 1)] {
        let (found, count, right) = loss(&other);
        assert!((found - plain).abs() < 1e-6 && count == tokens && right == accuracy, "{found} {plain}");
    }
}
