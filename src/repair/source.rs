//! Where a repair comes from: a file, or made in place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::document::{Repair, RepairMode};
use crate::error::{Error, Result};

/// Where a repair comes from. Written as the path, or as the mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RepairSource {
    /// The file that `pillars repair` wrote.
    File(PathBuf),
    /// It is made where it is needed, in this way.
    Made(RepairMode),
}

impl RepairSource {
    /// The file, where it is one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Made(_) => None,
        }
    }

    /// Reads a repair from its file.
    ///
    /// # Errors
    ///
    /// As [`Repair::read`]; a word that is neither a file nor a way to repair is called both.
    pub fn read(path: &std::path::Path) -> Result<Repair> {
        if path.exists() || path.extension().is_some() {
            return Repair::read(path);
        }
        let error = Error::usage(format!("'{}' is no file, and no way to repair", path.display()));
        Err(error.hint("give the file that pillars repair wrote, or auto, refit, stream or scale"))
    }
}

impl FromStr for RepairSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Made))
    }
}

impl fmt::Display for RepairSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Made(mode) => mode.fmt(f),
        }
    }
}

impl From<RepairSource> for String {
    fn from(source: RepairSource) -> Self {
        source.to_string()
    }
}

impl TryFrom<String> for RepairSource {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_a_mode_and_anything_else_a_file() {
        assert_eq!("auto".parse::<RepairSource>().unwrap(), RepairSource::Made(RepairMode::Auto));
        let file = RepairSource::File("./auto".into());
        assert_eq!("./auto".parse::<RepairSource>().unwrap(), file);
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str::<RepairSource>(&text).unwrap()), ("\"./auto\"", file));
        let error = RepairSource::read(std::path::Path::new("refti")).unwrap_err().to_string();
        assert!(error.contains("'refti'") && error.contains("stream"), "{error}");
    }
}
