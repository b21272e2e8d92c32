//! What the integration tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use pillars::network::{Batch, FeatureMap, Probe, Site, SiteMaps, Source, TokenMask, Tokens};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What tests read besides fixtures.
pub fn test_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
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

/// Tensors of a reference file, integers as they are.
pub fn reference(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

pub fn mask(folder: &Path) -> BTreeMap<Site, Vec<usize>> {
    serde_json::from_slice(&std::fs::read(folder.join("mask.json")).unwrap()).unwrap()
}

fn tokens(ids: &Tensor, mask: Option<&Tensor>) -> Tokens {
    let (n, t) = ids.dims2().unwrap();
    let real = match mask {
        Some(mask) => mask.flatten_all().unwrap().to_vec1::<i64>().unwrap().iter().map(|m| *m != 0).collect(),
        None => vec![true; n * t],
    };
    Tokens { ids: ids.to_dtype(DType::U32).unwrap(), mask: TokenMask::new(n, t, real).unwrap() }
}

/// The inputs of a reference as a batch.
pub fn batch(reference: &HashMap<String, Tensor>) -> Batch {
    let source = if let Some(pixels) = reference.get("pixel_values") {
        Source::Pixels(pixels.clone())
    } else if let Some(frames) = reference.get("input_features") {
        Source::Frames(frames.clone())
    } else {
        Source::Tokens(tokens(&reference["input_ids"], reference.get("attention_mask")))
    };
    let target = reference.get("decoder_input_ids").map(|ids| tokens(ids, reference.get("decoder_attention_mask")));
    Batch { source, target, labels: None }
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
