//! Tokenizers that are built of a folder's files give the ids that transformers gives, on 190 kB of text in many scripts.
use std::io::Read;
use std::path::{Path, PathBuf};

use pillars::corpus::TextTokenizer;
use pillars::model::Model;
use pillars::plan::Plan;
use pillars::pruning::{ExportFormat, ExportOptions, export};
use pillars::task::Ticket;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::common::fixtures;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers")
}

/// Every line of `mixed.txt.gz`.
fn lines() -> Vec<String> {
    let file = std::fs::File::open(data().join("mixed.txt.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.trim_end_matches('\n').split('\n').map(str::to_owned).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_kind_gives_the_ids_of_transformers() {
    let lines = lines();
    let mut wrong = Vec::new();
    let mut kinds: Vec<PathBuf> =
        std::fs::read_dir(data().join("kinds")).unwrap().map(|entry| entry.unwrap().path()).collect();
    kinds.sort();
    assert!(kinds.len() >= 30);
    for kind in &kinds {
        let name = kind.file_name().unwrap().to_string_lossy();
        let reference = read(&kind.join("reference.json"));
        let tokenizer = match TextTokenizer::load(kind) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        assert_eq!(reference["lines"], json!(lines.len()));
        // `make.py` says why.
        let left_out: Vec<usize> = serde_json::from_value(reference["left_out"].clone()).unwrap();
        assert!(left_out.len() * 20 < lines.len());
        let ids = lines.iter().enumerate().map(|(i, line)| match left_out.contains(&i) {
            true => Vec::new(),
            false => tokenizer.wrap(&tokenizer.encode(line).unwrap()),
        });
        let ids: Vec<Vec<u32>> = ids.collect();
        let mut hash = Sha256::new();
        ids.iter().flatten().for_each(|id| hash.update(id.to_le_bytes()));
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let first = reference["first"].as_array().unwrap();
        let differs = first.iter().zip(&ids).position(|(expected, ids)| *expected != json!(ids));
        if let Some(at) = differs {
            wrong.push(format!("{name}: line {at} {:?}\n  {:?}\n  {}", lines[at], ids[at], first[at]));
        } else if reference["sha256"] != json!(hash) {
            wrong.push(format!("{name}: a later line"));
        }
        if let Ok(folder) = std::env::var("PILLARS_DUMP") {
            std::fs::write(Path::new(&folder).join(format!("{name}.json")), json!(ids).to_string()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} of {} kinds:\n{}", wrong.len(), kinds.len(), wrong.join("\n"));
}

#[test]
fn marian_reads_what_it_is_to_write_with_its_other_model() {
    let folder = data().join("kinds/marian");
    let (tokenizer, reference) = (TextTokenizer::load(&folder).unwrap(), read(&folder.join("reference.json")));
    let (targets, texts) = (reference["target"].as_array().unwrap(), reference["decoded"].as_array().unwrap());
    assert_eq!(targets.len(), 20);
    for ((line, ids), text) in lines().iter().zip(targets).zip(texts) {
        let target = tokenizer.target();
        let found = target.wrap(&target.encode(line).unwrap());
        assert_eq!(json!(found), *ids, "{line}");
        assert_eq!(json!(target.decode(&found).unwrap()), *text);
    }
    let named = tokenizer.encode(">>de<< Hello").unwrap();
    assert_eq!(named[0], 2);
    assert_eq!(named[1..], tokenizer.encode("Hello").unwrap());
}

/// A folder with the files of a kind of tokenizer.
fn copy_of(kind: &str, into: &Path) {
    for entry in std::fs::read_dir(data().join("kinds").join(kind)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "config.json" && name != "reference.json" {
            std::fs::copy(&path, into.join(name)).unwrap();
        }
    }
}

#[test]
fn a_pruned_model_keeps_its_tokenizer() {
    for kind in ["llama", "marian", "gpt2", "bert", "m2m_100", "roberta-switched"] {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixtures().join("llama").join(name), folder.path().join(name)).unwrap();
        }
        copy_of(kind, folder.path());
        let written = tempfile::tempdir().unwrap();
        let out = written.path().join("out");
        let model = Model::open(folder.path()).unwrap();
        let plan = Plan::parse_any(r#"{"decoder.0": [0, 1]}"#).unwrap();
        let options = ExportOptions { timing: None, ..ExportOptions::default() };
        export(&model, &plan, ExportFormat::Masked, &out, &options, None, &Ticket::default()).unwrap();
        let (before, after) = (TextTokenizer::load(folder.path()).unwrap(), TextTokenizer::load(&out).unwrap());
        for line in &lines()[..60] {
            assert_eq!(before.encode(line).unwrap(), after.encode(line).unwrap(), "{kind}: {line}");
        }
        assert_eq!((before.prefix(), before.suffix()), (after.prefix(), after.suffix()));
    }
}

#[test]
fn a_tokenizer_that_cannot_be_built_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let refused = |words: &[&str]| {
        let text = TextTokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    write("config.json", r#"{"model_type": "bert"}"#);
    refused(&["tokenizer.json", "save_pretrained"]);
    write("vocab.txt", "[UNK]\na\n");
    write("tokenizer_config.json", r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#);
    refused(&["a BertJapaneseTokenizer cannot be built", "save_pretrained"]);
    write("tokenizer_config.json", r#"{"tokenizer_class": "LlamaTokenizer"}"#);
    refused(&["a LlamaTokenizer needs tokenizer.json", "or tokenizer.model"]);
    // Its files are those of a BERT, but nothing says that it is one of theirs.
    write("vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n");
    for class in ["PreTrainedTokenizerFast", "TokenizersBackend"] {
        write("tokenizer_config.json", &format!(r#"{{"tokenizer_class": "{class}"}}"#));
        refused(&[&format!("names a {class}"), "that file is not there", "--tokens"]);
    }
    write("tokenizer_config.json", "{}");
    assert_eq!(TextTokenizer::load(folder.path()).unwrap().encode("a b").unwrap(), [3, 0]);
    write("config.json", r#"{"model_type": "whale"}"#);
    refused(&["no file says which tokenizer a model of type 'whale' has"]);
    // A list of tokens and ranks, which some models call so.
    write("config.json", r#"{"model_type": "llama"}"#);
    write("tokenizer.model", "IQ== 0\nIg== 1\n");
    refused(&["not a model of sentencepiece"]);
    for (file, text) in [("vocab.json", r#"{"a": 4000000000}"#), ("vocab.json", r#"{"a": -1}"#), ("vocab.json", "[]")] {
        copy_of("marian", folder.path());
        write(file, text);
        assert!(TextTokenizer::load(folder.path()).is_err(), "{text}");
    }
    copy_of("nllb", folder.path());
    write("tokenizer_config.json", r#"{"tokenizer_class": "NllbTokenizer"}"#);
    refused(&["the ids of languages"]);
}
