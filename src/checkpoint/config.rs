//! `config.json`, read key by key with errors that name the key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::regular::read_text;
use crate::error::{Error, Result};

/// No model comes near this many layers, heads or units; larger numbers are refused before they size anything.
const LARGEST: u64 = 1 << 26;
/// A configuration is a small file.
const LARGEST_FILE_BYTES: u64 = 64 << 20;

/// Sizes that say how long an input may be.
const LENGTHS: [&str; 4] = ["max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions"];

/// Keys with their values. Clones and sections remember together which keys they were asked for.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    value: Value,
    /// What stands before a key among those asked for: `rope_scaling.` inside this section.
    scope: String,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

/// JSON, or what Python's writer calls so: `NaN` and `Infinity` without quotes are read as these words, so that a key that
/// needs a number says so and others do no harm.
fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).or_else(|e| serde_json::from_str(&quote_words(text)).map_err(|_| e.into()))
}

/// `text` with quotes around the bare words that Python writes for numbers that JSON lacks.
fn quote_words(text: &str) -> String {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(word) = WORDS.into_iter().find(|word| rest.starts_with(word)) {
            quoted.push('"');
            quoted.push_str(word);
            quoted.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => in_string = !in_string,
            '\\' if in_string => {
                let escaped = rest.chars().next();
                quoted.extend(escaped);
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
            }
            _ => {}
        }
    }
    quoted
}

impl Config {
    pub fn read(path: &Path) -> Result<Self> {
        let place = |e: Error| e.at(path);
        let meta = std::fs::metadata(path).map_err(|_| {
            let what =
                if path.is_symlink() { "this is a link that leads to no file" } else { "config.json is missing" };
            Error::new(what).at(path).hint("give a folder in Hugging Face layout")
        })?;
        if meta.len() > LARGEST_FILE_BYTES {
            return Err(Error::new("the configuration is too large to be one").at(path));
        }
        let text = read_text(path).map_err(|e| place(e.into()))?;
        let value = parse(&text).map_err(place)?;
        if !value.is_object() {
            return Err(Error::new("the configuration is not a JSON object").at(path));
        }
        Ok(Self::of(path.to_path_buf(), value))
    }

    fn of(path: PathBuf, value: Value) -> Self {
        Self { path, value, scope: String::new(), asked: Arc::default() }
    }

    /// A configuration that is not in a file; `path` is what errors name.
    pub fn new(path: impl Into<PathBuf>, keys: Map<String, Value>) -> Self {
        Self::of(path.into(), Value::Object(keys))
    }

    /// This configuration with other keys; what those are asked for counts as asked of this one.
    pub fn with_keys(&self, keys: Map<String, Value>) -> Self {
        Self { value: Value::Object(keys), ..self.clone() }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key, unless absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.get_or_null(key).filter(|v| !v.is_null())
    }

    /// The value of a key, which may be null; `None` where it is absent.
    pub fn get_or_null(&self, key: &str) -> Option<&Value> {
        self.settle(&[key]);
        self.value.get(key)
    }

    /// Counts `keys` as asked for: what was read of others leaves nothing to them.
    pub fn settle(&self, keys: &[&str]) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.extend(keys.iter().map(|key| format!("{}{key}", self.scope)));
    }

    /// Whether the key with this path (`rope_scaling.factor`) was asked for.
    pub fn was_asked(&self, path: &str) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// Whether any key whose path begins with this was asked for.
    pub fn was_entered(&self, start: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.range(start.to_owned()..).next().is_some_and(|path| path.starts_with(start))
    }

    /// An object under a key, as a configuration of its own.
    pub fn section(&self, key: &str) -> Option<Self> {
        let value = self.get(key).filter(|v| v.is_object())?.clone();
        Some(Self { value, scope: format!("{}{key}.", self.scope), ..self.clone() })
    }

    pub fn size(&self, key: &str) -> Result<usize> {
        self.size_opt(key)?.ok_or_else(|| self.lacks(key))
    }

    /// A size, where present.
    pub fn size_opt(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64() {
            Some(0) if LENGTHS.contains(&key) => Err(self.wrong(key, "a number above 0")),
            Some(n) if n <= LARGEST => Ok(Some(n as usize)),
            _ => Err(self.wrong(key, "a reasonable whole number")),
        }
    }

    /// A size, or `default` where absent.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.size_opt(key)?.unwrap_or(default))
    }

    /// The first of `keys` that is present, as a size.
    pub fn size_any(&self, keys: &[&str]) -> Result<usize> {
        for key in keys {
            if let Some(size) = self.size_opt(key)? {
                return Ok(size);
            }
        }
        Err(self.lacks(keys.first().copied().unwrap_or("?")))
    }

    /// A number, where present.
    pub fn number_opt(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64().filter(|n| n.is_finite()) {
            // Added below a root.
            Some(n) if n < 0.0 && (key.ends_with("_eps") || key.ends_with("_epsilon")) => {
                Err(self.wrong(key, "a number of at least 0"))
            }
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(key, "a number")),
        }
    }

    /// A number, or `default` where absent.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.number_opt(key)?.unwrap_or(default))
    }

    /// A truth value, or `default` where absent.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    /// A text, where present.
    pub fn text_opt(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(v) => v.as_str().map(Some).ok_or_else(|| self.wrong(key, "a text")),
        }
    }

    /// A token id; a list gives its first.
    pub fn token_opt(&self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        let one = value.as_array().and_then(|a| a.first()).unwrap_or(value);
        one.as_u64().and_then(|n| u32::try_from(n).ok())
    }

    /// The first architecture named.
    pub fn architecture(&self) -> Option<&str> {
        self.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// An error about a value this program has no use for.
    pub fn wrong(&self, key: &str, wanted: &str) -> Error {
        let shown = self.value.get(key).map(|v| v.to_string().chars().take(60).collect::<String>()).unwrap_or_default();
        Error::new(format!("'{key}' is {shown} where {wanted} is needed")).at(&self.path)
    }

    /// An error about something in the model that is not supported.
    pub fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::new(what).at(&self.path)
    }

    fn lacks(&self, key: &str) -> Error {
        Error::new(format!("'{key}' is missing")).at(&self.path)
    }
}
