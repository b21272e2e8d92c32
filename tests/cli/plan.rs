//! Plans as a script sees them: budgets of quality, reasons, clear refusals.
use crate::common::varied::token;
use crate::contract::{Folder, bad, fixture, good, json, pillars, sample};
use serde_json::Value;

/// Text of the bundled decoder, few batches of it.
const LITTLE: [&str; 6] = ["--seq-len", "64", "--batches", "6", "--batch-size", "4"];

fn analyzed(folder: &Folder, more: &[&str]) -> (String, String, String) {
    let (model, text, a) = (sample("austen-grouped"), sample("austen.txt"), folder.name("a.json"));
    let start = ["analyze", &model, "--text", &text, "--groups", "2", "--held-out-every", "3", "--out", &a, "--quiet"];
    good(&[&start[..], &LITTLE[..], more].concat());
    (model, text, a)
}

fn loss(model: &str, text: &str, plan: &str, more: &[&str]) -> (f64, f64) {
    let start = ["evaluate", model, "--text", text, "--plan", plan, "--held-out-every", "3", "--json", "--quiet"];
    let found = json(&good(&[&start[..], &LITTLE[..], more].concat()));
    let of = |side: &str| found[side]["loss_per_token"].as_f64().unwrap();
    (of("before"), of("after"))
}

fn heads(plan: &Value) -> usize {
    plan["kept"].as_object().unwrap().values().map(|kept| kept.as_array().unwrap().len()).sum()
}

#[test]
fn the_smallest_plan_within_a_budget_is_found_and_says_how() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &["--scores", "importance,magnitude"]);
    let p = folder.name("p.json");
    let search = |budget: &[&str], methods: &str| {
        let start = ["plan", &a, &model, "--text", &text, "--batches", "6", "--method", methods];
        json(&good(&[&start[..], budget, &["--out", &p, "--json", "--quiet"]].concat()))
    };
    let found = search(&["--max-loss-increase", "2%"], "importance");
    let record = &found["budget"];
    assert_eq!((&record["budget"]["loss-share"], &record["measure"]), (&0.02.into(), &"loss per token".into()));
    assert!(record["evaluations"].as_u64().unwrap() <= 12, "{record}");
    assert!(heads(&found) < 32, "{found}");
    // What it says is what evaluate says of the same batches.
    let (before, after) = loss(&model, &text, &p, &[]);
    let spent = record["spent"].as_f64().unwrap();
    assert!((spent - (after - before) / before).abs() < 1e-6, "{spent} {before} {after}");
    assert!(spent <= 0.02 && record["low"].as_f64().unwrap() <= spent && spent <= record["high"].as_f64().unwrap());
    // Every step that was tried is told, and the plan is the smallest of those within.
    let path = record["path"].as_array().unwrap();
    let within = path.iter().filter(|s| s["within"] == true).map(|s| s["heads"].as_u64().unwrap() as usize);
    assert_eq!(within.min(), Some(heads(&found)));
    assert!(path.iter().all(|s| s["within"].as_bool().unwrap() == (s["spent"].as_f64().unwrap() <= 0.02)), "{record}");
    assert_eq!(path.len() as u64 + 1, record["evaluations"].as_u64().unwrap());
    // More may be spent: no more heads stay. Several methods: no more than with one of them.
    let wide = search(&["--max-loss-increase", "0.2"], "importance");
    assert!(heads(&wide) <= heads(&found));
    assert_eq!(wide["budget"]["budget"]["loss-nats"], 0.2);
    let all = search(&["--max-loss-increase", "2%"], "all");
    assert!(heads(&all) <= heads(&found), "{all}");
    for method in ["votes", "per-group", "score", "importance", "magnitude"] {
        let tried = all["budget"]["path"].as_array().unwrap().iter().any(|s| s["method"] == method);
        assert!(tried || all["notes"].to_string().contains(&format!("not measured: {method}")), "{method} {all}");
    }
    assert!(!all["notes"].to_string().contains("measure what the plan costs"), "{all}");
    let metric = search(&["--max-metric-drop", "1%"], "votes");
    assert_eq!(metric["budget"]["measure"], "accuracy");
    // Nothing can be spent: every head stays, and that is said.
    let none = search(&["--max-loss-increase", "0%"], "votes");
    assert!(none["budget"]["spent"].as_f64().unwrap() <= 0.0, "{none}");
    let text = good(&["plan", &a, &model, "--text", &text, "--max-loss-increase", "2%", "--out", &p, "--quiet"]);
    assert!(text.contains("where the budget is 2.00 %") && text.contains("tried "), "{text}");
}

