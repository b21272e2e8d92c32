//! Recordings: what models of speech read of them, and the texts that they make of them.
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use pillars::Ticket;
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::model::Model;
use pillars::network::{Batch, Gates, NoProbe, Source};
use pillars::run::{Opened, Scored, Spec};

use crate::common::{fixtures, test_data};

/// A copy of a fixture with more files in it.
fn model(source: &Path, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn chirp() -> PathBuf {
    test_data().join("speech/chirp.wav")
}

/// The first `samples` samples of the chirp as a WAV file.
fn cut(path: &Path, samples: usize) {
    let mut bytes = std::fs::read(chirp()).unwrap();
    let at = bytes.windows(4).position(|four| four == b"data").unwrap() + 8;
    bytes.truncate(at + 2 * samples);
    let (all, data) = (bytes.len() as u32 - 8, 2 * samples as u32);
    bytes[4..8].copy_from_slice(&all.to_le_bytes());
    bytes[at - 4..at].copy_from_slice(&data.to_le_bytes());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn open(folder: &Path, path: PathBuf, batch_size: usize) -> pillars::Result<Corpus> {
    let model = Model::open(folder)?;
    let settings = CorpusSettings { purpose: Purpose::Score, batch_size, ..CorpusSettings::default() };
    let input = Input::Audio { path, language: None };
    Corpus::open(&input, folder, &Intake::of(&model)?, &settings, &Ticket::default())
}

fn batches(corpus: &Corpus) -> Vec<Batch> {
    corpus.batches(&Device::Cpu).collect::<pillars::Result<_>>().unwrap()
}

fn evaluated(folder: &Path, path: PathBuf, language: Option<&str>) -> pillars::Result<Scored> {
    let opened = Opened::open(folder, &Ticket::default())?;
    let input = Input::Audio { path, language: language.map(str::to_owned) };
    let spec = Spec { input: Some(input), batch_size: Some(2), ..Spec::default() };
    spec.check(&opened).map_err(pillars::refusal)?.evaluate(&Ticket::default())
}

/// Words for the ids of the Whisper fixture, 1 being its start and 2 its end.
fn words() -> String {
    let mut vocabulary = serde_json::json!({"<pad>": 0, "<|startoftranscript|>": 1, "<|endoftext|>": 2, "<unk>": 3, "<|notimestamps|>": 4});
    for id in 5..96 {
        vocabulary[format!("w{id}")] = id.into();
    }
    let special = |id: u32, name: &str| serde_json::json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
        "added_tokens": [special(1, "<|startoftranscript|>"), special(2, "<|endoftext|>"), special(4, "<|notimestamps|>")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    })
    .to_string()
}

#[test]
fn recordings_without_transcripts_or_sound_are_told() {
    let folder = model(&fixtures().join("whisper"), &[("tokenizer.json", &words())]);
    cut(&folder.path().join("a/one.wav"), 3000);
    for path in ["a", "a/one.wav"] {
        let error = open(folder.path(), folder.path().join(path), 8).unwrap_err().to_string();
        assert!(error.contains("no transcripts beside the recordings") && error.contains(".tsv"), "{error}");
    }
    let mut silence = std::fs::read(folder.path().join("a/one.wav")).unwrap();
    let at = silence.windows(4).position(|four| four == b"data").unwrap() + 8;
    silence[at..].fill(0);
    std::fs::write(folder.path().join("a/two.wav"), silence).unwrap();
    std::fs::write(folder.path().join("said.tsv"), "a/one.wav\tw20 w21\na/two.wav\tw20\n").unwrap();
    let notes = open(folder.path(), folder.path().join("said.tsv"), 8).unwrap().notes().join("; ");
    assert!(
        notes.contains("1 recording silent, from the first sample to the last: ") && notes.contains("two.wav"),
        "{notes}"
    );
}

#[test]
fn whisper_reads_windows_and_is_scored_on_transcripts() {
    // 24 frames of 160 samples: a window is 0.24 s.
    let folder = model(&fixtures().join("whisper"), &[("tokenizer.json", &words())]);
    cut(&folder.path().join("a/one.wav"), 3000);
    cut(&folder.path().join("a/two.wav"), 9000);
    let table = folder.path().join("said.tsv");
    std::fs::write(&table, "path\ttext\na/one.wav\tw10 w11 w12\na/two.wav\tw20\n").unwrap();
    let corpus = open(folder.path(), table.clone(), 8).unwrap();
    let all = batches(&corpus);
    let [batch] = all.as_slice() else { panic!("{} batches", all.len()) };
    let Source::Frames(frames) = &batch.source else { panic!("frames") };
    // Three windows of the second recording, whose loss is not measured.
    assert_eq!(frames.dims(), [4, 8, 24]);
    let target = batch.target.as_ref().unwrap();
    assert_eq!(target.ids.to_vec2::<u32>().unwrap()[0], [1, 4, 10, 11, 12]);
    assert_eq!(target.ids.to_vec2::<u32>().unwrap()[1][..2], [1, 4]);
    let labels = batch.labels.as_ref().unwrap();
    assert_eq!(labels[..5], [None, Some(10), Some(11), Some(12), Some(2)]);
    assert!(labels[5..].iter().all(Option::is_none));
    assert!(
        corpus.notes().iter().any(|note| note.contains("1 recording cut into windows of 0.24 seconds")),
        "{:?}",
        corpus.notes()
    );

    // What greedy search writes, step by step with the whole model; ids that may not be written left out.
    let suppressed = serde_json::json!({"suppress_tokens": [0, 7], "begin_suppress_tokens": [2, 30], "max_length": 12});
    let folder = model(
        &fixtures().join("whisper"),
        &[("tokenizer.json", &words()), ("generation_config.json", &suppressed.to_string())],
    );
    cut(&folder.path().join("one.wav"), 3000);
    let opened = Model::open(folder.path()).unwrap();
    let network = opened.network(&Device::Cpu, DType::F32).unwrap();
    std::fs::write(folder.path().join("said.tsv"), "one.wav\tw20\n").unwrap();
    let corpus = open(folder.path(), folder.path().join("said.tsv"), 1).unwrap();
    let source = batches(&corpus).remove(0).source;
    let mut read = vec![1u32, 4];
    while read.len() < 12 {
        let mask = pillars::network::TokenMask::full(1, read.len());
        let ids = candle_core::Tensor::new(read.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let batch = Batch::new(source.clone(), Some(pillars::network::Tokens::new(ids, mask)));
        let logits = network.forward(&batch, &Gates::open(), &mut NoProbe).unwrap();
        let rows: Vec<Vec<Vec<f32>>> = logits.to_vec3().unwrap();
        let row = rows[0].last().unwrap();
        let never = |id: usize| [0, 7].contains(&id) || (read.len() == 2 && [2, 30].contains(&id));
        let best = (0..row.len()).filter(|id| !never(*id)).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        if best == 2 {
            break;
        }
        read.push(best as u32);
    }
    let written: Vec<String> = read[2..].iter().filter(|id| **id > 4).map(|id| format!("w{id}")).collect();
    assert!(written.len() > 3, "{written:?}");
    std::fs::write(folder.path().join("said.tsv"), format!("one.wav\t{}\n", written.join(" "))).unwrap();
    let same = evaluated(folder.path(), folder.path().join("said.tsv"), None).unwrap().quality;
    assert_eq!((same.metrics["wer"].value, same.metrics["cer"].value), (0.0, 0.0));
    assert!(same.loss_per_token.is_some() && same.metrics["wer"].convention.contains("greedy search"));
    let another = if written[0] == "w94" { "w93" } else { "w94" };
    let other = [&[another.to_owned()], &written[1..]].concat();
    std::fs::write(folder.path().join("said.tsv"), format!("one.wav\t{}\n", other.join(" "))).unwrap();
    let other = evaluated(folder.path(), folder.path().join("said.tsv"), None).unwrap().quality;
    // The normalizer parts letters and digits, so that each word is two.
    let want = 0.5 / written.len() as f64;
    assert!((other.metrics["wer"].value - want).abs() < 1e-12, "{:?}", other.metrics["wer"]);
    // Without transcripts nothing is scored, and that is said.
    let error = evaluated(folder.path(), folder.path().join("one.wav"), None).unwrap_err().to_string();
    assert!(error.contains("no transcripts beside the recordings"), "{error}");
}

#[test]
fn letters_of_frames_become_words() {
    let letters: serde_json::Map<String, serde_json::Value> = ["<pad>", "<s>", "</s>", "<unk>", "|"]
        .into_iter()
        .map(str::to_owned)
        .chain((b'A'..=b'S').map(|c| char::from(c).to_string()))
        .zip(0..24)
        .map(|(name, n)| (name, n.into()))
        .collect();
    let vocabulary = serde_json::Value::Object(letters).to_string();
    for family in ["wav2vec2", "hubert"] {
        let folder = model(&fixtures().join(family), &[("vocab.json", &vocabulary)]);
        cut(&folder.path().join("one.wav"), 700);
        cut(&folder.path().join("two.wav"), 400);
        let network = Model::open(folder.path()).unwrap().network(&Device::Cpu, DType::F32).unwrap();
        let mut said = String::new();
        for name in ["one", "two"] {
            let corpus = open(folder.path(), folder.path().join(format!("{name}.wav")), 1).unwrap();
            let logits = network.run(&batches(&corpus)[0]).unwrap();
            let frames: Vec<u32> = logits.argmax(2).unwrap().to_vec2::<u32>().unwrap().remove(0);
            let mut text = String::new();
            for (at, n) in frames.iter().enumerate() {
                let is_new = at == 0 || frames[at - 1] != *n;
                match n {
                    0..=3 => {}
                    4 if is_new => text.push(' '),
                    n if is_new => text.push(char::from(b'A' + *n as u8 - 5)),
                    _ => {}
                }
            }
            // Small letters and more blanks are the same.
            said.push_str(&format!("{name}.wav\t{}  X\n", text.to_lowercase()));
        }
        let table = folder.path().join("said.tsv");
        std::fs::write(&table, &said).unwrap();
        let scored = evaluated(folder.path(), table.clone(), None).unwrap();
        let words = said.lines().map(|line| line.split('\t').nth(1).unwrap().split_whitespace().count()).sum::<usize>();
        let wer = &scored.quality.metrics["wer"];
        assert!((wer.value - 2.0 / words as f64).abs() < 1e-12 && wer.n == 2, "{family}: {wer:?} of {words}");
        assert_eq!(scored.quality.task_metric().unwrap().0, "wer");
        // wav2vec 2.0 normalizes over time, so that what stands beside a recording would change it.
        let sizes: Vec<usize> =
            batches(&open(folder.path(), table, 8).unwrap()).iter().map(|b| b.source.sequences().unwrap()).collect();
        assert_eq!(sizes, if family == "wav2vec2" { vec![1, 1] } else { vec![2] }, "{family}");
    }
}

#[test]
fn languages_that_are_none_are_refused_with_those_that_are_known() {
    let mut tokenizer: serde_json::Value = serde_json::from_str(&words()).unwrap();
    for (id, name) in [(10, "<|en|>"), (11, "<|de|>"), (12, "<|transcribe|>")] {
        tokenizer["model"]["vocab"][name] = id.into();
        let special = serde_json::json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
        tokenizer["added_tokens"].as_array_mut().unwrap().push(special);
        tokenizer["model"]["vocab"].as_object_mut().unwrap().remove(&format!("w{id}"));
    }
    let knows = serde_json::json!({"is_multilingual": true}).to_string();
    let multilingual = [("tokenizer.json", tokenizer.to_string()), ("generation_config.json", knows)];
    let multilingual: Vec<(&str, &str)> = multilingual.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let refused = |source: &Path, files: &[(&str, &str)], language: &str| {
        let folder = model(source, files);
        cut(&folder.path().join("one.wav"), 3000);
        std::fs::write(folder.path().join("said.tsv"), "one.wav\tw20 w21\n").unwrap();
        evaluated(folder.path(), folder.path().join("said.tsv"), Some(language)).map_err(|e| e.to_string())
    };
    let whisper = fixtures().join("whisper");
    let error = refused(&whisper, &multilingual, "zz").unwrap_err();
    assert!(error.contains("knows no language 'zz'") && error.contains("en, de"), "{error}");
    // A mark of another kind is no language.
    assert!(refused(&whisper, &multilingual, "transcribe").unwrap_err().contains("'transcribe'"));
    assert!(refused(&whisper, &multilingual, "DE").is_ok());
    // By its code it is told whether texts are compared as English.
    let words = words();
    for name in ["zz", "english", "eng"] {
        let error = refused(&whisper, &[("tokenizer.json", &words)], name).unwrap_err();
        assert!(error.contains("is no code of a language") && error.contains("en, zh, de"), "{error}");
    }
    // What says classes writes nothing.
    let classes = test_data().join("tasks/wav2vec2forsequenceclassification");
    let error = refused(&classes, &[], "en").unwrap_err();
    assert!(error.contains("does not write") && error.contains("--language"), "{error}");
}

#[test]
fn classes_of_recordings_are_folders_or_a_column() {
    let folder = model(&test_data().join("tasks/wav2vec2forsequenceclassification"), &[]);
    for name in ["yes/a.wav", "down/b.wav", "no/c.wav"] {
        cut(&folder.path().join("clips").join(name), 500);
    }
    let labels = |path: PathBuf| -> Vec<Option<u32>> {
        batches(&open(folder.path(), path, 4).unwrap()).iter().flat_map(|batch| batch.labels.clone().unwrap()).collect()
    };
    // In the order of the files: down, no, yes.
    assert_eq!(labels(folder.path().join("clips")), [Some(3), Some(1), Some(0)]);
    let table = folder.path().join("clips/said.tsv");
    std::fs::write(&table, "file\tlabel\nyes/a.wav\tup\nno/c.wav\tno\n").unwrap();
    assert_eq!(labels(table.clone()), [Some(2), Some(1)]);
    for (text, want) in [
        ("yes/a.wav\tmaybe\n", "the model has no label 'maybe'"),
        ("yes/none.wav\tup\n", "row 1: there is no"),
        ("../clips/yes/a.wav\tup\n", "leads out of the folder"),
        ("/etc/passwd\tup\n", "leads out of the folder"),
        ("yes/a.wav\n", "it has no path and text"),
    ] {
        std::fs::write(&table, text).unwrap();
        let error = open(folder.path(), table.clone(), 4).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    cut(&folder.path().join("clips/yes/short.wav"), 5);
    let error = open(folder.path(), folder.path().join("clips"), 4).unwrap_err().to_string();
    assert!(error.contains("5 samples are too few for a frame"), "{error}");
    let error = open(&fixtures().join("bert"), chirp(), 4).unwrap_err().to_string();
    assert!(error.contains("recordings are for models of speech"), "{error}");
}
