//! The one place that changes the state.
//!
//! | module | job |
//! | --- | --- |
//! | `opening` | opening and closing models and workspaces |
//! | `forgetting` | what goes with a model when another takes its place |
//! | `files` | dialogs, what a path is used for, writing files |
//! | `budget` | plans that come from what they cost |
//! | `past` | what trainings and exports of models came to that are not open |
//! | `plans` | proposals, pins, named plans |
//! | `repair` | repairs, the choice by reconstruction |
//! | `stopping` | asking before work on a model is stopped |
//! | `training` | a training run |
//! | `work` | runs, measurements, exports; what workers bring |
//! | `autosave` | settings and workspace, by themselves |

mod autosave;
mod beside;
mod budget;
mod files;
mod forgetting;
mod opening;
mod past;
mod plans;
mod repair;
mod stopping;
mod training;
mod work;

use eframe::egui::{self, ViewportCommand};
use egui_tiles::LinearDir;

use super::action::Action;
use super::app::{App, Waiting};
use super::command::Command;
use super::purpose::PathPurpose;
use super::state::Overlay;
use crate::network::Head;
use crate::training::Control;
use crate::workspace::{History, NamedPlan, ProgramSettings, sample};

impl App {
    /// Carries out one wish.
    pub(super) fn apply(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Command(command) => self.apply_command(ctx, command),
            Action::Path(purpose, path) => self.use_path(purpose, &path),
            Action::AskPath(purpose) => self.ask_path(purpose),
            Action::TypePath(purpose) => self.state.overlay = Some(Overlay::Path(purpose)),
            Action::Download(name) => self.download(&name),
            Action::Forget(path) => self.change_settings(|s| s.forget(&path)),
            Action::Select(head) => self.state.selection.only(head),
            Action::SelectAlso(head) => self.state.selection.toggle(head),
            Action::SelectTo(head) => {
                if let Some(model) = &self.state.model {
                    self.state.selection.extend(head, &model.facts.shape);
                }
            }
            Action::SelectAll(heads) => self.select_where(|head| heads.contains(&head)),
            Action::Step(rows, columns, extend) => {
                if let Some(model) = &self.state.model {
                    self.state.selection.step(&model.facts.shape, rows, columns, extend);
                }
            }
            Action::ShowSite(site) => self.state.selection.show_site(site),
            Action::ColorBy(color) => self.layout.color_by(color),
            Action::ShowFeature(map) => self.state.selection.feature = Some(map),
            Action::SelectGroup(group) => self.select_group(group),
            Action::SetRun(run) => {
                let is_other_length = self.state.run.seq_len != run.seq_len;
                self.state.run = *run;
                self.check_run();
                if is_other_length {
                    // Costs are for one length.
                    self.state.compared.clear();
                    self.plan_changed();
                }
            }
            Action::SetKept(heads, kept) => self.pin(&heads, |_| Some(kept), if kept { "keep" } else { "prune" }),
            Action::SetPinned(heads, true) => {
                let draft = self.state.draft.now().clone();
                self.pin(&heads, |head| Some(draft.active().is_kept(head)), "pin");
            }
            Action::SetPinned(heads, false) => self.pin(&heads, |_| None, "unpin"),
            Action::Propose(proposal) => self.propose(proposal, false),
            Action::AdjustProposal(proposal) => self.propose(proposal, true),
            Action::SetPicture(look) => self.change_settings(|s| s.set_picture(look)),
            Action::SetQualityBudget(share) => self.state.quality_share = Some(share.clamp(0.0, 1.0)),
            Action::SetEveryMethod(wanted) => self.change_settings(|s| s.every_method = wanted),
            Action::SetQualityMeasure(name) => self.state.quality_measure = Some(name),
            Action::CloseComparison => self.state.beside = None,
            Action::TakePoint(index) => self.take_point(index),
            Action::ActivatePlan(index) => self.edit_plans("change to another plan", |draft| draft.activate(index)),
            Action::RenamePlan(index, name) => self.edit_plans("rename the plan", |draft| draft.rename(index, &name)),
            Action::SetRepair(mode) => self.set_repair(mode),
            Action::SetExportFormat(format) => self.state.export.format = format,
            Action::SetExportQuantization(way) => self.state.export.quantization = way,
            Action::SetExportForce(force) => self.state.export.force = force,
            Action::SetTraining(settings) => self.state.training.settings = *settings,
            Action::SetTrainingStart(from_scratch, resume) => {
                (self.state.training.from_scratch, self.state.training.resume) = (from_scratch, resume);
            }
            Action::ResumeTraining => self.resume_training(),
            Action::ShowInput(shown) => self.state.shown = shown,
            Action::Regroup(groups) => self.state.what_if = groups,
            Action::SetNotes(notes) => self.state.notes = notes,
            Action::MeasurePlan(index) => self.measure(index),
            Action::Cancel(kind) => self.state.jobs.cancel(kind),
            Action::CancelTask(id) => self.state.jobs.cancel_one(id),
            Action::StopAndGoOn => self.go_on(),
            Action::QuitAnyway => {
                self.may_quit = true;
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
            Action::ShowRows => self.state.overlay = Some(Overlay::Rows),
            Action::CloseOverlay => (self.state.overlay, self.state.refused) = (None, None),
            Action::Copy(text) => ctx.copy_text(text),
        }
    }