#[test]
fn pinned_heads_come_beside_those_of_the_method_and_every_reason_is_that_of_the_plan() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &[]);
    let p = folder.name("p.json");
    for (method, kinds) in [("votes", "first-token,separator"), ("magnitude", "previous-token,first-token,separator")] {
        let start = ["plan", &a, &model, "--text", &text, "--batches", "6", "--method", method, "--pin-kind", kinds];
        let more = ["--max-loss-increase", "2%", "--out", &p, "--json", "--quiet"];
        let found = json(&good(&[&start[..], &more].concat()));
        let pinned = found["pinned"].as_object().unwrap();
        let list = |of: &Value| -> Vec<u64> {
            of.as_array().map_or(Vec::new(), |l| l.iter().filter_map(Value::as_u64).collect())
        };
        assert!(!pinned.is_empty(), "{found}");
        let mut beside = 0;
        for (site, reasons) in found["why"].as_object().unwrap() {
            let (kept, held) = (list(&found["kept"][site]), pinned.get(site).map_or(Vec::new(), list));
            let swapped = list(&found["swapped"][site]);
            assert!(held.iter().all(|head| kept.contains(head)), "{site}: {held:?} {kept:?}");
            let chosen = found["chosen"][site].as_u64().map_or(kept.len(), |n| n as usize);
            let added = kept.len() + swapped.len() - chosen;
            assert!(added <= held.len(), "{site}: {added} {held:?}");
            beside += added;
            for (head, line) in (0u64..).zip(reasons.as_array().unwrap()) {
                let line = line.as_str().unwrap();
                assert_eq!(line.starts_with("kept"), kept.contains(&head), "{site} {head}: {line}");
                assert_eq!(line.contains("taken out by the search"), swapped.contains(&head), "{site} {head}: {line}");
                if kept.len() < reasons.as_array().unwrap().len() {
                    assert_eq!(line.starts_with("kept: pinned"), held.contains(&head), "{site} {head}: {line}");
                }
                // What the method says is of as many groups as it chose heads for.
                if line.contains(" won ") {
                    assert!(line.contains(&format!(" votes for {chosen} group")), "{site} {head}: {line}");
                }
            }
        }
        let notes = found["notes"].to_string();
        let said = if beside == 1 { "1 head stays".to_owned() } else { format!("{beside} heads stay") };
        assert_eq!(notes.contains(&format!("{said} because")), beside > 0, "{method} {beside}: {notes}");
        assert!(found["budget"]["spent"].as_f64().unwrap() <= 0.02);
    }
}

