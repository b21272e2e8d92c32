//! Inputs without columns: lists of ids, tensors, texts, pairs, pictures, recordings.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use candle_core::Device;
use pillars::Ticket;
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::model::Model;
use tempfile::TempDir;

use super::documents::tokens;
use super::{Named, Target};
use crate::common::words::model_of;
use crate::common::{fixtures, test_data};

/// Reads an input to its end.
pub(crate) fn read_all(model: &Model, input: &Input, purpose: Purpose) -> pillars::Result<()> {
    let settings = CorpusSettings { batch_size: 4, purpose, ..CorpusSettings::default() };
    let folder = model.checkpoint().folder();
    let corpus = Corpus::open(input, folder, &Intake::of(model)?, &settings, &Ticket::default())?;
    corpus.batches(&Device::Cpu).try_for_each(|batch| batch.map(drop))
}

/// A target that a model reads from a file of its folder.
fn input(
    name: &str,
    file: &'static str,
    seeds: impl Fn() -> Vec<Vec<u8>> + 'static,
    model: impl Fn() -> (TempDir, Model) + 'static,
    input: fn(PathBuf) -> Input,
    purpose: Purpose,
) -> Named {
    Named::new(name, move || {
        let (folder, model) = model();
        let input = input(folder.path().join(file));
        Target::at(folder, file, seeds(), move || read_all(&model, &input, purpose))
    })
}

/// A fixture and a folder beside it.
fn plain(family: &'static str) -> impl Fn() -> (TempDir, Model) {
    move || (tempfile::tempdir().unwrap(), Model::open(fixtures().join(family)).unwrap())
}

/// The same with a tokenizer in the folder.
fn worded(family: &'static str) -> impl Fn() -> (TempDir, Model) {
    move || model_of(&fixtures().join(family))
}

pub(crate) fn ids_tensors_and_texts() -> Vec<Named> {
    let tensors = || vec![fs::read(fixtures().join("bert/reference.safetensors")).unwrap()];
    let texts = || {
        let text = "w10 w11, undo w12 \u{e9} w13.\n\nw14 w15 \u{1f600} w16\n".repeat(8);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        vec![text.into_bytes(), packed.finish().unwrap()]
    };
    let observe = Purpose::Observe;
    vec![
        input("tokens", "tokens.jsonl", || vec![tokens()], plain("bert"), Input::Tokens, observe),
        input("inputs", "inputs.safetensors", tensors, plain("bert"), Input::Inputs, observe),
        input("text", "text.txt", texts, worded("bert"), Input::Text, observe),
    ]
}

pub(crate) fn pairs() -> Vec<Named> {
    let seeds = || vec![b"w10 w11 w12\tw20 undo\nw13\tw21 w22 w23\n\nw14 w15\tw24\nw16\tun w25\n".to_vec()];
    let of = |path| Input::Pairs { path, columns: None, language: None };
    vec![input("pairs", "pairs.tsv", seeds, worded("bart"), of, Purpose::Score)]
}

pub(crate) fn images() -> Vec<Named> {
    let of = |(name, source): (&'static str, &'static str)| {
        Named::new(name, move || {
            let folder = tempfile::tempdir().unwrap();
            let model = Model::open(fixtures().join("vit")).unwrap();
            let input = Input::Images(folder.path().to_path_buf());
            let seed = fs::read(test_data().join(source)).unwrap();
            Target::at(folder, name, vec![seed], move || read_all(&model, &input, Purpose::Observe)).decoding()
        })
    };
    [("a.png", "images/a_small.png"), ("b.jpg", "photos/photo.jpg")].map(of).into()
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

pub(crate) fn recordings() -> Vec<Named> {
    let flac = || fs::read(test_data().join("speech/chirp.flac")).unwrap();
    // Frames of MPEG 2 layer III, 64 kbit/s, 16 kHz, one channel, which hold no sound and need no other rate.
    let mp3 = || [&[0xff, 0xf3, 0x88, 0xc4][..], &[0; 284]].concat().repeat(6);
    let of = |(name, seed): (&'static str, fn() -> Vec<u8>)| {
        Named::new(name, move || {
            let (folder, model) = plain("wav2vec2")();
            let input = Input::Audio { path: folder.path().join(name), language: None };
            Target::at(folder, name, vec![seed()], move || read_all(&model, &input, Purpose::Observe)).decoding()
        })
    };
    [("a.wav", short_wav as fn() -> Vec<u8>), ("a.flac", flac), ("a.mp3", mp3)].map(of).into()
}
