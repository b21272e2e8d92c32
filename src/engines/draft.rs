//! Writing a model for an engine and proving the file before it gets its name.

use std::path::Path;
use std::sync::Arc;

use candle_core::{D, DType, Device};

use super::ct2::{self, Ct2Prepared};
use super::gguf;
use super::onnx;
use super::options::EngineOptions;
use super::quantization::Quantization;
use super::room::{check_room, check_whole};
use super::written::{WAITING, WrittenNetwork};
use crate::analysis::Document as _;
use crate::checkpoint::{FolderWriter, GgufFile, model_name, write_atomically};
use crate::error::{Error, Result};
use crate::evaluation::Measured;
use crate::model::{Model, Repaired};
use crate::network::{Batch, Gates, Network, NetworkSpec, Source, Weights};
use crate::plan::{Cost, Plan};
use crate::pruning::{
    AGREEMENT, Agreement, CardHead, Change, Counts, Engine, Forecast, InputKind, RECORD, Reference, Remainder, Report,
    RunOutputs, card, check_apart, copy_side_files, run, sample_batches,
};
use crate::task::{Ticket, release_memory};

/// Largest difference that weights in 16 bits explain, as a share of the largest value.
const HALF: f64 = 2e-2;

/// Times as wide as before that numbers are called wider; less is factors and tables of an engine's own.
const WIDER: f64 = 1.05;

/// A file for an engine that is written and proven but has no name yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct EngineDraft {
    writer: FolderWriter,
    head: CardHead,
    report: Report,
    written: Option<WrittenNetwork>,
}

/// What is known of a file before it is written.
struct EngineOutlook {
    remainder: Remainder,
    parameters: u64,
    bytes: u64,
    opens_in: Vec<&'static str>,
    notes: Vec<String>,
    /// How weights are stored.
    way: Way,
}

enum Way {
    Onnx { half: bool },
    Gguf(Box<gguf::Prepared>),
    Ct2(Box<Ct2Prepared>),
}

impl EngineOutlook {
    fn new(engine: Engine, model: &Model, plan: &Plan, options: &EngineOptions) -> Result<Self> {
        let mut outlook = Self::of_file(engine, model, plan, options)?;
        check_room(engine, model, options)?;
        outlook.notes.extend(model.left_out());
        let before = model.bytes();
        let width = |bytes: u64, numbers: u64| bytes as f64 / numbers as f64;
        let is_wider = width(outlook.bytes, outlook.parameters) > WIDER * width(before, model.parameters());
        if is_wider && outlook.bytes > before {
            let types = options.quantization.map_or_else(|| "wider types".to_owned(), |way| way.to_string());
            outlook.notes.push(format!(
                "the weights take more room than in the files that were opened, {} bytes instead of {before}, since their numbers \
                 are written in {types}",
                outlook.bytes
            ));
        }
        Ok(outlook)
    }

    fn of_file(engine: Engine, model: &Model, plan: &Plan, options: &EngineOptions) -> Result<Self> {
        match engine {
            Engine::Onnx => {
                let half = match options.quantization {
                    None | Some(Quantization::F32) => false,
                    Some(Quantization::F16) => true,
                    Some(other) => {
                        return Err(Error::usage(format!("onnx files are not written in {other}"))
                            .hint("choose f32 or f16, or another engine"));
                    }
                };
                let remainder = Remainder::exact(model, plan, engine.name())?;
                let (parameters, bytes, mut notes) = onnx::outlook(remainder.spec(), half)?;
                let zeros: usize = remainder.zero_heads().values().sum();
                if zeros > 0 {
                    notes.push(format!("{zeros} zero heads let every key/value head serve as many query heads"));
                }
                let opens_in = onnx::opens_in(remainder.spec());
                Ok(Self { remainder, parameters, bytes, opens_in, notes, way: Way::Onnx { half } })
            }
            Engine::Gguf => {
                let from = options.tokenizer_from.as_deref().map(GgufFile::open).transpose()?;
                let prepared = gguf::Prepared::new(model, plan, options.quantization, from.as_ref())?;
                Ok(Self {
                    remainder: prepared.remainder.clone(),
                    parameters: prepared.parameters(),
                    bytes: prepared.bytes(),
                    opens_in: gguf::OPENS_IN.to_vec(),
                    notes: prepared.notes.clone(),
                    way: Way::Gguf(Box::new(prepared)),
                })
            }
            Engine::Ct2 => {
                let prepared = Ct2Prepared::new(model, plan, options.quantization)?;
                Ok(Self {
                    remainder: prepared.remainder.clone(),
                    parameters: prepared.parameters(),
                    bytes: prepared.bytes(),
                    opens_in: prepared.opens_in(),
                    notes: prepared.notes.clone(),
                    way: Way::Ct2(Box::new(prepared)),
                })
            }
        }
    }

