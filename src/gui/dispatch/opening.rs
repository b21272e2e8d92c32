//! Opening models and workspaces, and closing them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::corpus::{DataColumns, Input};
use crate::error::Error;
use crate::gui::app::App;
use crate::gui::autosave::UnsavedWork;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::gui::repairing::FoundMoments;
use crate::gui::state::{Lost, Overlay};
use crate::gui::wording::{in_controls, worded};
use crate::hub::{HubName, fetch, locate, short_name};
use crate::network::{InputSpec, SiteKind, StackSpec};
use crate::repair::RepairMode;
use crate::run::Opened;
use crate::words::counted;
use crate::workspace::{History, ModelRef, OpenedPath, Workspace, open_place, open_workspace, sample_at};

/// Where the work went that something else took the place of.
fn kept_in(path: &Path) -> String {
    format!("The earlier work is kept: open {} to go back to it", path.display())
}

/// That second moments which lie beside an analysis are not used, and why.
fn left_out(why: &str) -> String {
    format!("The second moments beside the analysis are left out: {why}")
}

/// Where the work of another window went that saved on the same model.
pub(super) fn other_window(path: &Path) -> String {
    format!("Another window works on this model too; its work is kept: open {} to see it", path.display())
}

impl App {
    /// Opens whatever lies at `path`. A model comes back with the work of the last time, where there is any.
    pub(in super::super) fn open(&mut self, path: PathBuf) {
        let name = short_name(&path);
        self.open_with(format!("Open {name}"), path, |path, ticket| open_place(&path, ticket), true);
    }

    /// Shows what lies in the hub's cache, which is read meanwhile.
    pub(super) fn look_into_cache(&mut self) {
        self.state.overlay = Some(Overlay::Cached);
        let cache = self.state.cache.clone();
        let look = move |_: &crate::task::Ticket| Ok(JobOutcome::Cached(cache.models()));
        self.state.jobs.start(JobKind::Cached, "Read the hub's cache", look);
    }

    /// Downloads the model that somebody named.
    pub(super) fn download(&mut self, name: &str) {
        let name: HubName = match name.trim().parse() {
            Ok(name) => name,
            Err(error) => return self.state.messages.fail("Download", &error),
        };
        let cache = self.state.cache.clone();
        self.state.jobs.start(JobKind::Download, format!("Download {name}"), move |ticket| {
            fetch(&name, &cache, ticket)?;
            Ok(JobOutcome::Downloaded(name))
        });
    }

    /// Opens the workspace of the last start.
    pub(in super::super) fn restore(&mut self) {
        let store = self.state.store.clone();
        self.state.opening = Some(store.folder().to_path_buf());
        self.state.jobs.start(JobKind::Open, "Restore the last workspace", move |ticket| {
            let restored = store.workspace()?;
            Ok(JobOutcome::Opened(open_workspace(restored.workspace, ticket)?, restored.warnings))
        });
    }

    /// The model of a workspace lies somewhere else now.
    pub(super) fn relocate(&mut self, folder: PathBuf) {
        let Some(Lost { workspace, .. }) = &self.state.lost else { return };
        let mut workspace = workspace.clone();
        let open = move |folder, ticket: &crate::task::Ticket| {
            workspace.move_model(folder, ticket)?;
            open_workspace(workspace, ticket)
        };
        self.open_with("Open the workspace".to_owned(), folder, open, false);
    }

