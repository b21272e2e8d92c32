//! The commands, and the menus in which they stand.

use eframe::egui::KeyboardShortcut;
use strum::{EnumIter, IntoStaticStr, VariantArray};

use crate::gui::view::View;
use crate::workspace::ThemeChoice;

/// An action that needs no more than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter)]
#[allow(missing_docs, reason = "the table says what each one does")]
pub enum Command {
    OpenModel,
    OpenFile,
    TypePath,
    /// Open a model of the hub's cache.
    OpenCached,
    OpenSample,
    ChooseInput,
    TypeInput,
    ChooseImages,
    SaveWorkspace,
    SaveWorkspaceAs,
    SavePlan,
    SaveAnalysis,
    SavePicture,
    StartAfresh,
    CloseModel,
    Quit,
    Undo,
    Redo,
    NewPlan,
    DuplicatePlan,
    DeletePlan,
    KeepHeads,
    PruneHeads,
    FlipHeads,
    PinHeads,
    /// Hold the heads that tell when a word was said.
    PinAlignment,
    UnpinHeads,
    UnpinAll,
    SelectAll,
    SelectSite,
    ClearSelection,
    Run,
    Estimate,
    Measure,
    MeasureCurves,
    Repair,
    FindPlan,
    /// Let every batch choose by itself.
    AskBatches,
    WithoutEvidence,
    CompareWith,
    Export,
    Train,
    PauseTraining,
    StopTraining,
    VoteNow,
    Cancel,
    Show(View),
    NextView,
    PreviousView,
    /// Give the keyboard to the view in front of the next pane.
    NextPane,
    ToggleTable,
    SplitRight,
    SplitDown,
    MoveView,
    NextSite,
    PreviousSite,
    ResetLayout,
    ToggleModel,
    ToggleInspector,
    ToggleTasks,
    Theme(ThemeChoice),
    ZoomIn,
    ZoomOut,
    ZoomReset,
    Palette,
    Guide,
    Shortcuts,
    About,
    CopyMessages,
    ClearMessages,
}

/// The menu a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray, IntoStaticStr)]
pub enum Menu {
    File,
    /// The plan and the selection.
    Edit,
    /// Work on the model.
    Run,
    View,
    Help,
}

impl Menu {
    /// Every menu, from left to right.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word in the menu bar.
    pub fn title(self) -> &'static str {
        self.into()
    }
}

/// What a command is called and how it is reached.
pub struct CommandSpec {
    /// Menu it stands in.
    pub menu: Menu,
    /// Words in the menu and the palette.
    pub text: &'static str,
    pub tooltip: &'static str,
    /// Keys; the first is shown.
    pub keys: Vec<KeyboardShortcut>,
}

impl Command {
    /// Every command in the order of the menus, in sections with a line between.
    pub fn sections() -> Vec<Vec<Self>> {
        vec![
            vec![Self::OpenModel, Self::OpenCached, Self::OpenFile, Self::TypePath, Self::OpenSample],
            vec![Self::ChooseInput, Self::TypeInput, Self::ChooseImages],
            vec![Self::SaveWorkspace, Self::SaveWorkspaceAs],
            vec![Self::SavePlan, Self::SaveAnalysis, Self::SavePicture],
            vec![Self::StartAfresh, Self::CloseModel, Self::Quit],
            vec![Self::Undo, Self::Redo],
            vec![Self::NewPlan, Self::DuplicatePlan, Self::DeletePlan],
            vec![Self::KeepHeads, Self::PruneHeads, Self::FlipHeads],
            vec![Self::PinHeads, Self::PinAlignment, Self::UnpinHeads, Self::UnpinAll, Self::WithoutEvidence],
            vec![Self::SelectAll, Self::SelectSite, Self::ClearSelection],
            vec![
                Self::Run,
                Self::Estimate,
                Self::Measure,
                Self::MeasureCurves,
                Self::FindPlan,
                Self::AskBatches,
                Self::Repair,
                Self::CompareWith,
                Self::Export,
            ],
            vec![Self::Train, Self::PauseTraining, Self::StopTraining, Self::VoteNow],
            vec![Self::Cancel],
            View::ALL.iter().copied().map(Self::Show).collect(),
            vec![Self::NextView, Self::PreviousView, Self::NextPane],
            vec![Self::ToggleTable],
            vec![Self::SplitRight, Self::SplitDown, Self::MoveView],
            vec![Self::NextSite, Self::PreviousSite],
            vec![Self::ToggleModel, Self::ToggleInspector, Self::ToggleTasks, Self::ResetLayout],
            [ThemeChoice::System, ThemeChoice::Light, ThemeChoice::Dark].map(Self::Theme).to_vec(),
            vec![Self::ZoomIn, Self::ZoomOut, Self::ZoomReset],
            vec![Self::Palette, Self::Guide, Self::Shortcuts, Self::About],
            vec![Self::CopyMessages, Self::ClearMessages],
        ]
    }

    /// Every command, in the order of the menus.
    pub fn all() -> Vec<Self> {
        Self::sections().concat()
    }
}
