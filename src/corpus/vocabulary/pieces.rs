//! The pieces of a model of sentencepiece as the vocabulary of a class.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::added::{add_all, content};
use super::builder::{ANOTHER_WAY, TokenizerBuilder, assembled};
use super::rules::SubwordScheme;
use super::subwords::{Segmentation, Subword, SubwordModel, SubwordUse};
use crate::checkpoint::piece_merges;
use crate::error::{Error, Result};

/// Names of model files, of which a folder has one.
const MODEL_FILES: [&str; 5] =
    ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "sentencepiece.model"];

/// What a space is written as in pieces.
const SPACE: &str = "\u{2581}";

/// Sets of pieces that pretend to be ordinary text cost this much, so that none is chosen.
const NEVER_CHOSEN: f64 = -100.0;

/// Pegasus' tokens before its pieces, less the three that have names.
const PEGASUS_OFFSET: usize = 103;

/// The sentinels of T5.
const T5_SENTINELS: usize = 100;

/// What a class makes of the pieces: by id, with scores, and which is the unknown one.
struct ClassVocabulary {
    pieces: Vec<(String, f64)>,
    unknown: usize,
}

/// The tokenizer of a class over a model of sentencepiece.
pub(super) fn subwords(builder: &TokenizerBuilder<'_>, scheme: SubwordScheme) -> Result<Tokenizer> {
    let (path, model) = model_of(builder)?;
    let place = |what: String| Error::new(what).at(&path).hint("the file belongs to another model");
    let vocabulary = vocabulary(builder, scheme, &model, &place)?;
    let falls_back = matches!(scheme, SubwordScheme::Llama | SubwordScheme::Gemma);
    let segments = match model.segmentation {
        Segmentation::Unigram if falls_back => {
            return Err(place("its pieces are unigrams, where the class merges pairs".to_owned()));
        }
        Segmentation::Unigram => {
            json!({"type": "Unigram", "unk_id": vocabulary.unknown, "vocab": vocabulary.pieces, "byte_fallback": false})
        }
        Segmentation::Merges => merging(&model, &vocabulary.pieces, scheme == SubwordScheme::Gemma, falls_back),
    };
    let (normalizer, pre_tokenizer, decoder) = steps(builder, scheme, &model);
    let mut tokenizer = assembled(&path, segments, normalizer, pre_tokenizer, decoder)?;
    add_marked(&mut tokenizer, &model, scheme)?;
    if scheme == SubwordScheme::Nllb && !builder.settings.config.contains_key("added_tokens_decoder") {
        let has_ids = builder.settings.folder.join("added_tokens.json").is_file();
        if !has_ids {
            let what = "neither added_tokens.json nor 'added_tokens_decoder' in tokenizer_config.json says the ids of languages";
            return Err(Error::new(what).at(builder.settings.folder).hint(ANOTHER_WAY));
        }
    }
    Ok(tokenizer)
}

/// The model file of a class, read.
pub(super) fn model_of(builder: &TokenizerBuilder<'_>) -> Result<(std::path::PathBuf, SubwordModel)> {
    let path = builder.file(&MODEL_FILES)?;
    let model = SubwordModel::read(&path)?;
    Ok((path, model))
}

/// Pieces that stand for no text, and those that are found whole.
fn add_marked(tokenizer: &mut Tokenizer, model: &SubwordModel, scheme: SubwordScheme) -> Result<()> {
    const TURNS: [&str; 2] = ["<start_of_turn>", "<end_of_turn>"];
    let marked = model.pieces.iter().filter_map(|piece| {
        let special = match piece.purpose {
            SubwordUse::Control => true,
            SubwordUse::UserDefined => scheme == SubwordScheme::Gemma && TURNS.contains(&piece.text.as_str()),
            _ => return None,
        };
        Some(AddedToken::from(piece.text.clone(), special).normalized(false))
    });
    add_all(tokenizer, marked.collect())
}

