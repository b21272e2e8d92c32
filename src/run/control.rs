//! Random heads that the quality of a plan is held against: repaired as the plan is, on the same text, or not measured.

use std::collections::BTreeMap;

use candle_core::{DType, Device};

use super::Checked;
use super::repair::RepairSpec;
use crate::analysis::Moments;
use crate::corpus::{Corpus, Input, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::{
    Benchmark, Candidate, HiddenSimilarity, Measured, Quality, curve::DrawSpread, score_each, spread,
};
use crate::network::{Gates, Network};
use crate::plan::{CONTROL_DRAWS, Plan, Shape, random_like};
use crate::repair::{Basis, RefitRequest, Refitter, Repair, RepairMode, RepairRecord, Ridge};
use crate::task::Ticket;

/// What work on them says it is for: it takes as long as that on the plan, and looks the same.
const RANDOM_HEADS: &str = "random heads";

/// Output projections that a plan is measured with.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredRepair<'a> {
    /// Those of the plan.
    pub plan: &'a Repair,
    /// Second moments over what the repair was calibrated on, where they are at hand.
    pub moments: Option<&'a Moments>,
}

impl<'a> From<&'a Repair> for MeasuredRepair<'a> {
    fn from(plan: &'a Repair) -> Self {
        Self { plan, moments: None }
    }
}

/// Random heads beside a plan, as they are to be measured.
#[derive(Default)]
pub(super) struct RandomHeads {
    plans: Vec<Plan>,
    /// One for each of `plans`; none where heads are masked alone.
    repairs: Vec<Repair>,
    mode: Option<RepairMode>,
    missing: Option<String>,
}

/// What random heads gave.
#[derive(Clone, Debug, Default)]
pub(super) struct RandomQuality {
    first: Option<(Quality, Option<HiddenSimilarity>)>,
    spread: BTreeMap<String, DrawSpread>,
    mode: Option<RepairMode>,
    missing: Option<String>,
}

impl RandomHeads {
    /// No random heads, and why.
    pub(super) fn missing(why: impl Into<String>) -> Self {
        Self { plans: Vec::new(), repairs: Vec::new(), mode: None, missing: Some(why.into()) }
    }

    /// How many passes over the input they take; `by_likeness` where the whole model runs beside them, and one more each
    /// where the input asks something.
    pub(super) fn passes(&self, by_likeness: bool, asks: bool) -> f64 {
        let beside = if by_likeness { self.plans.len().div_ceil(self.at_once().max(1)) } else { 0 };
        (self.plans.len() * (1 + usize::from(asks)) + beside) as f64
    }

    /// How many read a batch together: one network beside the whole one at a time.
    fn at_once(&self) -> usize {
        if self.repairs.is_empty() { self.plans.len() } else { 1 }
    }
}

impl RandomQuality {
    /// What `measured` tells of random heads, where they were measured.
    pub(super) fn of(measured: &Measured) -> Option<Self> {
        let first = measured.random.clone()?;
        Some(Self {
            first: Some((first, measured.random_similarity.clone())),
            spread: measured.random_spread.clone(),
            mode: measured.random_repair,
            missing: None,
        })
    }

    /// Writes it into `measured`.
    pub(super) fn record(self, measured: &mut Measured) {
        let (random, similarity) = self.first.map_or((None, None), |(quality, likeness)| (Some(quality), likeness));
        measured.random = random;
        measured.random_similarity = similarity;
        measured.random_spread = self.spread;
        measured.random_repair = self.mode;
        measured.random_missing = self.missing;
    }
}

impl Checked {
    /// As many heads as `plan` keeps in every layer, drawn at random some times: what its quality is held against.
    fn draws(&self, plan: &Plan) -> Vec<Plan> {
        let shape = Shape::from(self.model().spec());
        let seeds = (0..CONTROL_DRAWS).map(|draw| self.spec().seed.wrapping_add(draw));
        seeds.map(|seed| Plan { kept: random_like(&shape, plan, seed), ..Plan::default() }).collect()
    }

    /// The random heads beside `plan`. Those beside a plan with a `repair` are repaired in the same way, on the text that it was
    /// calibrated on; where that text is not at hand there are none, since anything else would compare repairs and not heads.
    ///
    /// # Errors
    /// The work is cancelled, or fails with moments that are at hand.
    pub(super) fn random_heads(
        &self,
        plan: &Plan,
        repair: Option<MeasuredRepair<'_>>,
        ticket: &Ticket,
    ) -> Result<RandomHeads> {
        let ticket = &ticket.named(RANDOM_HEADS);
        let plans = self.draws(plan);
        let mode = repair.as_ref().map(|found| found.plan.record.mode);
        let Some((MeasuredRepair { plan: repair, moments }, mode)) = repair.zip(mode.filter(|mode| mode.repairs()))
        else {
            return Ok(RandomHeads { plans, repairs: Vec::new(), mode, missing: None });
        };
        let record = &repair.record;
        let known = moments.filter(|_| matches!(mode, RepairMode::Refit | RepairMode::Scale)).filter(|moments| {
            moments.model.fingerprint == record.model.fingerprint
                && (&moments.readings, &moments.input) == (&record.readings, &record.input)
        });
        let repairs = match known {
            Some(moments) => self.refitted(&plans, moments, mode, ticket)?,
            None => match self.repaired_alike(&plans, record, ticket) {
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => return Ok(RandomHeads::missing(error.to_string())),
                Ok(repairs) => repairs,
            },
        };
        Ok(RandomHeads { plans, repairs, mode: Some(mode), missing: None })
    }

