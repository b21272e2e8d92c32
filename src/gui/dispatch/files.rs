//! Dialogs for paths, what a path is used for, and writing files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::repair::RepairOrder;
use crate::analysis::{Analysis, Document};
use crate::chart::Theme;
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::figure::{claim, claim_of, write};
use crate::gui::app::App;
use crate::gui::command::Command;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::gui::purpose::PathPurpose;
use crate::gui::state::Overlay;
use crate::gui::view::View;
use crate::hub::HubName;
use crate::plan::Plan;
use crate::pruning::check_free;
use crate::repair::Repair;
use crate::run::searched_with;
use crate::task::Ticket;
use crate::workspace::{PictureColors, Workspace, write_moments};

/// A dialog that closes sooner than this was never seen: the desktop has no file portal. A busy machine needs a while to
/// find that out, and a person who cancels as fast loses nothing by being asked for the path in another way.
const UNSEEN: Duration = Duration::from_secs(1);

impl App {
    /// Uses a path that was chosen, typed or dropped.
    pub(super) fn use_path(&mut self, purpose: PathPurpose, typed: &Path) {
        let path = match purpose {
            PathPurpose::Open | PathPurpose::Relocate if is_hub_name(typed) => typed.to_path_buf(),
            _ => whole(typed),
        };
        // What is not there can be mended where it was typed, too: whoever types on must not type into the plan.
        let is_read =
            matches!(purpose, PathPurpose::Open | PathPurpose::OpenFile | PathPurpose::Input | PathPurpose::Images);
        if is_read && !path.exists() && !is_hub_name(&path) {
            let error = Error::new("nothing is there").at(&path).hint("check the path");
            return self.refuse(purpose, typed, error);
        }
        let path = match purpose {
            PathPurpose::SaveWorkspace => with_extension(path, "pillars"),
            PathPurpose::SavePlan | PathPurpose::SaveAnalysis => with_extension(path, "json"),
            PathPurpose::Picture(_) => with_extension(path, "svg"),
            _ => path,
        };
        // Nor is a path lost that nothing can be written to.
        if let Err(error) = self.check_target(purpose, &path) {
            return self.refuse(purpose, typed, error);
        }
        let is_typed = self.state.overlay == Some(Overlay::Path(purpose));
        (self.state.overlay, self.state.refused) = (None, None);
        if let Some(kind) = reader(purpose) {
            self.typed = is_typed.then(|| (kind, purpose, typed.to_path_buf()));
        }
        match purpose {
            PathPurpose::Open | PathPurpose::OpenFile => self.open(path),
            PathPurpose::Input => self.set_input(Input::guess(&path)),
            PathPurpose::Images => self.set_input(Input::Images(path)),
            PathPurpose::Relocate => self.relocate(path),
            PathPurpose::SaveWorkspace => {
                // The file does not name itself: it may be moved.
                let workspace = Workspace { file: None, ..self.workspace() };
                let work = self.autosave.seen.as_ref().map(|seen| Box::new(seen.work.clone()));
                let stamps = self.state.store.stamps().clone();
                self.state.jobs.start(JobKind::Save, format!("Write {}", path.display()), move |_| {
                    let out = Workspace::claim(&path, &[])?;
                    workspace.write_whole(out.path())?;
                    stamps.note(&path);
                    Ok(JobOutcome::Saved(path, work))
                });
            }
            PathPurpose::SavePlan => {
                if let Some(plan) = self.state.shown_plan() {
                    // What it was measured with lies beside it, as the command line writes it.
                    let is_repaired = searched_with(&plan).is_some() || self.state.repairing.of(&plan.kept).is_some();
                    let order = RepairOrder::of(&self.state, &plan).filter(|_| is_repaired);
                    self.write(path, move |path| {
                        let _claimed = Plan::claim(path, &[])?;
                        if let Some(order) = order {
                            let out = Repair::claim::<&Path>(&Repair::path_beside(path), &[])?;
                            let made = order.carry_out(&plan, &Ticket::default())?.repair;
                            if made.record.mode.repairs() {
                                made.write(out.path())?;
                            }
                        }
                        plan.write(path)
                    });
                }
            }
            PathPurpose::SaveAnalysis => {
                if let Some(results) = &self.state.results {
                    let analysis = Arc::clone(&results.analysis);
                    let moments = results.moments.as_ref().map(|found| Arc::clone(&found.moments));
                    self.write(path, move |path| {
                        let _claimed = Analysis::claim(path, &[])?;
                        if let Some(moments) = moments {
                            write_moments(&moments, path)?;
                        }
                        analysis.write(path)
                    });
                }
            }
            PathPurpose::Compare | PathPurpose::CompareModel => self.compare_with(path),
            PathPurpose::Export => self.export(path),
            PathPurpose::Train => self.train(path),
            PathPurpose::Picture(view) => self.write_picture(view, path),
        }
    }

