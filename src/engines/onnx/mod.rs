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

use self::graph::{ElementType, Initializer};
use crate::error::{Error, Result};
use crate::network::{Batch, InputSpec, NetworkSpec, Role, Source, Tokens, Weights};
use crate::task::Ticket;

pub(super) use self::tokenizer::complete;

/// The file in the folder.
pub(super) const FILE: &str = "onnx/model.onnx";

/// What opens the file. Whoever asks for `model.onnx` of an encoder finds it; of decoders others expect graphs that keep keys and
/// values, and sentence-transformers reads the states of an encoder of words.
pub(super) fn opens_in(spec: &NetworkSpec) -> Vec<&'static str> {
    let mut all = vec!["ONNX Runtime"];
    if spec.decoder.is_none() {
        let reads_words = spec.encoder.as_ref().is_some_and(|stack| matches!(stack.input, InputSpec::Tokens(_)));
        all.extend((reads_words && !spec.predicts()).then_some("sentence-transformers (backend=\"onnx\")"));
        all.extend(["transformers.js", "Optimum"]);
    }
    all
}

fn stored(half: bool) -> ElementType {
    if half { ElementType::Float16 } else { ElementType::Float }
}

/// Numbers and bytes of the weights of a graph of `spec`, and what a reader should know of it.
///
/// # Errors
/// Where the network has something that the graph cannot compute.
pub(super) fn outlook(spec: &NetworkSpec, half: bool) -> Result<(u64, u64, Vec<String>)> {
    let (graph, notes) = network::build(spec, stored(half))?;
    let parameters: u64 = graph.weights().iter().map(|w| w.dims.iter().map(|d| *d as u64).product::<u64>()).sum();
    Ok((parameters, graph.weights().iter().map(Initializer::bytes).sum(), notes))
}

/// Writes the graph of `spec` to `path`, in 16 bits where `half` is set; they are computed with in 32.
///
/// # Errors
/// Where the network has something that the graph cannot compute, or the disk fails.
pub(super) fn write_file(
    path: &Path,
    spec: &NetworkSpec,
    weights: &dyn Weights,
    half: bool,
    ticket: &Ticket,
) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::from(e).at(folder))?;
    }
    let (graph, _) = network::build(spec, stored(half))?;
    write::write(path, graph, weights, None, ticket)
}

/// Weights as a file in 16 bits holds them.
pub(super) struct HalfWeights<'a>(pub &'a dyn Weights);

impl Weights for HalfWeights<'_> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let tensor = self.0.get(role)?;
        if graph::is_exact(role, tensor.dims()) {
            return Ok(tensor);
        }
        Ok(tensor.to_dtype(DType::F16)?.to_dtype(DType::F32)?)
    }
}

