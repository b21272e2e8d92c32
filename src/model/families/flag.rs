//! What some models of a family have and others do not.

use crate::error::Result;
use crate::model::ConfigReader;

/// What a family has always, never, or where its configuration says so.
#[derive(Clone, Copy)]
pub(super) enum Flag {
    Always,
    Never,
    /// Where this key is true; it is false where absent.
    Key(&'static str),
    /// Unless this key is false.
    Unless(&'static str),
}

impl Flag {
    pub(super) fn read(self, reading: &ConfigReader<'_>) -> Result<bool> {
        match self {
            Self::Always => Ok(true),
            Self::Never => Ok(false),
            Self::Key(key) => reading.config.flag_or(key, false),
            Self::Unless(key) => reading.config.flag_or(key, true),
        }
    }
}
