//! Folders that come into being whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::foreign::{files_in, listed_files, refuse_foreign};
use super::hidden::{folder_beside, sync_folder};
use super::{Lock, folder_of};
use crate::error::{Error, Result};

/// A folder that comes into being whole or not at all: everything is written to a hidden folder beside it,
/// which takes its place on [`FolderWriter::finish`]. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct FolderWriter {
    target: PathBuf,
    work: tempfile::TempDir,
    replace: bool,
    /// Locked while this process works in it, so that others know it is no rubbish.
    _lock: Option<File>,
    /// The place itself, which no other process takes meanwhile.
    _place: Lock,
}

impl FolderWriter {
    /// Begins a folder. An existing `target` is refused unless it is empty, or `replace` is set, it holds `marker`, the file
    /// by which this program knows its own results, and no file that this does not list under `files`. A link is followed: the
    /// folder that it leads to is written.
    ///
    /// # Errors
    /// Also where another process writes there, or the folder above cannot be written.
    pub fn new(target: &Path, replace: bool, marker: &str) -> Result<Self> {
        let target = &followed(target)?;
        // First of all: what another process is about to put there is not there yet.
        let place = Lock::beside(target)?;
        let occupied = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) if target.exists() => {
                return Err(Error::new("this is a file, not a folder").at(target).hint("choose another --out"));
            }
            Err(_) => false,
        };
        if occupied && !replace {
            return Err(Error::new("the folder exists and is not empty")
                .at(target)
                .hint("choose another, or give --force"));
        }
        if occupied {
            let listed = listed_files(&target.join(marker));
            refuse_foreign(target, |file| file == Path::new(marker) || listed.contains(file))?;
        }
        let (work, lock) = folder_beside(target)?;
        Ok(Self { target: target.to_path_buf(), work, replace: occupied, _lock: lock, _place: place })
    }

    pub fn path(&self) -> &Path {
        self.work.path()
    }

    /// Every file that is in it so far, in subfolders too, by its path from it.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let files = files_in(self.path(), &|_| false).map_err(|e| Error::from(e).at(&self.target))?;
        Ok(files.iter().map(|file| file.to_string_lossy().replace('\\', "/")).collect())
    }

    /// Puts the folder in place. The folder that it replaces is deleted only once the new one has its name; where that
    /// fails, the old one stays or comes back.
    pub fn finish(self) -> Result<()> {
        self.finish_by(exchange, |from, to| fs::rename(from, to))
    }

    /// [`FolderWriter::finish`] by these moves: the exchange of two folders' names, and the renaming of one.
    fn finish_by(
        self,
        exchange: impl Fn(&Path, &Path) -> io::Result<()>,
        mut rename: impl FnMut(&Path, &Path) -> io::Result<()>,
    ) -> Result<()> {
        let place = |e: io::Error| Error::from(e).at(&self.target);
        let parent = folder_of(&self.target);
        #[cfg(unix)]
        File::open(self.work.path()).and_then(|f| f.sync_all()).map_err(place)?;
        if self.replace && exchange(self.work.path(), &self.target).is_ok() {
            sync_folder(parent).map_err(place)?;
            // What the guard of the work folder removes now is the old folder.
            return Ok(());
        }
        if !self.replace {
            // Renaming over an empty folder is allowed.
            rename(self.work.path(), &self.target).map_err(place)?;
        } else {
            // Where two names cannot change places at once, the old folder waits under a hidden name, which nothing
            // deletes before the new one has arrived.
            let aside = tempfile::Builder::new().prefix(".pillars-old-").tempdir_in(parent).map_err(place)?.keep();
            let old = aside.join("old");
            let moved = rename(&self.target, &old);
            if let Err(error) = moved.and_then(|()| rename(self.work.path(), &self.target)) {
                let is_back = !old.exists() || rename(&old, &self.target).is_ok();
                let error = place(error);
                if is_back {
                    // An empty folder at most: what could not be removed does no harm.
                    let _ = fs::remove_dir(&aside);
                    return Err(error);
                }
                return Err(error.hint(format!("the folder that was there before is now {}", old.display())));
            }
            sync_folder(parent).map_err(place)?;
            // The new folder is in place; of the old one at most rubbish is left.
            let _ = fs::remove_dir_all(&aside);
        }
        sync_folder(parent).map_err(place)?;
        // The work folder has moved: there is nothing left for its guard to remove.
        let _ = self.work.keep();
        Ok(())
    }
}

/// Where a link leads, in whose place nothing can be put; another path as it is.
fn followed(target: &Path) -> Result<PathBuf> {
    // A slash behind its name would hide that it is a link.
    let bare: PathBuf = target.components().collect();
    if !bare.is_symlink() {
        return Ok(target.to_path_buf());
    }
    bare.canonicalize().map_err(|error| {
        let what = "this is a link that leads nowhere";
        Error::new(what).caused_by(error).at(target).hint("make the folder that it names, or choose another --out")
    })
}

