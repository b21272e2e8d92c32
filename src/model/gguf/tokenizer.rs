//! The tokenizer of a GGUF file as the files that transformers would write.
//!
//! Byte-level BPE (`gpt2`) has its merges in the file and the way that text is split behind a name; the BPE of sentencepiece
//! (`llama`) merges by the scores of tokens, which here become merges in the order of their scores.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value as Said;
use serde_json::{Map, Value, json};

use super::keys::{GgufKeys, whole};
use crate::checkpoint::{GPT2, SPLITS, WHOLE_WORDS, piece_merges, token_type};

/// Other names that llama.cpp knows for ways to split text, and the name that the way has here.
const OTHER_NAMES: [(&str, &str); 13] = [
    ("default", GPT2),
    ("gpt2", GPT2),
    ("phi-2", GPT2),
    ("llama3", "llama-bpe"),
    ("llama-v3", "llama-bpe"),
    ("falcon3", "llama-bpe"),
    ("dbrx", "llama-bpe"),
    ("smaug-bpe", "llama-bpe"),
    ("deepseek-r1-qwen", "qwen2"),
    ("megrez", "qwen2"),
    ("refact", "smollm"),
    ("starcoder", "smollm"),
    ("command-r", "smollm"),
];

type Files = Vec<(&'static str, Value)>;

/// The tokens of a file.
struct GgufVocabulary<'a> {
    texts: Vec<&'a str>,
    types: Vec<i32>,
}

/// `tokenizer.json` and `tokenizer_config.json`; no files where the file has no tokenizer.
///
/// # Errors
/// Why they cannot be made, for a person.
pub(super) fn files(keys: &GgufKeys<'_>) -> Result<Files, String> {
    let text = |key: &str| match keys.file.value(&format!("tokenizer.ggml.{key}")) {
        Some(Said::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (model, pre) = (text("model").unwrap_or("none"), text("pre"));
    if model == "none" || model == "no_vocab" {
        return Ok(Vec::new());
    }
    let vocabulary = GgufVocabulary::read(keys)?;
    let (body, normalizer, before, decoder) = match model {
        "gpt2" => byte_pairs(keys, &vocabulary, pre.unwrap_or("default"))?,
        "llama" => pieces(keys, &vocabulary)?,
        other => return Err(format!("its kind '{other}' is not known")),
    };
    let named = |name: &str| {
        let id = keys.file.value(&format!("tokenizer.ggml.{name}_token_id")).and_then(whole)?;
        Some((id, *vocabulary.texts.get(usize::try_from(id).ok()?)?))
    };
    let (bos, eos) = (named("bos"), named("eos"));
    let flag = |key: &str, default: bool| match keys.file.value(&format!("tokenizer.ggml.{key}")) {
        Some(Said::Bool(flag)) => *flag,
        _ => default,
    };
    let is_begun = model == "llama" || matches!(pre, Some("llama-bpe" | "llama3" | "llama-v3" | "tekken"));
    let around = [bos.filter(|_| flag("add_bos_token", is_begun)), eos.filter(|_| flag("add_eos_token", false))];
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": normalizer,
        "pre_tokenizer": before,
        "post_processor": surrounded(around),
        "decoder": decoder,
        "model": body,
    });
    let mut config = Map::new();
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("tokenizer_class", json!("PreTrainedTokenizerFast"));
    for (key, name) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
        if let Some((_, text)) = named(name) {
            put(&format!("{key}_token"), json!(text));
        }
    }
    if let Ok(Some(length)) = keys.size_opt("context_length") {
        put("model_max_length", json!(length));
    }
    if let Some(Said::String(template)) = keys.file.value("tokenizer.chat_template") {
        put("chat_template", json!(template));
    }
    Ok(vec![("tokenizer.json", tokenizer), ("tokenizer_config.json", Value::Object(config))])
}

