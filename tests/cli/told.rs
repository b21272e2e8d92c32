//! What commands say is true of what they did, and nothing that was asked is dropped without a word.
use crate::contract::{Folder, bad, fixture, good, json, pillars, sample};

/// Runs a command that must succeed; gives its stdout and what it says besides.
fn both(arguments: &[&str]) -> (String, String) {
    let output = pillars(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?} failed: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

#[test]
fn training_tells_where_it_began_and_its_record_promises_no_replay() {
    let folder = Folder::new();
    let (model, text, out) = (sample("austen-grouped"), sample("austen.txt"), folder.name("out"));
    let mask = folder.name("mask.json");
    let sites = (0..4).map(|l| format!("\"decoder.{l}\": [0, 3, 6]")).collect::<Vec<_>>().join(", ");
    std::fs::write(&mask, format!("{{{sites}}}")).unwrap();
    let length = ["--seq-len", "64", "--batch-size", "2"];
    let train = ["train", &model, "--text", &text, "--out", &out, "--plan", &mask, "--steps", "2", "--lr", "0.0005"];
    let rest = ["--finetune-steps", "1", "--held-out-every", "4", "--held-out-batches", "3"];
    let (table, _) = both(&[&train[..], &length, &rest].concat());
    // What it learned from is known of it, and that nothing of the rest was.
    let again = ["evaluate", &out, "--text", &text, "--seq-len", "64", "--batch-size", "2"];
    let learned = |more: &[&str]| both(&[&again[..], more].concat()).1.contains("in-sample: the model learned from");
    assert!(learned(&["--batches", "2"]) && !learned(&["--held-out-every", "4", "--batches", "2"]));
    // As evaluate measures MODEL on what was held out.
    let held = ["--held-out-every", "4", "--batches", "3", "--json", "--quiet"];
    let whole = json(&good(&[&["evaluate", &model, "--text", &text], &length[..], &held].concat()));
    let given = format!("{:.4}", whole["loss_per_token"].as_f64().unwrap());
    let row = table.lines().find(|line| line.starts_with("as given")).unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains(&given), "{row} {given}");
    // The card tells the table's numbers.
    let card = std::fs::read_to_string(folder.path("out/README.md")).unwrap();
    for name in ["as given", "every head, trained", "kept heads, before fine-tuning", "result"] {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {table}"));
        let numbers: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert!(card.contains(&format!("| {name} | {} |", numbers.join(" | "))), "{line}\n{card}");
    }
    assert!(card.contains("austen.txt") && card.contains("Trained for 2 steps"), "{card}");
    assert!(card.contains("Fine-tuned for 1 step "), "{card}");
    assert!(card.contains("weights were trained") && !card.contains("replays"), "{card}");
    assert!(card.contains("# austen-grouped"), "{card}");
    let path = folder.name("out/pillars.json");
    let record = json(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(record["trained"]["origin"], "austen-grouped");
    assert_eq!(record["plan"]["trained"], true);
    // Its heads can be taken out of the original, which is another model.
    let again = folder.name("again");
    let (_, said) = both(&["prune", &model, "--plan", &path, "--out", &again]);
    assert!(said.contains("a model whose weights were trained"), "{said}");
    let told = json(&std::fs::read_to_string(folder.path("again/pillars.json")).unwrap());
    assert!(told["notes"].to_string().contains("a model whose weights were trained"), "{told}");
    // The command it was begun with is asked for, and what is another about this one is said.
    let train = ["train", &model, "--text", &text, "--out", &out, "--plan", &mask, "--steps", "2", "--lr", "0.25"];
    let refused = bad(&[&train[..], &length, &rest, &["--resume"]].concat(), 2);
    assert!(refused.contains("(settings.rate 0.0005 instead of 0.25)"), "{refused}");
}

#[test]
fn training_that_does_harm_says_so() {
    let folder = Folder::new();
    let (model, text, out) = (sample("austen-grouped"), sample("austen.txt"), folder.name("out"));
    let train = ["train", &model, "--text", &text, "--out", &out, "--no-vote", "--steps", "3", "--lr", "10"];
    let rest = ["--seq-len", "32", "--batch-size", "2", "--held-out-every", "4", "--held-out-batches", "2"];
    let output = pillars(&[&train[..], &rest].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("did harm: the loss on held-out data is"), "{said}");
}

#[test]
fn amounts_that_leave_no_head_and_plans_that_remove_none_say_what_is_so() {
    let folder = Folder::new();
    let (a, p) = (folder.name("a.json"), folder.name("p.json"));
    let (model, reference) = (fixture("bert", ""), fixture("bert", "reference.safetensors"));
    good(&["analyze", &model, "--inputs", &reference, "--groups", "2", "--out", &a, "--quiet"]);
    let plan = |amount: &[&str]| {
        let (out, said) = both(&[&["plan", &a], amount, &["--out", &p]].concat());
        format!("{out}{said}")
    };
    for amount in [["--layer-ratio", "0"], ["--threshold", "2"]] {
        let told = plan(&amount);
        assert!(told.contains("in 2 of 2 layers no head would stay: every layer keeps at least one"), "{told}");
    }
    for amount in [["--layer-ratio", "1"], ["--ratio", "1"], ["--keep", "4"]] {
        let told = plan(&amount);
        assert!(!told.contains("measure what the plan costs") && !told.contains("no head would"), "{told}");
    }
    // What is left out of a plan in one round is what was named.
    let refused = bad(&["plan", &a, &model, "--keep", "2", "--out", &p], 2);
    assert!(refused.contains("does not read the model") && refused.contains("leave the model out"), "{refused}");
}

#[test]
fn input_that_tells_little_is_told_for_what_it_is() {
    let folder = Folder::new();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path(name), bytes).unwrap();
        folder.name(name)
    };
    let classifier = sample("books/classifier");
    let wide =
        |text: &str| [&b"\xff\xfe"[..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    let table = write("wide.tsv", &wide("sentence\tlabel\nmy dear\tAusten\n"));
    let refused = bad(&["evaluate", &classifier, "--data", &table, "--quiet"], 1);
    assert!(refused.contains("in UTF-16") && refused.contains("wide.tsv") && refused.contains("iconv"), "{refused}");
    let text = write("wide.txt", &wide("my dear\n"));
    let refused = bad(&["evaluate", &sample("austen-grouped"), "--text", &text, "--quiet"], 1);
    assert!(refused.contains("in UTF-16") && refused.contains("wide.txt"), "{refused}");
    let zeros = write("zeros.txt", &[0; 64]);
    let refused = bad(&["evaluate", &sample("austen-grouped"), "--text", &zeros, "--quiet"], 1);
    assert!(refused.contains("byte 0 is NUL") && refused.contains("zeros.txt"), "{refused}");
    let all = std::fs::read_to_string(sample("books/test.tsv")).unwrap();
    let one = write("one.tsv", all.lines().take(2).map(|line| format!("{line}\n")).collect::<String>().as_bytes());
    let (_, said) = both(&["evaluate", &classifier, "--data", &one]);
    assert!(said.contains("one sequence was scored"), "{said}");
    // One token has nothing to attend to.
    let ids = write("ids.jsonl", b"{\"input_ids\": [5]}\n");
    let a = folder.name("a.json");
    good(&["analyze", &sample("austen-grouped"), "--tokens", &ids, "--out", &a, "--quiet"]);
    let notes = json(&std::fs::read_to_string(&a).unwrap())["notes"].to_string();
    assert!(notes.contains("longer than one token") && !notes.contains("512 MiB"), "{notes}");
    // Numbers of a model alone have their intervals, and a wish without effect is told.
    let text = sample("austen.txt");
    let little = ["--seq-len", "32", "--batches", "3", "--batch-size", "2", "--pack"];
    let (table, said) = both(&[&["evaluate", &sample("austen-grouped"), "--text", &text], &little[..]].concat());
    for name in ["loss per token", "perplexity", "top-1 accuracy"] {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.contains("  95 % ") && row.ends_with("; 6 sequences"), "{table}");
    }
    assert!(said.contains("to pack has no effect here"), "{said}");
}

