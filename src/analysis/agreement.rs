//! How far two analyses of one model agree: of two texts, two layers of settings, two halves of a corpus.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Analysis, SiteAnalysis};
use crate::network::{FeatureMap, Site};

/// Two analyses side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnalysisAgreement {
    /// Whether both are of the same model, by its fingerprint.
    pub same_model: bool,
    /// The setting in which they differ, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs_in: Option<&'static str>,
    /// The layers that both analyses hold.
    pub sites: Vec<SiteAgreement>,
    /// Share of the heads that the first keeps which the second keeps too, over all sites, `0..=1`.
    pub kept_in_common: f64,
    /// Mean adjusted Rand index over sites and feature maps; absent where they share none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_adjusted_rand: Option<f64>,
}

/// One site of two analyses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteAgreement {
    /// The layer that this is about.
    pub site: Site,
    /// Heads that each keeps.
    pub kept: [Vec<usize>; 2],
    /// Feature maps of both.
    pub features: BTreeMap<FeatureMap, GroupAgreement>,
}

/// One feature map of a site of two analyses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupAgreement {
    /// Groups of the heads in each.
    pub groups: [Vec<usize>; 2],
    /// [`adjusted_rand`] of the groups.
    pub adjusted_rand: f64,
    /// Mean absolute difference of the cosines between two heads.
    pub cosine_difference: f64,
}

impl AnalysisAgreement {
    /// Sets two analyses side by side; sites with unequal numbers of heads are left out.
    pub fn of(first: &Analysis, second: &Analysis) -> Self {
        let pairs = first.sites.iter().filter_map(|a| {
            let b = second.site(a.site).filter(|b| b.heads == a.heads)?;
            Some(SiteAgreement::of(a, b))
        });
        let sites: Vec<SiteAgreement> = pairs.collect();
        let kept: usize = sites.iter().map(|s| s.kept[0].len()).sum();
        let common: usize =
            sites.iter().map(|s| s.kept[0].iter().filter(|head| s.kept[1].contains(head)).count()).sum();
        let indices: Vec<f64> = sites.iter().flat_map(|s| s.features.values().map(|f| f.adjusted_rand)).collect();
        Self {
            same_model: first.model.fingerprint == second.model.fingerprint,
            differs_in: first.settings.conflict(&second.settings),
            kept_in_common: if kept == 0 { 1.0 } else { common as f64 / kept as f64 },
            mean_adjusted_rand: (!indices.is_empty()).then(|| indices.iter().sum::<f64>() / indices.len() as f64),
            sites,
        }
    }
}

impl SiteAgreement {
    fn of(a: &SiteAnalysis, b: &SiteAnalysis) -> Self {
        let features = a.features.iter().filter_map(|(map, ours)| {
            let theirs = b.features.get(map)?;
            let heads = a.heads;
            let pairs = (0..heads).flat_map(|i| (0..i).map(move |j| (i, j)));
            // Pairs with a dead head have no cosine.
            let differences: Vec<f64> =
                pairs.filter_map(|(i, j)| Some((ours.gram.cosine(i, j)? - theirs.gram.cosine(i, j)?).abs())).collect();
            let agreement = GroupAgreement {
                adjusted_rand: adjusted_rand(&ours.groups, &theirs.groups),
                cosine_difference: differences.iter().sum::<f64>() / (differences.len() as f64).max(1.0),
                groups: [ours.groups.clone(), theirs.groups.clone()],
            };
            Some((*map, agreement))
        });
        Self { site: a.site, kept: [a.kept.clone(), b.kept.clone()], features: features.collect() }
    }
}

/// The adjusted Rand index of two partitions of the same heads (Hubert and Arabie 1985): 1 for equal partitions, 0 for
/// what chance gives; 1 where both are trivial in the same way.
pub fn adjusted_rand(a: &[usize], b: &[usize]) -> f64 {
    let pairs = |n: usize| (n * n.saturating_sub(1)) as f64 / 2.0;
    let mut cells: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let (mut rows, mut columns): (BTreeMap<usize, usize>, BTreeMap<usize, usize>) = Default::default();
    for (x, y) in a.iter().zip(b) {
        *cells.entry((*x, *y)).or_default() += 1;
        *rows.entry(*x).or_default() += 1;
        *columns.entry(*y).or_default() += 1;
    }
    let together: f64 = cells.values().map(|n| pairs(*n)).sum();
    let in_a: f64 = rows.values().map(|n| pairs(*n)).sum();
    let in_b: f64 = columns.values().map(|n| pairs(*n)).sum();
    let all = pairs(a.len().min(b.len()));
    let expected = if all == 0.0 { 0.0 } else { in_a * in_b / all };
    let most = f64::midpoint(in_a, in_b);
    if most == expected { 1.0 } else { (together - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adjusted_rand_index_is_that_of_scikit_learn() {
        // sklearn.metrics.adjusted_rand_score 1.7.
        for (a, b, want) in [
            (vec![0, 0, 1, 1], vec![0, 0, 1, 1], 1.0),
            (vec![0, 0, 1, 1], vec![1, 1, 0, 0], 1.0),
            (vec![0, 0, 1, 2], vec![0, 0, 1, 1], 0.571_428_571_428_571_4),
            (vec![0, 0, 1, 1], vec![0, 1, 0, 1], -0.5),
            (vec![0, 0, 0, 0], vec![0, 1, 2, 3], 0.0),
            (vec![0, 1, 2, 3], vec![0, 1, 2, 3], 1.0),
        ] {
            assert!((adjusted_rand(&a, &b) - want).abs() < 1e-12, "{a:?} {b:?}: {}", adjusted_rand(&a, &b));
        }
    }
}
