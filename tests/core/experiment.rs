//! The ablation, on sizes that finish in seconds.
use std::path::Path;
use std::process::Command;

use pillars::corpus::Input;
use pillars::experiment::{
    Arm, ExperimentEvent, ExperimentPlan, ExperimentReport, ModelShape, Preset, Stem, preset, run,
};
use pillars::model::Model;
use pillars::repair::RepairMode;
use pillars::task::{CancelToken, Ticket};
use pillars::training::RunOptions;

/// Lines with something to learn: one language's words follow from the other's.
fn lines() -> Vec<(String, String)> {
    let words = [("cat", "gato"), ("dog", "perro"), ("bird", "ave"), ("man", "hombre")];
    let line = |i: usize| {
        let (a, b) = (words[i % 4], words[(i * i + i / 4) % 4]);
        (format!("the {} sees the {} .", a.0, b.0), format!("el {} ve el {} .", a.1, b.1))
    };
    (0..400).map(line).collect()
}

fn request(folder: &Path, out: &str) -> ExperimentPlan {
    let text: String = lines().into_iter().map(|(a, _)| a + "\n").collect();
    std::fs::write(folder.join("text.txt"), text).unwrap();
    let mut request = preset(Input::Text(folder.join("text.txt")), Preset::Small, folder.join(out)).unwrap();
    request.shape = ModelShape { layers: 2, width: 16, heads: 4, inner: 24, vocabulary: 280 };
    request.seeds = 1;
    request.arms = vec![Arm::Vanilla, Arm::GhtPs, Arm::RandomHeads, Arm::ImportanceUnconstrained];
    (request.reading.batch_size, request.reading.seq_len) = (4, Some(16));
    let training = &mut request.training;
    (training.steps, training.record_every, training.look_every, training.save_every) = (20, 2, 10, 5);
    (training.held_out_batches, training.held_out_every) = (3, 6);
    let voting = training.voting.as_mut().unwrap();
    (voting.finetune_steps, voting.batches) = (6, Some(4));
    request
}

fn carry_out(request: &ExperimentPlan) -> ExperimentReport {
    let options = RunOptions { resume: true, ..RunOptions::default() };
    run(request, &options, &mut |_| {}, &Ticket::default()).unwrap()
}

#[test]
fn arms_share_their_stems_and_keep_equally_many_heads() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), "out");
    let report = carry_out(&request);
    assert!(report.complete);
    let arms: Vec<Arm> = report.rows.iter().map(|r| r.arm).collect();
    assert_eq!(arms, request.arms);
    let heads: Vec<usize> = report.runs.iter().map(|r| r.heads).collect();
    assert_eq!(heads, [8, 4, 4, 4]);
    assert!(report.rows[0].loss_above_vanilla.is_none() && report.rows[0].masked_perplexity.is_none());
    let row = &report.rows[1];
    assert!((row.loss_above_vanilla.unwrap().mean - (report.runs[1].loss - report.runs[0].loss)).abs() < 1e-12);
    assert!((row.perplexity.mean - report.runs[1].loss.exp()).abs() < 1e-9 && row.perplexity.deviation.is_none());
    // 2 of 4 heads, 4 wide, out of four 16-wide projections, in 2 layers.
    let parameters = |i: usize| report.runs[i].parameters_without_embeddings;
    assert_eq!(parameters(0) - parameters(1), 2 * 4 * 2 * 4 * 16);
    // What the report says is what the written models are.
    let pruned = Model::open(request.out.join("seed-0/ght-ps")).unwrap();
    assert!(pruned.spec().sites().iter().all(|(site, a)| a.origin == report.runs[1].kept.get(*site).unwrap()));
    let constrained = report.stems.iter().find(|s| s.stem == Stem::Constrained).unwrap();
    let plain = report.stems.iter().find(|s| s.stem == Stem::Plain).unwrap();
    assert!(constrained.homogenization.unwrap().mean > plain.homogenization.unwrap().mean);
    for name in ["table.md", "table.csv", "runs.csv", "results.json", "curves.svg", "curves.csv"] {
        assert!(request.out.join(name).is_file(), "{name}");
    }
    assert!(!request.out.join("seed-0/ght-ps/full").exists());
    assert!(!request.out.join("seed-0/plain/training/state.safetensors").exists());
    // Stems begin with equal weights and see equal batches; without its weights the constraint changes nothing.
    let mut idle = self::request(folder.path(), "idle");
    idle.arms = vec![Arm::Vanilla, Arm::Ght];
    (idle.training.constraint.alpha, idle.training.constraint.beta) = (0.0, 0.0);
    let idle = carry_out(&idle);
    assert_eq!(idle.runs[0].loss, idle.runs[1].loss);
    assert!((idle.runs[0].loss - report.runs[0].loss).abs() < 1e-12);
}

