//! What a trained checkpoint is written as: configuration, tensor names, files beside the weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::{Map, Value};

use super::Parameters;
use crate::checkpoint::{Checkpoint, Config, Stored, TensorPlan, tensor_bytes, write_atomically};
use crate::error::{Error, Result};
use crate::model::{Model, Storage};
use crate::network::NetworkSpec;
use crate::pruning::{SHARD_BYTES, SideFiles, copy_side_files, write_weights};
use crate::tensor::Precision;

/// What is trained, apart from its weights.
#[derive(Clone, Debug)]
pub struct Blueprint {
    config: Config,
    spec: NetworkSpec,
    storage: Storage,
    /// The checkpoint that training begins from.
    base: Option<Model>,
    /// The folder whose tokenizer and other files go along.
    side: PathBuf,
}

impl Blueprint {
    /// Training that begins from the weights of a checkpoint.
    pub fn of_model(model: &Model) -> Result<Self> {
        let config = model.config();
        Ok(Self {
            config: config.clone(),
            spec: model.spec().clone(),
            storage: model.storage()?,
            side: model.checkpoint().folder().to_path_buf(),
            base: Some(model.clone()),
        })
    }

    /// Training from scratch of what `config` describes; `side` holds the tokenizer.
    pub fn fresh(config: &Config, side: &Path) -> Result<Self> {
        let (spec, storage) = Storage::fresh(config)?;
        Ok(Self { config: config.clone(), spec, storage, base: None, side: side.to_path_buf() })
    }

    /// What the network is.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Where its roles are stored.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The checkpoint that training begins from, if there is one.
    pub fn base(&self) -> Option<&Model> {
        self.base.as_ref()
    }

    /// The folder that holds the tokenizer.
    pub fn side(&self) -> &Path {
        &self.side
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes `parameters` as a checkpoint into the empty `folder`, the configuration last, so that a folder cut short
    /// opens nowhere; where `stored` names no type, in that of the original, or f32 if a weight has grown out of it. Tensors that the network does not read are
    /// taken over as they are. Gives the files beside the weights, copied and left out.
    pub fn write(&self, folder: &Path, parameters: &Parameters, stored: Option<Precision>) -> Result<SideFiles> {
        let stored = match stored {
            Some(chosen) => chosen.into(),
            None => self.fitting(parameters)?,
        };
        let copies = self.copies()?;
        let plan = |name: &str, shape: &[usize]| TensorPlan { name: name.to_owned(), stored, shape: shape.to_vec() };
        let mut plans = Vec::new();
        let shapes: HashMap<&str, &[usize]> = self.storage.tensors().collect();
        match &self.base {
            Some(model) => {
                for name in model.checkpoint().names() {
                    let source = copies.get(name).map_or(name.as_str(), String::as_str);
                    plans.push(match shapes.get(source) {
                        Some(shape) => plan(name, shape),
                        None => {
                            let info = model.checkpoint().required(name)?;
                            TensorPlan { name: name.clone(), stored: info.stored, shape: info.shape.clone() }
                        }
                    });
                }
            }
            None => plans.extend(self.storage.tensors().map(|(name, shape)| plan(name, shape))),
        }
        write_weights(folder, plans, SHARD_BYTES, |plan| {
            let source = copies.get(&plan.name).unwrap_or(&plan.name);
            match (shapes.contains_key(source.as_str()), &self.base) {
                (true, _) => {
                    let tensor = parameters.stored_tensor(source)?.to_dtype(stored.dtype())?;
                    if stored != Stored::F64 && !tensor.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?.is_finite()
                    {
                        return Err(
                            Error::new(format!("'{source}' does not fit {}", stored.name())).hint("write it as f32")
                        );
                    }
                    tensor_bytes(&tensor)
                }
                (false, Some(model)) => model.checkpoint().read(&plan.name),
                (false, None) => unreachable!("without a base, tensors are those of the storage"),
            }
        })?;
        let side = copy_side_files(&self.side, folder)?;
        let mut config = object(&self.config)?;
        let key = if config.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        config.insert(key.to_owned(), stored.name().into());
        let text = format!("{}\n", serde_json::to_string_pretty(&Value::Object(config))?);
        write_atomically(&folder.join("config.json"), text.as_bytes())?;
        Ok(side)
    }

    /// The type of the original, or f32 where a weight does not fit it.
    fn fitting(&self, parameters: &Parameters) -> Result<Stored> {
        let original = self.base.as_ref().map_or(Stored::F32, Model::stored);
        if original == Stored::F16 {
            for (name, _) in self.storage.tensors() {
                let largest = parameters.stored_tensor(name)?.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F32)?;
                if largest.to_scalar::<f32>()? > half::f16::MAX.to_f32() {
                    return Ok(Stored::F32);
                }
            }
        }
        Ok(original)
    }