    /// Repairs of `plans` from moments.
    fn refitted(&self, plans: &[Plan], moments: &Moments, mode: RepairMode, ticket: &Ticket) -> Result<Vec<Repair>> {
        let reader = self.model().reader(&Device::Cpu, DType::F32);
        let refitter = Refitter::new(self.model().spec(), &reader, moments)?;
        let one = |(plan, ticket): (&Plan, Ticket)| {
            refitter.refit(&RefitRequest { plan, mode, ridge: Ridge::Auto, basis: Basis::All }, &ticket)
        };
        plans.iter().zip(ticket.parts_of(&vec![1.0; plans.len()])).map(one).collect()
    }

    /// Repairs of `plans` by the way and on the text of `record`.
    fn repaired_alike(&self, plans: &[Plan], record: &RepairRecord, ticket: &Ticket) -> Result<Vec<Repair>> {
        let (run, corpus) = self.calibration_text(record, ticket)?;
        let wanted = RepairSpec { mode: record.mode, ..RepairSpec::default() };
        run.repair_each(corpus, plans, None, &wanted, ticket)
    }

    /// The text that a repair was calibrated on, opened as it was read then.
    fn calibration_text(&self, record: &RepairRecord, ticket: &Ticket) -> Result<(Self, Corpus)> {
        let [reading] = record.readings.as_slice() else {
            return Err(Error::new(match record.readings.len() {
                0 => "the repair does not say which text it was calibrated on, on which they would be repaired"
                    .to_owned(),
                n => format!("the repair was calibrated on {n} parts of text, and they are repaired on one"),
            }));
        };
        let own = self.spec().input.as_ref();
        // A pipe that another command read is gone.
        let is_there = |input: &&Input| match input.is_standard_input() {
            true => own.is_some_and(Input::is_standard_input),
            false => input.path().is_file() || input.path().is_dir(),
        };
        for input in reading.source.iter().chain(own).filter(is_there) {
            let again = self.spec().read_again(reading, input);
            let Ok(run) = again.check(self.opened()) else { continue };
            let corpus = run.corpus(Purpose::Observe, ticket);
            let is_same = |corpus: &Corpus| -> Result<bool> {
                Ok(corpus.settings().part == reading.part && corpus.fingerprint(ticket)? == reading.fingerprint)
            };
            match corpus.and_then(|corpus| Ok(is_same(&corpus)?.then_some(corpus))) {
                Err(error) if error.is_cancelled() => return Err(error),
                Ok(Some(corpus)) => return Ok((run, corpus)),
                _ => {}
            }
        }
        let name = reading.source.as_ref().map_or_else(|| reading.input.clone(), ToString::to_string);
        Err(Error::new(format!("the text that the repair was calibrated on is not there to repair them on ({name})")))
    }

    /// Measures random heads of the whole `network` on `corpus`; `by_likeness` to it where nothing is predicted that they could
    /// be told by.
    pub(super) fn measure_random(
        &self,
        network: &Network,
        corpus: &Corpus,
        random: &RandomHeads,
        (by_likeness, benchmark): (bool, Option<&Benchmark>),
        ticket: &Ticket,
    ) -> Result<RandomQuality> {
        let ticket = &ticket.named(RANDOM_HEADS);
        let open = Gates::open();
        let beside = by_likeness.then_some(Candidate { network, gates: &open });
        let total = corpus.total().map(|t| t.value());
        let gates = |plan: &Plan| Gates::keep(network.spec(), &plan.kept, network.dtype(), network.device());
        let masks = random.plans.iter().map(gates).collect::<Result<Vec<_>>>()?;
        let repairs = random.repairs.iter().map(Some).chain(std::iter::repeat(None));
        let all: Vec<_> = masks.iter().zip(repairs).collect();
        let mut found = Vec::with_capacity(all.len());
        let chunks = all.chunks(random.at_once().max(1));
        let parts = ticket.parts_of(&vec![1.0; chunks.len()]);
        for (draws, ticket) in chunks.zip(parts) {
            let own = match draws {
                [(_, Some(repair))] => Some(self.model().repaired_network(network, &repair.outputs)?),
                _ => None,
            };
            let network = own.as_ref().unwrap_or(network);
            let candidates: Vec<_> = draws.iter().map(|(gates, _)| Candidate { network, gates }).collect();
            let batches = corpus.batches(network.device());
            let asked = if benchmark.is_some() { candidates.len() as f64 } else { 0.0 };
            let [of_scores, of_asked] = ticket.parts([candidates.len() as f64, asked]);
            let scored = score_each(beside, &candidates, batches, total, &of_scores)?;
            let each = of_asked.parts_of(&vec![1.0; candidates.len()]);
            for ((candidate, (mut quality, likeness)), ticket) in candidates.into_iter().zip(scored).zip(each) {
                if let Some(benchmark) = benchmark {
                    benchmark.ask(candidate, &ticket)?.record(&mut quality);
                }
                found.push((quality, likeness));
            }
        }
        let told: Vec<_> = found.iter().map(|(q, s)| (q.clone(), s.as_ref().map(|s| s.mean_cosine))).collect();
        Ok(RandomQuality {
            spread: spread(&told),
            first: found.into_iter().next(),
            mode: random.mode,
            missing: random.missing.clone(),
        })
    }
}
