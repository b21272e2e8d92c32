//! Where heads look: attention weights over the tokens of one input.

use std::collections::BTreeMap;

use eframe::egui::{
    self, Align2, DragValue, FontId, Rect, RichText, ScrollArea, Sense, TextEdit, Ui, WidgetInfo, pos2, vec2,
};
use serde::{Deserialize, Serialize};

use super::super::action::Action;
use super::super::app::Cx;
use super::super::command::Command;
use super::super::dispatch::MOST_PATTERNS;
use super::super::state::State;
use super::super::theme::Theme;
use super::super::widgets::{MatrixTexture, cell_at, choice, color_bar, empty, note, paint_texture};
use super::Draw;
use crate::error::{Error, Result};
use crate::figure::views::{AttentionMaps, AttentionPanel};
use crate::figure::{self, Caption, ColorMap, Grid, Scale, Unit};
use crate::workspace::HeadRef;
use crate::workspace::job::{Patterns, Shown};

/// Which colours span which weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Range {
    /// From 0 to the largest weight of each head.
    #[default]
    Head,
    /// From 0 to 1 for all.
    Whole,
}

/// What the attention view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attention {
    text: String,
    range: Range,
    #[serde(skip)]
    textures: BTreeMap<HeadRef, MatrixTexture>,
}

impl Attention {
    /// What draws its picture.
    pub fn picture(&self, state: &State, theme: &'static figure::Theme) -> Result<Draw> {
        let Some((_, patterns)) = &state.patterns else {
            return Err(Error::new("no attention is shown").hint("select heads and open the attention view"));
        };
        let Some(first) = patterns.weights.keys().next() else {
            return Err(Error::new("no attention is shown").hint("select heads"));
        };
        let site = first.site;
        let panels = patterns.weights.iter().filter(|(h, _)| h.site == site);
        let panel = |(head, weights): (&HeadRef, &Grid)| AttentionPanel {
            site: head.site.to_string(),
            head: head.head,
            weights: weights.clone(),
        };
        let maps = AttentionMaps {
            caption: Caption::new(format!("Attention of {site}"), input_words(&state.shown)),
            queries: patterns.queries.get(&site).cloned().unwrap_or_default(),
            keys: patterns.keys.get(&site).cloned().unwrap_or_default(),
            panels: panels.map(panel).collect(),
        };
        Ok(Box::new(move || Ok(maps.figure(theme))))
    }

    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        ui.add_space(4.0);
        let state = cx.state;
        if !matches!(state.checked, Some(Ok(_))) {
            let text = "Attention is computed on what the model reads: choose an input on the left";
            empty(ui, cx, "There is no input", text, Some((Command::ChooseInput, "Choose input…")));
            return;
        }
        if state.selection.heads.is_empty() {
            let text = "Select up to 16 heads in the overview, or all of this layer";
            empty(ui, cx, "No head is selected", text, Some((Command::SelectSite, "Select the layer")));
            return;
        }
        if let Some(error) = &state.pattern_fault {
            ui.label(RichText::new(error.to_string()).color(cx.theme.danger));
        }
        let Some((key, patterns)) = &state.patterns else {
            note(ui, cx.theme, "Computing …");
            return;
        };
        self.textures.retain(|head, _| patterns.weights.contains_key(head));
        let heads: Vec<HeadRef> = patterns.weights.keys().copied().collect();
        let (room, count) = (ui.available_size(), heads.len().max(1));
        let columns =
            (1..=count).rev().max_by(|a, b| side(room, count, *a).total_cmp(&side(room, count, *b))).unwrap_or(1);
        let each = side(room, count, columns).max(150.0);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            for row in heads.chunks(columns) {
                ui.horizontal_top(|ui| {
                    for head in row {
                        let Some(grid) = patterns.weights.get(head) else { continue };
                        let scale = match self.range {
                            Range::Whole => Scale::new(ColorMap::Viridis, 0.0, 1.0),
                            Range::Head => {
                                let high = grid.range().map_or(1.0, |(_, high)| high);
                                Scale::new(ColorMap::Viridis, 0.0, high.max(1e-9))
                            }
                        };
                        let texture = self.textures.entry(*head).or_default();
                        let key = (format!("{:?}", key.0), self.range, cx.theme.figure.name, grid.rows());
                        let texture = texture.get(ui, (key, head), cx.theme.figure.missing, || (grid.clone(), scale));
                        panel_ui(ui, cx, *head, patterns, grid, scale, texture, each);
                    }
                });
            }
        });
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
        let label = ui.label(RichText::new("or text").color(theme.muted));
        let hint = "Type a text and press Enter";
        let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(250.0));
        let field = field.labelled_by(label.id);
        if field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) && !self.text.trim().is_empty() {
            cx.send(Action::ShowInput(Shown::Text(self.text.clone())));
        }
        let ranges = [
            (Range::Head, "Per head", "Each head from 0 to its largest weight"),
            (Range::Whole, "0 to 1", "The same colours for all heads"),
        ];
        choice(ui, cx, "Colours", &mut self.range, &ranges);
        let selected = cx.state.selection.heads.len();
        if selected > MOST_PATTERNS {
            note(ui, theme, format!("the first {MOST_PATTERNS} of {selected} selected heads"));
        }
    }
}

fn input_words(shown: &Shown) -> String {
    match shown {
        Shown::Nth(index) => format!("input {}", index + 1),
        Shown::Text(text) => text.clone(),
    }
}

