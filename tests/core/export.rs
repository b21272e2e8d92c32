//! Exports of every family: they open, compute what the masked model computes, and have the size that was promised.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::common::{batch, family_fixture, fixtures, loses_heads, mask, reference, relative_difference};
use candle_core::{DType, Device, Tensor};
use pillars::analysis::Document;
use pillars::checkpoint::{Checkpoint, Config, Stored, TensorPlan, write_safetensors};
use pillars::corpus::Reading;
use pillars::error::ErrorKind;
use pillars::evaluation::Measured;
use pillars::model::{Model, families};
use pillars::network::{Batch, Gates, Kept, NoProbe, Projection, ScoreBias, Site};
use pillars::plan::Plan;
use pillars::pruning::{self, AGREEMENT, ExportFormat, ExportOptions, InputKind, RECORD, Report};
use pillars::task::Ticket;

/// Families of which stock transformers opens no other number of heads than they came with.
const NEVER_NATIVE: &[&str] = &[
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "electra",
    "albert",
    "modernbert",
    "gpt2",
    "opt",
    "bloom",
    "gpt_neox",
    "bart",
    "mbart",
    "marian",
    "whisper",
    "camembert",
    "data2vec-text",
    "mpnet",
    "gpt_neo",
    "falcon",
    "gptj",
    "stablelm",
    "nomic_bert",
    "clip_text_model",
    "pegasus",
    "blenderbot",
    "deberta-v2",
    "wav2vec2",
    "hubert",
    "xglm",
    "m2m_100",
    "codegen",
    "esm",
    "clip_vision_model",
    "siglip_vision_model",
    "qwen2_vl",
    "qwen2_5_vl",
    "llava",
    "clip",
    "siglip",
];

/// Whether there is such an export of a family, and it computes what the masked model computes.
fn is_masking(model: &Model, format: ExportFormat) -> bool {
    match format {
        ExportFormat::Masked => true,
        ExportFormat::Compact => loses_heads(model),
        ExportFormat::Native => loses_heads(model) && !NEVER_NATIVE.contains(&model.family().model_type),
        ExportFormat::Gqa => false,
    }
}

fn export(model: &Model, kept: &Kept, format: ExportFormat, out: &Path) -> pillars::Result<Report> {
    let plan = Plan { allow_empty: true, ..Plan::from_mask(kept.clone()) };
    pruning::export(model, &plan, format, out, &ExportOptions::default(), None, &Ticket::default())
}

/// Logits, or the last hidden state, of a model on a batch, and which positions are real.
fn run(model: &Model, kept: &Kept, batch: &Batch) -> (Tensor, pillars::network::TokenMask) {
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let gates = Gates::keep(model.spec(), kept, DType::F32, &Device::Cpu).unwrap();
    let hidden = network.hidden(batch, &gates, &mut NoProbe).unwrap();
    let states =
        if network.spec().output.is_some() { network.logits(&hidden.states).unwrap() } else { hidden.states.clone() };
    (states, hidden.mask)
}

fn assert_same(written: &Path, source: &Model, kept: &Kept, batch: &Batch, what: &str) {
    let written = Model::open(written).unwrap();
    // What this program writes it knows.
    let unknown = written.notes().iter().find(|note| note.contains("not known to Pillars"));
    assert!(unknown.is_none_or(|note| source.notes().contains(note)), "{what}: {unknown:?}");
    let (want, real) = run(source, kept, batch);
    let (got, _) = run(&written, &Kept::all(), batch);
    let difference = relative_difference(&got, &want, &real, 1);
    assert!(difference <= AGREEMENT, "{what}: {difference:.1e}");
}

