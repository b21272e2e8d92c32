//! Every key of every family's configuration: what it says is used, known not to matter, or refused; what it does not say
//! is what the family's class takes (`tests/data/config_defaults.json`, read off the classes' sources).
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{fixture_folders, test_data};
use pillars::checkpoint::Config;
use pillars::model::Storage;
use pillars::network::NetworkSpec;
use serde_json::{Map, Value, json};

type Keys = Map<String, Value>;

/// Keys that change no number of a forward pass over given inputs, by what they are about; `*` stands for any beginning
/// or end.
const WITHOUT_EFFECT: &[&str] = &[
    // The file itself.
    "dtype",
    "transformers_version",
    // Random in training.
    "*dropout",
    "*dropout_prob",
    "*pdrop",
    "*layerdrop",
    "dropout_rate",
    "drop_path_rate",
    "router_jitter_noise",
    "apply_spec_augment",
    "mask_feature_*",
    "mask_time_*",
    // Weights before training.
    "initializer_*",
    "init_std",
    "layer_scale_init_value",
    "layerscale_value",
    "sinusoidal_pos_embds",
    // The loss.
    "router_aux_loss_coef",
    "output_router_logits",
    "auxiliary_*",
    "contrastive_logits_temperature",
    "ctc_*",
    "diversity_loss_weight",
    "num_negatives",
    "semantic_loss_ignore_index",
    "sparse_pred*",
    // Special tokens and generation.
    "*token_id",
    "begin_suppress_tokens",
    "encoder_no_repeat_ngram_size",
    "suppress_tokens",
    "use_cache",
    "vocab_list",
    // The same numbers by another way of computing.
    "deterministic_flash_attn",
    "median_filter_width",
    "pretraining_tp",
    "reorder_and_upcast_attn",
    "slow_but_exact",
    // Heads and parts that are not read, or only beside inputs that are not given.
    "adapter_*",
    "add_cross_attention",
    "add_fpn",
    "classifier_*",
    "codevector_dim",
    "encoder_stride",
    "esmfold_config",
    "num_adapter_layers",
    "num_codevector*",
    "output_hidden_size",
    "pooler_*",
    "proj_codevector_dim",
    "projection_dim",
    "projection_size",
    "summary_*",
    "use_auxiliary_head",
    "use_mask_token",
    "use_weighted_layer_sum",
    "vision_use_head",
    "xvector_output_dim",
    // What only a backbone's maps pass.
    "apply_layernorm",
    "reshape_hidden_states",
];

/// Keys that the class of one of the fixtures does not read, or not beside another key that the fixture has.
const BESIDE_OTHERS: &[(&str, &[&str])] = &[
    ("bart", &["is_decoder"]),
    ("beit", &["vocab_size"]),
    ("blenderbot", &["is_decoder"]),
    // An encoder beside another has the whole's type.
    ("clip_text_model", &["model_type"]),
    ("clip_vision_model", &["model_type"]),
    ("codegen", &["n_ctx"]),
    ("deberta-v2", &["legacy", "norm_rel_ebd"]),
    ("falcon", &["multi_query", "parallel_attn"]),
    // The language model of one that reads images has the whole's type and tied tables.
    ("gemma3_text", &["_sliding_window_pattern", "model_type", "tie_word_embeddings"]),
    ("gpt_neox", &["is_decoder"]),
    ("gpt_oss", &["hidden_act", "max_position_embeddings"]),
    ("hubert", &["num_feat_extract_layers"]),
    ("marian", &["is_decoder", "decoder_vocab_size", "share_encoder_decoder_embeddings"]),
    ("mbart", &["is_decoder"]),
    ("modernbert", &["global_attn_every_n_layers"]),
    ("pegasus", &["is_decoder"]),
    ("phi3", &["original_max_position_embeddings"]),
    ("qwen2", WINDOWS),
    ("qwen2_5_vl_text", &["model_type", "max_window_layers", "sliding_window", "use_sliding_window"]),
    ("qwen2_vl_text", &["rope_parameters", "max_window_layers", "sliding_window", "use_sliding_window"]),
    ("qwen3", WINDOWS),
    ("qwen3_moe", &["intermediate_size", "num_experts", "sliding_window", "use_sliding_window"]),
    ("siglip_text_model", &["model_type"]),
    ("siglip_vision_model", &["model_type"]),
    ("smollm3", &["no_rope_layer_interval", "sliding_window", "use_sliding_window"]),
    ("t5", &["dense_act_fn", "is_decoder", "is_encoder_decoder", "is_gated_act"]),
    ("wav2vec2", &["num_feat_extract_layers"]),
    ("whisper", &["scale_embedding"]),
];

/// Beside `layer_types`.
const WINDOWS: &[&str] = &["max_window_layers", "sliding_window", "use_sliding_window"];

/// Keys that only a wrong width of the weights can come of, which is an error, or the length that is told, where they are
/// absent.
const SIZES: &[&str] =
    &["ffn_dim", "intermediate_size", "max_position_embeddings", "n_positions", "num_key_value_heads"];

/// Whether `pattern` is `key`, with `*` for any beginning or end.
fn names(pattern: &str, key: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => key.ends_with(end),
        (_, Some(start)) => key.starts_with(start),
        _ => pattern == key,
    }
}

fn keys_of(path: &Path) -> Keys {
    serde_json::from_slice::<Keys>(&std::fs::read(path).unwrap()).unwrap()
}

