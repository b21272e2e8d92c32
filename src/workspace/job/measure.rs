//! Quality of a plan beside the whole model and a random control.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::LoadedNetwork;
use crate::analysis::Analysis;
use crate::corpus::{Corpus, Purpose};
use crate::error::Result;
use crate::evaluation::curve::{Curves, Effect, Gauge, Point, Subject, Wanted, curves};
use crate::evaluation::{Candidate, Comparison, Quality, compare, evaluate};
use crate::model::Model;
use crate::network::{Gates, Site};
use crate::plan::{Amount, Method, Plan, Ranking};
use crate::task::Ticket;
use crate::workspace::CheckedRun;

/// What one plan does to quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the plan.
    pub name: String,
    /// What it was measured on, for a person; see [`RunSettings::reading`](crate::workspace::RunSettings::reading).
    #[serde(default)]
    pub of: String,
    /// The heads that stayed.
    pub kept: BTreeMap<Site, Vec<usize>>,
    /// The whole model beside the masked one, on the same batches.
    pub comparison: Comparison,
    /// As many heads in every layer, drawn at random.
    pub random: Quality,
}

/// Masks the heads that `plan` removes and measures, beside the whole model and as many random heads per layer.
pub fn measure(
    model: &Model,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    name: &str,
    plan: &Plan,
    ticket: &Ticket,
) -> Result<Measured> {
    let corpus = scoring(model, run, ticket)?;
    let network = loaded.get(model, run.device, run.precision, ticket)?;
    let total = corpus.total().map(|t| t.value());
    let gates =
        |kept: &BTreeMap<Site, Vec<usize>>| Gates::keep(network.spec(), kept, network.dtype(), network.device());
    let open = Gates::open();
    let masked = gates(&plan.kept)?;
    let before = Candidate { network: &network, gates: &open };
    let after = Candidate { network: &network, gates: &masked };
    let comparison = compare(before, after, corpus.batches(network.device()), total, ticket)?;
    let control = gates(&random_like(model, plan, run.corpus.seed))?;
    let random = evaluate(&network, &control, corpus.batches(network.device()), total, ticket)?;
    Ok(Measured { name: name.to_owned(), of: String::new(), kept: plan.kept.clone(), comparison, random })
}

/// Quality at one share of heads kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Share of all heads that stayed.
    pub kept: f64,
    /// The measure: perplexity, or 1 minus the mean cosine to the whole model's embeddings.
    pub value: f64,
}

/// Quality against the share of heads kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What it was measured on, as in [`Measured::of`].
    #[serde(default)]
    pub of: String,
    /// True where `value` is a perplexity; else a distance of embeddings.
    pub is_perplexity: bool,
    /// The value of the whole model.
    pub whole: f64,
    /// A curve per method.
    pub curves: Vec<(Method, Vec<SweepPoint>)>,
    /// One curve per draw of random heads.
    pub random: Vec<Vec<SweepPoint>>,
    /// Everything that was measured, to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Curves>,
}

impl Sweep {
    /// The points that no other point beats in both heads and value, with their methods, fewest heads first. Random
    /// draws count too: a method that chance beats is not best.
    pub fn front(&self) -> Vec<(&'static str, SweepPoint)> {
        let chosen = self.curves.iter().flat_map(|(method, points)| points.iter().map(|p| (method.name(), *p)));
        let drawn = self.random.iter().flatten().map(|p| (Method::Random.name(), *p));
        let mut all: Vec<_> = chosen.chain(drawn).collect();
        all.sort_by(|(_, a), (_, b)| a.kept.total_cmp(&b.kept).then(a.value.total_cmp(&b.value)));
        let mut best = f64::INFINITY;
        all.retain(|(_, point)| {
            let is_better = point.value < best;
            best = best.min(point.value);
            is_better
        });
        all
    }
}

/// Draws of the random control.
const DRAWS: u64 = 3;

