//! Token ids without pattern, but always the same.

use std::path::{Path, PathBuf};

/// The `at`-th token of a sequence: from 5 to 94, so that it is in the vocabulary of every fixture.
pub fn token(sequence: usize, at: usize) -> usize {
    5 + (sequence * 31 + at * at * 7 + at * sequence) % 90
}

/// A file in `folder` with `lines` sequences of `length` tokens.
pub fn tokens(folder: &Path, lines: usize, length: usize) -> PathBuf {
    let path = folder.join("tokens.jsonl");
    let line = |l: usize| {
        let ids: Vec<String> = (0..length).map(|t| token(l, t).to_string()).collect();
        format!("{{\"input_ids\": [{}]}}\n", ids.join(", "))
    };
    std::fs::write(&path, (0..lines).map(line).collect::<String>()).unwrap();
    path
}
