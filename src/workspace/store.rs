//! Where the program keeps what it remembers.

use std::path::{Path, PathBuf};

use super::Settings;
use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};

/// A folder with settings and the autosaved workspace.
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
        match std::fs::read_to_string(self.settings_path()) {
            Ok(text) => Settings::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Settings::default(), Vec::new()),
            Err(error) => (Settings::default(), vec![format!("settings cannot be read: {error}")]),
        }
    }

    /// Writes the settings.
    pub fn save_settings(&self, settings: &Settings) -> Result<()> {
        self.make_folder()?;
        write_atomically(&self.settings_path(), settings.to_json().as_bytes())
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.join("settings.json")
    }

    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::from(e).at(&self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("deep/er"));
        assert_eq!(store.settings(), (Settings::default(), Vec::new()));
        let settings = Settings { zoom: 2.0, ..Settings::default() };
        store.save_settings(&settings).unwrap();
        assert_eq!(store.settings(), (settings, Vec::new()));
    }
}
