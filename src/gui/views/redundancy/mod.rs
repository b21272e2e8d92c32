//! How alike the heads of a layer are, and of all layers at once.

mod layers;
mod matrix;
mod pair;

use eframe::egui::{RichText, Ui};
use serde::{Deserialize, Serialize};

use self::layers::LayerTiles;
use self::matrix::Drawing;
use super::of_analysis::OfAnalysis;
use super::shown::{Draw, Made, PictureKey};
use crate::analysis::{FeatureAnalysis, SiteAnalysis};
use crate::chart::{AnalysisView, Likeness, Order, Picture, Similarity, Unit};
use crate::error::Result;
use crate::gui::context::Cx;
use crate::gui::state::State;
use crate::gui::widgets::{
    MatrixTexture, choice, color_bar, explained, feature_picker, group_legend, needs_run, note, site_picker,
};
use crate::network::FeatureMap;

/// What the numbers between two heads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Cosine of their maps.
    #[default]
    Cosine,
    /// Distance of their maps.
    Distance,
    /// Linear centered kernel alignment.
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
pub(super) struct Redundancy {
    kind: Kind,
    by_index: bool,
    all_layers: bool,
    #[serde(skip)]
    texture: MatrixTexture<(Made, &'static str)>,
    #[serde(skip)]
    most_alike: Option<(Made, MostAlike)>,
    #[serde(skip)]
    layers: LayerTiles,
}

/// Two heads and the number between them, the most alike first.
type MostAlike = Vec<(usize, usize, f64)>;
/// Pairs in the list.
const LISTED: usize = 8;

/// Numbers, order by index, all layers.
pub(super) type RedundancyChoice = (Kind, bool, bool);

impl Redundancy {
    /// What a person chose.
    pub(super) fn chosen(&self) -> RedundancyChoice {
        (self.kind, self.by_index, self.all_layers)
    }

    /// What its picture is made of.
    pub(super) fn key(&self, state: &State) -> PictureKey {
        let options = [self.kind as usize, usize::from(self.by_index), usize::from(self.all_layers)];
        let key = PictureKey { feature: state.feature(), options, ..PictureKey::of_site(state) };
        if self.all_layers { PictureKey { site: None, ..key } } else { key }
    }

    /// What makes its picture.
    pub(super) fn picture(&self, state: &State) -> Result<Draw> {
        let order = if self.by_index { Order::Index } else { Order::Group };
        let picture = OfAnalysis { of_site: !self.all_layers, order: Some(order), groups: None };
        picture.draw(state, AnalysisView::Redundancy(self.kind.likeness()))
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: Option<&Made>) {
        let (Some(site), Some(map)) = (cx.state.site_results(), cx.state.feature()) else {
            needs_run(ui, cx, "Similarities of heads");
            return;
        };
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx, site));
        match made.map(|made| (made, &**made)) {
            Some((made, Picture::Similarity(one))) => self.one(ui, cx, made, one, map),
            Some((made, Picture::Similarities(_, layers))) => {
                self.legend(ui, cx, layers.first(), true);
                about(ui, cx, map, site.features.get(&map));
                ui.add_space(4.0);
                if self.layers.ui(ui, cx, made, layers) {
                    self.all_layers = false;
                }
            }
            _ => note(ui, cx.theme, "Comparing the heads …"),
        }
    }

    /// The heads of one layer. While the next matrix is being made, the last one stays, with all that belongs to it.
    fn one(&mut self, ui: &mut Ui, cx: Cx<'_>, made: &Made, similarity: &Similarity, map: FeatureMap) {
        let Some(results) = &cx.state.results else { return };
        let Some(site) = similarity.site.parse().ok().and_then(|site| results.analysis.site(site)) else { return };
        let Some(feature) = site.features.get(&map) else { return };
        self.legend(ui, cx, Some(similarity), false);
        about(ui, cx, map, Some(feature));
        ui.add_space(4.0);
        let order = similarity.order();
        let key = (made.clone(), cx.theme.figure.name);
        let texture = self.texture.get(ui, key, cx.theme.figure.missing, || {
            (similarity.matrix.reordered(&order, &order), similarity.scale())
        });
        let held = self.most_alike.take().filter(|(of, _)| of == made);
        let (_, most_alike) =
            self.most_alike.insert(held.unwrap_or_else(|| (made.clone(), similarity.most_alike(LISTED))));
        let metric = results.analysis.settings.metric;
        Drawing { cx, site, feature, metric, similarity, order: &order, most_alike }.show(ui, texture);
    }

    /// What the colors of the matrices mean.
    fn legend(&self, ui: &mut Ui, cx: Cx<'_>, similarity: Option<&Similarity>, is_small: bool) {
        let Some(similarity) = similarity else { return };
        ui.horizontal_wrapped(|ui| {
            if is_small && similarity.likeness == Likeness::Distance {
                note(ui, cx.theme, "Distance, each layer from 0 to its own largest");
            } else {
                let name = similarity.likeness.label();
                explained(ui.label(RichText::new(name).small().color(cx.theme.muted)), name);
                let missing = similarity.matrix.has_missing().then_some("no direction");
                color_bar(ui, cx.theme, &similarity.scale(), (name, Unit::Plain), missing);
            }
            if !is_small {
                ui.add_space(8.0);
                group_legend(ui, cx.theme, similarity.groups.iter().max().map_or(0, |g| g + 1));
            }
        });
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

/// What must be known to read likeness under this map.
fn about(ui: &mut Ui, cx: Cx<'_>, map: FeatureMap, feature: Option<&FeatureAnalysis>) {
    if map.is_basis_dependent() {
        note(ui, cx.theme, basis_note(cx));
    }
    if feature.is_some_and(|f| f.kv_shared) {
        note(ui, cx.theme, "Heads that share a key/value head have this map in common by construction");
    }
}

/// What must be known to read likeness under a map that depends on a basis.
pub(super) fn basis_note(cx: Cx<'_>) -> String {
    let map = cx.state.feature().map_or("these", FeatureMap::name);
    format!(
        "The likeness of {map} maps depends on a basis that each head is free to choose; attention and residual maps do not"
    )
}
