//! Models of two encoders, one of texts and one of images (CLIP, SigLIP), of which one is opened at a time.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::KEPT_KEY;
use crate::checkpoint::Config;
use crate::error::Result;

/// The key of `config.json` under which a written folder says which of its encoders lost heads, and so is opened.
const TOWER_KEY: &str = "pillars_tower";

/// Kinds of models that have two.
const MODEL_TYPES: [&str; 2] = ["clip", "siglip"];

/// One of two encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tower {
    /// The encoder that reads texts.
    Text,
    /// Reads images; the one that is opened where nothing is said.
    Vision,
}

impl Tower {
    const ALL: [Self; 2] = [Self::Text, Self::Vision];

    /// What its tensors begin with, and what stands behind a folder to open it: `clip-vit-base-patch32/text_model`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text_model",
            Self::Vision => "vision_model",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Text => Self::Vision,
            Self::Vision => Self::Text,
        }
    }

    /// The section of the configuration that describes it: that of older files, which wins as in transformers, or that
    /// of newer ones.
    pub(super) fn section(self, config: &Config) -> &'static str {
        let (older, newer) = match self {
            Self::Text => ("text_config_dict", "text_config"),
            Self::Vision => ("vision_config_dict", "vision_config"),
        };
        if config.section(older).is_some() { older } else { newer }
    }

    /// The encoder that `config` names, where its model has two.
    ///
    /// # Errors
    /// Where it names none that there is.
    pub(super) fn of(config: &Config) -> Result<Option<Self>> {
        if !has_two(config) {
            return Ok(None);
        }
        let Some(named) = config.text_opt(TOWER_KEY)? else { return Ok(Some(Self::Vision)) };
        let found = Self::ALL.into_iter().find(|tower| tower.name() == named);
        found.map(Some).ok_or_else(|| config.wrong(TOWER_KEY, "text_model or vision_model"))
    }

    /// The folder and configuration of `FOLDER/text_model` or `FOLDER/vision_model`, where FOLDER holds a model of two
    /// encoders and no such folder.
    ///
    /// # Errors
    /// Where heads of the other encoder are missing, which the configuration could no longer say.
    pub(super) fn in_path(path: &Path) -> Result<Option<(PathBuf, Config)>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let tower = Self::ALL.into_iter().find(|tower| Some(tower.name()) == name);
        let (Some(tower), Some(folder)) = (tower, path.parent()) else { return Ok(None) };
        let file = folder.join("config.json");
        if path.exists() || !file.is_file() {
            return Ok(None);
        }
        let config = Config::read(&file)?;
        let Some(named) = Self::of(&config)? else { return Ok(None) };
        if named != tower && config.get(KEPT_KEY).is_some() {
            let what = format!("heads of its {} were removed, so only that can be opened", named.name());
            return Err(config.unsupported(what).hint("open the original, or export the format masked"));
        }
        let mut keys = config.value().as_object().cloned().unwrap_or_default();
        keys.insert(TOWER_KEY.to_owned(), Value::from(tower.name()));
        Ok(Some((folder.to_path_buf(), Config::new(file, keys))))
    }
}

/// Whether the configuration is that of a model of two encoders.
fn has_two(config: &Config) -> bool {
    config.get("model_type").and_then(Value::as_str).is_some_and(|kind| MODEL_TYPES.contains(&kind))
}
