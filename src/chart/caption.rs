//! The words around a picture.

/// The words around a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caption {
    /// What it shows, in sentence case.
    pub title: String,
    pub subtitle: String,
    /// What a reader must know not to be misled; below the picture.
    pub notes: Vec<String>,
}

impl Caption {
    /// A caption without notes.
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: subtitle.into(), notes: Vec::new() }
    }

    /// The same with one more note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}
