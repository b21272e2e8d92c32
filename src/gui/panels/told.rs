//! What was found out about a head and its layer, in words: what it does, why it stays or goes, whether it is redundant.

use std::sync::Arc;

use eframe::egui::{Id, RichText, Ui};

use crate::analysis::{DRAWS, FeatureAnalysis, HeadKind, SiteAnalysis};
use crate::chart::Unit;
use crate::gui::context::Cx;
use crate::gui::messages::sentence;
use crate::gui::widgets::{fact, facts, note};
use crate::network::Head;
use crate::plan::why_at;
use crate::words::{counted, unbroken};

/// Scores below this are not worth a line.
const WORTH_TELLING: f64 = 0.15;

/// What shares of several kinds are to each other.
const OVERLAP: &str = "Kinds overlap, so the shares of a head need not sum to 100 %";

/// What the head does, and by how much.
pub(super) fn kind(ui: &mut Ui, cx: Cx<'_>, head: Head, site: &SiteAnalysis) {
    let theme = cx.theme;
    if !site.has_kinds() {
        return;
    }
    facts(ui, "head kind", |ui| {
        let (word, meaning) = match site.kind(head.head) {
            // The number first: in a narrow panel the end is cut.
            Some((kind, score)) => {
                (format!("{} {}", Unit::Share.format(score), kind.label().to_lowercase()), kind.meaning())
            }
            None => ("no known pattern".to_owned(), "No kind reaches its threshold; several may be mixed"),
        };
        let hover = format!("{meaning}. {OVERLAP}");
        fact(ui, theme, "Does", word).on_hover_text(hover);
        let mut others: Vec<(HeadKind, f64)> = HeadKind::ALL
            .iter()
            .filter(|kind| site.kind(head.head).is_none_or(|(own, _)| own != **kind))
            .filter_map(|kind| Some((*kind, site.kind_scores(*kind)?.get(head.head).copied()?)))
            .filter(|(_, score)| *score >= WORTH_TELLING)
            .collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (kind, score) in others.into_iter().take(3) {
            fact(ui, theme, kind.label(), Unit::Share.format(score))
                .on_hover_text(format!("{}. {OVERLAP}", kind.meaning()));
        }
    });
}

/// Why the head stays or goes, where a method chose it.
pub(super) fn reason(ui: &mut Ui, cx: Cx<'_>, head: Head) {
    let (Some(results), Some(plan)) = (&cx.state.results, cx.state.legal_plan()) else { return };
    if let Some(stays) = cx.state.draft.now().active().pin(head) {
        note(ui, cx.theme, if stays { "Kept: pinned by hand" } else { "Pruned: pinned by hand" });
        return;
    }
    // Groups are made anew for the reasons of a layer, which is too much for every frame.
    let key = (cx.state.plan_revision, results.revision, head.site);
    let id = Id::unique("reasons of a layer");
    let held = ui.data(|d| d.get_temp::<((u64, u64, crate::network::Site), Arc<Vec<String>>)>(id));
    let lines = match held {
        Some((of, lines)) if of == key => lines,
        _ => {
            // A plan that was pinned elsewhere is still that of its method here.
            let active = cx.state.draft.now().active();
            let mut plan = crate::plan::Plan { method: active.base.method.clone(), ..plan.clone() };
            // Others may have to go with heads that are pinned to go, which says so of them.
            for other in active.pinned_heads().1.into_iter().filter(|other| other.site == head.site) {
                let out = plan.pinned_out.entry(other.site).or_default();
                if !out.contains(&other.head) {
                    out.push(other.head);
                }
            }
            let lines = Arc::new(why_at(&results.analysis, &plan, head.site).unwrap_or_default());
            ui.data_mut(|d| d.insert_temp(id, (key, Arc::clone(&lines))));
            lines
        }
    };
    if let Some(line) = lines.get(head.head) {
        note(ui, cx.theme, sentence(line));
    }
}

/// Whether the layer's heads are redundant, with the numbers behind it.
pub(in crate::gui) fn evidence(ui: &mut Ui, cx: Cx<'_>, site: &SiteAnalysis, feature: &FeatureAnalysis) {
    let theme = cx.theme;
    let Some(evidence) = &site.evidence else { return };
    let color = match evidence.verdict() {
        Some(true) => theme.good,
        Some(false) => theme.warning,
        None => theme.muted,
    };
    ui.label(RichText::new(unbroken(&sentence(&evidence.sentence))).small().color(color));
    let mut words = Vec::new();
    if let Some(found) = &feature.evidence {
        words.push(format!("groups explain {}", found.explained.sentence(DRAWS)));
        words.push(format!("silhouette {}", found.silhouette.sentence(DRAWS)));
        // The numbers of the layer are of all that was read.
        let sample = cx.state.results.as_ref().and_then(|results| results.analysis.evidence.as_ref());
        words.extend(sample.map(|sample| format!("both on {}", counted(sample.sequences, "sequences"))));
    }
    if let Some(stability) = feature.stability {
        words.push(format!("groups of single batches agree by {} (adjusted Rand)", Unit::Plain.format(stability)));
    }
    if !words.is_empty() {
        note(ui, theme, sentence(&words.join(" · ")));
    }
}
