//! Heads that stay whatever a method says.

use std::collections::BTreeSet;

use super::{Plan, Shape, SiteShape, snap};
use crate::analysis::{Analysis, HeadKind};
use crate::error::{Error, Result};
use crate::network::{Head, Site};
use crate::words::counted;

/// Heads of any of `kinds`, by the scores of `analysis`.
///
/// # Errors
/// Where it was not measured what heads do.
pub fn heads_of_kinds(analysis: &Analysis, kinds: &[HeadKind]) -> Result<BTreeSet<Head>> {
    let mut found = BTreeSet::new();
    for kind in kinds {
        if analysis.sites.iter().all(|site| site.kind_scores(*kind).is_none()) {
            return Err(Error::new(format!("this analysis does not say which heads are of the kind {kind}"))
                .hint("analyze again without --no-kinds, on input in which the kind can be told"));
        }
        for site in &analysis.sites {
            let scores = site.kind_scores(*kind).unwrap_or_default().iter().enumerate();
            let of_kind = scores.filter(|(_, score)| **score >= kind.threshold());
            found.extend(of_kind.map(|(head, _)| Head::new(site.site, head)));
        }
    }
    Ok(found)
}

/// Records in `plan` that heads of `kinds` were to stay, with a note for every kind that no head is of.
///
/// # Errors
/// As [`heads_of_kinds`].
pub fn record_kinds(analysis: &Analysis, plan: &mut Plan, kinds: &[HeadKind]) -> Result<()> {
    for kind in kinds {
        if heads_of_kinds(analysis, &[*kind])?.is_empty() {
            plan.notes.push(format!(
                "no head is of the kind {kind} (a score of {} or more), so that none is pinned as one",
                kind.threshold()
            ));
        }
    }
    plan.pinned_kinds = kinds.to_vec();
    Ok(())
}

/// The plan with `heads` among those that stay: each takes the place of the head of its layer that ranks lowest and is not
/// pinned, so that as many stay as before, as far as surgery allows. Where a layer has more pinned heads than it keeps, all of
/// these stay. Where the head that ranks first has to go, a note says so.
///
/// # Errors
/// Where the plan is not for layers of this shape.
pub fn pin(shape: impl Into<Shape>, plan: &Plan, heads: &BTreeSet<Head>) -> Result<Plan> {
    with_pins(&shape.into(), plan, heads, Room::InPlace)
}

/// The plan with `heads` beside those that the method chose.
///
/// # Errors
/// As of [`pin`].
pub fn pin_beside(shape: impl Into<Shape>, plan: &Plan, heads: &BTreeSet<Head>) -> Result<Plan> {
    with_pins(&shape.into(), plan, heads, Room::Beside)
}

/// Where pinned heads that the method did not choose find room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// In the places of those that rank lowest.
    InPlace,
    /// Beside what was chosen.
    Beside,
}

fn with_pins(shape: &Shape, plan: &Plan, heads: &BTreeSet<Head>, room: Room) -> Result<Plan> {
    let mut wanted = plan.clone();
    let mut outranked = Vec::new();
    for class in shape.shared() {
        let Some(site) = class.first() else { continue };
        let pinned: Vec<usize> =
            (0..site.heads).filter(|h| class.iter().any(|pass| heads.contains(&Head::new(pass.site, *h)))).collect();
        if pinned.is_empty() {
            continue;
        }
        class.iter().for_each(|pass| drop(wanted.pinned.insert(pass.site, pinned.clone())));
        let kept = plan.kept_at(site.site, site.heads);
        if pinned.iter().all(|h| kept.contains(h)) {
            continue;
        }
        let score = |h: usize| plan.scores.get(&site.site).and_then(|s| s.get(h)).copied().unwrap_or(0.0);
        let mut others: Vec<usize> = kept.iter().copied().filter(|h| !pinned.contains(h)).collect();
        others.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        if room == Room::InPlace {
            let first = others.first().copied();
            others.truncate(kept.len().saturating_sub(pinned.len()));
            let is_best = |h: &usize| kept.iter().all(|other| score(*other) <= score(*h));
            outranked.extend(
                first.filter(|h| others.is_empty() && is_best(h)).map(|h| format!("head {h} of {}", site.site)),
            );
        }
        // Whatever surgery makes of it, pinned heads count most.
        let most = (0..site.heads).map(score).fold(1.0, f64::max);
        let ranks: Vec<f64> =
            (0..site.heads).map(|h| score(h) + if pinned.contains(&h) { 1e3 * most } else { 0.0 }).collect();
        for pass in &class {
            wanted.kept.set(pass.site, pinned.iter().chain(&others).copied());
            wanted.scores.insert(pass.site, ranks.clone());
            if room == Room::Beside || pinned.len() > kept.len() {
                wanted.chosen.insert(pass.site, kept.len());
            }
        }
    }
    let (mut legal, _) = snap(shape, &wanted)?;
    legal.scores.clone_from(&plan.scores);
    let added = |site: &SiteShape| {
        let kept = legal.kept_at(site.site, site.heads).into_iter().filter(|h| legal.pinned_at(site.site).contains(h));
        kept.filter(|h| !plan.kept_at(site.site, site.heads).contains(h)).count()
    };
    let added: usize = shape.shared().iter().filter_map(|class| class.first()).map(added).sum();
    if added > 0 {
        let stay = if added == 1 { "stays because it is" } else { "stay because they are" };
        legal.notes.push(format!("{} {stay} pinned, and not by the method", counted(added, "heads")));
    }
    if !outranked.is_empty() {
        legal.notes.push(format!(
            "{} ranked first and gave way to pinned heads: keep more heads to have both",
            outranked.join(", ")
        ));
    }
    let gone = heads.iter().filter(|head| !legal.kept.keeps(**head)).count();
    if gone > 0 {
        legal.notes.push(format!(
            "{} cannot stay, since key/value heads that stay serve equally many",
            counted(gone, "pinned heads")
        ));
    }
    Ok(legal)
}