#[test]
fn quality_on_the_text_that_chose_the_plan_is_told_apart() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &[]);
    let p = folder.name("p.json");
    good(&["plan", &a, "--keep", "2", "--out", &p, "--quiet"]);
    let measured = |more: &[&str]| {
        let start = ["evaluate", &model, "--text", &text, "--plan", &p, "--json", "--quiet"];
        json(&good(&[&start[..], &LITTLE[..], more].concat()))
    };
    let said = |found: &Value| {
        (found["in_sample"] == true, found["notes"].to_string().contains("in-sample: the plan was chosen"))
    };
    assert_eq!(said(&measured(&["--held-out-every", "3"])), (false, false));
    assert_eq!(said(&measured(&[])), (true, true));
    // What a search measured it chose by.
    let search = ["plan", &a, &model, "--text", &text, "--batches", "6", "--max-loss-increase", "5%", "--out", &p];
    assert!(good(&[&search[..], &["--quiet"]].concat()).contains("in-sample: the search chose by them"));
    assert_eq!(said(&measured(&["--held-out-every", "3"])), (true, true));
    // The record of an export says so too.
    let (rows, out) = (fixture("llama", "reference.safetensors"), folder.name("out"));
    let llama = rows.trim_end_matches("/reference.safetensors").to_owned();
    good(&["analyze", &llama, "--inputs", &rows, "--out", &a, "--quiet"]);
    good(&["plan", &a, "--keep", "2", "--out", &p, "--quiet"]);
    good(&["prune", &llama, "--plan", &p, "--inputs", &rows, "--out", &out, "--quiet"]);
    let record = json(&std::fs::read_to_string(folder.path("out/pillars.json")).unwrap());
    assert_eq!(record["measured"]["in_sample"], true);
    assert!(std::fs::read_to_string(folder.path("out/README.md")).unwrap().contains("- in-sample: "));
}

