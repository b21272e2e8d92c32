//! Quality of the whole model, and of a plan beside it and a random control.

use serde::{Deserialize, Serialize};

use super::Checked;
use crate::corpus::{Corpus, Input, Purpose, Reading, TextTokenizer};
use crate::error::{Error, Result};
use crate::evaluation::generation::{TranslationScore, translate};
use crate::evaluation::{
    Benchmark, COMPARED_COPIES, Candidate, HiddenSimilarity, IN_SAMPLE, LOSS, Measured, Quality, SCORED_COPIES,
    compare, compare_each, evaluate, spread, task_metrics,
};
use crate::model::Needs;
use crate::network::{Gates, Kept, Network};
use crate::plan::{CONTROL_DRAWS, Plan};
use crate::repair::{Repair, RepairMode};
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

/// What a reader should know of random heads beside a repair that came from a file.
const MASKED_CONTROL: &str = "the random heads beside the plan are masked, not repaired: a repair that is made here, as by \
    --repair auto, or pillars curve repairs both";

/// Output projections that a plan is measured with, and those of the random heads beside it.
#[derive(Clone, Debug)]
pub struct MeasuredRepair<'a> {
    /// Those of the plan.
    pub plan: &'a Repair,
    /// Those of [`Checked::controls`]; without them their heads are masked alone.
    pub controls: Vec<&'a Repair>,
}

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
        let (translation, passed) = self.translated(&network, &open, &corpus, ticket)?;
        quality.translation = translation;
        let dtype = network.dtype().as_str().to_owned();
        let notes = self.notes(&corpus).into_iter().chain(self.unmeasured(&quality)).chain(passed).collect();
        Ok(Scored { quality, reading: corpus.reading(ticket)?, dtype, notes })
    }

    /// Masks the heads that `plan` removes and measures the model beside the whole one and beside as many random heads in
    /// every layer. `name` is the plan's, for a person. With a `repair` the heads that stay have its output projections, and
    /// the random heads theirs.
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
        plan.validate(self.model().spec())?;
        let networks = if repair.is_some() { 2 } else { 1 };
        let needs = Needs { copies: COMPARED_COPIES, networks, ..Needs::ONE };
        let (corpus, network) = self.scoring(needs, ticket)?;
        let total = corpus.total().map(|t| t.value());
        let gates = |kept: &Kept| Gates::keep(network.spec(), kept, network.dtype(), network.device());
        let (open, masked) = (Gates::open(), gates(&plan.kept)?);
        let before = Candidate { network: &network, gates: &open };
        let repaired = |repair: Option<&Repair>, plan: &Plan| -> Result<Option<Network>> {
            let Some(repair) = repair else { return Ok(None) };
            repair.check(self.model().spec(), &self.opened().facts.fingerprint, plan)?;
            self.model().repaired_network(&network, &repair.outputs).map(Some)
        };
        let with_repair = repaired(repair.as_ref().map(|found| found.plan), plan)?;
        let after = Candidate { network: with_repair.as_ref().unwrap_or(&network), gates: &masked };
        // Two passes, and those over random heads: one for each draw, and one of the whole model more where they are told by
        // their likeness to it, or where each draw has a network of its own, one more for each.
        let random_repairs = repair.as_ref().map_or(&[][..], |found| &found.controls);
        let draws = CONTROL_DRAWS as f64;
        let passes = match (network.spec().predicts(), random_repairs.is_empty()) {
            (true, _) => draws,
            (false, true) => draws + 1.0,
            (false, false) => 2.0 * draws,
        };
        let [both, rest] = ticket.parts([2.0, passes]);
        let mut comparison = compare(before, after, corpus.batches(network.device()), total, &both)?;
        self.name_convention(&mut comparison.before);
        self.name_convention(&mut comparison.after);
        let benchmark = self.benchmark(&corpus, &both)?;
        if let Some(benchmark) = &benchmark {
            comparison.ask(benchmark, [before, after], &both)?;
        }
        let (translation, passed) = self.translated(&network, &open, &corpus, &both)?;
        comparison.before.translation = translation;
        comparison.after.translation = self.translated(after.network, &masked, &corpus, &both)?.0;
        // One network beside the whole one at a time.
        drop(with_repair);
        let controls = self.controls(plan);
        let masks = controls.iter().map(|control| gates(&control.kept)).collect::<Result<Vec<_>>>()?;
        let mut draws: Vec<(Quality, Option<HiddenSimilarity>)> = Vec::new();
        // What predicts nothing is told by its likeness to the whole model, the control too.
        let by_likeness = comparison.before.loss_per_token.is_none();
        if by_likeness && random_repairs.is_empty() {
            let [compared, asked] = rest.parts([passes, if benchmark.is_some() { passes } else { 0.0 }]);
            let candidates: Vec<_> = masks.iter().map(|gates| Candidate { network: &network, gates }).collect();
            let found = compare_each(before, &candidates, corpus.batches(network.device()), total, &compared)?;
            for (random, found) in candidates.iter().zip(found) {
                let mut quality = found.after;
                if let Some(benchmark) = &benchmark {
                    benchmark.ask(*random, &asked)?.record(&mut quality);
                }
                draws.push((quality, Some(found.similarity)));
            }
        } else {
            let parts = rest.parts([1.0; CONTROL_DRAWS as usize]);
            for (draw, ((control, gates), rest)) in controls.iter().zip(&masks).zip(parts).enumerate() {
                let with_repair = repaired(random_repairs.get(draw).copied(), control)?;
                let random = Candidate { network: with_repair.as_ref().unwrap_or(&network), gates };
                let batches = corpus.batches(network.device());
                let (mut quality, similarity) = match by_likeness {
                    false => (evaluate(random.network, random.gates, batches, total, &rest)?, None),
                    true => {
                        let found = compare(before, random, batches, total, &rest)?;
                        (found.after, Some(found.similarity))
                    }
                };
                if let Some(benchmark) = &benchmark {
                    benchmark.ask(random, &rest)?.record(&mut quality);
                }
                draws.push((quality, similarity));
            }
        }
        let random_similarity = draws.first().and_then(|(_, similarity)| similarity.clone());
        let draws: Vec<_> = draws.into_iter().map(|(q, s)| (q, s.map(|found| found.mean_cosine))).collect();
        let random_spread = spread(&draws);
        let mut notes: Vec<String> =
            plan.foreign_to(&self.opened().facts.fingerprint).into_iter().chain(self.notes(&corpus)).collect();
        let random_repair = random_repairs.first().map(|repair| repair.record.mode);
        notes.extend(self.unmeasured(&comparison.before).into_iter().chain(passed));
        let reading = corpus.reading(ticket)?;
        let record = repair.as_ref().map(|found| &found.plan.record);
        notes.extend(record.map_or(Vec::new(), |record| record.notes_of(&reading, &notes)));
        let repair = record.map(|record| record.mode);
        if repair.is_some_and(RepairMode::repairs) && random_repair.is_none() {
            notes.push(MASKED_CONTROL.to_owned());
        }
        notes.extend(plan.spared_words());
        let in_sample = plan.was_chosen_on(&reading);
        let repair_in_sample = record.is_some_and(|record| record.was_calibrated_on(&reading));
        notes.extend(in_sample.then(|| IN_SAMPLE.to_owned()));
        Ok(Measured {
            name: name.to_owned(),
            kept: plan.kept.clone(),
            repair,
            unrepaired: None,
            comparison,
            random: draws.into_iter().next().map(|(quality, _)| quality),
            random_similarity,
            random_spread,
            random_repair,
            reading,
            in_sample,
            repair_in_sample,
            dtype: network.dtype().as_str().to_owned(),
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

    /// How good translations of the input's pairs are, where that was asked for, and what to say of pairs without one.
    fn translated(
        &self,
        network: &Network,
        gates: &Gates,
        corpus: &Corpus,
        ticket: &Ticket,
    ) -> Result<(Option<TranslationScore>, Option<String>)> {
        let Some(wanted) = self.spec().translation else { return Ok((None, None)) };
        let tokenizer = TextTokenizer::load(self.model().checkpoint().folder())?.writing_for(self.input()?)?;
        let found = translate(network, gates, &tokenizer, corpus, wanted, ticket)?;
        Ok((found.score(), found.note()))
    }
}
