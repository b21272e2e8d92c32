//! Errors in the words of the window: the library names settings as the command line does, the window as its controls.

use crate::error::Error;
use crate::pruning::Reference;

/// Flags that hints of the library name, and the controls that stand for them here.
const CONTROLS: &[(&str, &str)] = &[
    ("--allow-empty", "layers without heads"),
    ("--audio", "recordings"),
    ("--batch-size", "Batch size"),
    ("--batches", "Batches"),
    ("--cka", "Linear CKA"),
    ("--device", "Device"),
    ("--dtype", "Compute in"),
    ("--feature", "Feature maps that vote:"),
    ("--force", "Replace an earlier export"),
    ("--held-out-batches", "Held-out batches"),
    ("--held-out-every", "Held out"),
    ("--images", "images"),
    ("--inputs", "a file of inputs"),
    ("--keep", "a number per layer"),
    ("--label-column", "Label column"),
    ("--layer-ratio", "a share of every layer"),
    ("--lr", "Learning rate"),
    ("--max-metric-drop", "Prune until quality falls by"),
    ("--memory", "Memory limit"),
    ("--moments", "Second moments"),
    ("--out", "name"),
    ("--pair-column", "Pair column"),
    ("--pairs", "sentence pairs"),
    ("--ratio", "a share of all heads"),
    ("--repair", "Repair"),
    ("--resume", "Resume the run in the folder"),
    ("--scores", "More measures:"),
    ("--seq-len", "Sequence length"),
    ("--steps", "Steps"),
    ("--text", "a text"),
    ("--text-column", "Text column"),
    ("--tokens", "a file of token ids"),
    ("--vote-at", "Vote"),
    ("--without-evidence", "Prune layers without evidence"),
];

/// What commands are told, where a control in place of a flag alone would read oddly: switches are switched on, and an
/// analysis is a run.
const PHRASES: &[(&str, &str)] = &[
    (
        "choose another, give --resume to go on with the run in it, or --force",
        "choose another, or switch Resume the run in the folder on to go on with the run in it",
    ),
    ("name an amount, or --without-evidence, to prune", "choose an amount, or tick the box for such layers, to prune"),
    ("give --without-evidence to prune", "tick the box for such layers to prune"),
    ("analyze again with --moments", "run again with Second moments"),
    // The window always measures what heads do.
    ("analyze again without --no-kinds", "run again"),
    ("analyze again", "run again"),
    // Training never replaces a folder from the window.
    ("begin anew with --force, or in another folder", "begin anew in another folder"),
    ("give --force", "switch Replace an earlier export on"),
    ("or --force", "or switch Replace an earlier export on"),
    ("give --resume", "switch Resume the run in the folder on"),
    ("go on with --resume", "switch Resume the run in the folder on"),
];

/// The line of `error`, with controls in place of flags.
pub(crate) fn worded(error: &Error) -> String {
    in_controls(&error.to_string())
}

/// `text` with controls in place of flags.
pub(crate) fn in_controls(text: &str) -> String {
    let told = PHRASES.iter().fold(text.to_owned(), |text, (phrase, words)| text.replace(phrase, words));
    let mut words = String::with_capacity(told.len());
    let mut rest = told.as_str();
    while let Some(at) = rest.find("--") {
        let (before, flag) = rest.split_at(at);
        let end = flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
        let (flag, behind) = flag.split_at(end);
        words.push_str(before);
        words.push_str(CONTROLS.iter().find(|(name, _)| *name == flag).map_or(flag, |(_, control)| control));
        rest = behind;
    }
    words.push_str(rest);
    words
}

/// The model that a written checkpoint was compared with.
pub(crate) fn compared_with(reference: Reference) -> &'static str {
    match reference {
        Reference::Masked => "masked model",
        Reference::Repaired => "masked and repaired model",
        Reference::Pooled => "model with averaged key/value heads",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_become_controls() {
        let error = Error::new("it is full").hint("lower --lr, or --batch-size and --seq-len");
        assert_eq!(worded(&error), "it is full; lower Learning rate, or Batch size and Sequence length");
        let error = Error::new("the folder is not empty").hint("choose another, or give --force");
        assert_eq!(worded(&error), "the folder is not empty; choose another, or switch Replace an earlier export on");
        // Training never replaces a folder from here, so nothing is said of it.
        let error =
            Error::new("it is there").hint("choose another, give --resume to go on with the run in it, or --force");
        assert!(
            !worded(&error).contains("export") && worded(&error).contains("switch Resume the run in the folder on")
        );
        // What is no flag stays.
        assert_eq!(worded(&Error::new("a -- b --nothing-like-it")), "a -- b --nothing-like-it");
    }

    /// Rooms whose errors the window shows, file by file.
    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("cli") && !path.ends_with("experiment") {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_flag_that_a_hint_names_has_a_control() {
        // Hints that only commands can lead to.
        const OF_COMMANDS: [&str; 11] = [
            "--help",
            "--no-kinds",
            "--rounds",
            "--plan",
            "--original",
            "--shard",
            "--speed",
            "--method",
            "--target-language",
            "--language",
            // Of llama.cpp.
            "--merge",
        ];
        let (mut files, mut seen) = (Vec::new(), 0);
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        for hint in files.iter().flat_map(|text| text.split("hint(").skip(1)) {
            let text = hint.split('"').nth(1).unwrap_or_default();
            for flag in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|w| w.starts_with("--")) {
                let is_known = CONTROLS.iter().any(|(name, _)| *name == flag) || OF_COMMANDS.contains(&flag);
                assert!(is_known || flag.starts_with("--nothing"), "{flag} in \"{text}\"");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen} flags");
    }
}
