//! Where heads look: attention weights over the tokens or the patches of one input.

mod matrix;
mod patches;
mod words;

use std::collections::BTreeMap;

use eframe::egui::{self, DragValue, RichText, ScrollArea, TextEdit, Ui, Vec2};
use serde::{Deserialize, Serialize};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::command::Command;
use super::super::dispatch::MOST_PATTERNS;
use super::super::jobs::AttentionKey;
use super::super::state::State;
use super::super::theme::STRONG;
use super::super::widgets::{Mark, MatrixTexture, choice, color_bar, empty, note, swatch};
use super::{Draw, Key};
use crate::chart::{AttentionMaps, AttentionPanel, Caption, ColorMap, Grid, Picture, Scale, Unit};
use crate::error::{Error, Result};
use crate::network::Site;
use crate::run::{Patterns, Shown};

/// Which colours span which weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Range {
    /// From 0 to the largest weight of each head.
    #[default]
    Head,
    /// From 0 to the largest weight of all heads shown.
    All,
}

/// Which heads have a picture of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Show {
    /// Each of them.
    #[default]
    Heads,
    /// None: the mean of those of a layer.
    Mean,
}

/// How an image's patches are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Over {
    /// Over the image, for one query.
    #[default]
    Image,
    /// Queries by keys.
    Matrix,
}

/// What the attention view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attention {
    text: String,
    range: Range,
    show: Show,
    over: Over,
    /// The query whose weights lie over an image.
    #[serde(skip)]
    query: usize,
    #[serde(skip)]
    textures: BTreeMap<(Site, Option<usize>), MatrixTexture>,
    #[serde(skip)]
    means: Option<(AttentionKey, BTreeMap<Site, Grid>)>,
}

/// The weights of one head, or the mean of several.
struct Panel<'a> {
    site: Site,
    head: Option<usize>,
    weights: &'a Grid,
    scale: Scale,
}

impl Panel<'_> {
    fn name(&self) -> String {
        self.head.map_or_else(|| format!("{} mean of the heads", self.site), |h| format!("{} head {h}", self.site))
    }
}

impl Attention {
    /// What its picture is made of.
    pub fn key(&self, state: &State) -> Key {
        let options = [self.range as usize * 2 + self.show as usize, self.over as usize, self.query];
        Key { patterns: state.patterns.as_ref().map(|(key, _)| key.clone()), options, ..Key::default() }
    }

    /// What makes its picture.
    pub fn picture(&self, state: &State) -> Result<Draw> {
        let nothing = || Error::new("no attention is shown").hint("open the attention view and choose an input");
        let (_, patterns) = state.patterns.as_ref().ok_or_else(nothing)?;
        let means = patterns.means();
        let panels = self.panels(patterns, &means);
        let site = panels.first().map(|p| p.site).ok_or_else(nothing)?;
        let panel =
            |p: &Panel<'_>| AttentionPanel { site: p.site.to_string(), head: p.head, weights: p.weights.clone() };
        let image = patterns.image.clone().filter(|_| self.over == Over::Image);
        let maps = AttentionMaps {
            caption: Caption::new(format!("Attention of {site}"), input_words(&state.shown)),
            queries: patterns.queries.get(&site).cloned().unwrap_or_default(),
            keys: patterns.keys.get(&site).cloned().unwrap_or_default(),
            // Tokens are those of one layer.
            panels: panels.iter().filter(|p| p.site == site).map(panel).collect(),
            each_own_range: self.range == Range::Head,
            image: image.map(|image| (image, self.query)),
        };
        Ok(Box::new(move || Ok(Picture::Attention(maps))))
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let state = cx.state;
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        if !matches!(state.checked, Some(Ok(_))) {
            let text = "Attention is computed on what the model reads: choose an input on the left";
            empty(ui, cx, "There is no input", text, Some((Command::ChooseInput, "Choose input…")));
            return;
        }
        if let Some(error) = &state.pattern_fault {
            ui.label(RichText::new(error.to_string()).color(cx.theme.danger));
        }
        let Some((key, patterns)) = &state.patterns else {
            if state.pattern_fault.is_none() {
                note(ui, cx.theme, "Computing …");
            }
            return;
        };
        if self.means.as_ref().is_none_or(|(held, _)| held != key) {
            self.means = Some((key.clone(), patterns.means()));
        }
        let means = self.means.take();
        if let Some((_, means)) = &means {
            self.panels_ui(ui, cx, key, patterns, means);
        }
        self.means = means;
    }

