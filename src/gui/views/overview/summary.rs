//! Words about whole layers beside their heads.

use super::in_words;
use crate::analysis::FeatureAnalysis;
use crate::gui::context::Cx;
use crate::gui::widgets::Summary;
use crate::network::FeatureMap;
use crate::plan::SiteShape;
use crate::words::printed;

/// Columns about whole layers, made anew where the plan or the results changed.
#[derive(Default)]
pub(super) struct Summaries {
    made: Option<(SummaryKey, Vec<Summary>, Vec<String>)>,
}

/// Plan, result, feature map.
type SummaryKey = (u64, Option<u64>, Option<FeatureMap>);

impl Summaries {
    pub(super) fn refresh(&mut self, cx: Cx<'_>) {
        let key = (cx.state.plan_revision, cx.state.results.as_ref().map(|r| r.revision), cx.state.feature());
        if self.made.as_ref().is_none_or(|(held, ..)| *held != key) {
            self.made = Some((key, summaries(cx), in_words::sentences(cx.state)));
        }
    }

    pub(super) fn columns(&self) -> &[Summary] {
        self.made.as_ref().map_or(&[], |(_, columns, _)| columns)
    }

    /// The same and more in sentences.
    pub(super) fn sentences(&self) -> &[String] {
        self.made.as_ref().map_or(&[], |(_, _, sentences)| sentences)
    }
}

fn summaries(cx: Cx<'_>) -> Vec<Summary> {
    let Some(model) = &cx.state.model else { return Vec::new() };
    let sites = model.facts.shape.sites();
    let kept = sites.iter().map(|s| format!("{} / {}", cx.state.kept_at(s), s.heads));
    let mut all = vec![Summary { title: "kept", width: 64.0, entries: kept.collect() }];
    let (Some(results), Some(map)) = (&cx.state.results, cx.state.feature()) else { return all };
    let of = |f: &dyn Fn(&FeatureAnalysis) -> String| -> Vec<String> {
        let entry = |s: &SiteShape| results.analysis.site(s.site)?.features.get(&map).map(f);
        sites.iter().map(|s| entry(s).unwrap_or_default()).collect()
    };
    let groups = of(&|f| f.groups.iter().max().map_or(0, |g| g + 1).to_string());
    let fit = of(&|f| f.mean_silhouette.map_or_else(|| "–".to_owned(), |s| printed(format!("{s:.3}"))));
    all.push(Summary { title: "groups", width: 64.0, entries: groups });
    all.push(Summary { title: "silhouette", width: 84.0, entries: fit });
    all
}