    /// Says why the path that was typed is of no use. The box that it stands in stays open and says so too.
    fn refuse(&mut self, purpose: PathPurpose, typed: &Path, error: Error) {
        let what = match purpose {
            PathPurpose::Open | PathPurpose::OpenFile => "Open",
            PathPurpose::Export => "Export",
            PathPurpose::Train => "Train",
            PathPurpose::Picture(_) => "Save the picture",
            other => title(other),
        };
        self.state.messages.fail(what, &error);
        match purpose {
            PathPurpose::Export => self.state.export.fail(error.clone()),
            PathPurpose::Train => self.state.training.failure = Some(error.clone()),
            _ => {}
        }
        self.state.refused = Some((purpose, typed.to_path_buf(), error));
    }

    /// What was typed for work of this `kind` is no longer needed; where the work failed, the box comes back with it, to be
    /// mended there.
    pub(super) fn settle_typed(&mut self, kind: JobKind, error: Option<&Error>) {
        let Some((_, purpose, path)) = self.typed.take_if(|(of, ..)| *of == kind) else { return };
        if let Some(error) = error.filter(|error| !error.is_cancelled() && self.state.overlay.is_none()) {
            self.state.overlay = Some(Overlay::Path(purpose));
            self.state.refused = Some((purpose, path, error.clone()));
        }
    }

    /// Whether what a path was asked for may be written there, while the box is still open that it was typed into. Whoever
    /// writes finds out again.
    fn check_target(&self, purpose: PathPurpose, path: &Path) -> Result<()> {
        match purpose {
            PathPurpose::SaveWorkspace => Workspace::claim(path, &[]).map(drop),
            PathPurpose::SavePlan => Plan::claim(path, &[]).map(drop),
            PathPurpose::SaveAnalysis => Analysis::claim(path, &[]).map(drop),
            PathPurpose::Picture(view) => {
                let table = || Ok(self.layout.picture(view, &self.state)?()?.table());
                claim_of(table, path, &[]).map(drop)
            }
            PathPurpose::Export => match &self.state.model {
                Some(opened) => check_free(path, opened.model.checkpoint().place(), self.state.export.force),
                None => Ok(()),
            },
            PathPurpose::Train => {
                if let Some(reason) = Command::Train.refusal(&self.state) {
                    return Err(Error::new(reason));
                }
                self.wanted_training(path.to_path_buf()).map_or(Ok(()), |wanted| wanted.check())
            }
            PathPurpose::Open
            | PathPurpose::OpenFile
            | PathPurpose::Input
            | PathPurpose::Images
            | PathPurpose::Relocate
            | PathPurpose::Compare
            | PathPurpose::CompareModel => Ok(()),
        }
    }

    /// Asks for a path with a dialog of the system, off the window's thread.
    pub(super) fn ask_path(&mut self, purpose: PathPurpose) {
        if !self.has_dialogs {
            self.state.overlay = Some(Overlay::Path(purpose));
            return;
        }
        let folder = self.state.model.as_ref().and_then(|m| m.facts.folder.parent().map(Path::to_path_buf));
        let name = purpose.proposed_name(self.state.model_name());
        self.state.jobs.start(JobKind::Dialog, "Choose a path", move |_| {
            let began = Instant::now();
            let mut dialog = rfd::FileDialog::new().set_title(title(purpose));
            if let Some(folder) = folder {
                dialog = dialog.set_directory(folder);
            }
            if let Some(name) = name {
                dialog = dialog.set_file_name(name);
            }
            let chosen = match purpose {
                PathPurpose::Open | PathPurpose::Images | PathPurpose::Relocate | PathPurpose::CompareModel => {
                    dialog.pick_folder()
                }
                PathPurpose::Input => dialog.pick_file(),
                PathPurpose::OpenFile => dialog
                    .add_filter("Workspaces, plans, analyses, GGUF models", &["pillars", "json", "gguf"])
                    .pick_file(),
                PathPurpose::Compare => dialog.add_filter("Analyses", &["json"]).pick_file(),
                PathPurpose::SaveWorkspace
                | PathPurpose::SavePlan
                | PathPurpose::SaveAnalysis
                | PathPurpose::Export
                | PathPurpose::Train
                | PathPurpose::Picture(_) => dialog.save_file(),
            };
            Ok(JobOutcome::Chosen(purpose, chosen, began.elapsed() < UNSEEN))
        });
    }

