//! CTranslate2: what faster-whisper and many translation servers open.
//!
//! A file has one number of heads for the encoder and one for the decoder, whose cross attention has it too, and a width of
//! heads of its own; so a narrower model opens, really smaller. A plan whose layers differ is filled up with zero heads.
//!
//! | module | job |
//! | --- | --- |
//! | `check` | whether the engine computes a network, and how |
//! | `layout` | names, shapes and contents of the file's variables |
//! | `file` | the binary format, written one variable at a time and read back |
//! | `settings` | `config.json` and the lists of tokens |
//! | `weights` | the weights of a written file, for the proof |

mod check;
mod file;
mod layout;
mod settings;
mod weights;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};

use self::check::{Ct2Conversion, convert, starts_from_nothing};
use self::file::{Ct2Entry, Ct2File, Ct2Head, Ct2Type, in_eight_bits};
use self::layout::{Ct2Content, Ct2Variable, Fineness, Layout, Setting, bytes_as};
use self::settings::Ct2Tokens;
use self::weights::Ct2Weights;
use crate::checkpoint::Stored;
use crate::engines::convention::Converted;
use crate::engines::instead::instead;
use crate::engines::quantization::Quantization;
use crate::engines::written::WrittenWeights;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{NetworkSpec, Weights};
use crate::plan::Plan;
use crate::pruning::Remainder;
use crate::task::Ticket;
use crate::words::counted;

/// The file in the folder.
pub(super) const FILE: &str = "model.bin";

/// A folder that is decided but not written.
#[derive(Clone, Debug)]
pub(super) struct Ct2Prepared {
    /// The network that is left, before what the engine wants is done to it.
    pub remainder: Remainder,
    conversion: Ct2Conversion,
    layout: Layout,
    tokens: Ct2Tokens,
    /// How matrices are stored.
    pub quantization: Quantization,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Ct2Prepared {
    /// Decides how `model` is written without the heads that `plan` removes. Reads headers, tokenizer, and the row of
    /// padding where the engine may leave it out.
    ///
    /// # Errors
    /// Where the engine does not compute the network, or does not store it so.
    pub(super) fn new(model: &Model, plan: &Plan, quantization: Option<Quantization>) -> Result<Self> {
        let quantization = quantization.unwrap_or_else(|| like(model.stored()));
        if matches!(quantization, Quantization::Q8 | Quantization::Q4K) {
            return Err(Error::usage(format!("ct2 files are not written in {quantization}"))
                .hint("choose f32, f16, bf16 or int8"));
        }
        let exact = Remainder::exact(model, plan, "ct2")?;
        let remainder = if exact.is_even_in_stacks() { exact } else { Remainder::even_in_stacks(model, plan, "ct2")? };
        let mut conversion = convert(remainder.spec()).map_err(|reason| {
            Error::new(format!("CTranslate2 does not compute this {}: {reason}", model.family().title))
                .hint(instead(model, plan))
        })?;
        let reader = model.reader(&Device::Cpu, DType::F32);
        conversion.drops_padding = starts_from_nothing(model.spec(), model.config(), &reader)?;
        let mut notes = conversion.notes.clone();
        let zeros: usize = remainder.zero_heads().values().sum();
        if zeros > 0 {
            let heads = counted(zeros, "zero heads");
            let verb = if zeros == 1 { "fills" } else { "fill" };
            notes.push(format!("{heads} {verb} layers up: CTranslate2 has one number for all layers of a stack"));
        }
        let layout = layout::layout(model, &conversion)?;
        let tokens = Ct2Tokens::new(model, &conversion)?;
        notes.extend(tokens.notes.iter().cloned());
        let prepared = Self { remainder, conversion, layout, tokens, quantization, notes };
        for (entry, _) in prepared.entries() {
            entry.check()?;
        }
        Ok(prepared)
    }

    pub(super) fn opens_in(&self) -> Vec<&'static str> {
        self.conversion.class.opens_in().to_vec()
    }

