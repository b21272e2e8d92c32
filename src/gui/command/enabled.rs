//! Whether a command can be carried out as things stand.

use super::kinds::Command;
use crate::gui::jobs::{Job, JobKind};
use crate::gui::state::State;
use crate::workspace::{Proposal, sample};

/// Why nothing can be computed while a setting of the run is at fault.
const ATTENTION: &str = "the settings on the left need attention";

impl Command {
    /// Why it cannot be done now, for a person: which setting is at fault too, which may be scrolled out of sight.
    pub fn refusal(self, state: &State) -> Option<String> {
        let reason = self.enabled(state).err()?;
        let faults = state.faults().filter(|_| reason == ATTENTION);
        Some(faults.map_or_else(|| reason.to_owned(), |faults| format!("{reason}: {faults}")))
    }

    /// `Err` says why it cannot be done now.
    pub fn enabled(self, state: &State) -> Result<(), &'static str> {
        let model = || if state.model.is_some() { Ok(()) } else { Err("open a model first") };
        let heads = || {
            model()?;
            if state.selection.heads.is_empty() { Err("select heads first") } else { Ok(()) }
        };
        let ready = || match &state.checked {
            Some(Ok(_)) => Ok(()),
            None => Err("open a model first"),
            Some(Err(_)) => Err(ATTENTION),
        };
        let legal = || match &state.outlook {
            Some(Ok(_)) => Ok(()),
            None if state.model.is_some() => Err("what the plan saves is being counted"),
            None => Err("open a model first"),
            Some(Err(_)) => Err("the plan cannot be carried out as it is"),
        };
        let learns = || state.missing_loss().map_or(Ok(()), Err);
        let idle = |kind| if state.jobs.get(kind).is_some() { Err("it is running already") } else { Ok(()) };
        let results = || if state.results.is_some() { Ok(()) } else { Err("run the model first") };
        match self {
            Self::OpenModel
            | Self::OpenFile
            | Self::ChooseInput
            | Self::ChooseImages
            | Self::SaveWorkspaceAs
            | Self::SavePlan
            | Self::SaveAnalysis
            | Self::SavePicture
            | Self::Export
            | Self::Train
                if state.jobs.get(JobKind::Dialog).is_some() =>
            {
                Err("a dialog is open already")
            }
            Self::OpenSample if sample().is_none() => Err("the sample is not installed beside the program"),
            Self::Undo if state.draft.undo_name().is_none() => Err("there is nothing to undo"),
            Self::Redo if state.draft.redo_name().is_none() => Err("there is nothing to redo"),
            Self::KeepHeads | Self::PruneHeads | Self::FlipHeads | Self::PinHeads | Self::UnpinHeads => heads(),
            Self::PinAlignment if state.model.as_ref().is_none_or(|model| model.facts.alignment.is_empty()) => {
                Err("no model is open that names alignment heads")
            }
            Self::UnpinAll if state.draft.now().active().pinned() == 0 => Err("no head is pinned"),
            Self::Run => ready().and(idle(JobKind::Analyze)),
            Self::Estimate => ready().and(idle(JobKind::Analyze)).and(idle(JobKind::Estimate)),
            Self::Measure => ready().and(legal()).and(idle(JobKind::Measure)),
            Self::MeasureCurves => ready().and(results()).and(idle(JobKind::Curves)),
            Self::FindPlan => ready().and(results()).and(idle(JobKind::FindPlan)),
            Self::WithoutEvidence => results(),
            Self::AskBatches if state.chosen_by_moments().is_none() => {
                Err("choose the heads by reconstruction first: votes are cast batch by batch anyway")
            }
            Self::AskBatches => ready().and(idle(JobKind::AskBatches)),
            Self::CompareWith => model().and(idle(JobKind::Compare)),
            Self::Repair if !state.repairing.is_on() => Err("switch repair on first"),
            Self::Repair if state.legal_plan().is_some_and(|plan| state.keeps_all(plan)) => {
                Err("every head stays: there is nothing to repair")
            }
            Self::Repair => ready().and(legal()).and(idle(JobKind::Repair)),
            Self::Export
                if state.repairing.is_on() && !matches!(state.checked, Some(Ok(_))) && state.model.is_some() =>
            {
                Err("repair needs something to read: choose an input, or switch repair off")
            }
            Self::Export => legal().and(idle(JobKind::Export)),
            Self::Train if state.jobs.is_elsewhere(JobKind::Train) => {
                Err("another model is being trained: wait for it, or cancel it among the tasks")
            }
            Self::Train => learns().and(ready()).and(idle(JobKind::Train)),
            Self::PauseTraining | Self::StopTraining | Self::VoteNow if state.jobs.get(JobKind::Train).is_none() => {
                Err("no training is running")
            }
            Self::PauseTraining | Self::StopTraining | Self::VoteNow
                if state.jobs.get(JobKind::Train).is_some_and(Job::has_just_begun) =>
            {
                Err("the training began a moment ago")
            }
            Self::SaveAnalysis | Self::SavePicture => results(),
            Self::ChooseInput
            | Self::TypeInput
            | Self::ChooseImages
            | Self::SaveWorkspace
            | Self::SaveWorkspaceAs
            | Self::SavePlan
            | Self::StartAfresh
            | Self::CloseModel
            | Self::NextView
            | Self::PreviousView
            | Self::NextPane
            | Self::ToggleTable
            | Self::SplitRight
            | Self::SplitDown
            | Self::MoveView
            | Self::NewPlan
            | Self::DuplicatePlan
            | Self::DeletePlan
            | Self::SelectAll
            | Self::SelectSite
            | Self::NextSite
            | Self::PreviousSite
            | Self::Show(_) => model(),
            Self::Cancel if state.jobs.shown().next().is_none() => Err("nothing is running"),
            Self::CopyMessages | Self::ClearMessages if state.messages.all().is_empty() => Err("there are no messages"),
            Self::TypePath
            | Self::OpenCached
            | Self::OpenModel
            | Self::OpenFile
            | Self::OpenSample
            | Self::Quit
            | Self::Undo
            | Self::Redo
            | Self::UnpinAll
            | Self::PinAlignment
            | Self::ClearSelection
            | Self::PauseTraining
            | Self::StopTraining
            | Self::VoteNow
            | Self::Cancel
            | Self::ResetLayout
            | Self::ToggleModel
            | Self::ToggleInspector
            | Self::ToggleTasks
            | Self::Theme(_)
            | Self::ZoomIn
            | Self::ZoomOut
            | Self::ZoomReset
            | Self::Palette
            | Self::Guide
            | Self::Shortcuts
            | Self::About
            | Self::CopyMessages
            | Self::ClearMessages => Ok(()),
        }
    }

    /// Words as things stand: undo and redo say what they would change.
    pub fn text_now(self, state: &State) -> String {
        let text = self.spec().text;
        let name = match self {
            Self::Undo => state.draft.undo_name(),
            Self::Redo => state.draft.redo_name(),
            _ => None,
        };
        name.map_or_else(|| text.to_owned(), |name| format!("{text}: {name}"))
    }

    /// Whether a mark stands before it in the menu.
    pub fn is_on(self, state: &State) -> Option<bool> {
        match self {
            Self::ToggleModel => Some(state.settings.show_model),
            Self::ToggleInspector => Some(state.settings.show_inspector),
            Self::ToggleTasks => Some(state.settings.show_tasks),
            Self::Guide => Some(state.settings.show_guide),
            Self::WithoutEvidence => {
                Some(state.draft.now().active().proposal.as_ref().is_some_and(Proposal::prunes_unproven))
            }
            Self::Theme(choice) => Some(state.settings.theme == choice),
            Self::PauseTraining => {
                Some(state.training.run.watched.as_ref().is_some_and(|(_, w)| w.control.is_paused()))
            }
            _ => None,
        }
    }
}
