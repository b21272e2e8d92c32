//! Killing an export at any moment: nothing is left that looks complete and is not.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::random_model;
use pillars::analysis::Document;
use pillars::model::Model;
use pillars::pruning::{RECORD, Report};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use serde_json::json;

/// Kills of an export in Hugging Face layout, and of a file for each engine; `PILLARS_KILLS` is another number for both.
const KILLS: usize = 50;
const ENGINE_KILLS: usize = 12;
/// Exports that run at a time; they mostly wait for the disk.
const ABREAST: usize = 5;

fn prune(model: &Path, plan: &Path, format: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
    command.arg("prune").arg(model).arg("--plan").arg(plan).args(["--format", format]);
    command.arg("--out").arg(out).arg("--quiet");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Contents of every file of a folder that is a complete checkpoint: the files that its record lists.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let report = Report::read(&folder.join(RECORD)).unwrap();
    let files = report.files.iter().filter(|name| *name != RECORD && *name != "README.md");
    files.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

/// What a killed export left in `parent`: whether the export is there, and whether a part of one is. `last` is the file
/// that comes last.
fn left(parent: &Path, whole: &BTreeMap<String, Vec<u8>>, last: &str) -> (bool, bool) {
    let (mut complete, mut partial) = (false, false);
    for entry in std::fs::read_dir(parent).unwrap() {
        let path = entry.unwrap().path();
        // Freed with its process, it is swept by the next.
        if path.extension().is_some_and(|ending| ending == "lock") {
            continue;
        }
        let hidden = path.file_name().unwrap().to_str().unwrap().starts_with('.');
        // With it, everything must be there.
        if !hidden || path.join(last).exists() {
            assert_eq!(contents(&path), *whole, "{}", path.display());
            complete = true;
        } else {
            assert!(Model::open(&path).is_err(), "{}", path.display());
            partial = true;
        }
    }
    (complete, partial)
}

#[test]
fn fifty_kills_leave_nothing_that_looks_complete_and_is_not() {
    // Without a configuration, what is left opens nowhere.
    killed("compact", KILLS, "config.json", "model.safetensors");
}

#[test]
fn kills_leave_no_file_for_an_engine_that_looks_complete_and_is_not() {
    for (format, file) in [("onnx", "onnx/model.onnx"), ("gguf", "model.gguf"), ("ct2", "model.bin")] {
        killed(format, ENGINE_KILLS, RECORD, file);
    }
}

/// Kills exports at random moments, and looks at what each left.
fn killed(format: &str, kills: usize, last: &str, file: &str) {
    let kills = std::env::var("PILLARS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(kills);
    let (source, model) = random_model(&json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "num_attention_heads": 8,
        "num_key_value_heads": 8, "num_hidden_layers": 8, "intermediate_size": 384, "vocab_size": 1000,
        "max_position_embeddings": 64, "tie_word_embeddings": true,
    }));
    drop(model);
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    std::fs::write(&plan, r#"{"decoder.0": [0, 3], "decoder.3": [1, 2, 7], "decoder.7": [4]}"#).unwrap();
    let first = folder.path().join("first");
    let began = Instant::now();
    assert!(prune(source.path(), &plan, format, &first).status().unwrap().success());
    // Several run at a time, so each takes longer than this one.
    let longest = began.elapsed().as_secs_f64() * 1.5;
    let whole = contents(&first);
    assert!(whole.contains_key(file));

    let mut rng = Xoshiro256Plus::seed_from_u64(50);
    let moments: Vec<Duration> = (0..kills).map(|_| Duration::from_secs_f64(rng.gen_range(0.0..longest))).collect();
    let run = |index: usize, moment: Duration| {
        let parent = folder.path().join(format!("kill-{index}"));
        std::fs::create_dir(&parent).unwrap();
        let mut child = prune(source.path(), &plan, format, &parent.join("out")).spawn().unwrap();
        std::thread::sleep(moment);
        // SIGKILL: the process cannot tidy up.
        child.kill().unwrap();
        child.wait().unwrap();
        left(&parent, &whole, last)
    };
    let (run, moments) = (&run, &moments);
    let outcomes: Vec<(bool, bool)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..ABREAST)
            .map(|worker| {
                let own = move || (worker..kills).step_by(ABREAST).map(|i| run(i, moments[i])).collect::<Vec<_>>();
                scope.spawn(own)
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(outcomes.len(), kills);
    // Some were really at work when they died.
    assert!(outcomes.iter().any(|(_, partial)| *partial), "{format}: {outcomes:?}");
}
