//! The one place that changes the state.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eframe::egui::{self, ViewportCommand};

use super::action::Action;
use super::app::App;
use super::command::Command;
use super::jobs::{DialogPurpose, Ended, JobKind, Outcome};
use super::selection::Selection;
use super::state::Overlay;
use crate::error::Error;
use crate::workspace::{Draft, HeadRef, History, Opened, job, sample};

/// A dialog that closes sooner than this was never seen: the desktop has no file portal.
const UNSEEN: Duration = Duration::from_millis(200);

impl App {
    /// Carries out one wish.
    pub(super) fn apply(&mut self, ctx: &egui::Context, action: Action) {
        match action {
            Action::Command(command) => self.apply_command(ctx, command),
            Action::Open(path) => self.open(path),
            Action::Forget(path) => {
                self.state.settings.forget(&path);
                self.save_settings();
            }
            Action::Select(head) => self.state.selection.only(head),
            Action::SelectAlso(head) => self.state.selection.toggle(head),
            Action::SelectTo(head) => {
                if let Some(model) = &self.state.model {
                    self.state.selection.extend(head, &model.facts.shape);
                }
            }
            Action::Step(rows, columns, extend) => {
                if let Some(model) = &self.state.model {
                    self.state.selection.step(&model.facts.shape, rows, columns, extend);
                }
            }
            Action::ShowSite(site) => self.state.selection.show_site(site),
            Action::SetKept(heads, kept) => self.pin(&heads, |_| Some(kept), if kept { "keep" } else { "prune" }),
            Action::SetPinned(heads, true) => {
                let draft = self.state.draft.now().clone();
                self.pin(&heads, |head| Some(draft.active().is_kept(head)), "pin");
            }
            Action::SetPinned(heads, false) => self.pin(&heads, |_| None, "unpin"),
            Action::SetZoom(zoom) => {
                self.state.settings.set_zoom(zoom);
                self.save_settings();
            }
            Action::CloseOverlay => self.state.overlay = None,
            Action::Copy(text) => ctx.copy_text(text),
        }
    }

    fn apply_command(&mut self, ctx: &egui::Context, command: Command) {
        if let Err(reason) = command.enabled(&self.state) {
            self.state.messages.info(format!("{}: {reason}", command.spec().text));
            return;
        }
        let selected: Vec<HeadRef> = self.state.selection.heads.iter().copied().collect();
        match command {
            Command::OpenModel => self.open_dialog(DialogPurpose::OpenModel),
            Command::TypePath => self.state.overlay = Some(Overlay::Path),
            Command::OpenSample => {
                if let Some(sample) = sample() {
                    self.open(sample.model);
                }
            }
            Command::CloseModel => self.close(),
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Undo => {
                if let Some(name) = self.state.draft.undo() {
                    self.plan_changed(format!("Undone: {name}"));
                }
            }
            Command::Redo => {
                if let Some(name) = self.state.draft.redo() {
                    self.plan_changed(format!("Done again: {name}"));
                }
            }
            Command::KeepHeads => self.apply(ctx, Action::SetKept(selected, true)),
            Command::PruneHeads => self.apply(ctx, Action::SetKept(selected, false)),
            Command::FlipHeads => {
                let draft = self.state.draft.now().clone();
                self.pin(&selected, |head| Some(!draft.active().is_kept(head)), "flip");
            }
            Command::PinHeads => self.apply(ctx, Action::SetPinned(selected, true)),
            Command::UnpinHeads => self.apply(ctx, Action::SetPinned(selected, false)),
            Command::SelectAll => self.select_where(|_| true),
            Command::SelectSite => {
                let site = self.state.selection.site;
                self.select_where(|head| Some(head.site) == site);
            }
            Command::ClearSelection => self.state.selection.clear(),
            Command::NextSite => self.step_site(1),
            Command::PreviousSite => self.step_site(-1),
            Command::Cancel => self.state.jobs.cancel_all(),
            Command::Palette => self.state.overlay = Some(Overlay::Palette),
            Command::Shortcuts => self.state.overlay = Some(Overlay::Shortcuts),
            Command::Show(view) => self.layout.show(view),
            Command::ResetLayout => {
                self.layout.reset();
                let settings = &mut self.state.settings;
                (settings.show_model, settings.show_inspector, settings.show_tasks) = (true, true, true);
                self.save_settings();
            }
            Command::ToggleModel => self.change_settings(|s| s.show_model = !s.show_model),
            Command::ToggleInspector => self.change_settings(|s| s.show_inspector = !s.show_inspector),
            Command::ToggleTasks => self.change_settings(|s| s.show_tasks = !s.show_tasks),
            Command::Theme(choice) => self.change_settings(|s| s.theme = choice),
            Command::ZoomIn => self.change_settings(|s| s.set_zoom((s.zoom * 10.0).floor() / 10.0 + 0.1)),
            Command::ZoomOut => self.change_settings(|s| s.set_zoom((s.zoom * 10.0).ceil() / 10.0 - 0.1)),
            Command::ZoomReset => self.change_settings(|s| s.set_zoom(1.0)),
            Command::CopyMessages => ctx.copy_text(self.state.messages.text()),
            Command::ClearMessages => self.state.messages.clear(),
        }
    }

