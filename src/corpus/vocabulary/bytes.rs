//! `vocab.json` and `merges.txt`: pairs of bytes that are merged (Sennrich et al. 2016; Radford et al. 2019).

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::builder::{TokenizerBuilder, assembled};
use super::rules::ByteSplit;
use crate::checkpoint::{read_file, read_text};
use crate::error::{Error, Result};

/// How CLIP splits text, and Qwen2.
const CLIP: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Builds byte-level BPE from vocabulary and merges.
pub(super) fn byte_pairs(builder: &TokenizerBuilder<'_>, split: ByteSplit) -> Result<Tokenizer> {
    let merges_path = builder.file(&["merges.txt"])?;
    let path = builder.file(&["vocab.json"])?;
    let bytes = read_file(&path).map_err(|e| Error::from(e).at(&path))?;
    let vocabulary: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(format!("not a vocabulary that can be read: {e}")).at(&path))?;
    let text = read_text(&merges_path).map_err(|e| Error::from(e).at(&merges_path))?;
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let Some((left, right)) = line.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            let what = format!("line {} is not two tokens with a space between", number + 1);
            return Err(Error::new(what).at(&merges_path));
        };
        merges.push(json!([left, right]));
    }
    let is_clip = split == ByteSplit::Clip;
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": if is_clip { builder.text("unk_token") } else { None },
        "continuing_subword_prefix": "", "end_of_word_suffix": if is_clip { "</w>" } else { "" }, "fuse_unk": false,
        "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": merges,
    });
    let byte_level = |regex: bool| {
        let prefix = !is_clip && builder.flag("add_prefix_space", false);
        json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex})
    };
    let split_by = |regex: &str, behavior: &str, invert: bool| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert});
    let sequence = |first: Value, second: Value| json!({"type": "Sequence", "pretokenizers": [first, second]});
    let composed = json!({"type": "NFC"});
    let (normalizer, pre_tokenizer) = match split {
        ByteSplit::Gpt2 => (Value::Null, byte_level(true)),
        ByteSplit::Composed => (composed, byte_level(true)),
        ByteSplit::Qwen2 => (composed, sequence(split_by(QWEN2, "Isolated", false), byte_level(false))),
        ByteSplit::Clip => {
            let spaces = json!({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "});
            let normalizer = json!({"type": "Sequence", "normalizers": [composed, spaces, {"type": "Lowercase"}]});
            (normalizer, sequence(split_by(CLIP, "Removed", true), byte_level(true)))
        }
    };
    let decoder = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    assembled(&path, model, normalizer, pre_tokenizer, decoder)
}
