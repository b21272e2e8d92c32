//! What a training run is asked to do.

use eframe::egui::{ComboBox, DragValue, Grid, RichText, Ui};

use super::super::super::action::Action;
use super::super::super::app::Cx;
use super::super::super::widgets::{heading, note};
use crate::analysis::Groups;
use crate::network::FeatureMap;
use crate::training::constraint::{Diversity, Reduction};
use crate::training::{VoteAt, Voting};

/// Draws the settings.
pub fn ui(ui: &mut Ui, cx: Cx<'_>) {
    let mut settings = cx.state.training.settings.clone();
    let name = |ui: &mut Ui, text: &str| ui.label(RichText::new(text).color(cx.theme.muted));
    heading(ui, cx.theme, "Training");
    Grid::new("training").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        let label = name(ui, "Steps");
        ui.add(DragValue::new(&mut settings.steps).range(1..=10_000_000)).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Learning rate");
        ui.add(DragValue::new(&mut settings.rate).speed(1e-6).range(1e-8..=1.0).max_decimals(8)).labelled_by(label.id);
        ui.end_row();
    });
    heading(ui, cx.theme, "Group constraint");
    let constraint = &mut settings.constraint;
    Grid::new("constraint").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        let label = name(ui, "Groups per layer");
        let mut groups = match &constraint.groups {
            Groups::Fixed(n) => *n,
            _ => 2,
        };
        if ui.add(DragValue::new(&mut groups).range(1..=256)).labelled_by(label.id).changed() {
            constraint.groups = Groups::Fixed(groups);
        }
        ui.end_row();
        let label = name(ui, "Feature map");
        let combo = ComboBox::from_id_salt("constraint map").selected_text(constraint.feature.name());
        let combo = combo.show_ui(ui, |ui| {
            for map in FeatureMap::ALL {
                ui.selectable_value(&mut constraint.feature, map, map.name());
            }
        });
        combo.response.labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Alpha").on_hover_text("Weight of homogenisation: heads of a group become alike");
        ui.add(DragValue::new(&mut constraint.alpha).speed(0.01).range(0.0..=10.0)).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Beta").on_hover_text("Weight of diversification: groups move apart");
        ui.add(DragValue::new(&mut constraint.beta).speed(0.01).range(0.0..=10.0)).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Diversity");
        let combo = ComboBox::from_id_salt("diversity").selected_text(constraint.diversity.name()).show_ui(ui, |ui| {
            ui.selectable_value(&mut constraint.diversity, Diversity::Cosine, "cosine")
                .on_hover_text("As the paper prints it: least where hidden units are opposite, which is one direction");
            ui.selectable_value(&mut constraint.diversity, Diversity::SquaredCosine, "squared-cosine")
                .on_hover_text("Least where hidden units are orthogonal");
        });
        combo.response.labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Scale");
        let combo = ComboBox::from_id_salt("reduction").selected_text(constraint.reduction.name()).show_ui(ui, |ui| {
            ui.selectable_value(&mut constraint.reduction, Reduction::LayerSum, "layer-sum")
                .on_hover_text("As the authors' code weighs it: a sum beside a loss summed over tokens. Does no harm");
            ui.selectable_value(&mut constraint.reduction, Reduction::Printed, "printed").on_hover_text(
                "A plain weight beside a mean loss: 0.5 is a thousand times stronger than the authors' 0.5",
            );
        });
        combo.response.labelled_by(label.id);
        ui.end_row();
    });
    heading(ui, cx.theme, "Vote and fine-tuning");
    let mut votes = settings.voting.is_some();
    if ui.checkbox(&mut votes, "Vote, prune and fine-tune").changed() {
        settings.voting = votes.then(Voting::default);
    }
    if let Some(voting) = &mut settings.voting {
        Grid::new("voting").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
            let label = name(ui, "Vote");
            let text = match voting.at {
                VoteAt::End => "after the last step".to_owned(),
                VoteAt::Converged => "once groups hardly move".to_owned(),
                VoteAt::Step(n) => format!("after step {n}"),
            };
            let combo = ComboBox::from_id_salt("vote at").selected_text(text).show_ui(ui, |ui| {
                ui.selectable_value(&mut voting.at, VoteAt::End, "after the last step");
                ui.selectable_value(&mut voting.at, VoteAt::Converged, "once groups hardly move");
                let step = VoteAt::Step(settings.steps / 2);
                ui.selectable_value(&mut voting.at, step, format!("after step {}", settings.steps / 2));
            });
            combo.response.labelled_by(label.id);
            ui.end_row();
            let label = name(ui, "Fine-tuning steps");
            ui.add(DragValue::new(&mut voting.finetune_steps).range(0..=10_000_000)).labelled_by(label.id);
            ui.end_row();
        });
    } else {
        note(ui, cx.theme, "Ends after the first stage with every head");
    }
    note(ui, cx.theme, "Input, length, batch size, device and seed are those of the left panel");
    if settings != cx.state.training.settings {
        cx.send(Action::SetTraining(Box::new(settings)));
    }
}