#[test]
fn a_budget_is_of_the_metric_of_the_task() {
    let folder = Folder::new();
    let model = format!("{}/tests/data/tasks/bertforsequenceclassification", env!("CARGO_MANIFEST_DIR"));
    let line = |n: usize| {
        let ids: Vec<usize> = (0..12).map(|t| token(n, t)).collect();
        serde_json::json!({"input_ids": ids, "labels": n * n % 3}).to_string()
    };
    std::fs::write(folder.path("rows.jsonl"), (0..60).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let (rows, a, p) = (folder.name("rows.jsonl"), folder.name("a.json"), folder.name("p.json"));
    good(&["analyze", &model, "--tokens", &rows, "--groups", "2", "--out", &a, "--quiet"]);
    let start = ["plan", &a, &model, "--tokens", &rows, "--out", &p, "--quiet"];
    let evaluated = || json(&good(&["evaluate", &model, "--tokens", &rows, "--plan", &p, "--json", "--quiet"]));
    for (more, name) in [(&[][..], "accuracy"), (&["--quality-metric", "f1_macro"][..], "f1_macro")] {
        let found = json(&good(&[&start[..], &["--max-metric-drop", "20%", "--json"], more].concat()));
        let record = &found["budget"];
        let number = |key: &str| record[key].as_f64().unwrap_or_else(|| panic!("{key}: {record}"));
        assert_eq!(record["measure"], name);
        assert!(number("spent") <= 0.2 && number("low") <= number("spent") && number("spent") <= number("high"));
        // All of it is what evaluate says of the same rows: both values, and the interval of the paired difference.
        let measured = evaluated();
        let of = |side: &str| measured[side]["metrics"][name]["value"].as_f64().unwrap();
        assert!((number("whole") - of("before")).abs() < 1e-9 && (number("pruned") - of("after")).abs() < 1e-9);
        let change = &measured["change"][name];
        let ends = ["high", "low"].map(|end| -change[end].as_f64().unwrap() / of("before"));
        assert!((number("low") - ends[0]).abs() < 1e-9 && (number("high") - ends[1]).abs() < 1e-9, "{record} {change}");
        assert_eq!(record["sequences"], 60);
    }
    let text = good(&[&start[..], &["--max-metric-drop", "20%"]].concat());
    assert!(
        text.contains("accuracy 0.") && text.contains("where the budget is 20.00 % of the whole model's"),
        "{text}"
    );
    // The loss of its labels, and the likeness of embeddings.
    let found = json(&good(&[&start[..], &["--max-loss-increase", "1%", "--json"]].concat()));
    assert_eq!(found["budget"]["measure"], "loss per label");
    let found =
        json(&good(&[&start[..], &["--max-metric-drop", "1%", "--quality-metric", "cosine", "--json"]].concat()));
    assert_eq!((&found["budget"]["measure"], found["budget"]["whole"].as_f64()), (&"cosine".into(), Some(1.0)));
    let refused = bad(&[&start[..], &["--max-metric-drop", "1%", "--quality-metric", "bleu"]].concat(), 2);
    assert!(refused.contains("it is by accuracy, f1_macro, matthews, cosine"), "{refused}");
    let wrong = pillars(&[&start[..], &["--max-loss-increase", "1%", "--quality-metric", "f1"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_budget_is_met_with_repair_and_the_repair_lies_beside_the_plan() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &["--moments"]);
    let p = folder.name("p.json");
    let search = |repair: &[&str]| {
        let start = ["plan", &a, &model, "--text", &text, "--batches", "6", "--method", "reconstruction"];
        json(&good(&[&start[..], repair, &["--max-loss-increase", "1%", "--out", &p, "--json", "--quiet"]].concat()))
    };
    let masked = search(&[]);
    let repaired = search(&["--repair", "refit"]);
    assert_eq!(repaired["budget"]["repair"], "refit");
    assert!(heads(&repaired) < heads(&masked), "{repaired}");
    let r = folder.name("p.repair.safetensors");
    let (before, after) = loss(&model, &text, &p, &["--repair", &r]);
    assert!((repaired["budget"]["spent"].as_f64().unwrap() - (after - before) / before).abs() < 1e-6);
    // It is used unasked, left out where that is asked for, and missed where it is gone.
    assert_eq!(loss(&model, &text, &p, &[]), (before, after));
    let (_, masked) = loss(&model, &text, &p, &["--repair", "none"]);
    assert!(masked > after, "{masked} {after}");
    let foretold = |more: &[&str]| {
        let output = pillars(&[&["prune", &model, "--plan", &p, "--dry-run", "--json"], more].concat());
        assert!(output.status.success(), "{output:?}");
        (json(&String::from_utf8(output.stdout).unwrap())["repair"].clone(), String::from_utf8(output.stderr).unwrap())
    };
    let (mode, said) = foretold(&[]);
    assert!(mode == "refit" && said.contains("p.repair.safetensors), which is used"), "{mode} {said}");
    assert!(said.contains("a repair lies beside the plan (") && !said.contains("measured with"), "{said}");
    assert_eq!(foretold(&["--repair", "none"]).0, Value::Null);
    std::fs::remove_file(&r).unwrap();
    let refused = pillars(&["prune", &model, "--plan", &p, "--dry-run", "--json"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("that is not there") && said.contains(&r), "{said}");
    assert_eq!(foretold(&["--repair", "none"]).0, Value::Null);
}

#[test]
fn a_model_without_a_loss_is_bounded_by_its_cosine() {
    let folder = Folder::new();
    let (model, tokens) = (fixture("bert", ""), folder.name("rows.jsonl"));
    let rows: Vec<String> =
        (0..12).map(|n| format!("{{\"input_ids\": [{}, 5, {}, 7, 9]}}", n + 3, 2 * n + 4)).collect();
    std::fs::write(&tokens, rows.join("\n")).unwrap();
    let (a, p) = (folder.name("a.json"), folder.name("p.json"));
    let config = json(&std::fs::read_to_string(fixture("bert", "config.json")).unwrap());
    good(&["analyze", &model, "--tokens", &tokens, "--groups", "2", "--batch-size", "2", "--out", &a, "--quiet"]);
    let search =
        ["plan", &a, &model, "--tokens", &tokens, "--max-loss-increase", "5%", "--out", &p, "--json", "--quiet"];
    let found = json(&good(&search));
    // The fixture predicts masked tokens or nothing, as its configuration says.
    let predicts = config["architectures"][0].as_str().is_some_and(|name| name.contains("LM"));
    let measure = found["budget"]["measure"].as_str().unwrap();
    assert_eq!(measure == "loss per token", predicts, "{measure}");
    assert!(found["budget"]["spent"].as_f64().unwrap() <= 0.05);
}

#[test]
fn what_an_analysis_does_not_hold_is_a_failure_that_says_how_to_get_it() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &["--no-kinds", "--scores", "none"]);
    let out = |name: &str| folder.name(name);
    let (p, c, f, input) = (out("p.json"), out("c.json"), out("f.svg"), ["--text", &text, "--batches", "1"]);
    let owned = |parts: &[&[&str]]| parts.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let plan = |more: &[&str]| owned(&[&["plan", &a, "--out", &p, "--quiet"], more]);
    let curve = |more: &[&str]| owned(&[&["curve", &model, "--analysis", &a, "--out", &c, "--quiet"], &input, more]);
    let figure = |more: &[&str]| owned(&[&["figure", &a, "--out", &f, "--view"], more]);
    let refused = |arguments: &[String], status| bad(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), status);
    for (arguments, hint) in [
        (plan(&["--keep", "2", "--method", "importance"]), "--scores importance"),
        (plan(&["--keep", "2", "--method", "votes:value"]), "--feature value"),
        (plan(&["--keep", "2", "--method", "reconstruction"]), "--moments"),
        (curve(&["--methods", "importance"]), "--scores importance"),
        (curve(&["--methods", "votes", "--repair", "refit"]), "--moments"),
        (
            figure(&["overview-importance"]),
            "--scores importance; this one can show overview, overview-kept, overview-votes",
        ),
        (figure(&["overview-kinds"]), "without --no-kinds; this one can show overview"),
        (figure(&["overview-replaceability"]), "--moments; this one can show overview"),
        (figure(&["redundancy-cka"]), "--cka; this one can show overview"),
        (figure(&["groups", "--feature", "value"]), "--feature value"),
    ] {
        let line = refused(&arguments, 1);
        assert!(line.contains(hint) && line.contains("/a."), "{arguments:?}: {line}");
    }
    // What no analysis has is a wrong request.
    let line = refused(&figure(&["overview-luck"]), 2);
    assert!(line.contains("no analysis has") && line.contains("this one can show overview"), "{line}");
    let unknown = pillars(&["figure", &a, "--out", &f, "--view", "overviews"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("overview, overview-kept, overview-kinds"),
        "{unknown:?}"
    );
    // The help names every view, and every one that this file can show is drawn.
    let help = good(&["figure", "--help"]);
    for view in ["overview-kept", "overview-kinds", "redundancy-cka", "settling", "explained", "pareto-speed", "repair"]
    {
        assert!(help.contains(view), "{help}");
    }
    let (_, list) = line.split_once("this one can show ").unwrap();
    for view in list.trim().trim_end_matches(')').split(", ") {
        good(&figure(&[view]).iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn what_cannot_be_planned_is_refused_in_one_line() {
    let folder = Folder::new();
    let (model, text, a) = analyzed(&folder, &["--moments"]);
    let p = folder.name("p.json");
    let refused = |more: &[&str], words: &str| {
        let line = bad(&[&["plan", &a], more, &["--out", &p, "--quiet"]].concat(), 2);
        assert!(line.contains(words), "{line}");
        assert!(!folder.path("p.json").exists());
    };
    refused(&["--keep", "9"], "cannot keep 9 heads: no layer has more than 8");
    refused(&["--keep", "9", "--method", "reconstruction"], "cannot keep 9 heads");
    refused(&["--keep", "4", "--method", "votes,magnitude"], "one method");
    refused(&["--keep", "4", "--repair", "refit"], "repaired afterwards");
    let rounds = ["--text", &text, "--keep", "4", "--rounds", "2", "--method", "reconstruction"];
    refused(&rounds, "rounds do not choose by reconstruction");
    refused(&["--max-loss-increase", "2%"], "no input is given");
    refused(&[&model, "--text", &text, "--max-loss-increase", "2%", "--rounds", "2"], "rounds");
    refused(
        &[&model, "--text", &text, "--max-loss-increase", "2%", "--repair", "stream"],
        "choose none, refit or scale",
    );
}

#[test]
fn an_analysis_says_what_heads_do_whether_they_are_redundant_and_a_plan_says_why() {
    let folder = Folder::new();
    let (_, _, a) = analyzed(&folder, &[]);
    let analysis = json(&std::fs::read_to_string(&a).unwrap());
    let sites = analysis["sites"].as_array().unwrap();
    for site in sites {
        for kind in
            ["previous-token", "first-token", "separator", "broad", "induction", "duplicate-token", "local-window"]
        {
            let values = site["baselines"][kind]["values"].as_array().unwrap();
            assert_eq!(values.len(), 8, "{kind}");
            assert!(values.iter().all(|v| (0.0..=1.0).contains(&v.as_f64().unwrap())), "{kind} {values:?}");
        }
        assert!(site["baselines"].get("next-token").is_none(), "a causal model sees no next token");
        let evidence = &site["features"]["output"]["evidence"];
        for number in ["silhouette", "explained"] {
            let p = evidence[number]["p"].as_f64().unwrap();
            assert!((0.025..=1.0).contains(&p), "{evidence}");
        }
        assert!(site["features"]["output"]["stability"].as_f64().unwrap() <= 1.0);
        assert!(!site["evidence"]["sentence"].as_str().unwrap().is_empty());
    }
    assert_eq!(analysis["evidence"]["judged"], 4);
    // A plan without an amount leaves layers alone in which nothing speaks for it, and says so.
    let p = folder.name("p.json");
    let kept = |more: &[&str]| {
        let found = json(&good(&[&["plan", &a, "--out", &p, "--json", "--quiet"], more].concat()));
        let kept: Vec<usize> =
            found["kept"].as_object().unwrap().values().map(|kept| kept.as_array().unwrap().len()).collect();
        (kept, found)
    };
    let (usual, found) = kept(&[]);
    for (site, kept) in sites.iter().zip(&usual) {
        assert_eq!(*kept, if site["evidence"]["found"] == true { 2 } else { 8 }, "{site}");
    }
    let lacking = sites.iter().filter(|site| site["evidence"]["found"] == false).count();
    let said = found["notes"].to_string().contains("nothing speaks for redundancy");
    assert_eq!(said, lacking > 0);
    assert_eq!(kept(&["--without-evidence"]).0, [2; 4]);
    for (site, kept) in sites.iter().zip(kept(&["--keep", "3", "--without-evidence=keep"]).0) {
        assert_eq!(kept, if site["evidence"]["found"] == true { 3 } else { 8 }, "{site}");
    }
    let (three, found) = kept(&["--keep", "3"]);
    assert_eq!(three, [3; 4]);
    // Why, head by head, in JSON and as text.
    let why = found["why"].as_object().unwrap();
    assert!(why.values().all(|lines| lines.as_array().unwrap().len() == 8));
    assert!(why["decoder.0"][0].as_str().unwrap().contains("votes for"), "{}", why["decoder.0"]);
    let text = good(&["plan", &a, "--keep", "3", "--why", "--out", &p, "--quiet"]);
    assert_eq!(
        text.lines().filter(|line| line.starts_with("decoder.") && line.contains(" head ")).count(),
        32,
        "{text}"
    );
    // To ask why takes no file.
    assert_eq!(good(&["plan", &a, "--keep", "3", "--why", "--quiet"]), text);
    // Heads of a kind stay.
    let separators = |site: &Value| -> Vec<u64> {
        let values = site["baselines"]["separator"]["values"].as_array().unwrap().iter().enumerate();
        values.filter(|(_, v)| v.as_f64().unwrap() >= 0.4).map(|(h, _)| h as u64).collect()
    };
    let (_, pinned) = kept(&["--keep", "3", "--pin-kind", "separator"]);
    for site in sites {
        let kept = pinned["kept"][site["site"].as_str().unwrap()].as_array().unwrap();
        assert!(separators(site).iter().all(|head| kept.contains(&Value::from(*head))), "{site}");
    }
    let refused = pillars(&["plan", &a, "--keep", "3", "--pin-kind", "nothing", "--out", &p]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("'nothing' is no kind of head; choose from induction"));
    // Neither is measured where it is not wanted.
    let b = folder.name("b.json");
    let (model, text) = (sample("austen-grouped"), sample("austen.txt"));
    let bare = ["analyze", &model, "--text", &text, "--no-kinds", "--no-evidence", "--out", &b, "--quiet"];
    good(&[&bare[..], &LITTLE[..]].concat());
    let bare = json(&std::fs::read_to_string(&b).unwrap());
    assert!(bare["sites"][0]["baselines"].get("induction").is_none() && bare.get("evidence").is_none());
}

#[test]
fn what_too_few_tokens_do_not_tell_is_said_and_spared_on_request() {
    let folder = Folder::new();
    let [tokens, a, p] = ["few.jsonl", "a.json", "p.json"].map(|name| folder.name(name));
    let line = |n: usize| serde_json::json!({"input_ids": [5 + n, 9, 7 + n, 11]}).to_string();
    std::fs::write(&tokens, (0..3).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let model = fixture("bert", "");
    good(&["analyze", &model, "--tokens", &tokens, "--groups", "2", "--moments", "--out", &a, "--quiet"]);
    let analysis = json(&std::fs::read_to_string(&a).unwrap());
    assert!(analysis["sites"].as_array().unwrap().iter().all(|site| site["evidence"]["too_few"] == true), "{analysis}");
    let plan = |more: &[&str]| {
        let found = json(&good(&[&["plan", &a, "--out", &p, "--json", "--quiet"], more].concat()));
        let kept: Vec<usize> =
            found["kept"].as_object().unwrap().values().map(|kept| kept.as_array().unwrap().len()).collect();
        (kept, found["notes"].to_string(), found["why"]["encoder.0"][0].to_string())
    };
    let (kept, notes, _) = plan(&[]);
    assert_eq!(kept, [2, 2]);
    assert!(
        notes.contains("too few tokens were read") && notes.contains("analyze more text, name an amount"),
        "{notes}"
    );
    assert!(notes.contains("--without-evidence=keep"), "{notes}");
    for method in ["votes", "reconstruction"] {
        let (kept, notes, why) = plan(&["--without-evidence=keep", "--method", method]);
        assert_eq!(kept, [4, 4], "{method}");
        assert!(notes.contains("too little was read or compared to tell whether heads are redundant there"), "{notes}");
        assert!(notes.contains("analyze more text to know; name an amount"), "{notes}");
        assert!(why.contains("too little was read"), "{why}");
        // An amount is kept to, and its doubt told.
        let (kept, notes, _) = plan(&["--keep", "3", "--method", method]);
        assert_eq!(kept, [3, 3], "{method}");
        assert!(notes.contains("since too few tokens were read: measure what the plan costs"), "{notes}");
        let (kept, ..) = plan(&["--keep", "3", "--method", method, "--without-evidence=keep"]);
        assert_eq!(kept, [4, 4], "{method}");
    }
}

#[test]
fn no_head_at_all_may_stay_by_every_amount() {
    let folder = Folder::new();
    let [a, p] = ["a.json", "p.json"].map(|name| folder.name(name));
    let (model, reference) = (fixture("bert", ""), fixture("bert", "reference.safetensors"));
    good(&["analyze", &model, "--inputs", &reference, "--groups", "2", "--moments", "--out", &a, "--quiet"]);
    for method in ["votes", "reconstruction", "magnitude", "random"] {
        for amount in [["--keep", "0"], ["--ratio", "0"], ["--layer-ratio", "0"]] {
            let plan = ["plan", &a, "--method", method, "--allow-empty", "--out", &p, "--json", "--quiet"];
            let found = json(&good(&[&plan[..], &amount].concat()));
            assert!(found["kept"].as_object().unwrap().values().all(|kept| kept == &json("[]")), "{method}: {found}");
        }
    }
    let refused = bad(&["plan", &a, "--keep", "0", "--out", &p, "--quiet"], 2);
    assert!(refused.contains("a layer cannot keep 0 heads") && refused.contains("--allow-empty"), "{refused}");
}
