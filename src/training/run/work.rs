//! A run under way: opening it, one stretch of steps, looking, saving.

use std::collections::BTreeSet;
use std::time::Instant;

use candle_core::Device;

use super::folder::RunFolder;
use super::options::{RunOptions, TrainingEvent};
use super::summary::{HeldOut, TrainingSummary};
use crate::analysis::{Distances, Metric};
use crate::checkpoint::{model_name, read_file, write_atomically};
use crate::corpus::{BatchOrder, Corpus, CorpusPart, TextTokenizer, Total};
use crate::error::{Error, Result};
use crate::evaluation::generation::{Translation, TranslationScore, translate};
use crate::evaluation::{Quality, evaluate};
use crate::model::Model;
use crate::network::{Batch, Gates, Network};
use crate::plan::{PlanRequest, check_amount};
use crate::pruning::TrainedRecord;
use crate::task::Ticket;
use crate::training::constraint::Constraint;
use crate::training::overfit::{LOOKS, overfits};
use crate::training::{
    BEST, Beginning, Blueprint, Centers, Control, Data, Feed, Learner, MetricsLog, Record, RunState, RunningSums,
    STATE, Schedule, SiteRecord, Stage, StepResult, StepSettings, TrainSettings, TrainingRun, centers, missing_loss,
    movement, prepare, state, unigram_loss,
};
use crate::words::counted;

/// Looks in a row below the threshold after which hidden units count as converged.
const CALM: u64 = 2;

/// What to say where held-out data is the training data.
const IN_SAMPLE: &str = "in-sample: the held-out data is the data that is learned from, so that what is measured on it says \
    nothing of other data; name other data, or none to hold out a part";

/// Batches that a unigram model counts at most: frequencies are long settled by then.
const UNIGRAM_BATCHES: u64 = 4096;

/// How much a stage may add to the loss, in nats, before that is said: here the perplexity doubles.
const HARM: f64 = std::f64::consts::LN_2;

/// Why a stretch of steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All steps are taken, or the stage's own goal is reached.
    Finished,
    /// The user wants to stop.
    Stopped,
}

/// A run under way.
pub(super) struct ActiveRun<'a> {
    pub request: &'a TrainingRun,
    pub folder: &'a RunFolder,
    pub control: &'a Control,
    pub observe: &'a mut dyn FnMut(TrainingEvent<'_>),
    /// Of the stage under way.
    pub ticket: Ticket,
    /// Those of training, voting, fine-tuning and writing: one bar for all of them.
    parts: [Ticket; 4],
    pub device: Device,
    pub blueprint: Blueprint,
    pub learner: Learner,
    /// The learner's network for looking.
    pub frozen: Network,
    pub training: Corpus,
    pub held_out: Vec<Batch>,
    /// Where these are from.
    measured: Corpus,
    /// What is translated at every look, where that was asked for.
    pairs: Option<HeldOutPairs>,
    pub standing: RunState,
    pub centers: Option<Centers>,
    pub log: MetricsLog,
    pub summary: TrainingSummary,
    clock: Instant,
}

/// Refuses groups, a plan or an amount of heads that the model does not have room for: what the vote needs is known to fit
/// before the first step.
fn check_choice(settings: &TrainSettings, blueprint: &Blueprint) -> Result<()> {
    let sites = blueprint.spec().sites();
    for (site, attention) in &sites {
        settings.constraint.groups.at(*site, attention.heads)?;
    }
    let Some(voting) = &settings.voting else { return Ok(()) };
    match &voting.plan {
        Some(plan) => plan.validate(blueprint.spec()),
        None => {
            let request = PlanRequest::new(voting.method, voting.amount);
            check_amount(sites.iter().map(|(_, attention)| attention.heads), &request)
        }
    }
}

/// How much of the held-out data `batches` are.
fn extent(measured: &Corpus, batches: &[Batch]) -> Result<HeldOut> {
    let all = measured.with(|s| s.batches = None).total();
    let sequences = batches.iter().map(|batch| batch.source.sequences()).sum::<Result<usize>>()?;
    Ok(HeldOut {
        batches: batches.len() as u64,
        of_batches: all.map(Total::value),
        is_estimate: matches!(all, Some(Total::Estimate(_))),
        sequences: sequences as u64,
    })
}

/// Held-out pairs and how they are translated.
struct HeldOutPairs {
    how: Translation,
    tokenizer: TextTokenizer,
    corpus: Corpus,
}