    /// Bytes of keys and values that a generated token and a source token leave behind, before and after, at the type of
    /// the weights.
    fn cache(&self, model: &Model) -> (Counts, Counts) {
        // A graph computes whole sequences and keeps nothing of them.
        let width = if matches!(self.way, Way::Onnx { .. }) { 0 } else { model.stored().bytes() as u64 };
        let (before, after) = (Cost::of(model.spec(), 1), Cost::of(self.remainder.spec(), 1));
        let counts = |of: fn(&Cost) -> u64| Counts { before: width * of(&before), after: width * of(&after) };
        (counts(|c| c.cache_per_token), counts(|c| c.cache_per_source_token))
    }

    /// Parameters that the network reads, before and after, and the bytes of their weights in the files.
    fn sizes(&self, model: &Model) -> [Counts; 2] {
        [
            Counts { before: model.parameters(), after: self.parameters },
            Counts { before: model.bytes(), after: self.bytes },
        ]
    }
}

/// What writing for `engine` would give; an error says in one line why there is no such file of this model. Reads headers
/// and tokenizer only.
pub fn forecast(engine: Engine, model: &Model, plan: &Plan, options: &EngineOptions) -> Result<Forecast> {
    let outlook = EngineOutlook::new(engine, model, plan, options)?;
    let (cache_bytes_per_token, cache_bytes_per_source_token) = outlook.cache(model);
    let [parameters, bytes] = outlook.sizes(model);
    Ok(Forecast {
        format: crate::pruning::OutputFormat::Engine(engine),
        opens_in: outlook.opens_in.iter().map(|&name| name.to_owned()).collect(),
        parameters,
        attention_parameters: Counts::default(),
        bytes,
        cache_bytes_per_token,
        cache_bytes_per_source_token,
        zero_heads: outlook.remainder.zero_heads(),
        notes: outlook.notes,
    })
}

