//! Several processes share a corpus: their analyses and moments add up to those of one.
use std::path::Path;
use std::process::{Command, Stdio};

use pillars::analysis::Moments;
use serde_json::Value;

use crate::contract::{Folder, bad, fixture, good, json, pillars, sample};

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

#[test]
fn pieces_of_different_texts_do_not_merge_and_those_of_one_find_beside_chance_what_the_whole_does() {
    let folder = Folder::new();
    let model = fixture("bert", "");
    let line =
        |n: usize| format!("{{\"input_ids\": [{}, {}, {}, {}]}}\n", 5 + n % 90, 6 + n % 7, 9 + n % 31, 5 + n % 13);
    let piece = |text: &str, shard: &str| -> String {
        let out = folder.name(&format!("{text}-{}.json", shard.replace('/', "-")));
        let tokens = folder.name(&format!("{text}.jsonl"));
        let (start, end) = if text == "one" { (0, 160) } else { (160, 400) };
        std::fs::write(&tokens, (start..end).map(line).collect::<String>()).unwrap();
        let base = ["analyze", &model, "--tokens", &tokens, "--groups", "2", "--shard", shard, "--out", &out];
        good(&[&base[..], &["--no-kinds", "--quiet"]].concat());
        out
    };
    let [first, second] = ["1/2", "2/2"].map(|shard| piece("one", shard));
    let [other, rest] = ["2/2", "1/2"].map(|shard| piece("two", shard));
    let out = folder.name("whole.json");
    let refused = bad(&["merge", &first, &other, "--out", &out], 1);
    let both = format!("{first} is part 1/2 of one.jsonl and {other} is part 2/2 of two.jsonl, which is another text");
    assert!(refused.contains(&both) && refused.contains("the other part of the same file"), "{refused}");
    assert!(!folder.path("whole.json").exists());
    // Whole texts add up, which is said; so do all pieces of one, each of which looked at the first sequences of the whole.
    let told = json(&good(&["merge", &first, &other, &second, &rest, "--out", &out, "--json"]));
    assert!(told["notes"].to_string().contains("parts of different texts are added: one.jsonl, two.jsonl"), "{told}");
    let told = json(&good(&["merge", &first, &second, "--out", &out, "--json"]));
    assert!(!told["notes"].to_string().contains("different texts"), "{told}");
    let (all, tokens) = (folder.name("all.json"), folder.name("one.jsonl"));
    good(&["analyze", &model, "--tokens", &tokens, "--groups", "2", "--out", &all, "--no-kinds", "--quiet"]);
    let all = json(&std::fs::read_to_string(&all).unwrap());
    let reversed = json(&good(&["merge", &second, &first, "--out", &folder.name("reversed.json"), "--json"]));
    assert_eq!(all["evidence"]["sequences"], 32);
    for merged in [&told, &reversed] {
        for number in ["silhouette", "explained", "layers", "judged", "sentence"] {
            assert_eq!(merged["evidence"][number], all["evidence"][number]);
        }
        for (one, sum) in all["sites"].as_array().unwrap().iter().zip(merged["sites"].as_array().unwrap()) {
            assert_eq!(one["evidence"], sum["evidence"]);
            assert_eq!(one["features"]["output"]["evidence"], sum["features"]["output"]["evidence"]);
        }
    }
    // Of a text that is too short for the comparison, all of it was looked at.
    std::fs::write(&tokens, (0..20).map(line).collect::<String>()).unwrap();
    let base = ["analyze", &model, "--tokens", &tokens, "--groups", "2", "--no-kinds", "--quiet", "--out"];
    let parts = ["1/2", "2/2"].map(|shard| {
        let out = folder.name(&format!("short-{}.json", shard.replace('/', "-")));
        good(&[&base[..], &[&out, "--shard", shard]].concat());
        out
    });
    let told = json(&good(&["merge", &parts[0], &parts[1], "--out", &out, "--json"]));
    assert_eq!(told["evidence"]["sequences"], 20, "{}", told["notes"]);
}

/// Moments are sums too, of the batches of even and of odd numbers in the whole text each.
fn same_moments(whole: &str, merged: &str) {
    let moments = [whole, merged].map(|analysis| Moments::read(&Moments::path_beside(Path::new(analysis))).unwrap());
    assert!(!moments[0].sites.is_empty() && moments[0].sites.len() == moments[1].sites.len());
    for (one, sum) in moments[0].sites.values().zip(moments[1].sites.values()) {
        for (one, sum) in one.halves.iter().zip(&sum.halves) {
            assert!(one.tokens > 0 && one.tokens == sum.tokens, "{} and {} tokens", one.tokens, sum.tokens);
            let scale = one.square.packed().iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            let pairs = one.square.packed().iter().chain(&one.sum).zip(sum.square.packed().iter().chain(&sum.sum));
            assert!(scale > 0.0 && pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-6 * scale));
        }
    }
}

