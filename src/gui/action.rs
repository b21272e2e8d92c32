//! What panels and views ask for. Only `dispatch` carries it out.

use std::cell::RefCell;
use std::path::PathBuf;

use super::command::Command;
use super::jobs::JobKind;
use super::purpose::PathPurpose;
use crate::chart::HeadColor;
use crate::engines::Quantization;
use crate::network::{FeatureMap, Head, Site};
use crate::pruning::OutputFormat;
use crate::repair::RepairMode;
use crate::run::{AttentionInput, Spec};
use crate::training::TrainSettings;
use crate::workspace::{PictureLook, Proposal};

/// A wish with everything needed to carry it out.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Command(Command),
    /// Use a path for something.
    Path(PathPurpose, PathBuf),
    /// Ask for a path with a dialog of the system.
    AskPath(PathPurpose),
    /// Ask for a path to be typed.
    TypePath(PathPurpose),
    /// Download a model by its name on the hub.
    Download(String),
    /// Drop a place from the recent ones.
    Forget(PathBuf),
    /// Select one head alone.
    Select(Head),
    /// Add a head to the selection or take it out.
    SelectAlso(Head),
    /// Select the rectangle from the anchor to this head.
    SelectTo(Head),
    SelectAll(Vec<Head>),
    /// Move the cursor by layers and heads; the last part extends the range.
    Step(isize, isize, bool),
    /// Show a layer in the views of one layer.
    ShowSite(Site),
    /// What the color of a head says in the overview.
    ColorBy(HeadColor),
    /// Show a feature map in the views of one map.
    ShowFeature(FeatureMap),
    /// Select a group of the layer that is shown, with its heads, or none.
    SelectGroup(Option<usize>),
    /// What the next run is asked to do.
    SetRun(Box<Spec>),
    /// Fix heads to stay or go.
    SetKept(Vec<Head>, bool),
    /// Fix heads to what they are now, or hand them back to the proposal.
    SetPinned(Vec<Head>, bool),
    /// Let a method propose the plan.
    Propose(Proposal),
    /// The same as one step of a longer interaction.
    AdjustProposal(Proposal),
    ActivatePlan(usize),
    /// By what share quality may fall.
    SetQualityBudget(f64),
    /// Whether a search tries every method.
    SetEveryMethod(bool),
    /// By which measure quality is told.
    SetQualityMeasure(String),
    /// Show the overview again in place of a comparison.
    CloseComparison,
    /// Make this point of the quality curve a plan.
    TakePoint(usize),
    /// Give a plan another name.
    RenamePlan(usize, String),
    /// How plans are repaired.
    SetRepair(RepairMode),
    /// How removed heads are written.
    SetExportFormat(OutputFormat),
    /// How the file of an engine stores weights.
    SetExportQuantization(Option<Quantization>),
    /// Whether an export may replace a folder that holds nothing but an earlier one.
    SetExportForce(bool),
    /// What the next training is asked to do.
    SetTraining(Box<TrainSettings>),
    /// Whether training begins with fresh weights, and whether it goes on with the run in the folder.
    SetTrainingStart(bool, bool),
    /// Goes on with the training that is shown.
    ResumeTraining,
    /// Show attention on this input.
    ShowInput(AttentionInput),
    /// Group the heads of the layer that is shown into so many groups; `None` goes back to those of the run.
    Regroup(Option<usize>),
    /// What a person writes about the model.
    SetNotes(String),
    /// Measure the quality of one of the plans.
    MeasurePlan(usize),
    /// Stop one piece of work.
    Cancel(JobKind),
    /// Stop the task of this number, whichever model it is on.
    CancelTask(u64),
    /// Stop the work on the model that is open and do what that stands in the way of.
    StopAndGoOn,
    /// Leave, whatever is under way.
    QuitAnyway,
    /// Show the first rows of the input.
    ShowRows,
    /// Close the box over the window.
    CloseOverlay,
    /// How pictures are saved.
    SetPicture(PictureLook),
    /// Put text into the clipboard.
    Copy(String),
}

/// Where a frame collects its wishes.
#[derive(Default)]
pub(super) struct Outbox(RefCell<Vec<Action>>);

impl Outbox {
    /// Asks the window for `action`.
    pub(super) fn send(&self, action: Action) {
        self.0.borrow_mut().push(action);
    }

    /// Asks for a listed command.
    pub(super) fn command(&self, command: Command) {
        self.send(Action::Command(command));
    }

    /// Everything asked for since the last call.
    pub(super) fn take(&self) -> Vec<Action> {
        std::mem::take(&mut *self.0.borrow_mut())
    }

    /// True where nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
