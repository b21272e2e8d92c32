//! Whether a file is still as this window left it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// When a file was written and how long it is.
type Stamp = (SystemTime, u64);

/// Files as they were when this window last read or wrote them. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    seen: Arc<Mutex<HashMap<PathBuf, Option<Stamp>>>>,
}

impl Stamps {
    /// Takes what lies at `path` for known: it was just read or written.
    pub fn note(&self, path: &Path) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(path.to_path_buf(), stamp(path));
    }

    /// True where something else was written to `path` since it was noted; a file that is gone is no loss to write over.
    pub fn is_changed(&self, path: &Path) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(noted) = seen.get(path) else { return false };
        stamp(path).is_some_and(|now| *noted != Some(now))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_changed_when_somebody_else_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let stamps = Stamps::default();
        std::fs::write(&path, "1").unwrap();
        assert!(!stamps.is_changed(&path), "nothing is known of it");
        stamps.clone().note(&path);
        assert!(!stamps.is_changed(&path));
        std::fs::write(&path, "12").unwrap();
        assert!(stamps.is_changed(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!stamps.is_changed(&path));
        stamps.note(&path);
        std::fs::write(&path, "1").unwrap();
        assert!(stamps.is_changed(&path), "nothing was there");
    }
}
