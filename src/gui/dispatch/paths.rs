//! Opening, dialogs and writing files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::action::PathPurpose;
use super::super::app::App;
use super::super::jobs::{JobKind, Outcome};
use super::super::selection::Selection;
use super::super::state::{Lost, Overlay};
use crate::analysis::Document;
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::workspace::job::{Place, open_place, open_workspace};
use crate::workspace::{Draft, History, ModelRef, Opened, Workspace, guess_input, sample};

/// A dialog that closes sooner than this was never seen: the desktop has no file portal.
const UNSEEN: Duration = Duration::from_millis(200);

impl App {
    /// Uses a path that was chosen, typed or dropped.
    pub(super) fn use_path(&mut self, purpose: PathPurpose, path: PathBuf) {
        self.state.overlay = None;
        match purpose {
            PathPurpose::Open => self.open(path),
            PathPurpose::Input => self.set_input(guess_input(&path)),
            PathPurpose::Images => self.set_input(Input::Images(path)),
            PathPurpose::Relocate => self.relocate(path),
            PathPurpose::SaveWorkspace => {
                let path = with_extension(path, "pillars");
                self.state.file = Some(path.clone());
                self.state.settings.remember(&path);
                let workspace = self.workspace();
                self.write(path, move |path| workspace.write(path));
            }
            PathPurpose::SavePlan => {
                if let Some(plan) = self.state.plan() {
                    self.write(with_extension(path, "json"), move |path| plan.write(path));
                }
            }
            PathPurpose::SaveAnalysis => {
                if let Some(results) = &self.state.results {
                    let analysis = Arc::clone(&results.analysis);
                    self.write(with_extension(path, "json"), move |path| analysis.write(path));
                }
            }
            PathPurpose::Export => self.export(path),
            PathPurpose::Train => self.train(path),
            PathPurpose::Picture(view) => self.write_picture(view, with_extension(path, "svg")),
        }
    }

    /// Asks for a path with a dialog of the system, off the window's thread.
    pub(super) fn ask_path(&mut self, purpose: PathPurpose) {
        if !self.has_dialogs {
            self.state.overlay = Some(Overlay::Path(purpose));
            return;
        }
        let folder = self.state.model.as_ref().and_then(|m| m.facts.folder.parent().map(Path::to_path_buf));
        let name = self.state.model.as_ref().map_or_else(|| "model".to_owned(), |m| m.facts.name.clone());
        self.state.jobs.start(JobKind::Dialog, "Choose a path", move |_| {
            let began = Instant::now();
            let mut dialog = rfd::FileDialog::new().set_title(title(purpose));
            if let Some(folder) = folder {
                dialog = dialog.set_directory(folder);
            }
            let chosen = match purpose {
                PathPurpose::Open | PathPurpose::Images | PathPurpose::Relocate => dialog.pick_folder(),
                PathPurpose::Input => dialog.pick_file(),
                PathPurpose::SaveWorkspace => dialog.set_file_name(format!("{name}.pillars")).save_file(),
                PathPurpose::SavePlan => dialog.set_file_name("plan.json").save_file(),
                PathPurpose::SaveAnalysis => dialog.set_file_name("analysis.json").save_file(),
                PathPurpose::Export => dialog.set_file_name(format!("{name}-pruned")).save_file(),
                PathPurpose::Train => dialog.set_file_name(format!("{name}-trained")).save_file(),
                PathPurpose::Picture(view) => {
                    dialog.set_file_name(format!("{}.svg", view.title().to_lowercase())).save_file()
                }
            };
            Ok(Outcome::Chosen(purpose, chosen, began.elapsed() < UNSEEN))
        });
    }

    /// A dialog gave nothing: where nobody can have seen it, the path is typed instead.
    pub(super) fn dialog_closed(&mut self, purpose: PathPurpose, unseen: bool) {
        if unseen {
            self.state
                .messages
                .info("This desktop shows no file dialogs: type the path, or drop the file on the window");
            self.state.overlay = Some(Overlay::Path(purpose));
        }
    }