    fn open_with(
        &mut self,
        title: String,
        path: PathBuf,
        open: impl FnOnce(PathBuf, &crate::task::Ticket) -> crate::Result<OpenedPath> + Send + 'static,
        bring_back: bool,
    ) {
        self.state.overlay = None;
        self.state.open_failure = None;
        self.state.opening = Some(path.clone());
        // The work on the model that is open now is written before anything else is read.
        let save = self.what_to_save();
        let (store, cache) = (self.state.store.clone(), self.state.cache.clone());
        self.state.jobs.start(JobKind::Open, title, move |ticket| {
            let other = save.map(UnsavedWork::write).transpose()?.flatten();
            let mut notes: Vec<String> = other.iter().map(|path| other_window(path)).collect();
            let located = locate(&path, &cache)?;
            notes.extend(located.note);
            let file = located.path.clone();
            let place = open(located.path, ticket)?;
            if matches!(place, OpenedPath::Workspace(..)) {
                store.stamps().note(&file);
            }
            match place {
                OpenedPath::Model(opened) if bring_back => match store.workspace_of(&opened.facts.fingerprint) {
                    Ok(Some(restored)) => {
                        let workspace = Box::new(restored.workspace);
                        notes.extend(restored.warnings);
                        Ok(JobOutcome::Opened(OpenedPath::Workspace(workspace, Ok(opened)), notes))
                    }
                    Ok(None) => Ok(JobOutcome::Opened(OpenedPath::Model(opened), notes)),
                    Err(error) => {
                        notes.push(worded(&error));
                        Ok(JobOutcome::Opened(OpenedPath::Model(opened), notes))
                    }
                },
                OpenedPath::Workspace(workspace, Ok(opened)) if bring_back => {
                    let kept = store.keep_earlier(&opened.facts.fingerprint)?;
                    notes.extend(kept.iter().map(|path| kept_in(path)));
                    Ok(JobOutcome::Opened(OpenedPath::Workspace(workspace, Ok(opened)), notes))
                }
                place => Ok(JobOutcome::Opened(place, notes)),
            }
        });
    }

    /// Notes a failure for the welcome screen.
    pub(super) fn open_failed(&mut self, error: &Error) {
        if let Some(path) = self.state.opening.take().filter(|_| !error.is_cancelled()) {
            self.state.open_failure = Some((path, error.clone()));
        }
    }

    /// Takes in what lay at a path.
    pub(super) fn adopt(&mut self, place: OpenedPath, warnings: Vec<String>) {
        for warning in warnings {
            self.state.messages.warn(warning);
        }
        match place {
            OpenedPath::Model(opened) => {
                self.state.settings.remember(&opened.facts.folder);
                let fingerprint = opened.facts.fingerprint.clone();
                self.adopt_model(*opened);
                // Without its work, what was made of the model before is not shown either.
                self.past.remove(&fingerprint);
            }
            OpenedPath::Workspace(workspace, Ok(opened)) => self.adopt_workspace(*workspace, *opened),
            OpenedPath::Workspace(workspace, Err(error)) => {
                self.state.messages.fail("Open the workspace", &error);
                self.close();
                self.state.lost = Some(Lost { workspace: *workspace, error });
            }
            OpenedPath::Plan(name, plan, own) => self.import_plan(name, *plan, own.map(|own| own.map(|own| *own))),
            OpenedPath::Analysis(analysis, moments) => {
                let fits = |m: &Opened| m.facts.fingerprint == analysis.model.fingerprint;
                if self.state.model.as_ref().is_some_and(fits) {
                    self.state.messages.info("Analysis opened");
                    let moments = moments.unwrap_or_else(|error| {
                        self.state.messages.warn(left_out(&worded(&error)));
                        None
                    });
                    self.adopt_analysis("open an analysis", Arc::from(analysis), moments.map(FoundMoments::new));
                } else {
                    let text = format!("This analysis is of {}: open that model first", analysis.model.path);
                    self.state.messages.warn(text);
                }
            }
            OpenedPath::Input(input) if self.state.model.is_some() => self.take_input(input),
            OpenedPath::Input(_) => self.state.messages.warn("Open a model before its input"),
        }
    }

