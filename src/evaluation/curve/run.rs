//! Which points to measure, and measuring them.

use std::collections::BTreeMap;

use candle_core::{DType, Device};
use sha2::{Digest, Sha256};

use super::document::{Curves, Effect, MeasuredPoint, Whole};
use super::subject::Subject;
use super::yardstick::Yardstick;
use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::evaluation::{Timing, speed};
use crate::model::{NarrowedWeights, Reader, apply_kept, removable};
use crate::network::{Gates, Kept, Network, Site};
use crate::plan::{Amount, Cost, Method, Plan, PlanRequest, Ranking, apply, snap};
use crate::repair::{Basis, RefitRequest, Refitter, RepairMode, Ridge, propose};
use crate::task::Ticket;
use crate::words::hexadecimal;

/// Which points are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Ways to choose heads.
    pub rankings: Vec<Ranking>,
    /// How many heads stay, in several ways.
    pub amounts: Vec<Amount>,
    /// Ways to repair each choice: `none` and `refit`.
    pub repairs: Vec<RepairMode>,
    /// Draws of the random methods.
    pub draws: u64,
    /// Seed of the first draw.
    pub seed: u64,
    /// Tokens of each input for which FLOPs are counted.
    pub length: usize,
    /// Points that were measured before under other settings are dropped; otherwise they are an error.
    pub anew: bool,
}

/// Passes over one batch to tell how fast a model is.
const TIMING: Timing = Timing { warm_up: 1, repetitions: 5, least_secs: 1.0 };

/// One choice of heads.
struct HeadChoice {
    ranking: Ranking,
    amount: Amount,
    seed: Option<u64>,
    repair: RepairMode,
    kept: Kept,
}

/// Measures every wanted point. `before` holds points that need not be measured again; `keep` sees the curves after
/// every point, and what it has kept is enough to go on from after a cancel.
///
/// Plans are snapped to what the model allows first, so that every point could be exported.
///
/// # Errors
/// A wrong request where the analysis lacks what a method needs; where analysis and network are of different models;
/// where the input is empty; where `before` was measured under other settings; where `keep` fails.
pub fn curves(
    subject: &Subject<'_>,
    wanted: &Wanted,
    before: Option<&Curves>,
    keep: &mut dyn FnMut(&Curves) -> Result<()>,
    ticket: &Ticket,
) -> Result<Curves> {
    let Subject { network, corpus, .. } = *subject;
    let choices = choices(subject, wanted)?;
    let mut found = empty(subject, wanted, ticket)?;
    let difference = before.and_then(|b| found.differs_from(b));
    if let Some(difference) = difference.as_ref().filter(|_| !wanted.anew) {
        return Err(Error::new(format!("these curves were measured under other settings ({difference})"))
            .hint("give another --out, or --force to replace them"));
    }
    let before = before.filter(|b| found.measured_unlike(b).is_none());
    if let Some(before) = before {
        found.whole = before.whole;
        found.metric.clone_from(&before.metric);
        if difference.is_none() {
            found.points.clone_from(&before.points);
        }
    }
    // A mask that was measured once, by whichever method, is known.
    let mut known: BTreeMap<(Kept, RepairMode), (Effect, Option<f64>)> = BTreeMap::new();
    for point in before.iter().flat_map(|b| &b.points) {
        // A repair depends on the analysis, a mask does not.
        if point.repair.repairs() && before.is_some_and(|b| b.analysis != found.analysis) {
            continue;
        }
        let key = (point.kept.clone(), point.repair);
        let speed = known.get(&key).and_then(|(_, speed)| *speed).or(point.tokens_per_sec);
        known.insert(key, (point.effect, speed));
    }
    let keys = choices.iter().map(|c| (c.kept.clone(), c.repair));
    let unknown = keys.filter(|key| !known.contains_key(key));
    let passes = unknown.collect::<std::collections::BTreeSet<_>>().len() as u64;
    let batches = corpus.total().map(|t| t.value());
    let mut gauge = None;
    if passes > 0 || found.whole.is_none() {
        ticket.stage("measure", batches.map(|b| b * (passes + 1)), "batches");
        let (yardstick, effect, quality) = Yardstick::new(subject, ticket)?;
        found.metric.clone_from(&quality.main_metric);
        found.whole = Some(Whole {
            effect,
            cost: Cost::of(network.spec(), wanted.length),
            tokens_per_sec: found.whole.and_then(|w| w.tokens_per_sec),
            tokens: quality.tokens,
            scored_tokens: quality.scored_tokens,
            sequences: quality.sequences,
        });
        gauge = Some(yardstick);
    }
    let reader = subject.model.map(|model| model.reader(&Device::Cpu, DType::F32));
    let refitter = refitter(subject, reader.as_ref(), wanted.repairs.iter().any(|mode| mode.repairs()))?;
    let mut clock = Clock::new(subject);
    if let Some(whole) = found.whole.as_mut().filter(|w| w.tokens_per_sec.is_none()) {
        whole.tokens_per_sec = clock.measure(&Kept::all(), ticket)?;
    }
    let heads: usize = network.spec().sites().iter().map(|(_, a)| a.heads).sum();
    for choice in choices {
        let HeadChoice { ranking, amount, seed, repair, kept } = choice;
        let key = (kept.clone(), repair);
        let (effect, speed) = match (known.get(&key), &gauge) {
            (Some(known), _) => *known,
            (None, Some(gauge)) => {
                let repaired = repaired(subject, refitter.as_ref(), &kept, repair, ticket)?;
                (gauge.measure(repaired.as_ref(), &kept, ticket)?, None)
            }
            (None, None) => unreachable!("points that are not known were counted before, and made a yardstick"),
        };
        let speed = match speed {
            Some(speed) => Some(speed),
            None => clock.measure(&kept, ticket)?,
        };
        known.insert(key, (effect, speed));
        let left = apply(network.spec(), &Plan::from_mask(kept.clone()))?;
        let is_this = |p: &MeasuredPoint| (p.ranking, p.amount, p.seed, p.repair) == (ranking, amount, seed, repair);
        let point = MeasuredPoint {
            kept_share: kept.heads() as f64 / heads as f64,
            cost: Cost::of(&left, wanted.length),
            tokens_per_sec: speed,
            ranking,
            amount,
            seed,
            repair,
            kept,
            effect,
        };
        match found.points.iter_mut().find(|p| is_this(p)) {
            Some(held) => *held = point,
            None => found.points.push(point),
        }
        keep(&found)?;
    }
    keep(&found)?;
    Ok(found)
}

