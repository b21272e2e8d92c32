//! Opening a GGUF file as the model of the family that it was made from.
//!
//! | module | job |
//! | --- | --- |
//! | `architecture` | what each architecture of llama.cpp computes, as a family here |
//! | `keys`, `shape` | what the file says of itself, with sizes checked |
//! | `config` | the configuration of that family |
//! | `tokenizer` | its tokenizer as a `tokenizer.json` |
//!
//! The inverse of what writers of the format do: rows of queries and keys in the order of Hugging Face, norms of Gemma less
//! one, fused projections apart. Weights in blocks are read as 32-bit floats, which hold them exactly.

mod architecture;
mod config;
mod keys;
mod shape;
mod tokenizer;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use self::architecture::{GgufFamily, OUTSIDE};
use self::keys::GgufKeys;
use crate::checkpoint::{Checkpoint, Config, GgufFile, GgufPart, GgufTensors, block_name, write_atomically};
use crate::error::{Error, Result};

/// Opens the file at `path`: its header, no weights. Gives the checkpoint and what a reader should know.
///
/// # Errors
/// Where it is broken, or of an architecture that is not known here.
pub(super) fn open(path: &Path) -> Result<(Checkpoint, Vec<String>)> {
    let file = GgufFile::open(path)?;
    let keys = GgufKeys::new(&file)?;
    let family = GgufFamily::of(&keys)?;
    let (shape, config) = config::read(&keys, &family)?;
    let mut parts = HashMap::new();
    for name in file.names() {
        if OUTSIDE.contains(&name) {
            continue;
        }
        for (own, part) in family.parts(name, &shape).ok_or_else(|| {
            Error::new(format!("the file holds a tensor '{name}', which models of '{}' do not have", keys.name()))
                .at(path)
                .hint("use the model's checkpoint in Hugging Face layout")
        })? {
            parts.insert(own, part);
        }
    }
    let notes = notes(&file, &parts);
    let side = side_folder(&keys, &config).map_err(|e| e.at(path))?;
    let notes = notes.into_iter().chain(side.1).collect();
    let config = Config::new(path, config);
    Ok((Checkpoint::of_gguf(config, GgufTensors::new(file, parts), side.0)?, notes))
}

/// What is said of the weights.
fn notes(file: &GgufFile, parts: &HashMap<String, GgufPart>) -> Option<String> {
    let types = parts.values().filter_map(|part| file.info(&part.tensor)).map(|(_, dtype)| dtype);
    let blocks: BTreeSet<&str> = types.filter_map(block_name).collect();
    (!blocks.is_empty()).then(|| {
        let blocks = blocks.into_iter().collect::<Vec<_>>().join(", ");
        format!("the weights of the GGUF file are quantized ({blocks}): they are read as 32-bit floats and carry what was lost")
    })
}

/// The files that a folder in Hugging Face layout has beside its weights.
fn side_folder(keys: &GgufKeys<'_>, config: &Map<String, Value>) -> Result<(tempfile::TempDir, Vec<String>)> {
    let folder = tempfile::Builder::new().prefix("pillars-gguf-").tempdir()?;
    let write = |name: &str, value: &Value| {
        write_atomically(&folder.path().join(name), serde_json::to_string_pretty(value)?.as_bytes())
    };
    write("config.json", &Value::Object(config.clone()))?;
    let mut notes = Vec::new();
    match tokenizer::files(keys) {
        Ok(files) => files.iter().try_for_each(|(name, value)| write(name, value))?,
        Err(reason) => notes.push(format!("the file's tokenizer is not read, so text is not: {reason}")),
    }
    Ok((folder, notes))
}
