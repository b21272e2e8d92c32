//! GGUF: what llama.cpp, Ollama and LM Studio open.
//!
//! A file names an architecture, and most architectures want the same number of heads in every layer (`architecture`).
//! A plan whose layers differ goes into one that asks each layer, where there is one for the network, else zero heads fill
//! its layers up.
//!
//! | module | job |
//! | --- | --- |
//! | `architecture`, `t5` | which architecture computes a network, and how |
//! | `tensors` | names, types and contents of the file's tensors; the same read back |
//! | `metadata`, `tokenizer` | what the file says of the model and its tokenizer |

mod architecture;
mod metadata;
mod t5;
mod tensors;
mod tokenizer;

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use candle_core::quantized::gguf_file::{Content, Value};

use self::architecture::{ARCHITECTURES, Conversion, Reason};
use self::tensors::{FileTensor, FileWeights};
use crate::checkpoint::{GgufFile, GgufTensor, open_file, write_gguf};
use crate::engines::convention::Converted;
use crate::engines::instead::instead;
use crate::engines::quantization::Quantization;
use crate::engines::written::WrittenWeights;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{EmbedModule, Module, NetworkSpec, StackKind, Weights};
use crate::plan::Plan;
use crate::pruning::Remainder;
use crate::task::Ticket;
use crate::words::counted;

/// The file in the folder.
pub(super) const FILE: &str = "model.gguf";

pub(super) const OPENS_IN: [&str; 3] = ["llama.cpp", "Ollama", "LM Studio"];

/// A file that is decided but not written.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The network that is left, before what the architecture wants is done to it.
    pub remainder: Remainder,
    conversion: Conversion,
    reorders: bool,
    tensors: Vec<FileTensor>,
    metadata: Vec<(String, Value)>,
    /// How matrices are stored.
    pub quantization: Quantization,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Prepared {
    /// Decides how `model` is written without the heads that `plan` removes. Reads headers and tokenizer only.
    ///
    /// # Errors
    /// Where no architecture computes the network, or llama.cpp has no such tokenizer.
    pub(super) fn new(
        model: &Model,
        plan: &Plan,
        quantization: Option<Quantization>,
        tokenizer_from: Option<&GgufFile>,
    ) -> Result<Self> {
        let quantization = quantization.unwrap_or_else(|| tensors::like(model.stored()));
        let exact = Remainder::exact(model, plan, "gguf")?;
        let chosen = match choose(exact.spec(), exact.is_even()) {
            Ok(chosen) => Ok((exact, chosen)),
            Err(reason) if exact.is_even() => Err(reason),
            Err(_) => {
                let even = Remainder::even(model, plan, "gguf")?;
                choose(even.spec(), true).map(|chosen| (even, chosen))
            }
        };
        let (remainder, chosen) = chosen.map_err(|reason| {
            Error::new(format!("no architecture of GGUF computes this {}: {reason}", model.family().title))
                .hint(instead(model, plan))
        })?;
        let table = |kind| model.stored_as(Module::Embed(kind, EmbedModule::Tokens).weight()).map(|(name, _)| name);
        if remainder.spec().encoder.is_some() && table(StackKind::Encoder) != table(StackKind::Decoder) {
            let what = "encoder and decoder have a token table each, and GGUF has one for both";
            return Err(Error::new(what).hint(instead(model, plan)));
        }
        let Chosen { name, is_fused, reorders, conversion } = chosen;
        let mut notes = vec![format!("the file's architecture is '{name}'")];
        notes.extend(conversion.notes.iter().cloned());
        let zeros: usize = remainder.zero_heads().values().sum();
        if zeros > 0 {
            let heads = counted(zeros, "zero heads");
            let verb = if zeros == 1 { "fills" } else { "fill" };
            notes.push(format!("{heads} {verb} layers up: '{name}' has the same number in every layer"));
        }
        // Refuses what the format cannot store.
        let mut metadata = metadata::keys(model, name, &conversion, quantization)?;
        let tensors = tensors::tensors(&conversion.spec, conversion.rope.as_ref(), is_fused, quantization)?;
        let vocabulary = metadata::vocabulary(&conversion.spec);
        let folder = model.checkpoint().folder();
        let (keys, told) = tokenizer::keys(folder, model.config(), vocabulary, tokenizer_from)?;
        metadata.extend(keys);
        notes.extend(told);
        Ok(Self { remainder, conversion, reorders, tensors, metadata, quantization, notes })
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.plan.bytes()).sum()
    }

    /// Numbers of all tensors.
    pub(super) fn parameters(&self) -> u64 {
        self.tensors.iter().map(|t| t.plan.shape.iter().map(|d| *d as u64).product::<u64>()).sum()
    }

    /// What the file's engine computes: texts for the proof are no longer than what it reads.
    pub(super) fn spec(&self) -> &NetworkSpec {
        &self.conversion.spec
    }

    /// Writes the file at `path` from the weights of the whole model.
    pub(super) fn write(&self, path: &Path, whole: &dyn Weights, ticket: &Ticket) -> Result<()> {
        let remaining = self.remainder.weights(whole);
        let converted = self.converted(&remaining);
        ticket.stage("write weights", Some(self.tensors.len() as u64), "tensors");
        let plans: Vec<GgufTensor> = self.tensors.iter().map(|tensor| tensor.plan.clone()).collect();
        write_gguf(path, &self.metadata, &plans, |index| {
            let content = self.tensors[index].content(&converted)?;
            ticket.advance(1)?;
            Ok(content)
        })?;
        Ok(())
    }

    fn converted<'a>(&'a self, remaining: &'a dyn Weights) -> Converted<'a> {
        Converted::new(remaining, self.remainder.spec(), &self.conversion.folds, self.reorders)
    }

    /// Reads a written file back with another reader than ours, compares every tensor with what was to be written, and
    /// gives the weights of the network that its engine computes.
    ///
    /// # Errors
    /// Where the file does not hold what was to be written.
    pub(super) fn read_back(&self, path: &Path, whole: &dyn Weights) -> Result<WrittenWeights> {
        let wrong = |what: String| Error::new(format!("the written file is wrong: {what}")).at(path);
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        let content = Content::read(&mut std::io::BufReader::new(file))?;
        let ours = GgufFile::open(path)?;
        if content.metadata.len() != self.metadata.len() || content.tensor_infos.len() != self.tensors.len() {
            return Err(wrong("it has other keys or tensors".to_owned()));
        }
        let remaining = self.remainder.weights(whole);
        let converted = self.converted(&remaining);
        for tensor in &self.tensors {
            let GgufTensor { name, shape, dtype } = &tensor.plan;
            let info = content.tensor_infos.get(name).ok_or_else(|| wrong(format!("'{name}' is missing")))?;
            if info.shape.dims() != shape || info.ggml_dtype != *dtype {
                return Err(wrong(format!("'{name}' is {:?}", info.shape)));
            }
            let want = tensor.content(&converted)?.to_dtype(DType::F32)?;
            let apart = (ours.tensor(name)?.reshape(shape.as_slice())? - &want)?.abs()?.flatten_all()?.max(0)?;
            let most = want.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            let apart = apart.to_scalar::<f32>()?;
            if apart.is_nan() || f64::from(apart) > self.quantization.tolerance() * f64::from(most) {
                return Err(wrong(format!("'{name}' differs by {apart:.1e} of at most {most:.1e}")));
            }
        }
        Ok(Arc::new(FileWeights::new(ours, &self.tensors, &self.conversion.spec)))
    }
}

