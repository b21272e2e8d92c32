//! Settings of the program, apart from any model.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::checkpoint::path_text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::figure::PictureSize;

/// Recent places that are remembered.
pub const RECENT_LIMIT: usize = 12;

/// Which colors the window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// As the desktop says.
    #[default]
    System,
    Light,
    Dark,
}

/// Which colors saved pictures have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureColors {
    /// Those of the window.
    #[default]
    Window,
    Light,
    Dark,
}

/// How pictures are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PictureLook {
    pub colors: PictureColors,
    pub size: PictureSize,
}

/// What the program remembers between starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgramSettings {
    pub theme: ThemeChoice,
    /// Size of everything, 0.5 to 3.
    pub zoom: f32,
    /// Models and workspaces opened, the last first.
    #[serde(serialize_with = "path_text::serialize_all")]
    pub recent: Vec<PathBuf>,
    /// Whether the model panel is open.
    pub show_model: bool,
    /// Whether the inspector is open.
    pub show_inspector: bool,
    /// Whether tasks and messages are open.
    pub show_tasks: bool,
    /// Whether the first steps are shown.
    pub show_guide: bool,
    /// Whether a search within that budget tries every method, or that of the plan alone.
    pub every_method: bool,
    /// How pictures are saved.
    pub picture: PictureLook,
    /// Size of the window in points.
    pub window: [f32; 2],
}

impl Default for ProgramSettings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            zoom: 1.0,
            recent: Vec::new(),
            show_model: true,
            show_inspector: true,
            show_tasks: true,
            show_guide: true,
            every_method: false,
            picture: PictureLook::default(),
            window: [1280.0, 800.0],
        }
    }
}

impl ProgramSettings {
    /// Reads settings. Whatever cannot be understood falls back to its default and is named in the second part, so
    /// that one bad field never costs the others.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let mut settings = Self::default();
        let fields = match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(fields) => fields,
            Err(error) => return (settings, vec![format!("settings are not the JSON expected: {error}")]),
        };
        let mut warn = |name: &str| warnings.push(format!("setting '{name}' was not understood and is reset"));
        read(&fields, "theme", &mut settings.theme, &mut warn);
        read(&fields, "zoom", &mut settings.zoom, &mut warn);
        let mut recent: Vec<path_text::Spelled> = Vec::new();
        read(&fields, "recent", &mut recent, &mut warn);
        settings.recent = recent.into_iter().map(|spelled| spelled.0).collect();
        read(&fields, "show_model", &mut settings.show_model, &mut warn);
        read(&fields, "show_inspector", &mut settings.show_inspector, &mut warn);
        read(&fields, "show_tasks", &mut settings.show_tasks, &mut warn);
        read(&fields, "show_guide", &mut settings.show_guide, &mut warn);
        read(&fields, "every_method", &mut settings.every_method, &mut warn);
        read(&fields, "picture", &mut settings.picture, &mut warn);
        read(&fields, "window", &mut settings.window, &mut warn);
        settings.set_picture(settings.picture);
        settings.set_zoom(settings.zoom);
        settings.recent.truncate(RECENT_LIMIT);
        for side in &mut settings.window {
            *side = if side.is_finite() { side.clamp(400.0, 16_000.0) } else { 800.0 };
        }
        (settings, warnings)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Sets how pictures are saved, labels within 4 and 24 points.
    pub fn set_picture(&mut self, look: PictureLook) {
        let size = match look.size {
            PictureSize::Text(points) if points.is_finite() => PictureSize::Text(points.clamp(4.0, 24.0)),
            PictureSize::Text(_) => PictureSize::Screen,
            size => size,
        };
        self.picture = PictureLook { size, ..look };
    }

    /// Sets the zoom within 50 to 300 %.
    pub fn set_zoom(&mut self, zoom: f32) {
        self.zoom = if zoom.is_finite() { zoom.clamp(0.5, 3.0) } else { 1.0 };
    }

    /// Puts `path` first among the recent places.
    pub fn remember(&mut self, path: &Path) {
        self.recent.retain(|p| p != path);
        self.recent.insert(0, path.to_path_buf());
        self.recent.truncate(RECENT_LIMIT);
    }

    /// Drops `path` from the recent places.
    pub fn forget(&mut self, path: &Path) {
        self.recent.retain(|p| p != path);
    }
}

fn read<T: DeserializeOwned>(fields: &Map<String, Value>, name: &str, into: &mut T, warn: &mut dyn FnMut(&str)) {
    let Some(value) = fields.get(name) else { return };
    match serde_json::from_value(value.clone()) {
        Ok(value) => *into = value,
        Err(_) => warn(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let mut settings = ProgramSettings { theme: ThemeChoice::Dark, zoom: 1.5, ..ProgramSettings::default() };
        settings.remember(Path::new("/a"));
        settings.remember(Path::new("/b"));
        settings.remember(Path::new("/a"));
        assert_eq!(settings.recent, [Path::new("/a"), Path::new("/b")]);
        assert_eq!(ProgramSettings::parse(&settings.to_json()), (settings, Vec::new()));
    }

    #[test]
    fn one_bad_field_costs_only_itself() {
        let (settings, warnings) = ProgramSettings::parse(
            r#"{"theme": "pink", "zoom": 2.0, "recent": ["/a"], "window": [1, 1e9], "later": 3}"#,
        );
        assert_eq!((settings.theme, settings.zoom), (ThemeChoice::System, 2.0));
        assert_eq!((settings.recent, settings.window), (vec![PathBuf::from("/a")], [400.0, 16_000.0]));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("'theme'"));
        assert_eq!(ProgramSettings::parse(r#"{"zoom": 77}"#).0.zoom, 3.0);
        let (settings, warnings) = ProgramSettings::parse("no json");
        assert_eq!((settings, warnings.len()), (ProgramSettings::default(), 1));
    }
}
