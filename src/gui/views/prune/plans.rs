//! Named plans, the method behind the one being edited, and how many heads it keeps.

use eframe::egui::{ComboBox, InputState, Key, RichText, Slider, TextEdit, Ui};

use crate::chart::Unit;
use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::widgets::{command_button, edited, note, seed_field, slide};
use crate::gui::wording::{in_controls, worded};
use crate::plan::{Amount, Method};
use crate::repair::FORECAST;
use crate::words::{counted, unbroken};
use crate::workspace::{NamedPlan, Proposal};

/// The name being typed.
#[derive(Default)]
pub(super) struct Plans {
    renaming: Option<(usize, String)>,
}

/// The least share of heads that can be kept, in percent: none at all is no model.
const LEAST: f64 = 1.0;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Groups,
    Keep,
    Ratio,
    LayerRatio,
    Threshold,
}

impl Plans {
    /// Draws the list and the controls.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        self.list(ui, cx);
        ui.horizontal_wrapped(|ui| {
            command_button(ui, cx, Command::NewPlan, "New");
            command_button(ui, cx, Command::DuplicatePlan, "Copy");
            if ui.button("Rename").clicked() {
                let draft = cx.state.draft.now();
                self.renaming = Some((draft.active_index(), draft.active().name.clone()));
            }
            command_button(ui, cx, Command::DeletePlan, "Delete");
            command_button(ui, cx, Command::SavePlan, "Save…");
        });
        ui.add_space(4.0);
        method_ui(ui, cx);
        super::budget::search(ui, cx);
        legality(ui, cx);
    }

    fn list(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let draft = cx.state.draft.now();
        let mut done = false;
        for (index, plan) in draft.plans().iter().enumerate() {
            if let Some((_, name)) = self.renaming.as_mut().filter(|(i, _)| *i == index) {
                let field = ui.add(TextEdit::singleline(name).hint_text("Name of the plan"));
                if !field.has_focus() && !field.lost_focus() {
                    field.request_focus();
                }
                if field.lost_focus() {
                    // Escape leaves the name as it was; the key is taken by a command before it comes here.
                    let goes_on = |i: &InputState| {
                        i.key_pressed(Key::Enter) || i.key_pressed(Key::Tab) || i.pointer.any_pressed()
                    };
                    if ui.input(goes_on) {
                        cx.send(Action::RenamePlan(index, name.clone()));
                    }
                    done = true;
                }
                continue;
            }
            ui.horizontal_wrapped(|ui| {
                if ui.radio(index == draft.active_index(), plan.title()).clicked() {
                    cx.send(Action::ActivatePlan(index));
                }
                let mut words = plan.proposal.as_ref().map_or_else(String::new, |p| p.method.name().to_owned());
                if plan.pinned() > 0 {
                    let gap = if words.is_empty() { "" } else { ", " };
                    words = format!("{words}{gap}{} pinned", plan.pinned());
                }
                ui.label(RichText::new(words).small().color(cx.theme.muted));
            });
        }
        if done {
            self.renaming = None;
        }
    }
}

fn method_ui(ui: &mut Ui, cx: Cx<'_>) {
    let Some(results) = &cx.state.results else {
        note(ui, cx.theme, "Run the model to let a method choose; until then click heads in the overview");
        return;
    };
    let plan = cx.state.draft.now().active();
    let now = plan.proposal.clone();
    let mut method = now.as_ref().map(|p| p.method);
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(RichText::new("Chosen by").color(cx.theme.muted));
        let text = method.map_or_else(|| chooser(plan).unwrap_or("hand").to_owned(), |method| method.name().to_owned());
        let combo = ComboBox::from_id_salt("method").selected_text(text).width(170.0).show_ui(ui, |ui| {
            for &option in Method::ALL {
                let lacks = |n| results.analysis.sites.iter().any(|s| !s.baselines.contains_key(n));
                let missing = needs(option).is_some_and(lacks) || (option.needs_moments() && results.moments.is_none());
                let button = eframe::egui::Button::selectable(method == Some(option), option.name());
                let response = ui.add_enabled(!missing, button).on_hover_text(meaning(option));
                if response.on_disabled_hover_text(not_measured(option)).clicked() {
                    method = Some(option);
                }
            }
        });
        combo.response.labelled_by(label.id);
    });
    // In a line of its own: a link that is wrapped is hard to hit.
    if method == Some(Method::Reconstruction) {
        let votes = "Let the votes choose instead: the method of the paper, for models that were trained for heads of a \
                     group to be alike";
        if ui.link("Use the votes").on_hover_text(votes).clicked() {
            method = None;
            cx.send(Action::Propose(Proposal::first()));
        }
    }
    let Some(method) = method else {
        note(
            ui,
            cx.theme,
            match (&plan.base.budget, chooser(plan)) {
                (Some(_), _) => "Found within a budget; heads that you prune or keep change it".to_owned(),
                (None, Some(method)) => {
                    format!("Heads as {method} chose them before; those that you prune or keep change it")
                }
                (None, None) if !plan.base.kept.is_empty() => {
                    "Heads as they were given; those that you prune or keep change it".to_owned()
                }
                (None, None) => "Every head stays but those you prune; choose a method to start from".to_owned(),
            },
        );
        return;
    };
    let proposal = now.unwrap_or(Proposal { method, ..Proposal::first() });
    if proposal.method != method {
        let amount = match proposal.amount {
            Amount::Threshold(_) if !has_threshold(method) => Amount::Groups,
            amount => amount,
        };
        cx.send(Action::Propose(Proposal { method, amount, ..proposal }));
        return;
    }
    if plan.proposal.is_none() {
        cx.send(Action::Propose(proposal.clone()));
    }
    amount_ui(ui, cx, &proposal);
    if method == Method::Reconstruction {
        batches_ui(ui, cx);
    }
    if let Some(error) = &cx.state.proposal_fault {
        ui.label(RichText::new(worded(error)).small().color(cx.theme.danger));
    }
}

