//! The smallest plan within a budget of quality: bisection along the order of a method, then single swaps.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device};

use super::curve::{Subject, Yardstick, refitter, repaired};
use super::metrics::is_better_high;
use super::spent::{COSINE, LOSS, QualityChange, Spent, measure_of};
use crate::analysis::Analysis;
use crate::error::{Error, Result};
use crate::network::{Head, Kept};
use crate::plan::{
    Amount, BudgetRecord, BudgetStep, Plan, PlanRequest, QualityBudget, Ranking, Shape, SiteShape, TOKEN_LOSS,
    evidence_notes, pin_beside, snap,
};
use crate::repair::{Basis, Reconstruction, RefitRequest, Repair, RepairMode, Ridge, propose};
use crate::task::Ticket;
use crate::words::counted;

/// Passes over the input for one method: the whole model's, and about as many as ten halvings of the number of heads take. With
/// what fits and intervals cost beside them, a search takes about as long as twelve evaluations of one model.
const EVALUATIONS: usize = 11;
/// Passes for each further method, which has to do with fewer heads than the best before it.
const FURTHER: usize = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct BudgetRequest {
    /// Ways to choose heads; the best of them counts.
    pub rankings: Vec<Ranking>,
    /// What a plan may cost.
    pub budget: QualityBudget,
    /// The metric that may fall, where the budget is of one: one that the input gives; that of the task, or top-1 accuracy,
    /// without it.
    pub metric: Option<String>,
    /// How the heads that stay speak for the others before a plan is measured: `none`, `refit` or `scale`.
    pub repair: RepairMode,
    /// Seed of the random methods.
    pub seed: u64,
    /// Whether a layer may lose every head.
    pub allow_empty: bool,
    /// Whether layers in which nothing speaks for redundancy lose heads too; a budget is meant for every layer where nobody
    /// says otherwise.
    pub without_evidence: Option<bool>,
    /// Heads that no search may remove.
    pub pinned: BTreeSet<Head>,
    /// Heads that go whatever ranks them, as far as surgery allows and a layer keeps one.
    pub gone: BTreeSet<Head>,
}

