//! What tests of this room share.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A file in `folder` with twelve lines of twelve tokens from 5 to 94, no two lines alike.
pub(super) fn varied_tokens(folder: &Path) -> PathBuf {
    let path = folder.join("tokens.jsonl");
    let line = |l: usize| {
        let ids: Vec<String> = (0..12).map(|t| (5 + (l * 31 + t * t * 7 + t * l) % 90).to_string()).collect();
        format!("{{\"input_ids\": [{}]}}\n", ids.join(", "))
    };
    std::fs::write(&path, (0..12).map(line).collect::<String>()).unwrap();
    path
}
