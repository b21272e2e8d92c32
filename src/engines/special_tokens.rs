//! What a folder's files call its special tokens.

use std::path::Path;

use serde_json::Value;

use crate::checkpoint::read_file;

/// `tokenizer_config.json` and `special_tokens_map.json`, as far as they are there.
pub(super) struct SpecialTokens {
    files: [Option<Value>; 2],
}

impl SpecialTokens {
    /// Those of the model in `folder`.
    pub(super) fn read(folder: &Path) -> Self {
        let own = |name: &str| -> Option<Value> { serde_json::from_slice(&read_file(folder.join(name)).ok()?).ok() };
        Self { files: [own("tokenizer_config.json"), own("special_tokens_map.json")] }
    }

    /// What the files say under `key`, such as `eos_token`, one after the other.
    pub(super) fn named(&self, key: &str) -> impl Iterator<Item = String> {
        self.files.iter().flatten().filter_map(move |file| content(file.get(key)?))
    }

    /// The list of special tokens that have no key of their own.
    pub(super) fn additional(&self) -> Vec<String> {
        let list = |file: &Value| file.get("additional_special_tokens")?.as_array().cloned();
        self.files.iter().flatten().find_map(list).unwrap_or_default().iter().filter_map(content).collect()
    }

    /// What `tokenizer_config.json` holds, where there is one.
    pub(super) fn tokenizer_config(&self) -> Option<&Value> {
        self.files.first()?.as_ref()
    }
}

/// A special token, written as text or as an object.
pub(super) fn content(token: &Value) -> Option<String> {
    token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned)
}
