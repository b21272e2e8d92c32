//! Pieces of sentencepiece whose ids a list of its own says: M2M-100 and Marian.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::{AddedToken, Encoding, Tokenizer};

use super::added::add;
use super::builder::TokenizerBuilder;
use super::pieces::{faithful, model_of};
use super::rules::{M2M100, VocabularySource, WMT21};
use super::subwords::SubwordModel;
use crate::checkpoint::read_file;
use crate::error::{Error, Result};

/// Ids may lie this much above the number of tokens.
const SPARE: u64 = 1 << 16;

/// Ids of tokens by their texts.
#[derive(Clone, Debug)]
pub(in crate::corpus) struct NumberedPieces {
    ids: HashMap<String, u32>,
    /// By id; empty where no token has it.
    tokens: Vec<String>,
    unknown: u32,
    special: Vec<u32>,
    /// Whether a text may begin with the language to translate into: `>>de<<`.
    names_language: bool,
}

impl NumberedPieces {
    fn new(ids: HashMap<String, u32>, unknown: &str, path: &Path) -> Result<Self> {
        let length = ids.values().max().map_or(0, |id| *id as usize + 1);
        let mut tokens = vec![String::new(); length];
        for (text, id) in &ids {
            tokens[*id as usize].clone_from(text);
        }
        let missing = || Error::new(format!("the vocabulary has no '{unknown}'")).at(path);
        let unknown = *ids.get(unknown).ok_or_else(missing)?;
        Ok(Self { ids, tokens, unknown, special: Vec::new(), names_language: false })
    }

    /// The id of a token.
    pub(in crate::corpus) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// The token with this id.
    pub(in crate::corpus) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Ids that there are.
    pub(in crate::corpus) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Ids of special tokens, ascending.
    pub(in crate::corpus) fn special(&self) -> &[u32] {
        &self.special
    }

    /// The ids of an encoding: by the texts of its tokens, since a text that no piece stands for may be in the list.
    pub(in crate::corpus) fn of(&self, encoding: &Encoding) -> Vec<u32> {
        encoding.get_tokens().iter().map(|text| self.id(text).unwrap_or(self.unknown)).collect()
    }

    /// The token of the language that `text` names in front, and the rest.
    pub(in crate::corpus) fn language<'t>(&self, text: &'t str) -> (Option<u32>, &'t str) {
        match text.find("<<") {
            Some(end) if self.names_language && text.starts_with(">>") => {
                let (code, rest) = text.split_at(end + 2);
                (Some(self.id(code).unwrap_or(self.unknown)), rest)
            }
            _ => (None, text),
        }
    }

    /// The text of ids, special tokens left out.
    pub(in crate::corpus) fn text(&self, ids: &[u32]) -> String {
        let texts = ids.iter().filter(|id| self.special.binary_search(id).is_err()).filter_map(|id| self.token(*id));
        texts.collect::<String>().replace('\u{2581}', " ").trim().to_owned()
    }
}

/// A tokenizer that was built.
pub(in crate::corpus) struct BuiltTokenizer {
    pub(in crate::corpus) tokenizer: Tokenizer,
    /// Where tokens have other ids than the tokenizer gives.
    pub(in crate::corpus) numbered: Option<NumberedPieces>,
    /// The tokenizer of texts to be written, where it is another.
    pub(in crate::corpus) target: Option<Tokenizer>,
}

/// A model of sentencepiece behind lower case, without punctuation: SigLIP's.
pub(super) fn bare(builder: &TokenizerBuilder<'_>) -> Result<BuiltTokenizer> {
    let (path, model) = model_of(builder)?;
    let ids = model.pieces.iter().zip(0..).map(|(piece, id)| (piece.text.clone(), id)).collect();
    let regex = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"Regex": from}, "content": to});
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "Prepend", "prepend": "\u{2581}"}),
    ];
    if builder.flag("do_lower_case", true) {
        steps.push(json!({"type": "Lowercase"}));
    }
    steps.extend([regex(r"[!-/:-@\[-`{-~]", ""), regex(r"\s+", " ")]);
    let mut numbered = NumberedPieces::new(ids, &builder.needed("unk_token")?, &path)?;
    let tokenizer = marked(builder, faithful(&path, &model, Some(steps))?, &mut numbered)?;
    Ok(BuiltTokenizer { tokenizer, numbered: Some(numbered), target: None })
}

