//! Proposals, pins and named plans.

use std::sync::Arc;

use crate::error::Result;
use crate::gui::app::App;
use crate::gui::findings::Findings;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::network::Head;
use crate::plan::{Amount, Plan, propose};
use crate::repair::Repair;
use crate::words::counted;
use crate::workspace::{ComparedPlan, Draft, History, NamedPlan, Outlook, Proposal};

/// Heads of a model whose plans are snapped and counted between two frames; those of larger ones wait for a worker.
const AT_ONCE: usize = 512;

/// One step of the history, back or forth.
type HistoryMove = fn(&mut History<Draft, Findings>, &mut dyn FnMut(&mut Findings)) -> Option<String>;

impl App {
    /// Fixes heads, or hands them back where `to` says `None`.
    pub(super) fn pin(&mut self, heads: &[Head], to: impl Fn(Head) -> Option<bool>, verb: &str) {
        let what = match heads {
            [] => return,
            [head] => head.to_string(),
            many => counted(many.len(), "heads"),
        };
        self.edit_plans(&format!("{verb} {what}"), |draft| {
            for head in heads {
                draft.active_mut().set_pin(*head, to(*head));
            }
        });
    }

    /// Changes the plans as one step of the history.
    pub(super) fn edit_plans(&mut self, name: &str, change: impl FnOnce(&mut Draft)) {
        self.state.draft.edit(name, change);
        self.plan_changed();
    }

    /// Takes the last step of the history back, or does it again, and says which. Where that is a run, the results of the
    /// other side are shown, with what was made of them.
    pub(super) fn step_history(&mut self, said: &str, step: HistoryMove) {
        let mut draft = std::mem::replace(&mut self.state.draft, History::new(Draft::default()));
        let mut is_run = false;
        let name = step(&mut draft, &mut |held| {
            self.state.exchange(held);
            is_run = true;
        });
        self.state.draft = draft;
        let Some(name) = name else { return };
        let results = self.state.results.as_ref().filter(|_| is_run);
        let shown = results.map(|results| {
            let batches = counted(results.analysis.batches, "batches");
            format!(", and shown are the results of {batches} of {}", results.analysis.settings.input)
        });
        self.state.messages.info(format!("{said}: {name}{}", shown.unwrap_or_default()));
        if is_run {
            // Reconstruction may still have been choosing when the other run came.
            self.propose_again();
        } else {
            self.plan_changed();
        }
    }

    /// Lets a method propose the plan being edited; `is_adjustment` joins steps until the mouse is let go.
    pub(super) fn propose(&mut self, proposal: Proposal, is_adjustment: bool) {
        let name = format!("{} by {}", amount_words(&proposal), proposal.method);
        // A slider passes many values in one step, so its step is named after what it sets.
        let adjusted = match proposal.amount {
            Amount::Groups => "draw again",
            Amount::Keep(_) => "change the heads per layer",
            Amount::Ratio(_) => "change the share of all heads",
            Amount::LayerRatio(_) => "change the share of each layer",
            Amount::Threshold(_) => "change the threshold",
        };
        let base = self.proposed(&proposal);
        let change = |draft: &mut Draft| {
            let plan = draft.active_mut();
            if let Some(base) = base {
                plan.base = base;
            }
            plan.proposal = Some(proposal);
        };
        if is_adjustment {
            self.state.draft.adjust(adjusted, change);
        } else {
            self.state.draft.edit(name, change);
        }
        if let Some(wanted) = self.is_choosing(self.state.draft.now().active().proposal.as_ref()) {
            self.choose_by_reconstruction(vec![wanted]);
        }
        self.plan_changed();
    }

    /// The proposal, where reconstruction can carry it out: that takes a worker.
    fn is_choosing(&self, proposal: Option<&Proposal>) -> Option<Proposal> {
        proposal.filter(|proposal| self.state.chooses_by_moments(proposal)).cloned()
    }

    /// Makes every proposal anew from the results that are there now.
    pub(super) fn propose_again(&mut self) {
        let plans: Vec<_> = self.state.draft.now().plans().iter().map(|p| p.proposal.clone()).collect();
        let bases: Vec<_> = plans.iter().map(|p| p.as_ref().and_then(|p| self.proposed(p))).collect();
        self.state.draft.follow(|draft| {
            for (plan, base) in draft.plans_mut().iter_mut().zip(bases) {
                if let Some(base) = base {
                    plan.base = base;
                }
            }
        });
        let choosing: Vec<Proposal> = plans.iter().filter_map(|p| self.is_choosing(p.as_ref())).collect();
        if !choosing.is_empty() {
            self.choose_by_reconstruction(choosing);
        }
        self.plan_changed();
    }