    fn panels_ui(
        &mut self,
        ui: &mut Ui,
        cx: Cx<'_>,
        key: &AttentionKey,
        patterns: &Patterns,
        means: &BTreeMap<Site, Grid>,
    ) {
        let panels = self.panels(patterns, means);
        let image = patterns.image.as_ref().filter(|_| self.over == Over::Image);
        ui.horizontal_wrapped(|ui| self.legend(ui, cx, patterns, &panels));
        ui.add_space(4.0);
        let shape = match image {
            Some(image) => image.columns as f32 / image.rows.max(1) as f32,
            None => panels.first().map_or(1.0, |p| p.weights.cols().max(1) as f32 / p.weights.rows().max(1) as f32),
        };
        let (room, count) = (ui.available_size() - egui::vec2(12.0, 6.0), panels.len().max(1));
        let most = (((room.x + GAP) / (SMALLEST + GAP)) as usize).clamp(1, count);
        let columns = (1..=most).max_by(|a, b| {
            // Full rows look better than a little more size.
            let bonus = |n: usize| if count.is_multiple_of(n) { 1.05 } else { 1.0 };
            let [a, b] = [a, b].map(|n| fit(room, count, *n, shape).x * bonus(*n));
            a.total_cmp(&b)
        });
        let columns = columns.unwrap_or(1);
        let each = fit(room, count, columns, shape).max(egui::vec2(SMALLEST, SMALLEST / shape.clamp(0.5, 2.0) + TITLE));
        let held: Vec<_> = panels.iter().map(|p| (p.site, p.head)).collect();
        self.textures.retain(|panel, _| held.contains(panel));
        let mut chosen = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing = egui::vec2(GAP, GAP);
            for row in panels.chunks(columns) {
                ui.horizontal_top(|ui| {
                    for panel in row {
                        let texture = self.textures.entry((panel.site, panel.head)).or_default();
                        let key = (format!("{key:?}"), panel.head, self.range, self.show, cx.theme.figure.name);
                        match image {
                            Some(image) => {
                                chosen = patches::ui(ui, cx, panel, image, patterns, self.query, texture, (key, each))
                                    .or(chosen);
                            }
                            None => matrix::ui(ui, cx, panel, patterns, texture, (key, each)),
                        }
                    }
                });
            }
        });
        self.query = chosen.unwrap_or(self.query);
    }

    /// What is drawn, in order.
    fn panels<'a>(&self, patterns: &'a Patterns, means: &'a BTreeMap<Site, Grid>) -> Vec<Panel<'a>> {
        let all: Vec<(Site, Option<usize>, &Grid)> = match self.show {
            Show::Heads => patterns.weights.iter().map(|(h, grid)| (h.site, Some(h.head), grid)).collect(),
            Show::Mean => means.iter().map(|(site, grid)| (*site, None, grid)).collect(),
        };
        let over = patterns.image.is_some() && self.over == Over::Image;
        let high = |grid: &Grid| {
            // Over an image only the weights of one query are seen.
            let row = Grid::from_fn(1, grid.cols(), |_, c| grid.get(self.query, c));
            let range = if over { row.range() } else { grid.range() };
            range.map_or(1.0, |(_, high)| high.max(1e-9))
        };
        let most = all.iter().map(|(.., grid)| high(grid)).fold(1e-9, f64::max);
        let scale =
            |grid: &Grid| Scale::new(ColorMap::Viridis, 0.0, if self.range == Range::Head { high(grid) } else { most });
        all.into_iter().map(|(site, head, weights)| Panel { site, head, weights, scale: scale(weights) }).collect()
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        let index = match &cx.state.shown {
            Shown::Nth(index) => Some(*index),
            Shown::Text(_) => None,
        };
        let label = ui.label(RichText::new("Input").color(theme.muted));
        let now = index.unwrap_or(0);
        if ui.add_enabled(now > 0, egui::Button::new("Previous")).clicked() {
            cx.send(Action::ShowInput(Shown::Nth(now - 1)));
        }
        let mut number = now + 1;
        if ui.add(DragValue::new(&mut number).range(1..=1_000_000)).labelled_by(label.id).changed() {
            cx.send(Action::ShowInput(Shown::Nth(number - 1)));
        }
        if ui.button("Next").clicked() {
            cx.send(Action::ShowInput(Shown::Nth(now + 1)));
        }
        let patterns = cx.state.patterns.as_ref().map(|(_, patterns)| patterns);
        let has_image = patterns.is_some_and(|p| p.image.is_some());
        if !has_image {
            let label = ui.label(RichText::new("or text").color(theme.muted));
            let hint = "Type a text and press Enter";
            let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(210.0));
            let field = field.labelled_by(label.id);
            if field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) && !self.text.trim().is_empty() {
                cx.send(Action::ShowInput(Shown::Text(self.text.clone())));
            }
        }
        let shows =
            [(Show::Heads, "Heads", "Each head by itself"), (Show::Mean, "Mean", "The mean of the heads of a layer")];
        choice(ui, cx, "Show", &mut self.show, &shows);
        if has_image {
            let ways = [
                (
                    Over::Image,
                    "On the image",
                    "What one query looks at, over the image; click a patch to ask for another",
                ),
                (Over::Matrix, "As a matrix", "Queries by keys"),
            ];
            choice(ui, cx, "", &mut self.over, &ways);
        }
        let ranges = [
            (Range::Head, "Each its own", "Each head from 0 to its largest weight"),
            (Range::All, "The same", "The same colours for all heads"),
        ];
        choice(ui, cx, "Colours", &mut self.range, &ranges);
    }

    fn legend(&mut self, ui: &mut Ui, cx: Cx<'_>, patterns: &Patterns, panels: &[Panel<'_>]) {
        let theme = cx.theme;
        ui.label(RichText::new("Attention weight").small().color(theme.muted));
        match (self.range, panels) {
            (Range::Head, [_, _, ..]) => {
                let share = Scale::new(ColorMap::Viridis, 0.0, 1.0);
                color_bar(ui, theme, &share, Unit::Share, None);
                note(ui, theme, "of the head's largest");
            }
            (_, panels) => {
                let scale = panels.first().map_or(Scale::new(ColorMap::Viridis, 0.0, 1.0), |p| p.scale);
                color_bar(ui, theme, &scale, Unit::Plain, None);
            }
        }
        if panels.iter().any(|p| p.weights.has_missing()) {
            swatch(ui, theme, Mark::Outlined(theme.panel), "may not be seen");
        }
        ui.add_space(8.0);
        if let Some(image) = patterns.image.as_ref().filter(|_| self.over == Over::Image) {
            ui.label(RichText::new("Query").small().color(theme.muted));
            for (token, name) in ["class", "distillation"].into_iter().enumerate().take(image.leading) {
                let on = self.query == token;
                if ui.add(egui::Button::selectable(on, RichText::new(name).small())).clicked() {
                    self.query = token;
                }
            }
            if let Some((row, column)) = image.patch(self.query) {
                note(ui, theme, format!("patch in row {row}, column {column}"));
            } else {
                note(ui, theme, "or click a patch");
            }
        }
        let longest = |of: &BTreeMap<Site, Vec<String>>| of.values().map(Vec::len).max().unwrap_or(0);
        let (tokens, cells) = (
            longest(&patterns.queries).max(longest(&patterns.keys)),
            panels.iter().map(|p| p.weights.rows().max(p.weights.cols())).max().unwrap_or(0),
        );
        if tokens > cells && cells > 0 {
            let block = tokens.div_ceil(cells);
            note(ui, theme, format!("{tokens} tokens: each cell is the largest weight of {block} x {block}"));
        }
        let wanted = cx.state.attention_heads().count();
        if wanted > MOST_PATTERNS {
            note(ui, theme, format!("the first {MOST_PATTERNS} of {wanted} heads; select those to see"));
        } else if cx.state.selection.heads.is_empty() {
            note(ui, theme, "all heads of the layer; select some in the overview to see those");
        }
    }
}

