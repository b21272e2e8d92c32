//! Choosing heads in rounds: after each, the model that is left is analyzed anew.

use std::collections::BTreeMap;

use candle_core::{DType, Device};

use super::Checked;
use crate::analysis::{Analysis, AnalysisSettings, Groups, ModelInfo, analyze, baseline, magnitude};
use crate::corpus::{Corpus, Purpose};
use crate::error::{Error, Result};
use crate::model::{Model, NarrowedWeights, apply_kept};
use crate::network::{Kept, Network, NetworkSpec};
use crate::plan::{Amount, Plan, PlanRequest, SiteShape, propose, snap};
use crate::task::Ticket;
use crate::training::gate_importance;
use crate::words::counted;

/// What rounds need beside the analysis that they begin with.
#[derive(Clone, Copy)]
pub struct Rounds<'a> {
    /// The model before any head is removed.
    pub model: &'a Model,
    /// The device to compute on.
    pub device: &'a Device,
    /// The type to compute in.
    pub dtype: DType,
    /// What the analyses after the first read.
    pub corpus: &'a Corpus,
    /// How heads are chosen, and how many stay in the end.
    pub request: PlanRequest,
    /// Number of rounds; each removes about as many heads.
    pub count: usize,
}

impl Checked {
    /// Chooses heads in `count` rounds, from `first` and then from an analysis of what each round left.
    ///
    /// # Errors
    /// As [`Rounds::plan`]; where the input cannot be read.
    pub fn plan_in_rounds(
        &self,
        first: &Analysis,
        request: PlanRequest,
        count: usize,
        ticket: &Ticket,
    ) -> Result<Plan> {
        let corpus = self.corpus(Purpose::Observe, ticket)?;
        let (device, dtype) = (self.device()?, self.spec().precision.dtype());
        Rounds { model: &self.opened().model, device: &device, dtype, corpus: &corpus, request, count }
            .plan(first, ticket)
    }
}

