//! How alike the heads of a layer are, and of all layers at once.

mod layers;
mod matrix;
mod pair;

use std::sync::Arc;

use eframe::egui::{RichText, Ui};
use serde::{Deserialize, Serialize};

use self::layers::Layers;
use self::matrix::Drawing;
use self::pair::most_alike;
use super::super::app::Cx;
use super::super::state::State;
use super::super::widgets::{
    Background, MatrixTexture, choice, color_bar, feature_picker, group_legend, needs_run, note, site_picker,
};
use super::{Draw, Key as PictureKey, OfAnalysis};
use crate::analysis::{Analysis, FeatureAnalysis, SiteAnalysis};
use crate::chart::{AnalysisView, Caption, Grid, Likeness, Order, Similarity, Tree, Unit};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site};

/// What the numbers between two heads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Cosine of their maps.
    #[default]
    Cosine,
    /// Distance of their maps.
    Distance,
    /// Linear centred kernel alignment.
    Cka,
}

impl Kind {
    fn likeness(self) -> Likeness {
        match self {
            Self::Cosine => Likeness::Cosine,
            Self::Distance => Likeness::Distance,
            Self::Cka => Likeness::Cka,
        }
    }
}

/// What the redundancy view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Redundancy {
    kind: Kind,
    by_index: bool,
    all_layers: bool,
    #[serde(skip)]
    texture: MatrixTexture,
    #[serde(skip)]
    drawn: Background<Key, Drawn>,
    #[serde(skip)]
    layers: Layers,
}

type Key = (u64, Site, FeatureMap, Kind, bool);

/// The matrix of a layer and the tree over it.
struct Drawn {
    similarity: Similarity,
    tree: Tree,
    most_alike: Vec<(usize, usize, f64)>,
}

/// Up to so many heads are joined to a tree within a small part of a frame.
const QUICK: usize = 48;

impl Redundancy {
    /// What its picture is made of.
    pub fn key(&self, state: &State) -> PictureKey {
        let options = [self.kind as usize, usize::from(self.by_index), usize::from(self.all_layers)];
        let key = PictureKey { feature: state.feature(), options, ..PictureKey::of_site(state) };
        if self.all_layers { PictureKey { site: None, ..key } } else { key }
    }

