//! Where heads look: attention weights over the tokens or the patches of one input.

mod matrix;
mod patches;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{self, DragValue, RichText, ScrollArea, TextEdit, Ui, Vec2};
use serde::{Deserialize, Serialize};

use super::shown::{Draw, Made, PictureKey};
use crate::chart::{AttentionMaps, AttentionPanel, Caption, Grid, Picture, Unit};
use crate::error::{Error, Result};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::MOST_PATTERNS;
use crate::gui::state::State;
use crate::gui::theme::STRONG;
use crate::gui::widgets::{MatrixTexture, Swatch, choice, color_bar, empty, note, swatch};
use crate::gui::wording::worded;
use crate::network::{Head, Site};
use crate::run::AttentionInput;

/// Which colors span which weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Range {
    /// From 0 to the largest weight of each head.
    #[default]
    Head,
    /// From 0 to the largest weight of all heads shown.
    All,
}

/// Which heads have a picture of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Show {
    #[default]
    Heads,
    /// None: the mean of those of a layer.
    Mean,
}

/// How an image's patches are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Over {
    /// Over the image, for one query.
    #[default]
    Image,
    Matrix,
}

/// What the attention view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attention {
    text: String,
    range: Range,
    show: Show,
    over: Over,
    /// The query whose weights lie over an image.
    #[serde(skip)]
    query: usize,
    #[serde(skip)]
    textures: Vec<PanelTexture>,
}