/// Bytes that go when `kept` stays, from the shapes of the network alone: of every stored layer once, the rows of
/// `W_Q`, `W_K`, `W_V` with their biases and the columns of `W_O`.
fn removed_bytes(model: &Model, kept: &Kept) -> usize {
    let spec = model.spec();
    let mut seen = BTreeSet::new();
    let mut numbers = 0;
    for (site, attention) in spec.sites() {
        let stack = if site.kind.name() == "encoder" { &spec.encoder } else { &spec.decoder };
        let width = stack.as_ref().unwrap().width;
        let memory = if site.kind.name() == "cross" { spec.encoder.as_ref().unwrap().width } else { width };
        let Some(kept) = kept.get(site) else { continue };
        if !seen.insert((site.kind, spec.stored_layer(site))) {
            continue;
        }
        let per_kv = attention.heads / attention.kv_heads;
        let kv: BTreeSet<usize> = kept.iter().map(|h| h / per_kv).collect();
        let queries = (attention.heads - kept.len()) * attention.head_dim;
        let keys = (attention.kv_heads - kv.len()) * attention.head_dim;
        let bias = attention.projection_bias;
        numbers += queries * (width + usize::from(bias.query)) + queries * width;
        if let ScoreBias::Disentangled(distances) = attention.bias {
            let own = distances.own_projections().iter().filter(|(_, there)| *there).count();
            numbers += own * queries * (width + 1);
        }
        if let ScoreBias::Grid { shared: false, .. } = attention.bias {
            numbers += attention.bias.entries() * (attention.heads - kept.len());
        }
        numbers += if attention.sinks { attention.heads - kept.len() } else { 0 };
        numbers += keys * (2 * memory + usize::from(bias.key) + usize::from(bias.value));
    }
    numbers * model.stored().bytes()
}

fn weights_bytes(folder: &Path) -> u64 {
    Checkpoint::open(folder).unwrap().bytes()
}

#[test]
fn every_format_of_every_family_computes_what_the_masked_model_computes() {
    let folder = tempfile::tempdir().unwrap();
    for family in families::all() {
        let source = family_fixture(family);
        let model = Model::open(&source).unwrap();
        let kept = mask(&source);
        let reference = reference(&source.join("reference.safetensors"));
        let batch = batch(&reference);
        for &format in ExportFormat::ALL {
            let what = format!("{} {format}", family.model_type);
            if !is_masking(&model, format) {
                continue;
            }
            let out = folder.path().join(&what);
            let report = export(&model, &kept, format, &out).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_same(&out, &model, &kept, &batch, &what);
            // And against what transformers computed with these heads masked.
            let written = Model::open(&out).unwrap();
            let (got, real) = run(&written, &Kept::all(), &batch);
            let want = reference.get("masked.logits").or(reference.get("masked.last_hidden_state")).unwrap();
            let difference = relative_difference(&got, want, &real, 1);
            assert!(difference <= AGREEMENT, "{what}: {difference:.1e}");
            assert_eq!(report.agreement.input, InputKind::Random);
            assert!(report.agreement.relative <= AGREEMENT && report.agreement.positions > 0);
            assert!(report.change.relative > AGREEMENT, "{what}: removing heads changes something");

            let saved = weights_bytes(&source) - weights_bytes(&out);
            let expected = if format == ExportFormat::Compact { removed_bytes(&model, &kept) } else { 0 };
            if matches!(format, ExportFormat::Compact | ExportFormat::Masked) {
                assert_eq!(saved, expected as u64, "{what}");
            }
            assert_eq!(report.bytes.before - report.bytes.after, saved);
            // Reading JSON may round the last digit of a float, so both sides are read from text.
            let told = Report::from_json(&report.to_json().unwrap()).unwrap();
            assert_eq!(Report::read(&out.join(RECORD)).unwrap(), told);
            assert_eq!(written.checkpoint().names(), model.checkpoint().names(), "{what}: order of tensors");
        }
    }
}

