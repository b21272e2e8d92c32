//! Side files that readers of ONNX folders want and checkpoints often lack.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::checkpoint::{read_text, write_atomically};
use crate::corpus::TextTokenizer;
use crate::engines::special_tokens::content;
use crate::error::Result;
use crate::network::{InputSpec, NetworkSpec};

/// Names under which special tokens stand in `tokenizer_config.json`.
const SPECIAL: [&str; 6] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token"];

/// Length that is written where neither tokenizer nor model names one.
const LENGTH: usize = 512;

/// Makes `tokenizer_config.json` and `special_tokens_map.json` in `folder` hold what fastembed reads: the longest length
/// as a number, the padding token as text, a map of special tokens. Says what was added.
pub(in crate::engines) fn complete(folder: &Path, spec: &NetworkSpec) -> Result<Vec<String>> {
    let path = folder.join("tokenizer_config.json");
    let mut notes = Vec::new();
    let whole = folder.join("tokenizer.json");
    if !whole.is_file() && TextTokenizer::is_in(folder) {
        match TextTokenizer::load(folder).and_then(|tokenizer| tokenizer.json()) {
            Ok(file) => {
                write_atomically(&whole, (serde_json::to_string(&file)? + "\n").as_bytes())?;
                notes.push("tokenizer.json was built from the tokenizer's other files".to_owned());
            }
            Err(error) => notes.push(format!("no tokenizer.json could be built: {error}")),
        }
    }
    let (Ok(text), true) = (read_text(&path), whole.is_file()) else {
        return Ok(notes);
    };
    let Ok(Value::Object(mut config)) = serde_json::from_str::<Value>(&text) else { return Ok(notes) };
    let map_path = folder.join("special_tokens_map.json");
    let map = read_text(&map_path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let longest = spec.encoder.as_ref().or(spec.decoder.as_ref()).and_then(|stack| match &stack.input {
        InputSpec::Tokens(tokens) => tokens.max_length,
        InputSpec::Patches(_) | InputSpec::Frames(_) | InputSpec::Samples(_) => None,
    });
    // Transformers writes a huge float where there is no limit.
    let limit = config.get("model_max_length").and_then(Value::as_u64).filter(|n| *n < 1 << 40);
    if limit.is_none() {
        config.insert("model_max_length".to_owned(), json!(longest.unwrap_or(LENGTH)));
        notes.push(format!("tokenizer_config.json: model_max_length is {}", longest.unwrap_or(LENGTH)));
    }
    if !config.get("pad_token").is_some_and(Value::is_string) {
        let other = map.as_ref().and_then(|map| map.get("pad_token"));
        let found = config.get("pad_token").and_then(content).or_else(|| other.and_then(content));
        if let Some(pad) = found.or_else(|| config.get("eos_token").and_then(content)) {
            notes.push(format!("tokenizer_config.json: pad_token is '{pad}'"));
            config.insert("pad_token".to_owned(), json!(pad));
        }
    }
    if !notes.is_empty() {
        write_atomically(&path, (serde_json::to_string_pretty(&Value::Object(config.clone()))? + "\n").as_bytes())?;
    }
    if map.is_none() {
        let map: Map<String, Value> =
            SPECIAL.iter().filter_map(|name| Some(((*name).to_owned(), json!(content(config.get(*name)?)?)))).collect();
        if !map.is_empty() {
            write_atomically(&map_path, (serde_json::to_string_pretty(&Value::Object(map))? + "\n").as_bytes())?;
            notes.push("special_tokens_map.json was written from tokenizer_config.json".to_owned());
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn what_is_missing_is_added_and_said() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let spec = Model::open(fixtures.join("bert")).unwrap().spec().clone();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("tokenizer.json", "{}");
        write(
            "tokenizer_config.json",
            r#"{"model_max_length": 1e30, "pad_token": {"content": "[PAD]"}, "cls_token": "[CLS]"}"#,
        );
        assert_eq!(complete(folder.path(), &spec).unwrap().len(), 3);
        let read = |name: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(folder.path().join(name)).unwrap()).unwrap()
        };
        assert_eq!(read("tokenizer_config.json")["pad_token"], "[PAD]");
        assert!(read("tokenizer_config.json")["model_max_length"].is_u64());
        assert_eq!(read("special_tokens_map.json"), json!({"pad_token": "[PAD]", "cls_token": "[CLS]"}));
        assert!(complete(folder.path(), &spec).unwrap().is_empty());
    }
}
