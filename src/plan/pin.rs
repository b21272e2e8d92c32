//! Heads that stay whatever a method says.

use std::collections::BTreeSet;

use super::{Plan, Shape, snap};
use crate::analysis::{Analysis, HeadKind};
use crate::error::{Error, Result};
use crate::network::Head;
use crate::words::counted;

/// Heads of any of `kinds`, by the scores of `analysis`.
///
/// # Errors
/// Where it was not measured what heads do.
pub fn heads_of_kinds(analysis: &Analysis, kinds: &[HeadKind]) -> Result<BTreeSet<Head>> {
    let mut found = BTreeSet::new();
    for kind in kinds {
        if analysis.sites.iter().all(|site| site.kind_scores(*kind).is_none()) {
            return Err(Error::usage(format!("this analysis does not say which heads are of the kind {kind}"))
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
/// these stay.
///
/// # Errors
/// Where the plan is not for layers of this shape.
pub fn pin(shape: impl Into<Shape>, plan: &Plan, heads: &BTreeSet<Head>) -> Result<Plan> {
    let shape = shape.into();
    let mut wanted = plan.clone();
    let mut added = 0;
    for class in shape.shared() {
        let Some(site) = class.first() else { continue };
        let pinned: Vec<usize> =
            (0..site.heads).filter(|h| class.iter().any(|pass| heads.contains(&Head::new(pass.site, *h)))).collect();
        let kept = plan.kept_at(site.site, site.heads);
        let missing = pinned.iter().filter(|h| !kept.contains(h)).count();
        if missing == 0 {
            continue;
        }
        added += missing;
        let score = |h: usize| plan.scores.get(&site.site).and_then(|s| s.get(h)).copied().unwrap_or(0.0);
        let mut others: Vec<usize> = kept.iter().copied().filter(|h| !pinned.contains(h)).collect();
        others.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        others.truncate(kept.len().saturating_sub(pinned.len()));
        // Whatever surgery makes of it, pinned heads count most.
        let most = (0..site.heads).map(score).fold(1.0, f64::max);
        let ranks: Vec<f64> =
            (0..site.heads).map(|h| score(h) + if pinned.contains(&h) { 1e3 * most } else { 0.0 }).collect();
        for pass in &class {
            wanted.kept.set(pass.site, pinned.iter().chain(&others).copied());
            wanted.scores.insert(pass.site, ranks.clone());
        }
    }
    let (mut legal, _) = snap(&shape, &wanted)?;
    legal.scores.clone_from(&plan.scores);
    if added > 0 {
        legal.notes.push(format!("{} stay because they are pinned", counted(added, "more heads")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Site, SiteKind};
    use crate::plan::SiteShape;

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
}
