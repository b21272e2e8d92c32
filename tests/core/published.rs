//! Configurations of published models at their real size: the network they describe has as many parameters as
//! transformers counts, see `tests/data/published/make.py`.
use std::collections::BTreeSet;

use crate::common::test_data;
use pillars::checkpoint::Config;
use pillars::model::{Storage, families};
use serde_json::Value;

#[test]
fn published_models_have_the_parameters_that_transformers_counts() {
    let text = std::fs::read(test_data().join("published/published.json")).unwrap();
    let published: Value = serde_json::from_slice(&text).unwrap();
    let mut seen = BTreeSet::new();
    for (name, entry) in published.as_object().unwrap() {
        let config = Config::new(format!("{name}/config.json"), entry["config"].as_object().unwrap().clone());
        let (_, storage) = Storage::fresh(&config).unwrap_or_else(|e| panic!("{e}"));
        let parameters: u64 = storage.tensors().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        assert_eq!(parameters, entry["parameters"].as_u64().unwrap(), "{name}");
        seen.insert(entry["config"]["model_type"].as_str().unwrap());
    }
    let supported: BTreeSet<&str> = families::all().map(|f| f.model_type).collect();
    assert!(seen.is_subset(&supported) && seen.len() >= 29, "{seen:?}");
}
