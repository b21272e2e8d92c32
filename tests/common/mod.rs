//! What the integration tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

pub mod heads;
pub mod hub;
pub mod varied;
pub mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use pillars::checkpoint::{Config, Stored, TensorPlan, write_safetensors};
use pillars::model::{Family, Model, Storage};
use pillars::network::{
    Batch, FeatureMap, Gates, Kept, NoProbe, Probe, Samples, Site, SiteMaps, Source, TokenMask, Tokens,
};
use pillars::tensor::DeviceChoice;

/// The folder of the package, also for the crate that lies in it.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().find(|folder| folder.join("tests/fixtures").is_dir()).unwrap()
}

pub fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

/// Folder of a family's fixture.
pub fn family_fixture(family: &Family) -> PathBuf {
    fixtures().join(family.model_type)
}

/// Whether heads of a model can be removed; else they can be masked only.
pub fn loses_heads(model: &Model) -> bool {
    model.spec().sites().iter().all(|(_, a)| !a.couples_heads())
}

/// A checkpoint of a configuration with small random weights, opened; the same for the same configuration.
pub fn random_model(config: &serde_json::Value) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let keys = Config::new("config.json", config.as_object().unwrap().clone());
    let (_, storage) = Storage::fresh(&keys).unwrap();
    let plans: Vec<TensorPlan> = storage
        .tensors()
        .map(|(name, shape)| TensorPlan { name: name.to_owned(), stored: Stored::F32, shape: shape.to_vec() })
        .collect();
    let mut state = 1u32;
    write_safetensors(&folder.path().join("model.safetensors"), &plans, |plan| {
        let values = (0..plan.bytes() / 4).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * 0.4 - 0.2
        });
        Ok(values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    })
    .unwrap();
    let opened = Model::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
    (folder, opened)
}

/// What tests read besides fixtures.
pub fn test_data() -> PathBuf {
    root().join("tests/data")
}

/// Folders of all fixtures, sorted.
pub fn fixture_folders() -> Vec<PathBuf> {
    folders_in(&fixtures())
}

/// Folders in a folder, sorted.
pub fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

/// Where networks compute in tests that compare them with references: on the processor, or on what `PILLARS_DEVICE` names.
///
/// ```sh
/// PILLARS_DEVICE=cuda cargo test --features cuda --test core -- parity precision training train_run streaming
/// ```
pub fn device() -> Device {
    let Ok(name) = std::env::var("PILLARS_DEVICE") else { return Device::Cpu };
    let (device, fallback) = name.parse::<DeviceChoice>().unwrap().open().unwrap();
    assert_eq!(fallback, None);
    device
}

/// Tensors of a reference file, integers as they are.
pub fn reference(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &device()).unwrap()
}

/// Every tensor of a model's checkpoint by name, floats as f32.
pub fn tensors_of(model: &Model) -> HashMap<String, Tensor> {
    let checkpoint = model.checkpoint();
    let read = |name: &String| (name.clone(), checkpoint.tensor(name, DType::F32, &Device::Cpu).unwrap());
    checkpoint.names().iter().map(read).collect()
}

/// A checkpoint of these parts, written and opened.
pub fn reopened(config: &serde_json::Value, tensors: &HashMap<String, Tensor>) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    candle_core::safetensors::save(tensors, folder.path().join("model.safetensors")).unwrap();
    let opened = Model::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
    (folder, opened)
}

pub fn mask(folder: &Path) -> Kept {
    serde_json::from_slice(&std::fs::read(folder.join("mask.json")).unwrap()).unwrap()
}

fn tokens(ids: &Tensor, mask: Option<&Tensor>) -> Tokens {
    let (n, t) = ids.dims2().unwrap();
    Tokens::new(ids.to_dtype(DType::U32).unwrap(), tokens_mask(n, t, mask))
}

fn tokens_mask(n: usize, t: usize, mask: Option<&Tensor>) -> TokenMask {
    let real = match mask {
        Some(mask) => mask.flatten_all().unwrap().to_vec1::<i64>().unwrap().iter().map(|m| *m != 0).collect(),
        None => vec![true; n * t],
    };
    TokenMask::new(n, t, real).unwrap()
}

