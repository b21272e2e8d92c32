//! What each format gives is told exactly before it is written, and what stock transformers cannot open is refused.
use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{family_fixture, fixtures, loses_heads, random_model, relative_difference, reopened, tensors_of};
use candle_core::{DType, Device, Tensor};
use pillars::analysis::Document;
use pillars::checkpoint::Config;
use pillars::model::{Family, Model, StockHeads, families};
use pillars::network::{Batch, Gates, Kept, NoProbe, Site, Tokens};
use pillars::plan::{Cost, Plan};
use pillars::pruning::{
    self, AGREEMENT, ExportFormat, ExportOptions, OutputFormat, RECORD, Reference, Report, forecast,
};
use pillars::task::Ticket;
use serde_json::json;

fn export(model: &Model, plan: &Plan, format: ExportFormat, out: &Path) -> pillars::Result<Report> {
    let options = ExportOptions { force: true, ..ExportOptions::default() };
    pruning::export(model, plan, format, out, &options, None, &Ticket::default())
}

/// Plans that differ in what they ask of a shape: ragged from layer to layer, uneven inside a layer, one layer
/// whole.
fn plans(model: &Model) -> Vec<(&'static str, Plan)> {
    let sites = model.spec().sites();
    let plan = |choose: &dyn Fn(usize, usize) -> Vec<usize>| {
        let kept = sites.iter().map(|(site, a)| {
            // Passes over one stored layer keep the same heads.
            let stored = model.spec().stored_layer(*site).unwrap();
            (*site, choose(stored, a.heads))
        });
        Plan::from_mask(kept.collect())
    };
    let mut whole = plan(&|_, heads| (1..heads).collect());
    let last = sites.last().unwrap().0;
    let twins: Vec<Site> = sites
        .iter()
        .map(|(s, _)| *s)
        .filter(|s| s.kind == last.kind && model.spec().stored_layer(*s) == model.spec().stored_layer(last))
        .collect();
    for site in twins {
        whole.kept.unset(site);
    }
    vec![
        ("ragged", plan(&|layer, heads| (0..heads).filter(|h| h % 4 <= layer % 3).collect())),
        ("uneven", plan(&|_, heads| (0..heads - 1).collect())),
        ("one layer whole", whole),
    ]
}

