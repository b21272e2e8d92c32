//! Two heads beside each other, and which pairs of the layer are most alike.

use eframe::egui::{self, Align2, FontId, Grid, Label, Rect, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::matrix::Drawing;
use crate::chart::similarity::{MOST_ALIKE, distance};
use crate::chart::{GroupStyle, Unit};
use crate::gui::action::Action;
use crate::gui::theme::color;
use crate::gui::widgets::{explained, fact, facts, headers, heading, note, number_cell};
use crate::network::Head;

impl Drawing<'_> {
    /// The two heads under the pointer, else those selected; below them the pairs most alike.
    pub(super) fn beside(&self, ui: &mut Ui, hovered: Option<(usize, usize)>) {
        let theme = self.cx.theme;
        heading(ui, theme, "Pair");
        match hovered.or(self.selected_pair()) {
            Some(pair) => self.pair(ui, pair),
            None => note(ui, theme, "Point at a cell to compare two heads, click to hold them"),
        }
        if let Some(caution) = self.similarity.tree.as_ref().and_then(|tree| tree.caution()) {
            note(ui, theme, caution);
        }
        ui.add_space(8.0);
        self.most_alike(ui);
    }

    /// The two selected heads of this layer.
    pub(super) fn selected_pair(&self) -> Option<(usize, usize)> {
        let mut here = self.cx.state.selection.heads.iter().filter(|h| h.site == self.site.site).map(|h| h.head);
        let first = here.next()?;
        Some((first, here.next().unwrap_or(first)))
    }

    fn pair(&self, ui: &mut Ui, (i, j): (usize, usize)) {
        let theme = self.cx.theme;
        let plain = |v: f64| Unit::Plain.format(v);
        let gram = &self.feature.gram;
        facts(ui, "pair", |ui| {
            fact(ui, theme, "Heads", if i == j { i.to_string() } else { format!("{i} and {j}") });
            let group = |h: usize| self.feature.groups.get(h).copied().unwrap_or(0);
            let groups =
                if group(i) == group(j) { group(i).to_string() } else { format!("{} and {}", group(i), group(j)) };
            fact(ui, theme, "Groups", groups);
            let state = |h: usize| {
                if self.cx.state.is_kept(Head::new(self.site.site, h)) { "kept" } else { "pruned" }
            };
            let states = if i == j || state(i) == state(j) {
                state(i).to_owned()
            } else {
                format!("{}, {}", state(i), state(j))
            };
            fact(ui, theme, "State", states);
            let votes = |h: usize| self.site.votes.get(h).copied().unwrap_or(0);
            fact(ui, theme, "Votes", if i == j { votes(i).to_string() } else { format!("{}, {}", votes(i), votes(j)) });
            let norm = |h: usize| plain(gram.norm2(h).sqrt());
            fact(ui, theme, "Norms", if i == j { norm(i) } else { format!("{}, {}", norm(i), norm(j)) });
            if let Some(cka) = self.site.cka.as_ref().and_then(|m| m.get(i)?.get(j).copied()) {
                fact(ui, theme, "Linear CKA", plain(cka));
            }
        });
        ui.add_space(6.0);
        Grid::new("pair by map").num_columns(3).spacing([14.0, 3.0]).show(ui, |ui| {
            headers(ui, theme, ["Map", "Cosine", "Distance"]);
            for (map, feature) in &self.site.features {
                ui.label(RichText::new(map.name()).color(theme.muted));
                number_cell(ui, "Cosine", plain(feature.gram.cosine(i, j).unwrap_or(f64::NAN)));
                let apart = ui.add(Label::new(plain(distance(&feature.gram, self.metric, i, j))).truncate());
                explained(apart, "Distance");
                ui.end_row();
            }
        });
    }

    /// Pairs by how alike they are; a click selects one.
    fn most_alike(&self, ui: &mut Ui) {
        let theme = self.cx.theme;
        let pairs = self.most_alike;
        if pairs.is_empty() {
            return;
        }
        heading(ui, theme, MOST_ALIKE);
        // Bars of all layers end at the same value, so that they can be compared.
        let longest = self.similarity.scale().high.abs().max(f64::MIN_POSITIVE);
        for &(i, j, value) in pairs {
            if ui.available_height() < 22.0 {
                break;
            }
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width().min(260.0), 22.0), Sense::click());
            let painter = ui.painter_at(rect);
            if response.hovered() || response.has_focus() {
                painter.rect_filled(rect, 4.0, theme.track);
            }
            let mut left = rect.left() + 4.0;
            for head in [i, j] {
                let group = self.feature.groups.get(head).copied().unwrap_or(0);
                let fill = color(GroupStyle::of(theme.figure, group).color);
                let mark = Rect::from_center_size(pos2(left + 5.0, rect.center().y), vec2(10.0, 10.0));
                painter.rect_filled(mark, 3.0, fill);
                let font = FontId::proportional(12.0);
                painter.text(pos2(left + 14.0, rect.center().y), Align2::LEFT_CENTER, head, font, theme.ink);
                left += 40.0;
            }
            let room = Rect::from_x_y_ranges(left..=rect.right() - 60.0, rect.center().y - 3.0..=rect.center().y + 3.0);
            if room.is_positive() {
                painter.rect_filled(room, 3.0, theme.track);
                // Opposite heads, whose cosine is below 0, are as alike.
                let share = (value.abs() / longest).min(1.0) as f32;
                painter.rect_filled(Rect::from_min_size(room.min, room.size() * vec2(share, 1.0)), 3.0, theme.kept);
            }
            let text = Unit::Plain.format(value);
            let at = pos2(rect.right() - 4.0, rect.center().y);
            painter.text(at, Align2::RIGHT_CENTER, &text, FontId::proportional(12.0), theme.ink);
            let label = self.similarity.likeness.label().to_lowercase();
            response
                .widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("heads {i} and {j}: {label} {text}")));
            if response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
                self.cx.send(Action::Select(Head::new(self.site.site, i)));
                self.cx.send(Action::SelectAlso(Head::new(self.site.site, j)));
            }
        }
    }
}
