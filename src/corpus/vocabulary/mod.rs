//! Tokenizers of folders without `tokenizer.json`, built from the files that such folders have.
//!
//! What is built is what transformers 4.57.6 builds, whose `tokenizer.json` files most published models carry. (Its release
//! 5.24 reads some of these files otherwise: without `<s>` before texts of Llama, without the characters' rules of mBART.)
//! Of classes that run sentencepiece itself (Marian, M2M-100, SigLIP) ids are those of sentencepiece but in corners: a mark
//! that combines with a character that the rules rewrite is lost, equally likely pieces come in another order, and after a
//! special token in the midst of a text SigLIP's pieces begin a word.
//!
//! | module | job |
//! | --- | --- |
//! | `rules` | the classes of tokenizers, a row each |
//! | `words`, `bytes` | `vocab.txt`; `vocab.json` with `merges.txt` |
//! | `subwords`, `pieces` | the model file of sentencepiece; its pieces as a vocabulary |
//! | `numbered` | pieces that a list of its own numbers |

mod bytes;
mod numbered;
mod pieces;
mod rules;
mod subwords;
mod words;

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::tokenizer_files::{SPECIAL, add, content, described};
use crate::error::{Error, Result};

pub(super) use numbered::NumberedPieces;
use rules::{RULES, RuleToken, TextFrame, TokenMatch, TokenizerRule, VocabularySource, usual_language};
pub(super) use subwords::check_rules;

/// Files that a tokenizer can be built from, each alone or the first of two.
const FILES: [&str; 8] = [
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "spm.model",
    "sentencepiece.model",
    "source.spm",
];

/// What to do where a tokenizer cannot be built.
pub(super) const ANOTHER_WAY: &str =
    "write a tokenizer.json with AutoTokenizer.from_pretrained(..).save_pretrained(..), or give --tokens";

/// Whether `folder` holds a file that a tokenizer can be built from.
pub(super) fn has_files(folder: &Path) -> bool {
    FILES.iter().any(|name| folder.join(name).is_file())
}

/// What a folder says of its tokenizer beside the vocabulary.
pub(super) struct TokenizerSettings<'a> {
    pub(super) folder: &'a Path,
    /// `tokenizer_config.json`.
    pub(super) config: &'a Map<String, Value>,
    /// `special_tokens_map.json`.
    pub(super) special: &'a Map<String, Value>,
}

/// A tokenizer that was built.
pub(super) struct BuiltTokenizer {
    pub(super) tokenizer: Tokenizer,
    /// Where tokens have other ids than the tokenizer gives.
    pub(super) numbered: Option<NumberedPieces>,
    /// The tokenizer of texts to be written, where it is another.
    pub(super) target: Option<Tokenizer>,
}

/// A class whose tokenizer is being built.
pub(super) struct TokenizerBuilder<'a> {
    settings: TokenizerSettings<'a>,
    class: String,
    rule: &'static TokenizerRule,
}

impl<'a> TokenizerBuilder<'a> {
    /// The class that the files name, else that of the model.
    ///
    /// # Errors
    /// Where the class is none that can be built.
    pub(super) fn new(settings: TokenizerSettings<'a>) -> Result<Self> {
        let folder = settings.folder;
        let model = super::tokenizer_files::optional(folder, "config.json")?;
        let class = class_of(settings.config).or_else(|| class_of(&model));
        let kind = model.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let rule = match &class {
            Some(class) => RULES.iter().find(|rule| rule.classes.contains(&class.as_str())),
            None => RULES.iter().find(|rule| rule.model_types.contains(&kind)),
        };
        let class = class.or_else(|| rule.and_then(|rule| rule.classes.first()).map(|class| (*class).to_owned()));
        let Some((rule, class)) = rule.zip(class.clone()) else {
            let what = match class {
                Some(class) => format!("a {class} cannot be built from the files of the folder"),
                None => format!("no file says which tokenizer a model of type '{kind}' has"),
            };
            return Err(Error::new(what).at(folder).hint(ANOTHER_WAY));
        };
        Ok(Self { settings, class, rule })
    }

    /// The tokenizer without its added and special tokens, but those of the vocabulary.
    ///
    /// # Errors
    /// Where a file is missing or broken.
    pub(super) fn vocabulary(&self) -> Result<BuiltTokenizer> {
        let alone = |tokenizer| BuiltTokenizer { tokenizer, numbered: None, target: None };
        match self.rule.source {
            VocabularySource::WordPieces => words::word_pieces(self).map(alone),
            VocabularySource::Residues => words::residues(self).map(alone),
            VocabularySource::BytePairs(split) => bytes::byte_pairs(self, split).map(alone),
            VocabularySource::Subwords(scheme) => pieces::subwords(self, scheme).map(alone),
            VocabularySource::BareSubwords => numbered::bare(self),
            VocabularySource::NumberedSubwords => numbered::numbered(self),
            VocabularySource::TwoModels => numbered::two_models(self),
        }
    }