/// What batches choose by themselves: votes of reconstruction, as the other methods cast them.
fn batches_ui(ui: &mut Ui, cx: Cx<'_>) {
    if cx.state.jobs.get(JobKind::AskBatches).is_none() {
        command_button(ui, cx, Command::AskBatches, "Ask every batch");
    }
    super::progress::progress(ui, cx, JobKind::AskBatches);
}

/// What chose the heads of a plan that came as it is: from a search, a point of a curve, or a file.
fn chooser(plan: &NamedPlan) -> Option<&str> {
    Some(plan.base.method.as_str()).filter(|name| !matches!(*name, "" | "manual" | "mask"))
}

fn amount_ui(ui: &mut Ui, cx: Cx<'_>, proposal: &Proposal) {
    let mut mode = match proposal.amount {
        Amount::Groups => Mode::Groups,
        Amount::Keep(_) => Mode::Keep,
        Amount::Ratio(_) => Mode::Ratio,
        Amount::LayerRatio(_) => Mode::LayerRatio,
        Amount::Threshold(_) => Mode::Threshold,
    };
    let before = mode;
    let mut modes = vec![
        (Mode::Groups, "as many as groups", "As many heads in every layer as it has groups"),
        (Mode::Keep, "a number per layer", "The same number of heads in every layer"),
        (Mode::Ratio, "a share of all heads", "A share of all heads stays, wherever the highest ranks are"),
        (Mode::LayerRatio, "a share of each layer", "The same share of the heads of every layer stays"),
    ];
    if has_threshold(proposal.method) {
        modes.push((Mode::Threshold, "from a threshold", "Heads at or above a value stay"));
    }
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(RichText::new("Keep").color(cx.theme.muted));
        let text = modes.iter().find(|(m, ..)| *m == mode).map_or("", |(_, text, _)| text);
        let combo = ComboBox::from_id_salt("amount").selected_text(text).width(170.0).show_ui(ui, |ui| {
            for (value, text, hover) in &modes {
                ui.selectable_value(&mut mode, *value, *text).on_hover_text(*hover);
            }
        });
        combo.response.labelled_by(label.id);
    });
    let heads = cx.state.model.as_ref().and_then(|m| m.facts.shape.sites().iter().map(|s| s.heads).max()).unwrap_or(1);
    if mode != before {
        let amount = match mode {
            Mode::Groups => Amount::Groups,
            Mode::Keep => Amount::Keep(heads.div_ceil(2)),
            Mode::Ratio => Amount::Ratio(0.7),
            Mode::LayerRatio => Amount::LayerRatio(0.7),
            Mode::Threshold => Amount::Threshold(0.2),
        };
        cx.send(Action::Propose(proposal.of_amount(amount)));
        return;
    }
    let adjust = |amount| cx.send(Action::AdjustProposal(proposal.of_amount(amount)));
    ui.spacing_mut().slider_width = (ui.available_width() - 150.0).max(80.0);
    match proposal.amount {
        Amount::Groups => {}
        Amount::Keep(mut n) => {
            if slide(ui, cx.theme, Slider::new(&mut n, 1..=heads).text("heads per layer")).changed() {
                adjust(Amount::Keep(n));
            }
        }
        Amount::Ratio(ratio) | Amount::LayerRatio(ratio) => {
            let (_, percent) = edited(ratio * 100.0, 0, |percent| {
                let slider = Slider::new(percent, LEAST..=100.0).suffix(" %").max_decimals(0).text("of heads");
                slide(ui, cx.theme, slider)
            });
            if let Some(percent) = percent {
                let ratio = percent / 100.0;
                adjust(if mode == Mode::Ratio { Amount::Ratio(ratio) } else { Amount::LayerRatio(ratio) });
            }
        }
        Amount::Threshold(least) => {
            let words = if proposal.method == Method::Votes { "vote share" } else { "threshold" };
            let (_, percent) = edited(least * 100.0, 1, |percent| {
                let slider = Slider::new(percent, 0.0..=100.0).suffix(" %").max_decimals(1).text(words);
                slide(ui, cx.theme, slider)
            });
            if let Some(percent) = percent {
                adjust(Amount::Threshold(percent / 100.0));
            }
        }
    }
    super::budget::without_evidence(ui, cx, proposal);
    if matches!(proposal.method, Method::Random | Method::RandomInGroup) {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(RichText::new("Draw").color(cx.theme.muted));
            let mut seed = proposal.seed;
            if seed_field(ui, &mut seed).labelled_by(label.id).changed() {
                cx.send(Action::AdjustProposal(Proposal { seed, ..proposal.clone() }));
            }
        });
    }
}

