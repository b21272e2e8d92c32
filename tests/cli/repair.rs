//! Moments, plans by reconstruction, repairs and what is written with them, as a script sees it.
use std::path::Path;

use crate::contract::{Folder, bad, fixture, good, json, sample};
use serde_json::Value;

/// An analysis of a decoder with its moments, and a plan from it.
fn planned(folder: &Folder, model: &str, text: &[&str], amount: &[&str]) -> (String, String) {
    let (a, p) = (folder.name("a.json"), folder.name("p.json"));
    good(&[&["analyze", model], text, &["--moments", "--groups", "2", "--out", &a, "--quiet"]].concat());
    good(&[&["plan", &a, "--method", "reconstruction"], amount, &["--out", &p, "--quiet"]].concat());
    (a, p)
}

const LITTLE: [&str; 6] = ["--seq-len", "64", "--batches", "6", "--batch-size", "4"];

#[test]
fn a_repaired_plan_loses_less_and_is_written_proven_and_repeated() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = [&["--text", &text][..], &LITTLE].concat();
    let (a, p) = planned(&folder, &model, &input, &["--keep", "3"]);
    let plan = json(&std::fs::read_to_string(&p).unwrap());
    assert_eq!(plan["method"], "reconstruction");
    assert!(plan["kept"].as_object().unwrap().values().all(|kept| kept.as_array().unwrap().len() == 3));
    let analysis = json(&std::fs::read_to_string(&a).unwrap());
    let measured = &analysis["sites"][0]["baselines"]["replaceability"]["values"];
    assert!(measured.as_array().unwrap().iter().all(|v| (0.0..=1.0).contains(&v.as_f64().unwrap())));

    let r = folder.name("r.safetensors");
    let moments = folder.name("a.moments.safetensors");
    let arguments = ["repair", &model, "--plan", &p, "--moments", &moments, "--mode", "refit", "--out", &r];
    let record = json(&good(&[&arguments[..], &["--json", "--quiet"]].concat()));
    assert_eq!(record["mode"], "refit");
    for site in record["sites"].as_object().unwrap().values() {
        assert!(site["held_out"].as_f64().unwrap() < site["masked"].as_f64().unwrap(), "{site}");
    }
    pictures_hold_their_numbers(&folder, &a, &analysis, &r, &record);
    // What a refit would leave is told before there is one.
    let f = folder.name("explained.csv");
    good(&["figure", &a, "--view", "explained", "--plan", &p, "--out", &f]);
    let csv = std::fs::read_to_string(&f).unwrap();
    let told: Vec<f64> = csv.lines().skip(1).map(|line| line.split(',').nth(6).unwrap().parse().unwrap()).collect();
    assert!(csv.starts_with("site,kept,masked,repaired,fitted,held_out,explained,"), "{csv}");
    let explained = plan["explained"].as_object().unwrap().values().map(|site| site["held_out"].as_f64().unwrap());
    assert!(told.len() == 4 && told.iter().zip(explained).all(|(a, b)| (a - b).abs() < 1e-9), "{csv}");
    assert!(bad(&["figure", &a, "--view", "explained", "--out", &f], 2).contains("--plan"));
    // On text that was not read.
    let loss = |more: &[&str]| {
        let held = ["--seq-len", "64", "--batches", "12", "--batch-size", "4", "--held-out-every", "2"];
        let base = ["evaluate", &model, "--text", &text, "--plan", &p, "--json", "--quiet"];
        let found = json(&good(&[&base[..], &held, more].concat()));
        (found["before"]["loss_per_token"].as_f64().unwrap(), found["after"]["loss_per_token"].as_f64().unwrap())
    };
    let ((whole, masked), (same, repaired)) = (loss(&[]), loss(&["--repair", &r]));
    assert_eq!(whole, same);
    assert!(repaired < masked, "{repaired} {masked}");

    for format in ["compact", "native", "masked"] {
        let (out, again) = (folder.name(format), folder.name(&format!("{format}-again")));
        let prune = ["prune", &model, "--plan", &p, "--repair", &r, "--format", format, "--out", &out];
        let report = json(&good(&[&prune[..], &["--json", "--quiet"]].concat()));
        assert_eq!(
            (&report["agreement"]["reference"], &report["repair"]["mode"]),
            (&"repaired".into(), &"refit".into())
        );
        let plan = folder.path(format).join("pillars.json");
        good(&["prune", &model, "--plan", plan.to_str().unwrap(), "--out", &again, "--quiet"]);
        let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert!(bytes(&folder.path(format)) == bytes(&folder.path(&format!("{format}-again"))), "{format}");
        let card = std::fs::read_to_string(folder.path(format).join("README.md")).unwrap();
        assert!(card.contains("Repaired by `refit`"), "{card}");
    }
    // Random heads are repaired as the plan is, on the text that its repair was calibrated on, made now or read from a file.
    let held = ["--seq-len", "64", "--batches", "6", "--batch-size", "4", "--held-out-every", "2"];
    let measured = |repair: &str| {
        let base = ["evaluate", &model, "--text", &text, "--plan", &p, "--repair", repair, "--json", "--quiet"];
        json(&good(&[&base[..], &held].concat()))
    };
    let (masked, made, read) = (measured("none"), measured("refit"), measured(&r));
    let random = |found: &Value| found["random"]["loss_per_token"].as_f64().unwrap();
    assert_eq!((&made["random_repair"], &read["random_repair"]), (&"refit".into(), &"refit".into()));
    assert!(random(&made) < random(&masked) && random(&read) < random(&masked));
    // Of five draws, the first among them.
    for found in [&made, &read] {
        let spread = &found["random_spread"]["loss_per_token"];
        assert_eq!(spread["count"], 5);
        let [low, mean, high] = ["low", "mean", "high"].map(|name| spread[name].as_f64().unwrap());
        assert!(low < mean && mean < high && (low..=high).contains(&random(found)), "{spread}");
        assert!(spread["deviation"].as_f64().unwrap() > 0.0);
        assert_eq!(found["random_missing"], Value::Null);
    }
    without_its_text_a_repair_is_not_held_against_random_heads(&folder, &model, &p, &held);
    // Curves with and without.
    let curve = ["curve", &model, "--text", &text, "--analysis", &a, "--methods", "votes,reconstruction"];
    let c = folder.name("c.json");
    let more = ["--layer-ratio", "0.5", "--repair", "none,refit", "--batches", "3", "--out", &c, "--json", "--quiet"];
    let points = json(&good(&[&curve[..], &more].concat()))["points"].clone();
    let of = |method: &str, repair: Value| {
        let found = points.as_array().unwrap().iter().find(|p| p["ranking"] == method && p["repair"] == repair);
        found.unwrap()["effect"]["loss_per_token"].as_f64().unwrap()
    };
    for method in ["votes", "reconstruction"] {
        assert!(of(method, "refit".into()) < of(method, Value::Null), "{method}");
    }
}

