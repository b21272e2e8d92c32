//! Removing what was saved by itself and will not be missed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::repairs::document_of;
use super::store::is_earlier;
use super::{Store, Workspace};
use crate::analysis::Document;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Files that a broken write or a removed workspace left behind.
const LEFT_BEHIND: Duration = DAY;
/// Copies that were put aside, and work on models that are no longer where they were.
const UNUSED: Duration = DAY.saturating_mul(90);
const OLD: Duration = DAY.saturating_mul(365);

impl Store {
    /// Removes autosaves not changed for a year, those of models that are gone and copies that were put aside
    /// after 90 days, and what broken writes left behind. Never the workspace that was open last, never a file that a
    /// person named. Says what was removed; what cannot be removed stays.
    pub fn tidy(&self, now: SystemTime) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.folder().join("workspaces")) else { return Vec::new() };
        let last = self.last();
        let mut gone: Vec<PathBuf> = Vec::new();
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|p| p.is_file()).collect();
        // Workspaces before their analyses and repairs, and analyses before their moments, which go with them.
        files.sort_by_key(|path| depth(path));
        for path in files {
            let Some(age) = age(&path, now) else { continue };
            let is_last = last.as_ref().is_some_and(|key| path == self.workspace_path(key));
            if !is_last && age > patience(&path) && std::fs::remove_file(&path).is_ok() {
                gone.push(path);
            }
        }
        gone
    }
}

/// How long a file may lie untouched.
fn patience(path: &Path) -> Duration {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name.starts_with(".pillars-") {
        return LEFT_BEHIND;
    }
    // An autosave writes what is large a moment before what holds it.
    let with = |is_there: bool| if is_there { Duration::MAX } else { LEFT_BEHIND };
    let is_there = |name: String| path.with_file_name(name).is_file();
    if let Some(key) = name.strip_suffix("-analysis.json") {
        return with(is_there(format!("{key}.pillars")));
    }
    if let Some(document) = document_of(&name) {
        return with(is_there(document.to_owned()));
    }
    if let Some(stem) = name.strip_suffix(".moments.safetensors") {
        return with(is_there(format!("{stem}.json")) || is_there(stem.to_owned()));
    }
    if name.starts_with("unreadable-") || is_earlier(&name) || name.ends_with("-other.pillars") {
        return UNUSED;
    }
    if !name.ends_with(".pillars") {
        return Duration::MAX;
    }
    let model = Workspace::read(path).ok().and_then(|w| w.model);
    if model.is_some_and(|m| !m.folder.exists()) { UNUSED } else { OLD }
}

fn depth(path: &Path) -> u8 {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => 1,
        Some("safetensors") => 2,
        _ => 0,
    }
}

fn age(path: &Path, now: SystemTime) -> Option<Duration> {
    now.duration_since(std::fs::metadata(path).ok()?.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::ModelRef;

    #[test]
    fn what_is_old_or_left_behind_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let here = folder.path().to_path_buf();
        let save = |key: &str, model: &Path| {
            let model = ModelRef { folder: model.to_path_buf(), fingerprint: key.to_owned() };
            let workspace = Workspace { model: Some(model), notes: key.to_owned(), ..Workspace::default() };
            store.save_workspace(&workspace, false).unwrap();
        };
        save("stays", &here);
        save("moved", &here.join("gone"));
        save("open", &here.join("gone"));
        let place = here.join("workspaces");
        for name in [
            "stays-analysis.json",
            "lost-analysis.json",
            "moved-analysis.json",
            "stays-other.pillars",
            ".pillars-x",
            "stays-analysis.moments.safetensors",
            "moved-analysis.moments.safetensors",
            "gone-analysis.moments.safetensors",
            "stays-other.pillars.moments.safetensors",
            "stays.pillars.0123456789abcdef.repair.safetensors",
            "lost.pillars.0123456789abcdef.repair.safetensors",
        ] {
            std::fs::write(place.join(name), "{}").unwrap();
        }
        let after = |days: u32| {
            let mut names: Vec<String> = store
                .tidy(SystemTime::now() + DAY * days)
                .iter()
                .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(after(0), [] as [&str; 0]);
        let lost = "lost.pillars.0123456789abcdef.repair.safetensors";
        assert_eq!(after(2), [".pillars-x", "gone-analysis.moments.safetensors", "lost-analysis.json", lost]);
        let moved = ["moved-analysis.json", "moved-analysis.moments.safetensors", "moved.pillars"];
        assert_eq!(
            after(100),
            [&moved[..], &["stays-other.pillars", "stays-other.pillars.moments.safetensors"]].concat()
        );
        let repair = "stays.pillars.0123456789abcdef.repair.safetensors";
        let stays = ["stays-analysis.json", "stays-analysis.moments.safetensors", "stays.pillars", repair];
        assert_eq!(after(400), stays);
        assert_eq!(store.workspace().unwrap().workspace.notes, "open", "the last one is never removed");
    }
}
