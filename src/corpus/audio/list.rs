//! Which recordings there are, and what is said in them.

use std::path::{Component, Path, PathBuf};

use crate::corpus::settings::{RECORDINGS, is_recording};
use crate::corpus::table::TableReader;
use crate::error::{Error, Result};

/// Names of columns that hold paths, and of those that hold what is said or what it is.
const PATHS: [&str; 4] = ["path", "file", "audio", "file_name"];
const TEXTS: [&str; 6] = ["text", "sentence", "transcription", "transcript", "label", "intent"];

/// A recording, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::corpus) struct Recording {
    pub(in crate::corpus) file: PathBuf,
    /// What the table says of it: its transcript, or its class.
    pub(in crate::corpus) text: Option<String>,
    /// The name of the folder that it lies in, within the one that was named.
    pub(in crate::corpus) class: Option<String>,
}

/// Recordings of a folder, and of the folders in it, named after those; one recording; or those that a table names.
///
/// # Errors
/// Where there is none, or the table is none of paths and texts.
pub(in crate::corpus) fn recordings(path: &Path, named: &Path) -> Result<Vec<Recording>> {
    let found = if path.is_dir() {
        of_folder(path)?
    } else if is_recording(named) {
        vec![Recording { file: path.to_path_buf(), text: None, class: None }]
    } else {
        of_table(path, named)?
    };
    if found.is_empty() {
        return Err(Error::new("there is no WAV, FLAC or MP3 file").at(named));
    }
    Ok(found)
}

/// What to say of files beside the recordings of a folder that are none.
pub(super) fn beside_recordings(path: &Path) -> Result<Option<String>> {
    if !path.is_dir() {
        return Ok(None);
    }
    crate::corpus::images::left_out(path, &files_in(path)?.1, &RECORDINGS)
}

fn of_folder(folder: &Path) -> Result<Vec<Recording>> {
    let (files, folders) = files_in(folder)?;
    let mut found: Vec<Recording> = files.into_iter().map(|file| Recording { file, text: None, class: None }).collect();
    for class in folders {
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(files_in(&class)?.0.into_iter().map(|file| Recording {
            file,
            text: None,
            class: Some(name.clone()),
        }));
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

fn files_in(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    crate::corpus::images::files_in(folder, &RECORDINGS)
}

/// Rows of a path, from the table's own folder, and a text.
fn of_table(path: &Path, named: &Path) -> Result<Vec<Recording>> {
    let base = named.parent().unwrap_or(Path::new(""));
    let header = TableReader::open(path, named, true)?;
    let place = |names: &[&str]| header.columns().iter().position(|own| names.contains(&own.as_str()));
    let (has_header, paths, texts) = match (place(&PATHS), place(&TEXTS)) {
        (Some(paths), Some(texts)) => (true, paths, texts),
        _ => (false, 0, 1),
    };
    let key = |at: usize| {
        if has_header { header.columns().get(at).cloned().unwrap_or_default() } else { (at + 1).to_string() }
    };
    let (paths, texts) = (key(paths), key(texts));
    let mut found = Vec::new();
    for row in TableReader::open(path, named, has_header)? {
        let row = row?;
        let fault = |what: String| Error::new(what).within(format_args!("row {}", row.number)).at(named);
        let cell =
            |name: &str| row.cells.get(name).and_then(|v| v.as_str()).map(str::trim).filter(|text| !text.is_empty());
        let (file, text) = cell(&paths)
            .zip(cell(&texts))
            .ok_or_else(|| fault("it has no path and text".to_owned()).hint("each row is path, tab, text"))?;
        if Path::new(file).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(fault(format!("'{file}' leads out of the folder of the table"))
                .hint("put the table above its recordings"));
        }
        let file = base.join(file);
        if !file.is_file() {
            return Err(fault(format!("there is no '{}'", file.display())));
        }
        found.push(Recording { file, text: Some(text.to_owned()), class: None });
    }
    Ok(found)
}