/// The plan with the fewest heads that was found within the budget, measured on the corpus of `subject`. Each method's
/// plans are halved by the number of heads that stay, as if quality fell with every head; a further method is first tried
/// with one head less than the best so far. Then heads of the best plan go one by one, those that rank lowest first, other
/// ones than the method itself would take: a swap. The repair that the plan was measured with comes with it.
///
/// # Errors
/// Where the analysis lacks what a method needs, the input is empty or the model cannot be bounded by the budget.
pub fn plan_within(subject: &Subject<'_>, wanted: &BudgetRequest, ticket: &Ticket) -> Result<(Plan, Option<Repair>)> {
    let Some(first) = wanted.rankings.first().copied() else {
        return Err(Error::usage("no method is given").hint("name at least one"));
    };
    if !matches!(wanted.repair, RepairMode::None | RepairMode::Refit | RepairMode::Scale) {
        return Err(Error::usage(format!("plans are not searched with repair by {}", wanted.repair))
            .hint("choose none, refit or scale"));
    }
    let most = EVALUATIONS + FURTHER * (wanted.rankings.len() - 1);
    let batches = subject.corpus.total().map(|t| t.value() * most as u64);
    let [of_passes, of_fit] = ticket.parts([0.95, if wanted.repair.repairs() { 0.05 } else { 0.0 }]);
    let ticket = &of_passes;
    ticket.stage(format!("search for {}", wanted.budget), batches, "batches");
    let (yardstick, _, quality) = Yardstick::new(subject, ticket)?;
    let (budget, measure, mut said) = measure_of(wanted.budget, wanted.metric.as_deref(), &yardstick.measures())?;
    let is_task = subject.network.spec().task.is_some();
    if is_task && measure == COSINE && said.is_none() && wanted.metric.is_none() {
        said = Some(
            "the input has no labels: the budget is a fall of the mean cosine to the whole model's embeddings"
                .to_owned(),
        );
    }
    let shape = Shape::from(subject.analysis);
    let classes = shape.shared();
    let heads = classes.iter().filter_map(|class| class.first()).map(|s| s.heads).sum();
    let base = PlanRequest {
        seed: wanted.seed,
        allow_empty: wanted.allow_empty,
        without_evidence: wanted.without_evidence,
        ..PlanRequest::new(first, Amount::Ratio(1.0))
    };
    // Layers that are left alone keep every head, and shares are those of the others.
    let is_spared = |class: &&Vec<SiteShape>| {
        let passes: Option<Vec<_>> = class.iter().map(|pass| subject.analysis.site(pass.site)).collect();
        passes.is_some_and(|passes| base.spares(&passes))
    };
    let left_alone: Vec<&Vec<SiteShape>> = classes.iter().filter(is_spared).collect();
    let alone: usize = left_alone.iter().filter_map(|class| class.first()).map(|s| s.heads).sum();
    let others = classes.len() - left_alone.len();
    let least = alone + if wanted.allow_empty { 0 } else { others };
    // The orders of reconstruction are made once.
    let orders = match subject.moments.filter(|_| wanted.rankings.iter().any(|r| r.method.needs_moments())) {
        Some(moments) => Some(Reconstruction::new(moments, wanted.allow_empty)?),
        None => None,
    };
    let chosen = |ranking: Ranking, number: usize| -> Result<Plan> {
        let share = match heads - alone {
            0 => 1.0,
            free => number.saturating_sub(alone) as f64 / free as f64,
        };
        let request = PlanRequest { ranking, amount: Amount::Ratio(share), ..base };
        let plan = match orders.as_ref().filter(|_| ranking.method.needs_moments()) {
            Some(orders) => orders.propose(subject.analysis, &request)?,
            None => propose(subject.analysis, subject.moments, &request)?,
        };
        let mut plan = snap(subject.analysis, &plan)?.0;
        // Its advice is to measure, which the search does.
        let advice = evidence_notes(subject.analysis, &request);
        plan.notes.retain(|note| !advice.contains(note));
        let plan = match wanted.pinned.is_empty() {
            true => plan,
            false => pin_beside(subject.analysis, &plan, &wanted.pinned)?,
        };
        if wanted.gone.is_empty() { Ok(plan) } else { without(subject.analysis, &plan, &wanted.gone) }
    };
    // Pinned heads are among the number: the method chooses as many fewer.
    let ask = |ranking: Ranking, number: usize| -> Result<Plan> {
        let mut own = number;
        loop {
            let plan = chosen(ranking, own)?;
            let over = stored_heads(&classes, &plan).saturating_sub(number);
            if over == 0 || own <= least {
                return Ok(plan);
            }
            own = own.saturating_sub(over).max(least);
        }
    };
    let reader = subject.model.map(|model| model.reader(&Device::Cpu, DType::F32));
    let refitter = refitter(subject, reader.as_ref(), wanted.repair.repairs())?;
    let change = |kept: &Kept| -> Result<Option<QualityChange>> {
        let network = match kept == &Kept::all() {
            true => None,
            false => repaired(subject, refitter.as_ref(), kept, wanted.repair, ticket)?,
        };
        yardstick.change(&measure, (network.as_ref(), kept), ticket)
    };
    let mut measured =
        |kept: &Kept| -> Result<Option<Spent>> { Ok(change(kept)?.and_then(|change| Spent::of(budget, change))) };
    let mut search = BudgetSearch {
        shape: &shape,
        budget,
        pinned: &wanted.pinned,
        ask: &ask,
        measure: &mut measured,
        most,
        evaluations: 1,
        path: Vec::new(),
        known: BTreeMap::new(),
        ticket,
    };
    let mut best: Option<Plan> = None;
    for (done, ranking) in wanted.rankings.iter().enumerate() {
        let top = best.as_ref().map_or(heads, |plan| stored_heads(&classes, plan));
        if let Some(found) = search.bisect(*ranking, (top, best.is_some()), least)? {
            best = Some(found);
        }
        if let Some(each) = subject.corpus.total() {
            ticket.expect(each.value() * search.expected(done, wanted.rankings.len(), best.as_ref()) as u64);
        }
    }
    let untried = search.untried(&wanted.rankings);
    let mut plan = match best {
        Some(plan) => search.swap(plan)?,
        None => {
            let mut plan = ask(first, heads)?;
            plan.notes.push(match others {
                0 => "every layer is left alone, since nothing speaks for redundancy in any, or too little was read to tell: no \
                      plan was tried"
                    .to_owned(),
                _ => format!("no plan with fewer heads stays within the budget ({budget})"),
            });
            // Heads that are to go do so whatever they cost, which has to be told.
            if !wanted.gone.is_empty() && !search.known.contains_key(&plan.kept) {
                let spent = (search.measure)(&plan.kept)?;
                search.evaluations += 1;
                search.known.insert(plan.kept.clone(), spent);
            }
            plan
        }
    };
    let spent = match search.known.get(&plan.kept) {
        Some(Some(spent)) => *spent,
        _ => {
            // Every plan that was tried was held against the whole model.
            let tried = search.known.values().flatten().next().map(|spent| spent.whole);
            let whole = match tried {
                Some(whole) => Some(whole),
                None => change(&Kept::all())?.and_then(|found| Spent::of(budget, found)).map(|spent| spent.whole),
            };
            let whole = whole.ok_or_else(|| {
                Error::new(format!("the whole model has no {measure} of which a share could be spent"))
                    .hint("give more input, or a budget of another measure")
            })?;
            Spent { whole, now: whole, spent: 0.0, interval: None, changed: None }
        }
    };
    let (path, evaluations) = (std::mem::take(&mut search.path), search.evaluations);
    plan.amount = None;
    plan.notes.extend(said);
    plan.notes.extend(untried);
    plan.notes.extend(overlap(subject, ticket)?);
    let record = BudgetRecord {
        budget,
        measure: match measure.as_str() {
            LOSS if is_task => "loss per label".to_owned(),
            LOSS => TOKEN_LOSS.to_owned(),
            _ => measure.clone(),
        },
        whole: spent.whole,
        pruned: spent.now,
        spent: spent.spent,
        low: spent.interval.map(|(low, _)| low),
        high: spent.interval.map(|(_, high)| high),
        changed: spent.changed,
        tokens: quality.tokens,
        scored: quality.scored_tokens,
        sequences: quality.sequences,
        falls: measure != LOSS && !is_better_high(&measure),
        in_sample: true,
        repair: wanted.repair.name().to_owned(),
        reading: subject.corpus.reading(ticket)?,
        evaluations,
        path,
    };
    plan.notes.extend(record.doubt());
    plan.budget = Some(record);
    let repair = match &refitter {
        Some(refitter) => {
            let request = RefitRequest { plan: &plan, mode: wanted.repair, ridge: Ridge::Auto, basis: Basis::All };
            Some(refitter.refit(&request, &of_fit)?)
        }
        None => None,
    };
    Ok((plan, repair))
}