/// Writes `model` without the heads that `plan` removes for `engine` into a folder that becomes `out`. The file is read
/// back and computed, and must give what the masked model gives. Call [`EngineDraft::finish`] to keep it.
///
/// # Errors
/// Where the plan does not fit the model, the engine has no such network, `out` is not free, or the written file computes
/// something else; nothing is left behind then.
pub fn write(
    engine: Engine,
    model: &Model,
    plan: &Plan,
    out: &Path,
    options: &EngineOptions,
    ticket: &Ticket,
) -> Result<EngineDraft> {
    let checkpoint = model.checkpoint();
    let fingerprint = checkpoint.fingerprint()?;
    if let Some(repair) = &options.repair {
        repair.check(model.spec(), &fingerprint, plan)?;
    }
    let outlook = EngineOutlook::new(engine, model, plan, options)?;
    check_apart(out, checkpoint.place())?;
    let writer = FolderWriter::new(out, options.force, RECORD)?;
    let outputs = options.repair.as_ref().map(|repair| repair.outputs.clone()).unwrap_or_default();
    let whole = Repaired::new(model.reader(&Device::Cpu, DType::F32), model.spec(), outputs);
    let mut notes = outlook.notes.clone();
    let mut files = Vec::new();
    let [of_weights, of_proof] = ticket.parts([1.0, 2.0]);
    let (allowed, written) = match &outlook.way {
        Way::Onnx { half } => {
            let spec = outlook.remainder.spec();
            let weights = outlook.remainder.weights(&whole);
            let file = writer.path().join(onnx::FILE);
            onnx::write_file(&file, spec, &weights, *half, &of_weights)?;
            files.push(onnx::FILE.to_owned());
            let side = copy_side_files(checkpoint.folder(), writer.path())?;
            notes.extend(side.note());
            files.extend(side.copied);
            notes.extend(outlook.remainder.renumber(writer.path())?);
            notes.extend(onnx::complete(writer.path(), spec)?);
            let pretty = serde_json::to_string_pretty(model.config().value())? + "\n";
            write_atomically(&writer.path().join("config.json"), pretty.as_bytes())?;
            files.push("config.json".to_owned());
            (if *half { HALF } else { AGREEMENT }, None)
        }
        Way::Gguf(prepared) => {
            let file = writer.path().join(gguf::FILE);
            prepared.write(&file, &whole, &of_weights)?;
            files.push(gguf::FILE.to_owned());
            let weights = prepared.read_back(&file, &whole)?;
            let written = WrittenNetwork { spec: prepared.spec().clone(), weights };
            (prepared.quantization.allowed(), Some(written))
        }
        Way::Ct2(prepared) => {
            let file = writer.path().join(ct2::FILE);
            prepared.write(&file, &whole, &of_weights)?;
            files.push(ct2::FILE.to_owned());
            let side = copy_side_files(checkpoint.folder(), writer.path())?;
            notes.extend(side.note());
            files.extend(side.copied);
            notes.extend(outlook.remainder.renumber(writer.path())?);
            let (written, told) = prepared.write_settings(writer.path(), model)?;
            files.extend(written);
            notes.extend(told);
            let weights = prepared.read_back(&file, &whole)?;
            let written = WrittenNetwork { spec: prepared.spec().clone(), weights };
            (prepared.quantization.allowed(), Some(written))
        }
    };
    if options.memory.is_some() {
        release_memory();
    }
    let ticket = &of_proof;
    ticket.stage("prove", None, "batches");
    let spec = match &outlook.way {
        Way::Onnx { .. } => model.spec(),
        Way::Gguf(prepared) => prepared.spec(),
        Way::Ct2(prepared) => prepared.spec(),
    };
    let batches = sample_batches(spec, 1, options.seed)?;
    let got = match &written {
        Some(written) => run(&written.streamed(WAITING)?, &batches, &Gates::open(), usize::MAX, ticket)?,
        None => {
            let file = writer.path().join(onnx::FILE);
            batches.iter().map(|batch| of_graph(&file, batch)).collect::<Result<_>>()?
        }
    };
    let (agreement, change) = compare(model, plan, options, &batches, &got, ticket)?;
    if let Err(error) = agreement.check(allowed) {
        let Way::Onnx { half: true } = outlook.way else { return Err(error) };
        check_whole(model, options)?;
        prove_half(&outlook.remainder, &whole, &batches, &got, ticket).map_err(|_| error)?;
        notes.push(format!(
            "rounded to 16 bits the model computes something else: its {} differ by {:.1e} of the largest on random input; that comes \
             of rounding alone, for the file computes what the rounded weights say: measure it, or write f32",
            agreement.compared, agreement.relative
        ));
    }
    notes.extend(plan.spared_words());
    notes.extend(plan.foreign_to(&fingerprint));
    let [parameters, bytes] = outlook.sizes(model);
    let mut report = Report {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        export_format: crate::pruning::OutputFormat::Engine(engine),
        family: model.family().model_type.to_owned(),
        source: model_name(checkpoint.place()),
        fingerprint,
        plan: plan.clone(),
        kept: outlook.remainder.kept(),
        places: outlook.remainder.places(),
        heads: heads(model.spec(), plan),
        zero_heads: outlook.remainder.zero_heads(),
        parameters,
        attention_parameters: Counts::default(),
        bytes,
        cache_bytes_per_token: outlook.cache(model).0,
        opens_in: outlook.opens_in.iter().map(|&name| name.to_owned()).collect(),
        agreement,
        change,
        repair: options.repair.as_ref().map(|repair| repair.record.clone()),
        recipe: None,
        trained: None,
        speed: None,
        measured: None,
        files,
        notes,
    };
    report.list_files(&writer, &["README.md", RECORD])?;
    Ok(EngineDraft { head: CardHead::of(model, &report), writer, report, written })
}

/// [`write()`] and [`EngineDraft::finish`] in one.
///
/// # Errors
/// As of [`write()`].
pub fn export(
    engine: Engine,
    model: &Model,
    plan: &Plan,
    out: &Path,
    options: &EngineOptions,
    ticket: &Ticket,
) -> Result<Report> {
    write(engine, model, plan, out, options, ticket)?.finish(None)
}

