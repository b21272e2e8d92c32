//! A class of tokenizers with what a folder says of it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::added::{content, described, optional};
use super::rules::{RULES, RuleToken, TextFrame, TokenMatch, TokenizerRule, VocabularySource, usual_language};
use crate::error::{Error, Result};

/// What to do where a tokenizer cannot be built.
pub(in crate::corpus) const ANOTHER_WAY: &str =
    "write a tokenizer.json with AutoTokenizer.from_pretrained(..).save_pretrained(..), or give --tokens";

/// What a folder says of its tokenizer beside the vocabulary.
pub(in crate::corpus) struct TokenizerSettings<'a> {
    pub(in crate::corpus) folder: &'a Path,
    /// What `tokenizer_config.json` holds.
    pub(in crate::corpus) config: &'a Map<String, Value>,
    /// What `special_tokens_map.json` holds.
    pub(in crate::corpus) special: &'a Map<String, Value>,
}

/// A class whose tokenizer is being built.
pub(in crate::corpus) struct TokenizerBuilder<'a> {
    pub(super) settings: TokenizerSettings<'a>,
    class: String,
    pub(super) rule: &'static TokenizerRule,
}

impl<'a> TokenizerBuilder<'a> {
    /// The class that the files name, else that of the model.
    ///
    /// # Errors
    /// Where the class is none that can be built.
    pub(in crate::corpus) fn new(settings: TokenizerSettings<'a>) -> Result<Self> {
        let folder = settings.folder;
        if let Some(class) = whole_class(settings.config) {
            let what = format!(
                "tokenizer_config.json names a {class}, which is what tokenizer.json says, and that file is not there"
            );
            return Err(Error::new(what).at(folder).hint("put the model's own tokenizer.json there, or give --tokens"));
        }
        let model = optional(folder, "config.json")?;
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

    /// Puts special tokens around a text, and two.
    pub(super) fn surround(&self, tokenizer: &mut Tokenizer, single: &str, pair: &str) -> Result<()> {
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
    pub(super) fn named(&self, key: &str) -> Option<&Value> {
        let TokenizerSettings { config, special, .. } = self.settings;
        let special = if config.contains_key("added_tokens_decoder") { None } else { special.get(key) };
        special.or_else(|| config.get(key))
    }

    /// Whether `added_tokens_decoder` names a token.
    pub(super) fn has_id(&self, text: &str) -> bool {
        let listed = self.settings.config.get("added_tokens_decoder").and_then(Value::as_object);
        listed.is_some_and(|listed| listed.values().any(|token| content(token).as_deref() == Some(text)))
    }

    /// A special token, where the class has it and no file says that there is none.
    pub(super) fn token(&self, (key, text, found): &RuleToken) -> Option<AddedToken> {
        let plain = |text: &str| {
            let token = AddedToken::from(text.to_owned(), true);
            match found {
                TokenMatch::Exact => token,
                TokenMatch::AfterSpaces => token.lstrip(true),
                TokenMatch::BetweenSpaces => token.lstrip(true).rstrip(true),
                TokenMatch::Normalized => token.normalized(true),
                TokenMatch::NormalizedAfterSpaces => token.normalized(true).lstrip(true),
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
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let rule = self.rule.tokens.iter().find(|rule| rule.0 == key)?;
        self.token(rule).map(|token| token.content)
    }

    /// The text of a special token that the vocabulary needs.
    pub(super) fn needed(&self, key: &str) -> Result<String> {
        self.text(key).ok_or_else(|| {
            let what = format!("a {} needs '{key}', which tokenizer_config.json says is none", self.class);
            Error::new(what).at(self.settings.folder)
        })
    }

    pub(super) fn flag(&self, key: &str, usual: bool) -> bool {
        self.settings.config.get(key).and_then(Value::as_bool).unwrap_or(usual)
    }

    pub(super) fn number(&self, key: &str, usual: usize) -> Result<usize> {
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

    /// A file of the folder that the class needs.
    pub(super) fn file(&self, names: &[&str]) -> Result<PathBuf> {
        let found = names.iter().map(|name| self.settings.folder.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| {
            let what = format!("a {} needs tokenizer.json or {}, and none is there", self.class, names.join(" or "));
            Error::new(what).at(self.settings.folder).hint(ANOTHER_WAY)
        })
    }
}

/// Replaces what `tokenizer` puts around texts by what `add_bos_token` and `add_eos_token` say, where the class heeds them,
/// and by the language that `src_lang` names.
pub(in crate::corpus) fn heed_switches(tokenizer: &mut Tokenizer, settings: TokenizerSettings<'_>) -> Result<()> {
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
pub(super) fn switched(begins: bool, ends: bool) -> (String, String) {
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

/// The class that a file names, where that is one that knows nothing but `tokenizer.json`: what else lies there may be read in
/// many ways, of which one would be a guess.
fn whole_class(keys: &Map<String, Value>) -> Option<&str> {
    const WHOLE: [&str; 3] = ["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"];
    keys.get("tokenizer_class")?.as_str().filter(|class| WHOLE.contains(class))
}

/// The class that a file names, without `Fast`; none where the name stands for no class of its own.
fn class_of(keys: &Map<String, Value>) -> Option<String> {
    const OF_ANY: [&str; 4] = ["PreTrainedTokenizer", "TokenizersBackend", "PythonBackend", "SentencePieceBackend"];
    let class = keys.get("tokenizer_class")?.as_str()?;
    let class = class.strip_suffix("Fast").unwrap_or(class);
    (!OF_ANY.contains(&class)).then(|| class.to_owned())
}

/// A tokenizer of the parts that a `tokenizer.json` has.
pub(super) fn assembled(
    path: &Path,
    model: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
) -> Result<Tokenizer> {
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    });
    Tokenizer::from_bytes(file.to_string())
        .map_err(|e| Error::new(format!("no tokenizer can be built of it: {e}")).at(path))
}
