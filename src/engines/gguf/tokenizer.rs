//! What a GGUF file says of its tokenizer, from the files of a folder or from another GGUF file.
//!
//! llama.cpp knows three kinds: byte-level BPE (`gpt2`), which needs the name of the way that text is split before
//! (`tokenizer.ggml.pre`), sentencepiece BPE (`llama`), and unigrams (`t5`).

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use candle_core::quantized::gguf_file::Value;
use serde_json::Value as Json;

use crate::checkpoint::token_type::{BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED};
use crate::checkpoint::{Config, GPT2, GgufFile, SPLITS, WHOLE_WORDS, read_text};
use crate::corpus::TextTokenizer;
use crate::engines::special_tokens::SpecialTokens;
use crate::error::{Error, Result};

/// Keys and values, and what a reader should know.
type TokenizerKeys = (Vec<(String, Value)>, Vec<String>);

/// Where another way is shown.
const ANOTHER_WAY: &str = "give --tokenizer-from a GGUF file of the original model";

/// The keys of the tokenizer of the model in `folder`, which knows `vocabulary` tokens; those of `from`, where it is given.
///
/// # Errors
/// Where llama.cpp has no tokenizer that reads text as this one does, or it is for more tokens than the model.
pub(super) fn keys(
    folder: &Path,
    config: &Config,
    vocabulary: usize,
    from: Option<&GgufFile>,
) -> Result<TokenizerKeys> {
    if let Some(file) = from {
        return copied(file, vocabulary);
    }
    if !TextTokenizer::is_in(folder) {
        let note = "the model has no tokenizer, so the file takes token ids alone; --tokenizer-from brings one";
        return Ok((vec![("tokenizer.ggml.model".to_owned(), text("none"))], vec![note.to_owned()]));
    }
    let tokenizer = TextTokenizer::load(folder)?;
    let file = tokenizer.json()?;
    let kind = TokenizerKind::of(&file)
        .map_err(|what| Error::new(what).at(folder.join("tokenizer.json")).hint(ANOTHER_WAY))?;
    let mut tokens = TokenList::new(&tokenizer, vocabulary).map_err(|e| e.at(folder))?;
    let mut keys = vec![
        ("tokenizer.ggml.model".to_owned(), text(kind.model())),
        ("tokenizer.ggml.pre".to_owned(), text(kind.pre())),
    ];
    let model = &file["model"];
    let mut rest = Vec::new();
    match kind {
        TokenizerKind::Bytes(_) => {
            let merges = pairs(model).map(|(a, b)| text(&format!("{a} {b}")));
            rest.push(("tokenizer.ggml.merges".to_owned(), Value::Array(merges.collect())));
        }
        TokenizerKind::Pieces { prefix } => {
            tokens.mark_bytes();
            rest.push(("tokenizer.ggml.scores".to_owned(), floats(ranks(model, &tokens.texts))));
            rest.push(("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(prefix)));
        }
        TokenizerKind::Unigrams { prefix, squeezes } => {
            tokens.mark_bytes();
            rest.push(("tokenizer.ggml.scores".to_owned(), floats(unigram_scores(model, vocabulary))));
            rest.push(("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(prefix)));
            rest.push(("tokenizer.ggml.remove_extra_whitespaces".to_owned(), Value::Bool(squeezes)));
            if let Some(map) = charsmap(&file["normalizer"]) {
                let map = map.into_iter().map(Value::U8).collect();
                rest.push(("tokenizer.ggml.precompiled_charsmap".to_owned(), Value::Array(map)));
            }
        }
    }
    let unknown = model.get("unk_token").and_then(Json::as_str).and_then(|unk| tokens.id(unk));
    let unknown = unknown.or_else(|| model.get("unk_id").and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok()));
    if let Some(slot) = unknown.and_then(|id| tokens.types.get_mut(id as usize)) {
        *slot = UNKNOWN;
    }
    keys.push(("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens.texts.iter().map(|t| text(t)).collect())));
    let types = tokens.types.iter().copied().map(Value::I32).collect();
    keys.push(("tokenizer.ggml.token_type".to_owned(), Value::Array(types)));
    keys.extend(rest);
    let mut notes = Vec::new();
    keys.extend(special(folder, config, &tokenizer, &tokens, unknown, &mut notes));
    Ok((keys, notes))
}

/// Every key of the tokenizer of another file.
fn copied(file: &GgufFile, vocabulary: usize) -> Result<TokenizerKeys> {
    let mut keys: Vec<(String, Value)> =
        file.values().iter().filter(|(key, _)| key.starts_with("tokenizer.")).cloned().collect();
    let place = |e: Error| e.at(file.path());
    let tokens = match file.value("tokenizer.ggml.tokens") {
        Some(Value::Array(tokens)) => tokens.len(),
        _ => return Err(place(Error::new("the file has no tokenizer"))),
    };
    if tokens > vocabulary {
        let what = format!("its tokenizer has {tokens} tokens, the model {vocabulary}");
        return Err(place(Error::new(what).hint("give a file of the same model")));
    }
    let mut notes = Vec::new();
    if tokens < vocabulary {
        notes.push(format!("{} tokens without a text were added to the tokenizer", vocabulary - tokens));
    }
    for (key, value) in &mut keys {
        let Value::Array(list) = value else { continue };
        let more = |value: fn(usize) -> Value| (tokens..vocabulary).map(value);
        match key.as_str() {
            "tokenizer.ggml.tokens" => list.extend(more(|i| Value::String(format!("[PAD{i}]")))),
            "tokenizer.ggml.token_type" => list.extend(more(|_| Value::I32(UNUSED))),
            "tokenizer.ggml.scores" => list.extend(more(|_| Value::F32(-10000.0))),
            _ => {}
        }
    }
    Ok((keys, notes))
}

/// A kind of tokenizer that llama.cpp knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenizerKind {
    /// BPE over bytes, behind a way to split text.
    Bytes(&'static str),
    /// BPE of sentencepiece; whether text begins with a space.
    Pieces { prefix: bool },
    /// Unigrams of sentencepiece; whether several spaces count as one.
    Unigrams { prefix: bool, squeezes: bool },
}

impl TokenizerKind {
    fn of(file: &Json) -> Result<Self, String> {
        let model = &file["model"];
        let (normalizers, steps) =
            (steps(&file["normalizer"], "normalizers"), steps(&file["pre_tokenizer"], "pretokenizers"));
        match kind_of(model) {
            "BPE" if steps.iter().any(|step| kind_of(step) == "ByteLevel") => {
                if let Some(other) = normalizers.iter().find(|n| kind_of(n) != "NFC") {
                    return Err(format!("llama.cpp has no tokenizer that normalizes text by {}", kind_of(other)));
                }
                let ignores = model.get("ignore_merges").and_then(Json::as_bool).unwrap_or(false);
                let Some(name) = split_name(&steps) else {
                    return Err("the way this tokenizer splits text is none that is known by name".to_owned());
                };
                match (name, ignores) {
                    (name, true) if WHOLE_WORDS.contains(&name) => Ok(Self::Bytes(name)),
                    ("llama-bpe", false) => Ok(Self::Bytes("dbrx")),
                    (name, false) if !WHOLE_WORDS.contains(&name) => Ok(Self::Bytes(name)),
                    _ => Err("the way this tokenizer merges words is none that is known by name".to_owned()),
                }
            }
            "BPE" if model.get("byte_fallback").and_then(Json::as_bool) == Some(true) => {
                Ok(Self::Pieces { prefix: has_prefix(&normalizers, &steps) })
            }
            "Unigram" => {
                let squeezes = steps.iter().any(|step| kind_of(step) == "WhitespaceSplit")
                    || normalizers.iter().any(|n| n["pattern"]["Regex"].as_str() == Some(" {2,}"));
                Ok(Self::Unigrams { prefix: has_prefix(&normalizers, &steps), squeezes })
            }
            other => Err(format!("llama.cpp has no tokenizer of this kind ({other}) for such models")),
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Bytes(_) => "gpt2",
            Self::Pieces { .. } => "llama",
            Self::Unigrams { .. } => "t5",
        }
    }

    fn pre(self) -> &'static str {
        match self {
            Self::Bytes(name) => name,
            Self::Pieces { .. } | Self::Unigrams { .. } => "default",
        }
    }
}

fn kind_of(step: &Json) -> &str {
    step.get("type").and_then(Json::as_str).unwrap_or("none")
}

/// The steps of a `Sequence`, or the one step.
fn steps(step: &Json, list: &str) -> Vec<Json> {
    if step.is_null() {
        return Vec::new();
    }
    match step.get(list).and_then(Json::as_array) {
        Some(steps) => steps.iter().flat_map(|step| self::steps(step, list)).collect(),
        None => vec![step.clone()],
    }
}

/// The name of a way to split text before byte-level BPE.
fn split_name(steps: &[Json]) -> Option<&'static str> {
    let flag = |step: &Json, key: &str| step.get(key).and_then(Json::as_bool);
    let (bytes, before) = steps.split_last()?;
    if kind_of(bytes) != "ByteLevel" || flag(bytes, "add_prefix_space") == Some(true) {
        return None;
    }
    let splits_itself = flag(bytes, "use_regex").unwrap_or(true);
    match before {
        [] if splits_itself => Some(GPT2),
        [digits] if splits_itself && kind_of(digits) == "Digits" && flag(digits, "individual_digits") == Some(true) => {
            Some("smollm")
        }
        [split] if !splits_itself && kind_of(split) == "Split" => {
            let regex = split["pattern"]["Regex"].as_str()?;
            let isolates = split["behavior"].as_str() == Some("Isolated") && flag(split, "invert") != Some(true);
            let removes = split["behavior"].as_str() == Some("Removed") && flag(split, "invert") == Some(true);
            SPLITS.iter().find(|(known, _)| (isolates || removes) && *known == regex).map(|(_, name)| *name)
        }
        _ => None,
    }
}

/// Whether a space is put before every text.
fn has_prefix(normalizers: &[Json], steps: &[Json]) -> bool {
    normalizers.iter().any(|n| kind_of(n) == "Prepend")
        || steps.iter().any(|step| {
            kind_of(step) == "Metaspace"
                && step
                    .get("prepend_scheme")
                    .and_then(Json::as_str)
                    .map_or(step.get("add_prefix_space").and_then(Json::as_bool).unwrap_or(true), |scheme| {
                        scheme != "never"
                    })
        })
}

/// The table by which sentencepiece normalizes characters.
fn charsmap(normalizer: &Json) -> Option<Vec<u8>> {
    let steps = steps(normalizer, "normalizers");
    let map = steps.iter().find_map(|step| step.get("precompiled_charsmap")?.as_str())?;
    base64::engine::general_purpose::STANDARD.decode(map).ok().filter(|map| map.len() > 4)
}

/// Texts and types of all tokens by id.
struct TokenList {
    texts: Vec<String>,
    types: Vec<i32>,
}

impl TokenList {
    fn new(tokenizer: &TextTokenizer, vocabulary: usize) -> Result<Self> {
        let mut tokens = Self { texts: Vec::with_capacity(vocabulary), types: Vec::with_capacity(vocabulary) };
        for id in 0..vocabulary {
            let found = u32::try_from(id).ok().and_then(|id| tokenizer.token(id));
            tokens.types.push(if found.is_some() { NORMAL } else { UNUSED });
            tokens.texts.push(found.unwrap_or_else(|| format!("[PAD{id}]")));
        }
        for (id, is_special) in tokenizer.added_tokens() {
            let Some(slot) = tokens.types.get_mut(id as usize) else {
                let what = format!("the tokenizer has a token {id}, the model's table {vocabulary} rows");
                return Err(Error::new(what).hint(ANOTHER_WAY));
            };
            *slot = if is_special { CONTROL } else { USER_DEFINED };
            if !is_special && let Some(text) = tokens.texts.get_mut(id as usize) {
                *text = text.replace('\u{2581}', " ");
            }
        }
        Ok(tokens)
    }

    fn id(&self, text: &str) -> Option<u32> {
        self.texts.iter().position(|other| other == text).and_then(|id| u32::try_from(id).ok())
    }

    /// TokenList that stand for a byte, `<0x0A>`.
    fn mark_bytes(&mut self) {
        for (text, kind) in self.texts.iter().zip(&mut self.types) {
            let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
            if *kind == NORMAL && digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
                *kind = BYTE;
            }
        }
    }
}

/// Merges, in either spelling.
fn pairs(model: &Json) -> impl Iterator<Item = (&str, &str)> {
    let merges = model.get("merges").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    merges.iter().filter_map(|merge| match merge {
        Json::String(both) => both.split_once(' '),
        Json::Array(pair) => Some((pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    })
}

/// Scores by which the pair that merges first has the highest: sentencepiece merges by score, tokenizer.json by rank.
fn ranks(model: &Json, texts: &[String]) -> Vec<f32> {
    let mut scores: HashMap<String, usize> = HashMap::new();
    for (rank, (a, b)) in pairs(model).enumerate() {
        scores.entry(format!("{a}{b}")).or_insert(rank);
    }
    let last = scores.len();
    texts.iter().map(|text| -(scores.get(text.as_str()).copied().unwrap_or(last) as f32)).collect()
}

fn unigram_scores(model: &Json, vocabulary: usize) -> Vec<f32> {
    let list = model.get("vocab").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let score = |id: usize| list.get(id).and_then(|entry| entry.get(1)).and_then(Json::as_f64).unwrap_or(-10000.0);
    (0..vocabulary).map(|id| score(id) as f32).collect()
}

/// Ids of special tokens, what stands around a text, and the chat template.
fn special(
    folder: &Path,
    config: &Config,
    tokenizer: &TextTokenizer,
    tokens: &TokenList,
    unknown: Option<u32>,
    notes: &mut Vec<String>,
) -> Vec<(String, Value)> {
    let files = SpecialTokens::read(folder);
    let named = |key: &str| -> Option<u32> {
        let id = files.named(key).find_map(|text| tokens.id(&text));
        id.or_else(|| config.token_opt(&format!("{key}_id"))).filter(|id| (*id as usize) < tokens.texts.len())
    };
    let mut keys = Vec::new();
    let bos = named("bos_token").or(tokenizer.prefix().first().copied());
    let eos = named("eos_token").or(tokenizer.suffix().last().copied());
    for (name, id) in [("bos", bos), ("eos", eos), ("unknown", unknown), ("padding", named("pad_token"))] {
        if let Some(id) = id {
            keys.push((format!("tokenizer.ggml.{name}_token_id"), Value::U32(id)));
        }
    }
    let (before, after) = (tokenizer.prefix(), tokenizer.suffix());
    let begins = before.first().copied().is_some_and(|id| Some(id) == bos);
    let ends = after.last().copied().is_some_and(|id| Some(id) == eos);
    if before.len() > usize::from(begins) || after.len() > usize::from(ends) {
        notes.push("the tokenizer puts tokens around a text that the file cannot say".to_owned());
    }
    keys.push(("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(begins)));
    keys.push(("tokenizer.ggml.add_eos_token".to_owned(), Value::Bool(ends)));
    let written = read_text(folder.join("chat_template.jinja")).ok();
    let template = written.or_else(|| {
        let template = files.tokenizer_config()?.get("chat_template")?;
        let of_list = || {
            let list = template.as_array()?;
            let default = list.iter().find(|t| t.get("name").and_then(Json::as_str) == Some("default"));
            default.or(list.first())?.get("template")?.as_str()
        };
        template.as_str().or_else(of_list).map(str::to_owned)
    });
    keys.extend(template.map(|template| ("tokenizer.chat_template".to_owned(), Value::String(template))));
    keys
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn floats(numbers: Vec<f32>) -> Value {
    Value::Array(numbers.into_iter().map(Value::F32).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(model: Json, pre: Json, normalizer: Json) -> Result<TokenizerKind, String> {
        TokenizerKind::of(&json!({"model": model, "pre_tokenizer": pre, "normalizer": normalizer}))
    }

    #[test]
    fn ways_to_split_text_have_names() {
        let bpe = |ignores: bool| json!({"type": "BPE", "ignore_merges": ignores});
        let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": regex});
        let split = |regex: &str| {
            let split = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
            json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
        };
        let digits = json!({"type": "Digits", "individual_digits": true});
        let digits = json!({"type": "Sequence", "pretokenizers": [digits, bytes(true)]});
        let nfc = json!({"type": "NFC"});
        assert_eq!(kind(bpe(false), bytes(true), Json::Null), Ok(TokenizerKind::Bytes("gpt-2")));
        assert_eq!(kind(bpe(false), digits, Json::Null), Ok(TokenizerKind::Bytes("smollm")));
        assert_eq!(kind(bpe(true), split(SPLITS[0].0), Json::Null), Ok(TokenizerKind::Bytes("llama-bpe")));
        assert_eq!(kind(bpe(false), split(SPLITS[0].0), Json::Null), Ok(TokenizerKind::Bytes("dbrx")));
        assert_eq!(kind(bpe(false), split(SPLITS[1].0), nfc), Ok(TokenizerKind::Bytes("qwen2")));
        assert!(kind(bpe(false), split("x"), Json::Null).unwrap_err().contains("none that is known by name"));
        assert!(kind(bpe(false), bytes(true), json!({"type": "Lowercase"})).unwrap_err().contains("Lowercase"));
        let pieces = kind(json!({"type": "BPE", "byte_fallback": true}), Json::Null, json!({"type": "Prepend"}));
        assert_eq!(pieces, Ok(TokenizerKind::Pieces { prefix: true }));
        assert!(kind(json!({"type": "WordPiece"}), Json::Null, Json::Null).is_err());
    }

    #[test]
    fn pairs_that_merge_first_score_highest() {
        let model = json!({"merges": ["a b", ["ab", "c"], "a b"]});
        let texts = ["a", "b", "c", "ab", "abc"].map(str::to_owned);
        assert_eq!(ranks(&model, &texts), [-2.0, -2.0, -2.0, 0.0, -1.0]);
    }
}