/// What to say where the search measured on what the analysis read.
fn overlap(subject: &Subject<'_>, ticket: &Ticket) -> Result<Option<String>> {
    let reading = subject.corpus.reading(ticket)?;
    let mut known = subject.analysis.readings().peekable();
    let same = match known.peek() {
        Some(_) => known.any(|read| read.overlaps(&reading)),
        None => reading.input == subject.analysis.settings.input,
    };
    Ok(same.then(|| {
        "the analysis read the same input: search on other text, or hold batches out of the analysis".to_owned()
    }))
}

/// `plan` without the heads that are to go, as far as surgery allows and a layer may be empty.
fn without(analysis: &Analysis, plan: &Plan, gone: &BTreeSet<Head>) -> Result<Plan> {
    let mut smaller = plan.clone();
    for (site, kept) in plan.kept.iter() {
        let left: Vec<usize> = kept.iter().copied().filter(|h| !gone.contains(&Head::new(site, *h))).collect();
        if !left.is_empty() || plan.allow_empty {
            smaller.kept.set(site, left);
        }
    }
    let mut smaller = snap(analysis, &smaller)?.0;
    for (site, kept) in plan.kept.iter() {
        if smaller.kept_at(site, kept.len()).len() < kept.len() {
            smaller.chosen.entry(site).or_insert(kept.len());
        }
    }
    // The search has no part in it.
    for head in gone.iter().filter(|head| !smaller.kept.keeps(**head)) {
        smaller.pinned_out.entry(head.site).or_default().push(head.head);
    }
    Ok(smaller)
}

/// Heads that stay, those of layers that share weights counted once.
fn stored_heads(classes: &[Vec<SiteShape>], plan: &Plan) -> usize {
    classes.iter().filter_map(|class| class.first()).map(|s| plan.kept_at(s.site, s.heads).len()).sum()
}

