//! Several formats from one plan, and files for engines.
use std::path::Path;
use std::process::{Command, Output};

use crate::common::fixtures;

fn pillars(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pillars")).args(arguments).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn one_plan_is_written_in_several_formats_at_once_or_in_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let llama = fixtures().join("llama");
    std::fs::write(path("p.json"), r#"{"decoder.0": [0, 1], "decoder.1": [0, 1, 2, 3]}"#).unwrap();
    let prune = |formats: &str, out: &str, more: &[&str]| {
        let (plan, out) = (path("p.json"), path(out));
        let words = ["prune", text(&llama), "--plan", text(&plan), "--format", formats, "--out", text(&out), "--json"];
        pillars(&[&words, more].concat())
    };
    let told = json(&prune("native,compact,masked,onnx,gguf", "out", &[]));
    let exports = told["exports"].as_array().unwrap();
    let names: Vec<&str> = exports.iter().map(|e| e["export_format"].as_str().unwrap()).collect();
    assert_eq!(names, ["native", "compact", "masked", "onnx", "gguf"]);
    for export in exports {
        let name = export["export_format"].as_str().unwrap();
        assert_eq!(export["path"], text(&path("out").join(name)));
        assert!(export["agreement"]["relative"].as_f64().unwrap() <= 1e-4, "{name}");
        for file in export["files"].as_array().unwrap() {
            assert!(path("out").join(name).join(file.as_str().unwrap()).is_file(), "{name} {file}");
        }
    }
    // The bytes that a dry run tells are those that are written.
    let dry = json(&pillars(&["prune", text(&llama), "--plan", text(&path("p.json")), "--dry-run", "--json"]));
    for told in dry["formats"].as_array().unwrap() {
        let Some(export) = exports.iter().find(|e| e["export_format"] == told["format"]) else { continue };
        assert_eq!((&told["bytes"], &told["parameters"]), (&export["bytes"], &export["parameters"]), "{told}");
    }
    // Of formats that are named it tells of those alone, and fails where one of them would.
    let named = |formats: &str, more: &[&str]| {
        let plan = path("p.json");
        let words = ["prune", text(&llama), "--plan", text(&plan), "--dry-run", "--format", formats];
        pillars(&[&words, more].concat())
    };
    let dry = json(&named("gguf,native", &["--json"]));
    let formats: Vec<&str> = dry["formats"].as_array().unwrap().iter().map(|f| f["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["gguf", "native"]);
    let refused = named("native", &["--quantize", "f16"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    // One that cannot be written keeps all from being.
    let twice = prune("compact,compact", "none", &[]);
    assert_eq!(twice.status.code(), Some(2), "{}", String::from_utf8_lossy(&twice.stderr));
    let bert = fixtures().join("bert");
    std::fs::write(path("b.json"), r#"{"encoder.0": [0, 1]}"#).unwrap();
    let (plan, out) = (path("b.json"), path("none"));
    let words = ["prune", text(&bert), "--plan", text(&plan), "--format", "compact,gguf", "--out", text(&out)];
    let refused = pillars(&words);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("gguf: no architecture of GGUF computes this BERT"),
        "{said}"
    );
    assert!(!path("none").exists());
    let refused = pillars(&[&words[..6], &["--dry-run"]].concat());
    let (said, told) = (String::from_utf8_lossy(&refused.stderr), String::from_utf8_lossy(&refused.stdout));
    assert!(refused.status.code() == Some(1) && said.contains("gguf: no architecture"), "{said}");
    assert!(told.lines().any(|line| line.starts_with("compact ")) && !told.contains("native"), "{told}");
    // A folder that is not empty is refused, and replaced where pillars wrote what is in it.
    assert_eq!(prune("compact,onnx", "out", &[]).status.code(), Some(1));
    json(&prune("compact,onnx", "out", &["--force"]));
    // The record repeats an export for an engine too.
    let record = path("out").join("gguf/pillars.json");
    let again = path("again");
    json(&pillars(&["prune", text(&llama), "--plan", text(&record), "--out", text(&again), "--json"]));
    let bytes = |folder: &Path| std::fs::read(folder.join("model.gguf")).unwrap();
    assert_eq!(bytes(&path("out").join("gguf")), bytes(&again));
}

#[test]
fn what_no_format_takes_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, out) = (folder.path().join("p.json"), folder.path().join("out"));
    std::fs::write(&plan, r#"{"decoder.0": [0, 1]}"#).unwrap();
    let llama = fixtures().join("llama");
    for (format, flags, part) in [
        ("compact", &["--quantize", "f16"][..], "--quantize is for the files of engines"),
        ("compact,native", &["--half"], "--half is for the files of engines"),
        ("onnx", &["--tokenizer-from", "x.gguf"], "--tokenizer-from is for gguf files"),
    ] {
        let words = ["prune", text(&llama), "--plan", text(&plan), "--out", text(&out), "--format", format];
        let refused = pillars(&[&words, flags].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(part), "{format}: {said}");
        assert!(!out.exists());
    }
}

#[test]
fn quality_of_a_quantized_file_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let llama = fixtures().join("llama");
    std::fs::write(path("p.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    let rows: String = (0..6).map(|i| format!("{{\"input_ids\": [{}, 7, 3, {}, 20]}}\n", i + 1, i + 11)).collect();
    std::fs::write(path("t.jsonl"), rows).unwrap();
    let loss = |kind: &str| {
        let (plan, rows, out) = (path("p.json"), path("t.jsonl"), path(kind));
        let words = ["prune", text(&llama), "--plan", text(&plan), "--tokens", text(&rows), "--format", "gguf"];
        let told = json(&pillars(&[&words[..], &["--quantize", kind, "--out", text(&out), "--json"]].concat()));
        told["measured"]["after"]["loss_per_token"].as_f64().unwrap()
    };
    let (exact, rough) = (loss("f32"), loss("q8_0"));
    assert!(exact != rough && (exact - rough).abs() < 0.05 * exact, "{exact} {rough}");
}

#[test]
fn a_whole_model_is_converted_with_its_tokenizer_or_that_of_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let austen = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    let convert = |model: &Path, out: &str, more: &[&str]| {
        let out = path(out);
        pillars(&[&["convert", text(model), "--to", "gguf", "--out", text(&out), "--json"], more].concat())
    };
    json(&convert(&austen, "a", &["--quantize", "f16"]));
    let file = pillars::checkpoint::GgufFile::open(&path("a").join("model.gguf")).unwrap();
    let said: Vec<&str> = file.values().iter().map(|(key, _)| key.as_str()).collect();
    for key in ["tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "llama.context_length"] {
        assert!(said.contains(&key), "{key} in {said:?}");
    }
    // The tokenizer of another file, as where the folder has none that is known by name.
    let original = path("a").join("model.gguf");
    json(&convert(&austen, "b", &["--tokenizer-from", text(&original)]));
    let tokens = |name: &str| {
        let file = pillars::checkpoint::GgufFile::open(&path(name).join("model.gguf")).unwrap();
        format!("{:?}", file.value("tokenizer.ggml.merges"))
    };
    assert_eq!(tokens("a"), tokens("b"));
    let small = convert(&fixtures().join("llama"), "c", &["--tokenizer-from", text(&original)]);
    let said = String::from_utf8_lossy(&small.stderr).into_owned();
    assert!(small.status.code() == Some(1) && said.contains("tokens, the model 96"), "{said}");
    assert!(!path("c").exists());
}

#[test]
fn a_conversion_has_one_baseline_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let convert = |model: &Path, to: &str, out: &str, more: &[&str]| {
        let out = path(out);
        pillars(&[&["convert", text(model), "--to", to, "--out", text(&out), "--json"], more].concat())
    };
    let llama = fixtures().join("llama");
    let whole = json(&convert(&llama, "gguf", "q", &["--quantize", "q8_0"]));
    assert_eq!(whole["parameters"]["before"], whole["parameters"]["after"], "{whole}");
    assert!(whole["bytes"]["after"].as_u64() < whole["bytes"]["before"].as_u64(), "{whole}");
    let card = std::fs::read_to_string(path("q/README.md")).unwrap();
    assert!(card.contains("# llama, for gguf\n\nConverted with [Pillars]") && !card.contains("runed"), "{card}");
    assert!(!card.contains("base_model: llama") && card.contains("add `base_model: OWNER/NAME`"), "{card}");
    assert_eq!(json(&pillars(&["inspect", text(&path("q/model.gguf")), "--json"]))["dtype"], "Q8_0");
    // A quantized file that is written wider grows, and that is no saving.
    let wide = json(&convert(&path("q/model.gguf"), "gguf", "w", &["--quantize", "f32"]));
    assert_eq!(wide["bytes"]["before"], whole["bytes"]["after"], "{wide}");
    assert!(wide["bytes"]["after"].as_u64() > wide["bytes"]["before"].as_u64(), "{wide}");
    let notes = wide["notes"].to_string();
    assert!(notes.contains("take more room than in the files that were opened"), "{notes}");
    // What is left out is said, and in neither number.
    let vision = json(&convert(&fixtures().join("clip"), "onnx", "v", &[]));
    assert_eq!(vision["parameters"]["before"], vision["parameters"]["after"], "{vision}");
    assert!(vision["notes"].to_string().contains("left out: 41 tensors"), "{vision}");
    // Nothing is said where nothing is to be said.
    let quiet = convert(&path("q/model.gguf"), "gguf", "quiet", &["--quiet"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
}

#[test]
fn what_opens_in_this_program_alone_is_told_and_avoided_where_another_format_is_as_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let even = r#"{"decoder.0": [0, 1], "decoder.1": [0, 1]}"#;
    let uneven = r#"{"decoder.0": [0, 1], "decoder.1": [0, 1, 2, 3]}"#;
    for (number, (family, plan, format, part)) in [
        // transformers opens equal layers of this family, which take no more room than compact.
        ("gpt_oss", even, "native", "transformers"),
        ("gpt_oss", uneven, "compact", "transformers opens native"),
        ("falcon", even, "compact", "masked opens wherever the original does"),
        ("llama", even, "compact", "trust_remote_code"),
    ]
    .into_iter()
    .enumerate()
    {
        let (model, plan_file, out) = (fixtures().join(family), path("p.json"), path(&format!("out{number}")));
        std::fs::write(&plan_file, plan).unwrap();
        let words = ["prune", text(&model), "--plan", text(&plan_file), "--out", text(&out)];
        let output = pillars(&words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned());
        let record: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.join("pillars.json")).unwrap()).unwrap();
        assert_eq!(record["export_format"], format, "{family}: {record}");
        assert!(said.concat().contains(part), "{family}: {said:?}");
        let opens = said[0].lines().find(|line| line.starts_with("opens in")).unwrap();
        let is_alone = format == "compact" && family != "llama";
        assert_eq!(opens.contains("Pillars alone, not in transformers"), is_alone, "{family}: {opens}");
        // Sizes say of what they are.
        assert!(said[0].contains("of the whole model") && said[0].contains("of attention"), "{said:?}");
        let dry = pillars(&[&words[..4], &["--dry-run"]].concat());
        let dry = String::from_utf8_lossy(&dry.stdout).into_owned();
        assert!(dry.contains("parameters are those of the whole model; "), "{dry}");
        // What is not the original itself is explained where it stands.
        let rows = dry.lines().filter(|line| line.starts_with("part read ")).count();
        assert_eq!(rows > 1, dry.contains("part read is what the network reads of "), "{dry}");
        assert!(
            dry.lines().any(|line| line.starts_with("compact ") && line.contains('−') && line.contains('%')),
            "{dry}"
        );
    }
}
