//! What happened, newest last, kept so that it can be read and copied later.

use crate::error::Error;
use crate::gui::wording::{in_controls, worded};

/// How much attention a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something was done or is worth knowing.
    Info,
    /// Something was done but not quite as asked.
    Warning,
    /// Something could not be done.
    Error,
}

/// One line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How much attention it asks for.
    pub level: Severity,
    /// What happened, in one line.
    pub text: String,
    /// How often it came in a row.
    pub count: usize,
}

/// Messages that are kept before the oldest is forgotten.
const LIMIT: usize = 500;

/// All messages of this session.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    all: Vec<Message>,
    /// What was to be known of the work on the input that is chosen, each of which is told once.
    notes: Vec<String>,
}

impl Messages {
    /// Adds a line; a repetition of the last one is counted.
    pub fn add(&mut self, level: Severity, text: impl Into<String>) {
        let text = text.into();
        if let Some(last) = self.all.last_mut().filter(|m| m.text == text && m.level == level) {
            last.count += 1;
            return;
        }
        if self.all.len() == LIMIT {
            self.all.remove(0);
        }
        self.all.push(Message { level, text, count: 1 });
    }

    pub fn info(&mut self, text: impl Into<String>) {
        self.add(Severity::Info, text);
    }

    /// Something to look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Severity::Warning, text);
    }

    /// What some work came to, below what is to be known of it: a panel of few lines shows the last. What was told before of
    /// work on the same input stands there already.
    pub fn result(&mut self, text: impl Into<String>, notes: impl IntoIterator<Item = impl AsRef<str>>) {
        for note in notes {
            let note = sentence(&in_controls(note.as_ref()));
            if !self.notes.contains(&note) {
                self.warn(note.clone());
                self.notes.push(note);
            }
        }
        self.info(text);
    }

    /// Another run begins, or other settings: what is to be known of it is told anew.
    pub fn begin(&mut self) {
        self.notes.clear();
    }

    /// A failure under the name of what was tried; a stop that the person asked for is only noted.
    pub fn fail(&mut self, what: &str, error: &Error) {
        if error.is_cancelled() {
            self.info(format!("{what}: cancelled"));
        } else {
            self.add(Severity::Error, sentence(&format!("{}: {}", without_path(what, error), worded(error))));
        }
    }

    /// Every message, oldest first.
    pub fn all(&self) -> &[Message] {
        &self.all
    }

    pub fn last(&self) -> Option<&Message> {
        self.all.last()
    }

    pub fn clear(&mut self) {
        self.all.clear();
        self.begin();
    }

    /// All messages as text, for the clipboard.
    pub fn text(&self) -> String {
        let line = |m: &Message| match m.level {
            Severity::Info => m.text.clone(),
            Severity::Warning => format!("warning: {}", m.text),
            Severity::Error => format!("error: {}", m.text),
        };
        self.all.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// What was tried, without the path at its end where the error names that, too.
fn without_path<'a>(what: &'a str, error: &Error) -> &'a str {
    let path = error.path().map(|path| path.display().to_string());
    let Some(rest) = path.and_then(|path| what.strip_suffix(path.as_str())) else { return what };
    let rest = rest.trim_end();
    [" to", " into", " in", " with"].into_iter().find_map(|word| rest.strip_suffix(word)).unwrap_or(rest)
}

/// A line for a person begins with a capital.
pub(super) use crate::words::sentence_case as sentence;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_and_cancels_are_no_errors() {
        let mut messages = Messages::default();
        messages.info("a");
        messages.info("a");
        messages.fail("export", &Error::cancelled());
        messages.fail("export", &Error::new("disk full").at("/x"));
        assert_eq!((messages.all()[0].count, messages.all()[1].level), (2, Severity::Info));
        assert_eq!(messages.text(), "a\nexport: cancelled\nerror: Export: disk full: /x");
        messages.clear();
        for work in ["run", "measured", "exported"] {
            messages.result(work, ["rows were cut"]);
        }
        messages.begin();
        messages.result("run", ["rows were cut"]);
        assert_eq!(messages.text(), "warning: Rows were cut\nrun\nmeasured\nexported\nwarning: Rows were cut\nrun");
        for n in 0..LIMIT + 5 {
            messages.info(n.to_string());
        }
        assert_eq!(messages.all().len(), LIMIT);
    }
}
