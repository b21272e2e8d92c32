//! A hub's cache as the hub's own programs leave it.

use std::path::{Path, PathBuf};

/// The commit of what lies in a made cache.
pub const COMMIT: &str = "6c8ad4d0cd26a0f8a7e4d5c2bd2c1a5b4b8f0e11";

/// Puts the files of `source` into the cache at `root` as the model `owner/name`: contents in `blobs`, links to them in the
/// snapshot, the commit under `refs/main`. Gives the snapshot.
pub fn put(root: &Path, name: &str, source: &Path, files: &[&str]) -> PathBuf {
    let repository = root.join(format!("models--{}", name.replace('/', "--")));
    let snapshot = repository.join("snapshots").join(COMMIT);
    for folder in [&repository.join("blobs"), &repository.join("refs"), &snapshot] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for (index, file) in files.iter().enumerate() {
        let blob = format!("{index:040x}");
        std::fs::copy(source.join(file), repository.join("blobs").join(&blob)).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/{blob}"), snapshot.join(file)).unwrap();
        #[cfg(not(unix))]
        std::fs::copy(source.join(file), snapshot.join(file)).unwrap();
    }
    snapshot
}
