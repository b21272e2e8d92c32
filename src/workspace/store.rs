//! Where the program keeps what it remembers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::beside::{remove_moments, write_moments};
use super::{ProgramSettings, Stamps, Workspace};
use crate::analysis::{Analysis, Document};
use crate::checkpoint::{read_text, write_atomically};
use crate::error::{Error, Result};

/// A folder with settings and an autosaved workspace per model. Its analysis lies in a file of its own, because it is
/// large and changes seldom.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    stamps: Stamps,
    /// The key of the model whose work was read or written last, and that work without what is large.
    held: Arc<Mutex<Option<(String, Workspace)>>>,
}

/// A workspace that was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    pub workspace: Workspace,
    /// What could not be read, in sentences.
    pub warnings: Vec<String>,
}

/// Name of the file that says which workspace was open last.
const LAST: &str = "last";

/// What follows the key in names of work that something else took the place of, before its number.
const EARLIER: &str = "-earlier";

/// Whether a file of this name holds work that something else took the place of.
pub(super) fn is_earlier(name: &str) -> bool {
    let stem = name.strip_suffix(".pillars").unwrap_or_default();
    let unnumbered = stem.rsplit_once('-').filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    stem.ends_with(EARLIER) || unnumbered.is_some_and(|(stem, _)| stem.ends_with(EARLIER))
}

