//! The tokenizer that transformers would build from a folder: `tokenizer.json`, and what the files beside it say over it.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Error, Result};

/// Keys of special tokens in `tokenizer_config.json` and `special_tokens_map.json`.
const SPECIAL: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A folder's tokenizer, and the name of its mask token where one is given.
///
/// Tokens that were added after `tokenizer.json` was written stand in `tokenizer_config.json`, `added_tokens.json` or
/// `special_tokens_map.json`, each with one id of its own; what `tokenizer_config.json` says of upper case and accents
/// wins over BERT's normalizer.
///
/// # Errors
/// Where a file cannot be read, or names an id for a token that the tokenizer cannot give it.
pub(super) fn read(folder: &Path) -> Result<(Tokenizer, Option<String>)> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(|e| {
        let hint = "write one with AutoTokenizer.from_pretrained(..).save_pretrained(..), or give --tokens";
        Error::new(format!("cannot read the tokenizer: {e}")).at(&path).hint(hint)
    })?;
    let wrong = |e: &dyn std::fmt::Display| Error::new(format!("not a tokenizer.json that can be read: {e}")).at(&path);
    let config = optional(folder, "tokenizer_config.json")?;
    let mut file: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
    let is_changed = normalize_as(&mut file, &config);
    let mut tokenizer = match is_changed {
        true => Tokenizer::from_bytes(file.to_string()).map_err(|e| wrong(&e))?,
        false => Tokenizer::from_bytes(&bytes).map_err(|e| wrong(&e))?,
    };
    let special = optional(folder, "special_tokens_map.json")?;
    add_known(&mut tokenizer, &numbered(&config)?).map_err(|e| e.at(folder.join("tokenizer_config.json")))?;
    add_known(&mut tokenizer, &legacy(&optional(folder, "added_tokens.json")?))
        .map_err(|e| e.at(folder.join("added_tokens.json")))?;
    add_special(&mut tokenizer, &[&config, &special]).map_err(|e| e.at(folder))?;
    let mask = [&config, &special].into_iter().find_map(|keys| content(keys.get("mask_token")?));
    Ok((tokenizer, mask))
}

/// An object of a file that need not be there.
fn optional(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = folder.join(name);
    let Ok(bytes) = std::fs::read(&path) else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(&path))
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

/// A token with the flags that a file gives it.
fn described(text: &str, token: &Value) -> AddedToken {
    let flag = |key: &str| token.get(key).and_then(Value::as_bool);
    let plain = AddedToken::from(text.to_owned(), flag("special").unwrap_or(false));
    let normalized = flag("normalized").unwrap_or(plain.normalized);
    plain
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false))
        .normalized(normalized)
}

/// Adds what the tokenizer does not know yet, each under the id that is given. Of what it knows its own file decides.
fn add_known(tokenizer: &mut Tokenizer, tokens: &[(u32, AddedToken)]) -> Result<()> {
    for (id, token) in tokens {
        if tokenizer.get_added_tokens_decoder().values().any(|known| known.content == token.content) {
            continue;
        }
        add(tokenizer, token.clone())?;
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
            if tokenizer.token_to_id(&text).is_none() {
                let token = AddedToken { special: true, ..described(&text, value) };
                add(tokenizer, AddedToken { normalized: false, ..token })?;
            }
        }
    }
    Ok(())
}

fn add(tokenizer: &mut Tokenizer, token: AddedToken) -> Result<()> {
    let text = token.content.clone();
    let done = if token.special { tokenizer.add_special_tokens([token]) } else { tokenizer.add_tokens([token]) };
    done.map(|_| ()).map_err(|e| Error::new(format!("cannot add the token '{text}': {e}")))
}

/// The text of a token, which files write plainly or as an object.
fn content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
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
