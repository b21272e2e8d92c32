//! Models and plans for tests of engines.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{Content, TensorPlan, write_safetensors};
use crate::model::Model;
use crate::network::Kept;
use crate::plan::Plan;

/// The fixture of a family.
pub(super) fn fixture(family: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let named = folder.join(family);
    Model::open(if named.is_dir() { named } else { folder.join(family.trim_end_matches("_text")) }).unwrap()
}

/// The fixture of a family with `changes` to its configuration and without the tensors `dropped`.
pub(super) fn varied(family: &str, changes: &Value, dropped: &[&str]) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture(family);
    let checkpoint = source.checkpoint();
    let mut config: Map<String, Value> = checkpoint.config().value().as_object().cloned().unwrap();
    config.extend(changes.as_object().cloned().unwrap());
    std::fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    let names = checkpoint.names().iter().filter(|name| !dropped.contains(&name.as_str()));
    let plan = |name: &String| {
        let info = checkpoint.info(name).unwrap();
        TensorPlan { name: name.clone(), stored: info.stored, shape: info.shape.clone() }
    };
    let plans: Vec<TensorPlan> = names.map(plan).collect();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path, &plans, |plan| Ok(Content::Stored(checkpoint, plan.name.clone()))).unwrap();
    let model = Model::open(folder.path()).unwrap();
    (folder, model)
}

pub(super) fn whole() -> Plan {
    Plan::from_mask(Kept::all())
}

/// Keeps a different number of heads in every layer, key/value groups whole.
pub(super) fn uneven(model: &Model) -> Plan {
    let mut kept = BTreeMap::new();
    for (index, (site, attention)) in model.spec().sites().into_iter().enumerate() {
        let stay = 1 + index % attention.kv_heads;
        let shared = model.spec().stored_layer(site).unwrap_or(0);
        let stay = if model.family().model_type == "albert" { 1 + shared } else { stay };
        let heads: Vec<usize> = (0..attention.heads).filter(|h| h / attention.queries_per_kv() < stay).collect();
        kept.insert(site, heads);
    }
    Plan::parse_any(&serde_json::to_string(&kept).unwrap()).unwrap()
}

/// The last key/value group of every layer.
pub(super) fn even(model: &Model) -> Plan {
    let mut kept = BTreeMap::new();
    for (site, attention) in model.spec().sites() {
        let each = attention.queries_per_kv();
        let from = if attention.kv_heads > 1 { attention.heads - each } else { 1 };
        kept.insert(site, (from..attention.heads).collect::<Vec<_>>());
    }
    Plan::parse_any(&serde_json::to_string(&kept).unwrap()).unwrap()
}
