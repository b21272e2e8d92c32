//! Writing what a plan leaves, in one format or several, with its proof and its quality.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::control::{RandomHeads, RandomQuality};
use super::{Checked, MeasuredRepair};
use crate::checkpoint::make_folder;
use crate::checkpoint::path_text;
use crate::corpus::{BatchOrder, Corpus, Purpose};
use crate::engines::Quantization;
use crate::engines::{self, EngineDraft, EngineOptions};
use crate::error::Result;
use crate::evaluation::{COMPARED_COPIES, Candidate, Measured, Timing, compare};
use crate::model::{Model, Needs};
use crate::network::{Gates, Network};
use crate::plan::{CONTROL_DRAWS, Plan};
use crate::pruning::{self, ExportDraft, ExportFormat, ExportOptions, Forecast, OutputFormat, Report, opens_alone};
use crate::repair::Repair;
use crate::task::Ticket;

/// What is written where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneSpec {
    /// The folder to write.
    #[serde(with = "path_text")]
    pub out: PathBuf,
    /// The format of the checkpoint.
    pub format: OutputFormat,
    /// Replace a folder that this program wrote.
    pub force: bool,
    /// How an engine's file stores weights; as they are where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// A GGUF file whose tokenizer goes into one that is written.
    #[serde(skip_serializing_if = "Option::is_none", with = "path_text::option")]
    pub tokenizer_from: Option<PathBuf>,
}

/// What comparing the original with the written model needs, beside new projections: those of the plan as they came and in a
/// network, and those of every draw of random heads.
fn measuring(repair: Option<&Repair>) -> Needs {
    let throughout = repair.map_or(0, |repair| (2 + CONTROL_DRAWS) * repair.bytes());
    Needs { networks: 2, copies: COMPARED_COPIES, throughout, ..Needs::ONE }
}

/// What is written and proven but has no name yet.
enum OutputDraft {
    Folder(Box<ExportDraft>),
    File(Box<EngineDraft>),
}

impl OutputDraft {
    fn finish(self, measured: Option<Measured>) -> Result<Report> {
        match self {
            Self::Folder(draft) => draft.finish(measured),
            Self::File(draft) => draft.finish(measured),
        }
    }
}

/// What is written: the heads of a plan with their output projections.
struct WrittenChoice<'a> {
    plan: &'a Plan,
    repair: Option<&'a Repair>,
    /// Whether a file that can hold quantized weights does.
    quantized: bool,
}

/// What several formats share, once it is measured.
#[derive(Default)]
struct Known {
    measured: Option<Measured>,
    random: Option<RandomQuality>,
}

/// Why there are no random heads beside weights that are not those of the original.
const OTHER_WEIGHTS: &str = "the written weights are averaged or quantized, and theirs are not";

/// Batches in whose time a checkpoint is written and proven, more or less: the proof reads a few of them three times.
const WRITING: f64 = 20.0;

/// Batches that quality beside an export takes: of the model before and after, and of the random heads that are not known.
fn quality_batches(corpus: Option<&Corpus>, known: &Known) -> f64 {
    let batches = corpus.map_or(0, |corpus| corpus.total().map_or(UNKNOWN, |total| total.value()));
    let draws = if known.random.is_some() { 0 } else { CONTROL_DRAWS };
    (2 + draws) as f64 * batches as f64
}

/// Batches of an input that does not tell their number.
const UNKNOWN: u64 = 64;

impl Checked {
    /// Writes the model without the heads that `plan` removes, with the output projections of `repair`, reopens it and
    /// compares it with the masked model: a folder on the input where there is one, an engine's file on random input. With
    /// an input, quality before and after is measured on it as [`Checked::evaluate`] does, and recorded with what was read.
    ///
    /// # Errors
    /// Where the plan does not fit the model, the folder is not free, the written model does not compute what it must, or
    /// memory does not suffice; then nothing is left behind.
    pub fn prune(&self, plan: &Plan, repair: Option<&Repair>, wanted: &PruneSpec, ticket: &Ticket) -> Result<Report> {
        self.prune_measured((plan, repair), None, wanted, ticket)
    }