/// What the stages of a run take beside each other, in steps. A vote reads about as much as a tenth of them, forward alone;
/// writing reads a few batches.
fn stage_weights(settings: &TrainSettings) -> [f64; 4] {
    let (first, voting) = (settings.first_steps() as f64, settings.voting.as_ref());
    let tuning = voting.map_or(0.0, |voting| voting.finetune_steps as f64);
    let votes = if voting.is_some() { 0.05 * first } else { 0.0 };
    [first, votes, tuning, 0.03 * (first + tuning)]
}

impl<'a> ActiveRun<'a> {
    /// Opens model and data, and puts a saved state back where there is one.
    pub(super) fn open(
        request: &'a TrainingRun,
        folder: &'a RunFolder,
        options: &RunOptions,
        control: &'a Control,
        observe: &'a mut dyn FnMut(TrainingEvent<'_>),
        ticket: &'a Ticket,
    ) -> Result<Self> {
        let settings = &request.settings;
        let [of_data, rest] = ticket.parts([0.02, 0.98]);
        let ticket = &of_data;
        let device = options.device.clone();
        let blueprint = match &request.beginning {
            Beginning::Weights => Blueprint::of_model(&Model::open(&request.model)?)?,
            Beginning::Scratch { vocabulary } => {
                let origin = folder.inside("origin");
                let config = if origin.join("config.json").is_file() {
                    crate::checkpoint::Config::read(&origin.join("config.json"))?
                } else {
                    prepare(&request.model, *vocabulary, &request.input, &folder.empty("origin")?, ticket)?
                };
                Blueprint::fresh(&config, &origin)?
            }
        };
        if let Some(why) = missing_loss(blueprint.spec(), Some(&request.input)) {
            return Err(Error::new(why));
        }
        check_choice(settings, &blueprint)?;
        let chosen = settings.voting.as_ref().and_then(|voting| voting.plan.as_ref());
        if let Some((plan, base)) = chosen.zip(blueprint.base())
            && let Some(note) = plan.foreign_to(&base.checkpoint().fingerprint()?)
        {
            observe(TrainingEvent::Note(&note));
        }
        let Data { training, held_out, in_sample, note } = Data::open(request, &blueprint, ticket)?;
        if let Some(note) = &note {
            observe(TrainingEvent::Note(note));
        }
        if in_sample {
            observe(TrainingEvent::Note(IN_SAMPLE));
        }
        let pairs = match settings.translation {
            Some(how) => {
                let tokenizer = TextTokenizer::load(blueprint.side())?.writing_for(held_out.input())?;
                // As many as are to be translated, however many batches are measured otherwise.
                Some(HeldOutPairs { how, tokenizer, corpus: held_out.with(|s| s.batches = None) })
            }
            None => None,
        };
        let measured = held_out;
        let held_out = measured.batches(&device).collect::<Result<Vec<_>>>()?;
        let extent = extent(&measured, &held_out)?;
        let told: BTreeSet<String> =
            training.notes().into_iter().chain(measured.notes()).chain(extent.sentence()).collect();
        told.iter().for_each(|note| observe(TrainingEvent::Note(note)));
        let parameters = blueprint.parameters(settings.seed, &device)?;
        let learner = Learner::new(blueprint.spec(), parameters, settings.adam)?;
        let mut learner = learner.computing_in(settings.precision);
        let (mut standing, mut centers) = (RunState::default(), None);
        let path = folder.inside(STATE);
        if folder.has_state() {
            (standing, centers) = state::load(&path, &mut learner, &device)?;
        }
        let log = MetricsLog::open(&folder.metrics(), standing.total_steps)?;
        if folder.has_state() {
            observe(TrainingEvent::Earlier(&MetricsLog::read(&folder.metrics())?));
        }
        let mut summary: TrainingSummary = match read_file(folder.inside("summary.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::from(e)
                    .within("the saved summary is damaged")
                    .at(folder.inside("summary.json"))
                    .hint(state::ANEW)
            })?,
            Err(_) => TrainingSummary { parameters_before: learner.parameters().count(), ..TrainingSummary::default() },
        };
        (summary.in_sample, summary.held_out) = (in_sample, Some(extent));
        summary.per_label = blueprint.spec().task.is_some();
        let frozen = learner.frozen()?;
        Ok(Self {
            request,
            folder,
            control,
            observe,
            ticket: of_data,
            parts: rest.parts(stage_weights(settings)),
            device,
            blueprint,
            learner,
            frozen,
            training,
            held_out,
            measured,
            pairs,
            standing,
            centers,
            log,
            summary,
            clock: Instant::now(),
        })
    }

    pub(super) fn settings(&self) -> &'a TrainSettings {
        &self.request.settings
    }

    /// From here on progress is that of the stage that is reached.
    pub(super) fn take_part(&mut self) {
        let [train, vote, tune, write] = &self.parts;
        let part = match self.standing.stage {
            Stage::Constrained => train,
            Stage::Voting => vote,
            Stage::FineTuning => tune,
            Stage::Writing | Stage::Done => write,
        };
        self.ticket = part.clone();
    }

    /// Quality on the held-out data.
    pub(super) fn quality(&self, gates: &Gates) -> Result<Quality> {
        // The progress that people see is that of the stage.
        let silent = self.ticket.silent();
        evaluate(&self.frozen, gates, self.held_out.iter().cloned().map(Ok), None, &silent)
    }

    /// Mean loss per token, or label, on the held-out data, and the metric of a labeled task.
    pub(super) fn held_out(&mut self, gates: &Gates) -> Result<(f64, Option<f64>)> {
        let quality = self.quality(gates)?;
        let metric = quality.task_metric().map(|(name, metric)| (name.to_owned(), metric.value));
        if let Some((name, _)) = &metric {
            self.summary.metric_name = Some(name.clone());
        }
        let loss = quality.loss_per_token;
        let loss = loss
            .ok_or_else(|| Error::new("nothing in the held-out data has a label, so there is no loss to train by"))?;
        if !loss.is_finite() {
            let RunState { stage, step, .. } = &self.standing;
            return Err(Error::new("training diverged: the loss on held-out data is not finite")
                .within(format!("{} step {step}", stage.name()))
                .hint("lower --lr, or warm up longer"));
        }
        Ok((loss, metric.map(|(_, value)| value)))
    }

    /// Says where a stage of steps left the model far worse on held-out data than it found it.
    pub(super) fn warn_of_harm(&mut self, before: Option<f64>, after: f64) {
        if let Some(before) = before.filter(|before| after > before + HARM && self.standing.step > 0) {
            let stage = self.standing.stage.name();
            (self.observe)(TrainingEvent::Note(&format!(
                "{stage} did harm: the loss on held-out data is {after:.4} after it and was {before:.4} before; try a lower \
                 learning rate, or a longer warm-up"
            )));
        }
    }

    /// That the weights were trained, on what, and what it came to.
    pub(super) fn trained(&self) -> Result<TrainedRecord> {
        let (settings, summary) = (self.settings(), &self.summary);
        let reading = self.measured.reading(&self.ticket)?;
        let learned = self.training.reading(&self.ticket)?;
        let constrained = if settings.constraint.is_idle() { "" } else { " with the group constraint" };
        let early = summary.early_vote().map(|early| format!("; {early}")).unwrap_or_default();
        let mut told = format!(
            "Trained for {}{constrained} at a learning rate of at most {} on {}{early}.",
            counted(summary.constrained_steps, "steps"),
            settings.rate,
            learned.input
        );
        if summary.finetune_steps > 0 {
            told.push_str(&format!(
                " Fine-tuned for {} without the removed heads.",
                counted(summary.finetune_steps, "steps")
            ));
        }
        let labels: usize = self.held_out.iter().map(Batch::label_count).sum();
        let held = if matches!(reading.part, CorpusPart::HeldOut { .. }) { "held out of" } else { "of" };
        let same = if summary.in_sample { ", which is what was learned from" } else { "" };
        let batches = summary.held_out.unwrap_or_default().batches_in_words();
        let labels = counted(labels as u64, "predictions");
        Ok(TrainedRecord {
            origin: model_name(&self.request.model),
            told,
            readings: vec![learned],
            measured_on: format!("{labels} in {batches} {held} {}{same}", reading.input),
            beside: summary.beside().to_owned(),
            stages: summary.stages(),
        })
    }

    /// Notes how good a look was, and keeps the weights of the best.
    fn judge(&mut self, (loss, metric): (f64, Option<f64>)) -> Result<()> {
        if self.settings().patience.is_none() {
            return Ok(());
        }
        // The metrics that stand for labeled tasks all rise.
        let good = metric.unwrap_or(-loss);
        if self.standing.best.is_none_or(|(best, _)| good > best) {
            state::save_weights(&self.folder.inside(BEST), &self.learner)?;
            self.standing.best = Some((good, self.standing.step));
            self.standing.stale_looks = 0;
        } else {
            self.standing.stale_looks += 1;
        }
        Ok(())
    }

    /// Says where the held-out loss keeps rising while the training loss falls.
    fn note_overfitting(&mut self, learned: f64, held_out: f64) {
        let RunState { looks, stage, step, .. } = &mut self.standing;
        looks.push((learned, held_out));
        looks.drain(..looks.len().saturating_sub(LOOKS));
        let Some((before, now)) = overfits(looks) else { return };
        let text = format!(
            "{} overfits by step {step}: the held-out loss rose from {before:.4} to {now:.4} at several looks in a row while \
             the training loss fell; fewer --steps, a lower --lr or more data would do",
            stage.name()
        );
        (self.observe)(TrainingEvent::Note(&text));
    }

    /// Whether the looks so far end the stage: patience is at its end, or, where that counts, hidden units are calm. It is
    /// read from what is saved, so that a run that was cancelled at this very step ends the stage too.
    fn is_over(&self, until_calm: bool) -> bool {
        let RunState { stale_looks, calm_looks, .. } = &self.standing;
        let stale = self.settings().patience.is_some_and(|patience| *stale_looks >= patience);
        stale || (until_calm && *calm_looks >= CALM)
    }

    /// Puts the weights of the stage's best look back.
    fn take_best(&mut self) -> Result<()> {
        let Some((_, step)) = self.standing.best.filter(|(_, step)| *step != self.standing.step) else { return Ok(()) };
        state::load_weights(&self.folder.inside(BEST), &self.learner, &self.device)?;
        let stage = self.standing.stage.name();
        (self.observe)(TrainingEvent::Note(&format!("{stage} goes on with the weights of step {step}, its best")));
        Ok(())
    }

    /// How good translations of the held-out pairs are, where that was asked for.
    pub(super) fn translated(&self, gates: &Gates) -> Result<Option<TranslationScore>> {
        let Some(HeldOutPairs { how, tokenizer, corpus }) = &self.pairs else { return Ok(None) };
        let silent = self.ticket.silent();
        Ok(translate(&self.frozen, gates, tokenizer, corpus, *how, &silent)?.score())
    }

    /// Loss of a unigram model of the training data on the held-out data, for comparison; the same everywhere.
    pub(super) fn unigram_loss(&self) -> Result<Option<f64>> {
        let Some(output) = &self.blueprint.spec().output else { return Ok(None) };
        let training = self.training.with(|s| {
            s.order = BatchOrder::AsRead;
            s.batches = Some(s.batches.unwrap_or(UNIGRAM_BATCHES).min(UNIGRAM_BATCHES));
        });
        unigram_loss(training.batches(&Device::Cpu), &self.held_out, output.vocabulary, &self.ticket)
    }

    /// Writes everything that a resumption needs.
    pub(super) fn save(&mut self) -> Result<()> {
        self.standing.optimizer_steps = self.learner.optimizer().steps();
        self.standing.loss_scale = self.learner.loss_scale();
        state::save(&self.folder.inside(STATE), &self.learner, &self.standing, self.centers.as_ref())
    }

    /// Writes what is known of the quality so far.
    pub(super) fn write_summary(&self) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(&self.summary)?);
        write_atomically(&self.folder.inside("summary.json"), text.as_bytes())
    }

    /// Goes on to `stage` and saves.
    pub(super) fn enter(&mut self, stage: Stage) -> Result<()> {
        self.standing.stage = stage;
        self.standing.step = 0;
        self.standing.since_record = RunningSums::default();
        (self.standing.best, self.standing.stale_looks) = (None, 0);
        self.standing.looks.clear();
        self.write_summary()?;
        self.save()?;
        // The saved state no longer asks for them.
        let best = self.folder.inside(BEST);
        if best.exists() {
            std::fs::remove_file(&best).map_err(|e| Error::from(e).at(&best))?;
        }
        Ok(())
    }

    /// Steps up to the `last` of this stage. `constraint` is part of the loss where it has a weight, and measured
    /// where there is a record; `converged` ends the stage early.
    pub(super) fn steps(
        &mut self,
        last: u64,
        schedule: &Schedule,
        constraint: Option<&Constraint>,
        gates: &Gates,
        until_calm: bool,
    ) -> Result<End> {
        let settings = self.settings();
        let stage = self.standing.stage;
        (self.observe)(TrainingEvent::Stage(stage));
        self.ticket.stage_from(stage.name(), self.standing.step, Some(last), "steps");
        let mut feed = Feed::new(&self.training, &self.device, self.standing.position);
        self.clock = Instant::now();
        while self.standing.step < last && !self.is_over(until_calm) {
            if let Err(cancelled) = self.control.wait(&self.ticket) {
                self.save()?;
                return Err(cancelled);
            }
            if self.control.is_stopping() {
                self.save()?;
                return Ok(End::Stopped);
            }
            let batches = (0..settings.accumulate).map(|_| feed.next_batch()).collect::<Result<Vec<_>>>()?;
            let next = self.standing.step + 1;
            let looks = next.is_multiple_of(settings.look_every) || next == last;
            let records = looks || next.is_multiple_of(settings.record_every);
            let rate = schedule.rate(self.standing.step);
            let stepped = self.learner.step(
                &batches,
                &StepSettings {
                    rate,
                    smoothing: settings.smoothing,
                    constraint: constraint.filter(|c| records || !c.is_idle()),
                    gates,
                    seed: settings.seed,
                },
            );
            let step =
                stepped.map_err(|e| e.within(format!("{} step {next}, learning rate {rate:.1e}", stage.name())))?;
            self.standing.position = feed.position();
            self.count(&step, batches.iter().map(Batch::token_count).sum::<Result<usize>>()?);
            if records {
                let mut record = self.record(&step, rate, last);
                if looks {
                    let found = self.held_out(gates)?;
                    (record.validation_loss, record.metric) = (Some(found.0), found.1);
                    record.metric_name = self.summary.metric_name.clone().filter(|_| found.1.is_some());
                    self.judge(found)?;
                    self.note_overfitting(record.task_loss, found.0);
                    record.translation = self.translated(gates)?;
                    record.movement = if constraint.is_some() { self.look()? } else { None };
                }
                self.standing.since_record = RunningSums::default();
                self.log.append(&record)?;
                (self.observe)(TrainingEvent::Record(&record));
                // Looking is no part of a step's time.
                self.clock = Instant::now();
            }
            // Progress is reported after the step is complete, so that a cancel here loses nothing.
            let cancelled = self.ticket.advance(1);
            let vote = self.control.take_vote() && stage == Stage::Constrained;
            if vote && self.standing.step < last {
                self.summary.voted_early_of = Some(last);
            }
            let saves = self.is_over(until_calm) || self.standing.total_steps.is_multiple_of(settings.save_every);
            if cancelled.is_err() || vote || saves {
                self.save()?;
            }
            cancelled?;
            if vote {
                break;
            }
        }
        if until_calm {
            self.summary.converged = self.standing.calm_looks >= CALM;
        }
        self.take_best()?;
        Ok(End::Finished)
    }

    /// Adds a step to the sums.
    fn count(&mut self, step: &StepResult, read: usize) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        let standing = &mut self.standing;
        standing.step += 1;
        standing.total_steps += 1;
        standing.seconds += seconds;
        let sums = &mut standing.since_record;
        sums.steps += 1;
        sums.tokens += step.tokens as u64;
        sums.read += read as u64;
        sums.task_loss += step.task_loss * step.tokens as f64;
        sums.constraint_loss += step.constraint_loss;
        sums.seconds += seconds;
        sums.parts.add(&step.parts);
    }

    fn record(&self, step: &StepResult, rate: f64, last: u64) -> Record {
        let RunState { stage, step: done, total_steps, seconds, since_record: sums, .. } = &self.standing;
        let per_second = sums.read as f64 / sums.seconds.max(1e-9);
        let sites = step.sites.iter().map(|(site, (gram, groups))| {
            let metric = self.settings().constraint.metric;
            let gram = if metric == Metric::Cosine { gram.normalized() } else { gram.clone() };
            let distances = Distances::new(&gram);
            let silhouette = distances.mean_silhouette(groups);
            (*site, SiteRecord { groups: groups.clone(), silhouette, dunn: distances.dunn(groups) })
        });
        Record {
            stage: *stage,
            step: *done,
            total_steps: *total_steps,
            per_label: self.blueprint.spec().task.is_some(),
            task_loss: sums.task_loss / sums.tokens as f64,
            constraint_loss: sums.constraint_loss / sums.steps as f64,
            homogenization: step.homogenization,
            diversification: step.diversification,
            rate,
            gradient_norm: step.gradient_norm,
            tokens_per_second: per_second,
            seconds: *seconds,
            parts: sums.parts.per_step(sums.steps),
            remaining_secs: Some((last - done) as f64 * sums.seconds / sums.steps as f64),
            validation_loss: None,
            metric: None,
            metric_name: None,
            translation: None,
            movement: None,
            sites: sites.collect(),
        }
    }

    /// Compares hidden units on a held-out batch with the last look.
    fn look(&mut self) -> Result<Option<f64>> {
        let settings = self.settings();
        let Some(batch) = self.held_out.first() else { return Ok(None) };
        let now = centers(&self.frozen, batch, &settings.constraint, settings.seed)?;
        let moved = self.centers.as_ref().map(|before| movement(before, &now)).transpose()?;
        self.centers = Some(now);
        if let Some(moved) = moved {
            let calm = moved < settings.converged_below;
            self.standing.calm_looks = if calm { self.standing.calm_looks + 1 } else { 0 };
        }
        Ok(moved)
    }
}
