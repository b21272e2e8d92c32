//! The tokenizer that transformers would build from a folder: `tokenizer.json`, and what the files beside it say over it.

use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::vocabulary::{
    self, BuiltTokenizer, NumberedPieces, SPECIAL, TokenizerBuilder, TokenizerSettings, add_all, added_texts,
    check_rules, content, described, heed_switches, optional,
};
use crate::checkpoint::read_file;
use crate::error::{Error, Result};

/// Where a tokenizer is whole.
const FILE: &str = "tokenizer.json";

/// The tokenizer of a folder, with what the files beside it say over it.
pub(super) struct FolderTokenizer {
    pub(super) tokenizer: Tokenizer,
    /// The name of its mask token, where one is given.
    pub(super) mask: Option<String>,
    /// Where tokens have other ids than the tokenizer gives.
    pub(super) numbered: Option<NumberedPieces>,
    /// The tokenizer of texts to be written, where it is another.
    pub(super) target: Option<Tokenizer>,
    /// Most tokens of a sequence, where a number is given.
    pub(super) longest: Option<usize>,
}

/// Whether `folder` holds a tokenizer, as far as the names of its files tell.
pub(super) fn has_tokenizer(folder: &Path) -> bool {
    folder.join(FILE).is_file() || vocabulary::has_files(folder)
}

/// A folder's tokenizer: what `tokenizer.json` says, or what is [built](vocabulary) of other files.
///
/// Tokens that were added after `tokenizer.json` was written stand in `tokenizer_config.json`, `added_tokens.json` or
/// `special_tokens_map.json`, each with one id of its own; what `tokenizer_config.json` says of upper case, accents, the
/// space before a text and the tokens around it wins.
///
/// # Errors
/// Where a file cannot be read, or names an id for a token that the tokenizer cannot give it.
pub(super) fn read(folder: &Path) -> Result<FolderTokenizer> {
    let config = optional(folder, "tokenizer_config.json")?;
    let special = optional(folder, "special_tokens_map.json")?;
    let legacy = legacy(&optional(folder, "added_tokens.json")?);
    let settings = || TokenizerSettings { folder, config: &config, special: &special };
    let is_built = !folder.join(FILE).is_file() && vocabulary::has_files(folder);
    let builder = if is_built { Some(TokenizerBuilder::new(settings())?) } else { None };
    let mut read = match &builder {
        Some(builder) => vocabulary::build(builder)?,
        None => BuiltTokenizer { tokenizer: from_file(folder, &config)?, numbered: None, target: None },
    };
    for tokenizer in std::iter::once(&mut read.tokenizer).chain(&mut read.target) {
        if read.numbered.is_none() {
            add_known(tokenizer, &numbered(&config)?).map_err(|e| e.at(folder.join("tokenizer_config.json")))?;
            add_known(tokenizer, &legacy).map_err(|e| e.at(folder.join("added_tokens.json")))?;
        }
        if let Some(builder) = &builder {
            vocabulary::finish(builder, tokenizer)?;
        }
        if read.numbered.is_none() {
            add_special(tokenizer, &[&config, &special]).map_err(|e| e.at(folder))?;
        }
    }
    if builder.is_none() {
        heed_switches(&mut read.tokenizer, settings())?;
    }
    let mask = [&config, &special].into_iter().find_map(|keys| content(keys.get("mask_token")?));
    let longest = longest(&config);
    Ok(FolderTokenizer { tokenizer: read.tokenizer, mask, numbered: read.numbered, target: read.target, longest })
}

/// `model_max_length`, to which transformers cuts sequences; where nothing is known it writes a number that no sequence has.
fn longest(config: &Map<String, Value>) -> Option<usize> {
    const UNKNOWN: u64 = 100_000_000;
    let given = config.get("model_max_length")?.as_u64().filter(|length| (1..UNKNOWN).contains(length))?;
    usize::try_from(given).ok()
}