/// The network that a configuration describes, whatever is in the files.
fn spec(keys: &Keys) -> Option<NetworkSpec> {
    Storage::fresh(&Config::new("config.json", keys.clone())).ok().map(|(spec, _)| spec)
}

/// The section that describes the network: the whole, or the language model of one that reads images too; of two encoders
/// that of images, unless that of texts is named.
fn section(keys: &Keys) -> Option<&'static str> {
    let has_two = has_two(keys) && keys.get("pillars_tower").is_none();
    keys.get("text_config").map(|_| if has_two { "vision_config" } else { "text_config" })
}

fn has_two(keys: &Keys) -> bool {
    ["clip", "siglip"].iter().any(|kind| keys["model_type"] == *kind)
}

/// `keys` with another value for `key` of the section, or without it.
fn with(keys: &Keys, key: &str, value: Option<Value>) -> Keys {
    let mut changed = keys.clone();
    let own = match section(keys) {
        Some(section) => changed[section].as_object_mut().unwrap(),
        None => &mut changed,
    };
    match value {
        Some(value) => own.insert(key.to_owned(), value),
        None => own.remove(key),
    };
    changed
}

/// Every folder with its configuration, the class that reads it and the keys that this class knows.
fn fixtures() -> Vec<(String, Keys, Keys)> {
    let defaults: BTreeMap<String, Keys> =
        serde_json::from_slice(&std::fs::read(test_data().join("config_defaults.json")).unwrap()).unwrap();
    let all = fixture_folders().into_iter().map(|folder| keys_of(&folder.join("config.json")));
    let folders = all.flat_map(|keys| {
        let mut texts = keys.clone();
        texts.insert("pillars_tower".to_owned(), json!("text_model"));
        let texts = has_two(&keys).then_some(texts);
        std::iter::once(keys).chain(texts)
    });
    let folders = folders.map(|keys| {
        let model_type = keys["model_type"].as_str().unwrap();
        let class = match (section(&keys), model_type) {
            (Some(section), _) => keys[section]["model_type"].as_str().unwrap().to_owned(),
            (None, "qwen2_vl" | "qwen2_5_vl") => format!("{model_type}_text"),
            (None, _) => model_type.to_owned(),
        };
        let own = defaults.get(&class).unwrap_or_else(|| panic!("{class} has no defaults")).clone();
        (class, keys, own)
    });
    folders.collect()
}

#[test]
fn what_is_absent_is_what_the_class_takes() {
    let mut wrong = Vec::new();
    let (mut same, mut refused) = (0, 0);
    for (class, keys, defaults) in fixtures() {
        for (key, default) in defaults.iter().filter(|(key, _)| !SIZES.contains(&key.as_str())) {
            let Some(absent) = spec(&with(&keys, key, None)) else {
                refused += 1;
                continue;
            };
            if Some(absent) == spec(&with(&keys, key, Some(default.clone()))) {
                same += 1;
            } else {
                wrong.push(format!("{class}: {key} = {default}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{same} same, {refused} refused\n{}", wrong.join("\n"));
    assert!(same > 900, "{same} same, {refused} refused");
}

/// Other values of the same kind.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) if number.is_u64() => vec![json!(number.as_u64().unwrap() * 2 + 1)],
        Value::Number(number) => vec![json!(number.as_f64().unwrap() * 2.0 + 0.25)],
        Value::String(_) => vec![json!("another")],
        Value::Null => vec![json!(3), json!(true), json!("another")],
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

#[test]
fn what_is_said_is_used_or_known_not_to_matter() {
    let mut dropped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (class, keys, defaults) in fixtures() {
        let own: &Keys = match section(&keys) {
            Some(section) => keys[section].as_object().unwrap(),
            None => &keys,
        };
        let original = spec(&keys);
        assert!(original.is_some(), "{class}");
        let all = own.iter().chain(defaults.iter().filter(|(key, _)| !own.contains_key(*key)));
        for (key, value) in all {
            let beside = BESIDE_OTHERS.iter().any(|(of, keys)| *of == class && keys.contains(&key.as_str()));
            let known = beside || WITHOUT_EFFECT.iter().any(|pattern| names(pattern, key));
            let changed = others(value).into_iter().any(|other| spec(&with(&keys, key, Some(other))) != original);
            if !known && !changed && !others(value).is_empty() {
                dropped.entry(key.clone()).or_default().push(class.clone());
            }
        }
    }
    let lines: Vec<String> = dropped.iter().map(|(key, classes)| format!("{key}: {}", classes.join(" "))).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Keys of which null says something of its own: that there is none, or that it follows from others.
const NULL_SAYS: &[&str] =
    &["sliding_window", "num_key_value_heads", "head_dim", "attn_logit_softcapping", "final_logit_softcapping"];

#[test]
fn null_is_what_is_absent() {
    let mut wrong = Vec::new();
    let mut same = 0;
    for (class, keys, defaults) in fixtures() {
        let own: &Keys = match section(&keys) {
            Some(section) => keys[section].as_object().unwrap(),
            None => &keys,
        };
        let says_nothing = |key: &&String| !NULL_SAYS.contains(&key.as_str()) && !SIZES.contains(&key.as_str());
        for key in own.keys().chain(defaults.keys()).filter(says_nothing) {
            match spec(&with(&keys, key, Some(Value::Null))) {
                None => {}
                null if null == spec(&with(&keys, key, None)) => same += 1,
                _ => wrong.push(format!("{class}: {key}")),
            }
        }
    }
    assert!(wrong.is_empty() && same > 900, "{same} same\n{}", wrong.join("\n"));
}