#[test]
fn a_file_of_curves_says_what_it_holds_besides() {
    let folder = Folder::new();
    let (a, c) = (folder.name("a.json"), folder.name("c.json"));
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let input = ["--text", &text, "--seq-len", "32", "--batches", "2", "--batch-size", "2"];
    good(&[&["analyze", &model], &input[..], &["--groups", "2", "--out", &a, "--quiet"]].concat());
    let curve = |methods: &str| {
        let base = ["curve", &model, "--analysis", &a, "--out", &c, "--layer-ratio", "0.5", "--methods", methods];
        both(&[&base[..], &input].concat()).1
    };
    assert!(!curve("votes").contains("holds besides"));
    let said = curve("magnitude");
    assert!(said.contains("it holds besides, from earlier: votes; they are shown too"), "{said}");
    // The views are those of this file.
    let unknown = bad(&["figure", &c, "--view", "wat", "--out", &folder.name("f.svg")], 2);
    assert!(unknown.contains("choose from quality, pareto-parameters") && !unknown.contains("overview"), "{unknown}");
    // Where the model has moved since, it is said whose word its path is.
    let (moved, p) = (folder.name("moved.json"), folder.name("p.json"));
    std::fs::write(&moved, std::fs::read_to_string(&a).unwrap().replace(&model, "gone/away")).unwrap();
    let search = ["plan", &moved, "--max-loss-increase", "5%", "--quiet", "--out", &p];
    let lost = bad(&[&search[..], &input].concat(), 1);
    assert!(lost.contains("moved.json names") && lost.ends_with("gone/away; name MODEL behind the analysis"), "{lost}");
}