    /// [`Checked::prune`] of a plan with its repair that was `measured` before: on the same input and in the same type its
    /// random heads are those again, which took most of the time.
    ///
    /// # Errors
    /// As of [`Checked::prune`].
    pub fn prune_measured(
        &self,
        (plan, repair): (&Plan, Option<&Repair>),
        measured: Option<&Measured>,
        wanted: &PruneSpec,
        ticket: &Ticket,
    ) -> Result<Report> {
        let [of_input, rest] = ticket.parts([0.02, 0.98]);
        let corpus = self.measured_corpus(repair, &of_input)?;
        let mut known = Known::default();
        if let Some((measured, corpus)) = measured.zip(corpus.as_ref()) {
            let is_same_plan = measured.kept == plan.kept && measured.repair == repair.map(|found| found.record.mode);
            let is_same_type = measured.dtype == self.spec().precision.dtype().as_str();
            if is_same_plan && is_same_type && measured.reading == corpus.reading(&of_input)? {
                known.random = RandomQuality::of(measured);
            }
        }
        let [of_draft, of_quality] = rest.parts([WRITING, quality_batches(corpus.as_ref(), &known)]);
        let draft = self.draft(plan, repair, wanted, corpus.as_ref(), &of_draft)?;
        let choice = WrittenChoice { plan, repair, quantized: wanted.quantization.is_some() };
        let measured = self.measure(&draft, &choice, corpus.as_ref(), &mut known, &of_quality)?;
        ticket.over();
        draft.finish(measured)
    }

    /// [`Checked::prune`] in several formats, each in a folder of its name under `wanted.out`.
    ///
    /// # Errors
    /// As of [`Checked::prune`]; where one format cannot be written, none is.
    pub fn prune_several(
        &self,
        plan: &Plan,
        repair: Option<&Repair>,
        formats: &[OutputFormat],
        wanted: &PruneSpec,
        ticket: &Ticket,
    ) -> Result<Vec<Report>> {
        let of = |format: &OutputFormat| PruneSpec {
            out: wanted.out.join(format.name()),
            format: *format,
            ..wanted.clone()
        };
        // What no format can be is told before anything is written.
        self.check_export(plan, repair.is_some_and(Repair::repairs), formats, wanted)?;
        let is_new = !wanted.out.exists();
        if is_new {
            make_folder(&wanted.out)?;
        }
        let written: Result<Vec<Report>> = (|| {
            let [of_input, rest] = ticket.parts([0.02, 0.98]);
            let corpus = self.measured_corpus(repair, &of_input)?;
            let mut known = Known::default();
            let quality = quality_batches(corpus.as_ref(), &known);
            // What computes the same as the first is not measured again.
            let weights =
                formats.iter().enumerate().flat_map(|(place, _)| [WRITING, if place == 0 { quality } else { 1.0 }]);
            let parts = rest.parts_of(&weights.collect::<Vec<_>>());
            let choice = WrittenChoice { plan, repair, quantized: wanted.quantization.is_some() };
            let mut drafts = Vec::with_capacity(formats.len());
            for (format, parts) in formats.iter().zip(parts.chunks(2)) {
                let [of_draft, of_quality] = parts else { continue };
                let draft = self.draft(plan, repair, &of(format), corpus.as_ref(), of_draft)?;
                let measured = self.measure(&draft, &choice, corpus.as_ref(), &mut known, of_quality)?;
                drafts.push((draft, measured));
            }
            // Names are given once everything is there.
            drafts.into_iter().map(|(draft, measured)| draft.finish(measured)).collect()
        })();
        if is_new && written.is_err() {
            // Only an empty folder goes.
            let _ = std::fs::remove_dir(&wanted.out);
        }
        written
    }

    /// Whether `plan`, repaired or not, can be written as `wanted` in each of `formats`: what can be known before any work. The
    /// same is found out when it is written.
    ///
    /// # Errors
    /// As of [`Checked::prune`], where the format cannot hold the plan or the folder is not free.
    pub fn check_export(
        &self,
        plan: &Plan,
        is_repaired: bool,
        formats: &[OutputFormat],
        wanted: &PruneSpec,
    ) -> Result<()> {
        for format in formats {
            let told = self.forecast(plan, is_repaired, &PruneSpec { format: *format, ..wanted.clone() });
            told.map_err(|error| if formats.len() > 1 { error.within(format) } else { error })?;
        }
        let source = self.model().checkpoint().place();
        match formats {
            several if several.len() > 1 && wanted.force && wanted.out.is_dir() => several
                .iter()
                .try_for_each(|format| pruning::check_free(&wanted.out.join(format.name()), source, wanted.force)),
            several => pruning::check_free(&wanted.out, source, wanted.force && several.len() == 1),
        }
    }