    /// Every entry of the file, with the variable that it is of.
    fn entries(&self) -> Vec<(Ct2Entry, &Ct2Variable)> {
        let mut entries = Vec::new();
        for variable in &self.layout.variables {
            let kind = self.kind(variable);
            entries.push((Ct2Entry { name: variable.name.clone(), shape: variable.shape.clone(), kind }, variable));
            if kind == Ct2Type::Int8 && variable.fineness == Fineness::Matrix {
                let shape = variable.shape.iter().take(1).copied().collect();
                let scales = Ct2Entry { name: format!("{}_scale", variable.name), shape, kind: Ct2Type::F32 };
                entries.push((scales, variable));
            }
        }
        entries
    }

    /// The type of a variable's numbers.
    fn kind(&self, variable: &Ct2Variable) -> Ct2Type {
        match (&variable.content, variable.fineness, self.quantization) {
            (Ct2Content::Setting(setting), ..) => match setting {
                Setting::Flag(_) => Ct2Type::Int8,
                Setting::Short(_) => Ct2Type::Int16,
                Setting::Count(_) => Ct2Type::Int32,
                Setting::Number(_) => Ct2Type::F32,
            },
            (_, Fineness::Exact, _) | (_, _, Quantization::F32) => Ct2Type::F32,
            (_, _, Quantization::F16) => Ct2Type::F16,
            (_, _, Quantization::Bf16) => Ct2Type::Bf16,
            (_, Fineness::Matrix, Quantization::Int8) => Ct2Type::Int8,
            (_, Fineness::Floats, Quantization::Int8) => Ct2Type::F32,
            (_, _, Quantization::Q8 | Quantization::Q4K) => unreachable!("such ways to store are refused"),
        }
    }

    /// Bytes of all variables.
    pub(super) fn bytes(&self) -> u64 {
        self.entries().iter().map(|(entry, _)| entry.bytes()).sum()
    }

    /// Numbers of all weights.
    pub(super) fn parameters(&self) -> u64 {
        let weights = self.layout.variables.iter().filter(|v| !matches!(v.content, Ct2Content::Setting(_)));
        weights.map(|v| v.shape.iter().map(|d| *d as u64).product::<u64>()).sum()
    }

    /// What the engine computes: texts for the proof are no longer than what it reads.
    pub(super) fn spec(&self) -> &NetworkSpec {
        &self.conversion.spec
    }

    fn head(&self) -> Ct2Head {
        let (class, revision) = self.conversion.class.name();
        let entries = self.entries().into_iter().map(|(entry, _)| entry).collect();
        Ct2Head { class: class.to_owned(), revision, entries, aliases: self.layout.aliases.clone() }
    }

    /// The bytes of each entry, asked for in their order.
    fn contents<'a>(&'a self, weights: &'a dyn Weights) -> impl FnMut(usize) -> Result<Vec<u8>> + 'a {
        let entries = self.entries();
        let mut scales: Vec<f32> = Vec::new();
        move |index| {
            let Some((entry, variable)) = entries.get(index) else { return Err(Error::new("there is no such entry")) };
            if let Ct2Content::Setting(setting) = &variable.content {
                return Ok(setting.bytes());
            }
            if entry.name != variable.name {
                // Those of the variable before.
                return Ok(std::mem::take(&mut scales).into_iter().flat_map(f32::to_le_bytes).collect());
            }
            let numbers = variable.numbers(weights)?;
            match entry.kind.dtype() {
                Some(dtype) => bytes_as(&numbers, dtype),
                None => {
                    let (bytes, factors) = in_eight_bits(&numbers)?;
                    scales = factors;
                    Ok(bytes)
                }
            }
        }
    }

