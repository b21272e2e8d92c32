//! Why each head stays or goes, one line each.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256Plus;

use super::layer::{PlanLayer, ballot};
use super::request::lacks_evidence;
use super::{Amount, Method, Plan, PlanRequest, Ranking, Shape, SiteShape};
use crate::analysis::{Analysis, Ballot, HeadKind};
use crate::error::Result;
use crate::network::Site;
use crate::words::{counted, printed};

/// For every head of every layer that the plan names why it stays or goes: `kept: won 19 of 33 votes for 2 groups, ahead of head 1 of
/// by 5; 4 ties of the layer settled by norm`, `removed: others can say 96 %`. Of heads that a person chose nothing more is known
/// than that.
///
/// # Errors
/// Where the plan is not for the layers of `analysis`, or comes from a map that it does not hold.
pub fn why(analysis: &Analysis, plan: &Plan) -> Result<BTreeMap<Site, Vec<String>>> {
    let shape = Shape::from(analysis);
    plan.fits(&shape)?;
    let mut reasons = BTreeMap::new();
    for class in shape.shared() {
        let lines = of_class(analysis, plan, &class)?;
        for pass in &class {
            reasons.insert(pass.site, lines.clone());
        }
    }
    Ok(reasons)
}

/// [`why`] for the heads of one layer.
///
/// # Errors
/// As [`why`].
pub fn why_at(analysis: &Analysis, plan: &Plan, site: Site) -> Result<Vec<String>> {
    let shape = Shape::from(analysis);
    plan.fits(&shape)?;
    let class = shape.shared().into_iter().find(|class| class.iter().any(|pass| pass.site == site));
    class.map_or_else(|| Ok(Vec::new()), |class| of_class(analysis, plan, &class))
}

/// The reasons of layers that share weights.
fn of_class(analysis: &Analysis, plan: &Plan, class: &[SiteShape]) -> Result<Vec<String>> {
    let Some(site) = class.first() else { return Ok(Vec::new()) };
    let kept = plan.kept_at(site.site, site.heads);
    let Ok(ranking) = plan.method.parse::<Ranking>() else {
        let line = |h: usize| match evened(plan, site.site, h) {
            Some(reason) if !kept.contains(&h) => format!("removed: {reason}; {}", by_hand(&plan.method)),
            _ => format!("{}: {}", verb(&kept, h), by_hand(&plan.method)),
        };
        return Ok((0..site.heads).map(line).collect());
    };
    let amount = plan.amount.unwrap_or(Amount::Keep(kept.len()));
    let request = PlanRequest { seed: plan.seed.unwrap_or(0), ..PlanRequest::new(ranking, amount) };
    let layer = PlanLayer::new(analysis, class, &request)?;
    LayerReasons { analysis, plan, layer: &layer, ranking, kept: &kept, site: site.site }.lines()
}

fn verb(kept: &[usize], head: usize) -> &'static str {
    if kept.contains(&head) { "kept" } else { "removed" }
}

fn by_hand(method: &str) -> &'static str {
    match method {
        "mask" => "named in a mask",
        _ => "chosen by hand",
    }
}

/// Why `head` went though it was to stay: for the sake of key/value heads, which others that were pinned to go had left uneven.
fn evened(plan: &Plan, site: Site, head: usize) -> Option<String> {
    let of_site = |heads: &'_ BTreeMap<Site, Vec<usize>>| heads.get(&site).cloned().unwrap_or_default();
    if !of_site(&plan.evened).contains(&head) {
        return None;
    }
    let out: Vec<String> = of_site(&plan.pinned_out).iter().map(usize::to_string).collect();
    let because = match out.len() {
        0 => String::new(),
        1 => format!(", since {} is pinned to go", named(&out)),
        _ => format!(", since {} are pinned to go", named(&out)),
    };
    Some(format!("goes so that key/value heads that stay serve equally many{because}"))
}