    /// The format of an export where nobody names one: compact, the smallest; native where that is as small and nothing but this
    /// program would open the other.
    pub fn usual_format(&self, plan: &Plan) -> OutputFormat {
        let told = |format| pruning::forecast(self.model(), plan, format).ok();
        let [compact, native] = [ExportFormat::Compact, ExportFormat::Native].map(told);
        let is_better = compact.zip(native).is_some_and(|(compact, native)| {
            opens_alone(&compact.opens_in) && native.bytes == compact.bytes && native.notes.is_empty()
        });
        if is_better { ExportFormat::Native.into() } else { OutputFormat::default() }
    }

    /// What writing as `wanted` says would give, with other output projections or not; an error says in one line why there
    /// is nothing such of this model.
    ///
    /// # Errors
    /// Where the format cannot hold the plan.
    pub fn forecast(&self, plan: &Plan, is_repaired: bool, wanted: &PruneSpec) -> Result<Forecast> {
        if is_repaired {
            pruning::check_repairable(wanted.format)?;
        }
        match wanted.format {
            OutputFormat::Folder(format) => pruning::forecast(self.model(), plan, format),
            OutputFormat::Engine(engine) => {
                engines::forecast(engine, self.model(), plan, &self.engine_options(None, wanted))
            }
        }
    }

    fn engine_options(&self, repair: Option<&Repair>, wanted: &PruneSpec) -> EngineOptions {
        EngineOptions {
            repair: repair.cloned(),
            quantization: wanted.quantization,
            tokenizer_from: wanted.tokenizer_from.clone(),
            force: wanted.force,
            seed: self.spec().seed,
            memory: self.spec().memory,
        }
    }

    /// The input that quality is measured on, where there is one.
    fn measured_corpus(&self, repair: Option<&Repair>, ticket: &Ticket) -> Result<Option<Corpus>> {
        match self.spec().input {
            Some(_) => self.fit(self.corpus(Purpose::Score, ticket)?, measuring(repair)).map(Some),
            None => Ok(None),
        }
    }

    fn draft(
        &self,
        plan: &Plan,
        repair: Option<&Repair>,
        wanted: &PruneSpec,
        corpus: Option<&Corpus>,
        ticket: &Ticket,
    ) -> Result<OutputDraft> {
        let spec = self.spec();
        if spec.memory.is_some() {
            // The proof loads what it needs, and all of it has to fit.
            self.opened().loaded.release();
        }
        let format = match wanted.format {
            OutputFormat::Engine(engine) => {
                let options = self.engine_options(repair, wanted);
                let draft = engines::write(engine, self.model(), plan, &wanted.out, &options, ticket)?;
                return Ok(OutputDraft::File(Box::new(draft)));
            }
            OutputFormat::Folder(format) => format,
        };
        let options = ExportOptions {
            force: wanted.force,
            device: self.device()?,
            seed: spec.seed,
            memory: spec.memory,
            timing: Some(Timing::THOROUGH),
            repair: repair.cloned(),
            ..ExportOptions::default()
        };
        // The proof reads the first batches, which should not be the shortest lines.
        let first = corpus.map(|c| c.with(|s| s.order = BatchOrder::AsRead));
        let mut batches = first.as_ref().map(|c| c.batches(&options.device));
        let input = batches.as_mut().map(|b| b as &mut dyn Iterator<Item = _>);
        let draft = pruning::write(self.model(), plan, format, &wanted.out, &options, input, ticket)?;
        Ok(OutputDraft::Folder(Box::new(draft)))
    }

