//! Models whose tokenizer reads words that a test can count.

use std::path::Path;

use pillars::model::Model;

/// The model of a folder with a tokenizer of whole words beside it: `w10` is id 10; `[CLS]`, `[SEP]` are 1 and 2; `un` and
/// `##do` are pieces of one word.
pub fn model_of(source: &Path) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    let mut vocabulary = serde_json::json!({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "un": 4, "##do": 5});
    for id in 6..90 {
        vocabulary[format!("w{id}")] = id.into();
    }
    let special = |id: u32, name: &str| serde_json::json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let sequence = |id: &str, kind: u32| serde_json::json!({"Sequence": {"id": id, "type_id": kind}});
    let token = |id: &str, kind: u32| serde_json::json!({"SpecialToken": {"id": id, "type_id": kind}});
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[CLS]"), special(2, "[SEP]"), special(3, "[UNK]")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0)],
            "pair": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0), sequence("B", 1), token("[SEP]", 1)],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]},
            },
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let model = Model::open(folder.path()).unwrap();
    (folder, model)
}