    fn apply_command(&mut self, ctx: &egui::Context, command: Command) {
        if let Some(reason) = command.refusal(&self.state) {
            self.state.messages.info(format!("{}: {reason}", command.spec().text));
            return;
        }
        let selected: Vec<Head> = self.state.selection.heads.iter().copied().collect();
        match command {
            Command::OpenModel => self.ask_path(PathPurpose::Open),
            Command::OpenFile => self.ask_path(PathPurpose::OpenFile),
            Command::OpenCached => self.look_into_cache(),
            Command::TypePath => self.state.overlay = Some(Overlay::Path(PathPurpose::Open)),
            Command::OpenSample => {
                if let Some(sample) = sample() {
                    self.open(sample.model);
                }
            }
            Command::ChooseInput => self.ask_path(PathPurpose::Input),
            Command::TypeInput => self.state.overlay = Some(Overlay::Path(PathPurpose::Input)),
            Command::ChooseImages => self.ask_path(PathPurpose::Images),
            Command::SaveWorkspace => match self.state.file.clone() {
                // Another window, or another program: what it wrote may be dear.
                Some(path) if self.state.store.stamps().is_changed(&path) => {
                    let name = path.display();
                    self.state.messages.warn(format!(
                        "{name} was written by something else since: choose another name, or the same to replace it"
                    ));
                    self.ask_path(PathPurpose::SaveWorkspace);
                }
                Some(path) => self.use_path(PathPurpose::SaveWorkspace, &path),
                None => self.ask_path(PathPurpose::SaveWorkspace),
            },
            Command::SaveWorkspaceAs => self.ask_path(PathPurpose::SaveWorkspace),
            Command::SavePlan => self.ask_path(PathPurpose::SavePlan),
            Command::SaveAnalysis => self.ask_path(PathPurpose::SaveAnalysis),
            Command::SavePicture => {
                // How it is to look is asked first; a dialog of the system is one click away.
                let view = self.layout.front();
                self.state.overlay = Some(Overlay::Path(PathPurpose::Picture(view)));
            }
            Command::StartAfresh => self.ask_before(Waiting::StartAfresh),
            Command::CloseModel => self.ask_before(Waiting::Close),
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Undo => self.step_history("Undone", History::undo),
            Command::Redo => self.step_history("Done again", History::redo),
            Command::KeepHeads => self.apply(ctx, Action::SetKept(selected, true)),
            Command::PruneHeads => self.apply(ctx, Action::SetKept(selected, false)),
            Command::FlipHeads => {
                let draft = self.state.draft.now().clone();
                self.pin(&selected, |head| Some(!draft.active().is_kept(head)), "flip");
            }
            Command::PinAlignment => {
                let heads = self.state.model.as_ref().map(|model| model.facts.alignment.clone()).unwrap_or_default();
                self.pin(&heads, |_| Some(true), "pin");
            }
            Command::PinHeads => self.apply(ctx, Action::SetPinned(selected, true)),
            Command::UnpinHeads => self.apply(ctx, Action::SetPinned(selected, false)),
            Command::UnpinAll => self.edit_plans("unpin every head", |draft| draft.active_mut().pins.clear()),
            Command::NewPlan => self.edit_plans("new plan", |draft| draft.add(NamedPlan::new("Plan 1"))),
            Command::DuplicatePlan => self.edit_plans("duplicate the plan", |draft| {
                let copy = draft.active().clone();
                draft.add(copy);
            }),
            Command::DeletePlan => self.edit_plans("delete the plan", |draft| draft.remove(draft.active_index())),
            Command::SelectAll => self.select_where(|_| true),
            Command::SelectSite => {
                let site = self.state.site();
                self.select_where(|head| Some(head.site) == site);
            }
            Command::ClearSelection => self.state.selection.clear(),
            Command::NextView => self.layout.cycle(true),
            Command::PreviousView => self.layout.cycle(false),
            Command::NextPane => self.layout.next_pane(),
            Command::ToggleTable => self.layout.toggle_table(),
            Command::SplitRight => self.split(LinearDir::Horizontal),
            Command::SplitDown => self.split(LinearDir::Vertical),
            Command::MoveView => {
                if !self.layout.move_on() {
                    self.state.messages.info("Move to the next pane: there is one pane, split it first");
                }
            }
            Command::Guide => self.change_settings(|s| s.show_guide = !s.show_guide),
            Command::NextSite => self.step_site(1),
            Command::PreviousSite => self.step_site(-1),
            Command::Run => self.run(),
            Command::Estimate => self.estimate(),
            Command::Measure => self.measure(self.state.draft.now().active_index()),
            Command::MeasureCurves => self.measure_curves(),
            Command::AskBatches => self.ask_batches(),
            Command::Repair => self.repair(),
            Command::FindPlan => self.find_plan(),
            Command::CompareWith => self.state.overlay = Some(Overlay::Path(PathPurpose::Compare)),
            Command::WithoutEvidence => self.toggle_without_evidence(),
            Command::Export => self.ask_path(PathPurpose::Export),
            Command::Train => self.ask_path(PathPurpose::Train),
            Command::PauseTraining => self.tell_training(|c| c.set_paused(!c.is_paused())),
            Command::StopTraining => self.tell_training(Control::stop),
            Command::VoteNow => self.tell_training(Control::vote_now),
            Command::Cancel => self.state.jobs.cancel_all(),
            Command::Palette => self.state.overlay = Some(Overlay::Palette),
            Command::Shortcuts => self.state.overlay = Some(Overlay::Shortcuts),
            Command::About => self.state.overlay = Some(Overlay::About),
            Command::Show(view) => self.layout.show(view),
            Command::ResetLayout => {
                self.layout.reset();
                self.change_settings(|s| (s.show_model, s.show_inspector, s.show_tasks) = (true, true, true));
            }
            Command::ToggleModel => self.change_settings(|s| s.show_model = !s.show_model),
            Command::ToggleInspector => self.change_settings(|s| s.show_inspector = !s.show_inspector),
            Command::ToggleTasks => self.change_settings(|s| s.show_tasks = !s.show_tasks),
            Command::Theme(choice) => self.change_settings(|s| s.theme = choice),
            Command::ZoomIn => self.change_settings(|s| s.set_zoom((s.zoom * 10.0 + 1e-3).floor() / 10.0 + 0.1)),
            Command::ZoomOut => self.change_settings(|s| s.set_zoom((s.zoom * 10.0 - 1e-3).ceil() / 10.0 - 0.1)),
            Command::ZoomReset => self.change_settings(|s| s.set_zoom(1.0)),
            Command::CopyMessages => ctx.copy_text(self.state.messages.text()),
            Command::ClearMessages => self.state.messages.clear(),
        }
    }

