//! The words of the input in a strip: the one under the pointer lights what it looks at.

use eframe::egui::{self, Align2, FontId, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

use super::Attention;
use super::words::shown;
use crate::chart::{AttentionMaps, Unit};
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::note;

/// Tallest that the strip may be; more of it is scrolled.
const TALLEST: f32 = 66.0;
/// Words that are shown; of longer inputs a part can be chosen.
const MOST: usize = 400;
const HEIGHT: f32 = 18.0;
/// Room left and right of a word.
const PAD: f32 = 3.0;

impl Attention {
    /// Draws the words. A click holds a word, so that the pointer can go on to the matrices.
    pub(super) fn strip(&mut self, ui: &mut Ui, cx: Cx<'_>, maps: &AttentionMaps) {
        let theme = cx.theme;
        let Some(panel) = maps.panels.first() else { return };
        // Of other tokens than the queries, as in cross-attention, there is a second line of words to light.
        let are_keys = panel.queries == panel.keys && panel.from[0] == panel.from[1];
        if panel.block() != [1, 1] || !are_keys || panel.queries.len() > MOST {
            self.hovered = None;
            return;
        }
        let lit = self.hovered.or(self.held);
        let weights = lit.map(|query| maps.mean_of(query)).unwrap_or_default();
        let high = weights.iter().copied().filter(|w| w.is_finite()).fold(0.0, f64::max);
        let (mut under, mut clicked) = (None, None);
        ScrollArea::vertical().id_salt("words").max_height(TALLEST).auto_shrink([false, true]).show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(1.0, 2.0);
                for (place, word) in panel.queries.iter().enumerate() {
                    let query = panel.from[0] + place;
                    let weight = weights.get(place).copied().unwrap_or(f64::NAN);
                    let share = if high > 0.0 && weight.is_finite() { weight / high } else { 0.0 };
                    let response = word_ui(ui, theme, word, share as f32, lit == Some(query), self.held == Some(query));
                    if response.hovered() {
                        under = Some(query);
                    }
                    if response.clicked() {
                        clicked = Some(query);
                    }
                    if let Some(from) = lit.filter(|_| response.hovered() && self.held.is_some()) {
                        let said = if weight.is_nan() { "hidden".to_owned() } else { Unit::Plain.format(weight) };
                        response.on_hover_text(format!("Token {from} looks here: {said}"));
                    }
                }
            });
        });
        let text = match (lit, self.held) {
            (None, _) => "Point at a word to see what it looks at, as the mean of the heads shown; click to hold it",
            (Some(_), Some(_)) => {
                "The stronger the color of a word, the more the outlined one looks at it; click it again to let go"
            }
            (Some(_), None) => {
                "The stronger the color of a word, the more the outlined one looks at it; click to hold it"
            }
        };
        note(ui, theme, text);
        if let Some(query) = clicked {
            self.held = if self.held == Some(query) { None } else { Some(query) };
        }
        // While one is held, pointing at others tells how it looks at them.
        let under = if self.held.is_some() { None } else { under };
        self.light(ui, under);
    }

    /// Lights a query from the next frame on.
    pub(super) fn light(&mut self, ui: &Ui, query: Option<usize>) {
        if self.hovered != query {
            self.hovered = query;
            ui.ctx().request_repaint();
        }
    }
}

/// One word, the more filled the larger `share` is.
fn word_ui(ui: &mut Ui, theme: &WindowTheme, word: &str, share: f32, is_lit: bool, is_held: bool) -> egui::Response {
    let text = shown(word);
    let galley = ui.painter().layout_no_wrap(text, FontId::proportional(12.0), theme.ink);
    let size = vec2((galley.size().x + 2.0 * PAD).max(8.0), HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let fill = theme.accent.gamma_multiply(0.55 * share.clamp(0.0, 1.0));
    ui.painter().rect_filled(rect, 3.0, fill);
    if is_lit || response.has_focus() {
        let width = if is_held { 2.0 } else { 1.0 };
        ui.painter().rect_stroke(rect, 3.0, Stroke::new(width, theme.ink), StrokeKind::Inside);
    }
    let place: Rect = Align2::CENTER_CENTER.anchor_size(rect.center(), galley.size());
    ui.painter().galley(place.min, galley, theme.ink);
    response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), is_held, word));
    response
}
