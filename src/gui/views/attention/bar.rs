//! What is shown of which input, and what the colors mean.

use eframe::egui::{self, ComboBox, DragValue, RichText, TextEdit, Ui};

use super::{Attention, Over, Show};
use crate::chart::{AttentionMaps, ColorRange, Tone, Unit};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::jobs::MOST_PATTERNS;
use crate::gui::messages::sentence;
use crate::gui::widgets::{Swatch, choice, color_bar, drag_value, note, swatch};
use crate::run::AttentionInput;
use crate::words::counted;

impl Attention {
    pub(super) fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        layer(ui, cx);
        self.input(ui, cx);
        let patterns = cx.state.patterns.as_ref().map(|(_, patterns)| patterns);
        let has_image = patterns.is_some_and(|p| p.image.is_some());
        if !has_image {
            let label = ui.label(RichText::new("or text").color(cx.theme.muted));
            let hint = "Type a text and press Enter";
            let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(190.0));
            let field = field.labelled_by(label.id);
            if field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) {
                self.forget_input();
                // Without a text the input of the run is shown again.
                cx.send(Action::ShowInput(self.typed().unwrap_or(AttentionInput::Nth(self.last))));
            }
            if matches!(cx.state.shown, AttentionInput::Text(_)) {
                let hover = "Leave the text and show the input of the run again";
                if ui.button("Back to the input").on_hover_text(hover).clicked() {
                    self.text.clear();
                    self.forget_input();
                    cx.send(Action::ShowInput(AttentionInput::Nth(self.last)));
                }
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
            (ColorRange::Head, "Per head", "Each head from 0 to its largest weight"),
            (ColorRange::Query, "Per query", "Each row from 0 to its largest weight: where every query looks most"),
            (ColorRange::All, "The same", "The same colors for all heads, so that they can be compared"),
        ];
        choice(ui, cx, "Colors", &mut self.range, &ranges);
        let tones = [
            (Tone::Linear, "Linear", "Colors are spread evenly over the weights"),
            (Tone::Root, "Root", "Colors follow the square root of the weights: small ones can be told apart"),
            (Tone::Log, "Log", "Colors follow the logarithm of the weights, down to a ten-thousandth of the largest"),
        ];
        choice(ui, cx, "Scale", &mut self.tone, &tones);
        if !has_image || self.over == Over::Matrix {
            self.part_ui(ui, cx);
        }
    }

    /// Which input is read.
    fn input(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let index = match &cx.state.shown {
            AttentionInput::Nth(index) => Some(*index),
            AttentionInput::Text(_) => None,
        };
        let label = ui.label(RichText::new("Input").color(cx.theme.muted));
        self.last = index.unwrap_or(self.last);
        let now = self.last;
        let mut wanted = None;
        if ui.add_enabled(now > 0, egui::Button::new("Previous")).clicked() {
            wanted = now.checked_sub(1);
        }
        let mut number = now + 1;
        if ui.add(drag_value(&mut number).range(1..=1_000_000)).labelled_by(label.id).changed() {
            wanted = number.checked_sub(1);
        }
        let has_next = !cx.state.is_last_input();
        let next = ui.add_enabled(has_next, egui::Button::new("Next"));
        if next.on_disabled_hover_text("There is no further input").clicked() {
            wanted = Some(now + 1);
        }
        if let Some(index) = wanted {
            // A text in the field would name what is no longer shown.
            self.text.clear();
            self.forget_input();
            cx.send(Action::ShowInput(AttentionInput::Nth(index)));
        }
    }

    /// Which of many tokens are shown.
    fn part_ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let Some((_, patterns)) = &cx.state.patterns else { return };
        let count = patterns.queries.values().map(Vec::len).max().unwrap_or(0);
        if count < LONG {
            return;
        }
        // Both ends stand in one line.
        if ui.available_size_before_wrap().x < TOKENS {
            ui.end_row();
        }
        ui.horizontal(|ui| self.ends_ui(ui, cx, count));
    }

    /// The first and the last token that are shown.
    fn ends_ui(&mut self, ui: &mut Ui, cx: Cx<'_>, count: usize) {
        let many = positions(cx);
        let label = ui.label(RichText::new(sentence(many)).color(cx.theme.muted));
        let (first, last) = self.part.unwrap_or((0, count - 1));
        let (mut from, mut to) = (first, last.min(count - 1));
        let hover = format!("Drag or type; only these {many} are shown, and saved");
        ui.add(DragValue::new(&mut from).range(0..=to)).labelled_by(label.id).on_hover_text(hover.as_str());
        let until = ui.label(RichText::new("to").color(cx.theme.muted));
        ui.add(DragValue::new(&mut to).range(from..=count - 1)).labelled_by(until.id).on_hover_text(hover);
        if (from, to) != (first, last) {
            self.part = Some((from, to));
        }
        let is_part = self.part.is_some();
        if ui.add_enabled(is_part, egui::Button::new("All")).on_hover_text("Show all of them").clicked() {
            self.part = None;
        }
    }

    pub(super) fn legend(&mut self, ui: &mut Ui, cx: Cx<'_>, maps: &AttentionMaps) {
        let theme = cx.theme;
        ui.label(RichText::new("Attention weight").small().color(theme.muted)).on_hover_text(
            "How much of what the head passes on for a query comes from a key; those of a query sum to 1",
        );
        let (scale, share) = maps.legend_scale();
        let unit = if share.is_some() { Unit::Share } else { Unit::Plain };
        color_bar(ui, theme, &scale, ("weight", unit), None);
        if let Some(of) = share {
            note(ui, theme, of);
        }
        if maps.panels.iter().any(|p| p.weights.has_missing()) {
            swatch(ui, theme, Swatch::Outlined(theme.panel), "hidden from the query");
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
            let ([down, across], count) = (panel.block(), panel.queries.len().max(panel.keys.len()));
            note(ui, theme, format!("{count} {}: each cell is the largest weight of {down} x {across}", positions(cx)));
        }
        let left_out = cx.state.patterns.as_ref().map_or(0, |(_, patterns)| patterns.left_out);
        if left_out > 0 {
            let text = format!(
                "The text is cut: its last {} are left out. A longer Sequence length on the left reads more",
                counted(left_out, "tokens")
            );
            ui.label(RichText::new(text).small().color(theme.warning));
        }
        let wanted = cx.state.attention_heads().count();
        if wanted > MOST_PATTERNS {
            note(ui, theme, format!("The first {MOST_PATTERNS} of {wanted} heads; select heads to see others"));
        } else if cx.state.selection.heads.is_empty() {
            note(ui, theme, "All heads of the layer; select some in the overview to see only those");
        }
    }
}

