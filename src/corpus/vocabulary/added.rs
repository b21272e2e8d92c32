//! Tokens that are found in text before a model sees it, and the small files that name them.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::checkpoint::read_file;
use crate::error::{Error, Result};

/// Keys of special tokens in `tokenizer_config.json` and `special_tokens_map.json`.
pub(in crate::corpus) const SPECIAL: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// An object of a file that need not be there.
pub(in crate::corpus) fn optional(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = folder.join(name);
    let Ok(bytes) = read_file(&path) else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(&path))
}

/// A token with the flags that a file gives it.
pub(in crate::corpus) fn described(text: &str, token: &Value) -> AddedToken {
    let flag = |key: &str| token.get(key).and_then(Value::as_bool);
    let plain = AddedToken::from(text.to_owned(), flag("special").unwrap_or(false));
    let normalized = flag("normalized").unwrap_or(plain.normalized);
    plain
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false))
        .normalized(normalized)
}

/// The texts that are found in text before the model sees it.
pub(in crate::corpus) fn added_texts(tokenizer: &Tokenizer) -> HashSet<String> {
    tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect()
}

/// Whether a token is found in text before the model sees it.
pub(super) fn is_added(tokenizer: &Tokenizer, text: &str) -> bool {
    tokenizer.get_added_tokens_decoder().values().any(|known| known.content == text)
}

pub(in crate::corpus) fn add(tokenizer: &mut Tokenizer, token: AddedToken) -> Result<()> {
    add_all(tokenizer, vec![token])
}

/// Adds several tokens at once, which takes the time of one.
pub(in crate::corpus) fn add_all(tokenizer: &mut Tokenizer, tokens: Vec<AddedToken>) -> Result<()> {
    let first = tokens.first().map_or_else(String::new, |token| token.content.clone());
    let done = tokenizer.add_tokens(tokens);
    done.map(|_| ()).map_err(|e| Error::new(format!("cannot add tokens, the first of which is '{first}': {e}")))
}

/// The text of a token, which files write plainly or as an object.
pub(in crate::corpus) fn content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}
