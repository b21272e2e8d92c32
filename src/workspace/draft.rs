//! Plans being edited: what a method proposes, overlaid by the heads that a person has fixed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::network::{Head, Kept, Site};
use crate::plan::{Amount, BudgetRecord, Method, Plan, PlanRequest, Shape, SiteShape};

/// What a method is asked to propose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// What heads are ranked by.
    pub method: Method,
    pub amount: Amount,
    /// Seed of the random methods.
    #[serde(default)]
    pub seed: u64,
    /// Whether layers in which nothing speaks for redundancy, or of which nobody knows, lose heads too; without a word they do
    /// where a person named the amount ([`Amount::prunes_unproven`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_evidence: Option<bool>,
}

impl Proposal {
    /// What fills a plan that was not edited: as many of the most voted heads as a layer has groups. What the program proposes by
    /// itself takes nothing of layers in which nothing speaks for redundancy, or of which nobody knows.
    pub fn first() -> Self {
        Self { method: Method::Votes, amount: Amount::Groups, seed: 0, without_evidence: Some(false) }
    }

    /// The same for a model that was not trained for its heads to be alike: one budget over the whole model, for the heads
    /// that the others can least speak for.
    pub fn untrained() -> Self {
        Self { method: Method::Reconstruction, amount: Amount::Ratio(0.7), ..Self::first() }
    }

    /// The same with an amount that a person names: it is meant for every layer.
    pub fn of_amount(&self, amount: Amount) -> Self {
        Self { amount, without_evidence: self.without_evidence.filter(|prunes| *prunes), ..self.clone() }
    }

    /// What is asked of the method.
    pub fn request(&self) -> PlanRequest {
        PlanRequest {
            seed: self.seed,
            without_evidence: self.without_evidence,
            ..PlanRequest::new(self.method, self.amount)
        }
    }

    /// Whether layers without evidence of redundancy lose heads too.
    pub fn prunes_unproven(&self) -> bool {
        self.amount.prunes_unproven(self.without_evidence)
    }
}

/// What stands before the name of a plan whose heads are others than those that it was named for.
const EDITED: &str = "Edited from ";

/// A plan under a name. A pinned head stays or goes whatever the proposal says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedPlan {
    /// The name shown to people.
    pub name: String,
    /// What a method is asked to propose; absent for plans that keep every head or come from a file.
    pub proposal: Option<Proposal>,
    /// What a method or a file proposed; a fresh plan keeps every head.
    pub base: Plan,
    /// Heads that a person fixed: true stays, false goes.
    pub pins: BTreeMap<Site, BTreeMap<usize, bool>>,
    /// The heads that the name tells of, where the program gave it: those that a search found, or a point of a curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_for: Option<Kept>,
}

/// What a plan says of one layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerPlan<'a> {
    kept: Option<&'a [usize]>,
    pins: Option<&'a BTreeMap<usize, bool>>,
}

impl LayerPlan<'_> {
    /// Whether `head` is pinned, and to what.
    pub fn pin(&self, head: usize) -> Option<bool> {
        self.pins?.get(&head).copied()
    }

    /// Whether the plan keeps `head`.
    pub fn is_kept(&self, head: usize) -> bool {
        self.pin(head).unwrap_or_else(|| self.kept.is_none_or(|kept| kept.contains(&head)))
    }
}

impl NamedPlan {
    /// A plan that keeps every head.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A plan of just these heads, by what the program calls it.
    pub fn of(name: impl Into<String>, base: Plan) -> Self {
        Self { named_for: Some(base.kept.clone()), base, ..Self::new(name) }
    }

    /// The name, and that the heads are others by now where it told of them.
    pub fn title(&self) -> String {
        let pins = || {
            self.pins.iter().flat_map(|(site, pins)| pins.iter().map(move |(h, stays)| (Head::new(*site, *h), *stays)))
        };
        // A pin that holds what was there already changes nothing.
        let is_other =
            |named: &Kept| *named != self.base.kept || pins().any(|(head, stays)| named.keeps(head) != stays);
        let edited = if self.named_for.as_ref().is_some_and(is_other) { EDITED } else { "" };
        format!("{edited}{}", self.name)
    }

    /// Whether `head` is pinned, and to what.
    pub fn pin(&self, head: Head) -> Option<bool> {
        self.at(head.site).pin(head.head)
    }

