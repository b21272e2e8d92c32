//! What the palette finds beside commands: layers, heads, colors, plans, recent models, and how many heads to keep.

use crate::chart::{HeadColor, Measure};
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::purpose::PathPurpose;
use crate::gui::state::State;
use crate::gui::view::View;
use crate::network::{Head, Site};
use crate::plan::Amount;
use crate::words::counted;

/// A line of the palette.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PaletteLine {
    Command(Command),
    /// What is done in words, a word on what it is, and the wishes that carry it out.
    Wishes {
        text: String,
        what: &'static str,
        actions: Vec<Action>,
    },
}

/// Lines of one sort that are listed at most.
const MOST: usize = 8;

/// Everything whose words hold what was typed: commands that hold the letters as they are, what is not a command, then
/// commands that hold the letters in order. Of each, what can be done now comes first.
pub(super) fn found(typed: &str, state: &State) -> Vec<PaletteLine> {
    let typed = typed.trim().to_lowercase();
    let commands = matches(&typed, |command| command.enabled(state).is_ok());
    let near = commands.iter().filter(|(is_near, _)| *is_near).map(|(_, command)| PaletteLine::Command(*command));
    let far = commands.iter().filter(|(is_near, _)| !*is_near).map(|(_, command)| PaletteLine::Command(*command));
    near.chain(things(&typed, state)).chain(far).collect()
}

/// What is said where nothing matches.
pub(super) fn nothing_found(typed: &str, state: &State) -> &'static str {
    match typed.trim().to_lowercase().starts_with("keep") {
        true if state.results.is_none() => "Heads are chosen by what a run found: run the model first",
        true => {
            "No such amount: keep more than 0 % and at most 100 % of the heads, or from 1 head in every layer up to all"
        }
        false => "Nothing matches. Try the name of a command, a layer, a color, or: keep 70 %",
    }
}

/// Commands whose words hold all letters of `typed` in order, with whether they hold them as they are. Those that can be
/// carried out come first.
fn matches(typed: &str, is_enabled: impl Fn(Command) -> bool) -> Vec<(bool, Command)> {
    let rank = |command: Command| {
        let text = command.spec().text.to_lowercase();
        let how_well = match text.find(typed) {
            Some(0) => 0,
            Some(_) => 1,
            None => {
                let mut rest = text.chars();
                typed.chars().all(|letter| rest.any(|c| c == letter)).then_some(2)?
            }
        };
        Some((!is_enabled(command), how_well))
    };
    let mut found: Vec<_> = Command::all().into_iter().filter_map(|c| Some((rank(c)?, c))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|((_, how_well), command)| (how_well < 2, command)).collect()
}

/// What is no command.
fn things(typed: &str, state: &State) -> Vec<PaletteLine> {
    if typed.is_empty() {
        return Vec::new();
    }
    let mut all = Vec::new();
    all.extend(amount(typed, state));
    let mut add = |found: Vec<(String, &'static str, Vec<Action>)>| {
        let wanted = found.into_iter().filter(|(text, ..)| holds(text, typed)).take(MOST);
        all.extend(wanted.map(|(text, what, actions)| PaletteLine::Wishes { text, what, actions }));
    };
    add(plans(state));
    add(layers(state));
    add(colors(state));
    add(recent(state));
    all.extend(heads(typed, state));
    all
}

/// Whether every word that was typed stands in `text`.
fn holds(text: &str, typed: &str) -> bool {
    let text = text.to_lowercase();
    typed.split_whitespace().all(|word| text.contains(word))
}

/// `keep 70 %`, `keep 70`, `keep 70 % of every layer`, `keep 3`: an amount for the plan being edited.
fn amount(typed: &str, state: &State) -> Option<PaletteLine> {
    let rest = typed.strip_prefix("keep")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ' ')).unwrap_or(rest.len());
    let number: f64 = rest[..end].trim().parse().ok()?;
    let after = rest[end..].trim();
    state.results.as_ref()?;
    let largest = state.model.as_ref()?.facts.shape.sites().iter().map(|site| site.heads).max()?;
    // More than any layer has is meant as a share, also while its sign is still to be typed.
    let is_share = after.starts_with('%') || after.starts_with("percent") || number > largest as f64;
    let every_layer = after.contains("layer");
    let (amount, text) = match is_share {
        // A share of nothing keeps no head, and none is more than all.
        true if !(number > 0.0 && number <= 100.0) => return None,
        true if every_layer => {
            (Amount::LayerRatio(number / 100.0), format!("Keep {number} % of the heads of every layer"))
        }
        true => (Amount::Ratio(number / 100.0), format!("Keep {number} % of all heads")),
        false if number.fract() != 0.0 || number < 1.0 => return None,
        false => (Amount::Keep(number as usize), format!("Keep {} in every layer", counted(number as u64, "heads"))),
    };
    let proposal = state.draft.now().active().proposal.clone().unwrap_or_else(|| state.first_proposal());
    let text = format!("{text}, by {}", proposal.method);
    let actions = vec![Action::Propose(proposal.of_amount(amount)), Action::Command(Command::Show(View::Prune))];
    Some(PaletteLine::Wishes { text, what: "plan", actions })
}