    /// Adds the special tokens of the class, and puts those around a text that belong there.
    pub(super) fn finish(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        for key in SPECIAL {
            let Some(rule) = self.rule.tokens.iter().find(|rule| rule.0 == key) else { continue };
            if let Some(token) = self.token(rule) {
                let is_plain = rule.2 == TokenMatch::Exact && !self.named(key).is_some_and(Value::is_object);
                if !(is_plain && is_added(tokenizer, &token.content)) {
                    add(tokenizer, token)?;
                }
            }
        }
        for text in self.more_tokens() {
            if !is_added(tokenizer, &text) {
                add(tokenizer, AddedToken::from(text, true))?;
            }
        }
        let (single, pair) = match self.rule.around {
            TextFrame::Nothing => return Ok(()),
            TextFrame::Always { single, pair } => (single.to_owned(), pair.to_owned()),
            TextFrame::Begins if self.flag("add_bos_token", false) => ("bos $A".to_owned(), "bos $A $B:1".to_owned()),
            TextFrame::Begins => return Ok(()),
            TextFrame::Switches { begins } => {
                switched(self.flag("add_bos_token", begins), self.flag("add_eos_token", false))
            }
        };
        self.surround(tokenizer, &single, &pair)
    }

    /// Puts special tokens around a text, and two.
    fn surround(&self, tokenizer: &mut Tokenizer, single: &str, pair: &str) -> Result<()> {
        surround(tokenizer, single, pair, |name| match name {
            "language" => Some(self.language_token()),
            _ => self.text(&format!("{name}_token")),
        })
        .map_err(|e| e.at(self.settings.folder))
    }

    /// The token of the language that texts are in.
    fn language_token(&self) -> String {
        let language = self.settings.config.get("src_lang").and_then(Value::as_str);
        let language = language.unwrap_or_else(|| usual_language(&self.class));
        if self.rule.source == VocabularySource::NumberedSubwords {
            format!("__{language}__")
        } else {
            language.to_owned()
        }
    }

    /// What files say of a special token: `special_tokens_map.json` counts only where no ids of added tokens are given.
    fn named(&self, key: &str) -> Option<&Value> {
        let TokenizerSettings { config, special, .. } = self.settings;
        let special = if config.contains_key("added_tokens_decoder") { None } else { special.get(key) };
        special.or_else(|| config.get(key))
    }

    /// A special token, where the class has it and no file says that there is none.
    fn token(&self, (key, text, found): &RuleToken) -> Option<AddedToken> {
        let plain = |text: &str| {
            let token = AddedToken::from(text.to_owned(), true);
            match found {
                TokenMatch::Exact => token,
                TokenMatch::AfterSpaces => token.lstrip(true),
                TokenMatch::BetweenSpaces => token.lstrip(true).rstrip(true),
                TokenMatch::Normalized => token.normalized(true),
            }
        };
        match self.named(key) {
            None => Some(plain(text)),
            Some(Value::String(text)) => Some(plain(text)),
            Some(value) => {
                let text = content(value)?;
                let normalized = value.get("normalized").and_then(Value::as_bool).unwrap_or(true);
                Some(AddedToken { special: true, normalized, ..described(&text, value) })
            }
        }
    }

    /// The text of a special token under its key.
    fn text(&self, key: &str) -> Option<String> {
        let rule = self.rule.tokens.iter().find(|rule| rule.0 == key)?;
        self.token(rule).map(|token| token.content)
    }

    /// The text of a special token that the vocabulary needs.
    fn needed(&self, key: &str) -> Result<String> {
        self.text(key).ok_or_else(|| {
            let what = format!("a {} needs '{key}', which tokenizer_config.json says is none", self.class);
            Error::new(what).at(self.settings.folder)
        })
    }

    fn flag(&self, key: &str, usual: bool) -> bool {
        self.settings.config.get(key).and_then(Value::as_bool).unwrap_or(usual)
    }

    fn number(&self, key: &str, usual: usize) -> Result<usize> {
        /// More of them are refused before they size anything.
        const MOST: u64 = 1 << 16;
        match self.settings.config.get(key) {
            None | Some(Value::Null) => Ok(usual),
            Some(value) => value.as_u64().filter(|n| *n <= MOST).map(|n| n as usize).ok_or_else(|| {
                let what = format!("'{key}' is not a number from 0 to {MOST}");
                Error::new(what).at(self.settings.folder.join("tokenizer_config.json"))
            }),
        }
    }

    /// Tokens that the class adds to its vocabulary as special ones.
    fn more_tokens(&self) -> Vec<String> {
        match self.rule.source {
            VocabularySource::Subwords(scheme) => pieces::more_tokens(self, scheme),
            VocabularySource::NumberedSubwords => numbered::language_tokens(self),
            _ => Vec::new(),
        }
    }