/// A search under way.
struct BudgetSearch<'a> {
    shape: &'a Shape,
    budget: QualityBudget,
    /// Heads that no swap removes.
    pinned: &'a BTreeSet<Head>,
    /// The plan of a method that keeps so many heads, or the next lower number that is legal.
    ask: &'a dyn Fn(Ranking, usize) -> Result<Plan>,
    measure: &'a mut dyn FnMut(&Kept) -> Result<Option<Spent>>,
    most: usize,
    evaluations: usize,
    path: Vec<BudgetStep>,
    known: BTreeMap<Kept, Option<Spent>>,
    ticket: &'a Ticket,
}

impl BudgetSearch<'_> {
    fn heads(&self, plan: &Plan) -> usize {
        stored_heads(&self.shape.shared(), plan)
    }

    /// Whether a plan is within the budget; `None` where no pass is left to tell.
    fn is_within(&mut self, plan: &Plan, swap: bool) -> Result<Option<bool>> {
        let most = self.budget.most();
        let within = |spent: &Option<Spent>| spent.is_some_and(|s| s.spent <= most);
        if let Some(known) = self.known.get(&plan.kept).copied() {
            // Another method that chooses the same heads was tried too.
            if !self.path.iter().any(|step| step.method == plan.method) {
                self.take(plan, swap, known);
            }
            return Ok(Some(within(&known)));
        }
        if self.evaluations >= self.most {
            return Ok(None);
        }
        self.ticket.check()?;
        let spent = (self.measure)(&plan.kept)?;
        self.evaluations += 1;
        self.take(plan, swap, spent);
        self.known.insert(plan.kept.clone(), spent);
        Ok(Some(within(&spent)))
    }

    /// Adds a step to the path.
    fn take(&mut self, plan: &Plan, swap: bool, spent: Option<Spent>) {
        let step = BudgetStep {
            method: plan.method.clone(),
            swap,
            heads: self.heads(plan),
            spent: spent.map(|s| s.spent),
            within: spent.is_some_and(|s| s.spent <= self.budget.most()),
            high: spent.and_then(|s| s.interval).map(|(_, high)| high),
            low: spent.and_then(|s| s.interval).map(|(low, _)| low),
            changed: spent.and_then(|s| s.changed),
        };
        self.path.push(step);
    }

    /// Passes of the whole search, by what is known after the method of this number: further ones are taken to need what
    /// those after the first did, and no more heads are tried for a swap than there are.
    fn expected(&self, done: usize, methods: usize, best: Option<&Plan>) -> usize {
        let swaps = best.map_or(0, |plan| without_one(self.shape, plan).len());
        let is_first = |step: &&BudgetStep| self.path.first().is_some_and(|first| first.method == step.method);
        let further = self.path.len() - self.path.iter().filter(is_first).count();
        let each = if done == 0 { FURTHER } else { further.div_ceil(done) };
        (self.evaluations + each * (methods - done - 1) + swaps).min(self.most)
    }

    /// What to say of methods that no step of the path is by.
    fn untried(&self, rankings: &[Ranking]) -> Option<String> {
        let names: Vec<String> = rankings.iter().map(Ranking::to_string).collect();
        let is_untried = |name: &&String| !self.path.iter().any(|step| step.method == **name);
        let untried: Vec<&str> = names.iter().filter(is_untried).map(String::as_str).collect();
        if untried.is_empty() {
            return None;
        }
        let why = match self.evaluations >= self.most {
            true => "no pass over the text was left",
            false => "no plan with fewer heads than were found already",
        };
        Some(untried.iter().map(|name| format!("not measured: {name}, {why}")).collect::<Vec<_>>().join("; "))
    }

    /// The smallest plan of a method within the budget that has fewer than `top` heads. Where there `is_rival`, one with a
    /// head less is asked for first, and the search ends where that is over the budget.
    fn bisect(&mut self, ranking: Ranking, (top, is_rival): (usize, bool), least: usize) -> Result<Option<Plan>> {
        // Numbers from `good` on are within the budget, those below `over` are not, or cannot be kept.
        let (mut good, mut over) = (top, least);
        let (mut best, mut first) = (None, is_rival);
        while good > over {
            let number = if first { good - 1 } else { over + (good - over) / 2 };
            let plan = (self.ask)(ranking, number)?;
            let heads = self.heads(&plan);
            if heads < over || heads >= good {
                // The next legal number below is known to be too small, or there is none at or below this one.
                over = number + 1;
                continue;
            }
            match self.is_within(&plan, false)? {
                Some(true) => (good, best) = (heads, Some(plan)),
                Some(false) if first => return Ok(None),
                Some(false) => over = number + 1,
                None => break,
            }
            first = false;
        }
        Ok(best)
    }

    /// A plan with fewer heads than `best`, where one is within the budget.
    fn swap(&mut self, mut best: Plan) -> Result<Plan> {
        loop {
            let mut next = None;
            for plan in without_one(self.shape, &best) {
                if self.pinned.iter().any(|head| best.kept.keeps(*head) && !plan.kept.keeps(*head)) {
                    continue;
                }
                match self.is_within(&plan, true)? {
                    Some(true) => next = Some(taken_out(plan, &best)),
                    Some(false) => continue,
                    None => return Ok(best),
                }
                break;
            }
            match next {
                Some(plan) => best = plan,
                None => return Ok(best),
            }
        }
    }
}