    fn select_where(&mut self, wanted: impl Fn(Head) -> bool) {
        let Some(model) = &self.state.model else { return };
        let all = model.facts.shape.sites().iter().flat_map(|s| (0..s.heads).map(|h| Head::new(s.site, h)));
        let selection = &mut self.state.selection;
        selection.heads = all.filter(|h| wanted(*h)).collect();
        let first = selection.heads.first().copied();
        selection.cursor = selection.cursor.filter(|c| selection.heads.contains(c)).or(first);
    }

    fn select_group(&mut self, group: Option<usize>) {
        let labels = self.state.feature_results().map(|f| f.groups.clone()).unwrap_or_default();
        let site = self.state.site();
        if group.is_some() {
            self.select_where(|h| Some(h.site) == site && labels.get(h.head).copied() == group);
        }
        self.state.selection.group = group;
    }

    fn step_site(&mut self, by: isize) {
        let Some(model) = &self.state.model else { return };
        let sites = model.facts.shape.sites();
        let now = sites.iter().position(|s| Some(s.site) == self.state.site()).unwrap_or(0);
        if let Some(next) = sites.get(now.saturating_add_signed(by).min(sites.len().saturating_sub(1))) {
            self.state.selection.show_site(next.site);
        }
    }

    fn split(&mut self, dir: LinearDir) {
        if !self.layout.split(dir) {
            self.state.messages.info("Split: the view stands alone in its pane already");
        }
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut ProgramSettings)) {
        change(&mut self.state.settings);
    }
}
