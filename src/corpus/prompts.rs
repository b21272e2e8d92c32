//! What a sentence-transformers folder says of how texts are read.

use std::path::Path;

use serde_json::Map;

use crate::checkpoint::Config;
use crate::error::Result;

/// What stands before texts, and how much of them is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SentencePrompts {
    /// Before a sentence that is compared with another.
    pub(super) sentence: String,
    /// Before a query of a retrieval.
    pub(super) query: String,
    /// Before a document of a retrieval.
    pub(super) document: String,
    /// Most tokens of a text.
    pub(super) length: Option<usize>,
}

/// Whether a folder holds a model of sentence embeddings.
pub(super) fn embeds(folder: &Path) -> bool {
    folder.join("modules.json").is_file()
}

impl SentencePrompts {
    /// By `config_sentence_transformers.json` and `sentence_bert_config.json`.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let optional = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { Config::read(&path) } else { Ok(Config::new(path, Map::new())) }
        };
        let (config, transformer) =
            (optional("config_sentence_transformers.json")?, optional("sentence_bert_config.json")?);
        let prompts = config.section("prompts");
        let named = |names: &[&str]| {
            let of = |name: &&str| prompts.as_ref()?.get(name)?.as_str().map(str::to_owned);
            names.iter().find_map(of)
        };
        let usual = config.text_opt("default_prompt_name")?.and_then(|name| named(&[name])).unwrap_or_default();
        Ok(Self {
            query: named(&["query"]).unwrap_or_else(|| usual.clone()),
            document: named(&["document", "passage", "corpus"]).unwrap_or_else(|| usual.clone()),
            sentence: usual,
            length: transformer.size_opt("max_seq_length")?,
        })
    }
}
