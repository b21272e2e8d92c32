//! ONNX: head counts are constants of the graph, so every plan opens in a stock runtime, really smaller and without
//! code beside the weights.
//!
//! Graphs are of operator set 17 in a file of format version 8, with any batch size and length of text. Inputs are
//! `input_ids`, `attention_mask` and, for families with token types, `token_type_ids` (i64); `pixel_values` and
//! `input_features` (f32) at the size that the model was made for; `decoder_input_ids` and `decoder_attention_mask` for
//! encoder-decoders. The output is `logits` where there is a language-model head or that of a labeled
//! task (`start_logits` and `end_logits` for question answering, a row per ending for a multiple choice), else
//! `last_hidden_state`. Decoders
//! compute a whole sequence; there is no key/value cache.
//!
//! | module | job |
//! | --- | --- |
//! | `network`, `layer`, `attention`, `task` | a [`NetworkSpec`] as operations |
//! | `graph` | nodes, constants and weights under construction |
//! | `wire`, `write` | protocol buffers; the file, one tensor at a time |
//! | `read`, `run` | reads the file back and computes what it says, for the proof |

mod attention;
mod graph;
mod layer;
mod modules;
mod network;
mod read;
mod run;
mod task;
mod tokenizer;
mod wire;
mod write;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use serde_json::{Value, json};

use self::graph::ElementType;
use crate::checkpoint::{FolderWriter, write_atomically};
use crate::error::{Error, Result};
use crate::model::{Model, NarrowedWeights, Repaired, apply_kept};
use crate::network::{Batch, Gates, Kept, NetworkSpec, Source, Tokens, Weights};
use crate::plan::Plan;
use crate::pruning::{RECORD, check_apart, copy_side_files, sample_batches};
use crate::repair::{Repair, RepairRecord};
use crate::task::Ticket;

/// Largest difference to the masked model, as a share of its largest value, that rounding explains.
const TOLERANCE: f64 = 1e-4;
/// The same where weights are stored in 16 bits.
const TOLERANCE_HALF: f64 = 2e-2;

