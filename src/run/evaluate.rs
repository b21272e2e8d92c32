//! Quality of the whole model, and of a plan beside it and a random control.

use candle_core::DType;
use serde::{Deserialize, Serialize};

use super::origins::{chosen_words, in_sample_notes};
use super::passes::{MeasureWork, SCORED, random_repairs};
use super::{Checked, MeasuredRepair};
use crate::corpus::{Corpus, Input, Purpose, Reading, TextTokenizer};
use crate::error::{Error, Result};
use crate::evaluation::generation::translate;
use crate::evaluation::{
    Benchmark, COMPARED_COPIES, Candidate, Comparison, LOSS, Measured, Quality, SCORED_COPIES, compare, evaluate,
    task_metrics,
};
use crate::model::Needs;
use crate::network::{Gates, Network};
use crate::plan::Plan;
use crate::repair::Repair;
use crate::task::Ticket;

/// Quality of the whole model, and on what it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The quality that was measured.
    #[serde(flatten)]
    pub quality: Quality,
    /// What was read, and how.
    pub reading: Reading,
    /// The type that the passes ran in, e.g. `f32`.
    pub dtype: String,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What to say where one sequence is all that was scored.
fn lone_words(quality: &Quality) -> Option<String> {
    let is_lone = quality.sequences == 1 && !quality.metrics.is_empty();
    is_lone.then(|| "one sequence was scored: no number has an interval, and none says much of the model".to_owned())
}

/// Passes over the input in whose time its pairs are translated, more or less.
const WRITING: f64 = 20.0;

impl Checked {
    /// Quality of the whole model on the part of the input that the analysis leaves out, or on all of it.
    ///
    /// # Errors
    /// Where the input cannot be read or holds nothing to score, memory does not suffice, or the work is cancelled.
    pub fn evaluate(&self, ticket: &Ticket) -> Result<Scored> {
        let needs = Needs { copies: SCORED_COPIES, ..Needs::ONE };
        let (corpus, network) = self.scoring(needs, ticket)?;
        let open = Gates::open();
        let total = corpus.total().map(|t| t.value());
        let mut quality = evaluate(&network, &open, corpus.batches(network.device()), total, ticket)?;
        self.name_convention(&mut quality);
        if let Some(benchmark) = self.benchmark(&corpus, ticket)? {
            benchmark.ask(Candidate { network: &network, gates: &open }, ticket)?.record(&mut quality);
        }
        let passed = self.translated(&network, &open, &corpus, &mut quality, ticket)?;
        let dtype = network.dtype().as_str().to_owned();
        let own = self.unmeasured(&quality).into_iter().chain(lone_words(&quality));
        let reading = corpus.reading(ticket)?;
        let same = in_sample_notes(self.opened(), &reading);
        let notes = self.notes(&corpus).into_iter().chain(own).chain(passed).chain(same).collect();
        Ok(Scored { quality, reading, dtype, notes })
    }

    /// Masks the heads that `plan` removes and measures the model beside the whole one and beside as many random heads in
    /// every layer. `name` is the plan's, for a person. With a `repair` the heads that stay have its output projections, and
    /// the random heads those made in the same way on the same text; where that is not at hand, they are not measured.
    ///
    /// # Errors
    /// As [`Checked::evaluate`], and where the plan does not fit the model.
    pub fn compare(
        &self,
        name: &str,
        plan: &Plan,
        repair: Option<MeasuredRepair<'_>>,
        ticket: &Ticket,
    ) -> Result<Measured> {
        let spec = self.model().spec();
        plan.validate(spec)?;
        let own = repair.map(|found| found.plan);
        if let Some(own) = own {
            own.check(spec, &self.opened().facts.fingerprint, plan)?;
        }
        let of_random = repair.map_or(0.0, |found| {
            let passes = random_repairs(found.plan.record.mode, found.moments.is_some());
            passes * MeasureWork::calibrated(self.spec().held_out_every)
        });
        let [of_repair, of_input, rest] = ticket.parts([of_random, 0.2, SCORED]);
        // Before the network is there that they are measured with: memory may be bounded.
        let random = self.random_heads(plan, repair, &of_repair)?;
        let networks = if own.is_some() { 2 } else { 1 };
        let needs = Needs { copies: COMPARED_COPIES, networks, ..Needs::ONE };
        let (corpus, network) = self.scoring(needs, &of_input)?;
        let benchmark = self.benchmark(&corpus, &of_input)?;
        let total = corpus.total().map(|t| t.value());
        let open = Gates::open();
        let masked = Gates::keep(network.spec(), &plan.kept, network.dtype(), network.device())?;
        let before = Candidate { network: &network, gates: &open };
        let repaired = own.map(|own| self.model().repaired_network(&network, &own.outputs)).transpose()?;
        let after = Candidate { network: repaired.as_ref().unwrap_or(&network), gates: &masked };
        let asked = if benchmark.is_some() { 2.0 } else { 0.0 };
        // Every token that is written takes a pass of its own.
        let written = if self.spec().translation.is_some() { WRITING } else { 0.0 };
        let draws = random.passes(!network.spec().predicts(), benchmark.is_some());
        let [both, of_asked, of_before, of_after, rest] = rest.parts([2.0, asked, written, written, draws]);
        let mut comparison = compare(before, after, corpus.batches(network.device()), total, &both)?;
        self.name_convention(&mut comparison.before);
        self.name_convention(&mut comparison.after);
        if let Some(benchmark) = &benchmark {
            comparison.ask(benchmark, [before, after], &of_asked)?;
        }
        let passed = self.translated(&network, &open, &corpus, &mut comparison.before, &of_before)?;
        self.translated(after.network, &masked, &corpus, &mut comparison.after, &of_after)?;
        // One network beside the whole one at a time.
        drop(repaired);
        let by_likeness = comparison.before.loss_per_token.is_none();
        let random = self.measure_random(&network, &corpus, &random, (by_likeness, benchmark.as_ref()), &rest)?;
        let foreign = plan.foreign_to(&self.opened().facts.fingerprint);
        let mut measured = self.told(comparison, (plan, own), (&corpus, foreign), network.dtype(), ticket)?;
        measured.name = name.to_owned();
        measured.notes.extend(passed.into_iter().chain(plan.spared_words()));
        random.record(&mut measured);
        ticket.over();
        Ok(measured)
    }

