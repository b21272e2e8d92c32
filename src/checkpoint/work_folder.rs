//! Folders that a long piece of work fills little by little, and can go on with.

use std::fs;
use std::path::{Path, PathBuf};

use super::foreign::{listed_files, refuse_foreign};
use super::hidden::HIDDEN;
use super::{Lock, make_folders};
use crate::error::{Error, Result};

const LOCK: &str = ".pillars-lock";

/// How a folder may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    /// What is done there, in a word: `run`.
    pub noun: &'a str,
    /// The file, named from the folder, that shows work of this kind, which can be gone on with.
    pub begun: &'a str,
    /// Files and folders of such work, by their paths from the folder.
    pub owns: fn(&Path) -> bool,
    /// The record that lists the files of its result under `files`, where it has one.
    pub record: Option<&'a str>,
    /// Go on with what was begun there.
    pub resume: bool,
    /// Replace what this program wrote there.
    pub force: bool,
}

/// A folder in which this process alone works.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// Whether this call made the folder itself.
    made: bool,
    /// Where what was there before waits until it is no longer wanted.
    before: Option<PathBuf>,
    goes_on: bool,
    _lock: Lock,
}

impl WorkFolder {
    /// Takes the folder at `path`. One that is not empty is refused unless the work in it goes on, or it is to be
    /// replaced and was written by this program; then its contents wait aside until [`WorkFolder::settle`] or
    /// [`WorkFolder::undo`] is called.
    ///
    /// # Errors
    /// Also where another process works in it.
    pub fn take(path: &Path, how: Taking<'_>) -> Result<Self> {
        let place = |e: std::io::Error| Error::from(e).at(path);
        if path.exists() && !path.is_dir() {
            return Err(Error::new("this is a file, not a folder").at(path).hint("choose another --out"));
        }
        let made = !path.exists();
        make_folders(path)?;
        let lock = Lock::take(&path.join(LOCK), path).map_err(|e| e.at(path))?;
        let mut folder = Self { path: path.to_path_buf(), made, before: None, goes_on: false, _lock: lock };
        let contents = folder.contents().map_err(place)?;
        if contents.is_empty() {
            return Ok(folder);
        }
        let has_begun = path.join(how.begun).is_file();
        if !has_begun && is_unbegun(path, Path::new(""), how.owns) {
            remove_unfinished(path);
            return Ok(folder);
        }
        if how.resume && has_begun {
            folder.goes_on = true;
            remove_unfinished(path);
            return Ok(folder);
        }
        if !how.force {
            let hint = format!("choose another, give --resume to go on with the {} in it, or --force", how.noun);
            return Err(Error::new("the folder exists and is not empty").at(path).hint(hint));
        }
        // A record without the work that it came of is another command's.
        let record = how.record.filter(|_| has_begun);
        let listed = record.map(|record| listed_files(&path.join(record))).unwrap_or_default();
        refuse_foreign(path, |file| {
            has_begun && ((how.owns)(file) || record.is_some_and(|r| file == Path::new(r)) || listed.contains(file))
        })?;
        let aside = tempfile::Builder::new().prefix(".pillars-before-").tempdir_in(path).map_err(place)?.keep();
        folder.before = Some(aside.clone());
        for entry in contents {
            if let Err(error) = fs::rename(&entry, aside.join(entry.file_name().unwrap_or_default())) {
                folder.undo();
                return Err(place(error));
            }
        }
        Ok(folder)
    }

    /// Whether work goes on that was begun before.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Deletes what was there before: what takes its place is worth keeping now.
    pub fn settle(&self) {
        if let Some(before) = &self.before {
            // What cannot be removed does no harm, and the next to go on here tries again.
            let _ = fs::remove_dir_all(before);
        }
    }

    /// Deletes everything that was made since, and puts back what was there before. Work that goes on stays.
    pub fn undo(&self) {
        if self.goes_on {
            return;
        }
        // The error that led here is what the user has to see.
        for entry in self.contents().unwrap_or_default() {
            if Some(&entry) != self.before.as_ref() {
                let _ = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
            }
        }
        match &self.before {
            Some(before) => {
                for entry in fs::read_dir(before).into_iter().flatten().flatten() {
                    let _ = fs::rename(entry.path(), self.path.join(entry.file_name()));
                }
                // Only where all of it is back.
                let _ = fs::remove_dir(before);
            }
            None if self.made => {
                let _ = fs::remove_dir_all(&self.path);
            }
            None => {}
        }
    }

    /// Everything in the folder but the lock.
    fn contents(&self) -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.path)?.collect::<std::io::Result<Vec<_>>>()?;
        Ok(entries.iter().filter(|e| e.file_name() != LOCK).map(fs::DirEntry::path).collect())
    }
}

/// Whether a folder holds nothing but what a process left that was killed before its work had begun: files under way that
/// nobody holds, in folders of such work. `inside` is the folder's path from the one that is taken.
fn is_unbegun(folder: &Path, inside: &Path, owns: fn(&Path) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) else { return false };
    entries.iter().all(|entry| {
        let (path, name) = (entry.path(), entry.file_name());
        let is_left = || fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => owns(&inside.join(&name)) && is_unbegun(&path, &inside.join(&name), owns),
            Ok(kind) if kind.is_file() => name == LOCK || name.to_string_lossy().starts_with(HIDDEN) && is_left(),
            _ => false,
        }
    })
}