    fn adopt_model(&mut self, opened: Opened) {
        let facts = &opened.facts;
        let layers = facts.shape.sites().len();
        self.state.messages.info(format!(
            "Opened {}: {}, {}, {}",
            facts.name,
            facts.family,
            counted(layers, "attention layers"),
            counted(facts.heads(), "heads")
        ));
        let is_anew = self.state.model.as_ref().is_some_and(|m| m.facts.fingerprint == facts.fingerprint);
        self.forget_model(is_anew);
        if let Some(first) = facts.shape.sites().first() {
            self.state.selection.show_site(first.site);
        }
        if let Some(sample) = sample_at(&facts.folder) {
            sample.prepare(&mut self.state.run);
        }
        // Heads that were trained to be alike are what the paper's votes are for.
        self.state.repairing.begin(if facts.was_trained_here { RepairMode::None } else { RepairMode::Auto });
        self.state.run.moments = FoundMoments::are_cheap(opened.model.spec());
        self.state.jobs.set_model(Some(opened.facts.fingerprint.clone()));
        self.state.model = Some(opened);
        self.check_run();
        self.plan_changed();
    }

    fn adopt_workspace(&mut self, workspace: Workspace, opened: Opened) {
        let lacks_moments = workspace.lacks_moments();
        let same = workspace.model.as_ref().is_some_and(|m| m.fingerprint == opened.facts.fingerprint);
        let place = workspace.file.as_deref().filter(|_| same).unwrap_or(&opened.facts.folder);
        self.state.settings.remember(place);
        // Where nothing was chosen to read the last time, a sample still has its own text.
        let sample = sample_at(&opened.facts.folder);
        self.adopt_model(opened);
        let state = &mut self.state;
        if let Some(path) = &workspace.moved_input {
            state.messages.info(format!("The input was not where it had been; it was found at {}", path.display()));
        }
        state.run = workspace.run;
        if let Some(sample) = sample {
            sample.prepare(&mut state.run);
        }
        state.training.settings = workspace.training;
        state.quality_share = workspace.quality_budget.filter(|share| (0.0..=1.0).contains(share));
        state.quality_measure = workspace.quality_measure;
        if let Some(mode) = workspace.repair {
            state.repairing.mode = mode;
        }
        if !same {
            state
                .messages
                .warn("The model is not the one this workspace was saved for: its results and plans are left out");
            self.check_run();
            return;
        }
        state.file = workspace.file;
        state.notes = workspace.notes;
        state.draft = match &state.model {
            Some(model) => self.closed.reopen(&model.facts.fingerprint, workspace.draft),
            None => History::new(workspace.draft),
        };
        let has =
            |site: &crate::network::Site| state.model.as_ref().is_some_and(|m| m.facts.shape.get(*site).is_some());
        state.selection.site = workspace.site.filter(has).or(state.selection.site);
        state.selection.feature = workspace.feature;
        state.measured = workspace.measured;
        state.curves = workspace.curves;
        state.measured_revision += 1;
        state.beside = None;
        if let Some(analysis) = workspace.analysis {
            self.adopt_analysis("open the workspace", analysis, workspace.moments.map(FoundMoments::new));
            if let Some(fault) = workspace.moments_fault {
                self.state.messages.warn(left_out(&in_controls(&fault)));
            } else if lacks_moments {
                self.state.messages.warn(
                    "The second moments of the last run are not there: they were too large to keep, or their file is gone. \
                     Run again to choose heads by reconstruction",
                );
            }
            self.state.messages.info("Results and plans are back; Start afresh in the File menu clears them");
        }
        (self.state.last_run_secs, self.state.last_pass_secs) = (workspace.run_secs, workspace.pass_secs);
        // After the results, which make repairs out of date that were calibrated on others.
        self.bring_back_repairs(&workspace.repairs, &workspace.repair_faults);
        self.take_up((workspace.trained, workspace.found_run), workspace.found_export);
        self.layout.restore(&workspace.view);
        if let Some(text) = self.layout.typed_input() {
            self.state.shown = text;
        }
        self.check_run();
        self.plan_changed();
        self.autosave.mark_written();
    }