    /// Opens whatever lies at `path`.
    pub(in super::super) fn open(&mut self, path: PathBuf) {
        self.state.overlay = None;
        self.state.open_failure = None;
        self.state.opening = Some(path.clone());
        let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        self.state.jobs.start(JobKind::Open, format!("Open {name}"), move |ticket| {
            Ok(Outcome::Opened(open_place(&path, ticket)?))
        });
    }

    /// Opens the workspace of the last start.
    pub(in super::super) fn restore(&mut self) {
        let store = self.state.store.clone();
        self.state.opening = Some(store.folder().to_path_buf());
        self.state.jobs.start(JobKind::Open, "Restore the last workspace", move |ticket| {
            Ok(Outcome::Opened(open_workspace(store.workspace()?, ticket)?))
        });
    }

    /// Notes a failure for the welcome screen.
    pub(super) fn open_failed(&mut self, error: &Error) {
        if let Some(path) = self.state.opening.take().filter(|_| !error.is_cancelled()) {
            self.state.open_failure = Some((path, error.clone()));
        }
    }

    /// Takes in what lay at a path.
    pub(super) fn adopt(&mut self, place: Place) {
        match place {
            Place::Model(opened) => {
                self.state.file = None;
                self.adopt_model(*opened);
            }
            Place::Workspace(workspace, Ok(opened)) => self.adopt_workspace(*workspace, *opened),
            Place::Workspace(workspace, Err(error)) => {
                self.state.messages.fail("Open the workspace", &error);
                self.close();
                self.state.lost = Some(Lost { workspace: *workspace, error });
            }
            Place::Plan(name, plan) => self.import_plan(name, *plan),
            Place::Analysis(analysis) => {
                let fits = |m: &Opened| m.facts.fingerprint == analysis.model.fingerprint;
                if self.state.model.as_ref().is_some_and(fits) {
                    self.state.messages.info("Analysis opened");
                    self.adopt_analysis(Arc::from(analysis));
                } else {
                    let text = format!("This analysis is of {}: open that model first", analysis.model.path);
                    self.state.messages.warn(text);
                }
            }
            Place::Input(input) if self.state.model.is_some() => self.set_input(input),
            Place::Input(_) => self.state.messages.warn("Open a model before what it reads"),
        }
    }

    fn adopt_model(&mut self, opened: Opened) {
        let facts = &opened.facts;
        let layers = facts.shape.sites().len();
        self.state.messages.info(format!(
            "Opened {}: {}, {layers} attention layers, {} heads",
            facts.name,
            facts.family,
            facts.heads()
        ));
        self.state.settings.remember(&facts.folder);
        self.forget_model();
        if let Some(first) = facts.shape.sites().first() {
            self.state.selection.show_site(first.site);
        }
        if let Some(sample) = sample().filter(|s| s.model == facts.folder) {
            self.state.run.input = sample.text.map(Input::Text);
        }
        self.state.model = Some(opened);
        self.check_run();
        self.plan_changed();
    }

    fn adopt_workspace(&mut self, workspace: Workspace, opened: Opened) {
        let same = workspace.model.as_ref().is_some_and(|m| m.fingerprint == opened.facts.fingerprint);
        self.adopt_model(opened);
        let state = &mut self.state;
        state.run = workspace.run;
        state.training.settings = workspace.training;
        if !same {
            state
                .messages
                .warn("The model is not the one this workspace was saved for: its results and plans are left out");
            self.check_run();
            return;
        }
        state.draft = History::new(workspace.draft);
        state.selection.site = workspace.site.or(state.selection.site);
        state.selection.feature = workspace.feature;
        state.measured = workspace.measured;
        state.sweep = workspace.sweep;
        if let Some(analysis) = workspace.analysis {
            self.adopt_analysis(analysis);
        }
        self.layout.restore(&workspace.view);
        self.check_run();
        self.plan_changed();
    }

