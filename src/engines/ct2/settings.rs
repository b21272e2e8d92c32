//! What CTranslate2 reads beside the weights: `config.json` and the lists of tokens.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::check::{Ct2Class, Ct2Conversion};
use crate::checkpoint::{Config, read_file, write_atomically};
use crate::corpus::TextTokenizer;
use crate::engines::special_tokens::SpecialTokens;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{InputSpec, NetworkSpec, StackSpec};

/// Special tokens of Whisper that name no language.
const NO_LANGUAGE: [&str; 9] = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|nospeech|>",
    "<|notimestamps|>",
];

/// Seconds from a timestamp of Whisper to the next.
const TICK: f64 = 0.02;

/// Texts of tokens by id, and what the engine is told of some.
#[derive(Clone, Debug)]
pub(super) struct Ct2Tokens {
    source: Vec<String>,
    target: Vec<String>,
    special: SpecialTexts,
    /// Ids of Whisper's tokens that name a language, ascending.
    languages: Vec<u32>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct SpecialTexts {
    bos: String,
    eos: String,
    unknown: String,
    start: Option<String>,
}

/// Rows of the token table of a stack; none where it reads no tokens.
fn vocabulary(stack: Option<&StackSpec>) -> usize {
    match stack.map(|stack| &stack.input) {
        Some(InputSpec::Tokens(input)) => input.vocabulary,
        _ => 0,
    }
}

impl Ct2Tokens {
    /// The tokens of `model`. Reads its tokenizer only.
    ///
    /// # Errors
    /// Where the tokenizer cannot be read, or knows more tokens than the model.
    pub(super) fn new(model: &Model, conversion: &Ct2Conversion) -> Result<Self> {
        let (folder, config) = (model.checkpoint().folder(), model.config());
        let NetworkSpec { encoder, decoder, .. } = &conversion.spec;
        let sizes = [vocabulary(encoder.as_ref()), vocabulary(decoder.as_ref().or(encoder.as_ref()))];
        let mut notes = Vec::new();
        let texts = TokenTexts::of(folder, &mut notes)?;
        let drops = usize::from(conversion.drops_padding);
        let mut lists = sizes.map(|size| texts.list(size, conversion.class));
        let files = SpecialTokens::read(folder);
        let generation = generation(folder);
        let [_, target] = &lists;
        let numbered = |key: &str| -> Option<String> {
            let id = config.token_opt(key).or_else(|| generation.as_ref()?.token_opt(key));
            target.get(usize::try_from(id?).ok()?).cloned()
        };
        let special = |name: &str| {
            let known = files.named(name).find(|text| target.contains(text));
            known.or_else(|| numbered(&format!("{name}_id")))
        };
        let padding = special("pad_token");
        let eos = special("eos_token").or_else(|| padding.clone());
        let eos = eos.or_else(|| target.first().cloned()).ok_or_else(|| Error::new("the model has no tokens"))?;
        let bos = special("bos_token").or_else(|| padding.clone()).unwrap_or_else(|| eos.clone());
        // What is not known has to be a token of the table.
        let unknown = texts.unknown.clone().filter(|text| target.contains(text)).or_else(|| special("unk_token"));
        let unknown = unknown.unwrap_or_else(|| eos.clone());
        // Where no first token is named, models without one of their own for it begin with padding (T5).
        let begins = || padding.clone().filter(|_| config.token_opt("bos_token_id").is_none());
        let start = numbered("decoder_start_token_id").or_else(begins);
        let start = if conversion.drops_padding { Some(eos.clone()) } else { start };
        if conversion.class == Ct2Class::EncoderDecoder && start.is_none() {
            notes.push("the configuration names no first token of targets, so each needs one as its prefix".to_owned());
        }
        let special = SpecialTexts { bos, eos, unknown, start };
        let id = |text: &String| target.iter().position(|other| other == text).and_then(|id| u32::try_from(id).ok());
        let named = files.additional();
        let names = named.iter().filter(|text| !NO_LANGUAGE.contains(&text.as_str()) && !is_timestamp(text));
        let mut languages: Vec<u32> = match generation.as_ref().and_then(|file| file.get("lang_to_id")?.as_object()) {
            Some(known) => known.values().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect(),
            None => names.filter_map(id).collect(),
        };
        languages.sort_unstable();
        for list in &mut lists {
            list.truncate(list.len() - drops.min(list.len()));
        }
        let [source, target] = lists;
        Ok(Self { source, target, special, languages, notes })
    }