#[test]
fn an_interrupted_experiment_goes_on_to_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let whole = carry_out(&request(folder.path(), "whole"));
    let broken = request(folder.path(), "broken");
    let options = RunOptions { resume: true, ..RunOptions::default() };
    // Stopped within the second model, then in the middle of an arm.
    for stop in ["constrained model", "random-heads"] {
        let cancel = CancelToken::default();
        let ticket = Ticket::new(cancel.clone(), || {});
        let mut watch = |event: ExperimentEvent<'_>| {
            if matches!(event, ExperimentEvent::Record(name, record) if name.ends_with(stop) && record.step >= 4) {
                cancel.cancel();
            }
        };
        let error = run(&broken, &options, &mut watch, &ticket).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    }
    let before = std::fs::metadata(broken.out.join("seed-0/vanilla.json")).unwrap().modified().unwrap();
    let mut trained = Vec::new();
    let mut watch = |event: ExperimentEvent<'_>| {
        if let ExperimentEvent::Record(name, _) = event {
            trained.push(name.to_owned());
        }
    };
    let resumed = run(&broken, &options, &mut watch, &Ticket::default()).unwrap();
    assert_eq!(resumed.rows, whole.rows);
    assert_eq!(std::fs::metadata(broken.out.join("seed-0/vanilla.json")).unwrap().modified().unwrap(), before);
    assert!(!trained.iter().any(|n| n.ends_with("model") || n.ends_with("vanilla") || n.ends_with("ght-ps")));
    // Other settings are another experiment.
    let mut other = broken.clone();
    other.training.rate = 1e-4;
    assert!(run(&other, &options, &mut |_| {}, &Ticket::default()).unwrap_err().to_string().contains("other settings"));
}

