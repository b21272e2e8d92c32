//! Writing an export and proving it before it appears.

use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Map, Value};

use super::agreement::{COPIES, nothing_to_compare, run};
use super::alignment::renumber_alignment;
use super::card::{CardHead, card};
use super::files::copy_side_files;
use super::gqa::pooled;
use super::mended::Mended;
use super::shards::write_weights;
use super::slots;
use super::surgery::Surgery;
use super::target::check_apart;
use super::{
    AGREEMENT, Agreement, Change, Counts, ExportFormat, InputKind, RECORD, REPAIR, Reference, Report, SHARD_BYTES,
    TrainedRecord, sample_batches,
};
use crate::analysis::Document;
use crate::checkpoint::{Checkpoint, Config, Content, FolderWriter, TensorPlan, model_name, write_atomically};
use crate::error::Result;
use crate::evaluation::{Measured, Speeds, Timing, speeds};
use crate::model::{MemoryLimit, MemoryPlan, Model, Needs, PROGRAM};
use crate::network::{Batch, Extent, Gates, ProblemType, TaskKind};
use crate::plan::Plan;
use crate::repair::Repair;
use crate::task::{Ticket, release_memory};

/// Numbers of the results that a proof may hold in memory at a time.
const HELD: usize = 1 << 26;

/// A few runs; the proof has warmed both models up. [`Timing::THOROUGH`] tells more.
const TIMING: Timing = Timing { warm_up: 0, repetitions: 7, least_secs: 0.0 };

#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Replace a folder that this program wrote.
    pub force: bool,
    /// Largest weights file in bytes of tensors.
    pub shard_bytes: u64,
    /// Where the proof runs.
    pub device: Device,
    /// Most batches of the input that the proof reads.
    pub proof_batches: usize,
    /// Seed of the random input that stands in where none is given.
    pub seed: u64,
    /// Most memory that the proof may use; without it every weight is loaded.
    pub memory: Option<MemoryLimit>,
    /// How to time forward passes before and after; `None` to leave it.
    pub timing: Option<Timing>,
    /// New output projections for the heads that stay, of the plan that is carried out.
    pub repair: Option<Repair>,
    /// Settings and summary of the training that the weights come from, for the record.
    pub recipe: Option<Value>,
    /// What that came to, where they were trained.
    pub trained: Option<TrainedRecord>,
}

impl ExportOptions {
    /// The repair, where it changes anything.
    fn new_outputs(&self) -> Option<&Repair> {
        self.repair.as_ref().filter(|repair| repair.repairs())
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            force: false,
            shard_bytes: SHARD_BYTES,
            device: Device::Cpu,
            proof_batches: 4,
            seed: 0,
            memory: None,
            timing: Some(TIMING),
            repair: None,
            recipe: None,
            trained: None,
        }
    }
}

/// An export that is written and proven but has no name yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct ExportDraft {
    writer: FolderWriter,
    model: Model,
    config: Map<String, Value>,
    head: CardHead,
    report: Report,
}

/// Writes `model` without the heads that `plan` removes, and proves it on the first batches of `input` (random input
/// where there is none). Call [`ExportDraft::finish`] to keep it.
///
/// Fails where the plan does not fit the model, `out` is not free, or the written folder does not compute what the
/// masked model does; then nothing is left behind.
pub fn write(
    model: &Model,
    plan: &Plan,
    format: ExportFormat,
    out: &Path,
    options: &ExportOptions,
    input: Option<&mut dyn Iterator<Item = Result<Batch>>>,
    ticket: &Ticket,
) -> Result<ExportDraft> {
    write_watched(model, plan, format, out, options, input, ticket, &mut |_| Ok(()))
}

/// [`write()`] and [`ExportDraft::finish`] in one.
pub fn export(
    model: &Model,
    plan: &Plan,
    format: ExportFormat,
    out: &Path,
    options: &ExportOptions,
    input: Option<&mut dyn Iterator<Item = Result<Batch>>>,
    ticket: &Ticket,
) -> Result<Report> {
    write(model, plan, format, out, options, input, ticket)?.finish(None)
}