    /// The model of a workspace lies somewhere else now.
    fn relocate(&mut self, folder: PathBuf) {
        let Some(Lost { mut workspace, .. }) = self.state.lost.take() else { return };
        if let Some(model) = &mut workspace.model {
            model.folder.clone_from(&folder);
        }
        self.state.opening = Some(folder);
        self.state.jobs.start(JobKind::Open, "Open the workspace", move |ticket| {
            Ok(Outcome::Opened(open_workspace(workspace, ticket)?))
        });
    }

    fn set_input(&mut self, input: Input) {
        self.state.run.input = Some(input);
        self.check_run();
    }

    /// Back to the welcome screen.
    pub(super) fn close(&mut self) {
        self.state.jobs.cancel_all();
        self.forget_model();
        self.state.model = None;
        self.state.checked = None;
        self.state.outlook = None;
        self.state.file = None;
    }

    /// Forgets everything that belongs to one model.
    fn forget_model(&mut self) {
        let state = &mut self.state;
        state.lost = None;
        state.results = None;
        state.selection = Selection::default();
        state.draft = History::new(Draft::default());
        state.measured.clear();
        state.sweep = None;
        state.patterns = None;
        state.pattern_fault = None;
        state.regrouped = None;
        state.what_if = None;
        state.export.done = None;
        state.export.failure = None;
        state.plan_revision += 1;
        self.asked_patterns = None;
        self.asked_grouping = None;
    }

    /// Everything that would be saved.
    pub(super) fn workspace(&self) -> Workspace {
        let state = &self.state;
        let model = state.model.as_ref().map(|m| ModelRef {
            folder: m.facts.folder.canonicalize().unwrap_or_else(|_| m.facts.folder.clone()),
            fingerprint: m.facts.fingerprint.clone(),
        });
        Workspace {
            model,
            run: state.run.clone(),
            training: state.training.settings.clone(),
            draft: state.draft.now().clone(),
            site: state.selection.site,
            feature: state.selection.feature,
            view: self.layout.save(),
            measured: state.measured.clone(),
            sweep: state.sweep.clone(),
            analysis: state.results.as_ref().map(|r| Arc::clone(&r.analysis)),
        }
    }

    /// Writes a file on a worker.
    fn write(&mut self, path: PathBuf, write: impl FnOnce(&Path) -> Result<()> + Send + 'static) {
        self.state.jobs.start(JobKind::Save, format!("Write {}", path.display()), move |_| {
            write(&path)?;
            Ok(Outcome::Written(path))
        });
    }

    /// Draws a view as a file on a worker.
    fn write_picture(&mut self, view: super::super::views::View, path: PathBuf) {
        match self.layout.picture(view, &self.state) {
            Ok(draw) => {
                self.write(path, move |path| crate::figure::write(&draw()?, path, crate::figure::DEFAULT_SCALE))
            }
            Err(error) => self.state.messages.fail("Save the picture", &error),
        }
    }
}

fn title(purpose: PathPurpose) -> &'static str {
    match purpose {
        PathPurpose::Open => "Open a model folder",
        PathPurpose::Input => "What the model reads",
        PathPurpose::Images => "Folder of images",
        PathPurpose::Relocate => "Where the model went",
        PathPurpose::SaveWorkspace => "Save the workspace",
        PathPurpose::SavePlan => "Save the plan",
        PathPurpose::SaveAnalysis => "Save the analysis",
        PathPurpose::Export => "Folder of the pruned checkpoint",
        PathPurpose::Train => "Folder of the trained model",
        PathPurpose::Picture(_) => "Save the picture (.svg, .png or .csv)",
    }
}

/// `path` with `extension` where it has none.
fn with_extension(path: PathBuf, extension: &str) -> PathBuf {
    if path.extension().is_some() { path } else { path.with_extension(extension) }
}
