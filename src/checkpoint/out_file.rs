//! Files that a command is going to write: whether they may be written is found out before the work.

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::hidden::sweep;
use super::regular::open_file;
use super::{Lock, folder_of};
use crate::error::{Error, Result};

/// Key of a safetensors file's metadata by which this program knows what it wrote.
pub const MARKER: &str = "pillars";

/// What a command writes, by the marker that such files carry. Only a file with the marker may be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A JSON document whose `format` is this.
    Document(&'static str),
    /// A safetensors file whose metadata says this under [`MARKER`].
    Tensors(&'static str),
    /// A file that begins with these bytes and holds the others soon after.
    Marked(&'static [u8], &'static [u8]),
    /// A table with these column names in its first line.
    Table(String),
}

impl FileKind {
    /// What JSON document of this program is at `path`, with its article: `an analysis`; `None` where there is none.
    pub fn document_at(path: &Path) -> Option<String> {
        let format = format_of(path)?;
        let noun = format.strip_prefix("pillars-")?;
        let is_vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
        Some(format!("{} {noun}", if is_vowel { "an" } else { "a" }))
    }

    /// Whether the file at `path` is of this kind.
    pub fn is_of(&self, path: &Path) -> bool {
        match self {
            Self::Document(format) => format_of(path).is_some_and(|found| found == *format),
            Self::Tensors(what) => metadata(path).is_some_and(|m| m.get(MARKER).is_some_and(|found| found == *what)),
            Self::Marked(start, mark) => beginning(path, 1024)
                .is_some_and(|bytes| bytes.starts_with(start) && bytes.windows(mark.len()).any(|part| part == *mark)),
            Self::Table(columns) => beginning(path, columns.len() + 1).is_some_and(|bytes| {
                bytes.strip_prefix(columns.as_bytes()).is_some_and(|rest| matches!(rest.first(), Some(b'\r' | b'\n')))
            }),
        }
    }
}

/// What a JSON document says that it is.
fn format_of(path: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct FileStart {
        format: String,
    }
    let head: FileStart = serde_json::from_reader(BufReader::new(open_file(path).ok()?)).ok()?;
    Some(head.format)
}

/// The first bytes of a file, `most` at most.
fn beginning(path: &Path, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path).ok()?.take(most as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The metadata of a safetensors file, where it is one.
fn metadata(path: &Path) -> Option<serde_json::Map<String, serde_json::Value>> {
    const LARGEST: u64 = 100_000_000;
    let mut file = open_file(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST.min(file.metadata().ok()?.len()) {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let mut header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
    match header.remove("__metadata__") {
        Some(serde_json::Value::Object(found)) => Some(found),
        _ => None,
    }
}

/// A file that this process alone is going to write.
#[derive(Debug)]
pub struct OutFile {
    path: PathBuf,
    _lock: Lock,
}

impl OutFile {
    /// Claims `path` for a file of `kind`. `inputs` are the files and folders that the command reads.
    ///
    /// # Errors
    /// Where the folder does not exist or cannot be written; where the file is an input or lies in a folder that is one;
    /// where a file is there that is not of `kind`; where another process is at work on it.
    pub fn claim<P: AsRef<Path>>(path: &Path, kind: FileKind, inputs: &[P]) -> Result<Self> {
        let refused = |what: String| Err(Error::new(what).at(path).hint("choose another --out"));
        let folder = folder_of(path);
        if path.file_name().is_none() {
            return refused("this names no file".to_owned());
        }
        if path == Path::new("-") {
            return Err(Error::new("results are written to files, not to standard output")
                .at(path)
                .hint("name a file"));
        }
        if let Some(file) = folder.ancestors().find(|place| place.is_file()) {
            return refused(format!("{} is a file, not a folder", file.display()));
        }
        if !folder.is_dir() {
            let what = format!("the folder {} does not exist", folder.display());
            return Err(Error::new(what).at(path).hint("make it, or choose another --out"));
        }
        let real = real_path(path);
        for input in inputs {
            let Some((input, real)) = real_path(input.as_ref()).zip(real.as_ref()) else { continue };
            if *real == input {
                return refused("the result would replace what the command reads".to_owned());
            }
            if input.is_dir() && real.starts_with(&input) {
                return refused("the result would lie inside a folder that the command reads".to_owned());
            }
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return refused("this is a folder, not a file".to_owned()),
            Ok(found) if !found.is_file() => return refused("this is no regular file".to_owned()),
            Ok(_) if !kind.is_of(path) => {
                return refused("a file is there that this command did not write, so it is not replaced".to_owned());
            }
            _ => {}
        }
        sweep(folder);
        let lock = Lock::beside(path)?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The path with links followed as far as it exists.
pub fn real_path(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(mut real) = existing.canonicalize() {
            real.extend(missing.iter().rev());
            return Some(real);
        }
        missing.push(existing.file_name()?.to_owned());
        existing = existing.parent()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: FileKind = FileKind::Document("pillars-plan");
    const NONE: &[&Path] = &[];

    fn refusal(path: &Path, kind: FileKind, inputs: &[&Path]) -> String {
        OutFile::claim(path, kind, inputs).unwrap_err().to_string()
    }

    #[test]
    fn only_a_file_of_the_same_kind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        drop(OutFile::claim(&path, PLAN, NONE).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a claim leaves nothing");
        for text in [r#"{"format":"pillars-analysis"}"#, "my thesis", "", r#"{"kept":{}}"#] {
            fs::write(&path, text).unwrap();
            assert!(refusal(&path, PLAN, NONE).contains("did not write"), "{text}");
        }
        fs::write(&path, r#"{"kept":{}, "format":"pillars-plan"}"#).unwrap();
        drop(OutFile::claim(&path, PLAN, NONE).unwrap());
        assert!(refusal(&path, PLAN, &[&path]).contains("what the command reads"));

        let tensors = FileKind::Tensors("features");
        assert!(refusal(&path, tensors.clone(), NONE).contains("did not write"));
        let header = |marker: &str| {
            let metadata = std::collections::BTreeMap::from([(marker, "features".to_owned())]);
            super::super::safetensors_header(&[], &metadata).unwrap()
        };
        fs::write(&path, header("format")).unwrap();
        assert!(refusal(&path, tensors.clone(), NONE).contains("did not write"));
        fs::write(&path, header(MARKER)).unwrap();
        drop(OutFile::claim(&path, tensors.clone(), NONE).unwrap());
    }

    #[test]
    fn folders_of_inputs_missing_folders_and_other_processes_are_respected() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        assert!(refusal(&model.join("a.json"), PLAN, &[&model]).contains("inside a folder"));
        assert!(refusal(&model, PLAN, NONE).contains("this is a folder"));
        let missing = refusal(&folder.path().join("missing/p.json"), PLAN, NONE);
        assert!(missing.contains("missing does not exist: ") && missing.contains("make it"), "{missing}");
        let path = folder.path().join("p.json");
        fs::write(folder.path().join("text"), "words").unwrap();
        for inside in ["text/p.json", "text/deep/p.json"] {
            let below = refusal(&folder.path().join(inside), PLAN, NONE);
            assert!(below.contains("text is a file, not a folder: "), "{below}");
        }
        let held = OutFile::claim(&path, PLAN, &[&model]).unwrap();
        assert!(refusal(&path, PLAN, NONE).contains("works here"));
        drop(held);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&model, folder.path().join("link")).unwrap();
            assert!(refusal(&folder.path().join("link/a.json"), PLAN, &[&model]).contains("inside a folder"));
            assert!(refusal(Path::new("/dev/null"), PLAN, NONE).contains("no regular file"));
        }
    }
}