    /// Stored tensors that the network does not read but that hold a copy of one it reads (a tied head written twice):
    /// their names, and the names of what they copy.
    fn copies(&self) -> Result<HashMap<String, String>> {
        let mut copies = HashMap::new();
        let Some(model) = &self.base else { return Ok(copies) };
        let checkpoint = model.checkpoint();
        for name in model.unused() {
            let Some(info) = checkpoint.info(name) else { continue };
            for (used, shape) in self.storage.tensors() {
                let same =
                    shape == info.shape.as_slice() && checkpoint.info(used).is_some_and(|u| u.stored == info.stored);
                // Small tensors (zero biases) are equal by chance.
                if same && info.shape.len() >= 2 && same_bytes(checkpoint, name, used)? {
                    copies.insert(name.to_owned(), used.to_owned());
                    break;
                }
            }
        }
        Ok(copies)
    }

    /// The parameters that training begins with.
    pub fn parameters(&self, seed: u64, device: &Device) -> Result<Parameters> {
        let dtype = candle_core::DType::F32;
        match &self.base {
            Some(model) => Parameters::of_model(model, dtype, device),
            None => {
                let initial = super::Initial::usual(&self.spec);
                Parameters::fresh(&self.spec, self.storage.clone(), initial, seed, dtype, device)
            }
        }
    }
}

fn object(config: &Config) -> Result<Map<String, Value>> {
    config.value().as_object().cloned().ok_or_else(|| config.unsupported("the configuration is not an object"))
}

/// Whether two tensors of one size hold the same bytes; read in pieces, so that a difference is found early.
fn same_bytes(checkpoint: &Checkpoint, a: &str, b: &str) -> Result<bool> {
    const PIECE: usize = 1 << 20;
    let total = checkpoint.info(a).map_or(0, |i| i.bytes);
    for from in (0..total).step_by(PIECE) {
        let length = PIECE.min(total - from);
        if checkpoint.read_range(a, from, length)? != checkpoint.read_range(b, from, length)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_the_type_of_the_original_while_they_fit_it() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            place
        };
        let written = |blueprint: &Blueprint, parameters: &Parameters, name: &str, stored: Option<Precision>| {
            let place = place(name);
            blueprint.write(&place, parameters, stored).unwrap();
            let model = Model::open(&place).unwrap();
            assert_eq!(
                model.config().get("torch_dtype").or(model.config().get("dtype")),
                Some(&model.stored().name().into())
            );
            model
        };
        let original = Blueprint::of_model(&Model::open(&fixture).unwrap()).unwrap();
        let parameters = original.parameters(0, &Device::Cpu).unwrap();
        assert_eq!(written(&original, &parameters, "whole", None).stored(), Stored::F32);
        let half = written(&original, &parameters, "half", Some(Precision::F16));
        assert_eq!(half.stored(), Stored::F16);
        let blueprint = Blueprint::of_model(&half).unwrap();
        let parameters = blueprint.parameters(0, &Device::Cpu).unwrap();
        assert_eq!(written(&blueprint, &parameters, "again", None).stored(), Stored::F16);
        let weight = &parameters.list()[0].var;
        weight.set(&(weight.ones_like().unwrap() * 1e6).unwrap()).unwrap();
        assert_eq!(written(&blueprint, &parameters, "grown", None).stored(), Stored::F32);
    }
}
