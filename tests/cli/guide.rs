//! Every recipe of the guide runs as it is typed, on small data under its names.
use std::path::Path;
use std::process::Command;

use crate::common::test_data;
use crate::contract::sample;

const GUIDE: &str = include_str!("../../src/guide.md");

/// Titles and the command lines of each recipe.
fn recipes() -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in GUIDE.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => found.last_mut().unwrap().1.push(line.to_owned()),
            _ => {
                if let Some(title) = line.strip_prefix("# ") {
                    found.push((title.to_owned(), Vec::new()));
                }
            }
        }
    }
    found
}

/// A folder in which the names of the recipes stand for something.
fn kitchen() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(Path::new(&sample("austen-plain")), &at("decoder"));
    let novel: String = std::fs::read_to_string(sample("austen.txt")).unwrap().chars().take(14_000).collect();
    std::fs::write(at("novel.txt"), novel).unwrap();
    copy(&test_data().join("tasks/bertforsequenceclassification"), &at("classifier"));
    let words: serde_json::Map<String, serde_json::Value> = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
        .map(str::to_owned)
        .into_iter()
        .chain((4..90).map(|n| format!("w{n}")))
        .zip(0..)
        .map(|(word, id)| (word, id.into()))
        .collect();
    let special = |id: u32, name: &str| {
        serde_json::json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false,
                           "rstrip": false, "normalized": false})
    };
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[CLS]"), special(2, "[SEP]"), special(3, "[UNK]")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": words},
    });
    std::fs::write(at("classifier/tokenizer.json"), tokenizer.to_string()).unwrap();
    for (name, rows) in [("train.tsv", 64), ("dev.tsv", 24)] {
        let row = |n: usize| {
            let words: Vec<String> = (0..8).map(|i| format!("w{}", 4 + (n * 31 + i * 17) % 80)).collect();
            format!("{}\t{}\n", words.join(" "), ["negative", "neutral", "positive"][n % 3])
        };
        std::fs::write(at(name), "text\tlabel\n".to_owned() + &(0..rows).map(row).collect::<String>()).unwrap();
    }
    folder
}

#[test]
fn every_recipe_runs() {
    let recipes = recipes();
    assert!(recipes.len() >= 10, "{}", recipes.len());
    for (title, lines) in &recipes {
        assert!(!lines.is_empty(), "{title} has nothing to type");
        let kitchen = kitchen();
        for line in lines {
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), Some("pillars"), "{line}");
            let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
            let done = command.args(words).current_dir(kitchen.path()).output().unwrap();
            assert!(done.status.success(), "{title}: {line}\n{}", String::from_utf8_lossy(&done.stderr));
        }
        // Reading from Python needs packages that not every machine has.
        let Some(python) = std::env::var_os("PILLARS_PYTHON") else { continue };
        let section = GUIDE.split(&format!("# {title}\n")).nth(1).unwrap().split("\n# ").next().unwrap();
        if let Some(program) = section.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()) {
            let done = Command::new(python).args(["-c", program]).current_dir(kitchen.path()).output().unwrap();
            assert!(done.status.success() && !done.stdout.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
}