    /// Takes in what a worker brought.
    pub(super) fn finish(&mut self, ended: Ended) {
        let Ended { kind, title, result } = ended;
        if kind == JobKind::Open {
            let path = self.state.opening.take();
            if let (Err(error), Some(path)) = (&result, path)
                && !error.is_cancelled()
            {
                self.state.open_failure = Some((path, error.clone()));
            }
        }
        match result {
            Ok(Outcome::Opened(opened)) => self.adopt(*opened),
            Ok(Outcome::Chosen(purpose, Some(path), _)) => match purpose {
                DialogPurpose::OpenModel => self.open(path),
            },
            Ok(Outcome::Chosen(_, None, true)) => {
                self.state.messages.warn(
                    "No file dialog is available on this desktop: type the path (Ctrl+L) or drop the folder here",
                );
                self.state.overlay = Some(Overlay::Path);
            }
            Ok(Outcome::Chosen(_, None, false) | Outcome::Saved) => {}
            Err(error) => self.state.messages.fail(&title, &error),
        }
    }

    /// Opens whatever lies at `path`.
    pub(super) fn open(&mut self, path: PathBuf) {
        self.state.overlay = None;
        self.state.open_failure = None;
        self.state.opening = Some(path.clone());
        let name = file_name(&path);
        self.state.jobs.start(JobKind::Open, format!("Open {name}"), move |ticket| {
            if !path.exists() {
                return Err(Error::new("nothing is there").at(&path).hint("check the path"));
            }
            Ok(Outcome::Opened(Box::new(job::open_model(&path, ticket)?)))
        });
    }

    fn adopt(&mut self, opened: Opened) {
        let facts = &opened.facts;
        self.state.messages.info(format!(
            "Opened {}: {}, {} attention layers, {} heads",
            facts.name,
            facts.family,
            facts.shape.sites().len(),
            facts.heads()
        ));
        self.state.settings.remember(&facts.folder);
        self.state.selection = Selection::default();
        if let Some(first) = facts.shape.sites().first() {
            self.state.selection.show_site(first.site);
        }
        self.state.draft = History::new(Draft::default());
        self.state.plan_revision += 1;
        self.state.model = Some(opened);
        self.save_settings();
    }

    fn close(&mut self) {
        self.state.jobs.cancel_all();
        self.state.model = None;
        self.state.selection = Selection::default();
        self.state.draft = History::new(Draft::default());
        self.state.plan_revision += 1;
    }

    fn open_dialog(&mut self, purpose: DialogPurpose) {
        self.state.jobs.start(JobKind::Dialog, "Choose a folder", move |_| {
            let began = Instant::now();
            let chosen = match purpose {
                DialogPurpose::OpenModel => rfd::FileDialog::new().set_title("Open a model folder").pick_folder(),
            };
            Ok(Outcome::Chosen(purpose, chosen, began.elapsed() < UNSEEN))
        });
    }

    fn pin(&mut self, heads: &[HeadRef], to: impl Fn(HeadRef) -> Option<bool>, verb: &str) {
        let what = match heads {
            [] => return,
            [head] => head.to_string(),
            many => format!("{} heads", many.len()),
        };
        self.state.draft.edit(format!("{verb} {what}"), |draft| {
            for head in heads {
                draft.active_mut().set_pin(*head, to(*head));
            }
        });
        self.state.plan_revision += 1;
    }

    fn plan_changed(&mut self, message: String) {
        self.state.plan_revision += 1;
        self.state.messages.info(message);
    }

    fn select_where(&mut self, wanted: impl Fn(HeadRef) -> bool) {
        let Some(model) = &self.state.model else { return };
        let all = model.facts.shape.sites().iter().flat_map(|s| (0..s.heads).map(|h| HeadRef::new(s.site, h)));
        self.state.selection.heads = all.filter(|h| wanted(*h)).collect();
        let first = self.state.selection.heads.first().copied();
        let selection = &mut self.state.selection;
        selection.cursor = selection.cursor.filter(|c| selection.heads.contains(c)).or(first);
    }

    fn step_site(&mut self, by: isize) {
        let Some(model) = &self.state.model else { return };
        let sites = model.facts.shape.sites();
        let now = sites.iter().position(|s| Some(s.site) == self.state.selection.site).unwrap_or(0);
        if let Some(next) = sites.get(now.saturating_add_signed(by).min(sites.len().saturating_sub(1))) {
            self.state.selection.show_site(next.site);
        }
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut crate::workspace::Settings)) {
        change(&mut self.state.settings);
        self.save_settings();
    }

    /// Writes the settings on a worker.
    pub(super) fn save_settings(&mut self) {
        let (store, settings) = (self.state.store.clone(), self.state.settings.clone());
        self.state.jobs.start(JobKind::Save, "Save settings", move |_| {
            store.save_settings(&settings)?;
            Ok(Outcome::Saved)
        });
    }
}

/// The last part of a path, or all of it.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}