/// Textures change with the picture and with the theme.
type PanelTexture = MatrixTexture<(Made, &'static str)>;

/// Text, range, heads or their mean, image or matrix.
pub(super) type AttentionChoice = (String, Range, Show, Over);

impl Attention {
    /// A text of one model may hold what another cannot read.
    pub(super) fn forget_model(&mut self) {
        self.text.clear();
        self.query = 0;
    }

    /// What a person chose.
    pub(super) fn chosen(&self) -> AttentionChoice {
        (self.text.clone(), self.range, self.show, self.over)
    }

    /// What its picture is made of.
    pub(super) fn key(&self, state: &State) -> PictureKey {
        let options = [self.range as usize * 2 + self.show as usize, self.over as usize, self.query];
        PictureKey { patterns: state.patterns.as_ref().map(|(key, _)| key.clone()), options, ..PictureKey::default() }
    }

    /// What makes its picture.
    pub(super) fn picture(&self, state: &State) -> Result<Draw> {
        let nothing = || Error::new("no attention is shown").hint("open the attention view and choose an input");
        let (_, patterns) = state.patterns.as_ref().ok_or_else(nothing)?;
        let (patterns, shown) = (Arc::clone(patterns), input_words(&state.shown));
        let (show, over, each_own_range, query) = (self.show, self.over, self.range == Range::Head, self.query);
        Ok(Box::new(move || {
            let words = |of: &BTreeMap<Site, Vec<String>>| -> BTreeMap<Site, Arc<Vec<String>>> {
                of.iter().map(|(site, words)| (*site, Arc::new(words.clone()))).collect()
            };
            let (queries, keys) = (words(&patterns.queries), words(&patterns.keys));
            let panel = |site: Site, head: Option<usize>, weights: Grid| AttentionPanel {
                site,
                head,
                queries: queries.get(&site).cloned().unwrap_or_default(),
                keys: keys.get(&site).cloned().unwrap_or_default(),
                weights,
            };
            let panels: Vec<AttentionPanel> = match show {
                Show::Heads => patterns.weights.iter().map(|(h, g)| panel(h.site, Some(h.head), g.clone())).collect(),
                Show::Mean => patterns.means().into_iter().map(|(site, grid)| panel(site, None, grid)).collect(),
            };
            let mut sites: Vec<String> = panels.iter().map(|p| p.site.to_string()).collect();
            sites.dedup();
            let image = patterns.image.clone().filter(|_| over == Over::Image).map(|image| (image, query));
            let caption = Caption::new(format!("Attention of {}", sites.join(", ")), shown);
            Ok(Picture::Attention(AttentionMaps { caption, panels, each_own_range, image }))
        }))
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: Option<&Made>) {
        let state = cx.state;
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        if !matches!(state.checked, Some(Ok(_))) {
            let text = "Attention is computed on what the model reads: choose an input on the left";
            empty(ui, cx, "There is no input", text, Some((Command::ChooseInput, "Choose input…")));
            return;
        }
        if let Some(error) = &state.pattern_fault {
            ui.label(RichText::new(worded(error)).color(cx.theme.danger));
        }
        match made.map(|made| (made, &**made)) {
            Some((made, Picture::Attention(maps))) if state.patterns.is_some() => self.panels_ui(ui, cx, made, maps),
            _ if state.pattern_fault.is_none() => note(ui, cx.theme, "Computing …"),
            _ => {}
        }
    }

    fn panels_ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: &Made, maps: &AttentionMaps) {
        let panels = &maps.panels;
        let image = maps.image.as_ref().map(|(image, _)| image);
        ui.horizontal_wrapped(|ui| self.legend(ui, cx, maps));
        ui.add_space(4.0);
        let shape = match image {
            Some(image) => image.columns as f32 / image.rows as f32,
            None => panels.first().map_or(1.0, |p| p.weights.cols() as f32 / p.weights.rows() as f32),
        };
        let (room, count) = (ui.available_size() - egui::vec2(12.0, 6.0), panels.len());
        let most = (((room.x + GAP) / (SMALLEST + GAP)) as usize).clamp(1, count);
        let columns = (1..=most).max_by(|a, b| {
            // Full rows look better than a little more size.
            let bonus = |n: usize| if count.is_multiple_of(n) { 1.05 } else { 1.0 };
            let [a, b] = [a, b].map(|n| fit(room, count, *n, shape).x * bonus(*n));
            a.total_cmp(&b)
        });
        let columns = columns.unwrap_or(1);
        let each = fit(room, count, columns, shape).max(egui::vec2(SMALLEST, SMALLEST / shape.clamp(0.5, 2.0) + TITLE));
        self.textures.resize_with(panels.len(), PanelTexture::default);
        let mut chosen = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing = egui::vec2(GAP, GAP);
            let rows = panels.chunks(columns).zip(self.textures.chunks_mut(columns));
            for (row, textures) in rows {
                ui.horizontal_top(|ui| {
                    for (panel, texture) in row.iter().zip(textures) {
                        let drawn =
                            PanelView { cx, maps, panel, key: (made.clone(), cx.theme.figure.name), size: each };
                        match &maps.image {
                            Some((image, query)) => chosen = drawn.over(ui, image, *query, texture).or(chosen),
                            None => drawn.matrix(ui, texture),
                        }
                    }
                });
            }
        });
        self.query = chosen.unwrap_or(self.query);
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        let index = match &cx.state.shown {
            AttentionInput::Nth(index) => Some(*index),
            AttentionInput::Text(_) => None,
        };
        let label = ui.label(RichText::new("Input").color(theme.muted));
        let now = index.unwrap_or(0);
        if ui.add_enabled(now > 0, egui::Button::new("Previous")).clicked() {
            cx.send(Action::ShowInput(AttentionInput::Nth(now - 1)));
        }
        let mut number = now + 1;
        if ui.add(DragValue::new(&mut number).range(1..=1_000_000)).labelled_by(label.id).changed() {
            cx.send(Action::ShowInput(AttentionInput::Nth(number - 1)));
        }
        if ui.button("Next").clicked() {
            cx.send(Action::ShowInput(AttentionInput::Nth(now + 1)));
        }
        let patterns = cx.state.patterns.as_ref().map(|(_, patterns)| patterns);
        let has_image = patterns.is_some_and(|p| p.image.is_some());
        if !has_image {
            let label = ui.label(RichText::new("or text").color(theme.muted));
            let hint = "Type a text and press Enter";
            let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(210.0));
            let field = field.labelled_by(label.id);
            if field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) && !self.text.trim().is_empty() {
                cx.send(Action::ShowInput(AttentionInput::Text(self.text.clone())));
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
            (Range::All, "The same", "The same colors for all heads"),
        ];
        choice(ui, cx, "Colors", &mut self.range, &ranges);
    }

    fn legend(&mut self, ui: &mut Ui, cx: Cx<'_>, maps: &AttentionMaps) {
        let theme = cx.theme;
        ui.label(RichText::new("Attention weight").small().color(theme.muted));
        let (scale, is_share) = maps.legend_scale();
        color_bar(ui, theme, &scale, if is_share { Unit::Share } else { Unit::Plain }, None);
        if is_share {
            note(ui, theme, "of the head's largest");
        }
        if maps.panels.iter().any(|p| p.weights.has_missing()) {
            swatch(ui, theme, Swatch::Outlined(theme.panel), "may not be seen");
        }
        ui.add_space(8.0);
        if let Some((image, query)) = &maps.image {
            ui.label(RichText::new("Query").small().color(theme.muted));
            for (token, name) in ["class", "distillation"].into_iter().enumerate().take(image.leading) {
                let on = *query == token;
                if ui.add(egui::Button::selectable(on, RichText::new(name).small())).clicked() {
                    self.query = token;
                }
            }
            if let Some((row, column)) = image.patch(*query) {
                note(ui, theme, format!("patch in row {row}, column {column}"));
            } else {
                note(ui, theme, "or click a patch");
            }
        }
        if let Some(panel) = maps.panels.iter().max_by_key(|p| p.block()).filter(|p| p.block() != [1, 1]) {
            let ([down, across], tokens) = (panel.block(), panel.queries.len().max(panel.keys.len()));
            note(ui, theme, format!("{tokens} tokens: each cell is the largest weight of {down} x {across}"));
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
const GAP: f32 = 14.0;
/// Height of the name over a panel.
const TITLE: f32 = 20.0;

fn input_words(shown: &AttentionInput) -> String {
    match shown {
        AttentionInput::Nth(index) => format!("input {}", index + 1),
        AttentionInput::Text(text) => text.clone(),
    }
}

/// Size of each panel when `count` of them stand in `columns`; `shape` is width by height without the name.
fn fit(room: Vec2, count: usize, columns: usize, shape: f32) -> Vec2 {
    let rows = count.div_ceil(columns);
    let most = egui::vec2((room.x + GAP) / columns as f32 - GAP, (room.y + GAP) / rows as f32 - GAP - TITLE);
    let width = most.x.min(most.y * shape).max(1.0);
    egui::vec2(width, width / shape.max(1e-3) + TITLE)
}

/// One panel on its way to the screen.
struct PanelView<'a> {
    cx: Cx<'a>,
    maps: &'a AttentionMaps,
    panel: &'a AttentionPanel,
    key: (Made, &'static str),
    size: Vec2,
}

impl PanelView<'_> {
    /// The name over the panel.
    fn title(&self, ui: &Ui, at: egui::Pos2) {
        let panel = self.panel;
        let font = egui::FontId::new(12.0, egui::FontFamily::Name(STRONG.into()));
        let name = ui.painter().text(at, egui::Align2::LEFT_TOP, panel.name(), font, self.cx.theme.ink);
        let is_pruned = panel.head.is_some_and(|h| !self.cx.state.is_kept(Head::new(panel.site, h)));
        if is_pruned {
            let (at, font) = (name.right_center() + egui::vec2(6.0, 0.0), egui::FontId::proportional(11.0));
            ui.painter().text(at, egui::Align2::LEFT_CENTER, "pruned", font, self.cx.theme.muted);
        }
    }
}