    /// `comparison` with everything that says of what it is: of `plan` and its repair, on `corpus`, computed in `dtype`. Notes
    /// begin with `first`.
    pub(super) fn told(
        &self,
        comparison: Comparison,
        (plan, repair): (&Plan, Option<&Repair>),
        (corpus, first): (&Corpus, Option<String>),
        dtype: DType,
        ticket: &Ticket,
    ) -> Result<Measured> {
        let reading = corpus.reading(ticket)?;
        let record = repair.map(|repair| &repair.record);
        // A plan that keeps every head is the whole model, whatever it was chosen on.
        let is_whole = plan.keeps_all(&self.opened().facts.shape);
        let chosen = if is_whole { None } else { chosen_words(plan, &reading) };
        let mut notes: Vec<String> = first.into_iter().chain(self.notes(corpus)).collect();
        notes.extend(self.unmeasured(&comparison.before));
        notes.extend(lone_words(&comparison.before));
        notes.extend(record.map_or(Vec::new(), |record| record.notes_of(&reading, &notes)));
        notes.extend(chosen.map(str::to_owned));
        // What the model that the plan is of was made with.
        let mut own = in_sample_notes(self.opened(), &reading);
        own.retain(|note| !notes.contains(note));
        notes.extend(own);
        Ok(Measured {
            name: String::new(),
            kept: plan.kept.clone(),
            repair: record.map(|record| record.mode),
            unrepaired: None,
            comparison,
            random: None,
            random_similarity: None,
            random_spread: Default::default(),
            random_repair: None,
            random_missing: None,
            in_sample: chosen.is_some(),
            repair_in_sample: record.is_some_and(|record| record.was_calibrated_on(&reading)),
            reading,
            dtype: dtype.as_str().to_owned(),
            notes,
        })
    }

    /// What to say where the model is for a labeled task and the input has no labels.
    pub(super) fn unmeasured(&self, quality: &Quality) -> Option<String> {
        let task = self.model().spec().task.as_ref().filter(|_| quality.is_unlabeled())?;
        let names = [LOSS].into_iter().chain(task_metrics(task).into_iter().map(|metric| metric.name));
        Some(format!("the input has no labels: {} are not measured", names.collect::<Vec<_>>().join(", ")))
    }

    /// What the input asks besides the loss, where it asks something.
    pub(super) fn benchmark(&self, corpus: &Corpus, ticket: &Ticket) -> Result<Option<Benchmark>> {
        Benchmark::of(corpus, self.model().checkpoint().folder(), self.spec().beams, ticket)
    }

    /// Says of a perplexity that it is formed by a published convention.
    fn name_convention(&self, quality: &mut Quality) {
        let Some(preset) = self.spec().preset else { return };
        let length = self.spec().seq_len.unwrap_or(preset.length());
        if let Some(perplexity) = quality.metrics.get_mut("perplexity") {
            perplexity.convention = preset.convention(length);
        }
    }

    /// The input with labels to score, and the network, within the bound on memory.
    pub(super) fn scoring(&self, needs: Needs, ticket: &Ticket) -> Result<(Corpus, std::sync::Arc<Network>)> {
        self.check_translation()?;
        let corpus = self.fit(self.corpus(Purpose::Score, ticket)?, needs)?;
        let network = self.network(&corpus, needs, ticket)?;
        Ok((corpus, network))
    }

    /// Refuses a wish for translations that cannot be met, before anything is scored.
    fn check_translation(&self) -> Result<()> {
        if self.spec().translation.is_none() {
            return Ok(());
        }
        let spec = self.model().spec();
        if spec.encoder.is_none() || spec.decoder.is_none() {
            return Err(Error::usage("only encoder-decoder models translate, which this is not"));
        }
        if !matches!(self.input()?, Input::Pairs { .. }) {
            return Err(Error::usage("only sentence pairs can be translated").hint("give --pairs"));
        }
        TextTokenizer::load(self.model().checkpoint().folder()).map(drop)
    }

    /// Adds to `quality` how good translations of the input's pairs are and how fast they are written, where that was asked
    /// for; returns what to say of pairs without one.
    fn translated(
        &self,
        network: &Network,
        gates: &Gates,
        corpus: &Corpus,
        quality: &mut Quality,
        ticket: &Ticket,
    ) -> Result<Option<String>> {
        let Some(wanted) = self.spec().translation else { return Ok(None) };
        let tokenizer = TextTokenizer::load(self.model().checkpoint().folder())?.writing_for(self.input()?)?;
        let found = translate(network, gates, &tokenizer, corpus, wanted, ticket)?;
        (quality.translation, quality.written_per_sec) = (found.score(), found.rate());
        Ok(found.note())
    }
}
