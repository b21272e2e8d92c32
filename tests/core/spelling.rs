//! Checkpoints as people keep them: of the bare model, with the oldest names, with tensors that no one reads; and what
//! a model says of itself.
use std::collections::HashMap;

use crate::common::{batch, fixture_folders, fixtures, reference, reopened, tensors_of, test_data};
use candle_core::{DType, Device, Tensor};
use pillars::corpus::{Intake, SourceKind};
use pillars::model::{DecoderStart, Model};
use pillars::network::{Batch, Objective};

fn run(model: &Model, batch: &Batch) -> Vec<f32> {
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    network.run(batch).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn renamed(tensors: HashMap<String, Tensor>, rename: impl Fn(&str) -> String) -> HashMap<String, Tensor> {
    tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

#[test]
fn every_family_opens_without_its_prefix() {
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family();
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let bare = renamed(tensors_of(&model), |name| name.strip_prefix(family.prefixes[0]).unwrap_or(name).to_owned());
        let (_bare, bare) = reopened(model.config().value(), &bare);
        let behind = |name: &str| match name.starts_with(family.prefixes[0]) || is_head(name) {
            true => name.to_owned(),
            false => format!("{}{name}", family.prefixes[0]),
        };
        let (_full, full) = reopened(model.config().value(), &renamed(tensors_of(&model), behind));
        let want = run(&model, &batch);
        assert_eq!(run(&bare, &batch), want, "{}", family.model_type);
        assert_eq!(run(&full, &batch), want, "{}", family.model_type);
    }
}

fn is_head(name: &str) -> bool {
    const HEADS: [&str; 10] = [
        "cls.",
        "lm_head",
        "language_model.lm_head",
        "predictions",
        "generator_",
        "vocab_",
        "embed_out",
        "proj_out",
        "final_logits",
        "head.",
    ];
    HEADS.iter().any(|head| name.starts_with(head)) || name == "decoder.bias"
}

#[test]
fn the_oldest_names_of_norms_are_read() {
    for family in ["bert", "roberta", "gpt2"] {
        let folder = fixtures().join(family);
        let model = Model::open(&folder).unwrap();
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let old = renamed(tensors_of(&model), |name| {
            let is_norm = ["LayerNorm.", "layer_norm.", ".ln_"].iter().any(|part| name.contains(part));
            match name.rsplit_once('.') {
                Some((stem, "weight")) if is_norm => format!("{stem}.gamma"),
                Some((stem, "bias")) if is_norm => format!("{stem}.beta"),
                _ => name.to_owned(),
            }
        });
        assert!(old.keys().any(|name| name.ends_with(".gamma")));
        let (_old, old) = reopened(model.config().value(), &old);
        assert_eq!(run(&old, &batch), run(&model, &batch));
    }
}

#[test]
fn tensors_that_no_one_reads_do_no_harm() {
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let cases = [
        (
            "bert",
            vec![
                ("bert.embeddings.position_ids", zeros(&[1, 40], DType::I64)),
                ("bert.pooler.dense.weight", zeros(&[32, 32], DType::F32)),
                ("cls.seq_relationship.weight", zeros(&[2, 32], DType::F32)),
                ("cls.predictions.decoder.bias", zeros(&[96], DType::F32)),
            ],
        ),
        (
            "llama",
            vec![
                ("model.layers.0.self_attn.rotary_emb.inv_freq", zeros(&[4], DType::F32)),
                ("score.weight", zeros(&[3, 32], DType::F32)),
            ],
        ),
        (
            "gpt2",
            vec![
                ("transformer.h.0.attn.bias", zeros(&[1, 1, 40, 40], DType::U8)),
                ("transformer.h.0.attn.masked_bias", zeros(&[], DType::F32)),
            ],
        ),
        (
            "gpt_neox",
            vec![
                ("gpt_neox.layers.1.attention.bias", zeros(&[1, 1, 40, 40], DType::U8)),
                ("gpt_neox.layers.1.attention.rotary_emb.inv_freq", zeros(&[1], DType::F16)),
            ],
        ),
        ("vit", vec![("classifier.weight", zeros(&[10, 32], DType::F32))]),
    ];
    for (family, extra) in cases {
        let folder = fixtures().join(family);
        let model = Model::open(&folder).unwrap();
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let mut tensors = tensors_of(&model);
        let before = model.unused().len();
        for (name, tensor) in &extra {
            assert!(tensors.insert((*name).to_owned(), tensor.clone()).is_none());
        }
        let (_more, more) = reopened(model.config().value(), &tensors);
        let unused = more.unused();
        assert_eq!(unused.len(), before + extra.len());
        assert!(extra.iter().all(|(name, _)| unused.contains(name)), "{family}");
        assert_eq!(more.parameters(), model.parameters());
        assert_eq!(run(&more, &batch), run(&model, &batch), "{family}");
    }
}

#[test]
fn encoder_decoders_with_a_table_for_each_stack_are_read() {
    for family in ["bart", "mbart", "t5"] {
        let folder = fixtures().join(family);
        let model = Model::open(&folder).unwrap();
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let mut tensors = tensors_of(&model);
        let prefix = model.family().prefixes[0];
        let shared = tensors.remove(&format!("{prefix}shared.weight")).unwrap();
        for stack in ["encoder", "decoder"] {
            tensors.insert(format!("{prefix}{stack}.embed_tokens.weight"), shared.copy().unwrap());
        }
        let (_apart, apart) = reopened(model.config().value(), &tensors);
        assert_eq!(run(&apart, &batch), run(&model, &batch), "{family}");
    }
}

#[test]
fn a_model_says_what_it_reads_and_with_which_ids() {
    let open = |family: &str| Intake::of(&Model::open(fixtures().join(family)).unwrap()).unwrap();
    let source = |intake: &Intake| intake.source_tokens().unwrap().max_length;
    let target = |intake: &Intake| intake.target.as_ref().and_then(|limits| limits.max_length);
    let bart = open("bart");
    assert_eq!((bart.decoder_start, bart.pad, bart.end), (Some(DecoderStart::Id(2)), 1, Some(2)));
    assert_eq!((source(&bart), target(&bart), bart.objective), (Some(40), Some(40), Some(Objective::Causal)));
    // T5 begins with padding; mBART's start is the language that ends what it writes.
    assert_eq!((open("t5").decoder_start, source(&open("t5"))), (Some(DecoderStart::Id(0)), None));
    assert_eq!(open("mbart").decoder_start, Some(DecoderStart::LastLabel));
    assert_eq!(open("marian").decoder_start, Some(DecoderStart::Id(95)));
    let bert = open("bert");
    assert_eq!((bert.objective, bert.decoder_start), (Some(Objective::Masked), None));
    assert_eq!((source(&bert), target(&bert)), (Some(40), None));
    // RoBERTa's first positions are never read.
    assert_eq!(source(&open("roberta")), Some(40));
    // 50256 is outside this tiny vocabulary.
    assert_eq!((open("gpt2").end, source(&open("gpt2"))), (None, Some(40)));
    let vit = open("vit");
    assert!(matches!(vit.source, SourceKind::Pixels { .. }) && vit.objective.is_none());
    let whisper = open("whisper");
    assert!(matches!(whisper.source, SourceKind::Frames { .. }));
    assert_eq!((target(&whisper), whisper.decoder_start), (Some(40), Some(DecoderStart::Id(1))));
    let gemma = Intake::of(&Model::open(test_data().join("variants/gemma3-old")).unwrap()).unwrap();
    assert_eq!(source(&gemma), Some(128), "32 positions, stretched by 4");
}
