//! Every listed action: its words, its keys, and whether it can be done now. The menu, the palette and the keyboard
//! read this table and nothing else.

mod enabled;
mod table;

use eframe::egui::{self, KeyboardShortcut};

use super::State;
use crate::gui::view::View;
use crate::workspace::ThemeChoice;

/// An action that needs no more than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table says what each one does")]
pub enum Command {
    OpenModel,
    OpenFile,
    TypePath,
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
    UnpinHeads,
    UnpinAll,
    SelectAll,
    SelectSite,
    ClearSelection,
    Run,
    Measure,
    MeasureCurves,
    Export,
    Train,
    PauseTraining,
    StopTraining,
    VoteNow,
    Cancel,
    Show(View),
    NextView,
    PreviousView,
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

/// Keys as a person reads them on the caps.
pub fn caps(ctx: &egui::Context, keys: &KeyboardShortcut) -> String {
    let text = ctx.format_shortcut(keys);
    let names =
        [("OpenBracket", "["), ("CloseBracket", "]"), ("Backslash", "\\"), ("Period", "."), ("PageUp", "Page Up")];
    let names = names.into_iter().chain([("PageDown", "Page Down"), ("Plus", "+"), ("Minus", "-"), ("Equals", "=")]);
    let found = names.into_iter().find(|(name, _)| text.ends_with(name));
    found.map_or_else(|| text.clone(), |(name, cap)| format!("{}{cap}", text.trim_end_matches(name)))
}

/// Every command with each of its keys, in the order in which they are to be looked at.
pub fn by_keys() -> Vec<(KeyboardShortcut, Command)> {
    let mut all: Vec<_> =
        Command::all().into_iter().flat_map(|c| c.spec().keys.into_iter().map(move |k| (k, c))).collect();
    // Keys match where Shift is held beside what they name, so those that name it come first.
    all.sort_by_key(|(keys, _)| !keys.modifiers.shift);
    all
}

/// The menu a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// Opening, saving, leaving.
    File,
    /// The plan and the selection.
    Edit,
    /// Work on the model.
    Run,
    /// What is shown.
    View,
    /// Finding one's way.
    Help,
}

impl Menu {
    /// Every menu, from left to right.
    pub const ALL: [Self; 5] = [Self::File, Self::Edit, Self::Run, Self::View, Self::Help];

    /// The word in the menu bar.
    pub fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::Run => "Run",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

/// What a command is called and how it is reached.
pub struct Spec {
    /// Menu it stands in.
    pub menu: Menu,
    /// Words in the menu and the palette.
    pub text: &'static str,
    /// A longer explanation.
    pub tooltip: &'static str,
    /// Keys; the first is shown.
    pub keys: Vec<KeyboardShortcut>,
}

impl Command {
    /// Every command in the order of the menus, in sections with a line between.
    pub fn sections() -> Vec<Vec<Self>> {
        vec![
            vec![Self::OpenModel, Self::OpenFile, Self::TypePath, Self::OpenSample],
            vec![Self::ChooseInput, Self::TypeInput, Self::ChooseImages],
            vec![Self::SaveWorkspace, Self::SaveWorkspaceAs],
            vec![Self::SavePlan, Self::SaveAnalysis, Self::SavePicture],
            vec![Self::StartAfresh, Self::CloseModel, Self::Quit],
            vec![Self::Undo, Self::Redo],
            vec![Self::NewPlan, Self::DuplicatePlan, Self::DeletePlan],
            vec![Self::KeepHeads, Self::PruneHeads, Self::FlipHeads],
            vec![Self::PinHeads, Self::UnpinHeads, Self::UnpinAll],
            vec![Self::SelectAll, Self::SelectSite, Self::ClearSelection],
            vec![Self::Run, Self::Measure, Self::MeasureCurves, Self::Export],
            vec![Self::Train, Self::PauseTraining, Self::StopTraining, Self::VoteNow],
            vec![Self::Cancel],
            View::ALL.map(Self::Show).to_vec(),
            vec![Self::NextView, Self::PreviousView],
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

    /// Words and keys.
    pub fn spec(self) -> Spec {
        table::spec(self)
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
            Self::Theme(choice) => Some(state.settings.theme == choice),
            Self::PauseTraining => Some(state.training.watched.as_ref().is_some_and(|(_, w)| w.control.is_paused())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Key, Modifiers};
    use std::collections::{HashMap, HashSet};

    #[test]
    fn no_two_commands_share_a_key() {
        let mut taken: HashMap<(Modifiers, Key), Command> = HashMap::new();
        for command in Command::all() {
            for keys in command.spec().keys {
                let other = taken.insert((keys.modifiers, keys.logical_key), command);
                assert!(other.is_none(), "{command:?} and {other:?} share {keys:?}");
            }
        }
    }

    #[test]
    fn keys_read_as_on_the_caps() {
        let ctx = egui::Context::default();
        let read = |command: Command| caps(&ctx, &command.spec().keys[0]);
        assert_eq!(read(Command::SplitDown).rsplit('+').next(), Some("\\"));
        assert_eq!([read(Command::NextSite), read(Command::Run)].map(|k| k.chars().last()), [Some(']'), Some('R')]);
    }

    #[test]
    fn no_keys_hide_behind_keys_with_fewer_modifiers() {
        // Keys match where Shift or Alt is held beside what they name, so the longer ones have to be looked at first.
        let ordered = by_keys();
        for (place, (keys, command)) in ordered.iter().enumerate() {
            for (earlier, other) in &ordered[..place] {
                let hides =
                    earlier.logical_key == keys.logical_key && keys.modifiers.matches_logically(earlier.modifiers);
                assert!(!hides, "{other:?} takes the keys of {command:?}");
            }
        }
    }

    #[test]
    fn every_command_is_listed_once_with_words_of_its_own() {
        let all = Command::all();
        assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
        let texts: HashSet<_> = all.iter().map(|c| c.spec().text).collect();
        assert_eq!(texts.len(), all.len());
        for command in all {
            let spec = command.spec();
            assert!(spec.text.starts_with(char::is_uppercase) && !spec.text.ends_with('.'), "{}", spec.text);
            assert!(!spec.tooltip.is_empty() && !spec.tooltip.ends_with('.'), "{}", spec.tooltip);
        }
        for section in Command::sections() {
            assert!(section.windows(2).all(|pair| pair[0].spec().menu == pair[1].spec().menu), "{section:?}");
        }
    }
}