/// Where the text of the calibration is gone, the table, the document and the card say that there is no fair comparison.
fn without_its_text_a_repair_is_not_held_against_random_heads(folder: &Folder, model: &str, p: &str, held: &[&str]) {
    let (text, gone, r) = (sample("austen.txt"), folder.name("gone.txt"), folder.name("gone.safetensors"));
    let words = std::fs::read_to_string(&text).unwrap();
    std::fs::write(&gone, words.lines().take(400).collect::<Vec<_>>().join("\n")).unwrap();
    let repair = ["repair", model, "--plan", p, "--text", &gone, "--mode", "refit", "--out", &r, "--quiet"];
    good(&[&repair[..], &LITTLE].concat());
    let of = |command: &[&str], more: &[&str]| {
        let input = ["--text", &text, "--plan", p, "--repair", &r, "--quiet"];
        good(&[command, &input, held, more].concat())
    };
    let evaluate = ["evaluate", model];
    assert_eq!(json(&of(&evaluate, &["--json"]))["random_repair"], "refit");
    // The same file under another name is the same text.
    let moved = folder.name("moved.txt");
    std::fs::rename(&gone, &moved).unwrap();
    let own = ["evaluate", model, "--text", &moved, "--plan", p, "--repair", &r, "--json", "--quiet"];
    assert_eq!(json(&good(&[&own[..], held].concat()))["random_repair"], "refit");
    let found = json(&of(&evaluate, &["--json"]));
    let why = found["random_missing"].as_str().unwrap();
    assert!(why.contains("gone.txt") && found["random"].is_null() && found["random_spread"].is_null(), "{found}");
    let said = format!("not held against random heads: {why}");
    let told = of(&evaluate, &[]);
    assert!(told.contains(&said) && !told.contains("random, 5 draws"), "{told}");
    let out = folder.name("alone");
    assert!(of(&["prune", model, "--out", &out], &[]).contains(&said));
    let card = std::fs::read_to_string(folder.path("alone").join("README.md")).unwrap();
    assert!(card.contains(&said), "{card}");
}

