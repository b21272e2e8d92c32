//! The whole job on the bundled sample from both front ends: one analysis, one measurement, one curve, one record.

use std::path::{Path, PathBuf};
use std::process::Command;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use pillars::analysis::Document;
use pillars::corpus::Input;
use pillars::workspace::samples;
use serde_json::{Map, Value, json};

use crate::desk::Desk;

const SHIFTED: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

/// Runs a command that must succeed; gives its JSON and what it said besides.
fn pillars(arguments: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pillars")).args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr)
}

/// The same without what differs from run to run: times, and the names that a person gives.
fn steady(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_steady = |name: &str| !["secs", "tokens_per_sec", "speed", "name", "path", "files"].contains(&name);
            let kept = fields.iter().filter(|(name, _)| is_steady(name)).map(|(name, v)| (name.clone(), steady(v)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(all) => all.iter().map(steady).collect(),
        other => other.clone(),
    }
}

/// Every field of one is that of the other.
fn assert_same(what: &str, window: &Value, line: &Value) {
    fn compare(place: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
        match (a, b) {
            (Value::Object(x), Value::Object(y)) => {
                for name in x.keys().chain(y.keys().filter(|k| !x.contains_key(*k))) {
                    let (a, b) = (x.get(name).unwrap_or(&Value::Null), y.get(name).unwrap_or(&Value::Null));
                    compare(&format!("{place}.{name}"), a, b, found);
                }
            }
            (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
                x.iter().zip(y).enumerate().for_each(|(i, (a, b))| compare(&format!("{place}[{i}]"), a, b, found));
            }
            _ if a == b => {}
            _ => found.push(format!("{place}: window {a}, command line {b}")),
        }
    }
    let mut found = Vec::new();
    compare(what, &steady(window), &steady(line), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Desk {
    fn export(&mut self, out: &Path) {
        self.chord(Modifiers::COMMAND, Key::Num5);
        self.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
        self.harness.run();
        self.type_text(out.to_str().unwrap());
        self.scroll_and_click("Export");
        self.settle();
        assert!(out.join("pillars.json").is_file(), "{}", self.messages());
    }
}

#[test]
fn both_front_ends_do_the_same_job() {
    let sample = samples().iter().find(|sample| sample.model.ends_with("rxnfp-bert-pretrained")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { scratch.path().join(name) };
    let Some(Input::Text(text)) = &sample.input else { panic!("{sample:?}") };
    let (model, text) = (sample.model.to_str().unwrap(), text.to_str().unwrap());

    let mut desk = Desk::start(Some(sample.model.clone()));
    desk.toggle("none");
    desk.set("Held out", 3.0);
    desk.toggle("all");
    desk.set("Batches", 2.0);
    desk.set("Seed", 7.0);
    desk.toggle("no limit");
    desk.press(Key::F5);
    desk.settle();
    let analysis = desk.state().results.as_ref().expect("results").analysis.clone();
    desk.press(Key::F6);
    desk.settle();
    let measured = serde_json::to_value(desk.state().measured_now().expect("measured")).unwrap();
    let (window, line) = (at("window"), at("line"));
    desk.export(&window);

    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let (a, p) = (name(&at("a.json")), name(&at("p.json")));
    let common =
        ["--text", text, "--held-out-every", "3", "--batches", "2", "--seed", "7", "--memory", "4GiB", "--json"];
    let run = |first: &[&str]| pillars(&[first, &common[..]].concat()).0;
    run(&["analyze", model, "--moments", "--out", &a]);
    let analyzed = read(Path::new(&a));
    // What the window proposes first: it leaves layers alone in which nothing speaks for redundancy.
    pillars(&["plan", &a, "--method", "reconstruction", "--ratio", "0.7", "--without-evidence=keep", "--out", &p]);
    let evaluated = run(&["evaluate", model, "--plan", &p, "--repair", "auto"]);
    run(&["prune", model, "--plan", &p, "--repair", "auto", "--out", &name(&line)]);

    assert_same("analysis", &serde_json::from_str(&analysis.to_json().unwrap()).unwrap(), &analyzed);
    assert_same("measured", &measured, &evaluated);
    let (of_window, of_line) = (read(&window.join("pillars.json")), read(&line.join("pillars.json")));
    assert_same("record", &of_window, &of_line);
    // What the record says of the measurement is what was asked for.
    let reading = &of_window["measured"]["reading"];
    assert_eq!(reading["part"], json!({"held-out": {"every": 3}}));
    assert_eq!((&reading["seed"], &reading["batches"]), (&json!(7), &json!(2)));
    assert!(of_window["measured"]["before"]["loss_per_token"].as_f64().unwrap() > 0.0);
    let card = std::fs::read_to_string(window.join("README.md")).unwrap();
    assert!(card.contains("one batch in 3 alone") && card.contains("seed 7"), "{card}");
}

#[test]
fn both_front_ends_measure_the_same_curve() {
    let mut desk = Desk::with_results("bert");
    desk.chord(SHIFTED, Key::M);
    desk.settle();
    let curves = desk.state().curves.as_ref().expect("curves").to_json().unwrap();
    let name = |file: &str| desk.folder.path().join(file).to_str().unwrap().to_owned();
    let (model, tokens, a, c) = (crate::desk::fixture("bert"), name("tokens.jsonl"), name("a.json"), name("c.json"));
    let model = model.to_str().unwrap();
    pillars(&["analyze", model, "--tokens", &tokens, "--moments", "--out", &a]);
    let curve = ["curve", model, "--tokens", &tokens, "--analysis", &a, "--repair", "none,refit", "--out", &c];
    pillars(&curve);
    assert_same("curves", &serde_json::from_str(&curves).unwrap(), &read(Path::new(&c)));
}

#[test]
fn an_export_keeps_to_the_memory_limit_of_the_window() {
    let mut desk = Desk::with_results("bert");
    desk.toggle("no limit");
    desk.set("Memory limit", 64.0);
    let out = desk.folder.path().join("out");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
    desk.harness.run();
    desk.type_text(out.to_str().unwrap());
    desk.scroll_and_click("Export");
    desk.settle();
    assert!(desk.messages().contains("one layer and one batch need"), "{}", desk.messages());
    assert!(!out.exists());
}

#[test]
fn both_front_ends_pass_on_what_the_corpus_warns_of() {
    // The fixture has no tokenizer, so no mask token is known.
    let mut desk = Desk::with_results("bert");
    desk.press(Key::F6);
    desk.settle();
    let warning = "o mask token is known";
    assert!(desk.messages().contains(warning), "{}", desk.messages());
    let (model, tokens) = (crate::desk::fixture("bert"), desk.folder.path().join("tokens.jsonl"));
    let arguments = ["evaluate", model.to_str().unwrap(), "--tokens", tokens.to_str().unwrap(), "--json"];
    let (scored, said) = pillars(&arguments);
    assert!(said.contains(warning), "{said}");
    assert!(scored["notes"][0].as_str().unwrap().contains(warning), "{scored}");
}

#[test]
fn images_are_not_counted_as_tokens() {
    let vit = crate::desk::fixture("vit");
    let inputs = vit.join("reference.safetensors");
    let (model, inputs) = (vit.to_str().unwrap(), inputs.to_str().unwrap());
    let scored = pillars(&["evaluate", model, "--inputs", inputs, "--json"]).0;
    assert_eq!(scored["reading"]["unit"], "images", "{scored}");
    let output = Command::new(env!("CARGO_BIN_EXE_pillars")).args(["evaluate", model, "--inputs", inputs]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("images read") && !text.contains("tokens read"), "{text}");
}

#[test]
fn results_of_other_settings_are_marked() {
    let mut desk = Desk::with_results("bert");
    desk.press(Key::F6);
    desk.chord(SHIFTED, Key::M);
    desk.settle();
    assert!(desk.state().differences.is_empty(), "{:?}", desk.state().differences);
    desk.set("Seed", 3.0);
    assert_eq!(desk.state().differences, ["seed: 0, now 3"]);
    for view in [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5] {
        desk.chord(Modifiers::COMMAND, view);
        assert!(desk.shows("seed: 0, now 3"), "{view:?}");
    }
    // A run under the new settings is marked no more, but what was measured before it still is.
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.state().differences.is_empty());
    desk.chord(Modifiers::COMMAND, Key::Num3);
    assert!(!desk.shows("seed: 0, now 3"));
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("seed: 0, now 3"), "the curve and the measurement are of seed 0");
}