#[test]
fn pruning_a_pruned_model_keeps_original_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for family in families::all() {
        let source = family_fixture(family);
        let model = Model::open(&source).unwrap();
        if !loses_heads(&model) {
            continue;
        }
        let batch = batch(&reference(&source.join("reference.safetensors")));
        // First every layer loses its first key/value group (or head), then what is left loses its first again.
        let after = |model: &Model| -> Kept {
            let sites = model.spec().sites().into_iter();
            sites.map(|(site, a)| (site, a.queries_per_kv().min(a.heads - 1)..a.heads)).collect()
        };
        let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
        let force = ExportOptions { force: true, ..ExportOptions::default() };
        let prune = |model: &Model, out: &Path| {
            let plan = Plan::from_mask(after(model));
            pruning::export(model, &plan, ExportFormat::Compact, out, &force, None, &Ticket::default()).unwrap()
        };
        prune(&model, &once);
        let first = Model::open(&once).unwrap();
        let report = prune(&first, &twice);
        let second = Model::open(&twice).unwrap();
        let original: Kept = second.spec().sites().into_iter().map(|(s, a)| (s, a.origin.clone())).collect();
        for (site, attention) in model.spec().sites() {
            // What two rounds leave, counted on plain lists.
            let mut left: Vec<usize> = (0..attention.heads).collect();
            left.drain(..attention.queries_per_kv().min(left.len() - 1));
            let per_kv = first.spec().attention(site).unwrap().queries_per_kv();
            left.drain(..per_kv.min(left.len() - 1));
            assert_eq!(original.get(site).unwrap(), left, "{} {site}", family.model_type);
            assert_eq!(report.kept.get(site).unwrap(), left);
        }
        assert_same(&twice, &model, &original, &batch, family.model_type);
        // The record names the heads of the checkpoint that was pruned, the configuration those of the original.
        let config = Config::read(&twice.join("config.json")).unwrap();
        if let Some(pruned) = config.get("pruned_heads") {
            let site = Site::new(pillars::network::SiteKind::Encoder, 0);
            let site = if original.names(site) { site } else { "decoder.0".parse().unwrap() };
            let heads = model.spec().attention(site).unwrap().heads;
            let removed: Vec<usize> = (0..heads).filter(|h| !original.get(site).unwrap().contains(h)).collect();
            assert_eq!(pruned["0"], serde_json::json!(removed), "{}", family.model_type);
        }
    }
}

#[test]
fn uneven_groups_and_empty_layers_are_filled_with_heads_that_add_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (family, site, kept, heads, zeros) in [
        // Two query heads to a key/value head: the group of head 2 needs its other head for the shape.
        ("llama", "decoder.0", vec![0, 1, 2], 4, 1),
        ("llama", "decoder.1", vec![], 1, 1),
        ("bert", "encoder.1", vec![], 1, 1),
        ("gpt2", "decoder.0", vec![], 1, 1),
    ] {
        let source = fixtures().join(family);
        let model = Model::open(&source).unwrap();
        let site: Site = site.parse().unwrap();
        let plan = Kept::from_iter([(site, kept)]);
        let out = folder.path().join(format!("{family} {site}"));
        let report = export(&model, &plan, ExportFormat::Compact, &out).unwrap();
        assert_eq!(report.zero_heads, BTreeMap::from([(site, zeros)]));
        assert_eq!(Model::open(&out).unwrap().spec().attention(site).unwrap().heads, heads);
        let batch = batch(&reference(&source.join("reference.safetensors")));
        assert_same(&out, &model, &plan, &batch, &format!("{family} {site}"));
    }
}

#[test]
fn small_shards_get_an_index_and_open() {
    let folder = tempfile::tempdir().unwrap();
    for family in families::all() {
        let source = family_fixture(family);
        let (model, kept) = (Model::open(&source).unwrap(), mask(&source));
        if !loses_heads(&model) {
            continue;
        }
        let out = folder.path().join(family.model_type);
        let options = ExportOptions { shard_bytes: 9000, ..ExportOptions::default() };
        let plan = Plan::from_mask(kept.clone());
        let report =
            pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, None, &Ticket::default()).unwrap();
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(out.join("model.safetensors.index.json")).unwrap()).unwrap();
        assert_eq!(index["metadata"]["total_size"], report.bytes.after);
        let places: BTreeMap<String, String> = serde_json::from_value(index["weight_map"].clone()).unwrap();
        let files: BTreeSet<&String> = places.values().collect();
        assert!(files.len() > 2, "{}", family.model_type);
        for (i, file) in files.iter().enumerate() {
            assert_eq!(**file, format!("model-{:05}-of-{:05}.safetensors", i + 1, files.len()));
            let tensors = candle_core::safetensors::load(out.join(file), &Device::Cpu).unwrap();
            let bytes: usize = tensors.values().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
            assert!(bytes <= 9000 || tensors.len() == 1, "{bytes}");
            assert!(tensors.keys().all(|name| places[name] == **file));
        }
        assert!(!out.join("model.safetensors").exists());
        let batch = batch(&reference(&source.join("reference.safetensors")));
        assert_same(&out, &model, &kept, &batch, family.model_type);
    }
}

