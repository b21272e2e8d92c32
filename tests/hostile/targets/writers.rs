//! Round trips: what is written of a damaged model that still opens computes what that model computes.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use pillars::Ticket;
use pillars::engines::{EngineOptions, Quantization, export, onnx};
use pillars::model::Model;
use pillars::network::Batch;
use pillars::plan::Plan;
use pillars::pruning::Engine;

use super::{Named, Target, copied};
use crate::common::{batch, fixtures, reference};

/// The input of a fixture's reference without padding, where answers mean nothing.
fn full_input(fixture: &Path) -> Batch {
    let mut reference = reference(&fixture.join("reference.safetensors"));
    reference.retain(|name, _| !name.ends_with("attention_mask"));
    batch(&reference)
}

fn computed(place: &Path, input: &Batch) -> pillars::Result<Tensor> {
    Model::open(place)?.network(&Device::Cpu, DType::F32)?.run(input)
}

/// The largest weight of a model, by its size; infinite where one is no number.
fn largest_weight(model: &Model) -> pillars::Result<f32> {
    let weights = candle_core::safetensors::load(model.checkpoint().folder().join("model.safetensors"), &Device::Cpu)?;
    let mut most = 0f32;
    for weight in weights.values() {
        let numbers = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        most = numbers.iter().fold(most, |most, x| if x.is_finite() { most.max(x.abs()) } else { f32::INFINITY });
    }
    Ok(most)
}

/// Panics unless two answers are alike; numbers of no meaning are like each other.
fn assert_alike(got: &Tensor, want: &Tensor) {
    let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (numbers(got), numbers(want));
    let largest = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    if want.iter().all(|x| x.is_finite()) && largest < 1e10 {
        let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
        assert!(worst <= 1e-2 * largest.max(1e-3), "{worst} of {largest}");
    }
}

/// Damages `file` of a fixture, writes the model for `engine` where it still opens, and lets `again` compute it.
fn round_trip(
    engine: Engine,
    family: &'static str,
    file: &'static str,
    again: fn(&Path, &Batch) -> pillars::Result<Tensor>,
) -> Named {
    Named::new(format!("{family} to {engine}, {file} damaged"), move || {
        let source = fixtures().join(family);
        let (folder, input) = (copied(&source), full_input(&source));
        let seed = fs::read(source.join(file)).unwrap();
        let options = EngineOptions { quantization: Some(Quantization::F32), ..EngineOptions::default() };
        let (read, place) = (folder.path().to_path_buf(), tempfile::tempdir().unwrap());
        Target::at(folder, file, vec![seed], move || {
            let model = Model::open(&read)?;
            let want = computed(&read, &input)?;
            let out = place.path().join("out");
            if out.exists() {
                fs::remove_dir_all(&out).unwrap();
            }
            export(engine, &model, &Plan::default(), &out, &options, &Ticket::default())?;
            let got = again(&out, &input).unwrap();
            // Where squares of weights leave the range of f32, an answer hangs on the order of the operations.
            if largest_weight(&model)? < 1e6 {
                assert_alike(&got, &want);
            }
            Ok(())
        })
    })
}

/// Either file of every family damaged.
fn round_trips<const N: usize>(
    engine: Engine,
    families: [&'static str; N],
    again: fn(&Path, &Batch) -> pillars::Result<Tensor>,
) -> Vec<Named> {
    let files = ["config.json", "model.safetensors"];
    let of = |family| files.map(|file| round_trip(engine, family, file, again));
    families.into_iter().flat_map(of).collect()
}

pub(crate) fn onnx_round_trips() -> Vec<Named> {
    let again = |out: &Path, input: &Batch| onnx::run_file(&out.join("onnx/model.onnx"), input);
    round_trips(Engine::Onnx, ["bert", "llama", "t5"], again)
}

pub(crate) fn gguf_round_trips() -> Vec<Named> {
    let again = |out: &Path, input: &Batch| computed(&out.join("model.gguf"), input);
    round_trips(Engine::Gguf, ["llama", "qwen2"], again)
}
