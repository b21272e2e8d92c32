//! Second moments beside the document that holds the analysis they are of, and repairs beside the workspace that names them:
//! large, binary, and a second pass to make anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Workspace;
use super::repairs::{document_of, name_of};
use crate::analysis::{Analysis, Document, Moments};
use crate::checkpoint::folder_of;
use crate::error::{Error, Result};

impl Workspace {
    /// Writes the workspace to `path`, and its second moments and repairs beside.
    ///
    /// # Errors
    ///
    /// One cannot be written, or something else lies where it goes.
    pub fn write_whole(&self, path: &Path) -> Result<()> {
        if let Some(moments) = &self.moments {
            write_moments(moments, &whole_name(path))?;
        }
        self.write_repairs(path)?;
        self.write(path)?;
        self.remove_other_repairs(path);
        Ok(())
    }

    /// Writes the repairs beside the document at `path` that do not lie there yet.
    ///
    /// # Errors
    /// One cannot be written, or something else lies where it goes.
    pub(super) fn write_repairs(&self, path: &Path) -> Result<()> {
        self.repairs.iter().try_for_each(|kept| kept.write_beside(path))
    }

    /// Removes repairs beside the document at `path` that it no longer names; the document was written before.
    pub(super) fn remove_other_repairs(&self, path: &Path) {
        let (name, named) = (name_of(path), self.repairs.iter().map(|kept| kept.path_beside(path)).collect::<Vec<_>>());
        let folder = folder_of(path);
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for file in entries.flatten().map(|entry| entry.path()) {
            let is_named = named.iter().any(|path| path.file_name() == file.file_name());
            if document_of(&name_of(&file)) == Some(name.as_str()) && !is_named {
                // What cannot be removed does no harm: nothing names it.
                let _ = std::fs::remove_file(file);
            }
        }
    }

    /// Takes in the repairs beside the document at `path`. One that is missing, cannot be read or is another than the one that
    /// the document names is left out, and noted.
    pub(super) fn take_repairs(&mut self, path: &Path) {
        let mut faults = Vec::new();
        self.repairs.retain_mut(|kept| match kept.read_beside(path) {
            Ok(repair) => {
                kept.repair = Some(repair);
                true
            }
            Err(error) => {
                faults.push(error.to_string());
                false
            }
        });
        self.repair_faults = faults;
    }

    /// Takes in the second moments beside the document at `path`, where they can be read and are those of the analysis; notes
    /// why not where some lie there that cannot be used.
    pub(super) fn take_moments(&mut self, path: &Path) {
        let found = self.analysis.as_deref().map(|analysis| moments_of(&whole_name(path), analysis));
        (self.moments, self.moments_fault) = match found {
            None => (None, None),
            Some(Ok(moments)) => (moments, None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
    }

    /// Whether the run gathered second moments that are not here: they were too large to keep, or lie beside no longer.
    pub fn lacks_moments(&self) -> bool {
        self.moments.is_none() && self.analysis.as_ref().is_some_and(|analysis| analysis.settings.moments)
    }
}

/// The name under which the moments of a workspace lie: that of its file with all of it, so that they take the place of
/// none beside an analysis of the same name.
fn whole_name(path: &Path) -> PathBuf {
    let is_workspace = path.extension().is_some_and(|end| end == "pillars");
    let name = path.file_name().filter(|_| is_workspace).map(|name| format!("{}.json", name.to_string_lossy()));
    name.map_or_else(|| path.to_path_buf(), |name| path.with_file_name(name))
}

/// Writes the moments of the analysis in the document at `path` beside it.
///
/// # Errors
///
/// They cannot be written, or something else lies there.
pub fn write_moments(moments: &Moments, path: &Path) -> Result<()> {
    let claimed = Moments::claim_beside::<&Path>(path, &[])?;
    moments.write(claimed.path())
}

/// The moments beside the document at `path`, which holds `analysis`; `None` where none lie there.
///
/// # Errors
///
/// Those that lie there cannot be read, or are of another run.
pub(super) fn moments_of(path: &Path, analysis: &Analysis) -> Result<Option<Arc<Moments>>> {
    if !Moments::path_beside(path).is_file() {
        return Ok(None);
    }
    Moments::read_beside(path, analysis).map(|moments| Some(Arc::new(moments)))
}

/// Removes the moments beside `path`, where there are any.
pub(super) fn remove_moments(path: &Path) -> Result<()> {
    let path = Moments::path_beside(path);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::from(e).at(path)),
        _ => Ok(()),
    }
}