/// Gives each of two folders the other's name in one step.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

/// Other systems have no such step.
#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of what lies beside it.
    const OLD: &str = r#"{"files": ["part/config.json"]}"#;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// An old result, and a new one that is ready to take its place.
    fn ready(parent: &Path) -> FolderWriter {
        let out = parent.join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("pillars.json"), OLD).unwrap();
        fs::create_dir(out.join("part")).unwrap();
        fs::write(out.join("part/config.json"), "{}").unwrap();
        let writer = FolderWriter::new(&out, true, "pillars.json").unwrap();
        fs::write(writer.path().join("pillars.json"), "new").unwrap();
        writer
    }

    fn cannot(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[test]
    fn the_new_folder_replaces_the_old_one_and_leaves_nothing() {
        for swaps in [true, false] {
            let parent = tempfile::tempdir().unwrap();
            let writer = ready(parent.path());
            let rename = |from: &Path, to: &Path| fs::rename(from, to);
            match swaps {
                true => writer.finish().unwrap(),
                false => writer.finish_by(cannot, rename).unwrap(),
            }
            assert_eq!(fs::read(parent.path().join("out/pillars.json")).unwrap(), b"new");
            assert_eq!(names(parent.path()), ["out"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_stays() {
        let (parent, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, real) = (parent.path().join("link"), elsewhere.path().join("out"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let error = FolderWriter::new(&link, true, "pillars.json").map(drop).unwrap_err().to_string();
        assert!(error.starts_with("this is a link that leads nowhere: "), "{error}");
        fs::create_dir(&real).unwrap();
        // Into an empty folder, then over what was written.
        for text in ["{}", OLD] {
            let writer = FolderWriter::new(&link.join(""), true, "pillars.json").unwrap();
            fs::write(writer.path().join("pillars.json"), text).unwrap();
            writer.finish().unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read_to_string(real.join("pillars.json")).unwrap(), text);
            assert_eq!([names(parent.path()), names(elsewhere.path())], [["link"], ["out"]]);
        }
    }

    #[test]
    fn a_rename_that_fails_loses_neither_folder() {
        // The first rename moves the old folder away, the second brings the new one, the third takes the old one back.
        for failing in [0, 1] {
            let parent = tempfile::tempdir().unwrap();
            let mut count = 0;
            let rename = |from: &Path, to: &Path| {
                count += 1;
                if count == failing + 1 { Err(io::Error::other("no")) } else { fs::rename(from, to) }
            };
            let error = ready(parent.path()).finish_by(cannot, rename).unwrap_err();
            assert!(error.to_string().starts_with("no: "), "{error}");
            assert_eq!(fs::read(parent.path().join("out/pillars.json")).unwrap(), OLD.as_bytes(), "{failing}");
            assert_eq!(names(parent.path()), ["out"], "{failing}");
        }
        // Where it cannot come back either, the error says where it is.
        let parent = tempfile::tempdir().unwrap();
        let mut count = 0;
        let rename = |from: &Path, to: &Path| {
            count += 1;
            if count > 1 { Err(io::Error::other("no")) } else { fs::rename(from, to) }
        };
        let error = ready(parent.path()).finish_by(cannot, rename).unwrap_err().to_string();
        let (_, old) = error.split_once("is now ").unwrap();
        assert_eq!(fs::read(Path::new(old).join("pillars.json")).unwrap(), OLD.as_bytes());
    }

    #[test]
    fn what_somebody_else_put_there_stays_and_is_named() {
        for (name, hidden) in
            [("notes.txt", false), ("part/weights.bin", false), (".git/HEAD", false), (".pillars-x", true)]
        {
            let parent = tempfile::tempdir().unwrap();
            drop(ready(parent.path()));
            let (out, file) = (parent.path().join("out"), parent.path().join("out").join(name));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "mine").unwrap();
            let error = FolderWriter::new(&out, true, "pillars.json").map(drop).map_err(|e| e.to_string());
            assert_eq!(error.is_ok(), hidden, "{name}: {error:?}");
            if let Err(error) = error {
                assert!(error.contains(name) && error.contains("did not write"), "{error}");
                // Without its record a folder is nobody's.
                fs::remove_file(out.join("pillars.json")).unwrap();
                assert!(FolderWriter::new(&out, true, "pillars.json").is_err());
            }
            assert_eq!(fs::read(&file).unwrap(), b"mine");
        }
    }

    #[test]
    fn one_process_writes_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        let held = FolderWriter::new(&out, false, "pillars.json").unwrap();
        let error = FolderWriter::new(&out, true, "pillars.json").map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {}) works here", std::process::id())), "{error}");
        held.finish().unwrap();
        assert_eq!(names(parent.path()), ["out"]);
    }

    #[test]
    fn unfinished_it_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        drop(ready(parent.path()));
        assert_eq!(fs::read(parent.path().join("out/pillars.json")).unwrap(), OLD.as_bytes());
        assert_eq!(names(parent.path()), ["out"]);
    }
}
