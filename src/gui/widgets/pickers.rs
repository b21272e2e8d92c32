//! Choosing the layer and the feature map that views of one layer show.

use eframe::egui::{
    ComboBox, InnerResponse, Rect, RichText, Role, Sense, Stroke, StrokeKind, TextStyle, Ui, WidgetInfo, pos2, vec2,
};

use crate::gui::action::Action;
use crate::gui::context::Cx;

/// The layer that is shown, for every view of one layer.
pub(crate) fn site_picker(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(model), Some(now)) = (&cx.state.model, cx.state.site()) else { return };
    named(ui, cx, 150.0, "Layer", "[ and ] step through the layers", |ui| {
        let combo = ComboBox::from_id_salt("site").selected_text(now.to_string()).width(96.0);
        combo.show_ui(ui, |ui| {
            for site in model.facts.shape.sites() {
                if ui.selectable_label(site.site == now, site.site.to_string()).clicked() {
                    cx.send(Action::ShowSite(site.site));
                }
            }
        })
    });
}

/// The feature map that is shown, among those of the last run.
pub(crate) fn feature_picker(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(results), Some(now)) = (&cx.state.results, cx.state.feature()) else { return };
    named(ui, cx, 130.0, "Map", "Feature map: what heads are compared by", |ui| {
        let combo = ComboBox::from_id_salt("feature").selected_text(now.name()).width(84.0);
        combo.show_ui(ui, |ui| {
            for map in &results.analysis.settings.features {
                if ui.selectable_label(*map == now, map.name()).clicked() {
                    cx.send(Action::ShowFeature(*map));
                }
            }
        })
    });
}

/// A list behind its name, in one line: in the next one where the rest of this one has no room of `width`.
fn named(
    ui: &mut Ui,
    cx: Cx<'_>,
    width: f32,
    name: &str,
    hover: &str,
    list: impl FnOnce(&mut Ui) -> InnerResponse<Option<()>>,
) {
    if ui.available_size_before_wrap().x < width {
        ui.end_row();
    }
    ui.horizontal(|ui| {
        let label = ui.label(RichText::new(name).color(cx.theme.muted)).on_hover_text(hover);
        list(ui).response.labelled_by(label.id);
    });
}

/// Room left and right of the words of a choice.
const PAD: f32 = 9.0;

/// A row of words of which one is on, behind its name. Name and words stay together where the line is broken.
pub(crate) fn choice<T: Clone + PartialEq>(
    ui: &mut Ui,
    cx: Cx<'_>,
    name: &str,
    now: &mut T,
    options: &[(T, &str, &str)],
) {
    let theme = cx.theme;
    let font = TextStyle::Button.resolve(ui.style());
    let galley = |text: &str, color| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), color);
    let title = galley(name, theme.muted);
    let words: Vec<_> = options
        .iter()
        .map(|(value, text, _)| galley(text, if value == now { theme.ink } else { theme.muted }))
        .collect();
    let before = if name.is_empty() { 0.0 } else { title.size().x + ui.spacing().item_spacing.x };
    let width: f32 = words.iter().map(|w| w.size().x + 2.0 * PAD).sum();
    let height = ui.spacing().interact_size.y;
    let (rect, _) = ui.allocate_exact_size(vec2(before + width, height), Sense::hover());
    let title_at = rect.left_center() - vec2(0.0, title.size().y / 2.0);
    ui.painter().galley(title_at, title, theme.muted);
    let track = Rect::from_min_max(rect.min + vec2(before, 0.0), rect.max);
    ui.painter().rect_filled(track, 5.0, theme.track);
    let mut left = track.left();
    for ((value, text, hover), word) in options.iter().zip(words) {
        let place = Rect::from_min_size(pos2(left, track.top()), vec2(word.size().x + 2.0 * PAD, height));
        left = place.right();
        let is_on = value == now;
        let response = ui.interact(place, ui.scope_id().with((name, *text)), Sense::click()).on_hover_text(*hover);
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), is_on, *text));
        if is_on {
            let pill = place.shrink(1.5);
            ui.painter().rect(pill, 4.0, theme.pill, Stroke::new(1.0, theme.border), StrokeKind::Inside);
        }
        if response.has_focus() {
            ui.painter().rect_stroke(place, 5.0, Stroke::new(1.5, theme.accent), StrokeKind::Inside);
        }
        let ink = if is_on || response.hovered() { theme.ink } else { theme.muted };
        ui.painter().galley_with_override_text_color(place.center() - word.size() / 2.0, word, ink);
        if response.clicked() {
            now.clone_from(value);
        }
    }
}
