//! Where the program keeps what it remembers.

use std::path::{Path, PathBuf};

use super::{Settings, Workspace};
use crate::analysis::{Analysis, Document};
use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};

/// A folder with settings and the autosaved workspace. The analysis lies in a file of its own, because it is large and
/// changes seldom.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Keeps everything in `folder`, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The user's own place: `PILLARS_HOME` where it is set, else the configuration folder of the system.
    pub fn of_user() -> Self {
        let given = std::env::var_os("PILLARS_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = given.or_else(|| dirs::config_dir().map(|d| d.join("pillars")));
        Self::at(folder.unwrap_or_else(|| std::env::temp_dir().join("pillars")))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings, with what could not be understood. No file yet is no fault.
    pub fn settings(&self) -> (Settings, Vec<String>) {
        match std::fs::read_to_string(self.folder.join("settings.json")) {
            Ok(text) => Settings::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Settings::default(), Vec::new()),
            Err(error) => (Settings::default(), vec![format!("settings cannot be read: {error}")]),
        }
    }

    /// Writes the settings.
    pub fn save_settings(&self, settings: &Settings) -> Result<()> {
        self.make_folder()?;
        write_atomically(&self.folder.join("settings.json"), settings.to_json().as_bytes())
    }

    /// True where a workspace was saved before.
    pub fn has_workspace(&self) -> bool {
        self.workspace_path().is_file()
    }

    /// The autosaved workspace with its analysis. An analysis that cannot be read, or is of another model, is left out.
    pub fn workspace(&self) -> Result<Workspace> {
        let mut workspace = Workspace::read(&self.workspace_path())?;
        let analysis = Analysis::read(&self.analysis_path()).ok();
        let fits = |a: &Analysis| workspace.model.as_ref().is_some_and(|m| m.fingerprint == a.model.fingerprint);
        workspace.analysis = analysis.filter(fits).map(std::sync::Arc::new);
        Ok(workspace)
    }

    /// Writes the workspace; its analysis only where `with_analysis` says that it changed.
    pub fn save_workspace(&self, workspace: &Workspace, with_analysis: bool) -> Result<()> {
        self.make_folder()?;
        if with_analysis {
            match &workspace.analysis {
                Some(analysis) => analysis.write(&self.analysis_path())?,
                None => match std::fs::remove_file(self.analysis_path()) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::from(e).at(self.analysis_path()));
                    }
                    _ => {}
                },
            }
        }
        Workspace { analysis: None, ..workspace.clone() }.write(&self.workspace_path())
    }

    fn workspace_path(&self) -> PathBuf {
        self.folder.join("autosave.pillars")
    }

    fn analysis_path(&self) -> PathBuf {
        self.folder.join("autosave-analysis.json")
    }

    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::from(e).at(&self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::ModelInfo;
    use crate::workspace::ModelRef;
    use std::sync::Arc;

    #[test]
    fn settings_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("deep/er"));
        assert_eq!(store.settings(), (Settings::default(), Vec::new()));
        let settings = Settings { zoom: 2.0, ..Settings::default() };
        store.save_settings(&settings).unwrap();
        assert_eq!(store.settings(), (settings, Vec::new()));
    }

    #[test]
    fn an_analysis_comes_back_only_with_its_model() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(!store.has_workspace());
        let analysis = Analysis {
            model: ModelInfo { fingerprint: "a".to_owned(), ..ModelInfo::default() },
            settings: crate::analysis::Settings::default(),
            tokens: 1,
            batches: 1,
            sites: Vec::new(),
            checkpoints: Vec::new(),
            settled: Vec::new(),
            notes: Vec::new(),
        };
        let model = |fingerprint: &str| Some(ModelRef { folder: "/m".into(), fingerprint: fingerprint.to_owned() });
        let mut workspace = Workspace { model: model("a"), analysis: Some(Arc::new(analysis)), ..Workspace::default() };
        store.save_workspace(&workspace, true).unwrap();
        assert_eq!(store.workspace().unwrap(), workspace);
        workspace.model = model("b");
        store.save_workspace(&workspace, false).unwrap();
        assert_eq!(store.workspace().unwrap().analysis, None);
        workspace.analysis = None;
        store.save_workspace(&workspace, true).unwrap();
        workspace.model = model("a");
        store.save_workspace(&workspace, false).unwrap();
        assert_eq!(store.workspace().unwrap().analysis, None);
    }
}