/// [`write()`] that calls `watch` before each tensor; an error of it fails the export, as a full disk would.
#[expect(clippy::too_many_arguments, reason = "the public face plus one hook for tests")]
fn write_watched(
    model: &Model,
    plan: &Plan,
    format: ExportFormat,
    out: &Path,
    options: &ExportOptions,
    input: Option<&mut dyn Iterator<Item = Result<Batch>>>,
    ticket: &Ticket,
    watch: &mut dyn FnMut(&TensorPlan) -> Result<()>,
) -> Result<ExportDraft> {
    let checkpoint = model.checkpoint();
    let mended = Mended::new(model, plan, options.new_outputs(), format)?;
    let surgery = Surgery::new(model, plan, format)?;
    check_apart(out, checkpoint.place())?;
    let writer = FolderWriter::new(out, options.force, RECORD)?;
    let (parameters, bytes) = (surgery.parameters(model), surgery.bytes(checkpoint));
    let (cache_bytes_per_token, _) = surgery.cache(model);
    let attention_parameters = surgery.attention_parameters(model);
    let zero_heads = surgery.zero_heads();
    let places = slots::places(model.spec(), &surgery.slots);
    let Surgery { slots: written_slots, cuts, tensors, modules, config, kept, opens_in, mut notes, .. } = surgery;
    let [of_weights, of_proof] = ticket.parts([1.0, 2.0]);
    of_weights.stage("write weights", Some(tensors.len() as u64), "tensors");
    let mut files = write_weights(writer.path(), tensors, options.shard_bytes, |tensor| {
        watch(tensor)?;
        let content = match (cuts.get(&tensor.name), mended.bytes(&tensor.name)?) {
            (Some(cut), Some(new)) => Content::Bytes(cut.apply(&new)?),
            (Some(cut), None) => Content::Bytes(cut.apply(&checkpoint.read(&tensor.name)?)?),
            (None, Some(new)) => Content::Bytes(new),
            (None, None) => Content::Stored(checkpoint, tensor.name.clone()),
        };
        of_weights.advance(1)?;
        Ok(content)
    })?;
    let side = copy_side_files(checkpoint.folder(), writer.path())?;
    notes.extend(side.note());
    files.extend(side.copied);
    notes.extend(renumber_alignment(writer.path(), &written_slots)?);
    if let Some(repair) = options.new_outputs() {
        repair.write(&writer.path().join(REPAIR))?;
        files.push(REPAIR.to_owned());
    }
    for (name, text) in modules {
        write_atomically(&writer.path().join(&name), text.as_bytes())?;
        files.push(name);
    }

    // The configuration reaches the folder last: without it, what a killed export leaves behind opens nowhere.
    let config_file = Config::new(writer.path().join("config.json"), config.clone());
    let written = Model::new(Checkpoint::open_with(writer.path(), config_file)?)?;
    let Proof { agreement, change, speed } = prove(model, plan, format, &written, &mended, options, input, &of_proof)?;

    let fingerprint = checkpoint.fingerprint()?;
    notes.extend(plan.spared_words());
    notes.extend(plan.foreign_to(&fingerprint));
    let mut report = Report {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        export_format: format.into(),
        family: model.family().model_type.to_owned(),
        source: match &options.trained {
            Some(trained) => trained.origin.clone(),
            None => model_name(checkpoint.place()),
        },
        notes,
        fingerprint,
        plan: plan.clone(),
        kept,
        places,
        heads: heads(model, plan, format),
        zero_heads,
        parameters,
        attention_parameters,
        bytes,
        cache_bytes_per_token,
        opens_in,
        agreement,
        change,
        repair: options.repair.as_ref().map(|repair| repair.record.clone()),
        recipe: options.recipe.clone(),
        trained: options.trained.clone(),
        speed,
        measured: None,
        files,
    };
    report.list_files(&writer, &["config.json", "README.md", RECORD])?;
    Ok(ExportDraft { head: CardHead::of(model, &report), writer, model: written, config, report })
}

/// Heads of the original model, and those that do something in an export.
fn heads(model: &Model, plan: &Plan, format: ExportFormat) -> Counts {
    let mut heads = Counts::default();
    for (site, attention) in model.spec().sites() {
        heads.before += attention.origin_heads as u64;
        heads.after += match format {
            ExportFormat::Gqa => attention.heads,
            _ => plan.kept_at(site, attention.heads).len(),
        } as u64;
    }
    heads
}