    /// What makes its picture.
    pub fn picture(&self, state: &State) -> Result<Draw> {
        let order = if self.by_index { Order::Index } else { Order::Group };
        let picture = OfAnalysis { of_site: !self.all_layers, order: Some(order), groups: None };
        picture.draw(state, AnalysisView::Redundancy(self.kind.likeness()))
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (Some(results), Some(site), Some(map)) = (&cx.state.results, cx.state.site_results(), cx.state.feature())
        else {
            needs_run(ui, cx, "Similarities of heads");
            return;
        };
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx, site));
        let key = (results.revision, site.site, map, self.kind, self.by_index);
        let analysis = Arc::clone(&results.analysis);
        let make = move || Drawn::of(&analysis, key);
        let drawn = self.drawn.get_keyed(ui.ctx(), key, site.heads <= QUICK, make);
        // While the next matrix is being made, the last one stays, with all that belongs to it.
        let drawn = drawn.filter(|(key, _)| key.0 == results.revision);
        let Some((key, drawn)) = drawn.and_then(|(key, drawn)| Some((*key, drawn.as_ref().ok()?))) else {
            note(ui, cx.theme, "Comparing the heads …");
            return;
        };
        let Some(site) = results.analysis.site(key.1) else { return };
        let Some(feature) = site.features.get(&key.2) else { return };
        let Drawn { similarity, tree, most_alike } = drawn;
        let scale = similarity.likeness.scale(&similarity.matrix);
        ui.horizontal_wrapped(|ui| {
            let label = similarity.likeness.label();
            if self.all_layers && self.kind == Kind::Distance {
                note(ui, cx.theme, "Distance, each layer from 0 to its own largest");
            } else {
                ui.label(RichText::new(label).small().color(cx.theme.muted));
                let missing = similarity.matrix.has_missing().then_some("no direction");
                color_bar(ui, cx.theme, &scale, Unit::Plain, missing);
            }
            if !self.all_layers {
                ui.add_space(8.0);
                group_legend(ui, cx.theme, similarity.groups.iter().max().map_or(0, |g| g + 1));
            }
        });
        about(ui, cx, feature);
        ui.add_space(4.0);
        if self.all_layers {
            if self.layers.ui(ui, cx, self.kind, self.by_index) {
                self.all_layers = false;
            }
            return;
        }
        let by_index = key.4;
        let order: Vec<usize> = if by_index { (0..site.heads).collect() } else { tree.order.clone() };
        let texture = self.texture.get(ui, (key, cx.theme.figure.name), cx.theme.figure.missing, || {
            (similarity.matrix.reordered(&order, &order), scale)
        });
        let draw =
            Drawing { cx, site, feature, similarity, tree: (!by_index).then_some(tree), order: &order, most_alike };
        draw.show(ui, texture);
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis) {
        let several = cx.state.results.as_ref().is_some_and(|r| r.analysis.sites.len() > 1);
        if several {
            let scopes = [
                (false, "One layer", "The heads of one layer, large"),
                (true, "All layers", "Every layer side by side, small; a click shows one"),
            ];
            choice(ui, cx, "", &mut self.all_layers, &scopes);
        }
        if !self.all_layers {
            site_picker(ui, cx);
        }
        feature_picker(ui, cx);
        let mut kinds = vec![
            (Kind::Cosine, "Cosine", "1 alike, 0 unrelated, -1 opposite"),
            (Kind::Distance, "Distance", "0 equal; depends on the size of the maps"),
        ];
        if site.cka.is_some() {
            kinds.push((Kind::Cka, "CKA", "1 alike up to rotation and scale, 0 unrelated"));
        } else if self.kind == Kind::Cka {
            self.kind = Kind::Cosine;
        }
        choice(ui, cx, "Show", &mut self.kind, &kinds);
        let orders = [(false, "Group", "Groups side by side, under their tree"), (true, "Index", "As numbered")];
        choice(ui, cx, "Order", &mut self.by_index, &orders);
    }
}

impl Drawn {
    fn of(analysis: &Analysis, (_, site, map, kind, by_index): Key) -> Result<Self> {
        let missing = || Error::new("the layer was not analysed");
        let site = analysis.site(site).ok_or_else(missing)?;
        let feature = site.features.get(&map).ok_or_else(missing)?;
        let similarity = Similarity {
            caption: Caption::new(format!("Heads of {}", site.site), map.name()),
            site: site.site.to_string(),
            matrix: numbers(kind, site, feature),
            likeness: kind.likeness(),
            groups: feature.groups.clone(),
            kept: None,
            by_index,
        };
        let tree = similarity.tree();
        let most_alike = most_alike(&similarity);
        Ok(Self { similarity, tree, most_alike })
    }
}

/// The numbers between the heads of a layer; NaN where there is none.
fn numbers(kind: Kind, site: &SiteAnalysis, feature: &FeatureAnalysis) -> Grid {
    let heads = site.heads;
    match (kind, &site.cka) {
        (Kind::Cosine, _) => Grid::from_fn(heads, heads, |i, j| feature.gram.cosine(i, j).unwrap_or(f64::NAN)),
        (Kind::Cka, Some(rows)) => Grid::from_rows(rows),
        _ => Grid::from_fn(heads, heads, |i, j| feature.gram.distance2(i, j).sqrt()),
    }
}

/// What must be known to read likeness under this map.
fn about(ui: &mut Ui, cx: Cx<'_>, feature: &FeatureAnalysis) {
    if cx.state.feature().is_some_and(FeatureMap::is_basis_dependent) {
        note(ui, cx.theme, basis_note(cx));
    }
    if feature.kv_shared {
        note(ui, cx.theme, "Heads that share a key/value head have this map in common by construction.");
    }
}

/// What must be known to read likeness under a map that depends on a basis.
pub(super) fn basis_note(cx: Cx<'_>) -> String {
    let map = cx.state.feature().map_or("these", FeatureMap::name);
    format!(
        "The likeness of {map} maps depends on a basis that each head is free to choose; attention and residual maps do not."
    )
}