impl EngineDraft {
    /// Whether this program can run the network that the file holds.
    pub fn has_network(&self) -> bool {
        self.written.is_some()
    }

    /// The network that the file holds, in its precision, where this program can run it: loaded, or left in the file with
    /// `waiting` bytes for what waits between its layers.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn network(&self, waiting: Option<u64>) -> Result<Option<Network>> {
        let network = |written: &WrittenNetwork| match waiting {
            Some(waiting) => written.streamed(waiting),
            None => written.loaded(),
        };
        self.written.as_ref().map(network).transpose()
    }

    /// Records `measured` (quality before and after) and gives the folder its name.
    ///
    /// # Errors
    /// Where the disk fails; nothing is left behind then.
    pub fn finish(mut self, measured: Option<Measured>) -> Result<Report> {
        self.report.measured = measured;
        let folder = self.writer.path();
        write_atomically(&folder.join("README.md"), card(&self.head, &self.report).as_bytes())?;
        self.report.write(&folder.join(RECORD))?;
        self.writer.finish()?;
        Ok(self.report)
    }
}

/// Heads of the original model, and those that stay.
fn heads(spec: &NetworkSpec, plan: &Plan) -> Counts {
    let mut heads = Counts::default();
    for (site, attention) in spec.sites() {
        heads.before += attention.origin_heads as u64;
        heads.after += plan.kept_at(site, attention.heads).len() as u64;
    }
    heads
}

/// What the graph in `file` computes of a batch.
fn of_graph(file: &Path, batch: &Batch) -> Result<RunOutputs> {
    let result = onnx::run_file(file, batch)?;
    let mask = batch.target.as_ref().map(|t| &t.mask).or(match &batch.source {
        Source::Tokens(tokens) => Some(&tokens.mask),
        Source::Pixels(_) | Source::Frames(_) | Source::Samples(_) => None,
    });
    // The answer to a whole sequence is never padding.
    match mask.filter(|_| result.rank() == 3) {
        Some(mask) => RunOutputs::of(&result, mask.real()),
        None => {
            let rows = result.reshape(((), result.dim(D::Minus1)?))?;
            RunOutputs::of(&rows.unsqueeze(0)?, &vec![true; rows.dim(0)?])
        }
    }
}

/// Holds what a file in 16 bits computes against the network of the same weights after the same rounding.
///
/// # Errors
/// Where they differ.
fn prove_half(
    remainder: &Remainder,
    whole: &dyn Weights,
    batches: &[Batch],
    got: &[RunOutputs],
    ticket: &Ticket,
) -> Result<()> {
    let weights = remainder.weights(whole);
    let network = Network::load(remainder.spec(), &onnx::HalfWeights(&weights))?;
    let want = run(&network, batches, &Gates::open(), usize::MAX, ticket)?;
    let logits = remainder.spec().predicts();
    Agreement::of(got, &want, logits, InputKind::Random, Reference::Masked)?.check(AGREEMENT)
}

/// How far results are from those of the masked model, and those from the whole model's.
fn compare(
    model: &Model,
    plan: &Plan,
    options: &EngineOptions,
    batches: &[Batch],
    got: &[RunOutputs],
    ticket: &Ticket,
) -> Result<(Agreement, Change)> {
    // Layer by layer: the proof of a large model takes no more memory than writing it.
    let reader = Arc::new(model.reader(&Device::Cpu, DType::F32));
    let network = Network::stream(model.spec(), reader, WAITING)?;
    let before = run(&network, batches, &Gates::open(), usize::MAX, ticket)?;
    let gates = Gates::keep(model.spec(), &plan.kept, DType::F32, &Device::Cpu)?;
    let (want, reference) = match options.repair.as_ref().filter(|repair| repair.repairs()) {
        Some(repair) => {
            let repaired = model.repaired_network(&network, &repair.outputs)?;
            (run(&repaired, batches, &gates, usize::MAX, ticket)?, Reference::Repaired)
        }
        None => (run(&network, batches, &gates, usize::MAX, ticket)?, Reference::Masked),
    };
    let logits = model.spec().predicts();
    let agreement = Agreement::of(got, &want, logits, InputKind::Random, reference)?;
    Ok((agreement, Change::of(got, &before, logits)?))
}
