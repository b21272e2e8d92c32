//! On the right: what is selected.

use eframe::egui::{RichText, TextEdit, Ui};

use crate::analysis::{SiteAnalysis, baseline};
use crate::chart::{Measure, Unit};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::panels::told;
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::{command_button, fact, facts, heading, note, swatch};
use crate::network::{FeatureMap, Head};
use crate::words::counted;

/// The selected head, or how to select one; below, what a person wrote.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>) {
    selection(ui, cx);
    notes(ui, cx);
}

fn notes(ui: &mut Ui, cx: Cx<'_>) {
    heading(ui, cx.theme, "Notes");
    let mut text = cx.state.notes.clone();
    let field = TextEdit::multiline(&mut text).hint_text("Your notes, saved with the workspace");
    let field = ui.add(field.desired_width(f32::INFINITY).desired_rows(4));
    ui.ctx().accesskit_node_builder(field.id, |node| node.set_label("Notes"));
    if field.changed() {
        cx.send(Action::SetNotes(text));
    }
}

fn selection(ui: &mut Ui, cx: Cx<'_>) {
    let (state, theme) = (cx.state, cx.theme);
    heading(ui, theme, "Selection");
    let Some(head) = state.selection.cursor else {
        note(ui, theme, "Click a head, drag over several, or move with the arrow keys");
        layer(ui, cx);
        return;
    };
    own(ui, cx, head);
    let many = state.selection.heads.len();
    if many > 1 {
        let kept = state.selection.heads.iter().filter(|h| state.is_kept(**h)).count();
        note(ui, theme, format!("{many} heads are selected, {kept} of them kept; the buttons act on all"));
    }
    ui.add_space(2.0);
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::KeepHeads, "Keep");
        command_button(ui, cx, Command::PruneHeads, "Prune");
        command_button(ui, cx, Command::PinHeads, "Pin");
        command_button(ui, cx, Command::UnpinHeads, "Unpin");
    });
    let (Some(results), Some(map)) = (&state.results, state.feature()) else { return };
    if let Some(site) = results.analysis.site(head.site) {
        told::kind(ui, cx, head, site);
        told::reason(ui, cx, head);
        numbers(ui, cx, head, site, map);
        replaceability(ui, cx, head, site);
        neighbors(ui, cx, head, site, map);
    }
    layer(ui, cx);
}

/// What the head is and whether it stays.
fn own(ui: &mut Ui, cx: Cx<'_>, head: Head) {
    let (state, theme) = (cx.state, cx.theme);
    let plan = state.draft.now().active();
    facts(ui, "selection facts", |ui| {
        fact(ui, theme, "Layer", head.site.to_string());
        fact(ui, theme, "Head", head.head.to_string());
        let pinned = if plan.pin(head).is_some() { ", pinned" } else { "" };
        fact(ui, theme, "State", format!("{}{pinned}", if state.is_kept(head) { "kept" } else { "pruned" }));
        let shape = state.model.as_ref().and_then(|m| m.facts.shape.get(head.site));
        if let Some(site) = shape.filter(|s| s.kv_heads != s.heads) {
            let per = site.queries_per_kv();
            let first = head.head / per * per;
            let text = format!("head {}, for {first} to {}", head.head / per, first + per - 1);
            fact(ui, theme, "Key/value", text);
        }
        let attention = state.model.as_ref().and_then(|m| m.model.spec().attention(head.site));
        if let Some(origin) = attention.and_then(|a| a.origin.get(head.head)).filter(|o| **o != head.head) {
            fact(ui, theme, "Before pruning", format!("head {origin}"));
        }
    });
}