    /// Whether the plan keeps `head`.
    pub fn is_kept(&self, head: Head) -> bool {
        self.at(head.site).is_kept(head.head)
    }

    /// The part of the plan that is about one layer.
    pub fn at(&self, site: Site) -> LayerPlan<'_> {
        LayerPlan { kept: self.base.kept.get(site), pins: self.pins.get(&site) }
    }

    /// How many heads of a layer stay.
    pub fn kept_at(&self, site: &SiteShape) -> usize {
        match (self.pins.get(&site.site), self.base.kept.get(site.site)) {
            // Without a pin there is nothing to look up.
            (None, None) => site.heads,
            (None, Some(kept)) => kept.iter().filter(|head| **head < site.heads).count(),
            (Some(_), _) => (0..site.heads).filter(|head| self.is_kept(Head::new(site.site, *head))).count(),
        }
    }

    /// Fixes `head`, or hands it back to the proposal.
    pub fn set_pin(&mut self, head: Head, stays: Option<bool>) {
        let site = self.pins.entry(head.site).or_default();
        match stays {
            Some(stays) => site.insert(head.head, stays),
            None => site.remove(&head.head),
        };
        if site.is_empty() {
            self.pins.remove(&head.site);
        }
    }

    /// The proposal with the pins laid over it, every site named.
    pub fn plan(&self, shape: &Shape) -> Plan {
        let kept = shape.sites().iter().map(|s| {
            let heads: Vec<usize> = (0..s.heads).filter(|h| self.is_kept(Head::new(s.site, *h))).collect();
            (s.site, heads)
        });
        let mut plan = Plan { kept: kept.collect(), ..self.base.clone() };
        plan.heads = shape.sites().iter().map(|s| (s.site, s.heads)).collect();
        let is_changed =
            shape.sites().iter().any(|s| plan.kept.at(s.site, s.heads) != self.base.kept.at(s.site, s.heads));
        if is_changed || plan.method.is_empty() {
            // What a method knew of its own choice is not known of another.
            plan.explained.clear();
            if is_changed {
                plan.notes.clear();
            }
            plan.method = "manual".to_owned();
            // What was measured was another choice of heads, most of which were chosen by it all the same.
            plan.chosen_on.extend(plan.budget.take().map(|found| found.reading));
        }
        for site in self.pins.keys() {
            // Of the other heads of the layer it is known which the method chose.
            if let (false, Some(kept)) = (plan.chosen.contains_key(site), self.base.kept.get(*site)) {
                plan.chosen.insert(*site, kept.len());
            }
        }
        plan
    }

    /// Whether a pin takes or gives a head that the proposal decided otherwise.
    pub fn is_edited(&self) -> bool {
        self.pins
            .iter()
            .any(|(site, pins)| pins.iter().any(|(h, stays)| self.base.kept.keeps(Head::new(*site, *h)) != *stays))
    }

    /// The notes of [`Self::plan`]: an edited plan is not the one that its notes are of.
    pub fn notes(&self) -> &[String] {
        if self.is_edited() { &[] } else { &self.base.notes }
    }

    /// What a search measured of [`Self::plan`].
    pub fn budget(&self) -> Option<&BudgetRecord> {
        self.base.budget.as_ref().filter(|_| !self.is_edited() && !self.base.method.is_empty())
    }

    /// The heads that are pinned to stay, and those that are pinned to go.
    pub fn pinned_heads(&self) -> (BTreeSet<Head>, BTreeSet<Head>) {
        let all =
            self.pins.iter().flat_map(|(site, pins)| pins.iter().map(|(h, stays)| (Head::new(*site, *h), *stays)));
        let (stay, go): (Vec<_>, Vec<_>) = all.partition(|(_, stays)| *stays);
        let heads = |pins: Vec<(Head, bool)>| pins.into_iter().map(|(head, _)| head).collect();
        (heads(stay), heads(go))
    }

    /// The pins that `plan` obeys.
    pub fn pins_in(&self, plan: &Plan) -> BTreeMap<Site, BTreeMap<usize, bool>> {
        let (stay, go) = self.pinned_heads();
        let mut pins: BTreeMap<Site, BTreeMap<usize, bool>> = BTreeMap::new();
        for (heads, stays) in [(stay, true), (go, false)] {
            for head in heads.into_iter().filter(|head| plan.kept.keeps(*head) == stays) {
                pins.entry(head.site).or_default().insert(head.head, stays);
            }
        }
        pins
    }

    /// Number of heads that are pinned.
    pub fn pinned(&self) -> usize {
        self.pins.values().map(BTreeMap::len).sum()
    }
}