    /// Quality of the original, of what was written and of random heads on the whole input. What computes the same has the
    /// same quality: it is measured once, and `known` from then on.
    fn measure(
        &self,
        draft: &OutputDraft,
        choice: &WrittenChoice<'_>,
        corpus: Option<&Corpus>,
        known: &mut Known,
        ticket: &Ticket,
    ) -> Result<Option<Measured>> {
        let Some(corpus) = corpus else { return Ok(None) };
        let WrittenChoice { plan, repair, quantized } = *choice;
        let is_repaired_anew = repair.is_some_and(Repair::repairs) && known.random.is_none();
        let [of_random, rest] = ticket.parts([if is_repaired_anew { 2.0 } else { 0.0 }, 7.0]);
        let ticket = &rest;
        let alike = || self.random_heads(plan, repair.map(MeasuredRepair::from), &of_random);
        match draft {
            OutputDraft::Folder(draft) if draft.report().export_format == ExportFormat::Gqa.into() => {
                let random = RandomHeads::missing(OTHER_WEIGHTS);
                self.measure_written(draft.model(), choice, &random, corpus, &mut None, ticket).map(Some)
            }
            OutputDraft::Folder(draft) => {
                if known.measured.is_none() {
                    let random = if known.random.is_some() { RandomHeads::default() } else { alike()? };
                    let found =
                        self.measure_written(draft.model(), choice, &random, corpus, &mut known.random, ticket)?;
                    known.measured = Some(found);
                }
                Ok(known.measured.clone())
            }
            // With the precision of the file.
            OutputDraft::File(draft) if draft.has_network() => {
                // Random heads are repaired before the networks are there that they are measured with: memory may be bounded.
                let random = match (quantized, &known.random) {
                    (true, _) => RandomHeads::missing(OTHER_WEIGHTS),
                    (false, Some(_)) => RandomHeads::default(),
                    (false, None) => alike()?,
                };
                let shared = if quantized { &mut None } else { &mut known.random };
                let (device, dtype) = (Device::Cpu, DType::F32);
                let (before, waiting) = match self.room(corpus, measuring(repair)) {
                    Some(room) => {
                        self.opened().loaded.release();
                        let before = self.model().network_within(&device, dtype, &room)?;
                        (before, self.model().waiting_within(&device, dtype, &room)?)
                    }
                    None => (self.model().network(&device, dtype)?, None),
                };
                let Some(after) = draft.network(waiting)? else { return Ok(None) };
                self.measured([before.into(), after.into()], choice, &random, corpus, shared, ticket).map(Some)
            }
            OutputDraft::File(_) => {
                if known.measured.is_none() {
                    let repair = repair.map(MeasuredRepair::from);
                    known.measured = Some(self.compare("", plan, repair, ticket)?);
                }
                Ok(known.measured.clone())
            }
        }
    }

    /// Quality of the original and of the written model on the whole input.
    fn measure_written(
        &self,
        written: &Model,
        choice: &WrittenChoice<'_>,
        random: &RandomHeads,
        corpus: &Corpus,
        shared: &mut Option<RandomQuality>,
        ticket: &Ticket,
    ) -> Result<Measured> {
        let needs = measuring(choice.repair);
        let before = self.network(corpus, needs, ticket)?;
        let (device, dtype) = (before.device(), before.dtype());
        let after = match self.room(corpus, needs) {
            Some(room) => written.network_within(device, dtype, &room)?,
            None => written.network(device, dtype)?,
        };
        self.measured([before, Arc::new(after)], choice, random, corpus, shared, ticket)
    }

    /// Quality of the original and of what was written, beside `random` heads of the original, or what is `shared` of such.
    fn measured(
        &self,
        [before, after]: [Arc<Network>; 2],
        choice: &WrittenChoice<'_>,
        random: &RandomHeads,
        corpus: &Corpus,
        shared: &mut Option<RandomQuality>,
        ticket: &Ticket,
    ) -> Result<Measured> {
        let open = Gates::open();
        let both = [&*before, &*after].map(|network| Candidate { network, gates: &open });
        let total = corpus.total().map(|t| t.value());
        let benchmark = self.benchmark(corpus, ticket)?;
        let draws = random.passes(!before.spec().predicts(), benchmark.is_some());
        let asked = if benchmark.is_some() { 2.0 } else { 0.0 };
        let [of_both, of_asked, of_random] = ticket.parts([2.0, asked, if shared.is_some() { 0.0 } else { draws }]);
        let mut comparison = compare(both[0], both[1], corpus.batches(before.device()), total, &of_both)?;
        if let Some(benchmark) = &benchmark {
            comparison.ask(benchmark, both, &of_asked)?;
        }
        // One network beside the whole one at a time.
        drop(after);
        let random = match shared {
            Some(known) => &*known,
            empty => {
                let how = (comparison.before.loss_per_token.is_none(), benchmark.as_ref());
                &*empty.insert(self.measure_random(&before, corpus, random, how, &of_random)?)
            }
        };
        let mut measured =
            self.told(comparison, (choice.plan, choice.repair), (corpus, None), before.dtype(), ticket)?;
        random.clone().record(&mut measured);
        Ok(measured)
    }
}