/// Measures `methods` and random draws at each of `ratios` (shares of heads that stay). Points of `before` are not
/// measured again; `keep` sees what is there after every point.
#[expect(clippy::too_many_arguments, reason = "what a person opened, what they want, and what they have")]
pub fn sweep(
    model: &Model,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    analysis: &Analysis,
    methods: &[Method],
    ratios: &[f64],
    before: Option<&Curves>,
    keep: &mut dyn FnMut(Sweep),
    ticket: &Ticket,
) -> Result<Sweep> {
    let corpus = scoring(model, run, ticket)?;
    let network = loaded.get(model, run.device, run.precision, ticket)?;
    let subject = Subject { network: &network, weights: None, analysis, corpus: &corpus };
    let wanted = Wanted {
        rankings: methods.iter().copied().chain([Method::Random]).map(Ranking::from).collect(),
        amounts: ratios.iter().map(|r| Amount::Ratio(*r)).collect(),
        draws: DRAWS,
        seed: run.corpus.seed,
        length: run.corpus.seq_len.unwrap_or(LENGTH),
    };
    let mut seen = |found: &Curves| {
        keep(Sweep::drawn(found));
        Ok(())
    };
    Ok(Sweep::drawn(&curves(&subject, &wanted, before, &mut seen, ticket)?))
}

/// Tokens for which FLOPs are counted where the run does not cut its text.
const LENGTH: usize = 128;

impl Sweep {
    /// What is drawn of measured points.
    fn drawn(found: &Curves) -> Self {
        let is_perplexity = found.gauge() == Gauge::Perplexity;
        let value = |effect: &Effect| match is_perplexity {
            true => effect.perplexity,
            false => Some(1.0 - effect.cosine),
        };
        let place = |p: &&Point| Some(SweepPoint { kept: p.kept_share, value: value(&p.effect)? });
        let curve = |wanted: Ranking, seed: Option<u64>| {
            let points = found.points.iter().filter(|p| p.ranking == wanted && (seed.is_none() || p.seed == seed));
            let mut points: Vec<SweepPoint> = points.filter_map(|p| place(&p)).collect();
            points.sort_by(|a, b| a.kept.total_cmp(&b.kept));
            points
        };
        let random = Ranking::from(Method::Random);
        let chosen = found.rankings().into_iter().filter(|r| *r != random);
        let mut seeds: Vec<u64> = found.points.iter().filter(|p| p.ranking == random).filter_map(|p| p.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        Self {
            of: String::new(),
            is_perplexity,
            whole: found.whole.and_then(|w| value(&w.effect)).unwrap_or_default(),
            curves: chosen.map(|ranking| (ranking.method, curve(ranking, None))).collect(),
            random: seeds.into_iter().map(|seed| curve(random, Some(seed))).collect(),
            measured: Some(found.clone()),
        }
    }
}

/// The run's input with labels to score.
fn scoring(model: &Model, run: &CheckedRun, ticket: &Ticket) -> Result<Corpus> {
    ticket.stage("read the input", None, "lines");
    let mut settings = run.corpus.clone();
    settings.purpose = Purpose::Score;
    Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &settings, ticket)
}

/// As many heads as `plan` keeps in every layer, drawn at random; layers that share weights get the same.
fn random_like(model: &Model, plan: &Plan, seed: u64) -> BTreeMap<Site, Vec<usize>> {
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let mut kept = BTreeMap::new();
    for class in crate::plan::Shape::from(model.spec()).shared() {
        let Some(first) = class.first() else { continue };
        let count = plan.kept_at(first.site, first.heads).len();
        let mut heads: Vec<usize> = (0..first.heads).collect();
        heads.shuffle(&mut rng);
        heads.truncate(count);
        heads.sort_unstable();
        kept.extend(class.iter().map(|s| (s.site, heads.clone())));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let point = |kept, value| SweepPoint { kept, value };
        let sweep = Sweep {
            curves: vec![
                (Method::Votes, vec![point(0.5, 9.0), point(0.75, 4.0), point(1.0, 3.0)]),
                (Method::Score, vec![point(0.5, 8.0), point(0.75, 5.0), point(1.0, 3.0)]),
            ],
            random: vec![vec![point(0.25, 20.0), point(0.75, 4.5)]],
            ..Sweep::default()
        };
        // By hand: 20 with a quarter, 8 with half, 4 with three quarters, 3 with all; each equal pair counts once.
        let front: Vec<_> = sweep.front().into_iter().map(|(name, p)| (name, p.kept, p.value)).collect();
        assert_eq!(front, [("random", 0.25, 20.0), ("score", 0.5, 8.0), ("votes", 0.75, 4.0), ("votes", 1.0, 3.0)]);
    }
}
