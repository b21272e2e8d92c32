//! What lies in the hub's cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::HubName;
use crate::checkpoint::{MODELS, Snapshot, is_gguf, missing_weights, read_text};
use crate::error::{Error, Result};

/// The branch that is meant where none is named.
pub(super) const MAIN: &str = "main";

/// The end of names of files that are not there whole.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Longest file that holds a commit.
const LONGEST_REF: u64 = 1 << 12;

/// The folder into which programs download models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    /// `OWNER/NAME`, with the branch or tag where that is not the usual one.
    pub name: String,
    /// What to open: the folder of its files, or the GGUF file that is alone there.
    pub place: PathBuf,
    /// Bytes of its files that are there.
    pub bytes: u64,
    /// What is missing for the model to open; nothing where all is there.
    pub missing: Option<String>,
    /// Whether the download of some file was begun and not ended.
    pub is_unfinished: bool,
}

impl CachedModel {
    /// What is wrong with it, in words; nothing where all is there.
    pub fn state(&self) -> Option<String> {
        match &self.missing {
            Some(missing) => Some(format!("not whole: {missing}")),
            None if self.is_unfinished => Some("the download of a file was not finished".to_owned()),
            None => None,
        }
    }
}

impl HubCache {
    /// The cache of the user, as the environment says: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
    pub fn of_user() -> Self {
        Self { root: Self::root_in(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)) }
    }

    /// The cache in the folder `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn root_in(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
        if let Some(root) = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")) {
            return at_home(root);
        }
        hub_home(variable).join("hub")
    }

    /// Every model that lies here, by name; of each the usual branch, and others that were downloaded.
    ///
    /// # Errors
    /// Where the folder is there and cannot be read.
    pub fn models(&self) -> Result<Vec<CachedModel>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::from(e).at(&self.root)),
        };
        let mut models = Vec::new();
        for entry in entries.flatten() {
            let folder = entry.file_name();
            let Some(name) = folder.to_str().and_then(|name| name.strip_prefix(MODELS)) else { continue };
            // A folder that no model can have is somebody else's.
            let Ok(name) = name.replacen("--", "/", 1).parse::<HubName>() else { continue };
            let mut refs = Vec::new();
            collect_refs(&entry.path().join("refs"), "", 0, &mut refs);
            refs.sort_by_key(|revision| (revision != MAIN, revision.clone()));
            let revisions: Vec<Option<&str>> = match refs.as_slice() {
                [] => vec![None],
                refs => refs.iter().map(|name| Some(name.as_str()).filter(|name| *name != MAIN)).collect(),
            };
            // One that cannot be read hides none of the others.
            models.extend(revisions.into_iter().filter_map(|revision| self.model(&name.at(revision)).ok().flatten()));
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// The model called `name`, whether all of it is there or not; none where the cache has nothing of it.
    ///
    /// # Errors
    /// Where the cache has the model, but not this revision of it, or a link in it leads out of the model.
    pub fn model(&self, name: &HubName) -> Result<Option<CachedModel>> {
        let repository = self.root.join(name.folder());
        let Some(folder) = snapshot(&repository, name)? else { return Ok(None) };
        let Some(snapshot) = Snapshot::of(&folder) else { return Ok(None) };
        snapshot.check_links(&folder)?;
        let files: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        let bytes =
            files.iter().filter_map(|path| fs::metadata(path).ok()).filter(|m| m.is_file()).map(|m| m.len()).sum();
        let has_config = folder.join("config.json").is_file();
        let ggufs: Vec<&PathBuf> = files.iter().filter(|path| is_gguf(path)).collect();
        let (place, missing) = match ggufs.as_slice() {
            [one] if missing_weights(&folder).is_some() => ((*one).clone(), None),
            [_, _, ..] if !has_config => {
                (folder, Some("it holds several GGUF files: open one of them by its path".to_owned()))
            }
            _ if !has_config => (folder, Some("config.json is not there".to_owned())),
            _ => {
                let missing = missing_weights(&folder);
                (folder, missing)
            }
        };
        let is_unfinished = fs::read_dir(snapshot.blobs()).is_ok_and(|blobs| {
            blobs.flatten().any(|blob| blob.path().extension().is_some_and(|extension| extension == INCOMPLETE))
        });
        Ok(Some(CachedModel { name: name.to_string(), place, bytes, missing, is_unfinished }))
    }
}

/// Where programs of the hub keep what they need.
pub(super) fn hub_home(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(dirs::home_dir()?.join(".cache")));
    at_home(variable("HF_HOME").or_else(|| Some(cache()?.join("huggingface"))).unwrap_or_default())
}

/// `~` made the home folder.
fn at_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), dirs::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// Names of all branches and tags in `folder`, those in folders of it included.
fn collect_refs(folder: &Path, before: &str, depth: usize, found: &mut Vec<String>) {
    const DEEPEST: usize = 4;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let whole = format!("{before}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEEPEST => {
                collect_refs(&entry.path(), &format!("{whole}/"), depth + 1, found);
            }
            Ok(kind) if kind.is_file() => found.push(whole),
            _ => {}
        }
    }
}

/// The commit that a branch or tag stands for.
fn commit_of(repository: &Path, revision: &str) -> Option<String> {
    let path = repository.join("refs").join(revision);
    let is_small = fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= LONGEST_REF);
    let commit = read_text(path).ok().filter(|_| is_small)?.trim().to_owned();
    let is_plain = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric());
    is_plain.then_some(commit)
}

/// The folder of the revision that `name` names; none where the cache has nothing of the model.
fn snapshot(repository: &Path, name: &HubName) -> Result<Option<PathBuf>> {
    let snapshots = repository.join("snapshots");
    let all: Vec<String> = fs::read_dir(&snapshots)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let wanted = name.revision().unwrap_or(MAIN);
    let commit = commit_of(repository, wanted);
    // Shorter beginnings of commits than Git gives are taken for names.
    let begins = |known: &&String| wanted.len() >= 7 && known.starts_with(wanted);
    // A copy without names has one snapshot that can be meant; one whose name leads to a commit that is not here has none.
    let is_named = commit.is_some();
    let found = match (commit.and_then(|commit| all.iter().find(|known| **known == commit)), all.as_slice()) {
        (Some(known), _) => Some(known),
        (None, [one]) if name.revision().is_none() && !is_named => Some(one),
        (None, all) => all.iter().find(begins),
    };
    match found {
        Some(commit) => Ok(Some(snapshots.join(commit))),
        None if all.is_empty() => Ok(None),
        None => {
            let mut refs = Vec::new();
            collect_refs(&repository.join("refs"), "", 0, &mut refs);
            refs.sort();
            // A name may lead to a commit whose download was never finished.
            refs.retain(|known| commit_of(repository, known).is_some_and(|commit| all.contains(&commit)));
            let has = if refs.is_empty() { format!("the commits {}", all.join(", ")) } else { refs.join(", ") };
            let what = format!("the hub's cache holds {} but not its revision '{wanted}'", name.repository());
            Err(Error::new(what).at(repository).hint(format!("it holds {has}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_the_cache_is() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> = set.iter().map(|(k, v)| ((*k).to_owned(), PathBuf::from(v))).collect();
            HubCache::root_in(move |name| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(of(&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b")]), Path::new("/a"));
        assert_eq!(of(&[("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")]), Path::new("/b/hub"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        if let Some(home) = dirs::home_dir() {
            assert_eq!(of(&[]), home.join(".cache/huggingface/hub"));
            assert_eq!(of(&[("HF_HOME", "~/x")]), home.join("x/hub"));
        }
    }
}