    /// Forgets results, plans and notes; the model stays open. What is forgotten is kept in a file.
    pub(super) fn start_afresh(&mut self) {
        let Some(opened) = self.state.model.clone() else { return };
        let (save, store) = (self.what_to_save(), self.state.store.clone());
        self.state.jobs.start(JobKind::Open, "Start afresh", move |_| {
            if let Some(save) = save {
                save.write()?;
            }
            let kept = store.keep_earlier(&opened.facts.fingerprint)?;
            let notes = kept.into_iter().map(|path| kept_in(&path)).collect();
            Ok(JobOutcome::Opened(OpenedPath::Model(Box::new(opened)), notes))
        });
    }

    /// Takes what was opened as input, and says so with what was there before. Images that the model does not read leave the
    /// input as it is.
    fn take_input(&mut self, input: Input) {
        let is_image_stack = |stack: &StackSpec| matches!(stack.input, InputSpec::Patches(_));
        let reads_images = self.state.model.as_ref().is_some_and(|opened| {
            let spec = opened.model.spec();
            spec.encoder.iter().chain(&spec.decoder).any(is_image_stack)
        });
        if let (Input::Images(path), false) = (&input, reads_images) {
            let text = format!("{} is no model and holds images, which this model does not read", path.display());
            return self.state.messages.warn(format!("{text}: the input stays as it was"));
        }
        let told = |input: Option<&Input>| input.map(ToString::to_string);
        let before = told(self.state.run.input.as_ref());
        self.set_input(input);
        let now = told(self.state.run.input.as_ref()).unwrap_or_default();
        self.state.messages.info(match before.filter(|before| *before != now) {
            Some(before) => format!("Input: {now} (it was {before})"),
            None => format!("Input: {now}"),
        });
    }

    pub(super) fn set_input(&mut self, input: Input) {
        let is_translator = self
            .state
            .model
            .as_ref()
            .is_some_and(|model| model.facts.shape.sites().iter().any(|site| site.site.kind == SiteKind::Cross));
        self.state.run.input = Some(match input {
            // Pairs of a source and its target are for models with two stacks; for others such rows are labeled ones.
            Input::Pairs { path, .. } if !is_translator => Input::Data { path, columns: DataColumns::default() },
            input => input,
        });
        self.check_run();
    }

    /// Back to the welcome screen.
    pub(super) fn close(&mut self) {
        self.state.jobs.cancel_all();
        self.forget_model(false);
        self.state.model = None;
        self.state.jobs.set_model(None);
    }

    /// Everything that would be saved.
    pub(super) fn workspace(&self) -> Workspace {
        let state = &self.state;
        let model = state.model.as_ref().map(|m| ModelRef {
            folder: std::path::absolute(&m.facts.folder).unwrap_or_else(|_| m.facts.folder.clone()),
            fingerprint: m.facts.fingerprint.clone(),
        });
        Workspace {
            model,
            notes: state.notes.clone(),
            file: state.file.clone(),
            run: state.run.clone(),
            training: state.training.settings.clone(),
            trained: state.training.run.folder.clone(),
            found_run: None,
            exported: state.export.done.as_ref().map(|(folder, _)| folder.clone()),
            found_export: None,
            repair: Some(state.repairing.mode),
            quality_budget: state.quality_share,
            quality_measure: state.quality_measure.clone(),
            draft: state.draft.now().clone(),
            site: state.selection.site,
            feature: state.selection.feature,
            view: self.layout.save(),
            measured: state.measured.clone(),
            repairs: state.repairing.kept(),
            repair_faults: Vec::new(),
            curves: state.curves.clone(),
            analysis: state.results.as_ref().map(|r| Arc::clone(&r.analysis)),
            run_secs: state.last_run_secs,
            pass_secs: state.last_pass_secs,
            moments: state.results.as_ref().and_then(|r| r.moments.as_ref()).and_then(FoundMoments::kept),
            moments_fault: None,
            moved_input: None,
        }
    }
}
