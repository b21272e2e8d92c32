//! Every reader of files with files to damage, and what one execution of it is. `fuzz` runs them by a seeded generator, the
//! crate in `tests/fuzz` guided by coverage.

pub(crate) mod damage;
pub(crate) mod data;
pub(crate) mod documents;
pub(crate) mod inputs;
pub(crate) mod models;
pub(crate) mod tokenizers;
pub(crate) mod writers;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use tempfile::TempDir;

use crate::common::root;
use crate::memory::{largest, largest_anywhere};

/// The most that a reader of a small file may ask for in one piece.
const MODERATE_BYTES: usize = 64 << 20;
/// A decoder of images or sound may hold what it decodes whole; it has bounds of its own.
const DECODED_BYTES: usize = 600 << 20;

/// Targets that may ask for much run alone, so that others are not blamed.
static CROWD: RwLock<()> = RwLock::new(());

/// For as long as it is held, no target runs.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    CROWD.write().unwrap_or_else(PoisonError::into_inner)
}

/// Calls a macro with every group of targets, by the module that makes it.
macro_rules! for_groups {
    ($each:ident) => {
        $each! {
            data: endings_to_choose_from, parquet, squad, tagged_words, texts_with_labels;
            documents: analyses, curves, moments_and_repairs, plans, workspaces;
            inputs: ids_tensors_and_texts, images, pairs, recordings;
            models: configurations_of_every_family, gguf_files, gguf_models, onnx_files, weights;
            tokenizers: built_tokenizers, whole_tokenizers;
            writers: gguf_round_trips, onnx_round_trips;
        }
    };
}
pub(crate) use for_groups;

macro_rules! all {
    ($($room:ident: $($group:ident),+;)+) => {
        /// Every target.
        #[allow(dead_code, reason = "the seeded runner has a test for each group")]
        pub(crate) fn all() -> Vec<Named> {
            [$($($room::$group(),)+)+].into_iter().flatten().collect()
        }
    };
}
for_groups!(all);

/// A target that is made when it is to run.
pub(crate) struct Named {
    pub(crate) name: String,
    make: Box<dyn FnOnce() -> Target>,
}

impl Named {
    fn new(name: impl Into<String>, make: impl FnOnce() -> Target + 'static) -> Self {
        Self { name: name.into(), make: Box::new(make) }
    }

    pub(crate) fn make(self) -> Target {
        (self.make)()
    }

    /// The name as files are named after it.
    pub(crate) fn slug(&self) -> String {
        let plain = self.name.replace(|c: char| !c.is_ascii_alphanumeric() && !"._".contains(c), " ");
        plain.split_whitespace().collect::<Vec<_>>().join("-")
    }
}

/// Reads a file of these bytes.
type ReadBytes = Box<dyn Fn(&[u8]) -> pillars::Result<()>>;

/// A reader of files, files that it reads, and the most that reading one may ask for in one piece.
pub(crate) struct Target {
    pub(crate) seeds: Vec<Vec<u8>>,
    most: usize,
    read: ReadBytes,
    /// Where files lie that are read.
    _folder: Option<TempDir>,
}

/// How a file was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Taken {
    Read,
    Refused,
}

impl Target {
    fn new(seeds: Vec<Vec<u8>>, read: impl Fn(&[u8]) -> pillars::Result<()> + 'static) -> Self {
        Self { seeds, most: MODERATE_BYTES, read: Box::new(read), _folder: None }
    }

    /// A target whose files lie at `path` in `folder` while `read` reads them.
    fn at(
        folder: TempDir,
        path: impl AsRef<Path>,
        seeds: Vec<Vec<u8>>,
        read: impl Fn() -> pillars::Result<()> + 'static,
    ) -> Self {
        let path = folder.path().join(path);
        let read = move |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read()
        };
        Self { _folder: Some(folder), ..Self::new(seeds, read) }
    }

    /// The same for a decoder of images or sound.
    fn decoding(self) -> Self {
        Self { most: DECODED_BYTES, ..self }
    }

    /// One execution.
    ///
    /// # Errors
    /// What is wrong with the reader: it panics, asks for more memory than the file explains, or refuses the file in other
    /// than one line.
    pub(crate) fn execute(&self, bytes: &[u8]) -> Result<Taken, String> {
        let shared = || CROWD.read().unwrap_or_else(PoisonError::into_inner);
        let (_others, _alone) = match self.most > MODERATE_BYTES {
            false => (Some(shared()), None),
            true => (None, Some(alone())),
        };
        largest();
        largest_anywhere();
        let taken = match catch_unwind(AssertUnwindSafe(|| (self.read)(bytes))) {
            Ok(Ok(())) => Taken::Read,
            Ok(Err(error)) => {
                let text = error.to_string();
                // A thread of its own that panics is told as an internal fault.
                if !is_one_line(&text) || text.contains("internal fault") {
                    return Err(format!("it says {text:?}"));
                }
                Taken::Refused
            }
            Err(_) => return Err("a panic".to_owned()),
        };
        let asked = largest().max(largest_anywhere());
        if asked > self.most { Err(format!("{asked} bytes were asked for")) } else { Ok(taken) }
    }
}

/// Whether what an error says can stand in one line of a terminal.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains('\n') && text.len() < 1000
}

fn sample() -> PathBuf {
    root().join("sample_models/austen-plain")
}

/// A copy of the files of a checkpoint.
fn copied(source: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() && entry.file_name() != "reference.safetensors" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}