#[test]
fn training_tells_what_has_no_effect_and_how_much_of_the_held_out_data_it_measures() {
    let folder = Folder::new();
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let base = ["--seq-len", "32", "--batch-size", "2", "--no-vote", "--steps", "1", "--batches", "24"];
    let train = |out: &str, more: &[&str]| {
        let out = folder.name(out);
        both(&[&["train", &model, "--text", &text, "--out", &out], &base[..], more].concat())
    };
    let (table, said) = train(
        "some",
        &["--held-out-every", "4", "--held-out-batches", "2", "--pack", "--alpha", "0", "--homogeneity", "linear"],
    );
    assert!(said.contains("to pack has no effect here"), "{said}");
    assert!(said.contains("--homogeneity has no effect with --alpha 0"), "{said}");
    for told in [&table, &said] {
        assert!(told.contains("measured on 4 sequences, the first 2 of 12 batches of the held-out data"), "{told}");
        assert!(told.contains("--held-out-batches 12 measures all"), "{told}");
    }
    assert!(table.contains("4 sequences held out"), "{table}");
    assert!(table.contains("of the whole model"), "{table}");
    let (table, said) = train("all", &["--held-out-every", "4", "--held-out-batches", "12", "--json"]);
    assert!(!said.contains("no effect") && !said.contains("--held-out-batches"), "{said}");
    assert_eq!(json(&table)["held_out"], json(r#"{"batches": 12, "of_batches": 12, "sequences": 24}"#));
}

#[test]
fn a_table_of_one_feature_map_says_so_and_what_a_plan_would_keep() {
    let folder = Folder::new();
    let a = folder.name("a.json");
    let (model, reference) = (fixture("bert", ""), fixture("bert", "reference.safetensors"));
    let analyze = ["analyze", &model, "--inputs", &reference, "--groups", "2", "--out", &a, "--quiet"];
    let table = good(&[&analyze[..], &["--feature", "output,attention"]].concat());
    assert!(table.contains("those of attention; votes and kept are of attention, output together"), "{table}");
    let table = good(&analyze);
    assert!(!table.contains("Groups and silhouette are those of"), "{table}");
    // Too little was read to know of redundancy: a plan without an amount goes by the table, or says in words where not.
    let p = folder.name("p.json");
    let plan = json(&good(&["plan", &a, "--out", &p, "--json", "--quiet"]));
    let kept = json(&std::fs::read_to_string(&a).unwrap());
    let differs = kept["sites"].as_array().unwrap().iter().any(|site| {
        let name = site["site"].as_str().unwrap();
        plan["kept"].get(name).is_some_and(|planned| *planned != site["kept"])
    });
    assert_eq!(table.contains("pillars plan keeps others where no amount is named"), differs, "{table} {plan}");
}

#[test]
fn training_that_diverges_names_the_step_and_the_way_out() {
    let folder = Folder::new();
    let out = folder.name("t");
    let (model, text) = (sample("austen-plain"), sample("austen.txt"));
    let train = ["train", &model, "--text", &text, "--out", &out, "--steps", "40", "--lr", "1e30", "--warmup", "0"];
    let rest = [
        "--seq-len",
        "32",
        "--batch-size",
        "2",
        "--held-out-every",
        "4",
        "--held-out-batches",
        "2",
        "--clip",
        "0",
        "--quiet",
    ];
    let said = bad(&[&train[..], &rest].concat(), 1);
    assert!(said.contains("training diverged") && said.contains("step ") && said.contains("lower --lr"), "{said}");
}

#[test]
fn what_convert_cannot_write_advises_nothing_that_convert_does_not_offer() {
    let folder = Folder::new();
    let said = bad(&["convert", &fixture("bert", ""), "--to", "gguf", "--out", &folder.name("o")], 1);
    assert!(said.ends_with("choose onnx"), "{said}");
}

#[test]
fn an_experiment_tells_its_steps_and_nothing_of_resuming() {
    let folder = Folder::new();
    let text = sample("austen.txt");
    let out = folder.name("x");
    let start = ["experiment", "--text", &text, "--out", &out, "--steps", "2", "--finetune-steps", "1", "--seeds", "1"];
    let shape = ["--arms", "vanilla,ght", "--layers", "1", "--width", "8", "--heads", "2", "--inner", "8"];
    let rest = ["--vocabulary", "300", "--seq-len", "16", "--batch-size", "2", "--held-out-batches", "1"];
    let (_, said) = both(&[&start[..], &shape, &rest].concat());
    assert!(said.contains("6 steps in all: 2 with every head for each of 2 models (--steps)"), "{said}");
    assert!(said.contains("(--finetune-steps)") && !said.contains("nothing was saved"), "{said}");
}

#[test]
fn few_rows_of_which_hardly_any_changed_tell_how_much_room_they_leave() {
    let folder = Folder::new();
    let model = sample("books/classifier");
    let all = std::fs::read_to_string(sample("books/unseen.tsv")).unwrap();
    let rows = |n: usize| {
        let name = format!("{n}.tsv");
        std::fs::write(folder.path(&name), all.lines().take(n + 1).map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        folder.name(&name)
    };
    let (four, eight, mask) = (rows(4), rows(8), folder.name("mask.json"));
    std::fs::write(&mask, r#"{"encoder.1": [0, 1, 2, 4, 5, 6, 7]}"#).unwrap();
    // An interval without width is no certainty.
    let (table, _) = both(&["evaluate", &model, "--data", &four, "--plan", &mask]);
    let row = table.lines().find(|line| line.starts_with("accuracy change")).unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains(" of 4 items ") && row.contains("which leaves room for −0."), "{table}");
    let found = json(&good(&["evaluate", &model, "--data", &four, "--plan", &mask, "--json", "--quiet"]));
    assert_eq!(found["change"]["accuracy"]["changed"]["n"], 4, "{found}");
    assert!(found["change"]["loss"]["changed"].is_null(), "{found}");
    // A search says so of what it found and of what it tried.
    let (a, p) = (folder.name("a.json"), folder.name("p.json"));
    let quick = ["--groups", "2", "--no-kinds", "--no-evidence", "--out", &a, "--quiet"];
    good(&[&["analyze", &model, "--data", &eight], &quick[..]].concat());
    let search = ["plan", &a, &model, "--data", &eight, "--max-metric-drop", "1%", "--out", &p];
    let (table, said) = both(&[&search[..], &["--method", "magnitude"]].concat());
    assert!(!table.contains("all of it within"), "{table}");
    let within: Vec<&str> = table.lines().filter(|line| line.contains("tried ") && line.contains(", within")).collect();
    assert!(!within.is_empty(), "{table}");
    assert!(within.iter().all(|line| line.ends_with("within, but too little text to be sure")), "{table}");
    assert!(said.contains("too short to tell whether the plan is within the budget: "), "{said}");
    assert!(said.contains(" of 8 items ") && said.contains(" would tell"), "{said}");
}

#[test]
fn what_no_repair_did_anything_to_is_not_called_repaired() {
    let folder = Folder::new();
    let (model, mask) = (fixture("llama", ""), fixture("llama", "mask.json"));
    let (rows, repair, out) = (folder.name("t.jsonl"), folder.name("r.safetensors"), folder.name("out"));
    let line = |i: usize| format!("{{\"input_ids\": [{}, 7, 3, {}, 20]}}\n", i + 1, i + 11);
    std::fs::write(&rows, (0..6).map(line).collect::<String>()).unwrap();
    let made = ["repair", &model, "--plan", &mask, "--tokens", &rows, "--mode", "none", "--out", &repair];
    assert!(both(&made).1.contains("holds no weights"));
    let prune = ["prune", &model, "--plan", &mask, "--repair", &repair, "--format", "compact,onnx", "--out", &out];
    let (table, _) = both(&prune);
    assert_eq!(table.matches("of the masked original, over ").count(), 2, "{table}");
    assert!(!table.contains("repaired output projections"), "{table}");
    for format in ["compact", "onnx"] {
        let record = json(&std::fs::read_to_string(folder.path("out").join(format).join("pillars.json")).unwrap());
        assert_eq!(record["agreement"]["reference"], "masked", "{format}");
    }
}

#[test]
fn a_folder_that_was_pruned_says_on_what_text_it_was_made() {
    let folder = Folder::new();
    let (model, a, p, out) = (fixture("llama", ""), folder.name("a.json"), folder.name("p.json"), folder.name("out"));
    let rows = |name: &str, from: usize| {
        let line = |i: usize| format!("{{\"input_ids\": [{}, 7, 3, {}, 20]}}\n", from + i, from + i + 10);
        std::fs::write(folder.path(name), (0..12).map(line).collect::<String>()).unwrap();
        folder.name(name)
    };
    let (read, other) = (rows("read.jsonl", 1), rows("other.jsonl", 40));
    good(&["analyze", &model, "--tokens", &read, "--groups", "2", "--batch-size", "4", "--out", &a, "--quiet"]);
    good(&["plan", &a, "--keep", "2", "--out", &p, "--quiet"]);
    let prune = ["prune", &model, "--plan", &p, "--tokens", &read, "--batch-size", "4", "--repair", "refit"];
    good(&[&prune[..], &["--format", "compact", "--out", &out, "--quiet"]].concat());
    let [chosen, fitted] = ["in-sample: the plan was chosen on the text", "the repair was calibrated on the text"];
    let said = |words: &[&str]| {
        let said = both(words).1;
        [said.contains(chosen), said.contains(fitted)]
    };
    assert_eq!(said(&["evaluate", &out, "--tokens", &read]), [true, true]);
    assert_eq!(said(&["evaluate", &out, "--tokens", &other]), [false, false]);
    assert_eq!(said(&["compare", &model, &out, "--tokens", &read]), [true, true]);
    assert_eq!(said(&["compare", &out, &model, "--tokens", &other]), [false, false]);
    let found = json(&good(&["evaluate", &out, "--tokens", &read, "--json", "--quiet"]));
    assert!(found["notes"].to_string().contains(chosen), "{found}");
}

#[test]
fn an_input_that_is_too_short_to_hold_any_of_it_out_says_so() {
    let folder = Folder::new();
    let (model, rows, a) = (fixture("llama", ""), folder.name("t.jsonl"), folder.name("a.json"));
    let line = |i: usize| format!("{{\"input_ids\": [{}, 7, 3, {}, 20]}}\n", i + 1, i + 11);
    std::fs::write(&rows, (0..12).map(line).collect::<String>()).unwrap();
    let analyze = ["analyze", &model, "--tokens", &rows, "--groups", "2", "--batch-size", "4"];
    let said = |every: &str| both(&[&analyze[..], &["--held-out-every", every, "--out", &a]].concat()).1;
    let said = ["1000", "4", "3"].map(said);
    assert!(said[0].contains("nothing is held out: the input has fewer than 1000 batches"), "{}", said[0]);
    assert!(said[1].contains("nothing is held out") && !said[2].contains("nothing is held out"), "{said:?}");
    // What a build without network cannot do is said to be so.
    assert!(good(&["--help"]).contains("Download a model into the hub's cache, in builds with --features hub"));
}
