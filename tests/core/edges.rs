//! The main job where sizes and numbers are at their ends: one token, one head, hundreds of layers, heads that are zero,
//! values near the ends of 16 bits. Never a panic, never a number that is none.
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use pillars::checkpoint::{Stored, TensorPlan, write_safetensors};
use pillars::model::Model;
use pillars::{Amount, Input, Method, Opened, Plan, PlanRequest, PruneSpec, Spec, Ticket};
use serde_json::{Value, json};

use crate::common::{fixtures, random_model, tensors_of, test_data};

/// A small decoder with these changes.
fn config(changes: &Value) -> Value {
    let mut config = json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 64, "max_position_embeddings": 48,
        "rms_norm_eps": 1e-6, "hidden_act": "silu",
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// Ids below `vocabulary`, spread over it.
fn ids(vocabulary: usize, n: usize, length: usize) -> Vec<usize> {
    (0..length).map(|i| (i * ((vocabulary / 13) | 1) + n * 11 + 3) % vocabulary).collect()
}

/// Lines of so many tokens each.
fn lines(folder: &Path, vocabulary: usize, lengths: &[usize]) -> Input {
    let path = folder.join("tokens.jsonl");
    let line = |(n, length): (usize, &usize)| json!({"input_ids": ids(vocabulary, n, *length)}).to_string() + "\n";
    std::fs::write(&path, lengths.iter().enumerate().map(line).collect::<String>()).unwrap();
    Input::Tokens(path)
}

/// The job on lines of so many tokens each.
fn whole_job(model: &Model, lengths: &[usize], spec: Spec) -> pillars::Result<Plan> {
    let scratch = tempfile::tempdir().unwrap();
    job(model, lines(scratch.path(), 64, lengths), spec)
}

/// Analysis, plans by every method that needs no more, quality, export: what came out, or why not.
fn job(model: &Model, input: Input, spec: Spec) -> pillars::Result<Plan> {
    let (scratch, ticket) = (tempfile::tempdir().unwrap(), Ticket::default());
    let opened = Opened::open(model.checkpoint().folder(), &ticket)?;
    let spec = Spec { input: Some(input), moments: true, importance: true, confidence: true, ..spec };
    let run = spec.check(&opened).map_err(pillars::refusal)?;
    let found = run.analyze(&ticket)?;
    let text = serde_json::to_string(&found.analysis).unwrap();
    // JSON has no word for what is no number: it becomes null.
    let is_null = |value: &Value| value["features"].as_object().unwrap().values().any(|f| has_null(&f["gram"]));
    let analysis: Value = serde_json::from_str(&text).unwrap();
    assert!(analysis["sites"].as_array().unwrap().iter().all(|site| !is_null(site)), "{text}");
    let mut last = None;
    for method in [Method::Votes, Method::PerGroup, Method::Score, Method::Importance, Method::Magnitude] {
        let plan = pillars::propose(&found.analysis, &PlanRequest::new(method, Amount::LayerRatio(0.5)))?;
        for (site, attention) in opened.model.spec().sites() {
            assert!(!plan.kept_at(site, attention.heads).is_empty(), "{method} {site}");
        }
        last = Some(plan);
    }
    let plan = last.unwrap();
    let measured = run.compare("half", &plan, None, &ticket)?;
    let after = &measured.comparison.after;
    assert!(after.loss_per_token.is_none_or(f64::is_finite), "{:?}", after.loss_per_token);
    let out = scratch.path().join("smaller");
    run.prune(&plan, None, &PruneSpec { out: out.clone(), ..PruneSpec::default() }, &ticket)?;
    assert!(Opened::open(&out, &ticket).is_ok());
    Ok(plan)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        _ => false,
    }
}

#[test]
fn one_token_one_sequence_and_one_head() {
    let (_folder, model) = random_model(&config(&json!({})));
    whole_job(&model, &[2], Spec::default()).unwrap();
    // Nothing follows one token: what cannot be scored says so.
    let error = whole_job(&model, &[1], Spec::default()).unwrap_err().to_string();
    assert!(!error.contains('\n') && !error.is_empty(), "{error}");
    whole_job(&model, &[1, 1, 9], Spec { batch_size: Some(3), ..Spec::default() }).unwrap();
    let (_folder, model) = random_model(&config(&json!({"num_attention_heads": 1, "num_key_value_heads": 1})));
    let plan = whole_job(&model, &[7, 9], Spec::default()).unwrap();
    assert!(model.spec().sites().iter().all(|(site, a)| plan.kept_at(*site, a.heads) == [0]));
    let (_folder, model) = random_model(&config(&json!({})));
    let groups = "4".parse().unwrap();
    whole_job(&model, &[7, 9], Spec { groups, ..Spec::default() }).unwrap();
}

#[test]
fn hundreds_of_layers() {
    let deep = json!({"num_hidden_layers": 512, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2,
                      "num_key_value_heads": 1});
    let (_folder, model) = random_model(&config(&deep));
    whole_job(&model, &[6, 5], Spec::default()).unwrap();
}