/// Replaceability of every head, and what became of every layer, as the pictures write them for a table.
fn pictures_hold_their_numbers(folder: &Folder, a: &str, analysis: &Value, r: &str, record: &Value) {
    let table = |from: &str, view: &str| -> Vec<Vec<(String, String)>> {
        let out = folder.name(&format!("{view}.csv"));
        good(&["figure", from, "--view", view, "--out", &out]);
        let text = std::fs::read_to_string(&out).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let titles = lines.next().unwrap();
        lines.map(|cells| titles.iter().cloned().zip(cells).collect()).collect()
    };
    let cell = |row: &[(String, String)], title: &str| row.iter().find(|(t, _)| t == title).unwrap().1.clone();
    let heads = table(a, "overview-replaceability");
    let sites = analysis["sites"].as_array().unwrap();
    assert_eq!(heads.len(), sites.iter().map(|site| site["heads"].as_u64().unwrap() as usize).sum::<usize>());
    for row in heads {
        let site = sites.iter().find(|site| site["site"] == cell(&row, "site").as_str()).unwrap();
        let head: usize = cell(&row, "head").parse().unwrap();
        let expected = site["baselines"]["replaceability"]["values"][head].as_f64().unwrap();
        assert_eq!(cell(&row, "replaceability").parse::<f64>().unwrap(), expected);
    }
    let layers = table(r, "repair");
    assert_eq!(layers.len(), record["sites"].as_object().unwrap().len());
    for row in layers {
        let site = &record["sites"][cell(&row, "site")];
        let number = |title: &str| cell(&row, title).parse::<f64>().unwrap();
        for title in ["masked", "fitted", "held_out", "ridge", "tokens"] {
            assert_eq!(number(title), site[title].as_f64().unwrap(), "{title}");
        }
        assert_eq!(number("explained"), 1.0 - number("held_out"));
    }
}

#[test]
fn batches_choose_by_themselves_where_they_are_asked() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = [&["--text", &text][..], &["--seq-len", "64", "--batches", "3", "--batch-size", "4"]].concat();
    let (a, p) = planned(&folder, &model, &input, &["--keep", "3"]);
    let alone = json(&std::fs::read_to_string(&p).unwrap());
    let base =
        ["plan", &a, "--method", "reconstruction", "--keep", "3", "--per-batch", "--out", &p, "--json", "--quiet"];
    let asked = json(&good(&[&base[..], &input].concat()));
    assert_eq!(asked["kept"], alone["kept"], "the plan is the same");
    for votes in asked["kept_by_batches"].as_object().unwrap().values() {
        assert_eq!(votes.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).sum::<u64>(), 9);
    }
    assert!(asked["notes"].to_string().contains("of 3 batches"), "{}", asked["notes"]);
    let votes = ["plan", &a, "--method", "votes", "--keep", "3", "--per-batch", "--out", &p, "--quiet"];
    let refused = bad(&[&votes[..], &input].concat(), 2);
    assert!(refused.contains("reconstruction"), "{refused}");
}

