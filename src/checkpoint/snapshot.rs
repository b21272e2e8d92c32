//! A model's folder in the hub's download cache: `models--OWNER--NAME/snapshots/COMMIT`, whose files are links into `blobs`
//! beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What the folders of models begin with.
pub(crate) const MODELS: &str = "models--";

/// One commit of a model, as it lies in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    repository: PathBuf,
    commit: String,
}

impl Snapshot {
    /// The snapshot that `folder` is, or lies in.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        Self::named_in(&folder.canonicalize().ok()?)
    }

    /// The snapshot that a path leads into by its words alone.
    pub(crate) fn named_in(path: &Path) -> Option<Self> {
        path.ancestors().find_map(|commit| {
            let snapshots = commit.parent()?;
            let repository = snapshots.parent()?;
            let is_one = snapshots.file_name()? == "snapshots" && repository.file_name()?.to_str()?.starts_with(MODELS);
            let name = || commit.file_name()?.to_str().map(str::to_owned);
            is_one.then(name)?.map(|commit| Self { repository: repository.to_path_buf(), commit })
        })
    }

    /// `OWNER/NAME`; old models have no owner.
    pub(crate) fn name(&self) -> String {
        let folder = self.repository.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        folder.trim_start_matches(MODELS).replacen("--", "/", 1)
    }

    /// Where the contents of its files lie.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.repository.join("blobs")
    }

    /// Refuses links in `folder`, the snapshot or a folder of it, that lead somewhere else than to the model's own files. What
    /// leads nowhere is left for whoever needs it.
    pub(crate) fn check_links(&self, folder: &Path) -> Result<()> {
        let roots = [&self.repository.join("snapshots").join(&self.commit), &self.blobs()]
            .map(|root| root.canonicalize().unwrap_or_else(|_| root.clone()));
        for entry in fs::read_dir(folder).map_err(|e| Error::from(e).at(folder))? {
            let path = entry.map_err(|e| Error::from(e).at(folder))?.path();
            let is_link = fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            let Ok(real) = path.canonicalize() else { continue };
            if is_link && !roots.iter().any(|root| real.starts_with(root)) {
                let what = "a file of the hub's cache is a link that leads out of its model";
                return Err(Error::new(what).at(&path).hint("remove the link, or open a folder of your own"));
            }
        }
        Ok(())
    }
}

/// What a model's folder is called before people: `OWNER/NAME` where it lies in the hub's cache, else its last part.
pub(crate) fn model_name(folder: &Path) -> String {
    if let Some(snapshot) = Snapshot::of(folder) {
        return snapshot.name();
    }
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    real.file_name().map_or_else(|| real.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_known_by_where_it_lies() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("models--google--t5--small/snapshots/0a1b");
        fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        for inside in [folder.clone(), folder.join("1_Pooling")] {
            let snapshot = Snapshot::of(&inside).unwrap();
            assert_eq!((snapshot.name().as_str(), snapshot.commit.as_str()), ("google/t5--small", "0a1b"));
        }
        assert_eq!(model_name(&folder), "google/t5--small");
        assert_eq!(Snapshot::of(cache.path()), None);
        fs::create_dir(cache.path().join("bert")).unwrap();
        assert_eq!(model_name(&cache.path().join("bert")), "bert");
    }
}