fn vocabulary(
    builder: &TokenizerBuilder<'_>,
    scheme: SubwordScheme,
    model: &SubwordModel,
    place: &impl Fn(String) -> Error,
) -> Result<ClassVocabulary> {
    let from = |first: usize| {
        let pieces = model.pieces.get(first..).unwrap_or(&[]);
        pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score)))
    };
    let free = |text: &str| (text.to_owned(), 0.0);
    let least = |count: usize| match model.pieces.len() > count {
        true => Ok(()),
        false => Err(place(format!("it holds {} pieces", model.pieces.len()))),
    };
    let fairseq = ["<s>", "<pad>", "</s>", "<unk>"];
    Ok(match scheme {
        SubwordScheme::T5 => {
            let pieces = from(0).chain(sentinels(builder)?.iter().map(|text| free(text))).collect();
            ClassVocabulary { pieces, unknown: model.unknown }
        }
        SubwordScheme::Albert => {
            // Numbers are to be split before a comma.
            let counts = |text: &str| {
                let mut ends = text.chars().rev();
                ends.next() == Some(',') && ends.next().is_some_and(char::is_numeric)
            };
            let lowered = |(text, score): (String, f64)| (counts(&text), text, score);
            let pieces = from(0).map(lowered).map(|(counts, text, score)| match counts {
                true => (text, score + NEVER_CHOSEN),
                false => (text, score),
            });
            ClassVocabulary { pieces: pieces.collect(), unknown: model.unknown }
        }
        SubwordScheme::DebertaV2 => ClassVocabulary { pieces: from(0).collect(), unknown: model.unknown },
        SubwordScheme::Fairseq { languages, mask, unused } => {
            least(3)?;
            let masks = mask.then(|| free("<mask>"));
            let made_up = (0..unused).map(|n| (format!("<madeupword{n}>"), 0.0));
            let behind = languages.iter().map(|text| free(text)).chain(masks).chain(made_up);
            ClassVocabulary { pieces: fairseq.map(free).into_iter().chain(from(3)).chain(behind).collect(), unknown: 3 }
        }
        SubwordScheme::Nllb => {
            least(3)?;
            ClassVocabulary { pieces: fairseq.map(free).into_iter().chain(from(3)).collect(), unknown: 3 }
        }
        SubwordScheme::Camembert => {
            least(1)?;
            let front = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"].map(free);
            let front = front.into_iter().chain([("<unk>NOTUSED".to_owned(), NEVER_CHOSEN)]);
            ClassVocabulary { pieces: front.chain(from(1)).chain([free("<mask>")]).collect(), unknown: 3 }
        }
        SubwordScheme::Pegasus => {
            least(2)?;
            let offset = builder.number("offset", PEGASUS_OFFSET)?;
            let ends = [builder.needed("pad_token")?, builder.needed("eos_token")?].map(|text| (text, 0.0));
            let masks = sentence_mask(builder).into_iter().chain(builder.text("mask_token")).map(|text| (text, 0.0));
            let unused = (2..offset).map(|n| (format!("<unk_{n}>"), NEVER_CHOSEN));
            let pieces: Vec<_> = ends.into_iter().chain(masks).chain(unused).chain(from(2)).collect();
            let unknown = model.unknown + offset;
            if unknown >= pieces.len() {
                return Err(place("it has no unknown piece".to_owned()));
            }
            ClassVocabulary { pieces, unknown }
        }
        SubwordScheme::Llama => {
            let named = model.pieces.iter().take(3).map(|piece| free(&piece.text));
            ClassVocabulary { pieces: named.chain(from(3)).collect(), unknown: 0 }
        }
        SubwordScheme::Gemma => {
            least(3)?;
            let front = [builder.needed("pad_token")?, builder.needed("eos_token")?, builder.needed("bos_token")?];
            let mut pieces: Vec<_> = front.map(|text| (text, 0.0)).into_iter().chain(from(3)).collect();
            // The first models had no piece for a tab but its byte.
            if !pieces.iter().any(|(text, _)| text == "\t")
                && let Some(tab) = pieces.iter_mut().find(|(text, _)| text == "<0x09>")
            {
                *tab = free("\t");
            }
            ClassVocabulary { pieces, unknown: 3 }
        }
    })
}

/// `<extra_id_N>`, the last first.
fn sentinels(builder: &TokenizerBuilder<'_>) -> Result<Vec<String>> {
    let count = builder.number("extra_ids", T5_SENTINELS)?;
    Ok((0..count).rev().map(|n| format!("<extra_id_{n}>")).collect())
}

