//! The first steps, from a model to a smaller one: what is done, what comes next, and the button for it.

use eframe::egui::text::LayoutJob;
use eframe::egui::{self, Align, Layout, RichText, Ui};

use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::state::State;
use crate::gui::view::View;
use crate::gui::widgets::{command_button, note};

/// One step of the way.
struct GuideStep {
    name: &'static str,
    is_done: fn(&State) -> bool,
    text: &'static str,
    command: Command,
    verb: &'static str,
}

const STEPS: [GuideStep; 6] = [
    GuideStep {
        name: "Load",
        is_done: |state| matches!(&state.checked, Some(Ok(_))),
        text: "The model is open; choose what it reads: text, images, recordings, labeled rows, token ids or tensors",
        command: Command::ChooseInput,
        verb: "Choose input…",
    },
    GuideStep {
        name: "Run",
        is_done: |state| state.results.is_some(),
        text: "The model reads the input; the heads of every layer are grouped by what they compute, and vote",
        command: Command::Run,
        verb: "Run",
    },
    GuideStep {
        name: "Look",
        is_done: |state| state.has_looked,
        text: "See which heads repeat each other: Redundancy, Groups and Votes show one layer at a time",
        command: Command::Show(View::Redundancy),
        verb: "Show redundancy",
    },
    GuideStep {
        name: CHOOSE,
        // Who saw the proposal and left it as it is has accepted it; where every head stays nothing was chosen yet.
        is_done: |state| (state.has_chosen() || state.has_seen_plan) && !prunes_nothing(state),
        text: "A plan is proposed. Change its method or amount in Prune, or click heads in the overview; undo takes it back",
        command: Command::Show(View::Prune),
        verb: "Show the plan",
    },
    GuideStep {
        name: "Measure",
        is_done: |state| state.measured_now().is_some(),
        text: "What does the plan cost in quality? It is measured beside the whole model and random heads",
        command: Command::Measure,
        verb: "Measure quality",
    },
    GuideStep {
        name: "Export",
        // What was exported of another plan says nothing of the one in front.
        is_done: |state| {
            let (done, legal) = (state.export.done.as_ref(), state.legal_plan());
            done.is_some_and(|(_, report)| legal.is_none_or(|legal| report.plan.kept == legal.kept))
        },
        text: "Write the smaller checkpoint; it is reopened and compared with the masked model",
        command: Command::Export,
        verb: "Export…",
    },
];

impl GuideStep {
    /// What the step is about, its command and the word on the button, as things stand.
    fn offer(&self, state: &State) -> (&'static str, Command, &'static str) {
        if self.name == CHOOSE && prunes_nothing(state) {
            // In Prune the plan is shown already.
            let (command, verb) = if state.has_seen_plan {
                (Command::FindPlan, "Find within a budget")
            } else {
                (self.command, self.verb)
            };
            return (NOTHING, command, verb);
        }
        (self.text, self.command, self.verb)
    }
}

/// The step in which a plan is made.
const CHOOSE: &str = "Choose";
/// What it says where the plan keeps every head.
const NOTHING: &str = "Nothing is proposed to go. In Prune keep a share of the heads, or let Find look for the smallest plan \
                       within a budget";

/// Whether there are results, and the plan leaves every head where it is.
fn prunes_nothing(state: &State) -> bool {
    state.results.is_some() && state.legal_plan().is_some_and(|plan| state.keeps_all(plan))
}

/// Width from which the steps stand well apart.
const ROOMY: f32 = 560.0;
/// Below this width they stand without title and numbers.
const NARROW: f32 = 480.0;

/// Draws the steps and the next one.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>) {
    // Who goes on without a step has no need of it.
    let passed = STEPS.iter().rposition(|step| (step.is_done)(cx.state)).map_or(0, |last| last + 1);
    let next = STEPS.get(passed);
    ui.horizontal(|ui| {
        // Where there is little room, the steps stand for themselves.
        let is_narrow = ui.available_width() < NARROW;
        if !is_narrow {
            ui.label(RichText::new("First steps").strong().color(cx.theme.ink));
        }
        // The steps and the button that hides them stand in one line, however little room there is.
        ui.spacing_mut().item_spacing.x = if ui.available_width() < ROOMY { 5.0 } else { 14.0 };
        for (place, step) in STEPS.iter().enumerate() {
            let is_done = place < passed;
            let color = match next {
                Some(next) if next.name == step.name => cx.theme.accent,
                _ if is_done => cx.theme.good,
                _ => cx.theme.muted,
            };
            let mark = match is_done {
                true => "\u{2713} ".to_owned(),
                false if is_narrow => String::new(),
                false => format!("{} ", place + 1),
            };
            let label = ui.label(RichText::new(format!("{mark}{}", step.name)).color(color));
            label.on_hover_text(step.offer(cx.state).0);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, cx, Command::Guide, "Hide");
        });
    });
    ui.horizontal(|ui| match next {
        Some(step) => {
            let (text, command, verb) = step.offer(cx.state);
            if let Some(job) = work_of(command).and_then(|kind| cx.state.jobs.get(kind)) {
                // With very large letters the list of tasks may be out of sight. Where the button of the step was there is
                // nothing to press, so that a second click stops nothing.
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let stop = ui.add_enabled(!job.is_cancelling(), egui::Button::new("Cancel").small());
                    if stop.accessible_name("Cancel this step").clicked() {
                        cx.send(Action::CancelTask(job.id));
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let text = RichText::new(format!("Running: {}", job.words())).small().color(cx.theme.muted);
                        ui.add(egui::Label::new(text).truncate());
                    });
                });
            } else {
                command_button(ui, cx, command, verb);
                hint(ui, cx, text);
            }
        }
        None => {
            command_button(ui, cx, Command::SaveWorkspace, "Save workspace");
            note(ui, cx.theme, "That is all. Try another method or amount, or train the model first");
        }
    });
}

/// What a step is about, in as many lines as it takes, two at most; what is left out of them is under the pointer.
fn hint(ui: &mut Ui, cx: Cx<'_>, text: &str) {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let mut job = LayoutJob::simple(text.to_owned(), font, cx.theme.muted, ui.available_width());
    job.wrap.max_rows = 2;
    let lines = ui.painter().layout_job(job);
    ui.add(egui::Label::new(lines));
}

/// The work that a step's command begins.
fn work_of(command: Command) -> Option<JobKind> {
    match command {
        Command::FindPlan => Some(JobKind::FindPlan),
        Command::Run => Some(JobKind::Analyze),
        Command::Measure => Some(JobKind::Measure),
        Command::Export => Some(JobKind::Export),
        _ => None,
    }
}
