//! How alike the heads of a layer are: a matrix ordered by group under its tree.

use eframe::egui::{Align2, FontId, Painter, Rect, RichText, Sense, Stroke, StrokeKind, Ui, pos2, vec2};
use serde::{Deserialize, Serialize};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::state::State;
use super::super::theme::{Theme, color};
use super::super::widgets::{
    MatrixTexture, cell_at, choice, color_bar, fact, facts, feature_picker, heading, needs_run, note, paint_texture,
    site_picker,
};
use super::{Draw, picture_of};
use crate::analysis::{FeatureAnalysis, SiteAnalysis};
use crate::error::Result;
use crate::figure::tree::Tree;
use crate::figure::views::{Likeness, Similarity};
use crate::figure::{self, Caption, Grid, GroupStyle, Unit};
use crate::workspace::HeadRef;

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
    #[serde(skip)]
    texture: MatrixTexture,
    #[serde(skip)]
    cache: Option<(Key, Similarity, Tree)>,
}

type Key = (u64, crate::network::Site, crate::network::FeatureMap, Kind, bool);

/// Height of the tree and width of the numbers of heads.
const TREE: f32 = 64.0;
const NUMBERS: f32 = 26.0;
/// Width of the strips that show groups.
const STRIP: f32 = 6.0;

impl Redundancy {
    /// What draws its picture.
    pub fn picture(&self, state: &State) -> Result<Draw> {
        picture_of(state, figure::View::Redundancy(self.kind.likeness()), true)
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (Some(site), Some(feature)) = (cx.state.site_results(), cx.state.feature_results()) else {
            needs_run(ui, cx, "Similarities of heads");
            return;
        };
        ui.horizontal_wrapped(|ui| {
            site_picker(ui, cx);
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
        });
        self.refresh(cx, site, feature);
        let Some((key, similarity, tree)) = &self.cache else { return };
        let scale = similarity.likeness.scale(&similarity.matrix);
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(similarity.likeness.label()).small().color(cx.theme.muted));
            let missing = similarity.matrix.has_missing().then_some("no direction");
            color_bar(ui, cx.theme, &scale, Unit::Plain, missing);
            if feature.kv_shared {
                note(ui, cx.theme, "Heads of one key/value group have this map in common by construction");
            }
        });
        ui.add_space(4.0);
        let order: Vec<usize> = if self.by_index { (0..site.heads).collect() } else { tree.order.clone() };
        let room = ui.available_size();
        let beside = room.x > room.y + 170.0;
        let side = if beside { (room.y - TREE - NUMBERS).min(room.x - 240.0) } else { room.x.min(room.y - 190.0) };
        let texture = self.texture.get(ui, (key, cx.theme.figure.name), cx.theme.figure.missing, || {
            (similarity.matrix.reordered(&order, &order), scale)
        });
        let draw = Drawing { cx, site, similarity, tree: (!self.by_index).then_some(tree), order: &order };
        let side = side.max(60.0);
        if beside {
            ui.horizontal_top(|ui| {
                let hovered = ui.vertical(|ui| draw.matrix(ui, side, texture)).inner;
                ui.add_space(14.0);
                ui.vertical(|ui| draw.pair(ui, hovered, feature));
            });
        } else {
            let hovered = draw.matrix(ui, side, texture);
            draw.pair(ui, hovered, feature);
        }
    }

    fn refresh(&mut self, cx: Cx<'_>, site: &SiteAnalysis, feature: &FeatureAnalysis) {
        let (Some(results), Some(map)) = (&cx.state.results, cx.state.feature()) else { return };
        let key = (results.revision, site.site, map, self.kind, self.by_index);
        if self.cache.as_ref().is_some_and(|(held, ..)| *held == key) {
            return;
        }
        let heads = site.heads;
        let matrix = match (self.kind, &site.cka) {
            (Kind::Cosine, _) => Grid::from_fn(heads, heads, |i, j| feature.gram.cosine(i, j).unwrap_or(f64::NAN)),
            (Kind::Cka, Some(rows)) => Grid::from_rows(rows),
            _ => Grid::from_fn(heads, heads, |i, j| feature.gram.distance2(i, j).sqrt()),
        };
        let similarity = Similarity {
            caption: Caption::new(format!("Heads of {}", site.site), map.name()),
            site: site.site.to_string(),
            matrix,
            likeness: self.kind.likeness(),
            groups: feature.groups.clone(),
            kept: None,
        };
        let tree = similarity.tree();
        self.cache = Some((key, similarity, tree));
    }
}