fn plans(state: &State) -> Vec<(String, &'static str, Vec<Action>)> {
    let plans = state.draft.now().plans().iter().enumerate();
    plans.map(|(index, plan)| (format!("Edit {}", plan.title()), "plan", vec![Action::ActivatePlan(index)])).collect()
}

fn layers(state: &State) -> Vec<(String, &'static str, Vec<Action>)> {
    let Some(model) = &state.model else { return Vec::new() };
    let sites = model.facts.shape.sites().iter();
    sites.map(|site| (format!("Show layer {}", site.site), "layer", vec![Action::ShowSite(site.site)])).collect()
}

fn colors(state: &State) -> Vec<(String, &'static str, Vec<Action>)> {
    let Some(results) = &state.results else { return Vec::new() };
    let measures = Measure::available(&results.analysis).into_iter().map(|m| (m.label(), HeadColor::Measure(m)));
    let all = [
        ("Group".to_owned(), HeadColor::Group),
        ("Kept".to_owned(), HeadColor::State),
        ("What it does".to_owned(), HeadColor::Kind),
    ]
    .into_iter()
    .chain(measures);
    let actions = |color| vec![Action::ColorBy(color), Action::Command(Command::Show(View::Overview))];
    all.map(|(label, color)| (format!("Color heads by {}", label.to_lowercase()), "overview", actions(color))).collect()
}

fn recent(state: &State) -> Vec<(String, &'static str, Vec<Action>)> {
    let open = |path: &std::path::PathBuf| {
        let actions = vec![Action::Path(PathPurpose::Open, path.clone())];
        (format!("Open {}", path.display()), "recent", actions)
    };
    state.settings.recent.iter().map(open).collect()
}

/// `encoder.3 head 5`, `3 5`, `3.5`, `head 5`: heads by the numbers that were typed.
fn heads(typed: &str, state: &State) -> Vec<PaletteLine> {
    let Some(model) = &state.model else { return Vec::new() };
    let words: String = typed.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let numbers: Vec<usize> = words.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let names: Vec<&str> = words.split_whitespace().filter(|word| word.parse::<usize>().is_err()).collect();
    let (layer, head) = match numbers.as_slice() {
        [layer, head] => (Some(*layer), *head),
        [head] if names.contains(&"head") => (None, *head),
        _ => return Vec::new(),
    };
    let is_wanted = |site: Site| {
        let kind = site.to_string().to_lowercase();
        let is_named = |name: &&str| ["head", "layer"].contains(name) || kind.contains(*name);
        layer.is_none_or(|layer| site.layer == layer) && names.iter().all(is_named)
    };
    let sites = model.facts.shape.sites().iter().filter(|site| head < site.heads && is_wanted(site.site)).take(MOST);
    let find = |site: &crate::plan::SiteShape| {
        let head = Head::new(site.site, head);
        let actions = vec![Action::ShowSite(site.site), Action::Select(head)];
        PaletteLine::Wishes { text: format!("Select {head}"), what: "head", actions }
    };
    sites.map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::jobs::Jobs;
    use crate::workspace::{ProgramSettings, Store};

    fn all(typed: &str) -> Vec<Command> {
        matches(typed, |_| true).into_iter().map(|(_, command)| command).collect()
    }

    #[test]
    fn commands_are_found_by_letters() {
        assert_eq!(all("undo").first(), Some(&Command::Undo));
        assert_eq!(all("zo in").first(), Some(&Command::ZoomIn));
        assert_eq!(all("").len(), Command::all().len());
        assert!(all("qqqq").is_empty());
        // What cannot be done now comes last.
        let found = matches("save", |command| command != Command::SaveWorkspace);
        let ends = [found.first(), found.last()].map(|found| found.unwrap().1);
        assert_eq!(ends, [Command::SaveWorkspaceAs, Command::SaveWorkspace]);
    }

    #[test]
    fn without_a_model_there_are_recent_ones() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ProgramSettings { recent: vec!["/models/minilm".into()], ..ProgramSettings::default() };
        let state = State::new(Store::at(folder.path().to_owned()), settings, Jobs::new(|| {}));
        let texts = |typed: &str| -> Vec<String> {
            found(typed, &state)
                .into_iter()
                .filter_map(|find| match find {
                    PaletteLine::Wishes { text, .. } => Some(text),
                    PaletteLine::Command(_) => None,
                })
                .collect()
        };
        assert_eq!(texts("minilm"), ["Open /models/minilm"]);
        assert!(texts("keep 70 %").is_empty() && texts("head 3").is_empty() && texts("").is_empty());
    }
}