#[test]
fn a_vocabulary_of_64_thousand() {
    let wide = json!({"vocab_size": 65_536, "hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 128});
    let (_folder, model) = random_model(&config(&wide));
    let scratch = tempfile::tempdir().unwrap();
    let input = lines(scratch.path(), 65_536, &[64, 32]);
    job(&model, input, Spec { batch_size: Some(1), ..Spec::default() }).unwrap();
}

/// A random decoder with some tensors changed, in this type.
fn changed(stored: Stored, change: impl Fn(&str, Tensor) -> Tensor) -> (tempfile::TempDir, Model) {
    let (_folder, model) = random_model(&config(&json!({})));
    changed_of(&model, stored, change)
}

/// A model with some tensors changed, in this type.
fn changed_of(model: &Model, stored: Stored, change: impl Fn(&str, Tensor) -> Tensor) -> (tempfile::TempDir, Model) {
    let folder = model.checkpoint().folder();
    let tensors = tensors_of(model);
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let plans: Vec<TensorPlan> = names
        .iter()
        .map(|name| TensorPlan { name: (*name).clone(), stored, shape: tensors[*name].dims().to_vec() })
        .collect();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("config.json"), copy.path().join("config.json")).unwrap();
    write_safetensors(&copy.path().join("model.safetensors"), &plans, |plan| {
        let tensor = change(&plan.name, tensors[&plan.name].clone());
        pillars::checkpoint::tensor_bytes(&tensor.to_dtype(stored.dtype()).unwrap())
    })
    .unwrap();
    let model = Model::open(copy.path()).unwrap();
    (copy, model)
}

#[test]
fn heads_that_are_zero() {
    let (_folder, model) = changed(Stored::F32, silent);
    whole_job(&model, &[9, 12, 7], Spec::default()).unwrap();
    let (_folder, model) = changed(Stored::F32, nothing);
    whole_job(&model, &[9, 12, 7], Spec::default()).unwrap();
}

/// What becomes of a tensor by its name.
type TensorChange = fn(&str, Tensor) -> Tensor;

/// Values of heads as large as 16 bits hold them.
fn large(name: &str, tensor: Tensor) -> Tensor {
    match name.contains("v_proj") || name.contains("value") {
        true => (tensor * 3e5).unwrap().clamp(-6e4, 6e4).unwrap(),
        false => tensor,
    }
}

fn small(_: &str, tensor: Tensor) -> Tensor {
    (tensor * 1e-6).unwrap()
}

/// What heads put out is nothing.
fn silent(name: &str, tensor: Tensor) -> Tensor {
    let is_output = ["o_proj", "out_proj", "attention.output.dense"].iter().any(|part| name.contains(part));
    if is_output { tensor.zeros_like().unwrap() } else { tensor }
}

fn nothing(_: &str, tensor: Tensor) -> Tensor {
    tensor.zeros_like().unwrap()
}

/// Inputs of an encoder, an encoder-decoder and a model of pictures.
fn inputs_of_other_kinds(folder: &Path) -> [(&'static str, Input); 3] {
    let write = |name: &str, line: &dyn Fn(usize) -> Value| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, (0..3).map(|n| line(n).to_string() + "\n").collect::<String>()).unwrap();
        path
    };
    let one = write("one.jsonl", &|n| json!({"input_ids": ids(90, n, 9 + n)}));
    let two = write("two.jsonl", &|n| json!({"input_ids": ids(90, n, 9 + n), "labels": ids(90, n + 1, 7)}));
    let pictures = folder.join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for name in ["a_small.png", "b_tall.png", "c_grey.png"] {
        std::fs::copy(test_data().join("images").join(name), pictures.join(name)).unwrap();
    }
    [("bert", Input::Tokens(one)), ("bart", Input::Tokens(two)), ("vit", Input::Images(pictures))]
}

#[test]
fn other_kinds_of_models_with_heads_of_zero_and_values_near_the_ends() {
    let scratch = tempfile::tempdir().unwrap();
    for (family, input) in inputs_of_other_kinds(scratch.path()) {
        let model = Model::open(fixtures().join(family)).unwrap();
        let changes: [(&str, Stored, TensorChange); 5] = [
            ("silent", Stored::F32, silent),
            ("nothing", Stored::F32, nothing),
            ("large", Stored::F16, large),
            ("large", Stored::BF16, large),
            ("small", Stored::F16, small),
        ];
        for (name, stored, change) in changes {
            let (_folder, model) = changed_of(&model, stored, change);
            let spec = Spec { batch_size: Some(2), ..Spec::default() };
            job(&model, input.clone(), spec).unwrap_or_else(|e| panic!("{family} {name} {stored:?}: {e}"));
        }
    }
}

#[test]
fn values_near_the_ends_of_sixteen_bits() {
    for stored in [Stored::F16, Stored::BF16] {
        for change in [large as TensorChange, small] {
            let (_folder, model) = changed(stored, change);
            for precision in ["f32", "bf16"] {
                let precision = precision.parse().unwrap();
                whole_job(&model, &[9, 12, 7], Spec { precision, ..Spec::default() }).unwrap();
            }
            // Half precision may overflow; then one line says where.
            if let Err(error) =
                whole_job(&model, &[9, 12], Spec { precision: "f16".parse().unwrap(), ..Spec::default() })
            {
                let text = error.to_string();
                assert!(text.contains("not finite") || text.contains("no number"), "{text}");
            }
        }
    }
}