/// The inputs of a reference as a batch.
pub fn batch(reference: &HashMap<String, Tensor>) -> Batch {
    let source = if let Some(pixels) = reference.get("pixel_values") {
        Source::Pixels(pixels.clone())
    } else if let Some(frames) = reference.get("input_features") {
        Source::Frames(frames.clone())
    } else if let Some(values) = reference.get("input_values") {
        let (n, length) = values.dims2().unwrap();
        let mask = tokens_mask(n, length, reference.get("attention_mask"));
        Source::Samples(Samples { values: values.clone(), mask })
    } else {
        Source::Tokens(tokens(&reference["input_ids"], reference.get("attention_mask")))
    };
    let target = reference.get("decoder_input_ids").map(|ids| tokens(ids, reference.get("decoder_attention_mask")));
    Batch::new(source, target)
}

/// Keeps attention weights and outputs, as `attn.<site>` and `out.<site>` of the references.
#[derive(Default)]
pub struct Keeper {
    pub maps: HashMap<String, Tensor>,
    pub queries: HashMap<String, TokenMask>,
}

impl Probe for Keeper {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> pillars::Result<()> {
        let output = maps.map(FeatureMap::Output)?;
        let (n, h, t, d) = output.dims4()?;
        let joined = output.transpose(1, 2)?.reshape((n, t, h * d))?;
        for (key, value) in [("attn", maps.map(FeatureMap::Attention)?), ("out", joined)] {
            let key = format!("{key}.{}", maps.site);
            self.queries.insert(key.clone(), maps.queries.clone());
            self.maps.insert(key, value.contiguous()?);
        }
        Ok(())
    }
}

/// Largest difference at real positions over the largest reference value. `axis` is where query positions lie.
pub fn relative_difference(got: &Tensor, want: &Tensor, real: &TokenMask, axis: usize) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let to_rows = |x: &Tensor| {
        let x = x.to_dtype(DType::F64).unwrap();
        let x = if axis == 2 { x.transpose(1, 2).unwrap() } else { x };
        let (n, t) = (x.dim(0).unwrap(), x.dim(1).unwrap());
        x.contiguous().unwrap().reshape((n * t, ())).unwrap().to_vec2::<f64>().unwrap()
    };
    let (got, want) = (to_rows(got), to_rows(want));
    let largest = want.iter().flatten().fold(0f64, |m, x| m.max(x.abs()));
    let mut worst = 0f64;
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        if real.real()[i] {
            for (g, w) in g.iter().zip(w) {
                let difference = (g - w).abs();
                worst = if difference.is_nan() { f64::INFINITY } else { worst.max(difference) };
            }
        }
    }
    worst / largest
}

/// How far a model is from a reference.
pub struct Compared {
    /// The largest [`relative_difference`] and the tensor that it is in.
    pub worst: (f64, String),
    /// Tensors of the reference that were compared.
    pub compared: usize,
}

/// Runs `model` in f32 on the inputs of a reference and compares every `attn.*`, `out.*` and result with it, the
/// `masked.*` ones with the gates of `kept`.
pub fn compare(model: &Model, reference: &HashMap<String, Tensor>, kept: Option<&Kept>) -> Compared {
    let network = model.network(&device(), DType::F32).unwrap();
    let batch = batch(reference);
    let mut keeper = Keeper::default();
    let hidden = network.hidden(&batch, &Gates::open(), &mut keeper).unwrap();
    let has_head = network.spec().output.is_some();
    let head = |states: &Tensor| if has_head { network.logits(states).unwrap() } else { states.clone() };
    let result = if has_head { "logits" } else { "last_hidden_state" };
    let masked = kept.map(|kept| {
        let gates = Gates::keep(model.spec(), kept, DType::F32, &device()).unwrap();
        network.hidden(&batch, &gates, &mut NoProbe).unwrap()
    });
    let mut all = Compared { worst: (0.0, String::new()), compared: 0 };
    for (key, want) in reference {
        let (got, real, axis) = if key.starts_with("attn.") || key.starts_with("out.") {
            (keeper.maps[key].clone(), &keeper.queries[key], if key.starts_with("attn.") { 2 } else { 1 })
        } else if key == result {
            (head(&hidden.states), &hidden.mask, 1)
        } else if let (true, Some(masked)) = (*key == format!("masked.{result}"), &masked) {
            (head(&masked.states), &masked.mask, 1)
        } else {
            continue;
        };
        all.compared += 1;
        let difference = relative_difference(&got, want, real, axis);
        if difference > all.worst.0 {
            all.worst = (difference, key.clone());
        }
    }
    all
}