fn numbers(ui: &mut Ui, cx: Cx<'_>, head: Head, site: &SiteAnalysis, map: FeatureMap) {
    let theme = cx.theme;
    let Some(results) = &cx.state.results else { return };
    heading(ui, theme, &format!("By its {map} map"));
    let group = site.features.get(&map).and_then(|f| f.groups.get(head.head).copied());
    if let Some(group) = group {
        ui.horizontal(|ui| {
            swatch(ui, theme, theme.group(group), &format!("group {group}"));
            if ui.small_button("Select the group").clicked() {
                cx.send(Action::ShowSite(head.site));
                cx.send(Action::SelectGroup(Some(group)));
            }
        });
    }
    facts(ui, "head numbers", |ui| {
        let votes = site.votes.get(head.head).copied().unwrap_or(0);
        fact(ui, theme, "Votes", format!("{votes} of {}", results.analysis.batches * site.features.len() as u64));
        for measure in Measure::available(&results.analysis).into_iter().filter(|m| !m.is_kind()) {
            let value = measure.values(site, map, results.analysis.batches).get(head.head).copied();
            let text = measure.unit().format(value.unwrap_or(f64::NAN));
            fact(ui, theme, &measure.label(), text);
        }
    });
}

/// Whether the head would be missed, in a sentence.
fn replaceability(ui: &mut Ui, cx: Cx<'_>, head: Head, site: &SiteAnalysis) {
    let found = site.baselines.get(baseline::REPLACEABILITY).and_then(|b| b.values.get(head.head));
    if let Some(share) = found {
        let share = Unit::Share.format(*share);
        note(ui, cx.theme, format!("The other heads of this layer can make up for {share} of what this head adds"));
    }
}

/// The heads of the layer that are most like this one.
fn neighbors(ui: &mut Ui, cx: Cx<'_>, head: Head, site: &SiteAnalysis, map: FeatureMap) {
    let Some(feature) = site.features.get(&map) else { return };
    let theme: &WindowTheme = cx.theme;
    let others = (0..site.heads).filter(|h| *h != head.head);
    let mut alike: Vec<(usize, f64)> = others.filter_map(|h| Some((h, feature.gram.cosine(head.head, h)?))).collect();
    alike.sort_by(|a, b| b.1.total_cmp(&a.1));
    if alike.is_empty() {
        return;
    }
    heading(ui, theme, "Most alike");
    for (other, cosine) in alike.into_iter().take(4) {
        ui.horizontal(|ui| {
            let group = feature.groups.get(other).copied().unwrap_or(0);
            swatch(ui, theme, theme.group(group), "");
            let reference = Head::new(head.site, other);
            if ui.link(format!("head {other}")).clicked() {
                cx.send(Action::Select(reference));
            }
            let state = if cx.state.is_kept(reference) { "" } else { ", pruned" };
            let text = format!("cosine {}{state}", Unit::Plain.format(cosine));
            ui.label(RichText::new(text).color(theme.muted));
        });
    }
}

/// The layer that is shown.
fn layer(ui: &mut Ui, cx: Cx<'_>) {
    let (Some(site), Some(feature)) = (cx.state.site_results(), cx.state.feature_results()) else { return };
    let theme = cx.theme;
    heading(ui, theme, &format!("Layer {}", site.site));
    told::evidence(ui, cx, site, feature);
    facts(ui, "layer numbers", |ui| {
        let kept = (0..site.heads).filter(|h| cx.state.is_kept(Head::new(site.site, *h))).count();
        fact(ui, theme, "Heads kept", format!("{kept} of {}", site.heads));
        fact(ui, theme, "Groups", feature.groups.iter().max().map_or(0, |g| g + 1).to_string());
        let number = |v: Option<f64>| Unit::Plain.format(v.unwrap_or(f64::NAN));
        fact(ui, theme, "Mean silhouette", number(feature.mean_silhouette));
        fact(ui, theme, "Dunn index", number(feature.dunn));
        if let Some(margin) = site.margin {
            fact(ui, theme, "Vote margin", counted(margin, "votes"));
        }
        if !feature.dead.is_empty() {
            fact(ui, theme, "Dead heads", feature.dead.len().to_string());
        }
    });
}
