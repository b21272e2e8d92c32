//! Every key of every family's configuration: what it says is used, known not to matter, or refused; what it does not say
//! is what the family's class takes (`tests/data/config_defaults.json`, read off the classes' sources).
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{fixture_folders, fixtures as fixtures_folder, folders_in, reopened, tensors_of, test_data};
use pillars::checkpoint::Config;
use pillars::model::{Model, Storage, has_no_effect, unread_keys};
use pillars::network::NetworkSpec;
use serde_json::{Map, Value, json};

type Keys = Map<String, Value>;

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
    ("gpt_neo", &["attention_types"]),
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
        // One element after the other, and one less.
        Value::Array(list) => {
            let changed = list.iter().enumerate().flat_map(|(i, element)| {
                others(element).into_iter().map(move |other| {
                    let mut list = list.clone();
                    list[i] = other;
                    Value::Array(list)
                })
            });
            let less = list.split_last().map(|(_, rest)| Value::Array(rest.to_vec()));
            changed.chain(less).collect()
        }
        Value::Object(_) => Vec::new(),
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
            // An architecture that is not known is a bare model.
            let known = beside || has_no_effect(key) || key == "architectures";
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

/// Keys of a configuration that nobody reads, after all was read.
fn unread(keys: &Keys) -> Vec<String> {
    let config = Config::new("config.json", keys.clone());
    Storage::fresh(&config).unwrap();
    unread_keys(&config)
}

#[test]
fn what_is_in_files_as_they_are_written_is_known() {
    let mut wrong = Vec::new();
    for (class, keys, defaults) in fixtures() {
        let whole = defaults.iter().fold(keys.clone(), |keys, (key, value)| {
            let own = section(&keys).map_or(&keys, |section| keys[section].as_object().unwrap());
            if own.contains_key(key) { keys } else { with(&keys, key, Some(value.clone())) }
        });
        for (what, keys) in [("as it is", keys), ("with defaults", whole)] {
            let config = Config::new("config.json", keys.clone());
            if Storage::fresh(&config).is_ok() && !unread_keys(&config).is_empty() {
                wrong.push(format!("{class} {what}: {}", unread_keys(&config).join(", ")));
            }
        }
    }
    // As they are on the hub, from releases of transformers that wrote more than their successors.
    let published = std::fs::read(test_data().join("published_configs.json")).unwrap();
    for keys in serde_json::from_slice::<Vec<Keys>>(&published).unwrap() {
        let config = Config::new("config.json", keys);
        Storage::fresh(&config).unwrap();
        if !unread_keys(&config).is_empty() {
            wrong.push(format!("published {}: {}", config.value()["model_type"], unread_keys(&config).join(", ")));
        }
    }
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let others = [test_data().join("variants"), test_data().join("tasks"), test_data().join("published"), samples];
    for folder in others.iter().flat_map(|folder| folders_in(folder)).filter(|f| f.join("config.json").is_file()) {
        let config = Config::read(&folder.join("config.json")).unwrap();
        if Storage::fresh(&config).is_ok() && !unread_keys(&config).is_empty() {
            wrong.push(format!("{}: {}", folder.display(), unread_keys(&config).join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn keys_that_are_not_known_are_named() {
    for (class, keys, _) in fixtures() {
        let path = section(&keys).map_or_else(String::new, |section| format!("{section}."));
        let invented = with(&with(&keys, "attention_tilt", Some(json!(3))), "silent", Some(Value::Null));
        assert_eq!(unread(&invented), [format!("{path}attention_tilt")], "{class}");
        let mut at_top = keys.clone();
        at_top.insert("attention_tilts".to_owned(), json!([1, {"a": 2}]));
        assert_eq!(unread(&at_top), ["attention_tilts"], "{class}");
        let own = section(&keys).map_or(&keys, |section| keys[section].as_object().unwrap());
        if let Some(Value::Object(rope)) = own.get("rope_parameters").filter(|rope| rope.get("rope_type").is_some()) {
            let mut rope = rope.clone();
            rope.insert("tilt".to_owned(), json!(0.5));
            let tilted = with(&keys, "rope_parameters", Some(Value::Object(rope)));
            assert_eq!(unread(&tilted), [format!("{path}rope_parameters.tilt")], "{class}");
        }
    }
}

#[test]
fn one_note_names_them() {
    let model = Model::open(fixtures_folder().join("llama")).unwrap();
    assert!(model.notes().is_empty(), "{:?}", model.notes());
    let mut config = model.config().value().clone();
    config["foo"] = json!(1);
    config["bar"] = json!({"tilt": 1});
    config["top_k"] = json!(50);
    let (_folder, model) = reopened(&config, &tensors_of(&model));
    assert_eq!(model.notes(), ["config.json: not known to Pillars, not used: foo, bar"]);
}
