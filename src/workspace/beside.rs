//! Second moments beside the document that holds the analysis they are of: large, binary, and a second pass to make anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Workspace;
use crate::analysis::{Analysis, Document, Moments};
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