/// What stands at the positions of the layer that is shown, as the noun for many.
fn positions(cx: Cx<'_>) -> &'static str {
    match cx.state.position() {
        "patch" => "patches",
        "frame" => "frames",
        _ => "tokens",
    }
}

/// Width of the choice of tokens.
const TOKENS: f32 = 210.0;
/// From so many tokens on, a part of them can be chosen.
const LONG: usize = 8;

/// The layer whose heads are shown, or that selected heads are.
fn layer(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(model), Some(now)) = (&cx.state.model, cx.state.site()) else { return };
    let selected = cx.state.selection.heads.len();
    let label = ui.label(RichText::new("Layer").color(cx.theme.muted)).on_hover_text("[ and ] step through the layers");
    let text = if selected == 0 { now.to_string() } else { counted(selected, "selected heads") };
    let combo = ComboBox::from_id_salt("attention layer").selected_text(text).width(110.0).show_ui(ui, |ui| {
        for site in model.facts.shape.sites() {
            let is_on = selected == 0 && site.site == now;
            if ui.selectable_label(is_on, site.site.to_string()).clicked() {
                // Heads of another layer that are selected would be shown in place of those of this one.
                cx.send(Action::SelectAll(Vec::new()));
                cx.send(Action::ShowSite(site.site));
            }
        }
    });
    combo.response.labelled_by(label.id);
}
