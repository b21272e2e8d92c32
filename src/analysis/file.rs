//! Versioned JSON documents on disk.

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::checkpoint::{FileKind, OutFile, UniqueKeys, read_text, write_atomically};
use crate::error::{Error, Result};

/// A document with a name and a version in its head; unknown keys are ignored when read.
pub trait Document: Serialize + DeserializeOwned {
    /// The `format` key, e.g. `pillars-analysis`.
    const FORMAT: &'static str;
    /// The `version` key that this build writes, and the newest that it reads.
    const VERSION: u64;
    /// What a message calls it, e.g. `analysis`.
    const NOUN: &'static str;
    /// The command that writes it, e.g. `pillars analyze`.
    const MAKER: &'static str;

    /// Claims `path` for a document of this kind; `inputs` are what the command reads.
    fn claim(path: &Path, inputs: &[&Path]) -> Result<OutFile> {
        OutFile::claim(path, FileKind::Document(Self::FORMAT), inputs)
    }

    /// What JSON types cannot say: sizes that fit, indices in range. The error names the fault.
    fn check(&self) -> Result<()>;

    /// The document as JSON, `format` and `version` first.
    fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Headed<'a, T> {
            format: &'static str,
            version: u64,
            #[serde(flatten)]
            body: &'a T,
        }
        Ok(serde_json::to_string(&Headed { format: Self::FORMAT, version: Self::VERSION, body: self })?)
    }

    /// Reads a document, refusing another format, a newer version and contents that contradict themselves.
    fn from_json(text: &str) -> Result<Self> {
        let UniqueKeys(fields) = serde_json::from_str(text)?;
        Self::from_fields(fields)
    }

    /// [`Document::from_json`] from a parsed object.
    fn from_fields(fields: Map<String, Value>) -> Result<Self> {
        let noun = Self::NOUN;
        match fields.get("format").and_then(Value::as_str) {
            Some(format) if format == Self::FORMAT => {}
            Some(other) => return Err(Error::new(format!("not a {} file: its format is '{other}'", Self::FORMAT))),
            None => return Err(Error::new(format!("not a {} file: it has no format", Self::FORMAT))),
        }
        match fields.get("version").and_then(Value::as_u64) {
            Some(version) if (1..=Self::VERSION).contains(&version) => {}
            Some(version) => {
                return Err(Error::new(format!(
                    "this {noun} has version {version}, newest known is {}",
                    Self::VERSION
                ))
                .hint("open it with the release of pillars that wrote it"));
            }
            None => return Err(Error::new(format!("this {noun} has no version"))),
        }
        let document: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|error| Error::new(format!("this {noun} cannot be read: {error}")))?;
        document.check()?;
        Ok(document)
    }

    /// Reads the document at `path`.
    fn read(path: &Path) -> Result<Self> {
        Self::from_json(&Self::text_of(path)?).map_err(|e| e.at(path))
    }

    /// The text of the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, or is no text; says what makes such a file.
    fn text_of(path: &Path) -> Result<String> {
        let (noun, maker) = (Self::NOUN, Self::MAKER);
        read_text(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(format!("there is no {noun} of this name"))
                .caused_by(error)
                .at(path)
                .hint(format!("check the path; {maker} writes one")),
            ErrorKind::InvalidData => Error::new(format!("this is no {noun}: it is not text")).at(path),
            _ => Error::from(error).at(path),
        })
    }

    /// Writes the document, so that a reader of `path` sees either the old contents or all of the new.
    fn write(&self, path: &Path) -> Result<()> {
        self.check().map_err(|e| e.at(path))?;
        write_atomically(path, format!("{}\n", self.to_json()?).as_bytes())
    }
}
