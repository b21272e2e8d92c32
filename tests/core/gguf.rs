//! GGUF files as models.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use pillars::corpus::TextTokenizer;
use pillars::engines::{EngineOptions, Quantization, export};
use pillars::model::Model;
use pillars::network::{Batch, Gates, Kept, NoProbe, Source, TokenMask, Tokens};
use pillars::plan::Plan;
use pillars::pruning::{Engine, ExportFormat, ExportOptions};
use pillars::{Opened, Ticket};

use crate::common::{fixtures, reference, relative_difference, reopened, test_data};

fn data(name: &str) -> PathBuf {
    test_data().join("gguf").join(name)
}

fn batch(ids: &Tensor) -> (Batch, TokenMask) {
    let (n, t) = ids.dims2().unwrap();
    let mask = TokenMask::new(n, t, vec![true; n * t]).unwrap();
    (Batch::new(Source::Tokens(Tokens::new(ids.to_dtype(DType::U32).unwrap(), mask.clone())), None), mask)
}

fn logits(model: &Model, batch: &Batch) -> Tensor {
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    network.logits(&network.hidden(batch, &Gates::open(), &mut NoProbe).unwrap().states).unwrap()
}

fn ids() -> Tensor {
    let ids: Vec<u32> = (0..2 * 9).map(|i| 3 + i * 31 % 90).collect();
    Tensor::from_vec(ids, (2, 9), &Device::Cpu).unwrap()
}

/// A fixture, or the same with its layers without positions where llama.cpp has them.
fn source(family: &str) -> (Option<tempfile::TempDir>, Model) {
    let model = Model::open(fixtures().join(family)).unwrap();
    if family != "smollm3" {
        return (None, model);
    }
    let mut config = model.config().value().clone();
    config["no_rope_layers"] = serde_json::json!([1, 1, 1, 0]);
    let (folder, model) = reopened(&config, &crate::common::tensors_of(&model));
    (Some(folder), model)
}

/// The model without the heads that `plan` removes as a GGUF file, opened.
fn through_gguf(model: &Model, plan: &Plan, folder: &Path, quantization: Quantization) -> Model {
    let options = EngineOptions { quantization: Some(quantization), ..EngineOptions::default() };
    export(Engine::Gguf, model, plan, &folder.join("out"), &options, &Ticket::default()).unwrap();
    Model::open(folder.join("out/model.gguf")).unwrap()
}

fn uneven(model: &Model) -> Plan {
    let kept: Vec<String> = model
        .spec()
        .sites()
        .into_iter()
        .enumerate()
        .map(|(index, (site, a))| {
            let stay: Vec<usize> = (0..a.heads).filter(|h| h / a.queries_per_kv() <= index % a.kv_heads).collect();
            format!("\"{site}\": {stay:?}")
        })
        .collect();
    Plan::parse_any(&format!("{{{}}}", kept.join(", "))).unwrap()
}

#[test]
fn files_of_our_own_are_read_back_as_the_model_that_they_hold() {
    let (batch, mask) = batch(&ids());
    for (family, read_as, bits) in [
        ("llama", "llama", true),
        ("mistral", "llama", true),
        ("qwen2", "qwen2", true),
        ("qwen3", "qwen3", true),
        ("gemma", "gemma", false),
        ("gemma2", "gemma2", false),
        ("gemma3_text", "gemma3_text", false),
        ("phi3", "llama", true),
        ("granite", "granite", true),
        ("smollm3", "smollm3", true),
    ] {
        let (_kept, model) = source(family);
        for plan in [Plan::from_mask(Kept::all()), uneven(&model)] {
            let folder = tempfile::tempdir().unwrap();
            let read = through_gguf(&model, &plan, folder.path(), Quantization::F32);
            let whole = plan.kept_at(model.spec().sites()[0].0, 4).len() == 4;
            // Where layers differ, factors are in the weights.
            let read_as = if family == "granite" && !whole { "llama" } else { read_as };
            assert_eq!(read.family().model_type, read_as, "{family}");
            let options = ExportOptions { timing: None, ..ExportOptions::default() };
            let compact = folder.path().join("compact");
            pillars::pruning::export(
                &model,
                &plan,
                ExportFormat::Compact,
                &compact,
                &options,
                None,
                &Ticket::default(),
            )
            .unwrap();
            let wanted = if whole { model.clone() } else { Model::open(&compact).unwrap() };
            let (got, want) = (logits(&read, &batch), logits(&wanted, &batch));
            let difference = relative_difference(&got, &want, &mask, 1);
            assert!(difference < 5e-6, "{family}: {difference}");
            for name in model.checkpoint().names().iter().filter(|_| bits && whole && family != "phi3") {
                let bytes = |model: &Model| model.checkpoint().read(name).unwrap();
                assert!(bytes(&read) == bytes(&model), "{family} {name}");
            }
        }
    }
}