/// A copy of a fixture in another type.
fn converted(family: &str, stored: Stored, out: &Path) {
    let source = fixtures().join(family);
    let checkpoint = Checkpoint::open(&source).unwrap();
    fs::create_dir_all(out).unwrap();
    fs::copy(source.join("config.json"), out.join("config.json")).unwrap();
    let plans: Vec<TensorPlan> = checkpoint
        .names()
        .iter()
        .map(|n| TensorPlan { name: n.clone(), stored, shape: checkpoint.info(n).unwrap().shape.clone() })
        .collect();
    write_safetensors(&out.join("model.safetensors"), &plans, |plan| {
        let values = checkpoint.tensor(&plan.name, DType::F32, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(match stored {
            Stored::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>(),
            Stored::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        })
    })
    .unwrap();
}

#[test]
fn element_types_stay_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for (family, stored) in
        [("bert", Stored::F16), ("llama", Stored::BF16), ("gpt2", Stored::BF16), ("bert", Stored::F64)]
    {
        let source = folder.path().join(format!("{family} {}", stored.name()));
        converted(family, stored, &source);
        let (model, kept) = (Model::open(&source).unwrap(), mask(&fixtures().join(family)));
        for &format in ExportFormat::ALL {
            if !is_masking(&model, format) {
                continue;
            }
            let out = folder.path().join(format!("{family} {} {format}", stored.name()));
            export(&model, &kept, format, &out).unwrap();
            let written = Checkpoint::open(&out).unwrap();
            assert!(written.names().iter().all(|n| written.info(n).unwrap().stored == stored));
            if format == ExportFormat::Compact {
                assert_eq!(weights_bytes(&source) - written.bytes(), removed_bytes(&model, &kept) as u64);
            }
            let batch = batch(&reference(&fixtures().join(family).join("reference.safetensors")));
            assert_same(&out, &model, &kept, &batch, &format!("{family} {}", stored.name()));
        }
    }
}

#[test]
fn only_what_pillars_wrote_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("models/bert");
    fs::create_dir_all(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixtures().join("bert").join(name), source.join(name)).unwrap();
    }
    let (model, kept) = (Model::open(&source).unwrap(), mask(&fixtures().join("bert")));
    let plan = Plan::from_mask(kept.clone());
    let to = |out: &Path, force: bool| {
        let options = ExportOptions { force, ..ExportOptions::default() };
        pruning::export(&model, &plan, ExportFormat::Compact, out, &options, None, &Ticket::default())
    };
    let listing = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The model itself, around it and inside it: never, whatever is asked.
    for out in [source.clone(), folder.path().join("models"), source.join("pruned")] {
        for force in [false, true] {
            let error = to(&out, force).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        }
    }
    assert_eq!(listing(&source), ["config.json", "model.safetensors"]);
    // An empty folder is as good as none.
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    to(&out, false).unwrap();
    // Ours, but force was not asked for; then it was.
    assert!(to(&out, false).unwrap_err().to_string().contains("--force"));
    // A file that somebody put there is not deleted.
    fs::write(out.join("notes.txt"), "x").unwrap();
    assert!(to(&out, true).unwrap_err().to_string().contains("notes.txt"));
    fs::remove_file(out.join("notes.txt")).unwrap();
    to(&out, true).unwrap();
    // Somebody else's folder, and a file.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "x").unwrap();
    for force in [false, true] {
        assert!(to(&other, force).is_err());
        assert!(to(&other.join("thesis.tex"), force).is_err());
    }
    assert_eq!(listing(&other), ["thesis.tex"]);
    assert_eq!(listing(folder.path()), ["models", "other", "out"]);
    assert_eq!(
        listing(&out),
        ["README.md", "config.json", "model.safetensors", "modeling_pillars_bert.py", RECORD]
            .map(std::ffi::OsString::from)
    );
}