    /// Fills a plan that was not edited yet.
    pub(super) fn propose_first(&mut self) {
        let plan = self.state.draft.now().active();
        if plan.proposal.is_none() && plan.pinned() == 0 && plan.base.kept.is_empty() {
            self.propose(self.state.first_proposal(), false);
        }
    }

    /// What a method proposes; a fault is kept for the view to show.
    fn proposed(&mut self, proposal: &Proposal) -> Option<Plan> {
        if self.is_choosing(Some(proposal)).is_some() {
            // A worker brings it.
            self.state.proposal_fault = None;
            return None;
        }
        let analysis = &self.state.results.as_ref()?.analysis;
        match propose(analysis, &proposal.request()) {
            Ok(plan) => {
                self.state.proposal_fault = None;
                Some(plan)
            }
            Err(error) => {
                self.state.proposal_fault = Some(error);
                None
            }
        }
    }

    /// Adds a plan that came from a file, with the repair that it was measured with.
    pub(super) fn import_plan(&mut self, name: String, plan: Plan, own: Option<Result<Repair>>) {
        let Some(model) = &self.state.model else {
            self.state.messages.warn("Open a model before its plan");
            return;
        };
        if let Err(error) = plan.validate(&model.facts.shape) {
            self.state.messages.fail(&format!("Plan {name}"), &error);
            return;
        }
        if let Some(note) = plan.foreign_to(&model.facts.fingerprint) {
            self.state.messages.warn(format!("{name}: {note}"));
        }
        let repair = own.map(|own| {
            let repair = own?;
            repair.check(model.model.spec(), &model.facts.fingerprint, &plan)?;
            Ok(repair)
        });
        let opened = format!("Plan {name} opened");
        let failed = format!("Repair of plan {name}");
        let plan = NamedPlan::of(name, plan);
        match repair {
            Some(Ok(repair)) => {
                let mode = repair.record.mode;
                self.state.repairing.take(repair, &plan.plan(&model.facts.shape));
                self.state.messages.info(format!("{opened} with the repair by {mode} that it was measured with"));
            }
            Some(Err(error)) => {
                self.state.messages.fail(&failed, &error);
                self.state.messages.info(opened);
            }
            None => self.state.messages.info(opened),
        }
        self.edit_plans("open a plan", |draft| draft.add(plan));
    }

    /// Brings everything that follows from the plans up to date.
    pub(super) fn plan_changed(&mut self) {
        self.state.plan_revision += 1;
        let length = self.state.run.cost_length();
        let Some(model) = &self.state.model else {
            self.state.outlook = None;
            self.state.compared.clear();
            return;
        };
        let before = self.state.compared.clone();
        let (plans, shape) = (self.state.draft.now().plans().to_vec(), Arc::clone(&model.facts));
        let is_quick = shape.shape.sites().iter().map(|site| site.heads).sum::<usize>() <= AT_ONCE;
        let opened = Arc::clone(&model.model);
        let are_as_many = before.len() == plans.len();
        let compare = move |plan: NamedPlan| {
            // While a threshold moves, only one of them changes.
            let same = before.iter().find(|c| c.plan == plan).cloned();
            same.unwrap_or_else(|| {
                let outlook = Outlook::of(&opened, &plan.plan(&shape.shape), length);
                ComparedPlan { plan, outlook }
            })
        };
        let work = move || plans.into_iter().map(compare).collect();
        let revision = self.state.plan_revision;
        if is_quick {
            self.adopt_compared(revision, work());
        } else {
            self.state.outlook = None;
            // Rows stay until they are counted anew, so that none of them flickers; where plans came or went, each row is of
            // another one.
            if !are_as_many {
                self.state.compared.clear();
            }
            self.state
                .jobs
                .start(JobKind::Cost, "Count what plans save", move |_| Ok(JobOutcome::Compared(revision, work())));
        }
    }

    /// Takes in what plans would do, unless they are others by now.
    pub(super) fn adopt_compared(&mut self, revision: u64, compared: Vec<ComparedPlan>) {
        if self.state.plan_revision == revision {
            let active = self.state.draft.now().active_index();
            self.state.outlook = compared.get(active).map(|c| c.outlook.clone());
            self.state.compared = compared;
        }
    }
}

fn amount_words(proposal: &Proposal) -> String {
    use crate::chart::Unit::Share;
    match proposal.amount {
        Amount::Groups => "keep as many heads as groups".to_owned(),
        Amount::Keep(n) => format!("keep {} per layer", counted(n, "heads")),
        Amount::Ratio(ratio) => format!("keep {} of the heads", Share.format(ratio)),
        Amount::LayerRatio(ratio) => format!("keep {} of the heads of every layer", Share.format(ratio)),
        Amount::Threshold(least) => format!("keep heads from {}", Share.format(least)),
    }
}
