//! What families do beyond the fixtures (older spellings, windows, scalings, ties, bare models), against values that
//! transformers computed: see `tests/data/variants/make.py`.
use crate::common::{batch, folders_in, reference, relative_difference, test_data};
use candle_core::{DType, Device};
use pillars::model::Model;
use pillars::network::{Gates, NoProbe};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

#[test]
fn every_variant_computes_what_transformers_computes() {
    let folders = folders_in(&test_data().join("variants"));
    assert_eq!(folders.len(), 44);
    let mut far = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let model = Model::open(&folder).unwrap_or_else(|e| panic!("{name}: {e}"));
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let reference = reference(&folder.join("reference.safetensors"));
        let batch = batch(&reference);
        let hidden = network.hidden(&batch, &Gates::open(), &mut NoProbe).unwrap();
        let (want, got) = match reference.get("logits") {
            Some(logits) => (logits, network.logits(&hidden.states).unwrap()),
            None => {
                assert!(network.spec().output.is_none(), "{name} has no language-model head");
                (&reference["last_hidden_state"], hidden.states.clone())
            }
        };
        let difference = relative_difference(&got, want, &hidden.mask, 1);
        eprintln!("{name:<22} {difference:.1e}");
        if difference >= CLOSE {
            far.push(name);
        }
    }
    assert!(far.is_empty(), "{far:?} differ");
}