/// The token that hides sentences of Pegasus.
fn sentence_mask(builder: &TokenizerBuilder<'_>) -> Option<String> {
    match builder.settings.config.get("mask_token_sent") {
        None => Some("<mask_1>".to_owned()),
        Some(value) => content(value),
    }
}

/// Tokens that a class adds to its pieces as special ones.
pub(super) fn more_tokens(builder: &TokenizerBuilder<'_>, scheme: SubwordScheme) -> Vec<String> {
    match scheme {
        SubwordScheme::T5 => sentinels(builder).unwrap_or_default(),
        SubwordScheme::Camembert => ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"].map(str::to_owned).to_vec(),
        SubwordScheme::Pegasus => {
            let offset = builder.number("offset", PEGASUS_OFFSET).unwrap_or(PEGASUS_OFFSET);
            sentence_mask(builder).into_iter().chain((2..offset).map(|n| format!("<unk_{n}>"))).collect()
        }
        SubwordScheme::Fairseq { languages, unused, .. } => {
            let made_up = (0..unused).map(|n| format!("<madeupword{n}>"));
            languages.iter().map(|text| (*text).to_owned()).chain(made_up).collect()
        }
        _ => Vec::new(),
    }
}

/// BPE whose pairs are those halves of pieces that are pieces too: those of the piece with the highest score are merged first.
fn merging(model: &SubwordModel, pieces: &[(String, f64)], has_tab: bool, byte_fallback: bool) -> Value {
    let mut ids: HashMap<&str, usize> = model.pieces.iter().enumerate().map(|(id, p)| (p.text.as_str(), id)).collect();
    if let (true, Some(byte)) = (has_tab, ids.get("<0x09>").copied()) {
        ids.entry("\t").or_insert(byte);
    }
    let merges = piece_merges(pieces.iter().map(|(text, score)| (text.as_str(), *score)), &ids);
    let vocabulary: Map<String, Value> =
        pieces.iter().enumerate().map(|(id, (text, _))| (text.clone(), json!(id))).collect();
    // A half that the class has renamed is none of its own pieces.
    let merges: Vec<Value> = merges
        .into_iter()
        .filter(|(a, b)| vocabulary.contains_key(*a) && vocabulary.contains_key(*b))
        .map(|(a, b)| json!([a, b]))
        .collect();
    json!({
        "type": "BPE", "dropout": null, "unk_token": model.unknown_text, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": byte_fallback, "ignore_merges": false,
        "vocab": vocabulary, "merges": merges,
    })
}

/// Normalizer, pre-tokenizer and decoder of a class.
fn steps(builder: &TokenizerBuilder<'_>, scheme: SubwordScheme, model: &SubwordModel) -> (Value, Value, Value) {
    let rules = rules(model);
    let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
    let strip = |left: bool| json!({"type": "Strip", "strip_left": left, "strip_right": true});
    let squeeze = |to: &str| json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": to});
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let lower = |usual: bool| builder.flag("do_lower_case", usual).then(|| json!({"type": "Lowercase"}));
    // A newer way prefixes the first piece of text alone.
    let is_new = builder.settings.config.get("legacy") == Some(&Value::Bool(false));
    let spaces =
        |scheme: &str| json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": true});
    let always = spaces(if scheme == SubwordScheme::T5 && is_new { "first" } else { "always" });
    match scheme {
        SubwordScheme::Albert => {
            let quotes = vec![replace("``", "\""), replace("''", "\"")];
            let bare = [json!({"type": "NFKD"}), json!({"type": "StripAccents"})];
            let bare = bare.into_iter().filter(|_| !builder.flag("keep_accents", false));
            let rest = lower(true).into_iter().chain(rules).chain([squeeze(" ")]);
            (sequence(quotes.into_iter().chain(bare).chain(rest).collect()), always.clone(), always)
        }
        SubwordScheme::DebertaV2 => {
            let steps = lower(false).into_iter().chain([strip(true)]).chain(rules).chain([squeeze(" ")]);
            let punctuation = builder.flag("split_by_punct", false);
            let punctuation = punctuation.then(|| json!({"type": "Punctuation", "behavior": "Isolated"}));
            let split: Vec<Value> = punctuation.into_iter().chain([always.clone()]).collect();
            (sequence(steps.collect()), json!({"type": "Sequence", "pretokenizers": split}), always)
        }
        SubwordScheme::Llama => {
            let prefix = builder.flag("add_prefix_space", true);
            let mut decoders = vec![replace(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
            if prefix {
                decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
            }
            let decoder = json!({"type": "Sequence", "decoders": decoders});
            if is_new {
                let scheme = if prefix { "first" } else { "never" };
                let split =
                    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false});
                return (Value::Null, split, decoder);
            }
            let front = prefix.then(|| json!({"type": "Prepend", "prepend": SPACE}));
            (sequence(front.into_iter().chain([replace(" ", SPACE)]).collect()), Value::Null, decoder)
        }
        SubwordScheme::Gemma => {
            let split =
                json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
            let decoders = vec![replace(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
            (replace(" ", SPACE), split, json!({"type": "Sequence", "decoders": decoders}))
        }
        SubwordScheme::Pegasus => {
            let steps = rules.into_iter().chain([strip(false), squeeze(SPACE)]).collect();
            let split = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, always]});
            (sequence(steps), split, always)
        }
        SubwordScheme::T5 | SubwordScheme::Camembert | SubwordScheme::Fairseq { .. } | SubwordScheme::Nllb => {
            let steps = rules.into_iter().chain([strip(false), squeeze(SPACE)]).collect();
            (sequence(steps), always.clone(), always)
        }
    }
}

