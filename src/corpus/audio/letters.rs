//! The letters that a CTC head says, by the `vocab.json` of a model.

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{Config, read_file};
use crate::corpus::spoken::Letters;
use crate::error::{Error, Result};

/// Those of the model in `folder`, whose configuration is `config` and whose head has `classes` numbers.
///
/// # Errors
/// Where the folder has no `vocab.json`, or one that does not fit the head.
pub(super) fn read_letters(folder: &Path, config: &Config, classes: usize) -> Result<Letters> {
    let path = folder.join("vocab.json");
    let missing = |e| Error::from(e).at(&path).hint("the letters of a CTC model stand in its vocab.json");
    let numbers: Map<String, Value> =
        serde_json::from_slice(&read_file(&path).map_err(missing)?).map_err(|e| Error::from(e).at(&path))?;
    let named = folder.join("tokenizer_config.json");
    let named = if named.is_file() { Config::read(&named)? } else { Config::new(named, Map::new()) };
    let word = |key: &str| named.get(key).and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
    let delimiter = word("word_delimiter_token").unwrap_or("|");
    let special: Vec<&str> = ["pad_token", "bos_token", "eos_token", "unk_token"]
        .into_iter()
        .zip(["<pad>", "<s>", "</s>", "<unk>"])
        .map(|(key, usual)| word(key).unwrap_or(usual))
        .collect();
    let mut letters = vec![String::new(); classes];
    for (text, number) in &numbers {
        let place = number.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| letters.get_mut(n));
        let place = place.ok_or_else(|| {
            Error::new(format!("'{text}' has number {number}, but the head says {classes}")).at(&path)
        })?;
        *place = match text.as_str() {
            text if text == delimiter => " ".to_owned(),
            text if special.contains(&text) => String::new(),
            text => text.to_owned(),
        };
    }
    let pad = special.first().and_then(|pad| numbers.get(*pad)).and_then(Value::as_u64);
    let none = config.token_opt("pad_token_id").or_else(|| pad.and_then(|n| u32::try_from(n).ok())).unwrap_or(0);
    Ok(Letters { letters, none })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_what_is_no_letter_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = r#"{"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "L": 6, "H": 7, "O": 8}"#;
        std::fs::write(folder.path().join("vocab.json"), vocabulary).unwrap();
        let config = Config::new("config.json", Map::new());
        let letters = read_letters(folder.path(), &config, 9).unwrap();
        // As `Wav2Vec2CTCTokenizer.decode` has it.
        let said = [0, 7, 7, 0, 5, 6, 6, 0, 6, 8, 4, 4, 0, 4, 1, 7, 8, 8, 4];
        assert_eq!(letters.text(&said), "HELLO HO");
        let error = read_letters(folder.path(), &config, 5).unwrap_err().to_string();
        assert!(error.contains("'E' has number 5, but the head says 5"), "{error}");
    }
}