#[derive(Clone, Debug, Default)]
pub struct OnnxOptions {
    /// New output projections for the heads that stay.
    pub repair: Option<Repair>,
    /// Store weights in 16 bits; they are computed with in 32.
    pub half: bool,
    /// Replace a folder that this program wrote.
    pub force: bool,
    /// Seed of the random input of the proof.
    pub seed: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct OnnxReport {
    /// Bytes of the model's files.
    pub bytes: u64,
    /// Heads that every narrowed layer keeps.
    pub kept: Kept,
    /// Largest difference to the masked model on random input, as a share of its largest value.
    pub relative_difference: f64,
    /// How the heads that stay were repaired, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairRecord>,
    /// Names of the graph's outputs.
    pub outputs: Vec<String>,
    pub opens_in: Vec<String>,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

/// Writes `model`, without the heads that `plan` removes where there is one, as `onnx/model.onnx` in a new folder `out`
/// with the configuration and tokenizer beside it. The file is read back and computed, and must give what the masked
/// model gives.
///
/// # Errors
/// Where the plan does not fit the model, heads cannot be removed from it, `out` is not free, or the written file computes
/// something else; nothing is left behind then.
pub fn export(
    model: &Model,
    plan: Option<&Plan>,
    out: &Path,
    options: &OnnxOptions,
    ticket: &Ticket,
) -> Result<OnnxReport> {
    let mut spec = model.spec().clone();
    let kept = plan.map(|plan| plan.kept.clone()).unwrap_or_default();
    if let Some(plan) = plan {
        plan.validate(model.spec())?;
        removable(&spec, &kept)?;
        if let Some(repair) = &options.repair {
            repair.check(model.spec(), &model.checkpoint().fingerprint()?, plan)?;
        }
        apply_kept(&mut spec, &kept)?;
    }
    check_apart(out, model.checkpoint().folder())?;
    let writer = FolderWriter::new(out, options.force, RECORD)?;
    let folder = writer.path().join("onnx");
    std::fs::create_dir_all(&folder).map_err(|e| Error::from(e).at(&folder))?;
    let file = folder.join("model.onnx");
    let stored = if options.half { ElementType::Float16 } else { ElementType::Float };
    let (graph, mut notes) = network::build(&spec, stored)?;
    let reader = model.reader(&Device::Cpu, DType::F32);
    let outputs = options.repair.as_ref().map(|repair| repair.outputs.clone()).unwrap_or_default();
    let repaired = Repaired::new(reader, model.spec(), outputs);
    let narrowed = NarrowedWeights::new(&repaired, model.spec(), &kept);
    let weights: &dyn Weights = if plan.is_some() { &narrowed } else { &repaired };
    let bytes = write::write(&file, graph, weights, None, ticket)?;
    copy_side_files(model.checkpoint().folder(), writer.path())?;
    notes.extend(tokenizer::complete(writer.path(), &spec)?);
    ticket.stage("prove", None, "batches");
    let (relative_difference, outputs) = prove(model, &kept, &file, options)?;
    notes.extend(plan.zip(model.checkpoint().fingerprint().ok()).and_then(|(plan, of)| plan.foreign_to(&of)));
    let report = OnnxReport {
        bytes,
        kept,
        relative_difference,
        repair: options.repair.as_ref().map(|repair| repair.record.clone()),
        outputs,
        opens_in: ["ONNX Runtime", "sentence-transformers (backend=\"onnx\")", "transformers.js", "Optimum"]
            .map(str::to_owned)
            .to_vec(),
        notes,
    };
    let record = json!({
        "format": "pillars-engine", "version": 1, "engine": "onnx", "tool": env!("CARGO_PKG_VERSION"),
        "family": model.family().model_type, "fingerprint": model.checkpoint().fingerprint()?, "report": report,
    });
    let pretty = |value: &Value| -> Result<Vec<u8>> { Ok((serde_json::to_string_pretty(value)? + "\n").into_bytes()) };
    write_atomically(&writer.path().join(RECORD), &pretty(&record)?)?;
    write_atomically(&writer.path().join("config.json"), &pretty(model.config().value())?)?;
    writer.finish()?;
    Ok(report)
}

/// Refuses plans whose heads cannot be removed, or leave key/value heads with unequal numbers of query heads.
fn removable(spec: &NetworkSpec, kept: &Kept) -> Result<()> {
    for (site, attention) in spec.sites() {
        let Some(heads) = kept.get(site).filter(|heads| heads.len() < attention.heads) else { continue };
        if attention.couples_heads() {
            return Err(Error::new(format!(
                "{site} normalizes queries and keys over all heads, so none can be removed"
            ))
            .hint("export the format masked"));
        }
        let per_group = attention.queries_per_kv();
        let mut serving: HashMap<usize, usize> = HashMap::new();
        for head in heads {
            *serving.entry(head / per_group).or_default() += 1;
        }
        let mut counts = serving.values();
        let first = counts.next();
        if counts.any(|count| Some(count) != first) {
            return Err(Error::new(format!("{site} keeps key/value heads that serve unequal numbers of query heads"))
                .hint("let `pillars plan` choose the heads: its plans are legal"));
        }
    }
    Ok(())
}

/// The largest difference between the written file and the masked model on random input at real positions, as a share of
/// the model's largest value, and the outputs of the file.
fn prove(model: &Model, kept: &Kept, file: &Path, options: &OnnxOptions) -> Result<(f64, Vec<String>)> {
    let loaded = read::Loaded::open(file)?;
    let mut network = model.network(&Device::Cpu, DType::F32)?;
    if let Some(repair) = &options.repair {
        network = model.repaired_network(&network, &repair.outputs)?;
    }
    let gates = Gates::keep(model.spec(), kept, DType::F32, &Device::Cpu)?;
    let (mut difference, mut largest) = (0f64, 0f64);
    for batch in sample_batches(model.spec(), 1, options.seed)? {
        let want = network.forward(&batch, &gates, &mut crate::network::NoProbe)?;
        let got = run::run(&loaded, &inputs(&batch)?)?;
        let got = task::result(&got, &loaded.outputs)?;
        let mut got = got.ok_or_else(|| Error::new("the written graph has no output").at(file))?;
        if got.dims() != want.dims() {
            return Err(Error::new(format!("the file computes {:?}, not {:?}", got.dims(), want.dims())).at(file));
        }
        let mask = batch.target.as_ref().map(|t| &t.mask).or(match &batch.source {
            Source::Tokens(tokens) => Some(&tokens.mask),
            Source::Pixels(_) | Source::Frames(_) | Source::Samples(_) => None,
        });
        // One row per sequence, none of which is padding.
        let (mask, want) = if want.rank() == 2 { (None, want.unsqueeze(1)?) } else { (mask, want) };
        if got.rank() == 2 {
            got = got.unsqueeze(1)?;
        }
        let rows = |t: &Tensor| -> Result<Vec<Vec<f32>>> { Ok(t.flatten_to(1)?.to_vec2()?) };
        let real = |row: usize| mask.is_none_or(|mask| mask.real().get(row).copied().unwrap_or(true));
        for (row, (a, b)) in rows(&got)?.iter().zip(rows(&want)?).enumerate().filter(|(row, _)| real(*row)) {
            for (x, y) in a.iter().zip(b) {
                let apart = f64::from((x - y).abs());
                if !apart.is_finite() {
                    return Err(Error::new(format!("the file computes {x} at position {row}")).at(file));
                }
                (difference, largest) = (difference.max(apart), largest.max(f64::from(y.abs())));
            }
        }
    }
    let relative = difference / largest.max(f64::MIN_POSITIVE);
    let tolerance = if options.half { TOLERANCE_HALF } else { TOLERANCE };
    if relative > tolerance {
        return Err(Error::new(format!(
            "the written graph differs from the masked model by {relative:.1e} of its largest value"
        )));
    }
    Ok((relative, loaded.outputs))
}

/// The inputs of the graph for a batch.
fn inputs(batch: &Batch) -> Result<HashMap<String, Tensor>> {
    let mut inputs = HashMap::new();
    let mut tokens = |tokens: &Tokens, [ids, mask]: [&str; 2]| -> Result<()> {
        let flags = tokens.mask.to_tensor(DType::F32, &Device::Cpu)?.to_dtype(DType::I64)?;
        let numbers = tokens.ids.to_dtype(DType::I64)?;
        inputs.insert("token_type_ids".to_owned(), numbers.zeros_like()?);
        inputs.insert(ids.to_owned(), numbers);
        inputs.insert(mask.to_owned(), flags);
        Ok(())
    };
    if let Some(target) = &batch.target {
        tokens(target, ["decoder_input_ids", "decoder_attention_mask"])?;
    }
    match &batch.source {
        Source::Tokens(source) => tokens(source, ["input_ids", "attention_mask"])?,
        Source::Pixels(pixels) => {
            inputs.insert("pixel_values".to_owned(), pixels.clone());
        }
        Source::Samples(_) => return Err(Error::new("samples of sound are not read by graphs of ONNX")),
        Source::Frames(frames) => {
            inputs.insert("input_features".to_owned(), frames.clone());
        }
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::families;
    use crate::network::{InputSpec, Site};

    fn fixture(family: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let named = folder.join(family);
        if named.is_dir() { named } else { folder.join(family.trim_end_matches("_text")) }
    }

    /// Keeps a different number of heads in every layer, key/value groups whole.
    fn uneven(model: &Model) -> Plan {
        let mut kept = std::collections::BTreeMap::new();
        for (index, (site, attention)) in model.spec().sites().into_iter().enumerate() {
            let groups = attention.kv_heads;
            let stay = 1 + index % groups.max(1);
            let shared = model.spec().stored_layer(site).unwrap_or(0);
            let stay = if model.family().model_type == "albert" { 1 + shared } else { stay };
            let heads: Vec<usize> = (0..attention.heads).filter(|h| h / attention.queries_per_kv() < stay).collect();
            kept.insert(site, heads);
        }
        Plan::parse_any(&serde_json::to_string(&kept).unwrap()).unwrap()
    }

    #[test]
    fn every_family_is_written_whole_and_uneven_and_computes_the_masked_model() {
        for family in families::all() {
            let model = Model::open(fixture(family.model_type)).unwrap();
            let coupled = model.spec().sites().iter().any(|(_, a)| a.couples_heads());
            let folder = tempfile::tempdir().unwrap();
            for (name, plan) in [("whole", None), ("uneven", Some(uneven(&model)))] {
                let out = folder.path().join(name);
                let written = export(&model, plan.as_ref(), &out, &OnnxOptions::default(), &Ticket::default());
                if matches!(model.spec().encoder.as_ref().map(|s| &s.input), Some(InputSpec::Samples(_))) {
                    assert!(written.is_err_and(|e| e.to_string().contains("compact or masked")) && !out.exists());
                    continue;
                }
                if coupled && plan.is_some() {
                    assert!(written.is_err_and(|e| e.to_string().contains("masked")) && !out.exists());
                    continue;
                }
                let written = written.unwrap_or_else(|e| panic!("{} {name}: {e}", family.model_type));
                assert!(written.relative_difference < TOLERANCE, "{} {name}", family.model_type);
                assert!(out.join("onnx/model.onnx").is_file() && out.join("config.json").is_file());
            }
        }
    }

    #[test]
    fn every_head_of_a_task_is_written_and_computes_the_model() {
        let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tasks")).unwrap();
        let mut written = 0;
        for folder in folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
            let model = Model::open(&folder).unwrap();
            let out = tempfile::tempdir().unwrap();
            for (name, plan) in [("whole", None), ("uneven", Some(uneven(&model)))] {
                let out = out.path().join(name);
                let report = export(&model, plan.as_ref(), &out, &OnnxOptions::default(), &Ticket::default());
                let report = report.unwrap_or_else(|e| panic!("{} {name}: {e}", folder.display()));
                assert!(report.relative_difference < TOLERANCE);
                written += 1;
            }
        }
        assert_eq!(written, 38);
    }

    #[test]
    fn half_precision_halves_the_file_and_large_models_put_their_weights_beside_it() {
        let model = Model::open(fixture("llama")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, half: bool| {
            let options = OnnxOptions { half, ..OnnxOptions::default() };
            export(&model, None, &folder.path().join(name), &options, &Ticket::default()).unwrap()
        };
        let (whole, half) = (write("whole", false), write("half", true));
        assert!(half.bytes < whole.bytes * 7 / 10, "{} of {}", half.bytes, whole.bytes);
        assert!(half.relative_difference > whole.relative_difference);
        // As if the format's longest message were shorter.
        let (graph, _) = network::build(model.spec(), ElementType::Float).unwrap();
        let file = folder.path().join("model.onnx");
        write::write(&file, graph, &model.reader(&Device::Cpu, DType::F32), Some(1000), &Ticket::default()).unwrap();
        assert!(std::fs::metadata(folder.path().join("model.onnx_data")).unwrap().len() > 10_000);
        let (relative, _) = prove(&model, &Kept::default(), &file, &OnnxOptions::default()).unwrap();
        assert!(relative < TOLERANCE);
    }

    #[test]
    fn a_file_that_computes_something_else_is_refused() {
        let model = Model::open(fixture("bert")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (graph, _) = network::build(model.spec(), ElementType::Float).unwrap();
        let file = folder.path().join("model.onnx");
        write::write(&file, graph, &model.reader(&Device::Cpu, DType::F32), None, &Ticket::default()).unwrap();
        let mut kept = std::collections::BTreeMap::new();
        kept.insert("encoder.0".parse::<Site>().unwrap(), vec![0usize]);
        let plan = Plan::parse_any(&serde_json::to_string(&kept).unwrap()).unwrap();
        let error = prove(&model, &plan.kept, &file, &OnnxOptions::default()).unwrap_err();
        assert!(error.to_string().contains("differs from the masked model"), "{error}");
    }
}