impl ExportDraft {
    /// The written model, open: measure quality and speed on it.
    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Records `measured` (quality before and after, on the whole input of the caller) and gives the folder its name.
    pub fn finish(mut self, measured: Option<Measured>) -> Result<Report> {
        self.report.measured = measured;
        let folder = self.writer.path();
        let text = card(&self.head, &self.report);
        write_atomically(&folder.join("README.md"), text.as_bytes())?;
        self.report.write(&folder.join(RECORD))?;
        let config = format!("{}\n", serde_json::to_string_pretty(&Value::Object(self.config))?);
        write_atomically(&folder.join("config.json"), config.as_bytes())?;
        // Open files keep a folder from being renamed on some systems.
        drop(self.model);
        self.writer.finish()?;
        Ok(self.report)
    }
}

/// What came out of comparing the written model with what it must equal.
struct Proof {
    agreement: Agreement,
    change: Change,
    speed: Option<Speeds>,
}

/// Runs the source, what must be computed and the written model on the same input, one after the other so that one network is in
/// memory at a time.
fn prove(
    model: &Model,
    plan: &Plan,
    format: ExportFormat,
    written: &Model,
    mended: &Mended<'_>,
    options: &ExportOptions,
    input: Option<&mut dyn Iterator<Item = Result<Batch>>>,
    ticket: &Ticket,
) -> Result<Proof> {
    let spec = model.spec();
    let (batches, kind) = match input {
        Some(input) => (input.take(options.proof_batches).collect::<Result<Vec<_>>>()?, InputKind::Given),
        None => (sample_batches(spec, 1, options.seed)?, InputKind::Random),
    };
    if batches.is_empty() {
        return Err(nothing_to_compare());
    }
    let device = &options.device;
    let (most, room) = rows_and_room(model, &batches, mended, options)?;
    let open = |model: &Model| match &room {
        Some(room) => model.network_within(device, DType::F32, room),
        None => model.network(device, DType::F32),
    };
    let [of_proof, of_speed] = ticket.parts([2.0, if options.timing.is_some() { 1.0 } else { 0.0 }]);
    let ticket = &of_proof;
    ticket.stage("prove", Some(3 * batches.len() as u64), "batches");
    let network = open(model)?;
    let before = run(&network, &batches, &Gates::open(), most, ticket)?;
    let (original, want, reference) = if format == ExportFormat::Gqa {
        drop(network);
        let network = pooled(model, plan, device, room.as_ref())?;
        (None, run(&network, &batches, &Gates::open(), most, ticket)?, Reference::Pooled)
    } else {
        let gates = Gates::keep(spec, &plan.kept, DType::F32, device)?;
        let (want, reference) = if options.new_outputs().is_some() {
            let repaired = model.repaired_network(&network, mended.outputs())?;
            (run(&repaired, &batches, &gates, most, ticket)?, Reference::Repaired)
        } else {
            (run(&network, &batches, &gates, most, ticket)?, Reference::Masked)
        };
        // Beside it the written one would be a second, and where memory is bounded nobody asks how fast it was.
        (options.memory.is_none().then_some(network), want, reference)
    };
    if options.memory.is_some() {
        release_memory();
    }
    let network = open(written)?;
    let got = run(&network, &batches, &Gates::open(), most, ticket)?;
    let logits = spec.predicts();
    let agreement = Agreement::of(&got, &want, logits, kind, reference)?;
    agreement.check(AGREEMENT)?;
    // Where weights stay on disk there is no speed to speak of.
    let speed = match options.timing.as_ref().filter(|_| options.memory.is_none()).zip(batches.first()) {
        Some((timing, batch)) => {
            let original = original.map_or_else(|| open(model), Ok)?;
            Some(speeds(&original, &network, batch, timing, &of_speed)?)
        }
        None => None,
    };
    // Of numbers, and of ends of answers, no class is the largest.
    let says_classes = spec
        .task
        .as_ref()
        .map_or(logits, |task| task.problem == ProblemType::SingleLabel && task.kind != TaskKind::QuestionAnswering);
    Ok(Proof { agreement, change: Change::of(&got, &before, says_classes)?, speed })
}

