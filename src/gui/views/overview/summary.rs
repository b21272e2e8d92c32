//! Words about whole layers beside their heads.

use super::super::super::app::Cx;
use super::super::super::widgets::Summary;
use crate::analysis::FeatureAnalysis;
use crate::plan::SiteShape;
use crate::workspace::HeadRef;

/// Columns about whole layers.
pub(super) fn summaries(cx: Cx<'_>) -> Vec<Summary> {
    let Some(model) = &cx.state.model else { return Vec::new() };
    let plan = cx.state.draft.now().active();
    let sites = model.facts.shape.sites();
    let kept = sites.iter().map(|s| {
        let kept = (0..s.heads).filter(|h| plan.is_kept(HeadRef::new(s.site, *h))).count();
        format!("{kept} / {}", s.heads)
    });
    let mut all = vec![Summary { title: "kept", width: 64.0, entries: kept.collect() }];
    let (Some(results), Some(map)) = (&cx.state.results, cx.state.feature()) else { return all };
    let of = |f: &dyn Fn(&FeatureAnalysis) -> String| -> Vec<String> {
        let entry = |s: &SiteShape| results.analysis.site(s.site)?.features.get(&map).map(f);
        sites.iter().map(|s| entry(s).unwrap_or_default()).collect()
    };
    let groups = of(&|f| f.groups.iter().max().map_or(0, |g| g + 1).to_string());
    let fit = of(&|f| f.mean_silhouette.map_or_else(|| "–".to_owned(), |s| format!("{s:.3}")));
    all.push(Summary { title: "groups", width: 64.0, entries: groups });
    all.push(Summary { title: "silhouette", width: 84.0, entries: fit });
    all
}
