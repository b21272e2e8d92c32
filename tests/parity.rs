//! Every family against values that Hugging Face transformers computed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeSet;

use candle_core::{DType, Device};
use common::{Keeper, batch, fixture_folders, mask, reference, relative_difference};
use pillars::model::{Model, families};
use pillars::network::{Blind, Gates};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

#[test]
fn every_family_computes_what_transformers_computes() {
    let mut report = Vec::new();
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap_or_else(|e| panic!("{e}"));
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
        let family = model.family().model_type;
        assert_eq!(compared, 2 + 2 * model.spec().sites().len(), "{family}");
        eprintln!("{family:<12} {:.1e} at {}", worst.0, worst.1);
        report.push((family, worst.0));
    }
    // Every folder is read and every family has one, so none is supported without proof.
    let tested: BTreeSet<&str> = report.iter().map(|(family, _)| *family).collect();
    let supported: BTreeSet<&str> = families::all().map(|f| f.model_type).collect();
    assert_eq!(tested, supported);
    assert_eq!((report.len(), tested.len()), (29, 29));
    for (family, difference) in &report {
        assert!(*difference < CLOSE, "{family} differs by {difference:.1e}");
    }
}