#[test]
fn every_mode_is_told_and_auto_measures() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = [&["--text", &text][..], &LITTLE].concat();
    let p = folder.name("mask.json");
    std::fs::write(&p, r#"{"decoder.0": [0, 1, 2, 3], "decoder.2": [4, 5, 6, 7]}"#).unwrap();
    for mode in ["auto", "refit", "stream", "scale", "none"] {
        let r = folder.name(&format!("{mode}.safetensors"));
        let base = ["repair", &model, "--plan", &p, "--mode", mode, "--out", &r, "--json", "--quiet"];
        let record = json(&good(&[&base[..], &input].concat()));
        let measured = record["measured"].as_array().map_or(0, Vec::len);
        assert_eq!(measured, if mode == "auto" { 3 } else { 0 });
        if mode != "auto" {
            assert_eq!(record["mode"], mode);
        }
    }
    // What repairs nothing is told as that, and not as a table of nothing.
    let r = folder.name("none.safetensors");
    let base = ["repair", &model, "--plan", &p, "--mode", "none", "--out", &r];
    let told = good(&[&base[..], &input].concat());
    assert_eq!(told.trim(), "left as it is");
    // Chosen anew in the stream: as many heads, another file.
    for (mode, measured) in [("auto", 4), ("stream", 0)] {
        let (r, p2) = (folder.name("either.safetensors"), folder.name("either.json"));
        let base = ["repair", &model, "--plan", &p, "--mode", mode, "--choose", &p2, "--out", &r, "--json", "--quiet"];
        let record = json(&good(&[&base[..], &input].concat()));
        let tried = record["measured"].as_array().cloned().unwrap_or_default();
        assert_eq!(tried.len(), measured, "{mode}: {record}");
        assert_eq!(tried.iter().filter(|tried| tried["is_chosen"] == true).count(), usize::from(mode == "auto"));
        // Whichever heads they are, the plan beside the repair keeps the same.
        let chosen = json(&std::fs::read_to_string(&p2).unwrap());
        for site in ["decoder.0", "decoder.2"] {
            assert_eq!(chosen["kept"][site], record["kept"][site], "{mode} {site}");
            assert_eq!(chosen["kept"][site].as_array().unwrap().len(), 4);
        }
        let best = |a: &serde_json::Value, b: &serde_json::Value| {
            a["loss"].as_f64().unwrap().total_cmp(&b["loss"].as_f64().unwrap())
        };
        if let Some(best) = tried.iter().min_by(|a, b| best(a, b)) {
            assert_eq!(best["mode"], record["mode"], "{record}");
            let own = json(&std::fs::read_to_string(&p).unwrap());
            let is_own =
                chosen["kept"]["decoder.0"] == own["decoder.0"] && chosen["kept"]["decoder.2"] == own["decoder.2"];
            assert!(best["is_chosen"] == true || is_own, "{record}");
        }
    }
    let (r, p2) = (folder.name("chosen.safetensors"), folder.name("p2.json"));
    let base = ["repair", &model, "--plan", &p, "--mode", "stream", "--choose", &p2, "--out", &r, "--quiet"];
    good(&[&base[..], &input].concat());
    let chosen = json(&std::fs::read_to_string(&p2).unwrap());
    assert_eq!(chosen["kept"]["decoder.0"].as_array().unwrap().len(), 4);
    good(&[&["evaluate", &model, "--plan", &p2, "--repair", &r, "--quiet"][..], &input].concat());
}

#[test]
fn an_analysis_with_residual_maps_is_enough_for_factors() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = [&["--text", &text][..], &LITTLE].concat();
    let (a, p, r) = (folder.name("a.json"), folder.name("mask.json"), folder.name("r.safetensors"));
    std::fs::write(&p, r#"{"decoder.0": [0, 1, 2, 3], "decoder.2": [4, 5, 6, 7]}"#).unwrap();
    let analyze =
        |map: &str| good(&[&["analyze", &model, "--feature", map, "--out", &a, "--quiet"][..], &input].concat());
    let base = ["repair", &model, "--plan", &p, "--analysis", &a, "--out", &r, "--json", "--quiet"];
    let by = |mode: &'static str| [&base[..], &["--mode", mode]].concat();
    analyze("output");
    let refused = bad(&by("scale"), 1);
    assert!(refused.contains("no residual maps") && refused.contains("--feature residual"), "{refused}");
    analyze("residual");
    assert!(bad(&by("refit"), 2).contains("not enough for refit"));
    assert!(bad(&[&by("scale")[..], &input].concat(), 2).contains("not both"));
    let record = json(&good(&by("scale")));
    assert_eq!((&record["mode"], record["sites"].as_object().unwrap().len()), (&"scale".into(), 2));
    assert!(record["notes"].to_string().contains("nothing was held out"), "{record}");
    let evaluate = ["evaluate", &model, "--plan", &p, "--repair", &r, "--quiet"];
    good(&[&evaluate[..], &input].concat());
}

