//! What decoders of encoder-decoders read first.

use std::path::Path;

use candle_core::Device;
use pillars::Ticket;
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, TextTokenizer};
use pillars::model::{DecoderStart, Model};
use serde_json::{Value, json};

use crate::common::{fixtures, test_data};

fn references() -> Value {
    serde_json::from_slice(&std::fs::read(test_data().join("starts/starts.json")).unwrap()).unwrap()
}

/// What the decoder reads and what it is scored on, of every sequence of an input, padding left out.
fn read(input: &Input, folder: &Path, model: &Model) -> Vec<(Vec<u32>, Vec<u32>)> {
    let intake = Intake::of(model).unwrap();
    let corpus = Corpus::open(input, folder, &intake, &CorpusSettings::default(), &Ticket::default()).unwrap();
    let mut found = Vec::new();
    for batch in corpus.batches(&Device::Cpu) {
        let batch = batch.unwrap();
        let target = batch.target.as_ref().unwrap();
        let rows = target.ids.to_vec2::<u32>().unwrap();
        let width = rows[0].len();
        for (n, row) in rows.into_iter().enumerate() {
            let labels = batch.labels.as_ref().map_or(&[][..], |labels| &labels[n * width..(n + 1) * width]);
            let real = target.mask.row(n);
            let row = row.into_iter().zip(real).filter(|(_, real)| **real).map(|(id, _)| id).collect();
            found.push((row, labels.iter().flatten().copied().collect()));
        }
    }
    found
}

#[test]
fn labels_are_read_as_transformers_moves_them() {
    let references = references();
    for (family, wanted) in references["families"].as_object().unwrap() {
        let path = fixtures().join(family);
        let model = Model::open(&path).unwrap();
        if family == "whisper" {
            // Its source is sound; the start alone is asked here.
            let start = wanted["decoder_input_ids"][0][0].as_u64().unwrap();
            assert_eq!(Intake::of(&model).unwrap().decoder_start, Some(DecoderStart::Id(start as u32)));
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels.jsonl");
        let labels = references["labels"].as_array().unwrap();
        let lines: Vec<String> =
            labels.iter().map(|labels| json!({"input_ids": [4, 5, 2], "labels": labels}).to_string()).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let read: Vec<Vec<u32>> = read(&Input::Tokens(file), &path, &model).into_iter().map(|(ids, _)| ids).collect();
        let want: Vec<Vec<u32>> = serde_json::from_value(wanted["decoder_input_ids"].clone()).unwrap();
        assert_eq!(read, want, "{family}");
    }
}

#[test]
fn a_configuration_that_names_no_start_has_that_of_its_class() {
    for (family, wanted) in references()["families"].as_object().unwrap() {
        let model = Model::open(fixtures().join(family)).unwrap();
        let mut keys = model.config().value().as_object().unwrap().clone();
        keys.remove("decoder_start_token_id");
        // Ids that a small vocabulary does not have stand for padding; a large one has them.
        let mut spec = model.spec().clone();
        if let Some(pillars::network::InputSpec::Tokens(input)) = spec.decoder.as_mut().map(|stack| &mut stack.input) {
            input.vocabulary = 60_000;
        }
        let config = pillars::checkpoint::Config::new("config.json", keys);
        let start = Intake::new(&spec, &config).unwrap().decoder_start.unwrap();
        let want = match (family.as_str(), wanted["default"].as_u64()) {
            ("mbart", _) => DecoderStart::LastLabel,
            (_, Some(id)) => DecoderStart::Id(id as u32),
            // T5 begins with padding.
            (_, None) => DecoderStart::Id(0),
        };
        assert_eq!(start, want, "{family}");
    }
}

/// A tokenizer of words that puts `single` around a text.
fn tokenizer(folder: &Path, single: &[&str]) -> TextTokenizer {
    let special = ["<s>", "<pad>", "</s>", "<unk>", "en_XX", "de_DE", "__fr__"];
    let words = ["a", "b", "c"];
    let vocabulary: serde_json::Map<String, Value> =
        special.iter().chain(&words).enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let around: Vec<Value> = single
        .iter()
        .map(|part| match *part {
            "A" => json!({"Sequence": {"id": "A", "type_id": 0}}),
            token => json!({"SpecialToken": {"id": token, "type_id": 0}}),
        })
        .collect();
    let tokens: serde_json::Map<String, Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    let post = json!({"type": "TemplateProcessing", "single": around, "pair": around, "special_tokens": tokens});
    let json = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": post, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}});
    std::fs::write(folder.join("tokenizer.json"), json.to_string()).unwrap();
    TextTokenizer::load(folder).unwrap()
}

#[test]
fn targets_bear_the_mark_of_their_language() {
    // Ids: </s> 2, en_XX 4, de_DE 5, __fr__ 6, a b c 7 8 9.
    for (family, around, language, want) in [
        // mBART: the language behind the end, and first of what is read.
        ("mbart", vec!["A", "</s>", "en_XX"], None, (vec![4, 8, 9, 2], vec![8, 9, 2, 4])),
        ("mbart", vec!["A", "</s>", "en_XX"], Some("de_DE"), (vec![5, 8, 9, 2], vec![8, 9, 2, 5])),
        // mBART-50: the language before the text, the end first of what is read.
        ("mbart", vec!["en_XX", "A", "</s>"], Some("DE_de"), (vec![2, 5, 8, 9], vec![5, 8, 9, 2])),
        ("m2m_100", vec!["en_XX", "A", "</s>"], Some("fr"), (vec![2, 6, 8, 9], vec![6, 8, 9, 2])),
        ("bart", vec!["<s>", "A", "</s>"], None, (vec![2, 0, 8, 9], vec![0, 8, 9, 2])),
        ("t5", vec!["A", "</s>"], None, (vec![0, 8, 9], vec![8, 9, 1])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        // T5's end is another token.
        let around: Vec<&str> =
            around.iter().map(|token| if family == "t5" && *token == "</s>" { "<pad>" } else { *token }).collect();
        let tokenizer = tokenizer(folder.path(), &around);
        let path = folder.path().join("pairs.tsv");
        std::fs::write(&path, "a\tb c\n").unwrap();
        let model = Model::open(fixtures().join(family)).unwrap();
        let input = Input::Pairs { path, columns: None, language: language.map(str::to_owned) };
        let found = read(&input, folder.path(), &model);
        assert_eq!(found, std::slice::from_ref(&want), "{family} {language:?}");
        // A translation begins as what is read, up to where the text is.
        let writing = tokenizer.writing(language).unwrap().unwrap_or(tokenizer);
        let first = Intake::of(&model).unwrap().first_of(&writing.wrap(&[]));
        assert_eq!([&[first], writing.prefix()].concat(), want.0[..=writing.prefix().len()], "{family} {language:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let marked = tokenizer(folder.path(), &["en_XX", "A", "</s>"]);
    let unknown = marked.writing(Some("xx")).unwrap_err().to_string();
    assert_eq!(unknown, "the model's tokenizer knows no language 'xx'; choose from en_XX, de_DE, fr");
    let unmarked = tokenizer(folder.path(), &["A", "</s>"]).writing(Some("fr")).unwrap_err().to_string();
    assert!(unmarked.contains("marks no language; leave out --target-language"), "{unmarked}");
}
