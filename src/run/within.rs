//! The smallest plan within a budget of quality.

use std::collections::BTreeSet;

use super::Checked;
use crate::analysis::{Analysis, HeadKind, Moments};
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::evaluation::curve::Subject;
use crate::evaluation::{BudgetRequest, CHOICE_METRICS, COSINE, LOSS, SCORED_COPIES, plan_within, task_metrics};
use crate::model::Needs;
use crate::network::Head;
use crate::plan::{Method, Plan, QualityBudget, Ranking, heads_of_kinds, record_kinds};
use crate::repair::{Repair, RepairMode};
use crate::task::Ticket;

/// What a search within a budget is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetSpec {
    /// Ways to choose heads; [`BudgetSpec::every_method`] where none is named.
    pub rankings: Vec<Ranking>,
    /// How much quality may be spent.
    pub budget: QualityBudget,
    /// The metric that may fall, where the budget is of one; that of the task, or top-1 accuracy, without it.
    pub metric: Option<String>,
    /// How the heads that stay speak for the others: `none`, `refit` or `scale`.
    pub repair: RepairMode,
    /// Whether a layer may lose every head.
    pub allow_empty: bool,
    /// Kinds of heads that stay.
    pub pinned: Vec<HeadKind>,
    /// Heads that no search may remove.
    pub heads: BTreeSet<Head>,
    /// Heads that go whatever ranks them, as far as surgery allows.
    pub gone: BTreeSet<Head>,
    /// Whether layers in which nothing speaks for redundancy lose heads too; they do where nobody says otherwise.
    pub without_evidence: Option<bool>,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self {
            rankings: Vec::new(),
            budget: QualityBudget::LossShare(0.01),
            metric: None,
            repair: RepairMode::None,
            allow_empty: false,
            pinned: Vec::new(),
            heads: BTreeSet::new(),
            gone: BTreeSet::new(),
            without_evidence: None,
        }
    }
}

impl BudgetSpec {
    /// Every method that `analysis` and, where there are any, its second moments can serve, but chance: those that spend one
    /// budget over the whole model first, since they mostly find the smallest plan and the others then have to beat it.
    pub fn every_method(analysis: &Analysis, has_moments: bool) -> Vec<Ranking> {
        let mut all: Vec<Ranking> = Ranking::available(analysis)
            .into_iter()
            .filter(|ranking| ranking.map.is_none() && !ranking.method.is_random())
            .chain(has_moments.then_some(Ranking::from(Method::Reconstruction)))
            .collect();
        all.sort_by_key(|ranking| match ranking.method {
            Method::Reconstruction => 0,
            Method::Importance => 1,
            method if method.compares_layers() => 2,
            _ => 3,
        });
        all
    }

    /// Whether second moments are wanted: for a method that is named, or for repair.
    pub fn needs_moments(&self) -> bool {
        self.repair.repairs() || self.rankings.iter().any(|ranking| ranking.method.needs_moments())
    }
}

impl Checked {
    /// What quality can be measured by on this input, as far as that is known before it is read: [`LOSS`] where something is
    /// predicted, then the measure that stands for the task, then the others.
    pub fn quality_measures(&self) -> Vec<String> {
        let spec = self.model().spec();
        let input = self.spec().input.as_ref();
        let is_labeled = !matches!(input, Some(Input::Text(_) | Input::Pairs { .. }) | None);
        let mut all: Vec<&str> = Vec::new();
        match &spec.task {
            Some(task) if is_labeled => {
                all.push(LOSS);
                all.extend(task_metrics(task).iter().filter(|metric| metric.rises).map(|metric| metric.name));
            }
            None if spec.predicts_tokens() => {
                all.push(LOSS);
                all.extend(CHOICE_METRICS.iter().filter(|_| matches!(input, Some(Input::Data { .. }))));
                all.push("accuracy");
            }
            _ => {}
        }
        all.push(COSINE);
        all.into_iter().map(str::to_owned).collect()
    }

    /// That of [`Self::quality_measures`] by which a budget is told where nobody chose: the metric that the task is known
    /// by, where rows carry its labels.
    pub fn usual_quality_measure(&self) -> Option<String> {
        let measures = self.quality_measures();
        let of_task =
            |task| task_metrics(task).into_iter().find(|metric| metric.rises).map(|metric| metric.name.to_owned());
        let usual = self.model().spec().task.as_ref().and_then(of_task);
        usual.filter(|name| measures.contains(name)).or_else(|| measures.into_iter().next())
    }

    /// The plan with the fewest heads that stays within a budget of quality on the held-out part of the input, in about the
    /// time of twelve evaluations for one method; with the repair that it was measured with. `moments` are those of the
    /// analysis.
    ///
    /// # Errors
    /// Where the analysis is of another model or lacks what a method needs; as [`Checked::evaluate`].
    pub fn plan_within(
        &self,
        (analysis, moments): (&Analysis, Option<&Moments>),
        wanted: &BudgetSpec,
        ticket: &Ticket,
    ) -> Result<(Plan, Option<Repair>)> {
        let model = self.model();
        if self.opened().facts.fingerprint != analysis.model.fingerprint {
            return Err(
                Error::new("this is an analysis of another model").hint(format!("it is of {}", analysis.model.path))
            );
        }
        if wanted.needs_moments() && moments.is_none() {
            return Err(
                Error::new("reconstruction and repair need second moments").hint("analyze again with --moments")
            );
        }
        let networks = if wanted.repair.repairs() { 2 } else { 1 };
        let [of_input, of_search] = ticket.parts([0.02, 0.98]);
        let (corpus, network) = self.scoring(Needs { copies: SCORED_COPIES, networks, ..Needs::ONE }, &of_input)?;
        let benchmark = self.benchmark(&corpus, &of_input)?;
        let subject = Subject {
            network: &network,
            weights: None,
            analysis,
            corpus: &corpus,
            moments,
            model: Some(model),
            benchmark: benchmark.as_ref(),
        };
        let rankings = match wanted.rankings.as_slice() {
            [] => BudgetSpec::every_method(analysis, moments.is_some()),
            named => named.to_vec(),
        };
        let mut pinned = heads_of_kinds(analysis, &wanted.pinned)?;
        pinned.extend(&wanted.heads);
        let request = BudgetRequest {
            rankings,
            budget: wanted.budget,
            metric: wanted.metric.clone(),
            repair: wanted.repair,
            seed: self.spec().seed,
            allow_empty: wanted.allow_empty,
            without_evidence: wanted.without_evidence,
            pinned,
            gone: wanted.gone.clone(),
        };
        let (mut plan, repair) = plan_within(&subject, &request, &of_search)?;
        ticket.over();
        record_kinds(analysis, &mut plan, &wanted.pinned)?;
        plan.notes.extend(self.notes(&corpus));
        Ok((plan, repair))
    }
}
