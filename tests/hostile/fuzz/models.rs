//! Checkpoints of which one file is damaged: what opens also computes.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use pillars::Ticket;
use pillars::checkpoint::GgufFile;
use pillars::engines::{EngineOptions, export, onnx};
use pillars::model::Model;
use pillars::network::Batch;
use pillars::plan::Plan;
use pillars::pruning::Engine;

use super::{MODERATE_BYTES, Tally, Target, copied, fuzz, limits, sample};
use crate::common::{batch, fixture_folders, fixtures, reference, test_data};

/// The input of a fixture's reference.
fn input_of(fixture: &Path) -> Batch {
    batch(&reference(&fixture.join("reference.safetensors")))
}

/// Values of no meaning may give no meaning, but no panic.
fn compute(place: &Path, input: &Batch) -> pillars::Result<()> {
    Model::open(place)?.network(&Device::Cpu, DType::F32)?.run(input).map(drop)
}

fn fuzz_model(target: &str, source: PathBuf, file: &str) {
    let folder = copied(&source);
    let seed = fs::read(source.join(file)).unwrap();
    let input = input_of(&fixtures().join("llama"));
    fuzz(target, &[seed], &folder.path().join(file), MODERATE_BYTES, || compute(folder.path(), &input));
}

#[test]
fn weights() {
    fuzz_model("safetensors", fixtures().join("llama"), "model.safetensors");
    fuzz_model("pickle", test_data().join("pickled/single"), "pytorch_model.bin");
    fuzz_model("index", test_data().join("pickled/sharded"), "pytorch_model.bin.index.json");
}

/// One target over the configurations of every family, which share its executions.
#[test]
fn configurations_of_every_family() {
    let folders = fixture_folders();
    let (executions, time) = limits();
    let share = (executions.div_ceil(folders.len() as u64), time / folders.len() as u32);
    let mut all = Tally::default();
    for source in &folders {
        let folder = copied(source);
        let path = folder.path().join("config.json");
        let seeds = [fs::read(&path).unwrap()];
        let name = format!("config of {}", source.file_name().unwrap().display());
        let input = input_of(source);
        let target = Target { name: &name, seeds: &seeds, path: &path, most: MODERATE_BYTES };
        all.add(&target.run(share, || compute(folder.path(), &input)));
    }
    all.tell("configurations of every family");
}

/// A file of an engine, from a model with a tokenizer.
fn engine_file(engine: Engine, source: &Path, file: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(source).unwrap();
    let out = folder.path().join("out");
    export(engine, &model, &Plan::default(), &out, &EngineOptions::default(), &Ticket::default()).unwrap();
    (folder, out.join(file))
}

#[test]
fn gguf_files() {
    let (_folder, path) = engine_file(Engine::Gguf, &sample(), "model.gguf");
    let seed = fs::read(&path).unwrap();
    fuzz("gguf", &[seed], &path, MODERATE_BYTES, || {
        let file = GgufFile::open(&path)?;
        // The tensors that lie last are cut first.
        file.names().into_iter().try_for_each(|name| file.rows(name, 0, 1).map(drop))
    });
}

#[test]
fn gguf_models() {
    let (_folder, path) = engine_file(Engine::Gguf, &fixtures().join("llama"), "model.gguf");
    let (seed, input) = (fs::read(&path).unwrap(), input_of(&fixtures().join("llama")));
    fuzz("gguf as a model", &[seed], &path, MODERATE_BYTES, || compute(&path, &input));
}

#[test]
fn onnx_files() {
    let source = fixtures().join("bert");
    let (_folder, path) = engine_file(Engine::Onnx, &source, "onnx/model.onnx");
    let (seed, input) = (fs::read(&path).unwrap(), input_of(&source));
    fuzz("onnx", &[seed], &path, MODERATE_BYTES, || onnx::run_file(&path, &input).map(drop));
}
