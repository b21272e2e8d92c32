//! The frame loop: drain workers, apply wishes, draw.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use eframe::egui::{self, Key};

use super::accessibility::Accessibility;
use super::action::{Action, Outbox};
use super::autosave::Autosave;
use super::command::{Command, by_keys};
use super::context::Cx;
use super::findings::Findings;
use super::jobs::{AttentionKey, JobKind, JobOutcome, Jobs, RegroupKey};
use super::layout::ViewLayout;
use super::messages::sentence;
use super::panels::{self, Buffers};
use super::past::PastWork;
use super::purpose::PathPurpose;
use super::state::{Overlay, State};
use super::theme::{self, WindowTheme};
use crate::chart::Picture;
use crate::error::Result;
use crate::evaluation::curve::Curves;
use crate::gui::view::View;
use crate::hub::HubCache;
use crate::task::CancelToken;
use crate::tensor::DeviceChoice;
use crate::workspace::{ClosedHistories, Draft, OpenedPath, ProgramSettings, Store, ThemeChoice, sample};

/// What stops the work on a model, with what it takes to go on.
pub(super) enum Waiting {
    /// What was opened, with what could not be brought back.
    Open(Box<OpenedPath>, Vec<String>),
    Close,
    StartAfresh,
}

pub struct App {
    pub(super) state: State,
    pub(super) layout: ViewLayout,
    pub(super) autosave: Autosave,
    /// What was asked for last, so that a failure is not asked for again.
    pub(super) asked_patterns: Option<AttentionKey>,
    pub(super) asked_grouping: Option<RegroupKey>,
    /// The plans of models that were open before, with their histories.
    pub(super) closed: ClosedHistories<Draft, Findings>,
    /// What trainings and exports of models that were open before came to, by fingerprint.
    pub(super) past: HashMap<String, PastWork>,
    /// The points so far of a curve that is being measured, from its worker.
    pub(super) points: Arc<Mutex<Option<Arc<Curves>>>>,
    /// The widget that had the keyboard in the last frame.
    focus: Option<egui::Id>,
    revisions: u64,
    /// Whether paths may be asked for with dialogs of the system.
    pub(super) has_dialogs: bool,
    title: String,
    /// A person was asked about the work under way and wants to leave.
    pub(super) may_quit: bool,
    /// What waits for a person to say whether work is to be stopped for it.
    pub(super) waiting: Option<Waiting>,
    /// The path that was typed last for work of this kind to read.
    pub(super) typed: Option<(JobKind, PathPurpose, PathBuf)>,
    quit: CancelToken,
    buffers: Buffers,
    out: Outbox,
}

impl App {
    /// An empty window that keeps what it remembers in `store`.
    pub fn new(ctx: &egui::Context, store: Store, settings: ProgramSettings) -> Self {
        theme::install(ctx);
        ctx.add_plugin(Accessibility);
        let waker = ctx.clone();
        let jobs = Jobs::new(move || waker.request_repaint());
        let app = Self {
            state: State::new(store, settings, jobs),
            layout: ViewLayout::default(),
            autosave: Autosave::default(),
            asked_patterns: None,
            asked_grouping: None,
            closed: ClosedHistories::default(),
            past: HashMap::new(),
            points: Arc::default(),
            focus: None,
            revisions: 0,
            has_dialogs: true,
            title: String::new(),
            may_quit: false,
            waiting: None,
            typed: None,
            quit: CancelToken::default(),
            buffers: Buffers::default(),
            out: Outbox::default(),
        };
        app.apply_looks(ctx);
        app
    }

    /// The same window, in which every path is typed: for desktops without file dialogs, and for tests.
    #[must_use]
    pub fn without_dialogs(mut self) -> Self {
        self.has_dialogs = false;
        self
    }

    /// The same window, which finds downloaded models in `cache`.
    #[must_use]
    pub fn with_cache(mut self, cache: HubCache) -> Self {
        self.state.cache = cache;
        self
    }

    /// The same window, which closes once `quit` is cancelled.
    #[must_use]
    pub fn closed_by(mut self, quit: CancelToken) -> Self {
        self.quit = quit;
        self
    }

    /// Opens `path`; without one the workspace of the last start, on first start the sample.
    pub fn start(&mut self, path: Option<PathBuf>) {
        // A driver may take a second to answer.
        let found = |_: &crate::task::Ticket| Ok(JobOutcome::Devices(DeviceChoice::available()));
        self.state.jobs.start(JobKind::Devices, "Look for devices", found);
        let store = self.state.store.clone();
        let tidied = move |_: &crate::task::Ticket| Ok(JobOutcome::Tidied(store.tidy(std::time::SystemTime::now())));
        self.state.jobs.start(JobKind::Tidy, "Remove old autosaves", tidied);
        match path {
            Some(path) => self.open(path),
            None if self.state.store.has_workspace() => self.restore(),
            None => {
                if let Some(sample) = sample() {
                    self.open(sample.model);
                }
            }
        }
    }