/// What refits the plans of `subject` with the weights of its model, where any is to be repaired.
pub(in crate::evaluation) fn refitter<'a>(
    subject: &Subject<'a>,
    weights: Option<&'a Reader>,
    is_wanted: bool,
) -> Result<Option<Refitter<'a>>> {
    if !is_wanted {
        return Ok(None);
    }
    let Some(((moments, model), weights)) = subject.moments.zip(subject.model).zip(weights) else {
        return Err(Error::new("repair needs second moments").hint("analyze again with --moments"));
    };
    Refitter::new(model.spec(), weights, moments).map(Some)
}

/// The network whose kept heads speak for the others; `None` where it is the network itself.
pub(in crate::evaluation) fn repaired(
    subject: &Subject<'_>,
    refitter: Option<&Refitter<'_>>,
    kept: &Kept,
    mode: RepairMode,
    ticket: &Ticket,
) -> Result<Option<Network>> {
    let Some((refitter, model)) = refitter.zip(subject.model).filter(|_| mode.repairs()) else { return Ok(None) };
    let plan = Plan::from_mask(kept.clone());
    let request = RefitRequest { plan: &plan, mode, ridge: Ridge::Auto, basis: Basis::All };
    // Progress is that of the points.
    let repair = refitter.refit(&request, &ticket.silent())?;
    model.repaired_network(subject.network, &repair.outputs).map(Some)
}

