//! On the left: the model.

use eframe::egui::{RichText, Ui};

use crate::chart::Unit;
use crate::gui::context::Cx;
use crate::gui::theme::STRONG;
use crate::gui::widgets::note;
use crate::run::ModelFacts;
use crate::words::{counted, noun};

/// What the model is, in a few lines.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>) {
    let Some(model) = &cx.state.model else { return };
    let (facts, theme) = (&model.facts, cx.theme);
    ui.add_space(4.0);
    let name = RichText::new(&facts.name).size(14.0).family(eframe::egui::FontFamily::Name(STRONG.into()));
    let label = eframe::egui::Label::new(name.color(theme.ink)).truncate();
    ui.add(label).on_hover_text(format!("{}\nfingerprint {}", facts.folder.display(), facts.fingerprint));
    ui.spacing_mut().item_spacing.y = 2.0;
    for line in lines(facts) {
        ui.label(RichText::new(line).color(theme.muted));
    }
    if facts.is_pruned {
        note(ui, theme, "Some heads of this checkpoint were removed before");
    }
    if facts.unused > 0 {
        note(ui, theme, format!("Not read by the network: {}", counted(facts.unused, "stored tensors")));
    }
}

fn lines(facts: &ModelFacts) -> Vec<String> {
    let sites = facts.shape.sites();
    let heads = spanned(sites.iter().map(|s| s.heads), "heads");
    let mut lines = vec![
        format!("{}, {}", facts.family, counted(sites.len(), "attention layers")),
        format!("{heads} of width {} in each, {} in all", span(facts.head_dims.iter().copied()), facts.heads()),
    ];
    if facts.is_grouped() {
        lines.push(format!("{} in each", spanned(sites.iter().map(|s| s.kv_heads), "key/value heads")));
    }
    lines.push(format!(
        "{} parameters, {} {}",
        Unit::Count.format(facts.parameters as f64),
        Unit::Bytes.format(facts.bytes as f64),
        facts.dtype
    ));
    lines
}

/// The same with what is counted.
fn spanned(all: impl Iterator<Item = usize> + Clone, many: &str) -> String {
    format!("{} {}", span(all.clone()), noun(all.max().unwrap_or(0), many))
}

/// One number where all agree, else the least and the largest.
fn span(all: impl Iterator<Item = usize> + Clone) -> String {
    let (low, high) = (all.clone().min().unwrap_or(0), all.max().unwrap_or(0));
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}