/// What `tokenizer.json` says, where `config` says nothing else of how text is prepared.
fn from_file(folder: &Path, config: &Map<String, Value>) -> Result<Tokenizer> {
    let path = folder.join(FILE);
    let bytes = read_file(&path)
        .map_err(|e| Error::new(format!("cannot read the tokenizer: {e}")).at(&path).hint(vocabulary::ANOTHER_WAY))?;
    let wrong = |e: &dyn std::fmt::Display| Error::new(format!("not a tokenizer.json that can be read: {e}")).at(&path);
    let mut file: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
    check_maps(&file["normalizer"]).map_err(|e| wrong(&e))?;
    let is_changed = normalize_as(&mut file, config) | prefix_as(&mut file, config);
    match is_changed {
        true => Tokenizer::from_bytes(file.to_string()).map_err(|e| wrong(&e)),
        false => Tokenizer::from_bytes(&bytes).map_err(|e| wrong(&e)),
    }
}

/// Checks the rules for characters in a normalizer, which their reader follows unchecked.
fn check_maps(normalizer: &Value) -> std::result::Result<(), String> {
    for step in normalizer["normalizers"].as_array().into_iter().flatten() {
        check_maps(step)?;
    }
    match normalizer["precompiled_charsmap"].as_str().map(|map| base64::engine::general_purpose::STANDARD.decode(map)) {
        None => Ok(()),
        Some(Ok(rules)) if rules.is_empty() => Ok(()),
        Some(Ok(rules)) => check_rules(&rules),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// Lets the configuration say whether a text begins with a space; true where something changed.
fn prefix_as(file: &mut Value, config: &Map<String, Value>) -> bool {
    const KEY: &str = "add_prefix_space";
    let Some(step) = file.get_mut("pre_tokenizer").and_then(Value::as_object_mut) else { return false };
    let Some(wanted) = config.get(KEY).filter(|value| value.is_boolean()) else { return false };
    if step.get("type").and_then(Value::as_str) != Some("ByteLevel") || step.get(KEY) == Some(wanted) {
        return false;
    }
    step.insert(KEY.to_owned(), wanted.clone());
    true
}

/// Lets the configuration win over a BERT normalizer; true where something changed.
fn normalize_as(file: &mut Value, config: &Map<String, Value>) -> bool {
    let Some(normalizer) = file.get_mut("normalizer").and_then(Value::as_object_mut) else { return false };
    if normalizer.get("type").and_then(Value::as_str) != Some("BertNormalizer") {
        return false;
    }
    let mut changed = false;
    for (key, own) in [
        ("do_lower_case", "lowercase"),
        ("strip_accents", "strip_accents"),
        ("tokenize_chinese_chars", "handle_chinese_chars"),
    ] {
        if let Some(wanted) = config.get(key).filter(|value| value.is_boolean() || value.is_null())
            && normalizer.get(own) != Some(wanted)
        {
            normalizer.insert(own.to_owned(), wanted.clone());
            changed = true;
        }
    }
    changed
}

/// `added_tokens_decoder`, ascending by id.
fn numbered(config: &Map<String, Value>) -> Result<Vec<(u32, AddedToken)>> {
    let mut found = Vec::new();
    for (id, token) in config.get("added_tokens_decoder").and_then(Value::as_object).into_iter().flatten() {
        let id = id.parse().map_err(|_| Error::new(format!("'{id}' in added_tokens_decoder is no id")))?;
        let text = token.get("content").and_then(Value::as_str);
        let text = text.ok_or_else(|| Error::new(format!("the added token {id} has no content")))?;
        found.push((id, described(text, token)));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found)
}

/// `added_tokens.json` of older releases, ascending by id.
fn legacy(ids: &Map<String, Value>) -> Vec<(u32, AddedToken)> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let mut found: Vec<_> =
        ids.iter().filter_map(|(text, value)| Some((id(value)?, AddedToken::from(text.clone(), false)))).collect();
    found.sort_by_key(|(id, _)| *id);
    found
}

/// Adds what the tokenizer does not know yet, each under the id that is given. Of what it knows its own file decides.
fn add_known(tokenizer: &mut Tokenizer, tokens: &[(u32, AddedToken)]) -> Result<()> {
    let known = added_texts(tokenizer);
    let new: Vec<_> = tokens.iter().filter(|(_, token)| !known.contains(&token.content)).collect();
    add_all(tokenizer, new.iter().map(|(_, token)| token.clone()).collect())?;
    for (id, token) in new {
        if tokenizer.token_to_id(&token.content) != Some(*id) {
            let given = tokenizer.token_to_id(&token.content).map_or("none".to_owned(), |id| id.to_string());
            let what = format!("the added token '{}' is to have id {id}, but gets {given}", token.content);
            return Err(Error::new(what).hint("these files belong to different tokenizers"));
        }
    }
    Ok(())
}

/// Adds special tokens that are only named.
fn add_special(tokenizer: &mut Tokenizer, files: &[&Map<String, Value>]) -> Result<()> {
    let mut known = added_texts(tokenizer);
    let mut new = Vec::new();
    for keys in files {
        let named = SPECIAL.iter().filter_map(|key| keys.get(*key));
        let more = ["additional_special_tokens", "extra_special_tokens"];
        let listed = more.iter().filter_map(|key| keys.get(*key)).flat_map(|list| match list {
            Value::Array(list) => list.iter().collect::<Vec<_>>(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        });
        for value in named.chain(listed) {
            let Some(text) = content(value) else { continue };
            if known.insert(text.clone()) {
                new.push(AddedToken { special: true, normalized: false, ..described(&text, value) });
            }
        }
    }
    add_all(tokenizer, new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::TextTokenizer;

    fn data(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers").join(name)
    }

    fn ids(folder: &Path, text: &str) -> Vec<u32> {
        let tokenizer = TextTokenizer::load(folder).unwrap();
        tokenizer.wrap(&tokenizer.encode(text).unwrap())
    }

    /// A copy of a folder under `tests/data/tokenizers` with the files in `over` in place of its own.
    fn changed(name: &str, over: &[(&str, Value)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(data(name).join(file), folder.path().join(file)).unwrap();
        }
        for (file, value) in over {
            std::fs::write(folder.path().join(file), value.to_string()).unwrap();
        }
        folder
    }

    #[test]
    fn added_tokens_have_one_id_each_wherever_they_stand() {
        // As transformers 4.57 and 5.23 tokenise it.
        const TEXT: &str = "<|im_start|>truth<|im_end|>";
        const IDS: [u32; 5] = [1536, 86, 84, 1474, 1537];
        assert_eq!(ids(&data("added-tokens"), TEXT), IDS);
        let config = serde_json::json!({"tokenizer_class": "PreTrainedTokenizerFast"});
        let list = serde_json::json!({"<|im_end|>": 1537, "<|im_start|>": 1536});
        let old = changed("added-tokens", &[("tokenizer_config.json", config.clone()), ("added_tokens.json", list)]);
        assert_eq!(ids(old.path(), TEXT), IDS);
        let map = serde_json::json!({"additional_special_tokens": ["<|im_start|>", {"content": "<|im_end|>"}]});
        let named =
            changed("added-tokens", &[("tokenizer_config.json", config.clone()), ("special_tokens_map.json", map)]);
        assert_eq!(ids(named.path(), TEXT), IDS);
        let plain = changed("added-tokens", &[("tokenizer_config.json", config)]);
        assert!(ids(plain.path(), TEXT).len() > 5);
        // An id that the token cannot have.
        let wrong = serde_json::json!({"added_tokens_decoder": {"1999": {"content": "<|im_start|>", "special": true}}});
        let wrong = changed("added-tokens", &[("tokenizer_config.json", wrong)]);
        let error = TextTokenizer::load(wrong.path()).unwrap_err().to_string();
        assert!(error.contains("'<|im_start|>' is to have id 1999, but gets 1536"), "{error}");
    }

    #[test]
    fn the_configuration_wins_over_what_bert_does_with_case() {
        assert_eq!(ids(&data("lowercase"), "The Hello World Cat"), [2, 5, 6, 7, 8, 3]);
        let cased = changed("lowercase", &[("tokenizer_config.json", serde_json::json!({"do_lower_case": false}))]);
        assert_ne!(ids(cased.path(), "The Hello World Cat"), [2, 5, 6, 7, 8, 3]);
    }
}