/// One layer, as far as its heads' reasons need it.
struct LayerReasons<'a> {
    analysis: &'a Analysis,
    plan: &'a Plan,
    layer: &'a PlanLayer<'a>,
    ranking: Ranking,
    kept: &'a [usize],
    site: Site,
}

impl LayerReasons<'_> {
    fn lines(&self) -> Result<Vec<String>> {
        let heads = self.layer.heads();
        let pinned: Vec<String> = (0..heads).map(|head| self.kinds(head)).collect();
        // Where heads of all layers compete, a layer keeps all of its own for their scores.
        if self.kept.len() == heads && (!self.competes() || self.is_spared()) {
            // What the plan spared, and not what would have stayed anyway.
            let spared = self.is_spared() && self.layer.passes.iter().any(|pass| pass.kept.len() < heads);
            let because = match spared {
                true if self.plan.untold.contains(&self.site) => {
                    ": too little was read or compared to tell whether heads are redundant there"
                }
                true => ": nothing speaks for redundancy there",
                false => "",
            };
            return Ok(vec![format!("kept: every head of the layer stays{because}"); heads]);
        }
        let reasons = match self.ranking.method {
            Method::Votes | Method::PerGroup => self.votes()?,
            Method::Score => self.cosines()?,
            Method::Random => vec!["drawn by chance".to_owned(); heads],
            Method::RandomInGroup => vec!["drawn by chance in its group".to_owned(); heads],
            Method::Reconstruction => self.jointly(),
            Method::Importance | Method::ImportanceNormalized | Method::Magnitude | Method::Confidence => {
                self.ranked(self.ranking.method.name(), self.plan.scores.get(&self.site))
            }
        };
        let of_site = |heads: &'_ BTreeMap<Site, Vec<usize>>| heads.get(&self.site).cloned().unwrap_or_default();
        let (swapped, out) = (of_site(&self.plan.swapped), of_site(&self.plan.pinned_out));
        let line = |(head, reason): (usize, String)| {
            let is_kept = self.kept.contains(&head);
            let said = self.sayable(head).filter(|_| !is_kept);
            let said = said.map(|share| format!("; others can say {:.0} %", 100.0 * share)).unwrap_or_default();
            match pinned.get(head).filter(|kinds| !kinds.is_empty()) {
                Some(kinds) if is_kept => format!("kept: pinned ({kinds})"),
                Some(kinds) => {
                    format!("removed: pinned ({kinds}), but key/value heads that stay serve equally many{said}")
                }
                None if out.contains(&head) => format!("removed: pinned to go; {reason}{said}"),
                None if swapped.contains(&head) => {
                    format!("removed: taken out by the search, which the budget still allowed; {reason}{said}")
                }
                None => match evened(self.plan, self.site, head).filter(|_| !is_kept) {
                    Some(forced) => format!("removed: {forced}; {reason}{said}"),
                    None => format!("{}: {reason}{}{said}", verb(self.kept, head), self.yielded(head, &pinned)),
                },
            }
        };
        Ok(reasons.into_iter().enumerate().map(line).collect())
    }

    /// Whether the layer was left alone because nothing speaks for redundancy in it; plans of earlier releases do not say so.
    fn is_spared(&self) -> bool {
        let was_usual = self.plan.amount == Some(Amount::Groups) && lacks_evidence(&self.layer.passes);
        self.plan.spared.contains(&self.site) || was_usual
    }

    /// Whether heads of all layers compete for one budget.
    fn competes(&self) -> bool {
        let is_shared = matches!(self.plan.amount, Some(Amount::Ratio(_))) || self.plan.budget.is_some();
        is_shared && self.ranking.method.compares_layers()
    }

    /// As many heads as the method chose, before pinned ones came beside them or a search took some out.
    fn number(&self) -> usize {
        self.plan.chosen.get(&self.site).copied().unwrap_or(self.kept.len()).max(1)
    }

    /// What a head is pinned for, empty where it is not: the kinds, or that it was named.
    fn kinds(&self, head: usize) -> String {
        let is_of = |kind: &&HeadKind| {
            let reaches = |scores: &[f64]| scores.get(head).is_some_and(|score| *score >= kind.threshold());
            self.layer.passes.iter().any(|pass| pass.kind_scores(**kind).is_some_and(reaches))
        };
        let kinds = self.plan.pinned_kinds.iter().filter(is_of).map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let is_named = kinds.is_empty() && self.plan.pinned_at(self.site).contains(&head);
        if is_named { "named".to_owned() } else { kinds }
    }

    /// What to say of a head that goes though it ranks above one that is pinned.
    fn yielded(&self, head: usize, pinned: &[String]) -> String {
        if self.ranking.method == Method::Reconstruction {
            return String::new();
        }
        let scores = self.plan.scores.get(&self.site).map(Vec::as_slice).unwrap_or_default();
        let ranks_lower = |other: &&usize| {
            pinned.get(**other).is_some_and(|kinds| !kinds.is_empty())
                && scores.get(**other).zip(scores.get(head)).is_some_and(|(other, own)| other < own)
        };
        match self.kept.iter().find(ranks_lower).filter(|_| !self.kept.contains(&head)) {
            Some(other) => format!("; head {other}, which is pinned, stays though it ranks lower"),
            None => String::new(),
        }
    }

    /// Share of what a head adds that the others can say, the least over the passes, where it is known.
    fn sayable(&self, head: usize) -> Option<f64> {
        let of = |p: &&crate::analysis::SiteAnalysis| p.replaceability()?.values.get(head).copied();
        let all: Option<Vec<f64>> = self.layer.passes.iter().map(of).collect();
        Some(all?.into_iter().fold(1.0, f64::min))
    }

    /// Votes for as many groups as heads stay, over the maps that count.
    fn votes(&self) -> Result<Vec<String>> {
        let heads = self.layer.heads();
        let number = self.number();
        let mut sum = Ballot::zeros(heads);
        for map in self.layer.maps() {
            sum.add(&ballot(map, number));
        }
        let cast = self.analysis.batches * self.layer.maps().count() as u64;
        let grouping = self.layer.grouping(number)?;
        let mut rng = Xoshiro256Plus::seed_from_u64(0);
        let ranks = self.layer.ranks(number, &mut rng)?;
        let votes = |h: usize| sum.votes.get(h).copied().unwrap_or(0);
        let reason = |head: usize| {
            let group = grouping.labels.get(head).copied().unwrap_or(0);
            let rivals = (0..heads).filter(|h| *h != head && grouping.labels.get(*h) == Some(&group));
            let rival = rivals.max_by(|a, b| ranks[*a].order(&ranks[*b]).then(b.cmp(a)));
            let beside = match rival {
                None => ", where it is alone".to_owned(),
                Some(rival) => match (votes(head), votes(rival)) {
                    (own, other) if own > other => format!(", ahead of head {rival} by {}", own - other),
                    (own, other) if own < other => format!(", behind head {rival} by {}", other - own),
                    _ => format!(", level with head {rival}"),
                },
            };
            let ties = match sum.tied {
                tied if tied > 0 && votes(head) > 0 => {
                    format!("; {tied} of the layer's votes were tied and went to the larger norm")
                }
                _ => String::new(),
            };
            format!(
                "won {} of {} for {}, in group {group}{beside}{ties}",
                votes(head),
                counted(cast, "votes"),
                counted(number, "groups")
            )
        };
        Ok((0..heads).map(reason).collect())
    }

    /// Mean cosine to the center of the group.
    fn cosines(&self) -> Result<Vec<String>> {
        let mut rng = Xoshiro256Plus::seed_from_u64(0);
        let ranks = self.layer.ranks(self.number(), &mut rng)?;
        let scores: Vec<f64> = ranks.iter().map(|r| r.score).collect();
        Ok(self.ranked("mean cosine to the center of its group", Some(&scores)))
    }

    /// A choice of all heads of the layer at once, which ranks none of them: what each says beside all others is told, not compared.
    fn jointly(&self) -> Vec<String> {
        let heads = self.layer.heads();
        let scores = self.plan.scores.get(&self.site).filter(|scores| scores.len() == heads);
        let unit = self.plan.scores_in.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let reason = |head: usize| {
            let others: Vec<String> =
                self.kept.iter().filter(|other| **other != head).map(ToString::to_string).collect();
            let beside = match (self.kept.contains(&head), others.as_slice()) {
                (true, []) => "chosen as the one that says most of the layer when the others go".to_owned(),
                (true, others) => format!("chosen together with {}, not by a rank of its own", named(others)),
                (false, []) => "no head of the layer stays".to_owned(),
                (false, others) => format!("{} were chosen together to say most of the layer", named(others)),
            };
            let alone = scores
                .and_then(|scores| scores.get(head))
                .map(|missed| format!("; were it the only one to go, {}{unit} would be lost", brief(*missed)));
            format!("{beside}{}", alone.unwrap_or_default())
        };
        (0..heads).map(reason).collect()
    }

    /// A score and its place among those of the layer; where one budget was spent over the whole model, among all.
    fn ranked(&self, what: &str, scores: Option<&Vec<f64>>) -> Vec<String> {
        let heads = self.layer.heads();
        let Some(scores) = scores.filter(|s| s.len() == heads) else { return vec![what.to_owned(); heads] };
        let place = |all: &mut dyn Iterator<Item = f64>, own: f64| 1 + all.filter(|other| *other > own).count();
        let unit = self.plan.scores_in.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let reason = |own: &f64| {
            let here = place(&mut scores.iter().copied(), *own);
            let everywhere = self.competes().then(|| {
                let total = self.plan.scores.values().map(Vec::len).sum::<usize>();
                let place = place(&mut self.plan.scores.values().flatten().copied(), *own);
                format!(", {place} of {total} in the model")
            });
            format!(
                "{what} {}{unit}, rank {here} of {heads} in its layer{}",
                brief(*own),
                everywhere.unwrap_or_default()
            )
        };
        scores.iter().map(reason).collect()
    }
}

