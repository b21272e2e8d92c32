//! Where an export may go.

use std::path::Path;

use super::RECORD;
use crate::checkpoint::{FolderWriter, Lock, real_path};
use crate::error::{Error, Result};

/// Refuses `out` where it is the model at `source`, holds it, or lies inside it.
pub fn check_apart(out: &Path, source: &Path) -> Result<()> {
    let (Some(out_real), Some(source_real)) = (real_path(out), real_path(source)) else { return Ok(()) };
    let what = if out_real == source_real {
        "the result would replace the model itself"
    } else if source_real.starts_with(&out_real) {
        "the result would replace a folder that holds the model"
    } else if out_real.starts_with(&source_real) {
        "the result would lie inside the model's own folder"
    } else {
        return Ok(());
    };
    Err(Error::new(what).at(out).hint("choose another folder"))
}

/// Finds out whether an export of the model at `source` may and can be written to `out`, before work is done for it. What is
/// made to find out is gone again.
///
/// # Errors
/// Those of the export itself: the folder holds something, or holds what `force` does not replace; it is, holds or lies in the
/// model; nothing can be written there.
pub fn check_free(out: &Path, source: &Path, force: bool) -> Result<()> {
    check_apart(out, source)?;
    FolderWriter::new(out, force, RECORD).map(drop)
}

/// Takes `out` for an export of the model at `source` from here on: what comes before it is written may be hours of work, which
/// no other process is to do for the same folder.
///
/// # Errors
/// Where another process is at it; where `out` is, holds or lies in the model; where nothing can be written there.
pub fn claim(out: &Path, source: &Path) -> Result<Lock> {
    check_apart(out, source)?;
    Lock::of_work_for(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_its_parents_and_its_insides_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("a/model");
        std::fs::create_dir_all(&model).unwrap();
        for out in ["a/model", "a", ".", "a/../a/model", "a/model/pruned", "a/model/x/y"] {
            assert!(check_apart(&folder.path().join(out), &model).is_err(), "{out}");
        }
        for out in ["b", "a/model2", "a/mod", "a/other/model"] {
            assert!(check_apart(&folder.path().join(out), &model).is_ok(), "{out}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&model, folder.path().join("link")).unwrap();
            assert!(check_apart(&folder.path().join("link"), &model).is_err());
            assert!(check_apart(&folder.path().join("link/in"), &model).is_err());
        }
    }
}