/// An architecture that computes a network, and how.
struct Chosen {
    name: &'static str,
    is_fused: bool,
    reorders: bool,
    conversion: Conversion,
}

/// The first architecture that computes a network of `spec`; where layers differ, of those that ask each layer.
fn choose(spec: &NetworkSpec, is_even: bool) -> Result<Chosen, Reason> {
    if spec.encoder.is_some() && spec.decoder.is_some() {
        let conversion = t5::convert(spec)?;
        if !is_even {
            return Err("layers have different numbers of heads".to_owned());
        }
        return Ok(Chosen { name: t5::NAME, is_fused: false, reorders: false, conversion });
    }
    let mut reason = None;
    for architecture in ARCHITECTURES.iter().filter(|a| is_even || a.is_uneven) {
        match architecture.convert(spec) {
            Ok(conversion) => {
                let reorders = spec.sites().iter().any(|(_, attention)| architecture.reorders(attention));
                let (name, is_fused) = (architecture.name, architecture.is_fused);
                return Ok(Chosen { name, is_fused, reorders, conversion });
            }
            // That of the architecture most others are like.
            Err(why) if reason.is_none() || architecture.name == "llama" => reason = Some(why),
            Err(_) => {}
        }
    }
    Err(reason.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::testing::{even, fixture, uneven, varied, whole};
    use crate::engines::{EngineOptions, export};
    use crate::pruning::{AGREEMENT, Engine, Report};

    /// Writes and proves, and gives the architecture too.
    fn written(model: &Model, plan: &Plan, options: &EngineOptions) -> Result<(Report, String)> {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let report = export(Engine::Gguf, model, plan, &out, options, &Ticket::default())?;
        let file = GgufFile::open(&out.join(FILE))?;
        let Some(Value::String(name)) = file.value("general.architecture") else { panic!("no architecture") };
        Ok((report, name.clone()))
    }

    #[test]
    fn every_family_that_llama_cpp_computes_goes_into_the_architecture_that_does() {
        // Whole and even, uneven, and whether zero heads fill layers up there.
        let cases = [
            ("llama", "llama", "deci", false),
            ("mistral", "llama", "deci", false),
            ("qwen2", "llama", "deci", false),
            ("phi3", "llama", "deci", false),
            ("granite", "granite", "deci", false),
            ("qwen3", "qwen3", "qwen3", true),
            ("gemma2", "gemma2", "gemma2", true),
            ("gemma3_text", "gemma3", "gemma3", true),
            ("t5", "t5", "t5", true),
        ];
        for (family, same, other, fills) in cases {
            let model = fixture(family);
            for (plan, want, filled) in
                [(whole(), same, false), (even(&model), same, false), (uneven(&model), other, fills)]
            {
                let (report, name) = written(&model, &plan, &EngineOptions::default())
                    .unwrap_or_else(|e| panic!("{family} as {want}: {e}"));
                assert_eq!(name, want, "{family}");
                assert_eq!(!report.zero_heads.is_empty(), filled, "{family} as {want}");
                assert!(report.agreement.relative < AGREEMENT, "{family} as {want}: {}", report.agreement.relative);
            }
        }
    }

    #[test]
    fn variants_of_families_are_computed_too() {
        let llama3 = json!({"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 20});
        let linear = json!({"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0});
        let yarn = json!({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
            "original_max_position_embeddings": 10});
        let longest = "texts of at most 7 tokens";
        let cases = [
            ("qwen3", json!({"tie_word_embeddings": true}), vec!["lm_head.weight"], "qwen3", "openelm", ""),
            ("smollm3", json!({"no_rope_layers": [1, 1, 1, 0]}), vec![], "smollm3", "smollm3", "zero heads fill"),
            ("llama", json!({"rope_parameters": llama3}), vec![], "llama", "deci", ""),
            ("llama", json!({"rope_parameters": linear}), vec![], "llama", "deci", ""),
            ("llama", json!({"rope_parameters": yarn}), vec![], "llama", "deci", ""),
            ("mistral", json!({"sliding_window": 7}), vec![], "llama", "deci", longest),
            ("granite", json!({"tie_word_embeddings": true}), vec!["lm_head.weight"], "granite", "deci", ""),
            ("t5", json!({"feed_forward_proj": "relu", "scale_decoder_outputs": false}), vec![], "t5", "t5", ""),
        ];
        for (family, changes, dropped, same, other, note) in cases {
            let (_folder, model) = varied(family, &changes, &dropped);
            for (plan, want) in [(whole(), same), (uneven(&model), other)] {
                let (report, name) = written(&model, &plan, &EngineOptions::default())
                    .unwrap_or_else(|e| panic!("{family} {changes}: {e}"));
                assert_eq!(name, want, "{family} {changes}");
                assert!(report.agreement.relative < AGREEMENT, "{family} {changes}");
            }
            let (report, _) = written(&model, &uneven(&model), &EngineOptions::default()).unwrap();
            assert!(report.notes.iter().any(|n| n.contains(note)), "{family} {changes}: {:?}", report.notes);
        }
    }

    #[test]
    fn what_no_architecture_computes_is_refused_with_what_would_do() {
        for (family, why) in [
            ("bert", "the model has an encoder"),
            ("gpt2", "adds positions"),
            ("bloom", "normalizes its embeddings"),
            ("gpt_neox", "other places"),
            ("smollm3", "stand at other places"),
            ("cohere", "other places"),
            ("marian", "no plain projection"),
        ] {
            let error = written(&fixture(family), &whole(), &EngineOptions::default()).unwrap_err().to_string();
            assert!(error.contains(why) && error.ends_with("; choose onnx"), "{family}: {error}");
        }
    }

    #[test]
    fn weights_are_stored_in_less_where_that_is_asked() {
        let model = fixture("llama");
        let bytes = |quantization: Quantization| {
            let options = EngineOptions { quantization: Some(quantization), ..EngineOptions::default() };
            let (report, _) = written(&model, &even(&model), &options).unwrap();
            (report.bytes.after, report.agreement.relative)
        };
        let sizes = [Quantization::F32, Quantization::F16, Quantization::Q8].map(bytes);
        assert!(sizes[0].0 > sizes[1].0 && sizes[1].0 > sizes[2].0, "{sizes:?}");
        assert!(sizes[0].1 < sizes[1].1 && sizes[1].1 < sizes[2].1, "{sizes:?}");
    }
}
