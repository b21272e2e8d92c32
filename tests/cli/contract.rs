//! The command line as a script sees it: names, files, exit statuses, single-line errors.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::varied::token;
use crate::common::{fixtures, random_model, reference, relative_difference};
use candle_core::{DType, Device, Tensor};
use pillars::network::{Batch, Source, TokenMask, Tokens};
use serde_json::Value;

pub fn pillars(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pillars")).args(arguments).output().unwrap()
}

pub fn fixture(family: &str, file: &str) -> String {
    fixtures().join(family).join(file).to_str().unwrap().to_owned()
}

pub fn sample(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models").join(file).to_str().unwrap().to_owned()
}

/// Runs a command that must succeed and gives its stdout.
pub fn good(arguments: &[&str]) -> String {
    let output = pillars(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with `status` and one line on stderr; gives that line.
pub fn bad(arguments: &[&str], status: i32) -> String {
    let output = pillars(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "a failed command prints no result");
    let lines: Vec<&str> = stderr.lines().filter(|l| !l.contains(": load weights") && !l.contains("pass:")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    lines[0].to_owned()
}

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn is_empty(&self) -> bool {
        std::fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn inspect_reads_headers_and_answers_in_json() {
    let shown = json(&good(&["inspect", &fixture("llama", ""), "--json"]));
    assert_eq!(shown["family"], "llama");
    assert_eq!(shown["layers"]["decoder"], 2);
    assert_eq!(shown["sites"][0]["site"], "decoder.0");
    assert_eq!(shown["sites"][0]["heads"], 4);
    assert_eq!(shown["sites"][0]["kv_heads"], 2);
    // Embedding and head 96 x 32 each; per layer q and o 32 x 32, k and v 16 x 32, three 56 x 32, two norms; a norm.
    let layer = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 56 * 32 + 2 * 32;
    assert_eq!(shown["parameters"], 2 * 96 * 32 + 2 * layer + 32);
}

#[test]
fn features_equal_the_references() {
    let folder = Folder::new();
    for family in ["bert", "gpt2", "llama", "qwen2"] {
        let (model, out) = (fixture(family, ""), folder.name(&format!("{family}.safetensors")));
        let input = fixture(family, "reference.safetensors");
        good(&[
            "features",
            &model,
            "--inputs",
            &input,
            "--features",
            "query,residual",
            "--batch-size",
            "2",
            "--out",
            &out,
            "--quiet",
        ]);
        let (got, want) = (reference(Path::new(&out)), reference(Path::new(&input)));
        let kind = if family == "bert" { "encoder" } else { "decoder" };
        assert_eq!(got[&format!("query.{kind}.0")].dims(), [3, 4, 9, 8]);
        assert_eq!(got[&format!("residual.{kind}.1")].dims(), [3, 4, 9, 32]);
        let real = want["attention_mask"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        let real = TokenMask::new(3, 9, real.iter().map(|r| *r != 0).collect()).unwrap();
        for (name, want) in
            want.iter().filter(|(n, _)| n.starts_with("attn.") || n.starts_with("out.") || *n == "logits")
        {
            let axis = if name.starts_with("attn.") { 2 } else { 1 };
            assert!(relative_difference(&got[name], want, &real, axis) < 1e-4, "{family} {name}");
        }
        let masked = folder.name("masked.safetensors");
        good(&[
            "features",
            &model,
            "--inputs",
            &input,
            "--mask",
            &fixture(family, "mask.json"),
            "--out",
            &masked,
            "--quiet",
        ]);
        let masked = reference(Path::new(&masked));
        assert!(relative_difference(&masked["logits"], &want["masked.logits"], &real, 1) < 1e-4, "{family} masked");
    }
}

#[test]
fn bad_token_lines_are_named() {
    let folder = Folder::new();
    let model = fixture("gpt2", "");
    let cases = [
        ("{\"input_ids\": [1, 2, 96]}", "96"),
        ("{\"input_ids\": [1, 2], \"attention_mask\": [0, 0]}", "line 1"),
        ("{\"input_ids\": []}", "line 1"),
        ("{\"input_ids\": [1]}\nnonsense", "line 2"),
        (&format!("{{\"input_ids\": {:?}}}", vec![1; 41]), "41"),
        ("", "no line"),
    ];
    for (text, named) in cases {
        let input = Folder::new();
        std::fs::write(input.path("t.jsonl"), text).unwrap();
        let out = folder.name("f.safetensors");
        let line = bad(&["features", &model, "--tokens", &input.name("t.jsonl"), "--out", &out, "--quiet"], 1);
        assert!(line.contains(named) && line.contains("t.jsonl"), "{line}");
        assert!(folder.is_empty(), "a failed command leaves nothing behind");
    }
}

#[test]
fn wrong_usage_is_status_two() {
    for arguments in [
        &["features", "x"][..],
        &["analyze", "x", "--text", "a", "--tokens", "b", "--out", "c"],
        &["analyze", "x", "--text", "a", "--feature", "color", "--out", "c"],
        &["inspect"],
    ] {
        assert_eq!(pillars(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn options_without_an_effect_are_refused_or_told() {
    let (model, text) = (sample("austen-plain"), sample("austen.txt"));
    let refused = bad(&["evaluate", &model, "--text", &text, "--language", "en", "--quiet"], 2);
    assert!(refused.contains("--language has no effect without --audio"), "{refused}");
    let folder = Folder::new();
    let [a, p] = ["a.json", "p.json"].map(|name| folder.name(name));
    good(&["analyze", &model, "--text", &text, "--batches", "1", "--groups", "2", "--out", &a, "--quiet"]);
    let output = pillars(&["plan", &a, "--batch-size", "3", "--out", &p]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("--batch-size has no effect without an input"), "{said}");
}

#[test]
fn a_task_without_labels_is_said_to_be_unmeasured() {
    let folder = Folder::new();
    let data = folder.name("unlabeled.csv");
    std::fs::write(&data, "id,text\n1,a fine day it was\n2,and a sad one\n").unwrap();
    let evaluate = ["evaluate", &sample("books/classifier"), "--data", &data, "--quiet"];
    let text = good(&evaluate);
    assert!(text.contains("not measured"), "{text}");
    let notes = json(&good(&[&evaluate[..], &["--json"]].concat()))["notes"].to_string();
    assert!(notes.contains("among id, text") && notes.contains("loss, accuracy"), "{notes}");
}

#[test]
fn a_command_without_input_names_the_options() {
    assert!(bad(&["evaluate", &fixture("bert", ""), "--quiet"], 2).contains("give --text, --tokens"));
}

#[test]
fn missing_files_are_one_line() {
    assert!(bad(&["inspect", "/nowhere"], 1).contains("/nowhere"));
    let line = bad(&["features", &fixture("bert", ""), "--text", "/nowhere.txt", "--out", "/tmp/never", "--quiet"], 1);
    assert!(line.contains("tokenizer.json") || line.contains("/nowhere.txt"), "{line}");
}

#[test]
fn the_main_job_runs_from_text_to_a_proven_checkpoint() {
    let folder = Folder::new();
    let (model, text) = (sample("rxnfp-bert-pretrained"), sample("reactions.txt"));
    let (a, p, out) = (folder.name("a.json"), folder.name("p.json"), folder.name("smaller"));
    let common = ["--text", &text, "--batches", "4", "--quiet"];
    good(&[&["analyze", &model, "--groups", "2", "--out", &a], &common[..]].concat());
    let analysis = json(&std::fs::read_to_string(&a).unwrap());
    assert_eq!(analysis["format"], "pillars-analysis");
    assert_eq!(analysis["batches"], 4);
    assert_eq!(analysis["sites"].as_array().unwrap().len(), 12);
    let site = &analysis["sites"][3];
    let votes: u64 = site["votes"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(votes, 4 * 2, "each of two groups votes once a batch");
    assert_eq!(site["kept"].as_array().unwrap().len(), 2);

    good(&["plan", &a, "--keep", "2", "--out", &p]);
    let plan = json(&std::fs::read_to_string(&p).unwrap());
    assert_eq!(plan["format"], "pillars-plan");
    assert_eq!(plan["kept"]["encoder.3"], site["kept"]);

    let quality = json(&good(&[&["evaluate", &model, "--plan", &p, "--json"], &common[..]].concat()));
    let loss = |when: &str| quality[when]["loss_per_token"].as_f64().unwrap();
    assert!(loss("before") > 0.0 && loss("after") > loss("before"), "{quality}");

    let report = json(&good(&["prune", &model, "--plan", &p, "--out", &out, "--json", "--quiet"]));
    assert!(report["agreement"]["relative"].as_f64().unwrap() <= 1e-4, "{report}");
    let inspected = json(&good(&["inspect", &out, "--json"]));
    assert!(inspected["sites"].as_array().unwrap().iter().all(|s| s["heads"] == 2 && s["origin_heads"] == 4));
    // Two of four heads of 64 go: q, k, v rows with biases, and output columns, in float16.
    let removed = 12 * 2 * 64 * (3 * (256 + 1) + 256) * 2;
    let before = json(&good(&["inspect", &model, "--json"]))["bytes"].as_u64().unwrap();
    assert_eq!(before - inspected["bytes"].as_u64().unwrap(), removed);
    for file in ["tokenizer.json", "vocab.txt", "config.json", "pillars.json"] {
        assert!(Path::new(&out).join(file).is_file(), "{file}");
    }
    // The folder is there now: refused without --force, as is the model itself.
    assert!(bad(&["prune", &model, "--plan", &p, "--out", &out, "--quiet"], 1).contains("smaller"));
    bad(&["prune", &model, "--plan", &p, "--out", &model, "--force", "--quiet"], 1);
    let masked = ["prune", &model, "--plan", &p, "--out", &out, "--force", "--quiet", "--format", "masked"];
    let few = ["--text", &text, "--batches", "1", "--batch-size", "2"];
    let told = good(&[&masked[..], &few].concat());
    // One speed, measured side by side, and none of the passes that measured quality.
    assert_eq!(told.lines().filter(|line| line.contains("per sec") || line.contains("/s ")).count(), 1, "{told}");
    assert!(told.contains("run against run") && !told.contains("scoring included"), "{told}");
    // Random heads stand beside what was written as well.
    assert!(told.contains("random, 5 draws"), "{told}");
    let several = ["--text", &text, "--batches", "8", "--batch-size", "1"];
    let told = good(&[&["evaluate", &model, "--plan", &p, "--quiet"][..], &several].concat());
    assert!(told.contains("of the median batch, scoring included") && told.contains("heads that are masked"), "{told}");
}

#[test]
fn halves_of_a_corpus_merge_to_the_whole() {
    let folder = Folder::new();
    let model = sample("rxnfp-bert-pretrained");
    let lines: Vec<String> =
        std::fs::read_to_string(sample("reactions.txt")).unwrap().lines().map(str::to_owned).collect();
    let write = |name: &str, lines: &[String]| std::fs::write(folder.path(name), lines.join("\n")).unwrap();
    write("whole.txt", &lines[..32]);
    write("one.txt", &lines[..16]);
    write("two.txt", &lines[16..32]);
    for part in ["whole", "one", "two"] {
        let (text, out) = (folder.name(&format!("{part}.txt")), folder.name(&format!("{part}.json")));
        good(&["analyze", &model, "--text", &text, "--groups", "2", "--out", &out, "--quiet"]);
    }
    let (one, two, merged) = (folder.name("one.json"), folder.name("two.json"), folder.name("merged.json"));
    good(&["merge", &one, &two, "--out", &merged]);
    let read = |name: &str| json(&std::fs::read_to_string(folder.path(name)).unwrap());
    let (whole, merged) = (read("whole.json"), read("merged.json"));
    assert_eq!(whole["tokens"], merged["tokens"]);
    for (w, m) in whole["sites"].as_array().unwrap().iter().zip(merged["sites"].as_array().unwrap()) {
        assert_eq!(w["votes"], m["votes"]);
        assert_eq!(w["kept"], m["kept"]);
        let flat = |s: &Value| -> Vec<f64> {
            let rows = s["features"]["output"]["gram"].as_array().unwrap();
            rows.iter().flat_map(|r| r.as_array().unwrap()).map(|x| x.as_f64().unwrap()).collect()
        };
        for (w, m) in flat(w).iter().zip(flat(m)) {
            assert!((w - m).abs() <= 1e-9 * w.abs().max(1.0));
        }
    }
    let other = folder.name("other.json");
    good(&["analyze", &model, "--text", &folder.name("one.txt"), "--groups", "3", "--out", &other, "--quiet"]);
    bad(&["merge", &one, &other, "--out", &folder.name("never.json")], 1);
    assert!(!folder.path("never.json").exists());
}

#[test]
fn what_speaks_for_redundancy_merges_where_the_first_part_is_large_enough() {
    let folder = Folder::new();
    let model = fixture("bert", "");
    let line = |n: usize| {
        let ids: Vec<usize> = (0..12).map(|t| token(n, t)).collect();
        serde_json::json!({"input_ids": ids}).to_string()
    };
    let lines: Vec<String> = (0..48).map(line).collect();
    for (name, range) in [("whole", 0..48), ("large", 0..32), ("rest", 32..48), ("small", 0..16), ("more", 16..48)] {
        std::fs::write(folder.path("part.jsonl"), lines[range].join("\n")).unwrap();
        let (tokens, out) = (folder.name("part.jsonl"), folder.name(&format!("{name}.json")));
        good(&["analyze", &model, "--tokens", &tokens, "--groups", "2", "--out", &out, "--quiet"]);
    }
    let merged = |first: &str, second: &str| {
        let (one, two) = (folder.name(&format!("{first}.json")), folder.name(&format!("{second}.json")));
        json(&good(&["merge", &one, &two, "--out", &folder.name("merged.json"), "--json"]))
    };
    let whole = json(&std::fs::read_to_string(folder.path("whole.json")).unwrap());
    let found = merged("large", "rest");
    assert_eq!(whole["evidence"]["sequences"], 32);
    assert_eq!(found["evidence"], whole["evidence"]);
    for (w, m) in whole["sites"].as_array().unwrap().iter().zip(found["sites"].as_array().unwrap()) {
        assert_eq!(w["evidence"], m["evidence"]);
        assert_eq!(w["features"]["output"]["evidence"], m["features"]["output"]["evidence"]);
        assert_eq!(w["features"]["output"]["stability"], m["features"]["output"]["stability"]);
    }
    // A first part that is smaller than what is compared with chance: nothing is known, which file and plan say.
    let found = merged("small", "more");
    assert!(found.get("evidence").is_none() && found["sites"][0].get("evidence").is_none());
    assert!(found["notes"].to_string().contains("the first part has 16 sequences, and the comparison takes 32"));
    let plan = good(&["plan", &folder.name("merged.json"), "--out", &folder.name("p.json"), "--json", "--quiet"]);
    assert!(plan.contains("whether heads are redundant is not known of 2 of 2 layers"), "{plan}");
    // What other heads can say is known of a sum of moments; that it is little does not deny what was not compared.
    for (name, range) in [("small", 0..16), ("more", 16..48)] {
        std::fs::write(folder.path("part.jsonl"), lines[range].join("\n")).unwrap();
        let (tokens, out) = (folder.name("part.jsonl"), folder.name(&format!("{name}.json")));
        good(&["analyze", &model, "--tokens", &tokens, "--groups", "2", "--moments", "--out", &out, "--quiet"]);
    }
    let found = merged("small", "more");
    let told = found["notes"].to_string();
    let sites = found["sites"].as_array().unwrap();
    let unknown: Vec<&str> = sites
        .iter()
        .filter(|site| site["evidence"]["not_compared"] == true)
        .map(|site| site["site"].as_str().unwrap())
        .collect();
    let named = if unknown.len() == 2 { String::new() } else { format!(" ({})", unknown.join(", ")) };
    for sentence in sites.iter().map(|site| site["evidence"]["sentence"].as_str().unwrap()) {
        assert!(!sentence.starts_with("no redundancy"), "{sentence}");
    }
    assert_eq!(
        told.contains(&format!("not known of {} of 2 layers{named}: the first part has 16", unknown.len())),
        !unknown.is_empty(),
        "{told}"
    );
    assert!(!told.contains("too few tokens"), "{told}");
}

#[test]
fn a_bound_on_memory_is_kept_or_refused_with_what_is_needed() {
    let folder = Folder::new();
    let inputs = fixture("llama", "reference.safetensors");
    let analyze = |memory: &str, out: &str| {
        let base = ["analyze", &fixture("llama", ""), "--inputs", &inputs, "--groups", "2", "--quiet", "--json"];
        [&base[..], &["--memory", memory, "--out", out]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |memory: &str| {
        let arguments = analyze(memory, &folder.name("a.json"));
        good(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(run("1GiB"), run("128MiB"));
    let refuse = |memory: &str| {
        let arguments = analyze(memory, &folder.name("b.json"));
        bad(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 2)
    };
    let refused = refuse("100KiB");
    assert!(refused.contains("of memory, 100KiB are allowed") && refused.contains("give --memory"), "{refused}");
    assert!(!folder.path("b.json").exists());
    // A file for an engine has no bound that any memory would keep.
    let (model, mask, out) = (fixture("llama", ""), fixture("llama", "mask.json"), folder.name("out"));
    for format in ["onnx", "onnx,compact"] {
        let export = ["prune", &model, "--plan", &mask, "--format", format, "--memory", "64MiB", "--out", &out];
        let refused = bad(&[&export[..], &["--quiet"]].concat(), 2);
        assert!(refused.contains("a file for onnx needs") && refused.contains("give --memory"), "{refused}");
        assert!(!folder.path("out").exists());
    }
    let export = ["prune", &model, "--plan", &mask, "--format", "onnx,compact", "--memory", "128MiB", "--out", &out];
    good(&[&export[..], &["--quiet"]].concat());
    let output = pillars(&["evaluate", &fixture("llama", ""), "--inputs", &inputs, "--memory", "4GB"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("4GiB, 512MiB"));
}

#[test]
fn features_write_the_logits_of_a_large_vocabulary_slice_by_slice() {
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 1 << 16, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6, "hidden_act": "silu",
    });
    let (model, opened) = random_model(&config);
    let folder = Folder::new();
    // Of different lengths, both longer than a slice.
    let sequences = [150u32, 90].map(|length| (0..length).map(|i| (i * 7919 + length) % (1 << 16)).collect::<Vec<_>>());
    let lines: Vec<String> = sequences.iter().map(|ids| serde_json::json!({"input_ids": ids}).to_string()).collect();
    std::fs::write(folder.path("t.jsonl"), lines.join("\n")).unwrap();
    let (place, tokens, out) = (model.path().to_str().unwrap(), folder.name("t.jsonl"), folder.name("f.safetensors"));
    good(&["features", place, "--tokens", &tokens, "--no-attention", "--out", &out, "--quiet"]);
    let logits = &reference(Path::new(&out))["logits"];
    assert_eq!(logits.dims(), [2, 150, 1 << 16]);
    let network = opened.network(&Device::Cpu, DType::F32).unwrap();
    for (at, ids) in sequences.iter().enumerate() {
        let tokens = Tokens::pad(&[(ids.clone(), vec![true; ids.len()])], 0, &Device::Cpu).unwrap();
        let want = network.run(&Batch::new(Source::Tokens(tokens), None)).unwrap().squeeze(0).unwrap();
        let got = logits.get(at).unwrap();
        let numbers = |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let difference = (got.narrow(0, 0, ids.len()).unwrap() - &want).unwrap();
        assert!(numbers(&difference) <= 1e-5 * numbers(&want));
        if ids.len() < 150 {
            assert_eq!(numbers(&got.narrow(0, ids.len(), 150 - ids.len()).unwrap()), 0.0);
        }
    }
}
