//! Quality against the share of heads kept.

use super::Checked;
use crate::analysis::{Analysis, Moments};
use crate::error::{Error, Result};
use crate::evaluation::SCORED_COPIES;
use crate::evaluation::curve::{Curves, Subject, Wanted, curves};
use crate::model::Needs;
use crate::network::Weights;
use crate::plan::{Amount, Method, Ranking};
use crate::repair::RepairMode;
use crate::task::Ticket;

/// Shares of the heads of every layer that stay, where nothing else is asked for.
const SHARES: [f64; 6] = [1.0, 0.85, 0.7, 0.55, 0.4, 0.25];

/// Which points of a curve are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveSpec {
    /// Ways to choose heads; [`CurveSpec::usual`] where none is named.
    pub rankings: Vec<Ranking>,
    /// How many heads stay. Shares of every layer by default: methods then differ in which heads they keep and not in how
    /// many, and the random control is of the same kind as the one beside a single plan.
    pub amounts: Vec<Amount>,
    /// Ways to repair each choice of heads: `none`, `refit` or `scale`.
    pub repairs: Vec<RepairMode>,
    /// Draws of the random methods, each with a seed of its own.
    pub draws: u64,
    /// Whether forward passes without the removed heads are timed.
    pub speed: bool,
    /// Whether points that were measured before under other settings are dropped; otherwise they are an error.
    pub anew: bool,
}

impl Default for CurveSpec {
    fn default() -> Self {
        let amounts = SHARES.map(Amount::LayerRatio).to_vec();
        Self { rankings: Vec::new(), amounts, repairs: vec![RepairMode::None], draws: 5, speed: false, anew: false }
    }
}

impl CurveSpec {
    /// Whether second moments are wanted: for a method, or for repair.
    pub fn needs_moments(&self) -> bool {
        self.repairs.iter().any(|mode| mode.repairs())
            || self.rankings.iter().any(|ranking| ranking.method.needs_moments())
    }

    /// One of each kind that `analysis` can serve: votes of the layer and of each group, every score beside votes, and
    /// chance.
    pub fn usual(analysis: &Analysis) -> Vec<Ranking> {
        let kinds = [
            Method::Votes,
            Method::PerGroup,
            Method::Importance,
            Method::Magnitude,
            Method::Confidence,
            Method::Random,
        ];
        let served = Ranking::available(analysis);
        kinds.into_iter().map(Ranking::from).filter(|ranking| served.contains(ranking)).collect()
    }
}

impl Checked {
    /// Measures every wanted choice of heads beside random ones. Points of `before` that were measured on the same are not
    /// measured again; `moments` are those of the analysis, for reconstruction and repair; `keep` sees what is there after
    /// every point, which is enough to go on from after a cancel.
    ///
    /// # Errors
    /// Where the analysis is of another model or lacks what a method needs; as [`Checked::evaluate`]; where `keep` fails.
    pub fn curve(
        &self,
        analysis: &Analysis,
        moments: Option<&Moments>,
        wanted: &CurveSpec,
        before: Option<&Curves>,
        keep: &mut dyn FnMut(&Curves) -> Result<()>,
        ticket: &Ticket,
    ) -> Result<Curves> {
        let model = self.model();
        if self.opened().facts.fingerprint != analysis.model.fingerprint {
            return Err(
                Error::new("this is an analysis of another model").hint(format!("it is of {}", analysis.model.path))
            );
        }
        if wanted.speed && self.spec().memory.is_some() {
            return Err(Error::usage("speed is that of a model in memory").hint("leave out speed or the memory limit"));
        }
        let needs = Needs { copies: SCORED_COPIES, ..Needs::ONE };
        let [of_input, of_points] = ticket.parts([0.02, 0.98]);
        let (corpus, network) = self.scoring(needs, &of_input)?;
        let weights = model.weights(network.device(), network.dtype());
        let benchmark = self.benchmark(&corpus, &of_input)?;
        let subject = Subject {
            network: &network,
            weights: wanted.speed.then_some(&weights as &dyn Weights),
            analysis,
            corpus: &corpus,
            moments,
            model: Some(model),
            benchmark: benchmark.as_ref(),
        };
        let mut rankings = wanted.rankings.clone();
        if rankings.is_empty() {
            rankings = CurveSpec::usual(analysis);
            rankings.extend(moments.map(|_| Ranking::from(Method::Reconstruction)));
        }
        let points = Wanted {
            rankings,
            amounts: wanted.amounts.clone(),
            repairs: wanted.repairs.clone(),
            draws: wanted.draws,
            seed: self.spec().seed,
            length: self.spec().cost_length(),
            anew: wanted.anew,
        };
        let fallback = self.opened().loaded.placed().and_then(|placed| placed.fallback);
        let is_repaired = wanted.repairs.iter().any(|mode| mode.repairs());
        let doubts = moments.filter(|_| is_repaired).map(Moments::doubts);
        let notes: Vec<String> = fallback.into_iter().chain(doubts.into_iter().flatten()).collect();
        let with_notes = |mut found: Curves| {
            found.notes.extend(notes.iter().filter(|note| !found.notes.contains(note)).cloned().collect::<Vec<_>>());
            found
        };
        let mut add = |found: &Curves| keep(&with_notes(found.clone()));
        let found = curves(&subject, &points, before, &mut add, &of_points).map(with_notes)?;
        ticket.over();
        Ok(found)
    }
}
