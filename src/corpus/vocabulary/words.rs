//! `vocab.txt`: a token in each line, whose number is its id.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::added::add_all;
use super::builder::{TokenizerBuilder, assembled};
use crate::checkpoint::read_text;
use crate::error::{Error, Result};

/// WordPiece behind BERT's normalizer (Devlin et al. 2018).
pub(super) fn word_pieces(builder: &TokenizerBuilder<'_>) -> Result<Tokenizer> {
    let path = builder.file(&["vocab.txt"])?;
    let vocabulary: Map<String, Value> =
        lines(&path)?.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    let unknown = builder.needed("unk_token")?;
    // Without its basic tokenizer the class neither lowers case nor splits.
    let basic = builder.flag("do_basic_tokenize", true);
    let accents = builder.settings.config.get("strip_accents").cloned().unwrap_or(Value::Null);
    let normalizer = json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": basic && builder.flag("tokenize_chinese_chars", true),
        "strip_accents": if basic { accents } else { json!(false) },
        "lowercase": basic && builder.flag("do_lower_case", true),
    });
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    });
    let decoder = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    assembled(&path, model, normalizer, json!({"type": "BertPreTokenizer"}), decoder)
}

/// Tokens that are found anywhere in text, the longest first; what lies between is unknown, word by word.
pub(super) fn residues(builder: &TokenizerBuilder<'_>) -> Result<Tokenizer> {
    let path = builder.file(&["vocab.txt"])?;
    let tokens: Vec<String> = lines(&path)?.iter().map(|token| token.trim().to_owned()).collect();
    let vocabulary: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let model = json!({"type": "WordLevel", "unk_token": builder.needed("unk_token")?, "vocab": vocabulary});
    let mut tokenizer = assembled(&path, model, Value::Null, json!({"type": "WhitespaceSplit"}), Value::Null)?;
    add_all(
        &mut tokenizer,
        tokens.into_iter().map(|token| AddedToken::from(token, false).normalized(false)).collect(),
    )?;
    Ok(tokenizer)
}

/// The lines of a file, as Python reads them.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)
        .map_err(|e| Error::new(format!("cannot read the vocabulary: {e}")).at(path))?
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Err(Error::new("the vocabulary is empty").at(path));
    }
    Ok(text.split('\n').map(str::to_owned).collect())
}