/// Positions of each batch whose results are compared, and the room for a network where memory is bounded.
fn rows_and_room(
    model: &Model,
    batches: &[Batch],
    mended: &Mended<'_>,
    options: &ExportOptions,
) -> Result<(usize, Option<MemoryPlan>)> {
    let spec = model.spec();
    let width = spec.result_width();
    let share = |limit: MemoryLimit| usize::try_from(limit.0.saturating_sub(PROGRAM) / 64).unwrap_or(HELD);
    let numbers = options.memory.map_or(HELD, share).min(HELD);
    let most = (numbers / width / batches.len()).max(1);
    let Some(limit) = options.memory else { return Ok((most, None)) };
    let mut positions = 0;
    for batch in batches {
        let extent = Extent::of(batch, spec)?;
        positions += most.min(extent.sequences * extent.source.max(extent.target));
    }
    // Results of the three runs stay, and those at hand are there twice more.
    let results = (5 * positions * width * size_of::<f32>()) as u64;
    let throughout = results + mended.bytes_beside();
    let largest = Extent::largest(batches, spec)?;
    Ok((most, Some(MemoryPlan { limit, largest, needs: Needs { copies: COPIES, throughout, ..Needs::ONE } })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::path::PathBuf;

    const DIES_AT: &str = "PILLARS_TEST_EXPORT_DIES_AT";
    const DIES_IN: &str = "PILLARS_TEST_EXPORT_DIES_IN";

    fn model() -> Model {
        Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap()
    }

    fn plan() -> Plan {
        Plan::parse_any(r#"{"decoder.0": [0, 3], "decoder.1": [2, 3]}"#).unwrap()
    }

    /// An export to `out` that meets `end` at the tensor `at`, or, one past the last, at the proof.
    fn export_until(at: usize, out: &Path, end: fn() -> Error) -> Result<ExportDraft> {
        let mut seen = 0;
        let mut watch = |_: &TensorPlan| {
            seen += 1;
            if seen > at { Err(end()) } else { Ok(()) }
        };
        let mut input = std::iter::from_fn(|| Some(Err(end())));
        let (options, ticket) = (ExportOptions::default(), Ticket::default());
        write_watched(&model(), &plan(), ExportFormat::Compact, out, &options, Some(&mut input), &ticket, &mut watch)
    }

    #[test]
    fn a_failure_at_any_tensor_leaves_nothing() {
        let tensors = model().checkpoint().names().len();
        for at in 0..=tensors {
            let folder = tempfile::tempdir().unwrap();
            let error = export_until(at, &folder.path().join("out"), || Error::new("disk full")).unwrap_err();
            assert!(error.to_string().starts_with("disk full"), "at tensor {at}: {error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "at tensor {at}");
        }
    }

    #[test]
    fn a_kill_at_any_tensor_leaves_nothing_that_opens() {
        let tensors = model().checkpoint().names().len();
        for at in 0..=tensors {
            let folder = tempfile::tempdir().unwrap();
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", "pruning::draft::tests::dies"])
                .env(DIES_AT, at.to_string())
                .env(DIES_IN, folder.path())
                .output()
                .unwrap();
            assert!(!status.status.success());
            let mut left = 0;
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                // Beside the folder under way stands the file by which others see that somebody writes there.
                left += usize::from(path.is_dir());
                assert!(Model::open(&path).is_err() && !path.join("config.json").exists(), "at tensor {at}: {path:?}");
                assert!(path.file_name().unwrap().to_str().unwrap().starts_with('.'));
            }
            // The child was really at work when it died.
            assert_eq!(left, 1, "at tensor {at}");
        }
    }

    #[test]
    #[ignore = "the process that a_kill_at_any_tensor_leaves_nothing_that_opens starts and that dies"]
    fn dies() {
        let (Ok(at), Ok(folder)) = (std::env::var(DIES_AT), std::env::var(DIES_IN)) else { return };
        let _ = export_until(at.parse().unwrap(), &PathBuf::from(folder).join("out"), || std::process::abort());
    }
}