impl Store {
    /// Keeps everything in `folder`, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), stamps: Stamps::default(), held: Arc::default() }
    }

    /// The user's own place: `PILLARS_HOME` where it is set, else the configuration folder of the system.
    pub fn of_user() -> Self {
        let given = std::env::var_os("PILLARS_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = given.or_else(|| dirs::config_dir().map(|d| d.join("pillars")));
        Self::at(folder.unwrap_or_else(|| std::env::temp_dir().join("pillars")))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files as this window last read or wrote them.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// The settings, with what could not be understood. No file yet is no fault.
    pub fn settings(&self) -> (ProgramSettings, Vec<String>) {
        match read_text(self.folder.join("settings.json")) {
            Ok(text) => ProgramSettings::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (ProgramSettings::default(), Vec::new()),
            Err(error) => (ProgramSettings::default(), vec![format!("settings cannot be read: {error}")]),
        }
    }

    pub fn save_settings(&self, settings: &ProgramSettings) -> Result<()> {
        make_folder(&self.folder)?;
        write_atomically(&self.folder.join("settings.json"), settings.to_json().as_bytes())
    }

    /// True where a workspace was saved before.
    pub fn has_workspace(&self) -> bool {
        self.last().is_some_and(|key| self.workspace_path(&key).is_file())
    }

    /// The workspace that was open last.
    pub fn workspace(&self) -> Result<Restored> {
        let missing = || Error::new("no workspace was saved here yet").at(&self.folder);
        let key = self.last().ok_or_else(missing)?;
        self.read(&key)?.ok_or_else(missing)
    }

    /// What was saved for the model with this fingerprint, if anything.
    pub fn workspace_of(&self, fingerprint: &str) -> Result<Option<Restored>> {
        key(fingerprint).map_or(Ok(None), |key| self.read(&key))
    }

    /// Copies what was saved for a model into a file of its own, because something else is about to take its place.
    /// Says where, if there was anything that a person would miss. What was kept before stays under its own name.
    pub fn keep_earlier(&self, fingerprint: &str) -> Result<Option<PathBuf>> {
        let Some(key) = key(fingerprint) else { return Ok(None) };
        let Some(workspace) = self.missed(&key)? else { return Ok(None) };
        let names = (1..).map(|n: u32| if n == 1 { format!("{key}{EARLIER}") } else { format!("{key}{EARLIER}-{n}") });
        let mut free = names.map(|name| self.workspace_path(&name)).filter(|path| !path.exists());
        let path = free.next().ok_or_else(|| Error::new("no name is free").at(&self.folder))?;
        workspace.write_whole(&path)?;
        Ok(Some(path))
    }

    /// Copies what another window saved under `key` into a file beside, of which there is one; `None` where there is nothing
    /// that a person would miss.
    fn copy_of_other(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(workspace) = self.missed(key)? else { return Ok(None) };
        let path = self.workspace_path(&format!("{key}-other"));
        workspace.write_whole(&path)?;
        Ok(Some(path))
    }

    /// What was saved under `key`, where a person would miss it.
    fn missed(&self, key: &str) -> Result<Option<Workspace>> {
        Ok(self.read(key)?.map(|restored| restored.workspace).filter(|workspace| !workspace.is_empty()))
    }

    /// Writes the workspace of a model; its analysis, with its second moments, only where `with_analysis` says that it changed. A workspace
    /// without a model is not worth a file: the last one stays.
    ///
    /// Where another window wrote its own work on the model since this one last looked, and it is not what this one did or
    /// knew, that work is put into a file beside, and the path of that file is returned.
    pub fn save_workspace(&self, workspace: &Workspace, with_analysis: bool) -> Result<Option<PathBuf>> {
        let Some(key) = workspace.model.as_ref().and_then(|m| key(&m.fingerprint)) else { return Ok(None) };
        let path = self.workspace_path(&key);
        make_folder(path.parent().unwrap_or(&self.folder))?;
        let is_changed = self.stamps.is_changed(&path);
        let other = match is_changed && self.would_be_missed(&key, workspace)? {
            true => self.copy_of_other(&key)?,
            false => None,
        };
        if with_analysis || is_changed {
            let path = self.analysis_path(&key);
            match &workspace.analysis {
                Some(analysis) => {
                    match &workspace.moments {
                        Some(moments) => write_moments(moments, &path)?,
                        None => remove_moments(&path)?,
                    }
                    analysis.write(&path)?;
                }
                None => {
                    remove_moments(&path)?;
                    match std::fs::remove_file(&path) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::from(e).at(path)),
                        _ => {}
                    }
                }
            }
            self.stamps.note(&path);
        }
        workspace.write_repairs(&path)?;
        Workspace { analysis: None, moments: None, ..workspace.clone() }.write(&path)?;
        workspace.remove_other_repairs(&path);
        self.stamps.note(&path);
        self.hold(&key, workspace);
        if self.last().as_ref() != Some(&key) {
            write_atomically(&self.folder.join(LAST), key.as_bytes())?;
        }
        Ok(other)
    }

    /// Whether what lies under `key` is work that neither `mine` holds nor this window saw before.
    fn would_be_missed(&self, key: &str, mine: &Workspace) -> Result<bool> {
        let knows_analysis = !self.stamps.is_changed(&self.analysis_path(key));
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Restored { workspace: theirs, .. }) = self.read(key)? else { return Ok(false) };
        let work = theirs.work_alone();
        let knows_work = work == mine.work_alone() || held.is_some_and(|(of, held)| of == key && held == work);
        Ok(!(knows_work && (knows_analysis || theirs.analysis == mine.analysis)))
    }

    fn hold(&self, key: &str, workspace: &Workspace) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some((key.to_owned(), workspace.work_alone()));
    }

    /// The workspace under `key`. A file that cannot be read is put aside, so that no later save writes over it. An
    /// analysis that cannot be read, or is of another model, costs only itself.
    fn read(&self, key: &str) -> Result<Option<Restored>> {
        let path = self.workspace_path(key);
        self.stamps.note(&path);
        if !path.is_file() {
            return Ok(None);
        }
        let mut workspace = Workspace::read(&path).map_err(|error| match put_aside(&path) {
            Some(aside) => error.hint(format!("nothing is lost: it was put aside as {}", aside.display())),
            None => error,
        })?;
        workspace.take_repairs(&path);
        workspace.look_into_folders();
        let mut warnings = Vec::new();
        let path = self.analysis_path(key);
        self.stamps.note(&path);
        if path.is_file() {
            match Analysis::read(&path) {
                Ok(analysis) => {
                    let fits = workspace.model.as_ref().is_some_and(|m| m.fingerprint == analysis.model.fingerprint);
                    workspace.analysis = Some(analysis).filter(|_| fits).map(std::sync::Arc::new);
                    workspace.take_moments(&path);
                }
                Err(error) => {
                    let aside = put_aside(&path).map(|p| format!("; it was put aside as {}", p.display()));
                    warnings.push(format!(
                        "The results of the last run are left out: {error}{}",
                        aside.unwrap_or_default()
                    ));
                }
            }
        }
        self.hold(key, &workspace);
        Ok(Some(Restored { workspace, warnings }))
    }

    pub(super) fn last(&self) -> Option<String> {
        key(read_text(self.folder.join(LAST)).ok()?.trim())
    }

    pub(super) fn workspace_path(&self, key: &str) -> PathBuf {
        self.folder.join("workspaces").join(format!("{key}.pillars"))
    }

    fn analysis_path(&self, key: &str) -> PathBuf {
        self.folder.join("workspaces").join(format!("{key}-analysis.json"))
    }
}

