//! What a training run is asked to do.

use eframe::egui::{ComboBox, Grid, Response, RichText, Ui};

use crate::analysis::Groups;
use crate::chart::Unit;
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::widgets::{drag_value, edited, heading, note, wrapped_cell};
use crate::network::FeatureMap;
use crate::plan::Method;
use crate::run::BATCH_SIZE;
use crate::tensor::Precision;
use crate::training::constraint::{Constraint, Diversity, Reduction};
use crate::training::{VoteAt, Voting};

/// The type that a person need not choose.
const AS_THE_ORIGINAL: &str = "as the original";

pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>) {
    let mut settings = cx.state.training.settings.clone();
    let name = |ui: &mut Ui, text: &str| ui.label(RichText::new(text).color(cx.theme.muted));
    heading(ui, cx.theme, "Training");
    Grid::new("training").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        let label = name(ui, "Steps");
        ui.add(drag_value(&mut settings.steps).range(1..=10_000_000)).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Learning rate");
        let (field, rate) =
            edited(settings.rate, 8, |rate| ui.add(drag_value(rate).speed(1e-6).range(1e-8..=1.0).max_decimals(8)));
        field.labelled_by(label.id);
        settings.rate = rate.unwrap_or(settings.rate);
        ui.end_row();
        let label = name(ui, "Held-out batches").on_hover_text("Batches of held-out data that every look measures");
        ui.add(drag_value(&mut settings.held_out_batches).range(1..=1_000_000)).labelled_by(label.id);
        ui.end_row();
        written_as(ui, cx, &mut settings.stored);
        ui.end_row();
    });
    // Before the constraint, whose fields and words take most of the height.
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
                VoteAt::Step(_) => "after a step".to_owned(),
            };
            let half = (settings.steps / 2).max(1);
            wrapped_cell(ui, |ui| {
                // A box of two lines would shift what is below it.
                let combo = ComboBox::from_id_salt("vote at").selected_text(text.as_str()).truncate();
                let combo = combo.show_ui(ui, |ui| {
                    ui.selectable_value(&mut voting.at, VoteAt::End, "after the last step");
                    ui.selectable_value(&mut voting.at, VoteAt::Converged, "once groups hardly move");
                    if ui.selectable_label(matches!(voting.at, VoteAt::Step(_)), "after a step").clicked() {
                        voting.at = VoteAt::Step(half);
                    }
                });
                combo.response.labelled_by(label.id).on_hover_text(text.as_str());
                if let VoteAt::Step(step) = &mut voting.at {
                    ui.add(drag_value(step).range(1..=settings.steps)).labelled_by(label.id);
                }
            });
            ui.end_row();
            let label = name(ui, "Heads chosen by");
            let combo = ComboBox::from_id_salt("vote method").selected_text(voting.method.name()).truncate();
            let combo = combo.show_ui(ui, |ui| {
                for &method in Method::ALL.iter().filter(|m| !m.needs_moments()) {
                    ui.selectable_value(&mut voting.method, method, method.name());
                }
            });
            combo.response.labelled_by(label.id).on_hover_text("Compare votes with importance and random heads");
            ui.end_row();
            let label = name(ui, "Fine-tuning steps");
            ui.add(drag_value(&mut voting.finetune_steps).range(0..=10_000_000)).labelled_by(label.id);
            ui.end_row();
        });
    } else {
        note(ui, cx.theme, "Ends after the first stage with every head");
    }
    heading(ui, cx.theme, "Group constraint");
    let constraint = &mut settings.constraint;
    Grid::new("constraint").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        let label = name(ui, "Groups per layer");
        let mut groups = match &constraint.groups {
            Groups::Fixed(n) => *n,
            _ => 2,
        };
        if ui.add(drag_value(&mut groups).range(1..=256)).labelled_by(label.id).changed() {
            constraint.groups = Groups::Fixed(groups);
        }
        ui.end_row();
        let label = name(ui, "Feature map");
        let combo = ComboBox::from_id_salt("constraint map").selected_text(constraint.feature.name());
        let combo = combo.show_ui(ui, |ui| {
            for &map in FeatureMap::ALL {
                ui.selectable_value(&mut constraint.feature, map, map.name());
            }
        });
        combo.response.labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Alpha").on_hover_text("Weight of homogenization: heads of a group become alike");
        weight(ui, &mut constraint.alpha).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Beta").on_hover_text("Weight of diversification: groups move apart");
        weight(ui, &mut constraint.beta).labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Diversity");
        let combo = ComboBox::from_id_salt("diversity").selected_text(constraint.diversity.to_string()).truncate();
        let combo = combo.show_ui(ui, |ui| {
            ui.selectable_value(&mut constraint.diversity, Diversity::Cosine, "cosine")
                .on_hover_text("As the paper prints it: least where hidden units are opposite, which is one direction");
            ui.selectable_value(&mut constraint.diversity, Diversity::SquaredCosine, "squared-cosine")
                .on_hover_text("Least where hidden units are orthogonal");
        });
        combo.response.labelled_by(label.id);
        ui.end_row();
        let label = name(ui, "Scale");
        let combo =
            ComboBox::from_id_salt("reduction").selected_text(constraint.reduction.to_string()).show_ui(ui, |ui| {
                ui.selectable_value(&mut constraint.reduction, Reduction::LayerSum, "layer-sum")
                    .on_hover_text("As the authors' code weighs it: a sum beside a loss summed over tokens");
                ui.selectable_value(&mut constraint.reduction, Reduction::Printed, "printed").on_hover_text(
                    "A plain weight beside a mean loss: 0.5 is a thousand times stronger than the authors' 0.5",
                );
            });
        combo.response.labelled_by(label.id);
        ui.end_row();
    });
    scale(ui, cx, constraint);
    note(ui, cx.theme, "Input, length, batch size, device, type and seed are those of the left panel");
    if settings != cx.state.training.settings {
        cx.send(Action::SetTraining(Box::new(settings)));
    }
}