impl<'a> GgufVocabulary<'a> {
    fn read(keys: &GgufKeys<'a>) -> Result<Self, String> {
        let list = |key: &str| match keys.file.value(&format!("tokenizer.ggml.{key}")) {
            Some(Said::Array(list)) => Some(list),
            _ => None,
        };
        let texts = list("tokens").ok_or("it has no tokens")?.iter().map(|token| match token {
            Said::String(text) => Ok(text.as_str()),
            _ => Err("a token is no text".to_owned()),
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let number = |kind: &Said| match kind {
            Said::I32(kind) => *kind,
            other => whole(other).and_then(|kind| i32::try_from(kind).ok()).unwrap_or(token_type::NORMAL),
        };
        let types = match list("token_type") {
            Some(types) if types.len() == texts.len() => types.iter().map(number).collect(),
            Some(_) => return Err("it has not as many types as tokens".to_owned()),
            None => vec![token_type::NORMAL; texts.len()],
        };
        Ok(Self { texts, types })
    }

    /// Every token with its number and type.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a str, i32)> {
        self.texts.iter().zip(&self.types).enumerate().map(|(id, (text, kind))| (id, *text, *kind))
    }

    /// Ids of the tokens that stand for something, by their texts.
    fn ids(&self) -> Map<String, Value> {
        let used = self.iter().filter(|(_, _, kind)| *kind != token_type::UNUSED);
        used.map(|(id, text, _)| (text.to_owned(), json!(id))).collect()
    }

    /// Tokens that are found in a text before all else.
    fn added(&self) -> Vec<Value> {
        let added = self.iter().filter(|(_, text, kind)| {
            matches!(*kind, token_type::CONTROL | token_type::USER_DEFINED | token_type::UNKNOWN) && !text.is_empty()
        });
        added
            .map(|(id, text, kind)| {
                json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": kind != token_type::USER_DEFINED})
            })
            .collect()
    }
}

/// Model, normalizer, what splits before, decoder.
type Steps = (Value, Value, Value, Value);

fn byte_pairs(keys: &GgufKeys<'_>, vocabulary: &GgufVocabulary<'_>, pre: &str) -> Result<Steps, String> {
    let Some(Said::Array(merges)) = keys.file.value("tokenizer.ggml.merges") else {
        return Err("it has no merges".to_owned());
    };
    let pairs = merges.iter().map(|merge| match merge {
        // A token is no space, but may hold one behind its first letter in files of old converters.
        Said::String(merge) => merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| {
            let (left, right) = merge.split_at(at);
            json!([left, right.get(1..).unwrap_or_default()])
        }),
        _ => None,
    });
    let merges = pairs.collect::<Option<Vec<Value>>>().ok_or("a merge is no pair")?;
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == pre).map_or(pre, |(_, name)| name);
    let bytes = |splits: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": splits});
    let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "pretokenizers": steps});
    let before = if name == GPT2 {
        bytes(true)
    } else if name == "smollm" {
        sequence(vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)])
    } else if let Some((regex, _)) = SPLITS.iter().find(|(_, known)| *known == name) {
        let split = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
        sequence(vec![split, bytes(false)])
    } else {
        return Err(format!("it splits text in a way called '{pre}', which is not known"));
    };
    let takes_words = WHOLE_WORDS.contains(&name) && !matches!(pre, "dbrx" | "smaug-bpe");
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": takes_words,
        "vocab": vocabulary.ids(), "merges": merges});
    let composes = matches!(name, "qwen2" | "qwen35");
    let normalizer = if composes { json!({"type": "NFC"}) } else { Value::Null };
    Ok((model, normalizer, before, bytes(true)))
}

fn pieces(keys: &GgufKeys<'_>, vocabulary: &GgufVocabulary<'_>) -> Result<Steps, String> {
    let Some(Said::Array(scores)) = keys.file.value("tokenizer.ggml.scores") else {
        return Err("it has no scores".to_owned());
    };
    let scores: Option<Vec<f32>> = scores.iter().map(|score| score.to_f32().ok()).collect();
    let scores = scores.filter(|s| s.len() == vocabulary.texts.len()).ok_or("it has not as many scores as tokens")?;
    let unknown = vocabulary.iter().find(|(_, _, kind)| *kind == token_type::UNKNOWN).map(|(_, text, _)| text);
    let has_bytes = vocabulary.types.contains(&token_type::BYTE);
    let prefix = !matches!(keys.file.value("tokenizer.ggml.add_space_prefix"), Some(Said::Bool(false)));
    let model = json!({"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": has_bytes, "ignore_merges": false,
        "vocab": vocabulary.ids(), "merges": merges(vocabulary, &scores)});
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
    let normalizer = match prefix {
        true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"}, space]}),
        false => space,
    };
    let mut back = vec![
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        back.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok((model, normalizer, Value::Null, json!({"type": "Sequence", "decoders": back})))
}

/// The merges that the scores of tokens stand for.
fn merges(vocabulary: &GgufVocabulary<'_>, scores: &[f32]) -> Vec<Value> {
    let normal = || vocabulary.iter().filter(|(_, _, kind)| *kind == token_type::NORMAL);
    let halves: HashMap<&str, usize> = normal().map(|(id, text, _)| (text, id)).collect();
    let scored: Vec<(&str, f64)> =
        normal().map(|(id, text, _)| (text, scores.get(id).copied().map_or(0.0, f64::from))).collect();
    piece_merges(scored.iter().copied(), &halves).into_iter().map(|(left, right)| json!([left, right])).collect()
}

/// What stands around a text: a token before it, one after it.
fn surrounded([before, after]: [Option<(u64, &str)>; 2]) -> Value {
    if before.is_none() && after.is_none() {
        return Value::Null;
    }
    let token = |(_, text): (u64, &str), kind: u8| json!({"SpecialToken": {"id": text, "type_id": kind}});
    let around = |ids: &[(&str, u8)]| -> Vec<Value> {
        let each = |(name, kind): &(&str, u8)| {
            let sequence = json!({"Sequence": {"id": name, "type_id": kind}});
            let (begin, end) = (before.map(|b| token(b, *kind)), after.map(|a| token(a, *kind)));
            begin.into_iter().chain([sequence]).chain(end).collect::<Vec<_>>()
        };
        ids.iter().flat_map(each).collect()
    };
    let special: Map<String, Value> = [before, after]
        .into_iter()
        .flatten()
        .map(|(id, text)| (text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": around(&[("A", 0)]), "pair": around(&[("A", 0), ("B", 1)]),
        "special_tokens": special})
}
