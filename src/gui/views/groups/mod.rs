//! The groups of a layer: where the heads lie, how well they belong, how many groups there should be.

mod curves;
mod map;
mod number;
mod silhouettes;

use std::sync::Arc;

use eframe::egui::{RichText, Ui, vec2};

use super::super::app::Cx;
use super::super::state::State;
use super::super::widgets::{
    Background, Mark, feature_picker, group_legend, heading, needs_run, note, site_picker, swatch,
};
use super::{Draw, Picture};
use crate::analysis::{Distances, Gram, Metric, Points, plane};
use crate::error::{Error, Result};
use crate::figure::{self, Unit};
use crate::network::{FeatureMap, Site};

/// What the groups view remembers.
#[derive(Default)]
pub struct Groups {
    placed: Background<(u64, Site, FeatureMap), Placed>,
}

/// Where the heads of a layer lie.
struct Placed {
    points: Vec<[f64; 2]>,
    /// Share of the squared distances that the plane keeps.
    kept: f64,
    distances: Distances,
}

impl Placed {
    fn of(gram: &Gram, metric: Metric) -> Self {
        let space = Points::new(gram, metric);
        let points = plane(space.gram());
        let kept = kept_by(&points, space.gram());
        Self { points, kept, distances: Distances::new(space.gram()) }
    }
}

/// Up to so many heads are placed within a small part of a frame.
const QUICK: usize = 48;

/// Narrower than this, the parts stand below each other.
const BESIDE: f32 = 560.0;

impl Groups {
    /// What draws its picture.
    pub fn picture(&self, state: &State, theme: &'static figure::Theme) -> Result<Draw> {
        let groups = state.regrouped.as_ref().filter(|((_, site, map, _), _)| {
            (state.site(), state.feature()) == (Some(*site), Some(*map)) && state.what_if.is_some()
        });
        let groups = groups.map(|(_, grouping)| grouping.labels.clone());
        Picture { groups, ..Picture::of_site() }.draw(state, theme, figure::View::Groups)
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (Some(results), Some(site), Some(map)) = (&cx.state.results, cx.state.site_results(), cx.state.feature())
        else {
            needs_run(ui, cx, "Groups of heads");
            return;
        };
        let analysis = Arc::clone(&results.analysis);
        let key = (results.revision, site.site, map);
        let placed = self.placed.get_keyed(ui.ctx(), key, site.heads <= QUICK, move || {
            let missing = || Error::new("the layer was not analysed");
            let feature = analysis.site(key.1).and_then(|s| s.features.get(&map)).ok_or_else(missing)?;
            Ok(Placed::of(&feature.gram, analysis.settings.metric))
        });
        // While the next layer is being placed, the last one stays, with all that belongs to it.
        let placed = placed.filter(|(key, _)| key.0 == results.revision);
        let Some((key, placed)) = placed.and_then(|(key, placed)| Some((*key, placed.as_ref().ok()?))) else {
            note(ui, cx.theme, "Placing the heads …");
            return;
        };
        let Some(site) = results.analysis.site(key.1) else { return };
        let Some(feature) = site.features.get(&key.2) else { return };
        let what_if = cx.state.regrouped.as_ref().filter(|((r, s, m, _), _)| (*r, *s, *m) == key).map(|(_, g)| g);
        let labels = what_if.map_or(feature.groups.as_slice(), |g| g.labels.as_slice());
        let silhouettes = match what_if {
            Some(_) => placed.distances.silhouettes(labels),
            None => feature.silhouette.clone(),
        };
        ui.horizontal_wrapped(|ui| {
            site_picker(ui, cx);
            feature_picker(ui, cx);
            number::ui(ui, cx, site, feature, labels);
        });
        let mean = silhouettes.as_ref().map(|s| s.iter().sum::<f64>() / s.len().max(1) as f64);
        let dunn = if what_if.is_some() { placed.distances.dunn(labels) } else { feature.dunn };
        ui.horizontal_wrapped(|ui| {
            let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| Unit::Plain.format(v));
            let text = format!("Mean silhouette {} · Dunn index {}", number(mean), number(dunn));
            ui.label(RichText::new(text).small().color(cx.theme.muted));
            ui.add_space(8.0);
            group_legend(ui, cx.theme, labels.iter().max().map_or(0, |g| g + 1));
            swatch(ui, cx.theme, Mark::Hollow(cx.theme.muted), "pruned");
        });
        if cx.state.feature().is_some_and(FeatureMap::is_basis_dependent) {
            note(ui, cx.theme, super::redundancy::basis_note(cx));
        }
        let room = ui.available_size();
        if room.x < BESIDE {
            heading(ui, cx.theme, "Map of the heads");
            map::ui(ui, cx, site.site, &placed.points, labels, vec2(room.x, (room.y * 0.5).max(120.0)));
            heading(ui, cx.theme, "Silhouette of each head");
            let rest = (ui.available_height() - 4.0).max(60.0);
            silhouettes::ui(ui, cx, site.site, labels, silhouettes.as_deref(), vec2(room.x, rest));
            return;
        }
        let map_width = (room.x * 0.54).floor().min(room.y * 1.25);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 20.0;
            ui.vertical(|ui| {
                ui.set_width(map_width);
                heading(ui, cx.theme, "Map of the heads");
                let size = vec2(map_width, ui.available_height() - 22.0);
                map::ui(ui, cx, site.site, &placed.points, labels, size);
                let text = format!(
                    "Classical scaling to a plane: it keeps {} of the squared distances. Lines lead to the group's mean.",
                    Unit::Share.format(placed.kept)
                );
                note(ui, cx.theme, text);
            });
            ui.vertical(|ui| {
                let width = ui.available_width();
                heading(ui, cx.theme, "Silhouette of each head");
                let curves = (room.y * 0.36).clamp(110.0, 220.0);
                let bars = ui.available_height() - curves - 30.0;
                silhouettes::ui(ui, cx, site.site, labels, silhouettes.as_deref(), vec2(width, bars.max(60.0)));
                heading(ui, cx.theme, "How many groups");
                curves::ui(ui, cx, feature, labels, vec2(width, (ui.available_height() - 4.0).min(300.0)));
            });
        });
    }
}

/// Share of the squared distances to the mean that a plane keeps.
fn kept_by(points: &[[f64; 2]], gram: &Gram) -> f64 {
    let heads = gram.heads();
    let sum: f64 = (0..heads).map(|i| gram.row(i).iter().sum::<f64>()).sum();
    let total = (0..heads).map(|i| gram.norm2(i)).sum::<f64>() - sum / heads.max(1) as f64;
    let inside: f64 = points.iter().map(|p| p[0] * p[0] + p[1] * p[1]).sum();
    if total > 0.0 { (inside / total).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_keeps_all_of_what_lies_in_a_plane() {
        // (1, 0, 0), (-1, 0, 0), (0, 2, 0): all in a plane; with (0, 0, 3) in place of the last coordinate's 0 not.
        let flat = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0]];
        let tall = [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 2.0, -1.0], [0.0, -2.0, -1.0]];
        let share = |rows: &[[f64; 3]]| {
            let dot = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let values = rows.iter().flat_map(|a| rows.iter().map(move |b| dot(a, b))).collect();
            let gram = Gram::from_rows(4, values).unwrap();
            kept_by(&plane(&gram), &gram)
        };
        assert!((share(&flat) - 1.0).abs() < 1e-9);
        // Variances 2, 8 and 4 about a mean of 0: the largest two of 14.
        assert!((share(&tall) - 12.0 / 14.0).abs() < 1e-9, "{}", share(&tall));
    }
}