/// Least width of a panel.
const SMALLEST: f32 = 150.0;
/// Room between panels.
const GAP: f32 = 14.0;
/// Height of the name over a panel.
const TITLE: f32 = 20.0;

fn input_words(shown: &Shown) -> String {
    match shown {
        Shown::Nth(index) => format!("input {}", index + 1),
        Shown::Text(text) => text.clone(),
    }
}

/// Size of each panel when `count` of them stand in `columns`; `shape` is width by height without the name.
fn fit(room: Vec2, count: usize, columns: usize, shape: f32) -> Vec2 {
    let rows = count.div_ceil(columns);
    let most = egui::vec2((room.x + GAP) / columns as f32 - GAP, (room.y + GAP) / rows as f32 - GAP - TITLE);
    let width = most.x.min(most.y * shape).max(1.0);
    egui::vec2(width, width / shape.max(1e-3) + TITLE)
}

/// The name over a panel.
fn title(ui: &Ui, cx: Cx<'_>, at: egui::Pos2, panel: &Panel<'_>) {
    let font = egui::FontId::new(12.0, egui::FontFamily::Name(STRONG.into()));
    let name = ui.painter().text(at, egui::Align2::LEFT_TOP, panel.name(), font, cx.theme.ink);
    let is_pruned = panel.head.is_some_and(|h| !cx.state.is_kept(crate::network::Head::new(panel.site, h)));
    if is_pruned {
        let at = name.right_center() + egui::vec2(6.0, 0.0);
        ui.painter().text(at, egui::Align2::LEFT_CENTER, "pruned", egui::FontId::proportional(11.0), cx.theme.muted);
    }
}