#[test]
fn a_failed_or_cancelled_export_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixtures().join("llama");
    let (model, plan) = (Model::open(&source).unwrap(), Plan::from_mask(mask(&source)));
    let out = folder.path().join("out");
    let options = ExportOptions::default();
    let nothing_left = || fs::read_dir(folder.path()).unwrap().count() == 0;

    let ticket = Ticket::default();
    ticket.cancel_token().cancel();
    let error = pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, None, &ticket).unwrap_err();
    assert!(error.is_cancelled() && nothing_left());

    let mut broken = std::iter::once(Err(pillars::Error::new("the disk is gone")));
    let input: &mut dyn Iterator<Item = _> = &mut broken;
    let failed = pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, Some(input), &Ticket::default());
    assert!(failed.unwrap_err().to_string().contains("the disk is gone") && nothing_left());

    let mut none = std::iter::empty();
    let input: &mut dyn Iterator<Item = _> = &mut none;
    let failed = pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, Some(input), &Ticket::default());
    assert!(failed.unwrap_err().to_string().contains("nothing to compare") && nothing_left());

    // A draft that nobody finishes, open while it lives.
    let draft = pruning::write(&model, &plan, ExportFormat::Compact, &out, &options, None, &Ticket::default()).unwrap();
    assert!(draft.model().network(&Device::Cpu, DType::F32).is_ok());
    assert!(!out.exists());
    drop(draft);
    assert!(nothing_left());

    let missing = folder.path().join("no/such/place");
    assert!(
        pruning::export(&model, &plan, ExportFormat::Compact, &missing, &options, None, &Ticket::default()).is_err()
    );
    assert!(nothing_left());
}

#[test]
fn given_input_is_proven_on_and_its_labels_give_losses() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixtures().join("gpt2");
    let (model, plan) = (Model::open(&source).unwrap(), Plan::from_mask(mask(&source)));
    let mut given = batch(&reference(&source.join("reference.safetensors")));
    let positions = match &given.source {
        pillars::network::Source::Tokens(t) => t.mask.real().len(),
        _ => unreachable!(),
    };
    given.labels = Some((0..positions).map(|i| Some((i % 7) as u32)).collect());
    let again = given.clone();
    let mut batches = vec![Ok(given.clone()), Ok(given.clone()), Ok(given)].into_iter();
    let options = ExportOptions { proof_batches: 2, ..ExportOptions::default() };
    let out = folder.path().join("out");
    let input: &mut dyn Iterator<Item = _> = &mut batches;
    let draft =
        pruning::write(&model, &plan, ExportFormat::Compact, &out, &options, Some(input), &Ticket::default()).unwrap();
    assert_eq!((draft.report().agreement.input, draft.report().agreement.batches), (InputKind::Given, 2));
    assert!(draft.report().change.loss.is_some());
    let speeds = draft.report().speed.as_ref().unwrap();
    assert!(speeds.before.tokens_per_sec > 0.0 && speeds.after.tokens == speeds.before.tokens);
    // The rate of the second says the same as the ratio.
    assert_eq!(speeds.after.tokens_per_sec, speeds.before.tokens_per_sec * speeds.ratio.unwrap()[1]);
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let open = Gates::open();
    let candidate = pillars::evaluation::Candidate { network: &network, gates: &open };
    let comparison = pillars::evaluation::compare(candidate, candidate, [Ok(again)], None, &Ticket::default()).unwrap();
    let reading = Reading { input: "inputs a.safetensors, as they are".to_owned(), seed: 7, ..Reading::default() };
    let measured = Measured {
        name: String::new(),
        kept: plan.kept.clone(),
        repair: None,
        unrepaired: None,
        comparison,
        random: None,
        random_similarity: None,
        random_spread: Default::default(),
        random_repair: None,
        random_missing: None,
        reading,
        in_sample: false,
        repair_in_sample: false,
        dtype: "f32".to_owned(),
        notes: vec!["read with care".to_owned()],
    };
    draft.finish(Some(measured.clone())).unwrap();
    assert_eq!(Report::read(&out.join(RECORD)).unwrap().measured, Some(measured.clone()));
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    let loss = format!("| loss per token | {0:.4} | {0:.4} |", measured.comparison.before.loss_per_token.unwrap());
    for said in ["inputs a.safetensors, as they are", "seed 7", "f32", "- read with care"] {
        assert!(card.contains(said), "{said}: {card}");
    }
    let recorded = Report::read(&out.join(RECORD)).unwrap().speed.unwrap();
    let speed = format!("| tokens per second | {:.0} | {} |", recorded.before.tokens_per_sec, recorded.change());
    assert!(card.contains(&loss) && card.contains(&speed), "{card}");
}

