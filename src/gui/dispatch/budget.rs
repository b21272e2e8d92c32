//! Plans that come from what they cost: searches within a budget, points of the quality curve.

use std::sync::Arc;

use crate::chart::Unit::Share;
use crate::gui::app::App;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::plan::Plan;
use crate::repair::{FORECAST, Repair, RepairMode};
use crate::run::BudgetSpec;
use crate::words::counted;
use crate::workspace::{NamedPlan, Proposal};

impl App {
    /// Searches for the smallest plan within the budget, by the method that chose the plan being edited; where that was done by
    /// hand, or every method is wanted, by all of them.
    pub(super) fn find_plan(&mut self) {
        let (Some(run), Some(results)) = (self.state.measuring_run(), &self.state.results) else { return };
        let analysis = Arc::clone(&results.analysis);
        let (budget, metric) = self.state.quality_budget();
        let proposal = self.state.draft.now().active().proposal.as_ref();
        let rankings = self.state.searched_by().filter(|_| !self.state.tries_every_method());
        let moments = results.moments.as_ref().map(|found| Arc::clone(&found.moments));
        let repair = match self.state.repairing.mode {
            RepairMode::None => RepairMode::None,
            _ if moments.is_none() => RepairMode::None,
            RepairMode::Scale => RepairMode::Scale,
            // What takes a pass over the text is too much for every plan that is tried.
            RepairMode::Refit | RepairMode::Stream | RepairMode::Auto => RepairMode::Refit,
        };
        let plan = self.state.draft.now().active();
        // A budget is meant for every layer, as every amount is, unless a person left some alone.
        let is_own = proposal.is_some_and(|p| *p != self.state.first_proposal());
        let without_evidence = proposal.filter(|_| is_own).map(Proposal::prunes_unproven);
        let (heads, gone) = plan.pinned_heads();
        let wanted = BudgetSpec {
            rankings: rankings.into_iter().collect(),
            budget,
            metric,
            repair,
            heads,
            gone,
            without_evidence,
            ..BudgetSpec::default()
        };
        self.state.jobs.start(JobKind::FindPlan, format!("Find the smallest plan: {budget}"), move |ticket| {
            let (plan, repair) = run.plan_within((&analysis, moments.as_deref()), &wanted, ticket)?;
            Ok(JobOutcome::FoundPlan(Box::new(plan), repair.map(Box::new)))
        });
    }

    /// Adds the plan that a search found with the repair that it was measured with, and measures it beside the random control.
    pub(super) fn adopt_found(&mut self, plan: Plan, repair: Option<Repair>) {
        let Some(found) = &plan.budget else { return };
        let text = format!("Found by {}: {}", plan.method, found.sentence());
        // The search measured what was foretold.
        let mut notes: Vec<String> = plan.notes.iter().filter(|note| !note.starts_with(FORECAST)).cloned().collect();
        let name = format!("Within {}", Share.format(found.budget.most()));
        // Pins hold in what was found, too, as far as it obeys them.
        let now = self.state.draft.now().active();
        let stay = now.pinned_heads().1.into_iter().filter(|head| plan.kept.keeps(*head)).count();
        let pins = now.pins_in(&plan);
        if stay > 0 {
            let (heads, verb) = (counted(stay, "heads"), if stay == 1 { "is" } else { "are" });
            let why = "key/value heads that stay serve equally many, and no layer loses every head";
            notes.push(format!("Find: {heads} of those that {verb} pinned to go had to stay: {why}"));
        }
        self.state.messages.result(text, notes);
        let plan = NamedPlan { pins, ..NamedPlan::of(name, plan) };
        if let (Some(repair), Some(model)) = (repair, &self.state.model) {
            self.state.repairing.take(repair, &plan.plan(&model.facts.shape));
        }
        self.edit_plans("find a plan within a budget", |draft| draft.add_found(plan));
        self.measure(self.state.draft.now().active_index());
    }

    /// Makes a point of the quality curve a plan.
    pub(super) fn take_point(&mut self, index: usize) {
        let (Some(curves), Some(model)) = (&self.state.curves, &self.state.model) else { return };
        let Some(point) = curves.points.get(index) else { return };
        let name = format!("{} {}", point.ranking, Share.format(point.kept_share));
        let plan = Plan {
            kept: point.kept.clone(),
            method: point.ranking.to_string(),
            amount: Some(point.amount),
            seed: point.seed,
            fingerprint: Some(curves.model.fingerprint.clone()),
            // Whoever takes a point of a curve chooses by what was measured there.
            chosen_on: vec![curves.reading.clone()],
            ..Plan::default()
        };
        if let Err(error) = plan.validate(&model.facts.shape) {
            self.state.messages.fail(&format!("Plan {name}"), &error);
            return;
        }
        let plan = NamedPlan::of(name, plan);
        self.edit_plans("take a point of the curve", |draft| draft.add_found(plan));
    }

    /// Lets layers without evidence lose heads too, or no longer.
    pub(super) fn toggle_without_evidence(&mut self) {
        let now = self.state.draft.now().active().proposal.clone().unwrap_or_else(Proposal::first);
        self.propose(Proposal { without_evidence: Some(!now.prunes_unproven()), ..now }, false);
    }
}
