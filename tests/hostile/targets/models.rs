//! Checkpoints of which one file is damaged: what opens also computes.

use std::collections::BTreeMap;
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
use serde_json::Value;
use tempfile::TempDir;

use super::{Named, Target, copied, sample};
use crate::common::{batch, fixture_folders, fixtures, reference, test_data};

/// The input of a fixture's reference.
fn input_of(fixture: &Path) -> Batch {
    batch(&reference(&fixture.join("reference.safetensors")))
}

/// Values of no meaning may give no meaning, but no panic.
fn compute(place: &Path, input: &Batch) -> pillars::Result<()> {
    Model::open(place)?.network(&Device::Cpu, DType::F32)?.run(input).map(drop)
}

/// A fixture's checkpoint of which one file is damaged.
fn checkpoint(name: &str, source: PathBuf, file: &'static str) -> Named {
    Named::new(name, move || {
        let folder = copied(&source);
        let seed = fs::read(source.join(file)).unwrap();
        let input = input_of(&fixtures().join("llama"));
        let place = folder.path().to_path_buf();
        Target::at(folder, file, vec![seed], move || compute(&place, &input))
    })
}

pub(crate) fn weights() -> Vec<Named> {
    vec![
        checkpoint("safetensors", fixtures().join("llama"), "model.safetensors"),
        checkpoint("pickle", test_data().join("pickled/single"), "pytorch_model.bin"),
        checkpoint("index", test_data().join("pickled/sharded"), "pytorch_model.bin.index.json"),
    ]
}

/// One target over the configurations of every family: each is read beside the weights of the family that it names.
pub(crate) fn configurations_of_every_family() -> Vec<Named> {
    let make = || {
        let sources = fixture_folders();
        let of = |source: &PathBuf| {
            let name = source.file_name().unwrap().to_str().unwrap().to_owned();
            (name, (copied(source), input_of(source)))
        };
        let families: BTreeMap<String, (TempDir, Batch)> = sources.iter().map(of).collect();
        let seeds = sources.iter().map(|source| fs::read(source.join("config.json")).unwrap()).collect();
        Target::new(seeds, move |bytes| {
            let config = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
            let named = config["model_type"].as_str().and_then(|name| families.get(name));
            let (folder, input) = named.unwrap_or(&families["llama"]);
            fs::write(folder.path().join("config.json"), bytes).unwrap();
            compute(folder.path(), input)
        })
    };
    vec![Named::new("configurations of every family", make)]
}

/// A target that reads a file of an engine, written from a fixture or a sample.
fn engine_file(
    name: &str,
    engine: Engine,
    source: PathBuf,
    file: &'static str,
    read: impl Fn(&Path) -> pillars::Result<()> + 'static,
) -> Vec<Named> {
    let make = move || {
        let folder = tempfile::tempdir().unwrap();
        let model = Model::open(&source).unwrap();
        let out = folder.path().join("out");
        export(engine, &model, &Plan::default(), &out, &EngineOptions::default(), &Ticket::default()).unwrap();
        let path = out.join(file);
        let seed = fs::read(&path).unwrap();
        Target::at(folder, path.clone(), vec![seed], move || read(&path))
    };
    vec![Named::new(name, make)]
}

pub(crate) fn gguf_files() -> Vec<Named> {
    engine_file("gguf", Engine::Gguf, sample(), "model.gguf", |path| {
        let file = GgufFile::open(path)?;
        // The tensors that lie last are cut first.
        file.names().into_iter().try_for_each(|name| file.rows(name, 0, 1).map(drop))
    })
}

pub(crate) fn gguf_models() -> Vec<Named> {
    let source = fixtures().join("llama");
    let input = input_of(&source);
    engine_file("gguf as a model", Engine::Gguf, source, "model.gguf", move |path| compute(path, &input))
}

pub(crate) fn onnx_files() -> Vec<Named> {
    let source = fixtures().join("bert");
    let input = input_of(&source);
    engine_file("onnx", Engine::Onnx, source, "onnx/model.onnx", move |path| onnx::run_file(path, &input).map(drop))
}
