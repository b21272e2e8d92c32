//! Choosing the layer and the feature map that views of one layer show.

use eframe::egui::{Button, ComboBox, RichText, TextWrapMode, Ui};

use super::super::action::Action;
use super::super::app::Cx;

/// The layer that is shown, for every view of one layer.
pub fn site_picker(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(model), Some(now)) = (&cx.state.model, cx.state.site()) else { return };
    let label = ui.label(RichText::new("Layer").color(cx.theme.muted)).on_hover_text("[ and ] step through the layers");
    let combo = ComboBox::from_id_salt("site").selected_text(now.to_string()).width(96.0).show_ui(ui, |ui| {
        for site in model.facts.shape.sites() {
            if ui.selectable_label(site.site == now, site.site.to_string()).clicked() {
                cx.send(Action::ShowSite(site.site));
            }
        }
    });
    combo.response.labelled_by(label.id);
}

/// The feature map that is shown, among those of the last run.
pub fn feature_picker(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(results), Some(now)) = (&cx.state.results, cx.state.feature()) else { return };
    let label =
        ui.label(RichText::new("Map").color(cx.theme.muted)).on_hover_text("Feature map: what heads are compared by");
    let combo = ComboBox::from_id_salt("feature").selected_text(now.name()).width(84.0).show_ui(ui, |ui| {
        for map in &results.analysis.settings.features {
            if ui.selectable_label(*map == now, map.name()).clicked() {
                cx.send(Action::ShowFeature(*map));
            }
        }
    });
    combo.response.labelled_by(label.id);
}

/// A row of buttons of which one is on.
pub fn choice<T: Clone + PartialEq>(ui: &mut Ui, cx: Cx<'_>, name: &str, now: &mut T, options: &[(T, &str, &str)]) {
    ui.label(RichText::new(name).color(cx.theme.muted));
    for (value, text, hover) in options {
        let button = Button::selectable(*now == *value, *text).wrap_mode(TextWrapMode::Extend);
        if ui.add(button).on_hover_text(*hover).clicked() {
            now.clone_from(value);
        }
    }
}