#[test]
fn a_fit_on_too_few_tokens_is_told_as_one_wherever_it_is_used() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = ["--text", &text, "--seq-len", "32", "--batches", "1", "--batch-size", "2", "--quiet"];
    let [a, p, r, out] = ["a.json", "p.json", "r.safetensors", "smaller"].map(|name| folder.name(name));
    good(&[&["analyze", &model, "--moments", "--groups", "2", "--out", &a][..], &input].concat());
    let plan = ["plan", &a, "--method", "reconstruction", "--keep", "4", "--out", &p, "--quiet"];
    let told = good(&plan);
    assert!(told.contains("explained not known") && !told.contains("explained 100"), "{told}");
    let doubts = |notes: &Value| {
        let notes = notes.to_string();
        // 64 tokens for the 96 numbers that the heads of each of the four layers put out.
        assert!(notes.contains("too few tokens to fit on in 4 of 4 layers: 64, where 768 would do"), "{notes}");
        assert!(notes.contains("nothing was held out of the fit"), "{notes}");
    };
    doubts(&json(&std::fs::read_to_string(&p).unwrap())["notes"]);
    let repair = ["repair", &model, "--plan", &p, "--out", &r, "--mode"];
    for mode in ["stream", "refit"] {
        let told = good(&[&repair[..], &[mode], &input].concat());
        assert!(told.contains("explained") && !told.contains("100.0 %"), "{told}");
        let record = json(&good(&[&repair[..], &[mode, "--json"], &input].concat()));
        doubts(&record["notes"]);
        assert!(record["sites"].as_object().unwrap().values().all(|site| site["held_out"].is_null()), "{record}");
    }
    let evaluate = ["evaluate", &model, "--plan", &p, "--json", "--repair"];
    for source in [r.as_str(), "refit"] {
        let notes = json(&good(&[&evaluate[..], &[source], &input].concat()))["notes"].clone();
        doubts(&notes);
        assert!(notes.to_string().contains("calibrated on the text that quality is measured on"), "{notes}");
    }
    // Nothing is held out that could say which way is best.
    let refused = bad(&[&evaluate[..], &["auto"], &input].concat(), 1);
    assert!(refused.contains("auto needs two batches"), "{refused}");
    let prune = ["prune", &model, "--plan", &p, "--repair", &r, "--out", &out, "--json"];
    let report = json(&good(&[&prune[..], &input].concat()));
    doubts(&report["repair"]["notes"]);
    doubts(&report["measured"]["notes"]);
    let card = std::fs::read_to_string(folder.path("smaller/README.md")).unwrap();
    assert!(card.contains("none was held out") && card.contains("too few tokens"), "{card}");
}

