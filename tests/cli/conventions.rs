//! Numbers formed as papers form them, against the same worked out from the logits that `features` writes.
use std::path::Path;

use serde_json::{Value, json};

use super::contract::{Folder, bad, fixture, good};
use crate::common::reference;

/// The small GPT-2 with a tokenizer of whole words: `w10` is id 10, a line end 6, any other word 3; 1 stands before a text
/// and 2 behind it.
fn model(folder: &Folder) -> String {
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("gpt2", file), folder.path(file)).unwrap();
    }
    let mut vocabulary = json!({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "\n": 6});
    for id in 7..96 {
        vocabulary[format!("w{id}")] = id.into();
    }
    let special = |id: u32, name: &str| json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let split = |at: &str, behavior: &str| json!({"type": "Split", "pattern": {"String": at}, "behavior": behavior, "invert": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[CLS]"), special(2, "[SEP]"), special(3, "[UNK]")],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split("\n", "Isolated"), split(" ", "Removed")]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]},
            },
        },
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary},
    });
    std::fs::write(folder.path("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder.name("")
}

/// Log-probability of each token but the first of every sequence, given those before it, from what `features` writes.
fn log_probabilities(folder: &Folder, sequences: &[Vec<u32>], more: &[&str]) -> Vec<Vec<f64>> {
    let lines: Vec<String> = sequences.iter().map(|ids| json!({"input_ids": ids}).to_string()).collect();
    std::fs::write(folder.path("tokens.jsonl"), lines.join("\n")).unwrap();
    let results = Folder::new();
    let (model, tokens, out) = (folder.name(""), folder.name("tokens.jsonl"), results.name("features.safetensors"));
    let base = ["features", &model, "--tokens", &tokens, "--no-attention", "--out", &out, "--quiet"];
    good(&[&base, more].concat());
    let logits = reference(Path::new(&out))["logits"].to_vec3::<f32>().unwrap();
    let of = |(ids, rows): (&Vec<u32>, &Vec<Vec<f32>>)| {
        let next = ids.iter().skip(1).zip(rows);
        next.map(|(id, row)| {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            f64::from(row[*id as usize]) - sum.ln()
        })
        .collect()
    };
    sequences.iter().zip(&logits).map(of).collect()
}

/// Goal, two solutions with their ids, and which is right.
type Row = (u32, [&'static [u32]; 2], usize);

/// Rows of PIQA and, by hand, the tokens of each ending behind its beginning.
const ROWS: [Row; 8] = [
    (10, [&[20, 21, 22, 23], &[30]], 0),
    (11, [&[24], &[31, 32, 33]], 1),
    (12, [&[25, 26], &[34, 35]], 0),
    (13, [&[27, 28, 29, 20, 21], &[36, 37]], 0),
    (14, [&[40], &[50]], 1),
    (15, [&[41, 42, 43], &[51]], 1),
    (16, [&[44, 45], &[52, 53, 54, 55, 56, 57]], 1),
    (17, [&[46], &[58, 59]], 0),
];

fn words(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

/// Shares of right choices by the sum of log-probabilities, and by that sum for each character.
fn shares(folder: &Folder, more: &[&str]) -> [f64; 2] {
    let mut right = [0.0, 0.0];
    for (goal, endings, answer) in ROWS {
        // "Question: wN\nAnswer: ..": no special tokens.
        let sequences: Vec<Vec<u32>> = endings.iter().map(|e| [&[3, goal, 6, 3], *e].concat()).collect();
        let scores: Vec<f64> =
            log_probabilities(folder, &sequences, more).iter().map(|all| all[3..].iter().sum()).collect();
        let per_char: Vec<f64> = scores.iter().zip(endings).map(|(s, e)| s / words(e).len() as f64).collect();
        for (right, scores) in right.iter_mut().zip([scores, per_char]) {
            *right += f64::from(u8::from(usize::from(scores[1] > scores[0]) == answer)) / ROWS.len() as f64;
        }
    }
    right
}

#[test]
fn multiple_choice_is_scored_as_lm_eval_does() {
    let folder = Folder::new();
    let model = model(&folder);
    let row = |(goal, [a, b], label): &Row| {
        json!({"goal": format!("w{goal}"), "sol1": words(a), "sol2": words(b), "label": label}).to_string()
    };
    std::fs::write(folder.path("piqa.jsonl"), ROWS.iter().map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let data = folder.name("piqa.jsonl");
    let base = ["evaluate", &model, "--data", &data, "--batch-size", "3", "--json", "--quiet"];
    let check = |metrics: &Value, want: [f64; 2]| {
        for (name, want) in ["acc", "acc_norm"].iter().zip(want) {
            let found = &metrics[*name];
            let value = |key: &str| found[key].as_f64().unwrap_or_else(|| panic!("{name} {key}: {metrics}"));
            assert!((value("value") - want).abs() < 1e-9, "{name}: {found}, not {want}");
            assert!(value("low") <= want && want <= value("high") && value("low") < value("high"), "{found}");
            assert_eq!(found["n"], ROWS.len());
            assert!(found["convention"].as_str().unwrap().contains(&format!("lm-eval's {name}")), "{found}");
        }
    };
    let whole = shares(&folder, &[]);
    assert!((whole[0] - whole[1]).abs() > 0.1, "rows that tell both apart: {whole:?}");
    let scored: Value = serde_json::from_str(&good(&base)).unwrap();
    check(&scored["metrics"], whole);

    let mask = fixture("gpt2", "mask.json");
    let measured: Value = serde_json::from_str(&good(&[&base[..], &["--mask", &mask]].concat())).unwrap();
    let masked = shares(&folder, &["--mask", &mask]);
    check(&measured["before"]["metrics"], whole);
    check(&measured["after"]["metrics"], masked);
    let change = measured["change"]["acc"]["value"].as_f64().unwrap();
    assert!((change - (masked[0] - whole[0])).abs() < 1e-9, "{change}");
    let shown = good(&["evaluate", &model, "--data", &data, "--quiet"]);
    assert!(shown.contains("acc_norm") && shown.contains("for each character"), "{shown}");

    std::fs::write(folder.path("bad.jsonl"), format!("{}\n{}", row(&ROWS[0]), row(&(10, [&[20], &[21]], 2)))).unwrap();
    let line = bad(&["evaluate", &model, "--data", &folder.name("bad.jsonl"), "--quiet"], 1);
    assert!(line.contains("row 2") && line.contains("the right ending is none of 2"), "{line}");
}

#[test]
fn a_budget_of_questions_is_of_right_choices() {
    let folder = Folder::new();
    let model = model(&folder);
    let row = |(goal, [a, b], label): &Row| {
        json!({"goal": format!("w{goal}"), "sol1": words(a), "sol2": words(b), "label": label}).to_string()
    };
    std::fs::write(folder.path("piqa.jsonl"), ROWS.iter().map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let want = shares(&folder, &[]);
    let results = Folder::new();
    let (data, a, p) = (folder.name("piqa.jsonl"), results.name("a.json"), results.name("p.json"));
    good(&["analyze", &model, "--data", &data, "--groups", "2", "--out", &a, "--quiet"]);
    let start = ["plan", &a, &model, "--data", &data, "--max-metric-drop", "30%", "--out", &p, "--json", "--quiet"];
    for (more, name, want) in [(&[][..], "acc", want[0]), (&["--quality-metric", "acc_norm"][..], "acc_norm", want[1])]
    {
        let found: Value = serde_json::from_str(&good(&[&start[..], more].concat())).unwrap();
        let record = &found["budget"];
        assert_eq!(record["measure"], name);
        assert!((record["whole"].as_f64().unwrap() - want).abs() < 1e-9, "{record} {want}");
        let measured = good(&["evaluate", &model, "--data", &data, "--plan", &p, "--json", "--quiet"]);
        let measured: Value = serde_json::from_str(&measured).unwrap();
        assert_eq!(record["pruned"], measured["after"]["metrics"][name]["value"], "{record}");
        assert!(record["low"].as_f64().unwrap() <= record["high"].as_f64().unwrap());
    }
}

#[test]
fn the_preset_of_wikitext2_gives_the_perplexity_of_papers() {
    let folder = Folder::new();
    let model = model(&folder);
    std::fs::write(folder.path("wiki.txt"), " \nw10 w11 w12\n \nw13 w14 w15 w16 w17\nw18 w19\nw20 w21 w22\n").unwrap();
    // "\n\n".join(["", "w10 w11 w12\n", "", "w13 .. w17\n", "w18 w19\n", "w20 w21 w22\n"]), special tokens around it.
    let ids: [u32; 29] =
        [1, 6, 6, 10, 11, 12, 6, 6, 6, 6, 6, 13, 14, 15, 16, 17, 6, 6, 6, 18, 19, 6, 6, 6, 20, 21, 22, 6, 2];
    let windows: Vec<Vec<u32>> = ids.chunks_exact(8).map(<[u32]>::to_vec).collect();
    assert_eq!(windows.len(), 3);
    let losses = log_probabilities(&folder, &windows, &[]);
    let losses: Vec<f64> = losses.iter().map(|all| -all.iter().sum::<f64>() / all.len() as f64).collect();
    let want = (losses.iter().sum::<f64>() / 3.0).exp();

    let text = folder.name("wiki.txt");
    let base = ["evaluate", &model, "--text", &text, "--preset", "wikitext2", "--json", "--quiet"];
    let scored: Value = serde_json::from_str(&good(&[&base[..], &["--seq-len", "8"]].concat())).unwrap();
    assert_eq!(scored["scored_tokens"], 21);
    let found = &scored["metrics"]["perplexity"];
    let value = found["value"].as_f64().unwrap();
    assert!((value / want - 1.0).abs() < 1e-5, "{value}, not {want}");
    assert!(found["convention"].as_str().unwrap().contains("windows of 8 tokens that do not overlap"), "{found}");

    // Windows are of 2048 tokens unless another length is asked for.
    let line = bad(&base, 2);
    assert!(line.contains("2048") && line.contains("--seq-len 40"), "{line}");
    let line = bad(&[&base[..], &["--seq-len", "30"]].concat(), 1);
    assert!(line.contains("fewer than 30 tokens"), "{line}");
    let tokens = folder.name("tokens.jsonl");
    let line = bad(&["evaluate", &model, "--tokens", &tokens, "--preset", "wikitext2", "--quiet"], 2);
    assert!(line.contains("--text"), "{line}");
}