/// What surgery makes of the plan.
fn legality(ui: &mut Ui, cx: Cx<'_>) {
    let theme = cx.theme;
    let plan = cx.state.draft.now().active();
    let (kept, all) = cx.state.kept_heads();
    let share = Unit::Share.format(1.0 - kept as f64 / all as f64);
    ui.add_space(4.0);
    ui.label(
        RichText::new(unbroken(&format!("{kept} of {} kept, {share} pruned", counted(all, "heads"))))
            .strong()
            .color(theme.ink),
    );
    if plan.pinned() > 0 {
        ui.horizontal_wrapped(|ui| {
            note(ui, theme, format!("{} pinned", counted(plan.pinned(), "heads")));
            command_button(ui, cx, Command::UnpinAll, "Unpin all");
        });
    }
    match &cx.state.outlook {
        None => {}
        Some(Err(error)) => {
            ui.label(RichText::new(worded(error)).small().color(theme.danger));
        }
        Some(Ok(outlook)) => {
            const SHOWN: usize = 4;
            let own = cx.state.draft.now().active().notes().iter();
            // What was measured is no longer foretold.
            let is_measured = cx.state.measured_now().is_some() || cx.state.searched_now().is_some();
            let own = own.filter(|note| !(is_measured && note.starts_with(FORECAST)));
            for text in own.chain(&outlook.notes).take(SHOWN) {
                if text.starts_with(FORECAST) {
                    // What a plan may cost is no fault of it.
                    note(ui, theme, format!("{}: {}", plan.title(), in_controls(text)));
                } else {
                    ui.label(RichText::new(unbroken(&sentence(&in_controls(text)))).small().color(theme.warning));
                }
            }
            if outlook.notes.len() > SHOWN {
                note(ui, theme, format!("and {} more layers like these", outlook.notes.len() - SHOWN));
            }
        }
    }
}

/// The score that a method needs from the run.
fn needs(method: Method) -> Option<&'static str> {
    match method {
        Method::Importance | Method::ImportanceNormalized => Some("importance"),
        Method::Magnitude => Some("magnitude"),
        Method::Confidence => Some("confidence"),
        _ => None,
    }
}

fn not_measured(method: Method) -> &'static str {
    match method {
        Method::Reconstruction => "Run with second moments (under More measures)",
        _ => "The last run did not measure this",
    }
}

fn has_threshold(method: Method) -> bool {
    !matches!(method, Method::PerGroup | Method::Reconstruction | Method::Random | Method::RandomInGroup)
}

fn meaning(method: Method) -> &'static str {
    match method {
        Method::Votes => "Most votes of the layer (the authors' code); two of the most voted may sit in one group",
        Method::PerGroup => "Most votes of each group: no group is lost",
        Method::Score => "Largest summed cosine to the center of the group",
        Method::Importance => {
            "Mean absolute derivative of the loss with respect to the head's gate (Michel et al. 2019)"
        }
        Method::ImportanceNormalized => "The same, divided by the layer's norm",
        Method::Magnitude => "Norm of the head's weights",
        Method::Confidence => "Mean largest attention weight (Voita et al. 2019)",
        Method::Reconstruction => "Heads go first whose contribution the others can best make up for",
        Method::Random => "Heads drawn at random: the control that a method has to beat",
        Method::RandomInGroup => "A random member of each group",
    }
}