/// Side of each panel when `count` of them stand in `columns`.
fn side(room: egui::Vec2, count: usize, columns: usize) -> f32 {
    let rows = count.div_ceil(columns);
    (room.x / columns as f32 - 10.0).min(room.y / rows as f32 - 10.0)
}

#[expect(clippy::too_many_arguments, reason = "one panel with its data, colours and size")]
fn panel_ui(
    ui: &mut Ui,
    cx: Cx<'_>,
    head: HeadRef,
    patterns: &Patterns,
    grid: &Grid,
    scale: Scale,
    texture: &egui::TextureHandle,
    each: f32,
) {
    let theme = cx.theme;
    let none = Vec::new();
    let queries = patterns.queries.get(&head.site).unwrap_or(&none);
    let keys = patterns.keys.get(&head.site).unwrap_or(&none);
    let (outer, response) = ui.allocate_exact_size(vec2(each, each), Sense::hover());
    let painter = ui.painter_at(outer);
    let title = 20.0;
    let font = FontId::proportional(10.0);
    // Tokens are written where a row has room for them.
    let with_names = |words: &[String]| words.len() == grid.rows().max(1) || words.len() == grid.cols().max(1);
    let longest = queries.iter().chain(keys).map(|t| shown(t).chars().count()).max().unwrap_or(1).min(12);
    let names = 10.0 + longest as f32 * 5.6;
    let room = each - title - names - 18.0;
    let tall = room / grid.rows().max(grid.cols()).max(1) as f32;
    let has_names = tall >= 9.0 && with_names(queries) && with_names(keys);
    let offset = if has_names { names } else { 22.0 };
    let room = each - title - offset - 6.0;
    let (rows, cols) = (grid.rows().max(1) as f32, grid.cols().max(1) as f32);
    let cell = room / rows.max(cols);
    let rect = Rect::from_min_size(outer.min + vec2(offset, title + offset), vec2(cell * cols, cell * rows));
    let heading = format!("{head}{}", if cx.state.is_kept(head) { "" } else { " (pruned)" });
    painter.text(outer.min + vec2(2.0, 2.0), Align2::LEFT_TOP, heading, FontId::proportional(12.0), theme.ink);
    paint_texture(&painter, texture, rect);
    if has_names {
        for (row, token) in queries.iter().enumerate() {
            let at = pos2(rect.left() - 4.0, rect.top() + (row as f32 + 0.5) * cell);
            painter.text(at, Align2::RIGHT_CENTER, shown(token), font.clone(), theme.muted);
        }
        for (column, token) in keys.iter().enumerate() {
            let at = pos2(rect.left() + (column as f32 + 0.5) * cell, rect.top() - 4.0);
            upright(&painter, at, &shown(token), font.clone(), theme);
        }
    } else {
        let middle = painter.layout_no_wrap("query".to_owned(), font.clone(), theme.muted).size().x / 2.0;
        upright(&painter, rect.left_center() + vec2(-10.0, middle), "query", font.clone(), theme);
        painter.text(rect.center_top() - vec2(0.0, 4.0), Align2::CENTER_BOTTOM, "key", font, theme.muted);
    }
    let under = response.hover_pos().and_then(|at| cell_at(rect, grid.rows(), grid.cols(), at));
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Attention of {head}")));
    let Some((row, column)) = under else {
        response.on_hover_ui(|ui| color_bar(ui, theme, &scale, Unit::Plain, None));
        return;
    };
    let name = |words: &[String], place: usize, cells: usize| {
        let per = words.len().div_ceil(cells.max(1)).max(1);
        words.get(place * per).map_or_else(|| place.to_string(), |w| format!("{} ({})", shown(w), place * per))
    };
    let (query, key) = (name(queries, row, grid.rows()), name(keys, column, grid.cols()));
    let value = grid.get(row, column);
    let weight = if value.is_nan() { "not visible".to_owned() } else { Unit::Plain.format(value) };
    response.on_hover_text_at_pointer(format!("{query} looks at {key}: {weight}"));
}

/// A word that reads upwards and ends at `at`.
fn upright(painter: &egui::Painter, at: egui::Pos2, text: &str, font: FontId, theme: &Theme) {
    let galley = painter.layout_no_wrap(text.to_owned(), font, theme.muted);
    let middle = galley.size().y / 2.0;
    let shape = egui::epaint::TextShape::new(at - vec2(middle, 0.0), galley, theme.muted);
    painter.add(shape.with_angle(-std::f32::consts::FRAC_PI_2));
}

/// A token that any font can draw, shortened where it is long.
fn shown(token: &str) -> String {
    let mut text = String::new();
    for (place, c) in token.chars().enumerate() {
        if place == 11 {
            text.push('…');
            break;
        }
        match c {
            // Byte-level vocabularies write a leading space so, sentence pieces so.
            'Ġ' | '▁' => text.push('·'),
            'Ċ' => text.push_str("\\n"),
            c if c.is_ascii_graphic() || (c.is_alphabetic() && (c as u32) < 0x250) || c == ' ' => text.push(c),
            c => text.push_str(&format!("\\u{:x}", c as u32)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_no_font_has_are_escaped() {
        assert_eq!(shown("Ġthe"), "·the");
        assert_eq!(shown("▁naïve"), "·naïve");
        assert_eq!(shown("漢"), "\\u6f22");
        assert_eq!(shown("abcdefghijklmnop"), "abcdefghijk…");
    }
}