struct Drawing<'a> {
    cx: Cx<'a>,
    site: &'a SiteAnalysis,
    similarity: &'a Similarity,
    tree: Option<&'a Tree>,
    order: &'a [usize],
}

impl Drawing<'_> {
    /// The matrix with its tree, strips and numbers; returns the pair under the pointer.
    fn matrix(&self, ui: &mut Ui, side: f32, texture: &eframe::egui::TextureHandle) -> Option<(usize, usize)> {
        let theme = self.cx.theme;
        let n = self.order.len().max(1);
        let side = ((side / n as f32).floor().max(1.0) * n as f32).min(side.max(n as f32));
        let cell = side / n as f32;
        let tree = if self.tree.is_some() { TREE } else { 4.0 };
        let left = NUMBERS + STRIP + 3.0;
        let size = vec2(left + side + 4.0, tree + STRIP + 3.0 + side + NUMBERS);
        let (outer, response) = ui.allocate_exact_size(size, Sense::click());
        let rect = Rect::from_min_size(outer.min + vec2(left, tree + STRIP + 3.0), vec2(side, side));
        let painter = ui.painter_at(outer);
        paint_texture(&painter, texture, rect);
        if let Some(tree) = self.tree {
            self.dendrogram(&painter, tree, rect, outer.top() + 4.0);
        }
        let font = FontId::proportional(if cell >= 12.0 { 11.0 } else { 9.0 });
        let stride = [1, 2, 4, 8, 16].into_iter().find(|s| *s as f32 * cell >= 13.0).unwrap_or(32);
        for (place, head) in self.order.iter().enumerate() {
            let middle = (place as f32 + 0.5) * cell;
            let fill =
                color(GroupStyle::of(theme.figure, self.similarity.groups.get(*head).copied().unwrap_or(0)).color);
            let strip = |at, size| painter.rect_filled(Rect::from_min_size(at, size), 0.0, fill);
            strip(rect.min + vec2(place as f32 * cell, -STRIP - 3.0), vec2(cell, STRIP));
            strip(rect.min + vec2(-STRIP - 3.0, place as f32 * cell), vec2(STRIP, cell));
            let kept = self.cx.state.is_kept(HeadRef::new(self.site.site, *head));
            let ink = if kept { theme.ink } else { theme.muted };
            if place % stride == 0 {
                let text = if kept { head.to_string() } else { format!("({head})") };
                let row = pos2(rect.left() - STRIP - 7.0, rect.top() + middle);
                painter.text(row, Align2::RIGHT_CENTER, &text, font.clone(), ink);
                let column = pos2(rect.left() + middle, rect.bottom() + 4.0);
                painter.text(column, Align2::CENTER_TOP, &text, font.clone(), ink);
            }
        }
        if cell >= 30.0 {
            self.numbers(&painter, rect, cell);
        }
        let pair = |at| cell_at(rect, n, n, at).and_then(|(r, c)| Some((*self.order.get(r)?, *self.order.get(c)?)));
        let hovered = response.hover_pos().and_then(pair);
        self.marks(&painter, rect, cell, hovered, theme);
        if response.clicked()
            && let Some((row, column)) = hovered
        {
            self.cx.send(Action::Select(HeadRef::new(self.site.site, row)));
            if row != column {
                self.cx.send(Action::SelectAlso(HeadRef::new(self.site.site, column)));
            }
        }
        response.widget_info(|| {
            let words = format!("{} between the heads of {}", self.similarity.likeness.label(), self.site.site);
            eframe::egui::WidgetInfo::labeled(eframe::egui::Role::Image, true, words)
        });
        if let Some((i, j)) = hovered {
            let value = Unit::Plain.format(self.similarity.matrix.get(i, j));
            response.on_hover_text_at_pointer(format!(
                "heads {i} and {j}: {} {value}",
                self.similarity.likeness.label().to_lowercase()
            ));
        }
        hovered
    }

    fn numbers(&self, painter: &Painter, rect: Rect, cell: f32) {
        let scale = self.similarity.likeness.scale(&self.similarity.matrix);
        for (r, i) in self.order.iter().enumerate() {
            for (c, j) in self.order.iter().enumerate() {
                let value = self.similarity.matrix.get(*i, *j);
                let fill = color(scale.color(value, self.cx.theme.figure.missing));
                let at = rect.min + vec2((c as f32 + 0.5) * cell, (r as f32 + 0.5) * cell);
                let text = if value.is_nan() { "–".to_owned() } else { format!("{value:.2}") };
                painter.text(at, Align2::CENTER_CENTER, text, FontId::proportional(10.0), Theme::ink_on(fill));
            }
        }
    }

    fn marks(&self, painter: &Painter, rect: Rect, cell: f32, hovered: Option<(usize, usize)>, theme: &Theme) {
        let place = |head: usize| self.order.iter().position(|h| *h == head);
        let square = |i: usize, j: usize| {
            let (Some(r), Some(c)) = (place(i), place(j)) else { return Rect::NOTHING };
            Rect::from_min_size(rect.min + vec2(c as f32 * cell, r as f32 * cell), vec2(cell, cell))
        };
        if let Some((i, j)) = hovered {
            painter.rect_stroke(square(i, j), 0.0, Stroke::new(1.5, theme.ink), StrokeKind::Outside);
        }
        if let Some((i, j)) = self.selected_pair() {
            painter.rect_stroke(square(i, j), 0.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
            painter.rect_stroke(square(j, i), 0.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
        }
    }

    fn selected_pair(&self) -> Option<(usize, usize)> {
        let mut here = self.cx.state.selection.heads.iter().filter(|h| h.site == self.site.site).map(|h| h.head);
        let first = here.next()?;
        Some((first, here.next().unwrap_or(first)))
    }

    fn dendrogram(&self, painter: &Painter, tree: &Tree, rect: Rect, top: f32) {
        let n = tree.order.len();
        let cell = rect.width() / n.max(1) as f32;
        let base = rect.top() - STRIP - 5.0;
        let highest = tree.joins.iter().map(|j| j.height).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let level = |height: f64| base - (base - top) * (height / highest) as f32;
        let mut nodes: Vec<(f32, f32)> = vec![(0.0, base); n];
        for (place, leaf) in tree.order.iter().enumerate() {
            if let Some(node) = nodes.get_mut(*leaf) {
                *node = (rect.left() + (place as f32 + 0.5) * cell, base);
            }
        }
        let stroke = Stroke::new(1.0, self.cx.theme.outline);
        for join in &tree.joins {
            let (Some(a), Some(b)) = (nodes.get(join.left).copied(), nodes.get(join.right).copied()) else { return };
            let y = level(join.height);
            painter.vline(a.0, y..=a.1, stroke);
            painter.vline(b.0, y..=b.1, stroke);
            painter.hline(a.0.min(b.0)..=a.0.max(b.0), y, stroke);
            nodes.push(((a.0 + b.0) / 2.0, y));
        }
    }

    /// The two heads under the pointer, else those selected.
    fn pair(&self, ui: &mut Ui, hovered: Option<(usize, usize)>, feature: &FeatureAnalysis) {
        let theme = self.cx.theme;
        heading(ui, theme, "Pair");
        let Some((i, j)) = hovered.or(self.selected_pair()) else {
            note(ui, theme, "Point at a cell to compare two heads, click to hold them");
            return;
        };
        let gram = &feature.gram;
        let plain = |v: f64| Unit::Plain.format(v);
        facts(ui, "pair", |ui| {
            fact(ui, theme, "Heads", if i == j { i.to_string() } else { format!("{i} and {j}") });
            let group = |h: usize| feature.groups.get(h).copied().unwrap_or(0);
            let groups =
                if group(i) == group(j) { group(i).to_string() } else { format!("{} and {}", group(i), group(j)) };
            fact(ui, theme, "Groups", groups);
            fact(ui, theme, "Cosine", plain(gram.cosine(i, j).unwrap_or(f64::NAN)));
            fact(ui, theme, "Distance", plain(gram.distance2(i, j).sqrt()));
            if let Some(cka) = self.site.cka.as_ref().and_then(|m| m.get(i)?.get(j).copied()) {
                fact(ui, theme, "CKA", plain(cka));
            }
            fact(ui, theme, "Norms", format!("{}, {}", plain(gram.norm2(i).sqrt()), plain(gram.norm2(j).sqrt())));
            let votes = |h: usize| self.site.votes.get(h).copied().unwrap_or(0);
            fact(ui, theme, "Votes", format!("{}, {}", votes(i), votes(j)));
        });
    }
}