#[test]
fn halves_come_back_bit_for_bit_and_blocks_near() {
    let (batch, mask) = batch(&ids());
    let model = Model::open(fixtures().join("llama")).unwrap();
    let want = logits(&model, &batch);
    for (quantization, most, is_said) in
        [(Quantization::F16, 5e-3, false), (Quantization::Bf16, 5e-2, false), (Quantization::Q8, 5e-2, true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let read = through_gguf(&model, &Plan::from_mask(Kept::all()), folder.path(), quantization);
        let difference = relative_difference(&logits(&read, &batch), &want, &mask, 1);
        assert!(difference > 0.0 && difference < most, "{quantization}: {difference}");
        let said = read.notes().iter().any(|note| note.contains("quantized (Q8_0)"));
        assert_eq!(said, is_said, "{quantization}: {:?}", read.notes());
        let told = if is_said { "Q8_0" } else { read.stored().name() };
        assert_eq!(read.in_files(), told, "beside the bytes of the file stands what they are");
        // What was read is what is written again.
        let again = tempfile::tempdir().unwrap();
        let twice = through_gguf(&read, &Plan::from_mask(Kept::all()), again.path(), quantization);
        for name in read.checkpoint().names() {
            let numbers = |model: &Model| model.checkpoint().tensor(name, DType::F32, &Device::Cpu).unwrap();
            let apart = (numbers(&read) - numbers(&twice)).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(apart.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-6, "{quantization} {name}");
        }
    }
}

#[test]
fn files_of_llama_cpp_give_the_logits_of_transformers() {
    let reference = reference(&data("reference.safetensors"));
    for name in ["llama", "gemma2", "phi3"] {
        let model = Model::open(data(&format!("{name}.gguf"))).unwrap();
        let (batch, mask) = batch(&reference[&format!("{name}.input_ids")]);
        let difference = relative_difference(&logits(&model, &batch), &reference[&format!("{name}.logits")], &mask, 1);
        assert!(difference < 1e-5, "{name}: {difference}");
    }
    let model = Model::open(data("llama.gguf")).unwrap();
    assert!(model.notes().iter().any(|note| note.contains("quantized (Q2_K, Q3_K, Q4_0")), "{:?}", model.notes());
}

#[test]
fn the_tokenizer_of_a_file_gives_the_ids_of_sentencepiece() {
    let model = Model::open(data("llama.gguf")).unwrap();
    let tokenizer = TextTokenizer::load(model.checkpoint().folder()).unwrap();
    let text = std::fs::read_to_string(data("lines.txt")).unwrap();
    let mut ids = Vec::new();
    for line in text.split('\n') {
        let encoded = tokenizer.encode(line).unwrap();
        // Sentencepiece's own sign for a space comes back as one.
        assert_eq!(tokenizer.decode(&encoded).unwrap(), line.replace('\u{2581}', " "));
        ids.extend(tokenizer.wrap(&encoded));
    }
    let want = reference(&data("reference.safetensors"))["llama.lines"].to_dtype(DType::U32).unwrap();
    assert_eq!(ids, want.to_vec1::<u32>().unwrap());
}

#[test]
fn a_byte_level_tokenizer_survives_the_way_through_a_file() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    let model = Model::open(&sample).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let read = through_gguf(&model, &Plan::from_mask(Kept::all()), folder.path(), Quantization::F32);
    let of = |model: &Model| TextTokenizer::load(model.checkpoint().folder()).unwrap();
    let (own, other) = (of(&model), of(&read));
    let text = std::fs::read_to_string(data("lines.txt")).unwrap();
    for line in text.split('\n') {
        assert_eq!(other.encode(line).unwrap(), own.encode(line).unwrap(), "{line:?}");
    }
    assert_eq!((other.prefix(), other.suffix()), (own.prefix(), own.suffix()));
}

