//! What exports hold at a time within a bound on memory.

use std::path::Path;

use pillars::engines::{self, EngineOptions};
use pillars::model::{MemoryLimit, Model, PROGRAM};
use pillars::plan::Plan;
use pillars::pruning::{self, Engine, ExportFormat, ExportOptions};
use pillars::task::Ticket;
use serde_json::json;

use crate::common::random_model;
use crate::memory::held_for;
use crate::targets::{alone, is_one_line};

#[test]
fn the_proof_of_a_bounded_export_holds_one_network_at_a_time() {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/rxnfp-bert-pretrained")).unwrap();
    let weights = usize::try_from(4 * model.parameters()).unwrap();
    let plan = Plan::parse_any(r#"{"encoder.0": [0, 1], "encoder.3": [2]}"#).unwrap();
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    // All of the model has room, and twice.
    let options = ExportOptions { memory: Some(MemoryLimit(1 << 30)), ..ExportOptions::default() };
    let out = scratch.path().join("out");
    let write = || pruning::export(&model, &plan, ExportFormat::Masked, &out, &options, None, &Ticket::default());
    let (report, held) = held_for(write);
    assert!(report.unwrap().speed.is_none());
    assert!(held > weights / 2 && held < weights * 8 / 5, "{held} bytes were held, the weights take {weights}");
}

#[test]
fn a_file_for_an_engine_takes_no_more_than_the_bound_that_it_asks_for() {
    let (_folder, model) = random_model(&json!({
        "model_type": "llama", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 8192, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "hidden_act": "silu",
    }));
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    for engine in [Engine::Onnx, Engine::Gguf, Engine::Ct2] {
        let out = scratch.path().join(engine.name());
        let write = |memory: u64| {
            let options = EngineOptions { memory: Some(MemoryLimit(memory)), ..EngineOptions::default() };
            engines::export(engine, &model, &Plan::default(), &out, &options, &Ticket::default())
        };
        let refused = write(1 << 20).unwrap_err().to_string();
        assert!(refused.contains("of memory to be written and proven, 1MiB are allowed"), "{refused}");
        assert!(!out.exists() && is_one_line(&refused));
        let needed = refused.split_once(" needs ").and_then(|(_, rest)| rest.split_once("MiB")).unwrap().0;
        let needed = needed.parse::<u64>().unwrap() << 20;
        let (report, held) = held_for(|| write(needed));
        report.unwrap_or_else(|e| panic!("{engine}: {e}"));
        let own = usize::try_from(needed - PROGRAM).unwrap();
        assert!(held <= own, "{engine}: {held} bytes were held, {own} were asked for");
    }
}