impl Plan {
    /// Heads of a layer that were asked to stay.
    pub(super) fn pinned_at(&self, site: Site) -> &[usize] {
        self.pinned.get(&site).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::SiteKind;

    fn shape(heads: usize, kv_heads: usize) -> Shape {
        [SiteShape { site: Site::new(SiteKind::Decoder, 0), heads, kv_heads, stored: 0 }].into_iter().collect()
    }

    fn plan(kept: &[usize], scores: &[f64]) -> Plan {
        let site = Site::new(SiteKind::Decoder, 0);
        let mut plan = Plan::from_mask([(site, kept.to_vec())].into_iter().collect());
        plan.scores.insert(site, scores.to_vec());
        plan
    }

    fn pinned(shape: &Shape, plan: &Plan, heads: &[usize]) -> Vec<usize> {
        let site = Site::new(SiteKind::Decoder, 0);
        let heads = heads.iter().map(|h| Head::new(site, *h)).collect();
        pin(shape, plan, &heads).unwrap().kept_at(site, 8)
    }

    #[test]
    fn a_pinned_head_takes_the_place_of_the_lowest() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];
        let four = plan(&[0, 1, 2, 3], &scores);
        let whole = shape(8, 8);
        assert_eq!(pinned(&whole, &four, &[7]), [0, 1, 2, 7]);
        assert_eq!(pinned(&whole, &four, &[1, 2]), [0, 1, 2, 3]);
        assert_eq!(pinned(&whole, &four, &[5, 6, 7, 3, 4]), [3, 4, 5, 6, 7]);
        // Two key/value heads of four: the pair of the pinned head is served as the other.
        let kept = pinned(&shape(8, 2), &plan(&[0, 1, 4, 5], &scores), &[7]);
        assert!(kept.contains(&7) && kept.len() == 4, "{kept:?}");
    }

    #[test]
    fn the_head_that_ranks_first_goes_only_where_nothing_else_could_and_that_is_said() {
        let site = Site::new(SiteKind::Decoder, 0);
        let one = plan(&[2], &[0.1, 0.2, 0.9, 0.3]);
        let heads: BTreeSet<Head> = [Head::new(site, 0)].into();
        let placed = pin(shape(4, 4), &one, &heads).unwrap();
        assert_eq!(placed.kept_at(site, 4), [0]);
        let said = |plan: &Plan| plan.notes.iter().any(|note| note.contains("head 2 of decoder.0 ranked first"));
        assert!(said(&placed), "{:?}", placed.notes);
        let beside = pin_beside(shape(4, 4), &one, &heads).unwrap();
        assert_eq!((beside.kept_at(site, 4), beside.chosen[&site]), (vec![0, 2], 1));
        assert!(
            !said(&beside) && beside.notes[0].starts_with("1 head stays because it is pinned"),
            "{:?}",
            beside.notes
        );
        let two = pin(shape(4, 4), &plan(&[2, 3], &[0.1, 0.2, 0.9, 0.3]), &heads).unwrap();
        assert_eq!(two.kept_at(site, 4), [0, 2]);
        assert!(!said(&two), "{:?}", two.notes);
    }
}
