//! Repairs, and the choice by reconstruction: both take longer than a frame.

use std::sync::Arc;

use crate::analysis::Moments;
use crate::error::Result;
use crate::gui::app::App;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::gui::repairing::MadeRepair;
use crate::gui::state::State;
use crate::gui::wording::in_controls;
use crate::plan::Plan;
use crate::repair::{RepairMode, explain};
use crate::run::{BatchChoices, Checked, RepairSpec};
use crate::task::Ticket;
use crate::workspace::{KeptRepair, NamedPlan, Proposal};

/// What a worker needs to repair a plan: the repair where it is known, else how to make it.
pub(super) struct RepairOrder {
    run: Checked,
    /// The way that is chosen in the view, and the one that this plan is repaired in.
    asked: RepairMode,
    mode: RepairMode,
    known: Option<MadeRepair>,
    moments: Option<Arc<Moments>>,
}

impl RepairOrder {
    /// For `plan` as things stand; `None` where plans are not repaired, there is nothing in this one to repair, or nothing is
    /// there to calibrate on. Where quality is measured on another input than the heads were analyzed on, the repair is
    /// calibrated on that of the analysis, so that what is measured on has no part in it.
    pub(super) fn of(state: &State, plan: &Plan) -> Option<Self> {
        let Some(Ok(run)) = &state.checked else { return None };
        let analysis = state.results.as_ref().map(|results| &results.analysis);
        let other = analysis.filter(|analysis| state.run.reads_other_than(analysis));
        let before = other.and_then(|analysis| state.run.calibrating(analysis)?.check(run.opened()).ok());
        let is_before = before.is_some();
        Self::on(state, plan, before.unwrap_or_else(|| run.clone()), is_before || state.differences.is_empty())
    }

    /// For `plan`, calibrated on what is read now.
    fn on_what_is_read(state: &State, plan: &Plan) -> Option<Self> {
        let Some(Ok(run)) = &state.checked else { return None };
        let order = Self::on(state, plan, run.clone(), state.differences.is_empty())?;
        Some(Self { known: None, ..order })
    }

    /// Calibrated on what `run` reads, which is what was analyzed where `is_analyzed` says so.
    fn on(state: &State, plan: &Plan, run: Checked, is_analyzed: bool) -> Option<Self> {
        if !state.repairing.is_on() || state.keeps_all(plan) {
            return None;
        }
        let mode = state.repairing.way(plan);
        // What reads the text besides needs the moments of that text; a refit is calibrated where the heads were analyzed.
        let is_same_text = matches!(mode, RepairMode::Refit | RepairMode::Scale) || is_analyzed;
        let results = state.results.as_ref().filter(|_| is_same_text);
        Some(Self {
            run,
            asked: state.repairing.mode,
            mode,
            known: state.repairing.of(&plan.kept).cloned(),
            moments: results.and_then(|results| results.moments.as_ref()).map(|found| Arc::clone(&found.moments)),
        })
    }

    /// Whether the repair is there already.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Second moments that it may rest on.
    pub(super) fn moments(&self) -> Option<&Moments> {
        self.moments.as_deref()
    }

    /// The repair, made where it is not known.
    pub(super) fn carry_out(&self, plan: &Plan, ticket: &Ticket) -> Result<MadeRepair> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let wanted = RepairSpec { mode: self.mode, ..RepairSpec::default() };
        let repair = Arc::new(self.run.repair(plan, self.moments(), &wanted, ticket)?);
        Ok(MadeRepair { repair, asked: self.asked, is_own: false })
    }
}

impl App {
    /// Repairs the plan being edited.
    pub(super) fn repair(&mut self) {
        let Some(plan) = self.state.legal_plan().cloned() else { return };
        // Who asks for it again wants it of what is read now.
        let Some(order) = RepairOrder::on_what_is_read(&self.state, &plan) else { return };
        let name = self.state.draft.now().active().title();
        self.state.jobs.start(JobKind::Repair, format!("Repair {name}"), move |ticket| {
            Ok(JobOutcome::Repaired(Box::new(order.carry_out(&plan, ticket)?)))
        });
    }

    /// Switches repair on, off, or to another way.
    pub(super) fn set_repair(&mut self, mode: RepairMode) {
        self.state.repairing.mode = mode;
        self.state.repairing.revision += 1;
    }

    /// Takes in a repair.
    pub(super) fn adopt_repair(&mut self, made: MadeRepair) {
        let record = &made.repair.record;
        let known = self.state.repairing.of(&record.kept);
        if known.is_some_and(|known| Arc::ptr_eq(&known.repair, &made.repair)) {
            return;
        }
        let text = match record.mode {
            RepairMode::None => format!("Repair: {}", RepairMode::LEFT),
            mode => format!("Repaired by {mode} on {} tokens of {}", record.tokens, record.input),
        };
        self.state.messages.result(text, &record.notes);
        // Quality that was measured with another repair of these heads is that of another model.
        self.state.measured.retain(|m| m.repair.is_none() || m.kept != record.kept);
        self.state.measured_revision += 1;
        self.state.repairing.add(made);
    }