#[test]
fn plans_that_do_not_fit_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(fixtures().join("bert")).unwrap();
    for (text, part) in [
        (r#"{"encoder.0": [4]}"#, "head 4 of encoder.0"),
        (r#"{"decoder.0": [0]}"#, "decoder.0"),
        (r#"{"encoder.0": []}"#, "would lose every head"),
    ] {
        let plan = Plan::parse_any(text).unwrap();
        let out = folder.path().join("out");
        let options = ExportOptions::default();
        let error = pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, None, &Ticket::default());
        assert!(error.unwrap_err().to_string().contains(part));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn masked_heads_have_zero_values_and_outputs_and_all_else_is_untouched() {
    let folder = tempfile::tempdir().unwrap();
    for family in families::all() {
        let source = family_fixture(family);
        let (model, kept) = (Model::open(&source).unwrap(), mask(&source));
        let out = folder.path().join(family.model_type);
        export(&model, &kept, ExportFormat::Masked, &out).unwrap();
        let written = Checkpoint::open(&out).unwrap();
        let mut zeroed: HashMap<String, BTreeSet<(usize, usize)>> = HashMap::new();
        for tensor in model.head_tensors() {
            let site = tensor.sites[0];
            let attention = model.spec().attention(site).unwrap();
            let per_kv = attention.queries_per_kv();
            let stays = |p: Projection, h: usize| match (p, kept.get(site)) {
                (_, None) | (Projection::Query | Projection::Key, _) => true,
                (Projection::Output, Some(kept)) => kept.contains(&h),
                (Projection::Value, Some(kept)) => kept.iter().any(|k| k / per_kv == h),
            };
            for (projection, heads) in &tensor.heads {
                for (h, range) in heads.iter().enumerate().filter(|(h, _)| !stays(*projection, *h)) {
                    let _ = h;
                    zeroed.entry(tensor.name.clone()).or_default().extend(range.clone().map(|i| (tensor.axis, i)));
                }
            }
        }
        for name in written.names() {
            let read = |c: &Checkpoint| {
                let info = c.info(name).unwrap();
                (c.read(name).unwrap(), info.shape.clone(), info.stored.bytes())
            };
            let ((got, shape, size), (want, ..)) = (read(&written), read(model.checkpoint()));
            let columns = if shape.len() > 1 { shape[1..].iter().product() } else { 1usize };
            for (i, (got, want)) in got.chunks(size).zip(want.chunks(size)).enumerate() {
                let zero =
                    zeroed.get(name).is_some_and(|z| z.contains(&(0, i / columns)) || z.contains(&(1, i % columns)));
                if zero {
                    assert!(got.iter().all(|b| *b == 0), "{} {name}", family.model_type);
                } else {
                    assert_eq!(got, want, "{} {name}", family.model_type);
                }
            }
        }
    }
}