    /// A number that no result had before.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.revisions += 1;
        self.revisions
    }

    /// Shows a warning among the messages.
    pub fn warn(&mut self, text: String) {
        self.state.messages.warn(text);
    }

    /// Everything that is shown.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The picture that a view painted last; `None` before it painted one.
    pub fn painted(&self, view: View) -> Option<&Picture> {
        self.layout.painted(view)
    }

    /// The picture that would be saved of a view as it stands.
    ///
    /// # Errors
    /// Where there is nothing to show.
    pub fn saved(&self, view: View) -> Result<Picture> {
        self.layout.picture(view, &self.state)?()
    }

    fn apply_looks(&self, ctx: &egui::Context) {
        let preference = match self.state.settings.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Light => egui::ThemePreference::Light,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
        };
        if ctx.options(|o| o.theme_preference) != preference {
            ctx.set_theme(preference);
        }
        if (ctx.zoom_factor() - self.state.settings.zoom).abs() > 1e-3 {
            ctx.set_zoom_factor(self.state.settings.zoom);
        }
    }

    /// Turns keys and dropped files into wishes.
    fn read_input(&self, ctx: &egui::Context) {
        for file in ctx.input(|i| i.raw.dropped_files.clone()) {
            let path = file.path().to_path_buf();
            let is_answer = self.state.lost.is_some() && path.is_dir();
            let purpose = if is_answer { PathPurpose::Relocate } else { PathPurpose::Open };
            self.out.send(Action::Path(purpose, path));
        }
        if self.state.overlay.is_some() {
            return;
        }
        let typing = ctx.text_edit_focused();
        for (keys, command) in by_keys() {
            let is_edit = matches!(command, Command::Undo | Command::Redo | Command::SelectAll);
            if typing && (is_edit || keys.conflicts_with_text_editing()) {
                continue;
            }
            // Escape also closes menus and popups, which come first.
            if keys.logical_key == Key::Escape && egui::Popup::is_any_open(ctx) {
                continue;
            }
            // Beside what a command names Shift and Alt are let pass, since brackets need them on some keyboards. Letters do
            // not: Alt and a letter is for the desktop, or for a menu.
            let is_letter = matches!(keys.logical_key.name().as_bytes(), [letter] if letter.is_ascii_alphabetic());
            if is_letter && keys.modifiers.is_none() && ctx.input(|i| !i.modifiers.is_none()) {
                continue;
            }
            if ctx.input_mut(|i| i.consume_shortcut(&keys)) {
                self.out.command(command);
            }
        }
    }

    /// Says once where the model computes, where that is not what was hoped for.
    fn note_device(&mut self) {
        let placed = self.state.model.as_ref().and_then(|m| m.loaded.placed());
        if placed != self.state.placed {
            if let Some(why) = placed.as_ref().and_then(|p| p.fallback.as_ref()) {
                self.state.messages.warn(sentence(why));
            }
            self.state.placed = placed;
        }
    }

    /// Asks before work under way is thrown away; a signal from outside is not asked back.
    fn guard_exit(&mut self, ctx: &egui::Context) {
        if self.quit.is_cancelled() && !self.may_quit {
            self.may_quit = true;
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
        let closing = ctx.input(|i| i.viewport().close_requested());
        if closing && !self.may_quit && self.state.jobs.shown().next().is_some() {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.state.overlay = Some(Overlay::Quit);
        }
    }

    /// The next start begins with a window as large as this one.
    fn remember_size(&mut self, ctx: &egui::Context) {
        let inner = ctx.input(|i| i.viewport().inner_rect);
        if let Some(rect) = inner {
            // Points of the desktop, whatever the zoom.
            let zoom = ctx.zoom_factor();
            self.state.settings.window = [(rect.width() * zoom).round(), (rect.height() * zoom).round()];
        }
    }

    /// The title bar says what is open.
    fn apply_title(&mut self, ctx: &egui::Context) {
        let file = self.state.file.as_ref().and_then(|f| f.file_stem()).map(|n| n.to_string_lossy().into_owned());
        let edited = if self.autosave.is_edited() { " (edited)" } else { "" };
        let file = file.map(|name| format!("{name}{edited}"));
        let name = file.or_else(|| self.state.model.as_ref().map(|m| m.facts.name.clone()));
        let title = name.map_or_else(|| "Pillars".to_owned(), |name| format!("{name} - Pillars"));
        // A command to the window asks for another frame, so it is sent only when there is something to say.
        if self.title != title {
            self.title.clone_from(&title);
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title));
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        // What was wished for in the last frame is meant for what that frame showed, not for what a worker brings now.
        for action in self.out.take() {
            self.apply(ctx, action);
        }
        for ended in self.state.jobs.poll() {
            self.finish(ended);
        }
        self.take_points();
        self.mind_waiting();
        self.note_device();
        let layers = [View::Redundancy, View::Groups, View::Votes];
        if self.state.results.is_some() {
            self.state.has_looked |= layers.contains(&self.layout.front());
            self.state.has_seen_plan |= self.layout.front() == View::Prune;
        }
        self.guard_exit(ctx);
        self.read_input(ctx);
        for action in self.out.take() {
            self.apply(ctx, action);
        }
        // A drag of a slider is one step in the history, and so is what is typed into one field: it ends with the mouse
        // button, or where the field is left.
        let focus = ctx.memory(|memory| memory.focused());
        let is_typing = ctx.text_edit_focused() && focus == self.focus;
        self.focus = focus;
        if !is_typing && !ctx.input(|i| i.pointer.any_down()) {
            self.state.draft.finish();
        }
        self.fetch();
        self.autosave(ctx);
        self.apply_looks(ctx);
        self.apply_title(ctx);
        self.remember_size(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let theme = WindowTheme::of(ui.visuals().dark_mode);
        let cx = Cx { state: &self.state, theme, out: &self.out };
        panels::show(ui, cx, &mut self.layout, &mut self.buffers);
        if !self.out.is_empty() {
            ui.ctx().request_repaint();
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.save_now();
    }
}