/// Every plan of a workspace; exactly one is being edited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenDraft")]
pub struct Draft {
    plans: Vec<NamedPlan>,
    active: usize,
}

/// As it may stand in a file: the index can point nowhere and the list can be empty.
#[derive(Deserialize)]
struct WrittenDraft {
    plans: Vec<NamedPlan>,
    active: usize,
}

impl From<WrittenDraft> for Draft {
    fn from(WrittenDraft { mut plans, active }: WrittenDraft) -> Self {
        if plans.is_empty() {
            return Self::default();
        }
        plans.truncate(1000);
        Self { active: active.min(plans.len() - 1), plans }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self { plans: vec![NamedPlan::new("Plan 1")], active: 0 }
    }
}

impl Draft {
    pub fn plans(&self) -> &[NamedPlan] {
        &self.plans
    }

    /// All plans, to change them.
    pub fn plans_mut(&mut self) -> &mut [NamedPlan] {
        &mut self.plans
    }

    /// Index of the plan being edited.
    pub fn active_index(&self) -> usize {
        self.active
    }

    /// The plan being edited.
    pub fn active(&self) -> &NamedPlan {
        &self.plans[self.active]
    }

    /// The plan being edited, to change it.
    pub fn active_mut(&mut self) -> &mut NamedPlan {
        &mut self.plans[self.active]
    }

    /// Edits plan `index` from now on; an index that does not exist changes nothing.
    pub fn activate(&mut self, index: usize) {
        if index < self.plans.len() {
            self.active = index;
        }
    }

    /// Adds a plan and edits it; a name that is taken gets a number.
    pub fn add(&mut self, mut plan: NamedPlan) {
        plan.name = self.free_name(&plan.name);
        self.plans.push(plan);
        self.active = self.plans.len() - 1;
    }

    /// Adds a plan that was found; one that is there already, under whatever name, is edited next instead.
    pub fn add_found(&mut self, plan: NamedPlan) {
        let is_same = |known: &NamedPlan| NamedPlan { name: known.name.clone(), ..plan.clone() } == *known;
        match self.plans.iter().position(is_same) {
            Some(index) => self.active = index,
            None => self.add(plan),
        }
    }

    /// Removes plan `index`; the last one is replaced by an empty plan.
    pub fn remove(&mut self, index: usize) {
        if index >= self.plans.len() {
            return;
        }
        self.plans.remove(index);
        if self.plans.is_empty() {
            *self = Self::default();
        } else if self.active >= index {
            self.active = self.active.saturating_sub(1).min(self.plans.len() - 1);
        }
    }

    /// Renames plan `index`, unless the name is empty.
    pub fn rename(&mut self, index: usize, name: &str) {
        let name = name.trim();
        if name.is_empty() || self.plans.get(index).is_none_or(|p| p.name == name) {
            return;
        }
        let free = self.free_name(name);
        if let Some(plan) = self.plans.get_mut(index) {
            plan.name = free;
            plan.named_for = None;
        }
    }

    fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.plans.iter().any(|p| p.name == name);
        if !wanted.is_empty() && !taken(wanted) {
            return wanted.to_owned();
        }
        let stem = wanted.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
        let stem = if stem.is_empty() { "Plan" } else { stem };
        (2..).map(|n| format!("{stem} {n}")).find(|name| !taken(name)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SiteShape;

    fn shape() -> Shape {
        let site = |layer| SiteShape {
            site: format!("encoder.{layer}").parse().unwrap(),
            heads: 4,
            kv_heads: 4,
            stored: layer,
        };
        Shape::from_iter([site(0), site(1)])
    }

    #[test]
    fn pins_lie_over_the_proposal() {
        let shape = shape();
        let site = shape.sites()[0].site;
        let mut plan = NamedPlan::new("p");
        plan.base.kept.set(site, [0, 2]);
        plan.set_pin(Head::new(site, 1), Some(true));
        plan.set_pin(Head::new(site, 2), Some(false));
        plan.set_pin(Head::new(site, 3), Some(true));
        assert_eq!(plan.plan(&shape).kept.get(site).unwrap(), [0, 1, 3]);
        assert_eq!(shape.sites().iter().map(|s| plan.kept_at(s)).collect::<Vec<_>>(), [3, 4]);
        // What was said of the choice that the method made goes with the first edit, and comes back with the choice.
        plan.base.notes = vec!["expected to cost 0.02".to_owned()];
        let as_proposed = NamedPlan { pins: BTreeMap::new(), ..plan.clone() };
        assert_eq!((plan.plan(&shape).notes, as_proposed.plan(&shape).notes), (Vec::new(), plan.base.notes.clone()));
        plan.set_pin(Head::new(site, 3), None);
        assert_eq!(plan.plan(&shape).kept.get(shape.sites()[1].site).unwrap(), [0, 1, 2, 3]);
        plan.set_pin(Head::new(site, 1), None);
        plan.set_pin(Head::new(site, 2), None);
        assert_eq!((plan.plan(&shape).kept.get(site).unwrap(), plan.pinned()), (&[0, 2][..], 0));
        assert_eq!(plan.kept_at(&shape.sites()[0]), 2);
    }

    #[test]
    fn a_name_that_tells_of_heads_says_when_they_are_others() {
        let site: Site = "encoder.0".parse().unwrap();
        let mut draft = Draft::default();
        draft.add(NamedPlan::of("Within 1.00 %", Plan::from_mask([(site, vec![0, 2])].into_iter().collect())));
        draft.active_mut().set_pin(Head::new(site, 0), Some(true));
        assert_eq!(draft.active().title(), "Within 1.00 %");
        draft.active_mut().set_pin(Head::new(site, 1), Some(true));
        assert_eq!(draft.active().title(), "Edited from Within 1.00 %");
        draft.active_mut().set_pin(Head::new(site, 1), None);
        assert_eq!(draft.active().title(), "Within 1.00 %");
        draft.active_mut().base.kept.set(site, [0]);
        let written: Draft = serde_json::from_str(&serde_json::to_string(&draft).unwrap()).unwrap();
        assert_eq!(written.active().title(), "Edited from Within 1.00 %");
        // A person's own name stays.
        draft.rename(1, "mine");
        assert_eq!(draft.active().title(), "mine");
    }

    #[test]
    fn a_plan_that_is_found_again_is_there_once() {
        let found = |kept: usize| {
            NamedPlan::of(
                "Within 1.00 %",
                Plan::from_mask([("encoder.0".parse().unwrap(), vec![kept])].into_iter().collect()),
            )
        };
        let mut draft = Draft::default();
        draft.add_found(found(0));
        draft.add_found(found(1));
        assert_eq!((draft.plans().len(), draft.active().name.as_str()), (3, "Within 1.00 % 2"));
        draft.add_found(found(0));
        assert_eq!((draft.plans().len(), draft.active_index()), (3, 1));
        draft.add_found(found(1));
        assert_eq!((draft.plans().len(), draft.active_index()), (3, 2));
        draft.add_found(found(2));
        assert_eq!(draft.plans().len(), 4);
    }

    #[test]
    fn a_draft_always_has_one_plan_and_names_are_unique() {
        let mut draft = Draft::default();
        draft.add(NamedPlan::new("Plan 1"));
        draft.add(NamedPlan::new("Plan 1"));
        let names: Vec<_> = draft.plans().iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["Plan 1", "Plan 2", "Plan 3"]);
        draft.rename(0, "Plan 2");
        assert_eq!(draft.plans()[0].name, "Plan 4");
        for _ in 0..5 {
            draft.remove(0);
        }
        assert_eq!((draft.plans().len(), draft.active_index()), (1, 0));
    }

    #[test]
    fn a_broken_file_gives_a_usable_draft() {
        let draft: Draft = serde_json::from_str(r#"{"plans": [], "active": 7}"#).unwrap();
        assert_eq!(draft, Draft::default());
        let draft: Draft = serde_json::from_str(r#"{"plans": [{"name": "a"}, {"name": "b"}], "active": 7}"#).unwrap();
        assert_eq!(draft.active().name, "b");
        let again: Draft = serde_json::from_str(&serde_json::to_string(&draft).unwrap()).unwrap();
        assert_eq!(again, draft);
    }
}
