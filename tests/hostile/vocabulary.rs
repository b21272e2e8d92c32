//! A large vocabulary and a long text: logits of all positions at once would fill the memory, so they come in slices.

use std::fs;

use pillars::{Amount, Input, Method, Opened, PlanRequest, Spec, Ticket, TrainSpec};
use serde_json::json;

use crate::common::random_model;
use crate::memory::largest_anywhere;
use crate::targets::alone;

const VOCABULARY: usize = 1 << 16;
const TOKENS: usize = 512;
/// A quarter of the logits of every position: more than any slice and any weight takes.
const MOST_BYTES: usize = VOCABULARY * TOKENS * size_of::<f32>() / 4;

#[test]
fn the_logits_of_a_long_text_are_never_there_at_once() {
    let config = json!({
        "model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": TOKENS,
        "rms_norm_eps": 1e-6, "hidden_act": "silu",
    });
    let (_folder, model) = random_model(&config);
    let scratch = tempfile::tempdir().unwrap();
    let text = scratch.path().join("tokens.jsonl");
    let ids: Vec<usize> = (0..TOKENS).map(|i| (i * 7919 + 3) % VOCABULARY).collect();
    fs::write(&text, format!("{}\n", json!({"input_ids": ids})).repeat(2)).unwrap();
    let ticket = Ticket::default();
    let opened = Opened::open(model.checkpoint().folder(), &ticket).unwrap();
    let spec = Spec { input: Some(Input::Tokens(text)), batch_size: Some(1), importance: true, ..Spec::default() };
    let _alone = alone();
    largest_anywhere();
    let asked = |what: &str| {
        let bytes = largest_anywhere();
        assert!(bytes < MOST_BYTES, "{what} asked for {bytes} bytes at once");
    };
    let run = spec.check(&opened).map_err(pillars::refusal).unwrap();
    let found = run.analyze(&ticket).unwrap();
    asked("the analysis with importance");
    let half = PlanRequest::new(Method::Importance, Amount::LayerRatio(0.5));
    let plan = pillars::propose(&found.analysis, &half).unwrap();
    run.compare("half", &plan, None, &ticket).unwrap();
    asked("measuring quality");
    let mut training = TrainSpec::new(Spec { importance: false, ..spec }, &opened, scratch.path().join("trained"));
    training.settings.steps = 1;
    training.settings.held_out_batches = 1;
    training.settings.voting = None;
    let summary = pillars::train(&training, &Default::default(), &mut |_| {}, &ticket).unwrap();
    assert!(summary.full_loss.is_some_and(f64::is_finite));
    asked("a step of training");
}
