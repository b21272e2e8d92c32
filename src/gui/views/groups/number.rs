//! How many groups a layer has, and how many it could have.

use std::collections::BTreeMap;

use eframe::egui::{DragValue, Label, RichText, Ui};

use crate::analysis::{FeatureAnalysis, Groups, SiteAnalysis};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::run::Spec;
use crate::words::counted;

/// The number of groups, to be changed and taken over.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, feature: &FeatureAnalysis, labels: &[usize]) {
    let live = site.heads - feature.dead.len();
    let ran = feature.groups.iter().max().map_or(0, |g| g + 1) - feature.dead.len();
    let label = ui.label(RichText::new("Groups").color(cx.theme.muted));
    let mut wanted = cx.state.what_if.unwrap_or(ran);
    let hover = "What if there were another number? Nothing else changes until you use it";
    let field = ui.add(DragValue::new(&mut wanted).range(1..=live.max(1)).speed(0.05));
    if field.labelled_by(label.id).on_hover_text(hover).changed() {
        cx.send(Action::Regroup((wanted != ran).then_some(wanted)));
    }
    let shown = labels.iter().max().map_or(0, |g| g + 1);
    let Some(groups) = cx.state.what_if else {
        let text = RichText::new(format!("{}, as in the run", counted(shown, "groups")));
        ui.add(Label::new(text.small().color(cx.theme.muted)).extend());
        return;
    };
    if ui.button("Back to the run").on_hover_text(format!("The run found {}", counted(ran, "groups"))).clicked() {
        cx.send(Action::Regroup(None));
    }
    let here = format!("Use {groups} for this layer");
    if ui.button(here).on_hover_text("In the next run; the other layers keep the number that they have").clicked() {
        let mut numbers = per_site(cx);
        numbers.insert(site.site, groups);
        set(cx, Groups::PerSite(numbers));
    }
    if ui.button(format!("Use {groups} for all layers")).on_hover_text("In the next run").clicked() {
        set(cx, Groups::Fixed(groups));
    }
}

fn set(cx: Cx<'_>, groups: Groups) {
    cx.send(Action::SetRun(Box::new(Spec { groups, ..cx.state.run.clone() })));
}

/// The number of groups that each layer has now: as chosen for the next run, else as the last run found it.
fn per_site(cx: Cx<'_>) -> BTreeMap<crate::network::Site, usize> {
    let Some(results) = &cx.state.results else { return BTreeMap::new() };
    let found = |site: &SiteAnalysis| {
        let feature = site.features.get(&cx.state.feature()?)?;
        Some((feature.groups.iter().max().map_or(1, |g| g + 1) - feature.dead.len()).max(1))
    };
    let number = |site: &SiteAnalysis| match &cx.state.run.groups {
        Groups::Auto => found(site),
        chosen => chosen.at(site.site, site.heads).ok().flatten().or_else(|| found(site)),
    };
    results.analysis.sites.iter().filter_map(|s| Some((s.site, number(s)?))).collect()
}
