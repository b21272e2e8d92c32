//! Files in a folder that is to be replaced which the command that wrote the folder did not write.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::hidden::HIDDEN;
use super::regular::read_file;
use crate::error::{Error, Result};

/// The files that a record lists under `files`, by their paths from its folder; none where there is no such record.
pub(super) fn listed_files(record: &Path) -> BTreeSet<PathBuf> {
    #[derive(Deserialize)]
    struct FileList {
        files: Vec<PathBuf>,
    }
    let read = || serde_json::from_slice::<FileList>(&read_file(record).ok()?).ok();
    read().map(|list| list.files.into_iter().collect()).unwrap_or_default()
}

/// Refuses to replace `folder` where a file in it, named by its path from there, is not `own`. Hidden files of this program,
/// as locks are, count as its own.
///
/// # Errors
/// With the name of the first such file, or where the folder cannot be read.
pub(super) fn refuse_foreign(folder: &Path, own: impl Fn(&Path) -> bool) -> Result<()> {
    let is_own = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        own(file) || name.starts_with(HIDDEN)
    };
    let foreign = files_in(folder, &is_own).map_err(|e| Error::from(e).at(folder))?;
    let Some(first) = foreign.first() else { return Ok(()) };
    let first = first.display();
    Err(Error::new(format!("the folder holds '{first}', which this command did not write, so it is not replaced"))
        .at(folder)
        .hint("choose another folder, or move the file away"))
}

/// Every file in `folder` and below, by its path from there, but those that are to be left out, and what is in folders that are.
pub(super) fn files_in(folder: &Path, left_out: &dyn Fn(&Path) -> bool) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let name = inside.join(entry.file_name());
            if left_out(&name) {
                continue;
            }
            // A link is a file of whoever made it, wherever it leads.
            if entry.file_type()?.is_dir() { &mut folders } else { &mut files }.push(name);
        }
    }
    files.sort();
    Ok(files)
}
