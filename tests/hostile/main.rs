//! Checkpoints that are broken or mean harm: opening one gives an error of one line or a model that runs, never a
//! panic, and never asks for much memory. Nor does work on large ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

mod bombs;
#[path = "../common/mod.rs"]
mod common;
mod fuzz;
mod held;
mod memory;
mod targets;
mod vocabulary;

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use common::{batch, fixture_folders, fixtures, reference};
use memory::largest;
use pillars::checkpoint::{Checkpoint, Config};
use pillars::model::Model;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

/// More than any fixture needs, less than hurts.
const MODEST_BYTES: usize = 16 << 20;

#[track_caller]
fn assert_one_line(error: &pillars::Error) -> String {
    let text = error.to_string();
    assert!(targets::is_one_line(&text), "{text:?}");
    text
}

fn keys_of(folder: &Path) -> Map<String, Value> {
    serde_json::from_slice::<Value>(&fs::read(folder.join("config.json")).unwrap())
        .unwrap()
        .as_object()
        .unwrap()
        .clone()
}

/// Values of every kind: those that a careless reader trips over first.
const NASTY: [&str; 30] = [
    "null",
    "-1",
    "1000000000",
    "0.5",
    "\"x\"",
    "[]",
    "{}",
    "true",
    "false",
    "0",
    "1",
    "2",
    "3",
    "5",
    "67108864",
    "9007199254740993",
    "18446744073709551615",
    "-9223372036854775808",
    "-2.5",
    "1e300",
    "1e-300",
    "\"\"",
    "[1]",
    "[[]]",
    "[null]",
    "{\"a\":1}",
    "[0,0]",
    "[16,16]",
    "[1,\"x\"]",
    "[1,2,3,4,5,6,7,8]",
];
/// How many of them keys get that a family seems not to read.
const FIRST: usize = 5;

fn open(folder: &Path, keys: Map<String, Value>) -> pillars::Result<Model> {
    Checkpoint::open_with(folder, Config::new(folder.join("config.json"), keys)).and_then(Model::new)
}

/// `keys` with another value for `key`, and for each key inside it where it holds an object.
fn changed(keys: &Map<String, Value>, key: &str, value: &Value) -> Vec<Map<String, Value>> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = keys.clone();
        change(&mut changed[key]);
        changed
    };
    let mut all = vec![with(&|v| *v = value.clone())];
    for inner in keys[key].as_object().into_iter().flat_map(|o| o.keys()) {
        all.push(with(&|v| v[inner] = value.clone()));
    }
    all
}

#[test]
fn no_configuration_panics_or_asks_for_much() {
    let folders = fixture_folders();
    let counts: Vec<(usize, usize)> = folders.par_iter().map(|folder| try_changes(folder)).collect();
    let (opened, refused) = counts.iter().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    // The changes must reach what they are meant to reach.
    assert!(opened > 300 && refused > 5000, "{opened} opened, {refused} refused");
}

