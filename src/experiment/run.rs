//! Trains what is missing, arm by arm.

use candle_core::{DType, Device};

use super::place::{self, ExperimentPaths};
use super::{
    Arm, ArmResult, ExperimentPlan, ExperimentReport, MeanDeviation, RepairedArm, Stem, StemResult, architecture,
    curves,
};
use crate::analysis::{Analysis, Document, ModelInfo, baseline, moments};
use crate::chart::Theme;
use crate::corpus::{BatchOrder, Purpose, TextTokenizer};
use crate::error::{Error, Result};
use crate::evaluation::generation::translate;
use crate::figure::{self, DEFAULT_SCALE};
use crate::model::Model;
use crate::network::Gates;
use crate::plan::{self, Cost, Method, Plan};
use crate::repair::{RepairRecord, RepairSource, SiteRepair, replaceability};
use crate::task::Ticket;
use crate::training::constraint::Homogeneity;
use crate::training::{
    self, Beginning, Blueprint, Control, Data, Decay, MetricsLog, Record, RunOptions, TrainSettings, TrainingEnd,
    TrainingSummary, VoteAt, Voting, prepare,
};

/// Length at which floating-point operations are counted, as in the paper.
const COUNTED_LENGTH: usize = 30;

/// What an experiment tells while it is under way.
#[derive(Clone, Copy, Debug)]
pub enum ExperimentEvent<'a> {
    /// A record of the training run that is named.
    Record(&'a str, &'a Record),
    /// An arm is finished.
    Finished(&'a ArmResult),
    /// Something a person should know.
    Note(&'a str),
}

/// Carries `request` out, or goes on with it: what is finished is not done again, and what was interrupted goes on from
/// its saved state. The report is written anew after every arm.
pub fn run(
    request: &ExperimentPlan,
    options: &RunOptions,
    observe: &mut dyn FnMut(ExperimentEvent<'_>),
    ticket: &Ticket,
) -> Result<ExperimentReport> {
    request.check()?;
    let place = ExperimentPaths::open(request, options.resume, options.force)?;
    let mut work = ActiveExperiment { request, place: &place, device: options.device.clone(), observe, ticket };
    let end = work.carry_out();
    let has_begun = place.settle();
    end.map_err(|error| if has_begun { error.hint("go on with --resume") } else { error })
}

struct ActiveExperiment<'a> {
    request: &'a ExperimentPlan,
    place: &'a ExperimentPaths,
    device: Device,
    observe: &'a mut dyn FnMut(ExperimentEvent<'_>),
    ticket: &'a Ticket,
}

