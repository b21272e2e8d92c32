//! Checkpoints in half precision, and networks that run in it.
use crate::common::{batch, device, fixture_folders, reference, relative_difference, reopened, tensors_of};
use candle_core::{DType, Tensor};
use pillars::checkpoint::Stored;
use pillars::model::Model;
use pillars::network::{Gates, NoProbe, TokenMask};

/// A copy of `model` with its weights changed, opened.
fn rewritten(model: &Model, change: impl Fn(Tensor) -> Tensor) -> (tempfile::TempDir, Model) {
    let tensors = tensors_of(model).into_iter().map(|(name, tensor)| (name, change(tensor))).collect();
    reopened(model.config().value(), &tensors)
}

#[test]
fn half_precision_files_open_and_run_in_f32() {
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family().model_type;
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        assert_eq!(model.stored(), Stored::F32);
        for (dtype, stored) in [(DType::F16, Stored::F16), (DType::BF16, Stored::BF16)] {
            let (_half, half) = rewritten(&model, |t| t.to_dtype(dtype).unwrap());
            let (_full, rounded) = rewritten(&model, |t| t.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap());
            assert_eq!((half.stored(), rounded.stored()), (stored, Stored::F32));
            let run = |model: &Model| {
                let network = model.network(&device(), DType::F32).unwrap();
                network.run(&batch).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            // The same numbers in another file: the same result to the last bit.
            assert_eq!(run(&half), run(&rounded), "{family} in {dtype:?}");
        }
    }
}

#[test]
fn networks_run_in_half_precision() {
    // A unit is what rounding moves a number of size one by.
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family().model_type;
        let reference = reference(&folder.join("reference.safetensors"));
        let batch = batch(&reference);
        let want = model.network(&device(), DType::F32).unwrap().run(&batch).unwrap();
        let everywhere = TokenMask::full(want.dim(0).unwrap(), want.dim(1).unwrap());
        for (dtype, unit) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
            let network = model.network(&device(), dtype).unwrap();
            assert_eq!(network.dtype(), dtype);
            let got = network.forward(&batch, &Gates::open(), &mut NoProbe);
            let got = got.unwrap_or_else(|e| panic!("{family} in {dtype:?}: {e}"));
            let units = relative_difference(&got, &want, &everywhere, 1) / unit;
            // A dozen results in a row are each off by up to half a unit of the last place, and norms and softmax
            // enlarge what comes before them: a few units are due, a hundred would be an operation gone wrong.
            // Where the scores of two experts are close, rounding to few bits chooses the other one.
            let mixes = model.spec().decoder.iter().flat_map(|s| &s.layers).any(|layer| layer.experts.is_some());
            let most = if mixes && dtype == DType::BF16 { 64.0 } else { 32.0 };
            assert!(units < most, "{family} in {dtype:?} is {units:.0} units away");
        }
    }
}
