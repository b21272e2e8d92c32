//! Names of models on the hub.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Longest name that the hub gives.
const LONGEST: usize = 96;

/// `OWNER/NAME`, or `NAME` of the oldest models, with a branch, a tag or a commit behind `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    repository: String,
    revision: Option<String>,
}

impl HubName {
    /// The repository as `OWNER/NAME`, without revision.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The branch, tag or commit that was named.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Whether it names an owner, without which it may be the name of anything.
    pub fn has_owner(&self) -> bool {
        self.repository.contains('/')
    }

    /// The same model at `revision`.
    #[must_use]
    pub(super) fn at(&self, revision: Option<&str>) -> Self {
        Self { repository: self.repository.clone(), revision: revision.map(str::to_owned) }
    }

    /// The folder of the model in a cache.
    pub(super) fn folder(&self) -> String {
        format!("{}{}", crate::checkpoint::MODELS, self.repository.replace('/', "--"))
    }
}

impl FromStr for HubName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let named = parts.len() <= 2 && repository.len() <= LONGEST && parts.iter().all(|part| is_part(part));
        if !named || !revision.is_none_or(|revision| revision.split('/').all(is_step)) {
            return Err(Error::usage(format!("'{text}' is no name of a model on the hub"))
                .hint("give OWNER/NAME or OWNER/NAME@REVISION"));
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.map(str::to_owned) })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// An owner or a name, as the hub allows them.
fn is_part(part: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: char| matches!(c, '-' | '.');
    !part.is_empty()
        && part.chars().all(sound)
        && !part.starts_with(ends)
        && !part.ends_with(ends)
        && !part.contains("--")
        && !part.contains("..")
}

/// A part of a branch's or a tag's name that cannot lead anywhere else as a part of a path.
fn is_step(part: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.chars().all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, repository, revision) in [
            ("google/t5-small", "google/t5-small", None),
            ("gpt2", "gpt2", None),
            ("a/b@refs/pr/1", "a/b", Some("refs/pr/1")),
            ("a/b@v1.0", "a/b", Some("v1.0")),
        ] {
            let name: HubName = text.parse().unwrap();
            assert_eq!((name.repository(), name.revision(), name.to_string().as_str()), (repository, revision, text));
        }
        let long = "a".repeat(97);
        for text in
            ["", "/a", "a/", "a/b/c", "../a", "a/..", "a//b", "~/a", "./a", "a--b/c", "a/b@", "a/b@../x", "a b", &long]
        {
            assert!(text.parse::<HubName>().is_err(), "{text}");
        }
        assert_eq!("google/t5-small@x".parse::<HubName>().unwrap().folder(), "models--google--t5-small");
    }
}
