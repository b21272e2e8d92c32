//! Inputs without columns: lists of ids, tensors, texts, pairs, pictures, recordings.

use std::fs;
use std::io::Write as _;

use candle_core::Device;
use pillars::Ticket;
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::model::Model;

use super::documents::tokens;
use super::{DECODED_BYTES, MODERATE_BYTES, fuzz};
use crate::common::words::model_of;
use crate::common::{fixtures, test_data};

/// Reads an input to its end.
pub(crate) fn read_all(model: &Model, input: &Input, purpose: Purpose) -> pillars::Result<()> {
    let settings = CorpusSettings { batch_size: 4, purpose, ..CorpusSettings::default() };
    let folder = model.checkpoint().folder();
    let corpus = Corpus::open(input, folder, &Intake::of(model)?, &settings, &Ticket::default())?;
    corpus.batches(&Device::Cpu).try_for_each(|batch| batch.map(drop))
}

#[test]
fn ids_tensors_and_texts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let read = |model: &Model, input: Input| read_all(model, &input, Purpose::Observe);
    let model = Model::open(fixtures().join("bert")).unwrap();
    let file = path("tokens.jsonl");
    fuzz("tokens", &[tokens()], &file, MODERATE_BYTES, || read(&model, Input::Tokens(file.clone())));
    let file = path("inputs.safetensors");
    let seed = fs::read(fixtures().join("bert/reference.safetensors")).unwrap();
    fuzz("inputs", &[seed], &file, MODERATE_BYTES, || read(&model, Input::Inputs(file.clone())));
    let (_words, model) = model_of(&fixtures().join("bert"));
    let text = "w10 w11, undo w12 \u{e9} w13.\n\nw14 w15 \u{1f600} w16\n".repeat(8);
    let file = path("text.txt");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let seeds = [text.into_bytes(), packed.finish().unwrap()];
    fuzz("text", &seeds, &file, MODERATE_BYTES, || read(&model, Input::Text(file.clone())));
}

#[test]
fn pairs() {
    let (folder, model) = model_of(&fixtures().join("bart"));
    let path = folder.path().join("pairs.tsv");
    let seed = b"w10 w11 w12\tw20 undo\nw13\tw21 w22 w23\n\nw14 w15\tw24\nw16\tun w25\n".to_vec();
    let input = Input::Pairs { path: path.clone(), columns: None, language: None };
    fuzz("pairs", &[seed], &path, MODERATE_BYTES, || read_all(&model, &input, Purpose::Score));
}

#[test]
fn images() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(fixtures().join("vit")).unwrap();
    let data = test_data();
    for (name, source) in [("a.png", "images/a_small.png"), ("b.jpg", "photos/photo.jpg")] {
        let pictures = folder.path().join(name);
        fs::create_dir(&pictures).unwrap();
        let seed = fs::read(data.join(source)).unwrap();
        let input = Input::Images(pictures.clone());
        fuzz(name, &[seed], &pictures.join(name), DECODED_BYTES, || read_all(&model, &input, Purpose::Observe));
    }
}

/// A tenth of a second of a recording as WAV.
fn short_wav() -> Vec<u8> {
    const DATA: usize = 3200;
    let mut bytes = fs::read(test_data().join("speech/chirp.wav")).unwrap();
    let at = bytes.windows(4).position(|four| four == b"data").unwrap() + 8;
    bytes.truncate(at + DATA);
    let whole = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&whole.to_le_bytes());
    bytes[at - 4..at].copy_from_slice(&(DATA as u32).to_le_bytes());
    bytes
}

#[test]
fn recordings() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(fixtures().join("wav2vec2")).unwrap();
    let flac = fs::read(test_data().join("speech/chirp.flac")).unwrap();
    // Frames of MPEG 2 layer III, 64 kbit/s, 16 kHz, one channel, which hold no sound and need no other rate.
    let mp3 = [&[0xff, 0xf3, 0x88, 0xc4][..], &[0; 284]].concat().repeat(6);
    for (name, seed) in [("a.wav", short_wav()), ("a.flac", flac), ("a.mp3", mp3)] {
        let path = folder.path().join(name);
        let input = Input::Audio { path: path.clone(), language: None };
        fuzz(name, &[seed], &path, DECODED_BYTES, || read_all(&model, &input, Purpose::Observe));
    }
}