/// Heads by their numbers: `head 3`, `heads 0, 4`.
fn named(heads: &[String]) -> String {
    format!("{} {}", if heads.len() == 1 { "head" } else { "heads" }, heads.join(", "))
}

/// A score in three digits.
fn brief(value: f64) -> String {
    let size = value.abs();
    let is_far = size != 0.0 && !(1e-3..1e4).contains(&size);
    printed(if is_far { format!("{value:.2e}") } else { format!("{value:.3}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::Baseline;
    use crate::analysis::Document;
    use crate::plan::{heads_of_kinds, pin, propose, record_kinds};

    /// One layer of five heads at 0, 1, 2 and 100, 104 on a line, with votes for two groups of 33 batches.
    fn analysis() -> Analysis {
        let places = [10.0, 11.0, 12.0, 100.0, 104.0];
        let gram: Vec<Vec<f64>> = places.iter().map(|a| places.iter().map(|b| a * b).collect()).collect();
        let ballot = |votes: [u64; 5], tied: u64| json!({"votes": votes, "tied_votes": tied, "margins": vec![0.0; 5], "scores": [0.5, 0.9, 0.8, 0.2, 0.3]});
        let two = ballot([9, 19, 5, 12, 21], 4);
        let feature = json!({
            "gram": gram, "groups": [0, 0, 0, 1, 1], "inertia": 10.0, "votes": [9, 19, 5, 12, 21], "kept": [1, 4],
            "by_groups": [ballot([0, 0, 0, 33, 0], 0), two, ballot([0; 5], 0), ballot([0; 5], 0), ballot([0; 5], 0)],
        });
        let site = json!({
            "site": "decoder.0", "heads": 5, "kv_heads": 5, "features": {"output": feature}, "votes": [9, 19, 5, 12, 21],
            "kept": [1, 4],
            "baselines": {
                "replaceability": {"values": [0.96, 0.5, 0.4, 0.3, 0.2], "samples": 9},
                "importance": {"values": [0.001, 0.02, 0.5, 0.25, 0.0001], "samples": 33},
            },
        });
        let whole = json!({
            "format": "pillars-analysis", "version": 1, "model": {"path": "", "family": "", "fingerprint": "", "dtype": "f32"},
            "settings": {}, "tokens": 100, "batches": 33, "sites": [site],
        });
        Analysis::from_json(&whole.to_string()).unwrap()
    }

    fn reasons(method: Method, amount: Amount) -> Vec<String> {
        let analysis = analysis();
        let plan = propose(&analysis, &PlanRequest::new(method, amount)).unwrap();
        why(&analysis, &plan).unwrap().remove(&"decoder.0".parse().unwrap()).unwrap()
    }

    #[test]
    fn votes_are_told_beside_the_rival_of_the_group() {
        let found = reasons(Method::Votes, Amount::Keep(2));
        assert_eq!(
            found[1],
            "kept: won 19 of 33 votes for 2 groups, in group 0, ahead of head 0 by 10; 4 of the layer's votes were tied and went to the larger norm"
        );
        assert_eq!(
            found[0],
            "removed: won 9 of 33 votes for 2 groups, in group 0, behind head 1 by 10; 4 of the layer's votes were tied and went to the larger norm; others can say 96 %"
        );
        assert!(
            found[4].starts_with("kept: won 21 of 33 votes for 2 groups, in group 1, ahead of head 3 by 9"),
            "{}",
            found[4]
        );
    }

    #[test]
    fn scores_are_told_with_their_rank() {
        let found = reasons(Method::Importance, Amount::Keep(2));
        assert_eq!(found[2], "kept: importance 0.500, rank 1 of 5 in its layer");
        assert_eq!(found[4], "removed: importance 1.00e−4, rank 5 of 5 in its layer; others can say 20 %");
        let found = reasons(Method::Importance, Amount::Ratio(0.4));
        assert_eq!(found[3], "kept: importance 0.250, rank 2 of 5 in its layer, 2 of 5 in the model");
        let found = reasons(Method::Score, Amount::Keep(2));
        assert!(found[1].starts_with("kept: mean cosine to the center of its group 0.0"), "{}", found[1]);
        assert!(reasons(Method::Random, Amount::Keep(2)).iter().all(|r| r.contains("drawn by chance")));
        assert!(reasons(Method::Votes, Amount::Keep(5)).iter().all(|r| r == "kept: every head of the layer stays"));
    }

    #[test]
    fn a_joint_choice_is_told_without_ranks() {
        let site: Site = "decoder.0".parse().unwrap();
        let mut plan = Plan { method: "reconstruction".to_owned(), amount: Some(Amount::Keep(2)), ..Plan::default() };
        plan.kept.set(site, [0, 3]);
        plan.heads.insert(site, 5);
        // Head 2 alone would be missed more than head 0, which stays: no rank tells why.
        plan.scores.insert(site, vec![0.01, 0.02, 0.5, 0.25, 0.001]);
        plan.scores_in = Some("nats a scored position".to_owned());
        let found = why(&analysis(), &plan).unwrap().remove(&site).unwrap();
        assert_eq!(
            found[0],
            "kept: chosen together with head 3, not by a rank of its own; were it the only one to go, 0.010 nats a scored \
             position would be lost"
        );
        assert_eq!(
            found[1],
            "removed: heads 0, 3 were chosen together to say most of the layer; were it the only one to go, 0.020 nats a \
             scored position would be lost; others can say 50 %"
        );
        assert!(found.iter().all(|line| !line.contains("rank 1") && !line.contains("of 5")), "{found:?}");
    }

    #[test]
    fn heads_stay_for_the_reason_that_kept_them() {
        let mut analysis = analysis();
        let lacking = json!({"found": false, "sentence": "no redundancy here"});
        analysis.sites[0].evidence = Some(serde_json::from_value(lacking).unwrap());
        let told = |analysis: &Analysis, plan: &Plan| why(analysis, plan).unwrap().into_values().next().unwrap();
        // One budget over the model: the layer keeps every head for its score, the rule of evidence had no part.
        let plan = propose(&analysis, &PlanRequest::new(Method::Importance, Amount::Ratio(1.0))).unwrap();
        assert_eq!(told(&analysis, &plan)[2], "kept: importance 0.500, rank 1 of 5 in its layer, 1 of 5 in the model");
        let plan = propose(&analysis, &PlanRequest::new(Method::Votes, Amount::Keep(5))).unwrap();
        assert_eq!(told(&analysis, &plan)[2], "kept: every head of the layer stays");
        let plan = propose(&analysis, &PlanRequest::new(Method::Votes, Amount::Groups)).unwrap();
        assert!(told(&analysis, &plan)[2].ends_with("nothing speaks for redundancy there"));
        // Pinned heads stay for that, and those that yield say so.
        let kinds = [HeadKind::Separator, HeadKind::Induction];
        for (kind, scores) in kinds.iter().zip([[0.9, 0.0, 0.0, 0.0, 0.0], [0.0; 5]]) {
            analysis.sites[0].baselines.insert(kind.name().to_owned(), Baseline::exact(scores.to_vec()));
        }
        let plan = propose(&analysis, &PlanRequest::new(Method::Votes, Amount::Keep(2))).unwrap();
        let pinned = heads_of_kinds(&analysis, &kinds).unwrap();
        let mut plan = pin(&analysis, &plan, &pinned).unwrap();
        record_kinds(&analysis, &mut plan, &kinds).unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("no head is of the kind induction")), "{:?}", plan.notes);
        let lines = told(&analysis, &plan);
        assert_eq!(lines[0], "kept: pinned (separator)");
        assert!(lines[1].contains("; head 0, which is pinned, stays though it ranks lower"), "{}", lines[1]);
    }

    #[test]
    fn heads_that_go_for_the_sake_of_key_value_heads_say_so() {
        let site: Site = "decoder.0".parse().unwrap();
        let mut plan = propose(&analysis(), &PlanRequest::new(Method::Importance, Amount::Keep(3))).unwrap();
        plan.kept.set(site, [2]);
        plan.evened.insert(site, vec![1]);
        plan.pinned_out.insert(site, vec![3]);
        let found = why(&analysis(), &plan).unwrap().remove(&site).unwrap();
        let forced =
            "removed: goes so that key/value heads that stay serve equally many, since head 3 is pinned to go; ";
        assert!(found[1].starts_with(&format!("{forced}importance 0.020")), "{}", found[1]);
        assert!(found[3].starts_with("removed: pinned to go; ") && found[0].starts_with("removed: importance"));
        plan.method = "manual".to_owned();
        let found = why(&analysis(), &plan).unwrap().remove(&site).unwrap();
        assert_eq!(found[1], format!("{forced}chosen by hand"));
    }

    #[test]
    fn a_mask_has_no_reasons() {
        let plan = Plan::from_mask([("decoder.0".parse::<Site>().unwrap(), vec![0, 3])].into_iter().collect());
        let found = why(&analysis(), &plan).unwrap();
        assert_eq!(found.values().next().unwrap()[3], "kept: named in a mask");
        let beyond = Plan::from_mask([("decoder.1".parse::<Site>().unwrap(), vec![0])].into_iter().collect());
        assert!(why(&analysis(), &beyond).is_err());
    }
}
