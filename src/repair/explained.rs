//! What the heads that stay can say of each layer, known from second moments alone.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::document::SiteRepair;
use super::projection::{Basis, Ridge, UNTRIED};
use super::refit::regress;
use crate::analysis::{Moments, SharedMoments, SiteMoments, enough};
use crate::error::{Error, Result};
use crate::network::Site;
use crate::plan::{Explained, Plan};
use crate::task::Ticket;

/// What a refit would leave of every layer that loses heads under `plan`, fitted on one half of the batches and judged on
/// the other. No weights are read: errors depend on the output projection by `W W^T` alone, which is among the moments.
///
/// # Errors
///
/// The plan names heads that the layers do not have, or the work is cancelled.
pub fn explained(moments: &Moments, plan: &Plan, ticket: &Ticket) -> Result<BTreeMap<Site, SiteRepair>> {
    let classes = moments.shared()?;
    let of = |class: &SharedMoments<'_>| -> Result<Vec<(Site, SiteRepair)>> {
        ticket.check()?;
        let own = &class.moments;
        let Some(first) = class.sites.first().copied() else { return Ok(Vec::new()) };
        let kept = plan.kept_at(first, own.heads);
        if kept.len() >= own.heads {
            return Ok(Vec::new());
        }
        if let Some(head) = kept.iter().find(|head| **head >= own.heads) {
            return Err(Error::new(format!("{first} has no head {head}")));
        }
        let (_, report) = regress(own, &kept, ridge(own, &kept), Basis::Even).map_err(|e| e.within(first))?;
        Ok(class.sites.iter().map(|site| (*site, report)).collect())
    };
    let found: Vec<_> = classes.par_iter().map(of).collect::<Result<_>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// The ridge of a forecast: one for all, since it matters little, unless there are so few tokens that it does.
fn ridge(own: &SiteMoments, kept: &[usize]) -> Ridge {
    let is_scarce = own.halves.iter().any(|half| half.tokens < enough(kept.len() * own.head_dim));
    if is_scarce { Ridge::Auto } else { Ridge::Fixed(UNTRIED) }
}

/// Lets `plan` tell what a refit from `moments` would say of every layer that loses heads, and what speaks against it.
///
/// # Errors
///
/// As [`explained`].
pub fn explain(plan: &mut Plan, moments: &Moments, ticket: &Ticket) -> Result<()> {
    plan.explained = shares(&explained(moments, plan, ticket)?);
    let new = if plan.explained.is_empty() { Vec::new() } else { moments.doubts() };
    plan.notes.extend(new.into_iter().filter(|note| !plan.notes.contains(note)).collect::<Vec<_>>());
    Ok(())
}

/// The shares that a plan tells of: see [`explained`].
fn shares(sites: &BTreeMap<Site, SiteRepair>) -> BTreeMap<Site, Explained> {
    let of = |site: &SiteRepair| Explained {
        masked: 1.0 - site.masked,
        calibration: 1.0 - site.fitted,
        held_out: site.held_out.map(|error| 1.0 - error),
    };
    sites.iter().map(|(site, report)| (*site, of(report))).collect()
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::super::projection::OutputProjection;
    use super::super::refit::refit_site;
    use super::super::testing::TestSite;
    use super::*;
    use crate::analysis::ModelInfo;

    #[test]
    fn a_branch_wider_than_the_stream_has_products_that_are_zero() {
        let mut case = TestSite::new(4, 3, true, 6);
        // Three numbers of the stream from twelve of the heads, rounded as f32 rounds.
        case.weight = Mat::from_fn(12, 3, |i, j| f64::from(((i * 3 + j) as f32 * 0.7391).sin()));
        let site: Site = "encoder.0".parse().unwrap();
        let mut own = case.moments();
        own.output = super::super::testing::symmetric(12, |i, j| f64::from(own.output.get(i, j) as f32));
        let old = OutputProjection { weight: case.weight.clone(), bias: Some(vec![0.0; 3]), head_dim: 3, kv_heads: 4 };
        let (_, expected) = refit_site(&own, &old, &[1, 3], ridge(&own, &[1, 3]), Basis::Even).unwrap();
        let moments = Moments {
            model: ModelInfo::default(),
            input: String::new(),
            readings: Vec::new(),
            batches: 2,
            sites: BTreeMap::from([(site, own)]),
        };
        let mut plan = Plan::default();
        plan.kept.set(site, [1, 3]);
        let found = explained(&moments, &plan, &Ticket::default()).unwrap()[&site];
        let [told, expected] = [found, expected].map(|site| site.explained().unwrap());
        assert!((told - expected).abs() < 1e-4, "{told} {expected}");
    }

    #[test]
    fn errors_without_the_weights_are_those_with_them() {
        for with_bias in [false, true] {
            let case = TestSite::new(5, 3, with_bias, 4);
            let site: Site = "encoder.0".parse().unwrap();
            let moments = Moments {
                model: ModelInfo::default(),
                input: String::new(),
                readings: Vec::new(),
                batches: 2,
                sites: BTreeMap::from([(site, case.moments())]),
            };
            let old = OutputProjection {
                weight: case.weight.clone(),
                bias: with_bias.then(|| vec![0.0; case.weight.ncols()]),
                head_dim: 3,
                kv_heads: 5,
            };
            for kept in [vec![0, 1, 3], vec![4], vec![1, 2, 3, 4]] {
                let mut plan = Plan::default();
                plan.kept.set(site, kept.iter().copied());
                let found = explained(&moments, &plan, &Ticket::default()).unwrap()[&site];
                let own = case.moments();
                let (_, expected) = refit_site(&own, &old, &kept, ridge(&own, &kept), Basis::Even).unwrap();
                let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{kept:?}: {a} {b}");
                close(found.masked, expected.masked);
                close(found.fitted, expected.fitted);
                close(found.held_out.unwrap(), expected.held_out.unwrap());
                let told = shares(&BTreeMap::from([(site, found)]))[&site];
                assert_eq!(told.held_out, found.explained());
            }
            // A layer that keeps every head has nothing to explain.
            assert!(explained(&moments, &Plan::default(), &Ticket::default()).unwrap().is_empty());
            let mut wrong = Plan::default();
            wrong.kept.set(site, [0, 9]);
            assert!(explained(&moments, &wrong, &Ticket::default()).is_err());
        }
    }
}