    /// Writes the file at `path` from the weights of the whole model.
    pub(super) fn write(&self, path: &Path, whole: &dyn Weights, ticket: &Ticket) -> Result<()> {
        let remaining = self.remainder.weights(whole);
        let converted = self.converted(&remaining);
        let head = self.head();
        ticket.stage("write weights", Some(head.entries.len() as u64), "tensors");
        let mut content = self.contents(&converted);
        file::write(path, &head, |index| {
            let bytes = content(index)?;
            ticket.advance(1)?;
            Ok(bytes)
        })
    }

    /// Writes what stands beside the weights into `folder`, where the model's own files lie already. Gives the names of
    /// the files, and what a reader should know.
    pub(super) fn write_settings(&self, folder: &Path, model: &Model) -> Result<(Vec<String>, Vec<String>)> {
        self.tokens.write(folder, &self.conversion, model.config())
    }

    fn converted<'a>(&'a self, remaining: &'a dyn Weights) -> Converted<'a> {
        Converted::new(remaining, self.remainder.spec(), &self.conversion.folds, false)
    }

    /// Reads a written file back, compares every variable with what was to be written, and gives the weights of the
    /// network that its engine computes.
    ///
    /// # Errors
    /// Where the file does not hold what was to be written.
    pub(super) fn read_back(&self, path: &Path, whole: &dyn Weights) -> Result<WrittenWeights> {
        let file = Ct2File::open(path)?;
        let wrong = |what: &str| Error::new(format!("the written file is wrong: {what}")).at(path);
        let head = self.head();
        if file.head != head {
            return Err(wrong("it has other variables"));
        }
        let remaining = self.remainder.weights(whole);
        let converted = self.converted(&remaining);
        let mut content = self.contents(&converted);
        for (index, entry) in head.entries.iter().enumerate() {
            if file.bytes(&entry.name)? != content(index)? {
                return Err(wrong(&format!("'{}' has other numbers", entry.name)));
            }
        }
        Ok(Arc::new(Ct2Weights::new(file, &self.layout, &self.conversion.spec)))
    }
}