#[test]
fn pairs_are_translated_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let pairs: String = lines().into_iter().map(|(a, b)| format!("{a}\t{b}\n")).collect();
    std::fs::write(folder.path().join("pairs.tsv"), pairs).unwrap();
    let out = folder.path().join("out");
    let options = "--arms vanilla,ght-ps --seeds 1 --steps 60 --finetune-steps 10 --lr 1e-2 --layers 1 --width 16 --heads 4 \
        --inner 24 --vocabulary 290 --batch-size 8 --seq-len 24 --vote-batches 4 --held-out-batches 2 --held-out-every 6 \
        --translate 12 --device cpu --quiet --json --groups encoder=1,decoder=2,cross=3";
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
    command.args(["experiment", "--pairs"]).arg(folder.path().join("pairs.tsv")).arg("--out").arg(&out);
    command.args(options.split_whitespace());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["format"], "pillars-experiment");
    // One, two and three groups in the three attention layers: as many heads.
    assert_eq!(report["runs"][1]["heads"], 6);
    let bleu = report["runs"][0]["bleu"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&bleu));
    assert!(std::fs::read_to_string(out.join("table.md")).unwrap().contains("BLEU of 12 held-out pairs, greedy"));
    // The model of an arm is translated with by the other commands too.
    let pillars = |options: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
        command.args(options.split_whitespace()).arg("--pairs").arg(folder.path().join("pairs.tsv"));
        let done = command.args(["--device", "cpu", "--quiet", "--json"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap()
    };
    let model = out.join("seed-0/vanilla").display().to_string();
    let whole = pillars(&format!("evaluate {model} --translate 9 --beams 2"));
    assert_eq!(whole["translation"]["sentences"], 9);
    let plan = folder.path().join("plan.json");
    std::fs::write(&plan, r#"{"encoder.0": [0], "decoder.0": [1], "cross.0": [2]}"#).unwrap();
    let masked = pillars(&format!("evaluate {model} --translate 9 --beams 2 --mask {}", plan.display()));
    assert_eq!(masked["before"]["translation"], whole["translation"]);
    assert_ne!(masked["after"]["translation"], whole["translation"]);
    let tuned = folder.path().join("tuned");
    let run = format!("train {model} --out {} --no-vote --steps 4 --look-every 2 --translate 3", tuned.display());
    let summary = pillars(&run);
    assert_eq!(summary["final_translation"]["sentences"], 3);
    let table = std::fs::read_to_string(tuned.join("training/metrics.csv")).unwrap();
    let column = table.lines().next().unwrap().split(',').position(|name| name == "bleu").unwrap();
    let scores: Vec<&str> = table.lines().skip(1).map(|row| row.split(',').nth(column).unwrap()).collect();
    let last = summary["final_translation"]["bleu"].as_f64().unwrap();
    assert_eq!(scores.len(), 2);
    assert_eq!(scores[1].parse::<f64>().unwrap(), last);
    // The folder is not replaced without being asked to be.
    let again = command.output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"));
}

#[test]
fn an_experiment_that_cannot_begin_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions::default();
    let refused = |change: &dyn Fn(&mut ExperimentPlan), part: &str| {
        let mut request = request(folder.path(), "out");
        change(&mut request);
        let error = run(&request, &options, &mut |_| {}, &Ticket::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!request.out.exists(), "{error}");
    };
    refused(&|r| r.seeds = 0, "at least one seed");
    refused(&|r| r.shape.width = 30, "multiple of the number of heads");
    refused(&|r| r.shape.vocabulary = 10, "cannot hold all bytes");
    refused(&|r| r.input = Input::Text("missing.txt".into()), "missing.txt");
    refused(&|r| r.input = Input::Tokens("missing.jsonl".into()), "cannot learn from tokens");
    refused(&|r| r.architecture = Some("missing.json".into()), "missing.json");
    refused(&|r| r.training.constraint.groups = pillars::analysis::Groups::Fixed(9), "cannot form 9 groups");
}

#[test]
fn arms_are_repaired_and_fine_tuned_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), "repaired");
    request.arms = vec![Arm::Vanilla, Arm::GhtPs, Arm::VotesExplained];
    request.repair = Some(RepairMode::Refit);
    assert_eq!(request.steps(), 3 * 20 + 6 + 2 * 12);
    let report = carry_out(&request);
    assert!(report.complete && report.stems.iter().any(|row| row.stem == Stem::Explained));
    assert!(report.runs[0].repaired.is_none(), "nothing went, nothing is repaired");
    for (run, row) in report.runs[1..].iter().zip(&report.rows[1..]) {
        let repaired = run.repaired.unwrap();
        // What is repaired is fine-tuned from somewhere else than what is masked.
        assert_ne!(Some(repaired.loss_before_finetuning), run.masked_loss);
        assert_ne!(repaired.loss, run.loss);
        assert!(repaired.explained.is_some_and(|share| share < 1.0));
        assert_eq!(row.explained.unwrap().mean, repaired.explained.unwrap());
        assert!((row.repaired_finetuned_perplexity.unwrap().mean - repaired.loss.exp()).abs() < 1e-9);
        // The same heads stay.
        let read = |name: &str| Model::open(folder.path().join("repaired/seed-0").join(name)).unwrap();
        let [once, again] = [read(run.arm.name()), read(&format!("{}-repaired", run.arm.name()))];
        let origins = |model: &Model| model.spec().sites().iter().map(|(_, a)| a.origin.clone()).collect::<Vec<_>>();
        assert_eq!(origins(&once), origins(&again));
    }
    for row in report.stems.iter().filter(|row| row.stem != Stem::Plain) {
        assert!(row.replaceability.is_some_and(|share| (0.0..=1.0).contains(&share.mean)), "{row:?}");
    }
    let table = std::fs::read_to_string(folder.path().join("repaired/table.md")).unwrap();
    assert!(table.contains("| replaceability of heads |"), "{table}");
    assert!(table.contains("| removed heads explained |") && table.contains("Repair by refit"), "{table}");
}