/// Reads the file at `path` back and computes what it says of a batch: `[N, T, V or D]`, or the answers of the
/// head of a task, f32.
///
/// # Errors
/// Where the file is none that [`export`](crate::engines::export) makes, or the batch is not what it reads.
pub fn run_file(path: &Path, batch: &Batch) -> Result<Tensor> {
    let loaded = read::Loaded::open(path)?;
    let got = run::run(&loaded, &inputs(batch)?)?;
    let result = task::result(&got, &loaded.outputs)?;
    result.ok_or_else(|| Error::new("the written graph has no output").at(path))
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
    use super::*;
    use crate::engines::Quantization;
    use crate::engines::testing::{fixture, uneven, whole};
    use crate::engines::{EngineOptions, export};
    use crate::model::{Model, families};
    use crate::network::{Gates, InputSpec};
    use crate::plan::Plan;
    use crate::pruning::{self, AGREEMENT, Agreement, Engine, InputKind, Reference, RunOutputs, sample_batches};

    #[test]
    fn every_family_is_written_whole_and_uneven_and_computes_the_masked_model() {
        for family in families::all() {
            let model = fixture(family.model_type);
            let coupled = model.spec().sites().iter().any(|(_, a)| a.couples_heads());
            let folder = tempfile::tempdir().unwrap();
            for (name, plan) in [("whole", whole()), ("uneven", uneven(&model))] {
                let out = folder.path().join(name);
                let written = export(Engine::Onnx, &model, &plan, &out, &EngineOptions::default(), &Ticket::default());
                if matches!(model.spec().encoder.as_ref().map(|s| &s.input), Some(InputSpec::Samples(_))) {
                    assert!(written.is_err_and(|e| e.to_string().contains("compact or masked")) && !out.exists());
                    continue;
                }
                if coupled && name == "uneven" {
                    assert!(written.is_err_and(|e| e.to_string().contains("masked")) && !out.exists());
                    continue;
                }
                let written = written.unwrap_or_else(|e| panic!("{} {name}: {e}", family.model_type));
                assert!(written.agreement.relative < AGREEMENT, "{} {name}", family.model_type);
                for file in &written.files {
                    assert!(out.join(file).is_file(), "{file}");
                }
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
            if matches!(model.family().model_type, "wav2vec2" | "hubert") {
                let (place, options) = (out.path().join("out"), EngineOptions::default());
                let refused = export(Engine::Onnx, &model, &whole(), &place, &options, &Ticket::default());
                assert!(refused.unwrap_err().to_string().contains("samples of sound"));
                continue;
            }
            for (name, plan) in [("whole", whole()), ("uneven", uneven(&model))] {
                let out = out.path().join(name);
                let options = EngineOptions::default();
                let report = export(Engine::Onnx, &model, &plan, &out, &options, &Ticket::default());
                let report = report.unwrap_or_else(|e| panic!("{} {name}: {e}", folder.display()));
                assert!(report.agreement.relative < AGREEMENT);
                written += 1;
            }
        }
        assert_eq!(written, 38);
    }

    #[test]
    fn sixteen_bits_are_written_where_rounding_alone_is_what_changes_an_answer() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let options = EngineOptions { quantization: Some(Quantization::F16), ..EngineOptions::default() };
        for name in ["fixtures/mixtral", "fixtures/qwen3_moe", "data/tasks/t5forsequenceclassification"] {
            let model = Model::open(tests.join(name)).unwrap();
            let mask = Plan::read_any(&tests.join(name).join("mask.json"));
            for plan in std::iter::once(whole()).chain(mask) {
                let folder = tempfile::tempdir().unwrap();
                let out = folder.path().join("out");
                let written = export(Engine::Onnx, &model, &plan, &out, &options, &Ticket::default());
                let written = written.unwrap_or_else(|e| panic!("{name} {:?}: {e}", plan.kept));
                let is_said = written.notes.iter().any(|note| note.contains("rounded to 16 bits"));
                assert_eq!(is_said, written.agreement.relative > 2e-2, "{name}: {}", written.agreement.relative);
                assert!(written.bytes.after < written.bytes.before * 6 / 10, "{name}: {:?}", written.bytes);
            }
        }
    }

    #[test]
    fn half_precision_halves_the_file_and_large_models_put_their_weights_beside_it() {
        let model = fixture("llama");
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, quantization: Option<Quantization>| {
            let options = EngineOptions { quantization, ..EngineOptions::default() };
            export(Engine::Onnx, &model, &whole(), &folder.path().join(name), &options, &Ticket::default())
        };
        let (full, half) = (write("whole", None).unwrap(), write("half", Some(Quantization::F16)).unwrap());
        assert!(half.bytes.after < full.bytes.after * 7 / 10, "{:?} of {:?}", half.bytes, full.bytes);
        assert!(half.agreement.relative > full.agreement.relative);
        assert!(write("q", Some(Quantization::Q8)).unwrap_err().to_string().contains("choose f32 or f16"));
        // As if the format's longest message were shorter.
        let (graph, _) = network::build(model.spec(), ElementType::Float).unwrap();
        let file = folder.path().join("model.onnx");
        let reader = model.reader(&Device::Cpu, DType::F32);
        write::write(&file, graph, &reader, Some(1000), &Ticket::default()).unwrap();
        assert!(std::fs::metadata(folder.path().join("model.onnx_data")).unwrap().len() > 10_000);
        let batch = sample_batches(model.spec(), 1, 0).unwrap().remove(0);
        let Source::Tokens(tokens) = &batch.source else { unreachable!("llama reads tokens") };
        let got = RunOutputs::of(&run_file(&file, &batch).unwrap(), tokens.mask.real()).unwrap();
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let want = pruning::run(&network, &[batch], &Gates::open(), usize::MAX, &Ticket::default()).unwrap();
        let agreement = Agreement::of(&[got], &want, true, InputKind::Random, Reference::Masked).unwrap();
        agreement.check(AGREEMENT).unwrap();
        // Something else than the whole model.
        let gates = Gates::keep(model.spec(), &uneven(&model).kept, DType::F32, &Device::Cpu).unwrap();
        let batch = sample_batches(model.spec(), 1, 0).unwrap();
        let masked = pruning::run(&network, &batch, &gates, usize::MAX, &Ticket::default()).unwrap();
        let agreement = Agreement::of(&masked, &want, true, InputKind::Random, Reference::Masked).unwrap();
        assert!(agreement.check(AGREEMENT).is_err());
    }
}