/// A fingerprint as a file name; it may come from a file that a person edited.
fn key(fingerprint: &str) -> Option<String> {
    let is_plain = !fingerprint.is_empty() && fingerprint.chars().all(|c| c.is_ascii_alphanumeric());
    is_plain.then(|| fingerprint.chars().take(64).collect())
}

/// Renames a file so that nothing writes over it, and says where it is now.
fn put_aside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let mut free = (1..1000).map(|n| path.with_file_name(format!("unreadable-{n}-{name}"))).filter(|p| !p.exists());
    let aside = free.next()?;
    std::fs::rename(path, &aside).ok().map(|()| aside)
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::from(e).at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::ModelRef;
    use std::sync::Arc;

    /// A small analysis of the model `a`.
    fn analysis() -> Analysis {
        let held = Workspace::from_json(include_str!("../../tests/data/workspace-1.pillars")).unwrap().analysis;
        let mut analysis = Arc::unwrap_or_clone(held.unwrap());
        analysis.model.fingerprint = "a".to_owned();
        analysis
    }

    #[test]
    fn settings_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("deep/er"));
        assert_eq!(store.settings(), (ProgramSettings::default(), Vec::new()));
        let settings = ProgramSettings { zoom: 2.0, ..ProgramSettings::default() };
        store.save_settings(&settings).unwrap();
        assert_eq!(store.settings(), (settings, Vec::new()));
    }

    #[test]
    fn an_analysis_comes_back_only_with_its_model() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(!store.has_workspace());
        let analysis = analysis();
        let model = |fingerprint: &str| Some(ModelRef { folder: "/m".into(), fingerprint: fingerprint.to_owned() });
        let mut workspace = Workspace { model: model("a"), analysis: Some(Arc::new(analysis)), ..Workspace::default() };
        store.save_workspace(&workspace, true).unwrap();
        let back = |store: &Store| store.workspace().unwrap().workspace;
        assert_eq!(back(&store), workspace);
        // Another model does not cost the first one its work.
        let other = Workspace { model: model("b"), notes: "b".to_owned(), ..Workspace::default() };
        store.save_workspace(&other, true).unwrap();
        assert_eq!(back(&store), other);
        assert_eq!(store.workspace_of("a").unwrap().unwrap().workspace, workspace);
        assert_eq!(store.workspace_of("c").unwrap(), None);
        assert_eq!(store.workspace_of("../settings").unwrap(), None);
        workspace.analysis = None;
        store.save_workspace(&workspace, true).unwrap();
        assert_eq!(back(&store), workspace);
    }

    /// Saves twice in the folder that `PILLARS_POWER` names; `tests/power.py` records every system call of it.
    #[test]
    #[ignore = "tests/power.py runs it"]
    fn saved_while_recorded() {
        let store = Store::at(std::env::var_os("PILLARS_POWER").unwrap());
        for notes in ["first", "second"] {
            let mut analysis = analysis();
            analysis.settings.input = notes.to_owned();
            let workspace = Workspace {
                model: Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() }),
                analysis: Some(Arc::new(analysis)),
                notes: notes.to_owned(),
                ..Workspace::default()
            };
            store.save_settings(&ProgramSettings::default()).unwrap();
            store.save_workspace(&workspace, true).unwrap();
        }
    }

    #[test]
    fn second_moments_come_back_with_the_run_that_they_are_of() {
        use crate::analysis::{Moments, SecondMoment, SiteMoments, Symmetric};

        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let model = analysis().model;
        let half = |x: f64| SecondMoment {
            tokens: 3,
            sum: vec![x, 2.0],
            square: Symmetric::from_packed(2, vec![x, 0.5, 4.0]).unwrap(),
        };
        let site = SiteMoments {
            heads: 2,
            kv_heads: 2,
            head_dim: 1,
            stored_layer: 0,
            output_bias: true,
            halves: [half(1.0), half(2.0)],
            output: Symmetric::from_packed(2, vec![1.0, 0.0, 1.0]).unwrap(),
            sensitivity: None,
        };
        let moments = Moments {
            model,
            input: "text a.txt".to_owned(),
            readings: Vec::new(),
            batches: 2,
            sites: [("encoder.0".parse().unwrap(), site)].into_iter().collect(),
        };
        let mut analysis = analysis();
        analysis.settings.moments = true;
        analysis.settings.input = "text a.txt".to_owned();
        analysis.batches = 2;
        let of = |analysis: &Analysis, moments: Option<&Moments>| Workspace {
            model: Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() }),
            analysis: Some(Arc::new(analysis.clone())),
            moments: moments.cloned().map(Arc::new),
            ..Workspace::default()
        };
        let whole = of(&analysis, Some(&moments));
        store.save_workspace(&whole, true).unwrap();
        let back = |store: &Store| store.workspace().unwrap().workspace;
        assert_eq!(back(&store), whole);
        // A file of its own takes them along; what it is opened as holds them.
        let file = folder.path().join("w.pillars");
        whole.write_whole(&file).unwrap();
        assert_eq!(Moments::read(&folder.path().join("w.pillars.moments.safetensors")).unwrap(), moments);
        let mut again = Workspace::read(&file).unwrap();
        again.take_moments(&file);
        assert_eq!(again, whole);
        // Those of another run are not taken for them, and none are left from an earlier one.
        analysis.batches = 3;
        of(&analysis, None).analysis.unwrap().write(&store.analysis_path("a")).unwrap();
        assert!(back(&store).moments.is_none() && back(&store).lacks_moments());
        assert!(back(&store).moments_fault.unwrap().contains("of another run than the analysis"));
        store.save_workspace(&of(&analysis, None), true).unwrap();
        assert!(!Moments::path_beside(&store.analysis_path("a")).exists());
    }

    #[test]
    fn what_is_replaced_is_kept_if_anybody_would_miss_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let model = Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() });
        let mut workspace = Workspace { model, ..Workspace::default() };
        assert_eq!(store.keep_earlier("a").unwrap(), None);
        store.save_workspace(&workspace, true).unwrap();
        assert_eq!(store.keep_earlier("a").unwrap(), None, "nothing was done in it");
        workspace.notes = "dear".to_owned();
        store.save_workspace(&workspace, true).unwrap();
        let kept = store.keep_earlier("a").unwrap().unwrap();
        assert_eq!(Workspace::read(&kept).unwrap(), workspace);
        // What was kept before is not written over.
        let first = workspace.clone();
        workspace.notes = "as dear".to_owned();
        store.save_workspace(&workspace, true).unwrap();
        let second = store.keep_earlier("a").unwrap().unwrap();
        assert_eq!(Workspace::read(&kept).unwrap(), first);
        assert_eq!(Workspace::read(&second).unwrap(), workspace);
        let names = [&kept, &second].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(names, ["a-earlier.pillars", "a-earlier-2.pillars"]);
        assert!(names.iter().all(|name| is_earlier(name)) && !is_earlier("a-2.pillars") && !is_earlier("a.pillars"));
    }

    #[test]
    fn two_windows_on_one_model_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // Each window has a store of its own on the same folder.
        let (first, second) = (Store::at(folder.path()), Store::at(folder.path()));
        let model = Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() });
        let work = |notes: &str| Workspace { model: model.clone(), notes: notes.to_owned(), ..Workspace::default() };
        for store in [&first, &second] {
            assert_eq!(store.workspace_of("a").unwrap(), None);
        }
        assert_eq!(first.save_workspace(&work("of the first"), false).unwrap(), None);
        assert_eq!(first.save_workspace(&work("of the first, still"), false).unwrap(), None, "its own is no other's");
        let other = second.save_workspace(&work("of the second"), false).unwrap().unwrap();
        assert_eq!(Workspace::read(&other).unwrap(), work("of the first, still"));
        assert_eq!(second.workspace().unwrap().workspace, work("of the second"));
        // The latest of each is always there.
        assert_eq!(first.save_workspace(&work("of the first again"), false).unwrap(), Some(other.clone()));
        assert_eq!(Workspace::read(&other).unwrap(), work("of the second"));
    }

    #[test]
    fn two_windows_with_the_same_work_are_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Store::at(folder.path()), Store::at(folder.path()));
        let analysis = Arc::new(analysis());
        let model = Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() });
        let work = |notes: &str, analysis: &Arc<Analysis>, site: &str| Workspace {
            model: model.clone(),
            notes: notes.to_owned(),
            site: site.parse().ok(),
            analysis: Some(Arc::clone(analysis)),
            ..Workspace::default()
        };
        assert_eq!(first.save_workspace(&work("one", &analysis, "encoder.0"), true).unwrap(), None);
        // The second window opens what the first one saved, and looks at another layer.
        let opened = second.workspace_of("a").unwrap().unwrap().workspace;
        assert_eq!(second.save_workspace(&Workspace { site: "encoder.1".parse().ok(), ..opened }, true).unwrap(), None);
        // What the first did before is known to it; it goes on.
        assert_eq!(first.save_workspace(&work("further", &analysis, "encoder.0"), false).unwrap(), None);
        // The same work in both, results included, made apart from each other.
        assert_eq!(second.save_workspace(&work("further", &analysis, "encoder.11"), true).unwrap(), None);
        // Other results are news.
        let mut other = Arc::unwrap_or_clone(Arc::clone(&analysis));
        other.batches += 1000;
        first.save_workspace(&work("further", &Arc::new(other), "encoder.0"), true).unwrap();
        let kept = second.save_workspace(&work("further", &analysis, "encoder.11"), false).unwrap().unwrap();
        assert_eq!(Workspace::read(&kept).unwrap().analysis.unwrap().batches, analysis.batches + 1000);
    }

    #[test]
    fn a_damaged_workspace_is_put_aside_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let model = Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() });
        let workspace = Workspace { model, notes: "dear".to_owned(), ..Workspace::default() };
        store.save_workspace(&workspace, true).unwrap();
        let path = store.workspace_path("a");
        let whole = std::fs::read_to_string(&path).unwrap();
        // Torn in the middle, as by a full disk.
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let said = store.workspace().unwrap_err().to_string();
        assert!(said.contains("unreadable-1-a.pillars"), "{said}");
        assert!(store.workspace().is_err() && !store.has_workspace());
        store.save_workspace(&workspace, true).unwrap();
        let aside = std::fs::read_to_string(path.with_file_name("unreadable-1-a.pillars")).unwrap();
        assert_eq!(aside, whole[..whole.len() / 2]);
        // A damaged analysis costs only itself.
        std::fs::write(store.analysis_path("a"), "{").unwrap();
        let restored = store.workspace().unwrap();
        assert_eq!((restored.workspace, restored.warnings.len()), (workspace, 1));
    }
}