impl ActiveExperiment<'_> {
    fn carry_out(&mut self) -> Result<ExperimentReport> {
        self.prepare()?;
        self.ticket.stage_from("experiment", self.steps_done(), Some(self.request.steps()), "steps");
        for seed in self.request.seed_list() {
            for stem in self.request.stems() {
                self.stem(seed, stem)?;
            }
            for arm in &self.request.arms {
                if !self.place.figures(seed, *arm).is_file() {
                    self.arm(seed, *arm)?;
                    self.report()?;
                }
            }
        }
        self.report()
    }

    /// Configuration and tokenizer, made once for all models.
    fn prepare(&self) -> Result<()> {
        let origin = self.place.origin();
        if origin.join("config.json").is_file() {
            return Ok(());
        }
        let request = self.request;
        std::fs::create_dir_all(&origin).map_err(|e| Error::from(e).at(&origin))?;
        let (architecture, vocabulary) = match &request.architecture {
            Some(path) => (path.clone(), None),
            None => {
                let positions = request.reading.seq_len.unwrap_or(128);
                let task = super::ExperimentTask::of(&request.input)?;
                let path = self.place.file("architecture.json");
                place::write(&path, &architecture(task, &request.shape, positions))?;
                (path, Some(request.shape.vocabulary))
            }
        };
        prepare(&architecture, vocabulary, &request.input, &origin, self.ticket)?;
        Ok(())
    }

    fn steps_done(&self) -> u64 {
        let request = self.request;
        let seeds = request.seed_list();
        let stems = request.stems();
        let stems = seeds.iter().flat_map(|s| stems.iter().map(move |stem| (*s, *stem)));
        let stems = stems.filter(|(seed, stem)| finished(&self.place.stem(*seed, *stem)).is_some()).count() as u64;
        let arms = seeds.iter().flat_map(|s| request.arms.iter().map(move |arm| (*s, *arm)));
        let arms = arms.filter(|(seed, arm)| self.place.figures(*seed, *arm).is_file());
        stems * request.training.steps + arms.map(|(_, arm)| request.arm_steps(arm)).sum::<u64>()
    }

    /// How the models with every head are trained.
    fn settings(&self, seed: u64, stem: Stem) -> TrainSettings {
        let mut settings = TrainSettings { seed, voting: None, ..self.request.training.clone() };
        if stem == Stem::Plain {
            // Measured all the same, so that the twins can be compared.
            settings.constraint.alpha = 0.0;
            settings.constraint.beta = 0.0;
        }
        if stem == Stem::Explained {
            settings.constraint.homogeneity = Homogeneity::Linear;
            settings.constraint.beta = 0.0;
        }
        settings
    }

    fn stem_request(&self, seed: u64, stem: Stem) -> training::TrainingRun {
        let request = self.request;
        let mut reading = request.reading.clone();
        reading.seed = seed;
        training::TrainingRun {
            model: self.place.origin(),
            beginning: Beginning::Scratch { vocabulary: None },
            input: request.input.clone(),
            held_out: request.held_out.clone(),
            reading,
            out: self.place.stem(seed, stem),
            settings: self.settings(seed, stem),
        }
    }

    /// Trains a model with every head, unless it is there, and lets the batches vote on it.
    fn stem(&mut self, seed: u64, stem: Stem) -> Result<()> {
        let wanted = self.stem_request(seed, stem);
        if finished(&wanted.out).is_none() {
            self.train(&wanted, &format!("seed {seed}, {} model", stem.name()))?;
            forget_state(&wanted.out)?;
        }
        let votes = self.place.votes(seed, stem);
        let methods: Vec<Method> = self.arms_of(stem).filter_map(Arm::method).collect();
        if methods.is_empty() || votes.is_file() {
            return Ok(());
        }
        self.ticket.rename(format!("seed {seed}, vote on the {} model", stem.name()));
        let model = Model::open(&wanted.out)?;
        let network = model.network(&self.device, DType::F32)?;
        let silent = self.ticket.silent();
        let data = Data::open(&wanted, &Blueprint::of_model(&model)?, &silent)?;
        let voting = self.request.voting();
        // The constraint of both twins says how heads are grouped, whether or not it was part of the loss.
        let mut found = training::vote(&network, &model, &data.training, &wanted.settings, &voting, &methods, &silent)?;
        if self.request.repair.is_some() {
            let corpus = data.training.with(|s| {
                s.order = BatchOrder::AsRead;
                s.purpose = Purpose::Observe;
                s.batches = voting.batches;
            });
            let info = ModelInfo::of(&model, network.dtype())?;
            let batches = corpus.batches(&self.device);
            let moments = moments(&network, info, batches, None, &corpus.describe(), &silent)?;
            found.set_baseline(baseline::REPLACEABILITY, replaceability(&moments)?)?;
        }
        found.write(&votes)
    }

    /// How much of what each head of a stem adds the others of its layer can say, as a mean over all heads, where the
    /// batches that voted told.
    fn replaceability(&self, seed: u64, stem: Stem) -> Result<Option<f64>> {
        let votes = self.place.votes(seed, stem);
        if !votes.is_file() {
            return Ok(None);
        }
        let votes = Analysis::read(&votes)?;
        let told = votes.sites.iter().filter_map(|site| site.baselines.get(baseline::REPLACEABILITY));
        Ok(MeanDeviation::of(told.flat_map(|found| found.values.clone())).map(|spread| spread.mean))
    }

    fn arms_of(&self, stem: Stem) -> impl Iterator<Item = Arm> {
        self.request.arms.iter().copied().filter(move |arm| arm.stem() == stem)
    }

    /// Prunes and fine-tunes, or trains on with every head, and measures the result.
    fn arm(&mut self, seed: u64, arm: Arm) -> Result<()> {
        let plan = match arm.method() {
            Some(method) => Some(self.plan(seed, arm.stem(), method)?),
            None => None,
        };
        let wanted = self.arm_request(seed, arm, plan);
        let name = format!("seed {seed}, {arm}");
        let summary = self.train(&wanted, &name)?;
        if summary.outcome != TrainingEnd::Done {
            return Err(Error::cancelled());
        }
        let repaired = self.repaired(&wanted, seed, arm)?;
        self.ticket.rename(format!("{name}, measuring"));
        let model = Model::open(&wanted.out)?;
        let cost = Cost::of(model.spec(), COUNTED_LENGTH);
        let result = ArmResult {
            arm,
            seed,
            kept: summary.kept.clone(),
            heads: model.spec().sites().iter().map(|(_, a)| a.heads).sum(),
            parameters: cost.parameters,
            parameters_without_embeddings: cost.parameters_without_embeddings,
            flops: cost.flops,
            loss: summary.final_loss.ok_or_else(|| Error::new("a finished run has no loss").at(&wanted.out))?,
            masked_loss: summary.masked_loss,
            repaired,
            bleu: self.bleu(&wanted, &model)?,
            seconds: summary.seconds,
        };
        // What can be had from the stem, or is of use to a run under way alone, does not fill the disk.
        forget_run(&wanted.out)?;
        forget_run(&self.place.repaired_arm(seed, arm))?;
        place::write(&self.place.figures(seed, arm), &result)?;
        (self.observe)(ExperimentEvent::Finished(&result));
        Ok(())
    }

    /// Repairs the same heads of the same model and fine-tunes from there, where that is asked for.
    fn repaired(&mut self, masked: &training::TrainingRun, seed: u64, arm: Arm) -> Result<Option<RepairedArm>> {
        let (Some(mode), Some(voting)) = (self.request.repair, masked.settings.voting.clone()) else { return Ok(None) };
        let voting = Voting { repair: Some(RepairSource::Made(mode)), ..voting };
        let wanted = training::TrainingRun {
            out: self.place.repaired_arm(seed, arm),
            settings: TrainSettings { voting: Some(voting), ..masked.settings.clone() },
            ..masked.clone()
        };
        let summary = self.train(&wanted, &format!("seed {seed}, {arm}, repaired"))?;
        if summary.outcome != TrainingEnd::Done {
            return Err(Error::cancelled());
        }
        let missing = || Error::new("a finished run has no loss").at(&wanted.out);
        Ok(Some(RepairedArm {
            loss_before_finetuning: summary.repaired_loss.ok_or_else(missing)?,
            loss: summary.final_loss.ok_or_else(missing)?,
            explained: summary.repair.as_ref().and_then(explained_of_removed),
        }))
    }

    fn plan(&self, seed: u64, stem: Stem, method: Method) -> Result<Plan> {
        let votes = Analysis::read(&self.place.votes(seed, stem))?;
        plan::propose(
            &votes,
            &plan::PlanRequest { seed, ..plan::PlanRequest::new(method, self.request.voting().amount) },
        )
    }

    fn arm_request(&self, seed: u64, arm: Arm, plan: Option<Plan>) -> training::TrainingRun {
        let stem = self.stem_request(seed, arm.stem());
        let voting = self.request.voting();
        let mut settings = stem.settings;
        settings.look_every = (voting.finetune_steps / 4).max(1);
        if plan.is_none() {
            // The further steps of a model that keeps every head are those of the pruned ones.
            let schedule = settings.finetune_schedule(&voting);
            settings.steps = schedule.steps;
            settings.rate = schedule.peak;
            settings.warmup = Some(schedule.warmup);
            settings.decay = Decay::Cosine;
        }
        settings.voting = plan.map(|plan| Voting { at: VoteAt::Step(0), plan: Some(plan), ..voting });
        let mut reading = stem.reading;
        // Another order than that of the first steps.
        reading.seed = seed.wrapping_add(1 << 32);
        training::TrainingRun {
            model: stem.out,
            beginning: Beginning::Weights,
            reading,
            out: self.place.arm(seed, arm),
            settings,
            ..stem
        }
    }

    fn bleu(&self, wanted: &training::TrainingRun, model: &Model) -> Result<Option<f64>> {
        let Some(translation) = self.request.translation else { return Ok(None) };
        let network = model.network(&self.device, DType::F32)?;
        let tokenizer = TextTokenizer::load(&wanted.out)?;
        let silent = self.ticket.silent();
        let held_out = Data::open(wanted, &Blueprint::of_model(model)?, &silent)?.held_out.with(|s| s.batches = None);
        let found = translate(&network, &Gates::open(), &tokenizer, &held_out, translation, &silent)?;
        Ok(found.score().map(|score| score.bleu))
    }

    fn train(&mut self, wanted: &training::TrainingRun, name: &str) -> Result<TrainingSummary> {
        self.ticket.rename(name);
        let options = RunOptions { device: self.device.clone(), resume: true, force: false };
        let silent = self.ticket.silent();
        let (ticket, observe) = (self.ticket, &mut *self.observe);
        let mut seen = 0;
        let mut hear = |event: training::TrainingEvent<'_>| match event {
            training::TrainingEvent::Record(record) => {
                // A cancel is seen by the run itself, which then saves its state.
                let _ = ticket.advance(record.total_steps.saturating_sub(seen));
                seen = seen.max(record.total_steps);
                observe(ExperimentEvent::Record(name, record));
            }
            // Every part is opened to go on, and the first time there is nothing to go on with.
            training::TrainingEvent::Note(training::NOTHING_SAVED) => {}
            training::TrainingEvent::Note(note) => observe(ExperimentEvent::Note(note)),
            training::TrainingEvent::Stage(_) | training::TrainingEvent::Earlier(_) => {}
        };
        training::train(wanted, &options, &Control::default(), &mut hear, &silent)
    }

    /// What is finished so far, written and returned.
    fn report(&self) -> Result<ExperimentReport> {
        let (mut stems, mut arms) = (Vec::new(), Vec::new());
        for seed in self.request.seed_list() {
            for stem in self.request.stems() {
                let folder = self.place.stem(seed, stem);
                if let Some(summary) = finished(&folder) {
                    let records = MetricsLog::read(&folder.join("training"))?;
                    let replaceability = self.replaceability(seed, stem)?;
                    stems.push((
                        StemResult { replaceability, ..StemResult::new(stem, seed, &summary, &records) },
                        records,
                    ));
                }
            }
            for arm in &self.request.arms {
                let path = self.place.figures(seed, *arm);
                if path.is_file() {
                    arms.push(place::read::<ArmResult>(&path)?);
                }
            }
        }
        let drawn = curves(self.request, &stems).figure(&Theme::LIGHT);
        let report = ExperimentReport::new(self.request, stems.into_iter().map(|(stem, _)| stem).collect(), arms);
        for name in ["curves.svg", "curves.csv"] {
            figure::write(&drawn, &self.place.file(name), DEFAULT_SCALE)?;
        }
        for (name, text) in [
            ("table.md", report.to_markdown()),
            ("table.csv", report.table().to_csv()),
            ("runs.csv", report.runs_table().to_csv()),
            ("results.json", format!("{}\n", serde_json::to_string_pretty(&report)?)),
        ] {
            crate::checkpoint::write_atomically(&self.place.file(name), text.as_bytes())?;
        }
        Ok(report)
    }
}