/// The type that weights are stored in already.
fn like(stored: Stored) -> Quantization {
    match stored {
        Stored::F16 => Quantization::F16,
        Stored::BF16 => Quantization::Bf16,
        _ => Quantization::F32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::checkpoint::{Content, TensorPlan, tensor_bytes, write_safetensors};
    use crate::engines::testing::{even, fixture, uneven, varied, whole};
    use crate::engines::{EngineOptions, export};
    use crate::network::{EmbedModule, Module, StackKind};
    use crate::pruning::{AGREEMENT, Engine, Report};

    fn written(model: &Model, plan: &Plan, options: &EngineOptions) -> Result<(tempfile::TempDir, Report, Ct2File)> {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let report = export(Engine::Ct2, model, plan, &out, options, &Ticket::default())?;
        let file = Ct2File::open(&out.join(FILE))?;
        for name in &report.files {
            assert!(out.join(name).is_file(), "{name}");
        }
        Ok((folder, report, file))
    }

    fn json_of(folder: &tempfile::TempDir, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join("out").join(name)).unwrap()).unwrap()
    }

    const TRANSLATORS: [&str; 8] = ["bart", "mbart", "pegasus", "blenderbot", "marian", "m2m_100", "t5", "whisper"];
    const GENERATORS: [&str; 17] = [
        "gpt2",
        "gpt_neox",
        "gptj",
        "codegen",
        "opt",
        "xglm",
        "phi",
        "cohere",
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "phi3",
        "granite",
        "gemma",
        "gemma3_text",
        "starcoder2",
    ];

    #[test]
    fn families_are_written_whole_even_and_filled_up_and_compute_the_masked_model() {
        for family in TRANSLATORS.into_iter().chain(GENERATORS) {
            let model = fixture(family);
            for (kind, plan) in [("whole", whole()), ("even", even(&model)), ("uneven", uneven(&model))] {
                let done = written(&model, &plan, &EngineOptions::default());
                let (_folder, report, _) = done.unwrap_or_else(|e| panic!("{family} {kind}: {e}"));
                assert!(report.agreement.relative < AGREEMENT, "{family} {kind}");
                // One key/value head for all leaves no plan that is uneven.
                let fills = kind == "uneven" && model.spec().sites().iter().any(|(_, a)| a.kv_heads > 1);
                assert_eq!(!report.zero_heads.is_empty(), fills, "{family} {kind}");
                assert!(kind != "even" || report.parameters.after < report.parameters.before, "{family} {kind}");
            }
        }
    }

    #[test]
    fn what_the_engine_does_not_compute_is_refused_with_what_would_do() {
        for (family, why) in [
            ("gemma2", "caps logits"),
            ("olmo2", "normalizes what branches give"),
            ("mixtral", "mixture of experts"),
            ("bert", "encoder with a language-model head"),
            ("vit", "reads images"),
            ("clip_text_model", "sees text in the other direction"),
            ("gpt_oss", "mixture of experts"),
            ("nemotron", "feed-forward part is another"),
        ] {
            let error = written(&fixture(family), &whole(), &EngineOptions::default()).unwrap_err().to_string();
            assert!(error.contains(why), "{family}: {error}");
            assert!(error.ends_with("; choose onnx"), "{error}");
        }
        let bloom = fixture("bloom");
        written(&bloom, &whole(), &EngineOptions::default()).unwrap();
        let error = written(&bloom, &even(&bloom), &EngineOptions::default()).unwrap_err().to_string();
        assert!(error.contains("slope of its own number"), "{error}");
        let plan = Plan::parse_any(r#"{"encoder.0": [0], "encoder.1": [3]}"#).unwrap();
        let error = written(&fixture("t5"), &plan, &EngineOptions::default()).unwrap_err().to_string();
        assert!(error.contains("one table of relative positions"), "{error}");
    }

    #[test]
    fn encoders_without_a_head_give_their_states() {
        for family in ["bert", "roberta", "distilbert", "nomic_bert"] {
            let model = fixture(family);
            let names = model.checkpoint().names().iter().map(String::as_str);
            let of_head = |name: &&str| ["cls.", "lm_head.", "vocab_"].iter().any(|head| name.starts_with(head));
            let heads: Vec<&str> = names.filter(of_head).collect();
            let (_source, model) = varied(family, &json!({"architectures": ["Model"]}), &heads);
            for plan in [whole(), even(&model), uneven(&model)] {
                let (_folder, report, file) =
                    written(&model, &plan, &EngineOptions::default()).unwrap_or_else(|e| panic!("{family}: {e}"));
                assert!(report.agreement.relative < AGREEMENT && report.agreement.compared == "last_hidden_state");
                assert_eq!(file.head.class, "TransformerEncoderSpec");
            }
        }
    }

    #[test]
    fn weights_are_stored_in_less_where_that_is_asked() {
        let model = fixture("whisper");
        let bytes = |quantization| {
            let options = EngineOptions { quantization: Some(quantization), ..EngineOptions::default() };
            let (_folder, report, _) = written(&model, &even(&model), &options).unwrap();
            assert!(report.agreement.relative < 0.1, "{quantization}: {}", report.agreement.relative);
            report.bytes.after
        };
        let sizes = [Quantization::F32, Quantization::F16, Quantization::Int8].map(bytes);
        assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
        let options = EngineOptions { quantization: Some(Quantization::Q8), ..EngineOptions::default() };
        let error = written(&model, &whole(), &options).unwrap_err().to_string();
        assert!(error.contains("choose f32, f16, bf16 or int8"), "{error}");
    }

    #[test]
    fn settings_are_those_that_the_engine_reads() {
        let model = fixture("bart");
        let (folder, _, file) = written(&model, &even(&model), &EngineOptions::default()).unwrap();
        let config = json_of(&folder, "config.json");
        assert_eq!(config["decoder_start_token"], "<token_2>");
        assert_eq!((&config["bos_token"], &config["eos_token"]), (&json!("<token_0>"), &json!("<token_2>")));
        assert_eq!(config["layer_norm_epsilon"], json!(1e-5));
        assert_eq!(json_of(&folder, "shared_vocabulary.json").as_array().unwrap().len(), 96);
        assert_eq!((file.head.class.as_str(), file.head.revision), ("TransformerSpec", 7));
        // Of four heads one stays.
        assert_eq!(file.bytes("encoder/num_heads").unwrap(), 1i16.to_le_bytes());
        assert_eq!(file.bytes("decoder/layer_1/attention/head_dim").unwrap(), 8i32.to_le_bytes());
        assert!(file.head.aliases.iter().any(|(alias, _)| alias == "decoder/projection/weight"));
    }

    #[test]
    fn times_of_words_follow_their_heads() {
        let (source, model) = varied("whisper", &json!({}), &[]);
        let generation = json!({"alignment_heads": [[0, 1], [0, 3], [1, 0]], "suppress_tokens": [1, 2],
            "lang_to_id": {"<|en|>": 7, "<|de|>": 5}});
        std::fs::write(source.path().join("generation_config.json"), generation.to_string()).unwrap();
        let plan =
            Plan::parse_any(r#"{"cross.0": [1, 3], "cross.1": [2, 3], "decoder.0": [0, 1], "decoder.1": [0, 1]}"#);
        let (folder, _, _) = written(&model, &plan.unwrap(), &EngineOptions::default()).unwrap();
        let config = json_of(&folder, "config.json");
        assert_eq!(config["alignment_heads"], json!([[0, 0], [0, 1]]));
        assert_eq!((&config["lang_ids"], &config["suppress_ids"]), (&json!([5, 7]), &json!([1, 2])));
        std::fs::remove_file(source.path().join("generation_config.json")).unwrap();
        let (folder, report, _) = written(&model, &even(&model), &EngineOptions::default()).unwrap();
        assert_eq!(json_of(&folder, "config.json")["alignment_heads"], json!([[1, 0]]));
        assert!(report.notes.iter().any(|note| note.contains("upper half")));
    }

    #[test]
    fn a_padding_that_is_nothing_is_left_out() {
        let source = fixture("marian");
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = source.checkpoint();
        std::fs::write(folder.path().join("config.json"), checkpoint.config().value().to_string()).unwrap();
        let plan = |name: &String| {
            let info = checkpoint.info(name).unwrap();
            TensorPlan { name: name.clone(), stored: info.stored, shape: info.shape.clone() }
        };
        let plans: Vec<TensorPlan> = checkpoint.names().iter().map(plan).collect();
        let reader = source.reader(&Device::Cpu, DType::F32);
        let table = reader.get(Module::Embed(StackKind::Decoder, EmbedModule::Tokens).weight()).unwrap();
        let nothing = table.narrow(0, 95, 1).unwrap().zeros_like().unwrap();
        let table = candle_core::Tensor::cat(&[table.narrow(0, 0, 95).unwrap(), nothing], 0).unwrap();
        write_safetensors(&folder.path().join("model.safetensors"), &plans, |plan| match plan.name.as_str() {
            "model.shared.weight" => Ok(Content::Bytes(tensor_bytes(&table)?)),
            _ => Ok(Content::Stored(checkpoint, plan.name.clone())),
        })
        .unwrap();
        let model = Model::open(folder.path()).unwrap();
        let (folder, _, file) = written(&model, &even(&model), &EngineOptions::default()).unwrap();
        assert_eq!(json_of(&folder, "shared_vocabulary.json").as_array().unwrap().len(), 95);
        assert_eq!(file.bytes("decoder/start_from_zero_embedding").unwrap(), [1]);
        assert_eq!(file.tensor("decoder/projection/bias").unwrap().dims(), [95]);
        // Padding of the fixture as it is means something.
        let (folder, _, _) = written(&source, &whole(), &EngineOptions::default()).unwrap();
        assert_eq!(json_of(&folder, "config.json")["decoder_start_token"], "<token_95>");
    }
}