    /// Takes back the repairs that were kept with the work, and says which plans were measured with others.
    pub(super) fn bring_back_repairs(&mut self, kept: &[KeptRepair], faults: &[String]) {
        let state = &mut self.state;
        let Some(model) = &state.model else { return };
        let mut faults = faults.to_vec();
        for kept in kept {
            let Some(repair) = &kept.repair else { continue };
            let plan = Plan { kept: repair.record.kept.clone(), ..Plan::default() };
            match repair.check(model.model.spec(), &model.facts.fingerprint, &plan) {
                Ok(()) => state.repairing.restore(kept),
                Err(error) => faults.push(error.to_string()),
            }
        }
        for fault in faults {
            state.messages.warn(format!("A repair that was kept with the work is left out: {}", in_controls(&fault)));
        }
        let lacks = |plan: &&NamedPlan| {
            let kept = plan.plan(&model.facts.shape).kept;
            let is_measured = state.measured.iter().any(|m| m.kept == kept && m.is_repaired());
            is_measured && !state.repairing.holds(&kept)
        };
        let lacking: Vec<String> = state.draft.now().plans().iter().filter(lacks).map(NamedPlan::title).collect();
        if !lacking.is_empty() {
            state.messages.warn(format!(
                "The repair that {} was measured with is not there: it is made anew where it is needed, which may come to \
                 other numbers",
                lacking.join(", ")
            ));
        }
    }

    /// Lets a worker choose the heads of plans by reconstruction.
    pub(super) fn choose_by_reconstruction(&mut self, wanted: Vec<Proposal>) {
        let Some(results) = &self.state.results else { return };
        let Some(found) = results.moments.clone() else { return };
        let (analysis, revision) = (Arc::clone(&results.analysis), results.revision);
        self.state.jobs.start(JobKind::Propose, "Choose heads by reconstruction", move |ticket| {
            let mut plans = Vec::new();
            for proposal in wanted {
                ticket.check()?;
                let orders = found.reconstruction();
                let plan =
                    orders.and_then(|orders| orders.propose(&analysis, &proposal.request())).and_then(|mut plan| {
                        explain(&mut plan, &found.moments, ticket)?;
                        Ok(plan)
                    });
                plans.push((proposal, plan));
            }
            Ok(JobOutcome::Proposed(revision, plans))
        });
    }

    /// Lets every batch that was analyzed choose by itself as the plan being edited does.
    pub(super) fn ask_batches(&mut self) {
        let (Some(results), Some(Ok(run))) = (&self.state.results, &self.state.checked) else { return };
        let (Some(proposal), Some(found)) = (self.state.chosen_by_moments().cloned(), &results.moments) else { return };
        let (analysis, moments, revision) =
            (Arc::clone(&results.analysis), Arc::clone(&found.moments), results.revision);
        // Those that voted, whatever the settings are by now.
        let as_analyzed = self.state.run.calibrating(&analysis).and_then(|spec| spec.check(run.opened()).ok());
        let run = as_analyzed.unwrap_or_else(|| run.clone());
        self.state.jobs.start(JobKind::AskBatches, "Ask every batch", move |ticket| {
            let found = run.choices_by_batch(&analysis, &moments, &proposal.request(), ticket)?;
            Ok(JobOutcome::BatchChoices(revision, Box::new(proposal), found))
        });
    }

    /// Takes in what batches chose by themselves, for the plans that were asked for so.
    pub(super) fn adopt_choices(&mut self, revision: u64, proposal: &Proposal, found: &BatchChoices) {
        if self.state.results.as_ref().is_none_or(|results| results.revision != revision) {
            return;
        }
        self.state.draft.follow(|draft| {
            let asked = draft.plans_mut().iter_mut().filter(|plan| plan.proposal.as_ref() == Some(proposal));
            asked.for_each(|plan| found.clone().record(&mut plan.base));
        });
        self.plan_changed();
    }

    /// Takes in what reconstruction chose, for the plans that still want it.
    pub(super) fn adopt_proposed(&mut self, revision: u64, found: Vec<(Proposal, Result<Plan>)>) {
        if self.state.results.as_ref().is_none_or(|results| results.revision != revision) {
            return;
        }
        let active = self.state.draft.now().active().proposal.clone();
        for (proposal, plan) in found {
            match plan {
                Ok(chosen) => {
                    if active.as_ref() == Some(&proposal) {
                        self.state.proposal_fault = None;
                    }
                    self.state.draft.follow(|draft| {
                        let wanting = draft.plans_mut().iter_mut().filter(|p| p.proposal.as_ref() == Some(&proposal));
                        wanting.for_each(|plan| plan.base = chosen.clone());
                    });
                }
                Err(error) if active.as_ref() == Some(&proposal) => self.state.proposal_fault = Some(error),
                Err(_) => {}
            }
        }
        self.plan_changed();
    }
}