    /// A dialog gave nothing: where it closed too soon to have been shown, the path is typed instead.
    pub(super) fn dialog_closed(&mut self, purpose: PathPurpose, unseen: bool) {
        if unseen {
            self.has_dialogs = false;
            self.state
                .messages
                .info("This desktop shows no file dialogs: type the path, or drop the file on the window");
            self.state.overlay = Some(Overlay::Path(purpose));
        }
    }

    /// Writes a file on a worker, which claims it: what this program did not write is not replaced.
    fn write(&mut self, path: PathBuf, write: impl FnOnce(&Path) -> Result<()> + Send + 'static) {
        self.state.jobs.start(JobKind::Save, format!("Write {}", path.display()), move |_| {
            write(&path)?;
            Ok(JobOutcome::Written(path))
        });
    }

    /// Draws a view as a file on a worker.
    fn write_picture(&mut self, view: View, path: PathBuf) {
        match self.layout.picture(view, &self.state) {
            Ok(draw) => {
                let look = self.state.settings.picture;
                let theme = match look.colors {
                    PictureColors::Window => self.layout.theme(),
                    PictureColors::Light => &Theme::LIGHT,
                    PictureColors::Dark => &Theme::DARK,
                };
                self.write(path, move |path| {
                    let (figure, scale) = draw()?.printed(theme, look.size);
                    let out = claim(&figure, path, &[])?;
                    write(&figure, out.path(), scale)
                });
            }
            Err(error) => self.state.messages.fail("Save the picture", &error),
        }
    }
}

/// The work that finds out what is at a path that is read, where a worker does.
fn reader(purpose: PathPurpose) -> Option<JobKind> {
    match purpose {
        PathPurpose::Open | PathPurpose::OpenFile | PathPurpose::Relocate => Some(JobKind::Open),
        PathPurpose::Compare | PathPurpose::CompareModel => Some(JobKind::Compare),
        _ => None,
    }
}

fn title(purpose: PathPurpose) -> &'static str {
    match purpose {
        PathPurpose::Open => "Open a model folder",
        PathPurpose::OpenFile => "Open a workspace, a plan or an analysis",
        PathPurpose::Input => "What the model reads",
        PathPurpose::Images => "Folder of images",
        PathPurpose::Relocate => "Where the model went",
        PathPurpose::SaveWorkspace => "Save the workspace",
        PathPurpose::SavePlan => "Save the plan",
        PathPurpose::SaveAnalysis => "Save the analysis",
        PathPurpose::Compare => "An analysis to compare with",
        PathPurpose::CompareModel => "A model folder to compare with",
        PathPurpose::Export => "Folder of the pruned checkpoint",
        PathPurpose::Train => "Folder of the trained model",
        PathPurpose::Picture(_) => "Save the picture (.svg, .png or .csv)",
    }
}

/// `path` with `extension` where it has none.
fn with_extension(path: PathBuf, extension: &str) -> PathBuf {
    if path.extension().is_some() { path } else { path.with_extension(extension) }
}

/// Whether it is the name of a model on the hub, and no path here.
fn is_hub_name(path: &Path) -> bool {
    !path.exists() && path.to_str().is_some_and(|text| text.parse::<HubName>().is_ok())
}

/// The path from the root, with `~` for the home folder: what is remembered must mean the same at the next start.
fn whole(path: &Path) -> PathBuf {
    let expanded = match (path.strip_prefix("~"), dirs::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    };
    std::path::absolute(&expanded).unwrap_or(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_no_paths() {
        assert!(is_hub_name(Path::new("owner/model@v1")) && is_hub_name(Path::new("gpt2")));
        for path in ["/owner/model", "~/model", "a/b/c", "src", "../model"] {
            assert!(!is_hub_name(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn typed_paths_are_made_whole() {
        assert_eq!(whole(Path::new("/a/~b")), Path::new("/a/~b"));
        assert_eq!(whole(Path::new("x/y")), std::env::current_dir().unwrap().join("x/y"));
        if let Some(home) = dirs::home_dir() {
            assert_eq!(whole(Path::new("~/x")), home.join("x"));
            assert_eq!(whole(Path::new("~")), home);
        }
    }
}