/// `smaller` with the heads that `plan` has more than it recorded as taken out.
fn taken_out(mut smaller: Plan, plan: &Plan) -> Plan {
    for (site, kept) in plan.kept.iter() {
        let left = smaller.kept_at(site, kept.len());
        let gone: Vec<usize> = kept.iter().copied().filter(|h| !left.contains(h)).collect();
        if !gone.is_empty() {
            smaller.chosen.entry(site).or_insert(kept.len());
            smaller.swapped.entry(site).or_default().extend(gone);
        }
    }
    smaller
}

/// Every legal plan with one unit less than `plan`: a head, or where key/value heads serve several query heads a whole
/// group of them or one query head of each. What ranks lowest goes first.
fn without_one(shape: &Shape, plan: &Plan) -> Vec<Plan> {
    let mut all: Vec<(f64, Plan)> = Vec::new();
    for class in shape.shared() {
        let Some(site) = class.first().filter(|site| !plan.spared.contains(&site.site)) else { continue };
        let kept = plan.kept_at(site.site, site.heads);
        let score = |h: &usize| plan.scores.get(&site.site).and_then(|s| s.get(*h)).copied().unwrap_or(0.0);
        let groups: Vec<&[usize]> =
            kept.chunk_by(|a, b| a / site.queries_per_kv() == b / site.queries_per_kv()).collect();
        let mut units: Vec<Vec<usize>> = groups.iter().map(|group| group.to_vec()).collect();
        if groups.iter().all(|group| group.len() > 1) {
            let lowest = |group: &&[usize]| group.iter().copied().min_by(|a, b| score(a).total_cmp(&score(b)));
            units.push(groups.iter().filter_map(lowest).collect());
        }
        for unit in units {
            let left: Vec<usize> = kept.iter().copied().filter(|h| !unit.contains(h)).collect();
            if left.is_empty() && !plan.allow_empty {
                continue;
            }
            let mut smaller = Plan { budget: None, ..plan.clone() };
            class.iter().for_each(|pass| smaller.kept.set(pass.site, left.iter().copied()));
            let lost = unit.iter().map(score).sum::<f64>();
            all.push((lost, smaller));
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|(_, plan)| plan).collect()
}

impl BudgetRequest {
    /// The methods in words, for a title.
    pub fn methods(&self) -> String {
        match self.rankings.as_slice() {
            [only] => only.to_string(),
            several => counted(several.len(), "methods"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Site;

    fn shape(sites: &[(usize, usize)]) -> Shape {
        let site = |(layer, (heads, kv_heads)): (usize, &(usize, usize))| SiteShape {
            site: Site::new(crate::network::SiteKind::Decoder, layer),
            heads: *heads,
            kv_heads: *kv_heads,
            stored: layer,
        };
        sites.iter().enumerate().map(site).collect()
    }

    /// A method that removes the highest indices of the last layers first; every head costs what `price` says.
    fn search(
        sites: &[(usize, usize)],
        price: &dyn Fn(usize, usize) -> f64,
        most: usize,
    ) -> (Plan, Vec<BudgetStep>, usize) {
        let shape = shape(sites);
        let total: usize = sites.iter().map(|s| s.0).sum();
        let ask = |ranking: Ranking, number: usize| -> Result<Plan> {
            let mut plan = Plan { method: ranking.to_string(), ..Plan::default() };
            let mut left = total - number;
            for site in shape.sites().iter().rev() {
                let per = site.queries_per_kv();
                // Whole key/value groups, one of them at least.
                let gone = (left.div_ceil(per) * per).min(site.heads - per);
                left = left.saturating_sub(gone);
                plan.kept.set(site.site, 0..site.heads - gone);
                plan.scores.insert(site.site, (0..site.heads).map(|h| (site.heads - h) as f64).collect());
            }
            Ok(plan)
        };
        let mut measure = |kept: &Kept| -> Result<Option<Spent>> {
            let cost = |s: &SiteShape| -> f64 {
                let stay = kept.at(s.site, s.heads);
                (0..s.heads).filter(|h| !stay.contains(h)).map(|h| price(s.site.layer, h)).sum()
            };
            let spent = shape.sites().iter().map(cost).sum();
            Ok(Some(Spent { whole: 1.0, now: 1.0 + spent, spent, interval: None, changed: None }))
        };
        let ticket = Ticket::default();
        let mut search = BudgetSearch {
            shape: &shape,
            budget: QualityBudget::LossNats(1.0),
            pinned: &BTreeSet::new(),
            ask: &ask,
            measure: &mut measure,
            most,
            evaluations: 1,
            path: Vec::new(),
            known: BTreeMap::new(),
            ticket: &ticket,
        };
        let ranking = Ranking::from(crate::plan::Method::Votes);
        let found = search.bisect(ranking, (total, false), sites.len()).unwrap();
        let best = found.map_or_else(|| ask(ranking, total).unwrap(), |plan| search.swap(plan).unwrap());
        let heads = search.heads(&best);
        (best, search.path, heads)
    }

    #[test]
    fn bisection_finds_the_smallest_plan_of_the_order() {
        // Equal prices: as many heads may go as the budget pays for, one at least stays in each of four layers.
        for (price, heads) in [(0.1, 54), (0.051, 45), (0.9, 63), (2.0, 64), (1e-6, 4)] {
            let (plan, path, found) = search(&[(16, 16); 4], &|_, _| price, 12);
            assert_eq!(found, heads, "{price}: {path:?}");
            assert!(path.len() <= 11, "{}", path.len());
            assert_eq!(path.iter().filter(|s| s.within).count() > 0, heads < 64);
            plan.validate(shape(&[(16, 16); 4])).unwrap();
        }
    }

    #[test]
    fn swaps_pass_over_a_head_that_costs_much() {
        // Head 6 of the last layer is dear: the order stops there, one head of another layer is cheap.
        let price = |layer: usize, head: usize| if (layer, head) == (1, 6) { 5.0 } else { 0.2 };
        let (plan, path, heads) = search(&[(8, 8); 2], &price, 40);
        // Five heads are paid for; the order alone gets one of them.
        assert_eq!(heads, 11, "{path:?}");
        assert!(plan.kept.iter().all(|(site, kept)| site.layer == 0 || kept.contains(&6)));
        assert!(path.iter().any(|s| s.swap && s.within));
        // What the method chose and what was taken out of that are told apart.
        for (site, gone) in &plan.swapped {
            assert_eq!(plan.chosen[site], plan.kept_at(*site, 8).len() + gone.len());
            assert!(gone.iter().all(|h| !plan.kept_at(*site, 8).contains(h)), "{:?}", plan.swapped);
        }
        assert!(!plan.swapped.is_empty());
    }

    #[test]
    fn groups_of_query_heads_go_together_and_every_step_is_legal() {
        let sites = [(8, 2), (8, 4)];
        let (plan, _, heads) = search(&sites, &|_, _| 0.1, 30);
        let (_, changed) = snap(shape(&sites), &plan).unwrap();
        assert_eq!(changed, Vec::<String>::new());
        assert_eq!(heads, 6);
    }

    #[test]
    fn no_more_passes_are_made_than_allowed() {
        let (_, path, _) = search(&[(64, 64); 16], &|_, _| 0.001, 6);
        assert_eq!(path.len(), 5);
    }
}