#[test]
fn what_is_missing_or_does_not_fit_is_one_clear_line() {
    let folder = Folder::new();
    let (model, inputs) = (fixture("llama", ""), fixture("llama", "reference.safetensors"));
    let a = folder.name("a.json");
    good(&["analyze", &model, "--inputs", &inputs, "--groups", "2", "--out", &a, "--quiet"]);
    let p = folder.name("p.json");
    let refused = bad(&["plan", &a, "--method", "reconstruction", "--keep", "2", "--out", &p, "--quiet"], 1);
    assert!(refused.contains("analyze again with --moments"), "{refused}");
    assert!(!folder.path("p.json").exists());
    std::fs::write(&p, r#"{"decoder.0": [0, 1]}"#).unwrap();
    let other = folder.name("other.json");
    std::fs::write(&other, r#"{"decoder.0": [2, 3]}"#).unwrap();
    let r = folder.name("r.safetensors");
    good(&[
        "repair",
        &model,
        "--plan",
        &p,
        "--inputs",
        &inputs,
        "--mode",
        "refit",
        "--batch-size",
        "1",
        "--out",
        &r,
        "--quiet",
    ]);
    let out = folder.name("out");
    let prune = ["prune", &model, "--repair", &r, "--out", &out, "--quiet", "--plan"];
    let refused = bad(&[&prune[..], &[&other]].concat(), 1);
    assert!(refused.contains("other heads of decoder.0"), "{refused}");
    let refused = bad(&[&prune[..], &[&p, "--format", "gqa"]].concat(), 2);
    assert!(refused.contains("nothing to repair"), "{refused}");
    let refused = bad(&["repair", &model, "--plan", &p, "--moments", &a, "--mode", "refit", "--out", &r, "--quiet"], 1);
    assert!(refused.contains("an analysis, not a file of second moments"), "{refused}");
    assert!(!folder.path("out").exists());
    // An analysis with moments in two parts, and their sum.
    let part = |name: &str, shard: &str| {
        let out = folder.name(name);
        let base = ["analyze", &model, "--inputs", &inputs, "--groups", "2", "--batch-size", "1", "--shard", shard];
        good(&[&base[..], &["--moments", "--out", &out, "--quiet"]].concat());
        out
    };
    let (one, two, both) = (part("one.json", "1/2"), part("two.json", "2/2"), folder.name("both.json"));
    good(&["merge", &one, &two, "--out", &both]);
    assert!(folder.path("both.moments.safetensors").is_file());
    good(&["plan", &both, "--method", "reconstruction", "--ratio", "0.5", "--out", &folder.name("q.json"), "--quiet"]);
}

#[test]
fn repairs_are_made_in_place_and_earlier_folders_are_mended() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = [&["--text", &text][..], &LITTLE].concat();
    let (_, p) = planned(&folder, &model, &input, &["--keep", "3"]);
    // The plan tells what the heads that stay can say.
    let told = json(&std::fs::read_to_string(&p).unwrap())["explained"].clone();
    for site in told.as_object().unwrap().values() {
        let [masked, calibration, held_out] =
            ["masked", "calibration", "held_out"].map(|name| site[name].as_f64().unwrap());
        assert!(masked < held_out && held_out < calibration && calibration < 1.0, "{site}");
    }
    let held = [&input[..], &["--held-out-every", "3", "--quiet", "--json"]].concat();
    let evaluate = |more: &[&str]| {
        json(&good(&[&["evaluate", &model, "--plan", &p][..], &held, more].concat()))["after"]["loss_per_token"].clone()
    };
    let r = folder.name("r.safetensors");
    good(&[&["repair", &model, "--plan", &p, "--mode", "refit", "--out", &r][..], &held].concat());
    // Made in place it is the one of the file.
    assert_eq!(evaluate(&["--repair", "refit"]), evaluate(&["--repair", &r]));
    assert_eq!(evaluate(&["--repair", "none"]), evaluate(&[]));
    let loss = |value: Value| value.as_f64().unwrap();
    assert!(loss(evaluate(&["--repair", "auto"])) < loss(evaluate(&[])));
    let refused = bad(&["prune", &model, "--plan", &p, "--repair", "refit", "--out", &r, "--quiet"], 2);
    assert!(refused.contains("calibrate"), "{refused}");
    let refused = bad(&["prune", &model, "--plan", &p, "--repair", "refti", "--out", &r, "--quiet"], 2);
    assert!(refused.contains("'refti'"), "{refused}");
    // A folder that is not free is told before a repair is made, which of one batch it could not be.
    let taken = folder.name("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(folder.path("taken").join("thesis.txt"), "mine").unwrap();
    let one = ["--text", &text, "--seq-len", "64", "--batches", "1", "--batch-size", "4", "--repair", "auto"];
    let prune = ["prune", &model, "--plan", &p, "--quiet", "--out", &taken];
    let refused = bad(&[&prune[..], &one].concat(), 1);
    assert!(refused.contains("exists and is not empty"), "{refused}");
    // What an export would be, with a repair: the format that it is not for says so.
    let dry = json(&good(&["prune", &model, "--plan", &p, "--repair", &r, "--dry-run", "--json"]));
    assert_eq!(dry["repair"], "refit");
    let formats = dry["formats"].as_array().unwrap();
    let gqa = formats.iter().find(|format| format["format"] == "gqa").unwrap();
    assert!(gqa["refused"].as_str().unwrap().contains("nothing to repair"), "{gqa}");

    // A folder as it was pruned before, mended: what pruning with the repair writes.
    let (before, mended, at_once) = (folder.name("before"), folder.name("mended"), folder.name("at-once"));
    good(&["prune", &model, "--plan", &p, "--format", "masked", "--out", &before, "--quiet"]);
    let mend = ["repair", &before, "--original", &model, "--mode", "refit", "--out", &mended];
    let report = json(&good(&[&mend[..], &held].concat()));
    assert_eq!((&report["repair"]["mode"], &report["export_format"]), (&"refit".into(), &"masked".into()));
    good(&["prune", &model, "--plan", &p, "--repair", &r, "--format", "masked", "--out", &at_once, "--quiet"]);
    let bytes = |name: &str| std::fs::read(folder.path(name).join("model.safetensors")).unwrap();
    assert!(bytes("mended") == bytes("at-once"));
    let again = folder.name("again");
    let mend = ["repair", &mended, "--original", &model, "--mode", "refit", "--out", &again];
    let refused = bad(&[&mend[..], &held].concat(), 2);
    assert!(refused.contains("repaired already"), "{refused}");
    let mend = ["repair", &model, "--original", &model, "--mode", "refit", "--out", &again];
    let refused = bad(&[&mend[..], &held].concat(), 1);
    assert!(refused.contains("no record"), "{refused}");
    // Trained since: other weights than the record speaks of.
    let path = folder.path("before").join("model.safetensors");
    std::fs::copy(folder.path("mended").join("model.safetensors"), path).unwrap();
    let mend = ["repair", &before, "--original", &model, "--mode", "refit", "--out", &again];
    let refused = bad(&[&mend[..], &held].concat(), 2);
    assert!(refused.contains("trained or changed") && !folder.path("again").exists(), "{refused}");
    // A picture of a repair.
    let svg = folder.name("r.svg");
    good(&["figure", &r, "--view", "repair", "--out", &svg]);
    assert!(std::fs::read_to_string(svg).unwrap().contains("What each layer loses"));
}

#[test]
fn training_repairs_before_it_fine_tunes() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let (p, out) = (folder.name("mask.json"), folder.name("out"));
    let sites = (0..4).map(|l| format!("\"decoder.{l}\": [0, 3, 6]")).collect::<Vec<_>>().join(", ");
    std::fs::write(&p, format!("{{{sites}}}")).unwrap();
    let base = ["train", &model, "--text", &text, "--out", &out, "--plan", &p, "--vote-at", "0", "--steps", "1"];
    let length = ["--seq-len", "64", "--batch-size", "2", "--held-out-every", "4"];
    let more = [&length[..], &["--finetune-steps", "2", "--held-out-batches", "2"]].concat();
    let rest = ["--repair", "refit", "--json", "--quiet"];
    let summary = json(&good(&[&base[..], &more, &rest].concat()));
    let loss = |name: &str| summary[name].as_f64().unwrap();
    assert!(loss("repaired_loss") < loss("masked_loss"), "{summary}");
    assert_eq!(summary["repair"]["mode"], "refit");
    let record = json(&std::fs::read_to_string(folder.path("out").join("pillars.json")).unwrap());
    assert_eq!(record["recipe"]["settings"]["voting"]["repair"], "refit");
    // A file is for the weights before training.
    let r = folder.name("r.safetensors");
    good(&[
        "repair",
        &model,
        "--text",
        &text,
        "--plan",
        &p,
        "--mode",
        "refit",
        "--batches",
        "4",
        "--out",
        &r,
        "--quiet",
    ]);
    let other = folder.name("other");
    let base = ["train", &model, "--text", &text, "--out", &other, "--plan", &p, "--steps", "2", "--repair", &r];
    let refused = bad(&[&base[..], &more, &["--quiet"]].concat(), 2);
    assert!(refused.contains("--vote-at 0"), "{refused}");
    let from_file = folder.name("from-file");
    let base = ["train", &model, "--text", &text, "--out", &from_file, "--plan", &p, "--vote-at", "0", "--repair", &r];
    let summary = json(&good(&[&base[..], &more, &["--json", "--quiet"]].concat()));
    assert!(summary["repaired_loss"].as_f64().unwrap() < summary["masked_loss"].as_f64().unwrap(), "{summary}");
}