impl Rounds<'_> {
    /// Chooses greedily: the first round from `first`, each later one from an analysis of the model that the rounds
    /// before it left, under the same settings. Every round's choice is one that surgery can carry out. Numbers of
    /// groups above the heads that are left become that number.
    ///
    /// # Errors
    /// Where `first` is of another model; where the amount asked for cannot be reached in steps.
    pub fn plan(&self, first: &Analysis, ticket: &Ticket) -> Result<Plan> {
        let spec = self.model.spec();
        self.check(first)?;
        let weights = self.model.weights(self.device, self.dtype);
        let mut analysis = first.clone();
        let mut kept: Kept = spec.sites().iter().map(|(site, a)| (*site, 0..a.heads)).collect();
        let mut path = Vec::new();
        let mut spared = Plan::default();
        for round in 1..=self.count {
            let amount = self.amount(first, &analysis, round)?;
            let (plan, _) = snap(&analysis, &propose(&analysis, &PlanRequest { amount, ..self.request })?)?;
            // The plan counts heads of the model that the rounds before left.
            let left = kept.iter().map(|(site, heads)| {
                let stay = plan.kept_at(site, heads.len());
                (site, stay.into_iter().filter_map(|h| heads.get(h).copied()).collect::<Vec<_>>())
            });
            kept = left.collect();
            (spared.spared, spared.untold) = (plan.spared, plan.untold);
            path.push(format!("round {round} of {}: {} stay", self.count, counted(kept.heads(), "heads")));
            if round < self.count {
                analysis = self.analyze(first, &kept, &weights, round, ticket)?;
            }
        }
        let mut plan = Plan {
            method: self.request.ranking.to_string(),
            amount: Some(self.request.amount),
            seed: self.request.ranking.method.is_random().then_some(self.request.seed),
            fingerprint: Some(first.model.fingerprint.clone()),
            heads: spec.sites().iter().map(|(site, a)| (*site, a.heads)).collect(),
            rounds: Some(self.count),
            chosen_on: self.request.ranking.method.chosen_on(first),
            notes: path,
            kept,
            ..spared
        };
        plan.notes.extend(plan.spared_words());
        plan.validate(spec)?;
        Ok(plan)
    }

    fn check(&self, first: &Analysis) -> Result<()> {
        if self.count == 0 {
            return Err(Error::usage("there is nothing to do in 0 rounds"));
        }
        if self.request.ranking.method.needs_moments() {
            return Err(Error::usage(
                "rounds do not choose by reconstruction, which already removes one head after another, \
                each by what those that are left can say",
            )
            .hint("leave out --rounds"));
        }
        if self.model.checkpoint().fingerprint()? != first.model.fingerprint {
            return Err(Error::new("the analysis is of another model")
                .hint(format!("it is of {}; name that folder", first.model.path)));
        }
        if self.request.allow_empty {
            return Err(Error::usage("a layer without heads cannot be analyzed in a next round")
                .hint("leave out --allow-empty, or plan in one round"));
        }
        Ok(())
    }

    /// How many heads stay after a round, for an analysis of what the rounds before left.
    fn amount(&self, first: &Analysis, now: &Analysis, round: usize) -> Result<Amount> {
        let (round, count) = (round, self.count);
        let per_layer = |least: usize, heads: usize| {
            let rest = heads.saturating_sub(least) * (count - round);
            Amount::Keep(least.min(heads) + rest.div_ceil(count))
        };
        // Shares are those of the layers that are not left alone.
        let heads = |analysis: &Analysis| {
            let shape = crate::plan::Shape::from(analysis);
            let is_spared = |class: &[SiteShape]| {
                let passes: Vec<_> = class.iter().filter_map(|pass| analysis.site(pass.site)).collect();
                self.request.spares(&passes)
            };
            let all = shape.shared();
            let open = all.iter().filter(|class| !is_spared(class)).filter_map(|class| class.first());
            open.map(|s| s.heads).sum::<usize>().max(1)
        };
        let largest = first.sites.iter().map(|s| s.heads).max().unwrap_or(0);
        match self.request.amount {
            Amount::Keep(least) => Ok(per_layer(least, largest)),
            Amount::LayerRatio(ratio) if first.sites.iter().all(|s| s.heads == largest) => {
                Ok(per_layer(((ratio * largest as f64).round() as usize).max(1), largest))
            }
            Amount::Ratio(ratio) => {
                let whole = heads(first) as f64;
                let left = whole * (1.0 - (1.0 - ratio) * round as f64 / count as f64);
                Ok(Amount::Ratio((left / heads(now) as f64).min(1.0)))
            }
            Amount::LayerRatio(_) => Err(Error::usage("layers of this model have different numbers of heads")
                .hint("give rounds --keep or --ratio")),
            Amount::Groups | Amount::Threshold(_) => {
                Err(Error::usage("rounds need to know how many heads stay")
                    .hint("give --keep, --ratio or --layer-ratio"))
            }
        }
    }

    /// An analysis of the model with the heads in `kept` alone.
    fn analyze(
        &self,
        first: &Analysis,
        kept: &Kept,
        weights: &dyn crate::network::Weights,
        round: usize,
        ticket: &Ticket,
    ) -> Result<Analysis> {
        let spec = self.model.spec();
        let mut left = spec.clone();
        apply_kept(&mut left, kept)?;
        let narrowed = NarrowedWeights::new(weights, spec, kept);
        let network = Network::load(&left, &narrowed)?;
        let wanted = self.request.ranking.method.baseline();
        let settings = AnalysisSettings {
            groups: at_most(&first.settings.groups, &left)?,
            confidence: wanted == Some(baseline::CONFIDENCE),
            cka: false,
            moments: false,
            ..first.settings.clone()
        };
        let info = ModelInfo { dtype: self.dtype.as_str().to_owned(), ..first.model.clone() };
        let (batches, total) = (self.corpus.batches(self.device), self.corpus.total().map(|t| t.value()));
        ticket.stage(format!("round {} of {}", round + 1, self.count), total, "batches");
        let mut found = analyze(&network, info, batches, total, &settings, ticket)?;
        // Which layers are left alone was found out of the whole model.
        for site in &mut found.sites {
            site.evidence = first.site(site.site).and_then(|known| known.evidence.clone());
        }
        match wanted {
            Some(baseline::IMPORTANCE) => {
                let scored = self.corpus.with(|s| s.purpose = Purpose::Score);
                let seed = first.settings.seed;
                let (batches, total) = (scored.batches(self.device), scored.total().map(|t| t.value()));
                gate_importance(&network, batches, total, seed, ticket)?.record(&mut found)?;
            }
            Some(baseline::MAGNITUDE) => found.set_baseline(baseline::MAGNITUDE, magnitude(&left, &narrowed)?)?,
            _ => {}
        }
        Ok(found)
    }
}

/// Numbers of groups that the layers of `left` can form.
fn at_most(groups: &Groups, left: &NetworkSpec) -> Result<Groups> {
    let mut numbers = BTreeMap::new();
    for (site, attention) in left.sites() {
        if let Some(wanted) = groups.at(site, usize::MAX)? {
            numbers.insert(site, wanted.min(attention.heads));
        }
    }
    Ok(if numbers.is_empty() { Groups::Auto } else { Groups::PerSite(numbers) })
}