#[test]
fn halves_of_moments_are_those_of_the_whole_however_many_parts_there_are() {
    let folder = Folder::new();
    let line = |n: usize| format!("{{\"input_ids\": [{}, {}, {}]}}\n", 5 + n % 90, 6 + n % 7, 9 + n % 31);
    let tokens = folder.name("t.jsonl");
    std::fs::write(&tokens, (0..43).map(line).collect::<String>()).unwrap();
    // Moments of a masked-language model are summed in a pass of their own.
    for model in ["llama", "bert"] {
        let model = fixture(model, "");
        let analyze = |out: &str, more: &[&str]| {
            let base = ["analyze", &model, "--tokens", &tokens, "--batch-size", "4", "--moments", "--quiet"];
            good(&[&base[..], &["--no-kinds", "--no-evidence", "--out", out], more].concat());
        };
        let whole = folder.name("whole.json");
        analyze(&whole, &[]);
        for of in [2, 3, 4] {
            let parts: Vec<String> = (1..=of).map(|n| folder.name(&format!("part{n}.json"))).collect();
            for (part, n) in parts.iter().zip(1..) {
                analyze(part, &["--shard", &format!("{n}/{of}")]);
                // Of an even number of parts each has one half alone, which says nothing of the whole.
                assert!(!std::fs::read_to_string(part).unwrap().contains("nothing was held out"));
            }
            let merged = folder.name("merged.json");
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            good(&[&["merge"][..], &parts[..], &["--out", &merged, "--quiet"]].concat());
            same_moments(&whole, &merged);
        }
    }
}

#[test]
fn shards_read_at_once_add_up_to_the_whole() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-plain"), sample("austen.txt"));
    let short = folder.name("text.txt");
    let begin: String = std::fs::read_to_string(text).unwrap().chars().take(24_000).collect();
    std::fs::write(&short, begin).unwrap();
    let arguments = |out: &str, more: &[&str]| -> Vec<String> {
        let base =
            ["analyze", &model, "--text", &short, "--seq-len", "64", "--batch-size", "4", "--moments", "--quiet"];
        let rest = ["--held-out-every", "4", "--no-kinds", "--no-evidence", "--out", out];
        base.iter().chain(&rest).chain(more).map(|a| (*a).to_owned()).collect()
    };
    let parts: Vec<String> = (1..=3).map(|n| folder.name(&format!("part{n}.json"))).collect();
    let running: Vec<_> = parts
        .iter()
        .zip(1..)
        .map(|(out, n)| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
            command.args(arguments(out, &["--shard", &format!("{n}/3")])).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut process in running {
        assert!(process.wait().unwrap().success());
    }
    let whole = folder.name("whole.json");
    let asked = arguments(&whole, &[]);
    good(&asked.iter().map(String::as_str).collect::<Vec<_>>());
    let merged = folder.name("merged.json");
    good(&["merge", &parts[0], &parts[1], &parts[2], "--out", &merged]);
    let read = |path: &str| json(&std::fs::read_to_string(path).unwrap());
    let (one, sum) = (read(&whole), read(&merged));
    assert_eq!((&one["tokens"], &one["batches"]), (&sum["tokens"], &sum["batches"]));
    assert!(one["batches"].as_u64().unwrap() > 6, "every part has some");
    for (one, sum) in one["sites"].as_array().unwrap().iter().zip(sum["sites"].as_array().unwrap()) {
        assert_eq!((&one["votes"], &one["kept"]), (&sum["votes"], &sum["kept"]));
        let [one, sum] = [one, sum].map(|site| numbers(&site["features"]["output"]["gram"]));
        assert!(!one.is_empty() && one.iter().zip(&sum).all(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(1e-9)));
    }
    same_moments(&whole, &merged);

    let told = json(&good(&["merge", &parts[0], &parts[2], "--out", &folder.name("some.json"), "--json"]));
    let missing = |told: &Value| told["notes"].to_string().contains("part 2/3 of text.txt is not here");
    assert!(missing(&told), "{}", told["notes"]);
    // What is merged already is known by its parts.
    let (some, all) = (folder.name("some.json"), folder.name("all.json"));
    let told = json(&good(&["merge", &some, &parts[1], "--out", &all, "--json"]));
    assert!(!missing(&told) && told["tokens"] == one["tokens"], "{}", told["notes"]);
    // What a part before has read would count twice, alone or within what is merged already.
    for [first, second] in [[&parts[0], &parts[0]], [&some, &parts[2]], [&whole, &parts[1]]] {
        let refused = bad(&["merge", first, second, "--out", &folder.name("twice.json")], 1);
        let both = format!("{first} and {second} read the same batches of text.txt");
        assert!(refused.contains(&both) && refused.contains("--shard 1/2"), "{refused}");
        assert!(!folder.path("twice.json").exists());
    }
    let never = folder.name("never.json");
    let many = ["analyze", &model, "--text", &short, "--shard", "400/400", "--out", &never, "--quiet"];
    let refused = String::from_utf8(pillars(&many).stderr).unwrap();
    assert!(refused.contains("part 400/400 holds no batch") && refused.contains("fewer parts"), "{refused}");
    let refused = pillars(&["analyze", &model, "--text", &short, "--shard", "4/3", "--out", &never, "--quiet"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("as in 2/8"), "{refused:?}");
}
