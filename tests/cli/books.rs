//! The bundled classifier from evaluation to export, within a budget of its accuracy.
use crate::contract::{Folder, good, json, sample};
use serde_json::Value;

fn accuracy(quality: &Value) -> f64 {
    let found = &quality["metrics"]["accuracy"];
    assert_eq!(found["n"], 300, "{found}");
    found["value"].as_f64().unwrap_or_else(|| panic!("{quality}"))
}

#[test]
fn a_classifier_is_pruned_repaired_and_exported_within_a_point_of_accuracy() {
    let folder = Folder::new();
    let model = sample("books/classifier");
    let [train, dev, test] = ["books/train.tsv", "books/dev.tsv", "books/test.tsv"].map(sample);
    let [a, p, out] = ["a.json", "p.json", "smaller"].map(|name| folder.name(name));
    let whole = json(&good(&["evaluate", &model, "--data", &test, "--json", "--quiet"]));
    assert!(accuracy(&whole) > 0.7, "{whole}");
    let part = ["--batches", "40", "--batch-size", "16"];
    let analyze =
        ["analyze", &model, "--data", &train, "--groups", "2", "--scores", "importance,magnitude", "--moments"];
    good(&[&analyze[..], &part, &["--no-kinds", "--no-evidence", "--out", &a, "--quiet"]].concat());
    let plan = ["plan", &a, &model, "--data", &dev, "--max-metric-drop", "1%", "--method", "reconstruction,importance"];
    let plan = json(&good(&[&plan[..], &["--repair", "refit", "--out", &p, "--json", "--quiet"]].concat()));
    let budget = &plan["budget"];
    assert!(budget["measure"] == "accuracy" && budget["spent"].as_f64().unwrap() <= 0.01, "{budget}");
    let heads: usize = plan["kept"].as_object().unwrap().values().map(|kept| kept.as_array().unwrap().len()).sum();
    assert!(heads < 24, "{plan}");
    let prune =
        ["prune", &model, "--plan", &p, "--data", &test, "--format", "compact", "--out", &out, "--json", "--quiet"];
    let report = json(&good(&prune));
    assert!(report["agreement"]["compared"] == "logits", "{report}");
    let smaller = json(&good(&["evaluate", &out, "--data", &test, "--json", "--quiet"]));
    // What was found on one text holds on another: 300 sentences are sure to a few points.
    assert!(accuracy(&smaller) > accuracy(&whole) - 0.04, "{} after {}", accuracy(&smaller), accuracy(&whole));
    let after = &report["measured"]["after"]["metrics"]["accuracy"]["value"];
    assert_eq!(after.as_f64(), Some(accuracy(&smaller)), "{report}");
}