/// The number type of what is written.
fn written_as(ui: &mut Ui, cx: Cx<'_>, stored: &mut Option<Precision>) {
    let own = cx.state.model.as_ref().map_or("float32", |model| model.model.stored().name());
    let usual = match cx.state.training.from_scratch {
        true => "float32 where nothing else is chosen, since fresh weights have no original".to_owned(),
        false => format!("that of the original, {own}, where nothing else is chosen"),
    };
    let hover =
        format!("Number type of the weights that are written: {usual}. The weights that learn are float32 in any case");
    let label = ui.label(RichText::new("Written as").color(cx.theme.muted)).on_hover_text(hover);
    let choices = [
        (None, AS_THE_ORIGINAL),
        (Some(Precision::F32), "float32"),
        (Some(Precision::F16), "float16"),
        (Some(Precision::Bf16), "bfloat16"),
    ];
    let now = choices.iter().find(|(value, _)| value == stored).map_or("", |(_, text)| *text);
    let combo = ComboBox::from_id_salt("written as").selected_text(now).truncate().show_ui(ui, |ui| {
        for (value, text) in choices {
            ui.selectable_value(stored, value, text);
        }
    });
    combo.response.labelled_by(label.id);
}

/// A field for a weight of the constraint.
fn weight(ui: &mut Ui, value: &mut f64) -> Response {
    let field = |now: &mut f64| ui.add(drag_value(now).speed(0.01).range(0.0..=10.0).max_decimals(4));
    let (response, wanted) = edited(*value, 4, field);
    *value = wanted.unwrap_or(*value);
    response
}

/// What the weights of the constraint mean beside the loss, in numbers of this run.
fn scale(ui: &mut Ui, cx: Cx<'_>, constraint: &Constraint) {
    let layers = cx.state.model.as_ref().map_or(0, |m| m.facts.shape.sites().len());
    let run = &cx.state.run;
    let tokens = run.batch_size.unwrap_or(BATCH_SIZE) * run.cost_length();
    let share = layers as f64 / tokens as f64;
    let number = |v: f64| Unit::Plain.format(v);
    let (alpha, beta) = (constraint.alpha, constraint.beta);
    let text = match constraint.reduction {
        Reduction::LayerSum => format!(
            "The constraint is summed over the {layers} layers, the loss over the tokens of a batch, some {tokens}, as the \
             authors' code does: Alpha and Beta act like {} and {} beside a mean loss. Fewer tokens make it stronger: compare the held-out loss \
             with a run without the constraint",
            number(alpha * share),
            number(beta * share),
        ),
        Reduction::Printed => format!(
            "As the paper prints it, a plain weight beside a mean loss: {} here is like {} in the authors' code. \
             Large values freeze the groups at once and cost quality; begin near {}",
            number(alpha),
            number(alpha / share.max(f64::MIN_POSITIVE)),
            number(0.001),
        ),
    };
    note(ui, cx.theme, text);
    if constraint.groups == Groups::Fixed(2) && constraint.diversity == Diversity::Cosine && beta > 0.0 {
        let text = "With two groups the cosine is least where their hidden units are opposite, which is one direction; \
                    squared-cosine asks for a right angle";
        note(ui, cx.theme, text);
    }
}