#[test]
fn a_file_is_pruned_as_a_folder_is() {
    let path = data("llama.gguf");
    let opened = Opened::open(&path, &Ticket::default()).unwrap();
    assert!(opened.facts.has_tokenizer && opened.facts.folder == path && opened.facts.name == "llama.gguf");
    let plan = Plan::parse_any(r#"{"decoder.0": [1]}"#).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let options = ExportOptions { timing: None, ..ExportOptions::default() };
    let report =
        pillars::pruning::export(&opened.model, &plan, ExportFormat::Native, &out, &options, None, &Ticket::default())
            .unwrap();
    assert_eq!(report.source, "llama.gguf");
    let pruned = Model::open(&out).unwrap();
    assert_eq!(pruned.spec().sites()[0].1.heads, 1);
    assert!(out.join("tokenizer.json").is_file() && !out.join("model.gguf").exists());
    assert!(TextTokenizer::load(&out).is_ok());
}

#[test]
fn what_is_not_read_is_said_with_what_to_do() {
    use candle_core::quantized::GgmlDType;
    use candle_core::quantized::gguf_file::Value;
    use pillars::checkpoint::{GgufFile, GgufTensor, write_gguf};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let file = GgufFile::open(&data("gemma2.gguf")).unwrap();
    type Values = Vec<(String, Value)>;
    let refused = |change: &dyn Fn(&mut Values), dropped: &str, added: Option<&str>| {
        let mut values = file.values().to_vec();
        change(&mut values);
        let names: Vec<&str> = file.names().into_iter().filter(|name| *name != dropped).chain(added).collect();
        let plan = |name: &&str| GgufTensor {
            name: (*name).to_owned(),
            shape: file.info(name).map_or(vec![1], |(shape, _)| shape.to_vec()),
            dtype: GgmlDType::F32,
        };
        let plans: Vec<GgufTensor> = names.iter().map(plan).collect();
        write_gguf(&path, &values, &plans, |i| {
            file.tensor(names[i]).or_else(|_| Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?))
        })
        .unwrap();
        Model::open(&path).map(drop).map_err(|e| e.to_string())
    };
    let set = |key: &'static str, value: Value| {
        move |values: &mut Values| {
            values.retain(|(name, _)| name != key);
            values.push((key.to_owned(), value.clone()));
        }
    };
    assert_eq!(refused(&|_| {}, "", None), Ok(()));
    let text = |text: &str| Value::String(text.to_owned());
    let huge = Value::Array(vec![Value::U32(u32::MAX); 3]);
    for (key, value, said) in [
        ("general.architecture", text("mamba"), "architecture 'mamba' are not read"),
        ("general.architecture", Value::U32(1), "names no architecture"),
        ("split.count", Value::U16(3), "split over several files"),
        ("gemma2.expert_count", Value::U32(8), "mixture of experts"),
        ("gemma2.block_count", Value::U32(u32::MAX), "block_count' is not a reasonable whole number"),
        ("gemma2.block_count", Value::U32(60), "for the 35 tensors that there are"),
        ("gemma2.block_count", Value::U32(2), "'blk.2."),
        ("gemma2.block_count", Value::U32(4), "is missing"),
        ("gemma2.attention.head_count", Value::U32(0), "layer 0 has no attention"),
        ("gemma2.attention.head_count", Value::U32(1), "where the configuration asks for"),
        ("gemma2.attention.head_count", huge, "where"),
        ("gemma2.attention.head_count", text("two"), "head_count' is not"),
        ("gemma2.attention.key_length", Value::U32(1 << 30), "is not a reasonable whole number"),
        ("gemma2.attention.value_length", Value::U32(8), "is not the width of keys"),
        ("gemma2.rope.dimension_count", Value::U32(8), "is not the width of a head"),
        ("gemma2.rope.freq_base", Value::F32(f32::NAN), "rope.freq_base' is not a number"),
        ("gemma2.rope.scaling.type", text("strange"), "ok"),
        ("gemma2.attention.layer_norm_rms_epsilon", text("small"), "is not a number"),
        ("gemma2.feed_forward_length", Value::U32(31), "where the configuration asks for"),
        ("gemma2.attention.sliding_window", text("x"), "is not a reasonable whole number"),
    ] {
        let got = refused(&set(key, value), "", None);
        match got {
            Ok(()) => assert_eq!(said, "ok", "{key}"),
            Err(error) => assert!(error.contains(said) && error.contains("a.gguf"), "{key}: {error}"),
        }
    }
    let extra = refused(&|_| {}, "", Some("blk.0.ffn_gate_inp.weight")).unwrap_err();
    assert!(extra.contains("'blk.0.ffn_gate_inp.weight', which models of 'gemma2' do not have"), "{extra}");
    let bias = refused(&|_| {}, "", Some("blk.0.ffn_down.bias")).unwrap_err();
    assert!(bias.contains("down_proj.bias', which no Gemma 2 reads"), "{bias}");
    let less = refused(&|_| {}, "blk.1.attn_k.weight", None).unwrap_err();
    assert!(less.contains("self_attn.k_proj.weight' is missing") && less.contains("a.gguf"), "{less}");
    let no_table = refused(&|_| {}, "token_embd.weight", None).unwrap_err();
    assert!(no_table.contains("no token table"), "{no_table}");
}
