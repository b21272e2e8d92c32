//! What a run and a plan come to, in sentences below the heads.

use eframe::egui::{Frame, Margin, Panel, RichText, Ui};

use crate::analysis::{Analysis, HeadKind};
use crate::chart::Unit;
use crate::gui::context::Cx;
use crate::gui::messages::sentence;
use crate::gui::state::State;
use crate::network::FeatureMap;
use crate::words::{noun, unbroken};

/// Draws the sentences at the foot of the view.
pub(super) fn below(ui: &mut Ui, cx: Cx<'_>, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    let foot = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
    Panel::bottom("overview in words").frame(foot).show_separator_line(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for text in sentences {
            ui.label(RichText::new(unbroken(text)).small().color(cx.theme.ink));
        }
    });
}

/// What is known, one sentence for each thing.
pub(super) fn sentences(state: &State) -> Vec<String> {
    let mut all = vec![plan(state)];
    if let (Some(results), Some(map)) = (&state.results, state.feature()) {
        all.extend(groups(&results.analysis, map));
        all.extend(kinds(&results.analysis));
        all.extend(results.analysis.evidence.as_ref().map(|evidence| sentence(&evidence.sentence)));
    }
    all.retain(|text| !text.is_empty());
    all
}

/// `3`, or `2 to 4`; `None` of nothing.
fn span(numbers: impl Iterator<Item = usize> + Clone) -> Option<String> {
    let (low, high) = (numbers.clone().min()?, numbers.max()?);
    Some(if low == high { low.to_string() } else { format!("{low} to {high}") })
}

/// A span of numbers of groups: `1 group`, `2 to 4 groups`.
fn in_groups(span: &str) -> String {
    format!("{span} {}", noun(if span == "1" { 1_u64 } else { 2 }, "groups"))
}

fn plan(state: &State) -> String {
    let Some(model) = &state.model else { return String::new() };
    let (kept, heads) = state.kept_heads();
    if kept == heads {
        return format!("The plan keeps all {heads} heads");
    }
    let in_layers = span(model.facts.shape.sites().iter().map(|site| state.kept_at(site))).unwrap_or_default();
    let mut text = format!("The plan keeps {kept} of {heads} heads, {in_layers} in a layer");
    if let Some(Ok(outlook)) = &state.outlook {
        let [before, after] = [&outlook.saving.before, &outlook.saving.after].map(|cost| cost.parameters as f64);
        if before > 0.0 {
            text += &format!(", and saves {} of the parameters", Unit::Share.format(1.0 - after / before));
        }
    }
    text
}

fn groups(analysis: &Analysis, map: FeatureMap) -> Option<String> {
    let features = analysis.sites.iter().filter_map(|site| site.features.get(&map));
    let counts = features.clone().map(|f| f.groups.iter().max().map_or(0, |last| last + 1));
    let alone: usize = features
        .map(|f| {
            let mut sizes = vec![0usize; f.groups.iter().max().map_or(0, |last| last + 1)];
            f.groups.iter().for_each(|group| sizes[*group] += 1);
            sizes.into_iter().filter(|size| *size == 1).count()
        })
        .sum();
    let theirs = match alone {
        0 => "no head is alone in its group".to_owned(),
        1 => "1 head is alone in its group".to_owned(),
        many => format!("{many} heads are alone in theirs"),
    };
    let groups = in_groups(&span(counts)?);
    Some(format!("By their {map} maps, heads form {groups} in a layer; {theirs}"))
}

/// How many heads do what.
fn kinds(analysis: &Analysis) -> Option<String> {
    let sites = || analysis.sites.iter().filter(|site| site.has_kinds());
    let all: usize = sites().map(|site| site.heads).sum();
    let mut counts: Vec<(HeadKind, usize)> = HeadKind::ALL.iter().map(|kind| (*kind, 0)).collect();
    for (kind, _) in sites().flat_map(|site| (0..site.heads).filter_map(|head| site.kind(head))) {
        counts.iter_mut().filter(|(of, _)| *of == kind).for_each(|(_, count)| *count += 1);
    }
    let named: usize = counts.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return None;
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let found = counts.iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> = found.map(|(kind, count)| format!("{count} {}", kind.label().to_lowercase())).collect();
    let rest = match all - named {
        1 => "1 head shows".to_owned(),
        count => format!("{count} heads show"),
    };
    Some(match words.is_empty() {
        true => format!("What heads do: no known pattern in any of {all}"),
        false => format!("What heads do: {}; {rest} no known pattern", words.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_name_both_ends_only_where_they_differ() {
        assert_eq!(span([2, 4, 3].into_iter()).unwrap(), "2 to 4");
        assert_eq!(span([3, 3].into_iter()).unwrap(), "3");
        assert_eq!(span(std::iter::empty()), None);
        assert_eq!(["1", "3", "1 to 2"].map(in_groups), ["1 group", "3 groups", "1 to 2 groups"]);
    }
}