#[test]
fn forecasts_are_what_is_then_written() {
    let opened = |family: &&'static Family| Model::open(family_fixture(family)).unwrap();
    let families: Vec<&'static Family> = families::all().filter(|family| loses_heads(&opened(family))).collect();
    // Mostly waiting for the disk: side by side.
    let counts = std::thread::scope(|scope| {
        let parts: Vec<_> = families
            .chunks(4)
            .map(|part| scope.spawn(|| part.iter().map(|f| foretell(f)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|p| p.join().unwrap()).collect::<Vec<(usize, usize)>>()
    });
    let (written, refused) = counts.iter().fold((0, 0), |(w, r), (more, less)| (w + more, r + less));
    // All open in two formats, some in stock transformers with fewer heads, and some with fewer key/value heads.
    let uniform = families.iter().filter(|f| matches!(f.stock, StockHeads::Uniform(_))).count();
    let grouped = families.iter().filter(|f| matches!(f.stock, StockHeads::Uniform(u) if u.kv_heads.is_some())).count();
    assert!(uniform >= 19 && grouped >= 15, "{uniform} {grouped}");
    // Averaging is refused where it would average nothing.
    let takes_groups = |f: &&&'static Family| matches!(f.stock, StockHeads::Uniform(u) if u.kv_heads.is_some());
    let averages = |model: &Model, plan: &Plan| {
        let kept = model.spec().sites().into_iter().map(|(site, a)| {
            let shared =
                plan.kept_at(site, a.heads).iter().map(|h| h / (a.heads / a.kv_heads)).collect::<BTreeSet<_>>();
            (a.kv_heads, shared.len())
        });
        let (all, most) = kept.max_by_key(|(_, kept)| *kept).unwrap();
        (most.max(1)..all).any(|left| all.is_multiple_of(left))
    };
    let averaged: usize = families
        .iter()
        .filter(takes_groups)
        .map(|family| {
            let model = opened(family);
            plans(&model).iter().filter(|(_, plan)| averages(&model, plan)).count()
        })
        .sum();
    assert!(averaged >= 10, "{averaged}");
    let all = families.len();
    let written_ones = 3 * (2 * all + uniform) + averaged;
    assert_eq!((written, refused), (written_ones, 3 * 4 * all - written_ones));
}

/// Exports a family under every plan in every format, as foretold. How many there were, and how many were refused.
fn foretell(family: &Family) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (mut written, mut refused) = (0, 0);
    let model = Model::open(family_fixture(family)).unwrap();
    for (name, plan) in plans(&model) {
        for &format in ExportFormat::ALL {
            let what = format!("{} {name} {format}", family.model_type);
            let told = match forecast(&model, &plan, format) {
                Ok(told) => told,
                Err(error) => {
                    assert_eq!(export(&model, &plan, format, &out).unwrap_err().to_string(), error.to_string());
                    refused += 1;
                    continue;
                }
            };
            let report = export(&model, &plan, format, &out).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!((told.bytes, told.parameters), (report.bytes, report.parameters), "{what}");
            assert_eq!((&told.zero_heads, &told.opens_in), (&report.zero_heads, &report.opens_in), "{what}");
            assert!(told.notes.iter().all(|note| report.notes.contains(note)), "{what}");
            // And from the files, by the reader that any model is read with.
            let after = Model::open(&out).unwrap();
            let checkpoint = after.checkpoint();
            assert_eq!(checkpoint.bytes(), told.bytes.after, "{what}");
            // As `inspect` counts them.
            let (before, after_it) = (model.parameters(), after.parameters());
            assert_eq!((before, after_it), (told.parameters.before, told.parameters.after), "{what}");
            let cache = |model: &Model| {
                let cost = Cost::of(model.spec(), 1);
                (cost.cache_per_token * 4, cost.cache_per_source_token * 4)
            };
            let (tokens, sources) = (told.cache_bytes_per_token, told.cache_bytes_per_source_token);
            assert_eq!(cache(&model), (tokens.before, sources.before), "{what}");
            assert_eq!(cache(&after), (tokens.after, sources.after), "{what}");
            written += 1;
        }
    }
    (written, refused)
}

#[test]
fn what_stock_transformers_cannot_open_is_refused_in_one_line_that_names_the_other_formats() {
    for family in families::all() {
        let model = Model::open(family_fixture(family)).unwrap();
        let plan = Plan::from_mask(model.spec().sites().into_iter().map(|(site, _)| (site, vec![0])).collect());
        if !loses_heads(&model) {
            for format in [ExportFormat::Native, ExportFormat::Gqa, ExportFormat::Compact] {
                let text = forecast(&model, &plan, format).unwrap_err().to_string();
                assert!(
                    text.contains(family.title) && text.contains(format.name()) && text.contains("masked"),
                    "{text}"
                );
            }
            forecast(&model, &plan, ExportFormat::Masked).unwrap();
            continue;
        }
        for (format, reason) in [(ExportFormat::Native, " / "), (ExportFormat::Gqa, "its own keys")] {
            if let Err(error) = forecast(&model, &plan, format) {
                let text = error.to_string();
                // A model whose heads share one key/value head has none to average.
                let (title, reason) = match text.contains("nothing to average") {
                    true => ("", "one key/value head"),
                    false => (family.title, reason),
                };
                for part in [title, format.name(), "compact", "masked", reason] {
                    assert!(text.contains(part), "{text}");
                }
                assert!(!text.contains('\n'), "{text}");
            }
        }
    }
}

/// A Llama of eight heads of four numbers, with as many key/value heads as asked for.
fn llama(kv_heads: usize, more: serde_json::Value) -> (tempfile::TempDir, Model) {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "num_attention_heads": 8,
        "num_key_value_heads": kv_heads, "head_dim": 4, "num_hidden_layers": 2, "intermediate_size": 48,
        "vocab_size": 64, "max_position_embeddings": 64, "tie_word_embeddings": true,
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    random_model(&config)
}

fn plan(text: &str) -> Plan {
    Plan::parse_any(text).unwrap()
}

/// The keys of the written configuration that native formats set.
fn written(model: &Model, plan: &Plan) -> (Report, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let report = export(model, plan, ExportFormat::Native, &folder.path().join("out")).unwrap();
    let config = Config::read(&folder.path().join("out/config.json")).unwrap();
    assert!(Report::read(&folder.path().join("out").join(RECORD)).is_ok());
    (report, config.value().clone())
}

#[test]
fn uneven_layers_are_padded_to_the_smallest_uniform_number() {
    let (_folder, model) = llama(8, json!({}));
    // Two and four heads: four divide the width.
    let (report, config) = written(&model, &plan(r#"{"decoder.0": [0, 5], "decoder.1": [1, 2, 3, 7]}"#));
    assert_eq!((&config["model_type"], &config["num_attention_heads"]), (&json!("llama"), &json!(4)));
    assert_eq!((&config["num_key_value_heads"], &config["head_dim"]), (&json!(4), &json!(4)));
    assert_eq!(report.zero_heads.values().sum::<usize>(), 2);
    assert!(report.notes.iter().any(|n| n.starts_with("2 zero heads")), "{:?}", report.notes);
    // Three do not: a Mistral opens any number.
    let three = plan(r#"{"decoder.0": [0, 5], "decoder.1": [1, 2, 7]}"#);
    let (report, config) = written(&model, &three);
    assert_eq!((&config["model_type"], &config["num_attention_heads"]), (&json!("mistral"), &json!(3)));
    assert_eq!((&config["architectures"], &config["sliding_window"]), (&json!(["MistralForCausalLM"]), &json!(null)));
    assert_eq!(report.zero_heads.values().sum::<usize>(), 1);
    // With scaled positions or biases it is no Mistral: four again, and it is said.
    for more in [
        json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
        json!({"rope_scaling": {"type": "linear", "factor": 2.0}}),
        json!({"attention_bias": true}),
    ] {
        let (_folder, model) = llama(8, more);
        let (report, config) = written(&model, &three);
        assert_eq!((&config["model_type"], &config["num_attention_heads"]), (&json!("llama"), &json!(4)));
        assert_eq!(report.zero_heads.values().sum::<usize>(), 3);
        assert!(report.notes.iter().any(|n| n.starts_with("4 heads in a layer instead of 3")), "{:?}", report.notes);
    }
}

#[test]
fn query_heads_stay_a_multiple_of_key_value_heads() {
    let (_folder, model) = llama(4, json!({}));
    // Two query heads of one group, one of another: two groups of two.
    let (report, config) = written(&model, &plan(r#"{"decoder.0": [0, 1, 4], "decoder.1": [6]}"#));
    assert_eq!((&config["num_attention_heads"], &config["num_key_value_heads"]), (&json!(4), &json!(2)));
    assert_eq!(report.zero_heads.values().sum::<usize>(), 1 + 3);
    // Three groups of one: a Mistral of three.
    let (_, config) = written(&model, &plan(r#"{"decoder.0": [0, 2, 4], "decoder.1": [6]}"#));
    assert_eq!((&config["num_attention_heads"], &config["num_key_value_heads"]), (&json!(3), &json!(3)));
    assert_eq!(config["model_type"], "mistral");
}

#[test]
fn layers_of_t5_share_the_columns_of_their_relative_positions() {
    let family = families::all().find(|f| f.model_type == "t5").unwrap();
    let model = Model::open(family_fixture(family)).unwrap();
    let plan = plan(
        r#"{"encoder.0": [1], "encoder.1": [3], "decoder.0": [2], "decoder.1": [2], "cross.0": [0], "cross.1": [1]}"#,
    );
    let (report, config) = written(&model, &plan);
    // Heads 1 and 3 each need their column in the encoder, so everything has two heads.
    assert_eq!((&config["num_heads"], &config["d_kv"]), (&json!(2), &json!(8)));
    assert_eq!(report.zero_heads.values().sum::<usize>(), 6);
    assert_eq!(report.kept, plan.kept);
}

#[test]
fn compact_folders_hold_the_module_that_their_configuration_names_and_native_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    for family in families::all() {
        let model = Model::open(family_fixture(family)).unwrap();
        if !loses_heads(&model) {
            continue;
        }
        let out = folder.path().join(family.model_type);
        export(&model, &plans(&model)[0].1, ExportFormat::Compact, &out).unwrap();
        let config = Config::read(&out.join("config.json")).unwrap();
        if family.ragged.is_none() {
            assert!(config.get("auto_map").is_none(), "{}", family.model_type);
            continue;
        }
        let map = config.get("auto_map").unwrap().as_object().unwrap();
        let modules: BTreeSet<&str> =
            map.values().map(|class| class.as_str().unwrap().split_once('.').unwrap().0).collect();
        let module = modules.into_iter().next().unwrap();
        assert_eq!(module, format!("modeling_pillars_{}", family.model_type.replace('-', "_")));
        let text = std::fs::read_to_string(out.join(format!("{module}.py"))).unwrap();
        assert!(text.contains(&format!("\"{}\"", family.model_type)), "{module}");
        assert!(map.contains_key("AutoModel"));

        // What is cut again, or written whole, does not keep a module of before.
        let cut = Model::open(&out).unwrap();
        let again = folder.path().join("again");
        let all = Plan::from_mask(Kept::all());
        if export(&cut, &all, ExportFormat::Native, &again).is_ok() {
            let config = Config::read(&again.join("config.json")).unwrap();
            assert!(config.get("auto_map").is_none() && config.get("pillars").is_none());
            assert!(!again.join(format!("{module}.py")).exists());
        }
        export(&cut, &all, ExportFormat::Masked, &again).unwrap();
        assert!(again.join(format!("{module}.py")).exists(), "shapes stay, and with them what opens them");
    }
}

/// `[K d, ..]` of rows of key/value heads, each replaced by the mean of its group's.
fn averaged(tensor: &Tensor, groups: &[Vec<usize>]) -> Tensor {
    let rows = tensor.to_vec2::<f32>().unwrap();
    let dim = rows.len() / groups.iter().map(Vec::len).sum::<usize>();
    let mut means = rows.clone();
    for group in groups {
        for (head, i) in group.iter().flat_map(|head| (0..dim).map(move |i| (*head, i))) {
            for (column, mean) in means[head * dim + i].iter_mut().enumerate() {
                *mean = group.iter().map(|g| rows[g * dim + i][column]).sum::<f32>() / group.len() as f32;
            }
        }
    }
    Tensor::new(means, &Device::Cpu).unwrap()
}

#[test]
fn merged_key_value_heads_compute_what_averaged_ones_compute() {
    let (_folder, model) = llama(8, json!({}));
    let mut plan = plan(r#"{"decoder.0": [0, 5], "decoder.1": [3, 4]}"#);
    // Groups of one size in the first layer; the second has none, so neighbors merge.
    plan.groups.insert("decoder.0".parse().unwrap(), vec![0, 1, 0, 1, 0, 1, 0, 1]);
    let groups = [vec![vec![0, 2, 4, 6], vec![1, 3, 5, 7]], vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7]]];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = export(&model, &plan, ExportFormat::Gqa, &out).unwrap();
    assert_eq!(report.agreement.reference, Reference::Pooled);
    assert!(report.notes.iter().any(|n| n.contains("8 key/value heads of a layer become 2")), "{:?}", report.notes);
    assert!(report.notes.iter().any(|n| n.contains("not the masked model")));
    assert_eq!(report.cache_bytes_per_token.before, 4 * report.cache_bytes_per_token.after);
    let config = Config::read(&out.join("config.json")).unwrap();
    assert_eq!(config.value()["num_key_value_heads"], 2);
    assert_eq!(config.value()["num_attention_heads"], 8);

    // The same network in the original's shapes, averaged here.
    let mut tensors = tensors_of(&model);
    for (layer, groups) in groups.iter().enumerate() {
        for name in ["k_proj", "v_proj"] {
            let name = format!("model.layers.{layer}.self_attn.{name}.weight");
            let means = averaged(&tensors[&name], groups);
            tensors.insert(name, means);
        }
    }
    let (_pooled, pooled) = reopened(model.config().value(), &tensors);
    let tokens = Tokens::pad(&[(vec![5, 9, 33, 2, 60, 7], vec![true; 6])], 0, &Device::Cpu).unwrap();
    let batch = Batch::tokens(tokens);
    let run = |model: &Model, gates: &Gates| {
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let hidden = network.hidden(&batch, gates, &mut NoProbe).unwrap();
        (network.logits(&hidden.states).unwrap(), hidden.mask)
    };
    let (got, real) = run(&Model::open(&out).unwrap(), &Gates::open());
    let (want, _) = run(&pooled, &Gates::open());
    let difference = relative_difference(&got, &want, &real, 1);
    assert!(difference <= AGREEMENT, "{difference:.1e}");
    // It is neither the original nor the masked model, and does not claim to be.
    let masked = Gates::keep(model.spec(), &plan.kept, DType::F32, &Device::Cpu).unwrap();
    for gates in [Gates::open(), masked] {
        let (other, _) = run(&model, &gates);
        assert!(relative_difference(&got, &other, &real, 1) > 1e-3);
    }
}

#[test]
fn merging_asks_for_groups_of_one_size_and_for_whole_models() {
    let (_folder, model) = llama(8, json!({}));
    // Three key/value heads do not divide eight: four stay.
    let told = forecast(&model, &plan(r#"{"decoder.0": [0, 5, 6], "decoder.1": [3]}"#), ExportFormat::Gqa).unwrap();
    let said = told.notes.iter().any(|n| n.starts_with("4 key/value heads in a layer instead of 3"));
    assert!(said, "{:?}", told.notes);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    export(&model, &plan(r#"{"decoder.0": [0, 5]}"#), ExportFormat::Compact, &out).unwrap();
    let cut = Model::open(&out).unwrap();
    let error = forecast(&cut, &plan(r#"{"decoder.1": [0, 5]}"#), ExportFormat::Gqa).unwrap_err().to_string();
    assert!(error.contains("lost heads already"), "{error}");
    // Five of eight leave no groups of one size: nothing would be averaged, and nothing is written.
    let most = plan(r#"{"decoder.0": [0], "decoder.1": [0, 1, 2, 5, 6]}"#);
    let told = forecast(&model, &most, ExportFormat::Gqa).unwrap_err().to_string();
    assert!(
        told.contains("keeps 5 of 8 key/value heads in decoder.1") && told.contains("keeps 4 or fewer of them"),
        "{told}"
    );
    let out = folder.path().join("nothing");
    assert_eq!(export(&model, &most, ExportFormat::Gqa, &out).unwrap_err().to_string(), told);
    assert!(!out.exists());
}

#[test]
fn the_record_of_an_export_repeats_it() {
    let source = fixtures().join("llama");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let prune = |plan: &Path, out: &Path, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pillars"));
        command.arg("prune").arg(&source).arg("--plan").arg(plan).arg("--out").arg(out).arg("--quiet").args(more);
        assert!(command.status().unwrap().success());
    };
    std::fs::write(path("plan.json"), r#"{"decoder.0": [0, 1], "decoder.1": [1, 3]}"#).unwrap();
    prune(&path("plan.json"), &path("first"), &["--format", "native"]);
    // The format comes from the record too.
    prune(&path("first").join(RECORD), &path("second"), &[]);
    for file in ["config.json", "model.safetensors"] {
        assert_eq!(std::fs::read(path("first").join(file)).unwrap(), std::fs::read(path("second").join(file)).unwrap());
    }
    let record = |name: &str| Report::read(&path(name).join(RECORD)).unwrap();
    assert_eq!(record("first").plan, record("second").plan);
    // A dry run needs no folder.
    let dry = std::process::Command::new(env!("CARGO_BIN_EXE_pillars"))
        .args(["prune", source.to_str().unwrap(), "--plan", path("plan.json").to_str().unwrap(), "--dry-run", "--json"])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(told["formats"].as_array().unwrap().len(), OutputFormat::all().count());
}
