//! The groups of a layer: where the heads lie, how well they belong, how many groups there should be.

mod number;
mod plots;

use eframe::egui::{RichText, Ui, vec2};

use super::of_analysis::OfAnalysis;
use super::shown::{Draw, PictureKey};
use crate::chart::{AnalysisView, Picture, Unit};
use crate::error::Result;
use crate::gui::context::Cx;
use crate::gui::jobs::RegroupKey;
use crate::gui::panels::told::evidence;
use crate::gui::state::State;
use crate::gui::widgets::{Swatch, feature_picker, group_legend, heading, needs_run, note, site_picker, swatch};
use crate::network::FeatureMap;

/// Narrower than this, the parts stand below each other.
const BESIDE: f32 = 560.0;

/// Another grouping of the layer and the map that are shown, where it was asked for and is there.
fn what_if(state: &State) -> Option<(RegroupKey, &[usize])> {
    let (key, grouping) = state.regrouped.as_ref()?;
    let (results, site, map, _) = *key;
    let is_shown = (state.site(), state.feature()) == (Some(site), Some(map))
        && state.what_if.is_some()
        && state.results.as_ref().is_some_and(|r| r.revision == results);
    is_shown.then_some((*key, grouping.labels.as_slice()))
}

/// What the picture is made of.
pub(super) fn key(state: &State) -> PictureKey {
    let grouping = what_if(state).map(|(key, _)| key);
    PictureKey { feature: state.feature(), grouping, ..PictureKey::of_site(state) }
}

/// What makes the picture.
pub(super) fn picture(state: &State) -> Result<Draw> {
    let groups = what_if(state).map(|(_, labels)| labels.to_vec());
    OfAnalysis { groups, ..OfAnalysis::of_site() }.draw(state, AnalysisView::Groups)
}

pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
    if cx.state.results.is_none() {
        needs_run(ui, cx, "Groups of heads");
        return;
    }
    let Some(Picture::Groups(map)) = picture else {
        note(ui, cx.theme, "Placing the heads …");
        return;
    };
    // While the next layer is being placed, the last one stays, with all that belongs to it.
    let site = cx.state.results.as_ref().and_then(|r| r.analysis.site(map.site.parse().ok()?));
    let (Some(site), Some(shown)) = (site, cx.state.feature()) else { return };
    let Some(feature) = site.features.get(&shown) else { return };
    ui.horizontal_wrapped(|ui| {
        site_picker(ui, cx);
        feature_picker(ui, cx);
        number::ui(ui, cx, site, feature, &map.groups);
    });
    ui.horizontal_wrapped(|ui| {
        let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| Unit::Plain.format(v));
        let text = format!("Mean silhouette {} · Dunn index {}", number(map.mean_silhouette), number(map.dunn));
        ui.label(RichText::new(text).small().color(cx.theme.muted));
        ui.add_space(8.0);
        group_legend(ui, cx.theme, map.group_count());
        swatch(ui, cx.theme, Swatch::Hollow(cx.theme.muted), "pruned");
    });
    evidence(ui, cx, site, feature);
    if cx.state.feature().is_some_and(FeatureMap::is_basis_dependent) {
        note(ui, cx.theme, super::redundancy::basis_note(cx));
    }
    let room = ui.available_size();
    if room.x < BESIDE {
        heading(ui, cx.theme, "Map of the heads");
        plots::map_ui(ui, cx, site.site, map, vec2(room.x, (room.y * 0.5).max(120.0)));
        heading(ui, cx.theme, "Silhouette of each head");
        let rest = (ui.available_height() - 4.0).max(60.0);
        plots::silhouettes_ui(ui, cx, site.site, map, vec2(room.x, rest));
        return;
    }
    let map_width = (room.x * 0.54).floor().min(room.y * 1.25);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 20.0;
        ui.vertical(|ui| {
            ui.set_width(map_width);
            heading(ui, cx.theme, "Map of the heads");
            let size = vec2(map_width, ui.available_height() - 22.0);
            plots::map_ui(ui, cx, site.site, map, size);
            let text = format!(
                "Classical scaling to a plane: it keeps {} of the squared distances; lines lead to the group's mean",
                Unit::Share.format(map.share_kept)
            );
            note(ui, cx.theme, text);
        });
        ui.vertical(|ui| {
            let width = ui.available_width();
            ui.set_width(width);
            heading(ui, cx.theme, "Silhouette of each head");
            let curves = (room.y * 0.36).clamp(110.0, 220.0);
            let bars = ui.available_height() - curves - 30.0;
            plots::silhouettes_ui(ui, cx, site.site, map, vec2(width, bars.max(60.0)));
            heading(ui, cx.theme, "How many groups");
            plots::numbers_ui(ui, cx, map, vec2(width, (ui.available_height() - 4.0).min(300.0)));
        });
    });
}