/// The step that rewrites characters, where the model has rules.
fn rules(model: &SubwordModel) -> Option<Value> {
    let rules = base64::engine::general_purpose::STANDARD.encode(&model.rules);
    (!model.rules.is_empty()).then(|| json!({"type": "Precompiled", "precompiled_charsmap": rules}))
}

/// A tokenizer that gives the pieces that sentencepiece itself gives; `bare` has steps that come before its own, and that
/// put the mark of a space in front.
pub(super) fn faithful(path: &Path, model: &SubwordModel, bare: Option<Vec<Value>>) -> Result<Tokenizer> {
    let regex = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"Regex": from}, "content": to});
    let adds_prefix = model.adds_prefix && bare.is_none();
    let mut steps: Vec<Value> = bare.unwrap_or_default();
    steps.extend(rules(model));
    if model.squeezes_spaces {
        steps.extend([regex(r"\A +| +\z", ""), regex(" {2,}", " ")]);
    }
    steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
    if model.squeezes_spaces {
        steps.push(regex(r"\x{2581}+\z", ""));
    }
    if adds_prefix {
        // The next step adds no mark where there is one.
        steps.push(regex(r"\A\x{2581}", "\u{2581}\u{2581}"));
    }
    let scheme = if adds_prefix { "always" } else { "never" };
    let split = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false});
    let decoder = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
    // What stands for no text is found in none.
    let text = |id: usize, piece: &Subword| match piece.purpose {
        SubwordUse::Normal | SubwordUse::UserDefined | SubwordUse::Byte => piece.text.clone(),
        SubwordUse::Unknown | SubwordUse::Control | SubwordUse::Unused => format!("\u{ffff}{id}"),
    };
    let pieces: Vec<(String, f64)> =
        model.pieces.iter().enumerate().map(|(id, piece)| (text(id, piece), f64::from(piece.score))).collect();
    let segments = match model.segmentation {
        Segmentation::Unigram => {
            let falls_back = model.byte_fallback;
            json!({"type": "Unigram", "unk_id": model.unknown, "vocab": pieces, "byte_fallback": falls_back})
        }
        Segmentation::Merges => {
            let mut segments = merging(model, &pieces, false, model.byte_fallback);
            segments["unk_token"] = json!(format!("\u{ffff}{}", model.unknown));
            segments
        }
    };
    let mut tokenizer = assembled(path, segments, json!({"type": "Sequence", "normalizers": steps}), split, decoder)?;
    let whole = model.pieces.iter().filter(|piece| piece.purpose == SubwordUse::UserDefined);
    let whole = whole.map(|piece| AddedToken::from(piece.text.clone(), false).normalized(true));
    add_all(&mut tokenizer, whole.collect())?;
    Ok(tokenizer)
}