/// Every choice that is wanted, made legal.
fn choices(subject: &Subject<'_>, wanted: &Wanted) -> Result<Vec<HeadChoice>> {
    let mut all = Vec::new();
    if let Some(mode) =
        wanted.repairs.iter().find(|mode| !matches!(mode, RepairMode::None | RepairMode::Refit | RepairMode::Scale))
    {
        return Err(
            Error::usage(format!("curves are not measured with repair by {mode}")).hint("choose none, refit or scale")
        );
    }
    for amount in &wanted.amounts {
        for ranking in &wanted.rankings {
            let draws = if ranking.method.is_random() { wanted.draws } else { 1 };
            for draw in 0..draws {
                let seed = wanted.seed.wrapping_add(draw);
                let request = PlanRequest { seed, ..PlanRequest::new(*ranking, *amount) };
                let plan = propose(subject.analysis, subject.moments, &request)?;
                let (plan, _) = snap(subject.analysis, &plan)?;
                all.extend(wanted.repairs.iter().map(|repair| HeadChoice {
                    ranking: *ranking,
                    amount: *amount,
                    seed: plan.seed,
                    repair: *repair,
                    kept: plan.kept.clone(),
                }));
            }
        }
    }
    if all.is_empty() {
        return Err(Error::usage("no method and share is given").hint("give at least one of each"));
    }
    Ok(all)
}

/// Curves without points, which say what they are about.
fn empty(subject: &Subject<'_>, wanted: &Wanted, ticket: &Ticket) -> Result<Curves> {
    let Subject { network, analysis, corpus, .. } = *subject;
    let sites: Vec<(Site, usize)> = network.spec().sites().iter().map(|(site, a)| (*site, a.heads)).collect();
    if sites != analysis.sites.iter().map(|s| (s.site, s.heads)).collect::<Vec<_>>() {
        return Err(Error::new("the analysis is of another model").hint("analyze this model first"));
    }
    let reading = corpus.reading(ticket)?;
    let mut notes = corpus.notes();
    let is_same = match &analysis.reading {
        Some(read) => read.overlaps(&reading),
        None => reading.input == analysis.settings.input,
    };
    if is_same {
        notes.push("the analysis read the same input: measure on other text, or hold a part out".to_owned());
    }
    if wanted.rankings.iter().any(|r| r.method == Method::Random) && wanted.draws < 3 {
        notes.push("fewer than three random draws say little about chance".to_owned());
    }
    let digest = Sha256::digest(analysis.to_json()?.as_bytes());
    Ok(Curves {
        model: crate::analysis::ModelInfo { dtype: network.dtype().as_str().to_owned(), ..analysis.model.clone() },
        analysis: hexadecimal(digest.iter().take(8)),
        analyzed: analysis.settings.input.clone(),
        reading,
        length: wanted.length,
        metric: None,
        whole: None,
        points: Vec::new(),
        notes,
    })
}

/// Tells how fast a model without some heads is. Models of one shape are equally fast, whichever heads they lost.
struct Clock<'a> {
    subject: &'a Subject<'a>,
    known: BTreeMap<Vec<(usize, usize)>, f64>,
}

impl<'a> Clock<'a> {
    fn new(subject: &'a Subject<'a>) -> Self {
        Self { subject, known: BTreeMap::new() }
    }

    /// Tokens per second; `None` where speed is not asked for.
    fn measure(&mut self, kept: &Kept, ticket: &Ticket) -> Result<Option<f64>> {
        let Subject { network, weights, corpus, .. } = self.subject;
        let Some(weights) = weights else { return Ok(None) };
        let mut left = network.spec().clone();
        let kept = &removable(&left, kept);
        apply_kept(&mut left, kept)?;
        let shape: Vec<(usize, usize)> = left.sites().iter().map(|(_, a)| (a.heads, a.kv_heads)).collect();
        if let Some(speed) = self.known.get(&shape) {
            return Ok(Some(*speed));
        }
        let batch = corpus.batches(network.device()).next().transpose()?;
        let batch = batch.ok_or_else(|| Error::new("there is no batch to time"))?;
        let smaller = Network::load(&left, &NarrowedWeights::new(*weights, network.spec(), kept))?;
        // Its own progress would hide that of the points.
        let silent = ticket.silent();
        let found = speed(&smaller, &Gates::open(), &batch, &TIMING, &silent)?.tokens_per_sec;
        self.known.insert(shape, found);
        Ok(Some(found))
    }
}