    /// A file of the folder that the class needs.
    fn file(&self, names: &[&str]) -> Result<std::path::PathBuf> {
        let found = names.iter().map(|name| self.settings.folder.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| {
            let what = format!("a {} needs tokenizer.json or {}, and none is there", self.class, names.join(" or "));
            Error::new(what).at(self.settings.folder).hint(ANOTHER_WAY)
        })
    }
}

/// Replaces what `tokenizer` puts around texts by what `add_bos_token` and `add_eos_token` say, where the class heeds them,
/// and by the language that `src_lang` names.
pub(super) fn heed_switches(tokenizer: &mut Tokenizer, settings: TokenizerSettings<'_>) -> Result<()> {
    const HEEDS_BOTH: [&str; 4] = ["LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer"];
    let (config, folder) = (settings.config, settings.folder);
    let Some(class) = class_of(config) else { return Ok(()) };
    let named = |key: &str| settings.special.get(key).or_else(|| config.get(key)).and_then(content);
    if HEEDS_BOTH.contains(&class.as_str()) {
        let flag = |key: &str| config.get(key).and_then(Value::as_bool);
        if let (None, None) = (flag("add_bos_token"), flag("add_eos_token")) {
            return Ok(());
        }
        let (single, pair) = switched(flag("add_bos_token").unwrap_or(true), flag("add_eos_token").unwrap_or(false));
        return surround(tokenizer, &single, &pair, |name| named(&format!("{name}_token"))).map_err(|e| e.at(folder));
    }
    let language = config.get("src_lang").and_then(Value::as_str);
    let (Some(language), Some(rule)) = (language, RULES.iter().find(|rule| rule.classes.contains(&class.as_str())))
    else {
        return Ok(());
    };
    match rule.around {
        TextFrame::Always { single, pair } if single.contains("language") => {
            let usual = |name: &str| rule.tokens.iter().find(|token| token.0 == name).map(|token| token.1.to_owned());
            surround(tokenizer, single, pair, |name| match name {
                "language" => Some(language.to_owned()),
                _ => named(&format!("{name}_token")).or_else(|| usual(&format!("{name}_token"))),
            })
            .map_err(|e| e.at(folder))
        }
        _ => Ok(()),
    }
}

/// What the switches put around one text and two.
fn switched(begins: bool, ends: bool) -> (String, String) {
    let (front, back) = (if begins { "bos " } else { "" }, if ends { " eos" } else { "" });
    let (second, last) = (if begins { "bos:1 " } else { "" }, if ends { " eos:1" } else { "" });
    let single = format!("{front}$A{back}");
    let pair = format!("{single} {second}$B:1{last}");
    (single, pair)
}

/// Puts special tokens around a text, and two; `text` gives the text of a token by its name.
fn surround(tokenizer: &mut Tokenizer, single: &str, pair: &str, text: impl Fn(&str) -> Option<String>) -> Result<()> {
    let mut used = Map::new();
    let mut template = |pattern: &str| -> Result<Value> {
        let parts = pattern.split_whitespace().map(|part| {
            let (name, kind) = part.split_once(':').map_or((part, 0), |(name, _)| (name, 1));
            if let Some(which) = name.strip_prefix('$') {
                return Ok(json!({"Sequence": {"id": which, "type_id": kind}}));
            }
            let token = text(name).ok_or_else(|| Error::new(format!("the tokenizer has no '{name}_token'")))?;
            let id = tokenizer
                .token_to_id(&token)
                .ok_or_else(|| Error::new(format!("the tokenizer's vocabulary has no '{token}'")))?;
            used.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
            Ok(json!({"SpecialToken": {"id": token, "type_id": kind}}))
        });
        Ok(Value::Array(parts.collect::<Result<_>>()?))
    };
    let (single, pair) = (template(single)?, template(pair)?);
    let processor = json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": used});
    let processor: PostProcessorWrapper = serde_json::from_value(processor)?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

/// The class that a file names, without `Fast`; none where the name stands for no class of its own.
fn class_of(keys: &Map<String, Value>) -> Option<String> {
    const OF_ANY: [&str; 4] = ["PreTrainedTokenizer", "TokenizersBackend", "PythonBackend", "SentencePieceBackend"];
    let class = keys.get("tokenizer_class")?.as_str()?;
    let class = class.strip_suffix("Fast").unwrap_or(class);
    (!OF_ANY.contains(&class)).then(|| class.to_owned())
}

/// Whether a token is found in text before the model sees it.
pub(super) fn is_added(tokenizer: &Tokenizer, text: &str) -> bool {
    tokenizer.get_added_tokens_decoder().values().any(|known| known.content == text)
}

/// A tokenizer of the parts that a `tokenizer.json` has.
fn assembled(path: &Path, model: Value, normalizer: Value, pre_tokenizer: Value, decoder: Value) -> Result<Tokenizer> {
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    });
    Tokenizer::from_bytes(file.to_string())
        .map_err(|e| Error::new(format!("no tokenizer can be built of it: {e}")).at(path))
}
