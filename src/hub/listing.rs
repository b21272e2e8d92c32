//! Which files of a model on the hub are needed here.

use std::path::{Component, Path};

use serde::Deserialize;

use super::HubName;
use crate::error::{Error, Result};

/// What the hub says of a commit of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    /// The commit that the revision stands for.
    pub(super) sha: String,
    #[serde(default)]
    pub(super) siblings: Vec<HubFile>,
}

/// A file of a model.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct HubFile {
    /// Its path in the model.
    #[serde(rename = "rfilename")]
    pub(super) path: String,
    #[serde(default)]
    size: Option<u64>,
    /// SHA-1 by which Git knows it.
    #[serde(default, rename = "blobId")]
    git: Option<String>,
    #[serde(default)]
    lfs: Option<LargeFile>,
}

#[derive(Clone, Debug, Deserialize)]
struct LargeFile {
    sha256: String,
    #[serde(default)]
    size: Option<u64>,
}

impl HubFile {
    /// The name of its contents in the cache, and the hash of them.
    ///
    /// # Errors
    /// Where the hub names none.
    pub(super) fn hash(&self) -> Result<&str> {
        let hash = self.lfs.as_ref().map(|lfs| &lfs.sha256).or(self.git.as_ref());
        let is_hash = |hash: &&String| matches!(hash.len(), 40 | 64) && hash.bytes().all(|b| b.is_ascii_hexdigit());
        hash.filter(is_hash)
            .map(String::as_str)
            .ok_or_else(|| Error::new(format!("the hub names no hash of '{}'", self.path)))
    }

    /// Bytes of its contents.
    ///
    /// # Errors
    /// Where the hub does not say.
    pub(super) fn size(&self) -> Result<u64> {
        let size = self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size);
        size.ok_or_else(|| Error::new(format!("the hub does not say how large '{}' is", self.path)))
    }
}

/// Files that say how a model is built and how its inputs are read.
const BESIDE: [&str; 23] = [
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
    "chat_template.json",
    MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "adapter_config.json",
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
];

/// Where sentence-transformers says which folders its further modules are in.
pub(super) const MODULES: &str = "modules.json";

/// Weights in one file, and lists of those in several, the better first.
const WEIGHTS: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

impl Listing {
    /// What a text of the hub says.
    ///
    /// # Errors
    /// Where it is something else, or names a file that would not lie inside the model's folder.
    pub(super) fn read(text: &str, name: &HubName) -> Result<Self> {
        let wrong = |what: String| Error::new(format!("the hub's answer about {name} is not understood: {what}"));
        let listing: Self = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if !matches!(listing.sha.len(), 7..=64) || !listing.sha.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong("it names no commit".to_owned()));
        }
        let is_inside = |path: &str| {
            !path.is_empty()
                && !path.contains(['\\', ':'])
                && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        match listing.siblings.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(wrong(format!("'{}' leads out of the model's folder", file.path))),
            None => Ok(listing),
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&HubFile> {
        self.siblings.iter().find(|file| file.path == path)
    }

    /// Files beside the weights.
    pub(super) fn beside(&self) -> Vec<&HubFile> {
        let is_beside = |path: &str| BESIDE.contains(&path) || (path.ends_with(".model") && !path.contains('/'));
        self.siblings.iter().filter(|file| is_beside(&file.path)).collect()
    }

    /// The one file that holds the weights, or the one that lists those that do.
    ///
    /// # Errors
    /// Where there are no weights that are read here, or one cannot tell which are meant.
    pub(super) fn weights(&self, name: &HubName) -> Result<&HubFile> {
        if let Some(file) = WEIGHTS.iter().find_map(|(single, index)| self.file(single).or_else(|| self.file(index))) {
            return Ok(file);
        }
        let is_gguf = |file: &&HubFile| file.path.ends_with(".gguf") && !file.path.contains('/');
        let ggufs: Vec<&HubFile> = self.siblings.iter().filter(is_gguf).collect();
        match ggufs.as_slice() {
            [one] => Ok(one),
            [] if self.file("adapter_config.json").is_some() => {
                Err(Error::new(format!("{name} is an adapter, not a whole model"))
                    .hint("download its base model, and merge it there"))
            }
            [] => Err(Error::new(format!("{name} holds no weights that are read here"))
                .hint("safetensors, pytorch_model.bin and one GGUF file are")),
            several => Err(Error::new(format!("{name} holds {} GGUF files", several.len()))
                .hint("download one of them, and open it by its path")),
        }
    }

    /// Files in the folders that `modules.json` names.
    pub(super) fn in_modules(&self, modules: &str) -> Vec<&HubFile> {
        let modules: Vec<serde_json::Value> = serde_json::from_str(modules).unwrap_or_default();
        let folders: Vec<String> = modules
            .iter()
            .filter_map(|module| module.get("path")?.as_str())
            .filter(|path| !path.is_empty())
            .map(|path| format!("{path}/"))
            .collect();
        self.siblings.iter().filter(|file| folders.iter().any(|folder| file.path.starts_with(folder))).collect()
    }

    /// The files that an index of shards names.
    ///
    /// # Errors
    /// Where it is none, or names what the model does not have.
    pub(super) fn shards(&self, index: &str, name: &HubName) -> Result<Vec<&HubFile>> {
        #[derive(Deserialize)]
        struct ShardIndex {
            weight_map: std::collections::BTreeMap<String, String>,
        }
        let index: ShardIndex = serde_json::from_str(index)
            .map_err(|e| Error::new(format!("the index of {name} is not understood: {e}")))?;
        let mut paths: Vec<String> = index.weight_map.into_values().collect();
        paths.sort();
        paths.dedup();
        let find = |path: &String| {
            self.file(path).ok_or_else(|| Error::new(format!("{name} has no '{path}', which its index names")))
        };
        paths.iter().map(find).collect()
    }
}