/// The summary of the training run in `folder`, if its result is whole.
fn finished(folder: &std::path::Path) -> Option<TrainingSummary> {
    let summary: TrainingSummary = place::read(&folder.join("training/summary.json")).ok()?;
    (folder.join("config.json").is_file() && summary.parameters_after > 0).then_some(summary)
}

/// Share of what the removed heads added that the others can say, on held-out batches, as a mean over layers.
fn explained_of_removed(repair: &RepairRecord) -> Option<f64> {
    let of = |site: &SiteRepair| site.held_out.filter(|_| site.masked > 0.0).map(|error| 1.0 - error / site.masked);
    MeanDeviation::of(repair.sites.values().filter_map(of)).map(|spread| spread.mean)
}

/// Removes what is of use to a run under way alone, or can be had from the stem.
fn forget_run(folder: &std::path::Path) -> Result<()> {
    forget_state(folder)?;
    let full = folder.join("full");
    if full.is_dir() {
        std::fs::remove_dir_all(&full).map_err(|e| Error::from(e).at(&full))?;
    }
    Ok(())
}

/// Removes the weights and moments of a run that is finished.
fn forget_state(folder: &std::path::Path) -> Result<()> {
    let path = folder.join("training").join(training::STATE);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::from(e).at(&path)),
        _ => Ok(()),
    }
}
