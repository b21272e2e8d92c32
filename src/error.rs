//! One error type for the whole library: what failed first, the file last, then what to do.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind as ErrorKindOfSystem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strum::VariantNames;

/// Result of every fallible function in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do where a disk is full.
pub(crate) const MAKE_ROOM: &str = "free room there, or choose another place";

/// Bytes of what failed that are shown at most; a line of a terminal holds about a hundred.
const LONGEST: usize = 400;

/// What kind of end an [`Error`] stands for; the command line turns it into the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The work could not be done (exit status 1).
    Failed,
    /// The request itself was wrong (exit status 2).
    Usage,
    /// The user asked to stop; this is not a fault (exit status 130).
    Cancelled,
}

/// A failure that a person can act on, printed as one line.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    path: Option<PathBuf>,
    hint: Option<String>,
    /// What another library reported, whose first words are in `what`.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure described by `what`: lower case, no full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, what: what.into(), path: None, hint: None, source: None }
    }

    /// A request that can not be carried out as it was put.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, ..Self::new(what) }
    }

    /// A request for a `noun` that has no such name; the hint lists the names that there are.
    pub fn unknown<E: VariantNames>(noun: &str, text: &str) -> Self {
        Self::usage(format!("'{text}' is no {noun}")).hint(format!("choose from {}", E::VARIANTS.join(", ")))
    }

    /// The user's own wish to stop.
    pub fn cancelled() -> Self {
        Self { kind: ErrorKind::Cancelled, ..Self::new("cancelled") }
    }

    /// Names the file or folder concerned, unless a deeper layer already did. A wish to stop is no fault of any.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        if !self.is_cancelled() {
            self.path.get_or_insert_with(|| path.as_ref().to_path_buf());
        }
        self
    }

    /// Names `to` where the file concerned is `from`, a copy of it.
    #[must_use]
    pub fn moved(mut self, from: &Path, to: &Path) -> Self {
        if self.path.as_deref() == Some(from) {
            self.path = Some(to.to_path_buf());
        }
        self
    }

    /// Says what the user can do about it, unless a deeper layer already did.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Keeps what another library reported, for debugging: see [`std::error::Error::source`].
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source.get_or_insert_with(|| Arc::new(source));
        self
    }

    /// Puts the place before the message: `line 3: ..`. A wish to stop was not made there.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        if !self.is_cancelled() {
            self.what = format!("{place}: {}", self.what);
        }
        self
    }

    /// The file or folder concerned, where one was named.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Which kind of end this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True where the user stopped the work.
    pub fn is_cancelled(&self) -> bool {
        self.kind == ErrorKind::Cancelled
    }
}

/// `text` without the numbers that the system gives to failures, which say nothing to a person.
fn without_numbers(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = " (os error ";
    let mut text = Cow::Borrowed(text);
    loop {
        let number = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(')')).map(|(number, _)| number);
        let Some(number) = number.filter(|number| number.parse::<i32>().is_ok()) else { return text };
        text = Cow::Owned(text.replace(&format!("{BEGIN}{number})"), ""));
    }
}

/// What a terminal may be sent of a text, `most` bytes of it at most.
fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() >= most {
            shown.push_str(" …");
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    shown
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages of other libraries may span lines; ours never do. A damaged file may have a name as long as itself, of
        // characters that no terminal should be sent.
        let one_line = |text: &str| shown(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST);
        f.write_str(&one_line(&without_numbers(&self.what)))?;
        if let Some(path) = &self.path {
            write!(f, ": {}", shown(&path.display().to_string(), usize::MAX))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {}", one_line(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        // A candle error may carry a backtrace after its first line; people need the first line.
        let text = error.to_string();
        Self::new(text.lines().next().unwrap_or("tensor error").to_owned()).caused_by(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use ErrorKindOfSystem::{IsADirectory, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, StorageFull};
        let (what, hint) = match error.kind() {
            StorageFull | QuotaExceeded => (error.to_string(), Some(MAKE_ROOM)),
            // What to do about it depends on what was looked for.
            NotFound if error.raw_os_error().is_some() => ("there is no such file or folder".to_owned(), None),
            IsADirectory => ("this is a folder, not a file".to_owned(), Some("name a file")),
            NotADirectory => ("a part of this path is a file, not a folder".to_owned(), Some("check the path")),
            PermissionDenied => ("permission denied".to_owned(), Some("check who may read and write there")),
            _ => (error.to_string(), None),
        };
        let error = Self::new(what).caused_by(error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("not the JSON expected: {error}")).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_damaged_files_do_not_flood_a_terminal() {
        let name = format!("a\u{1b}[2J\0{}", "x".repeat(100_000));
        let said =
            Error::new(format!("tensor '{name}' has no data")).at("a\nb.gguf").hint("fetch it again").to_string();
        assert!(said.starts_with("tensor 'a\\u{1b}[2J\\u{0}xxx") && said.len() < 600, "{said}");
        assert!(said.ends_with("x …: a\\u{a}b.gguf; fetch it again"), "{said}");
        // What to do may name columns of the file.
        let said = Error::new("no such column").hint(format!("the columns are {name}")).to_string();
        assert!(said.starts_with("no such column; the columns are a\\u{1b}[2J\\u{0}xxx") && said.len() < 500, "{said}");
    }

    #[test]
    fn one_line_what_path_hint() {
        let error = Error::new("a\n  b").at("x.json").at("y.json").hint("do c").hint("do d");
        assert_eq!(error.to_string(), "a b: x.json; do c");
    }

    #[test]
    fn a_wish_to_stop_names_no_file_and_may_say_how_to_go_on() {
        let error = Error::cancelled().at("x.json").within("line 3");
        assert_eq!(error.to_string(), "cancelled");
        assert_eq!(error.hint("go on with --resume").to_string(), "cancelled; go on with --resume");
    }

    #[test]
    fn what_a_system_says_comes_with_advice() {
        let of = |kind: std::io::ErrorKind| Error::from(std::io::Error::from(kind)).at("a").to_string();
        assert_eq!(of(std::io::ErrorKind::IsADirectory), "this is a folder, not a file: a; name a file");
        assert!(of(std::io::ErrorKind::NotADirectory).ends_with("a file, not a folder: a; check the path"));
        assert!(of(std::io::ErrorKind::PermissionDenied).ends_with(": a; check who may read and write there"));
        assert!(of(std::io::ErrorKind::StorageFull).ends_with(MAKE_ROOM));
    }

    #[cfg(unix)]
    #[test]
    fn no_number_of_the_system_is_told() {
        let missing = std::fs::read("no such file").unwrap_err();
        assert_eq!(Error::from(missing).at("a.txt").to_string(), "there is no such file or folder: a.txt");
        for number in 1..100 {
            let error = std::io::Error::from_raw_os_error(number);
            let within = Error::new(format!("a: {error}; b: {error}")).to_string();
            for said in [within, Error::from(error).to_string()] {
                assert!(!said.contains("os error") && !said.is_empty(), "{said}");
            }
        }
        assert_eq!(Error::new("a (os error 2").to_string(), "a (os error 2");
    }

    #[test]
    fn what_another_library_reported_is_the_source() {
        use std::error::Error as _;
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "gone");
        let error = Error::from(missing).at("x.json").within("line 3");
        let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!((error.to_string().as_str(), source.kind()), ("line 3: gone: x.json", std::io::ErrorKind::NotFound));
        assert!(Error::new("a").source().is_none());
    }
}