/// Opens a fixture with every key changed in turn: how often it opened as another network, and was refused.
fn try_changes(folder: &Path) -> (usize, usize) {
    let (mut opened, mut refused) = (0, 0);
    let keys = keys_of(folder);
    let original = Model::open(folder).unwrap();
    let reference = reference(&folder.join("reference.safetensors"));
    let batch = batch(&reference);
    largest();
    for key in keys.keys() {
        let mut without = keys.clone();
        without.remove(key);
        let unread = open(folder, without).is_ok_and(|model| model.spec() == original.spec());
        for text in &NASTY[..if unread { FIRST } else { NASTY.len() }] {
            for keys in changed(&keys, key, &serde_json::from_str(text).unwrap()) {
                match open(folder, keys) {
                    // What opens must also run, or fail in words.
                    Ok(model) if model.spec() != original.spec() => {
                        opened += 1;
                        let network = model.network(&Device::Cpu, DType::F32).unwrap();
                        if let Err(error) = network.run(&batch) {
                            assert_one_line(&error);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        refused += 1;
                        assert_one_line(&error);
                    }
                }
                let largest = largest();
                assert!(largest < MODEST_BYTES, "{}: {key} = {text} asked for {largest}", folder.display());
            }
        }
    }
    (opened, refused)
}

#[test]
fn lists_of_kept_heads_are_checked() {
    let cases = [
        ("bert", json!({"pillars": {"kept": {"encoder.0": [0, 9]}}}), "there is no head 9 of encoder.0"),
        ("bert", json!({"pillars": {"kept": {"encoder.0": [2, 1]}}}), "ascending"),
        ("bert", json!({"pillars": {"kept": {"encoder.0": [1, 1]}}}), "ascending"),
        ("bert", json!({"pillars": {"kept": {"encoder.7": [0]}}}), "heads are kept at encoder.7"),
        ("bert", json!({"pillars": {"kept": {"cross.0": [0]}}}), "heads are kept at cross.0"),
        ("bert", json!({"pillars": {"kept": {"encoder.99999999999999999999": [0]}}}), "'pillars.kept' is broken"),
        ("bert", json!({"pillars": {"kept": {"encoder.0": [-1]}}}), "'pillars.kept' is broken"),
        ("bert", json!({"pillars": {"kept": 3}}), "'pillars.kept' is broken"),
        ("bert", json!({"pillars": {"kept": {"encoder.0": [0]}}}), "where the configuration asks for"),
        ("bert", json!({"pillars": {"kept": {"encoder.0": []}}}), "where the configuration asks for"),
        ("bert", json!({"pruned_heads": {"0": [0]}}), "where the configuration asks for"),
        ("bert", json!({"pruned_heads": {"9": [0]}}), "'pruned_heads'"),
        ("bert", json!({"pruned_heads": {"x": [0]}}), "'pruned_heads'"),
        ("bert", json!({"pruned_heads": {"0": 1}}), "'pruned_heads'"),
        ("llama", json!({"pillars": {"kept": {"decoder.0": [0, 1, 2]}}}), "unequal numbers of query heads"),
        ("albert", json!({"pillars": {"kept": {"encoder.0": [0, 1]}}}), "share layer 0 keep different heads"),
    ];
    for (family, more, shown) in cases {
        let folder = fixtures().join(family);
        let mut keys = keys_of(&folder);
        keys.extend(more.as_object().unwrap().clone());
        let text = assert_one_line(&open(&folder, keys).expect_err(shown));
        assert!(text.contains(shown), "{more}: {text}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let cases = [
        ("llama", "num_hidden_layers", json!(1_000_000_000)),
        ("llama", "num_attention_heads", json!(0)),
        ("llama", "num_key_value_heads", json!(3)),
        ("llama", "hidden_act", json!("mish")),
        ("llama", "rope_scaling", json!({"type": "mrope", "factor": 2.0})),
        ("mistral", "num_local_experts", json!(8)),
        ("bert", "is_decoder", json!(true)),
        ("bert", "position_embedding_type", json!("relative_key")),
        ("roberta", "add_cross_attention", json!(true)),
        ("gpt2", "add_cross_attention", json!(true)),
        ("gemma3_text", "layer_types", json!(["full_attention", "chunked_attention", "full_attention"])),
        ("smollm3", "no_rope_layers", json!([1, 0])),
        ("albert", "inner_group_num", json!(2)),
        ("albert", "num_hidden_groups", json!(9)),
        ("opt", "layer_norm_elementwise_affine", json!(false)),
        ("bloom", "apply_residual_connection_post_layernorm", json!(true)),
        ("bart", "is_encoder_decoder", json!(false)),
        ("t5", "feed_forward_proj", json!("gated-tanh")),
        ("dinov2", "mlp_ratio", json!(-1)),
        ("vit", "image_size", json!([1, 2, 3])),
        ("codegen", "n_head", json!(2)),
        ("mixtral", "num_local_experts", json!(0)),
        ("deberta-v2", "pos_att_type", json!("p2c|p2p")),
        ("deberta-v2", "conv_kernel_size", json!(3)),
        ("deberta-v2", "embedding_size", json!(16)),
        ("wav2vec2", "conv_kernel", json!([10])),
        ("wav2vec2", "conv_stride", json!([5, 0])),
        ("wav2vec2", "num_conv_pos_embedding_groups", json!(5)),
        ("wav2vec2", "add_adapter", json!(true)),
        ("hubert", "feat_extract_norm", json!("batch")),
        ("beit", "use_shared_relative_position_bias", json!(true)),
        ("beit", "image_size", json!(2)),
        ("mixtral", "num_experts_per_tok", json!(5)),
        ("qwen3_moe", "mlp_only_layers", json!(["x"])),
        ("qwen3_moe", "decoder_sparse_step", json!(0)),
        ("gpt_oss", "swiglu_alpha", json!(1.5)),
        ("gpt_oss", "swiglu_limit", json!(-7.0)),
        ("qwen3", "layer_types", json!(["linear_attention", "full_attention"])),
        ("llama", "hybrid_override_pattern", json!("M-M*")),
        ("esm", "is_folding_model", json!(true)),
        ("esm", "position_embedding_type", json!("relative_key")),
        ("esm", "mask_token_id", json!(null)),
    ];
    for (family, key, value) in cases {
        let folder = fixtures().join(family);
        let mut keys = keys_of(&folder);
        keys.insert(key.to_owned(), value);
        let error = open(&folder, keys).expect_err(key);
        let text = assert_one_line(&error);
        // Head counts are told by their site, where they fail to divide.
        assert!(text.contains(key) || text.contains("key/value heads") || text.contains("mrope"), "{key}: {text}");
    }
}

#[test]
fn an_unknown_family_is_answered_with_its_nearest() {
    let folder = fixtures().join("llama");
    let long = "x".repeat(100_000);
    assert_one_line(&open(&folder, Map::from_iter([("model_type".to_owned(), json!(long))])).unwrap_err());
    for (given, near) in [("lama", "llama"), ("qwen2_moe", "qwen2"), ("gemma3n", "gemma3"), ("whisperx", "whisper")] {
        let mut keys = keys_of(&folder);
        keys.insert("model_type".to_owned(), json!(given));
        let text = assert_one_line(&open(&folder, keys).unwrap_err());
        assert!(text.contains(&format!("'{given}'")) && text.contains(near), "{text}");
    }
    let mut keys = keys_of(&folder);
    keys.remove("model_type");
    let text = assert_one_line(&open(&folder, keys).unwrap_err());
    assert!(text.contains("'model_type' is missing"), "{text}");
}

/// A copy of a fixture with other bytes for its weights.
fn folder_with(weights: Option<&[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("bert/config.json"), folder.path().join("config.json")).unwrap();
    if let Some(weights) = weights {
        fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    }
    folder
}

fn weights_of(header: &Value, data: &[u8]) -> Vec<u8> {
    let text = header.to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

#[track_caller]
fn refused(folder: &Path, shown: &str) {
    largest();
    let text = assert_one_line(&Model::open(folder).unwrap_err());
    assert!(text.contains(shown), "{text:?} does not say {shown:?}");
    assert!(largest() < MODEST_BYTES);
}

#[test]
fn broken_headers_are_refused() {
    let good = fs::read(fixtures().join("bert/model.safetensors")).unwrap();
    let header_bytes = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    // Cut anywhere: inside the length, the header, the data.
    for length in [0, 5, 8, 9, header_bytes / 2, header_bytes + 7, header_bytes + 8, good.len() - 1] {
        refused(folder_with(Some(&good[..length])).path(), "not a readable safetensors file");
    }
    // Grown by a byte that no tensor owns.
    let grown: Vec<u8> = good.iter().copied().chain([0]).collect();
    refused(folder_with(Some(&grown)).path(), "not a readable safetensors file");
    for claimed in [1u64 << 60, u64::MAX, 100_000_001, 0] {
        let mut changed = good.clone();
        changed[..8].copy_from_slice(&claimed.to_le_bytes());
        refused(folder_with(Some(&changed)).path(), "not a readable safetensors file");
    }
    let headers = [
        // Two tensors over the same bytes.
        json!({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
               "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}),
        // A hole.
        json!({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
               "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}),
        // Backwards.
        json!({"a": {"dtype": "F32", "shape": [3], "data_offsets": [12, 0]}}),
        // More elements than bytes, and more than there are numbers.
        json!({"a": {"dtype": "F32", "shape": [1u64 << 40], "data_offsets": [0, 12]}}),
        json!({"a": {"dtype": "F32", "shape": [u64::MAX, u64::MAX], "data_offsets": [0, 12]}}),
        json!({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12, 24]}}),
        json!({"a": {"dtype": "F33", "shape": [3], "data_offsets": [0, 12]}}),
        json!({"a": {"dtype": "F32", "shape": [-3], "data_offsets": [0, 12]}}),
        json!({"a": 3}),
        json!([1, 2, 3]),
        json!("x"),
    ];
    for header in headers {
        refused(folder_with(Some(&weights_of(&header, &[0; 12]))).path(), "not a readable safetensors file");
    }
    let half = json!({"a": {"dtype": "F8_E4M3", "shape": [12], "data_offsets": [0, 12]}});
    // A type that no weight of the network has does not matter; that the network's tensors are missing does.
    refused(folder_with(Some(&weights_of(&half, &[0; 12]))).path(), "2 layers do not fit in the 1 tensors");
    refused(folder_with(Some(&weights_of(&json!({}), &[]))).path(), "no tensors");
    let other = json!({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}});
    refused(folder_with(Some(&weights_of(&other, &[0; 12]))).path(), "2 layers do not fit in the 1 tensors");
    let others = json!({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                        "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}});
    refused(folder_with(Some(&weights_of(&others, &[0; 12]))).path(), "word_embeddings.weight' is missing");
}

#[test]
fn weights_of_another_kind_are_refused() {
    let good = fs::read(fixtures().join("bert/model.safetensors")).unwrap();
    let header_bytes = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&good[8..8 + header_bytes]).unwrap();
    const NAME: &str = "bert.encoder.layer.0.attention.self.query.weight";
    let integers = {
        let mut header = header.clone();
        header[NAME]["dtype"] = json!("I32");
        weights_of(&header, &good[8 + header_bytes..])
    };
    refused(folder_with(Some(&integers)).path(), "holds int32, not floats");
    refused(folder_with(Some(&integers)).path(), "use the checkpoint in 32 or 16 bits");
    let turned = {
        let mut header = header.clone();
        header[NAME]["shape"] = json!([16, 64]);
        weights_of(&header, &good[8 + header_bytes..])
    };
    refused(folder_with(Some(&turned)).path(), "is [16, 64] where the configuration asks for [32, 32]");
}

#[test]
fn indices_lead_nowhere_else() {
    let folder = folder_with(None);
    refused(folder.path(), "neither model.safetensors, pytorch_model.bin nor");
    let index = folder.path().join("model.safetensors.index.json");
    let write = |names: Value| fs::write(&index, json!({"weight_map": names}).to_string()).unwrap();
    for name in ["../x.safetensors", "/etc/passwd", "a/../../b.safetensors", "..", ".", ""] {
        write(json!({"a": name}));
        refused(folder.path(), "leads out of the folder");
    }
    write(json!({"a": "model-00001-of-00002.safetensors"}));
    refused(folder.path(), "missing");
    fs::write(&index, "{\"weight_map\": 3}").unwrap();
    refused(folder.path(), "not the JSON expected");
    // The same tensor in two files.
    let good = fs::read(fixtures().join("bert/model.safetensors")).unwrap();
    for name in ["1.safetensors", "2.safetensors"] {
        fs::write(folder.path().join(name), &good).unwrap();
    }
    write(json!({"a": "1.safetensors", "b": "2.safetensors"}));
    let twice = Model::open(folder.path()).unwrap();
    assert!(twice.notes()[0].contains("are in several files"), "{:?}", twice.notes());
    // Files in folders, and under names that say where they are.
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::copy(folder.path().join("1.safetensors"), folder.path().join("sub/3.safetensors")).unwrap();
    for name in ["sub/3.safetensors", "./1.safetensors", "./sub/./3.safetensors"] {
        write(json!({"a": name}));
        assert!(Model::open(folder.path()).unwrap().notes().is_empty(), "{name}");
    }
    write(json!({"a": "1.safetensors"}));
    assert!(Model::open(folder.path()).is_ok());
    fs::remove_file(&index).unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02").unwrap();
    refused(folder.path(), "since release 1.6");
}

/// A link is its owner's word where a file lies, the name in an index is not: weights on another disk are opened.
#[test]
#[cfg(unix)]
fn links_in_a_folder_of_ones_own_are_followed() {
    use std::os::unix::fs::symlink;
    let disk = tempfile::tempdir().unwrap();
    let weights = disk.path().join("weights");
    fs::copy(fixtures().join("bert/model.safetensors"), &weights).unwrap();
    let folder = folder_with(None);
    let link = folder.path().join("model.safetensors");
    symlink(&weights, &link).unwrap();
    let names = Model::open(fixtures().join("bert")).unwrap().checkpoint().names().to_vec();
    assert_eq!(Model::open(folder.path()).unwrap().checkpoint().names(), names);
    // An index may name the link, and not what it leads to.
    let shard = folder.path().join("shard.safetensors");
    fs::rename(&link, &shard).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, json!({"weight_map": {"a": "shard.safetensors"}}).to_string()).unwrap();
    assert_eq!(Model::open(folder.path()).unwrap().checkpoint().names(), names);
    fs::write(&index, json!({"weight_map": {"a": weights}}).to_string()).unwrap();
    refused(folder.path(), "leads out of the folder");
    // What leads nowhere, to itself, or to something without an end.
    fs::write(&index, json!({"weight_map": {"a": "shard.safetensors"}}).to_string()).unwrap();
    fs::remove_file(&weights).unwrap();
    refused(folder.path(), "a link that leads to no file");
    fs::remove_file(&index).unwrap();
    symlink("model.safetensors", &link).unwrap();
    refused(folder.path(), "a link that leads to no file");
    for name in ["model.safetensors", "config.json"] {
        let path = folder.path().join(name);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        refused(folder.path(), "this is not a regular file");
        fs::remove_file(&path).unwrap();
        fs::copy(fixtures().join("bert").join(name), &path).unwrap();
    }
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    for (key, wanted) in [("layer_norm_eps", "at least 0"), ("max_position_embeddings", "above 0")] {
        let mut keys: serde_json::Value = serde_json::from_str(&config).unwrap();
        keys[key] = if key == "layer_norm_eps" { json!(-1) } else { json!(0) };
        fs::write(folder.path().join("config.json"), keys.to_string()).unwrap();
        refused(folder.path(), &format!("'{key}' is {}", keys[key]));
        refused(folder.path(), wanted);
    }
}

#[test]
fn adapters_and_broken_configurations_are_named() {
    let folder = folder_with(None);
    fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    refused(folder.path(), "adapter");
    fs::remove_file(folder.path().join("adapter_config.json")).unwrap();
    let config = folder.path().join("config.json");
    for (text, shown) in [
        ("", "config.json"),
        ("{", "config.json"),
        ("[]", "not a JSON object"),
        ("{}", "neither"),
        ("{\"model_type\": 3}", "neither"),
        ("\u{feff}{}", "config.json"),
    ] {
        fs::write(&config, text).unwrap();
        refused(folder.path(), shown);
    }
    // Deep nesting must not exhaust the stack.
    fs::write(&config, "[".repeat(1_000_000)).unwrap();
    refused(folder.path(), "config.json");
    fs::remove_file(&config).unwrap();
    refused(folder.path(), "config.json is missing");
}