/// Removes what a killed process left half-written, here and below. Only who holds the folder's lock may do this.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, is_folder) = (entry.path(), entry.file_type().is_ok_and(|t| t.is_dir()));
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with(HIDDEN) && name != LOCK;
        // What cannot be removed does no harm.
        let _ = match (is_hidden, is_folder) {
            (true, true) => fs::remove_dir_all(&path),
            (true, false) => fs::remove_file(&path),
            (false, true) => {
                remove_unfinished(&path);
                Ok(())
            }
            (false, false) => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Taking<'static> = Taking {
        noun: "run",
        begun: "inside/run.json",
        owns: |file| file.starts_with("inside"),
        record: Some("pillars.json"),
        resume: false,
        force: false,
    };

    fn begin(path: &Path) {
        fs::create_dir_all(path.join("inside")).unwrap();
        fs::write(path.join("inside/run.json"), "old").unwrap();
    }

    fn files(path: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        found.sort();
        found
    }

    #[test]
    fn one_process_works_in_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        let held = WorkFolder::take(&path, FRESH).unwrap();
        begin(&path);
        let resumed = Taking { resume: true, ..FRESH };
        let error = WorkFolder::take(&path, resumed).unwrap_err().to_string();
        assert!(error.contains("works here"), "{error}");
        drop(held);
        assert!(WorkFolder::take(&path, resumed).unwrap().goes_on());
        let error = WorkFolder::take(&path, FRESH).unwrap_err().to_string();
        assert!(error.contains("--resume to go on with the run"), "{error}");
        assert_eq!(files(&path), [path.join("inside")]);
    }

    #[test]
    fn going_on_removes_what_a_kill_left() {
        let parent = tempfile::tempdir().unwrap();
        begin(parent.path());
        fs::write(parent.path().join("inside/.pillars-AbCdEf"), "half a state").unwrap();
        fs::create_dir_all(parent.path().join("inside/.pillars-partial-x/y")).unwrap();
        fs::write(parent.path().join(".pillars-lock"), "1").unwrap();
        let folder = WorkFolder::take(parent.path(), Taking { resume: true, ..FRESH }).unwrap();
        folder.undo();
        drop(folder);
        assert_eq!(files(parent.path()), [parent.path().join("inside")]);
        assert_eq!(files(&parent.path().join("inside")), [parent.path().join("inside/run.json")]);
    }

    #[test]
    fn work_that_was_killed_before_it_had_begun_stands_in_nobodys_way() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        fs::create_dir(at("inside")).unwrap();
        for name in [".pillars-AbCdEf", "inside/.pillars-GhIjKl", ".pillars-lock"] {
            fs::write(at(name), "half").unwrap();
        }
        let resumed = Taking { resume: true, ..FRESH };
        // Somebody else writes a file here, or a person put something there.
        let held = fs::File::open(at(".pillars-AbCdEf")).unwrap();
        held.try_lock().unwrap();
        assert!(WorkFolder::take(parent.path(), resumed).unwrap_err().to_string().contains("not empty"));
        drop(held);
        fs::create_dir(at("mine")).unwrap();
        assert!(WorkFolder::take(parent.path(), FRESH).unwrap_err().to_string().contains("not empty"));
        fs::remove_dir(at("mine")).unwrap();
        for how in [resumed, FRESH] {
            fs::write(at("inside/.pillars-GhIjKl"), "half").unwrap();
            assert!(!WorkFolder::take(parent.path(), how).unwrap().goes_on());
            assert_eq!(files(&at("inside")), [] as [PathBuf; 0]);
        }
    }

    #[test]
    fn what_is_replaced_comes_back_where_the_work_fails() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        begin(&path);
        let forced = Taking { force: true, ..FRESH };
        let folder = WorkFolder::take(&path, forced).unwrap();
        assert!(!path.join("inside").exists() && !folder.goes_on());
        fs::write(path.join("new"), "").unwrap();
        folder.undo();
        drop(folder);
        assert_eq!(fs::read(path.join("inside/run.json")).unwrap(), b"old");
        assert_eq!(files(&path), [path.join("inside")]);
        let folder = WorkFolder::take(&path, forced).unwrap();
        fs::write(path.join("new"), "").unwrap();
        folder.settle();
        drop(folder);
        assert_eq!(files(&path), [path.join("new")]);
        // A folder of another process is left alone.
        assert!(
            WorkFolder::take(&path, forced)
                .unwrap_err()
                .to_string()
                .contains("holds 'new', which this command did not")
        );
        assert_eq!(files(&path), [path.join("new")]);
        // Neither is an export, which is another command's, nor what a person put beside the result of such work.
        fs::rename(path.join("new"), path.join("model.bin")).unwrap();
        fs::write(path.join("pillars.json"), r#"{"files": ["model.bin"]}"#).unwrap();
        assert!(WorkFolder::take(&path, forced).unwrap_err().to_string().contains("holds 'model.bin'"));
        begin(&path);
        fs::write(path.join("notes.txt"), "mine").unwrap();
        assert!(WorkFolder::take(&path, forced).unwrap_err().to_string().contains("holds 'notes.txt'"));
        fs::remove_file(path.join("notes.txt")).unwrap();
        WorkFolder::take(&path, forced).unwrap().settle();
        assert_eq!(files(&path), [] as [PathBuf; 0]);
        // A folder that was made for work that failed goes again.
        let made = parent.path().join("made");
        let folder = WorkFolder::take(&made, FRESH).unwrap();
        folder.undo();
        drop(folder);
        assert!(!made.exists());
    }
}
