//! One process at a time works on a file or folder.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hidden::{HIDDEN, has_ended, own_tag};
use super::{cannot_make, folder_of};
use crate::error::{Error, Result};

/// How often a lock is tried that is held though the process that it names has ended.
const TRIES: u32 = 20;

/// Held by the one process that works on something. The system frees it when the process ends, however it ends.
///
/// File systems that know no locks let everybody in.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: Option<File>,
}

impl Lock {
    /// Takes the lock at `path`, a small file that is made for it and removed with it; `what` is what it is for.
    ///
    /// # Errors
    /// Where another process, or another part of this one, holds it; where the file cannot be made.
    pub fn take(path: &Path, what: &Path) -> Result<Self> {
        let mut tries = 0;
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|error| cannot_make(error, what))?;
            match file.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // A holder that has not yet written its number is no less there.
                    let _ = file.read_to_string(&mut holder);
                    // Who sweeps the folder holds what a killed process left for a moment.
                    if has_ended(&holder) && tries < TRIES {
                        tries += 1;
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    let holder = match holder.split('.').next().unwrap_or_default().trim().parse::<u32>() {
                        Ok(number) => format!("another pillars (process {number}) works here"),
                        Err(_) => "another pillars works here".to_owned(),
                    };
                    return Err(Error::new(holder).at(what).hint("wait until it has ended, or choose another place"));
                }
            }
            // The holder before may have removed the file between our opening and our locking it.
            if !is_at(&file, path) {
                continue;
            }
            let mut lock = Self { path: path.to_path_buf(), file: None };
            let number = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", own_tag()));
            lock.file = Some(file);
            // A full disk has room for the name and not for the number: dropped here, the lock leaves neither.
            number.map_err(|error| cannot_make(error, what))?;
            return Ok(lock);
        }
    }
}

impl Lock {
    /// Takes the place of the file or folder at `path` while it is made: a hidden file beside it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub(super) fn beside(path: &Path) -> Result<Self> {
        Self::beside_as(path, ".lock")
    }

    /// Keeps other processes from preparing what is to become the folder at `path`, which takes its place by itself once it is
    /// written.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn of_work_for(path: &Path) -> Result<Self> {
        Self::beside_as(path, ".work.lock")
    }

    fn beside_as(path: &Path, ending: &str) -> Result<Self> {
        let mut name = OsString::from(HIDDEN);
        name.push(path.file_name().unwrap_or_default());
        name.push(ending);
        Self::take(&folder_of(path).join(name), path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still held, so that no other process takes a file that is about to go. Systems that refuse to remove
        // an open file keep an empty one.
        let _ = fs::remove_file(&self.path);
        self.file = None;
    }
}

/// Whether `path` still names `file`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |m: fs::Metadata| (m.dev(), m.ino());
    file.metadata().map(id).ok() == fs::metadata(path).map(id).ok()
}

/// Open files are not removed here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path, folder.path()).unwrap();
        let error = Lock::take(&path, folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {}) works here", std::process::id())), "{error}");
        drop(held);
        assert!(!path.exists());
        drop(Lock::take(&path, folder.path()).unwrap());
        // What a killed process leaves is taken over.
        fs::write(&path, "4194304").unwrap();
        let held = Lock::take(&path, folder.path()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(&format!("{}.", std::process::id())));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn many_threads_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(_held) = Lock::take(&path, &path) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}
