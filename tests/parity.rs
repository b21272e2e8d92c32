//! Every family against values that Hugging Face transformers computed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use candle_core::{DType, Device};
use common::{Keeper, batch, fixtures, mask, reference, relative_difference};
use pillars::model::{Model, families};
use pillars::network::{Blind, Gates};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

#[test]
fn every_family_computes_what_transformers_computes() {
    let mut report = Vec::new();
    for family in families::all() {
        let folder = fixtures().join(family.model_type);
        let model = Model::open(&folder).unwrap();
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let reference = reference(&folder.join("reference.safetensors"));
        let batch = batch(&reference);
        let mut keeper = Keeper::default();
        let hidden = network.hidden(&batch, &Gates::open(), &mut keeper).unwrap();
        let head =
            |states| if network.spec().output.is_some() { network.logits(states).unwrap() } else { states.clone() };
        let result = if network.spec().output.is_some() { "logits" } else { "last_hidden_state" };
        let gates = Gates::keep(model.spec(), &mask(&folder), DType::F32, &Device::Cpu).unwrap();
        let masked = network.hidden(&batch, &gates, &mut Blind).unwrap();
        let mut worst = (0f64, String::new());
        let mut compared = 0;
        for (key, want) in &reference {
            let (got, real, axis) = if key.starts_with("attn.") || key.starts_with("out.") {
                (keeper.maps[key].clone(), &keeper.queries[key], if key.starts_with("attn.") { 2 } else { 1 })
            } else if key == result {
                (head(&hidden.states), &hidden.mask, 1)
            } else if *key == format!("masked.{result}") {
                (head(&masked.states), &masked.mask, 1)
            } else {
                continue;
            };
            compared += 1;
            let difference = relative_difference(&got, want, real, axis);
            if difference > worst.0 {
                worst = (difference, key.clone());
            }
        }
        assert_eq!(compared, 2 + 2 * model.spec().sites().len(), "{}", family.model_type);
        report.push((family.model_type, worst));
    }
    for (family, (difference, key)) in &report {
        eprintln!("{family:<12} {difference:.1e} at {key}");
    }
    assert!(report.iter().all(|(_, (difference, _))| *difference < CLOSE));
}