/// A model of sentencepiece, `vocab.json`, and the languages after it.
pub(super) fn numbered(builder: &TokenizerBuilder<'_>) -> Result<BuiltTokenizer> {
    let (path, model) = model_of(builder)?;
    let (list, mut ids) = listed(builder)?;
    let first = ids.values().max().map_or(0, |id| *id + 1);
    for (token, id) in language_tokens(builder).into_iter().zip(first..) {
        ids.insert(token, id);
    }
    let mut numbered = NumberedPieces::new(ids, &builder.needed("unk_token")?, &list)?;
    let tokenizer = marked(builder, faithful(&path, &model, None)?, &mut numbered)?;
    Ok(BuiltTokenizer { tokenizer, numbered: Some(numbered), target: None })
}

/// `source.spm`, `target.spm` and `vocab.json`.
pub(super) fn two_models(builder: &TokenizerBuilder<'_>) -> Result<BuiltTokenizer> {
    if builder.flag("separate_vocabs", false) {
        let what = "source and target have vocabularies of their own ('separate_vocabs'), which is not supported";
        return Err(Error::new(what).at(builder.settings.folder).hint("give --tokens"));
    }
    let (list, ids) = listed(builder)?;
    let mut numbered = NumberedPieces::new(ids, &builder.needed("unk_token")?, &list)?;
    numbered.names_language = true;
    let mut read = |name: &str| -> Result<Tokenizer> {
        let path = builder.file(&[name])?;
        marked(builder, faithful(&path, &SubwordModel::read(&path)?, None)?, &mut numbered)
    };
    let (tokenizer, target) = (read("source.spm")?, read("target.spm")?);
    Ok(BuiltTokenizer { tokenizer, numbered: Some(numbered), target: Some(target) })
}

/// Lets the special tokens be found in text.
fn marked(
    builder: &TokenizerBuilder<'_>,
    mut tokenizer: Tokenizer,
    numbered: &mut NumberedPieces,
) -> Result<Tokenizer> {
    let named = builder.rule.tokens.iter().filter_map(|rule| builder.text(rule.0));
    for text in named.chain(language_tokens(builder)) {
        let Some(id) = numbered.id(&text) else { continue };
        let rule = builder.rule.tokens.iter().find(|rule| builder.text(rule.0).as_ref() == Some(&text));
        let token = rule.and_then(|rule| builder.token(rule));
        add(&mut tokenizer, token.unwrap_or_else(|| AddedToken::from(text, true)))?;
        if let Err(place) = numbered.special.binary_search(&id) {
            numbered.special.insert(place, id);
        }
    }
    Ok(tokenizer)
}

/// Tokens of the languages of M2M-100; none of other classes.
pub(super) fn language_tokens(builder: &TokenizerBuilder<'_>) -> Vec<String> {
    if builder.rule.source != VocabularySource::NumberedSubwords {
        return Vec::new();
    }
    let codes = builder.settings.config.get("language_codes").and_then(Value::as_str);
    let languages = if codes == Some("wmt21") { WMT21 } else { M2M100 };
    languages.iter().map(|code| format!("__{code}__")).collect()
}

/// `vocab.json` with its path.
fn listed(builder: &TokenizerBuilder<'_>) -> Result<(std::path::PathBuf, HashMap<String, u32>)> {
    let path = builder.file(&["vocab.json"])?;
    let bytes = read_file(&path).map_err(|e| Error::from(e).at(&path))?;
    let ids: HashMap<String, u64> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(format!("not a vocabulary that can be read: {e}")).at(&path))?;
    let most = ids.len() as u64 + SPARE;
    if let Some((text, id)) = ids.iter().find(|(_, id)| **id >= most) {
        let what = format!("'{text}' has id {id}, far above the number of tokens, {}", ids.len());
        return Err(Error::new(what).at(&path));
    }
    let ids = ids.into_iter().map(|(text, id)| (text, id as u32)).collect();
    Ok((path, ids))
}