    /// Writes the lists of tokens and `config.json` into `folder`, where the model's own files lie already. Gives their
    /// names, and what a reader should know.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(super) fn write(
        &self,
        folder: &Path,
        conversion: &Ct2Conversion,
        config: &Config,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let mut notes = Vec::new();
        let lists: &[(&str, &Vec<String>)] = match conversion.class {
            Ct2Class::EncoderDecoder if self.source == self.target => &[("shared_vocabulary.json", &self.target)],
            Ct2Class::EncoderDecoder => {
                &[("source_vocabulary.json", &self.source), ("target_vocabulary.json", &self.target)]
            }
            _ => &[("vocabulary.json", &self.target)],
        };
        let mut files = Vec::new();
        for (name, tokens) in lists {
            write_atomically(&folder.join(name), (serde_json::to_string_pretty(tokens)? + "\n").as_bytes())?;
            files.push((*name).to_owned());
        }
        let SpecialTexts { bos, eos, unknown, start } = &self.special;
        let grouped = |stack: &StackSpec| stack.layers.iter().any(|l| l.attention.kv_heads != l.attention.heads);
        let stacks = [&conversion.spec.encoder, &conversion.spec.decoder];
        let mut keys: Map<String, Value> = Map::new();
        let mut add = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        add("layer_norm_epsilon", json!(conversion.eps));
        if conversion.class == Ct2Class::Speech {
            let generation = generation(folder);
            let own = |key: &str| {
                let said = generation.as_ref().and_then(|file| file.get(key)).or_else(|| config.get(key)).cloned();
                said.filter(|value| !value.is_null())
            };
            add("suppress_ids", own("suppress_tokens").unwrap_or_else(|| json!([])));
            add("suppress_ids_begin", own("begin_suppress_tokens").unwrap_or_else(|| json!([])));
            add("lang_ids", json!(self.languages));
            let known = own("alignment_heads").filter(|heads| heads.as_array().is_some_and(|heads| !heads.is_empty()));
            if known.is_none() {
                notes.push("times of words are taken from all heads of the upper half of the layers".to_owned());
            }
            add("alignment_heads", known.unwrap_or_else(|| upper_half(conversion.spec.decoder.as_ref())));
        } else {
            add("bos_token", json!(bos));
            add("eos_token", json!(eos));
            add("unk_token", json!(unknown));
            add("multi_query_attention", json!(stacks.into_iter().flatten().any(grouped)));
        }
        if conversion.class == Ct2Class::EncoderDecoder {
            add("decoder_start_token", json!(start));
            add("add_source_bos", json!(false));
            add("add_source_eos", json!(false));
        }
        let text = serde_json::to_string_pretty(&Value::Object(keys))? + "\n";
        write_atomically(&folder.join("config.json"), text.as_bytes())?;
        files.push("config.json".to_owned());
        Ok((files, notes))
    }
}

/// All heads of cross attention of the upper half of the layers.
fn upper_half(decoder: Option<&StackSpec>) -> Value {
    let layers = decoder.map_or(&[][..], |stack| &stack.layers);
    let upper = layers.iter().enumerate().skip(layers.len() / 2);
    let heads = |(index, layer): (usize, &crate::network::LayerSpec)| {
        let heads = layer.cross.as_ref().map_or(0, |cross| cross.heads);
        (0..heads).map(move |head| json!([index, head])).collect::<Vec<_>>()
    };
    Value::Array(upper.flat_map(heads).collect())
}

fn generation(folder: &Path) -> Option<Config> {
    Config::read(&folder.join("generation_config.json")).ok()
}

/// Whether a token is one of Whisper's timestamps, `<|1.28|>`.
fn is_timestamp(text: &str) -> bool {
    let inner = text.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>"));
    inner.is_some_and(|inner| inner.parse::<f64>().is_ok())
}

/// What tokens are called, from whatever names them in a folder.
struct TokenTexts {
    known: Vec<Option<String>>,
    unknown: Option<String>,
}

impl TokenTexts {
    fn of(folder: &Path, notes: &mut Vec<String>) -> Result<Self> {
        if TextTokenizer::is_in(folder) {
            let tokenizer = TextTokenizer::load(folder)?;
            // An id may be missing among those that are there.
            let most = tokenizer.added_tokens().last().map_or(0, |(id, _)| *id as usize + 1);
            let count = tokenizer.vocabulary().max(most);
            let known = (0..count).map(|id| u32::try_from(id).ok().and_then(|id| tokenizer.token(id))).collect();
            // A list of its own numbers has no model whose word for what is unknown could be asked.
            let model = tokenizer.json().ok().and_then(|mut file| file.get_mut("model").map(serde_json::Value::take));
            let unknown = model.and_then(|model| model["unk_token"].as_str().map(str::to_owned));
            return Ok(Self { known, unknown });
        }
        let path = folder.join("vocab.json");
        if let Ok(bytes) = read_file(&path) {
            let list: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(&path))?;
            let mut known = vec![None; list.len()];
            for (text, id) in list {
                let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
                if let Some(slot) = id.and_then(|id| known.get_mut(id)) {
                    *slot = Some(text);
                }
            }
            return Ok(Self { known, unknown: None });
        }
        notes.push("the model has no tokenizer, so its tokens are called by their numbers".to_owned());
        Ok(Self { known: Vec::new(), unknown: None })
    }

    /// The texts of `count` tokens. Those without one get a name that is no other's, of Whisper that of a time.
    fn list(&self, count: usize, class: Ct2Class) -> Vec<String> {
        let times = self.known.iter().flatten().any(|text| is_timestamp(text));
        let text = |id: usize| match self.known.get(id).and_then(Option::clone) {
            Some(text) => text,
            None if class == Ct2Class::Speech && !self.known.is_empty() && !times && id >= self.known.len() => {
                format!("<|{:.2}|>", (id - self.known.len()) as f64 * TICK)
            }
            None => format!("<token_{id}>"),
        };
        (0..count).map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_without_a_text_get_one_that_is_no_others() {
        let texts = TokenTexts { known: vec![Some("a".to_owned()), None, Some("b".to_owned())], unknown: None };
        assert_eq!(texts.list(5, Ct2Class::Decoder), ["a", "<token_1>", "b", "<token_3>", "<token_4>"]);
        assert_eq!(texts.list(5, Ct2Class::Speech), ["a", "<token_1>", "b", "<|0.00|>", "<|0.02|>"]);
        assert_eq!(texts.list(1, Ct2Class::Decoder), ["a"]);
    }

    #[test]
    fn times_are_told_from_languages() {
        assert!(is_timestamp("<|29.98|>") && !is_timestamp("<|en|>") && !is_timestamp("1.0"));
    }
}
